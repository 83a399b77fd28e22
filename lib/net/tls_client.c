/* Contexts for connections that we make. */
#include <openssl/err.h>

#include "net/conn_int.h"
#include "net/tls_int.h"

#define DH_BITS_MAX 4096 /* of TLS 1.2, whose server may make up any group */

typedef int (*strength_fn)(
    const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other, void *ex);
static strength_fn usual; /* OpenSSL's own: what is too weak */

/* What costs too much, too: of 8,192 bit each handshake would hold the loop for a quarter second.
 */
static int
strength(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid, void *other, void *ex)
{
	int size = op == SSL_SECOP_TMP_DH && other != NULL ? EVP_PKEY_get_bits(other) : 0;
	struct conn_tls *t = ssl != NULL ? SSL_get_app_data(ssl) : NULL;

	if (size <= DH_BITS_MAX)
		return usual(ssl, ctx, op, bits, nid, other, ex);
	if (t != NULL)
		conn_tls_say(t, "TLS handshake with %s: Diffie-Hellman of %d bit, more than %d",
		    t->name, size, DH_BITS_MAX);
	return 0;
}

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
	if (usual == NULL)
		usual = SSL_CTX_get_security_callback(ctx);
	SSL_CTX_set_security_callback(ctx, strength);
	return ctx;
}
