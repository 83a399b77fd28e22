#include <stdio.h>
#include <string.h>

#include "mail/dsn.h"
#include "mail/mime.h"
#include "t/unit/unit.h"

Suite *dsn_suite(void);

static const char original[] = "Received: by inside.test\r\n"
			       "From: a@here.test\r\n"
			       "Subject: caf\xc3\xa9\r\n"
			       "To: x@far.test\r\n"
			       "\r\n"
			       "the text\r\n";

static char text[256 * 1024];

static struct dsn_rcpt
rcpt(const char *addr)
{
	return (struct dsn_rcpt){
	    .addr = addr, .orcpt = "", .status = "5.1.1", .mta = "mx.far.test", .text = "550 no"};
}

static struct dsn_facts
facts(const struct dsn_rcpt *r, size_t n)
{
	return (struct dsn_facts){.hostname = "gw.test",
	    .to = "a@here.test",
	    .subject = "Subject",
	    .msgid = "1@gw.test",
	    .log_id = "",
	    .envid = "",
	    .before = "before",
	    .after = "after",
	    .label = "It said: ",
	    .arrived = 1700000000,
	    .now = 1700000060,
	    .rcpts = r,
	    .n = n,
	    .what = DSN_HEADERS};
}

static void
build(struct dsn_facts *f, const void *message, size_t len)
{
	struct octets o = octets_mem(message, len);
	struct buf b;

	f->message = message != NULL ? &o : NULL;
	buf_init(&b, sizeof text - 1);
	ck_assert_int_eq(dsn_build(f, &b), 0);
	memcpy(text, buf_ptr(&b), buf_len(&b));
	text[buf_len(&b)] = '\0';
	buf_free(&b);
}

static int
has(const char *s)
{
	return strstr(text, s) != NULL;
}

START_TEST(three_parts_of_the_right_types)
{
	struct dsn_rcpt r = rcpt("x@far.test");
	struct dsn_facts f = facts(&r, 1);
	struct octets o;
	struct mail_index m;

	build(&f, original, sizeof original - 1);
	o = octets_mem(text, strlen(text));
	ck_assert_int_eq(mail_index_make(&m, &o), 0);
	ck_assert_uint_eq(m.n, 4);
	ck_assert_str_eq(m.parts[0].subtype, "report");
	ck_assert_str_eq(m.parts[1].subtype, "plain");
	ck_assert_str_eq(m.parts[2].subtype, "delivery-status");
	ck_assert_str_eq(m.parts[3].subtype, "rfc822-headers");
	mail_index_free(&m);
}
END_TEST

START_TEST(what_is_returned_is_what_was_asked_for)
{
	struct dsn_rcpt r = rcpt("x@far.test");
	struct dsn_facts f = facts(&r, 1);

	build(&f, original, sizeof original - 1);
	ck_assert(has("Received: by inside.test"));
	ck_assert(!has("the text"));
	ck_assert(!has("caf")); /* not ASCII, in a notice that is */
	f.what = DSN_FIELDS;
	build(&f, original, sizeof original - 1);
	ck_assert(!has("inside.test"));
	ck_assert(has("From: a@here.test"));
	f.what = DSN_MESSAGE;
	f.message_max = sizeof original - 1;
	f.eightbit = 1;
	build(&f, original, sizeof original - 1);
	ck_assert(has(original));
	f.message_max--;
	build(&f, original, sizeof original - 1);
	ck_assert(!has("the text"));
	build(&f, NULL, 0);
	ck_assert(!has("rfc822-headers"));
	f.utf8 = 1;
	build(&f, original, sizeof original - 1);
	ck_assert(has("Subject: caf\xc3\xa9\r\n"));
	ck_assert(has("Content-Type: message/global-headers\r\n"));
}
END_TEST

START_TEST(addresses_are_spelt_for_who_can_read_them)
{
	static const struct {
		const char *addr;
		int utf8;
		const char *line;
	} t[] = {
	    {"x@far.test", 0, "Final-Recipient: rfc822; x@far.test\r\n"},
	    {"x@far.test", 1, "Final-Recipient: rfc822; x@far.test\r\n"},
	    {"\xc3\xa9@far.test", 1, "Final-Recipient: utf-8; \xc3\xa9@far.test\r\n"},
	    {"\xc3\xa9@far.test", 0, "Final-Recipient: utf-8; \\x{E9}@far.test\r\n"},
	    {"\xff@far.test", 0, "Final-Recipient: utf-8; ?@far.test\r\n"},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct dsn_rcpt r = rcpt(t[i].addr);
		struct dsn_facts f = facts(&r, 1);

		f.utf8 = t[i].utf8;
		build(&f, NULL, 0);
		ck_assert_msg(has(t[i].line), "%s: %s", t[i].line, text);
	}
}
END_TEST

START_TEST(original_recipients_come_out_of_xtext)
{
	static const struct {
		const char *given, *line;
	} t[] = {
	    {"rfc822;a+2Bb@x.test", "Original-Recipient: rfc822;a+b@x.test\r\n"},
	    {"rfc822;a+0D+0ABcc@x.test", "Original-Recipient: rfc822;a+0D+0ABcc@x.test\r\n"},
	    {"rfc822;a+", "Original-Recipient: rfc822;a+\r\n"},
	    {"utf-8;a+2Bb\\x{E9}@x.test", "Original-Recipient: utf-8;a+2Bb\\x{E9}@x.test\r\n"},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct dsn_rcpt r = rcpt("x@far.test");
		struct dsn_facts f = facts(&r, 1);

		r.orcpt = t[i].given;
		build(&f, NULL, 0);
		ck_assert_msg(has(t[i].line), "%s", text);
	}
}
END_TEST

START_TEST(long_replies_are_folded)
{
	static char words[1000], run[1000];
	struct dsn_rcpt r[2] = {rcpt("x@far.test"), rcpt("y@far.test")};
	struct dsn_facts f = facts(r, 2);
	const char *p, *end;
	size_t i;

	for (i = 0; i < sizeof words - 1; i++)
		words[i] = i % 8 == 7 ? ' ' : 'w';
	memset(run, 'r', sizeof run - 1);
	r[0].text = words;
	r[1].text = run;
	build(&f, NULL, 0);
	for (p = text; *p != '\0'; p = end + 2) {
		ck_assert_ptr_nonnull(end = strstr(p, "\r\n"));
		ck_assert_int_le(end - p, 998);
	}
	ck_assert(has("\r\n    wwwwwww wwwwwww "));
	ck_assert(has("Diagnostic-Code: smtp; wwwwwww"));
}
END_TEST

START_TEST(our_own_words_are_no_reply_of_smtp)
{
	struct dsn_rcpt r = rcpt("x@far.test");
	struct dsn_facts f = facts(&r, 1);

	r.mta = "";
	r.text = "connection refused";
	r.action = DSN_DELAYED;
	r.until = 1700000000 + 86400;
	r.last = 1700000050;
	f.log_id = "ABC";
	build(&f, NULL, 0);
	ck_assert(has("<x@far.test>\r\n    connection refused\r\n"));
	ck_assert(has("Diagnostic-Code: X-Postern; connection refused\r\n"
		      "Last-Attempt-Date: Tue, 14 Nov 2023 22:14:10 +0000\r\n"
		      "Final-Log-ID: ABC\r\n"
		      "Will-Retry-Until: Wed, 15 Nov 2023 22:13:20 +0000\r\n"));
	ck_assert(!has("Remote-MTA"));
	r.until = r.last = UINT64_MAX;
	build(&f, NULL, 0);
	ck_assert(has("Will-Retry-Until: Thu, 1 Jan 1970 "));
}
END_TEST

Suite *
dsn_suite(void)
{
	return unit_suite("dsn",
	    (const TTest *const[]){three_parts_of_the_right_types,
		what_is_returned_is_what_was_asked_for, addresses_are_spelt_for_who_can_read_them,
		original_recipients_come_out_of_xtext, long_replies_are_folded,
		our_own_words_are_no_reply_of_smtp, NULL});
}
