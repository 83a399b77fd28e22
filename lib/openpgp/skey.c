#include "openpgp/skey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "openpgp/brainpool.h"
#include "openpgp/nist.h"
#include "openpgp/params.h"
#include "openpgp/skeyint.h"

#define SKEY_FORMAT 1 /* of pgp_skey_encode */
#define RSA_GEN_BITS 3072

/* ---- EVP keys from parameters ---- */

struct rsa_nums {
	BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qinv;
};

static void
rsa_nums_free(struct rsa_nums *r)
{
	BN_clear_free(r->n);
	BN_clear_free(r->e);
	BN_clear_free(r->d);
	BN_clear_free(r->p);
	BN_clear_free(r->q);
	BN_clear_free(r->dp);
	BN_clear_free(r->dq);
	BN_clear_free(r->qinv);
}

static BIGNUM *
secret_bn(struct bytes v)
{
	BIGNUM *b = BN_secure_new();

	if (b != NULL && BN_bin2bn(v.p, (int)v.n, b) == NULL) {
		BN_clear_free(b);
		return NULL;
	}
	if (b != NULL)
		BN_set_flags(b, BN_FLG_CONSTTIME);
	return b;
}

/* d * e = 1 modulo m - 1, and its remainder in *rem */
static int
half_matches(const struct rsa_nums *r, const BIGNUM *m, BIGNUM **rem, BN_CTX *bc)
{
	BIGNUM *m1 = BN_dup(m), *x = BN_secure_new();
	int ok = 0;

	*rem = BN_secure_new();
	if (m1 != NULL && x != NULL && *rem != NULL && BN_sub_word(m1, 1)) {
		BN_set_flags(m1, BN_FLG_CONSTTIME);
		BN_set_flags(*rem, BN_FLG_CONSTTIME);
		ok =
		    BN_mod(*rem, r->d, m1, bc) && BN_mod_mul(x, *rem, r->e, m1, bc) && BN_is_one(x);
	}
	BN_clear_free(m1);
	BN_clear_free(x);
	return ok;
}

/*
 * Our own checks: the product, both halves of the exponent.  That p and q are prime is shown by
 * the trial signature afterwards.  The inverse in the key is not used but made anew: a wrong one
 * would give away a factor with the first signature.
 */
static int
rsa_check(struct rsa_nums *r)
{
	BN_CTX *bc = BN_CTX_secure_new();
	BIGNUM *x = BN_secure_new();
	int ok = 0;

	if (bc == NULL || x == NULL || !BN_mul(x, r->p, r->q, bc) || BN_cmp(x, r->n) != 0 ||
	    BN_num_bits(r->p) < 256 || BN_num_bits(r->q) < 256 || BN_cmp(r->d, r->n) >= 0 ||
	    !BN_is_odd(r->p) || !BN_is_odd(r->q))
		goto out;
	if (!half_matches(r, r->p, &r->dp, bc) || !half_matches(r, r->q, &r->dq, bc))
		goto out;
	r->qinv = BN_secure_new();
	ok = r->qinv != NULL && BN_mod_inverse(r->qinv, r->q, r->p, bc) != NULL;
out:
	BN_clear_free(x);
	BN_CTX_free(bc);
	return ok;
}

static EVP_PKEY *
rsa_from_nums(const struct rsa_nums *r)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *k = NULL;

	if (bld != NULL && ctx != NULL &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, r->n) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, r->e) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_D, r->d) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_FACTOR1, r->p) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_FACTOR2, r->q) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_EXPONENT1, r->dp) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_EXPONENT2, r->dq) &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, r->qinv) &&
	    (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) > 0 &&
	    EVP_PKEY_fromdata(ctx, &k, EVP_PKEY_KEYPAIR, params) <= 0)
		k = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	return k;
}

static int
load_rsa(struct pgp_skey *key, struct pgp_cur *c, struct err *e)
{
	const struct pgp_params *pub = &key->p;
	struct bytes d = pgp_cur_mpi(c), p = pgp_cur_mpi(c), q = pgp_cur_mpi(c);
	struct rsa_nums r = {0};

	(void)pgp_cur_mpi(c); /* the inverse */
	if (c->bad || c->n > 0)
		return err_set(e, EBADMSG, "RSA key: malformed secret parameters");
	r.n = BN_bin2bn(pub->n.p, (int)pub->n.n, NULL);
	r.e = BN_bin2bn(pub->e.p, (int)pub->e.n, NULL);
	r.d = secret_bn(d);
	/* in OpenPGP p < q, OpenSSL wants the greater first */
	r.p = secret_bn(q);
	r.q = secret_bn(p);
	if (r.n == NULL || r.e == NULL || r.d == NULL || r.p == NULL || r.q == NULL)
		err_set(e, ENOMEM, "RSA key: out of memory");
	else if (!rsa_check(&r))
		err_set(e, EKEYREJECTED, "RSA key: secret and public parameters do not match");
	else if ((key->pkey = rsa_from_nums(&r)) == NULL)
		err_set(e, EBADMSG, "RSA key: bad secret parameters");
	rsa_nums_free(&r);
	return key->pkey == NULL ? -1 : 0;
}

static void
reverse(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		uint8_t t = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = t;
	}
}

/* A raw key on Curve25519 or Ed25519. */
static EVP_PKEY *
load_raw(const struct pgp_params *pub, uint8_t *sec)
{
	const struct pgp_curve *curve = pub->curve;
	uint8_t derived[32];
	size_t n = sizeof derived;
	EVP_PKEY *k;

	/* the scalar of Curve25519 stands big-endian in the MPI, the seed of Ed25519 as it is */
	if (curve->kind == PGP_CURVE_X25519)
		reverse(sec, curve->width);
	k = EVP_PKEY_new_raw_private_key(curve->evp, NULL, sec, curve->width);
	if (k == NULL || EVP_PKEY_get_raw_public_key(k, derived, &n) <= 0)
		errno = EBADMSG;
	else if (n != curve->width || CRYPTO_memcmp(derived, pub->point.p + 1, n) != 0)
		errno = EKEYREJECTED;
	else
		return k;
	EVP_PKEY_free(k);
	return NULL;
}

static int
load_brainpool(const struct pgp_params *pub, const uint8_t *sec)
{
	uint8_t point[PGP_POINT_MAX];

	if (pgp_brainpool_public(pub->curve, sec, point) < 0)
		return -1;
	if (memcmp(point, pub->point.p, pgp_point_len(pub->curve)) == 0)
		return 0;
	errno = EKEYREJECTED;
	return -1;
}

static int
load_ec(struct pgp_skey *k, struct pgp_cur *c, struct err *e)
{
	struct bytes v = pgp_cur_mpi(c);
	const struct pgp_curve *curve = k->p.curve;
	uint8_t sec[PGP_COORD_MAX];
	int r;

	if (c->bad || c->n > 0 || pgp_mpi_pad(sec, curve->width, v) < 0)
		return err_set(
		    e, EBADMSG, "%s key: malformed secret parameters", pgp_pk_name(k->algo));
	if (curve->kind == PGP_CURVE_BRAINPOOL) {
		r = load_brainpool(&k->p, sec);
		if (r == 0)
			memcpy(k->scalar, sec, curve->width);
	} else {
		k->pkey = curve->kind == PGP_CURVE_NIST
			      ? pgp_nist_key(curve, k->p.point.p, sec, curve->width)
			      : load_raw(&k->p, sec);
		r = k->pkey != NULL ? 0 : -1;
	}
	explicit_bzero(sec, sizeof sec);
	if (r == 0)
		return 0;
	return err_set(e, errno,
	    errno == EKEYREJECTED ? "%s key: secret and public parameters do not match"
				  : "%s key: bad secret parameters",
	    pgp_pk_name(k->algo));
}

/* ---- the key object ---- */

/* The secret of the pseudo-random answers: bound to this key and to nothing else. */
static int
key_answers(struct pgp_skey *k)
{
	static const char label[] = "postern openpgp implicit rejection v1";
	uint8_t key[32];
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_END};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	unsigned n = sizeof key;
	int r = -1;

	if (mac != NULL && (k->answer = EVP_MAC_CTX_new(mac)) != NULL &&
	    HMAC(pgp_hash_md(PGP_HASH_SHA256), k->secret.p, (int)k->secret.n,
		(const uint8_t *)label, sizeof label, key, &n) != NULL &&
	    EVP_MAC_init(k->answer, key, sizeof key, params) > 0)
		r = 0;
	explicit_bzero(key, sizeof key);
	EVP_MAC_free(mac);
	return r;
}

/* A trial signature and its check: shows composite factors and hardware faults. */
static int
trial(struct pgp_skey *k)
{
	uint8_t m[PGP_RSA_MAX / 8], c[PGP_RSA_MAX / 8], back[PGP_RSA_MAX / 8];
	size_t width = k->width, cn = width, bn = width;
	EVP_PKEY_CTX *enc = EVP_PKEY_CTX_new(k->pkey, NULL), *dec = EVP_PKEY_CTX_new(k->pkey, NULL);
	int ok;

	memset(m, 0x5a, width);
	m[0] = 0;
	ok = enc != NULL && dec != NULL && EVP_PKEY_encrypt_init(enc) > 0 &&
	     EVP_PKEY_CTX_set_rsa_padding(enc, RSA_NO_PADDING) > 0 &&
	     EVP_PKEY_encrypt(enc, c, &cn, m, width) > 0 && EVP_PKEY_decrypt_init(dec) > 0 &&
	     EVP_PKEY_CTX_set_rsa_padding(dec, RSA_NO_PADDING) > 0 &&
	     EVP_PKEY_decrypt(dec, back, &bn, c, cn) > 0 && bn == width &&
	     memcmp(m, back, width) == 0;
	EVP_PKEY_CTX_free(enc);
	EVP_PKEY_CTX_free(dec);
	ERR_clear_error();
	return ok;
}

struct pgp_skey *
pgp_skey_load(
    unsigned algo, uint64_t created, struct bytes params, struct bytes secret, struct err *e)
{
	struct pgp_skey *k;
	struct pgp_cur c;
	uint8_t *mem;
	int r;

	if (params.n == 0 || params.n > CERT_PARAMS_MAX || secret.n == 0 ||
	    secret.n > PGP_SECRET_MAX || created > UINT32_MAX) {
		err_set(e, EBADMSG, "key: parameters out of bounds");
		return NULL;
	}
	if ((k = calloc(1, sizeof *k + params.n + secret.n)) == NULL) {
		err_sys(e, "key");
		return NULL;
	}
	mem = k->mem;
	k->size = params.n + secret.n;
	memcpy(mem, params.p, params.n);
	memcpy(mem + params.n, secret.p, secret.n);
	k->params = (struct bytes){mem, params.n};
	k->secret = (struct bytes){mem + params.n, secret.n};
	k->algo = (uint8_t)algo;
	k->created = created;
	if (pgp_params_parse(&k->p, algo, mem, params.n, 1, e) < 0)
		goto fail;
	k->bits = pgp_params_bits(&k->p);
	k->width = k->p.curve != NULL ? k->p.curve->width : (k->bits + 7) / 8;
	c = pgp_cur(k->secret.p, k->secret.n);
	r = k->p.curve != NULL ? load_ec(k, &c, e) : load_rsa(k, &c, e);
	ERR_clear_error();
	if (r < 0)
		goto fail;
	if (k->p.curve == NULL && !trial(k)) {
		err_set(e, EKEYREJECTED, "RSA key: secret and public parameters do not match");
		goto fail;
	}
	if (algo == PGP_PK_ECDH && k->pkey != NULL && (k->derive = pgp_ecdh_ctx(k->pkey)) == NULL) {
		err_set(e, EIO, "ECDH key: not usable");
		goto fail;
	}
	if (algo == PGP_PK_EDDSA &&
	    ((k->sign = EVP_MD_CTX_new()) == NULL ||
		EVP_DigestSignInit(k->sign, NULL, NULL, NULL, k->pkey) <= 0)) {
		err_set(e, EIO, "EdDSA key: not usable");
		goto fail;
	}
	if (key_answers(k) < 0 || pgp_fingerprint4(k->fpr, created, algo, mem, params.n) < 0) {
		err_set(e, EIO, "key: digest failed");
		goto fail;
	}
	return k;
fail:
	pgp_skey_free(k);
	return NULL;
}

void
pgp_skey_free(struct pgp_skey *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_CTX_free(k->derive);
	EVP_MD_CTX_free(k->sign);
	EVP_MAC_CTX_free(k->answer);
	EVP_PKEY_free(k->pkey); /* clears its numbers itself */
	explicit_bzero(k, sizeof *k + k->size);
	free(k);
}

/* ---- generation ---- */

static int
put_pkey_bn(struct buf *b, EVP_PKEY *pk, const char *name, BIGNUM **out)
{
	uint8_t v[PGP_RSA_MAX / 8];
	int n, r = -1;

	if (EVP_PKEY_get_bn_param(pk, name, out) <= 0 || (n = BN_num_bytes(*out)) > (int)sizeof v)
		return -1;
	if (BN_bn2binpad(*out, v, n) == n)
		r = pgp_mpi_put(b, v, (size_t)n);
	explicit_bzero(v, sizeof v);
	return r;
}

static int
generate_rsa(struct buf *params, struct buf *secret)
{
	EVP_PKEY *pk = EVP_RSA_gen(RSA_GEN_BITS);
	BIGNUM *n = NULL, *e = NULL, *d = NULL, *p = NULL, *q = NULL, *u = NULL;
	BN_CTX *bc = BN_CTX_secure_new();
	int r = -1;

	if (pk == NULL || bc == NULL || put_pkey_bn(params, pk, OSSL_PKEY_PARAM_RSA_N, &n) < 0 ||
	    put_pkey_bn(params, pk, OSSL_PKEY_PARAM_RSA_E, &e) < 0 ||
	    put_pkey_bn(secret, pk, OSSL_PKEY_PARAM_RSA_D, &d) < 0 ||
	    EVP_PKEY_get_bn_param(pk, OSSL_PKEY_PARAM_RSA_FACTOR1, &p) <= 0 ||
	    EVP_PKEY_get_bn_param(pk, OSSL_PKEY_PARAM_RSA_FACTOR2, &q) <= 0)
		goto out;
	/* p < q and u = 1/p mod q (RFC 9580, 5.5.5.1) */
	if (BN_cmp(p, q) > 0)
		BN_swap(p, q);
	BN_set_flags(p, BN_FLG_CONSTTIME);
	BN_set_flags(q, BN_FLG_CONSTTIME);
	if ((u = BN_mod_inverse(NULL, p, q, bc)) != NULL && pgp_mpi_put_bn(secret, p) == 0 &&
	    pgp_mpi_put_bn(secret, q) == 0 && pgp_mpi_put_bn(secret, u) == 0)
		r = 0;
out:
	BN_free(n);
	BN_free(e);
	BN_clear_free(d);
	BN_clear_free(p);
	BN_clear_free(q);
	BN_clear_free(u);
	BN_CTX_free(bc);
	EVP_PKEY_free(pk);
	return r;
}

static int
make_scalar(const struct pgp_curve *curve, uint8_t *sec, uint8_t *point)
{
	size_t n = curve->width;
	EVP_PKEY *pk;
	int r = -1;

	if (curve->kind == PGP_CURVE_BRAINPOOL)
		return pgp_brainpool_generate(curve, sec, point);
	if ((pk = pgp_curve_keygen(curve)) != NULL && pgp_curve_point(curve, pk, point) == 0) {
		if (curve->kind == PGP_CURVE_NIST)
			r = pgp_nist_scalar(curve, pk, sec);
		else if (EVP_PKEY_get_raw_private_key(pk, sec, &n) > 0)
			r = 0;
	}
	EVP_PKEY_free(pk);
	if (r == 0 && curve->kind == PGP_CURVE_X25519) {
		/* readers that do not clamp want it clamped (RFC 7748, 5) */
		sec[0] &= 248;
		sec[31] = (uint8_t)((sec[31] & 127) | 64);
		reverse(sec, n);
	}
	return r;
}

static int
generate_ec(const struct pgp_curve *curve, int decrypts, struct buf *params, struct buf *secret)
{
	const uint8_t kdf[4] = {3, 1, curve->kdf_hash, curve->kdf_cipher};
	uint8_t sec[PGP_COORD_MAX], point[PGP_POINT_MAX];
	int r = -1;

	if (make_scalar(curve, sec, point) == 0 && buf_putc(params, curve->oidlen) == 0 &&
	    buf_put(params, curve->oid, curve->oidlen) == 0 &&
	    pgp_mpi_put(params, point, pgp_point_len(curve)) == 0 &&
	    (!decrypts || buf_put(params, kdf, sizeof kdf) == 0) &&
	    pgp_mpi_put(secret, sec, curve->width) == 0)
		r = 0;
	explicit_bzero(sec, sizeof sec);
	return r;
}

struct pgp_skey *
pgp_skey_generate(enum pgp_keytype type, int decrypts, uint64_t created, struct err *e)
{
	static const char *const names[] = {
	    [PGP_GEN_ED25519] = "ed25519",
	    [PGP_GEN_CV25519] = "cv25519",
	    [PGP_GEN_P256] = "nistp256",
	    [PGP_GEN_P384] = "nistp384",
	    [PGP_GEN_P521] = "nistp521",
	    [PGP_GEN_BP256] = "brainpoolP256r1",
	    [PGP_GEN_BP384] = "brainpoolP384r1",
	    [PGP_GEN_BP512] = "brainpoolP512r1",
	};
	struct buf params, secret;
	struct pgp_skey *k = NULL;
	unsigned algo = PGP_PK_RSA;
	int r;

	if (type == PGP_GEN_ED25519)
		algo = PGP_PK_EDDSA;
	else if (type == PGP_GEN_CV25519)
		algo = PGP_PK_ECDH;
	else if (type != PGP_GEN_RSA)
		algo = decrypts ? PGP_PK_ECDH : PGP_PK_ECDSA;
	buf_init(&params, CERT_PARAMS_MAX);
	buf_init(&secret, PGP_SECRET_MAX);
	if (type == PGP_GEN_RSA)
		r = generate_rsa(&params, &secret);
	else
		r = generate_ec(
		    pgp_curve_named(names[type]), algo == PGP_PK_ECDH, &params, &secret);
	if (r < 0) {
		ERR_clear_error();
		err_set(e, EIO, "%s key: generation failed", pgp_pk_name(algo));
	} else {
		k = pgp_skey_load(algo, created, (struct bytes){buf_ptr(&params), buf_len(&params)},
		    (struct bytes){buf_ptr(&secret), buf_len(&secret)}, e);
	}
	buf_free(&params);
	buf_wipe_free(&secret);
	return k;
}

/* ---- storage ---- */

int
pgp_skey_encode(const struct pgp_skey *k, struct buf *out)
{
	uint8_t *p = buf_reserve(out, 14 + k->size);

	if (p == NULL)
		return -1;
	p[0] = SKEY_FORMAT;
	p[1] = k->algo;
	put_be64(p + 2, k->created);
	put_be16(p + 10, (uint16_t)k->params.n);
	put_be16(p + 12, (uint16_t)k->secret.n);
	memcpy(p + 14, k->mem, k->size);
	buf_added(out, 14 + k->size);
	return 0;
}

struct pgp_skey *
pgp_skey_decode(const uint8_t *p, size_t n, struct err *e)
{
	size_t pn, sn;

	if (n < 14 || p[0] != SKEY_FORMAT ||
	    (pn = get_be16(p + 10)) + (sn = get_be16(p + 12)) != n - 14) {
		err_set(e, EBADMSG, "stored key: bad format");
		return NULL;
	}
	return pgp_skey_load(
	    p[1], get_be64(p + 2), (struct bytes){p + 14, pn}, (struct bytes){p + 14 + pn, sn}, e);
}

void
pgp_skey_public(const struct pgp_skey *k, struct cert_key *out)
{
	*out = (struct cert_key){.version = 4,
	    .algo = k->algo,
	    .created = k->created,
	    .fpr = {k->fpr, sizeof k->fpr},
	    .params = k->params};
}

struct bytes
pgp_skey_secret(const struct pgp_skey *k)
{
	return k->secret;
}

struct evp_pkey_st *
pgp_skey_evp(struct pgp_skey *k)
{
	return k->pkey;
}
