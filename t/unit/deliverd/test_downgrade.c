#include <errno.h>
#include <stdlib.h>
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

#define HEAD                                                                                       \
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"                         \
	"Content-Transfer-Encoding: 8bit\r\n\r\n"
#define LINE "h\xc3\xa9llo, and some more of it\r\n"
#define ENCODED "h=C3=A9llo, and some more of it\r\n"

/* n octets and more of 8-bit text; the caller frees it. */
static char *
text_of(size_t n)
{
	char *s = malloc(sizeof HEAD + n + sizeof LINE), *to = s;

	ck_assert_ptr_nonnull(s);
	to = stpcpy(to, HEAD);
	while ((size_t)(to - s) < sizeof HEAD - 1 + n)
		to = stpcpy(to, LINE);
	return s;
}

/* Until it is done; steps is what it took. */
static int
encode(const struct octets *o, struct spool *to, unsigned *steps)
{
	struct downgrade *d = downgrade_start(o, to);
	int rc, code;

	ck_assert_ptr_nonnull(d);
	for (*steps = 1; (rc = downgrade_step(d)) == 0; ++*steps)
		ck_assert_uint_lt(*steps, 1000);
	code = errno;
	downgrade_free(d);
	errno = code;
	return rc;
}

START_TEST(encodes_small_and_large_messages)
{
	static const size_t sizes[] = {10, 100000, 3000000};
	char *s = text_of(sizes[_i]);
	struct octets o = octets_mem(s, strlen(s)), got;
	struct spool to;
	struct facts f;
	uint8_t p[4096];
	unsigned steps;
	uint64_t at;
	size_t n, lines;

	spool_init(&to, INT64_MAX, -1);
	ck_assert_int_eq(encode(&o, &to, &steps), 1);
	if (_i == 2)
		ck_assert_uint_gt(steps, 10);
	else
		ck_assert_uint_eq(steps, 1);
	ck_assert_int_eq(spool_octets(&to, &got), 0);
	facts_init(&f);
	for (at = 0; at < got.size; at += n) {
		n = got.size - at < sizeof p ? (size_t)(got.size - at) : sizeof p;
		ck_assert_int_eq(octets_read(&got, p, n, at), 0);
		facts_add(&f, p, n);
	}
	facts_end(&f);
	ck_assert(!f.eight && !f.binary && f.ends);
	/* As many lines as before. */
	lines = (strlen(s) - strlen(HEAD)) / strlen(LINE);
	ck_assert_uint_eq(got.size,
	    strlen(HEAD) - strlen("8bit") + strlen("quoted-printable") + lines * strlen(ENCODED));
	spool_free(&to);
	free(s);
}
END_TEST

START_TEST(may_be_given_up_at_every_step)
{
	char *s = text_of(1300000);
	struct octets o = octets_mem(s, strlen(s));
	struct downgrade *d;
	unsigned n, i;
	struct spool to;
	bool more = true;

	for (n = 0; more; n++) {
		spool_init(&to, INT64_MAX, -1);
		d = downgrade_start(&o, &to);
		for (i = 0; i < n && more; i++)
			more = downgrade_step(d) == 0;
		downgrade_free(d);
		spool_free(&to);
	}
	ck_assert_uint_gt(n, 5);
	downgrade_free(NULL);
	free(s);
}
END_TEST

static ssize_t
fails(void *ctx, void *p, size_t n, uint64_t off)
{
	(void)ctx;
	if (off >= 1000000) {
		errno = EIO;
		return -1;
	}
	memset(p, 0xe9, n);
	return (ssize_t)n;
}

START_TEST(says_what_went_wrong)
{
	static const char sealed[] =
	    "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n";
	struct octets o = {.size = 2000000, .pread = fails};
	struct spool to;
	unsigned steps;
	char *s;

	spool_init(&to, INT64_MAX, -1);
	ck_assert_int_eq(encode(&o, &to, &steps), -1);
	ck_assert_int_eq(errno, EIO);
	spool_free(&to);
	o = octets_mem(sealed, sizeof sealed - 1);
	spool_init(&to, INT64_MAX, -1);
	ck_assert_int_eq(encode(&o, &to, &steps), -1);
	ck_assert_int_eq(errno, EOPNOTSUPP);
	spool_free(&to);
	/* There is no folder for more than 4 MiB. */
	s = text_of(5000000);
	o = octets_mem(s, strlen(s));
	spool_init(&to, INT64_MAX, -1);
	ck_assert_int_eq(encode(&o, &to, &steps), -1);
	ck_assert_int_eq(errno, EFBIG);
	spool_free(&to);
	free(s);
}
END_TEST

Suite *
downgrade_suite(void)
{
	const TTest *const tests[] = {the_first_line_may_begin_with_a_dot_or_a_bare_line_end,
	    only_the_header_counts_as_header, may_be_given_up_at_every_step, says_what_went_wrong,
	    NULL};
	Suite *s = unit_suite("downgrade", tests);
	TCase *c = tcase_create("octets");

	tcase_add_loop_test(
	    c, sees_what_is_in_the_octets_wherever_it_stands, 0, sizeof seen / sizeof seen[0]);
	tcase_add_loop_test(c, encodes_small_and_large_messages, 0, 3);
	suite_add_tcase(s, c);
	return s;
}
