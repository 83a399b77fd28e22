#include <stdio.h>
#include <string.h>

#include "smtpd/dnsbl.h"
#include "t/unit/unit.h"

Suite *dnsbl_suite(void);

static struct dnsbl d;
static struct dnsbl_score score;

static void
make(int threshold, const char *const *rules)
{
	struct conf_gate g = {.dnsbl_threshold = (uint64_t)threshold};

	memset(&score, 0, sizeof score);
	g.dnsbl.v = (char **)(uintptr_t)rules;
	for (g.dnsbl.n = 0; rules[g.dnsbl.n] != NULL; g.dnsbl.n++)
		;
	ck_assert_int_eq(dnsbl_init(&d, &g), 0);
}

/* Zone number i answers with 127.a.b.c of each number given, 0 at the end. */
static int
answer(size_t i, const uint32_t *ips)
{
	uint8_t octets[8][4];
	struct dns_addr addrs[8];
	struct dns_list_rep r = {.status = DNS_OK, .text = "see list.example", .addrs = {addrs, 0}};
	size_t n;

	for (n = 0; ips[n] != 0; n++) {
		octets[n][0] = 127;
		octets[n][1] = (uint8_t)(ips[n] >> 16);
		octets[n][2] = (uint8_t)(ips[n] >> 8);
		octets[n][3] = (uint8_t)ips[n];
		addrs[n].ip = (struct bytes){octets[n], 4};
	}
	r.addrs.n = n;
	return dnsbl_add(&d, i, &r, &score);
}

#define RULES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define IPS(...) ((const uint32_t[]){__VA_ARGS__, 0})

START_TEST(one_list_is_enough_by_default)
{
	make(1, RULES("bl.example"));
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 0);
	ck_assert_int_eq(answer(0, IPS(2)), 0);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 1);
	ck_assert_str_eq(score.zone, "bl.example");
	ck_assert_str_eq(score.text, "see list.example");
	dnsbl_free(&d);
}
END_TEST

START_TEST(weights_add_up_to_the_threshold)
{
	make(5, RULES("a.example*2", "b.example*3", "c.example"));
	ck_assert_uint_eq(d.nzones, 3);
	(void)answer(0, IPS(2));
	(void)answer(2, IPS(9));
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 0);
	(void)answer(1, IPS(4));
	ck_assert_int_eq(score.sum, 6);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 1);
	ck_assert_str_eq(score.zone, "b.example");
	dnsbl_free(&d);
}
END_TEST

START_TEST(a_good_list_outweighs_bad_ones)
{
	make(2, RULES("a.example*2", "good.example*-3"));
	(void)answer(0, IPS(2));
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 1);
	(void)answer(1, IPS(2));
	ck_assert_int_eq(score.sum, -1);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 0);
	dnsbl_free(&d);
}
END_TEST

START_TEST(a_zone_is_asked_once_for_all_its_answers)
{
	make(4, RULES("z.example=127.0.0.[2..3]*3", "Z.example=127.0.0.10*1", "y.example",
		    "z.example=127.0.0.4*4"));
	ck_assert_uint_eq(d.nzones, 2);
	(void)answer(0, IPS(2, 3));
	ck_assert_int_eq(score.sum, 3); /* a rule counts once */
	memset(&score, 0, sizeof score);
	(void)answer(0, IPS(3, 10));
	ck_assert_int_eq(score.sum, 4);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 1);
	memset(&score, 0, sizeof score);
	(void)answer(0, IPS(99));
	ck_assert_int_eq(score.sum, 0);
	ck_assert_ptr_null(score.zone);
	dnsbl_free(&d);
}
END_TEST

START_TEST(complaints_of_a_list_are_no_listing)
{
	make(1, RULES("z.example", "named.example=127.255.255.252"));
	ck_assert_int_eq(answer(0, IPS(0xfffffe)), 1);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 0);
	/* What was listed beside it counts. */
	ck_assert_int_eq(answer(0, IPS(0xfffffe, 2)), 1);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 1);
	memset(&score, 0, sizeof score);
	ck_assert_int_eq(answer(1, IPS(0xfffffc)), 0);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 1);
	dnsbl_free(&d);
}
END_TEST

START_TEST(trouble_is_no_listing)
{
	uint8_t six[16] = {0};
	struct dns_addr addr = {.ip = {six, 16}};
	struct dns_list_rep r = {.text = "", .addrs = {&addr, 1}};

	make(1, RULES("z.example"));
	for (r.status = DNS_NOTFOUND; r.status <= DNS_BOGUS; r.status++)
		(void)dnsbl_add(&d, 0, &r, &score);
	r.status = DNS_OK;
	(void)dnsbl_add(&d, 0, &r, &score);
	ck_assert_int_eq(score.sum, 0);
	ck_assert_int_eq(dnsbl_refuses(&d, &score), 0);
	dnsbl_free(&d);
}
END_TEST

START_TEST(rules_that_are_none_and_zones_beyond_the_bound_are_left_out)
{
	static char names[DNSBL_ZONES_MAX + 9][32];
	static const char *rules[DNSBL_ZONES_MAX + 10];
	int i;

	make(1, RULES("-", "z.example*x", "z.example=1.2.3", "ok.example"));
	ck_assert_uint_eq(d.n, 1);
	ck_assert_str_eq(d.zones[0], "ok.example");
	dnsbl_free(&d);
	for (i = 0; i < DNSBL_ZONES_MAX + 9; i++) {
		(void)snprintf(names[i], sizeof names[i], "z%d.example", i);
		rules[i] = names[i];
	}
	make(1, rules);
	ck_assert_uint_eq(d.nzones, DNSBL_ZONES_MAX);
	dnsbl_free(&d);
}
END_TEST

Suite *
dnsbl_suite(void)
{
	const TTest *const tests[] = {one_list_is_enough_by_default,
	    weights_add_up_to_the_threshold, a_good_list_outweighs_bad_ones,
	    a_zone_is_asked_once_for_all_its_answers, complaints_of_a_list_are_no_listing,
	    trouble_is_no_listing, rules_that_are_none_and_zones_beyond_the_bound_are_left_out,
	    NULL};

	return unit_suite("dnsbl", tests);
}
