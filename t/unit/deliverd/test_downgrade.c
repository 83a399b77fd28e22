#include <string.h>

#include "deliverd/downgrade.h"
#include "t/unit/unit.h"

Suite *downgrade_suite(void);

/* What is seen in octets, at whatever place of a vector they stand, and however they are cut. */
static const struct {
	const char *s;
	size_t n;
	bool eight, binary, dots, ends;
} seen[] = {
#define SEEN(s, eight, binary, dots, ends)                                                         \
	{                                                                                          \
		s, sizeof(s) - 1, eight, binary, dots, ends                                        \
	}
    SEEN("", 0, 0, 0, 1),
    SEEN("a", 0, 0, 0, 0),
    SEEN("a\r\n", 0, 0, 0, 1),
    SEEN("\r\n", 0, 0, 0, 1),
    SEEN("\r\n\r\n", 0, 0, 0, 1),
    SEEN("a\xc3\xa9\r\n", 1, 0, 0, 1),
    SEEN("a\0\r\n", 0, 1, 0, 1),
    SEEN("a\nb\r\n", 0, 1, 0, 1),
    SEEN("a\rb\r\n", 0, 1, 0, 1),
    SEEN("a\r\r\n", 0, 1, 0, 1),
    SEEN("a\n\r\n", 0, 1, 0, 1),
    SEEN("a\r\n\n", 0, 1, 0, 1),
    SEEN("a\r\n\r", 0, 1, 0, 0),
    SEEN("a\r\n.b\r\n", 0, 0, 1, 1),
    SEEN("a.b\r\n", 0, 0, 0, 1),
    SEEN("a\r\nb.\r\n", 0, 0, 0, 1),
};

START_TEST(sees_what_is_in_the_octets_wherever_it_stands)
{
	uint8_t p[256];
	struct facts f;
	size_t before, cut, n;

	for (before = 0; before <= 70; before++) {
		memset(p, 'x', before);
		memcpy(p + before, seen[_i].s, seen[_i].n);
		n = before + seen[_i].n;
		for (cut = 0; cut <= n; cut++) {
			facts_init(&f);
			facts_add(&f, p, cut);
			facts_add(&f, p + cut, n - cut);
			facts_end(&f);
			ck_assert_uint_eq(f.size, n);
			ck_assert_int_eq(f.eight, seen[_i].eight);
			ck_assert_int_eq(f.binary, seen[_i].binary);
			ck_assert_int_eq(f.dots, seen[_i].dots);
			ck_assert_int_eq(f.ends, n > 0 ? seen[_i].n > 0 && seen[_i].ends : 1);
		}
	}
}
END_TEST

START_TEST(the_first_line_may_begin_with_a_dot_or_a_bare_line_end)
{
	struct facts f;

	facts_init(&f);
	facts_add(&f, (const uint8_t *)".", 1);
	facts_end(&f);
	ck_assert(f.dots && !f.binary);
	facts_init(&f);
	facts_add(&f, (const uint8_t *)"\nx\r\n", 4);
	facts_end(&f);
	ck_assert(f.binary);
}
END_TEST

START_TEST(only_the_header_counts_as_header)
{
	static const struct {
		const char *s;
		int is;
	} heads[] = {{"Subject: x\r\n\r\n\xc3\xa9\r\n", 0}, {"Subject: \xc3\xa9\r\n\r\n", 1},
	    {"A: b\r\nSubject: x\r\n \xc3\xa9\r\n\r\nx", 1}, {"junk \xc3\xa9\r\n\r\n", 1}, {"", 0}};
	struct octets o;
	size_t i;

	for (i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		o = octets_mem(heads[i].s, strlen(heads[i].s));
		ck_assert_int_eq(head_is_utf8(&o), heads[i].is);
	}
}
END_TEST

Suite *
downgrade_suite(void)
{
	const TTest *const tests[] = {the_first_line_may_begin_with_a_dot_or_a_bare_line_end,
	    only_the_header_counts_as_header, NULL};
	Suite *s = unit_suite("downgrade", tests);
	TCase *c = tcase_create("octets");

	tcase_add_loop_test(
	    c, sees_what_is_in_the_octets_wherever_it_stands, 0, sizeof seen / sizeof seen[0]);
	suite_add_tcase(s, c);
	return s;
}
