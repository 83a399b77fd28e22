#include "t/unit/net/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "t/unit/unit.h"

const struct conn_limits owner_limits = {
    .in_max = 4096, .out_max = 256 * 1024, .out_low = 1024, .idle_ms = 10000};

static void
on_readable(struct conn *c, void *arg)
{
	struct owner *o = arg;
	const uint8_t *p;
	size_t n;

	ck_assert_ptr_eq(o->c, c);
	ck_assert(!conn_paused(c));
	o->readable++;
	p = conn_in(c, &n);
	ck_assert_uint_gt(n, 0);
	if (o->on_read != NULL)
		o->on_read(o);
	if (o->c == NULL)
		return;
	if (!o->keep) {
		ck_assert_int_eq(buf_put(&o->got, p, n), 0);
		conn_consume(c, n);
	}
	if (o->free_on_read) {
		conn_free(c);
		o->c = NULL;
	}
}

static void
on_drained(struct conn *c, void *arg)
{
	struct owner *o = arg;

	(void)c;
	o->drained++;
}

static void
on_secured(struct conn *c, void *arg)
{
	struct owner *o = arg;

	ck_assert(conn_is_tls(c));
	o->secured++;
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct owner *o = arg;

	o->closed++;
	o->why = why;
	(void)snprintf(o->text, sizeof o->text, "%s", text);
	if (o->free_on_closed)
		conn_free(c);
	if (o->finish_on_closed)
		conn_finish(c);
	if (o->free_on_closed || o->finish_on_closed)
		o->c = NULL;
}

static void
on_hello(struct conn *c, void *arg)
{
	struct owner *o = arg;

	o->hello++;
	(void)snprintf(o->asked, sizeof o->asked, "%s", conn_tls_asked(c));
	if (o->answer != NULL)
		ck_assert_int_eq(conn_tls_use(c, o->answer), 0);
}

static const struct conn_handlers handlers = {.readable = on_readable,
    .drained = on_drained,
    .secured = on_secured,
    .hello = on_hello,
    .closed = on_closed};

static void
tcp_pair(int sv[2])
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	int l = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(l, (struct sockaddr *)&in, len), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	ck_assert_int_eq(getsockname(l, (struct sockaddr *)&in, &len), 0);
	sv[0] = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(sv[0], (struct sockaddr *)&in, len), 0);
	sv[1] = accept(l, NULL, NULL);
	ck_assert_int_ge(sv[1], 0);
	close(l);
}

static void
start_on(struct owner *o, struct event_base *base, const struct conn_limits *limits, bool tcp)
{
	int sv[2];

	memset(o, 0, sizeof *o);
	buf_init(&o->got, 1 << 24);
	o->base = base;
	if (tcp)
		tcp_pair(sv);
	else
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	o->peer = sv[1];
	ck_assert_int_eq(fcntl(o->peer, F_SETFL, O_NONBLOCK), 0);
	o->c = conn_new(o->base, sv[0], limits, &handlers, o);
	ck_assert_ptr_nonnull(o->c);
}

void
owner_start(struct owner *o, const struct conn_limits *limits, bool tcp)
{
	start_on(o, event_base_new(), limits, tcp);
}

void
owner_start_beside(struct owner *o, const struct owner *other, const struct conn_limits *l)
{
	start_on(o, other->base, l, false);
	o->beside = true;
}

void
owner_join(struct owner *o, struct owner *a, const struct conn_limits *l)
{
	memset(o, 0, sizeof *o);
	buf_init(&o->got, 1 << 24);
	o->base = a->base;
	o->beside = true;
	o->peer = -1;
	o->c = conn_new(o->base, a->peer, l, &handlers, o);
	ck_assert_ptr_nonnull(o->c);
	a->peer = -1;
}

void
owner_stop(struct owner *o)
{
	conn_free(o->c);
	if (o->peer != -1)
		close(o->peer);
	buf_free(&o->got);
	if (o->beside)
		return;
	ck_assert_uint_eq(conn_count(), 0);
	event_base_free(o->base);
	libevent_global_shutdown();
}

bool
owner_until(struct owner *o, const unsigned *n, unsigned want, unsigned ms)
{
	uint64_t end = clock_ms() + ms;

	while (*n < want && clock_ms() < end)
		owner_run(o, 5);
	return *n >= want;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)event_base_loopexit(arg, NULL);
}

void
owner_run(struct owner *o, unsigned ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	ck_assert_int_eq(event_base_once(o->base, -1, EV_TIMEOUT, on_tick, o->base, &tv), 0);
	(void)event_base_loop(o->base, 0);
}

void
owner_say(struct owner *o, const void *p, size_t n)
{
	const char *from = p;
	ssize_t put;

	while (n > 0) {
		put = send(o->peer, from, n, MSG_NOSIGNAL);
		if (put == -1) {
			ck_assert_int_eq(errno, EAGAIN);
			owner_run(o, 2);
			continue;
		}
		from += put;
		n -= (size_t)put;
	}
}

size_t
owner_hear(struct owner *o, void *p, size_t n)
{
	uint64_t last = clock_ms();
	size_t got = 0;
	ssize_t k;

	while (got < n && clock_ms() - last < 200) {
		owner_run(o, 2);
		k = recv(o->peer, (char *)p + got, n - got, 0);
		if (k > 0) {
			got += (size_t)k;
			last = clock_ms();
		} else if (k == 0) {
			break;
		}
	}
	return got;
}
