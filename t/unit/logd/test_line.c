#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/log.h"
#include "logd/logd.h"
#include "t/unit/unit.h"

Suite *line_suite(void);

static struct line
line(const char *text)
{
	struct line l = {
	    .level = LOG_L_INFO,
	    .tag = "postern",
	    .who = "smtpd",
	    .pid = 42,
	    .text = text,
	    .stamp = "Nov  2 03:04:00",
	};

	return l;
}

START_TEST(has_the_grammar_of_postfix)
{
	char out[LINE_OUT_MAX];
	struct line l = line("NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 550 5.7.1");
	size_t n = line_for_file(out, &l, "gw.example.org");

	ck_assert_str_eq(out, "Nov  2 03:04:00 gw postern/smtpd[42]: NOQUEUE: reject: RCPT from "
			      "unknown[192.0.2.1]: 550 5.7.1\n");
	ck_assert_uint_eq(n, strlen(out));
	n = line_for_syslog(out, &l, LOG_MAIL);
	ck_assert_str_eq(out, "<22>Nov  2 03:04:00 postern/smtpd[42]: NOQUEUE: reject: RCPT from "
			      "unknown[192.0.2.1]: 550 5.7.1");
	ck_assert_uint_eq(n, strlen(out));
}
END_TEST

START_TEST(the_time_is_local_and_of_that_second)
{
	const time_t then = 1793588645; /* 2026-11-02 03:04:05 UTC */

	(void)setenv("TZ", "UTC", 1);
	tzset();
	ck_assert_str_eq(line_stamp(then), "Nov  2 03:04:05");
	ck_assert_str_eq(line_stamp(then), "Nov  2 03:04:05");
	ck_assert_str_eq(line_stamp(then + 86400 * 10), "Nov 12 03:04:05");
	ck_assert_str_eq(line_stamp(then), "Nov  2 03:04:05");
}
END_TEST

START_TEST(programs_have_the_names_that_counters_of_postfix_know)
{
	ck_assert_str_eq(event_name(0, P_DELIVERD, EV_DELIVERY), "deliverd");
	ck_assert_str_eq(event_name(1, P_DELIVERD, EV_DELIVERY), "smtp");
	ck_assert_str_eq(event_name(1, P_SMTPD, EV_DELIVERY), "smtp");
	ck_assert_str_eq(event_name(1, P_SMTPD, EV_QUEUED), "qmgr");
	ck_assert_str_eq(event_name(1, P_SMTPD, EV_REJECT), "smtpd");
	ck_assert_str_eq(event_name(1, P_QUEUED, EV_ADMIN), "qmgr");
	ck_assert_str_eq(event_name(1, P_POP3D, EV_CONNECT), "pop3d");
	ck_assert_str_eq(event_name(1, P_SMTPD, 250), "smtpd");
	ck_assert_str_eq(line_name(1, P_QUEUED), "qmgr");
	ck_assert_str_eq(line_name(0, P_QUEUED), "queued");
}
END_TEST

START_TEST(marks_what_is_not_plain_information)
{
	static const struct {
		enum log_level level;
		const char *want;
	} cases[] = {
	    {LOG_L_ERR, "<19>Nov  2 03:04:00 postern/smtpd[42]: error: x"},
	    {LOG_L_WARN, "<20>Nov  2 03:04:00 postern/smtpd[42]: warning: x"},
	    {LOG_L_INFO, "<22>Nov  2 03:04:00 postern/smtpd[42]: x"},
	    {LOG_L_DEBUG, "<23>Nov  2 03:04:00 postern/smtpd[42]: x"},
	};
	char out[LINE_OUT_MAX];
	struct line l = line("x");
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		l.level = cases[i].level;
		line_for_syslog(out, &l, LOG_MAIL);
		ck_assert_str_eq(out, cases[i].want);
	}
}
END_TEST

START_TEST(no_text_makes_two_lines)
{
	static const char *const forged[] = {
	    "x\nNov  2 03:04:00 gw postern/smtpd[42]: status=sent",
	    "x\r\nstatus=sent",
	    "x\033[2Kstatus=sent",
	    "x\xc2\x85status=sent", /* NEL */
	    "x\xe2\x80\xa8status=sent", /* LINE SEPARATOR */
	    "x\xe2\x80\xaestatus=sent", /* RIGHT-TO-LEFT OVERRIDE */
	    "x\xff\xfestatus=sent",
	};
	char out[LINE_OUT_MAX];
	struct line l;
	size_t i, j, n;

	for (i = 0; i < sizeof forged / sizeof forged[0]; i++) {
		l = line(forged[i]);
		n = line_for_file(out, &l, "gw");
		ck_assert_ptr_eq(strchr(out, '\n'), out + n - 1);
		for (j = 0; j + 1 < n; j++)
			ck_assert_int_ge((unsigned char)out[j], 0x20);
		ck_assert_ptr_nonnull(strstr(out, "x\\x"));
	}
}
END_TEST

START_TEST(fits_the_longest_text_of_the_worst_octets)
{
	char out[LINE_OUT_MAX], text[LOG_LINE_MAX], host[300], tag[300];
	struct line l = line(text);
	size_t n;

	memset(text, '\001', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	memset(host, 'h', 253);
	host[253] = '\0';
	l.who = "policyd";
	memset(tag, 't', sizeof tag - 1);
	tag[sizeof tag - 1] = '\0';
	l.tag = tag;
	l.pid = UINT32_MAX;
	l.level = LOG_L_WARN;
	n = line_for_file(out, &l, host);
	ck_assert_uint_lt(n, sizeof out);
	ck_assert_int_eq(out[n - 1], '\n');
}
END_TEST

Suite *
line_suite(void)
{
	return unit_suite("line",
	    (const TTest *const[]){has_the_grammar_of_postfix, the_time_is_local_and_of_that_second,
		programs_have_the_names_that_counters_of_postfix_know,
		marks_what_is_not_plain_information, no_text_makes_two_lines,
		fits_the_longest_text_of_the_worst_octets, NULL});
}
