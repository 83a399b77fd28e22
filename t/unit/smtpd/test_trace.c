#include <string.h>

#include "smtpd/trace.h"
#include "t/unit/unit.h"

static const char *
received(const struct trace_facts *f)
{
	static struct buf b;

	buf_free(&b);
	buf_init(&b, TRACE_MAX);
	ck_assert_int_eq(trace_received(&b, f), 0);
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	return (const char *)buf_ptr(&b);
}

START_TEST(says_what_is_known)
{
	struct trace_facts f = {.helo = "client.test",
	    .name = "mail.far.test",
	    .ip = "192.0.2.1",
	    .hostname = "gw.test",
	    .tls = "",
	    .esmtp = 1,
	    .qid = "ABC",
	    .rcpt = "a@b.test",
	    .when = 86399};

	ck_assert_str_eq(received(&f), "Received: from client.test (mail.far.test [192.0.2.1])\r\n"
				       "\tby gw.test (Postern) with ESMTP id ABC\r\n"
				       "\tfor <a@b.test>; Thu, 1 Jan 1970 23:59:59 +0000\r\n");
	f.tls = "TLSv1.3 with cipher X (256/256 bits)";
	f.rcpt = NULL;
	f.ip = "2001:db8::1";
	f.helo = "";
	f.when = 1767225600;
	ck_assert_str_eq(received(&f),
	    "Received: from unknown (mail.far.test [IPv6:2001:db8::1])\r\n"
	    "\t(using TLSv1.3 with cipher X (256/256 bits))\r\n"
	    "\tby gw.test (Postern) with ESMTPS id ABC; Thu, 1 Jan 2026 00:00:00 +0000\r\n");
}
END_TEST

START_TEST(protocols_have_their_names)
{
	static const struct {
		int esmtp, utf8, authed, tls;
		const char *with;
	} t[] = {{0, 0, 0, 0, "SMTP"}, {0, 0, 1, 1, "SMTP"}, {1, 0, 0, 0, "ESMTP"},
	    {1, 0, 1, 0, "ESMTPA"}, {1, 0, 0, 1, "ESMTPS"}, {1, 0, 1, 1, "ESMTPSA"},
	    {1, 1, 0, 0, "UTF8SMTP"}, {1, 1, 1, 1, "UTF8SMTPSA"}};
	char want[64];
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct trace_facts f = {.helo = "x",
		    .name = "y",
		    .ip = "192.0.2.1",
		    .hostname = "gw.test",
		    .tls = t[i].tls ? "TLSv1.3" : "",
		    .esmtp = t[i].esmtp,
		    .utf8 = t[i].utf8,
		    .authed = t[i].authed,
		    .qid = "Q"};

		(void)snprintf(want, sizeof want, " with %s id Q;", t[i].with);
		ck_assert_msg(strstr(received(&f), want) != NULL, "%s", t[i].with);
	}
}
END_TEST

START_TEST(nothing_from_outside_makes_another_field)
{
	struct trace_facts f = {.helo = "b\xc3\xbc"
					"cher\ttest\x7f",
	    .name = "y",
	    .ip = "192.0.2.1",
	    .hostname = "gw.test",
	    .tls = "",
	    .qid = "Q",
	    .rcpt = "\xc3\xbc@b.test"};
	char big[600], line[1000];
	const char *p, *end;

	ck_assert_ptr_nonnull(strstr(received(&f), "from b??cher?test? (y"));
	ck_assert_ptr_nonnull(strstr(received(&f), "for <??@b.test>"));
	f.utf8 = 1;
	ck_assert_ptr_nonnull(strstr(received(&f), "from b\xc3\xbc"
						   "cher?test? (y"));
	ck_assert_ptr_nonnull(strstr(received(&f), "for <\xc3\xbc@b.test>"));
	f.helo = "a\r\nSubject: x";
	ck_assert_ptr_nonnull(strstr(received(&f), "from a??Subject: x ("));
	/* Lines fit RFC 5322, 2.1.1, whatever their parts. */
	memset(big, 'x', 320);
	big[320] = '\0';
	f.rcpt = big;
	memset(line, 'h', 255);
	line[255] = '\0';
	f.helo = f.name = line;
	for (p = received(&f); *p != '\0'; p = end + 2) {
		end = strstr(p, "\r\n");
		ck_assert_ptr_nonnull(end);
		ck_assert_int_le((int)(end - p), 998);
	}
}
END_TEST

Suite *trace_suite(void);
Suite *
trace_suite(void)
{
	const TTest *const tests[] = {says_what_is_known, protocols_have_their_names,
	    nothing_from_outside_makes_another_field, NULL};

	return unit_suite("trace", tests);
}
