#include "filterd/warm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "openpgp/decrypt.h"
#include "openpgp/encrypt.h"
#include "openpgp/skey.h"

#define MESSAGE_MAX (64 * 1024) /* octets of the message that the test makes */
#define RSA_OCTETS 384 /* of a modulus of 3,072 bit */

static const char text[] = "This text is encrypted, decrypted and forgotten.\r\n";

/* A key pair for signatures, one for encryption, and somebody's RSA key. */
struct keys {
	struct pgp_skey *sign, *decrypt;
	struct cert_key pub[3];
	struct cert cert; /* of the first two */
	uint8_t rsa[2 + RSA_OCTETS + 2 + 3], rsa_fpr[PGP_FPR4];
};

static int
secret_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct keys *k = ctx;

	(void)fpr;
	(void)fprlen;
	return pgp_skey_sign(k->sign, hash, digest, n, out);
}

static int
secret_unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	struct keys *k = ctx;

	(void)fpr;
	(void)fprlen;
	return pgp_skey_unwrap(k->decrypt, esk, n, out);
}

static const struct cert *
find_cert(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	struct keys *k = ctx;

	(void)keyid;
	(void)fpr;
	(void)fprlen;
	return &k->cert;
}

/* Any odd number is a modulus that one can encrypt to, if nobody is to decrypt it. */
static int
make_rsa(struct keys *k)
{
	static const uint8_t exponent[] = {0, 17, 1, 0, 1};
	struct cert_key *c = &k->pub[2];

	put_be16(k->rsa, RSA_OCTETS * 8);
	memset(k->rsa + 2, 0xff, RSA_OCTETS);
	memcpy(k->rsa + 2 + RSA_OCTETS, exponent, sizeof exponent);
	c->version = 4;
	c->algo = PGP_PK_RSA;
	c->fpr = (struct bytes){k->rsa_fpr, sizeof k->rsa_fpr};
	c->params = (struct bytes){k->rsa, sizeof k->rsa};
	return pgp_fingerprint4(k->rsa_fpr, 0, c->algo, k->rsa, sizeof k->rsa);
}

static int
make_keys(struct keys *k, uint64_t now, struct err *e)
{
	if ((k->sign = pgp_skey_generate(PGP_GEN_ED25519, 0, now, e)) == NULL ||
	    (k->decrypt = pgp_skey_generate(PGP_GEN_CV25519, 0, now, e)) == NULL)
		return -1;
	pgp_skey_public(k->sign, &k->pub[0]);
	pgp_skey_public(k->decrypt, &k->pub[1]);
	k->pub[0].flags = KEY_CERTIFY | KEY_SIGN;
	k->pub[1].flags = KEY_ENCRYPT;
	k->cert.keys.v = k->pub;
	k->cert.keys.n = 2;
	return make_rsa(k) == -1 ? err_sys(e, "fingerprint") : 0;
}

static int
encrypt(struct keys *k, uint64_t now, struct buf *out, struct err *e)
{
	struct pgp_recipient to[] = {{NULL, &k->pub[1]}, {NULL, &k->pub[2]}};
	struct pgp_signer signer = {&k->pub[0], NULL};
	struct pgp_secret secret = {secret_sign, secret_unwrap, k};
	struct pgp_encrypt_params p = {
	    .to = to,
	    .nto = 2,
	    .signers = &signer,
	    .nsigners = 1,
	    .secret = &secret,
	    .compress = PGP_COMP_ZLIB,
	    .armor = true,
	    .now = now,
	};
	struct sink sink = sink_buf(out);
	struct pgp_encrypt *w = pgp_encrypt_open(&p, &sink, e);

	if (w == NULL)
		return -1;
	if (pgp_encrypt_write(w, text, sizeof text) == -1) {
		pgp_encrypt_abort(w);
		return err_sys(e, "encryption");
	}
	return pgp_encrypt_close(w, e);
}

static int
decrypt(struct keys *k, uint64_t now, const struct buf *in, struct err *e)
{
	const struct cert_key *mine = &k->pub[1];
	struct pgp_secret secret = {secret_sign, secret_unwrap, k};
	struct pgp_certs certs = {find_cert, k};
	struct pgp_decrypt_params p = {
	    .keys = &mine, .nkeys = 1, .secret = &secret, .certs = &certs, .now = now};
	struct octets o = octets_mem(buf_ptr(in), buf_len(in));
	struct pgp_result *r = calloc(1, sizeof *r);
	struct sink sink;
	struct buf out;
	int rc = -1;

	if (r == NULL)
		return err_sys(e, "decryption");
	buf_init(&out, MESSAGE_MAX);
	sink = sink_buf(&out);
	if (pgp_decrypt(&o, &p, &sink, r, e) == 0) {
		if (r->nsigs == 1 && r->sigs[0].state == PGP_SIG_GOOD &&
		    buf_len(&out) == sizeof text && memcmp(buf_ptr(&out), text, sizeof text) == 0)
			rc = 0;
		else
			(void)err_set(e, EIO, "a message does not come back as it was");
	}
	buf_free(&out);
	free(r);
	return rc;
}

int
warm_up(struct err *e)
{
	uint64_t now = clock_unix();
	struct keys k;
	struct buf b;
	int rc;

	memset(&k, 0, sizeof k);
	buf_init(&b, MESSAGE_MAX);
	if (pgp_algo_init() == -1)
		rc = err_sys(e, "algorithms");
	else if ((rc = make_keys(&k, now, e)) == 0 && (rc = encrypt(&k, now, &b, e)) == 0)
		rc = decrypt(&k, now, &b, e);
	pgp_skey_free(k.sign);
	pgp_skey_free(k.decrypt);
	buf_free(&b);
	return rc;
}
