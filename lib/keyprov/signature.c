/*
 * The provider's signatures.  What is signed is hashed here.  The parameters (padding, salt, the
 * algorithm's identifier) are the business of a shadow: a context of the default provider that
 * would verify with the public half, is told all that we are told and is asked what came of it.
 * Where there is nothing to tell or to ask, as with ECDSA in TLS, there is none.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <openssl/rsa.h>

#include "keyprov/internal.h"

struct sig {
	struct keyprov_key *key;
	EVP_MD *hash; /* NULL with Ed25519 */
	EVP_MD_CTX *md; /* of what is signed; NULL when a digest is given */
	EVP_MD_CTX *shadow_md; /* then it owns shadow */
	EVP_PKEY_CTX *shadow; /* NULL: none was needed so far */
};

static void *
new_ctx(void *provider, const char *query)
{
	(void)provider;
	(void)query;
	return calloc(1, sizeof(struct sig));
}

static void
reset(struct sig *s)
{
	keyprov_key_free(s->key);
	EVP_MD_free(s->hash);
	EVP_MD_CTX_free(s->md);
	if (s->shadow_md != NULL)
		EVP_MD_CTX_free(s->shadow_md);
	else
		EVP_PKEY_CTX_free(s->shadow);
	memset(s, 0, sizeof *s);
}

static void
free_ctx(void *ctx)
{
	if (ctx == NULL)
		return;
	reset(ctx);
	free(ctx);
}

static EVP_MD_CTX *
dup_md(const EVP_MD_CTX *from)
{
	EVP_MD_CTX *to = EVP_MD_CTX_new();

	if (to != NULL && EVP_MD_CTX_copy_ex(to, from) == 1)
		return to;
	EVP_MD_CTX_free(to);
	return NULL;
}

/* Whoever finishes a signature and wants to go on hashing afterwards works on a copy. */
static void *
dup_ctx(void *ctx)
{
	const struct sig *from = ctx;
	struct sig *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	if (from->key != NULL)
		s->key = keyprov_key_ref(from->key);
	if (from->hash != NULL && EVP_MD_up_ref(from->hash) == 1)
		s->hash = from->hash;
	if (from->md != NULL && (s->md = dup_md(from->md)) == NULL)
		goto fail;
	if (from->shadow_md != NULL) {
		if ((s->shadow_md = dup_md(from->shadow_md)) == NULL)
			goto fail;
		s->shadow = EVP_MD_CTX_get_pkey_ctx(s->shadow_md);
	} else if (from->shadow != NULL && (s->shadow = EVP_PKEY_CTX_dup(from->shadow)) == NULL) {
		goto fail;
	}
	return s;
fail:
	free_ctx(s);
	return NULL;
}

/* --- parameters --- */

static int
set_hash(struct sig *s, const OSSL_PARAM *p)
{
	char name[50], *to = name;
	EVP_MD *hash;

	if (!OSSL_PARAM_get_utf8_string(p, &to, sizeof name))
		return 0;
	if (s->md != NULL) /* it has begun */
		return s->hash != NULL && EVP_MD_is_a(s->hash, name);
	if ((hash = EVP_MD_fetch(NULL, name, NULL)) == NULL)
		return 0;
	EVP_MD_free(s->hash);
	s->hash = hash;
	return 1;
}

/* Of one that began with a digest or a message: sign_init makes its own. */
static int
need_shadow(struct sig *s)
{
	if (s->shadow != NULL)
		return 1;
	if (s->key == NULL || (s->shadow_md = EVP_MD_CTX_new()) == NULL)
		return 0;
	if (EVP_DigestVerifyInit_ex(s->shadow_md, &s->shadow,
		s->hash != NULL ? EVP_MD_get0_name(s->hash) : NULL, NULL, NULL, s->key->public_half,
		NULL) > 0)
		return 1;
	EVP_MD_CTX_free(s->shadow_md);
	s->shadow_md = NULL;
	s->shadow = NULL;
	return 0;
}

static int
set_params(void *ctx, const OSSL_PARAM params[])
{
	struct sig *s = ctx;
	const OSSL_PARAM *p;

	if (params == NULL || params[0].key == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
	if (p != NULL && !set_hash(s, p))
		return 0;
	return need_shadow(s) && EVP_PKEY_CTX_set_params(s->shadow, params) > 0;
}

static int
get_params(void *ctx, OSSL_PARAM params[])
{
	struct sig *s = ctx;

	return need_shadow(s) && EVP_PKEY_CTX_get_params(s->shadow, params) > 0;
}

static const OSSL_PARAM *
settable(void *ctx, void *provider)
{
	static const OSSL_PARAM t[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PROPERTIES, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0), OSSL_PARAM_END};

	(void)ctx;
	(void)provider;
	return t;
}

static const OSSL_PARAM *
gettable(void *ctx, void *provider)
{
	static const OSSL_PARAM t[] = {
	    OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0), OSSL_PARAM_END};

	(void)ctx;
	(void)provider;
	return t;
}

/* --- which scheme the parameters come to --- */

struct scheme {
	const char *hash;
	int octets; /* of the hash */
	uint16_t pkcs1, pss; /* RFC 8446, 4.2.3 */
	int bits; /* of the curve */
	uint16_t ecdsa;
};

static const struct scheme schemes[] = {
    {"SHA2-256", 32, 0x0401, 0x0804, 256, 0x0403},
    {"SHA2-384", 48, 0x0501, 0x0805, 384, 0x0503},
    {"SHA2-512", 64, 0x0601, 0x0806, 521, 0x0603},
};
#define SCHEME_ED25519 0x0807

static uint16_t
rsa_scheme(const struct sig *s, const struct scheme *t)
{
	char mgf1[50];
	int pad, salt;

	if (s->shadow == NULL) /* nobody has asked for anything else */
		return t->pkcs1;
	if (EVP_PKEY_CTX_get_rsa_padding(s->shadow, &pad) <= 0)
		return 0;
	if (pad == RSA_PKCS1_PADDING)
		return t->pkcs1;
	if (pad != RSA_PKCS1_PSS_PADDING ||
	    EVP_PKEY_CTX_get_rsa_pss_saltlen(s->shadow, &salt) <= 0 ||
	    EVP_PKEY_CTX_get_rsa_mgf1_md_name(s->shadow, mgf1, sizeof mgf1) <= 0)
		return 0;
	if ((salt != RSA_PSS_SALTLEN_DIGEST && salt != t->octets) || !EVP_MD_is_a(s->hash, mgf1))
		return 0;
	return t->pss;
}

/* 0: none that could be asked for. */
static uint16_t
scheme_of(const struct sig *s)
{
	size_t i;

	if (strcmp(s->key->type, "ED25519") == 0)
		return SCHEME_ED25519;
	for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		if (s->hash == NULL || !EVP_MD_is_a(s->hash, schemes[i].hash))
			continue;
		if (strcmp(s->key->type, "RSA") == 0)
			return rsa_scheme(s, &schemes[i]);
		return EVP_PKEY_get_bits(s->key->public_half) == schemes[i].bits ? schemes[i].ecdsa
										 : 0;
	}
	return 0;
}

/* --- the operation --- */

/* What the holder of the key sent is at least what such a signature looks like. */
static int
looks_right(const struct sig *s, const uint8_t *value, size_t n)
{
	const unsigned char *p = value;
	ECDSA_SIG *parsed;
	int ok;

	if (strcmp(s->key->type, "EC") != 0)
		return n == (size_t)EVP_PKEY_get_size(s->key->public_half);
	parsed = d2i_ECDSA_SIG(NULL, &p, (long)n);
	ok = parsed != NULL && p == value + n;
	ECDSA_SIG_free(parsed);
	return ok;
}

/* sig NULL: only how long it may become; nobody is asked for that. */
static int
sign_value(const struct sig *s, unsigned char *sig, size_t *len, size_t size, const uint8_t *data,
    size_t n)
{
	size_t need = (size_t)EVP_PKEY_get_size(s->key->public_half);
	uint16_t scheme;

	if (sig == NULL) {
		*len = need;
		return 1;
	}
	if (size < need) {
		ERR_raise(ERR_LIB_PROV, PROV_R_OUTPUT_BUFFER_TOO_SMALL);
		return 0;
	}
	if (!s->key->private_half || (scheme = scheme_of(s)) == 0) {
		ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_DIGEST);
		return 0;
	}
	if (s->hash != NULL && n != (size_t)EVP_MD_get_size(s->hash)) {
		ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_DIGEST_LENGTH);
		return 0;
	}
	if (!keyprov_sign(s->key, scheme, data, n, sig, len, need))
		return 0;
	if (!looks_right(s, sig, *len)) {
		ERR_raise(ERR_LIB_PROV, PROV_R_FAILED_TO_SIGN);
		return 0;
	}
	return 1;
}

/* Begin anew with this key, or with the one that is there. */
static int
take_key(struct sig *s, struct keyprov_key *k)
{
	if (k == NULL)
		k = s->key;
	if (k == NULL || k->public_half == NULL)
		return 0;
	k = keyprov_key_ref(k);
	reset(s);
	s->key = k;
	return 1;
}

static int
sign_init(void *ctx, void *key, const OSSL_PARAM params[])
{
	struct sig *s = ctx;

	if (!take_key(s, key))
		return 0;
	s->shadow = EVP_PKEY_CTX_new_from_pkey(NULL, s->key->public_half, NULL);
	return s->shadow != NULL && EVP_PKEY_verify_init(s->shadow) > 0 && set_params(s, params);
}

static int
sign(void *ctx, unsigned char *sig, size_t *len, size_t size, const unsigned char *digest, size_t n)
{
	return sign_value(ctx, sig, len, size, digest, n);
}

static int
begin_hash(struct sig *s, const char *name)
{
	s->hash = EVP_MD_fetch(NULL, name, NULL);
	s->md = EVP_MD_CTX_new();
	return s->hash != NULL && s->md != NULL && EVP_DigestInit_ex2(s->md, s->hash, NULL) == 1;
}

static int
digest_init(void *ctx, const char *name, void *key, const OSSL_PARAM params[])
{
	struct sig *s = ctx;
	char usual[50];

	if (!take_key(s, key))
		return 0;
	if (name == NULL || *name == '\0') {
		if (EVP_PKEY_get_default_digest_name(s->key->public_half, usual, sizeof usual) <= 0)
			return 0;
		name = usual;
	}
	return begin_hash(s, name) && set_params(s, params);
}

static int
digest_update(void *ctx, const unsigned char *data, size_t n)
{
	struct sig *s = ctx;

	return s->md != NULL && EVP_DigestUpdate(s->md, data, n) == 1;
}

static int
digest_final(void *ctx, unsigned char *sig, size_t *len, size_t size)
{
	struct sig *s = ctx;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (s->md == NULL || (sig != NULL && EVP_DigestFinal_ex(s->md, digest, &n) != 1))
		return 0;
	return sign_value(s, sig, len, size, digest, n);
}

/* Update and final in one call, for which nobody has to copy the whole context. */
static int
digest_sign(
    void *ctx, unsigned char *sig, size_t *len, size_t size, const unsigned char *data, size_t n)
{
	struct sig *s = ctx;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned have = 0;
	EVP_MD_CTX *md;
	int ok;

	if (s->md == NULL)
		return 0;
	if (sig == NULL)
		return sign_value(s, NULL, len, 0, NULL, 0);
	if (EVP_DigestUpdate(s->md, data, n) != 1 || (md = dup_md(s->md)) == NULL)
		return 0;
	ok = EVP_DigestFinal_ex(md, digest, &have) == 1;
	EVP_MD_CTX_free(md);
	return ok && sign_value(s, sig, len, size, digest, have);
}

/* Ed25519 hashes the message itself, twice: it must be there as a whole. */
static int
message_init(void *ctx, const char *name, void *key, const OSSL_PARAM params[])
{
	struct sig *s = ctx;

	if (name != NULL && *name != '\0' && strcmp(name, "UNDEF") != 0) {
		ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_DIGEST);
		return 0;
	}
	return take_key(s, key) && set_params(s, params);
}

#define COMMON                                                                                     \
	{OSSL_FUNC_SIGNATURE_NEWCTX, KEYPROV_FN(new_ctx)},                                         \
	    {OSSL_FUNC_SIGNATURE_FREECTX, KEYPROV_FN(free_ctx)},                                   \
	    {OSSL_FUNC_SIGNATURE_DUPCTX, KEYPROV_FN(dup_ctx)},                                     \
	    {OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, KEYPROV_FN(get_params)},                          \
	{                                                                                          \
		OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, KEYPROV_FN(gettable)                      \
	}

static const OSSL_DISPATCH hashed[] = {COMMON,
    {OSSL_FUNC_SIGNATURE_SIGN_INIT, KEYPROV_FN(sign_init)},
    {OSSL_FUNC_SIGNATURE_SIGN, KEYPROV_FN(sign)},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, KEYPROV_FN(digest_init)},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, KEYPROV_FN(digest_update)},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, KEYPROV_FN(digest_final)},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, KEYPROV_FN(digest_sign)},
    {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, KEYPROV_FN(set_params)},
    {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, KEYPROV_FN(settable)}, {0, NULL}};

static const OSSL_DISPATCH whole[] = {COMMON,
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, KEYPROV_FN(message_init)},
    {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, KEYPROV_FN(sign)}, {0, NULL}};

const OSSL_ALGORITHM keyprov_signature[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", KEYPROV_QUERY, hashed, ""},
    {"ECDSA", KEYPROV_QUERY, hashed, ""}, {"ED25519:1.3.101.112", KEYPROV_QUERY, whole, ""},
    {NULL, NULL, NULL, NULL}};
