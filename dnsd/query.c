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
#define WHY_MAX 256 /* octets of an explanation with its NUL, as the messages allow */

#define TOO_MANY "too many names are being looked up"

enum rcode { RCODE_OK = 0, RCODE_NXDOMAIN = 3 };

/*
 * One name; two questions for addresses, one for TLSA records.  It lives until all have been
 * answered and so has the asker.
 */
struct query {
	TAILQ_ENTRY(query) next;
	struct chan *asker; /* NULL: answered, or gone */
	uint64_t id;
	char name[NAME_MAX_OCTETS + 1];
	int tlsa;
	unsigned waiting;
	unsigned failed, secure, bogus;
	char why[WHY_MAX]; /* of bogus and failed */
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
count(enum dns_status status)
{
	counts.found += status == DNS_OK;
	counts.notfound += status == DNS_NOTFOUND;
	counts.failed += status == DNS_TEMPFAIL;
	counts.bogus += status == DNS_BOGUS;
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
	count(status);
	(void)chan_send(c, M_dns_addr_rep, id, &rep, -1);
}

static void
answer_tlsa(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text,
    struct tlsas *t)
{
	struct dns_tlsa_rep rep = {
	    .status = (uint8_t)status, .secure = (uint8_t)secure, .text = text};

	if (t != NULL) {
		rep.records.v = t->v;
		rep.records.n = t->n;
	}
	count(status);
	(void)chan_send(c, M_dns_tlsa_rep, id, &rep, -1);
}

static void
refuse(struct query *q, enum dns_status status, const char *text)
{
	if (q->tlsa)
		answer_tlsa(q->asker, q->id, status, 0, text, NULL);
	else
		answer(q->asker, q->id, status, 0, text, NULL);
	q->asker = NULL;
}

static void
query_free(struct query *q)
{
	(void)evtimer_del(&q->timer);
	TAILQ_REMOVE(&queries, q, next);
	counts.open--;
	free(q);
}

/*
 * IPv6 first, as RFC 6724 prefers; a host without it finds that out at once.  Where one question
 * failed what the other gave is secure if that was.
 */
static void
conclude(struct query *q)
{
	struct addrs all = q->v6;
	int secure = q->secure > 0 && q->secure + q->failed == 2;
	size_t i;

	for (i = 0; i < q->v4.n; i++)
		addrs_add(&all, q->v4.v[i].ip, q->v4.v[i].len);
	/* Half of a forged answer is no reason to trust the other half. */
	if (q->bogus > 0)
		refuse(q, DNS_BOGUS, q->why);
	else if (all.n > 0)
		answer(q->asker, q->id, DNS_OK, secure, "", &all);
	else if (q->failed > 0)
		refuse(q, DNS_TEMPFAIL, q->why);
	else
		answer(q->asker, q->id, DNS_NOTFOUND, secure,
		    "there is no such name, or it has no address", NULL);
	q->asker = NULL;
}

/* TLSA records have been found, or it is known that there are none. */
static void
conclude_tlsa(struct query *q, struct tlsas *t)
{
	const char *text = "";

	if (q->secure == 0) {
		refuse(q, DNS_NOTFOUND, "they are not signed with DNSSEC");
		return;
	}
	if (t->n == 0)
		text = t->left_out > 0 ? "none of them is well-formed"
				       : "DNSSEC says that there are none";
	answer_tlsa(q->asker, q->id, t->n > 0 ? DNS_OK : DNS_NOTFOUND, 1, text, t);
	q->asker = NULL;
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

static void
fail(struct query *q, const char *why)
{
	q->failed++;
	(void)strlcpy(q->why, why != NULL ? why : "the name servers do not answer", sizeof q->why);
}

/* Is there something to be read, perhaps nothing but that there is nothing? */
static int
sound(struct query *q, const struct resolver_result *r)
{
	if (r->bogus) {
		q->bogus++;
		explain(q, r);
	} else if (r->rcode != RCODE_OK && r->rcode != RCODE_NXDOMAIN)
		fail(q, r->why);
	else
		return 1;
	return 0;
}

static void
take(struct query *q, const struct resolver_result *r, unsigned type)
{
	struct addrs *to = type == TYPE_A ? &q->v4 : &q->v6;

	q->waiting--;
	if (sound(q, r)) {
		if (r->rcode == RCODE_OK && answer_parse(r->packet, r->n, type, to) == -1)
			fail(q, "the answer is malformed");
		else
			q->secure += r->secure != 0;
	}
	if (q->waiting > 0)
		return;
	if (q->asker != NULL)
		conclude(q);
	query_free(q);
}

static void
on_tlsa(void *arg, const struct resolver_result *r)
{
	struct query *q = arg;
	struct tlsas t = {.n = 0};

	q->secure = r->secure != 0;
	if (sound(q, r) && r->rcode == RCODE_OK && answer_tlsas(r->packet, r->n, &t) == -1)
		fail(q, "the answer is malformed");
	if (q->asker == NULL)
		;
	else if (q->bogus > 0)
		refuse(q, DNS_BOGUS, q->why);
	else if (q->failed > 0)
		refuse(q, DNS_TEMPFAIL, q->why);
	else
		conclude_tlsa(q, &t);
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
	if (q->asker == NULL)
		return;
	fail(q, NULL);
	if (q->tlsa)
		refuse(q, DNS_TEMPFAIL, q->why);
	else
		conclude(q);
}

/* NULL: there are too many. */
static struct query *
query_make(struct chan *c, uint64_t id, const char *name)
{
	const struct timeval tv = {.tv_sec = DEADLINE_S};
	struct query *q;

	if (counts.open >= QUERIES_MAX || (q = calloc(1, sizeof *q)) == NULL)
		return NULL;
	(void)strlcpy(q->name, name, sizeof q->name);
	q->asker = c;
	q->id = id;
	TAILQ_INSERT_TAIL(&queries, q, next);
	counts.open++;
	(void)evtimer_assign(&q->timer, proc_env()->base, on_deadline, q);
	(void)evtimer_add(&q->timer, &tv);
	return q;
}

static const struct resolver_result none = {.rcode = 2};

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
	else if ((q = query_make(c, id, checked)) == NULL)
		answer(c, id, DNS_TEMPFAIL, 0, TOO_MANY, NULL);
	else {
		/* Either may be answered before it returns, and the last one frees q. */
		q->waiting = 2;
		if (resolver_ask(checked, TYPE_A, on_a, q) == -1)
			on_a(q, &none);
		if (resolver_ask(checked, TYPE_AAAA, on_aaaa, q) == -1)
			on_aaaa(q, &none);
	}
}

void
query_tlsa(struct chan *c, uint64_t id, const char *name)
{
	struct query *q;
	char checked[NAME_MAX_OCTETS + 1];

	counts.asked++;
	counts.tlsa++;
	if (name_check_tlsa(name, checked) == -1)
		answer_tlsa(c, id, DNS_NOTFOUND, 0, "this is not a name of TLSA records", NULL);
	else if (!resolver_validates())
		answer_tlsa(c, id, DNS_NOTFOUND, 0,
		    "answers are not validated here: set dns.trust_anchor", NULL);
	else if ((q = query_make(c, id, checked)) == NULL)
		answer_tlsa(c, id, DNS_TEMPFAIL, 0, TOO_MANY, NULL);
	else {
		q->tlsa = 1;
		if (resolver_ask(checked, TYPE_TLSA, on_tlsa, q) == -1)
			on_tlsa(q, &none);
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
