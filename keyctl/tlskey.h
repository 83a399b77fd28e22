#ifndef KEYCTL_TLSKEY_H
#define KEYCTL_TLSKEY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/rec.h"
#include "ipc/msg_keys.h"

/* Private keys of TLS in PEM files, as bare parameters and back. */
#define TLS_FILE_MAX (1024 * 1024) /* octets of a key or certificate file */
#define TLS_RSA_MIN 2048 /* bits; and clients refuse more than */
#define TLS_RSA_MAX 8192

#define REC_TLS_KEY(F, L)                                                                          \
	F(U32, code, 0, UINT32_MAX) /* errno, 0: good; EACCES: a passphrase is needed */           \
	F(STR, text, 0, 511) /* when code is not 0 */                                              \
	F(U8, of_chain, 0, 1) /* 1: the key is good, the certificate is not, or is another's */    \
	F(STR, kind, 0, 31) /* "RSA 2048", "P-256", "Ed25519" */                                   \
	F(U8, algo, 0, 255) /* of OpenPGP, as in key_import_req */                                 \
	F(BYTES, params, 0, CERT_PARAMS_MAX)                                                       \
	F(BYTES, secret, 0, KEY_SECRET_MAX)                                                        \
	F(STR, subject, 0, 511) /* of the certificate, when one was given */                       \
	F(U64, expires, 0, UINT64_MAX) /* its end, seconds since the epoch */                      \
	F(STR, authority, 0, CA_NAME_MAX) /* its common name when it is a proxy authority's */

REC_DECLARE(tls_key, REC_TLS_KEY)

struct tls_key_ask {
	struct bytes file, chain; /* chain: empty, or the certificate that must belong to the key */
	const char *pass; /* or NULL */
};

/*
 * Read the first private key of a PEM file (PKCS#8, RFC 5958, encrypted or not; the traditional
 * forms of RSA and EC): a jail_fn.  arg is a struct tls_key_ask; appends a struct tls_key, encoded,
 * also when the key cannot be read.  Returns 0, or -1.
 */
int tls_key_read(const void *arg, struct buf *out);

/*
 * Append a key as PEM, PKCS#8 encrypted under pass (PBES2: PBKDF2 with HMAC-SHA256, AES-256-CBC;
 * RFC 8018).
 *
 * params, secret	as in key_import_req
 *
 * Returns 0, or -1 with e: ENOTSUP, EBADMSG, ENOMEM.
 */
int tls_key_write(unsigned algo, struct bytes params, struct bytes secret, const char *pass,
    struct buf *out, struct err *e);

#endif
