#ifndef UNIT_NET_CERTS_H
#define UNIT_NET_CERTS_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Certificates made for a test. */
struct pair {
	X509 *cert;
	EVP_PKEY *key; /* P-256 */
};

/*
 * names	a subjectAltName as in openssl.cnf, or NULL
 * days		from now to its end; below 0 it has ended
 * issuer	NULL: itself, and it is an authority
 */
struct pair make_cert(const char *cn, const char *names, long days, const struct pair *issuer);
void free_cert(struct pair *p);

/* Append it to a text in PEM (NULL at first), which the caller frees. */
char *add_pem(char *text, const struct pair *p);

/* A client context that trusts one certificate. */
SSL_CTX *trusting(const struct pair *ca);

#endif
