#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "proc/event.h"
#include "proc/sink.h"
#include "t/unit/unit.h"

Suite *sink_suite(void);

static struct event_base *base;
static struct chan *chan;
static struct ipc logd;

static void
connect_logd(void)
{
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	chan = chan_new(base, fds[0], P_SMTPD, P_LOGD, NULL, NULL, NULL);
	ipc_init(&logd, fds[1], P_LOGD, P_SMTPD);
	sink_logd(chan);
}

/* The next line that logd has got; "" when there is none. */
static const char *
line_there(void)
{
	static char text[LOG_LINE_MAX];
	struct ipc_msg m;

	if (ipc_recv(&logd, &m, 0) == -1)
		return "";
	if (m.def->type == M_log_event) {
		ck_assert_uint_eq(((const struct log_event *)m.body)->pid, (unsigned)getpid());
		(void)event_line(text, sizeof text, m.body);
	} else {
		ck_assert_uint_eq(((const struct log_line *)m.body)->pid, (unsigned)getpid());
		(void)strlcpy(text, ((const struct log_line *)m.body)->text, sizeof text);
	}
	ipc_done(&logd, &m);
	return text;
}

/* The same after a turn of the loop. */
static const char *
next_line(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return line_there();
}

/* The same, waiting for it. */
static const char *
awaited_line(void)
{
	uint64_t end = clock_ms() + 5000;
	const char *line;

	while ((line = next_line())[0] == '\0' && clock_ms() < end)
		(void)poll(NULL, 0, 1);
	return line;
}

static void
set_up(void)
{
	base = event_base_new();
	log_init("unit", LOG_L_INFO);
	sink_start(0);
	connect_logd();
}

static void
tear_down(void)
{
	log_set_sink(NULL, NULL);
	sink_logd(NULL);
	chan_free(chan);
	ipc_close(&logd);
	event_base_free(base);
}

START_TEST(lines_reach_logd_in_order)
{
	set_up();
	log_info("one");
	log_warn("two");
	ck_assert_str_eq(next_line(), "one");
	ck_assert_str_eq(next_line(), "two");
	tear_down();
}
END_TEST

START_TEST(an_unimportant_line_waits_for_company_but_not_for_ever)
{
	uint64_t begin;

	set_up();
	begin = clock_ms();
	log_info("one");
	log_info("two");
	ck_assert_str_eq(line_there(), "");
	ck_assert_str_eq(awaited_line(), "one");
	/* It did wait, and both left together. */
	ck_assert_uint_ge(clock_ms() - begin, 15);
	ck_assert_str_eq(line_there(), "two");
	/* The next one has a time of its own. */
	log_info("three");
	ck_assert_str_eq(awaited_line(), "three");
	tear_down();
}
END_TEST

START_TEST(warnings_take_along_what_waits)
{
	set_up();
	log_info("one");
	log_err("two");
	log_info("three");
	ck_assert_str_eq(next_line(), "one");
	ck_assert_str_eq(line_there(), "two");
	ck_assert_str_eq(awaited_line(), "three");
	tear_down();
}
END_TEST

START_TEST(pushed_lines_are_out_of_the_process)
{
	set_up();
	log_info("taken");
	sink_push();
	/* No turn of the loop was needed. */
	ck_assert_str_eq(line_there(), "taken");
	sink_push();
	log_info("more");
	ck_assert_str_eq(awaited_line(), "more");
	tear_down();
}
END_TEST

START_TEST(many_lines_do_not_wait)
{
	int i, n = 0;

	set_up();
	for (i = 0; i < 400; i++)
		log_info("%0100d", i);
	event_base_loop(base, EVLOOP_NONBLOCK);
	while (line_there()[0] != '\0')
		n++;
	ck_assert_int_eq(n, 400);
	tear_down();
}
END_TEST

START_TEST(lines_wait_for_a_restarted_logd)
{
	set_up();
	sink_logd(NULL);
	chan_free(chan);
	ipc_close(&logd);
	log_info("meanwhile");
	connect_logd();
	log_info("after");
	ck_assert_str_eq(awaited_line(), "meanwhile");
	ck_assert_str_eq(awaited_line(), "after");
	tear_down();
}
END_TEST

START_TEST(events_keep_their_place_among_lines)
{
	const struct log_event e = {.kind = EV_REMOVED, .qid = "4F1A"};

	set_up();
	log_info("one");
	proc_event(&e);
	log_info("three");
	ck_assert_str_eq(line_there(), "");
	sink_push();
	ck_assert_str_eq(line_there(), "one");
	ck_assert_str_eq(line_there(), "4F1A: removed");
	ck_assert_str_eq(line_there(), "three");
	tear_down();
}
END_TEST

START_TEST(events_wait_for_a_restarted_logd)
{
	const struct log_event e = {.kind = EV_REMOVED, .qid = "4F1A"};

	set_up();
	sink_logd(NULL);
	chan_free(chan);
	ipc_close(&logd);
	log_info("before");
	proc_event(&e);
	connect_logd();
	sink_push();
	ck_assert_str_eq(line_there(), "before");
	ck_assert_str_eq(line_there(), "4F1A: removed");
	tear_down();
}
END_TEST

START_TEST(a_slow_logd_costs_lines_and_says_how_many)
{
	const char *got;
	int i, lines = 0, confessed = 0;
	unsigned lost = 0;

	set_up();
	/* More than the socket and the bounded queue take. */
	for (i = 0; i < 40000; i++)
		log_info("%0100d", i);
	/* Read all; then there is room for the confession. */
	while ((got = next_line())[0] != '\0')
		lines++;
	ck_assert_int_lt(lines, 40000);
	log_info("room again");
	while ((got = next_line())[0] != '\0') {
		if (sscanf(got, "%u log lines dropped", &lost) == 1)
			confessed++;
		else
			ck_assert_str_eq(got, "room again");
	}
	ck_assert_int_eq(confessed, 1);
	ck_assert_uint_eq(lost, (unsigned)(40000 - lines));
	tear_down();
}
END_TEST

Suite *
sink_suite(void)
{
	const TTest *const tests[] = {
	    lines_reach_logd_in_order,
	    an_unimportant_line_waits_for_company_but_not_for_ever,
	    warnings_take_along_what_waits,
	    pushed_lines_are_out_of_the_process,
	    many_lines_do_not_wait,
	    lines_wait_for_a_restarted_logd,
	    events_keep_their_place_among_lines,
	    events_wait_for_a_restarted_logd,
	    a_slow_logd_costs_lines_and_says_how_many,
	    NULL,
	};

	return unit_suite("sink", tests);
}
