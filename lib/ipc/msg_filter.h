#ifndef IPC_MSG_FILTER_H
#define IPC_MSG_FILTER_H

#include "base/rec.h"
#include "ipc/blob.h"
#include "ipc/ipc.h"
#include "ipc/msg_policy.h"

/* Workers: how they come to be, and what proxies ask of them. */

/* A proxy asks the dispatcher for a worker for one of its sessions; the descriptor is its end. */
#define REC_WORKER_REQ(F, L) F(BYTES, session, SESSION_ID, SESSION_ID)
#define REC_WORKER_REP(F, L)                                                                       \
	F(U8, ok, 0, 1) /* 1 with a descriptor; 0: none to be had, try later */                    \
	F(STR, text, 0, 255)

/* Dispatcher and zygote. */
#define REC_ZYGOTE_FORK(F, L) F(U8, unused, 0, 0)
#define REC_ZYGOTE_CHILD(F, L) F(U32, pid, 1, UINT32_MAX)
#define REC_ZYGOTE_EXIT(F, L)                                                                      \
	F(U32, pid, 1, UINT32_MAX)                                                                 \
	F(U32, status, 0, UINT32_MAX) /* of waitpid(2) */
/* Dispatcher to worker: the seats at its table, one descriptor each; then it serves. */
#define REC_WORKER_SEAT(F, L) F(U8, peer, 1, P_MAX - 1)
#define REC_WORKER_GO(F, L) F(U32, deadline, 1, 86400) /* seconds of work on one message */

/* Outbound: one message with its envelope; secure_out for each copy, then secure_rep. */
#define REC_SECURE_REQ(F, L)                                                                       \
	F(STR, sender, 0, ADDR_MAX)                                                                \
	L(mailbox, rcpts, 1, RCPTS_MAX)                                                            \
	F(U8, eightbit, 0, 1) /* the peer takes 8BITMIME */                                        \
	F(U8, smtputf8, 0, 1)                                                                      \
	F(U64, max_size, 0, UINT64_MAX) /* octets the peer takes, 0: it did not say */             \
	L(blob, message, 1, 1)
#define REC_RCPT_INDEX(F, L) F(U16, i, 0, RCPTS_MAX - 1)
#define REC_SECURE_OUT(F, L)                                                                       \
	L(rcpt_index, rcpts, 1, RCPTS_MAX)                                                         \
	F(U8, unchanged, 0, 1) /* send the octets that came; no blob */                            \
	F(STR, facts, 0, 500) /* for the log: "encrypted=2 signed=0123..." */                      \
	L(blob, message, 0, 1)
enum secure_result { SECURE_OK, SECURE_REFUSE, SECURE_DEFER };
#define REC_REFUSAL(F, L)                                                                          \
	F(U16, rcpt, 0, RCPTS_MAX - 1)                                                             \
	F(STR, text, 1, 400) /* for the sender: which recipient, why, the remedy */
#define REC_SECURE_REP(F, L)                                                                       \
	F(U8, result, 0, 2) /* enum secure_result */                                               \
	F(STR, dsn, 0, 16) /* enhanced status code, RFC 3463 */                                    \
	F(STR, text, 0, 400)                                                                       \
	L(refusal, refusals, 0, RCPTS_MAX)

/*
 * Retrieval: the stored message; the answer is what the user shall see.
 *
 * sticky	of the answer: what was found, to be kept and given back when the same message is
 *		opened again, so that it looks the same again: a verdict never gets better by itself
 *		(a key that turns up later), but it may get worse.  Opaque, bound to the octets of
 *		the stored message: of another message it has no effect.  What is shown has the
 *		same size for the same message, banner and sticky.  Empty in the answer: neither it
 *		nor the size may be kept, for some of the message is ciphertext for lack of a key,
 *		which may turn up.
 */
#define STICKY_MAX 64
#define REC_OPEN_REQ(F, L)                                                                         \
	F(U8, banner, 0, 1) /* show the verdict in the text too */                                 \
	F(BYTES, sticky, 0, STICKY_MAX) /* empty: not opened before */                             \
	L(blob, message, 1, 1)
enum open_result { OPEN_UNCHANGED, OPEN_VIRTUAL, OPEN_DEFER };
#define REC_OPEN_REP(F, L)                                                                         \
	F(U8, result, 0, 2) /* enum open_result */                                                 \
	F(STR, facts, 0, 500) /* for the log */                                                    \
	F(STR, text, 0, 400) /* OPEN_DEFER: why */                                                 \
	F(BYTES, sticky, 0, STICKY_MAX) /* not with OPEN_DEFER */                                  \
	L(blob, message, 0, 1)

#define FILTER_RECORDS(R)                                                                          \
	R(worker_req, REC_WORKER_REQ)                                                              \
	R(worker_rep, REC_WORKER_REP)                                                              \
	R(zygote_fork, REC_ZYGOTE_FORK)                                                            \
	R(zygote_child, REC_ZYGOTE_CHILD)                                                          \
	R(zygote_exit, REC_ZYGOTE_EXIT)                                                            \
	R(worker_seat, REC_WORKER_SEAT)                                                            \
	R(worker_go, REC_WORKER_GO)                                                                \
	R(secure_req, REC_SECURE_REQ)                                                              \
	R(rcpt_index, REC_RCPT_INDEX)                                                              \
	R(secure_out, REC_SECURE_OUT)                                                              \
	R(refusal, REC_REFUSAL)                                                                    \
	R(secure_rep, REC_SECURE_REP)                                                              \
	R(open_req, REC_OPEN_REQ)                                                                  \
	R(open_rep, REC_OPEN_REP)

#define FILTER_MSGS(MSG)                                                                           \
	MSG(0x0500, worker_req, PM_PROXIES, PM(P_FILTERD), FD_NONE)                                \
	MSG(0x0501, worker_rep, PM(P_FILTERD), PM_PROXIES, FD_MAYBE)                               \
	MSG(0x0502, zygote_fork, PM(P_FILTERD), PM(P_ZYGOTE), FD_NONE)                             \
	MSG(0x0503, zygote_child, PM(P_ZYGOTE), PM(P_FILTERD), FD_ONE)                             \
	MSG(0x0504, zygote_exit, PM(P_ZYGOTE), PM(P_FILTERD), FD_NONE)                             \
	MSG(0x0505, worker_seat, PM(P_FILTERD), PM(P_WORKER), FD_ONE)                              \
	MSG(0x0506, worker_go, PM(P_FILTERD), PM(P_WORKER), FD_NONE)                               \
	MSG(0x0510, secure_req, PM(P_SMTPD), PM(P_WORKER), FD_MAYBE)                               \
	MSG(0x0511, secure_out, PM(P_WORKER), PM(P_SMTPD), FD_MAYBE)                               \
	MSG(0x0512, secure_rep, PM(P_WORKER), PM(P_SMTPD), FD_NONE)                                \
	MSG(0x0520, open_req, PM_PROXIES, PM(P_WORKER), FD_MAYBE)                                  \
	MSG(0x0521, open_rep, PM(P_WORKER), PM_PROXIES, FD_MAYBE)

FILTER_RECORDS(REC_DECLARE)

#endif
