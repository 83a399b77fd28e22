#ifndef UNIT_KEYD_PKI_H
#define UNIT_KEYD_PKI_H

#include <openssl/ocsp.h>
#include <openssl/x509.h>

#include "keyd/keyd.h"

/* Authorities, certificates and OCSP responses, made as a test wants them. */

struct holder {
	EVP_PKEY *key;
	X509 *cert;
	uint8_t der[4096];
	size_t n;
};

/*
 * A new key and a certificate of it.
 *
 * issuer	NULL: self-signed
 * serial	1 to ...
 * aia		value of authorityInfoAccess as in openssl.cnf, or NULL
 * eku		value of extendedKeyUsage, or NULL
 * san		value of subjectAltName, or NULL
 */
struct holder_spec {
	const char *name;
	const struct holder *issuer;
	long serial;
	int ca;
	const char *aia, *eku, *san;
	int days_ago; /* that it has expired */
};
void holder_make(struct holder *h, const struct holder_spec *spec);
void holder_free(struct holder *h);

#define NEVER INT32_MIN

struct response_spec {
	const struct holder *about, *issuer, *signer;
	int status; /* V_OCSP_CERTSTATUS_* */
	int from, until; /* seconds from now; until NEVER: it does not say */
	const EVP_MD *name_md, *sign_md; /* NULL: SHA-1, SHA-256 */
	const struct holder *also_about; /* an earlier part of the response */
	int no_certs; /* the signer's certificate is left out */
	int refusal; /* OCSP_RESPONSE_STATUS_*, if it is not successful */
};

/* How many octets of DER were put to out. */
size_t response_make(const struct response_spec *spec, uint8_t *out, size_t outsz);

#endif
