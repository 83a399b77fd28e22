#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "smtpd/head.h"
#include "t/unit/unit.h"

static struct head
look(const char *text)
{
	struct octets o = octets_mem(text, strlen(text));
	struct head h;

	ck_assert_int_eq(head_read(&h, &o, o.size), 0);
	return h;
}

static int
asks(const char *text)
{
	static const char *const rcpts[] = {"a@far.test", "b@far.test"};
	struct head h = look(text);

	return head_asks(&h, "me@ours.test", rcpts, 2);
}

START_TEST(what_a_sender_asks_for_is_seen)
{
	static const struct {
		const char *header;
		int asks;
	} t[] = {
	    {"Subject: hello\r\n", 0},
	    {"", 0},
	    {"Subject: [encrypt] hello\r\n", 1},
	    {"SUBJECT : hello [PGP]\r\n", 1},
	    {"Subject: hello\r\n [Secure]\r\n", 1},
	    {"Subject: [enc\r\n rypt] hello\r\n", 0}, /* a blank stays where the fold was */
	    {"Subject: one\r\nSubject: two [encrypt]\r\n", 1},
	    {"X-Subject: [encrypt]\r\nSubject: x\r\n", 0},
	    {"Comments: x\r\n\r\nSubject: [encrypt]\r\n", 0},
	    {"Sensitivity: Company-Confidential\r\n", 1},
	    {"Sensitivity: (x) company-CONFIDENTIAL\r\n", 1},
	    {"Sensitivity: personal\r\n", 0},
	    /* What only a worker can read, a worker reads. */
	    {"Subject: =?utf-8?q?hello?=\r\n", 1},
	    {"Subject: =?utf-8?q?=5Bencrypt=5D?=\r\n", 1},
	    {"Subject: hello\r\nSensitivity: =?x?y?z?=\r\n", 1},
	    {"Subject: gr\xc3\xbc\xc3\x9f\r\n", 0},
	    {"subject:\r\n", 0},
	};
	char text[512];
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		(void)snprintf(text, sizeof text, "%s\r\nbody [encrypt]\r\n", t[i].header);
		ck_assert_msg(asks(text) == t[i].asks, "%s", t[i].header);
	}
}
END_TEST

START_TEST(too_much_to_look_at_is_a_doubt)
{
	char *text = calloc(1, 512 * 1024), *p;
	size_t i;

	ck_assert_ptr_nonnull(text);
	p = stpcpy(text, "Subject: ");
	memset(p, 'x', HEAD_TEXT_MAX + 10);
	(void)stpcpy(p + HEAD_TEXT_MAX + 10, "\r\n\r\n");
	ck_assert_int_eq(asks(text), 1);
	/* Many short ones. */
	for (p = text, i = 0; i < 200; i++)
		p = stpcpy(p, "Subject: hello\r\n");
	(void)stpcpy(p, "\r\n");
	ck_assert_int_eq(asks(text), 1);
	/* A header that is looked at in part only. */
	p = stpcpy(text, "X-Much: ");
	memset(p, 'x', 300 * 1024);
	(void)stpcpy(p + 300 * 1024, "\r\nSubject: [encrypt]\r\n\r\n");
	ck_assert_int_eq(asks(text), 1);
	ck_assert_int_eq(look(text).forged, 1);
	free(text);
}
END_TEST

START_TEST(hops_names_and_forgeries_are_counted)
{
	struct head h = look("Received: a\r\nreceived: b\r\n c\r\nReceived-SPF: x\r\n"
			     "Message-ID:\r\n <1.2@far.test>\r\nMessage-ID: <other>\r\n\r\n"
			     "X-Postern-Verdict: good\r\n");

	ck_assert_uint_eq(h.received, 2);
	ck_assert_str_eq(h.msgid, "<1.2@far.test>");
	ck_assert_int_eq(h.forged, 0);
	h = look("x-postern-VERDICT : good\r\n\r\n");
	ck_assert_int_eq(h.forged, 1);
	ck_assert_str_eq(h.msgid, "");
	h = look("X-Posterns: x\r\n\r\n");
	ck_assert_int_eq(h.forged, 0);
}
END_TEST

START_TEST(a_long_message_id_is_cut)
{
	char text[2000] = "Message-ID: <";
	struct head h;

	memset(text + 13, 'a', 1500);
	(void)stpcpy(text + 1513, ">\r\n\r\n");
	h = look(text);
	ck_assert_uint_eq(strlen(h.msgid), sizeof h.msgid - 1);
}
END_TEST

START_TEST(our_fields_are_taken_out_and_all_else_stays)
{
	static const char in[] = "Received: x\r\nX-Postern-A: 1\r\n 2\r\nSubject: s\r\n"
				 "x-postern-b : 3\r\nX-Post: 4\r\n\r\nX-Postern-C: body\r\n.\r\n";
	static const char want[] = "Received: x\r\nSubject: s\r\nX-Post: 4\r\n\r\n"
				   "X-Postern-C: body\r\n.\r\n";
	struct octets o = octets_mem(in, sizeof in - 1);
	const char *body = strstr(in, "\r\n\r\n") + 4;
	struct buf b;
	struct sink to;

	buf_init(&b, 4096);
	to = sink_buf(&b);
	ck_assert_int_eq(head_strip(&o, (uint64_t)(body - in), &to), 0);
	ck_assert_uint_eq(buf_len(&b), sizeof want - 1);
	ck_assert_mem_eq(buf_ptr(&b), want, sizeof want - 1);
	buf_free(&b);
}
END_TEST

Suite *head_suite(void);
Suite *
head_suite(void)
{
	const TTest *const tests[] = {what_a_sender_asks_for_is_seen,
	    too_much_to_look_at_is_a_doubt, hops_names_and_forgeries_are_counted,
	    a_long_message_id_is_cut, our_fields_are_taken_out_and_all_else_stays, NULL};

	return unit_suite("head", tests);
}
