#ifndef UNIT_NET_CERTS_H
#define UNIT_NET_CERTS_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/conn.h"
#include "net/tls.h"

/* Certificates made for a test. */
struct pair {
	X509 *cert;
	EVP_PKEY *key; /* P-256 unless another was given */
};

/*
 * names	a subjectAltName as in openssl.cnf, or NULL
 * days		from now to its end; below 0 it has ended
 * issuer	NULL: itself, and it is an authority
 */
struct pair make_cert(const char *cn, const char *names, long days, const struct pair *issuer);

/* The same with a key of the caller's, which becomes the certificate's. */
struct pair make_cert_for(
    EVP_PKEY *key, const char *cn, const char *names, long days, const struct pair *issuer);

/* One of the same kind with 2,048 bit, made once. */
EVP_PKEY *rsa_key(void);
void free_cert(struct pair *p);

/* Append it to a text in PEM (NULL at first), which the caller frees. */
char *add_pem(char *text, const struct pair *p);

extern const struct tls_options usual_tls; /* nothing is said */

/* A client context that trusts one certificate. */
SSL_CTX *trusting(const struct pair *ca);
SSL_CTX *trusting_with(const struct tls_options *o, const struct pair *ca);

/* What is wanted of a server of that name: chain and name. */
struct conn_peer peer_ca(const char *name);

/* A certificate of ours, and what is behind it (NULL: nothing), with its key at hand. */
struct tls_cert *own_cert(const struct pair *p, const struct pair *issuer);

/* A server context with one certificate (or none: NULL) and, if it is given, client_ca. */
SSL_CTX *serving(struct tls_cert *c, const struct pair *client_ca);

#endif
