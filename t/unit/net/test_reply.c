#include <errno.h>
#include <string.h>

#include "net/pop3_reply.h"
#include "net/smtp_reply.h"
#include "t/unit/unit.h"

Suite *reply_suite(void);

/* Feed lines separated by '|'; the last result. */
static int
feed(struct smtp_reply *r, const char *lines)
{
	const char *end;
	int ret = 0;

	smtp_reply_reset(r);
	for (; ret == 0 && lines != NULL; lines = end != NULL ? end + 1 : NULL) {
		end = strchr(lines, '|');
		ret =
		    smtp_reply_line(r, lines, end != NULL ? (size_t)(end - lines) : strlen(lines));
	}
	return ret;
}

START_TEST(reads_smtp_replies)
{
	static const struct {
		const char *in;
		int ret;
		unsigned code, lines;
		const char *enhanced, *first;
	} cases[] = {
	    {"250 OK", 1, 250, 1, "", "OK"},
	    {"250", 1, 250, 1, "", ""},
	    {"250 ", 1, 250, 1, "", ""},
	    {"550 5.7.1 no", 1, 550, 1, "5.7.1", "5.7.1 no"},
	    {"550 5.7.1", 1, 550, 1, "5.7.1", "5.7.1"},
	    {"550 5.123.456 no", 1, 550, 1, "5.123.456", "5.123.456 no"},
	    {"550 4.7.1 contradicts", 1, 550, 1, "", "4.7.1 contradicts"},
	    {"550 5.7.1234 long", 1, 550, 1, "", "5.7.1234 long"},
	    {"550 5.7 short", 1, 550, 1, "", "5.7 short"},
	    {"550 5.7.1x", 1, 550, 1, "", "5.7.1x"},
	    {"354 3.0.0 go", 1, 354, 1, "", "3.0.0 go"},
	    {"451-4.3.0 a|451-4.3.0 b|451 4.3.0 c", 1, 451, 3, "4.3.0", "4.3.0 a"},
	    {"250-a", 0, 250, 1, "", "a"},
	    {"250 b\033[31m", 1, 250, 1, "", "b?[31m"},
	    {"250 J\xc3\xb6rg", 1, 250, 1, "", "J\xc3\xb6rg"},
	};
	struct smtp_reply r;
	size_t i;

	smtp_reply_init(&r);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(feed(&r, cases[i].in), cases[i].ret);
		ck_assert_uint_eq(r.code, cases[i].code);
		ck_assert_uint_eq(r.lines, cases[i].lines);
		ck_assert_str_eq(r.enhanced, cases[i].enhanced);
		ck_assert_str_eq(smtp_reply_text(&r, NULL), cases[i].first);
	}
	smtp_reply_free(&r);
}
END_TEST

START_TEST(refuses_what_is_no_smtp_reply)
{
	static const char *const bad[] = {"", "2", "25", "25x", "199 a", "600 a", "250_a", "2500 a",
	    "+OK", "HTTP/1.1 200 OK", "250-a|251 b", "250-a|b", "250 a\rb", "250 a\nb", "  250 a"};
	struct smtp_reply r;
	size_t i;

	smtp_reply_init(&r);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_int_eq(feed(&r, bad[i]), -1);
		ck_assert_int_eq(errno, EPROTO);
	}
	smtp_reply_reset(&r);
	ck_assert_int_eq(smtp_reply_line(&r, "250 \0", 5), -1);
	ck_assert_ptr_null(smtp_reply_text(&r, NULL));
	smtp_reply_free(&r);
}
END_TEST

START_TEST(bounds_lines_and_octets_of_an_smtp_reply)
{
	struct smtp_reply r;
	char line[1004];
	unsigned i;
	int ret;

	smtp_reply_init(&r);
	for (i = 0; (ret = smtp_reply_line(&r, "250-", 4)) == 0; i++)
		;
	ck_assert_int_eq(ret, -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(i, SMTP_REPLY_LINES_MAX);

	smtp_reply_reset(&r);
	memset(line, 'x', sizeof line);
	memcpy(line, "250-", 4);
	for (i = 0; (ret = smtp_reply_line(&r, line, sizeof line)) == 0; i++)
		;
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(i, SMTP_REPLY_OCTETS_MAX / 1001);
	smtp_reply_free(&r);
}
END_TEST

START_TEST(finds_ehlo_keywords)
{
	struct smtp_reply r;
	const char *p;
	unsigned n = 0;

	smtp_reply_init(&r);
	ck_assert_int_eq(feed(&r, "250-STARTTLS greets you|250-size 1000|250-PIPELINING|"
				  "250-AUTH=LOGIN|250-AUTH PLAIN  LOGIN|250 DSNX"),
	    1);
	ck_assert_str_eq(smtp_reply_keyword(&r, "SIZE"), "1000");
	ck_assert_str_eq(smtp_reply_keyword(&r, "PIPELINING"), "");
	ck_assert_str_eq(smtp_reply_keyword(&r, "AUTH"), "LOGIN");
	ck_assert_ptr_null(smtp_reply_keyword(&r, "STARTTLS"));
	ck_assert_ptr_null(smtp_reply_keyword(&r, "DSN"));
	ck_assert(smtp_reply_has(&r, "AUTH", "LOGIN"));
	ck_assert(smtp_reply_has(&r, "AUTH", "plain"));
	ck_assert(!smtp_reply_has(&r, "AUTH", "LOG"));
	ck_assert(!smtp_reply_has(&r, "PIPELINING", ""));
	ck_assert(!smtp_reply_has(&r, "DSN", "X"));
	ck_assert_uint_eq(smtp_reply_size(&r), 1000);
	for (p = NULL; (p = smtp_reply_text(&r, p)) != NULL;)
		n++;
	ck_assert_uint_eq(n, 6);
	smtp_reply_free(&r);
}
END_TEST

START_TEST(a_size_that_is_no_number_is_no_bound)
{
	static const struct {
		const char *in;
		uint64_t size;
	} cases[] = {{"250-a|250 SIZE", 0}, {"250-a|250 SIZE 0", 0}, {"250-a|250 SIZE 1k", 0},
	    {"250-a|250 SIZE -1", 0}, {"250-a|250 SIZE 99999999999999999999", 0},
	    {"250-a|250 SIZE 00000000000000000000001", 0},
	    {"250-a|250 SIZE 18446744073709551615", UINT64_MAX}, {"250 SIZE 5", 0}};
	struct smtp_reply r;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		smtp_reply_init(&r);
		ck_assert_int_eq(feed(&r, cases[i].in), 1);
		ck_assert_uint_eq(smtp_reply_size(&r), cases[i].size);
		smtp_reply_free(&r);
	}
}
END_TEST

START_TEST(reads_pop3_status_lines)
{
	static const struct {
		const char *in;
		int ret;
		enum pop3_status status;
		const char *code, *text;
	} cases[] = {
	    {"+OK", 0, POP3_OK, "", ""},
	    {"+OK 2 320", 0, POP3_OK, "", "2 320"},
	    {"+OK [x] y", 0, POP3_OK, "", "[x] y"},
	    {"-ERR", 0, POP3_ERR, "", ""},
	    {"-ERR [AUTH] bad", 0, POP3_ERR, "AUTH", "[AUTH] bad"},
	    {"-ERR [sys/temp] later", 0, POP3_ERR, "SYS/TEMP", "[sys/temp] later"},
	    {"-ERR [] x", 0, POP3_ERR, "", "[] x"},
	    {"-ERR [a b] x", 0, POP3_ERR, "", "[a b] x"},
	    {"-ERR [open", 0, POP3_ERR, "", "[open"},
	    {"+ ", 0, POP3_CONTINUE, "", ""},
	    {"+", 0, POP3_CONTINUE, "", ""},
	    {"+ VXNlcg==", 0, POP3_CONTINUE, "", "VXNlcg=="},
	    {"", -1, POP3_OK, "", ""},
	    {"+OKAY", -1, POP3_OK, "", ""},
	    {"+ok", -1, POP3_OK, "", ""},
	    {"-ERRx", -1, POP3_OK, "", ""},
	    {"-", -1, POP3_OK, "", ""},
	    {"220 smtp", -1, POP3_OK, "", ""},
	    {"+OK a\rb", -1, POP3_OK, "", ""},
	    {"+OK \033[2J", -1, POP3_OK, "", ""},
	};
	struct pop3_reply r;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(
		    pop3_reply_parse(&r, cases[i].in, strlen(cases[i].in)), cases[i].ret);
		if (cases[i].ret == -1) {
			ck_assert_int_eq(errno, EPROTO);
			continue;
		}
		ck_assert_int_eq(r.status, cases[i].status);
		ck_assert_str_eq(r.code, cases[i].code);
		ck_assert_str_eq(r.text, cases[i].text);
		ck_assert_uint_eq(r.len, strlen(cases[i].text));
	}
	ck_assert_int_eq(pop3_reply_parse(&r, "+OK \0", 5), -1);
}
END_TEST

Suite *
reply_suite(void)
{
	return unit_suite(
	    "reply", (const TTest *const[]){reads_smtp_replies, refuses_what_is_no_smtp_reply,
			 bounds_lines_and_octets_of_an_smtp_reply, finds_ehlo_keywords,
			 a_size_that_is_no_number_is_no_bound, reads_pop3_status_lines, NULL});
}
