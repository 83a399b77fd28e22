#include <errno.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>

#include "base/buf.h"
#include "keyprov/internal.h"

/* Names of keys: those that the same parameters would have as an OpenPGP v4 key. */

enum { ALGO_RSA = 1, ALGO_ECDSA = 19, ALGO_EDDSA = 22 }; /* RFC 9580, 9.1 */

#define PARAMS_MAX (2 * (2 + 2048)) /* octets: two MPIs of 16,384 bit */
#define POINT_MAX (1 + 2 * 66) /* octets of a point on P-521 */

static const struct curve {
	const char *name;
	int field; /* octets of a coordinate */
	uint8_t oid[10]; /* its length before it (RFC 9580, 9.2) */
} curves[] = {
    {"prime256v1", 32, {8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}},
    {"secp384r1", 48, {5, 0x2b, 0x81, 4, 0, 0x22}},
    {"secp521r1", 66, {5, 0x2b, 0x81, 4, 0, 0x23}},
};
static const uint8_t oid_ed25519[10] = {9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1};

/* RFC 9580, 3.2: bits, then octets without leading zeros. */
static int
put_mpi(struct buf *b, const uint8_t *p, size_t n)
{
	uint8_t bits[2];
	unsigned top = 8;

	while (n > 0 && *p == 0) {
		p++;
		n--;
	}
	if (n == 0 || n > UINT16_MAX / 8)
		return -1;
	while ((*p >> (top - 1)) == 0)
		top--;
	put_be16(bits, (uint16_t)((n - 1) * 8 + top));
	return buf_put(b, bits, sizeof bits) == -1 || buf_put(b, p, n) == -1 ? -1 : 0;
}

static int
put_number(struct buf *b, const EVP_PKEY *key, const char *name)
{
	uint8_t octets[2048];
	BIGNUM *v = NULL;
	int n, rc = -1;

	if (EVP_PKEY_get_bn_param(key, name, &v) != 1)
		return -1;
	n = BN_num_bytes(v);
	if (n <= (int)sizeof octets && BN_bn2bin(v, octets) == n)
		rc = put_mpi(b, octets, (size_t)n);
	BN_free(v);
	return rc;
}

/* The point, uncompressed whichever way the certificate has it. */
static int
put_point(struct buf *b, const EVP_PKEY *key, int field)
{
	uint8_t point[POINT_MAX] = {4};
	BIGNUM *x = NULL, *y = NULL;
	int rc = -1;

	if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
	    EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
	    BN_bn2binpad(x, point + 1, field) == field &&
	    BN_bn2binpad(y, point + 1 + field, field) == field)
		rc = put_mpi(b, point, 1 + 2 * (size_t)field);
	BN_free(x);
	BN_free(y);
	return rc;
}

static int
put_ec(struct buf *b, const EVP_PKEY *key)
{
	char group[64];
	size_t i;

	if (EVP_PKEY_get_utf8_string_param(
		key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) != 1)
		return -1;
	for (i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (strcmp(group, curves[i].name) == 0)
			return buf_put(b, curves[i].oid, (size_t)curves[i].oid[0] + 1) == -1
				   ? -1
				   : put_point(b, key, curves[i].field);
	return -1;
}

static int
put_ed25519(struct buf *b, const EVP_PKEY *key)
{
	uint8_t point[33] = {0x40}; /* RFC 9580, 11.2.2: "prefixed native" */
	size_t n = 0;

	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point + 1, 32, &n) != 1 ||
	    n != 32 || buf_put(b, oid_ed25519, sizeof oid_ed25519) == -1)
		return -1;
	return put_mpi(b, point, sizeof point);
}

/* The algorithm whose parameters were put, or -1. */
static int
put_params(struct buf *b, const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "RSA"))
		return put_number(b, key, OSSL_PKEY_PARAM_RSA_N) == 0 &&
			       put_number(b, key, OSSL_PKEY_PARAM_RSA_E) == 0
			   ? ALGO_RSA
			   : -1;
	if (EVP_PKEY_is_a(key, "EC"))
		return put_ec(b, key) == 0 ? ALGO_ECDSA : -1;
	if (EVP_PKEY_is_a(key, "ED25519"))
		return put_ed25519(b, key) == 0 ? ALGO_EDDSA : -1;
	return -1;
}

int
keyprov_handle(const EVP_PKEY *public_key, uint8_t handle[KEYPROV_HANDLE], struct err *e)
{
	uint8_t head[9] = {0x99, 0, 0, 4}; /* then the time, zero (RFC 9580, 5.5.4.2) */
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct buf b;
	int algo, rc = -1;

	buf_init(&b, PARAMS_MAX);
	if ((algo = put_params(&b, public_key)) == -1) {
		(void)err_set(e, ENOTSUP,
		    "a public key of a kind that cannot be used: RSA, ECDSA on P-256, P-384 or "
		    "P-521, and Ed25519 can");
		goto out;
	}
	put_be16(head + 1, (uint16_t)(6 + buf_len(&b)));
	head[8] = (uint8_t)algo;
	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha1(), NULL) != 1 ||
	    EVP_DigestUpdate(md, head, sizeof head) != 1 ||
	    EVP_DigestUpdate(md, buf_ptr(&b), buf_len(&b)) != 1 ||
	    EVP_DigestFinal_ex(md, handle, NULL) != 1) {
		(void)err_set(e, ENOMEM, "the name of a key cannot be computed");
		goto out;
	}
	rc = 0;
out:
	EVP_MD_CTX_free(md);
	buf_free(&b);
	ERR_clear_error();
	return rc;
}
