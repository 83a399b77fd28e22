/* The servers of a destination. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "deliverd/dest.h"
#include "proc/proc.h"

struct planning {
	struct route *route;
	struct plan *plan;
	struct conf_server own; /* the only source of a route without servers: the MX of domain */
	size_t at; /* the source in hand */
	struct ask *ask;
	plan_fn fn;
	void *arg;
	char domain[256];
};

/* ---- plans ---- */

struct plan *
plan_keep(struct plan *p)
{
	p->refs++;
	return p;
}

void
plan_drop(struct plan *p)
{
	size_t i;

	if (p == NULL || --p->refs > 0)
		return;
	for (i = 0; i < p->n; i++) {
		free(p->hosts[i].name);
		free(p->hosts[i].domain);
	}
	free(p);
}

static void __attribute__((format(printf, 4, 5)))
say(struct plan *p, enum plan_verdict v, const char *dsn, const char *fmt, ...)
{
	char text[sizeof p->text];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	p->verdict = v;
	(void)strlcpy(p->dsn, dsn, sizeof p->dsn);
	(void)log_clean(p->text, sizeof p->text, text, strlen(text));
}

static char *
lower(const char *s)
{
	char *copy = strdup(s), *p;

	for (p = copy; p != NULL && *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return copy;
}

/* The next host, to be filled in; NULL: there are enough, or no memory. */
static struct plan_host *
add_host(struct plan *p, const char *name, const char *domain)
{
	struct plan_host *h;

	if (p->n == PLAN_HOSTS_MAX)
		return NULL;
	h = &p->hosts[p->n];
	memset(h, 0, sizeof *h);
	h->name = lower(name);
	h->domain = lower(domain);
	if (h->name == NULL || h->domain == NULL) {
		free(h->name);
		free(h->domain);
		return NULL;
	}
	h->numeric = netaddr_parse_host(h->name, &h->addr) == 0;
	p->n++;
	return h;
}

/* ---- sources: the servers of the route, or the domain; then the fallback ---- */

static size_t
first_sources(const struct planning *m)
{
	return m->route->nservers > 0 ? m->route->nservers : 1;
}

/* NULL: there are no more. */
static const struct conf_server *
source(const struct planning *m)
{
	const struct route *r = m->route;
	size_t n = first_sources(m);

	if (m->at < n)
		return r->nservers > 0 ? &r->servers[m->at] : &m->own;
	return m->at - n < r->nfallback ? &r->fallback[m->at - n] : NULL;
}

/* First by what the route says, then by preference. */
static uint64_t
group(const struct planning *m, unsigned rank)
{
	uint64_t stage = m->at >= first_sources(m);

	return stage << 48 | (uint64_t)source(m)->priority << 24 | rank;
}

static void
add_server(struct planning *m, const char *host)
{
	const struct conf_server *s = source(m);
	struct plan_host *h = add_host(m->plan, host, "");

	if (h == NULL)
		return;
	h->port = s->port != 0 ? s->port : route_port(m->route);
	h->secure = true;
	h->group = group(m, 0);
	h->weight = s->weight;
}

/* ---- MX ---- */

static bool
is_us(const char *host)
{
	const char *own = proc_env()->conf->node.hostname;
	size_t n = strlen(host);

	if (n > 1 && host[n - 1] == '.')
		n--;
	return strlen(own) == n && strncasecmp(own, host, n) == 0;
}

/* Records from the first one on that is as far away as we are lead back to us (RFC 5321, 5.1). */
static size_t
before_us(const struct dns_mx_rep *rep)
{
	size_t i, n = rep->records.n;

	for (i = 0; i < n; i++)
		if (is_us(rep->records.v[i].host))
			break;
	if (i == n)
		return n;
	while (i > 0 && rep->records.v[i - 1].preference == rep->records.v[i].preference)
		i--;
	return i;
}

static void
add_mx(struct planning *m, const char *host, unsigned rank, const struct dns_mx_rep *rep)
{
	const struct conf_server *s = source(m);
	struct plan_host *h;
	char name[256];
	size_t n = strlcpy(name, host, sizeof name);

	if (n > 1 && n < sizeof name && name[n - 1] == '.')
		name[n - 1] = '\0';
	if (!host_valid(name) || (h = add_host(m->plan, name, s->host)) == NULL)
		return;
	h->port = s->port != 0 ? s->port : route_port(m->route);
	h->mx = true;
	h->implied = rep->records.n == 0;
	h->secure = rep->secure;
	h->group = group(m, rank);
	h->weight = s->weight;
}

static void
take_records(struct planning *m, const char *domain, const struct dns_mx_rep *rep)
{
	size_t i, n = before_us(rep), had = m->plan->n;
	unsigned rank = 0;

	for (i = 0; i < n; i++) {
		if (i > 0 && rep->records.v[i].preference != rep->records.v[i - 1].preference)
			rank++;
		add_mx(m, rep->records.v[i].host, rank, rep);
	}
	if (rep->records.n == 0 && !is_us(domain))
		add_mx(m, domain, 0, rep);
	if (m->plan->n > had)
		return;
	if (n < rep->records.n || is_us(domain))
		say(m->plan, PLAN_FAILED, "5.4.6", "mail for %s loops back to myself", domain);
	else
		say(m->plan, PLAN_FAILED, "5.4.4", "no mail server of %s has a valid name", domain);
}

#define NOT_FOUND "Host or domain name not found. Name service error for name=%s type=MX: "

static void
take_mx(struct planning *m, const struct dns_mx_rep *rep)
{
	const char *domain = source(m)->host;

	if (rep->status == DNS_OK && rep->null_mx)
		say(m->plan, PLAN_FAILED, "5.1.10", "Domain %s does not accept mail (nullMX)",
		    domain);
	else if (rep->status == DNS_OK)
		take_records(m, domain, rep);
	else if (rep->status == DNS_NOTFOUND)
		say(m->plan, PLAN_FAILED, "5.1.2", NOT_FOUND "Host not found", domain);
	else
		say(m->plan, PLAN_DELAYED, "4.4.3", NOT_FOUND "%s", domain,
		    rep->text[0] != '\0' ? rep->text : "Host not found, try again");
}

/* ---- all of it ---- */

static void
planning_free(struct planning *m)
{
	ask_cancel(m->ask);
	route_drop(m->route);
	plan_drop(m->plan);
	free(m);
}

/* The domain itself says no: then nobody else is asked for it. */
static bool
refused(const struct planning *m)
{
	return m->route->nservers == 0 && m->plan->verdict == PLAN_FAILED && m->plan->n == 0;
}

static void
sort_hosts(struct plan *p)
{
	struct plan_host h;
	size_t i, j;

	for (i = 1; i < p->n; i++) {
		h = p->hosts[i];
		for (j = i; j > 0 && p->hosts[j - 1].group > h.group; j--)
			p->hosts[j] = p->hosts[j - 1];
		p->hosts[j] = h;
	}
}

static struct plan *
finish(struct planning *m)
{
	struct plan *p = m->plan;
	const char *name = m->route->name;

	if (p->n > 0)
		p->verdict = PLAN_OK;
	else if (!refused(m)) {
		/* What the administrator has written can be set right. */
		p->verdict = PLAN_DELAYED;
		if (p->dsn[0] == '\0')
			say(p, PLAN_DELAYED, "4.3.5", "route %s leads to no server", name);
		p->dsn[0] = '4';
	}
	sort_hosts(p);
	p->until = clock_ms() + (p->verdict == PLAN_OK ? PLAN_KEPT_MS : PLAN_FAILED_MS);
	m->plan = NULL;
	planning_free(m);
	return p;
}

static void
take_literal(struct planning *m)
{
	struct netaddr a;
	char text[NETADDR_TEXT_MAX];

	if (dest_literal(m->domain, &a) == -1) {
		say(m->plan, PLAN_FAILED, "5.1.3", "%s is no address that mail can be sent to",
		    m->domain);
		return;
	}
	a.port = 0;
	add_server(m, netaddr_format(text, sizeof text, ':', &a));
}

static void on_mx(void *arg, const void *rep);

/* Go on with the sources. The plan when it is done, NULL when DNS is to answer first. */
static struct plan *
go_on(struct planning *m)
{
	const struct conf_server *s;
	const void *known;

	for (; (s = source(m)) != NULL && !refused(m); m->at++) {
		if (s == &m->own && dest_is_literal(m->domain)) {
			take_literal(m);
			continue;
		}
		if (!s->mx) {
			add_server(m, s->host);
			continue;
		}
		m->ask = ask_start(M_dns_mx_req, s->host, &known, on_mx, m);
		if (m->ask != NULL)
			return NULL;
		take_mx(m, known);
	}
	return finish(m);
}

static void
on_mx(void *arg, const void *rep)
{
	struct planning *m = arg;
	plan_fn fn = m->fn;
	void *to = m->arg;
	struct plan *p;

	m->ask = NULL;
	take_mx(m, rep);
	m->at++;
	if ((p = go_on(m)) != NULL)
		fn(to, p);
}

struct plan *
plan_make(struct route *r, const char *domain, struct planning **later, plan_fn fn, void *arg)
{
	struct planning *m = calloc(1, sizeof *m);
	struct plan *p;

	*later = NULL;
	if (m == NULL || (m->plan = calloc(1, sizeof *m->plan)) == NULL) {
		free(m);
		return NULL;
	}
	m->plan->refs = 1;
	m->route = route_keep(r);
	m->fn = fn;
	m->arg = arg;
	m->own.mx = 1;
	m->own.weight = 1;
	if (strlcpy(m->domain, domain, sizeof m->domain) >= sizeof m->domain)
		m->domain[0] = '\0';
	/* Longer than any name can be: dnsd says so. */
	(void)strlcpy(m->own.host, m->domain, sizeof m->own.host);
	if ((p = go_on(m)) == NULL)
		*later = m;
	return p;
}

void
planning_cancel(struct planning *m)
{
	if (m != NULL)
		planning_free(m);
}

/* ---- the order ---- */

/* One of the n first, by weight, comes to the front. */
static void
draw(const struct plan *p, uint8_t *v, size_t n)
{
	uint32_t sum = 0, at;
	size_t i;
	uint8_t t;

	for (i = 0; i < n; i++)
		sum += p->hosts[v[i]].weight;
	at = arc4random_uniform(sum);
	for (i = 0; i + 1 < n && at >= p->hosts[v[i]].weight; i++)
		at -= p->hosts[v[i]].weight;
	t = v[0];
	v[0] = v[i];
	v[i] = t;
}

size_t
plan_order(const struct plan *p, uint8_t out[PLAN_HOSTS_MAX])
{
	uint8_t v[PLAN_HOSTS_MAX] = {0}, bad[PLAN_HOSTS_MAX] = {0};
	char key[HOSTPORT_TEXT_MAX];
	size_t i, n = 0, nbad = 0, end;

	for (i = 0; i < p->n; i++)
		v[i] = (uint8_t)i;
	for (i = 0; i < p->n; i++) {
		for (end = i; end < p->n && p->hosts[v[end]].group == p->hosts[v[i]].group; end++)
			;
		if (end - i > 1)
			draw(p, v + i, end - i);
	}
	/* One that is bad today is better than none. */
	for (i = 0; i < p->n; i++) {
		const struct plan_host *h = &p->hosts[v[i]];

		if (bad_count() > 0 && bad_is(bad_key(key, h->name, h->port)))
			bad[nbad++] = v[i];
		else
			out[n++] = v[i];
	}
	memcpy(out + n, bad, nbad);
	return p->n;
}
