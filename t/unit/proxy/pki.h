#ifndef UNIT_PROXY_PKI_H
#define UNIT_PROXY_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "net/tls.h"

/* Certificates on P-256, made for a test. */
struct card {
	X509 *x;
	EVP_PKEY *key;
	uint8_t der[16384];
	size_t n;
};

/*
 * names	a subjectAltName as in openssl.cnf, or NULL
 * seconds	from now to its end
 * issuer	NULL: itself, and it is an authority
 * key		NULL: a new one
 */
void card_make(struct card *c, const char *cn, const char *names, long seconds,
    const struct card *issuer, EVP_PKEY *key);
void card_free(struct card *c);

/* Certificates as one PEM text, the first that is NULL ends them. The caller frees it. */
char *card_pem(const struct card *first, const struct card *second);

/* With the private key at hand, as of a server somewhere. */
struct ssl_ctx_st *card_serve(const struct card *c, const struct card *issuer);

#endif
