#ifndef SMTPD_AHEAD_H
#define SMTPD_AHEAD_H

#include "ipc/msg_anvil.h"

/*
 * Call-ahead: the server behind us is asked whether it takes a recipient (MAIL FROM:<>, RCPT TO),
 * and no message follows.  What it has said is remembered by anvild, for all smtpd.
 */
#define AHEAD_MS 20000 /* for an answer */
#define AHEAD_PENDING_MAX 200 /* questions that wait for one route's servers */

/*
 * known	KNOWN_GOOD, KNOWN_BAD; or KNOWN_NOT: it cannot be found out now
 * text		what the server said
 *
 * Called once, from the loop.
 */
typedef void (*ahead_fn)(enum known_rcpt known, const char *text, void *arg);

/*
 * addr		normalised
 * domain	of it; its route says which servers are asked
 * utf8		it needs SMTPUTF8
 *
 * Returns NULL with errno: EHOSTUNREACH (no route has servers for it, which is logged), EAGAIN (too
 * many are under way), ENOMEM.
 */
struct ahead_ask;
struct ahead_ask *ahead_ask(const char *addr, const char *domain, int utf8, ahead_fn fn, void *arg);
void ahead_cancel(struct ahead_ask *a); /* fn is not called; NULL is allowed */

/* Routes may be others now. */
void ahead_renew(void);

#endif
