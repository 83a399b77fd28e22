#include "net/tls.h"

#include <errno.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Why OpenSSL failed last, and forget it. */
static const char *
reason(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return s != NULL ? s : "unknown reason";
}

/* A certificate needs no passphrase; without this, OpenSSL would ask the terminal for one. */
static int
no_passphrase(char *p, int n, int rw, void *arg)
{
	(void)p;
	(void)n;
	(void)rw;
	(void)arg;
	return -1;
}

/* Trust every certificate of a bundle. */
static int
trust(X509_STORE *store, BIO *in, const char *name, struct err *e)
{
	unsigned n = 0;
	unsigned long why;
	X509 *cert;
	int ok;

	for (;; n++) {
		ERR_clear_error();
		if ((cert = PEM_read_bio_X509(in, NULL, no_passphrase, NULL)) == NULL)
			break;
		ok = X509_STORE_add_cert(store, cert);
		X509_free(cert);
		if (!ok)
			return err_set(e, ENOMEM, "%s: certificate %u: %s", name, n + 1, reason());
	}
	why = ERR_peek_last_error();
	if (ERR_GET_LIB(why) != ERR_LIB_PEM || ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
		return err_set(
		    e, EINVAL, "%s: certificate %u cannot be read: %s", name, n + 1, reason());
	ERR_clear_error();
	if (n == 0)
		return err_set(
		    e, EINVAL, "%s: there is no certificate in it (PEM is wanted)", name);
	return 0;
}

SSL_CTX *
tls_client_ctx(const void *pem, size_t n, const char *name, struct err *e)
{
	SSL_CTX *ctx = NULL;
	BIO *in = NULL;

	/* In a jail there is no openssl.cnf, so it must not matter whether there is one outside. */
	(void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	ERR_clear_error();
	if (n > TLS_BUNDLE_MAX) {
		(void)err_set(
		    e, EFBIG, "%s: %zu octets; a bundle has at most %d", name, n, TLS_BUNDLE_MAX);
		return NULL;
	}
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, "HIGH:!aNULL:!eNULL:!kRSA:!PSK:!SRP") != 1)
		goto broken;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (n > 0) {
		if ((in = BIO_new_mem_buf(pem, (int)n)) == NULL)
			goto broken;
		if (trust(SSL_CTX_get_cert_store(ctx), in, name, e) == -1)
			goto fail;
	}
	BIO_free(in);
	return ctx;
broken:
	(void)err_set(e, ENOMEM, "TLS cannot be set up: %s", reason());
fail:
	BIO_free(in);
	SSL_CTX_free(ctx);
	return NULL;
}

void
tls_ctx_free(SSL_CTX *ctx)
{
	SSL_CTX_free(ctx);
}
