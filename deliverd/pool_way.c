/* The way to a server: its addresses, what is wanted of it, the connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "deliverd/pool_int.h"
#include "net/cidr.h"
#include "proxy/upstream_int.h"

#define ADDRS_MAX 8 /* addresses of one server that are tried */
#define CONNECT_MS 30000 /* for a connection, whatever the route allows for answers */
#define CONNECT_NEXT_MS 10000 /* the same where another address is to be tried */

static int spool = -1;

void
pool_spool(int dirfd)
{
	spool = dirfd;
}

void
link_way_free(struct link *l)
{
	ask_cancel(l->ask);
	policing_cancel(l->policing);
	free(l->addrs);
	l->ask = NULL;
	l->policing = NULL;
	l->addrs = NULL;
}

static void __attribute__((format(printf, 3, 4)))
fail(struct link *l, const char *dsn, const char *fmt, ...)
{
	struct link_failure why = {.permanent = dsn[0] == '5'};
	char text[sizeof why.text];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)strlcpy(why.dsn, dsn, sizeof why.dsn);
	(void)log_clean(why.text, sizeof why.text, text, strlen(text));
	link_fail(l, &why);
}

/* ---- the connection ---- */

static void
mark(const struct link *l, bool bad)
{
	char key[HOSTPORT_TEXT_MAX];

	(void)bad_key(key, l->host->name, l->host->port);
	if (bad)
		bad_note(key);
	else
		bad_forget(key);
}

static const char *
addr_key(char out[HOSTPORT_TEXT_MAX], const struct sockaddr_storage *ss)
{
	struct netaddr a;
	char text[NETADDR_TEXT_MAX];
	uint16_t port;

	if (netaddr_from_sockaddr(&a, (const struct sockaddr *)ss) == -1)
		return bad_key(out, "", 0);
	port = a.port;
	a.port = 0;
	return bad_key(out, netaddr_format(text, sizeof text, ':', &a), port);
}

/* Those that were tried before the one that answered. */
static void
mark_addrs(struct link *l)
{
	const struct sockaddr_storage *taken = client_addr(l->client);
	char key[HOSTPORT_TEXT_MAX], good[HOSTPORT_TEXT_MAX];
	size_t i;

	(void)addr_key(good, taken);
	for (i = 0; i < l->naddrs && strcmp(addr_key(key, &l->addrs[i]), good) != 0; i++)
		bad_note(key);
	bad_forget(good);
}

static void
on_ready(struct client *c, void *arg)
{
	struct link *l = arg;
	const char *tls = client_tls_text(c), *bad = client_tls_bad(c);

	mark(l, false);
	mark_addrs(l);
	link_way_free(l);
	if (tls[0] != '\0')
		log_info("%s: tls=%s, verified (%s), relay=%s", l->qid, tls,
		    client_verified(c) ? l->policy->by : "no", client_relay(c));
	else if (bad != NULL)
		log_info("%s: tls=none (%s), relay=%s", l->qid, log_str(bad), client_relay(c));
	link_ready(l);
}

/* Is there another connection to this server, which is then not to blame? */
static bool
works(const struct link *l)
{
	const struct link *o;

	LIST_FOREACH (o, &l->dest->links, of_dest)
		if ((o->state == LINK_USED || o->state == LINK_IDLE) &&
		    o->host->port == l->host->port && strcmp(o->host->name, l->host->name) == 0)
			return true;
	return false;
}

static void
on_closed(struct client *c, const struct client_failure *why, void *arg)
{
	struct link *l = arg;
	struct link_failure f = {.permanent = false};

	(void)c;
	if (l->state != LINK_OPENING) {
		link_lost(l);
		return;
	}
	if (why->end != CLIENT_OURS && !works(l) &&
	    (why->end != CLIENT_NO_TLS || l->want.need != NEED_REQUIRETLS))
		mark(l, true);
	(void)strlcpy(f.dsn, why->dsn, sizeof f.dsn);
	/* Another server, or this one later, may think otherwise. */
	f.dsn[0] = '4';
	if (why->said)
		(void)strlcpy(f.mta, l->host->name, sizeof f.mta);
	f.verb = why->end == CLIENT_NO_LOGIN ? "refused our login" : "refused to talk to me";
	(void)strlcpy(f.text, why->text, sizeof f.text);
	link_fail(l, &f);
}

static void
on_tls(struct client *c, const struct client_tls_try *t, void *arg)
{
	const struct link *l = arg;

	(void)c;
	policy_report(l->policy, l->host->name, t);
}

static void
connect_to(struct link *l)
{
	static const struct client_ops ops = {on_ready, on_closed, on_tls};
	const struct policy *p = l->policy;
	const struct route *r = l->dest->route;
	uint32_t ms = r->timeout_ms < CONNECT_MS ? r->timeout_ms : CONNECT_MS;
	struct client_how how = {
	    .base = proc_env()->base,
	    .host = l->host->name,
	    .addrs = l->addrs,
	    .naddrs = l->naddrs,
	    .lmtp = r->protocol == CONF_PROTO_LMTP,
	    .helo = proc_env()->conf->node.hostname,
	    .tls = p->tls,
	    .implicit = r->implicit,
	    .authentic = p->authentic,
	    .ctx = r->ctx,
	    .peer = {.name = p->name,
		.expected = p->expected[0] != '\0' ? p->expected : NULL,
		.also = p->also[0] != '\0' ? p->also : NULL,
		.verify = p->verify,
		.prints = (const uint8_t(*)[32])r->prints,
		.nprints = r->nprints,
		.tlsa = p->tlsa,
		.ntlsa = p->ntlsa},
	    .login = r->login,
	    .password = r->password,
	    .spooldir = spool,
	    .connect_ms = l->naddrs > 1 && ms > CONNECT_NEXT_MS ? CONNECT_NEXT_MS : ms,
	    .reply_ms = r->timeout_ms,
	};

	if ((l->client = client_open(&how, &ops, l)) == NULL)
		fail(l, "4.3.0", "no connection to %s: %s", l->host->name, strerror(errno));
}

/* ---- what is wanted of it ---- */

static void
on_policy(void *arg, struct policy *p)
{
	const struct client_tls_try t = {.result = "", .reason = p->text};
	struct link *l = arg;

	l->policing = NULL;
	l->policy = p;
	if (p->verdict == POLICY_GO) {
		connect_to(l);
		return;
	}
	if (p->result[0] != '\0')
		policy_report(p, l->host->name, &t);
	fail(l, p->dsn, "%s", p->text);
}

static void
ask_policy(struct link *l, bool secure, const char *canonical)
{
	const struct policy_ask q = {
	    .route = l->dest->route,
	    .host = l->host,
	    .secure = secure,
	    .canonical = canonical,
	    .need = l->want.need,
	};
	struct policy *p = policy_make(&q, &l->policing, on_policy, l);

	if (p != NULL)
		on_policy(l, p);
	else if (l->policing == NULL)
		fail(l, "4.3.0", "out of memory");
}

/* ---- addresses ---- */

static void
loop(struct link *l)
{
	const struct plan_host *h = l->host;
	struct link_failure why = {.last = true, .dsn = "4.4.6"};

	/* DNS names us, and nobody before us (RFC 5321, 5.1). */
	why.permanent = h->mx && h->group == l->plan->hosts[0].group;
	if (why.permanent)
		why.dsn[0] = '5';
	(void)snprintf(why.text, sizeof why.text, "mail for %s loops back to myself",
	    h->mx ? h->domain : h->name);
	link_fail(l, &why);
}

/* Other spellings of addresses of ours (RFC 4291, 2.5.5.2; RFC 1122, 3.2.1.3), as they are meant.
 */
static struct netaddr
meant(const struct netaddr *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct netaddr b = *a;

	if (b.family == AF_INET6 && memcmp(b.addr, mapped, sizeof mapped) == 0) {
		memset(b.addr, 0, sizeof b.addr);
		b.family = AF_INET;
		memcpy(b.addr, a->addr + sizeof mapped, 4);
	}
	/* To connect to "any" is to connect to oneself. */
	if (netaddr_is_any(&b) && b.family == AF_INET)
		memcpy(b.addr, (const uint8_t[]){127, 0, 0, 1}, 4);
	else if (netaddr_is_any(&b))
		b.addr[15] = 1;
	return b;
}

/* 0, or -1: there is nothing to connect to, and the link has ended. */
static int
keep_addrs(struct link *l, const struct netaddr *v, size_t n)
{
	struct sockaddr_storage ss[ADDRS_MAX], bad[ADDRS_MAX] = {0};
	char key[HOSTPORT_TEXT_MAX];
	size_t i, ours = 0, ngood = 0, nbad = 0;

	for (i = 0; i < n && ngood + nbad < ADDRS_MAX; i++) {
		const struct netaddr a = meant(&v[i]);

		(void)netaddr_to_sockaddr(&a, &ss[ngood]);
		if (proxy_is_ours(&ss[ngood], false))
			ours++;
		else if (bad_count() > 0 && n > 1 && bad_is(addr_key(key, &ss[ngood])))
			bad[nbad++] = ss[ngood];
		else
			ngood++;
	}
	if (ours > 0) {
		loop(l);
		return -1;
	}
	memcpy(ss + ngood, bad, nbad * sizeof *bad);
	l->naddrs = ngood + nbad;
	if ((l->addrs = calloc(l->naddrs, sizeof *l->addrs)) == NULL) {
		fail(l, "4.3.0", "out of memory");
		return -1;
	}
	memcpy(l->addrs, ss, l->naddrs * sizeof *ss);
	return 0;
}

static void
shuffle(struct netaddr *v, size_t n)
{
	struct netaddr t;
	size_t i, j;

	for (i = n; i > 1; i--) {
		j = arc4random_uniform((uint32_t)i);
		t = v[i - 1];
		v[i - 1] = v[j];
		v[j] = t;
	}
}

/* One of IPv6, one of IPv4, and so on: a family that leads nowhere costs one attempt. */
static size_t
interleave(const struct dns_addr_rep *rep, uint16_t port, struct netaddr out[DNS_ADDRS_MAX])
{
	struct netaddr v[2][DNS_ADDRS_MAX];
	size_t count[2] = {0, 0}, i, n = 0;
	int f;

	for (i = 0; i < rep->addrs.n; i++) {
		const struct bytes *ip = &rep->addrs.v[i].ip;
		struct netaddr *a;

		if (ip->n != 4 && ip->n != 16)
			continue;
		f = ip->n == 4;
		a = &v[f][count[f]++];
		memset(a, 0, sizeof *a);
		a->family = f ? AF_INET : AF_INET6;
		memcpy(a->addr, ip->p, ip->n);
		a->port = port;
	}
	shuffle(v[0], count[0]);
	shuffle(v[1], count[1]);
	for (i = 0; i < count[0] || i < count[1]; i++)
		for (f = 0; f < 2; f++)
			if (i < count[f])
				out[n++] = v[f][i];
	return n;
}

static void
on_addrs(void *arg, const void *body)
{
	struct link *l = arg;
	const struct plan_host *h = l->host;
	const struct dns_addr_rep *rep = body;
	struct netaddr addrs[DNS_ADDRS_MAX];
	size_t n;

	l->ask = NULL;
	n = rep->status == DNS_OK ? interleave(rep, h->port, addrs) : 0;
	if (n > 0) {
		if (keep_addrs(l, addrs, n) == 0)
			ask_policy(l, rep->secure, rep->canonical);
		return;
	}
	/* Of servers in the configuration the name may be set right. */
	if (rep->status == DNS_OK || rep->status == DNS_NOTFOUND)
		fail(l,
		    !h->mx       ? "4.4.4"
		    : h->implied ? "5.1.2"
				 : "5.4.4",
		    "Host or domain name not found. Name service error for name=%s type=A: Host "
		    "not found",
		    h->name);
	else
		fail(l, "4.4.3",
		    "Host or domain name not found. Name service error for name=%s type=A: %s",
		    h->name, rep->text[0] != '\0' ? rep->text : "Host not found, try again");
}

void
link_begin(struct link *l)
{
	const struct plan_host *h = l->host;
	struct netaddr a = h->addr;
	const void *known;

	l->state = LINK_OPENING;
	if (h->numeric) {
		a.port = h->port;
		if (keep_addrs(l, &a, 1) == 0)
			ask_policy(l, false, NULL);
		return;
	}
	l->ask = ask_start(M_dns_addr_req, h->name, &known, on_addrs, l);
	if (l->ask == NULL)
		on_addrs(l, known);
}
