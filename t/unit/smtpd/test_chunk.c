#include <string.h>

#include "net/dots.h"
#include "smtpd/chunk.h"
#include "t/unit/unit.h"

START_TEST(arguments_are_octets_and_perhaps_last)
{
	static const struct {
		const char *args;
		int rc, last;
		uint64_t size;
	} t[] = {
	    {"0", 0, 0, 0},
	    {"0 LAST", 0, 1, 0},
	    {"86 last", 0, 1, 86},
	    {"1  LAST", 0, 1, 1},
	    {"1 ", 0, 0, 1},
	    {"18446744073709551615", 0, 0, UINT64_MAX},
	    {"00000000000000000001", 0, 0, 1},
	    {"18446744073709551616", -1, 0, 0},
	    {"000000000000000000001", -1, 0, 0},
	    {"", -1, 0, 0},
	    {"LAST", -1, 0, 0},
	    {"-1", -1, 0, 0},
	    {"+1", -1, 0, 0},
	    {"1x", -1, 0, 0},
	    {"1LAST", -1, 0, 0},
	    {"1 LASTS", -1, 0, 0},
	    {"1 LAST x", -1, 0, 0},
	    {"0x10", -1, 0, 0},
	};
	uint64_t size;
	size_t i;
	int last;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		ck_assert_msg(chunk_parse(t[i].args, &size, &last) == t[i].rc, "%s", t[i].args);
		if (t[i].rc == 0) {
			ck_assert_uint_eq(size, t[i].size);
			ck_assert_int_eq(last, t[i].last);
		}
	}
}
END_TEST

START_TEST(text_is_lines_however_it_is_cut)
{
	static const struct {
		const char *text;
		unsigned flags;
		size_t longest;
		int whole;
	} t[] = {
	    {"", 0, 0, 1},
	    {"a\r\n", 0, 1, 1},
	    {"a", 0, 1, 0},
	    {"abc\r\n\r\n.\r\n", 0, 3, 1},
	    {"\r\n.\r\n", 0, 1, 1},
	    {"a\nb\r\n", DOTS_BARE_LF, 1, 0},
	    {"\n", DOTS_BARE_LF, 0, 1},
	    {"a\rb\r\n", DOTS_BARE_CR, 1, 0},
	    {"a\r\r\n", DOTS_BARE_CR, 1, 0},
	    {"a\r", DOTS_BARE_CR, 1, 0},
	    {"\r\n\r", DOTS_BARE_CR, 0, 0},
	    {"a\r\nlonger\r\nb\r\n", 0, 6, 1},
	};
	struct chunk c;
	size_t i, cut, n;

	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		for (cut = 0, n = strlen(t[i].text); cut <= n; cut++) {
			memset(&c, 0, sizeof c);
			chunk_lines(&c, (const uint8_t *)t[i].text, cut);
			chunk_lines(&c, (const uint8_t *)t[i].text + cut, n - cut);
			chunk_lines_end(&c);
			ck_assert_msg(c.flags == t[i].flags, "%zu: %x", i, c.flags);
			ck_assert_uint_eq(c.longest, t[i].longest);
			if (t[i].flags == 0)
				ck_assert_int_eq(chunk_is_whole(&c), t[i].whole);
		}
}
END_TEST

START_TEST(nothing_is_looked_at_twice)
{
	static uint8_t text[1024 * 1024];
	struct chunk c = {.begun = 1};

	/* A window full of what begins no line would take for ever if it were. */
	memset(text, '\r', sizeof text);
	chunk_lines(&c, text, sizeof text);
	ck_assert_uint_eq(c.flags, DOTS_BARE_CR);
	memset(&c, 0, sizeof c);
	memset(text, 'x', sizeof text);
	chunk_lines(&c, text, sizeof text);
	ck_assert_uint_eq(c.longest, sizeof text);
}
END_TEST

Suite *chunk_suite(void);
Suite *
chunk_suite(void)
{
	const TTest *const tests[] = {arguments_are_octets_and_perhaps_last,
	    text_is_lines_however_it_is_cut, nothing_is_looked_at_twice, NULL};

	return unit_suite("chunk", tests);
}
