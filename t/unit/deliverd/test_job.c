/* Jobs: from queued's request to its answer, over real connections. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliverd/job.h"
#include "deliverd/job_int.h"
#include "deliverd/pool.h"
#include "t/unit/deliverd/far.h"
#include "t/unit/deliverd/stage.h"
#include "t/unit/unit.h"

Suite *job_suite(void);

static struct far one, two;

/* "r": all domains' mail to these servers, at far_port. */
static void
route(const char *servers, const char *more)
{
	char text[600], list[300] = "", *copy = strdup(servers), *p = copy, *s;

	while ((s = strsep(&p, " ")) != NULL)
		(void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s\"%s:%u%s\"",
		    list[0] != '\0' ? ", " : "", strndupa(s, strcspn(s, "*")), far_port,
		    s + strcspn(s, "*"));
	(void)snprintf(text, sizeof text,
	    "route r { domains = {\"*\"} servers = {%s} tls = none timeout = 5 %s }\n", list, more);
	stage_conf(text);
	free(copy);
}

static void
begin(void)
{
	stage_begin("");
	far_start(&one, "127.0.0.1");
	far_start(&two, "127.0.0.2");
	stage_addr("one.test", DNS_OK, 0, "127.0.0.1", "");
	stage_addr("two.test", DNS_OK, 0, "127.0.0.2", "");
	stage_addr("dead.test", DNS_OK, 0, "127.0.0.99", "");
}

static void
end(void)
{
	far_stop(&one);
	far_stop(&two);
	stage_end();
}

static const struct stage_job to_bob = {
    .route = "r", .domain = "example.org", .rcpts = {"bob@example.org"}};

/* One job from its beginning to its end. */
static unsigned
deliver(const struct stage_job *j)
{
	unsigned n = stage_job(j);

	stage_until(&stage_answers, stage_answers + 1);
	return n;
}

START_TEST(a_message_is_sent_and_told_of)
{
	unsigned n;

	route("one.test", "");
	n = deliver(&to_bob);
	ck_assert_str_eq(stage_outcome(n), "sent 2.0.0");
	ck_assert_str_eq(stage_answer(n)->rcpts[0].mta, "one.test");
	ck_assert_str_eq(stage_answer(n)->rcpts[0].text, "250 2.0.0 Ok: queued as FAR");
	ck_assert_uint_eq(one.messages, 1);
	ck_assert_uint_eq(stage_nevents, 1);
	ck_assert_str_eq(stage_events[0].qid, "ABC123");
	ck_assert_str_eq(stage_events[0].rcpt, "bob@example.org");
	ck_assert_ptr_eq(
	    strstr(stage_events[0].relay, "one.test[127.0.0.1]:"), stage_events[0].relay);
	ck_assert_str_eq(stage_events[0].dsn, "2.0.0");
	ck_assert_uint_eq(stage_events[0].status, ES_SENT);
	ck_assert_str_eq(stage_events[0].text, "250 2.0.0 Ok: queued as FAR");
	ck_assert_uint_eq(stage_events[0].a, 10);
	ck_assert_uint_eq(stage_events[0].b, 20);
}
END_TEST

START_TEST(recipients_share_a_transaction_and_have_results_of_their_own)
{
	const struct stage_job j = {.route = "r",
	    .domain = "example.org",
	    .rcpts = {"a@example.org", "bad@example.org", "c@example.org"}};
	unsigned n;

	one.bad_rcpt = "bad@";
	one.bad_reply = "550 5.1.1 No such user";
	route("1/one.test 2/two.test", "");
	n = deliver(&j);
	ck_assert_str_eq(stage_outcome(n), "sent 2.0.0, failed 5.1.1, sent 2.0.0");
	ck_assert_uint_eq(one.senders, 1);
	ck_assert_uint_eq(one.messages, 1);
	ck_assert_uint_eq(two.connections, 0);
}
END_TEST

START_TEST(a_refused_recipient_is_told_in_postfix_words)
{
	unsigned n;

	one.bad_rcpt = "bob@";
	one.bad_reply = "550 5.1.1 No such user";
	route("one.test", "");
	n = deliver(&to_bob);
	ck_assert_str_eq(stage_outcome(n), "failed 5.1.1");
	ck_assert_str_eq(stage_answer(n)->rcpts[0].text, "550 5.1.1 No such user");
	ck_assert_str_eq(stage_events[0].text,
	    "host one.test[127.0.0.1] said: 550 5.1.1 No such user (in reply to RCPT TO command)");
	ck_assert_uint_eq(stage_events[0].status, ES_BOUNCED);
}
END_TEST

START_TEST(a_connection_carries_one_message_after_the_other)
{
	int i;

	route("one.test", "");
	for (i = 0; i < 10; i++)
		ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_uint_eq(one.connections, 1);
	ck_assert_uint_eq(one.messages, 10);
	ck_assert_uint_eq(pool_count()->reused, 9);
	ck_assert_uint_eq(stage_asked(M_dns_addr_req, "one.test"), 1);
}
END_TEST

START_TEST(an_idle_connection_closes_after_a_while)
{
	route("one.test", "reuse = 7");
	(void)deliver(&to_bob);
	ck_assert_uint_eq(pool_count()->idle, 1);
	stage_run(700);
	ck_assert_uint_eq(pool_count()->idle, 1);
	stage_skip(8);
	stage_run(700);
	ck_assert_uint_eq(pool_count()->idle, 0);
	ck_assert_uint_eq(pool_count()->links, 0);
	ck_assert_uint_eq(one.open, 0);
}
END_TEST

START_TEST(an_old_connection_is_not_used_for_ever)
{
	int i;

	route("one.test", "reuse = 3600");
	for (i = 0; i < 3; i++) {
		(void)deliver(&to_bob);
		stage_skip(POOL_AGE_MS / 1000 - 1);
	}
	ck_assert_uint_eq(one.connections, 2);
}
END_TEST

START_TEST(without_reuse_each_message_has_its_connection)
{
	route("one.test", "reuse = 0");
	(void)deliver(&to_bob);
	(void)deliver(&to_bob);
	ck_assert_uint_eq(one.connections, 2);
	ck_assert_uint_eq(pool_count()->links, 0);
}
END_TEST

START_TEST(a_connection_that_the_server_closed_meanwhile_costs_nothing)
{
	unsigned n;

	route("one.test", "");
	(void)deliver(&to_bob);
	/* Both at once: the job may find it before its end is noticed. */
	far_hang_up(&one);
	n = deliver(&to_bob);
	ck_assert_str_eq(stage_outcome(n), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 2);
	ck_assert_uint_eq(one.connections, 2);
}
END_TEST

START_TEST(the_next_server_is_tried_and_the_dead_one_avoided)
{
	route("1/dead.test 2/one.test", "reuse = 0");
	ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_uint_eq(pool_count()->failed, 1);
	ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_uint_eq(pool_count()->failed, 1);
	ck_assert_uint_eq(one.messages, 2);
}
END_TEST

START_TEST(the_next_address_of_a_server_is_tried)
{
	stage_addr("mixed.test", DNS_OK, 0, "127.0.0.99 127.0.0.1 127.0.0.98", "");
	route("mixed.test", "reuse = 0");
	ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_uint_eq(pool_count()->failed, 0);
}
END_TEST

START_TEST(the_fallback_is_for_when_nobody_else_can_be_reached)
{
	char more[100];

	(void)snprintf(more, sizeof more, "fallback = {\"two.test:%u\"}", far_port);
	route("dead.test", more);
	ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_uint_eq(two.messages, 1);
	route("one.test", more);
	ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_uint_eq(two.messages, 1);
}
END_TEST

START_TEST(weights_spread_a_continuous_flow)
{
	int i;

	route("one.test*3 two.test", "");
	for (i = 0; i < 80; i++)
		ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	/* 60 and 20 are expected; 5 sigma are 19. */
	ck_assert_uint_gt(one.messages, two.messages);
	ck_assert_uint_gt(two.messages, 0);
	ck_assert_uint_le(one.connections + two.connections, 2);
}
END_TEST

START_TEST(nobody_reached_is_the_sites_fault_and_told_with_address)
{
	char text[100];
	unsigned n;

	route("dead.test", "");
	n = deliver(&to_bob);
	ck_assert_str_eq(stage_outcome(n), "delayed 4.4.1, site");
	(void)snprintf(
	    text, sizeof text, "connect to dead.test[127.0.0.99]:%u: Connection refused", far_port);
	ck_assert_str_eq(stage_events[0].text, text);
	ck_assert_str_eq(stage_events[0].relay, "none");
	ck_assert_uint_eq(stage_events[0].status, ES_DEFERRED);
	ck_assert_str_eq(stage_answer(n)->rcpts[0].mta, "");
}
END_TEST

START_TEST(a_greeting_that_refuses_leads_to_the_next_server)
{
	unsigned n;

	one.greeting = "554 5.7.1 Not you";
	route("1/one.test 2/two.test", "reuse = 0");
	ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
	ck_assert_uint_eq(two.messages, 1);
	two.greeting = "421 4.3.2 Later";
	n = deliver(&to_bob);
	ck_assert_str_eq(stage_answer(n)->site ? "site" : "", "site");
	ck_assert_uint_eq(stage_answer(n)->rcpts[0].status, JOB_DELAYED);
	ck_assert_ptr_nonnull(strstr(stage_events[1].text, "refused to talk to me: "));
	ck_assert_str_ne(stage_answer(n)->rcpts[0].mta, "");
}
END_TEST

START_TEST(a_server_that_hangs_up_before_the_text_leads_to_the_next)
{
	static const char *const at[] = {"EHLO", "MAIL", "RCPT"};
	size_t i;

	for (i = 0; i < 3; i++) {
		one.hang_up_at = at[i];
		two.messages = 0;
		route("1/one.test 2/two.test", "reuse = 0");
		ck_assert_str_eq(stage_outcome(deliver(&to_bob)), "sent 2.0.0");
		ck_assert_uint_eq(two.messages, 1);
	}
	ck_assert_uint_eq(one.messages, 0);
}
END_TEST

START_TEST(what_may_have_arrived_goes_to_no_other_server_at_once)
{
	unsigned n;

	one.hang_up_at = ".";
	route("1/one.test 2/two.test", "");
	n = deliver(&to_bob);
	ck_assert_uint_eq(stage_answer(n)->rcpts[0].status, JOB_DELAYED);
	ck_assert_uint_eq(two.senders, 0);
}
END_TEST

START_TEST(names_that_do_not_exist)
{
	const struct stage_job mx = {.domain = "nowhere.test", .rcpts = {"bob@nowhere.test"}};
	const struct stage_job null = {.domain = "null.test", .rcpts = {"bob@null.test"}};
	const struct stage_job host = {.domain = "host.test", .rcpts = {"bob@host.test"}};
	const struct stage_job bad = {.domain = "[1.2.3]", .rcpts = {"bob@[1.2.3]"}};
	unsigned n;

	stage_mx("null.test", DNS_OK, 0, ".");
	stage_mx("host.test", DNS_OK, 0, "10 gone.test, 20 lost.test");
	route("one.test", "");
	ck_assert_str_eq(stage_outcome(deliver(&mx)), "failed 5.1.2");
	ck_assert_str_eq(stage_outcome(deliver(&null)), "failed 5.1.10");
	ck_assert_str_eq(stage_outcome(deliver(&host)), "failed 5.4.4");
	ck_assert_str_eq(stage_outcome(deliver(&bad)), "failed 5.1.3");
	/* One of them may only be late. */
	stage_addr("lost.test", DNS_TEMPFAIL, 0, "", "");
	ask_forget();
	ck_assert_str_eq(stage_outcome(deliver(&host)), "delayed 4.4.3, site");
	/* In the configuration it is a mistake. */
	route("gone.test", "");
	n = deliver(&to_bob);
	ck_assert_str_eq(stage_outcome(n), "delayed 4.4.4, site");
}
END_TEST

START_TEST(our_own_listeners_are_a_loop)
{
	const struct stage_job j = {
	    .route = "m", .domain = "loop.test", .rcpts = {"bob@loop.test"}};

	stage_addr("self.test", DNS_OK, 0, "127.0.0.1", "");
	stage_mx("loop.test", DNS_OK, 0, "10 self.test, 20 one.test");
	/* 8026 is bound to everything, 8025 to 127.0.0.1. */
	stage_conf("route m { domains = {\"*\"} servers = {\"mx:loop.test:8026\"} }\n");
	ck_assert_str_eq(stage_outcome(deliver(&j)), "failed 5.4.6");
	stage_conf("route m { domains = {\"*\"} servers = {\"self.test:8025\"} }\n");
	ck_assert_str_eq(stage_outcome(deliver(&j)), "delayed 4.4.6, site");
	/* Behind a better server we are no mistake, but those behind us are not asked. */
	stage_mx("loop.test", DNS_OK, 0, "5 gone.test, 10 self.test, 20 one.test");
	stage_conf("route m { domains = {\"*\"} servers = {\"mx:loop.test:8026\"} }\n");
	ck_assert_str_eq(stage_outcome(deliver(&j)), "delayed 4.4.6, site");
	ck_assert_uint_eq(one.connections, 0);
}
END_TEST

START_TEST(we_are_a_loop_however_our_address_is_spelt)
{
	const struct stage_job j = {
	    .route = "m", .domain = "loop.test", .rcpts = {"bob@loop.test"}};
	static const char *const spelt[] = {
	    "0.0.0.0", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "127.0.0.1"};
	size_t i;

	stage_mx("loop.test", DNS_OK, 0, "10 self.test");
	for (i = 0; i < sizeof spelt / sizeof spelt[0]; i++) {
		stage_addr("self.test", DNS_OK, 0, spelt[i], "");
		stage_conf("route m { domains = {\"*\"} servers = {\"mx:loop.test:8025\"} }\n");
		ck_assert_str_eq(stage_outcome(deliver(&j)), "failed 5.4.6");
	}
}
END_TEST

START_TEST(an_answer_for_very_many_recipients_fits_whatever_the_server_says)
{
	static char reply[900] = "550 5.1.1 ";
	struct stage_job j = to_bob;
	const struct stage_answer *a;

	memset(reply + 10, 'x', sizeof reply - 11);
	j.more = 999;
	one.features = "DSN";
	one.bad_rcpt = "<r";
	one.bad_reply = reply;
	route("one.test", "");
	a = stage_answer(deliver(&j));
	ck_assert_uint_eq(a->n, 1000);
	ck_assert_int_eq(a->rcpts[0].status, JOB_SENT);
	ck_assert_int_eq(a->rcpts[19].status, JOB_FAILED);
	ck_assert_str_eq(a->rcpts[19].dsn, "5.1.1");
	ck_assert_int_eq(strncmp(a->rcpts[19].text, "550 5.1.1 xxx", 13), 0);
}
END_TEST

START_TEST(large_messages_come_as_descriptors)
{
	struct stage_job j = to_bob;

	j.message = "Subject: x\r\n\r\nhello\r\n";
	route("one.test", "");
	ck_assert_str_eq(stage_outcome(deliver(&j)), "sent 2.0.0");
	j.message = NULL;
	j.size = 300 * 1024;
	one.features = "8BITMIME";
	ck_assert_str_ne(stage_outcome(deliver(&j)), "nothing");
}
END_TEST

START_TEST(a_route_that_is_gone_waits)
{
	struct stage_job j = to_bob;

	j.route = "was";
	route("one.test", "");
	ck_assert_str_eq(stage_outcome(deliver(&j)), "delayed 4.3.5, site");
}
END_TEST

START_TEST(after_a_reload_connections_of_the_old_routes_close)
{
	unsigned n;

	route("one.test", "");
	(void)deliver(&to_bob);
	ck_assert_uint_eq(pool_count()->idle, 1);
	route("two.test", "");
	ck_assert_uint_eq(pool_count()->idle, 0);
	(void)deliver(&to_bob);
	ck_assert_uint_eq(two.messages, 1);
	/* A job that is under way comes to its end over the old one, which is not kept. */
	stage_hold();
	route("one.test", "");
	n = stage_job(&to_bob);
	stage_run(50);
	route("two.test", "");
	stage_release();
	stage_until(&stage_answers, 3);
	ck_assert_str_eq(stage_outcome(n), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 2);
	stage_run(50);
	ck_assert_uint_eq(one.open, 0);
}
END_TEST

START_TEST(when_queued_dies_what_has_not_begun_is_forgotten)
{
	route("one.test", "");
	stage_hold();
	(void)stage_job(&to_bob);
	(void)stage_job(&to_bob);
	stage_run(50);
	ck_assert_uint_eq(job_count()->open, 2);
	stage_queued_dies();
	ck_assert_uint_eq(job_count()->open, 0);
	stage_release();
	stage_run(100);
	ck_assert_uint_eq(one.senders, 0);
}
END_TEST

static unsigned drained;

static void
on_drained(void)
{
	drained++;
}

START_TEST(draining_finishes_what_there_is_and_takes_no_more)
{
	unsigned n;

	route("one.test", "");
	stage_hold();
	n = stage_job(&to_bob);
	stage_run(50);
	job_drain(on_drained);
	(void)stage_job(&to_bob);
	stage_run(50);
	ck_assert_uint_eq(drained, 0);
	ck_assert_uint_eq(job_count()->open, 1);
	stage_release();
	stage_until(&drained, 1);
	stage_run(50);
	ck_assert_str_eq(stage_outcome(n), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 1);
}
END_TEST

START_TEST(many_jobs_at_once_ask_once_and_all_arrive)
{
	int i;

	route("one.test two.test", "");
	for (i = 0; i < 100; i++)
		(void)stage_job(&to_bob);
	stage_until(&stage_answers, 100);
	for (i = 0; i < 100; i++)
		ck_assert_str_eq(stage_outcome((unsigned)i), "sent 2.0.0");
	ck_assert_uint_eq(one.messages + two.messages, 100);
	ck_assert_uint_eq(stage_asked(M_dns_addr_req, "one.test"), 1);
}
END_TEST

START_TEST(connections_are_bounded_and_idle_ones_make_room)
{
	const struct stage_job b = {.route = "b", .domain = "b.test", .rcpts = {"bob@b.test"}};
	char text[400];
	int i;

	(void)snprintf(text, sizeof text,
	    "route r { domains = {\"*\"} servers = {\"one.test:%u\"} tls = none }\n"
	    "route b { domains = {\"b.test\"} servers = {\"two.test:%u\"} tls = none }\n",
	    far_port, far_port);
	stage_conf(text);
	pool_limit(2);
	for (i = 0; i < 20; i++)
		(void)stage_job(&to_bob);
	(void)stage_job(&b);
	stage_until(&stage_answers, 21);
	for (i = 0; i < 21; i++)
		ck_assert_str_eq(stage_outcome((unsigned)i), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 20);
	ck_assert_uint_eq(two.messages, 1);
	ck_assert_uint_le(pool_count()->links, 2);
	/* Who waits takes a connection over rather than make one. */
	ck_assert_uint_le(one.connections, 4);
	(void)deliver(&to_bob);
	ck_assert_uint_gt(pool_count()->idle, 0);
	pool_limit(1);
	ck_assert_str_eq(stage_outcome(deliver(&b)), "sent 2.0.0");
	ck_assert_uint_eq(pool_count()->waiting, 0);
}
END_TEST

START_TEST(jobs_that_wait_for_a_connection_can_be_forgotten)
{
	int i;

	one.greeting = "";
	route("one.test", "");
	pool_limit(1);
	for (i = 0; i < 5; i++)
		(void)stage_job(&to_bob);
	stage_run(50);
	ck_assert_uint_eq(pool_count()->waiting, 4);
	stage_queued_dies();
	ck_assert_uint_eq(pool_count()->waiting, 0);
	ck_assert_uint_eq(pool_count()->links, 0);
}
END_TEST

START_TEST(what_a_header_asks_of_tls)
{
	static const struct {
		const char *text;
		bool optional;
	} t[] = {
	    {"Subject: x\r\nTLS-Required: No\r\n\r\n", true},
	    {"tls-required:\tno \r\n\r\n", true},
	    {"TLS-Required: Yes\r\n\r\n", false},
	    {"TLS-Required: Not\r\n\r\n", false},
	    {"Subject: x\r\n\r\nTLS-Required: No\r\n", false},
	    {"X-TLS-Required: No\r\n\r\n", false},
	    {"Subject: TLS-Required: No\r\n\r\n", false},
	    {"TLS-Required: No", false},
	    {"", false},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		const struct octets o = octets_mem(t[i].text, strlen(t[i].text));

		ck_assert_msg(job_tls_optional(&o) == t[i].optional, "%s", t[i].text);
	}
}
END_TEST

Suite *
job_suite(void)
{
	const TTest *const tests[] = {a_message_is_sent_and_told_of,
	    recipients_share_a_transaction_and_have_results_of_their_own,
	    a_refused_recipient_is_told_in_postfix_words,
	    a_connection_carries_one_message_after_the_other,
	    an_idle_connection_closes_after_a_while, an_old_connection_is_not_used_for_ever,
	    without_reuse_each_message_has_its_connection,
	    a_connection_that_the_server_closed_meanwhile_costs_nothing,
	    the_next_server_is_tried_and_the_dead_one_avoided,
	    the_next_address_of_a_server_is_tried,
	    the_fallback_is_for_when_nobody_else_can_be_reached, weights_spread_a_continuous_flow,
	    nobody_reached_is_the_sites_fault_and_told_with_address,
	    a_greeting_that_refuses_leads_to_the_next_server,
	    a_server_that_hangs_up_before_the_text_leads_to_the_next,
	    what_may_have_arrived_goes_to_no_other_server_at_once, names_that_do_not_exist,
	    our_own_listeners_are_a_loop, we_are_a_loop_however_our_address_is_spelt,
	    an_answer_for_very_many_recipients_fits_whatever_the_server_says,
	    large_messages_come_as_descriptors, a_route_that_is_gone_waits,
	    after_a_reload_connections_of_the_old_routes_close,
	    when_queued_dies_what_has_not_begun_is_forgotten,
	    draining_finishes_what_there_is_and_takes_no_more,
	    many_jobs_at_once_ask_once_and_all_arrive,
	    connections_are_bounded_and_idle_ones_make_room,
	    jobs_that_wait_for_a_connection_can_be_forgotten, what_a_header_asks_of_tls, NULL};

	return unit_suite_around("job", begin, end, tests);
}
