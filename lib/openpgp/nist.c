#include "openpgp/nist.h"

#include <errno.h>
#include <string.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#define DER_MAX (2 * (PGP_COORD_MAX + 3) + 4) /* octets of a signature in DER */

static EVP_PKEY *
from_params(const struct pgp_curve *curve, const uint8_t *point, const BIGNUM *d)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *k = NULL;

	/* a point is taken only if both coordinates are below p and it is on the curve */
	if (bld != NULL && ctx != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) > 0 &&
	    OSSL_PARAM_BLD_push_octet_string(
		bld, OSSL_PKEY_PARAM_PUB_KEY, point, pgp_point_len(curve)) > 0 &&
	    (d == NULL || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d) > 0) &&
	    (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) > 0 &&
	    EVP_PKEY_fromdata(
		ctx, &k, d == NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEYPAIR, params) <= 0)
		k = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	return k;
}

EVP_PKEY *
pgp_nist_key(const struct pgp_curve *curve, const uint8_t *point, const uint8_t *d, size_t dn)
{
	EVP_PKEY_CTX *check = NULL;
	EVP_PKEY *k = NULL;
	BIGNUM *x = NULL;
	int ok = 0;

	if (d != NULL) {
		if ((x = BN_secure_new()) == NULL || BN_bin2bn(d, (int)dn, x) == NULL) {
			BN_clear_free(x);
			errno = ENOMEM;
			return NULL;
		}
		BN_set_flags(x, BN_FLG_CONSTTIME);
	}
	errno = EBADMSG;
	if ((k = from_params(curve, point, x)) == NULL || d == NULL)
		goto out;
	if ((check = EVP_PKEY_CTX_new(k, NULL)) == NULL)
		errno = ENOMEM;
	else if (EVP_PKEY_private_check(check) > 0) {
		errno = EKEYREJECTED;
		ok = EVP_PKEY_pairwise_check(check) > 0;
	}
	if (!ok) {
		EVP_PKEY_free(k);
		k = NULL;
	}
out:
	EVP_PKEY_CTX_free(check);
	BN_clear_free(x);
	return k;
}

int
pgp_nist_scalar(const struct pgp_curve *curve, EVP_PKEY *k, uint8_t *d)
{
	BIGNUM *x = NULL;
	int r = -1;

	if (EVP_PKEY_get_bn_param(k, OSSL_PKEY_PARAM_PRIV_KEY, &x) > 0 &&
	    BN_bn2binpad(x, d, curve->width) == curve->width)
		r = 0;
	BN_clear_free(x);
	return r;
}

static size_t
put_half(uint8_t *out, const BIGNUM *x, size_t width)
{
	uint8_t v[PGP_COORD_MAX];

	if (BN_bn2binpad(x, v, (int)width) != (int)width)
		return 0;
	return pgp_mpi_write(out, v, width);
}

int
pgp_nist_sign(const struct pgp_curve *curve, EVP_PKEY *k, const uint8_t *digest, size_t n,
    struct pgp_sigval *out)
{
	uint8_t der[DER_MAX];
	const uint8_t *p = der;
	size_t dn = sizeof der, rn, sn = 0;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k, NULL);
	ECDSA_SIG *sig = NULL;

	if (ctx != NULL && EVP_PKEY_sign_init(ctx) > 0 &&
	    EVP_PKEY_sign(ctx, der, &dn, digest, n) > 0)
		sig = d2i_ECDSA_SIG(NULL, &p, (long)dn);
	if (sig != NULL && (rn = put_half(out->data, ECDSA_SIG_get0_r(sig), curve->width)) > 0) {
		sn = put_half(out->data + rn, ECDSA_SIG_get0_s(sig), curve->width);
		out->n = rn + sn;
	}
	ECDSA_SIG_free(sig);
	EVP_PKEY_CTX_free(ctx);
	return sn > 0 ? 0 : -1;
}

int
pgp_nist_verify(EVP_PKEY *k, const uint8_t *digest, size_t n, struct bytes r, struct bytes s)
{
	uint8_t der[DER_MAX], *p = der;
	EVP_PKEY_CTX *ctx = NULL;
	ECDSA_SIG *sig = NULL;
	BIGNUM *rb = NULL, *sb = NULL;
	int dn, rc = -1;

	if (r.n == 0 || s.n == 0 || r.n > PGP_COORD_MAX || s.n > PGP_COORD_MAX)
		return -1;
	rb = BN_bin2bn(r.p, (int)r.n, NULL);
	sb = BN_bin2bn(s.p, (int)s.n, NULL);
	if (rb == NULL || sb == NULL || (sig = ECDSA_SIG_new()) == NULL ||
	    ECDSA_SIG_set0(sig, rb, sb) <= 0)
		goto out;
	rb = sb = NULL; /* sig's */
	if ((dn = i2d_ECDSA_SIG(sig, &p)) > 0 && (ctx = EVP_PKEY_CTX_new(k, NULL)) != NULL &&
	    EVP_PKEY_verify_init(ctx) > 0 && EVP_PKEY_verify(ctx, der, (size_t)dn, digest, n) == 1)
		rc = 0;
out:
	BN_free(rb);
	BN_free(sb);
	ECDSA_SIG_free(sig);
	EVP_PKEY_CTX_free(ctx);
	return rc;
}
