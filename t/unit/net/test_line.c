#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "net/line.h"
#include "t/unit/unit.h"

Suite *line_suite(void);

#define MAX 8

/* What a reader made of some input, as text: "<line>/flags " for each. */
static void
read_all(const char *in, size_t n, size_t split, char *out, size_t outsz)
{
	struct line_reader r;
	struct buf b;
	enum line_status st;
	size_t used, step, at = 0, len = 0;

	buf_init(&b, 1 << 20);
	line_init(&r, MAX);
	out[0] = '\0';
	while (at < n || buf_len(&b) > 0) {
		st = line_next(
		    &r, buf_len(&b) ? buf_ptr(&b) : (const uint8_t *)"", buf_len(&b), &used);
		ck_assert_uint_le(used, buf_len(&b));
		if (used > 0)
			buf_drain(&b, used);
		if (st == LINE_OK || st == LINE_TOO_LONG) {
			len += (size_t)snprintf(out + len, outsz - len, "%s%.*s/%u ",
			    st == LINE_TOO_LONG ? "!" : "", (int)r.len, r.text, r.flags);
			continue;
		}
		if (at == n)
			break;
		step = at < split ? split - at : n - at;
		ck_assert_int_eq(buf_put(&b, in + at, step), 0);
		at += step;
	}
	line_free(&r);
	buf_free(&b);
}

START_TEST(lines_are_the_same_for_every_split)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"HELO\r\n", "HELO/0 "},
	    {"\r\n", "/0 "},
	    {"a\r\nb\r\nc", "a/0 b/0 "},
	    {"bare\nok\r\n", "bare/1 ok/0 "},
	    {"\n", "/1 "},
	    {"a\rb\r\n", "a\rb/2 "},
	    {"a\r\r\n", "a\r/2 "},
	    {"12345678\r\n", "12345678/0 "},
	    {"12345678\n", "12345678/1 "},
	    {"123456789\r\nx\r\n", "!12345678/0 x/0 "},
	    {"123456789\nx\r\n", "!12345678/0 x/0 "},
	    {"1234567\r9\r\nx\r\n", "!1234567\r/2 x/0 "},
	    {"12345678\rz\r\nx\r\n", "!12345678/0 x/0 "},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nQUIT\r\n", "!aaaaaaaa/0 QUIT/0 "},
	};
	char out[256];
	size_t i, split;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (split = 0; split <= strlen(cases[i].in); split++) {
			read_all(cases[i].in, strlen(cases[i].in), split, out, sizeof out);
			ck_assert_str_eq(out, cases[i].out);
		}
}
END_TEST

START_TEST(reports_nul_and_keeps_its_length)
{
	struct line_reader r;
	size_t used;

	line_init(&r, MAX);
	ck_assert_int_eq(line_next(&r, (const uint8_t *)"a\0b\r\nrest", 9, &used), LINE_OK);
	ck_assert_uint_eq(used, 5);
	ck_assert_uint_eq(r.len, 3);
	ck_assert_uint_eq(r.flags, LINE_NUL);
	ck_assert_mem_eq(r.text, "a\0b", 4);
	line_wipe(&r);
	ck_assert_mem_eq(r.text, "\0\0\0", 4);
	line_free(&r);
}
END_TEST

START_TEST(holds_no_memory_without_a_line)
{
	struct line_reader r, lent;
	char text[MAX + 1] = "";
	size_t used;

	line_init(&r, MAX);
	ck_assert(!r.own);
	ck_assert_str_eq(r.text, "");
	ck_assert_int_eq(line_next(&r, (const uint8_t *)"abc\r\nd", 6, &used), LINE_OK);
	ck_assert(r.own);
	ck_assert_str_eq(r.text, "abc");
	ck_assert_int_eq(line_next(&r, (const uint8_t *)"d", 1, &used), LINE_MORE);
	ck_assert(!r.own);
	ck_assert_uint_eq(r.len, 0);
	/* The beginning of a line that is too long stays until it has ended. */
	ck_assert_int_eq(
	    line_next(&r, (const uint8_t *)"0123456789abcdef0123456789abcdef", 32, &used),
	    LINE_MORE);
	ck_assert_int_eq(line_next(&r, NULL, 0, &used), LINE_MORE);
	ck_assert_int_eq(line_next(&r, (const uint8_t *)"\r\n", 2, &used), LINE_TOO_LONG);
	ck_assert_uint_eq(r.len, MAX);
	ck_assert_int_eq(line_next(&r, NULL, 0, &used), LINE_MORE);
	ck_assert(!r.own);
	line_wipe(&r);
	line_free(&r);

	/* Lent memory is used and left alone. */
	lent = (struct line_reader){.max = MAX, .text = text};
	ck_assert_int_eq(line_next(&lent, (const uint8_t *)"abc\r\n", 5, &used), LINE_OK);
	ck_assert_str_eq(text, "abc");
	ck_assert_int_eq(line_next(&lent, NULL, 0, &used), LINE_MORE);
	line_wipe(&lent);
	ck_assert_str_eq(text, "");
	line_free(&lent);
}
END_TEST

START_TEST(leaves_a_line_that_is_not_whole_in_the_input)
{
	struct line_reader r;
	size_t used;

	line_init(&r, MAX);
	ck_assert_int_eq(line_next(&r, (const uint8_t *)"12345678\r", 9, &used), LINE_MORE);
	ck_assert_uint_eq(used, 0);
	ck_assert_int_eq(line_next(&r, (const uint8_t *)"12345678\r\n", 10, &used), LINE_OK);
	ck_assert_uint_eq(used, 10);
	line_free(&r);
}
END_TEST

START_TEST(gives_up_an_endless_line_after_a_bound)
{
	struct line_reader r;
	uint8_t junk[1000];
	size_t used, total = 0;
	enum line_status st;

	memset(junk, 'x', sizeof junk);
	line_init(&r, MAX);
	do {
		st = line_next(&r, junk, sizeof junk, &used);
		ck_assert_uint_eq(used, sizeof junk);
		total += used;
		ck_assert_uint_le(total, LINE_SKIP_MAX + sizeof junk);
	} while (st == LINE_MORE);
	ck_assert_int_eq(st, LINE_ENDLESS);
	/* And it stays given up, line end or not. */
	ck_assert_int_eq(line_next(&r, (const uint8_t *)"\r\n", 2, &used), LINE_ENDLESS);
	line_free(&r);
}
END_TEST

Suite *
line_suite(void)
{
	return unit_suite(
	    "line", (const TTest *const[]){lines_are_the_same_for_every_split,
			reports_nul_and_keeps_its_length, holds_no_memory_without_a_line,
			leaves_a_line_that_is_not_whole_in_the_input,
			gives_up_an_endless_line_after_a_bound, NULL});
}
