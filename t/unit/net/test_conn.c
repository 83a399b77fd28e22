#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/line.h"
#include "t/unit/net/owner.h"
#include "t/unit/unit.h"

Suite *conn_suite(void);

START_TEST(offers_input_and_sends_output)
{
	struct owner o;
	char in[32];

	owner_start(&o, &owner_limits, false);
	owner_say(&o, "EHLO x\r\n", 8);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	ck_assert_uint_eq(buf_len(&o.got), 8);
	ck_assert_int_eq(conn_puts(o.c, "250-a\r\n"), 0);
	ck_assert_int_eq(conn_printf(o.c, "250 %s\r\n", "b"), 0);
	ck_assert_uint_eq(conn_room(o.c), owner_limits.out_max - 14);
	/* Both writes leave as one packet. */
	owner_run(&o, 20);
	ck_assert_int_eq(recv(o.peer, in, sizeof in, 0), 14);
	ck_assert_mem_eq(in, "250-a\r\n250 b\r\n", 14);
	owner_stop(&o);
}
END_TEST

START_TEST(stops_reading_when_the_input_is_full)
{
	struct conn_limits l = owner_limits;
	struct owner o;
	char junk[60000];
	size_t n, total;

	l.in_max = 1000;
	memset(junk, 'x', sizeof junk);
	owner_start(&o, &l, false);
	o.keep = true;
	owner_say(&o, junk, sizeof junk);
	owner_run(&o, 30);
	(void)conn_in(o.c, &n);
	ck_assert_uint_eq(n, 1000);
	/* Each time room is made, more comes. */
	o.keep = false;
	for (total = 0; total < sizeof junk; total += n) {
		(void)conn_in(o.c, &n);
		conn_consume(o.c, n);
		n += buf_len(&o.got);
		buf_reset(&o.got);
		if (n == 0)
			owner_run(&o, 2);
	}
	ck_assert_uint_eq(total, sizeof junk);
	owner_stop(&o);
}
END_TEST

START_TEST(neither_reads_nor_ends_while_paused)
{
	struct owner o;
	unsigned before;

	owner_start(&o, &owner_limits, false);
	o.keep = true;
	owner_say(&o, "one", 3);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	conn_pause(o.c);
	before = o.readable;
	owner_say(&o, "two", 3);
	close(o.peer);
	o.peer = -1;
	owner_run(&o, 50);
	ck_assert_uint_eq(o.readable, before);
	ck_assert_uint_eq(o.closed, 0);
	o.keep = false;
	conn_resume(o.c);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_uint_eq(buf_len(&o.got), 6);
	ck_assert_mem_eq(buf_ptr(&o.got), "onetwo", 6);
	ck_assert_int_eq(o.why, CONN_EOF);
	owner_stop(&o);
}
END_TEST

START_TEST(resuming_offers_input_that_was_left)
{
	struct owner o;

	owner_start(&o, &owner_limits, false);
	o.keep = true;
	owner_say(&o, "RCPT", 4);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	/* Input that was seen and left alone is not offered again by itself, only by a resume. */
	owner_run(&o, 20);
	ck_assert_uint_eq(o.readable, 1);
	conn_pause(o.c);
	conn_resume(o.c);
	ck_assert_uint_eq(o.readable, 1);
	ck_assert(owner_until(&o, &o.readable, 2, 2000));
	owner_stop(&o);
}
END_TEST

START_TEST(offers_the_last_input_before_the_end_and_can_still_answer)
{
	struct owner o;
	char in[8];

	owner_start(&o, &owner_limits, true);
	owner_say(&o, "QUIT\r\n", 6);
	ck_assert_int_eq(shutdown(o.peer, SHUT_WR), 0);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_uint_eq(buf_len(&o.got), 6);
	ck_assert_int_eq(conn_puts(o.c, "221 x\r\n"), 0);
	conn_finish(o.c);
	o.c = NULL;
	ck_assert_uint_eq(owner_hear(&o, in, sizeof in), 7);
	ck_assert_uint_eq(conn_count(), 0);
	ck_assert_uint_eq(o.closed, 1);
	owner_stop(&o);
}
END_TEST

START_TEST(tells_when_output_drained_below_the_low_water_mark)
{
	struct owner o;
	char *big = calloc(1, 200000);
	size_t got;
	int i;

	owner_start(&o, &owner_limits, false);
	for (i = 0; i < 25; i++)
		ck_assert_int_eq(conn_write(o.c, big, 8000), 0);
	ck_assert_int_eq(conn_write(o.c, big, 100000), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(conn_room(o.c), owner_limits.out_max - 200000);
	got = owner_hear(&o, big, 200000);
	ck_assert_uint_eq(got, 200000);
	ck_assert_uint_eq(o.drained, 1);
	ck_assert_uint_eq(conn_room(o.c), owner_limits.out_max);
	/* Below the mark there is nothing to tell. */
	ck_assert_int_eq(conn_write(o.c, big, 1000), 0);
	ck_assert_uint_eq(owner_hear(&o, big, 1000), 1000);
	ck_assert_uint_eq(o.drained, 1);
	free(big);
	owner_stop(&o);
}
END_TEST

START_TEST(reports_a_reset_and_refuses_further_output)
{
	struct linger hard = {1, 0};
	struct owner o;

	owner_start(&o, &owner_limits, true);
	ck_assert_int_eq(setsockopt(o.peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
	close(o.peer);
	o.peer = -1;
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_LOST);
	ck_assert_str_eq(o.text, "Connection reset by peer");
	ck_assert_int_eq(conn_puts(o.c, "x"), -1);
	ck_assert_int_eq(errno, EPIPE);
	owner_run(&o, 20);
	ck_assert_uint_eq(o.closed, 1);
	owner_stop(&o);
}
END_TEST

START_TEST(reports_a_failed_write_even_while_paused)
{
	struct owner o;

	owner_start(&o, &owner_limits, false);
	conn_pause(o.c);
	close(o.peer);
	o.peer = -1;
	ck_assert_int_eq(conn_puts(o.c, "x"), 0);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_LOST);
	owner_stop(&o);
}
END_TEST

START_TEST(may_be_freed_by_any_handler)
{
	struct owner o;

	owner_start(&o, &owner_limits, false);
	o.free_on_read = true;
	owner_say(&o, "x", 1);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	ck_assert_ptr_null(o.c);
	owner_stop(&o);

	owner_start(&o, &owner_limits, false);
	o.free_on_closed = true;
	close(o.peer);
	o.peer = -1;
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	owner_stop(&o);

	owner_start(&o, &owner_limits, false);
	o.finish_on_closed = true;
	ck_assert_int_eq(conn_puts(o.c, "bye"), 0);
	ck_assert_int_eq(shutdown(o.peer, SHUT_WR), 0);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	owner_run(&o, 20);
	ck_assert_uint_eq(conn_count(), 0);
	owner_stop(&o);
}
END_TEST

START_TEST(idle_deadline_counts_from_the_last_octet)
{
	struct conn_limits l = owner_limits;
	struct owner o;
	uint64_t begin = clock_ms();
	int i;

	l.idle_ms = 500;
	owner_start(&o, &l, false);
	for (i = 0; i < 5; i++) {
		owner_run(&o, 150);
		ck_assert_uint_eq(o.closed, 0);
		owner_say(&o, "x", 1);
	}
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_IDLE);
	ck_assert_uint_ge(clock_ms() - begin, 750 + 490);
	owner_stop(&o);
}
END_TEST

START_TEST(idle_clock_stands_still_while_the_peer_waits_for_us)
{
	struct conn_limits l = owner_limits;
	struct owner o;

	l.idle_ms = 300;
	owner_start(&o, &l, false);
	conn_pause(o.c);
	owner_run(&o, 700);
	ck_assert_uint_eq(o.closed, 0);
	conn_resume(o.c);
	owner_run(&o, 60);
	ck_assert_uint_eq(o.closed, 0);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_IDLE);
	owner_stop(&o);

	/* But a peer that does not take our output is idle, paused or not. */
	owner_start(&o, &l, false);
	conn_pause(o.c);
	for (;;) {
		static const char junk[100000];
		if (conn_write(o.c, junk, sizeof junk) == -1)
			break;
		owner_run(&o, 2);
	}
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_IDLE);
	owner_stop(&o);
}
END_TEST

START_TEST(total_deadline_ends_a_session_that_dribbles)
{
	struct conn_limits l = owner_limits;
	struct owner o;
	uint64_t begin = clock_ms();

	l.total_ms = 200;
	owner_start(&o, &l, false);
	while (o.closed == 0 && clock_ms() - begin < 2000) {
		owner_say(&o, "x", 1);
		owner_run(&o, 10);
	}
	ck_assert_uint_eq(o.closed, 1);
	ck_assert_int_eq(o.why, CONN_EXPIRED);
	ck_assert_uint_ge(clock_ms() - begin, 190);
	owner_stop(&o);
}
END_TEST

START_TEST(last_reply_survives_input_that_nobody_reads)
{
	struct owner o;
	char junk[50000], in[64];

	memset(junk, 'x', sizeof junk);
	owner_start(&o, &owner_limits, true);
	conn_pause(o.c);
	owner_say(&o, junk, sizeof junk);
	ck_assert_int_eq(conn_puts(o.c, "421 4.7.0 too many errors\r\n"), 0);
	conn_finish(o.c);
	o.c = NULL;
	owner_run(&o, 20);
	owner_say(&o, junk, sizeof junk);
	ck_assert_uint_eq(owner_hear(&o, in, 27), 27);
	ck_assert_mem_eq(in, "421 4.7.0", 9);
	close(o.peer);
	o.peer = -1;
	owner_run(&o, 20);
	ck_assert_uint_eq(conn_count(), 0);
	owner_stop(&o);
}
END_TEST

START_TEST(finishing_does_not_wait_for_ever)
{
	struct owner o;
	char junk[60000];
	int i;

	memset(junk, 'x', sizeof junk);
	owner_start(&o, &owner_limits, false);
	conn_finish(o.c);
	o.c = NULL;
	/* The peer neither closes nor stops talking. */
	for (i = 0; i < 100 && conn_count() > 0; i++) {
		(void)!send(o.peer, junk, sizeof junk, MSG_NOSIGNAL);
		owner_run(&o, 5);
	}
	ck_assert_uint_eq(conn_count(), 0);
	owner_stop(&o);
}
END_TEST

START_TEST(finishing_tells_the_peer_and_waits_for_it_within_a_bound)
{
	uint64_t begin = clock_ms();
	struct owner o;
	char in[8];

	owner_start(&o, &owner_limits, true);
	ck_assert_int_eq(conn_puts(o.c, "221\r\n"), 0);
	conn_finish(o.c);
	o.c = NULL;
	ck_assert_uint_eq(owner_hear(&o, in, sizeof in), 5);
	ck_assert_int_eq(recv(o.peer, in, sizeof in, 0), 0);
	ck_assert_uint_eq(conn_count(), 1);
	/* A peer that does not close holds the connection for that long and no longer. */
	while (conn_count() > 0 && clock_ms() - begin < CONN_FINISH_MS + 3000)
		owner_run(&o, 50);
	ck_assert_uint_eq(conn_count(), 0);
	ck_assert_uint_ge(clock_ms() - begin, CONN_FINISH_MS - 100);
	owner_stop(&o);
}
END_TEST

START_TEST(lines_come_out_of_a_connection_one_by_one)
{
	struct line_reader r;
	struct owner o;
	size_t n;

	line_init(&r, 512);
	owner_start(&o, &owner_limits, false);
	o.keep = true;
	owner_say(&o, "EHLO a\r\nSTARTTLS\r\nin clear", 26);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	ck_assert_int_eq(line_read(&r, o.c), LINE_OK);
	ck_assert_str_eq(r.text, "EHLO a");
	ck_assert_int_eq(line_read(&r, o.c), LINE_OK);
	ck_assert_str_eq(r.text, "STARTTLS");
	ck_assert_int_eq(line_read(&r, o.c), LINE_MORE);
	(void)conn_in(o.c, &n);
	ck_assert_uint_eq(n, 8);
	line_free(&r);
	owner_stop(&o);
}
END_TEST

/* --- the window that input is read into --- */

static void
fill_with(uint8_t *p, size_t n, unsigned from)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (uint8_t)((from + i) * 7 + (from + i) / 251);
}

static void
consume_one(struct owner *o)
{
	conn_consume(o->c, 1);
}

START_TEST(what_is_left_over_stays_when_others_read)
{
	struct owner a, b;
	const uint8_t *p;
	size_t n;

	owner_start(&a, &owner_limits, false);
	owner_start_beside(&b, &a, &owner_limits);
	a.keep = true;
	a.on_read = consume_one;
	owner_say(&a, "xRCPT TO", 8);
	ck_assert(owner_until(&a, &a.readable, 1, 2000));
	owner_say(&b, "0123456789abcdef", 16);
	ck_assert(owner_until(&b, &b.readable, 1, 2000));
	p = conn_in(a.c, &n);
	ck_assert_uint_eq(n, 7);
	ck_assert_mem_eq(p, "RCPT TO", 7);
	/* And what comes later stands right behind it. */
	a.on_read = NULL;
	owner_say(&a, ":<a>\r\n", 6);
	ck_assert(owner_until(&a, &a.readable, 2, 2000));
	p = conn_in(a.c, &n);
	ck_assert_uint_eq(n, 13);
	ck_assert_mem_eq(p, "RCPT TO:<a>\r\n", 13);
	owner_stop(&b);
	owner_stop(&a);
}
END_TEST

static void
pause_behind_a_third(struct owner *o)
{
	size_t n;

	(void)conn_in(o->c, &n);
	conn_consume(o->c, n / 3);
	conn_pause(o->c);
}

START_TEST(loses_nothing_however_it_is_consumed)
{
	static uint8_t sent[300000];
	struct conn_limits l = owner_limits;
	struct owner o;
	size_t at = 0, n, room, i;
	const uint8_t *p;
	unsigned seed = 1;

	/* Buffers smaller than the window, as large, and larger. */
	for (room = 3000; room <= 192000; room *= 8) {
		l.in_max = room;
		owner_start(&o, &l, false);
		o.keep = true;
		fill_with(sent, sizeof sent, seed);
		for (at = i = 0; at < sizeof sent;) {
			if (i < sizeof sent) {
				n = sizeof sent - i < 20000 ? sizeof sent - i : 20000;
				n = (size_t)send(o.peer, sent + i, n, MSG_NOSIGNAL);
				i += n == (size_t)-1 ? 0 : n;
			}
			owner_run(&o, 1);
			p = conn_in(o.c, &n);
			ck_assert_uint_le(n, l.in_max);
			seed = seed * 1664525 + 1013904223;
			/* Some, all, or nothing. */
			n = seed >> 30 == 0 ? 0 : seed >> 30 == 1 ? n : n / 2 + (n & 1);
			ck_assert_int_eq(memcmp(p, sent + at, n), 0);
			at += n;
			conn_consume(o.c, n);
			if (seed >> 28 == 5) {
				conn_pause(o.c);
				owner_run(&o, 1);
				conn_resume(o.c);
			}
		}
		owner_stop(&o);
	}
}
END_TEST

/* Two streams, and how far each has been looked at. */
static struct turns {
	struct owner o;
	uint8_t sent[600000];
	size_t given, at;
} turns[2];

/* Look at all that is there, and leave more or less of it. */
static void
leave_some(struct owner *o)
{
	struct turns *t = o == &turns[0].o ? &turns[0] : &turns[1];
	const uint8_t *p;
	size_t n;

	p = conn_in(o->c, &n);
	ck_assert_uint_le(t->at + n, t->given);
	ck_assert_int_eq(memcmp(p, t->sent + t->at, n), 0);
	n = n < 60000 && o->readable % 5 != 0 ? n / 8 : n - n / 3;
	conn_consume(o->c, n);
	t->at += n;
}

START_TEST(much_that_is_left_over_stays_when_two_take_turns)
{
	struct conn_limits l = owner_limits;
	unsigned i, k, round;
	ssize_t n;

	l.in_max = 128 * 1024;
	owner_start(&turns[0].o, &l, false);
	owner_start_beside(&turns[1].o, &turns[0].o, &l);
	for (k = 0; k < 2; k++) {
		fill_with(turns[k].sent, sizeof turns[k].sent, k * 1000);
		turns[k].given = turns[k].at = 0;
		turns[k].o.keep = true;
		turns[k].o.on_read = leave_some;
	}
	for (i = round = 0; i < 400 && turns[0].at + turns[1].at < 800000; i++) {
		/* One of them several times, then the other. */
		k = (i / 3) % 2;
		n = send(turns[k].o.peer, turns[k].sent + turns[k].given,
		    turns[k].given + 25000 < sizeof turns[k].sent
			? 25000
			: sizeof turns[k].sent - turns[k].given,
		    MSG_NOSIGNAL);
		if (n > 0)
			turns[k].given += (size_t)n;
		owner_run(&turns[0].o, 1);
		/* Outside of readable it may be looked at and consumed as well. */
		if (++round % 7 == 0)
			leave_some(&turns[k].o);
	}
	ck_assert_uint_gt(turns[0].at, 200000);
	ck_assert_uint_gt(turns[1].at, 200000);
	owner_stop(&turns[1].o);
	owner_stop(&turns[0].o);
}
END_TEST

START_TEST(a_pause_within_readable_keeps_the_rest)
{
	struct conn_limits l = owner_limits;
	static uint8_t sent[90000];
	struct owner o;
	size_t n;

	l.in_max = 100000;
	fill_with(sent, sizeof sent, 3);
	owner_start(&o, &l, false);
	o.keep = true;
	o.on_read = pause_behind_a_third;
	owner_say(&o, sent, 30000);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	owner_say(&o, sent + 30000, 60000);
	owner_run(&o, 20);
	ck_assert_uint_eq(o.readable, 1);
	(void)conn_in(o.c, &n);
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_lt(n, 30000);
	ck_assert_mem_eq(conn_in(o.c, &n), sent + 30000 - n, n);
	o.keep = false;
	o.on_read = NULL;
	conn_resume(o.c);
	while (buf_len(&o.got) < n + 60000)
		owner_run(&o, 5);
	ck_assert_mem_eq(buf_ptr(&o.got), sent + 30000 - n, n + 60000);
	owner_stop(&o);
}
END_TEST

static void
free_with_input(struct owner *o)
{
	conn_consume(o->c, 1);
	conn_free(o->c);
	o->c = NULL;
}

static void
finish_with_input(struct owner *o)
{
	conn_consume(o->c, 1);
	ck_assert_int_eq(conn_puts(o->c, "bye"), 0);
	conn_finish(o->c);
	o->c = NULL;
}

START_TEST(may_be_freed_while_its_input_is_shown)
{
	struct owner a, b;
	char in[8];

	owner_start(&a, &owner_limits, false);
	owner_start_beside(&b, &a, &owner_limits);
	a.on_read = free_with_input;
	owner_say(&a, "free me", 7);
	owner_say(&b, "not me", 6);
	ck_assert(owner_until(&a, &a.readable, 1, 2000));
	ck_assert(owner_until(&b, &b.readable, 1, 2000));
	ck_assert_mem_eq(buf_ptr(&b.got), "not me", 6);
	owner_stop(&b);
	owner_stop(&a);

	owner_start(&a, &owner_limits, false);
	a.on_read = finish_with_input;
	owner_say(&a, "good bye", 8);
	ck_assert_uint_eq(owner_hear(&a, in, 3), 3);
	ck_assert_mem_eq(in, "bye", 3);
	close(a.peer);
	a.peer = -1;
	owner_run(&a, 20);
	owner_stop(&a);
}
END_TEST

/* --- long writes --- */

START_TEST(a_long_write_follows_what_is_queued)
{
	static uint8_t sent[100000], got[100005];
	struct owner o;
	ssize_t n;

	fill_with(sent, sizeof sent, 9);
	owner_start(&o, &owner_limits, false);
	ck_assert_int_eq(conn_puts(o.c, "+OK\r\n"), 0);
	ck_assert_int_eq(conn_write(o.c, sent, sizeof sent), 0);
	/* Without a turn of the loop. */
	ck_assert_int_gt(n = recv(o.peer, got, sizeof got, MSG_DONTWAIT), 5);
	ck_assert_uint_eq(owner_hear(&o, got + n, sizeof got - (size_t)n), sizeof got - (size_t)n);
	ck_assert_mem_eq(got, "+OK\r\n", 5);
	ck_assert_mem_eq(got + 5, sent, sizeof sent);
	owner_stop(&o);
}
END_TEST

START_TEST(long_writes_are_bounded_and_keep_their_order)
{
	static uint8_t sent[400000], got[sizeof sent];
	struct owner o;
	size_t n, at = 0, heard = 0;

	fill_with(sent, sizeof sent, 11);
	owner_start(&o, &owner_limits, false);
	/* Whatever the socket takes, no more than out_max waits. */
	ck_assert_int_eq(conn_write(o.c, sent, owner_limits.out_max + 1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	while (at < sizeof sent) {
		n = at % 60000 == 0 ? 50000 : 10000;
		if (n > sizeof sent - at)
			n = sizeof sent - at;
		if (conn_write(o.c, sent + at, n) == 0)
			at += n;
		else {
			ck_assert_int_eq(errno, EMSGSIZE);
			heard += owner_hear(&o, got + heard, 30000);
		}
	}
	heard += owner_hear(&o, got + heard, sizeof got - heard);
	ck_assert_uint_eq(heard, sizeof sent);
	ck_assert_int_eq(memcmp(got, sent, sizeof sent), 0);
	owner_stop(&o);
}
END_TEST

START_TEST(pieces_leave_in_order_whether_at_once_or_later)
{
	static uint8_t sent[CONN_PIECES_MAX * 3000], got[2 * sizeof sent];
	static const size_t sizes[] = {0, 10, 3000};
	struct iovec v[CONN_PIECES_MAX + 1];
	struct owner o;
	size_t i, j, n = 0, at = 0;

	fill_with(sent, sizeof sent, 5);
	owner_start(&o, &owner_limits, false);
	for (j = 0; j < 3; j++) {
		for (i = 0; i < CONN_PIECES_MAX; i++)
			v[i] = (struct iovec){sent + i * sizes[j], sizes[j]};
		ck_assert_int_eq(conn_writev(o.c, v, CONN_PIECES_MAX), 0);
		n += CONN_PIECES_MAX * sizes[j];
	}
	ck_assert_uint_eq(owner_hear(&o, got, sizeof got), n);
	for (j = 0; j < 3; j++) {
		ck_assert_int_eq(memcmp(got + at, sent, CONN_PIECES_MAX * sizes[j]), 0);
		at += CONN_PIECES_MAX * sizes[j];
	}
	v[CONN_PIECES_MAX] = v[0];
	ck_assert_int_eq(conn_writev(o.c, v, CONN_PIECES_MAX + 1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	owner_stop(&o);
}
END_TEST

/* The socket takes a part, which may end within any piece. */
START_TEST(pieces_that_the_socket_does_not_take_are_kept)
{
	static uint8_t sent[20 * 20000], got[sizeof sent];
	struct iovec v[20];
	struct owner o;
	size_t i, heard = 0;
	int small = 4096;

	fill_with(sent, sizeof sent, 7);
	owner_start(&o, &owner_limits, false);
	ck_assert_int_eq(setsockopt(conn_fd(o.c), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	for (i = 0; i < 20; i++)
		v[i] = (struct iovec){sent + i * 10000, 10000};
	ck_assert_int_eq(conn_writev(o.c, v, 20), 0);
	ck_assert_uint_gt(conn_room(o.c), owner_limits.out_max - 200000); /* some is gone */
	ck_assert_uint_lt(conn_room(o.c), owner_limits.out_max);
	while (heard < 200000 && (i = owner_hear(&o, got + heard, 20000)) > 0)
		heard += i;
	ck_assert_uint_eq(heard, 200000);
	ck_assert_int_eq(memcmp(got, sent, heard), 0);
	owner_stop(&o);
}
END_TEST

START_TEST(a_long_write_that_fails_is_told_from_the_loop)
{
	static const uint8_t junk[50000];
	struct owner o;

	owner_start(&o, &owner_limits, false);
	conn_pause(o.c);
	close(o.peer);
	o.peer = -1;
	ck_assert_int_eq(conn_write(o.c, junk, sizeof junk), -1);
	ck_assert_int_eq(errno, EPIPE);
	ck_assert_uint_eq(o.closed, 0);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_LOST);
	owner_stop(&o);
}
END_TEST

Suite *
conn_suite(void)
{
	return unit_suite("conn",
	    (const TTest *const[]){offers_input_and_sends_output,
		stops_reading_when_the_input_is_full, neither_reads_nor_ends_while_paused,
		resuming_offers_input_that_was_left,
		offers_the_last_input_before_the_end_and_can_still_answer,
		tells_when_output_drained_below_the_low_water_mark,
		reports_a_reset_and_refuses_further_output,
		reports_a_failed_write_even_while_paused, may_be_freed_by_any_handler,
		idle_deadline_counts_from_the_last_octet,
		idle_clock_stands_still_while_the_peer_waits_for_us,
		total_deadline_ends_a_session_that_dribbles,
		last_reply_survives_input_that_nobody_reads, finishing_does_not_wait_for_ever,
		finishing_tells_the_peer_and_waits_for_it_within_a_bound,
		lines_come_out_of_a_connection_one_by_one, what_is_left_over_stays_when_others_read,
		much_that_is_left_over_stays_when_two_take_turns,
		loses_nothing_however_it_is_consumed, a_pause_within_readable_keeps_the_rest,
		may_be_freed_while_its_input_is_shown, a_long_write_follows_what_is_queued,
		long_writes_are_bounded_and_keep_their_order,
		pieces_leave_in_order_whether_at_once_or_later,
		pieces_that_the_socket_does_not_take_are_kept,
		a_long_write_that_fails_is_told_from_the_loop, NULL});
}
