#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/vec.h"
#include "net/dots.h"
#include "t/unit/unit.h"

Suite *dots_suite(void);

struct decoded {
	struct buf out;
	struct dots_decoder d;
	size_t used; /* of the whole input */
	int ret;
};

/* For checks in the hundred thousands: one that holds costs no system call, as ck_assert does. */
#define HOLDS(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			ck_abort_msg("not so: %s", #x);                                            \
	} while (0)

/* Decode in chunks of step octets after a first of "first". */
static struct decoded
decode(const char *in, size_t n, size_t first, size_t step, bool strict)
{
	struct decoded r = {.ret = 0};
	struct sink s;
	size_t len, used;
	char *copy;

	buf_init(&r.out, 1 << 20);
	s = sink_buf(&r.out);
	dots_decode_init(&r.d, strict);
	while (r.used < n && r.ret == 0) {
		len = r.used < first ? first - r.used : step;
		if (len > n - r.used)
			len = n - r.used;
		/* A block of its own, so that ASan sees one octet too many. */
		copy = malloc(len);
		memcpy(copy, in + r.used, len);
		r.ret = dots_decode(&r.d, (uint8_t *)copy, len, &used, &s);
		HOLDS(used <= len);
		HOLDS(r.ret != 0 || used == len);
		free(copy);
		r.used += used;
	}
	return r;
}

static const struct {
	const char *in, *out, *strict_out; /* strict_out NULL: the same */
	int ret;
	unsigned flags;
	uint64_t bad;
	size_t rest; /* octets behind the end */
} cases[] = {
    {".\r\n", "", NULL, 1, 0, 0, 0},
    {"a\r\n.\r\n", "a\r\n", NULL, 1, 0, 0, 0},
    {"a\r\n.\r\nQUIT\r\n", "a\r\n", NULL, 1, 0, 0, 6},
    {"..\r\n.\r\n", ".\r\n", NULL, 1, 0, 0, 0},
    {"...a\r\n..b\r\n.c\r\n.\r\n", "..a\r\n.b\r\nc\r\n", NULL, 1, 0, 0, 0},
    {"a.b\r\n.\r\n", "a.b\r\n", NULL, 1, 0, 0, 0},
    {"\r\n\r\n.\r\n", "\r\n\r\n", NULL, 1, 0, 0, 0},
    {"a\r\n.", "a\r\n", NULL, 0, 0, 0, 0},
    /* Every spelling of a false end (SMTP smuggling). */
    {"a\n.\n", "a\n.\n", "a", 0, DOTS_BARE_LF, 1, 0},
    {"a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", "a", 1, DOTS_BARE_LF, 1, 0},
    {"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", "a\r\n", 1, DOTS_BARE_LF, 3, 0},
    {"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", "a\r\n", 1, DOTS_BARE_CR, 3, 0},
    {"a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", "a", 1, DOTS_BARE_CR, 1, 0},
    {"a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", "a\r\n", 1, DOTS_BARE_CR, 3, 0},
    {"a\r\r\n.\r\n", "a\r\r\n", "a", 1, DOTS_BARE_CR, 1, 0},
    {"a\nb\rc\r\n.\r\n", "a\nb\rc\r\n", "a", 1, DOTS_BARE_LF | DOTS_BARE_CR, 1, 0},
    {"a\rb\nc\r\n.\r\n", "a\rb\nc\r\n", "a", 1, DOTS_BARE_LF | DOTS_BARE_CR, 1, 0},
    {"\n.\r\n.\r\n", "\n.\r\n", "", 1, DOTS_BARE_LF, 0, 0},
};

START_TEST(finds_only_crlf_dot_crlf_for_every_split)
{
	struct decoded r;
	const char *want;
	size_t i, first, step, n;
	int strict;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (strict = 0; strict < 2; strict++)
			for (first = 0, n = strlen(cases[i].in); first <= n; first++)
				for (step = 1; step <= n; step += n / 2 + 1) {
					r = decode(cases[i].in, n, first, step, strict);
					want = strict && cases[i].strict_out != NULL
						   ? cases[i].strict_out
						   : cases[i].out;
					ck_assert_int_eq(r.ret, cases[i].ret);
					ck_assert_int_eq(dots_ended(&r.d), r.ret == 1);
					ck_assert_uint_eq(r.used, n - cases[i].rest);
					ck_assert_uint_eq(r.d.flags, strict ? cases[i].flags : 0);
					ck_assert_uint_eq(r.d.first_bad, strict ? cases[i].bad : 0);
					if (r.ret == 1) {
						ck_assert_uint_eq(buf_len(&r.out), strlen(want));
						ck_assert_uint_eq(r.d.octets, strlen(cases[i].out));
					}
					if (buf_len(&r.out) > 0)
						ck_assert_mem_eq(
						    buf_ptr(&r.out), want, buf_len(&r.out));
					buf_free(&r.out);
				}
}
END_TEST

START_TEST(tells_stuffing_of_another_kind_for_every_split)
{
	static const struct {
		const char *in;
		bool odd;
	} kinds[] = {
	    {".\r\n", false},
	    {"..\r\n...a\r\nb.\r\n.\r\n", false},
	    {"a\nb\rc\r.d\r\n.\r\n", false},
	    {"a\n..\r\n.\r\n", true},
	    {"a\n.b\r\n.\r\n", true},
	    {"\n.\r\n.\r\n", true},
	    {".a\r\n.\r\n", true},
	    {"a\r\n.\nb\r\n.\r\n", true},
	    {"a\r\n.\r\r\n.\r\n", true},
	};
	struct decoded r;
	size_t i, first, n;

	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		for (first = 0, n = strlen(kinds[i].in); first <= n; first++) {
			r = decode(kinds[i].in, n, first, n, false);
			ck_assert_int_eq(r.ret, 1);
			ck_assert_msg(r.d.odd == kinds[i].odd, "%zu", i);
			buf_free(&r.out);
		}
}
END_TEST

START_TEST(measures_the_longest_line)
{
	static const char in[] = "1234\r\n123456\r\n..12\r\n.\r\n";
	struct decoded r;
	size_t first;

	for (first = 0; first < sizeof in; first++) {
		r = decode(in, sizeof in - 1, first, 3, true);
		ck_assert_int_eq(r.ret, 1);
		ck_assert_uint_eq(r.d.longest, 6);
		ck_assert_uint_eq(r.d.octets, 6 + 8 + 5);
		buf_free(&r.out);
	}
}
END_TEST

START_TEST(goes_on_to_the_end_when_the_sink_is_full)
{
	static const char in[] = "12345678\r\nmore\r\n.\r\nNOOP\r\n";
	struct dots_decoder d;
	struct buf b;
	struct sink s;
	size_t used;

	buf_init(&b, 4);
	s = sink_buf(&b);
	dots_decode_init(&d, true);
	ck_assert_int_eq(dots_decode(&d, (const uint8_t *)in, 12, &used, &s), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(used, 12);
	ck_assert(!dots_ended(&d));
	ck_assert_int_eq(dots_decode(&d, (const uint8_t *)in + 12, 13, &used, NULL), 1);
	ck_assert_uint_eq(used, 7);
	buf_free(&b);

	buf_init(&b, 4);
	dots_decode_init(&d, true);
	ck_assert_int_eq(dots_decode(&d, (const uint8_t *)in, sizeof in - 1, &used, &s), -1);
	ck_assert(dots_ended(&d));
	ck_assert_uint_eq(used, sizeof in - 1 - 6);
	buf_free(&b);
}
END_TEST

/* Encode in two parts. */
static struct buf
encode(const char *in, size_t n, size_t split)
{
	struct buf b;
	struct sink s;
	struct dots_encoder e;

	buf_init(&b, 1 << 20);
	s = sink_buf(&b);
	dots_encode_init(&e, &s);
	ck_assert_int_eq(dots_encode(&e, in, split), 0);
	ck_assert_int_eq(dots_encode(&e, in + split, n - split), 0);
	ck_assert_int_eq(dots_encode_end(&e), 0);
	ck_assert_uint_eq(e.octets, buf_len(&b));
	return b;
}

START_TEST(stuffs_every_dot_at_a_line_start_for_every_split)
{
	static const struct {
		const char *in, *out;
	} enc[] = {
	    {"", ".\r\n"},
	    {"a", "a\r\n.\r\n"},
	    {"a\r\n", "a\r\n.\r\n"},
	    {".", "..\r\n.\r\n"},
	    {".\r\n", "..\r\n.\r\n"},
	    {"..\r\n.a\r\n", "...\r\n..a\r\n.\r\n"},
	    {"a\r", "a\r\r\n.\r\n"},
	    {"a\n.b\r\n", "a\n.b\r\n.\r\n"},
	    {"a\r\r\n.\r\n.", "a\r\r\n..\r\n..\r\n.\r\n"},
	};
	struct decoded r;
	struct buf b;
	size_t i, split, n;

	for (i = 0; i < sizeof enc / sizeof enc[0]; i++)
		for (split = 0, n = strlen(enc[i].in); split <= n; split++) {
			b = encode(enc[i].in, n, split);
			ck_assert_uint_eq(buf_len(&b), strlen(enc[i].out));
			ck_assert_mem_eq(buf_ptr(&b), enc[i].out, buf_len(&b));
			r = decode((const char *)buf_ptr(&b), buf_len(&b), split, 1, false);
			ck_assert_int_eq(r.ret, 1);
			ck_assert_uint_ge(buf_len(&r.out), n);
			if (n > 0)
				ck_assert_mem_eq(buf_ptr(&r.out), enc[i].in, n);
			buf_free(&r.out);
			buf_free(&b);
		}
}
END_TEST

START_TEST(stuffs_behind_bare_lf_too_when_asked)
{
	static const struct {
		const char *in, *out;
	} enc[] = {
	    {"", ".\r\n"},
	    {"a\r\n", "a\r\n.\r\n"},
	    {"a\n.\nb\r\n", "a\n..\nb\r\n.\r\n"},
	    {"a\n.\r\nb\r\n", "a\n..\r\nb\r\n.\r\n"},
	    {"\n\n..\n.", "\n\n...\n..\r\n.\r\n"},
	    {"a\r\n.\n.\r\n", "a\r\n..\n..\r\n.\r\n"},
	    {"a\n", "a\n\r\n.\r\n"}, /* the mark still needs its CRLF */
	    {"a\r\r\n.\r.\n", "a\r\r\n..\r.\n\r\n.\r\n"},
	};
	struct dots_encoder e;
	struct sink s;
	struct buf b;
	size_t i, split, n;

	for (i = 0; i < sizeof enc / sizeof enc[0]; i++)
		for (split = 0, n = strlen(enc[i].in); split <= n; split++) {
			buf_init(&b, 1 << 10);
			s = sink_buf(&b);
			dots_encode_init(&e, &s);
			dots_encode_any_lf(&e);
			ck_assert_int_eq(dots_encode(&e, enc[i].in, split), 0);
			ck_assert_int_eq(dots_encode(&e, enc[i].in + split, n - split), 0);
			ck_assert_int_eq(dots_encode_end(&e), 0);
			ck_assert_uint_eq(buf_len(&b), strlen(enc[i].out));
			ck_assert_mem_eq(buf_ptr(&b), enc[i].out, buf_len(&b));
			buf_free(&b);
		}
}
END_TEST

/*
 * Octets that come one by one are looked at one by one, all others many at a time where they can
 * be, in one of two ways: these compare the three.
 */
static void
use_portable(bool on)
{
#ifdef VEC_AVX2
	vec_portable = on;
#else
	(void)on;
#endif
}

struct soup {
	uint32_t seed;
	size_t n;
	char p[1024];
};

static unsigned
draw(struct soup *o, unsigned below)
{
	o->seed = o->seed * 1664525 + 1013904223;
	return (o->seed >> 16) % below;
}

static void
cook(struct soup *o)
{
	static const char *const pieces[] = {"\r\n", "\r\n.", "\r\n..", "\r\n", "\n", "\n.", "\r",
	    "\r.", ".", "\r\n.\r", "\r\n.\n", "\n.\n"};
	static const char filler[] = "it was a quiet day on the river, and the boats lay still";
	unsigned parts = draw(o, 12), even = draw(o, 2), n;
	const char *piece;

	for (o->n = 0; parts > 0; parts--) {
		n = draw(o, sizeof filler);
		memcpy(o->p + o->n, filler, n);
		o->n += n;
		/* half of them without bare CR and LF, so that strict goes on to the end */
		piece = pieces[draw(o, even ? 4 : sizeof pieces / sizeof pieces[0])];
		memcpy(o->p + o->n, piece, strlen(piece));
		o->n += strlen(piece);
		HOLDS(o->n + sizeof filler + 4 <= sizeof o->p);
	}
}

START_TEST(many_octets_decode_like_single_ones)
{
	struct soup o = {.seed = 3};
	struct decoded one, many;
	int round, strict;

	for (round = 0; round < 4000; round++) {
		cook(&o);
		strict = round & 1;
		use_portable(round & 2);
		one = decode(o.p, o.n, 0, 1, strict);
		many = decode(o.p, o.n, draw(&o, 100), 20 + draw(&o, 600), strict);
		ck_assert_int_eq(many.ret, one.ret);
		ck_assert_uint_eq(many.used, one.used);
		ck_assert_uint_eq(many.d.octets, one.d.octets);
		ck_assert_uint_eq(many.d.flags, one.d.flags);
		ck_assert_uint_eq(many.d.first_bad, one.d.first_bad);
		ck_assert_uint_eq(many.d.longest, one.d.longest);
		ck_assert_uint_eq(buf_len(&many.out), buf_len(&one.out));
		if (buf_len(&one.out) > 0)
			ck_assert_mem_eq(buf_ptr(&many.out), buf_ptr(&one.out), buf_len(&one.out));
		buf_free(&many.out);
		buf_free(&one.out);
	}
}
END_TEST

/* Encode in chunks of step octets. */
static struct buf
encode_chunks(const char *in, size_t n, size_t step, bool any_lf)
{
	struct dots_encoder e;
	struct sink s;
	struct buf b;
	size_t off, len;
	char *copy;

	buf_init(&b, 1 << 12);
	s = sink_buf(&b);
	dots_encode_init(&e, &s);
	if (any_lf)
		dots_encode_any_lf(&e);
	for (off = 0; off < n; off += len) {
		len = n - off < step ? n - off : step;
		copy = malloc(len);
		memcpy(copy, in + off, len);
		HOLDS(dots_encode(&e, copy, len) == 0);
		free(copy);
	}
	ck_assert_int_eq(dots_encode_end(&e), 0);
	ck_assert_uint_eq(e.octets, buf_len(&b));
	return b;
}

START_TEST(many_octets_are_stuffed_like_single_ones)
{
	struct soup o = {.seed = 4};
	struct buf one, many;
	int round;

	for (round = 0; round < 4000; round++) {
		cook(&o);
		use_portable(round & 2);
		one = encode_chunks(o.p, o.n, 1, round & 1);
		many = encode_chunks(o.p, o.n, 17 + draw(&o, 600), round & 1);
		ck_assert_uint_eq(buf_len(&many), buf_len(&one));
		ck_assert_mem_eq(buf_ptr(&many), buf_ptr(&one), buf_len(&one));
		buf_free(&many);
		buf_free(&one);
	}
}
END_TEST

Suite *
dots_suite(void)
{
	return unit_suite(
	    "dots", (const TTest *const[]){finds_only_crlf_dot_crlf_for_every_split,
			tells_stuffing_of_another_kind_for_every_split, measures_the_longest_line,
			goes_on_to_the_end_when_the_sink_is_full,
			stuffs_every_dot_at_a_line_start_for_every_split,
			stuffs_behind_bare_lf_too_when_asked, many_octets_decode_like_single_ones,
			many_octets_are_stuffed_like_single_ones, NULL});
}
