#ifndef NET_TLS_INT_H
#define NET_TLS_INT_H

/* Inside of TLS, for tls*.c and conn*.c only. */

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/sni.h"
#include "net/tls.h"

/* Why OpenSSL failed last, and forget it. */
const char *tls_reason(void);

/* Once in a process, before anything of OpenSSL's. */
void tls_init(void);

/*
 * Give every certificate of a text to take, which returns 1, or 0 when OpenSSL would not have it.
 * der: octets of DER one behind the other, else PEM.  Returns how many there were, or -1 with e.
 */
typedef int (*tls_take)(void *arg, X509 *cert, int i);
int tls_each_cert(const void *text, size_t n, bool der, const char *name, tls_take take, void *arg,
    struct err *e);

/* take for the certificates that a context (arg) is to trust. */
int tls_trust(void *arg, X509 *cert, int i);

/* What both kinds of contexts have in common. NULL with e. */
SSL_CTX *tls_new_ctx(bool server, const struct tls_options *o, struct err *e);

/* Is it among the protocols that this context was given? */
bool tls_speaks(const SSL_CTX *ctx, const uint8_t *protocol, size_t n);

/* --- certificates --- */

enum tls_slot { TLS_SLOT_EC, TLS_SLOT_ED25519, TLS_SLOT_RSA, TLS_SLOTS };

struct tls_der {
	uint8_t *p;
	size_t n;
};

struct tls_cert {
	unsigned refs;
	X509 *x;
	STACK_OF(X509) * chain; /* behind it; may be NULL */
	EVP_PKEY *key;
	enum tls_slot slot;
	char *names; /* DNS names, in lower case, each with its NUL, "" behind the last; or NULL */
	struct tls_der ders[TLS_CHAIN_MAX];
	struct tls_der staple;
};

/*
 * Which signatures the key can make.  In TLS 1.2 an ECDSA key of any curve goes with any hash, but
 * whoever has the key makes those of TLS 1.3 only.
 */
const char *tls_cert_signatures(const struct tls_cert *c);

/* The certificate that a connection has chosen from, by what OpenSSL has of it; or NULL. */
struct tls_cert *tls_cert_of(const X509 *x);

/* Staple what there is (SSL_CTX_set_tlsext_status_cb). */
int tls_cert_on_status(SSL *ssl, void *arg);

/* --- server --- */

/* Have a connection's client shown this one. 0, or -1 with errno. */
int tls_cert_show(SSL *ssl, struct tls_cert *c);

/* Tickets as the options want them; -1 with e. */
int tls_tickets_setup(SSL_CTX *ctx, bool on, const char *context, struct err *e);

/* Of one connection: none without keys. */
void tls_tickets_check(SSL *ssl);

/* In a client_hello_cb: the name that the client asks for, or "". */
void tls_hello_name(SSL *ssl, char out[SNI_NAME_MAX + 1]);

/*
 * For contexts without certificates: the client_hello_cb, in conn_server.c, and for those of a
 * client the judge of certificates (SSL_CTX_set_cert_verify_callback), in conn_client.c.
 */
int conn_tls_on_hello(SSL *ssl, int *alert, void *arg);
int conn_tls_judge(X509_STORE_CTX *store, void *arg);

#endif
