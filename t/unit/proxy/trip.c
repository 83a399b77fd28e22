#include "t/unit/proxy/trip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tls.h"
#include "t/unit/unit.h"

static const struct conn_limits limits = {.in_max = 4096, .out_max = 4096, .idle_ms = 10000};

/* --- the far side --- */

static void
far_readable(struct conn *c, void *arg)
{
	struct far *f = arg;
	size_t n;
	const uint8_t *p = conn_in(c, &n);

	(void)snprintf(f->got + strlen(f->got), sizeof f->got - strlen(f->got), "%.*s", (int)n,
	    (const char *)p);
	conn_consume(c, n);
}

static void
far_secured(struct conn *c, void *arg)
{
	struct far *f = arg;

	f->secured++;
	(void)conn_puts(c, "+OK far\r\n"); /* a server that greets at once */
}

static void
far_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct far *f = arg;

	(void)why;
	(void)text;
	f->closed++;
	conn_free(c);
	f->c = NULL;
}

static const struct conn_handlers far_handlers = {
    .readable = far_readable, .secured = far_secured, .closed = far_closed};

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct far *f = arg;
	socklen_t n = sizeof f->from;
	int s = accept4(fd, (struct sockaddr *)&f->from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct err e = {0};

	(void)what;
	ck_assert_int_ne(s, -1);
	f->accepted++;
	conn_free(f->c);
	f->c = conn_new(proc_env()->base, s, &limits, &far_handlers, f);
	ck_assert_ptr_nonnull(f->c);
	if (f->ctx != NULL)
		ck_assert_msg(conn_accept_tls(f->c, f->ctx, false, &e) == 0, "%s", e.text);
}

void
far_target(struct proxy_target *t, const char *host, uint16_t port)
{
	struct netaddr a;

	ck_assert_int_eq(netaddr_parse_host(host, &a), 0);
	a.port = port;
	(void)netaddr_to_sockaddr(&a, &t->to);
	a.port = 4711;
	(void)netaddr_to_sockaddr(&a, &t->from);
}

void
far_start(struct far *f, const char *host, struct ssl_ctx_st *ctx)
{
	struct sockaddr_in in;
	socklen_t n = sizeof in;
	struct proxy_target t;

	memset(f, 0, sizeof *f);
	f->ctx = ctx;
	far_target(&t, host, 0);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&t.to, sizeof in), 0);
	ck_assert_int_eq(listen(f->fd, 4), 0);
	ck_assert_int_eq(getsockname(f->fd, (struct sockaddr *)&in, &n), 0);
	f->port = ntohs(in.sin_port);
	f->ev = event_new(proc_env()->base, f->fd, EV_READ | EV_PERSIST, on_accept, f);
	ck_assert_int_eq(event_add(f->ev, NULL), 0);
}

void
far_stop(struct far *f)
{
	conn_free(f->c);
	event_free(f->ev);
	(void)close(f->fd);
	tls_ctx_free(f->ctx);
}

/* --- the way there --- */

static void
told(struct trip *t, unsigned *what, const char *text)
{
	++*what;
	(void)strlcpy(t->text, text, sizeof t->text);
	if (!t->free_in_callback)
		return;
	upstream_free(t->u);
	t->u = NULL;
}

static void
trip_readable(struct conn *c, void *arg)
{
	(void)c;
	((struct trip *)arg)->readable++;
}

static void
trip_secured(struct conn *c, void *arg)
{
	struct trip *t = arg;

	t->secured++;
	if (t->judge_at_once)
		trip_judge(t);
	else
		conn_pause(c); /* until trip_judge */
}

static void
trip_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct trip *t = arg;

	(void)c;
	(void)why;
	t->closed++;
	(void)strlcpy(t->text, text, sizeof t->text);
}

static const struct conn_handlers trip_handlers = {
    .readable = trip_readable, .secured = trip_secured, .closed = trip_closed};

static void
on_connected(int fd, const char *text, void *arg)
{
	struct trip *t = arg;

	if (fd != -1) {
		t->c = conn_new(proc_env()->base, fd, &limits, &trip_handlers, t);
		ck_assert_ptr_nonnull(t->c);
	}
	told(t, &t->connected, text);
}

static void
on_judged(enum upstream_verdict v, const char *text, void *arg)
{
	struct trip *t = arg;

	t->verdict = v;
	told(t, &t->judged, text);
}

static void
on_minted(struct tls_cert *cert, const char *text, void *arg)
{
	struct trip *t = arg;

	tls_cert_free(t->cert);
	t->cert = cert;
	told(t, &t->minted, text);
}

void
trip_connect(struct trip *t, const struct proxy_route *r, const struct proxy_target *to)
{
	memset(t, 0, sizeof *t);
	t->r = r;
	t->u = upstream_connect(r, to, false, on_connected, t);
	ck_assert_ptr_nonnull(t->u);
	ck_assert_uint_eq(t->connected, 0);
}

void
trip_connected(struct trip *t)
{
	world_until(&t->connected, 1);
}

void
trip_secure(struct trip *t, const char *asked)
{
	struct err e = {0};
	int i;

	ck_assert_msg(upstream_start_tls(t->u, t->c, asked, &e) == 0, "%s", e.text);
	for (i = 0; i < 1000 && t->secured + t->closed == 0; i++)
		world_run(5);
	ck_assert_uint_eq(t->secured + t->closed, 1);
}

void
trip_judge(struct trip *t)
{
	upstream_judge(t->u, t->c, on_judged, t);
	ck_assert_uint_eq(t->judged, 0);
}

void
trip_mint(struct trip *t, const char *asked)
{
	unsigned before = t->minted;

	ck_assert_int_eq(upstream_mint(t->u, t->c, t->verdict, asked, on_minted, t), 0);
	ck_assert_uint_eq(t->minted, before);
}

void
trip_end(struct trip *t)
{
	upstream_free(t->u);
	conn_free(t->c);
	tls_cert_free(t->cert);
	proxy_route_drop(t->r);
}
