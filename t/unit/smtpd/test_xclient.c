#include <stdio.h>
#include <string.h>

#include "smtpd/xclient.h"
#include "t/unit/unit.h"

Suite *xclient_suite(void);

static struct xclient x;
static struct answer why;

/* Octet for octet: both were zeroed when they were made. */
static int
same(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static void
set_up(void)
{
	memset(&x, 0, sizeof x);
	memset(&why, 0, sizeof why);
}

static void
tear_down(void)
{
}

static const char *
address(const struct netaddr *a)
{
	static char out[NETADDR_TEXT_MAX];

	return netaddr_format(out, sizeof out, ':', a);
}

START_TEST(takes_all_attributes_of_xclient)
{
	ck_assert_int_eq(
	    xclient_parse("NAME=mail.example.org ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP "
			  "HELO=[192.0.2.1] login=alice+40example.org DESTADDR=IPV6:2001:db8::1 "
			  "DESTPORT=25",
		&x, &why),
	    0);
	ck_assert_uint_eq(
	    x.set, X_NAME | X_ADDR | X_PORT | X_PROTO | X_HELO | X_LOGIN | X_DESTADDR | X_DESTPORT);
	ck_assert_uint_eq(x.given, x.set);
	ck_assert_str_eq(x.name, "mail.example.org");
	ck_assert_str_eq(address(&x.addr), "192.0.2.1:4711");
	ck_assert_int_eq(x.esmtp, 1);
	ck_assert_str_eq(x.helo, "[192.0.2.1]");
	ck_assert_str_eq(x.login, "alice@example.org");
	ck_assert_str_eq(address(&x.dest), "[2001:db8::1]:25");
}
END_TEST

START_TEST(what_is_unavailable_is_not_set)
{
	ck_assert_int_eq(xclient_parse("NAME=a.example ADDR=192.0.2.1 LOGIN=x", &x, &why), 0);
	ck_assert_int_eq(
	    xclient_parse(
		"NAME=[UNAVAILABLE] LOGIN=[tempunavail] HELO=+5BUNAVAILABLE+5D", &x, &why),
	    0);
	ck_assert_uint_eq(x.set, X_ADDR);
	ck_assert_uint_eq(x.given, X_NAME | X_ADDR | X_LOGIN | X_HELO);
	ck_assert_str_eq(x.name, "");
	ck_assert_str_eq(x.login, "");
}
END_TEST

START_TEST(xforward_may_come_in_parts)
{
	ck_assert_int_eq(
	    xforward_parse("NAME=spike.example ADDR=192.0.2.1 PROTO=SMTP", &x, &why), 0);
	ck_assert_int_eq(xforward_parse("IDENT=4QxYz+2B1 SOURCE=remote PORT=4711", &x, &why), 0);
	ck_assert_str_eq(address(&x.addr), "192.0.2.1:4711");
	ck_assert_str_eq(x.ident, "4QxYz+1");
	ck_assert_str_eq(x.source, "remote");
	ck_assert_int_eq(x.esmtp, 0);
	ck_assert_uint_eq(x.set, X_NAME | X_ADDR | X_PROTO | X_IDENT | X_SOURCE | X_PORT);
}
END_TEST

START_TEST(refuses_and_forgets_nothing)
{
	static const char *const bad[] = {
	    "",
	    "   ",
	    "NAME",
	    "=x",
	    "NAME mail.example",
	    "FOO=bar",
	    "NAME=a.example ADDR=192.0.2",
	    "NAME=",
	    "NAME=a..example",
	    "NAME=a+0A.example",
	    "ADDR=192.0.2.256",
	    "ADDR=IPV6:192.0.2.1",
	    "ADDR=IPV6:[2001:db8::1]",
	    "ADDR=[2001:db8::1]",
	    "ADDR=mail.example",
	    "ADDR=",
	    "PORT=65536",
	    "PORT=",
	    "PORT=-1",
	    "PORT=123456789012345",
	    "PROTO=LMTP2",
	    "PROTO=",
	    "LOGIN=a+4",
	    "LOGIN=a+",
	    "LOGIN=a+4g",
	    "LOGIN=a+00b",
	    "LOGIN=a+0db",
	    "LOGIN=a+7F",
	    "LOGIN=a\tb",
	    "IDENT=x",
	    "SOURCE=LOCAL",
	};
	static const char *const bad_forward[] = {
	    "LOGIN=alice", "DESTADDR=192.0.2.1", "DESTPORT=25", "SOURCE=elsewhere"};
	struct xclient before;
	char line[1200];
	size_t i;

	ck_assert_int_eq(xclient_parse("NAME=b.example PORT=7", &x, &why), 0);
	before = x;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		why.code = 0;
		ck_assert_msg(xclient_parse(bad[i], &x, &why) == -1, "%s", bad[i]);
		ck_assert_uint_eq(why.code, 501);
		ck_assert(same(&x, &before, sizeof x));
	}
	for (i = 0; i < sizeof bad_forward / sizeof bad_forward[0]; i++)
		ck_assert_msg(xforward_parse(bad_forward[i], &x, &why) == -1, "%s", bad_forward[i]);
	/* Longer than a value may be; the longest one. */
	memset(line, 'a', sizeof line);
	memcpy(line, "LOGIN=", 6);
	line[6 + XCLIENT_VALUE_MAX + 1] = '\0';
	ck_assert_int_eq(xclient_parse(line, &x, &why), -1);
	line[6 + XCLIENT_VALUE_MAX] = '\0';
	ck_assert_int_eq(xclient_parse(line, &x, &why), 0);
	ck_assert_uint_eq(strlen(x.login), XCLIENT_VALUE_MAX);
	memcpy(line, "HELO=a", 6);
	ck_assert_int_eq(xclient_parse(line, &x, &why), -1);
}
END_TEST

START_TEST(the_refusal_is_one_line)
{
	ck_assert_int_eq(xclient_parse("FOO\xff\x01=bar", &x, &why), -1);
	ck_assert_str_eq(why.text, "5.5.4 bad attribute: FOO?"
				   "?=bar");
}
END_TEST

Suite *
xclient_suite(void)
{
	const TTest *const tests[] = {takes_all_attributes_of_xclient,
	    what_is_unavailable_is_not_set, xforward_may_come_in_parts, refuses_and_forgets_nothing,
	    the_refusal_is_one_line, NULL};

	return unit_suite_around("xclient", set_up, tear_down, tests);
}
