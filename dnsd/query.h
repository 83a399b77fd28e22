#ifndef DNSD_QUERY_H
#define DNSD_QUERY_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "dnsd/dnsd.h"

#define WHY_MAX 256 /* octets of an explanation with its NUL, as the messages allow */

enum rcode { RCODE_OK = 0, RCODE_NXDOMAIN = 3 };

struct query;
struct account;

struct query_kind {
	size_t size; /* of the struct that begins with struct query */

	/*
	 * What was asked for has come, or is late: answer (query_answered), or ask on unless it is
	 * late.
	 */
	void (*conclude)(struct query *q);

	/* Answer that there is nothing to be had; of a question that has not begun too. */
	void (*refuse)(
	    struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text);
};

/* One question of a daemon.  It lives until the resolver and the asker owe each other nothing. */
struct query {
	TAILQ_ENTRY(query) next;
	const struct query_kind *kind;
	struct chan *asker; /* NULL: answered, or gone */
	struct account *account; /* of the asker; NULL: he is gone */
	uint64_t id;
	char name[NAME_MAX_OCTETS + 1];
	unsigned waiting; /* answers of the resolver that are to come */
	unsigned failed, secure, bogus; /* of those that came */
	int late;
	char why[WHY_MAX]; /* of bogus and failed */
	struct event timer;
};

/*
 * A new one, which has a struct of kind->size, zeroed behind struct query; query_begin is to follow
 * when its first questions are asked.  NULL: there are too many, and the asker was told so.
 */
void *query_make(const struct query_kind *kind, struct chan *c, uint64_t id, const char *name);
void query_begin(struct query *q);

/*
 * Ask the resolver.  fn (whose arg is q) has to end with query_release, behind which q may be gone;
 * it may be called before this returns, but q stays as long as query_begin or conclude runs.
 */
void query_ask(struct query *q, const char *name, int type, resolver_fn fn);
void query_release(struct query *q);

/* From now on as long as it lives: seconds until conclude is called with late set. */
void query_hurry(struct query *q, unsigned seconds);

/*
 * Is there something to be read, perhaps nothing but that there is nothing?  Else it was counted as
 * bogus or failed.
 */
int query_sound(struct query *q, const struct resolver_result *r);
void query_failed(struct query *q, const char *why);

/* Tell the asker that it was bogus or failed; 0: it was not. */
int query_refused(struct query *q);
void query_refuse(struct query *q, enum dns_status status, int secure, const char *text);

/* An answer was sent: count it; of a question, the asker needs to be told no more. */
void query_counted(enum dns_status status);
void query_answered(struct query *q);

#define TOO_MANY "too many names are being looked up"

extern struct query_counts query_counts;

#endif
