#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/version.h"
#include "keyd/keyd.h"
#include "net/cidr.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/tls.h"

#define EACH_MS 4000 /* for one of several addresses */
#define IN_MAX 8192
#define OUT_MAX 8192 /* URL, header, question */

struct fetch {
	struct url url;
	uint32_t ms;
	struct ssl_ctx_st *tls;
	struct buf request;
	struct proc_req *dns; /* one of these three is under way */
	struct dial *dial;
	struct conn *conn;
	struct event *timer;
	struct http http;
	fetch_done done;
	void *arg;
	struct err err; /* of a failure that the timer is to tell */
};

void
fetch_cancel(struct fetch *f)
{
	if (f == NULL)
		return;
	proc_cancel(f->dns);
	dial_cancel(f->dial);
	conn_free(f->conn);
	if (f->timer != NULL)
		event_free(f->timer);
	http_free(&f->http);
	buf_free(&f->request);
	tls_ctx_free(f->tls);
	free(f);
}

/* The owner hears of it when the fetch itself is nearly gone: he may start another. */
static void
finish(struct fetch *f, const struct err *e)
{
	struct buf body = f->http.body;

	buf_init(&f->http.body, 0);
	if (e != NULL)
		f->done(f->arg, NULL, 0, e);
	else
		f->done(f->arg, buf_ptr(&body), buf_len(&body), NULL);
	buf_free(&body);
	fetch_cancel(f);
}

static void
fail(struct fetch *f, int code, const char *text)
{
	struct err e;

	(void)err_set(&e, code, "%s", text);
	finish(f, &e);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fetch *f = arg;

	(void)fd;
	(void)what;
	if (f->err.code != 0)
		finish(f, &f->err);
	else
		fail(f, ETIMEDOUT, "no answer in time");
}

static void
on_readable(struct conn *c, void *arg)
{
	struct fetch *f = arg;
	struct err e = {0};
	const uint8_t *p;
	size_t n, used;
	enum http_status s;

	p = conn_in(c, &n);
	s = http_take(&f->http, p, n, &used, &e);
	if (s == HTTP_MORE)
		conn_consume(c, used);
	else
		finish(f, s == HTTP_DONE ? NULL : &e);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct fetch *f = arg;
	struct err e = {0};

	(void)c;
	if (why != CONN_EOF)
		fail(f, ECONNRESET, text);
	else
		finish(f, http_end(&f->http, &e) == HTTP_DONE ? NULL : &e);
}

static void
send_request(struct fetch *f)
{
	if (conn_write(f->conn, buf_ptr(&f->request), buf_len(&f->request)) == -1)
		fail(f, errno, strerror(errno));
}

/* Nothing is asked for where the certificate is bad; a bad one and no TLS at all are told apart. */
static void
on_secured(struct conn *c, void *arg)
{
	const char *bad = conn_tls_bad(c);
	struct fetch *f = arg;

	if (bad != NULL)
		fail(f, EKEYREJECTED, bad);
	else
		send_request(f);
}

static const struct conn_handlers handlers = {
    .readable = on_readable, .secured = on_secured, .closed = on_closed};

static void
start_tls(struct fetch *f)
{
	const struct conn_peer peer = {
	    .name = f->url.host, .verify = CONN_VERIFY_CA, .report = true};
	struct err e = {0};

	if (conn_start_tls(f->conn, f->tls, &peer, &e) == -1)
		finish(f, &e);
}

static void
on_connected(int fd, const struct sockaddr_storage *peer, const struct err *e, void *arg)
{
	static const struct conn_limits limits = {
	    .in_max = IN_MAX, .out_max = OUT_MAX, .out_low = OUT_MAX / 2};
	struct fetch *f = arg;

	(void)peer;
	f->dial = NULL;
	if (fd == -1) {
		finish(f, e);
		return;
	}
	if ((f->conn = conn_new(proc_env()->base, fd, &limits, &handlers, f)) == NULL) {
		fail(f, errno, strerror(errno));
		(void)close(fd);
	} else if (f->tls != NULL)
		start_tls(f);
	else
		send_request(f);
}

/* Connect to those of the addresses that we may speak to. 0, or -1 with e. */
static int
start_dial(struct fetch *f, const struct netaddr *addrs, size_t n, struct err *e)
{
	struct sockaddr_storage to[DIAL_ADDRS_MAX];
	char text[NETADDR_TEXT_MAX];
	size_t i, m = 0;

	for (i = 0; i < n && m < DIAL_ADDRS_MAX; i++)
		if (address_allowed(&addrs[i], &proc_env()->conf->keyd.allow, f->tls != NULL))
			(void)netaddr_to_sockaddr(&addrs[i], &to[m++]);
	if (m == 0)
		return err_set(e, EACCES,
		    "%s is none that may be asked (\"allow\" in section keyd of the configuration)",
		    netaddr_format(text, sizeof text, ':', &addrs[0]));
	f->dial = dial_start(proc_env()->base, to, m, EACH_MS, f->ms, on_connected, f, e);
	return f->dial != NULL ? 0 : -1;
}

static int
take_addresses(struct fetch *f, const struct dns_addr_rep *r, struct err *e)
{
	struct netaddr addrs[DNS_ADDRS_MAX];
	size_t i, n = 0;

	for (i = 0; r->status == DNS_OK && i < r->addrs.n; i++) {
		const struct bytes *ip = &r->addrs.v[i].ip;

		if (ip->n != 4 && ip->n != 16)
			continue;
		memset(&addrs[n], 0, sizeof addrs[n]);
		addrs[n].family = ip->n == 4 ? AF_INET : AF_INET6;
		addrs[n].port = f->url.port;
		memcpy(addrs[n++].addr, ip->p, ip->n);
	}
	if (n == 0)
		return err_set(
		    e, EHOSTUNREACH, "%s", r->text[0] != '\0' ? r->text : "it has no address");
	return start_dial(f, addrs, n, e);
}

static void
on_resolved(void *arg, struct ipc_msg *m, int error)
{
	struct fetch *f = arg;
	struct err e = {0};

	f->dns = NULL;
	if (m == NULL) {
		(void)err_set(&e, error, "no answer from dnsd (%s)", strerror(error));
		finish(f, &e);
	} else if (take_addresses(f, m->body, &e) == -1)
		finish(f, &e);
}

/* An address needs no dnsd. 0, or -1 with e. */
static int
begin(struct fetch *f, struct err *e)
{
	struct dns_addr_req q = {.name = f->url.host};
	struct netaddr a;

	if (netaddr_parse_host(f->url.host, &a) == 0) {
		a.port = f->url.port;
		return start_dial(f, &a, 1, e);
	}
	f->dns = proc_request(P_DNSD, M_dns_addr_req, &q, f->ms, on_resolved, f);
	return f->dns != NULL ? 0 : err_sys(e, "cannot ask dnsd");
}

/*
 * A responder is asked with HTTP/1.0, so that the answer has no chunks and ends with its
 * connection; what serves HTTPS today need not know that any more.
 */
static int
compose(struct fetch *f, const struct fetch_request *r)
{
	char host[HOSTPORT_TEXT_MAX];

	(void)url_authority(host, sizeof host, &r->url);
	if (r->post == NULL)
		return buf_printf(&f->request,
		    "GET %s HTTP/1.1\r\n"
		    "Host: %s\r\n"
		    "User-Agent: Postern/%s\r\n"
		    "Accept: %s\r\n"
		    "Connection: close\r\n"
		    "\r\n",
		    r->url.path, host, POSTERN_VERSION, r->type != NULL ? r->type : "*/*");
	if (buf_printf(&f->request,
		"POST %s HTTP/1.0\r\n"
		"Host: %s\r\n"
		"Content-Type: application/ocsp-request\r\n"
		"Accept: application/ocsp-response\r\n"
		"Content-Length: %zu\r\n"
		"Connection: close\r\n"
		"\r\n",
		r->url.path, host, r->n) == -1)
		return -1;
	return buf_put(&f->request, r->post, r->n);
}

struct fetch *
fetch_start(const struct fetch_request *r, fetch_done done, void *arg)
{
	const struct timeval total = {.tv_sec = r->ms / 1000}, now = {0, 0};
	struct fetch *f = calloc(1, sizeof *f);

	if (f == NULL)
		return NULL;
	f->url = r->url;
	f->ms = r->ms;
	f->tls = r->tls != NULL ? tls_ctx_keep(r->tls) : NULL;
	f->done = done;
	f->arg = arg;
	http_init(&f->http, r->max, r->type, r->post == NULL);
	buf_init(&f->request, OUT_MAX);
	f->timer = evtimer_new(proc_env()->base, on_timer, f);
	if (f->timer == NULL || compose(f, r) == -1) {
		fetch_cancel(f);
		return NULL;
	}
	/* What fails at once is told by the loop as well. */
	if (event_add(f->timer, begin(f, &f->err) == 0 ? &total : &now) == -1) {
		fetch_cancel(f);
		return NULL;
	}
	return f;
}
