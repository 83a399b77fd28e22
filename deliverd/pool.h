#ifndef DELIVERD_POOL_H
#define DELIVERD_POOL_H

#include "deliverd/client.h"
#include "deliverd/dest.h"
#include "deliverd/policy.h"

/*
 * Destinations and the connections to their servers.  A connection carries one message at a time,
 * then waits route.reuse seconds for the next one to the same destination.
 */
#define POOL_LINKS_MAX 2000 /* connections of the process */
#define POOL_AGE_MS 300000 /* then a connection goes: DNS and policies may have changed */
#define POOL_DESTS_MAX 1024 /* destinations without a delivery that are remembered */

struct link;

/* Somebody who waits for the plan of a destination. */
struct dest_wait {
	TAILQ_ENTRY(dest_wait) next;
	struct dest *dest; /* NULL: not waiting */
	void (*fn)(void *arg, struct plan *p); /* from the loop; p stays the destination's */
	void *arg;
};

struct dest {
	LIST_ENTRY(dest) next;
	TAILQ_ENTRY(dest) unused; /* with refs 0 */
	unsigned refs;
	struct route *route;
	char *domain; /* "" where the route has servers: all its domains are one destination */
	struct plan *plan; /* the last one; NULL: none */
	struct planning *planning;
	TAILQ_HEAD(, dest_wait) waits;
	LIST_HEAD(, link) links; /* all to its servers */
	TAILQ_HEAD(, link) idle; /* the last one used first */
};

/* The destination of a domain under a route; dest_drop when done. NULL: ENOMEM. */
struct dest *dest_get(struct route *r, const char *domain);
void dest_drop(struct dest *d);

/*
 * Its servers as of now: the plan (plan_keep if it is to stay), or NULL: w waits for it.
 */
struct plan *dest_plan(struct dest *d, struct dest_wait *w);
void dest_unwait(struct dest_wait *w); /* nothing happens when it does not wait */

/* Those that nobody uses are forgotten: of routes that are gone, or all. */
void dest_forget(bool all);
unsigned dest_count(void);

/* ---- connections ---- */

/* Why there is none; text is one line, printable. */
struct link_failure {
	bool permanent; /* it will not be better later */
	bool last; /* nor may the servers behind this one be tried: they would send it here */
	char dsn[12];
	char mta[HOST_MAX]; /* who said so; "": we */
	const char *verb; /* with mta, for the log: host MTA "refused to talk to me": TEXT */
	char text[DIAG_MAX + 1]; /* with mta its reply, code and all */
};

struct link_want {
	struct dest *dest;
	struct plan *plan;
	const struct plan_host *host; /* of plan */
	enum policy_need need;
	const char *qid; /* for the log */
	/*
	 * l is there, idle, perhaps not the one that link_open has returned, which is gone then;
	 * or NULL: why.  Called once, from the loop.
	 */
	void (*ready)(void *arg, struct link *l, const struct link_failure *why);
	void *arg;
};

/*
 * An idle connection to that server that is as a message needs it, or NULL.
 */
struct link *link_take(struct dest *d, const struct plan_host *h, enum policy_need need);

/* A new one.  NULL: ENOMEM.  Until ready was called link_close gives it up. */
struct link *link_open(const struct link_want *w);

/* Done with it: it waits for the next message if it can, or closes. */
void link_give(struct link *l);
void link_close(struct link *l); /* NULL is allowed */

struct client *link_client(const struct link *l);

/* Connections at once, 1 to POOL_LINKS_MAX; who wants more waits.  As many at first. */
void pool_limit(unsigned links);

/* The folder for messages that are too large for memory; -1, as at first: there is none. */
void pool_spool(int dirfd);

/* After a reload: idle connections of routes that are gone close; the rest when they are given. */
void pool_renew(void);
/* All idle connections close, and all that will be idle. */
void pool_drain(void);
void pool_clear(void);

struct pool_counts {
	uint64_t opened, failed, reused;
	unsigned links, idle, waiting;
};
const struct pool_counts *pool_count(void);

#endif
