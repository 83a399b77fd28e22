/*
 * The provider's keys.  Everything but the private half is asked of an ordinary public key of the
 * default provider.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "keyprov/internal.h"

static void *
key_new(const char *type)
{
	struct keyprov_key *k = calloc(1, sizeof *k);

	if (k == NULL)
		return NULL;
	atomic_init(&k->refs, 1);
	k->type = type;
	return k;
}

static void *
new_rsa(void *provider)
{
	(void)provider;
	return key_new("RSA");
}

static void *
new_ec(void *provider)
{
	(void)provider;
	return key_new("EC");
}

static void *
new_ed25519(void *provider)
{
	(void)provider;
	return key_new("ED25519");
}

struct keyprov_key *
keyprov_key_ref(struct keyprov_key *k)
{
	atomic_fetch_add(&k->refs, 1);
	return k;
}

void
keyprov_key_free(void *key)
{
	struct keyprov_key *k = key;

	if (k == NULL || atomic_fetch_sub(&k->refs, 1) != 1)
		return;
	EVP_PKEY_free(k->public_half);
	free(k);
}

static int
has(const void *key, int selection)
{
	const struct keyprov_key *k = key;

	if (k == NULL)
		return 0;
	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && !k->private_half)
		return 0;
	return (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0 || k->public_half != NULL;
}

static int
match(const void *a, const void *b, int selection)
{
	const struct keyprov_key *x = a, *y = b;

	(void)selection; /* whatever is asked: with one public half they are one key */
	return x->public_half != NULL && y->public_half != NULL &&
	       EVP_PKEY_eq(x->public_half, y->public_half) == 1;
}

static int
import(void *key, int selection, const OSSL_PARAM params[])
{
	struct keyprov_key *k = key;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, KEYPROV_PARAM_HANDLE);
	EVP_PKEY_CTX *ctx;
	int ok;

	if (k->public_half != NULL || (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0)
		return 0;
	if (p != NULL) {
		if (p->data_type != OSSL_PARAM_OCTET_STRING || p->data_size != KEYPROV_HANDLE)
			return 0;
		memcpy(k->handle, p->data, KEYPROV_HANDLE);
	}
	ctx = EVP_PKEY_CTX_new_from_name(NULL, k->type, NULL);
	ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0 &&
	     EVP_PKEY_fromdata(ctx, &k->public_half, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)params) > 0;
	EVP_PKEY_CTX_free(ctx);
	k->private_half = ok && p != NULL;
	return ok;
}

static int export(void *key, int selection, OSSL_CALLBACK *give, void *arg)
{
	struct keyprov_key *k = key;

	/*
	 * libcrypto would rather have the whole key in the default provider.  Half of it would do
	 * for that, and then the signature would fail there; refused, it comes back to us.
	 */
	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && k->private_half)
		return 0;
	return k->public_half != NULL &&
	       EVP_PKEY_export(k->public_half, EVP_PKEY_PUBLIC_KEY, give, arg);
}

static int
get_params(void *key, OSSL_PARAM params[])
{
	struct keyprov_key *k = key;

	return k->public_half != NULL && EVP_PKEY_get_params(k->public_half, params);
}

/* --- which parameters there are --- */

#define HANDLE OSSL_PARAM_octet_string(KEYPROV_PARAM_HANDLE, NULL, 0)

static const OSSL_PARAM *
types_rsa(int selection)
{
	static const OSSL_PARAM t[] = {OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), HANDLE, OSSL_PARAM_END};

	(void)selection;
	return t;
}

static const OSSL_PARAM *
types_ec(int selection)
{
	static const OSSL_PARAM t[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), HANDLE, OSSL_PARAM_END};

	(void)selection;
	return t;
}

static const OSSL_PARAM *
types_ed25519(int selection)
{
	static const OSSL_PARAM t[] = {
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), HANDLE, OSSL_PARAM_END};

	(void)selection;
	return t;
}

static const OSSL_PARAM *
gettable(void *provider)
{
	static const OSSL_PARAM t[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
	    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
	    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
	    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
	    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0), OSSL_PARAM_END};

	(void)provider;
	return t;
}

static const char *
operation_ec(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define COMMON(make, types)                                                                        \
	{OSSL_FUNC_KEYMGMT_NEW, KEYPROV_FN(make)},                                                 \
	    {OSSL_FUNC_KEYMGMT_FREE, KEYPROV_FN(keyprov_key_free)},                                \
	    {OSSL_FUNC_KEYMGMT_HAS, KEYPROV_FN(has)},                                              \
	    {OSSL_FUNC_KEYMGMT_MATCH, KEYPROV_FN(match)},                                          \
	    {OSSL_FUNC_KEYMGMT_IMPORT, KEYPROV_FN(import)},                                        \
	    {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, KEYPROV_FN(types)},                                   \
	    {OSSL_FUNC_KEYMGMT_EXPORT, KEYPROV_FN(export)},                                        \
	    {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, KEYPROV_FN(types)},                                   \
	    {OSSL_FUNC_KEYMGMT_GET_PARAMS, KEYPROV_FN(get_params)},                                \
	{                                                                                          \
		OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, KEYPROV_FN(gettable)                            \
	}

static const OSSL_DISPATCH rsa[] = {COMMON(new_rsa, types_rsa), {0, NULL}};
static const OSSL_DISPATCH ec[] = {COMMON(new_ec, types_ec),
    {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, KEYPROV_FN(operation_ec)}, {0, NULL}};
static const OSSL_DISPATCH ed25519[] = {COMMON(new_ed25519, types_ed25519), {0, NULL}};

/* Names as the default provider has them, so that keys of both can be compared. */
const OSSL_ALGORITHM keyprov_keymgmt[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", KEYPROV_QUERY, rsa, ""},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", KEYPROV_QUERY, ec, ""},
    {"ED25519:1.3.101.112", KEYPROV_QUERY, ed25519, ""}, {NULL, NULL, NULL, NULL}};
