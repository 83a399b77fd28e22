#include <string.h>

#include "keyd/keyd.h"
#include "t/unit/unit.h"

Suite *cache_suite(void);

static const uint8_t *
key_of(unsigned n)
{
	static uint8_t key[32];

	put_be32(key + 28, n);
	return key;
}

static void
keep(unsigned n, enum ocsp_status status, uint64_t next_update, size_t octets)
{
	static uint8_t der[OCSP_DER_MAX];
	struct answer a = {.status = status, .next_update = next_update, .n = octets};

	a.der = octets > 0 ? der : NULL;
	cache_keep(key_of(n), &a, 1000, 5000);
}

START_TEST(keeps_answers_for_as_long_as_they_are_good)
{
	static const struct {
		enum ocsp_status status;
		uint64_t next_update;
		uint64_t fresh, until; /* seconds */
	} cases[] = {
	    {OCSP_GOOD, 0, 1800, 3600},
	    {OCSP_GOOD, 5000 + 1000000, 1800, 3600},
	    {OCSP_REVOKED, 5000 + 600, 300, 600},
	    {OCSP_GOOD, 5000 + 80, 60, 80},
	    {OCSP_GOOD, 4999, 60, 60},
	    {OCSP_UNKNOWN, 5000 + 1000000, 60, 60},
	    {OCSP_UNREACHABLE, 0, 60, 60},
	};
	unsigned i;

	/* Asked at 1000 ms, which is second 5000. */
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		keep(i, cases[i].status, cases[i].next_update, 10);
		ck_assert_ptr_nonnull(cache_find(key_of(i), 1000 + cases[i].fresh * 1000 - 1));
		ck_assert_ptr_null(cache_find(key_of(i), 1000 + cases[i].fresh * 1000));
		ck_assert_ptr_null(cache_renew(key_of(i), 1000 + cases[i].until * 1000));
	}
	ck_assert_ptr_null(cache_find(key_of(i), 1000));
	ck_assert_ptr_null(cache_renew(key_of(i), 1000));
	cache_clear();
}
END_TEST

START_TEST(what_still_counts_is_used_when_asking_again_fails)
{
	keep(1, OCSP_GOOD, 5000 + 600, 10);
	ck_assert_ptr_null(cache_find(key_of(1), 301000));
	ck_assert_ptr_nonnull(cache_renew(key_of(1), 301000));
	ck_assert_ptr_nonnull(cache_find(key_of(1), 301000));
	ck_assert_ptr_null(cache_find(key_of(1), 361000));
	ck_assert_ptr_nonnull(cache_renew(key_of(1), 590000));
	ck_assert_ptr_nonnull(cache_find(key_of(1), 600999));
	ck_assert_ptr_null(cache_find(key_of(1), 601000));
	ck_assert_ptr_null(cache_renew(key_of(1), 601000));
	cache_clear();
}
END_TEST

START_TEST(the_least_recently_used_goes_first)
{
	unsigned i;

	for (i = 0; i < CACHE_MAX; i++)
		keep(i, OCSP_GOOD, 0, 10);
	ck_assert_ptr_nonnull(cache_find(key_of(0), 2000));
	keep(CACHE_MAX, OCSP_GOOD, 0, 10);
	ck_assert_uint_eq(cache_count(), CACHE_MAX);
	ck_assert_ptr_nonnull(cache_find(key_of(0), 2000));
	ck_assert_ptr_null(cache_find(key_of(1), 2000));
	ck_assert_ptr_nonnull(cache_find(key_of(2), 2000));
	/* The same one again takes no more room. */
	keep(2, OCSP_REVOKED, 0, 10);
	ck_assert_uint_eq(cache_count(), CACHE_MAX);
	ck_assert_int_eq(cache_find(key_of(2), 2000)->status, OCSP_REVOKED);
	cache_clear();
}
END_TEST

START_TEST(octets_are_bounded_too)
{
	unsigned i;

	for (i = 0; i < 3000; i++)
		keep(i, OCSP_GOOD, 0, OCSP_DER_MAX);
	ck_assert_uint_eq(cache_count(), CACHE_OCTETS / OCSP_DER_MAX);
	ck_assert_ptr_nonnull(cache_find(key_of(2999), 2000));
	cache_clear();
	ck_assert_uint_eq(cache_count(), 0);
}
END_TEST

START_TEST(forgets_failures_when_told)
{
	keep(1, OCSP_GOOD, 0, 10);
	keep(2, OCSP_UNREACHABLE, 0, 0);
	keep(3, OCSP_UNKNOWN, 0, 0);
	cache_forget_failures();
	ck_assert_uint_eq(cache_count(), 1);
	ck_assert_ptr_nonnull(cache_find(key_of(1), 2000));
	cache_clear();
}
END_TEST

Suite *
cache_suite(void)
{
	return unit_suite(
	    "cache", (const TTest *const[]){keeps_answers_for_as_long_as_they_are_good,
			 what_still_counts_is_used_when_asking_again_fails,
			 the_least_recently_used_goes_first, octets_are_bounded_too,
			 forgets_failures_when_told, NULL});
}
