#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/dial.h"
#include "t/unit/unit.h"

Suite *dial_suite(void);

struct answer {
	struct event_base *base;
	unsigned calls;
	int fd;
	in_port_t port;
	struct err e;
};

static void
on_done(int fd, const struct sockaddr_storage *peer, const struct err *e, void *arg)
{
	struct answer *a = arg;

	a->calls++;
	a->fd = fd;
	if (fd != -1) {
		ck_assert_ptr_null(e);
		a->port = ((const struct sockaddr_in *)(const void *)peer)->sin_port;
	} else {
		ck_assert_ptr_null(peer);
		a->e = *e;
	}
	(void)event_base_loopbreak(a->base);
}

/* A loopback address where somebody listens, or nobody when backlog is -1; the listener. */
static int
place(struct sockaddr_storage *ss, int backlog)
{
	struct sockaddr_in *in = (void *)ss;
	socklen_t len = sizeof *in;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(ss, 0, sizeof *ss);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)in, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)in, &len), 0);
	if (backlog >= 0)
		ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

/* A listener that accepts nothing more: its queue is full, so a connection attempt hangs. */
static int
deaf_place(struct sockaddr_storage *ss, int fill[4])
{
	int i, l = place(ss, 0);

	for (i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)ss, sizeof(struct sockaddr_in));
	}
	return l;
}

static void
run(struct answer *a, const struct sockaddr_storage *ss, size_t n, uint32_t each, uint32_t total)
{
	struct err e;

	memset(a, 0, sizeof *a);
	a->base = event_base_new();
	a->fd = -1;
	ck_assert_ptr_nonnull(dial_start(a->base, ss, n, each, total, on_done, a, &e));
	ck_assert_uint_eq(a->calls, 0);
	(void)event_base_dispatch(a->base);
	ck_assert_uint_eq(a->calls, 1);
	event_base_free(a->base);
}

START_TEST(takes_the_first_address_that_answers)
{
	struct sockaddr_storage ss[3];
	struct answer a;
	int l[3];

	l[0] = place(&ss[0], -1);
	l[1] = place(&ss[1], 5);
	l[2] = place(&ss[2], 5);
	run(&a, ss, 3, 1000, 5000);
	ck_assert_int_ne(a.fd, -1);
	ck_assert_int_eq(a.port, ((struct sockaddr_in *)&ss[1])->sin_port);
	close(a.fd);
	close(l[0]);
	close(l[1]);
	close(l[2]);
}
END_TEST

START_TEST(says_why_each_address_failed)
{
	struct sockaddr_storage ss[2];
	char want[200];
	struct answer a;
	int l[2];

	l[0] = place(&ss[0], -1);
	l[1] = place(&ss[1], -1);
	run(&a, ss, 2, 1000, 5000);
	ck_assert_int_eq(a.fd, -1);
	ck_assert_int_eq(a.e.code, ECONNREFUSED);
	(void)snprintf(want, sizeof want,
	    "[127.0.0.1]:%u: Connection refused; [127.0.0.1]:%u: Connection refused",
	    ntohs(((struct sockaddr_in *)&ss[0])->sin_port),
	    ntohs(((struct sockaddr_in *)&ss[1])->sin_port));
	ck_assert_str_eq(a.e.text, want);
	close(l[0]);
	close(l[1]);
}
END_TEST

START_TEST(goes_on_when_an_address_is_silent)
{
	struct sockaddr_storage ss[2];
	struct answer a;
	uint64_t begin = clock_ms();
	int l[2], fill[4], i;

	l[0] = deaf_place(&ss[0], fill);
	l[1] = place(&ss[1], 5);
	run(&a, ss, 2, 200, 5000);
	ck_assert_int_ne(a.fd, -1);
	ck_assert_int_eq(a.port, ((struct sockaddr_in *)&ss[1])->sin_port);
	ck_assert_uint_ge(clock_ms() - begin, 190);
	close(a.fd);
	/* And the time for all of them is a bound of its own. */
	begin = clock_ms();
	ss[1] = ss[0];
	run(&a, ss, 2, 3000, 200);
	ck_assert_int_eq(a.fd, -1);
	ck_assert_int_eq(a.e.code, ETIMEDOUT);
	ck_assert_ptr_nonnull(strstr(a.e.text, "no answer in 0.2 s"));
	ck_assert_ptr_nonnull(strstr(a.e.text, "not tried"));
	ck_assert_uint_lt(clock_ms() - begin, 1500);
	for (i = 0; i < 4; i++)
		close(fill[i]);
	close(l[0]);
	close(l[1]);
}
END_TEST

START_TEST(can_be_cancelled_and_refuses_nonsense)
{
	struct sockaddr_storage ss[2];
	struct answer a = {.fd = -1};
	struct dial *d;
	struct err e;
	int l, fill[4], i;

	a.base = event_base_new();
	l = deaf_place(&ss[0], fill);
	d = dial_start(a.base, ss, 1, 1000, 1000, on_done, &a, &e);
	(void)event_base_loop(a.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	dial_cancel(d);
	d = dial_start(a.base, ss, 1, 1000, 1000, on_done, &a, &e);
	dial_cancel(d);
	(void)event_base_loop(a.base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(a.calls, 0);
	ck_assert_ptr_null(dial_start(a.base, ss, 0, 1, 1, on_done, &a, &e));
	ck_assert_int_eq(e.code, EINVAL);
	ss[0].ss_family = AF_UNIX;
	ck_assert_ptr_null(dial_start(a.base, ss, 1, 1, 1, on_done, &a, &e));
	event_base_free(a.base);
	for (i = 0; i < 4; i++)
		close(fill[i]);
	close(l);
}
END_TEST

Suite *
dial_suite(void)
{
	return unit_suite(
	    "dial", (const TTest *const[]){takes_the_first_address_that_answers,
			says_why_each_address_failed, goes_on_when_an_address_is_silent,
			can_be_cancelled_and_refuses_nonsense, NULL});
}
