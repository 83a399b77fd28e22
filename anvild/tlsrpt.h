#ifndef ANVILD_TLSRPT_H
#define ANVILD_TLSRPT_H

#include "proc/proc.h"
#include "store/store.h"

/*
 * Reports about TLS (RFC 8460), with tls_reports in section queue: what deliverd has seen is
 * counted per day and domain, and when the day is over the domains that want it are sent a report,
 * through the queue.
 */

/*
 * s	what was kept comes from there, and is kept there; NULL: nowhere, in memory only.  May be
 *	called again, with another store or NULL, when the one before is gone.
 * table	number of the table in there
 */
void tlsrpt_start(struct store *s, unsigned table);

/* One session; in memory only. */
void tlsrpt_session(const struct tls_session *m);

/*
 * Save what has changed, and begin to send what is due.  Once a minute; no transaction may be open.
 */
void tlsrpt_tick(void);

/* Save, give up what is under way, forget all. */
void tlsrpt_stop(void);

void tlsrpt_status(void); /* facts */

/* Of gwctl. */
void tlsrpt_list(struct chan *c, uint64_t id, const struct tlsrpt_list_req *q);
void tlsrpt_send(struct chan *c, uint64_t id, const struct tlsrpt_send_req *q);

#endif
