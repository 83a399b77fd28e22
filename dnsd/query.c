/* What questions of all kinds have in common: bounds, deadlines, what went wrong. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "dnsd/query.h"

#define DEADLINE_S 20 /* then the asker hears that it failed for now */
#define ACCOUNTS 512 /* more than there are daemons who ask */

/* What one asker has under way, also what he was given up for. */
struct account {
	const struct chan *asker; /* NULL: nobody's */
	unsigned open;
};

static TAILQ_HEAD(, query) queries = TAILQ_HEAD_INITIALIZER(queries);
static struct account accounts[ACCOUNTS];
struct query_counts query_counts;

const struct query_counts *
query_count(void)
{
	return &query_counts;
}

void
query_counted(enum dns_status status)
{
	query_counts.found += status == DNS_OK;
	query_counts.notfound += status == DNS_NOTFOUND;
	query_counts.failed += status == DNS_TEMPFAIL;
	query_counts.bogus += status == DNS_BOGUS;
}

void
query_answered(struct query *q)
{
	q->asker = NULL;
}

void
query_refuse(struct query *q, enum dns_status status, int secure, const char *text)
{
	q->kind->refuse(q->asker, q->id, status, secure, text);
	query_answered(q);
}

int
query_refused(struct query *q)
{
	if (q->bogus > 0)
		query_refuse(q, DNS_BOGUS, 0, q->why);
	else if (q->failed > 0)
		query_refuse(q, DNS_TEMPFAIL, 0, q->why);
	else
		return 0;
	return 1;
}

static void
query_free(struct query *q)
{
	(void)evtimer_del(&q->timer);
	TAILQ_REMOVE(&queries, q, next);
	query_counts.open--;
	if (q->account != NULL)
		q->account->open--;
	free(q);
}

/* Nothing is to come. What conclude asks may be answered at once, and then it is its turn again. */
static void
settle(struct query *q)
{
	while (q->waiting == 0 && q->asker != NULL) {
		q->waiting++;
		q->kind->conclude(q);
		q->waiting--;
	}
	if (q->waiting == 0)
		query_free(q);
}

void
query_release(struct query *q)
{
	if (--q->waiting == 0)
		settle(q);
}

void
query_begin(struct query *q)
{
	query_release(q);
}

void
query_ask(struct query *q, const char *name, int type, resolver_fn fn)
{
	static const struct resolver_result none = {.rcode = 2};

	q->waiting++;
	if (resolver_ask(name, type, fn, q) == -1)
		fn(q, &none);
}

/* libunbound's words, without the brackets around names, for those have a meaning in logs. */
static void
explain(struct query *q, const struct resolver_result *r)
{
	const char *trouble = trust_trouble(q->name), *s = r->why != NULL ? r->why : "bogus";
	size_t n;

	(void)snprintf(
	    q->why, sizeof q->why, "DNSSEC: %s%s", trouble, trouble[0] != '\0' ? " " : "");
	for (n = strlen(q->why); *s != '\0' && n + 1 < sizeof q->why; s++)
		if (*s != '<' && *s != '>')
			q->why[n++] = *s;
	q->why[n] = '\0';
	trust_doubt();
}

void
query_failed(struct query *q, const char *why)
{
	q->failed++;
	if (q->bogus == 0)
		(void)strlcpy(
		    q->why, why != NULL ? why : "the name servers do not answer", sizeof q->why);
}

int
query_sound(struct query *q, const struct resolver_result *r)
{
	if (r->bogus) {
		q->bogus++;
		explain(q, r);
	} else if (r->rcode != RCODE_OK && r->rcode != RCODE_NXDOMAIN)
		query_failed(q, r->why);
	else
		return 1;
	return 0;
}

/* Too late for the asker; the resolver still holds on to the memory. */
static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct query *q = arg;

	(void)fd;
	(void)what;
	if (q->asker == NULL)
		return;
	query_failed(q, NULL);
	q->late = 1;
	q->kind->conclude(q);
}

void
query_hurry(struct query *q, unsigned seconds)
{
	const struct timeval tv = {.tv_sec = (time_t)seconds};

	(void)evtimer_add(&q->timer, &tv);
}

/* NULL: there is no place. */
static struct account *
account_of(const struct chan *c)
{
	struct account *empty = NULL;
	size_t i;

	for (i = 0; i < ACCOUNTS; i++) {
		if (accounts[i].asker == c)
			return &accounts[i];
		if (accounts[i].asker == NULL && accounts[i].open == 0 && empty == NULL)
			empty = &accounts[i];
	}
	if (empty != NULL)
		empty->asker = c;
	return empty;
}

void *
query_make(const struct query_kind *kind, struct chan *c, uint64_t id, const char *name)
{
	struct account *a = account_of(c);
	struct query *q = NULL;

	if (query_counts.open < QUERIES_MAX && a != NULL && a->open < QUERIES_EACH)
		q = calloc(1, kind->size);
	if (q == NULL) {
		kind->refuse(c, id, DNS_TEMPFAIL, 0, TOO_MANY);
		return NULL;
	}
	q->kind = kind;
	(void)strlcpy(q->name, name, sizeof q->name);
	q->asker = c;
	q->account = a;
	q->id = id;
	q->waiting = 1;
	TAILQ_INSERT_TAIL(&queries, q, next);
	query_counts.open++;
	a->open++;
	(void)evtimer_assign(&q->timer, proc_env()->base, on_deadline, q);
	query_hurry(q, DEADLINE_S);
	return q;
}

void
query_forget(const struct chan *c)
{
	struct query *q;
	size_t i;

	for (i = 0; i < ACCOUNTS && accounts[i].asker != c; i++)
		;
	TAILQ_FOREACH (q, &queries, next) {
		if (q->asker == c)
			q->asker = NULL;
		if (i < ACCOUNTS && q->account == &accounts[i])
			q->account = NULL;
	}
	if (i < ACCOUNTS)
		accounts[i] = (struct account){NULL, 0};
}
