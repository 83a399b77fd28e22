#include "keyprov/keyprov.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "keyprov/internal.h"

#define RSA_MIN 2048 /* bits: less is refused by clients */
#define RSA_MAX 8192 /* more would take a core for a good part of a second */

struct keyprov_job {
	void *owner;
	bool done;
	enum keyprov_status status;
	uint8_t *value;
	size_t n, max;
};

static const struct keyprov_ops *ops;
static void *ops_arg;
/*
 * A library context of our own: in the default one an algorithm that nobody names a provider for
 * might be fetched from us.  Keys made here work with everything of the default context.
 */
static OSSL_LIB_CTX *libctx;

/* --- jobs --- */

void
keyprov_finish(struct keyprov_job *job, enum keyprov_status status, const uint8_t *value, size_t n)
{
	if (status == KEYPROV_OK && n > job->max)
		status = KEYPROV_FAILED;
	job->status = status;
	job->done = true;
	if (status != KEYPROV_OK)
		return;
	memcpy(job->value, value, n);
	job->n = n;
}

void
keyprov_set_owner(struct keyprov_job *job, void *owner)
{
	job->owner = owner;
}

void *
keyprov_owner(const struct keyprov_job *job)
{
	return job->owner;
}

/* 1, or 0: not signed. */
static int
run(struct keyprov_job *job, const struct keyprov_key *k, uint16_t scheme, const uint8_t *data,
    size_t n)
{
	bool may_wait = ASYNC_get_current_job() != NULL;

	if (ops->sign(job, k->handle, scheme, data, n, may_wait, ops_arg) == -1)
		return 0;
	if (!job->done && may_wait)
		(void)ASYNC_pause_job();
	if (job->done)
		return job->status == KEYPROV_OK;
	ops->cancel(job, ops_arg);
	return 0;
}

int
keyprov_sign(const struct keyprov_key *k, uint16_t scheme, const uint8_t *data, size_t n,
    uint8_t *value, size_t *len, size_t max)
{
	struct keyprov_job *job;
	int ok;

	if (n == 0 || n > KEYPROV_DATA_MAX) {
		ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_INPUT_LENGTH);
		return 0;
	}
	/* Not on the stack: who looks at it from outside stands on another one. */
	if ((job = calloc(1, sizeof *job)) == NULL)
		return 0;
	job->value = value;
	job->max = max;
	if ((ok = run(job, k, scheme, data, n)) == 1)
		*len = job->n;
	else
		ERR_raise(ERR_LIB_PROV, PROV_R_FAILED_TO_SIGN);
	free(job);
	return ok;
}

/* --- the provider --- */

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_KEYMGMT:
		return keyprov_keymgmt;
	case OSSL_OP_SIGNATURE:
		return keyprov_signature;
	default:
		return NULL;
	}
}

static const OSSL_DISPATCH provider[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, KEYPROV_FN(query)}, {0, NULL}};

static int
init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **ctx)
{
	(void)in;
	*out = provider;
	*ctx = (void *)handle; /* not NULL; we have nothing to keep */
	return 1;
}

int
keyprov_start(const struct keyprov_ops *the_ops, void *arg, struct err *e)
{
	OSSL_LIB_CTX *lc;

	ops = the_ops;
	ops_arg = arg;
	if (libctx != NULL)
		return 0;
	/* base: the encoders, without which certificates cannot be made of such a key. */
	if ((lc = OSSL_LIB_CTX_new()) == NULL ||
	    OSSL_PROVIDER_add_builtin(lc, KEYPROV_NAME, init) != 1 ||
	    OSSL_PROVIDER_load(lc, KEYPROV_NAME) == NULL ||
	    OSSL_PROVIDER_load(lc, "base") == NULL) {
		OSSL_LIB_CTX_free(lc);
		ERR_clear_error();
		return err_set(e, ENOMEM, "OpenSSL: the provider of keys cannot be set up");
	}
	libctx = lc;
	return 0;
}

/* --- keys --- */

struct making {
	EVP_PKEY_CTX *ctx;
	uint8_t handle[KEYPROV_HANDLE];
	EVP_PKEY *key;
};

/* The parameters of the public key, to which the handle is added. */
static int
make(const OSSL_PARAM params[], void *arg)
{
	struct making *m = arg;
	OSSL_PARAM more[] = {
	    OSSL_PARAM_octet_string(KEYPROV_PARAM_HANDLE, m->handle, sizeof m->handle),
	    OSSL_PARAM_END};
	OSSL_PARAM *all = OSSL_PARAM_merge(params, more);
	int ok;

	ok = all != NULL && EVP_PKEY_fromdata(m->ctx, &m->key, EVP_PKEY_KEYPAIR, all) > 0;
	OSSL_PARAM_free(all);
	return ok;
}

EVP_PKEY *
keyprov_key(X509 *cert, uint8_t handle[KEYPROV_HANDLE], struct err *e)
{
	EVP_PKEY *public_key = X509_get0_pubkey(cert);
	struct making m = {0};
	int bits;

	if (public_key == NULL) {
		(void)err_set(e, ENOTSUP, "a public key that cannot be read");
		goto out;
	}
	bits = EVP_PKEY_get_bits(public_key);
	if (EVP_PKEY_is_a(public_key, "RSA") && (bits < RSA_MIN || bits > RSA_MAX)) {
		(void)err_set(e, ENOTSUP, "an RSA key of %d bits: %d to %d are possible", bits,
		    RSA_MIN, RSA_MAX);
		goto out;
	}
	if (keyprov_handle(public_key, m.handle, e) == -1)
		goto out;
	m.ctx =
	    EVP_PKEY_CTX_new_from_name(libctx, EVP_PKEY_get0_type_name(public_key), KEYPROV_QUERY);
	if (m.ctx == NULL || EVP_PKEY_fromdata_init(m.ctx) <= 0 ||
	    EVP_PKEY_export(public_key, EVP_PKEY_PUBLIC_KEY, make, &m) != 1)
		(void)err_set(e, ENOMEM, "OpenSSL: its private key cannot be set up");
	else if (handle != NULL)
		memcpy(handle, m.handle, sizeof m.handle);
out:
	EVP_PKEY_CTX_free(m.ctx);
	ERR_clear_error();
	return m.key;
}
