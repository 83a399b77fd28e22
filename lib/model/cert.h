#ifndef MODEL_CERT_H
#define MODEL_CERT_H

#include "base/rec.h"

/*
 * An OpenPGP certificate as lib/openpgp evaluated it: every binding, back signature and
 * revocation in it was verified when the record was made, so that a reader only compares times.
 * policyd stores it beside the certificate's own octets; workers encrypt and verify with it.
 */
#define CERT_KEYS_MAX 64 /* primary and subkeys; a certificate with more is refused */
#define CERT_UIDS_MAX 64 /* user ids kept; the rest are left out */
#define CERT_PARAMS_MAX 2100 /* octets: RSA of 16,384 bit fits */

/* Key flags, RFC 4880, 5.2.3.21. */
#define KEY_CERTIFY 0x01
#define KEY_SIGN 0x02
#define KEY_ENCRYPT 0x0c /* communications or storage */

#define REC_CERT_UID(F, L)                                                                         \
	F(STR, text, 0, 1024) /* as it stands in the packet; controls were refused */              \
	F(STR, addr, 0, 320) /* its address, ASCII lower-cased domain, or "" */                    \
	F(U8, primary, 0, 1)                                                                       \
	F(U64, revoked, 0, UINT64_MAX) /* time, 0: not */

#define REC_CERT_KEY(F, L)                                                                         \
	F(U8, version, 4, 6)                                                                       \
	F(U8, algo, 1, 255) /* RFC 4880, 9.1 */                                                    \
	F(U8, flags, 0, 255) /* KEY_* */                                                           \
	F(U64, created, 0, UINT64_MAX) /* seconds since the epoch */                               \
	F(U64, expires, 0, UINT64_MAX) /* 0: never; the primary's counts for all */                \
	F(U64, revoked, 0, UINT64_MAX) /* 0: not; 1: for good, whatever the signature's time */    \
	F(BYTES, fpr, 20, 32)                                                                      \
	F(BYTES, params, 1, CERT_PARAMS_MAX) /* the packet's fields after the algorithm octet */

#define REC_CERT(F, L)                                                                             \
	L(cert_key, keys, 1, CERT_KEYS_MAX) /* [0] is the primary */                               \
	L(cert_uid, uids, 0, CERT_UIDS_MAX)                                                        \
	F(BYTES, ciphers, 0, 16) /* preferences, RFC 4880, 5.2.3.7 */                              \
	F(BYTES, hashes, 0, 16)                                                                    \
	F(BYTES, compress, 0, 16)                                                                  \
	F(U8, features, 0, 255) /* 1: modification detection */

REC_DECLARE(cert_uid, REC_CERT_UID)
REC_DECLARE(cert_key, REC_CERT_KEY)
REC_DECLARE(cert, REC_CERT)

#endif
