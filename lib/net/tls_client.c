/* Contexts for connections that we make. */
#include <openssl/err.h>

#include "net/tls_int.h"

SSL_CTX *
tls_client_ctx(
    const struct tls_options *o, const void *pem, size_t n, const char *name, struct err *e)
{
	SSL_CTX *ctx = tls_new_ctx(false, o, e);

	if (ctx == NULL)
		return NULL;
	if (n > 0 && tls_each_cert(pem, n, false, name, tls_trust, ctx, e) == -1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (SSL_CTX_dane_enable(ctx) <= 0) {
		(void)err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_cert_verify_callback(ctx, conn_tls_judge, NULL);
	return ctx;
}
