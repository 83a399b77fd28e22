#ifndef SMTPD_WHOSE_H
#define SMTPD_WHOSE_H

#include "proc/proc.h"

/*
 * Whose is an address, as policyd says; and what it said is remembered for a moment, so that a
 * hundred messages to the same address are one question.
 */
#define WHOSE_KEPT_MS 5000
#define SCREEN_KEPT_MS 1000 /* a key that was just imported is to be used */

struct whose {
	int defer; /* it cannot be said now; nothing else counts */
	enum whose_addr whose;
	char tenant[65]; /* "" for WHOSE_FOREIGN */
	int known; /* somebody has this very address here */
	int reads; /* his mail can be opened here */
};

/* What is remembered of a sender or recipient.  1 with *out, or 0. */
int whose_find(const char *addr, int sender, struct whose *out);

/* Ask; fn is called once, from the loop.  NULL with errno. */
typedef void (*whose_fn)(const struct whose *w, void *arg);
struct whose_ask;
struct whose_ask *whose_ask(const char *addr, int sender, whose_fn fn, void *arg);
void whose_cancel(struct whose_ask *a); /* fn is not called; NULL is allowed */

/*
 * Is it remembered that no worker has anything to do with mail from this sender to these?  Of one
 * recipient only, and of senders without a login: the answer for those is the same in each session.
 */
int screen_find(const char *connector, const char *sender, const char *rcpt);
void screen_keep(const char *connector, const char *sender, const char *rcpt);

/* policyd is another one, or the configuration: all is forgotten. */
void whose_forget(void);

#endif
