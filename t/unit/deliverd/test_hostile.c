#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "t/unit/deliverd/fake.h"
#include "t/unit/unit.h"

Suite *hostile_suite(void);

/*
 * Sessions in which one thing is wrong, at each place where it can be.  The rule is always the
 * same: nobody is told "sent" unless the server has said 250 to the message.
 */
#define MAIL_OK "S 250-2.1.0 ok\r\n250 2.1.0 really"

static const script pipelined = {"S 220-fake\r\n220 mx", "C EHLO",
    "S 250-fake\r\n250-PIPELINING\r\n250 8BITMIME", "C MAIL", "C RCPT", "C RCPT", "C DATA", MAIL_OK,
    "S 250 2.1.5 ok", "S 250 2.1.5 ok", "S 354 go", "D", "S 250 2.0.0 queued", NULL};

static const script plain = {"S 220 fake", "C EHLO", "S 502 what", "C HELO", "S 250 fake", "C MAIL",
    MAIL_OK, "C RCPT", "S 250 ok", "C RCPT", "S 250 ok", "C DATA", "S 354 go", "D",
    "S 250 2.0.0 queued", NULL};

static const script lmtp = {"S 220 lmtp", "C LHLO", "S 250-lmtp\r\n250 PIPELINING", "C MAIL",
    "C RCPT", "C RCPT", "C DATA", MAIL_OK, "S 250 ok", "S 250 ok", "S 354 go", "D",
    "S 250 2.0.0 one", "S 250 2.0.0 two", NULL};

/* The same, but the message is refused: no other 250 is an answer to it. */
static const script refusing = {"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL",
    "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 250 ok", "S 354 go", "D",
    "S 554 5.6.0 no", NULL};

static const script refusing_plain = {"S 220 fake", "C EHLO", "S 250 fake", "C MAIL", "S 250 ok",
    "C RCPT", "S 250 ok", "C RCPT", "S 250 ok", "C DATA", "S 354 go", "D", "S 554 5.6.0 no", NULL};

static const script refusing_lmtp = {"S 220 fake", "C LHLO", "S 250-fake\r\n250 PIPELINING",
    "C MAIL", "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 250 ok", "S 354 go", "D",
    "S 554 5.6.0 no", "S 554 5.6.0 no", NULL};

static const script none_taken = {"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL",
    "C RCPT", "C RCPT", "C DATA", "S 250 ok", "S 451 4.1.1 a", "S 451 4.1.1 b",
    "S 554 5.5.1 nobody", NULL};

static const char *const *const all[] = {
    pipelined, plain, lmtp, refusing, refusing_plain, refusing_lmtp, none_taken};
#define N_TAKING 3 /* the first ones take the message */
#define N_ALL 7

static const char *const two[] = {"a@x", "b@x", NULL};

static bool
is_sent(const struct world *w, size_t i)
{
	return w->done > 0 && w->rcpts[i].status <= JOB_RELAYED;
}

static size_t
octets_of(const char *const *s)
{
	size_t n = 0;

	for (; *s != NULL; s++)
		if (**s == 'S')
			n += strlen(*s) - 2 + 2;
	return n;
}

static int
lines_of(const char *const *s)
{
	int n = 0;

	for (; *s != NULL; s++)
		n += **s == 'S';
	return n;
}

/* Connect and send as far as it goes. */
static void
try(struct world *w, const char *const *s)
{
	struct octets o = octets_mem(MESSAGE, strlen(MESSAGE));
	unsigned never = 0;

	w->how.lmtp = s == lmtp || s == refusing_lmtp;
	world_open(w);
	if (!client_idle(w->client))
		return;
	world_begin(w, &o, two);
	ck_assert(world_run(w, &w->done, 1, 20000));
	/* Whatever comes behind. */
	if (w->closed == 0)
		(void)world_run(w, &never, 1, 1);
}

START_TEST(a_session_cut_at_any_octet_sends_nothing_that_was_not_taken)
{
	const char *const *s = all[_i];
	size_t n, whole = octets_of(s), last;
	struct world w;

	/* Of LMTP's two answers the first may be there. */
	last = whole - (s == lmtp ? strlen("250 2.0.0 two\r\n") : 0);
	for (n = 1; n <= whole; n++) {
		world_start(&w, s, NULL);
		w.fake.budget = n;
		try(&w, s);
		ck_assert_uint_eq(w.fake.said, n);
		ck_assert_str_eq(w.fake.wrong, "");
		ck_assert_int_eq(is_sent(&w, 0), _i < N_TAKING && n >= last);
		ck_assert_int_eq(is_sent(&w, 1), _i < N_TAKING && n == whole);
		if (w.done > 0 && n < whole && _i < N_TAKING && s != lmtp)
			ck_assert_uint_eq(w.rcpts[0].status, JOB_DELAYED);
		world_stop(&w);
	}
}
END_TEST

START_TEST(replies_may_come_octet_by_octet)
{
	struct world w;

	world_start(&w, all[_i], NULL);
	w.fake.drip = true;
	try(&w, all[_i]);
	ck_assert_int_eq(is_sent(&w, 0), _i < N_TAKING);
	ck_assert_int_eq(is_sent(&w, 1), _i < N_TAKING);
	ck_assert_str_eq(w.fake.wrong, "");
	world_stop(&w);
}
END_TEST

START_TEST(a_reply_said_twice_is_never_an_answer_to_the_message)
{
	const char *const *s = all[_i];
	int line, lines = lines_of(s), i;
	struct world w;

	for (line = 0; line < lines; line++) {
		world_start(&w, s, NULL);
		w.fake.twice = line;
		w.how.reply_ms = 300;
		try(&w, s);
		for (i = 0; i < 2; i++) {
			/* The answer to the message is the last line, of LMTP the last two. */
			if (is_sent(&w, (size_t)i))
				ck_assert_int_ge(line, lines - (s == lmtp ? 2 : 1));
			/* Nor is anybody refused by what was said to somebody else. */
			if (w.done > 0 && w.rcpts[i].status == JOB_FAILED)
				ck_assert_int_ge(line, lines - (s == refusing_lmtp ? 2 : 1));
		}
		ck_assert_uint_eq(w.closed, 1);
		world_stop(&w);
	}
}
END_TEST

START_TEST(a_reply_left_out_is_never_made_up_by_another)
{
	const char *const *s = all[_i];
	int line, lines = lines_of(s), i;
	struct world w;

	for (line = 0; line < lines; line++) {
		world_start(&w, s, NULL);
		w.fake.never = line;
		w.how.reply_ms = 50;
		try(&w, s);
		for (i = 0; i < 2 && w.done > 0; i++) {
			if (s == lmtp && i == 0 && line >= lines - 2)
				continue; /* it has one of the two answers, and takes it */
			ck_assert_msg(!is_sent(&w, (size_t)i), "line %d, recipient %d", line, i);
			if (s == refusing_lmtp && i == 0 && line >= lines - 2)
				continue;
			ck_assert_uint_eq(w.rcpts[i].status, JOB_DELAYED);
		}
		ck_assert_uint_eq(w.closed, 1);
		world_stop(&w);
	}
}
END_TEST

/* Said in place of each line. */
static const char *const odd[] = {"S 221 bye", "S 220 hello", "S 200 ok", "S 354 go on", "S 334 x",
    "S 299 fine", "S 199 what", "S 600 what", "S 250", "S 25", "S ", "S 250ok", "S 250 a\r\r",
    "R 250 \n250 \n250 \n250 \n", "R 250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n",
    "R 354 go\r\n250 taken\r\n", "R 354 go\r\n354 go\r\n250 taken\r\n250 taken\r\n",
    "R 250-a\r\n354 b\r\n", "X", "Z"};
#define N_ODD ((int)(sizeof odd / sizeof odd[0]))

START_TEST(odd_replies_never_send_a_message)
{
	const char *const *s = all[_i % N_ALL];
	const char *copy[32], *bad = odd[_i / N_ALL];
	size_t at, n, i;
	bool end, fine;
	struct world w;

	for (n = 0; s[n] != NULL; n++)
		copy[n] = s[n];
	copy[n] = NULL;
	for (at = 0; at < n; at++) {
		if (*s[at] != 'S')
			continue;
		/* The same in other words is all right. */
		if (*bad == 'S' && strncmp(bad + 2, s[at] + 2, 3) == 0 && bad[5] != 'o')
			continue;
		copy[at] = bad;
		world_start(&w, copy, NULL);
		w.how.reply_ms = 20;
		try(&w, s);
		/* 250 and no more is an answer, where it stands in the place of one. */
		end = at == n - 1 || ((s == lmtp || s == refusing_lmtp) && at == n - 2);
		fine = strncmp(bad, "S 250", 5) == 0 || strncmp(bad, "R 250 ", 6) == 0;
		for (i = 0; i < 2; i++)
			if (is_sent(&w, i) && !(end && fine))
				ck_assert_msg(_i % N_ALL < N_TAKING &&
						  (strcmp(bad, "S 250") == 0 || at >= n - 2),
				    "%s at %zu: %s", bad, at, world_outcome(&w));
		world_stop(&w);
		copy[at] = s[at];
	}
}
END_TEST

static char *
filled(size_t n)
{
	char *p = malloc(n);

	ck_assert_ptr_nonnull(p);
	return memset(p, 'x', n);
}

START_TEST(an_answer_before_the_end_of_a_message_is_none)
{
	static const char *const said[] = {
	    "S 250 2.0.0 taken", "S 354 go", "S 552 5.3.4 too long", "S 421 4.3.0 bye", "X"};
	static const char *const outcomes[] = {"delayed 4.5.0, garbled", "delayed 4.5.0, garbled",
	    "failed 5.3.4, lost", "delayed 4.3.0, bye site", "delayed 4.4.2, lost"};
	size_t n = 16 * 1024 * 1024;
	char *big = filled(n);
	struct octets o = octets_mem(big, n);
	struct world w;

	world_start(&w,
	    (script){"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL", "C RCPT",
		"C DATA", "S 250 ok", "S 250 ok", "S 354 go", "B 10000", said[_i], "B 999999999",
		NULL},
	    NULL);
	world_open(&w);
	world_begin(&w, &o, (const char *const[]){"a@x", NULL});
	ck_assert(world_run(&w, &w.done, 1, 20000));
	ck_assert_str_eq(world_outcome(&w), outcomes[_i]);
	ck_assert(!world_heard(&w, "\r\n.\r\n"));
	world_stop(&w);
	free(big);
}
END_TEST

START_TEST(an_answer_that_comes_with_354_is_none)
{
	char *big = filled(20000); /* it would go out at once */
	struct octets o = octets_mem(big, 20000);
	struct world w;

	world_start(&w,
	    (script){"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL", "C RCPT",
		"C DATA", "S 250 ok", "S 250 ok",
		_i == 0 ? "R 354 go\r\n250 taken\r\n" : "R 354 go\r\n25", NULL},
	    NULL);
	world_open(&w);
	world_begin(&w, &o, (const char *const[]){"a@x", NULL});
	ck_assert(world_run(&w, &w.done, 1, 20000));
	ck_assert_str_eq(world_outcome(&w), "delayed 4.5.0, garbled site");
	world_stop(&w);
	free(big);
}
END_TEST

START_TEST(a_server_that_takes_the_text_and_says_nothing_is_given_up)
{
	struct world w;

	world_start(&w,
	    (script){"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL", "C RCPT",
		"C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 250 ok", "S 354 go", "D", NULL},
	    NULL);
	w.how.reply_ms = 50;
	try(&w, refusing);
	ck_assert_str_eq(world_outcome(&w), "delayed 4.4.2, delayed 4.4.2, lost");
	ck_assert_ptr_nonnull(strstr(w.texts[0], "timed out while sending end of data"));
	world_stop(&w);
}
END_TEST

START_TEST(a_server_that_does_not_take_the_text_is_given_up)
{
	size_t n = 32 * 1024 * 1024;
	char *big = filled(n);
	struct octets o = octets_mem(big, n);
	struct world w;

	world_start(&w,
	    (script){"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL", "C RCPT",
		"C DATA", "S 250 ok", "S 250 ok", "S 354 go", "H", NULL},
	    NULL);
	w.how.reply_ms = 100;
	world_open(&w);
	world_begin(&w, &o, (const char *const[]){"a@x", NULL});
	ck_assert(world_run(&w, &w.done, 1, 20000));
	ck_assert_str_eq(world_outcome(&w), "delayed 4.4.2, lost");
	ck_assert_ptr_nonnull(strstr(w.texts[0], "sending message body"));
	world_stop(&w);
	free(big);
}
END_TEST

/* What one server says in the middle of one message must not become the next one's answers. */
START_TEST(what_is_said_too_much_does_not_reach_the_next_message)
{
	struct world w;

	world_start(&w,
	    (script){"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL", "C RCPT",
		"C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 250 ok", "S 354 go", "D",
		"S 250 one", "W", "S 250 one more", NULL},
	    NULL);
	try(&w, refusing);
	ck_assert_str_eq(world_outcome(&w), "relayed 2.0.0, relayed 2.0.0, idle");
	ck_assert(world_run(&w, &w.closed, 1, 2000));
	ck_assert_uint_eq(w.failure.end, CLIENT_GARBLED);
	world_stop(&w);
}
END_TEST

START_TEST(an_answer_too_many_that_comes_with_the_next_command_is_found_out)
{
	struct octets o = octets_mem(MESSAGE, strlen(MESSAGE));
	struct world w;

	world_start(&w,
	    (script){"S 220 fake", "C EHLO", "S 250-fake\r\n250 PIPELINING", "C MAIL", "C RCPT",
		"C RCPT", "C DATA", "S 250 ok", "S 250 ok", "S 250 ok", "S 354 go", "D",
		"S 250 one", "C MAIL", "C RCPT", "C RCPT", "C DATA", "S 250 late", "S 250 ok",
		"S 550 5.1.1 a", "S 250 ok", "S 354 go", "D", "S 250 two", NULL},
	    NULL);
	try(&w, refusing);
	world_begin(&w, &o, two);
	ck_assert(world_run(&w, &w.done, 1, 2000));
	/* The 550 was for a, and seemed to be for b: neither is told. */
	ck_assert_str_eq(world_outcome(&w), "delayed 4.5.0, delayed 4.5.0, garbled site");
	world_stop(&w);
}
END_TEST

Suite *
hostile_suite(void)
{
	const TTest *const tests[] = {a_server_that_takes_the_text_and_says_nothing_is_given_up,
	    a_server_that_does_not_take_the_text_is_given_up,
	    what_is_said_too_much_does_not_reach_the_next_message,
	    an_answer_too_many_that_comes_with_the_next_command_is_found_out, NULL};
	Suite *s = unit_suite("hostile", tests);
	TCase *c = tcase_create("tables");

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(
	    c, a_session_cut_at_any_octet_sends_nothing_that_was_not_taken, 0, N_ALL);
	tcase_add_loop_test(c, replies_may_come_octet_by_octet, 0, N_ALL);
	tcase_add_loop_test(c, a_reply_said_twice_is_never_an_answer_to_the_message, 0, N_ALL);
	tcase_add_loop_test(c, a_reply_left_out_is_never_made_up_by_another, 0, N_ALL);
	tcase_add_loop_test(c, odd_replies_never_send_a_message, 0, N_ALL * N_ODD);
	tcase_add_loop_test(c, an_answer_before_the_end_of_a_message_is_none, 0, 5);
	tcase_add_loop_test(c, an_answer_that_comes_with_354_is_none, 0, 2);
	suite_add_tcase(s, c);
	return s;
}
