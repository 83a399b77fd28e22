#include "openpgp/params.h"

#include <errno.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

#include "openpgp/brainpool.h"
#include "openpgp/nist.h"

#define RSA_E_MAX 8 /* octets; a longer public exponent only makes verification slow */

/* clang-format off */
static const struct pgp_curve curves[] = {
    {"ed25519", NULL, PGP_CURVE_ED25519,
	9, {0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01},
	255, 32, 0, 0, EVP_PKEY_ED25519},
    {"cv25519", NULL, PGP_CURVE_X25519,
	10, {0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01},
	255, 32, PGP_HASH_SHA256, PGP_CIPHER_AES256, EVP_PKEY_X25519},
    {"nistp256", "P-256", PGP_CURVE_NIST,
	8, {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
	256, 32, PGP_HASH_SHA256, PGP_CIPHER_AES128, 0},
    {"nistp384", "P-384", PGP_CURVE_NIST,
	5, {0x2b, 0x81, 0x04, 0x00, 0x22},
	384, 48, PGP_HASH_SHA384, PGP_CIPHER_AES192, 0},
    {"nistp521", "P-521", PGP_CURVE_NIST,
	5, {0x2b, 0x81, 0x04, 0x00, 0x23},
	521, 66, PGP_HASH_SHA512, PGP_CIPHER_AES256, 0},
    {"brainpoolP256r1", NULL, PGP_CURVE_BRAINPOOL,
	9, {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07},
	256, 32, PGP_HASH_SHA256, PGP_CIPHER_AES128, 0},
    {"brainpoolP384r1", NULL, PGP_CURVE_BRAINPOOL,
	9, {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b},
	384, 48, PGP_HASH_SHA384, PGP_CIPHER_AES192, 0},
    {"brainpoolP512r1", NULL, PGP_CURVE_BRAINPOOL,
	9, {0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d},
	512, 64, PGP_HASH_SHA512, PGP_CIPHER_AES256, 0},
};
/* clang-format on */

#define CURVES (sizeof curves / sizeof curves[0])

const struct pgp_curve *
pgp_curve_named(const char *name)
{
	for (size_t i = 0; i < CURVES; i++)
		if (strcmp(curves[i].name, name) == 0)
			return &curves[i];
	return NULL;
}

static int
curve_does(const struct pgp_curve *c, unsigned algo)
{
	switch (c->kind) {
	case PGP_CURVE_ED25519:
		return algo == PGP_PK_EDDSA;
	case PGP_CURVE_X25519:
		return algo == PGP_PK_ECDH;
	default:
		return algo == PGP_PK_ECDSA || algo == PGP_PK_ECDH;
	}
}

static const struct pgp_curve *
find_curve(unsigned algo, struct bytes oid)
{
	for (size_t i = 0; i < CURVES; i++)
		if (curve_does(&curves[i], algo) && curves[i].oidlen == oid.n &&
		    memcmp(curves[i].oid, oid.p, oid.n) == 0)
			return &curves[i];
	return NULL;
}

int
pgp_point_formed(const struct pgp_curve *c, struct bytes point)
{
	return point.n == pgp_point_len(c) && point.p[0] == pgp_point_prefix(c);
}

static int
parse_rsa(struct pgp_params *out, struct pgp_cur *c, struct err *e)
{
	unsigned bits;

	out->n = pgp_cur_mpi(c);
	out->e = pgp_cur_mpi(c);
	if (c->bad)
		return err_set(e, EBADMSG, "RSA key: parameters are cut short or too long");
	bits = pgp_params_bits(out);
	if (bits < PGP_RSA_VERIFY_MIN)
		return err_set(e, ENOTSUP, "RSA key of %u bit: at least %u are needed", bits,
		    PGP_RSA_VERIFY_MIN);
	if ((out->n.p[out->n.n - 1] & 1) == 0 || out->e.n == 0 ||
	    (out->e.p[out->e.n - 1] & 1) == 0 || (out->e.n == 1 && out->e.p[0] == 1))
		return err_set(e, EBADMSG, "RSA key: even modulus or bad exponent");
	if (out->e.n > RSA_E_MAX)
		return err_set(
		    e, ENOTSUP, "RSA key: public exponent of more than %d bit", RSA_E_MAX * 8);
	return 0;
}

static int
parse_kdf(struct pgp_params *out, struct pgp_cur *c, struct err *e)
{
	/* RFC 9580, 11.5: length 3, reserved 1, hash, cipher */
	if (pgp_cur_u8(c) != 3 || pgp_cur_u8(c) != 1)
		return err_set(e, EBADMSG, "ECDH key: unknown key derivation parameters");
	out->kdf_hash = pgp_cur_u8(c);
	out->kdf_cipher = pgp_cur_u8(c);
	if (c->bad)
		return err_set(e, EBADMSG, "ECDH key: parameters are cut short");
	if ((out->kdf_hash != PGP_HASH_SHA256 && out->kdf_hash != PGP_HASH_SHA384 &&
		out->kdf_hash != PGP_HASH_SHA512) ||
	    out->kdf_cipher < PGP_CIPHER_AES128 || out->kdf_cipher > PGP_CIPHER_AES256)
		return err_set(e, ENOTSUP, "ECDH key: key derivation with hash %u, cipher %u",
		    out->kdf_hash, out->kdf_cipher);
	return 0;
}

static int
parse_ec(struct pgp_params *out, struct pgp_cur *c, struct err *e)
{
	struct bytes oid = pgp_cur_oid(c), point;

	if (c->bad)
		return err_set(e, EBADMSG, "%s key: bad curve identifier", pgp_pk_name(out->algo));
	out->curve = find_curve(out->algo, oid);
	if (out->curve == NULL)
		return err_set(
		    e, ENOTSUP, "%s key on an unsupported curve", pgp_pk_name(out->algo));
	point = pgp_cur_mpi(c);
	if (c->bad || !pgp_point_formed(out->curve, point))
		return err_set(e, EBADMSG, "%s key: bad point", pgp_pk_name(out->algo));
	out->point = point;
	return out->algo == PGP_PK_ECDH ? parse_kdf(out, c, e) : 0;
}

int
pgp_params_parse(
    struct pgp_params *out, unsigned algo, const uint8_t *p, size_t n, int exact, struct err *e)
{
	struct pgp_cur c = pgp_cur(p, n);
	int r;

	memset(out, 0, sizeof *out);
	out->algo = (uint8_t)algo;
	switch (algo) {
	case PGP_PK_RSA:
	case PGP_PK_RSA_E:
	case PGP_PK_RSA_S:
		r = parse_rsa(out, &c, e);
		break;
	case PGP_PK_ECDH:
	case PGP_PK_ECDSA:
	case PGP_PK_EDDSA:
		r = parse_ec(out, &c, e);
		break;
	default:
		return err_set(
		    e, ENOTSUP, "key algorithm %u (%s) is not supported", algo, pgp_pk_name(algo));
	}
	if (r < 0)
		return -1;
	if (exact && c.n > 0)
		return err_set(e, EBADMSG, "key: %zu octets behind its parameters", c.n);
	out->used = n - c.n;
	return 0;
}

ssize_t
pgp_params_len(unsigned algo, const uint8_t *p, size_t n)
{
	struct pgp_cur c = pgp_cur(p, n);
	unsigned mpis = 0, kdf = 0, oid = 0;

	switch (algo) {
	case PGP_PK_RSA:
	case PGP_PK_RSA_E:
	case PGP_PK_RSA_S:
		mpis = 2;
		break;
	case PGP_PK_ELGAMAL:
		mpis = 3;
		break;
	case PGP_PK_DSA:
		mpis = 4;
		break;
	case PGP_PK_ECDH:
		kdf = 1; /* and as the next */
		/* FALLTHROUGH */
	case PGP_PK_ECDSA:
	case PGP_PK_EDDSA:
		oid = mpis = 1;
		break;
	default:
		errno = ENOTSUP;
		return -1;
	}
	if (oid)
		(void)pgp_cur_oid(&c);
	while (mpis-- > 0)
		(void)pgp_cur_mpi(&c);
	if (kdf)
		(void)pgp_cur_take(&c, pgp_cur_u8(&c));
	if (c.bad) {
		errno = EBADMSG;
		return -1;
	}
	return (ssize_t)(n - c.n);
}

unsigned
pgp_params_bits(const struct pgp_params *p)
{
	if (p->curve != NULL)
		return p->curve->bits;
	if (p->n.n == 0)
		return 0;
	return (unsigned)p->n.n * 8 - ((unsigned)__builtin_clz(p->n.p[0]) - 24);
}

static EVP_PKEY *
rsa_pkey(const struct pgp_params *p)
{
	BIGNUM *n = BN_bin2bn(p->n.p, (int)p->n.n, NULL), *e = BN_bin2bn(p->e.p, (int)p->e.n, NULL);
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *k = NULL;

	if (n != NULL && e != NULL && bld != NULL && ctx != NULL &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) > 0 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) > 0 &&
	    (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) > 0 &&
	    EVP_PKEY_fromdata(ctx, &k, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		k = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	return k;
}

int
pgp_params_pkey(const struct pgp_params *p, EVP_PKEY **out)
{
	*out = NULL;
	if (p->curve != NULL && p->curve->kind == PGP_CURVE_BRAINPOOL) {
		if (pgp_brainpool_valid(p->curve, p->point.p))
			return 0;
	} else {
		*out = p->curve == NULL ? rsa_pkey(p) : pgp_curve_public(p->curve, p->point.p);
		if (*out != NULL)
			return 0;
	}
	ERR_clear_error();
	errno = EBADMSG;
	return -1;
}

int
pgp_ecdh_kek(const struct pgp_params *p, const uint8_t *fpr, size_t fprlen, const uint8_t *z,
    size_t zlen, uint8_t kek[PGP_CIPHER_KEY_MAX])
{
	static const uint8_t counter[4] = {0, 0, 0, 1};
	static const char sender[] = "Anonymous Sender    ";
	uint8_t param[32], digest[PGP_DIGEST_MAX];
	size_t n = 0;
	unsigned dn = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const EVP_MD *md = pgp_hash_md(p->kdf_hash);
	int r = -1;

	param[n++] = p->curve->oidlen;
	memcpy(param + n, p->curve->oid, p->curve->oidlen);
	n += p->curve->oidlen;
	param[n++] = PGP_PK_ECDH;
	param[n++] = 3;
	param[n++] = 1;
	param[n++] = p->kdf_hash;
	param[n++] = p->kdf_cipher;
	if (ctx != NULL && md != NULL && EVP_DigestInit_ex(ctx, md, NULL) > 0 &&
	    EVP_DigestUpdate(ctx, counter, sizeof counter) > 0 &&
	    EVP_DigestUpdate(ctx, z, zlen) > 0 && EVP_DigestUpdate(ctx, param, n) > 0 &&
	    EVP_DigestUpdate(ctx, sender, sizeof sender - 1) > 0 &&
	    EVP_DigestUpdate(ctx, fpr, fprlen) > 0 && EVP_DigestFinal_ex(ctx, digest, &dn) > 0 &&
	    dn >= pgp_cipher_keylen(p->kdf_cipher)) {
		memcpy(kek, digest, pgp_cipher_keylen(p->kdf_cipher));
		r = 0;
	} else {
		errno = EIO;
	}
	EVP_MD_CTX_free(ctx);
	explicit_bzero(digest, sizeof digest);
	return r;
}

EVP_PKEY *
pgp_curve_keygen(const struct pgp_curve *curve)
{
	uint8_t secret[32];
	EVP_PKEY *k = NULL;

	if (curve->kind == PGP_CURVE_NIST)
		return EVP_EC_gen(curve->group);
	/* any 32 octets make a key on these curves; a fifth faster than EVP_PKEY_keygen */
	if (RAND_priv_bytes(secret, curve->width) > 0)
		k = EVP_PKEY_new_raw_private_key(curve->evp, NULL, secret, curve->width);
	explicit_bzero(secret, sizeof secret);
	return k;
}

int
pgp_curve_point(const struct pgp_curve *curve, EVP_PKEY *k, uint8_t *point)
{
	size_t n = pgp_point_len(curve), got = n - 1;

	point[0] = pgp_point_prefix(curve);
	if (curve->kind != PGP_CURVE_NIST)
		return EVP_PKEY_get_raw_public_key(k, point + 1, &got) > 0 ? 0 : -1;
	if (EVP_PKEY_get_octet_string_param(k, OSSL_PKEY_PARAM_PUB_KEY, point, n, &got) > 0 &&
	    got == n && point[0] == pgp_point_prefix(curve))
		return 0;
	return -1;
}

EVP_PKEY *
pgp_curve_public(const struct pgp_curve *curve, const uint8_t *point)
{
	if (curve->kind == PGP_CURVE_NIST)
		return pgp_nist_key(curve, point, NULL, 0);
	return EVP_PKEY_new_raw_public_key(curve->evp, NULL, point + 1, curve->width);
}

EVP_PKEY_CTX *
pgp_ecdh_ctx(EVP_PKEY *own)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);

	if (ctx != NULL && EVP_PKEY_derive_init(ctx) <= 0) {
		EVP_PKEY_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

int
pgp_ecdh_derive(EVP_PKEY_CTX *ctx, EVP_PKEY *peer, size_t width, uint8_t *z)
{
	size_t n = width;

	if (EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) > 0 && EVP_PKEY_derive(ctx, z, &n) > 0 &&
	    n == width)
		return 0;
	ERR_clear_error();
	return -1;
}

static int
key_wrap(unsigned cipher, const uint8_t *kek, const uint8_t *in, size_t n, uint8_t *out,
    size_t want, int enc)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const EVP_CIPHER *c = pgp_cipher_wrap(cipher);
	int got = 0, r = -1;

	if (ctx != NULL && c != NULL) {
		EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
		if (EVP_CipherInit_ex2(ctx, c, kek, NULL, enc, NULL) > 0 &&
		    EVP_CipherUpdate(ctx, out, &got, in, (int)n) > 0 && (size_t)got == want)
			r = 0;
	}
	if (r < 0)
		ERR_clear_error();
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

int
pgp_aes_wrap(unsigned cipher, const uint8_t *kek, const uint8_t *in, size_t n, uint8_t *out)
{
	return key_wrap(cipher, kek, in, n, out, n + 8, 1);
}

int
pgp_aes_unwrap(unsigned cipher, const uint8_t *kek, const uint8_t *in, size_t n, uint8_t *out)
{
	return n < 24 ? -1 : key_wrap(cipher, kek, in, n, out, n - 8, 0);
}
