#ifndef NET_TLS_H
#define NET_TLS_H

#include <stddef.h>

#include "base/err.h"

struct ssl_ctx_st;

#define TLS_BUNDLE_MAX (4 * 1024 * 1024) /* octets of PEM; Debian's whole bundle has 220 KiB */

/*
 * A context for connections that we make to a mail server: TLS 1.2 or newer, no compression, no
 * renegotiation, no client certificate, no session cache.
 *
 * pem, n	the certification authorities to trust, PEM, read before the chroot; n may be 0
 *		when every peer is CONN_VERIFY_NONE: then nothing verifies
 * name		of the file, for messages
 *
 * Returns a context for SSL_CTX_free (tls_ctx_free), or NULL with *e filled: no certificate in
 * the text, one that cannot be parsed (with its number), text too large.
 */
struct ssl_ctx_st *tls_client_ctx(const void *pem, size_t n, const char *name, struct err *e);
void tls_ctx_free(struct ssl_ctx_st *ctx);

#endif
