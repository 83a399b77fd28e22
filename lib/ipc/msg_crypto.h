#ifndef IPC_MSG_CRYPTO_H
#define IPC_MSG_CRYPTO_H

#include "base/rec.h"
#include "ipc/ipc.h"
#include "ipc/msg_policy.h"

/* The whole interface of cryptod to the message path: grants, signatures, session keys. */

#define GRANT_MAX 16 /* operations that one grant may carry */
#define GRANT_TTL_MAX 300000 /* milliseconds */

enum key_op { OP_SIGN = 1, OP_UNWRAP };
enum crypto_status {
	CRYPTO_OK,
	CRYPTO_LOCKED, /* the key store is locked */
	CRYPTO_NOKEY, /* no such key; to a worker: none of the grant's keys is here */
	CRYPTO_DENIED, /* no grant, wrong use, used up, expired */
	CRYPTO_BUSY, /* rate limit or table full: later */
	CRYPTO_FAILED /* the operation itself; for unwrap never, see below */
};

/*
 * policyd allows one worker some operations with some keys of one consumer.  Under the id 0 it
 * wants no answer: it puts the grant into cryptod's socket before it answers the worker, and
 * cryptod looks there before it says that there is no grant.  Of such a grant the worker hears what
 * is wrong: the status that the grant would have had is that of the operation.
 */
#define REC_GRANT_KEY(F, L) F(BYTES, key, 20, 32) /* fingerprint */
#define REC_GRANT_REQ(F, L)                                                                        \
	F(BYTES, job, JOB_ID, JOB_ID)                                                              \
	F(BYTES, worker, WORKER_ID, WORKER_ID)                                                     \
	F(U8, op, OP_SIGN, OP_UNWRAP)                                                              \
	F(U8, max, 1, GRANT_MAX)                                                                   \
	F(U32, ttl, 1, GRANT_TTL_MAX)                                                              \
	F(STR, consumer, 1, 64) /* for the rate limit and the log */                               \
	L(grant_key, keys, 1, OPENING_KEYS_MAX)
#define REC_GRANT_REP(F, L) F(U8, status, 0, 5) /* enum crypto_status */

/* Sign a digest with a key of the grant; value: the signature's MPIs (struct pgp_sigval). */
#define REC_SIGN_REQ(F, L)                                                                         \
	F(BYTES, job, JOB_ID, JOB_ID)                                                              \
	F(BYTES, key, 20, 32)                                                                      \
	F(U8, hash, 1, 255) /* RFC 4880, 9.4 */                                                    \
	F(BYTES, digest, 20, 64)
#define REC_SIGN_REP(F, L)                                                                         \
	F(U8, status, 0, 5) /* enum crypto_status */                                               \
	F(BYTES, value, 0, 2050)

/*
 * Unwrap a session key; esk: the PKESK's fields after its algorithm octet, as they came.
 * Whatever they hold, the answer to a granted request is a session key: a false one if they were
 * malformed, so that nothing can be learnt from the answer or its time.
 */
#define REC_UNWRAP_REQ(F, L)                                                                       \
	F(BYTES, job, JOB_ID, JOB_ID)                                                              \
	F(BYTES, key, 20, 32)                                                                      \
	F(BYTES, esk, 1, 4096)
#define REC_UNWRAP_REP(F, L)                                                                       \
	F(U8, status, 0, 5)                                                                        \
	F(U8, cipher, 0, 255) /* RFC 4880, 9.2 */                                                  \
	F(BYTES, session_key, 0, 32)

/*
 * A handshake of a proxy: sign with a key of use tls (RFC 8446, 4.2.3 and 4.4.3; RFC 5246, 7.4.3).
 *
 * key		its fingerprint: that of an OpenPGP v4 key with these parameters and the creation
 *		time 0, so that whoever has the certificate knows it
 * scheme	TLS SignatureScheme; what does not fit the key is refused
 * data		the digest of the scheme's hash; with ed25519 the message itself
 * value	as TLS has it: RSA's octets, ECDSA in DER, EdDSA's octets
 */
#define TLS_SIGN_DATA_MAX 1024
#define REC_TLS_SIGN_REQ(F, L)                                                                     \
	F(BYTES, key, 20, 20)                                                                      \
	F(U16, scheme, 0, UINT16_MAX)                                                              \
	F(BYTES, data, 1, TLS_SIGN_DATA_MAX)
#define REC_TLS_SIGN_REP(F, L)                                                                     \
	F(U8, status, 0, 5)                                                                        \
	F(BYTES, value, 0, 2050)

/*
 * A certificate for a client that goes to a foreign server, made and signed by cryptod: of a leaf
 * key that it has made when it started (P-256, never stored; tls_sign_req with its handle until
 * cryptod ends, then CRYPTO_NOKEY: mint again), for these names, for TLS servers only, from five
 * minutes ago to MINT_S seconds from now, no longer than the authority's own.
 *
 * authority	enum authority: which of the two signs; which one an asker wants is its own
 *		decision, and only the trusted one is ever shown for a server that was verified
 * names	DNS names in ASCII and lower case (a wildcard as leftmost label before two others is
 *		allowed); ips: addresses; one of either at least.  All together MINT_OCTETS_MAX,
 *		four for each beside its own; else, or with a name that is none: CRYPTO_DENIED
 * cert, issuer	DER, in the order that a client is shown them
 */
enum authority { AUTHORITY_PROXY = 1, AUTHORITY_UNTRUSTED, AUTHORITY_MAX };
#define MINT_NAMES_MAX 100
#define MINT_IPS_MAX 16
#define MINT_S (7 * 86400)
#define CERT_DER_MAX 16384 /* octets of one certificate */
#define MINT_OCTETS_MAX (CERT_DER_MAX - 2048) /* the rest of a leaf takes less */
#define REC_MINT_NAME(F, L) F(STR, name, 1, 253)
#define REC_MINT_IP(F, L) F(BYTES, ip, 4, 16)
#define REC_MINT_REQ(F, L)                                                                         \
	F(U8, authority, 1, AUTHORITY_MAX - 1)                                                     \
	L(mint_name, names, 0, MINT_NAMES_MAX)                                                     \
	L(mint_ip, ips, 0, MINT_IPS_MAX)
#define REC_MINT_REP(F, L)                                                                         \
	F(U8, status, 0, 5) /* enum crypto_status; CRYPTO_NOKEY: no such authority yet */          \
	F(BYTES, cert, 0, CERT_DER_MAX)                                                            \
	F(BYTES, issuer, 0, CERT_DER_MAX)

#define CRYPTO_RECORDS(R)                                                                          \
	R(grant_key, REC_GRANT_KEY)                                                                \
	R(grant_req, REC_GRANT_REQ)                                                                \
	R(grant_rep, REC_GRANT_REP)                                                                \
	R(sign_req, REC_SIGN_REQ)                                                                  \
	R(sign_rep, REC_SIGN_REP)                                                                  \
	R(unwrap_req, REC_UNWRAP_REQ)                                                              \
	R(unwrap_rep, REC_UNWRAP_REP)                                                              \
	R(tls_sign_req, REC_TLS_SIGN_REQ)                                                          \
	R(tls_sign_rep, REC_TLS_SIGN_REP)                                                          \
	R(mint_name, REC_MINT_NAME)                                                                \
	R(mint_ip, REC_MINT_IP)                                                                    \
	R(mint_req, REC_MINT_REQ)                                                                  \
	R(mint_rep, REC_MINT_REP)

#define CRYPTO_MSGS(MSG)                                                                           \
	MSG(0x0400, grant_req, PM(P_POLICYD), PM(P_CRYPTOD), FD_NONE)                              \
	MSG(0x0401, grant_rep, PM(P_CRYPTOD), PM(P_POLICYD), FD_NONE)                              \
	MSG(0x0402, sign_req, PM(P_WORKER), PM(P_CRYPTOD), FD_NONE)                                \
	MSG(0x0403, sign_rep, PM(P_CRYPTOD), PM(P_WORKER) | PM(P_KEYCTL), FD_NONE)                 \
	MSG(0x0404, unwrap_req, PM(P_WORKER), PM(P_CRYPTOD), FD_NONE)                              \
	MSG(0x0405, unwrap_rep, PM(P_CRYPTOD), PM(P_WORKER), FD_NONE)                              \
	MSG(0x0406, tls_sign_req, PM_PROXIES, PM(P_CRYPTOD), FD_NONE)                              \
	MSG(0x0407, tls_sign_rep, PM(P_CRYPTOD), PM_PROXIES, FD_NONE)                              \
	MSG(0x0408, mint_req, PM_PROXIES, PM(P_CRYPTOD), FD_NONE)                                  \
	MSG(0x0409, mint_rep, PM(P_CRYPTOD), PM_PROXIES, FD_NONE)

CRYPTO_RECORDS(REC_DECLARE)

#endif
