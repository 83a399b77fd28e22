#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "net/conn.h"
#include "net/tls.h"
#include "t/unit/net/certs.h"
#include "t/unit/unit.h"

Suite *storm_suite(void);

#define CONNS 64
#define STEPS 60000

/* Owners that call anything at any time, from handlers and from outside. */
struct one {
	struct conn *c;
	int peer;
	unsigned closed;
	struct storm *s;
};

struct storm {
	struct event_base *base;
	struct ssl_ctx_st *ctx;
	struct one one[CONNS];
	uint32_t seed;
	unsigned calls;
};

static unsigned
draw(struct storm *s, unsigned n)
{
	s->seed = s->seed * 1664525 + 1013904223;
	return (s->seed >> 12) % n;
}

static void
act(struct one *o)
{
	static const char junk[30000];
	struct storm *s = o->s;
	struct err e;
	size_t n;

	if (o->c == NULL)
		return;
	switch (draw(s, 16)) {
	case 0:
		conn_pause(o->c);
		break;
	case 1:
	case 2:
		conn_resume(o->c);
		break;
	case 3:
	case 4:
	case 5:
		(void)conn_write(o->c, junk, 1 + draw(s, sizeof junk - 1));
		break;
	case 6:
		conn_set_idle(o->c, 1 + draw(s, 20));
		break;
	case 7:
		conn_set_total(o->c, draw(s, 30));
		break;
	case 8:
		if (draw(s, 8) == 0)
			(void)conn_start_tls(o->c, s->ctx,
			    &(struct conn_peer){.name = "m.example", .verify = CONN_VERIFY_CA}, &e);
		break;
	case 9:
	case 10:
		if (draw(s, 4) != 0)
			break;
		conn_finish(o->c);
		o->c = NULL;
		break;
	case 11:
		if (draw(s, 4) != 0)
			break;
		conn_free(o->c);
		o->c = NULL;
		break;
	default:
		(void)conn_in(o->c, &n);
		if (n > 0)
			conn_consume(o->c, 1 + draw(s, (unsigned)n));
	}
}

static void
on_some(struct conn *c, void *arg)
{
	struct one *o = arg;

	ck_assert_ptr_eq(o->c, c);
	o->s->calls++;
	act(o);
	act(o);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct one *o = arg;

	ck_assert_ptr_eq(o->c, c);
	ck_assert_int_le(why, CONN_EXPIRED);
	ck_assert_uint_gt(strlen(text), 0);
	ck_assert_uint_eq(o->closed++, 0);
	act(o);
}

static const struct conn_handlers handlers = {
    .readable = on_some, .drained = on_some, .secured = on_some, .closed = on_closed};

static void
renew(struct one *o)
{
	static const struct conn_limits limits = {.in_max = 700, .out_max = 50000, .out_low = 100};
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	ck_assert_int_eq(fcntl(sv[1], F_SETFL, O_NONBLOCK), 0);
	if (o->peer != -1)
		close(o->peer);
	o->peer = sv[1];
	o->closed = 0;
	o->c = conn_new(o->s->base, sv[0], &limits, &handlers, o);
	ck_assert_ptr_nonnull(o->c);
}

/* What the other side does. */
static void
disturb(struct one *o)
{
	char junk[5000];

	if (o->peer == -1)
		return;
	switch (draw(o->s, 12)) {
	case 0:
		close(o->peer);
		o->peer = -1;
		break;
	case 1:
		(void)shutdown(o->peer, SHUT_WR);
		break;
	case 2:
	case 3:
	case 4:
		memset(junk, (int)draw(o->s, 256), sizeof junk);
		(void)!send(o->peer, junk, 1 + draw(o->s, sizeof junk - 1), MSG_NOSIGNAL);
		break;
	default:
		(void)!recv(o->peer, junk, sizeof junk, 0);
	}
}

START_TEST(survives_any_order_of_calls)
{
	struct storm s = {.seed = 7};
	struct err e;
	struct one *o;
	unsigned i;

	s.base = event_base_new();
	ck_assert_ptr_nonnull(s.ctx = tls_client_ctx(&usual_tls, NULL, 0, "none", &e));
	for (i = 0; i < CONNS; i++)
		s.one[i] = (struct one){.peer = -1, .s = &s};
	for (i = 0; i < STEPS; i++) {
		o = &s.one[draw(&s, CONNS)];
		if (o->c == NULL && draw(&s, 3) == 0)
			renew(o);
		disturb(o);
		if (draw(&s, 3) == 0)
			act(o);
		if (i % 4 == 0)
			(void)event_base_loop(s.base, EVLOOP_NONBLOCK);
	}
	ck_assert_uint_gt(s.calls, 1000);
	for (i = 0; i < CONNS; i++) {
		conn_free(s.one[i].c);
		if (s.one[i].peer != -1)
			close(s.one[i].peer);
	}
	/* Those that were finishing notice that nobody is there any more. */
	(void)event_base_dispatch(s.base);
	ck_assert_uint_eq(conn_count(), 0);
	tls_ctx_free(s.ctx);
	event_base_free(s.base);
}
END_TEST

Suite *
storm_suite(void)
{
	return unit_suite("storm", (const TTest *const[]){survives_any_order_of_calls, NULL});
}
