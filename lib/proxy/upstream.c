/* The connection to a mail server. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/cidr.h"
#include "proxy/upstream_int.h"

#define ADDRESS_MS 10000 /* milliseconds for one address before the next is tried */

void
upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	proc_cancel(u->dns);
	proc_source_cancel(u->source);
	dial_cancel(u->dial);
	if (u->fd != -1)
		(void)close(u->fd);
	dane_free(u);
	upstream_judge_free(u);
	leaf_cancel(u->leaf);
	event_free(u->later);
	free(u);
}

const char *
upstream_name(const struct upstream *u)
{
	return u->name;
}

/* The outcome; done may free u. */
static void
finish(struct upstream *u, int fd, const char *text)
{
	upstream_done done = u->done;
	char copy[UPSTREAM_TEXT_MAX];

	(void)log_clean(copy, sizeof copy, text, strlen(text));
	u->done = NULL;
	done(fd, copy, u->arg);
}

/* The connection is there; with DANE its records must be, too. */
static void
go_on(struct upstream *u)
{
	int fd = u->fd;

	if (fd == -1 || u->dane == DANE_PENDING)
		return;
	u->fd = -1;
	finish(u, fd, "");
}

static bool
same_ip(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	struct netaddr x, y;

	return netaddr_from_sockaddr(&x, (const struct sockaddr *)a) == 0 &&
	       netaddr_from_sockaddr(&y, (const struct sockaddr *)b) == 0 && x.family == y.family &&
	       memcmp(x.addr, y.addr, x.family == AF_INET ? 4 : 16) == 0;
}

/* A machine that talks to itself has one address at both ends. */
static bool
loops(struct upstream *u, int fd)
{
	struct sockaddr_storage here, there;
	socklen_t n = sizeof here, m = sizeof there;

	if (!u->foreign)
		return false;
	if (getsockname(fd, (struct sockaddr *)&here, &n) == -1 ||
	    getpeername(fd, (struct sockaddr *)&there, &m) == -1)
		return true;
	return proxy_is_ours(&there, same_ip(&here, &there));
}

static void
on_dialled(int fd, const struct sockaddr_storage *peer, const struct err *e, void *arg)
{
	struct upstream *u = arg;

	(void)peer;
	u->dial = NULL;
	if (fd == -1) {
		finish(u, -1, e->text);
	} else if (loops(u, fd)) {
		(void)close(fd);
		finish(u, -1, "it leads to the gateway itself: a loop");
	} else {
		u->fd = fd;
		go_on(u);
	}
}

static uint32_t
patience(const struct upstream *u)
{
	return (uint32_t)(u->r->limits.peer_timeout * 1000);
}

/* 0, or -1 and u->text says why not. */
static int
start_dial(struct upstream *u, const struct sockaddr_storage *addrs, size_t n)
{
	uint32_t ms = patience(u);
	struct err e;

	u->dial = dial_start(
	    proc_env()->base, addrs, n, ms < ADDRESS_MS ? ms : ADDRESS_MS, ms, on_dialled, u, &e);
	if (u->dial != NULL)
		return 0;
	(void)strlcpy(u->text, e.text, sizeof u->text);
	return -1;
}

static size_t
to_sockaddrs(const struct dns_addr_rep *p, uint16_t port, struct sockaddr_storage *out)
{
	struct netaddr a;
	size_t i, n = 0;

	for (i = 0; i < p->addrs.n && n < DIAL_ADDRS_MAX; i++) {
		const struct bytes *ip = &p->addrs.v[i].ip;

		if (ip->n != 4 && ip->n != 16)
			continue;
		memset(&a, 0, sizeof a);
		a.family = ip->n == 4 ? AF_INET : AF_INET6;
		memcpy(a.addr, ip->p, ip->n);
		a.port = port;
		(void)netaddr_to_sockaddr(&a, &out[n++]);
	}
	return n;
}

static void
on_resolved(void *arg, struct ipc_msg *m, int error)
{
	struct upstream *u = arg;
	const struct dns_addr_rep *p;
	struct sockaddr_storage addrs[DIAL_ADDRS_MAX];
	char text[UPSTREAM_TEXT_MAX];
	size_t n;

	u->dns = NULL;
	if (m == NULL) {
		(void)snprintf(text, sizeof text, "%s: no answer from dnsd (%s)", u->r->host,
		    strerrordesc_np(error));
		finish(u, -1, text);
		return;
	}
	p = m->body;
	n = p->status == DNS_OK ? to_sockaddrs(p, u->port, addrs) : 0;
	if (n == 0) {
		(void)snprintf(text, sizeof text, "%s: %s", u->r->host,
		    p->text[0] != '\0' ? log_str(p->text) : "no address");
		finish(u, -1, text);
		return;
	}
	if (u->r->verify == CONF_VERIFY_DANE)
		dane_ask(u, p->secure, go_on);
	if (start_dial(u, addrs, n) == -1)
		finish(u, -1, u->text);
}

static void
on_source(int fd, const char *why, void *arg)
{
	struct upstream *u = arg;
	struct err e;

	u->source = NULL;
	if (fd == -1) {
		finish(u, -1, why);
		return;
	}
	u->dial =
	    dial_start_from(proc_env()->base, fd, &u->target.to, patience(u), on_dialled, u, &e);
	if (u->dial == NULL)
		finish(u, -1, e.text);
}

/* To where a client wanted to go. 0, or -1 and u->text says why not. */
static int
begin_foreign(struct upstream *u)
{
	struct netaddr a;

	if (proxy_is_ours(&u->target.to, false)) {
		(void)strlcpy(u->text, "it is the gateway itself: a loop", sizeof u->text);
		return -1;
	}
	if (!u->r->keep_source)
		return start_dial(u, &u->target.to, 1);
	(void)netaddr_from_sockaddr(&a, (const struct sockaddr *)&u->target.from);
	u->source =
	    proc_source(u->r->connector, a.addr, a.family == AF_INET ? 4 : 16, on_source, u);
	if (u->source != NULL)
		return 0;
	(void)snprintf(
	    u->text, sizeof u->text, "cannot ask master for a socket: %s", strerrordesc_np(errno));
	return -1;
}

/* An address needs no dnsd. 0, or -1 and u->text says why not. */
static int
begin(struct upstream *u)
{
	struct dns_addr_req q = {.name = u->r->host};
	struct sockaddr_storage ss;
	struct netaddr a;

	if (u->foreign)
		return begin_foreign(u);
	if (netaddr_parse_host(u->r->host, &a) == 0) {
		a.port = u->port;
		(void)netaddr_to_sockaddr(&a, &ss);
		if (u->r->verify == CONF_VERIFY_DANE)
			dane_ask(u, false, go_on);
		return start_dial(u, &ss, 1);
	}
	u->dns = proc_request(P_DNSD, M_dns_addr_req, &q, (unsigned)patience(u), on_resolved, u);
	if (u->dns != NULL)
		return 0;
	(void)snprintf(u->text, sizeof u->text, "cannot ask dnsd: %s", strerrordesc_np(errno));
	return -1;
}

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;

	(void)fd;
	(void)what;
	if (u->done != NULL)
		finish(u, -1, u->text);
	else
		upstream_tell_verdict(u);
}

/* What people know the server by. */
static void
set_name(struct upstream *u)
{
	struct netaddr a;

	if (!u->foreign)
		(void)strlcpy(u->name, u->r->host, sizeof u->name);
	else if (netaddr_from_sockaddr(&a, (const struct sockaddr *)&u->target.to) == 0)
		(void)netaddr_format(u->name, sizeof u->name, ':', &a);
}

struct upstream *
upstream_connect(const struct proxy_route *r, const struct proxy_target *to, bool tunnel,
    upstream_done done, void *arg)
{
	static const struct timeval now = {0, 0};
	struct upstream *u = calloc(1, sizeof *u);

	if (u == NULL)
		return NULL;
	u->r = r;
	u->fd = -1;
	u->done = done;
	u->arg = arg;
	u->port = tunnel && r->client_tls == CONF_TLS_IMPLICIT ? r->tls_port : r->port;
	if (to != NULL) {
		u->foreign = true;
		u->target = *to;
	}
	set_name(u);
	if ((u->later = evtimer_new(proc_env()->base, on_later, u)) == NULL) {
		free(u);
		return NULL;
	}
	if (begin(u) == -1)
		(void)event_add(u->later, &now);
	return u;
}
