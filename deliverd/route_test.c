/* What would be done with mail of a domain, in lines for people. */
#include "deliverd/route_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "deliverd/pool.h"

#define LINES_MAX 64
#define LINE_LEN 501

struct test {
	TAILQ_ENTRY(test) next;
	struct chan *asker;
	uint64_t id;
	struct route *route;
	struct dest *dest;
	struct dest_wait wait;
	struct plan *plan;
	size_t at;
	struct ask *ask;
	struct policing *policing;
	bool reachable; /* at least one server could be tried */
	size_t nlines;
	char lines[LINES_MAX][LINE_LEN];
};

static TAILQ_HEAD(, test) tests = TAILQ_HEAD_INITIALIZER(tests);
static unsigned count;

static void go_on(struct test *t);

static void __attribute__((format(printf, 2, 3))) say(struct test *t, const char *fmt, ...)
{
	char text[LINE_LEN];
	va_list ap;

	if (t->nlines == LINES_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)log_clean(t->lines[t->nlines++], LINE_LEN, text, strlen(text));
}

static void
test_free(struct test *t)
{
	TAILQ_REMOVE(&tests, t, next);
	count--;
	ask_cancel(t->ask);
	policing_cancel(t->policing);
	dest_unwait(&t->wait);
	plan_drop(t->plan);
	if (t->dest != NULL)
		dest_drop(t->dest);
	route_drop(t->route);
	free(t);
}

static void
finish(struct test *t)
{
	struct route_line v[LINES_MAX];
	struct route_test_rep rep = {.ok = t->reachable, .lines = {v, t->nlines}};
	size_t i;

	for (i = 0; i < t->nlines; i++)
		v[i].text = t->lines[i];
	(void)chan_send(t->asker, M_route_test_rep, t->id, &rep, -1);
	test_free(t);
}

/* ---- a server ---- */

static void
on_policy(void *arg, struct policy *p)
{
	struct test *t = arg;

	t->policing = NULL;
	say(t, "    %s", policy_words(p));
	if (p->verdict == POLICY_GO)
		t->reachable = true;
	policy_free(p);
	t->at++;
	go_on(t);
}

static void
ask_policy(struct test *t, bool secure, const char *canonical)
{
	const struct policy_ask q = {
	    .route = t->route,
	    .host = &t->plan->hosts[t->at],
	    .secure = secure,
	    .canonical = canonical,
	};
	struct policy *p = policy_make(&q, &t->policing, on_policy, t);

	if (p != NULL)
		on_policy(t, p);
	else if (t->policing == NULL)
		finish(t);
}

static void
say_addrs(struct test *t, const struct dns_addr_rep *rep)
{
	char text[LINE_LEN] = "", one[NETADDR_TEXT_MAX];
	struct netaddr a;
	size_t i;

	for (i = 0; i < rep->addrs.n; i++) {
		const struct bytes *ip = &rep->addrs.v[i].ip;

		if (ip->n != 4 && ip->n != 16)
			continue;
		memset(&a, 0, sizeof a);
		a.family = ip->n == 4 ? AF_INET : AF_INET6;
		memcpy(a.addr, ip->p, ip->n);
		(void)strlcat(text, " ", sizeof text);
		(void)strlcat(text, netaddr_format(one, sizeof one, ':', &a), sizeof text);
	}
	say(t, "    addresses:%s%s", text, rep->secure ? " (DNSSEC)" : "");
}

static void
on_addrs(void *arg, const void *body)
{
	const struct dns_addr_rep *rep = body;
	struct test *t = arg;

	t->ask = NULL;
	if (rep->status == DNS_OK && rep->addrs.n > 0) {
		say_addrs(t, rep);
		ask_policy(t, rep->secure, rep->canonical);
		return;
	}
	say(t, "    no address: %s", rep->text[0] != '\0' ? rep->text : "not found");
	t->at++;
	go_on(t);
}

static void
say_server(struct test *t)
{
	const struct plan_host *h = &t->plan->hosts[t->at];
	char key[HOSTPORT_TEXT_MAX], why[300] = "of the route";

	if (h->implied)
		(void)snprintf(why, sizeof why, "%s has no MX", h->domain);
	else if (h->mx)
		(void)snprintf(why, sizeof why, "MX of %s", h->domain);
	say(t, "%zu. %s: %s%s%s%s", t->at + 1, bad_key(key, h->name, h->port), why,
	    h->mx && h->secure ? " (DNSSEC)" : "", h->group >> 48 != 0 ? ", fallback" : "",
	    t->at > 0 && h->group == t->plan->hosts[t->at - 1].group ? ", shares with the one above"
								     : "");
}

static void
go_on(struct test *t)
{
	const struct plan_host *h;
	const void *known;

	if (t->at == t->plan->n || t->nlines + 3 > LINES_MAX) {
		finish(t);
		return;
	}
	h = &t->plan->hosts[t->at];
	say_server(t);
	if (h->numeric) {
		ask_policy(t, false, NULL);
		return;
	}
	t->ask = ask_start(M_dns_addr_req, h->name, &known, on_addrs, t);
	if (t->ask == NULL)
		on_addrs(t, known);
}

/* ---- the whole ---- */

static void
on_plan(void *arg, struct plan *p)
{
	struct test *t = arg;

	if (p->verdict != PLAN_OK) {
		say(t, "%s: %s (%s)", p->verdict == PLAN_FAILED ? "mail is returned" : "mail waits",
		    p->text, p->dsn);
		finish(t);
		return;
	}
	t->plan = plan_keep(p);
	go_on(t);
}

static void
say_route(struct test *t, const char *domain)
{
	static const char *const tls[] = {"none", "may", "encrypt", "verify", "dane"};
	const struct route *r = t->route;

	say(t, "%s: %s%s%s, %s%s, tls = %s%s%s", domain, r->name[0] != '\0' ? "route " : "",
	    r->name[0] != '\0' ? r->name : "no route", r->nservers > 0 ? "" : ", MX of the domain",
	    r->protocol == CONF_PROTO_LMTP ? "lmtp" : "smtp", r->implicit ? ", implicit" : "",
	    tls[r->tls], r->dane ? ", dane" : "",
	    r->mta_sts && r->nservers == 0 ? ", mta_sts" : "");
}

void
route_test_begin(struct chan *c, struct ipc_msg *m)
{
	const struct route_test_req *q = m->body;
	struct route_test_rep busy = {.ok = 0};
	struct plan *p;
	struct test *t;

	if (count == ROUTE_TESTS_MAX || (t = calloc(1, sizeof *t)) == NULL) {
		(void)chan_send(c, M_route_test_rep, m->id, &busy, -1);
		return;
	}
	TAILQ_INSERT_TAIL(&tests, t, next);
	count++;
	t->asker = c;
	t->id = m->id;
	t->wait.fn = on_plan;
	t->wait.arg = t;
	if ((t->route = route_of(q->domain)) == NULL ||
	    (t->dest = dest_get(t->route, q->domain)) == NULL) {
		finish(t);
		return;
	}
	say_route(t, q->domain);
	if ((p = dest_plan(t->dest, &t->wait)) != NULL)
		on_plan(t, p);
}

void
route_test_forget(const struct chan *c)
{
	struct test *t, *next;

	TAILQ_FOREACH_SAFE (t, &tests, next, next)
		if (t->asker == c)
			test_free(t);
}
