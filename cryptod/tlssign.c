#include "cryptod/tlssign.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

/* SignatureScheme (RFC 8446, 4.2.3). */
static const struct scheme {
	unsigned number;
	int type; /* EVP_PKEY_* */
	const char *group; /* of EVP_PKEY_EC */
	int padding; /* of EVP_PKEY_RSA */
	const EVP_MD *(*hash)(void); /* NULL: takes the message */
} schemes[] = {
    {0x0401, EVP_PKEY_RSA, NULL, RSA_PKCS1_PADDING, EVP_sha256},
    {0x0501, EVP_PKEY_RSA, NULL, RSA_PKCS1_PADDING, EVP_sha384},
    {0x0601, EVP_PKEY_RSA, NULL, RSA_PKCS1_PADDING, EVP_sha512},
    {0x0804, EVP_PKEY_RSA, NULL, RSA_PKCS1_PSS_PADDING, EVP_sha256},
    {0x0805, EVP_PKEY_RSA, NULL, RSA_PKCS1_PSS_PADDING, EVP_sha384},
    {0x0806, EVP_PKEY_RSA, NULL, RSA_PKCS1_PSS_PADDING, EVP_sha512},
    {0x0403, EVP_PKEY_EC, "prime256v1", 0, EVP_sha256},
    {0x0503, EVP_PKEY_EC, "secp384r1", 0, EVP_sha384},
    {0x0603, EVP_PKEY_EC, "secp521r1", 0, EVP_sha512},
    {0x0807, EVP_PKEY_ED25519, NULL, 0, NULL},
};

#define NSCHEMES (sizeof schemes / sizeof schemes[0])

static int
fits(const struct scheme *s, EVP_PKEY *k)
{
	char group[32];
	size_t n;

	if (EVP_PKEY_get_base_id(k) != s->type)
		return 0;
	if (s->type == EVP_PKEY_RSA)
		return EVP_PKEY_get_bits(k) >= TLS_RSA_BITS_MIN;
	if (s->type != EVP_PKEY_EC)
		return 1;
	return EVP_PKEY_get_group_name(k, group, sizeof group, &n) == 1 &&
	       strcmp(group, s->group) == 0;
}

int
tls_key_fits(struct pgp_skey *k)
{
	EVP_PKEY *pkey = pgp_skey_evp(k);

	for (size_t i = 0; pkey != NULL && i < NSCHEMES; i++)
		if (fits(&schemes[i], pkey))
			return 1;
	return 0;
}

static int
sign_digest(const struct scheme *s, EVP_PKEY *k, const uint8_t *data, size_t n, uint8_t *out)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k, NULL);
	size_t len = TLS_VALUE_MAX;
	int rc = -1;

	if (c == NULL || EVP_PKEY_sign_init(c) <= 0)
		goto out;
	if (s->type == EVP_PKEY_RSA && EVP_PKEY_CTX_set_rsa_padding(c, s->padding) <= 0)
		goto out;
	if (EVP_PKEY_CTX_set_signature_md(c, s->hash()) <= 0)
		goto out;
	/* The function of the mask is that of the hash unless another is set. */
	if (s->padding == RSA_PKCS1_PSS_PADDING &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) <= 0)
		goto out;
	if (EVP_PKEY_sign(c, out, &len, data, n) > 0)
		rc = (int)len;
out:
	EVP_PKEY_CTX_free(c);
	return rc;
}

static int
sign_message(EVP_PKEY *k, const uint8_t *data, size_t n, uint8_t *out)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t len = TLS_VALUE_MAX;
	int rc = -1;

	if (c != NULL && EVP_DigestSignInit(c, NULL, NULL, NULL, k) > 0 &&
	    EVP_DigestSign(c, out, &len, data, n) > 0)
		rc = (int)len;
	EVP_MD_CTX_free(c);
	return rc;
}

int
tls_sign(
    struct pgp_skey *k, unsigned scheme, const uint8_t *data, size_t n, uint8_t out[TLS_VALUE_MAX])
{
	EVP_PKEY *pkey = pgp_skey_evp(k);
	const struct scheme *s = schemes;
	int rc;

	while (s < schemes + NSCHEMES && s->number != scheme)
		s++;
	if (s == schemes + NSCHEMES || pkey == NULL || !fits(s, pkey) ||
	    (s->hash != NULL && n != (size_t)EVP_MD_get_size(s->hash()))) {
		ERR_clear_error();
		errno = EINVAL;
		return -1;
	}
	rc =
	    s->hash != NULL ? sign_digest(s, pkey, data, n, out) : sign_message(pkey, data, n, out);
	ERR_clear_error();
	if (rc == -1)
		errno = EIO;
	return rc;
}
