#include "openpgp/pk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "openpgp/brainpool.h"
#include "openpgp/nist.h"
#include "openpgp/params.h"

struct pgp_pk {
	struct pgp_params p; /* points into params */
	unsigned bits;
	EVP_PKEY *pkey; /* NULL on a curve that libgcrypt does */
	EVP_MD_CTX *verify; /* EdDSA, reused */
	size_t fprlen, n; /* octets of fpr, of params */
	uint8_t fpr[PGP_FPR_MAX];
	uint8_t params[];
};

struct pgp_pk *
pgp_pk_load(const struct cert_key *k, struct err *e)
{
	struct pgp_pk *pk;

	if (k->params.n > CERT_PARAMS_MAX || k->fpr.n > PGP_FPR_MAX) {
		err_set(e, EBADMSG, "key: parameters too long");
		return NULL;
	}
	if ((pk = calloc(1, sizeof *pk + k->params.n)) == NULL) {
		err_sys(e, "key");
		return NULL;
	}
	memcpy(pk->params, k->params.p, k->params.n);
	memcpy(pk->fpr, k->fpr.p, k->fpr.n);
	pk->fprlen = k->fpr.n;
	pk->n = k->params.n;
	if (pgp_params_parse(&pk->p, k->algo, pk->params, k->params.n, 1, e) < 0)
		goto fail;
	pk->bits = pgp_params_bits(&pk->p);
	if (pgp_params_pkey(&pk->p, &pk->pkey) < 0) {
		err_set(e, EBADMSG, "%s key: bad parameters", pgp_pk_name(k->algo));
		goto fail;
	}
	return pk;
fail:
	pgp_pk_free(pk);
	return NULL;
}

void
pgp_pk_free(struct pgp_pk *pk)
{
	if (pk == NULL)
		return;
	EVP_MD_CTX_free(pk->verify);
	EVP_PKEY_free(pk->pkey);
	free(pk);
}

/* All that was loaded counts: a fingerprint alone is what somebody says of a key. */
static int
same_key(const struct pgp_pk *pk, const struct cert_key *k)
{
	return pk->p.algo == k->algo && pk->fprlen == k->fpr.n && pk->n == k->params.n &&
	       memcmp(pk->fpr, k->fpr.p, k->fpr.n) == 0 &&
	       memcmp(pk->params, k->params.p, k->params.n) == 0;
}

struct pgp_pk *
pgp_pk_kept(const struct cert_key *k, struct err *e)
{
	static struct pgp_pk *kept[PGP_PK_KEPT];
	static unsigned oldest;
	struct pgp_pk *pk;
	unsigned i;

	for (i = 0; i < PGP_PK_KEPT && kept[i] != NULL; i++)
		if (same_key(kept[i], k))
			return kept[i];
	if ((pk = pgp_pk_load(k, e)) == NULL)
		return NULL;
	pgp_pk_free(kept[oldest]);
	kept[oldest] = pk;
	oldest = (oldest + 1) % PGP_PK_KEPT;
	return pk;
}

unsigned
pgp_pk_algo(const struct pgp_pk *pk)
{
	return pk->p.algo;
}

int
pgp_pk_weak(const struct pgp_pk *pk)
{
	return pk->p.curve == NULL && pk->bits < PGP_RSA_MIN;
}

unsigned
pgp_algo_can(unsigned pk_algo)
{
	switch (pk_algo) {
	case PGP_PK_RSA:
		return KEY_SIGN | KEY_ENCRYPT;
	case PGP_PK_RSA_E:
	case PGP_PK_ELGAMAL:
	case PGP_PK_ECDH:
	case PGP_PK_X25519:
	case PGP_PK_X448:
		return KEY_ENCRYPT;
	case PGP_PK_RSA_S:
	case PGP_PK_DSA:
	case PGP_PK_ECDSA:
	case PGP_PK_EDDSA:
	case PGP_PK_ED25519:
	case PGP_PK_ED448:
		return KEY_SIGN;
	default:
		return 0;
	}
}

const char *
pgp_key_text(unsigned algo, struct bytes params, char out[PGP_KEY_TEXT_MAX])
{
	struct pgp_params p;

	if (pgp_params_parse(&p, algo, params.p, params.n, 1, NULL) < 0)
		(void)strlcpy(out, pgp_pk_name(algo), PGP_KEY_TEXT_MAX);
	else if (p.curve != NULL)
		(void)strlcpy(out, p.curve->name, PGP_KEY_TEXT_MAX);
	else
		(void)snprintf(out, PGP_KEY_TEXT_MAX, "rsa%u", pgp_params_bits(&p));
	return out;
}

size_t
pgp_key_digest_min(const struct cert_key *k)
{
	struct pgp_params p;

	if (k->algo != PGP_PK_ECDSA ||
	    pgp_params_parse(&p, k->algo, k->params.p, k->params.n, 1, NULL) < 0)
		return 0;
	return p.curve->width < PGP_DIGEST_MAX ? p.curve->width : PGP_DIGEST_MAX;
}

static uint16_t
checksum(const uint8_t *p, size_t n)
{
	unsigned sum = 0;

	while (n-- > 0)
		sum += *p++;
	return (uint16_t)sum;
}

/* algorithm, key, sum of the key's octets (RFC 9580, 5.1.3) */
static size_t
plain_key(uint8_t *out, const struct pgp_session_key *key)
{
	out[0] = key->algo;
	memcpy(out + 1, key->key, key->n);
	put_be16(out + 1 + key->n, checksum(key->key, key->n));
	return key->n + 3u;
}

static int
wrap_rsa(struct pgp_pk *pk, const uint8_t *m, size_t n, struct pgp_esk *out)
{
	uint8_t c[PGP_RSA_MAX / 8];
	size_t cn = sizeof c;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pk->pkey, NULL);
	int r = -1;

	if (ctx != NULL && EVP_PKEY_encrypt_init(ctx) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
	    EVP_PKEY_encrypt(ctx, c, &cn, m, n) > 0) {
		out->n = pgp_mpi_write(out->data, c, cn);
		r = 0;
	}
	EVP_PKEY_CTX_free(ctx);
	return r;
}

/*
 * A key pair for one use on Curve25519: public key and secret are both X25519 of a private key (RFC
 * 7748, 6.1), of the base point and of the other's.  OpenSSL makes public keys in another way,
 * which takes a fifth longer.  A key object wants a public half: it gets the base point, and is
 * used only here.
 */
static int
agree_x25519(struct pgp_pk *pk, uint8_t *point, uint8_t *z)
{
	static uint8_t base[32] = {9};
	static EVP_PKEY *base_key;
	const struct pgp_curve *curve = pk->p.curve;
	uint8_t d[sizeof base];
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, d, sizeof d),
	    OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, base, sizeof base),
	    OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL), *ctx = NULL;
	EVP_PKEY *own = NULL;
	int r = -1;

	if (base_key == NULL)
		base_key = EVP_PKEY_new_raw_public_key(curve->evp, NULL, base, sizeof base);
	point[0] = pgp_point_prefix(curve);
	if (make != NULL && base_key != NULL && RAND_priv_bytes(d, sizeof d) > 0 &&
	    EVP_PKEY_fromdata_init(make) > 0 &&
	    EVP_PKEY_fromdata(make, &own, EVP_PKEY_KEYPAIR, params) > 0 &&
	    (ctx = pgp_ecdh_ctx(own)) != NULL &&
	    pgp_ecdh_derive(ctx, base_key, sizeof base, point + 1) == 0)
		r = pgp_ecdh_derive(ctx, pk->pkey, sizeof base, z);
	explicit_bzero(d, sizeof d);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_CTX_free(make);
	EVP_PKEY_free(own);
	return r;
}

/* A key pair for one use: its point with the prefix, and the secret shared with pk. */
static int
agree(struct pgp_pk *pk, uint8_t *point, uint8_t *z)
{
	const struct pgp_curve *curve = pk->p.curve;
	uint8_t d[PGP_COORD_MAX];
	EVP_PKEY *eph = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	int r = -1;

	if (curve->kind == PGP_CURVE_X25519)
		return agree_x25519(pk, point, z);
	if (curve->kind == PGP_CURVE_BRAINPOOL) {
		if (pgp_brainpool_generate(curve, d, point) == 0)
			r = pgp_brainpool_shared(curve, d, pk->p.point.p, z);
		explicit_bzero(d, sizeof d);
		return r;
	}
	if ((eph = pgp_curve_keygen(curve)) != NULL && pgp_curve_point(curve, eph, point) == 0 &&
	    (ctx = pgp_ecdh_ctx(eph)) != NULL)
		r = pgp_ecdh_derive(ctx, pk->pkey, curve->width, z);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(eph);
	return r;
}

static int
wrap_ecdh(struct pgp_pk *pk, uint8_t *m, size_t n, struct pgp_esk *out)
{
	uint8_t z[PGP_COORD_MAX], kek[PGP_CIPHER_KEY_MAX], point[PGP_POINT_MAX];
	const struct pgp_curve *curve = pk->p.curve;
	size_t padded = (n + 8) / 8 * 8;
	int r = -1;

	if (agree(pk, point, z) < 0 ||
	    pgp_ecdh_kek(&pk->p, pk->fpr, pk->fprlen, z, curve->width, kek) < 0)
		goto out;
	/* PKCS#5 padding; always to 40 octets, which hides the session key's size (RFC 6637, 8) */
	if (padded < 40)
		padded = 40;
	memset(m + n, (int)(padded - n), padded - n);
	out->n = pgp_mpi_write(out->data, point, pgp_point_len(curve));
	out->data[out->n++] = (uint8_t)(padded + 8);
	if (pgp_aes_wrap(pk->p.kdf_cipher, kek, m, padded, out->data + out->n) < 0)
		goto out;
	out->n += padded + 8;
	r = 0;
out:
	explicit_bzero(z, sizeof z);
	explicit_bzero(kek, sizeof kek);
	return r;
}

int
pgp_pk_wrap(struct pgp_pk *pk, const struct pgp_session_key *key, struct pgp_esk *out)
{
	uint8_t m[PGP_CIPHER_KEY_MAX + 16];
	size_t n;
	int r;

	if ((pgp_algo_can(pk->p.algo) & KEY_ENCRYPT) == 0 || pgp_pk_weak(pk)) {
		errno = ENOTSUP;
		return -1;
	}
	if (key->n == 0 || key->n != pgp_cipher_keylen(key->algo)) {
		errno = EINVAL;
		return -1;
	}
	n = plain_key(m, key);
	if (pk->p.curve == NULL)
		r = wrap_rsa(pk, m, n, out);
	else
		r = wrap_ecdh(pk, m, n, out);
	explicit_bzero(m, sizeof m);
	if (r < 0) {
		ERR_clear_error();
		errno = EIO;
	}
	return r;
}

static int
verify_rsa(struct pgp_pk *pk, const EVP_MD *md, const uint8_t *digest, size_t n, struct bytes s)
{
	uint8_t sig[PGP_RSA_MAX / 8];
	size_t width = (pk->bits + 7) / 8;
	EVP_PKEY_CTX *ctx = NULL;
	int r = -1;

	if (s.n > 0 && pgp_mpi_pad(sig, width, s) == 0 &&
	    (ctx = EVP_PKEY_CTX_new(pk->pkey, NULL)) != NULL && EVP_PKEY_verify_init(ctx) > 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, md) > 0 &&
	    EVP_PKEY_verify(ctx, sig, width, digest, n) == 1)
		r = 0;
	EVP_PKEY_CTX_free(ctx);
	return r;
}

static int
verify_eddsa(struct pgp_pk *pk, const uint8_t *digest, size_t n, struct bytes r, struct bytes s)
{
	uint8_t sig[64];

	if (pgp_mpi_pad(sig, 32, r) < 0 || pgp_mpi_pad(sig + 32, 32, s) < 0)
		return -1;
	if (pk->verify == NULL && (pk->verify = EVP_MD_CTX_new()) == NULL)
		return -1;
	if (EVP_DigestVerifyInit(pk->verify, NULL, NULL, NULL, pk->pkey) <= 0 ||
	    EVP_DigestVerify(pk->verify, sig, sizeof sig, digest, n) != 1)
		return -1;
	return 0;
}

int
pgp_pk_verify(struct pgp_pk *pk, unsigned hash, const uint8_t *digest, size_t n,
    const uint8_t *sigval, size_t siglen)
{
	struct pgp_cur c = pgp_cur(sigval, siglen);
	const EVP_MD *md = pgp_hash_md(hash);
	struct bytes a, b;
	int r;

	if ((pgp_algo_can(pk->p.algo) & KEY_SIGN) == 0 || md == NULL) {
		errno = ENOTSUP;
		return -1;
	}
	a = pgp_cur_mpi(&c);
	b = pk->p.curve != NULL ? pgp_cur_mpi(&c) : (struct bytes){NULL, 0};
	if (c.bad || c.n > 0 || n != pgp_hash_len(hash))
		r = -1;
	else if (pk->p.curve == NULL)
		r = verify_rsa(pk, md, digest, n, a);
	else if (pk->p.curve->kind == PGP_CURVE_ED25519)
		r = verify_eddsa(pk, digest, n, a, b);
	else if (pk->p.curve->kind == PGP_CURVE_NIST)
		r = pgp_nist_verify(pk->pkey, digest, n, a, b);
	else
		r = pgp_brainpool_verify(pk->p.curve, pk->p.point.p, digest, n, a, b);
	if (r < 0) {
		ERR_clear_error();
		errno = EBADMSG;
	}
	return r;
}

int
pgp_fingerprint4(
    uint8_t fpr[PGP_FPR4], uint64_t created, unsigned algo, const uint8_t *params, size_t n)
{
	uint8_t head[9];
	EVP_MD_CTX *ctx;
	int r = -1;

	if (n + 6 > UINT16_MAX || created > UINT32_MAX) {
		errno = EINVAL;
		return -1;
	}
	head[0] = 0x99;
	put_be16(head + 1, (uint16_t)(n + 6));
	head[3] = 4;
	put_be32(head + 4, (uint32_t)created);
	head[8] = (uint8_t)algo;
	ctx = EVP_MD_CTX_new();
	if (ctx != NULL && EVP_DigestInit_ex(ctx, pgp_hash_md(PGP_HASH_SHA1), NULL) > 0 &&
	    EVP_DigestUpdate(ctx, head, sizeof head) > 0 && EVP_DigestUpdate(ctx, params, n) > 0 &&
	    EVP_DigestFinal_ex(ctx, fpr, NULL) > 0)
		r = 0;
	else
		errno = EIO;
	EVP_MD_CTX_free(ctx);
	return r;
}

const uint8_t *
pgp_keyid(const uint8_t *fpr, size_t n)
{
	return n == PGP_FPR4 ? fpr + n - 8 : fpr;
}
