/* log and trace: what they ask logd, and what they print. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <time.h>

#include "gwctl/log.h"
#include "t/unit/gwctl/tool.h"

Suite *log_suite(void);

#define THEN 1793588640000ULL /* 2026-11-02 03:04:00 UTC, ms */

static void
write_conf(void)
{
	char text[600];

	(void)snprintf(text, sizeof text,
	    "node { hostname = gw.test\n run_dir = \"%s/run\" }\n"
	    "peer office { service = smtp\n host = 127.0.0.1\n port = 2525\n tls = none }\n"
	    "connector s { service = smtp\n listen = {\"127.0.0.1:1587\"}\n peer = office\n"
	    " tls = disabled }\n",
	    tool_dir);
	tool_write("c", text);
}

static void
set_up(void)
{
	(void)setenv("TZ", "UTC", 1);
	tool_begin();
	write_conf();
}

static struct log_event all[] = {
    {.kind = EV_QUEUED,
	.when = THEN + 10,
	.tx = "AA",
	.qid = "AA",
	.sender = "alice@example.test",
	.size = 4711,
	.nrcpt = 2},
    /* Came late, from another process. */
    {.kind = EV_CLIENT,
	.when = THEN,
	.tx = "AA",
	.qid = "AA",
	.client = "mail.test[192.0.2.1]",
	.connector = "mx"},
    {.kind = EV_DELIVERY,
	.when = THEN + 1000,
	.tx = "AA",
	.qid = "AA",
	.rcpt = "bob@x.test",
	.status = ES_DEFERRED,
	.text = "connect timed out"},
    {.kind = EV_DELIVERY,
	.when = THEN + 7261000,
	.tx = "AA",
	.qid = "AA",
	.rcpt = "Bob@x.test",
	.relay = "mx.x.test[192.0.2.9]:25",
	.dsn = "2.0.0",
	.status = ES_SENT,
	.text = "250 ok \x1b[31m <x@y>"},
    {.kind = EV_DELIVERY,
	.when = THEN + 1001,
	.tx = "AA",
	.qid = "AB",
	.rcpt = "carol@x.test",
	.dsn = "5.1.1",
	.status = ES_BOUNCED,
	.text = "550 no such user"},
    {.kind = EV_REMOVED, .when = THEN + 7261001, .tx = "AA", .qid = "AA"},
};

#define N (sizeof all / sizeof all[0])

static const struct log_event *
whole(struct log_event *e)
{
	const struct rec_field *f;
	const char *s;
	unsigned i, n;

	f = rec_log_event.rows(&n);
	for (i = 0; i < n; i++)
		if (f[i].type == REC_STR) {
			memcpy(&s, (char *)e + f[i].off, sizeof s);
			if (s == NULL) {
				s = "";
				memcpy((char *)e + f[i].off, &s, sizeof s);
			}
		}
	return e;
}

/* logd, one event a page, and an empty page before them all. */
static void
one_by_one(struct ipc *c, const struct ipc_msg *m)
{
	const struct log_search_req *q = m->body;
	struct log_search_rep rep = {.text = ""};
	struct log_found found = {.who = "queued"};
	uint8_t after[16] = {0};
	size_t i = q->after.n == 16 ? q->after.p[15] : 0;

	if (i > 0)
		while (i <= N && q->tx[0] != '\0' && strcmp(q->tx, all[i - 1].tx) != 0 &&
		       strcmp(q->tx, all[i - 1].qid) != 0)
			i++;
	if (i > 0 && i <= N) {
		found.event.v = (struct log_event *)(uintptr_t)whole(&all[i - 1]);
		found.event.n = 1;
		rep.events.v = &found;
		rep.events.n = 1;
	}
	after[15] = (uint8_t)(i + 1);
	rep.after = (struct bytes){after, 16};
	rep.end = i >= N;
	ck_assert_int_eq(ipc_send(c, M_log_search_rep, m->id, &rep, -1, 1000), 0);
}

START_TEST(a_search_goes_through_all_pages)
{
	const char *p;

	gateway_begin(one_by_one, 1);
	ck_assert_int_eq(tool("-c", "c", "log", NULL), 0);
	gateway_end();
	ck_assert_ptr_nonnull(
	    p = strstr(tool_out,
		"2026-11-02 03:04:00.010 queued[0]: AA: from=<alice@example.test>, "
		"size=4711, nrcpt=2 (queue active)\n"));
	ck_assert_ptr_nonnull(strstr(p, "status=deferred (connect timed out)\n"));
	ck_assert_ptr_nonnull(strstr(tool_out, "AA: removed\n"));
	ck_assert_ptr_null(strchr(tool_out, '\x1b'));
	tool_end();
}
END_TEST

START_TEST(scripts_get_json_and_each_id_once)
{
	gateway_begin(one_by_one, 2);
	ck_assert_int_eq(tool("-c", "c", "log", "--json", NULL), 0);
	ck_assert_ptr_nonnull(strstr(tool_out, "{\"events\": ["));
	ck_assert_ptr_nonnull(strstr(tool_out, "\"time_ms\":1793588640010"));
	ck_assert_ptr_nonnull(strstr(tool_out, "\"kind\":\"delivery\""));
	ck_assert_ptr_nonnull(strstr(tool_out, "\"status\":\"bounced\""));
	ck_assert_ptr_null(strchr(tool_out, '\x1b'));
	ck_assert_int_eq(tool("-c", "c", "log", "-q", NULL), 0);
	ck_assert_str_eq(tool_out, "AA\n");
	gateway_end();
	tool_end();
}
END_TEST

START_TEST(a_trace_has_all_copies_in_the_order_of_time)
{
	static const char *const steps[] = {
	    " accepted ", " queued ", " deferred ", " bounced ", " sent ", " removed "};
	const char *p;
	size_t i;

	gateway_begin(one_by_one, 1);
	/* The id of one copy, as a person types it. */
	ck_assert_int_eq(tool("-c", "c", "trace", "ab", NULL), 0);
	gateway_end();
	ck_assert_ptr_eq(
	    strstr(tool_out, "transaction AA: 1 sent, 1 bounced\n"), (const char *)tool_out);
	for (p = tool_out, i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		ck_assert_msg(
		    (p = strstr(p, steps[i])) != NULL, "%s not in\n%s", steps[i], tool_out);
	}
	ck_assert_ptr_nonnull(strstr(tool_out, "+0.000 s"));
	ck_assert_ptr_nonnull(strstr(tool_out, "+2 h 1 min"));
	ck_assert_ptr_null(strchr(tool_out, '\x1b'));
	tool_end();
}
END_TEST

/* Nothing, or a refusal. */
static void
refuses(struct ipc *c, const struct ipc_msg *m)
{
	const struct log_search_req *q = m->body;
	struct log_search_rep rep = {.end = 1, .text = ""};

	if (q->tenant[0] != '\0')
		rep.text = "the records are \x1b[2J still being checked";
	ck_assert_int_eq(ipc_send(c, M_log_search_rep, m->id, &rep, -1, 1000), 0);
}

START_TEST(says_why_there_is_no_answer)
{
	gateway_begin(refuses, 3);
	ck_assert_int_eq(tool("-c", "c", "log", "--tenant", "x", NULL), EX_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(tool_err, "still being checked"));
	ck_assert_ptr_null(strchr(tool_err, '\x1b'));
	ck_assert_int_eq(tool("-c", "c", "log", NULL), 0);
	ck_assert_str_eq(tool_out, "");
	ck_assert_int_eq(tool("-c", "c", "trace", "AA", NULL), EX_NOINPUT);
	gateway_end();
	ck_assert_int_eq(tool("-c", "c", "trace", "01234567890123456789012345", NULL), EX_DATAERR);
	ck_assert_int_eq(tool("-c", "c", "trace", NULL), EX_USAGE);
	ck_assert_int_eq(tool("-c", "c", "trace", "a", "b", NULL), EX_USAGE);
	tool_end();
}
END_TEST

START_TEST(times_are_taken_as_people_write_them)
{
	static const struct {
		const char *text;
		int64_t want; /* ms from THEN, which is 03:04:00 */
	} good[] = {
	    {"now", 0},
	    {"-2h", -7200000},
	    {"-90s", -90000},
	    {"-5m", -300000},
	    {"-5min", -300000},
	    {"-1d", -86400000},
	    {"-1w", -604800000},
	    {"today", -3 * 3600000 - 240000},
	    {"yesterday", -3 * 3600000 - 240000 - 86400000},
	    {"03:00", -240000},
	    {"03:00:05", -235000},
	    {"2026-11-02", -3 * 3600000 - 240000},
	    {"2026-11-02 03:00", -240000},
	    {"2026-11-02T03:00:05", -235000},
	    {"2026-11-03 03:04", 86400000},
	    {"@1793588640", 0},
	};
	static const char *const bad[] = {"", "-", "-h", "-2", "-2y", "2h", "24:00:00:00",
	    "3:4:5:6", "2026-02-31", "2026-13-01", "2026-11-02 ", "2026-11-02 x",
	    "2026-11-02 03:00 x", "20261102", "@", "@-1", "@99999999999999999999", "tomorrow",
	    "-99999999999d"};
	uint64_t t;
	size_t i;

	(void)setenv("TZ", "UTC", 1);
	tzset();
	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_msg(log_time_parse(good[i].text, THEN, &t) == 0, "%s", good[i].text);
		ck_assert_msg((int64_t)(t - THEN) == good[i].want, "%s: %lld", good[i].text,
		    (long long)(t - THEN));
	}
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(log_time_parse(bad[i], THEN, &t) == -1, "%s", bad[i]);
}
END_TEST

START_TEST(times_are_shown_as_they_are_where_the_gateway_is)
{
	char out[LOG_TIME_TEXT];
	uint64_t t;

	(void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	ck_assert_str_eq(log_time_text(THEN + 7, out), "2026-11-02 04:04:00.007");
	ck_assert_int_eq(log_time_parse("2026-11-02 04:04", THEN, &t), 0);
	ck_assert_uint_eq(t, THEN);
	/* Summer time. */
	ck_assert_int_eq(log_time_parse("2026-07-01 12:00", THEN, &t), 0);
	ck_assert_uint_eq(t, 1782900000000ULL);
	ck_assert_str_eq(log_time_text(UINT64_MAX, out), "-");
}
END_TEST

Suite *
log_suite(void)
{
	Suite *s = unit_suite_around("log", set_up, NULL,
	    (const TTest *const[]){a_search_goes_through_all_pages,
		scripts_get_json_and_each_id_once, a_trace_has_all_copies_in_the_order_of_time,
		says_why_there_is_no_answer, NULL});
	TCase *c = tcase_create("times");

	tcase_add_test(c, times_are_taken_as_people_write_them);
	tcase_add_test(c, times_are_shown_as_they_are_where_the_gateway_is);
	suite_add_tcase(s, c);
	return s;
}
