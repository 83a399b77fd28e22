#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "dnsd/dnsd.h"

#define QUERIES_MAX 1000 /* under way at once */
#define DEADLINE_S 20 /* then the asker hears that it failed for now */

enum rcode { RCODE_OK = 0, RCODE_NXDOMAIN = 3 };

/* One name; two questions. It lives until both have been answered and so has the asker. */
struct query {
	TAILQ_ENTRY(query) next;
	struct chan *asker; /* NULL: answered, or gone */
	uint64_t id;
	char name[NAME_MAX_OCTETS + 1];
	unsigned waiting;
	unsigned failed, secure, bogus;
	char why[200];
	struct addrs v4, v6;
	struct event timer;
};

static TAILQ_HEAD(, query) queries = TAILQ_HEAD_INITIALIZER(queries);
static struct query_counts counts;

const struct query_counts *
query_count(void)
{
	return &counts;
}

static void
answer(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text,
    const struct addrs *a)
{
	struct dns_addr list[DNS_ADDRS_MAX];
	struct dns_addr_rep rep = {
	    .status = (uint8_t)status, .secure = (uint8_t)secure, .text = text, .addrs = {list, 0}};

	for (; a != NULL && rep.addrs.n < a->n; rep.addrs.n++)
		list[rep.addrs.n].ip = (struct bytes){a->v[rep.addrs.n].ip, a->v[rep.addrs.n].len};
	counts.found += status == DNS_OK;
	counts.notfound += status == DNS_NOTFOUND;
	counts.failed += status == DNS_TEMPFAIL;
	counts.bogus += status == DNS_BOGUS;
	(void)chan_send(c, M_dns_addr_rep, id, &rep, -1);
}

static void
query_free(struct query *q)
{
	(void)evtimer_del(&q->timer);
	TAILQ_REMOVE(&queries, q, next);
	counts.open--;
	free(q);
}

/* IPv6 first, as RFC 6724 prefers; a host without it finds that out at once. */
static void
conclude(struct query *q)
{
	struct addrs all = q->v6;
	size_t i;

	for (i = 0; i < q->v4.n; i++)
		addrs_add(&all, q->v4.v[i].ip, q->v4.v[i].len);
	/* Half of a forged answer is no reason to trust the other half. */
	if (q->bogus > 0)
		answer(q->asker, q->id, DNS_BOGUS, 0, q->why, NULL);
	else if (all.n > 0)
		answer(q->asker, q->id, DNS_OK, q->secure == 2, "", &all);
	else if (q->failed > 0)
		answer(q->asker, q->id, DNS_TEMPFAIL, 0, "the name servers do not answer", NULL);
	else
		answer(q->asker, q->id, DNS_NOTFOUND, q->secure == 2,
		    "there is no such name, or it has no address", NULL);
	q->asker = NULL;
}

static void
take(struct query *q, const struct resolver_result *r, unsigned type)
{
	struct addrs *to = type == TYPE_A ? &q->v4 : &q->v6;

	q->waiting--;
	if (r->bogus) {
		q->bogus++;
		(void)snprintf(q->why, sizeof q->why, "DNSSEC: %s",
		    log_str(r->why != NULL ? r->why : "bogus"));
	} else if (r->rcode == RCODE_OK) {
		if (answer_parse(r->packet, r->n, type, to) == -1)
			q->failed++;
		else
			q->secure += r->secure != 0;
	} else if (r->rcode == RCODE_NXDOMAIN)
		q->secure += r->secure != 0;
	else
		q->failed++;
	if (q->waiting > 0)
		return;
	if (q->asker != NULL)
		conclude(q);
	query_free(q);
}

static void
on_a(void *arg, const struct resolver_result *r)
{
	take(arg, r, TYPE_A);
}

static void
on_aaaa(void *arg, const struct resolver_result *r)
{
	take(arg, r, TYPE_AAAA);
}

/* Too late for the asker; the resolver still holds on to the memory. */
static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct query *q = arg;

	(void)fd;
	(void)what;
	if (q->asker != NULL) {
		q->failed++;
		conclude(q);
	}
}

static void
ask(struct query *q)
{
	const struct resolver_result none = {.rcode = 2};
	const struct timeval tv = {.tv_sec = DEADLINE_S};

	(void)evtimer_assign(&q->timer, proc_env()->base, on_deadline, q);
	(void)evtimer_add(&q->timer, &tv);
	/* Either may be answered before it returns, and the last one frees q. */
	q->waiting = 2;
	if (resolver_ask(q->name, TYPE_A, on_a, q) == -1)
		on_a(q, &none);
	if (resolver_ask(q->name, TYPE_AAAA, on_aaaa, q) == -1)
		on_aaaa(q, &none);
}

void
query_new(struct chan *c, uint64_t id, const char *name, const struct hosts *hosts)
{
	struct addrs a = {.n = 0};
	struct query *q;
	struct addr one;
	char checked[NAME_MAX_OCTETS + 1];

	counts.asked++;
	if (name_numeric(name, &one)) {
		addrs_add(&a, one.ip, one.len);
		answer(c, id, DNS_OK, 0, "", &a);
	} else if (name_check(name, checked) == -1)
		answer(c, id, DNS_NOTFOUND, 0, "this is not a host name", NULL);
	else if (hosts_find(hosts, checked, &a) > 0)
		answer(c, id, DNS_OK, 0, "", &a);
	else if (counts.open >= QUERIES_MAX || (q = calloc(1, sizeof *q)) == NULL)
		answer(c, id, DNS_TEMPFAIL, 0, "too many names are being looked up", NULL);
	else {
		(void)strlcpy(q->name, checked, sizeof q->name);
		q->asker = c;
		q->id = id;
		TAILQ_INSERT_TAIL(&queries, q, next);
		counts.open++;
		ask(q);
	}
}

void
query_forget(const struct chan *c)
{
	struct query *q;

	TAILQ_FOREACH (q, &queries, next)
		if (q->asker == c)
			q->asker = NULL;
}

void
query_abort(void)
{
	struct query *q;

	while ((q = TAILQ_FIRST(&queries)) != NULL) {
		if (q->asker != NULL)
			answer(q->asker, q->id, DNS_TEMPFAIL, 0, "the resolver starts again", NULL);
		query_free(q);
	}
}
