#include <errno.h>
#include <string.h>

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

Suite *
answer_suite(void)
{
	return unit_suite(
	    "answer", (const TTest *const[]){takes_the_addresses, refuses_every_truncation,
			  ends_on_any_octets, refuses_an_address_of_a_wrong_length, NULL});
}
