#include <errno.h>
#include <string.h>

#include "base/rec.h"
#include "t/unit/unit.h"

Suite *rec_suite(void);

#define REC_ITEM(F, L)                                                                             \
	F(STR, addr, 3, 320)                                                                       \
	F(U8, flags, 0, 15)
#define REC_SAMPLE(F, L)                                                                           \
	F(U64, id, 1, UINT64_MAX)                                                                  \
	F(U16, port, 0, 65535)                                                                     \
	F(BYTES, blob, 0, 64)                                                                      \
	L(item, items, 0, 3)                                                                       \
	F(U32, tail, 0, UINT32_MAX)
REC_DECLARE(item, REC_ITEM)
REC_DECLARE(sample, REC_SAMPLE)
REC_DEFINE(item, REC_ITEM)
REC_DEFINE(sample, REC_SAMPLE)

static struct item items[] = {{"a@b", 1}, {"someone@example.org", 15}, {"x@y", 0}, {"z@z", 0}};
static const struct sample good = {7, 25, {(const uint8_t *)"\0\1\2", 3}, {items, 2}, 0xdeadbeef};

START_TEST(round_trip_gives_the_same_fields)
{
	struct buf b;
	struct sample *s;

	buf_init(&b, 4096);
	ck_assert_int_eq(rec_encode(&rec_sample, &good, &b), 0);
	s = rec_decode(&rec_sample, buf_ptr(&b), buf_len(&b));
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->id, 7);
	ck_assert_uint_eq(s->blob.n, 3);
	ck_assert_uint_eq(s->items.n, 2);
	ck_assert_str_eq(s->items.v[1].addr, "someone@example.org");
	ck_assert_uint_eq(s->items.v[1].flags, 15);
	ck_assert_uint_eq(s->tail, 0xdeadbeef);
	free(s);
	buf_free(&b);
}
END_TEST

START_TEST(every_shorter_or_longer_input_is_refused)
{
	struct buf b;
	size_t n;
	void *s;

	buf_init(&b, 4096);
	ck_assert_int_eq(rec_encode(&rec_sample, &good, &b), 0);
	for (n = 0; n < buf_len(&b); n++) {
		ck_assert_ptr_null(rec_decode(&rec_sample, buf_ptr(&b), n));
		ck_assert_int_eq(errno, EBADMSG);
	}
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	s = rec_decode(&rec_sample, buf_ptr(&b), buf_len(&b));
	ck_assert_ptr_null(s);
	buf_free(&b);
}
END_TEST

START_TEST(bounds_hold_both_ways)
{
	struct sample s = good;
	struct buf b;

	buf_init(&b, 4096);
	s.id = 0;
	ck_assert_str_eq(rec_bad_field(&rec_sample, &s), "id");
	ck_assert_int_eq(rec_encode(&rec_sample, &s, &b), -1);
	s = good;
	s.items.n = 4;
	ck_assert_str_eq(rec_bad_field(&rec_sample, &s), "items");
	s = good;
	ck_assert_int_eq(rec_encode(&rec_sample, &s, &b), 0);
	/* id is the first field: make it 0 on the wire */
	memset(b.data + b.off, 0, 8);
	ck_assert_ptr_null(rec_decode(&rec_sample, buf_ptr(&b), buf_len(&b)));
	buf_free(&b);
}
END_TEST

START_TEST(a_count_larger_than_the_rest_is_refused_before_allocation)
{
	uint8_t wire[] = {0, 0, 0, 0, 0, 0, 0, 7, 0, 25, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};

	ck_assert_ptr_null(rec_decode(&rec_sample, wire, sizeof wire));
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

START_TEST(a_nul_inside_a_string_is_refused)
{
	struct buf b;
	uint8_t *p;

	buf_init(&b, 4096);
	ck_assert_int_eq(rec_encode(&rec_sample, &good, &b), 0);
	p = memmem(b.data + b.off, buf_len(&b), "a@b", 3);
	ck_assert_ptr_nonnull(p);
	p[1] = 0;
	ck_assert_ptr_null(rec_decode(&rec_sample, buf_ptr(&b), buf_len(&b)));
	buf_free(&b);
}
END_TEST

Suite *
rec_suite(void)
{
	return unit_suite(
	    "rec", (const TTest *const[]){round_trip_gives_the_same_fields,
		       every_shorter_or_longer_input_is_refused, bounds_hold_both_ways,
		       a_count_larger_than_the_rest_is_refused_before_allocation,
		       a_nul_inside_a_string_is_refused, NULL});
}
