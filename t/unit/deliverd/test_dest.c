/* Where mail goes: literals, servers in their order, answers that are kept, servers to avoid. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "deliverd/dest.h"
#include "t/unit/deliverd/stage.h"
#include "t/unit/unit.h"

Suite *dest_suite(void);

static struct plan *got;
static unsigned plans;

static void
on_plan(void *arg, struct plan *p)
{
	(void)arg;
	plan_drop(got);
	got = p;
	plans++;
}

/* The plan of a domain under a route: its servers in order, or "VERDICT DSN: text". */
static const char *
plan_of(const char *route, const char *domain)
{
	static char out[2000];
	struct route *r = route_get(route);
	struct planning *later;
	unsigned had = plans;
	struct plan *p;
	size_t i;

	ck_assert_ptr_nonnull(r);
	p = plan_make(r, domain, &later, on_plan, NULL);
	if (p != NULL)
		on_plan(NULL, p);
	stage_until(&plans, had + 1);
	route_drop(r);
	out[0] = '\0';
	if (got->verdict != PLAN_OK)
		(void)snprintf(out, sizeof out, "%s %s: %s",
		    got->verdict == PLAN_FAILED ? "failed" : "delayed", got->dsn, got->text);
	for (i = 0; i < got->n; i++) {
		char key[HOSTPORT_TEXT_MAX];

		(void)strlcat(out, i > 0 ? " " : "", sizeof out);
		(void)strlcat(
		    out, bad_key(key, got->hosts[i].name, got->hosts[i].port), sizeof out);
	}
	return out;
}

static void
begin(void)
{
	stage_begin("");
}

static void
end(void)
{
	plan_drop(got);
	got = NULL;
	stage_end();
}

START_TEST(an_address_literal_is_an_address_and_nothing_else)
{
	static const struct {
		const char *text, *addr; /* NULL: refused */
	} t[] = {
	    {"[192.0.2.1]", "192.0.2.1"},
	    {"[IPv6:2001:db8::1]", "2001:db8::1"},
	    {"[ipv6:2001:DB8::1]", "2001:db8::1"},
	    {"[IPv6:::ffff:192.0.2.1]", "::ffff:192.0.2.1"},
	    {"[2001:db8::1]", NULL},
	    {"[IPv6:192.0.2.1]", NULL},
	    {"[192.0.2.1", NULL},
	    {"192.0.2.1]", NULL},
	    {"192.0.2.1", NULL},
	    {"[]", NULL},
	    {"[", NULL},
	    {"[[192.0.2.1]]", NULL},
	    {"[IPv6:[2001:db8::1]]", NULL},
	    {"[IPv6:]", NULL},
	    {"[192.0.2.256]", NULL},
	    {"[192.0.2.1 ]", NULL},
	    {"[X-other:192.0.2.1]", NULL},
	    {"[IPv6:2001:db8::1%eth0]", NULL},
	};
	char text[NETADDR_TEXT_MAX];
	struct netaddr a;
	size_t i;
	int rc;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		rc = dest_literal(t[i].text, &a);
		ck_assert_msg((rc == 0) == (t[i].addr != NULL), "%s", t[i].text);
		if (rc == -1) {
			ck_assert_int_eq(errno, EINVAL);
			continue;
		}
		a.port = 0;
		ck_assert_str_eq(netaddr_format(text, sizeof text, ':', &a), t[i].addr);
	}
}
END_TEST

START_TEST(the_mx_of_a_domain_are_tried_by_preference)
{
	stage_mx("example.org", DNS_OK, 0, "10 b.example.org, 20 A.example.org., 20 c.example.org");
	ck_assert_str_eq(
	    plan_of("", "example.org"), "b.example.org:25 a.example.org:25 c.example.org:25");
	ck_assert_int_eq(got->hosts[1].group == got->hosts[2].group, true);
	ck_assert_int_eq(got->hosts[0].mx && !got->hosts[0].secure && !got->hosts[0].implied, true);
	ck_assert_str_eq(got->hosts[0].domain, "example.org");
}
END_TEST

START_TEST(what_dns_says_of_a_domain_decides)
{
	static const struct {
		enum dns_status status;
		const char *records, *plan;
	} t[] = {
	    {DNS_OK, "", "example.org:25"},
	    {DNS_OK, ".", "failed 5.1.10: Domain example.org does not accept mail (nullMX)"},
	    {DNS_NOTFOUND, "",
		"failed 5.1.2: Host or domain name not found. Name service error for "
		"name=example.org type=MX: Host not found"},
	    {DNS_TEMPFAIL, "",
		"delayed 4.4.3: Host or domain name not found. Name service error for "
		"name=example.org type=MX: Host not found, try again"},
	    {DNS_BOGUS, "",
		"delayed 4.4.3: Host or domain name not found. Name service error for "
		"name=example.org type=MX: Host not found, try again"},
	    {DNS_OK, "10 192.0.2.1",
		"failed 5.4.4: no mail server of example.org has a valid name"},
	    {DNS_OK, "10 192.0.2.1, 20 b.example.org", "b.example.org:25"},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		ask_forget();
		stage_mx("example.org", t[i].status, 0, t[i].records);
		ck_assert_str_eq(plan_of("", "example.org"), t[i].plan);
	}
	ask_forget();
	stage_mx("example.org", DNS_OK, SECURE, "");
	(void)plan_of("", "example.org");
	ck_assert_int_eq(got->hosts[0].mx && got->hosts[0].secure && got->hosts[0].implied, true);
}
END_TEST

START_TEST(we_and_what_is_as_far_as_we_are_is_left_out)
{
	static const struct {
		const char *records, *plan;
	} t[] = {
	    {"10 a.example.org, 20 Gateway.test, 30 c.example.org", "a.example.org:25"},
	    {"10 a.example.org, 20 b.example.org, 20 gateway.test.", "a.example.org:25"},
	    {"10 gateway.test, 20 b.example.org",
		"failed 5.4.6: mail for example.org loops back to myself"},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		ask_forget();
		stage_mx("example.org", DNS_OK, 0, t[i].records);
		ck_assert_str_eq(plan_of("", "example.org"), t[i].plan);
	}
	stage_mx("gateway.test", DNS_OK, 0, "");
	ck_assert_str_eq(plan_of("", "gateway.test"),
	    "failed 5.4.6: mail for gateway.test loops back to myself");
}
END_TEST

START_TEST(literals_are_asked_for_nowhere)
{
	ck_assert_str_eq(plan_of("", "[192.0.2.7]"), "192.0.2.7:25");
	ck_assert_int_eq(got->hosts[0].numeric && !got->hosts[0].mx, true);
	ck_assert_str_eq(plan_of("", "[IPv6:2001:db8::7]"), "[2001:db8::7]:25");
	ck_assert_str_eq(plan_of("", "[nonsense]"),
	    "failed 5.1.3: [nonsense] is no address that mail can be sent to");
	ck_assert_uint_eq(stage_asked(M_dns_mx_req, "[192.0.2.7]"), 0);
}
END_TEST

START_TEST(a_route_has_its_servers_in_their_order)
{
	stage_conf(
	    "route a { domains = {\"*\"} servers = {\"20/late.test\", \"10/one.test:2525*3\","
	    " \"10/[2001:db8::1]\", \"30/mx:example.net:26\"} fallback = {\"fall.test\"} }\n"
	    "route l { domains = {\"l.test\"} servers = {\"one.test\"} protocol = lmtp }\n"
	    "route i { domains = {\"i.test\"} servers = {\"one.test\"} implicit = yes }\n");
	stage_mx("example.net", DNS_OK, SECURE, "5 m1.example.net, 6 m2.example.net");
	ck_assert_str_eq(plan_of("a", "whatever.test"),
	    "one.test:2525 [2001:db8::1]:25 late.test:25 m1.example.net:26 m2.example.net:26 "
	    "fall.test:25");
	ck_assert_int_eq(got->hosts[0].secure && !got->hosts[0].mx, true);
	ck_assert_uint_eq(got->hosts[0].weight, 3);
	ck_assert_int_eq(got->hosts[3].secure && got->hosts[3].mx, true);
	ck_assert_str_eq(plan_of("l", "l.test"), "one.test:24");
	ck_assert_str_eq(plan_of("i", "i.test"), "one.test:465");
}
END_TEST

START_TEST(a_mistake_in_the_route_returns_no_mail)
{
	stage_conf("route a { domains = {\"*\"} servers = {\"mx:example.net\"} }\n"
		   "route f { domains = {\"f.test\"} fallback = {\"fall.test\"} }\n");
	ck_assert_ptr_eq(strstr(plan_of("a", "x.test"), "delayed 4.1.2: Host or domain"),
	    plan_of("a", "x.test"));
	/* A domain that is not there is returned, fallback or not; one that DNS is silent of not.
	 */
	ck_assert_ptr_nonnull(strstr(plan_of("f", "f.test"), "failed 5.1.2"));
	ask_forget();
	stage_mx("f.test", DNS_TEMPFAIL, 0, "");
	ck_assert_str_eq(plan_of("f", "f.test"), "fall.test:25");
}
END_TEST

START_TEST(servers_of_one_priority_share_by_weight)
{
	uint8_t order[PLAN_HOSTS_MAX];
	unsigned first[4] = {0};
	int i;

	stage_conf(
	    "route a { domains = {\"*\"} servers = {\"a.test*3\", \"b.test\", \"9/c.test*9\"} }\n");
	(void)plan_of("a", "x.test");
	for (i = 0; i < 4000; i++) {
		ck_assert_uint_eq(plan_order(got, order), 3);
		ck_assert_uint_eq(order[2], 2);
		first[order[0]]++;
	}
	/* 3,000 and 1,000 are expected; 6 sigma are 164. */
	ck_assert_uint_gt(first[0], 2800);
	ck_assert_uint_lt(first[0], 3200);
}
END_TEST

START_TEST(a_bad_server_is_the_last_resort_for_a_while)
{
	uint8_t order[PLAN_HOSTS_MAX];

	stage_mx("example.org", DNS_OK, 0, "10 a.example.org, 20 b.example.org");
	(void)plan_of("", "example.org");
	bad_note("a.example.org:25");
	bad_note("a.example.org:25"); /* two found out at the same time */
	ck_assert_uint_eq(plan_order(got, order), 2);
	ck_assert_uint_eq(order[0], 1);
	ck_assert_uint_eq(order[1], 0);
	/* One tries it again, and nobody else until that is over. */
	stage_skip(BAD_MS / 1000 + 1);
	(void)plan_order(got, order);
	ck_assert_uint_eq(order[0], 0);
	(void)plan_order(got, order);
	ck_assert_uint_eq(order[0], 1);
	bad_note("a.example.org:25"); /* still: twice as long */
	stage_skip(BAD_MS / 1000 + 1);
	(void)plan_order(got, order);
	ck_assert_uint_eq(order[0], 1);
	stage_skip(BAD_MS / 1000 + 1);
	(void)plan_order(got, order);
	ck_assert_uint_eq(order[0], 0);
	bad_forget("a.example.org:25");
	(void)plan_order(got, order);
	ck_assert_uint_eq(order[0], 0);
	ck_assert_uint_eq(bad_count(), 0);
}
END_TEST

START_TEST(bad_servers_are_not_remembered_without_end)
{
	char key[64];
	int i;

	for (i = 0; i < 2 * BAD_NAMES_MAX; i++) {
		(void)snprintf(key, sizeof key, "h%d.test:25", i);
		bad_note(key);
	}
	ck_assert_uint_eq(bad_count(), BAD_NAMES_MAX);
	ck_assert_int_eq(bad_is("h0.test:25"), false);
	ck_assert_int_eq(bad_is(key), true);
	bad_clear();
	ck_assert_uint_eq(bad_count(), 0);
}
END_TEST

/* --- questions --- */

static unsigned told;

static void
on_answer(void *arg, const void *rep)
{
	const struct dns_addr_rep *a = rep;

	*(unsigned *)arg = a->status;
	told++;
}

START_TEST(who_asks_the_same_waits_together_and_the_answer_is_kept)
{
	unsigned status[3] = {9, 9, 9};
	const void *known;
	struct ask *given_up;

	stage_addr("a.test", DNS_OK, 0, "192.0.2.1", "");
	ck_assert_ptr_nonnull(ask_start(M_dns_addr_req, "a.test", &known, on_answer, &status[0]));
	ck_assert_ptr_nonnull(ask_start(M_dns_addr_req, "A.Test", &known, on_answer, &status[1]));
	given_up = ask_start(M_dns_addr_req, "a.test", &known, on_answer, &status[2]);
	ask_cancel(given_up);
	stage_until(&told, 2);
	ck_assert_uint_eq(status[0], DNS_OK);
	ck_assert_uint_eq(status[1], DNS_OK);
	ck_assert_uint_eq(status[2], 9);
	ck_assert_uint_eq(stage_asked(M_dns_addr_req, "a.test"), 1);
	ck_assert_ptr_null(ask_start(M_dns_addr_req, "a.test", &known, on_answer, &status[2]));
	ck_assert_ptr_nonnull(known);
	stage_skip(ASK_KEPT_MS / 1000 + 1);
	ck_assert_ptr_nonnull(ask_start(M_dns_addr_req, "a.test", &known, on_answer, &status[2]));
	stage_until(&told, 3);
	ck_assert_uint_eq(stage_asked(M_dns_addr_req, "a.test"), 2);
}
END_TEST

START_TEST(questions_are_bounded)
{
	const void *known;
	unsigned status;
	char name[32];
	struct ask *all[ASK_MAX];
	int i;

	stage_hold();
	for (i = 0; i < ASK_MAX; i++) {
		(void)snprintf(name, sizeof name, "n%d.test", i);
		all[i] = ask_start(M_dns_addr_req, name, &known, on_answer, &status);
		ck_assert_ptr_nonnull(all[i]);
	}
	ck_assert_ptr_null(ask_start(M_dns_addr_req, "more.test", &known, on_answer, &status));
	ck_assert_uint_eq(((const struct dns_addr_rep *)known)->status, DNS_TEMPFAIL);
	for (i = 0; i < ASK_MAX; i++)
		ask_cancel(all[i]);
	stage_release();
	while (ask_count()->open > 0)
		stage_run(2);
	/* Those that are kept make room. */
	ck_assert_ptr_nonnull(ask_start(M_dns_addr_req, "more.test", &known, on_answer, &status));
	told = 0;
	stage_until(&told, 1);
	ck_assert_uint_eq(ask_count()->kept, ASK_MAX);
	ask_forget();
	ck_assert_uint_eq(ask_count()->kept, 0);
}
END_TEST

Suite *
dest_suite(void)
{
	const TTest *const tests[] = {an_address_literal_is_an_address_and_nothing_else,
	    the_mx_of_a_domain_are_tried_by_preference, what_dns_says_of_a_domain_decides,
	    we_and_what_is_as_far_as_we_are_is_left_out, literals_are_asked_for_nowhere,
	    a_route_has_its_servers_in_their_order, a_mistake_in_the_route_returns_no_mail,
	    servers_of_one_priority_share_by_weight, a_bad_server_is_the_last_resort_for_a_while,
	    bad_servers_are_not_remembered_without_end,
	    who_asks_the_same_waits_together_and_the_answer_is_kept, questions_are_bounded, NULL};

	return unit_suite_around("dest", begin, end, tests);
}
