#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/conn.h"
#include "net/tunnel.h"
#include "t/unit/net/owner.h"
#include "t/unit/unit.h"

Suite *tunnel_suite(void);

#define STREAM (6 * 1024 * 1024)

/* A tunnel, and a plain socket at each of its outer ends. */
struct ends {
	struct event_base *base;
	struct tunnel *t;
	int fd[2];
	unsigned done;
	struct tunnel_end end;
	char text[200];
	/* what goes in at this end and what has come out of it */
	uint8_t *sent[2], *got[2];
	size_t nsent[2], ngot[2], total[2];
	bool shut[2], eof[2];
};

static void
on_done(const struct tunnel_end *end, void *arg)
{
	struct ends *x = arg;

	x->done++;
	x->end = *end;
	(void)snprintf(x->text, sizeof x->text, "%s", end->text);
	tunnel_free(x->t); /* which is nothing now */
	x->t = NULL;
}

static void
open_pair(int sv[2], bool tcp)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	int l;

	if (!tcp) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		return;
	}
	l = socket(AF_INET, SOCK_STREAM, 0);
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
dig(struct ends *x, bool tcp, const struct tunnel_limits *l, struct bytes to_second,
    struct bytes to_first)
{
	static const struct tunnel_limits usual = {.idle_ms = 20000};
	int a[2], b[2], i;

	memset(x, 0, sizeof *x);
	x->base = event_base_new();
	open_pair(a, tcp);
	open_pair(b, tcp);
	x->fd[0] = a[0];
	x->fd[1] = b[0];
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(fcntl(x->fd[i], F_SETFL, O_NONBLOCK), 0);
	x->t = tunnel_new(
	    x->base, a[1], b[1], to_second, to_first, l != NULL ? l : &usual, on_done, x);
	ck_assert_ptr_nonnull(x->t);
	ck_assert_uint_eq(tunnel_count(), 1);
}

static void
fill_in(struct ends *x)
{
	ck_assert_uint_eq(tunnel_count(), x->t != NULL ? 1 : 0);
	tunnel_free(x->t);
	ck_assert_uint_eq(tunnel_count(), 0);
	close(x->fd[0]);
	close(x->fd[1]);
	free(x->sent[0]);
	free(x->sent[1]);
	free(x->got[0]);
	free(x->got[1]);
	event_base_free(x->base);
	libevent_global_shutdown();
}

static void
turn(struct ends *x)
{
	struct timeval tv = {0, 1000};

	(void)event_base_loopexit(x->base, &tv);
	(void)event_base_loop(x->base, 0);
}

static void
until_done(struct ends *x)
{
	uint64_t end = clock_ms() + 20000;

	while (x->done == 0) {
		ck_assert_uint_lt(clock_ms(), end);
		turn(x);
	}
	ck_assert_uint_eq(x->done, 1);
}

/* n octets are to go in at this end. */
static void
load(struct ends *x, int i, size_t n)
{
	uint32_t v = 88172645u + (uint32_t)i;
	size_t k;

	x->total[i] = n;
	x->sent[i] = malloc(n + 1);
	x->got[!i] = malloc(n + 1);
	for (k = 0; k < n; k++) {
		v = v * 1664525 + 1013904223;
		x->sent[i][k] = (uint8_t)(v >> 24);
	}
}

/* One step of this end: some go in, at most take come out. */
static void
use(struct ends *x, int i, size_t piece, size_t take)
{
	size_t left = x->total[i] - x->nsent[i];
	ssize_t n;

	if (left > 0) {
		n = send(
		    x->fd[i], x->sent[i] + x->nsent[i], left < piece ? left : piece, MSG_NOSIGNAL);
		if (n > 0)
			x->nsent[i] += (size_t)n;
	} else if (!x->shut[i]) {
		ck_assert_int_eq(shutdown(x->fd[i], SHUT_WR), 0);
		x->shut[i] = true;
	}
	left = x->total[!i] - x->ngot[i];
	n = recv(x->fd[i], x->got[i] + x->ngot[i], left < take ? left + 1 : take, 0);
	if (n == 0)
		x->eof[i] = true;
	if (n > 0)
		x->ngot[i] += (size_t)n;
	ck_assert_uint_le(x->ngot[i], x->total[!i]);
}

static void
arrived(const struct ends *x)
{
	ck_assert_uint_eq(x->ngot[0], x->total[1]);
	ck_assert_uint_eq(x->ngot[1], x->total[0]);
	ck_assert_int_eq(memcmp(x->got[0], x->sent[1], x->ngot[0]), 0);
	ck_assert_int_eq(memcmp(x->got[1], x->sent[0], x->ngot[1]), 0);
	ck_assert_uint_eq(x->end.octets[0], x->total[0]);
	ck_assert_uint_eq(x->end.octets[1], x->total[1]);
}

static int
open_files(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

START_TEST(carries_streams_both_ways_at_once)
{
	uint64_t end = clock_ms() + 40000;
	struct ends x;
	int tcp, files;
	unsigned k;

	for (tcp = 0; tcp < 2; tcp++) {
		dig(&x, tcp, NULL, (struct bytes){0}, (struct bytes){0});
		files = open_files();
		load(&x, 0, STREAM);
		load(&x, 1, STREAM / 2 + 1);
		for (k = 0; x.done == 0 || !x.eof[0] || !x.eof[1]; k++) {
			ck_assert_uint_lt(clock_ms(), end);
			/* Pieces of all sizes, and the second side is slow to read. */
			use(&x, 0, 1 + k * 7919 % 200000, 100000);
			use(&x, 1, 1 + k * 104729 % 50000, 1 + k * 31 % 70000);
			(void)event_base_loop(x.base, EVLOOP_NONBLOCK);
		}
		ck_assert_str_eq(x.text, "");
		ck_assert_int_eq(x.end.side, -1);
		arrived(&x);
		ck_assert_int_le(open_files(), files);
		fill_in(&x);
	}
}
END_TEST

START_TEST(what_was_read_already_goes_first)
{
	uint8_t *big = malloc(1000000);
	struct ends x;
	char in[8];
	size_t n = 0, i;
	ssize_t k;

	for (i = 0; i < 1000000; i++)
		big[i] = (uint8_t)(i / 251 + i);
	/* As much as no socket takes at once, and nobody has to say anything for it to leave. */
	dig(&x, true, NULL, (struct bytes){big, 1000000},
	    (struct bytes){(const uint8_t *)"+OK\r\n", 5});
	ck_assert_int_eq(send(x.fd[0], "behind", 6, 0), 6);
	ck_assert_int_eq(shutdown(x.fd[0], SHUT_WR), 0);
	load(&x, 0, 1000006);
	while (!x.eof[1]) {
		turn(&x);
		k = recv(x.fd[1], x.got[1] + n, 1000007 - n, 0);
		n += k > 0 ? (size_t)k : 0;
		x.eof[1] = k == 0;
	}
	ck_assert_uint_eq(n, 1000006);
	ck_assert_mem_eq(x.got[1], big, 1000000);
	ck_assert_mem_eq(x.got[1] + 1000000, "behind", 6);
	ck_assert_int_eq(recv(x.fd[0], in, sizeof in, 0), 5);
	ck_assert_mem_eq(in, "+OK\r\n", 5);
	ck_assert_uint_eq(x.done, 0);
	close(x.fd[1]);
	x.fd[1] = -1;
	until_done(&x);
	ck_assert_uint_eq(x.end.octets[0], 1000006);
	ck_assert_uint_eq(x.end.octets[1], 5);
	free(big);
	fill_in(&x);
}
END_TEST

START_TEST(the_end_of_one_side_leaves_the_other_open)
{
	struct ends x;
	char in[16];
	int i;

	for (i = 0; i < 2; i++) {
		dig(&x, true, NULL, (struct bytes){0}, (struct bytes){0});
		ck_assert_int_eq(send(x.fd[i], "QUIT\r\n", 6, 0), 6);
		ck_assert_int_eq(shutdown(x.fd[i], SHUT_WR), 0);
		while (recv(x.fd[!i], in, sizeof in, MSG_PEEK) != 6)
			turn(&x);
		ck_assert_int_eq(recv(x.fd[!i], in, sizeof in, 0), 6);
		while (recv(x.fd[!i], in, sizeof in, 0) != 0)
			turn(&x);
		ck_assert_uint_eq(x.done, 0);
		ck_assert_int_eq(send(x.fd[!i], "+OK bye\r\n", 9, 0), 9);
		while (recv(x.fd[i], in, sizeof in, MSG_PEEK) != 9)
			turn(&x);
		ck_assert_uint_eq(x.done, 0);
		ck_assert_int_eq(shutdown(x.fd[!i], SHUT_WR), 0);
		until_done(&x);
		ck_assert_str_eq(x.text, "");
		fill_in(&x);
	}
}
END_TEST

START_TEST(a_side_that_is_lost_ends_it)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct ends x;
	char in[16];
	int i;

	for (i = 0; i < 2; i++) {
		dig(&x, true, NULL, (struct bytes){0}, (struct bytes){0});
		ck_assert_int_eq(
		    setsockopt(x.fd[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
		close(x.fd[i]);
		x.fd[i] = -1;
		until_done(&x);
		ck_assert_str_eq(x.text, "Connection reset by peer");
		ck_assert_int_eq(x.end.side, i);
		ck_assert_int_eq(recv(x.fd[!i], in, sizeof in, 0), 0);
		fill_in(&x);
	}
	/* Written to after it went away: nothing but an error. */
	for (i = 0; i < 2; i++) {
		dig(&x, i, NULL, (struct bytes){0}, (struct bytes){0});
		close(x.fd[1]);
		x.fd[1] = -1;
		while (x.done == 0) {
			(void)send(x.fd[0], "are you there?", 14, MSG_NOSIGNAL);
			turn(&x);
		}
		ck_assert_int_eq(x.end.side, 1);
		ck_assert_uint_gt(strlen(x.text), 0);
		fill_in(&x);
	}
}
END_TEST

START_TEST(holds_little_for_who_does_not_read)
{
	struct ends x;
	size_t sum = 0;
	ssize_t n;
	int i, buf = 16384;
	static const char junk[65536];

	dig(&x, false, NULL, (struct bytes){0}, (struct bytes){0});
	ck_assert_int_eq(setsockopt(x.fd[0], SOL_SOCKET, SO_SNDBUF, &buf, sizeof buf), 0);
	for (i = 0; i < 300; i++) {
		n = send(x.fd[0], junk, sizeof junk, MSG_NOSIGNAL);
		sum += n > 0 ? (size_t)n : 0;
		turn(&x);
	}
	/* Two sockets and a pipe. */
	ck_assert_uint_lt(sum, 1024 * 1024);
	ck_assert_uint_eq(x.done, 0);
	fill_in(&x);
}
END_TEST

/* As a client can send them at any time, to stop whoever passes them on. */
START_TEST(urgent_octets_pass_in_their_place)
{
	static const struct tunnel_limits brief = {.idle_ms = 5000};
	struct ends x;
	char in[16];

	dig(&x, true, &brief, (struct bytes){0}, (struct bytes){0});
	ck_assert_int_eq(send(x.fd[0], "ab", 2, 0), 2);
	ck_assert_int_eq(send(x.fd[0], "U", 1, MSG_OOB), 1);
	ck_assert_int_eq(send(x.fd[0], "cd", 2, 0), 2);
	while (x.done == 0 && recv(x.fd[1], in, sizeof in, MSG_PEEK) < 5)
		turn(&x);
	ck_assert_int_eq(recv(x.fd[1], in, sizeof in, 0), 5);
	ck_assert_mem_eq(in, "abUcd", 5);
	/* The last ones, and then the end: they are not taken for it. */
	ck_assert_int_eq(send(x.fd[0], "VW", 2, MSG_OOB), 2);
	ck_assert_int_eq(shutdown(x.fd[0], SHUT_WR), 0);
	ck_assert_int_eq(shutdown(x.fd[1], SHUT_WR), 0);
	until_done(&x);
	ck_assert_str_eq(x.text, "");
	ck_assert_uint_eq(x.end.octets[0], 7);
	ck_assert_int_eq(recv(x.fd[1], in, sizeof in, 0), 2);
	ck_assert_mem_eq(in, "VW", 2);
	fill_in(&x);
}
END_TEST

START_TEST(at_rest_it_has_no_pipes)
{
	struct ends x;
	char in[16];
	int files;

	dig(&x, true, NULL, (struct bytes){0}, (struct bytes){0});
	files = open_files();
	turn(&x);
	ck_assert_int_eq(open_files(), files);
	ck_assert_int_eq(send(x.fd[0], "NOOP\r\n", 6, 0), 6);
	while (recv(x.fd[1], in, sizeof in, 0) != 6)
		turn(&x);
	/* One that is kept for the next, whoever that is. */
	ck_assert_int_le(open_files(), files + 2);
	fill_in(&x);
}
END_TEST

START_TEST(silence_and_age_end_it)
{
	static const struct tunnel_limits idle = {.idle_ms = 100}, total = {.total_ms = 200};
	struct ends x;
	uint64_t began;

	dig(&x, true, &idle, (struct bytes){0}, (struct bytes){0});
	began = clock_ms();
	until_done(&x);
	ck_assert_uint_ge(clock_ms() - began, 99);
	ck_assert_str_eq(x.text, "idle");
	fill_in(&x);

	dig(&x, true, &total, (struct bytes){0}, (struct bytes){0});
	began = clock_ms();
	while (x.done == 0) {
		(void)send(x.fd[0], "x", 1, MSG_NOSIGNAL);
		turn(&x);
	}
	ck_assert_uint_ge(clock_ms() - began, 199);
	ck_assert_str_eq(x.text, "took too long");
	fill_in(&x);
}
END_TEST

START_TEST(waits_while_descriptors_are_out)
{
	struct rlimit old, few;
	struct ends x;
	char in[16];
	int i;

	dig(&x, true, NULL, (struct bytes){0}, (struct bytes){0});
	turn(&x);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = 3;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(send(x.fd[0], "NOOP\r\n", 6, 0), 6);
	for (i = 0; i < 100; i++)
		turn(&x);
	ck_assert_int_eq(recv(x.fd[1], in, sizeof in, 0), -1);
	ck_assert_uint_eq(x.done, 0);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	while (recv(x.fd[1], in, sizeof in, 0) != 6)
		turn(&x);
	fill_in(&x);
}
END_TEST

START_TEST(may_be_freed_at_any_time)
{
	static const char junk[65536];
	struct ends x;
	unsigned i, k;

	for (i = 0; i < 20; i++) {
		dig(&x, i % 2, NULL, (struct bytes){(const uint8_t *)"ahead", i % 3},
		    (struct bytes){0});
		for (k = 0; k < i; k++) {
			(void)send(x.fd[0], junk, sizeof junk, MSG_NOSIGNAL);
			(void)send(x.fd[1], junk, i * 100, MSG_NOSIGNAL);
			turn(&x);
		}
		fill_in(&x);
		ck_assert_uint_eq(x.done, 0);
	}
}
END_TEST

/* --- out of a connection --- */

static struct buf in_buf, out_buf;
static int released;

static void
release(struct owner *o)
{
	conn_consume(o->c, 6);
	ck_assert_int_eq(conn_puts(o->c, "+OK begin\r\n"), 0);
	released = conn_release(o->c, &in_buf, &out_buf);
	o->c = NULL;
}

START_TEST(a_connection_gives_its_socket_away)
{
	struct owner o;
	char in[8];
	int fd;

	buf_init(&in_buf, 4096);
	buf_init(&out_buf, 4096);
	owner_start(&o, &owner_limits, true);
	o.keep = true;
	owner_say(&o, "STLS\r\nhello", 11);
	ck_assert(owner_until(&o, &o.readable, 1, 5000));
	conn_consume(o.c, 6);
	/* There is room for it, or it stays as it was. */
	in_buf.max = 2;
	ck_assert_int_eq(conn_release(o.c, &in_buf, &out_buf), -1);
	ck_assert_uint_eq(buf_len(&in_buf), 0);
	in_buf.max = 4096;
	ck_assert_int_eq(conn_puts(o.c, "+OK\r\n"), 0);
	out_buf.max = 2;
	ck_assert_int_eq(conn_release(o.c, &in_buf, &out_buf), -1);
	ck_assert_uint_eq(buf_len(&in_buf), 0);
	out_buf.max = 4096;
	fd = conn_release(o.c, &in_buf, &out_buf);
	o.c = NULL;
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_eq(conn_count(), 0);
	ck_assert_uint_eq(buf_len(&in_buf), 5);
	ck_assert_mem_eq(buf_ptr(&in_buf), "hello", 5);
	ck_assert_uint_eq(buf_len(&out_buf), 5);
	ck_assert_mem_eq(buf_ptr(&out_buf), "+OK\r\n", 5);
	/* It is neither closed nor shut down. */
	ck_assert_int_eq(send(fd, "still", 5, 0), 5);
	ck_assert_int_eq(send(o.peer, "here", 4, 0), 4);
	owner_run(&o, 10);
	ck_assert_int_eq(recv(fd, in, 4, MSG_WAITALL), 4);
	close(fd);
	buf_free(&in_buf);
	buf_free(&out_buf);
	owner_stop(&o);
}
END_TEST

START_TEST(it_does_so_within_readable_too)
{
	struct owner o;

	buf_init(&in_buf, 4096);
	buf_init(&out_buf, 4096);
	owner_start(&o, &owner_limits, true);
	o.on_read = release;
	owner_say(&o, "STLS\r\nhello", 11);
	ck_assert(owner_until(&o, &o.readable, 1, 5000));
	ck_assert_int_ge(released, 0);
	ck_assert_uint_eq(buf_len(&in_buf), 5);
	ck_assert_uint_eq(buf_len(&out_buf), 11);
	ck_assert_uint_eq(conn_count(), 0);
	close(released);
	buf_free(&in_buf);
	buf_free(&out_buf);
	owner_stop(&o);
}
END_TEST

Suite *
tunnel_suite(void)
{
	const TTest *const tests[] = {carries_streams_both_ways_at_once,
	    what_was_read_already_goes_first, the_end_of_one_side_leaves_the_other_open,
	    a_side_that_is_lost_ends_it, holds_little_for_who_does_not_read,
	    urgent_octets_pass_in_their_place, at_rest_it_has_no_pipes, silence_and_age_end_it,
	    waits_while_descriptors_are_out, may_be_freed_at_any_time,
	    a_connection_gives_its_socket_away, it_does_so_within_readable_too, NULL};

	return unit_suite("tunnel", tests);
}
