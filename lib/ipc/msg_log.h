#ifndef IPC_MSG_LOG_H
#define IPC_MSG_LOG_H

#include "base/rec.h"
#include "ipc/ipc.h"
#include "ipc/msg_policy.h"
#include "ipc/msg_queue.h"

/*
 * What happens to mail: one message gives the line for syslog (event_line, in Postfix's grammar)
 * and the record in logd's database.  Plain lines go as log_line.
 *
 * Text from outside is in here as it came; event_line escapes it.  Fields that do not belong to a
 * kind are "" or 0.
 */
enum event_kind {
	EV_CONNECT, /* client */
	EV_DISCONNECT, /* client; text: "commands=5" */
	EV_REJECT, /* text: the whole reply; what: "RCPT from"..., sender, rcpt, helo, proto */
	EV_CLIENT, /* qid, client: a transaction begins; user, mechanism */
	EV_MESSAGE, /* qid, msgid: "message-id=<...>" */
	EV_QUEUED, /* qid, sender, size, nrcpt: taken, the sender was or will be told 250 */
	EV_CRYPTO, /* qid, text: "encrypted=1 signed=..." */
	EV_DELIVERY, /* qid, rcpt, orcpt, relay, delays, dsn, status, text */
	EV_HELD, /* qid, rcpt, text */
	EV_NOTICE, /* qid, rcpt: the notice's qid; text: "sender non-delivery notification" */
	EV_EXPIRED, /* qid, sender: "from=<>, status=expired, returned to sender" */
	EV_REMOVED, /* qid */
	EV_ADMIN, /* qid, text: by gwctl */
	EV_LOST, /* client; what: "lost connection after DATA from", "timeout after RCPT from" */
	EV_LOGIN, /* client, user, mechanism, relay, text: a session that carries no message */
	EV_LOGIN_FAILED, /* client, user, mechanism, text */
	EV_MAX
};
enum event_status { ES_NONE, ES_SENT, ES_DEFERRED, ES_BOUNCED, ES_MAX };

#define REC_LOG_EVENT(F, L)                                                                        \
	F(U8, kind, 0, EV_MAX - 1)                                                                 \
	F(U8, level, 0, 3)                                                                         \
	F(U32, pid, 0, UINT32_MAX)                                                                 \
	F(U64, when, 0, UINT64_MAX) /* ms since the epoch */                                       \
	F(STR, tx, 0, QUEUE_ID_MAX - 1) /* the transaction it belongs to; "": none */              \
	F(STR, qid, 0, QUEUE_ID_MAX - 1) /* "": NOQUEUE */                                         \
	F(STR, tenant, 0, 64)                                                                      \
	F(STR, connector, 0, 64)                                                                   \
	F(STR, client, 0, 320) /* "name[192.0.2.1]" or "unknown[192.0.2.1]" */                     \
	F(STR, what, 0, 64)                                                                        \
	F(STR, helo, 0, 255)                                                                       \
	F(STR, proto, 0, 16) /* ESMTP, SMTP */                                                     \
	F(STR, user, 0, ADDR_MAX)                                                                  \
	F(STR, mechanism, 0, 32)                                                                   \
	F(STR, sender, 0, ADDR_MAX)                                                                \
	F(STR, rcpt, 0, ADDR_MAX)                                                                  \
	F(STR, orcpt, 0, ORCPT_MAX)                                                                \
	F(STR, msgid, 0, 255)                                                                      \
	F(STR, relay, 0, 320)                                                                      \
	F(STR, dsn, 0, 12)                                                                         \
	F(U8, status, 0, ES_MAX - 1)                                                               \
	F(U64, size, 0, UINT64_MAX)                                                                \
	F(U32, nrcpt, 0, UINT32_MAX)                                                               \
	F(U32, delay_a, 0, UINT32_MAX) /* ms: before the queue, in it, connecting, sending */      \
	F(U32, delay_b, 0, UINT32_MAX)                                                             \
	F(U32, delay_c, 0, UINT32_MAX)                                                             \
	F(U32, delay_d, 0, UINT32_MAX)                                                             \
	F(STR, text, 0, DIAG_MAX)

/* gwctl log, gwctl trace.  Answers come in pages; the newest last. */
#define LOG_PAGE_MAX 100
#define REC_LOG_SEARCH_REQ(F, L)                                                                   \
	F(BYTES, after, 0, 16) /* the answer before said where it stopped */                       \
	F(U64, since, 0, UINT64_MAX) /* ms since the epoch */                                      \
	F(U64, until, 0, UINT64_MAX) /* 0: no end */                                               \
	F(STR, tx, 0, QUEUE_ID_MAX - 1) /* events of this transaction, or of this queue id's */    \
	F(STR, sender, 0, ADDR_MAX) /* fnmatch(3), as the others; "": any */                       \
	F(STR, rcpt, 0, ADDR_MAX)                                                                  \
	F(STR, client, 0, 320)                                                                     \
	F(STR, msgid, 0, 255)                                                                      \
	F(STR, tenant, 0, 64)                                                                      \
	F(U8, status, 0, ES_MAX - 1) /* ES_NONE: any */                                            \
	F(U32, kinds, 0, UINT32_MAX) /* 1 << enum event_kind, or-ed; 0: all */
#define REC_LOG_FOUND(F, L)                                                                        \
	F(STR, who, 0, 32) /* the process: "smtpd" */                                              \
	L(log_event, event, 1, 1)
#define REC_LOG_SEARCH_REP(F, L)                                                                   \
	F(U8, end, 0, 1) /* nothing behind these; else ask again, also when there are none here */ \
	F(BYTES, after, 0, 16) /* also at the end: for what happens later */                       \
	F(STR, text, 0, 255) /* why it cannot be answered */                                       \
	L(log_found, events, 0, LOG_PAGE_MAX)

#define LOG_RECORDS(R)                                                                             \
	R(log_event, REC_LOG_EVENT)                                                                \
	R(log_search_req, REC_LOG_SEARCH_REQ)                                                      \
	R(log_found, REC_LOG_FOUND)                                                                \
	R(log_search_rep, REC_LOG_SEARCH_REP)

#define LOG_MSGS(MSG)                                                                              \
	MSG(0x0b00, log_event, PM_DAEMONS, PM(P_LOGD), FD_NONE)                                    \
	MSG(0x0b01, log_search_req, PM(P_GWCTL), PM(P_LOGD), FD_NONE)                              \
	MSG(0x0b02, log_search_rep, PM(P_LOGD), PM(P_GWCTL), FD_NONE)

LOG_RECORDS(REC_DECLARE)

#endif
