#ifndef GWCTL_LOG_H
#define GWCTL_LOG_H

#include "gwctl/gwctl.h"

/* Between the files of "gwctl log" and "gwctl trace". */

/* One event, as --json gives it. */
#define REC_SHOWN_EVENT(F, L)                                                                      \
	F(U64, time, 0, UINT64_MAX) /* seconds since the epoch */                                  \
	F(U64, time_ms, 0, UINT64_MAX) /* ms since the epoch */                                    \
	F(STR, daemon, 0, 32)                                                                      \
	F(U32, pid, 0, UINT32_MAX)                                                                 \
	F(STR, kind, 0, 16)                                                                        \
	F(STR, transaction, 0, 64)                                                                 \
	F(STR, qid, 0, 64)                                                                         \
	F(STR, tenant, 0, 64)                                                                      \
	F(STR, connector, 0, 64)                                                                   \
	F(STR, client, 0, 1024)                                                                    \
	F(STR, what, 0, 64)                                                                        \
	F(STR, helo, 0, 1024)                                                                      \
	F(STR, protocol, 0, 64)                                                                    \
	F(STR, user, 0, 1024)                                                                      \
	F(STR, mechanism, 0, 64)                                                                   \
	F(STR, sender, 0, 1024)                                                                    \
	F(STR, rcpt, 0, 1024)                                                                      \
	F(STR, orcpt, 0, 1024)                                                                     \
	F(STR, message_id, 0, 1024)                                                                \
	F(STR, relay, 0, 1024)                                                                     \
	F(STR, dsn, 0, 16)                                                                         \
	F(STR, status, 0, 16)                                                                      \
	F(U64, size, 0, UINT64_MAX)                                                                \
	F(U32, nrcpt, 0, UINT32_MAX)                                                               \
	F(U32, delay_before, 0, UINT32_MAX) /* ms */                                               \
	F(U32, delay_queue, 0, UINT32_MAX)                                                         \
	F(U32, delay_connect, 0, UINT32_MAX)                                                       \
	F(U32, delay_send, 0, UINT32_MAX)                                                          \
	F(STR, text, 0, 4096)                                                                      \
	F(STR, line, 0, 4096)

REC_DECLARE(shown_event, REC_SHOWN_EVENT)

/* A channel to logd; 0 or the exit code. */
int log_connect(struct gwctl *t, struct ipc *c);

/*
 * Call fn for each event that fits, page by page; what is not 0 from fn ends it.
 *
 * q	its member after is where to begin, and becomes where to go on for what happens later; it
 *	points to after then
 *
 * 0, the exit code, or what fn returned.
 */
typedef int (*log_fn)(void *arg, const struct log_found *f);
int log_each(struct ipc *c, struct log_search_req *q, uint8_t after[16], log_fn fn, void *arg);

/* The event as JSON, an item of a list or (l NULL) a line of its own. */
void log_json(struct json_list *l, const struct log_found *f);

/* A queue id as it is stored: digits in upper case. 0, or -1: it can be none. */
int log_id(const char *s, char out[QUEUE_ID_MAX]);

/* What an outcome is coloured with. */
enum tint log_tint(const struct log_event *e);

/* ---- logtime.c ---- */

/*
 * A time as people write it: "2026-11-22", "2026-11-22 13:00", "2026-11-22T13:00:05", "13:00" (of
 * today), "today", "yesterday", "now", "-2h" (also s, min or m, h, d, w), "@SECONDS".  Local time.
 *
 * now	ms since the epoch
 *
 * 0 and ms since the epoch, or -1: it is no time.
 */
int log_time_parse(const char *s, uint64_t now, uint64_t *out);

/* "2026-11-22 13:00:05.123", local time. */
#define LOG_TIME_TEXT 40
const char *log_time_text(uint64_t ms, char out[LOG_TIME_TEXT]);

#endif
