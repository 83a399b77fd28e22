#ifndef OPENPGP_CERTMAKE_H
#define OPENPGP_CERTMAKE_H

#include "base/buf.h"
#include "base/err.h"
#include "model/cert.h"
#include "openpgp/secret.h"

/*
 * Building certificates.  The keys are given by their public half, their secret halves may live
 * elsewhere: each signature is asked of secret->sign by fingerprint (unwrap is not used).
 * Signatures use SHA-512 with Ed25519, SHA-256 with RSA, and the hash of the curve's size with
 * ECDSA.
 */
struct pgp_certspec {
	const struct cert_key *keys; /* [0] the primary; algo, created, fpr, params, and flags:
				      * KEY_CERTIFY for the primary, one of KEY_SIGN and
				      * KEY_ENCRYPT for a subkey */
	size_t nkeys; /* 1 to CERT_KEYS_MAX */
	const char *const *uids; /* UTF-8, "Name <local@domain>"; [0] is marked primary */
	size_t nuids; /* 1 to CERT_UIDS_MAX */
	uint64_t created; /* of the signatures, seconds since the epoch */
	uint64_t expires; /* of the primary, 0: never */
};

/*
 * Append a transferable public key: user ids with preferences (AES256 AES192 AES128; SHA512
 * SHA384 SHA256; zlib zip; modification detection), subkeys with bindings, signing ones with back
 * signature (RFC 9580, 10.1.1).
 *
 * Returns 0, or -1 with e filled: EINVAL (what the spec says is impossible), or what sign gave.
 */
int pgp_certmake(const struct pgp_certspec *spec, const struct pgp_secret *secret, struct buf *out,
    struct err *e);

/* Reasons for revocation, RFC 9580, 5.2.3.31. */
enum pgp_reason {
	PGP_REASON_NONE = 0,
	PGP_REASON_SUPERSEDED = 1,
	PGP_REASON_COMPROMISED = 2,
	PGP_REASON_RETIRED = 3,
	PGP_REASON_UID = 32
};

/*
 * Append a copy of a certificate with a revocation of one of its keys in the right place.
 *
 * raw, n	the certificate's octets
 * fpr		the key to revoke: the primary (the whole certificate) or a subkey
 * text		why, for people; may be ""
 *
 * Returns 0, or -1 with e filled: ENOKEY (not in it), EBADMSG, or what sign gave.
 */
int pgp_cert_revoke(const void *raw, size_t n, const uint8_t *fpr, size_t fprlen,
    enum pgp_reason reason, const char *text, uint64_t created, const struct pgp_secret *secret,
    struct buf *out, struct err *e);

#endif
