#ifndef IPC_MSG_KEYS_H
#define IPC_MSG_KEYS_H

#include "base/rec.h"
#include "ipc/ipc.h"
#include "ipc/msg_crypto.h"
#include "model/cert.h"

/* keyctl and the key store of cryptod. */

#define KEY_FPR 20 /* octets of the fingerprint that names a key (OpenPGP v4) */
#define KEYS_PAGE 64 /* keys in one answer */
#define KEY_LABEL_MAX 320 /* octets; for people: the address the key was made for */
#define KEY_SECRET_MAX 5200 /* octets of secret parameters, RSA of 16,384 bit fits */
#define SEAL_KEY_LEN 32 /* octets of the key that everything is sealed with */
#define SEAL_SALT_LEN 32

/* Bounds of the Argon2id cost (RFC 9106): what keyctl may ask for and cryptod accepts. */
#define SEAL_T_MIN 1
#define SEAL_T_MAX 64
#define SEAL_M_MIN 8 /* KiB */
#define SEAL_M_MAX (4 * 1024 * 1024)
#define SEAL_LANES_MAX 16

/* What a key may be used for; each has one use, for life. */
enum key_use { USE_CERTIFY = 1, USE_SIGN, USE_DECRYPT, USE_TLS, USE_DKIM, USE_CA, USE_MAX };

/* "certify", "sign"...; "?" when use is out of range. */
const char *key_use_name(unsigned use);

enum key_kind {
	KIND_ED25519 = 1,
	KIND_CV25519,
	KIND_RSA3072,
	KIND_P256,
	KIND_P384,
	KIND_P521,
	KIND_BP256, /* brainpoolP256r1 */
	KIND_BP384,
	KIND_BP512,
	KIND_MAX
};

/* How the sealing key comes from the secret, and whether a given one is right. */
#define REC_SEAL_PARAMS(F, L)                                                                      \
	F(U8, version, 1, 1)                                                                       \
	F(U32, t, SEAL_T_MIN, SEAL_T_MAX) /* passes */                                             \
	F(U32, m, SEAL_M_MIN, SEAL_M_MAX) /* KiB */                                                \
	F(U32, lanes, 1, SEAL_LANES_MAX)                                                           \
	F(U8, source, 0, 1) /* 0: passphrase, 1: key file */                                       \
	F(BYTES, salt, SEAL_SALT_LEN, SEAL_SALT_LEN)

/* One private key without its private half. */
#define REC_KEY_INFO(F, L)                                                                         \
	F(BYTES, fpr, KEY_FPR, KEY_FPR)                                                            \
	F(U8, use, 1, USE_MAX - 1) /* enum key_use */                                              \
	F(U8, algo, 1, 255) /* RFC 4880, 9.1 */                                                    \
	F(U64, created, 0, UINT64_MAX) /* seconds since the epoch; part of the fingerprint */      \
	F(U64, stored, 0, UINT64_MAX) /* seconds since the epoch */                                \
	F(U8, disabled, 0, 1) /* makes no signatures any more; decrypts for ever */                \
	F(STR, label, 0, KEY_LABEL_MAX)                                                            \
	F(BYTES, params, 1, CERT_PARAMS_MAX) /* public, as in struct cert_key */

/* State of the store; answered whether it is locked or not. */
#define REC_KEYS_STATE_REQ(F, L) F(U8, unused, 0, 0)
#define REC_KEYS_STATE_REP(F, L)                                                                   \
	F(U8, locked, 0, 1)                                                                        \
	F(U32, keys, 0, UINT32_MAX) /* stored; 0 while locked */                                   \
	L(seal_params, params, 0, 1) /* none: keyctl init has not been run */

/* Each of these is answered by keys_rep. */
#define REC_KEYS_INIT_REQ(F, L)                                                                    \
	L(seal_params, params, 1, 1)                                                               \
	F(BYTES, seal, SEAL_KEY_LEN, SEAL_KEY_LEN) /* derived key, secret */
#define REC_KEYS_UNLOCK_REQ(F, L) F(BYTES, seal, SEAL_KEY_LEN, SEAL_KEY_LEN)
#define REC_KEYS_LOCK_REQ(F, L) F(U8, unused, 0, 0)
#define REC_KEY_DISABLE_REQ(F, L)                                                                  \
	F(BYTES, fpr, KEY_FPR, KEY_FPR)                                                            \
	F(U8, disabled, 0, 1)
#define REC_KEYS_REP(F, L)                                                                         \
	F(U8, status, 0, 5) /* enum crypto_status */                                               \
	F(STR, text, 0, 400) /* why, for people; "" when CRYPTO_OK */

/* Make a key; answered by key_rep. */
#define REC_KEY_GENERATE_REQ(F, L)                                                                 \
	F(U8, kind, 1, KIND_MAX - 1) /* enum key_kind; elliptic curves sign or decrypt by use */   \
	F(U8, use, 1, USE_MAX - 1)                                                                 \
	F(U64, created, 0, UINT32_MAX) /* 0 with USE_TLS */                                        \
	F(STR, label, 0, KEY_LABEL_MAX)

/*
 * Take a key: bare parameters, no packets.  The halves must match.  One that is there already is
 * kept as it is (fresh = 0), its use too.  Answered by key_rep.
 */
#define REC_KEY_IMPORT_REQ(F, L)                                                                   \
	F(U8, use, 1, USE_MAX - 1)                                                                 \
	F(U8, algo, 1, 255)                                                                        \
	F(U64, created, 0, UINT32_MAX)                                                             \
	F(STR, label, 0, KEY_LABEL_MAX)                                                            \
	F(BYTES, params, 1, CERT_PARAMS_MAX)                                                       \
	F(BYTES, secret, 1, KEY_SECRET_MAX) /* secret MPIs, RFC 9580, 5.5.5 */
#define REC_KEY_REP(F, L)                                                                          \
	F(U8, status, 0, 5)                                                                        \
	F(STR, text, 0, 400)                                                                       \
	F(U8, fresh, 0, 1) /* 1: stored now, 0: it was there */                                    \
	L(key_info, key, 0, 1)

/* The private half of one key, for a backup. */
#define REC_KEY_EXPORT_REQ(F, L) F(BYTES, fpr, KEY_FPR, KEY_FPR)
#define REC_KEY_EXPORT_REP(F, L)                                                                   \
	F(U8, status, 0, 5)                                                                        \
	F(STR, text, 0, 400)                                                                       \
	L(key_info, key, 0, 1)                                                                     \
	F(BYTES, secret, 0, KEY_SECRET_MAX)

/* Keys in the order of their fingerprints, those above after. */
#define REC_KEY_LIST_REQ(F, L)                                                                     \
	F(BYTES, after, 0, KEY_FPR) /* empty: from the first */                                    \
	F(U16, limit, 1, KEYS_PAGE)
#define REC_KEY_LIST_REP(F, L)                                                                     \
	F(U8, status, 0, 5)                                                                        \
	F(STR, text, 0, 400)                                                                       \
	F(U8, more, 0, 1)                                                                          \
	L(key_info, keys, 0, KEYS_PAGE)

/*
 * A signature for a certificate, answered by sign_rep: by a certify key; by a signing key only
 * while it is new (its back signature, RFC 9580, 5.2.1.9).
 */
#define REC_KEY_CERTIFY_REQ(F, L)                                                                  \
	F(BYTES, fpr, KEY_FPR, KEY_FPR)                                                            \
	F(U8, hash, 1, 255) /* RFC 4880, 9.4 */                                                    \
	F(BYTES, digest, 20, 64)

/*
 * The two authorities that mint certificates for inspected foreign servers (mint_req): make one
 * (a key of use ca and its self-signed certificate; replace: the one there is goes, its key
 * is disabled), or tell what is there.  The proxy authority's key may be given, from a backup; with
 * the name that it had it is the same authority again.
 */
#define CA_ORGANISATION "Postern" /* of both: their names are this and the common name */
#define CA_NAME_MAX 64 /* octets of a common name: ub-common-name, RFC 5280, A.1 */
#define CA_DAYS_MAX 7300
#define REC_CA_INIT_REQ(F, L)                                                                      \
	F(U8, authority, 1, AUTHORITY_MAX - 1)                                                     \
	F(U8, kind, 0,                                                                             \
	    KIND_MAX - 1) /* KIND_P256, KIND_P384 or KIND_RSA3072; 0: the key is given */          \
	F(STR, name, 1, CA_NAME_MAX) /* common name; printable UTF-8 */                            \
	F(U32, days, 1, CA_DAYS_MAX)                                                               \
	F(U8, replace, 0, 1)                                                                       \
	F(U8, algo, 0, 255) /* of a given key, with what follows: as in key_import_req */          \
	F(BYTES, params, 0, CERT_PARAMS_MAX)                                                       \
	F(BYTES, secret, 0, KEY_SECRET_MAX)
#define REC_CA_GET_REQ(F, L) F(U8, authority, 1, AUTHORITY_MAX - 1)
#define REC_CA_REP(F, L)                                                                           \
	F(U8, status, 0, 5) /* enum crypto_status; CRYPTO_NOKEY: there is none */                  \
	F(STR, text, 0, 400)                                                                       \
	F(BYTES, fpr, 0, KEY_FPR)                                                                  \
	F(BYTES, cert, 0, CERT_DER_MAX) /* DER */

#define KEYS_RECORDS(R)                                                                            \
	R(seal_params, REC_SEAL_PARAMS)                                                            \
	R(key_info, REC_KEY_INFO)                                                                  \
	R(keys_state_req, REC_KEYS_STATE_REQ)                                                      \
	R(keys_state_rep, REC_KEYS_STATE_REP)                                                      \
	R(keys_init_req, REC_KEYS_INIT_REQ)                                                        \
	R(keys_unlock_req, REC_KEYS_UNLOCK_REQ)                                                    \
	R(keys_lock_req, REC_KEYS_LOCK_REQ)                                                        \
	R(keys_rep, REC_KEYS_REP)                                                                  \
	R(key_generate_req, REC_KEY_GENERATE_REQ)                                                  \
	R(key_import_req, REC_KEY_IMPORT_REQ)                                                      \
	R(key_rep, REC_KEY_REP)                                                                    \
	R(key_export_req, REC_KEY_EXPORT_REQ)                                                      \
	R(key_export_rep, REC_KEY_EXPORT_REP)                                                      \
	R(key_list_req, REC_KEY_LIST_REQ)                                                          \
	R(key_list_rep, REC_KEY_LIST_REP)                                                          \
	R(key_certify_req, REC_KEY_CERTIFY_REQ)                                                    \
	R(key_disable_req, REC_KEY_DISABLE_REQ)                                                    \
	R(ca_init_req, REC_CA_INIT_REQ)                                                            \
	R(ca_get_req, REC_CA_GET_REQ)                                                              \
	R(ca_rep, REC_CA_REP)

#define KEYS_TO(MSG, number, record) MSG(number, record, PM(P_KEYCTL), PM(P_CRYPTOD), FD_NONE)
#define KEYS_FROM(MSG, number, record) MSG(number, record, PM(P_CRYPTOD), PM(P_KEYCTL), FD_NONE)
#define KEYS_MSGS(MSG)                                                                             \
	KEYS_TO(MSG, 0x0600, keys_state_req)                                                       \
	KEYS_FROM(MSG, 0x0601, keys_state_rep)                                                     \
	KEYS_TO(MSG, 0x0602, keys_init_req)                                                        \
	KEYS_TO(MSG, 0x0603, keys_unlock_req)                                                      \
	KEYS_TO(MSG, 0x0604, keys_lock_req)                                                        \
	KEYS_FROM(MSG, 0x0605, keys_rep)                                                           \
	KEYS_TO(MSG, 0x0610, key_generate_req)                                                     \
	KEYS_TO(MSG, 0x0611, key_import_req)                                                       \
	KEYS_FROM(MSG, 0x0612, key_rep)                                                            \
	KEYS_TO(MSG, 0x0613, key_export_req)                                                       \
	KEYS_FROM(MSG, 0x0614, key_export_rep)                                                     \
	KEYS_TO(MSG, 0x0615, key_list_req)                                                         \
	KEYS_FROM(MSG, 0x0616, key_list_rep)                                                       \
	KEYS_TO(MSG, 0x0617, key_certify_req)                                                      \
	KEYS_TO(MSG, 0x0618, key_disable_req)                                                      \
	KEYS_TO(MSG, 0x0620, ca_init_req)                                                          \
	KEYS_TO(MSG, 0x0621, ca_get_req)                                                           \
	KEYS_FROM(MSG, 0x0622, ca_rep)

KEYS_RECORDS(REC_DECLARE)

#endif
