#include <string.h>

#include "t/unit/smtpd/gate_world.h"
#include "t/unit/unit.h"

Suite *gate_suite(void);

START_TEST(who_has_no_gate_or_is_exempt_costs_nothing)
{
	gw.connector.service = CONF_MX;
	gw.rules.connections = gw.rules.greet_wait = gw.rules.message_rate = 1;
	gw.lists[0] = (char *)(uintptr_t) "bl.example";
	gw.rules.dnsbl.n = 1;
	ck_assert_int_eq(net_parse("192.0.2.0/24", &gw.exempt[0]), 0);
	gw.rules.exempt.n = 1;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_ptr_null(gw.g);
	gw.rules.exempt.n = 0;
	gw.connector.gate = NULL;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_ptr_null(gw.g);
	ck_assert_int_eq(gate_early(gw.g, "x", 1), GATE_OK);
	ck_assert_int_eq(gate_hasty(gw.g, "EHLO", "x", 1), GATE_OK);
	ck_assert_int_eq(gate_helo_required(gw.g), 1);
	gate_helo(gw.g, "gw.example.org");
	ck_assert_int_eq(gate_mail(gw.g), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_OK);
	ck_assert_uint_eq(gate_error(gw.g), 0);
	ck_assert_str_eq(gate_name(gw.g), "unknown");
	gw_leave();
	gw_nothing_asked(&gw.anvild);
	gw_nothing_asked(&gw.dnsd);
}
END_TEST

START_TEST(a_gate_without_limits_asks_nobody)
{
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_ptr_nonnull(gw.g);
	ck_assert_int_eq(gate_mail(gw.g), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_OK);
	gw_leave();
	gw_nothing_asked(&gw.anvild);
	gw_nothing_asked(&gw.dnsd);
}
END_TEST

START_TEST(a_client_is_counted_until_it_leaves)
{
	gw.rules.connections = 5;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_untold();
	gw_count(CLIENT_OK, 0, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
	(void)gate_error(gw.g);
	gw_leave();
	gw_left(0, 1);
}
END_TEST

START_TEST(too_many_connections_are_refused_and_logged)
{
	static const struct {
		enum client_verdict v;
		const char *line, *answer;
	} t[] = {
	    {CLIENT_CONNECTIONS,
		"Connection concurrency limit exceeded: 6, limit 5 from unknown[192.0.2.1] for "
		"service in\n",
		"4.7.0 gw.example.org Error: too many connections from 192.0.2.1"},
	    {CLIENT_NETWORK, "Connection concurrency limit of the network exceeded: 6, limit 5",
		"4.7.0 gw.example.org Error: too many connections from 192.0.2.1"},
	    {CLIENT_RATE, "Connection rate limit exceeded: 6, limit 5",
		"4.7.0 gw.example.org Error: too many connections from 192.0.2.1"},
	    {CLIENT_ERRORS, "Error rate limit exceeded: 6, limit 5",
		"4.7.0 gw.example.org Error: too many errors from 192.0.2.1"},
	};
	size_t i;

	gw.connector.service = CONF_MX;
	gw.rules.connections = 5;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		gw.logged[0] = '\0';
		ck_assert_int_eq(gw_come(), GATE_WAIT);
		gw_count(t[i].v, 0, "6, limit 5");
		ck_assert_int_eq(gw_after(), GATE_CLOSE);
		ck_assert_uint_eq(gate_answer(gw.g)->code, 421);
		ck_assert_str_eq(gate_answer(gw.g)->text, t[i].answer);
		ck_assert_msg(
		    strncmp(gw.logged, t[i].line, strlen(t[i].line)) == 0, "%s", gw.logged);
		/* It was not counted, and nobody asked who it is. */
		gw_leave();
		gw_nothing_asked(&gw.anvild);
		gw_nothing_asked(&gw.dnsd);
	}
}
END_TEST

START_TEST(who_leaves_before_it_was_counted_is_taken_off_all_the_same)
{
	gw.rules.connections = 5;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_leave();
	gw_nothing_asked(&gw.dnsd);
	gw_count(CLIENT_OK, 0, "");
	ck_assert_int_eq(gw.told, 0);
	gw_left(0, 0);
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_leave();
	gw_count(CLIENT_CONNECTIONS, 0, "");
	ck_assert_int_eq(gw.told, 0);
	gw_nothing_asked(&gw.anvild);
}
END_TEST

START_TEST(without_anvild_clients_are_let_in_which_is_logged_once)
{
	int i;

	gw.rules.connections = gw.rules.message_rate = gw.rules.recipient_rate = 1;
	gw.rules.greylist = 1;
	gw.rules.greylist_delay = 1;
	ipc_close(&gw.anvild);
	gw_turn();
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(gw_come(), GATE_OK);
		ck_assert_int_eq(gate_mail(gw.g), GATE_OK);
		ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_OK);
		gw_leave();
	}
	ck_assert_str_eq(
	    gw.logged, "anvild does not answer: clients are let in, and not counted\n");
}
END_TEST

START_TEST(an_anvild_that_dies_refuses_nobody)
{
	gw.rules.connections = gw.rules.message_rate = gw.rules.recipient_rate = 1;
	gw.rules.greylist = 1;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	(void)gw_asked(&gw.anvild, M_client_req);
	ipc_done(&gw.anvild, &gw.m);
	ipc_close(&gw.anvild);
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_plumb(&gw.anvild, P_ANVILD);
	ck_assert_int_eq(gate_mail(gw.g), GATE_WAIT);
	(void)gw_asked(&gw.anvild, M_rate_req);
	ipc_done(&gw.anvild, &gw.m);
	ipc_close(&gw.anvild);
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_plumb(&gw.anvild, P_ANVILD);
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_WAIT);
	ipc_close(&gw.anvild);
	ck_assert_int_eq(gw_after(), GATE_OK);
	/* The new one has counted nothing that it could take off. */
	gw_plumb(&gw.anvild, P_ANVILD);
	gw_leave();
	gw_nothing_asked(&gw.anvild);
}
END_TEST

START_TEST(a_new_anvild_hears_nothing_of_clients_of_the_old_one)
{
	gw.rules.connections = 5;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_count(CLIENT_OK, 0, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
	ipc_close(&gw.anvild);
	gw_plumb(&gw.anvild, P_ANVILD);
	gw_leave();
	gw_nothing_asked(&gw.anvild);
}
END_TEST

START_TEST(an_early_talker_is_refused)
{
	gw.rules.greet_wait = 60;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_count(CLIENT_OK, 0, "");
	gw_untold();
	ck_assert_int_eq(gate_early(gw.g, "", 0), GATE_OK);
	ck_assert_int_eq(gate_early(gw.g, "EHLO <x>\r\n", 10), GATE_CLOSE);
	ck_assert_uint_eq(gate_answer(gw.g)->code, 521);
	ck_assert_str_eq(
	    gate_answer(gw.g)->text, "5.7.1 gw.example.org you did not wait for the greeting");
	ck_assert_msg(strncmp(gw.logged, "PREGREET 10 after 0.", 20) == 0 &&
			  strstr(gw.logged, " from [192.0.2.1]:4711: EHLO \\x3Cx\\x3E\\x0D\\x0A\n"),
	    "%s", gw.logged);
	gw_untold();
	gw_leave();
	gw_left(0, 1);
}
END_TEST

START_TEST(a_talker_before_it_was_counted_is_refused_then)
{
	gw.rules.greet_wait = 60;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	ck_assert_int_eq(gate_early(gw.g, "HELO x\r\n", 8), GATE_OK);
	gw_count(CLIENT_OK, 0, "");
	ck_assert_int_eq(gw_after(), GATE_CLOSE);
	ck_assert_uint_eq(gate_answer(gw.g)->code, 521);
	gw_leave();
	gw_left(0, 1);
	/* But not who needs not wait. */
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	ck_assert_int_eq(gate_early(gw.g, "HELO x\r\n", 8), GATE_OK);
	gw_count(CLIENT_OK, 1, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
}
END_TEST

START_TEST(who_was_silent_is_remembered)
{
	gw.rules.greet_wait = 1;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_count(CLIENT_OK, 0, "");
	gw_untold();
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_leave();
	gw_left(1, 0);
	/* Known, or where TLS comes first: no wait. */
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_count(CLIENT_OK, 1, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_leave();
	gw_left(0, 0);
	ck_assert_int_eq(gw_come_as("192.0.2.1", NULL, 0), GATE_WAIT);
	gw_count(CLIENT_OK, 0, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_leave();
	gw_left(0, 0);
}
END_TEST

START_TEST(who_pipelines_where_it_may_not_is_sent_away_and_not_remembered)
{
	gw.rules.greet_wait = 1;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_count(CLIENT_OK, 0, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_int_eq(gate_hasty(gw.g, "EHLO", "", 0), GATE_OK);
	ck_assert_int_eq(gate_hasty(gw.g, "EHLO", "MAIL FROM:<a@b>\r\n", 17), GATE_CLOSE);
	ck_assert_uint_eq(gate_answer(gw.g)->code, 503);
	ck_assert_str_eq(gw.logged,
	    "improper command pipelining after EHLO from unknown[192.0.2.1]: "
	    "MAIL FROM:\\x3Ca@b\\x3E\\x0D\\x0A\n");
	gw_leave();
	gw_left(0, 1);
}
END_TEST

START_TEST(mx_greets_when_the_name_is_known_or_does_not_come)
{
	gw.connector.service = CONF_MX;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	ck_assert_str_eq(gate_name(gw.g), "unknown");
	gw_name_is(DNS_OK, "mail.example.net");
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_str_eq(gate_name(gw.g), "mail.example.net");
	gw_leave();
	/* There is none; one that is no name. */
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_name_is(DNS_NOTFOUND, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_str_eq(gate_name(gw.g), "unknown");
	gw_leave();
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_name_is(DNS_OK, "a b[1]");
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_str_eq(gate_name(gw.g), "unknown");
	gw_leave();
	/* Late. */
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_str_eq(gate_name(gw.g), "unknown");
	gw_name_is(DNS_OK, "mail.example.net");
	gw_untold();
	ck_assert_str_eq(gate_name(gw.g), "mail.example.net");
	gw_leave();
	/* XCLIENT told it. */
	ck_assert_int_eq(gw_come_as("192.0.2.1", "front.example", 0), GATE_OK);
	ck_assert_str_eq(gate_name(gw.g), "front.example");
	gw_nothing_asked(&gw.dnsd);
}
END_TEST

START_TEST(errors_from_the_third_on_are_answered_late)
{
	gw.rules.tarpit = 2;
	gw.rules.error_rate = 60;
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_count(CLIENT_OK, 0, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_uint_eq(gate_error(gw.g), 0);
	ck_assert_uint_eq(gate_error(gw.g), 0);
	ck_assert_uint_eq(gate_error(gw.g), 2000);
	ck_assert_uint_eq(gate_error(gw.g), 2000);
	gw_leave();
	gw_left(0, 4);
}
END_TEST

START_TEST(false_names_in_helo_are_refused_at_the_recipient)
{
	static const struct {
		const char *helo, *answer;
	} t[] = {
	    {"mail.example.net", NULL},
	    {"mail.example.net.", NULL},
	    {"host", NULL},
	    {"[192.0.2.1]", NULL},
	    {"gw.example.org", "5.7.1 <gw.example.org>: Helo command rejected: That is my name"},
	    {"GW.Example.ORG.", "5.7.1 <GW.Example.ORG.>: Helo command rejected: That is my name"},
	    {"[192.0.2.2]", "5.7.1 <[192.0.2.2]>: Helo command rejected: That is not your address"},
	    {"[IPv6:2001:db8::1]",
		"5.7.1 <[IPv6:2001:db8::1]>: Helo command rejected: That is not your address"},
	    {"192.0.2.1", "5.7.1 <192.0.2.1>: Helo command rejected: Invalid name"},
	    {"[192.0.2.1", "5.7.1 <[192.0.2.1>: Helo command rejected: Invalid name"},
	    {"[]", "5.7.1 <[]>: Helo command rejected: Invalid name"},
	    {"[2001:db8::1]", "5.7.1 <[2001:db8::1]>: Helo command rejected: Invalid name"},
	    {"[IPv6:192.0.2.1]", "5.7.1 <[IPv6:192.0.2.1]>: Helo command rejected: Invalid name"},
	    {"-x.example", "5.7.1 <-x.example>: Helo command rejected: Invalid name"},
	    {"a..example", "5.7.1 <a..example>: Helo command rejected: Invalid name"},
	    {".", "5.7.1 <.>: Helo command rejected: Invalid name"},
	};
	size_t i;

	gw.rules.helo_check = 1;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_OK); /* it said nothing */
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		gate_helo(gw.g, t[i].helo);
		ck_assert_int_eq(gate_mail(gw.g), GATE_OK);
		ck_assert_msg(gate_rcpt(gw.g, "", "b@example.org", 0) ==
				  (t[i].answer != NULL ? GATE_REFUSE : GATE_OK),
		    "%s", t[i].helo);
		if (t[i].answer != NULL) {
			ck_assert_uint_eq(gate_answer(gw.g)->code, 554);
			ck_assert_str_eq(gate_answer(gw.g)->text, t[i].answer);
		}
		/* Who has logged in may call itself what it likes. */
		ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 1), GATE_OK);
	}
	gw_leave();
	/* From this very machine it may be true. */
	ck_assert_int_eq(gw_come_as("127.0.0.1", NULL, 1), GATE_OK);
	gate_helo(gw.g, "gw.example.org");
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_OK);
	gw_leave();
	ck_assert_int_eq(gw_come_as("[2001:db8::1]", NULL, 1), GATE_OK);
	gate_helo(gw.g, "[IPv6:2001:DB8:0::1]");
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_OK);
}
END_TEST

START_TEST(helo_may_be_left_out_or_be_wrong_where_the_gate_says_so)
{
	gw.rules.helo_required = 1;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_int_eq(gate_helo_required(gw.g), 1);
	gate_helo(gw.g, "gw.example.org");
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_OK);
	gw_leave();
	gw.rules.helo_required = 0;
	gate_renew();
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_int_eq(gate_helo_required(gw.g), 0);
}
END_TEST

START_TEST(a_session_keeps_the_rules_that_it_began_with)
{
	struct gate *old;
	char name[] = "default";

	gw.rules.name = name;
	gw.rules.tarpit = 3;
	ck_assert_int_eq(gw_come(), GATE_OK);
	old = gw.g;
	memset(name, 'x', sizeof name - 1);
	gw.rules.name = (char *)(uintptr_t) "default";
	gw.rules.tarpit = 9;
	gate_renew();
	ck_assert_int_eq(gw_come(), GATE_OK);
	(void)gate_error(old);
	(void)gate_error(old);
	(void)gate_error(gw.g);
	(void)gate_error(gw.g);
	ck_assert_uint_eq(gate_error(old), 3000);
	ck_assert_uint_eq(gate_error(gw.g), 9000);
	gate_close(old);
}
END_TEST

Suite *
gate_suite(void)
{
	const TTest *const tests[] = {who_has_no_gate_or_is_exempt_costs_nothing,
	    a_gate_without_limits_asks_nobody, a_client_is_counted_until_it_leaves,
	    too_many_connections_are_refused_and_logged,
	    who_leaves_before_it_was_counted_is_taken_off_all_the_same,
	    without_anvild_clients_are_let_in_which_is_logged_once,
	    an_anvild_that_dies_refuses_nobody,
	    a_new_anvild_hears_nothing_of_clients_of_the_old_one, an_early_talker_is_refused,
	    a_talker_before_it_was_counted_is_refused_then, who_was_silent_is_remembered,
	    who_pipelines_where_it_may_not_is_sent_away_and_not_remembered,
	    mx_greets_when_the_name_is_known_or_does_not_come,
	    errors_from_the_third_on_are_answered_late,
	    false_names_in_helo_are_refused_at_the_recipient,
	    helo_may_be_left_out_or_be_wrong_where_the_gate_says_so,
	    a_session_keeps_the_rules_that_it_began_with, NULL};

	return unit_suite_around("gate", gw_begin, gw_end, tests);
}
