/* route list, route test. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "t/unit/gwctl/tool.h"

Suite *route_suite(void);

static void
begin(void)
{
	char text[900];

	tool_begin();
	(void)snprintf(text, sizeof text,
	    "node { hostname = gw.test\n run_dir = \"%s/run\" }\n"
	    "connector r { service = relay\n listen = {\"127.0.0.1:1587\"}\n tls = disabled\n"
	    " relay_clients = {\"127.0.0.1\"} }\n"
	    "route office { domains = {\"example.org\", \".example.org\"}\n"
	    " servers = {\"10/a.test*3\", \"b.test\"}\n fallback = {\"c.test\"} tls = encrypt }\n"
	    "route rest { domains = {\"*\"}\n tls = none }\n",
	    tool_dir);
	tool_write("c", text);
}

START_TEST(lists_the_routes_as_they_stand)
{
	begin();
	ck_assert_int_eq(tool("-c", "c", "route", "list", NULL), 0);
	ck_assert_ptr_nonnull(strstr(tool_out, "ROUTE"));
	ck_assert_ptr_nonnull(strstr(tool_out, "10/a.test*3, b.test"));
	ck_assert_ptr_nonnull(strstr(tool_out, "encrypt, dane, mta_sts"));
	ck_assert_ptr_nonnull(strstr(tool_out, "(MX)"));
	ck_assert_int_eq(tool("-c", "c", "route", "list", "-q", NULL), 0);
	ck_assert_str_eq(tool_out, "office\nrest\n");
	ck_assert_int_eq(tool("-c", "c", "route", "list", "--json", NULL), 0);
	ck_assert_ptr_nonnull(strstr(tool_out, "\"routes\""));
	ck_assert_ptr_nonnull(strstr(tool_out, "\"10/a.test*3\""));
	ck_assert_ptr_nonnull(strstr(tool_out, "\"tls\":\"none\""));
	tool_end();
}
END_TEST

/* A server of a name that somebody else has chosen. */
static void
answer(struct ipc *deliverd, const struct ipc_msg *m)
{
	const struct route_test_req *q = m->body;
	struct route_line lines[2] = {{"example.org: route office"}, {"1. \x1b[2J:25"}};
	const struct route_test_rep rep = {
	    .ok = strcmp(q->domain, "example.org") == 0, .lines = {lines, 2}};

	ck_assert_uint_eq(m->def->type, M_route_test_req);
	(void)ipc_send(deliverd, M_route_test_rep, m->id, &rep, -1, 1000);
}

START_TEST(tells_what_deliverd_would_do)
{
	begin();
	gateway_begin(answer, 3);
	ck_assert_int_eq(tool("-c", "c", "route", "test", "Bob@Example.ORG.", NULL), 0);
	ck_assert_ptr_nonnull(strstr(tool_out, "example.org: route office\n"));
	ck_assert_ptr_null(strchr(tool_out, '\x1b'));
	ck_assert_int_eq(tool("-c", "c", "route", "test", "nowhere.test", NULL), EX_NOHOST);
	ck_assert_int_eq(tool("-c", "c", "route", "test", "--json", "example.org", NULL), 0);
	ck_assert_ptr_nonnull(strstr(tool_out, "\"ok\": 1"));
	ck_assert_ptr_null(strchr(tool_out, '\x1b'));
	gateway_end();
	tool_end();
}
END_TEST

START_TEST(what_is_no_domain_is_not_asked_for)
{
	begin();
	ck_assert_int_eq(tool("-c", "c", "route", "test", NULL), EX_USAGE);
	ck_assert_int_eq(tool("-c", "c", "route", "test", "a", "b", NULL), EX_USAGE);
	ck_assert_int_eq(tool("-c", "c", "route", "test", "a b", NULL), EX_DATAERR);
	ck_assert_int_eq(tool("-c", "c", "route", "test", "x@", NULL), EX_DATAERR);
	ck_assert_int_eq(tool("-c", "c", "route", "test", "x@[1.2.3.4", NULL), EX_DATAERR);
	/* A literal is one; here nothing runs that could be asked. */
	ck_assert_int_eq(tool("-c", "c", "route", "test", "x@[192.0.2.1]", NULL), EX_UNAVAILABLE);
	tool_end();
}
END_TEST

Suite *
route_suite(void)
{
	return unit_suite(
	    "route", (const TTest *const[]){lists_the_routes_as_they_stand,
			 tells_what_deliverd_would_do, what_is_no_domain_is_not_asked_for, NULL});
}
