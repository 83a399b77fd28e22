#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ssl_ctx_st;
struct x509_st;
struct evp_pkey_st;

#define TLS_BUNDLE_MAX (4 * 1024 * 1024) /* octets of PEM; Debian's whole bundle has 220 KiB */
#define TLS_CHAIN_MAX 10 /* certificates of ours that are sent to every client */
#define TLS_STAPLE_MAX 16384 /* octets of an OCSP response */

enum tls_version { TLS_V12, TLS_V13 };

/* How TLS is to be spoken, whoever is the server. Texts may be NULL or "": what we think best. */
struct tls_options {
	enum tls_version min_version;
	const char *ciphers; /* of TLS 1.2, openssl-ciphers(1) */
	const char *ciphersuites; /* of TLS 1.3 */
	const char *groups; /* of key agreement */
	bool any_kex; /* as the client of TLS 1.2, key agreement without forward secrecy is allowed
		       * (RSA) beside others; as the server never: who has our keys only signs */
	const char *const *alpn; /* RFC 7301, protocol names; nalpn 0: ALPN is not spoken */
	size_t nalpn;
};

/*
 * Does OpenSSL know all that stands in there, and does something with forward secrecy and a
 * strength of 112 bits remain of it?  0, or -1 with e, which names the setting ("ciphers",
 * "ciphersuites", "groups", "alpn") and what was wrong with it.
 */
int tls_options_check(const struct tls_options *o, struct err *e);

/*
 * A context for connections that we make to a mail server: no compression, no renegotiation, no
 * client certificate, no session cache.
 *
 * pem, n	the certification authorities to trust, PEM; n may be 0 when no connection wants
 *		CONN_VERIFY_CA: then nothing verifies
 * name		of the file, for messages
 *
 * Returns a context for tls_ctx_free, or NULL with *e filled: no certificate in the text, one
 * that cannot be parsed (with its number), text too large, options as tls_options_check.
 */
struct ssl_ctx_st *tls_client_ctx(
    const struct tls_options *o, const void *pem, size_t n, const char *name, struct err *e);

/*
 * A certificate of ours with those between it and a known authority, and its private key.  Counted:
 * tls_cert_keep and tls_cert_free.
 *
 * chain, n	PEM (or with der: n octets of DER certificates one behind the other), ours first, at
 *		most TLS_CHAIN_MAX
 * name		of the file, for messages
 * bind		gives the private key of the certificate: an EVP_PKEY that is now the callee's, or
 *		NULL with e filled.  Ed25519, RSA from 2,048 bit on, P-256, P-384 and P-521.
 *
 * Returns NULL with *e filled, which says file and number of the certificate: not PEM, no
 * certificate, a weak or foreign key.  That it is expired, or not yet valid, is no error here.
 */
struct tls_cert;
typedef struct evp_pkey_st *(*tls_bind)(struct x509_st *cert, void *arg, struct err *e);
struct tls_cert *tls_cert_new(const void *chain, size_t n, bool der, const char *name,
    tls_bind bind, void *arg, struct err *e);
struct tls_cert *tls_cert_keep(struct tls_cert *c);
void tls_cert_free(struct tls_cert *c); /* NULL is allowed */

/* Seconds since the epoch at which our certificate ends; 0 when it says no time. */
int64_t tls_cert_expires(const struct tls_cert *c);

/* Is it good for this DNS name or address (RFC 6125)?  And "ecdsa", "rsa" or "ed25519". */
bool tls_cert_is_for(const struct tls_cert *c, const char *name);
const char *tls_cert_kind(const struct tls_cert *c);

/* DER of our certificate (i = 0) and of those behind it; NULL: there are no more. *n: octets. */
const uint8_t *tls_cert_der(const struct tls_cert *c, unsigned i, size_t *n);

/*
 * What is stapled for clients that ask (RFC 6066, 8), copied; n = 0: nothing more.  It counts at
 * once, for the contexts that the certificate is in, too.  0, or -1 with errno ENOMEM, or EMSGSIZE
 * (above TLS_STAPLE_MAX).
 */
int tls_cert_staple(struct tls_cert *c, const void *der, size_t n);

enum tls_client_auth { TLS_AUTH_NONE, TLS_AUTH_ASK, TLS_AUTH_REQUIRE };

/*
 * Keys for session tickets, the newest first; the process has one set, which counts for all
 * contexts with tickets.  Until it is set, and with n = 0, there are no tickets.
 */
struct tls_ticket_key {
	uint8_t name[16]; /* stands in clear in tickets */
	uint8_t aes[32], hmac[32];
};
#define TLS_TICKET_KEYS_MAX 3
void tls_ticket_keys(const struct tls_ticket_key *keys, size_t n);

/*
 * A context for connections that clients make to us: authenticated ciphers in our order, no
 * compression, no renegotiation, no session cache.  Signatures are those that lib/keyprov can have
 * made.  Which certificate a client is shown: of those whose names fit the name it asked for (SNI)
 * one that its signature algorithms fit, ECDSA before RSA; if none fits the name, of the first
 * certificate's names.  With no certificates at all each connection gets its own (conn_tls_use).
 *
 * certs	ncerts of them; kept by reference count
 * auth		whether clients are asked for a certificate, and must have one
 * client_ca	with auth: who may issue it, PEM; what is shown must verify even with TLS_AUTH_ASK
 * tickets	RFC 8446, 4.6.1: of TLS 1.3 only (with TLS 1.2 they would end forward secrecy).  One
 *		in each handshake, good for two hours.  None with auth (a certificate that was
 *		revoked would live on in them), none without certs (the server's may turn bad).
 * context	resumption goes to connections with the same name here only
 */
struct tls_server_options {
	struct tls_options o;
	struct tls_cert *const *certs;
	size_t ncerts;
	enum tls_client_auth auth;
	const void *client_ca;
	size_t client_ca_n;
	const char *client_ca_name;
	bool tickets;
	const char *context;
};
struct ssl_ctx_st *tls_server_ctx(const struct tls_server_options *o, struct err *e);

/* Counted. */
struct ssl_ctx_st *tls_ctx_keep(struct ssl_ctx_st *ctx);
void tls_ctx_free(struct ssl_ctx_st *ctx); /* NULL is allowed */

#endif
