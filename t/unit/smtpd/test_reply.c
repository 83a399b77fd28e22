#include <string.h>

#include "smtpd/reply.h"
#include "t/unit/unit.h"

static void
from(struct answer *a, const char *const lines[])
{
	struct smtp_reply r;
	size_t i;

	smtp_reply_init(&r);
	for (i = 0; lines[i] != NULL; i++)
		ck_assert_int_ne(smtp_reply_line(&r, lines[i], strlen(lines[i])), -1);
	answer_from_peer(a, &r);
	smtp_reply_free(&r);
}

START_TEST(passes_a_reply_on)
{
	char out[512], dsn[12];
	struct answer a;

	from(&a, (const char *const[]){"550-5.1.1 no such user", "550 5.1.1 here", NULL});
	ck_assert_uint_eq(a.code, 550);
	ck_assert_str_eq(a.text, "5.1.1 no such user\n5.1.1 here");
	ck_assert_str_eq(answer_line(out, sizeof out, &a), "550 5.1.1 no such user 5.1.1 here");
	ck_assert_str_eq(answer_dsn(dsn, sizeof dsn, &a), "5.1.1");
}
END_TEST

START_TEST(bounds_and_cleans_what_a_peer_says)
{
	static const char *many[101];
	char line[2100], out[64];
	struct answer a;
	size_t i;

	for (i = 0; i < 100; i++)
		many[i] = i < 99 ? "450-a long line that is said again and again" : "450 end";
	from(&a, many);
	ck_assert_uint_lt(strlen(a.text), ANSWER_TEXT_MAX);
	memset(line, 'x', sizeof line);
	memcpy(line, "250 ", 4);
	line[2048] = '\0';
	from(&a, (const char *const[]){line, NULL});
	ck_assert_uint_eq(strlen(a.text), ANSWER_LINE_MAX);
	from(&a, (const char *const[]){"250 a\tb\x1b[2J\xc3\xa4", NULL});
	ck_assert_str_eq(a.text, "a b?[2J??");
	ck_assert_str_eq(answer_line(out, 8, &a), "250 a b");
}
END_TEST

START_TEST(keeps_our_own_text_in_one_line)
{
	struct answer a;

	answer_set(&a, 550, "%s", "5.7.1 a\r\n250 forged");
	ck_assert_str_eq(a.text, "5.7.1 a? 250 forged");
	answer_add(&a, "%s", "b\nc");
	ck_assert_str_eq(a.text, "5.7.1 a? 250 forged\nb c");
}
END_TEST

START_TEST(finds_the_status_code)
{
	static const struct {
		unsigned code;
		const char *text, *dsn;
	} t[] = {
	    {250, "2.0.0 ok", "2.0.0"},
	    {250, "ok", "2.0.0"},
	    {550, "4.1.1 contradicts", "5.0.0"},
	    {550, "5.1.1", "5.1.1"},
	    {550, "5.1.1.1 x", "5.0.0"},
	    {550, "5.999.123 x", "5.999.123"},
	    {451, "", "4.0.0"},
	};
	char dsn[12];
	struct answer a;
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		answer_set(&a, t[i].code, "%s", t[i].text);
		ck_assert_str_eq(answer_dsn(dsn, sizeof dsn, &a), t[i].dsn);
	}
}
END_TEST

Suite *reply_suite(void);

Suite *
reply_suite(void)
{
	return unit_suite(
	    "reply", (const TTest *const[]){passes_a_reply_on, bounds_and_cleans_what_a_peer_says,
			 keeps_our_own_text_in_one_line, finds_the_status_code, NULL});
}
