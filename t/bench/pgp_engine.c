/*
 * lib/openpgp by itself, with the private keys in the same process: what the gateway would reach
 * if moving a message between its processes cost nothing.  See rounds.h.
 */
#include <errno.h>

#include "base/clock.h"
#include "openpgp/cert.h"
#include "openpgp/certmake.h"
#include "openpgp/decrypt.h"
#include "openpgp/encrypt.h"
#include "openpgp/skey.h"
#include "t/bench/rounds.h"

#define NKEYS 3 /* certify, sign, decrypt */
#define CERT_OCTETS_MAX (64 * 1024)
#define MESSAGE_MAX ((size_t)2 << 30)

static struct pgp_skey *keys[NKEYS];
static struct cert_key pub[NKEYS];
static struct pgp_cert *cert;
static const struct cert_key *encrypt_key, *sign_key;
static bool armor;
static struct buf message, plaintext;

static struct pgp_skey *
key_of(const uint8_t *fpr, size_t n)
{
	size_t i;

	for (i = 0; i < NKEYS; i++)
		if (pub[i].fpr.n == n && memcmp(pub[i].fpr.p, fpr, n) == 0)
			return keys[i];
	errno = ENOKEY;
	return NULL;
}

static int
sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest, size_t n,
    struct pgp_sigval *out)
{
	struct pgp_skey *k = key_of(fpr, fprlen);

	(void)ctx;
	return k == NULL ? -1 : pgp_skey_sign(k, hash, digest, n, out);
}

static int
unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	struct pgp_skey *k = key_of(fpr, fprlen);

	(void)ctx;
	return k == NULL ? -1 : pgp_skey_unwrap(k, esk, n, out);
}

static const struct pgp_secret secret = {sign, unwrap, NULL};

static const struct cert *
find_cert(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	(void)ctx;
	return pgp_cert_find(cert->rec, fprlen ? fpr : keyid, fprlen ? fprlen : 8) ? cert->rec
										   : NULL;
}

static const struct pgp_certs certs = {find_cert, NULL};

static void
make_keys(int rsa)
{
	static const uint8_t flags[NKEYS] = {KEY_CERTIFY, KEY_SIGN, KEY_ENCRYPT};
	static const char *const uid = "Bench <bench@example.test>";
	struct pgp_certspec spec = {.keys = pub, .nkeys = NKEYS, .uids = &uid, .nuids = 1};
	struct buf raw;
	struct err e;
	int i;

	spec.created = clock_unix();
	for (i = 0; i < NKEYS; i++) {
		keys[i] = pgp_skey_generate(rsa                       ? PGP_GEN_RSA
					    : flags[i] == KEY_ENCRYPT ? PGP_GEN_CV25519
								      : PGP_GEN_ED25519,
		    0, spec.created, &e);
		if (keys[i] == NULL)
			errx(1, "%s", e.text);
		pgp_skey_public(keys[i], &pub[i]);
		pub[i].flags = flags[i];
	}
	buf_init(&raw, CERT_OCTETS_MAX);
	if (pgp_certmake(&spec, &secret, &raw, &e) == -1 ||
	    (cert = pgp_cert_read(buf_ptr(&raw), buf_len(&raw), spec.created, &e)) == NULL ||
	    pgp_cert_encryption_keys(cert->rec, spec.created, &encrypt_key, 1, &e) != 1 ||
	    (sign_key = pgp_cert_signing_key(cert->rec, spec.created, &e)) == NULL)
		errx(1, "%s", e.text);
	buf_free(&raw);
}

static void
secure(const uint8_t *p, size_t n)
{
	struct pgp_recipient to = {cert->rec, encrypt_key};
	struct pgp_signer signer = {sign_key, NULL};
	struct pgp_encrypt_params q = {
	    .to = &to,
	    .nto = 1,
	    .signers = &signer,
	    .nsigners = 1,
	    .secret = &secret,
	    .armor = armor,
	    .now = clock_unix(),
	};
	struct sink out = sink_buf(&message);
	struct pgp_encrypt *w;
	struct err e;

	buf_reset(&message);
	if ((w = pgp_encrypt_open(&q, &out, &e)) == NULL)
		errx(1, "%s", e.text);
	if (pgp_encrypt_write(w, p, n) == -1)
		err(1, "encrypting");
	if (pgp_encrypt_close(w, &e) == -1)
		errx(1, "%s", e.text);
}

static void
open_message(const uint8_t *plain, size_t n)
{
	const struct cert_key *mine = encrypt_key;
	struct pgp_decrypt_params q = {
	    .keys = &mine, .nkeys = 1, .secret = &secret, .certs = &certs, .now = clock_unix()};
	struct octets in = octets_mem(buf_ptr(&message), buf_len(&message));
	struct sink out = sink_buf(&plaintext);
	struct pgp_result r;
	struct err e;

	buf_reset(&plaintext);
	if (pgp_decrypt(&in, &q, &out, &r, &e) == -1)
		errx(1, "%s", e.text);
	if (r.nsigs != 1 || r.sigs[0].state != PGP_SIG_GOOD || buf_len(&plaintext) != n ||
	    memcmp(buf_ptr(&plaintext), plain, n) != 0)
		errx(1, "the message does not come back as it was");
}

int
main(int argc, char *argv[])
{
	if (argc < 2)
		errx(64, "usage: %s ed25519|rsa3072 [armor]", argv[0]);
	armor = argc > 2;
	buf_init(&message, MESSAGE_MAX);
	buf_init(&plaintext, MESSAGE_MAX);
	make_keys(strcmp(argv[1], "rsa3072") == 0);
	return rounds_serve(secure, open_message);
}
