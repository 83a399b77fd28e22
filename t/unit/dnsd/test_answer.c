#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "dnsd/dnsd.h"
#include "t/unit/unit.h"

Suite *answer_suite(void);

/* example.org: an alias and two addresses of it. */
static const uint8_t good[] = {0, 1, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0, /* header */
    7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'o', 'r', 'g', 0, 0, 1, 0, 1, /* question */
    0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, 'a', 0xc0, 12, /* CNAME a.example.org */
    0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1, /* A */
    0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 2}; /* A */

START_TEST(takes_the_addresses)
{
	struct addrs a = {.n = 0};

	ck_assert_int_eq(answer_parse(good, sizeof good, TYPE_A, &a), 0);
	ck_assert_uint_eq(a.n, 2);
	ck_assert_int_eq(a.v[1].ip[3], 2);
	/* Not those of another type, and none twice. */
	ck_assert_int_eq(answer_parse(good, sizeof good, TYPE_AAAA, &a), 0);
	ck_assert_int_eq(answer_parse(good, sizeof good, TYPE_A, &a), 0);
	ck_assert_uint_eq(a.n, 2);
}
END_TEST

START_TEST(refuses_every_truncation)
{
	struct addrs a;
	uint8_t *copy;
	size_t n;

	for (n = 0; n < sizeof good; n++) {
		/* Exactly as long as it is, so that reading beyond is noticed. */
		copy = malloc(n + (n == 0));
		memcpy(copy, good, n);
		a.n = 0;
		ck_assert_int_eq(answer_parse(copy, n, TYPE_A, &a), -1);
		ck_assert_int_eq(errno, EBADMSG);
		free(copy);
	}
}
END_TEST

START_TEST(ends_on_any_octets)
{
	uint8_t copy[sizeof good];
	struct addrs a;
	size_t i;
	unsigned v;

	for (i = 0; i < sizeof good; i++)
		for (v = 0; v < 256; v++) {
			memcpy(copy, good, sizeof good);
			copy[i] = (uint8_t)v;
			a.n = 0;
			(void)answer_parse(copy, sizeof copy, TYPE_A, &a);
			ck_assert_uint_le(a.n, DNS_ADDRS_MAX);
		}
}
END_TEST

START_TEST(refuses_an_address_of_a_wrong_length)
{
	uint8_t copy[sizeof good + 1];
	struct addrs a = {.n = 0};

	memcpy(copy, good, sizeof good);
	copy[sizeof good] = 0;
	copy[sizeof good - 5] = 5;
	ck_assert_int_eq(answer_parse(copy, sizeof copy, TYPE_A, &a), -1);
}
END_TEST

/* An answer with these records, and its length; "." is the name of all. */
static size_t
make(uint8_t *out, const unsigned *types, const uint8_t *const *data, const size_t *n, size_t count)
{
	size_t i, off = 12;

	memset(out, 0, 12);
	put_be16(out + 6, (uint16_t)count);
	for (i = 0; i < count; i++) {
		memset(out + off, 0, 11);
		put_be16(out + off + 1, (uint16_t)types[i]);
		put_be16(out + off + 3, 1);
		put_be16(out + off + 9, (uint16_t)n[i]);
		memcpy(out + off + 11, data[i], n[i]);
		off += 11 + n[i];
	}
	return off;
}

START_TEST(takes_tlsa_records_and_leaves_malformed_ones_out)
{
	static uint8_t packet[20000], longest[DNS_TLSA_DATA_MAX + 4] = {2, 0, 0, 'x'};
	static const uint8_t sound[] = {3, 1, 1, 'k', 'e', 'y'};
	const unsigned types[] = {TYPE_TLSA, 5, TYPE_TLSA, TYPE_TLSA, TYPE_TLSA, TYPE_TLSA};
	const uint8_t *const data[] = {sound, sound, sound, sound, longest, longest};
	const size_t sizes[] = {6, 6, 3, 0, sizeof longest - 1, sizeof longest};
	size_t n = make(packet, types, data, sizes, 6);
	struct tlsas t;

	ck_assert_int_eq(answer_tlsas(packet, n, &t), 0);
	ck_assert_uint_eq(t.n, 2);
	ck_assert_uint_eq(t.left_out, 3);
	ck_assert_uint_eq(t.v[0].usage, 3);
	ck_assert_uint_eq(t.v[0].selector, 1);
	ck_assert_uint_eq(t.v[0].matching, 1);
	ck_assert_uint_eq(t.v[0].data.n, 3);
	ck_assert_int_eq(memcmp(t.v[0].data.p, "key", 3), 0);
	ck_assert_uint_eq(t.v[1].usage, 2);
	ck_assert_uint_eq(t.v[1].data.n, DNS_TLSA_DATA_MAX);
	ck_assert_int_eq(answer_tlsas(packet, n - 1, &t), -1);
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

START_TEST(takes_so_many_tlsa_records_and_no_more)
{
	static uint8_t packet[4000];
	static const uint8_t sound[] = {3, 1, 1, 'k'};
	unsigned types[DNS_TLSAS_MAX + 5];
	const uint8_t *data[DNS_TLSAS_MAX + 5];
	size_t sizes[DNS_TLSAS_MAX + 5], i;
	struct tlsas t;

	for (i = 0; i < DNS_TLSAS_MAX + 5; i++) {
		types[i] = TYPE_TLSA;
		data[i] = sound;
		sizes[i] = sizeof sound;
	}
	ck_assert_int_eq(
	    answer_tlsas(packet, make(packet, types, data, sizes, DNS_TLSAS_MAX + 5), &t), 0);
	ck_assert_uint_eq(t.n, DNS_TLSAS_MAX);
	ck_assert_uint_eq(t.left_out, 5);
}
END_TEST

Suite *
answer_suite(void)
{
	return unit_suite(
	    "answer", (const TTest *const[]){takes_the_addresses, refuses_every_truncation,
			  ends_on_any_octets, refuses_an_address_of_a_wrong_length,
			  takes_tlsa_records_and_leaves_malformed_ones_out,
			  takes_so_many_tlsa_records_and_no_more, NULL});
}
