#ifndef NET_TLS_H
#define NET_TLS_H

#include <stddef.h>
#include <stdint.h>

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

/*
 * A context for connections that clients make to us: TLS 1.2 or newer, forward secrecy always
 * (ECDHE), authenticated ciphers in our order, no compression, no renegotiation, no tickets and no
 * session cache.  Signatures are those that lib/keyprov can have made.
 *
 * chain, n	our certificate and those between it and a known authority, PEM, ours first, at most
 *		10
 * name		of the file, for messages
 * client_ca	the authorities of clients' certificates, PEM: each client must show one that
 *		verifies; NULL with length 0: none is asked for
 * bind		gives the private key of the certificate: an EVP_PKEY that is now the callee's, or
 *		NULL with e filled
 *
 * Returns a context for tls_ctx_free, or NULL with *e filled, which says file and number of the
 * certificate: not PEM, no certificate, a weak or foreign key.  That it is expired, or not
 * yet valid, is no error here.
 */
struct x509_st;
struct evp_pkey_st;
typedef struct evp_pkey_st *(*tls_bind)(struct x509_st *cert, void *arg, struct err *e);
struct ssl_ctx_st *tls_server_ctx(const void *chain, size_t n, const char *name,
    const void *client_ca, size_t ca_n, const char *ca_name, tls_bind bind, void *arg,
    struct err *e);

/* Seconds since the epoch at which the chain's first certificate ends; 0 when it says no time. */
int64_t tls_ctx_expires(const struct ssl_ctx_st *ctx);
void tls_ctx_free(struct ssl_ctx_st *ctx);

#endif
