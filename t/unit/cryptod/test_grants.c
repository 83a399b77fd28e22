#include <stdlib.h>
#include <string.h>

#include "cryptod/grants.h"
#include "cryptod/perm.h"
#include "cryptod/rate.h"
#include "t/unit/unit.h"

static uint8_t job[2][JOB_ID] = {"job-----------1", "job-----------2"};
static uint8_t who[2][WORKER_ID] = {"worker--------1", "worker--------2"};
static uint8_t fpr[2][20] = {"key----------------", "other--------------"};

static struct bytes
b(const void *p, size_t n)
{
	return (struct bytes){p, n};
}

static enum crypto_status
give(struct grants *g, unsigned j, unsigned w, enum key_op op, unsigned max, uint64_t now)
{
	struct grant_key k = {.key = b(fpr[0], 20)};
	struct grant_req r = {
	    .job = b(job[j], JOB_ID),
	    .worker = b(who[w], WORKER_ID),
	    .op = (uint8_t)op,
	    .max = (uint8_t)max,
	    .ttl = 1000,
	    .consumer = "alice",
	};

	r.keys.v = &k;
	r.keys.n = 1;
	return grants_add(g, &r, now);
}

START_TEST(refuses_everything_that_was_not_granted)
{
	static const struct {
		const char *what;
		unsigned worker, job;
		enum key_op op;
		unsigned key, times;
		uint64_t now;
		enum grant_verdict want;
	} t[] = {
	    {"as granted", 0, 0, OP_SIGN, 0, 1, 10, GRANT_OK},
	    {"three times", 0, 0, OP_SIGN, 0, 3, 10, GRANT_OK},
	    {"a fourth time", 0, 0, OP_SIGN, 0, 4, 10, GRANT_USED_UP},
	    {"another worker", 1, 0, OP_SIGN, 0, 1, 10, GRANT_NONE},
	    {"another job", 0, 1, OP_SIGN, 0, 1, 10, GRANT_NONE},
	    {"another operation", 0, 0, OP_UNWRAP, 0, 1, 10, GRANT_WRONG_OP},
	    {"another key", 0, 0, OP_SIGN, 1, 1, 10, GRANT_WRONG_KEY},
	    {"at its deadline", 0, 0, OP_SIGN, 0, 1, 1000, GRANT_EXPIRED},
	    {"before its deadline", 0, 0, OP_SIGN, 0, 1, 999, GRANT_OK},
	};
	const char *consumer;

	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct grants *g = grants_new();
		struct holder *h[2] = {grants_bind(g, who[0]), grants_bind(g, who[1])};
		enum grant_verdict v = GRANT_NONE;

		ck_assert_int_eq(give(g, 0, 0, OP_SIGN, 3, 0), CRYPTO_OK);
		for (unsigned n = 0; n < t[i].times; n++)
			v = grants_use(g, h[t[i].worker], b(job[t[i].job], JOB_ID), t[i].op,
			    b(fpr[t[i].key], 20), t[i].now, &consumer);
		ck_assert_msg(v == t[i].want, "%s: %s", t[i].what, grants_why(v));
		ck_assert((consumer != NULL) == (v != GRANT_NONE));
		grants_free(g);
	}
}
END_TEST

START_TEST(keeps_a_grant_that_comes_before_its_worker)
{
	struct grants *g = grants_new();
	struct holder *h;
	const char *consumer;

	ck_assert_int_eq(give(g, 0, 0, OP_SIGN, 1, 0), CRYPTO_OK);
	h = grants_bind(g, who[0]);
	ck_assert_int_eq(
	    grants_use(g, h, b(job[0], JOB_ID), OP_SIGN, b(fpr[0], 20), 1, &consumer), GRANT_OK);
	ck_assert_str_eq(consumer, "alice");
	grants_free(g);
}
END_TEST

START_TEST(forgets_everything_with_the_worker)
{
	struct grants *g = grants_new();
	struct holder *h = grants_bind(g, who[0]);
	const char *consumer;

	ck_assert_ptr_null(grants_bind(g, who[0]));
	give(g, 0, 0, OP_SIGN, 1, 0);
	grants_unbind(g, h);
	ck_assert_uint_eq(grants_count(g), 0);
	h = grants_bind(g, who[0]);
	ck_assert_int_eq(
	    grants_use(g, h, b(job[0], JOB_ID), OP_SIGN, b(fpr[0], 20), 1, &consumer), GRANT_NONE);
	grants_free(g);
}
END_TEST

START_TEST(bounds_what_it_holds)
{
	struct grants *g = grants_new();
	struct holder *h = grants_bind(g, who[0]);
	const char *consumer;

	for (unsigned i = 0; i <= GRANTS_WORKER_MAX; i++) {
		memcpy(job[1] + 4, &i, sizeof i);
		ck_assert_int_eq(give(g, 1, 0, OP_SIGN, 1, 0), CRYPTO_OK);
		ck_assert_int_eq(give(g, 1, 0, OP_SIGN, 1, 0), CRYPTO_DENIED);
	}
	ck_assert_uint_eq(grants_count(g), GRANTS_WORKER_MAX);
	/* The newest is there. */
	ck_assert_int_eq(
	    grants_use(g, h, b(job[1], JOB_ID), OP_SIGN, b(fpr[0], 20), 1, &consumer), GRANT_OK);
	/* Workers that never came are forgotten with their grants: there is room for others. */
	for (unsigned n = 0; n < 2 * HOLDERS_MAX; n++) {
		unsigned i = n % HOLDERS_MAX;

		if (n == HOLDERS_MAX) {
			ck_assert_uint_eq(grants_expire(g, 1000), HOLDERS_MAX - 1);
			ck_assert_uint_eq(grants_expire(g, 1500), 0);
		}
		memcpy(who[1] + 4, &n, sizeof n);
		memcpy(job[0] + 4, &n, sizeof n);
		ck_assert_int_eq(
		    give(g, 0, 1, OP_SIGN, 1, 500), i < HOLDERS_MAX - 1 ? CRYPTO_OK : CRYPTO_BUSY);
	}
	grants_free(g);
}
END_TEST

START_TEST(permits_what_the_table_says_and_no_more)
{
	unsigned rows = 0;

	for (unsigned p = 0; p < P_MAX; p++)
		for (unsigned use = 0; use < USE_MAX; use++)
			for (unsigned op = 0; op < PERM_OPS; op++) {
				enum perm_need n = perm_need(p, use, op);

				rows += n != PERM_NEVER;
				ck_assert(
				    n == PERM_NEVER || p == P_WORKER || p == P_KEYCTL ||
				    (p == P_POLICYD && op == PERM_GRANT) ||
				    (PM(p) & PM_PROXIES && use == USE_TLS && op == PERM_TLS_SIGN) ||
				    (PM(p) & PM_PROXIES && use == USE_CA && op == PERM_MINT));
				/* An authority's key: told of, minted with, never signed with. */
				ck_assert(n == PERM_NEVER || use != USE_CA || op == PERM_MINT ||
					  p == P_KEYCTL);
				ck_assert(use != USE_CA || n == PERM_NEVER ||
					  (op != PERM_SIGN && op != PERM_UNWRAP &&
					      op != PERM_CERTIFY && op != PERM_TLS_SIGN &&
					      op != PERM_GENERATE && op != PERM_IMPORT));
				if (p == P_WORKER && n != PERM_NEVER)
					ck_assert_int_eq(n, PERM_BY_GRANT);
				ck_assert(n == PERM_NEVER || perm_any(p, op));
			}
	ck_assert_uint_eq(rows, 30);
	ck_assert_int_eq(perm_need(P_WORKER, USE_SIGN, PERM_SIGN), PERM_BY_GRANT);
	ck_assert_int_eq(perm_need(P_WORKER, USE_DECRYPT, PERM_UNWRAP), PERM_BY_GRANT);
	ck_assert_int_eq(perm_need(P_WORKER, USE_CERTIFY, PERM_SIGN), PERM_NEVER);
	ck_assert_int_eq(perm_need(P_WORKER, USE_DECRYPT, PERM_SIGN), PERM_NEVER);
	ck_assert_int_eq(perm_need(P_WORKER, USE_SIGN, PERM_UNWRAP), PERM_NEVER);
	ck_assert_int_eq(perm_need(P_KEYCTL, USE_DECRYPT, PERM_UNWRAP), PERM_NEVER);
	ck_assert_int_eq(perm_need(P_KEYCTL, USE_SIGN, PERM_SIGN), PERM_NEVER);
	ck_assert_int_eq(perm_need(P_KEYCTL, USE_SIGN, PERM_CERTIFY), PERM_NEW);
	ck_assert_int_eq(perm_need(P_KEYCTL, USE_DECRYPT, PERM_DISABLE), PERM_NEVER);
	ck_assert_int_eq(perm_need(P_GWCTL, 0, PERM_LIST), PERM_NEVER);
}
END_TEST

static unsigned told, told_signed, told_limited;

static void
tell(const char *consumer, const unsigned counts[RATE_KINDS], unsigned limited)
{
	ck_assert_str_eq(consumer, "alice");
	told++;
	told_signed += counts[RATE_SIGNED];
	told_limited += limited;
}

START_TEST(limits_each_consumer_by_itself)
{
	struct rate *r = rate_new(RATE_BURST, RATE_PER_SECOND);

	for (unsigned i = 0; i < RATE_BURST; i++)
		ck_assert_int_eq(rate_take(r, "alice", 0), 1);
	ck_assert_int_eq(rate_take(r, "alice", 0), 0);
	ck_assert_int_eq(rate_take(r, "bob", 0), 1);
	for (unsigned i = 0; i < RATE_PER_SECOND; i++)
		ck_assert_int_eq(rate_take(r, "alice", 1000), 1);
	ck_assert_int_eq(rate_take(r, "alice", 1000), 0);
	rate_count(r, "alice", RATE_SIGNED, 1000);
	rate_report(r, RATE_REPORT - 1, 0, tell);
	ck_assert_uint_eq(told, 0);
	rate_report(r, RATE_REPORT, 0, tell);
	rate_report(r, 2 * RATE_REPORT, 0, tell);
	ck_assert_uint_eq(told, 1);
	ck_assert_uint_eq(told_signed, 1);
	ck_assert_uint_eq(told_limited, 2);
	rate_free(r);
}
END_TEST

Suite *grants_suite(void);

Suite *
grants_suite(void)
{
	const TTest *const tests[] = {
	    refuses_everything_that_was_not_granted,
	    keeps_a_grant_that_comes_before_its_worker,
	    forgets_everything_with_the_worker,
	    bounds_what_it_holds,
	    permits_what_the_table_says_and_no_more,
	    limits_each_consumer_by_itself,
	    NULL,
	};

	return unit_suite("cryptod grants", tests);
}
