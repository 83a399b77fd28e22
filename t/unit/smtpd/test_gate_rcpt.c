/* Recipients at the gate: lists, rates, the greylist. */
#include <string.h>

#include "t/unit/smtpd/gate_world.h"
#include "t/unit/unit.h"

Suite *gate_rcpt_suite(void);

static void
use_lists(char *a, char *b)
{
	gw.connector.service = CONF_MX;
	gw.lists[0] = a;
	gw.lists[1] = b;
	gw.rules.dnsbl.n = b != NULL ? 2 : 1;
	gate_renew();
	ck_assert_int_eq(gw_come(), GATE_WAIT);
	gw_name_is(DNS_NOTFOUND, "");
	ck_assert_int_eq(gw_after(), GATE_OK);
}

/* The next list that was asked answers 127.0.0.last, or nothing. */
static void
list_says(const char *zone, int last)
{
	const struct dns_list_req *q = gw_asked(&gw.dnsd, M_dns_list_req);
	uint8_t ip[4] = {127, 0, 0, (uint8_t)last};
	struct dns_addr addr = {.ip = {ip, 4}};
	struct dns_list_rep r = {.status = last > 0 ? DNS_OK : DNS_NOTFOUND,
	    .text = last > 0 ? "see http://list.example/?192.0.2.1" : "",
	    .addrs = {&addr, last > 0}};

	ck_assert_str_eq(q->zone, zone);
	ck_assert_int_eq(memcmp(q->ip.p, gw_client_ip, 4), 0);
	gw_reply(&gw.dnsd, M_dns_list_rep, &r);
}

#define A ((char *)(uintptr_t) "a.example*2")
#define B ((char *)(uintptr_t) "b.example*3")
#define GOOD ((char *)(uintptr_t) "good.example*-5")

START_TEST(who_is_listed_is_refused_at_the_recipient)
{
	gw.rules.dnsbl_threshold = 5;
	use_lists(A, B);
	list_says("a.example", 2);
	list_says("b.example", 4);
	ck_assert_int_eq(gate_mail(gw.g), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 1), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_REFUSE);
	ck_assert_uint_eq(gate_answer(gw.g)->code, 554);
	ck_assert_str_eq(gate_answer(gw.g)->text,
	    "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using b.example; "
	    "see http://list.example/?192.0.2.1");
	gw_leave();
	/* One of them is not enough, and one that speaks for it is. */
	use_lists(A, B);
	list_says("a.example", 2);
	list_says("b.example", 0);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_OK);
	gw_leave();
	gw.rules.dnsbl_threshold = 2;
	use_lists(A, GOOD);
	list_says("a.example", 2);
	list_says("good.example", 1);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_OK);
}
END_TEST

START_TEST(the_recipient_waits_for_lists_that_are_late)
{
	gw.rules.dnsbl_threshold = 2;
	use_lists(A, B);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	list_says("a.example", 0);
	gw_untold();
	list_says("b.example", 4);
	ck_assert_int_eq(gw_after(), GATE_REFUSE);
	ck_assert_uint_eq(gate_answer(gw.g)->code, 554);
	gw_leave();
	use_lists(A, B);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	list_says("a.example", 0);
	list_says("b.example", 0);
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_leave();
	/* One that does not answer at all counts as not listed. */
	use_lists(A, NULL);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	(void)gw_asked(&gw.dnsd, M_dns_list_req);
	ipc_done(&gw.dnsd, &gw.m);
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_leave();
	/* Nor does the client wait for them who goes. */
	use_lists(A, B);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	gw_leave();
	gw_untold();
}
END_TEST

START_TEST(where_users_log_in_lists_are_asked_about_those_who_do_not)
{
	gw.lists[0] = A;
	gw.rules.dnsbl.n = 1;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 1), GATE_OK);
	gw_nothing_asked(&gw.dnsd);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	list_says("a.example", 3);
	ck_assert_int_eq(gw_after(), GATE_REFUSE);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_REFUSE);
	gw_nothing_asked(&gw.dnsd);
}
END_TEST

START_TEST(without_dnsd_nobody_is_listed)
{
	int i;

	gw.connector.service = CONF_MX;
	gw.lists[0] = A;
	gw.rules.dnsbl.n = 1;
	ipc_close(&gw.dnsd);
	gw_turn();
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(gw_come(), GATE_OK);
		ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_OK);
		gw_leave();
	}
	ck_assert_str_eq(
	    gw.logged, "dnsd does not answer: clients have no names, and are on no list\n");
}
END_TEST

START_TEST(rates_are_asked_about_and_refuse_for_now)
{
	struct rate_rep good = {.ok = 1, .text = ""}, bad = {.ok = 0, .text = "31, limit 30"};
	const struct rate_req *q;

	gw.rules.message_rate = gw.rules.recipient_rate = 30;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_int_eq(gate_mail(gw.g), GATE_WAIT);
	q = gw_asked(&gw.anvild, M_rate_req);
	ck_assert_uint_eq(q->messages, 1);
	ck_assert_uint_eq(q->recipients, 0);
	gw_reply(&gw.anvild, M_rate_rep, &good);
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 1), GATE_WAIT);
	q = gw_asked(&gw.anvild, M_rate_req);
	ck_assert_uint_eq(q->messages, 0);
	ck_assert_uint_eq(q->recipients, 1);
	gw_reply(&gw.anvild, M_rate_rep, &bad);
	ck_assert_int_eq(gw_after(), GATE_REFUSE);
	ck_assert_uint_eq(gate_answer(gw.g)->code, 450);
	ck_assert_str_eq(
	    gate_answer(gw.g)->text, "4.7.1 Error: too many recipients from 192.0.2.1");
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 1), GATE_WAIT);
	(void)gw_asked(&gw.anvild, M_rate_req);
	gw_reply(&gw.anvild, M_rate_rep, &good);
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_int_eq(gate_mail(gw.g), GATE_WAIT);
	(void)gw_asked(&gw.anvild, M_rate_req);
	gw_reply(&gw.anvild, M_rate_rep, &bad);
	ck_assert_int_eq(gw_after(), GATE_REFUSE);
	ck_assert_str_eq(gate_answer(gw.g)->text, "4.7.1 Error: too much mail from 192.0.2.1");
	ck_assert_str_eq(gw.logged,
	    "Recipient address rate limit exceeded: 31, limit 30 from unknown[192.0.2.1] for "
	    "service in\n"
	    "Message delivery request rate limit exceeded: 31, limit 30 from "
	    "unknown[192.0.2.1] for service in\n");
}
END_TEST

static void
grey_says(const char *sender, int pass, uint32_t wait)
{
	const struct grey_req *q = gw_asked(&gw.anvild, M_grey_req);
	struct grey_rep r = {.pass = (uint8_t)pass, .wait = wait};

	ck_assert_str_eq(q->sender, sender);
	ck_assert_str_eq(q->rcpt, "b@example.org");
	gw_reply(&gw.anvild, M_grey_rep, &r);
}

START_TEST(the_greylist_defers_those_who_are_not_trusted)
{
	gw.rules.greylist = 1;
	gw.rules.greylist_delay = 300;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	grey_says("x@y.example", 0, 300);
	ck_assert_int_eq(gw_after(), GATE_REFUSE);
	ck_assert_uint_eq(gate_answer(gw.g)->code, 450);
	ck_assert_str_eq(gate_answer(gw.g)->text,
	    "4.2.0 <b@example.org>: Recipient address rejected: Greylisted for 300 seconds");
	ck_assert_int_eq(gate_rcpt(gw.g, "", "b@example.org", 0), GATE_WAIT);
	grey_says("", 1, 0);
	ck_assert_int_eq(gw_after(), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 1), GATE_OK);
	gw_nothing_asked(&gw.anvild);
}
END_TEST

START_TEST(the_rate_and_the_greylist_are_asked_at_once)
{
	struct rate_rep good = {.ok = 1, .text = ""}, bad = {.ok = 0, .text = ""};

	gw.rules.greylist = 1;
	gw.rules.recipient_rate = 10;
	ck_assert_int_eq(gw_come(), GATE_OK);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	(void)gw_asked(&gw.anvild, M_rate_req);
	gw_reply(&gw.anvild, M_rate_rep, &good);
	gw_untold();
	grey_says("x@y.example", 0, 7);
	ck_assert_int_eq(gw_after(), GATE_REFUSE);
	ck_assert_ptr_nonnull(strstr(gate_answer(gw.g)->text, "Greylisted"));
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	(void)gw_asked(&gw.anvild, M_rate_req);
	gw_reply(&gw.anvild, M_rate_rep, &bad);
	gw_untold();
	grey_says("x@y.example", 0, 7);
	ck_assert_int_eq(gw_after(), GATE_REFUSE);
	ck_assert_ptr_nonnull(strstr(gate_answer(gw.g)->text, "too many recipients"));
	/* What was refused before is no reason now. */
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	(void)gw_asked(&gw.anvild, M_rate_req);
	gw_reply(&gw.anvild, M_rate_rep, &good);
	grey_says("x@y.example", 1, 0);
	ck_assert_int_eq(gw_after(), GATE_OK);
	/* Who goes meanwhile is not told. */
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	gw_leave();
	gw_untold();
}
END_TEST

START_TEST(who_is_on_a_good_list_is_not_greylisted)
{
	gw.rules.greylist = 1;
	use_lists(GOOD, NULL);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	list_says("good.example", 5);
	ck_assert_int_eq(gw_after(), GATE_OK);
	gw_leave();
	use_lists(GOOD, NULL);
	ck_assert_int_eq(gate_rcpt(gw.g, "x@y.example", "b@example.org", 0), GATE_WAIT);
	list_says("good.example", 0);
	gw_untold();
	grey_says("x@y.example", 1, 0);
	ck_assert_int_eq(gw_after(), GATE_OK);
}
END_TEST

Suite *
gate_rcpt_suite(void)
{
	const TTest *const tests[] = {who_is_listed_is_refused_at_the_recipient,
	    the_recipient_waits_for_lists_that_are_late,
	    where_users_log_in_lists_are_asked_about_those_who_do_not,
	    without_dnsd_nobody_is_listed, rates_are_asked_about_and_refuse_for_now,
	    the_greylist_defers_those_who_are_not_trusted,
	    the_rate_and_the_greylist_are_asked_at_once, who_is_on_a_good_list_is_not_greylisted,
	    NULL};

	return unit_suite_around("gate_rcpt", gw_begin, gw_end, tests);
}
