#include "proxy/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "net/dial.h"
#include "net/tls.h"
#include "proxy/readfile.h"

#define TEXT_MAX 400 /* octets of an explanation, with its NUL */
#define ADDRESS_MS 10000 /* milliseconds for one address before the next is tried */

struct upstream {
	const struct proxy_route *r;
	upstream_done done;
	void *arg;
	struct proc_req *dns;
	struct dial *dial;
	struct event *failed; /* a failure that is known at once is told from the loop */
	char text[TEXT_MAX];
};

/* A bundle of certification authorities that some peer trusts. */
struct bundle {
	LIST_ENTRY(bundle) next;
	char path[1024];
	struct buf pem; /* until start has parsed it */
	struct ssl_ctx_st *ctx;
};

static LIST_HEAD(, bundle) bundles = LIST_HEAD_INITIALIZER(bundles);

static struct bundle *
find_bundle(const char *path)
{
	struct bundle *b;

	LIST_FOREACH (b, &bundles, next)
		if (strcmp(b->path, path) == 0)
			return b;
	return NULL;
}

static int
needs_bundle(const struct conf_peer *p)
{
	return p->tls != CONF_TLS_NONE;
}

int
upstream_open(const struct conf *conf, struct err *e)
{
	struct bundle *b;
	size_t i;

	for (i = 0; i < conf->npeers; i++) {
		if (!needs_bundle(&conf->peers[i]) || find_bundle(conf->peers[i].ca_file) != NULL)
			continue;
		if ((b = calloc(1, sizeof *b)) == NULL)
			return err_sys(e, "memory");
		(void)strlcpy(b->path, conf->peers[i].ca_file, sizeof b->path);
		buf_init(&b->pem, TLS_BUNDLE_MAX + 1);
		LIST_INSERT_HEAD(&bundles, b, next);
		/* Without verification nobody misses it. */
		if (proxy_read_file(b->path, "ca_file", &b->pem, e) == -1 && conf->peers[i].verify)
			return -1;
	}
	return 0;
}

int
upstream_start(struct err *e)
{
	struct bundle *b;

	LIST_FOREACH (b, &bundles, next) {
		b->ctx = tls_client_ctx(buf_ptr(&b->pem), buf_len(&b->pem), b->path, e);
		buf_free(&b->pem);
		if (b->ctx == NULL)
			return -1;
	}
	return 0;
}

int
upstream_reload(const struct conf *conf, struct err *e)
{
	size_t i;

	for (i = 0; i < conf->npeers; i++)
		if (needs_bundle(&conf->peers[i]) && find_bundle(conf->peers[i].ca_file) == NULL)
			return err_set(e, EACCES,
			    "peer %s: %s was not read when the gateway started, and the daemon "
			    "cannot reach it now: restart the gateway",
			    conf->peers[i].name, conf->peers[i].ca_file);
	return 0;
}

int
upstream_start_tls(const struct proxy_route *r, struct conn *c, struct err *e)
{
	struct bundle *b = find_bundle(r->ca_file);

	if (b == NULL || b->ctx == NULL)
		return err_set(e, ENOENT, "no certification authorities for peer %s", r->peer);
	return conn_start_tls(
	    c, b->ctx, r->server_name, r->verify ? CONN_VERIFY_PEER : CONN_VERIFY_NONE, e);
}

static void
upstream_free(struct upstream *u)
{
	proc_cancel(u->dns);
	dial_cancel(u->dial);
	if (u->failed != NULL)
		event_free(u->failed);
	free(u);
}

void
upstream_cancel(struct upstream *u)
{
	if (u != NULL)
		upstream_free(u);
}

static void
finish(struct upstream *u, int fd, const char *text)
{
	upstream_done done = u->done;
	void *arg = u->arg;
	char copy[TEXT_MAX];

	(void)log_escape(copy, sizeof copy, text, strlen(text));
	upstream_free(u);
	done(fd, copy, arg);
}

static void
on_dialled(int fd, const struct sockaddr_storage *peer, const struct err *e, void *arg)
{
	struct upstream *u = arg;

	(void)peer;
	u->dial = NULL;
	finish(u, fd, e != NULL ? e->text : "");
}

/* 0, or -1 and u->text says why not. */
static int
start_dial(struct upstream *u, const struct sockaddr_storage *addrs, size_t n)
{
	uint32_t ms = (uint32_t)(u->r->limits.peer_timeout * 1000);
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
	char text[TEXT_MAX];
	size_t n;

	u->dns = NULL;
	if (m == NULL) {
		(void)snprintf(
		    text, sizeof text, "%s: no answer from dnsd (%s)", u->r->host, strerror(error));
		finish(u, -1, text);
		return;
	}
	p = m->body;
	n = p->status == DNS_OK ? to_sockaddrs(p, u->r->port, addrs) : 0;
	if (n == 0) {
		(void)snprintf(text, sizeof text, "%s: %s", u->r->host,
		    p->text[0] != '\0' ? p->text : "no address");
		finish(u, -1, text);
		return;
	}
	if (start_dial(u, addrs, n) == -1)
		finish(u, -1, u->text);
}

static void
on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;

	(void)fd;
	(void)what;
	finish(u, -1, u->text);
}

/* An address needs no dnsd. 0, or -1 and u->text says why not. */
static int
begin(struct upstream *u)
{
	struct dns_addr_req q = {.name = u->r->host};
	struct sockaddr_storage ss;
	struct netaddr a;

	if (netaddr_parse_host(u->r->host, &a) == 0) {
		a.port = u->r->port;
		(void)netaddr_to_sockaddr(&a, &ss);
		return start_dial(u, &ss, 1);
	}
	u->dns = proc_request(P_DNSD, M_dns_addr_req, &q,
	    (unsigned)(u->r->limits.peer_timeout * 1000), on_resolved, u);
	if (u->dns != NULL)
		return 0;
	(void)snprintf(u->text, sizeof u->text, "cannot ask dnsd: %s", strerror(errno));
	return -1;
}

struct upstream *
upstream_connect(const struct proxy_route *r, upstream_done done, void *arg)
{
	static const struct timeval now = {0, 0};
	struct upstream *u = calloc(1, sizeof *u);

	if (u == NULL)
		return NULL;
	u->r = r;
	u->done = done;
	u->arg = arg;
	if ((u->failed = evtimer_new(proc_env()->base, on_failed, u)) == NULL) {
		free(u);
		return NULL;
	}
	if (begin(u) == -1)
		(void)event_add(u->failed, &now);
	return u;
}
