#ifndef IPC_MSG_QUEUE_H
#define IPC_MSG_QUEUE_H

#include "base/rec.h"
#include "ipc/blob.h"
#include "ipc/ipc.h"
#include "ipc/msg_filter.h"
#include "ipc/msg_policy.h"

/* The queue: what comes in, what goes out to deliverd, and gwctl queue. */

#define QUEUE_ID_MAX 24 /* octets of a queue id with its NUL: upper-case hexadecimal digits */
#define ENVID_MAX 100 /* RFC 3461, 4.4: as it was given, xtext */
#define ORCPT_MAX 500 /* RFC 3461, 4.2, the same */
#define DIAG_MAX 1000 /* octets of a diagnostic text, all lines in one */

/* RFC 3461, 4.1; 0: nothing was said, failures and delays are told. */
enum rcpt_notify { RCPT_NEVER = 1, RCPT_SUCCESS = 2, RCPT_FAILURE = 4, RCPT_DELAY = 8 };
enum mail_ret { MAIL_RET_UNSAID, MAIL_RET_FULL, MAIL_RET_HDRS };
enum mail_octets { OCTETS_7BIT, OCTETS_8BIT, OCTETS_BINARY };

#define REC_QUEUE_RCPT(F, L)                                                                       \
	F(STR, addr, 1, ADDR_MAX)                                                                  \
	F(STR, orcpt, 0, ORCPT_MAX)                                                                \
	F(U8, notify, 0, 15) /* enum rcpt_notify, or-ed */                                         \
	F(STR, hold, 0, 255) /* why it is held: not delivered before gwctl queue release; "": it   \
			      * is not */

/*
 * What a message is, beside its recipients and its octets: from smtpd to the log of the queue and
 * on to deliverd.
 */
#define REC_ENVELOPE(F, L)                                                                         \
	F(STR, qid, 1, QUEUE_ID_MAX - 1)                                                           \
	F(STR, tx, 1, QUEUE_ID_MAX - 1) /* of the transaction; the qid of its first message */     \
	F(STR, tenant, 0, 64)                                                                      \
	F(STR, connector, 0, 64) /* "": made here, as notices are */                               \
	F(STR, sender, 0, ADDR_MAX) /* "": <> */                                                   \
	F(STR, envid, 0, ENVID_MAX)                                                                \
	F(U8, ret, 0, 2) /* enum mail_ret */                                                       \
	F(U8, body, 0, 2) /* enum mail_octets: what the octets are, not what was said */           \
	F(U8, smtputf8, 0, 1)                                                                      \
	F(U8, requiretls, 0, 1) /* RFC 8689 */                                                     \
	F(U8, conceal, 0, 1) /* a notice about it has no Subject and no text of it */              \
	F(U8, priority, 0, 9) /* larger goes first; 5 is usual, notices have 3 */                  \
	F(U64, arrived, 0, UINT64_MAX) /* ms since the epoch: MAIL */                              \
	F(STR, msgid, 0, 255) /* Message-ID, for the log */

/*
 * A message for the queue.  One transaction can leave as several messages (policy is per
 * recipient): with more set, another one follows on this channel, under the same request id; only
 * the last is answered, and all of them are taken or none.  QUEUE_OK means that they are on the
 * disk.
 */
#define REC_QUEUE_PUT_REQ(F, L)                                                                    \
	F(U8, more, 0, 1)                                                                          \
	L(envelope, envelope, 1, 1)                                                                \
	L(queue_rcpt, rcpts, 1, RCPTS_MAX)                                                         \
	L(blob, message, 1, 1)
enum queue_status {
	QUEUE_OK,
	QUEUE_FULL, /* no room: 452 4.3.1 */
	QUEUE_BUSY, /* too much is waiting for the disk: 451 4.3.2 */
	QUEUE_FAILED /* 451 4.3.0 */
};
#define REC_QUEUE_PUT_REP(F, L)                                                                    \
	F(U8, status, 0, 3) /* enum queue_status */                                                \
	F(STR, text, 0, 255) /* for the log */
/* Is there room?  To all smtpd when it changes, and at their start: refuse MAIL with 452 until
 * then.
 */
#define REC_QUEUE_ROOM(F, L)                                                                       \
	F(U8, full, 0, 1)                                                                          \
	F(STR, text, 0, 255)

/*
 * A delivery: one message to some of its recipients, who have the same destination.  queued chooses
 * the deliverd, mostly the one that has connections to there, and bounds how many are under way.
 *
 * route	conf_route's name; "" for the MX of domain
 * domain	of the recipients; with a route to fixed servers that of the first, for the log
 * waited	ms: before it was in the queue (RFC-less, Postfix: a of delays=a/b/c/d), and in it
 * (b)
 */
#define REC_JOB_RCPT(F, L)                                                                         \
	F(STR, addr, 1, ADDR_MAX)                                                                  \
	F(STR, orcpt, 0, ORCPT_MAX)                                                                \
	F(U8, notify, 0, 15)
#define REC_JOB_REQ(F, L)                                                                          \
	L(envelope, envelope, 1, 1)                                                                \
	F(STR, route, 0, 64)                                                                       \
	F(STR, domain, 0, 255)                                                                     \
	F(U64, size, 0, UINT64_MAX)                                                                \
	F(U32, waited_in, 0, UINT32_MAX)                                                           \
	F(U32, waited_queue, 0, UINT32_MAX)                                                        \
	L(job_rcpt, rcpts, 1, RCPTS_MAX)                                                           \
	L(blob, message, 1, 1)
enum job_status {
	JOB_SENT, /* and the next host tells of success itself (RFC 3461, 5.2.2), if DSN */
	JOB_RELAYED, /* sent to one that does not know DSN: success is told here, if asked for */
	JOB_DELAYED, /* try again later */
	JOB_FAILED /* for ever */
};
#define REC_JOB_RESULT(F, L)                                                                       \
	F(U8, status, 0, 3) /* enum job_status */                                                  \
	F(STR, dsn, 0, 12) /* RFC 3463 */                                                          \
	F(STR, mta, 0, 255) /* who said so; "": we */                                              \
	F(STR, text, 0, DIAG_MAX)
/*
 * site		0: the results are about this message; 1: the destination as a whole could not be
 *		reached or used (no connection, no TLS as wanted, 421, DNS): others wait too
 */
#define REC_JOB_REP(F, L)                                                                          \
	F(U8, site, 0, 1)                                                                          \
	L(job_result, results, 1, RCPTS_MAX) /* in the order of rcpts, as many */

/* Domains and routes as gwctl wants to see them tried: what deliverd would do. */
#define REC_ROUTE_TEST_REQ(F, L) F(STR, domain, 1, 255)
#define REC_ROUTE_LINE(F, L) F(STR, text, 0, 500)
#define REC_ROUTE_TEST_REP(F, L)                                                                   \
	F(U8, ok, 0, 1)                                                                            \
	L(route_line, lines, 0, 64)

/* gwctl queue. */
#define QUEUE_PAGE_MAX 100
enum queue_state { QS_ACTIVE, QS_WAITING, QS_DEFERRED, QS_HELD };
enum queue_verb { QV_FLUSH = 1, QV_HOLD, QV_RELEASE, QV_REQUEUE, QV_DELETE };

/* What is meant: everything that fits all of what is given. Patterns as fnmatch(3). */
#define REC_QUEUE_FILTER(F, L)                                                                     \
	F(STR, qid, 0, QUEUE_ID_MAX - 1)                                                           \
	F(STR, sender, 0, ADDR_MAX)                                                                \
	F(STR, rcpt, 0, ADDR_MAX)                                                                  \
	F(STR, destination, 0, 255)                                                                \
	F(STR, tenant, 0, 64)                                                                      \
	F(U8, states, 0, 15) /* 1 << enum queue_state, or-ed; 0: all */                            \
	F(U64, older, 0, UINT64_MAX) /* seconds at least; 0 */
#define REC_QUEUE_LIST_REQ(F, L)                                                                   \
	F(U64, after, 0, UINT64_MAX) /* number of the last one seen */                             \
	L(queue_filter, filter, 1, 1)
#define REC_QUEUE_RCPT_INFO(F, L)                                                                  \
	F(STR, addr, 1, ADDR_MAX)                                                                  \
	F(U8, state, 0, 3) /* enum queue_state */                                                  \
	F(STR, text, 0, DIAG_MAX) /* why it waits or is held */
#define REC_QUEUE_INFO(F, L)                                                                       \
	F(U64, number, 0, UINT64_MAX)                                                              \
	L(envelope, envelope, 1, 1)                                                                \
	F(U64, size, 0, UINT64_MAX)                                                                \
	F(U64, next, 0, UINT64_MAX) /* ms since the epoch of the next attempt; 0: now or held */   \
	F(U32, attempts, 0, UINT32_MAX)                                                            \
	F(U32, nrcpts, 0, UINT32_MAX) /* those left; rcpts may be fewer in a listing */            \
	L(queue_rcpt_info, rcpts, 0, RCPTS_MAX)
#define REC_QUEUE_LIST_REP(F, L)                                                                   \
	F(U8, end, 0, 1) /* nothing behind these */                                                \
	F(U64, after, 0, UINT64_MAX) /* ask with this for the next page */                         \
	F(U64, total, 0, UINT64_MAX) /* messages in the queue */                                   \
	L(queue_info, messages, 0, QUEUE_PAGE_MAX)
/* The octets come in pieces: ask again with the offset. */
#define QUEUE_PIECE_MAX (64 * 1024)
#define REC_QUEUE_SHOW_REQ(F, L)                                                                   \
	F(STR, qid, 1, QUEUE_ID_MAX - 1)                                                           \
	F(U64, offset, 0, UINT64_MAX)
#define REC_QUEUE_SHOW_REP(F, L)                                                                   \
	F(U8, found, 0, 1)                                                                         \
	F(STR, text, 0, 255)                                                                       \
	L(queue_info, message, 0, 1)                                                               \
	F(BYTES, piece, 0, QUEUE_PIECE_MAX)
#define REC_QUEUE_ACT_REQ(F, L)                                                                    \
	F(U8, verb, 1, 5) /* enum queue_verb */                                                    \
	F(STR, reason, 0, 255) /* of a hold */                                                     \
	L(queue_filter, filter, 1, 1)
#define REC_QUEUE_ACT_REP(F, L)                                                                    \
	F(U8, ok, 0, 1)                                                                            \
	F(STR, text, 0, 255)                                                                       \
	F(U64, count, 0, UINT64_MAX) /* messages it was done to */

#define QUEUE_RECORDS(R)                                                                           \
	R(queue_rcpt, REC_QUEUE_RCPT)                                                              \
	R(envelope, REC_ENVELOPE)                                                                  \
	R(queue_put_req, REC_QUEUE_PUT_REQ)                                                        \
	R(queue_put_rep, REC_QUEUE_PUT_REP)                                                        \
	R(queue_room, REC_QUEUE_ROOM)                                                              \
	R(job_rcpt, REC_JOB_RCPT)                                                                  \
	R(job_req, REC_JOB_REQ)                                                                    \
	R(job_result, REC_JOB_RESULT)                                                              \
	R(job_rep, REC_JOB_REP)                                                                    \
	R(route_test_req, REC_ROUTE_TEST_REQ)                                                      \
	R(route_line, REC_ROUTE_LINE)                                                              \
	R(route_test_rep, REC_ROUTE_TEST_REP)                                                      \
	R(queue_filter, REC_QUEUE_FILTER)                                                          \
	R(queue_list_req, REC_QUEUE_LIST_REQ)                                                      \
	R(queue_rcpt_info, REC_QUEUE_RCPT_INFO)                                                    \
	R(queue_info, REC_QUEUE_INFO)                                                              \
	R(queue_list_rep, REC_QUEUE_LIST_REP)                                                      \
	R(queue_show_req, REC_QUEUE_SHOW_REQ)                                                      \
	R(queue_show_rep, REC_QUEUE_SHOW_REP)                                                      \
	R(queue_act_req, REC_QUEUE_ACT_REQ)                                                        \
	R(queue_act_rep, REC_QUEUE_ACT_REP)

#define QUEUE_MSGS(MSG)                                                                            \
	MSG(0x0900, queue_put_req, PM(P_SMTPD) | PM(P_ANVILD), PM(P_QUEUED), FD_MAYBE)             \
	MSG(0x0901, queue_put_rep, PM(P_QUEUED), PM(P_SMTPD) | PM(P_ANVILD), FD_NONE)              \
	MSG(0x0902, queue_room, PM(P_QUEUED), PM(P_SMTPD), FD_NONE)                                \
	MSG(0x0910, job_req, PM(P_QUEUED), PM(P_DELIVERD), FD_MAYBE)                               \
	MSG(0x0911, job_rep, PM(P_DELIVERD), PM(P_QUEUED), FD_NONE)                                \
	MSG(0x0912, route_test_req, PM(P_GWCTL), PM(P_DELIVERD), FD_NONE)                          \
	MSG(0x0913, route_test_rep, PM(P_DELIVERD), PM(P_GWCTL), FD_NONE)                          \
	MSG(0x0920, queue_list_req, PM(P_GWCTL), PM(P_QUEUED), FD_NONE)                            \
	MSG(0x0921, queue_list_rep, PM(P_QUEUED), PM(P_GWCTL), FD_NONE)                            \
	MSG(0x0922, queue_show_req, PM(P_GWCTL), PM(P_QUEUED), FD_NONE)                            \
	MSG(0x0923, queue_show_rep, PM(P_QUEUED), PM(P_GWCTL), FD_NONE)                            \
	MSG(0x0924, queue_act_req, PM(P_GWCTL), PM(P_QUEUED), FD_NONE)                             \
	MSG(0x0925, queue_act_rep, PM(P_QUEUED), PM(P_GWCTL), FD_NONE)

QUEUE_RECORDS(REC_DECLARE)

#endif
