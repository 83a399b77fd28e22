#ifndef IPC_MSG_POLICY_H
#define IPC_MSG_POLICY_H

#include "base/rec.h"
#include "ipc/ipc.h"
#include "model/cert.h"
#include "model/consumer.h"

/* Sessions, plans and keys: proxies and workers ask policyd. */

#define SESSION_ID 16 /* octets; random, so that no process can name another's session */
#define WORKER_ID 16
#define JOB_ID 16
#define ADDR_MAX 320 /* RFC 5321, 4.5.3.1: 64 @ 255 */
#define RCPTS_MAX 1000 /* recipients of one transaction, RFC 5321, 4.5.3.1.8 asks for 100 */
#define PLAN_RCPTS_MAX 16 /* recipients in one question; a worker asks again for more */
#define OPENING_KEYS_MAX 64 /* keys of one consumer that a grant covers */
#define OPENING_IDS_MAX 1024 /* PKESK of one message */

/* A login that the peer accepted, or (by_address) none: the sender address decides later. */
#define REC_SESSION_OPEN_REQ(F, L)                                                                 \
	F(STR, tenant, 1, 64)                                                                      \
	F(STR, connector, 1, 64)                                                                   \
	F(STR, peer, 0, 64) /* "": a foreign server, whose logins are nobody's */                  \
	F(STR, authzid, 0, ADDR_MAX) /* "" when the client gave none */                            \
	F(STR, authcid, 0, ADDR_MAX)                                                               \
	F(U8, by_address, 0, 1)                                                                    \
	F(STR, client, 0, 64)                                                                      \
	F(STR, rcpt, 0, ADDR_MAX) /* mx with inbound = decrypt: whose mail is to be opened; its    \
				   * session reads and signs nothing */
#define REC_SESSION_OPEN_REP(F, L)                                                                 \
	F(BYTES, session, SESSION_ID, SESSION_ID)                                                  \
	F(STR, consumer, 0, 64) /* "": unmapped, mail passes as it is */

/*
 * A connector with a second factor, once the peer has accepted the login: has its consumer shown
 * what belongs to him?  A login that is nobody's has not.
 */
#define FACTOR_ADDRS_MAX 16 /* e-mail addresses of one client certificate that count */
#define FACTOR_SECRET_MAX 64 /* octets of a gateway password */
enum factor_result { FACTOR_OK, FACTOR_DENIED, FACTOR_DEFER };
#define REC_FACTOR_REQ(F, L)                                                                       \
	F(STR, tenant, 1, 64)                                                                      \
	F(STR, connector, 1, 64)                                                                   \
	F(STR, peer, 1, 64)                                                                        \
	F(STR, authzid, 0, ADDR_MAX)                                                               \
	F(STR, authcid, 0, ADDR_MAX)                                                               \
	F(STR, secret, 0, FACTOR_SECRET_MAX) /* the gateway password as given, "" for none */      \
	L(mailbox, addrs, 0, FACTOR_ADDRS_MAX) /* of a certificate that was verified */
#define REC_FACTOR_REP(F, L)                                                                       \
	F(U8, result, 0, 2) /* enum factor_result */                                               \
	F(STR, why, 0, 255) /* for the log */
#define REC_SESSION_CLOSE(F, L) F(BYTES, session, SESSION_ID, SESSION_ID)

/* From filterd: this channel (the descriptor) is a worker that serves this session. */
#define REC_WORKER_BIND(F, L)                                                                      \
	F(BYTES, worker, WORKER_ID, WORKER_ID)                                                     \
	F(BYTES, session, 0, SESSION_ID) /* empty towards cryptod */

#define REC_MAILBOX(F, L) F(STR, addr, 0, ADDR_MAX)

/* Outbound message: who may sign, and the keys of (the first) recipients. */
#define REC_PLAN_REQ(F, L)                                                                         \
	F(STR, sender, 0, ADDR_MAX) /* of the envelope */                                          \
	F(STR, from, 0, ADDR_MAX) /* the one From address; "" when there is not exactly one */     \
	F(U8, sign, 0, 1) /* a signing grant is wanted */                                          \
	L(mailbox, rcpts, 0, PLAN_RCPTS_MAX)

enum plan_sign { SIGN_NO, SIGN_YES, SIGN_DEFER };
enum rcpt_keys { KEYS_NONE, KEYS_FOUND, KEYS_UNUSABLE };

#define REC_PLAN_RCPT(F, L)                                                                        \
	F(U8, status, 0, 2) /* enum rcpt_keys */                                                   \
	F(U8, internal, 0, 1) /* one of our own consumers */                                       \
	F(STR, why, 0, 255) /* KEYS_UNUSABLE: "expired on 2026-01-02" */                           \
	L(cert, certs, 0, 8) /* valid now and able to encrypt */
#define REC_PLAN_REP(F, L)                                                                         \
	F(U8, sign, 0, 2) /* enum plan_sign */                                                     \
	F(U8, outside, 0,                                                                          \
	    1) /* the sender is of no domain of ours, and the connector wants that refused */      \
	F(STR, why, 0, 255) /* when not SIGN_YES */                                                \
	F(BYTES, job, 0, JOB_ID) /* of the grant */                                                \
	F(STR, consumer, 0, 64) /* whose session this is, "" for nobody's */                       \
	F(BYTES, sign_key, 0, 32) /* fingerprint of the signing (sub)key */                        \
	L(cert, signer, 0, 1)                                                                      \
	L(plan_rcpt, rcpts, 0, PLAN_RCPTS_MAX) /* same order; may be fewer: ask for the rest */

/* Message to be opened: the key ids (8 octets, zeros for hidden) of its PKESK packets. */
#define REC_KEY_ID(F, L) F(BYTES, id, 8, 32) /* key id or fingerprint */
#define REC_OPENING_REQ(F, L) L(key_id, ids, 1, OPENING_IDS_MAX)
enum opening_result { OPENING_NOKEY, OPENING_GRANTED, OPENING_DEFER };
#define REC_OPENING_REP(F, L)                                                                      \
	F(U8, result, 0, 2) /* enum opening_result */                                              \
	F(STR, why, 0, 255)                                                                        \
	F(BYTES, job, 0, JOB_ID)                                                                   \
	L(cert_key, keys, 0, OPENING_KEYS_MAX) /* the consumer's keys that the grant covers */

/* Who made this signature? */
#define REC_SIGNER_REQ(F, L) F(BYTES, id, 8, 32)
#define REC_SIGNER(F, L)                                                                           \
	F(STR, consumer, 1, 64)                                                                    \
	L(mailbox, addrs, 0, 64) /* the addresses that an administrator bound to the consumer */   \
	L(cert, certs, 1, 1)
#define REC_SIGNER_REP(F, L)                                                                       \
	F(U8, defer, 0, 1) /* the database cannot answer now */                                    \
	L(signer, signers, 0, 4)

/*
 * The phrase in the banners of the session's consumer; "" for nobody's session, and where no
 * connector of the tenant shows any.
 */
#define REC_PHRASE_REQ(F, L) F(U8, unused, 0, 0)
#define REC_PHRASE_REP(F, L)                                                                       \
	F(U8, defer, 0, 1) /* the database cannot answer now */                                    \
	F(STR, phrase, 0, PHRASE_LEN)

/*
 * The queue's way in: a sender or recipient of a message.  Who is it, and may mail be sent to him?
 *
 * tenant	of the recipients before; "" for the first one
 */
enum whose_addr {
	WHOSE_FOREIGN, /* of no domain of ours */
	WHOSE_OURS, /* takes mail */
	WHOSE_UNKNOWN, /* of a domain of ours, and not there: 550 5.1.1 */
	WHOSE_ASK /* of a domain of ours whose server is to be asked (call-ahead) */
};
#define REC_WHOSE_REQ(F, L)                                                                        \
	F(STR, addr, 1, ADDR_MAX)                                                                  \
	F(U8, sender, 0, 1)
#define REC_WHOSE_REP(F, L)                                                                        \
	F(U8, defer, 0, 1) /* the database cannot answer now */                                    \
	F(U8, whose, 0, 3) /* enum whose_addr */                                                   \
	F(STR, tenant, 0, 64)                                                                      \
	F(STR, consumer, 0, 64) /* "": none has this address */                                    \
	F(U8, reads, 0, 1) /* we hold a key with which his mail can be opened */

/*
 * Outbound through the queue: is there anything that a worker could do?  Only a message without any
 * trigger (lib/policy) may be passed on the answer 0, octet for octet.
 */
#define REC_SCREEN_REQ(F, L)                                                                       \
	F(BYTES, session, SESSION_ID, SESSION_ID)                                                  \
	F(STR, sender, 0, ADDR_MAX)                                                                \
	L(mailbox, rcpts, 1, RCPTS_MAX)
#define REC_SCREEN_REP(F, L)                                                                       \
	F(U8, worker, 0, 1) /* 1: a key, a signature or a doubt: ask a worker */

#define POLICY_RECORDS(R)                                                                          \
	R(session_open_req, REC_SESSION_OPEN_REQ)                                                  \
	R(session_open_rep, REC_SESSION_OPEN_REP)                                                  \
	R(session_close, REC_SESSION_CLOSE)                                                        \
	R(worker_bind, REC_WORKER_BIND)                                                            \
	R(mailbox, REC_MAILBOX)                                                                    \
	R(factor_req, REC_FACTOR_REQ)                                                              \
	R(factor_rep, REC_FACTOR_REP)                                                              \
	R(plan_req, REC_PLAN_REQ)                                                                  \
	R(plan_rcpt, REC_PLAN_RCPT)                                                                \
	R(plan_rep, REC_PLAN_REP)                                                                  \
	R(key_id, REC_KEY_ID)                                                                      \
	R(opening_req, REC_OPENING_REQ)                                                            \
	R(opening_rep, REC_OPENING_REP)                                                            \
	R(signer_req, REC_SIGNER_REQ)                                                              \
	R(signer, REC_SIGNER)                                                                      \
	R(signer_rep, REC_SIGNER_REP)                                                              \
	R(phrase_req, REC_PHRASE_REQ)                                                              \
	R(phrase_rep, REC_PHRASE_REP)                                                              \
	R(whose_req, REC_WHOSE_REQ)                                                                \
	R(whose_rep, REC_WHOSE_REP)                                                                \
	R(screen_req, REC_SCREEN_REQ)                                                              \
	R(screen_rep, REC_SCREEN_REP)

#define POLICY_MSGS(MSG)                                                                           \
	MSG(0x0300, session_open_req, PM_PROXIES, PM(P_POLICYD), FD_NONE)                          \
	MSG(0x0301, session_open_rep, PM(P_POLICYD), PM_PROXIES, FD_NONE)                          \
	MSG(0x0302, session_close, PM_PROXIES, PM(P_POLICYD), FD_NONE)                             \
	MSG(0x0303, worker_bind, PM(P_FILTERD), PM(P_POLICYD) | PM(P_CRYPTOD), FD_ONE)             \
	MSG(0x0304, factor_req, PM_PROXIES, PM(P_POLICYD), FD_NONE)                                \
	MSG(0x0305, factor_rep, PM(P_POLICYD), PM_PROXIES, FD_NONE)                                \
	MSG(0x0306, whose_req, PM(P_SMTPD), PM(P_POLICYD), FD_NONE)                                \
	MSG(0x0307, whose_rep, PM(P_POLICYD), PM(P_SMTPD), FD_NONE)                                \
	MSG(0x0308, screen_req, PM(P_SMTPD), PM(P_POLICYD), FD_NONE)                               \
	MSG(0x0309, screen_rep, PM(P_POLICYD), PM(P_SMTPD), FD_NONE)                               \
	MSG(0x0310, plan_req, PM(P_WORKER), PM(P_POLICYD), FD_NONE)                                \
	MSG(0x0311, plan_rep, PM(P_POLICYD), PM(P_WORKER), FD_NONE)                                \
	MSG(0x0312, opening_req, PM(P_WORKER), PM(P_POLICYD), FD_NONE)                             \
	MSG(0x0313, opening_rep, PM(P_POLICYD), PM(P_WORKER), FD_NONE)                             \
	MSG(0x0314, signer_req, PM(P_WORKER), PM(P_POLICYD), FD_NONE)                              \
	MSG(0x0315, signer_rep, PM(P_POLICYD), PM(P_WORKER), FD_NONE)                              \
	MSG(0x0316, phrase_req, PM(P_WORKER), PM(P_POLICYD), FD_NONE)                              \
	MSG(0x0317, phrase_rep, PM(P_POLICYD), PM(P_WORKER), FD_NONE)

POLICY_RECORDS(REC_DECLARE)

#endif
