/* Notices to senders, read back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "t/unit/queued/world.h"

Suite *notice_suite(void);

/* The last job's message. */
static const char *
last(void)
{
	ck_assert_uint_gt(njobs, 0);
	return jobs[njobs - 1].text;
}

static int
has(const char *s)
{
	return strstr(last(), s) != NULL;
}

/* The nth part of the multipart, from 0, with its header; good until the next call. */
static const char *
part(unsigned n)
{
	static char out[200000];
	char boundary[100], *end;
	const char *p = strstr(last(), "boundary=\"");

	ck_assert_ptr_nonnull(p);
	(void)snprintf(boundary, sizeof boundary, "\r\n--%.*s", (int)strcspn(p + 10, "\""), p + 10);
	for (p = last(); n + 1 > 0 && p != NULL; n--)
		if ((p = strstr(p, boundary)) != NULL)
			p += strlen(boundary) + 2;
	if (p == NULL || strncmp(p - 2, "--", 2) == 0)
		return NULL;
	(void)strlcpy(out, p, sizeof out);
	ck_assert_ptr_nonnull(end = strstr(out, boundary));
	*end = '\0';
	return out;
}

static int
part_has(unsigned n, const char *s)
{
	const char *p = part(n);

	return p != NULL && strstr(p, s) != NULL;
}

/* Every line ends with CRLF and has at most 998 octets. */
static void
check_lines(void)
{
	const char *p = last(), *end;

	for (; *p != '\0'; p = end + 2) {
		ck_assert_ptr_nonnull(end = strstr(p, "\r\n"));
		ck_assert_ptr_null(memchr(p, '\n', (size_t)(end - p)));
		ck_assert_int_le(end - p, 998);
	}
}

static void
refuse(const struct mail *m, const char *text)
{
	unsigned before = njobs;

	put_ok(m);
	ck_assert_uint_eq(njobs, before + 1);
	answer(&jobs[before], JOB_FAILED, "5.1.1", text);
}

START_TEST(a_failure_is_reported_as_rfc_3464_says)
{
	struct mail m = mail("A1", "x@far.test");

	m.env.envid = "id+2B7";
	m.rcpts[0].orcpt = "rfc822;orig+2Bx@here.test";
	refuse(&m, "550 5.1.1 no such user");
	ck_assert_uint_eq(njobs, 2);
	ck_assert_str_eq(jobs[1].rcpts[0], "a@here.test");
	ck_assert_str_eq(jobs[1].sender, "");
	ck_assert_uint_eq(jobs[1].priority, 3);
	check_lines();
	ck_assert(has("From: Mail Delivery System <MAILER-DAEMON@gw.test>\r\n"));
	ck_assert(has("To: a@here.test\r\n"));
	ck_assert(has("Auto-Submitted: auto-replied\r\n"));
	ck_assert(has("Content-Type: multipart/report; report-type=delivery-status;"));
	ck_assert(part_has(0, "<x@far.test>\r\n    The mail server said: 550 5.1.1 no such user"));
	ck_assert(part_has(1, "Content-Type: message/delivery-status\r\n"));
	ck_assert(part_has(1, "\r\n\r\nReporting-MTA: dns; gw.test\r\n"
			      "Original-Envelope-Id: id+7\r\n"
			      "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n"
			      "Original-Recipient: rfc822;orig+x@here.test\r\n"
			      "Final-Recipient: rfc822; x@far.test\r\n"
			      "Action: failed\r\nStatus: 5.1.1\r\n"
			      "Remote-MTA: dns; mx.far.test\r\n"
			      "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
			      "Final-Log-ID: A1\r\n"));
	ck_assert(part_has(2, "Content-Type: text/rfc822-headers\r\n"));
	ck_assert(part_has(2, "Subject: the merger\r\n"));
	ck_assert(!has("4711"));
	ck_assert_ptr_null(part(3));
	ck_assert_uint_eq(events(EV_NOTICE, "A1", jobs[1].qid), 1);
	ck_assert_uint_eq(events(EV_QUEUED, jobs[1].qid, NULL), 1);
	answer(&jobs[1], JOB_SENT, "2.0.0", "ok");
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(the_message_is_returned_where_that_was_asked_for)
{
	static char large[60 * 1024];
	struct mail m = mail("A1", "x@far.test");

	m.env.ret = MAIL_RET_FULL;
	refuse(&m, "550 no");
	ck_assert(part_has(2, "Content-Type: message/rfc822\r\n"));
	ck_assert(part_has(2, "\r\n\r\nThe price is 4711.\r\n"));
	ck_assert_uint_eq(jobs[1].body, OCTETS_7BIT);
	m = mail("A2", "x@far.test");
	m.env.ret = MAIL_RET_FULL;
	m.env.body = OCTETS_8BIT;
	m.text = "Subject: x\r\n\r\nf\xc3\xbcnf\r\n";
	refuse(&m, "550 no");
	ck_assert(has("f\xc3\xbcnf"));
	ck_assert(has("Content-Transfer-Encoding: 8bit\r\n"));
	ck_assert_uint_eq(jobs[njobs - 1].body, OCTETS_8BIT);
	/* Not what is too large for that, nor what has octets of any kind. */
	m = mail("A3", "x@far.test");
	m.env.ret = MAIL_RET_FULL;
	memset(large, 'x', sizeof large - 1);
	memcpy(large, "Subject: y\r\n\r\n", 14);
	m.text = large;
	refuse(&m, "550 no");
	ck_assert(part_has(2, "Content-Type: text/rfc822-headers\r\n"));
	ck_assert(part_has(2, "Subject: y\r\n"));
	ck_assert_uint_lt(strlen(last()), 5000);
	m = mail("A4", "x@far.test");
	m.env.ret = MAIL_RET_FULL;
	m.env.body = OCTETS_BINARY;
	refuse(&m, "550 no");
	ck_assert(!has("4711"));
}
END_TEST

START_TEST(what_was_opened_here_is_concealed)
{
	struct mail m = mail("A1", "x@far.test");

	m.env.ret = MAIL_RET_FULL;
	m.env.conceal = 1;
	refuse(&m, "550 no");
	ck_assert(!has("4711"));
	ck_assert(!has("merger"));
	ck_assert(part_has(2, "Message-ID: <m@here.test>\r\n"));
}
END_TEST

START_TEST(nobody_is_told_who_did_not_want_it)
{
	struct mail m = mail("A1", NULL);

	mail_rcpt(&m, "x@far.test", RCPT_NEVER);
	refuse(&m, "550 no");
	ck_assert_uint_eq(disk_live(), 0);
	m = mail("A2", NULL);
	mail_rcpt(&m, "x@far.test", RCPT_SUCCESS | RCPT_DELAY);
	refuse(&m, "550 no");
	ck_assert_uint_eq(disk_live(), 0);
	m = mail("A3", NULL);
	mail_rcpt(&m, "x@far.test", RCPT_NEVER);
	mail_rcpt(&m, "y@far.test", RCPT_FAILURE);
	refuse(&m, "550 no");
	ck_assert_uint_eq(disk_live(), 1);
	ck_assert(has("<y@far.test>"));
	ck_assert(!has("x@far.test"));
}
END_TEST

START_TEST(success_is_told_where_the_next_host_does_not)
{
	struct mail m = mail("A1", NULL);

	mail_rcpt(&m, "x@far.test", RCPT_SUCCESS);
	mail_rcpt(&m, "y@far.test", 0);
	put_ok(&m);
	answer(&jobs[0], JOB_RELAYED, "2.0.0", "250 ok");
	ck_assert_uint_eq(njobs, 2);
	ck_assert(part_has(1, "Final-Recipient: rfc822; x@far.test\r\nAction: relayed\r\n"));
	ck_assert(!has("y@far.test"));
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(events(EV_NOTICE, "A1", "sender delivery status notification"), 1);
	/* It does. */
	m = mail("A2", NULL);
	mail_rcpt(&m, "x@far.test", RCPT_SUCCESS);
	put_ok(&m);
	answer(job_of("A2"), JOB_SENT, "2.0.0", "250 ok");
	ck_assert_uint_eq(events(EV_NOTICE, "A2", NULL), 0);
	/* Nobody to be told. */
	m = mail("A3", NULL);
	m.env.sender = "";
	mail_rcpt(&m, "x@far.test", RCPT_SUCCESS);
	put_ok(&m);
	answer(job_of("A3"), JOB_RELAYED, "2.0.0", "250 ok");
	ck_assert_uint_eq(events(EV_NOTICE, "A3", NULL), 0);
	ck_assert_uint_eq(disk_has("A3"), 0);
}
END_TEST

START_TEST(lmtp_is_delivery)
{
	struct mail m = mail("A1", NULL);

	world_conf(
	    NULL, "route r { domains = {far.test}\n servers = {m.test}\n protocol = lmtp }\n");
	mail_rcpt(&m, "x@far.test", RCPT_SUCCESS);
	put_ok(&m);
	answer(&jobs[0], JOB_RELAYED, "2.1.5", "250 ok");
	ck_assert(part_has(1, "Action: delivered\r\nStatus: 2.1.5\r\n"));
}
END_TEST

START_TEST(a_delay_is_reported_with_its_end)
{
	put_to("A1", "x@far.test");
	answer(&jobs[0], JOB_DELAYED, "4.2.2", "452 4.2.2 mailbox full");
	world_conf("retry_min = 20000\n retry_max = 40000\n", NULL);
	while (events(EV_NOTICE, "A1", NULL) == 0) {
		world_pass(300);
		if (job_of("A1") != NULL)
			answer(job_of("A1"), JOB_DELAYED, "4.2.2", "452 4.2.2 mailbox full");
	}
	ck_assert(has("Subject: Your mail is delayed\r\n"));
	ck_assert(part_has(1, "Action: delayed\r\nStatus: 4.2.2\r\n"));
	ck_assert(part_has(1, "Will-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000\r\n"));
	ck_assert(part_has(2, "Content-Type: text/rfc822-headers\r\n"));
	ck_assert_uint_eq(disk_has("A1"), 1);
}
END_TEST

START_TEST(a_notice_that_fails_goes_to_postmaster_and_no_further)
{
	struct mail m = mail("A1", "x@far.test");

	refuse(&m, "550 no");
	answer(&jobs[1], JOB_FAILED, "5.1.1", "nor is there a sender");
	ck_assert_uint_eq(njobs, 3);
	ck_assert_str_eq(jobs[2].rcpts[0], "post@here.test");
	ck_assert_str_eq(jobs[2].sender, "");
	ck_assert(has("Final-Recipient: rfc822; a@here.test\r\n"));
	ck_assert_uint_eq(
	    events(EV_NOTICE, jobs[1].qid, "postmaster non-delivery notification"), 1);
	answer(&jobs[2], JOB_FAILED, "5.1.1", "and no postmaster");
	ck_assert_uint_eq(njobs, 3);
	ck_assert_uint_eq(disk_live(), 0);
	ck_assert_uint_eq(msg_count(), 0);
	ck_assert_uint_eq(Q.tally.dropped, 1);
}
END_TEST

START_TEST(loops_end_also_over_a_restart)
{
	struct mail m = mail("A1", "x@far.test");

	refuse(&m, "550 no");
	answer(&jobs[1], JOB_FAILED, "5.1.1", "no");
	world_restart();
	ck_assert_uint_eq(njobs, 1);
	ck_assert_str_eq(jobs[0].rcpts[0], "post@here.test");
	answer(&jobs[0], JOB_FAILED, "5.1.1", "no");
	ck_assert_uint_eq(disk_live(), 0);
}
END_TEST

START_TEST(words_of_others_cannot_make_fields)
{
	struct mail m = mail("A1", "x@far.test");
	char text[900];

	memset(text, 'w', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	memcpy(text, "no\r\nBcc: all@here.test\r\n\r\n\x01\x1b[2J\xff", 31);
	refuse(&m, text);
	check_lines();
	ck_assert(!has("\nBcc:"));
	ck_assert(!has("\x1b"));
	ck_assert(!has("\xff"));
}
END_TEST

START_TEST(addresses_in_utf_8_are_reported_as_such)
{
	struct mail m = mail("A1", "p\xc3\xa9t\xc3\xa9@far.test");

	m.env.smtputf8 = 1;
	mail_rcpt(&m, "plain@far.test", 0);
	put_ok(&m);
	answer(&jobs[0], JOB_FAILED, "5.1.1", "550 no p\xc3\xa9t\xc3\xa9");
	ck_assert_uint_eq(jobs[1].smtputf8, 1);
	ck_assert(part_has(1, "Content-Type: message/global-delivery-status\r\n"));
	ck_assert(part_has(1, "Final-Recipient: utf-8; p\xc3\xa9t\xc3\xa9@far.test\r\n"));
	ck_assert(part_has(1, "Final-Recipient: rfc822; plain@far.test\r\n"));
	ck_assert(part_has(2, "Content-Type: message/global-headers\r\n"));
	/* A transaction that is not SMTPUTF8 has a notice that is not. */
	m = mail("A2", "x@far.test");
	refuse(&m, "550 no p\xc3\xa9t\xc3\xa9");
	ck_assert_uint_eq(jobs[njobs - 1].smtputf8, 0);
	ck_assert(!has("\xc3"));
}
END_TEST

START_TEST(a_message_that_cannot_be_read_is_reported_without_it)
{
	put_to("A1", "x@far.test");
	disk_read_errno = EBADMSG;
	answer(&jobs[0], JOB_FAILED, "5.1.1", "550 no");
	disk_read_errno = 0;
	world_turn();
	/* The notice itself could not be read for its first attempt. */
	ck_assert_uint_eq(disk_has("A1"), 0);
	ck_assert_uint_eq(disk_live(), 1);
	ck_assert_ptr_nonnull(strstr(disk_text(disk_qid(0)), "Action: failed\r\n"));
	ck_assert_ptr_null(strstr(disk_text(disk_qid(0)), "merger"));
}
END_TEST

Suite *
notice_suite(void)
{
	return unit_suite_around("notice", world_setup, world_end,
	    (const TTest *const[]){a_failure_is_reported_as_rfc_3464_says,
		the_message_is_returned_where_that_was_asked_for, what_was_opened_here_is_concealed,
		nobody_is_told_who_did_not_want_it, success_is_told_where_the_next_host_does_not,
		lmtp_is_delivery, a_delay_is_reported_with_its_end,
		a_notice_that_fails_goes_to_postmaster_and_no_further,
		loops_end_also_over_a_restart, words_of_others_cannot_make_fields,
		addresses_in_utf_8_are_reported_as_such,
		a_message_that_cannot_be_read_is_reported_without_it, NULL});
}
