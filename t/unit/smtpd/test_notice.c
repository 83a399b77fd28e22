#include <string.h>

#include "smtpd/notice.h"
#include "t/unit/unit.h"

static const char original[] = "Received: by secret.internal\r\n"
			       "From: Alice <alice@example.test>\r\n"
			       "To: pat@partner.test\r\n"
			       "Subject: the merger\r\n"
			       "X-Secret: y\r\n"
			       "Message-ID: <m@example.test>\r\n"
			       "\r\n"
			       "Subject: the price is 4711\r\n";

static char text[64 * 1024];

static void
build(struct notice_facts *f, const struct notice_rcpt *r, size_t n, const void *msg, size_t len)
{
	struct octets copy = octets_mem(msg, len);
	struct buf b;

	f->hostname = "gw.test";
	f->peer = "mail.test";
	f->sender = "alice@example.test";
	f->qid = "ABC";
	if (f->envid == NULL)
		f->envid = "";
	f->arrived = 1700000000;
	f->now = 1700000060;
	f->rcpts = r;
	f->n = n;
	f->copy = &copy;
	buf_init(&b, sizeof text - 1);
	ck_assert_int_eq(notice_build(f, &b), 0);
	memcpy(text, buf_ptr(&b), buf_len(&b));
	text[buf_len(&b)] = '\0';
	buf_free(&b);
}

static int
has(const char *s)
{
	return strstr(text, s) != NULL;
}

/* Every line ends with CRLF and has at most 998 octets. */
static void
check_lines(void)
{
	const char *p = text, *end;

	for (; *p != '\0'; p = end + 2) {
		ck_assert_ptr_nonnull(end = strstr(p, "\r\n"));
		ck_assert_ptr_null(memchr(p, '\n', (size_t)(end - p)));
		ck_assert_ptr_null(memchr(p, '\r', (size_t)(end - p)));
		ck_assert_int_le(end - p, 998);
	}
}

START_TEST(reports_each_recipient)
{
	struct answer a = {550, "5.1.1 no such user\nask somebody else"}, b = {452, "later"};
	struct notice_rcpt r[] = {
	    {"pat@partner.test", "rfc822;pat+2Bx@y.test", &a}, {"quinn@partner.test", "", &b}};
	struct notice_facts f = {.envid = "id+2B7"};

	build(&f, r, 2, original, sizeof original - 1);
	check_lines();
	ck_assert(has("Content-Type: multipart/report; report-type=delivery-status;"));
	ck_assert(has("Auto-Submitted: auto-replied\r\n"));
	ck_assert(has("To: alice@example.test\r\n"));
	ck_assert(has("Original-Envelope-Id: id+7\r\n"));
	ck_assert(has("Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"));
	ck_assert(has("Original-Recipient: rfc822;pat+x@y.test\r\n"
		      "Final-Recipient: rfc822; pat@partner.test\r\nAction: failed\r\n"
		      "Status: 5.1.1\r\nRemote-MTA: dns; mail.test\r\n"
		      "Diagnostic-Code: smtp; 550 5.1.1 no such user ask somebody else\r\n"));
	ck_assert(has("Final-Recipient: rfc822; quinn@partner.test\r\nAction: failed\r\n"
		      "Status: 4.0.0\r\n"));
	ck_assert(has("said: 550 5.1.1 no such user\r\n    ask somebody else\r\n"));
}
END_TEST

START_TEST(shows_header_fields_only)
{
	struct answer a = {550, "5.1.1 x"};
	struct notice_rcpt r = {"pat@partner.test", "", &a};
	struct notice_facts f = {0};

	build(&f, &r, 1, original, sizeof original - 1);
	ck_assert(has("Subject: the merger\r\n"));
	ck_assert(has("Message-ID: <m@example.test>\r\n"));
	ck_assert(!has("4711"));
	ck_assert(!has("X-Secret"));
	ck_assert(!has("secret.internal"));
	f.hide_subject = 1;
	build(&f, &r, 1, original, sizeof original - 1);
	ck_assert(!has("the merger"));
	ck_assert(has("Message-ID: <m@example.test>\r\n"));
}
END_TEST

START_TEST(tells_encrypted_copies)
{
	static const struct {
		const char *head;
		int encrypted;
	} t[] = {
	    {"Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"\r\n\r\n",
		1},
	    {"content-type : Multipart/(x)Encrypted\r\n\r\n", 1},
	    {"Content-Type:\r\n\tapplication/pkcs7-mime\r\n\r\n", 1},
	    {"Content-Type: multipart/signed\r\n\r\n", 0},
	    {"Content-Type: text/plain\r\n\r\nContent-Type: multipart/encrypted\r\n", 0},
	    {"Content-Type: text/plain\r\nContent-Type: multipart/encrypted\r\n\r\n", 1},
	    {"", 0},
	};
	struct octets o;
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		o = octets_mem(t[i].head, strlen(t[i].head));
		ck_assert_msg(notice_is_encrypted(&o) == t[i].encrypted, "%s", t[i].head);
	}
}
END_TEST

START_TEST(leaves_out_fields_that_do_not_fit)
{
	static char wild[40 * 1024];
	struct answer a = {550, "5.1.1 x"};
	struct notice_rcpt r = {"pat@partner.test", "", &a};
	struct notice_facts f = {0};
	size_t n = 0;

	n += (size_t)snprintf(wild, sizeof wild, "From: \xc3\xa4@x\r\nTo: %03000d\r\nCc: a", 1);
	wild[n++] = '\0';
	n += (size_t)snprintf(wild + n, sizeof wild - n, "b\r\nDate: today\r\n\r\n");
	build(&f, &r, 1, wild, n);
	check_lines();
	ck_assert(has("Date: today\r\n"));
	ck_assert(!has("\xc3"));
	ck_assert(!has("Cc:"));
	build(&f, &r, 1, "", 0);
	check_lines();
}
END_TEST

START_TEST(names_a_thousand_recipients)
{
	static struct notice_rcpt r[1000];
	struct octets copy = octets_mem(original, sizeof original - 1);
	struct answer a = {550, ""};
	struct notice_facts f = {.hostname = "gw.test",
	    .peer = "mail.test",
	    .sender = "a@x.test",
	    .envid = "",
	    .qid = "Q",
	    .rcpts = r,
	    .n = 1000,
	    .copy = &copy};
	struct buf b;
	size_t i;

	for (i = 0; i < 1000; i++)
		r[i] = (struct notice_rcpt){"somebody@partner.test", "", &a};
	buf_init(&b, 256 * 1024);
	ck_assert_int_eq(notice_build(&f, &b), 0);
	buf_free(&b);
}
END_TEST

Suite *notice_suite(void);

Suite *
notice_suite(void)
{
	return unit_suite(
	    "notice", (const TTest *const[]){reports_each_recipient, shows_header_fields_only,
			  tells_encrypted_copies, leaves_out_fields_that_do_not_fit,
			  names_a_thousand_recipients, NULL});
}
