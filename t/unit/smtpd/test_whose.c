#include <stdio.h>
#include <string.h>

#include "smtpd/whose.h"
#include "t/unit/smtpd/door.h"
#include "t/unit/unit.h"

static struct whose got;
static int told;

static void
tell(const struct whose *w, void *arg)
{
	ck_assert_ptr_eq(arg, &got);
	got = *w;
	told++;
}

/* Ask, and have policyd say this. */
static void
ask(const char *addr, int sender, enum whose_addr whose, const char *tenant, const char *consumer)
{
	told = 0;
	ck_assert_ptr_nonnull(whose_ask(addr, sender, tell, &got));
	door_whose(addr, whose, tenant, consumer);
	door_turn();
	ck_assert_int_eq(told, 1);
}

START_TEST(what_was_said_is_remembered)
{
	struct whose w;

	ck_assert_int_eq(whose_find("a@ours.test", 0, &w), 0);
	ask("a@ours.test", 0, WHOSE_OURS, "one", "alice");
	ck_assert_int_eq(got.whose, WHOSE_OURS);
	ck_assert_str_eq(got.tenant, "one");
	ck_assert_int_eq(got.known, 1);
	ck_assert_int_eq(whose_find("a@ours.test", 0, &w), 1);
	ck_assert_str_eq(w.tenant, "one");
	/* As a sender he was not asked about, nor is another one he. */
	ck_assert_int_eq(whose_find("a@ours.test", 1, &w), 0);
	ck_assert_int_eq(whose_find("b@ours.test", 0, &w), 0);
	ck_assert_int_eq(whose_find("A@ours.test", 0, &w), 0);
	whose_forget();
	ck_assert_int_eq(whose_find("a@ours.test", 0, &w), 0);
}
END_TEST

START_TEST(a_foreign_domain_is_so_for_all_in_it)
{
	struct whose w;

	ask("a@far.test", 0, WHOSE_FOREIGN, "", "");
	ck_assert_int_eq(whose_find("b@far.test", 0, &w), 1);
	ck_assert_int_eq(w.whose, WHOSE_FOREIGN);
	ck_assert_int_eq(whose_find("b@far.test", 1, &w), 1);
	ck_assert_int_eq(whose_find("a@near.far.test", 0, &w), 0);
	/* A domain is not an address without local part. */
	ck_assert_int_eq(whose_find("@far.test", 0, &w), 1);
	ck_assert_int_eq(whose_find("far.test", 0, &w), 0);
	ask("x@ours.test", 0, WHOSE_UNKNOWN, "one", "");
	ck_assert_int_eq(whose_find("y@ours.test", 0, &w), 0);
}
END_TEST

START_TEST(what_could_not_be_said_is_asked_again)
{
	struct whose w;

	told = 0;
	ck_assert_ptr_nonnull(whose_ask("a@ours.test", 0, tell, &got));
	door_whose_later("a@ours.test");
	door_turn();
	ck_assert_int_eq(told, 1);
	ck_assert_int_eq(got.defer, 1);
	ck_assert_int_eq(whose_find("a@ours.test", 0, &w), 0);
}
END_TEST

START_TEST(memory_has_a_bound_and_strangers_only_make_us_ask)
{
	char addr[64];
	struct whose w;
	int i, kept = 0;

	for (i = 0; i < 5000; i++) {
		(void)snprintf(addr, sizeof addr, "stranger%d", i);
		screen_keep("in", "me@ours.test", addr);
		kept += screen_find("in", "me@ours.test", addr);
	}
	ck_assert_int_eq(kept, 5000);
	for (i = kept = 0; i < 5000; i++) {
		(void)snprintf(addr, sizeof addr, "stranger%d", i);
		kept += screen_find("in", "me@ours.test", addr);
	}
	ck_assert_int_le(kept, 2048);
	ck_assert_int_eq(whose_find("stranger4999", 0, &w), 0);
}
END_TEST

START_TEST(screened_is_who_sends_to_whom_from_where)
{
	screen_keep("in", "a@ours.test", "b@far.test");
	ck_assert_int_eq(screen_find("in", "a@ours.test", "b@far.test"), 1);
	ck_assert_int_eq(screen_find("out", "a@ours.test", "b@far.test"), 0);
	ck_assert_int_eq(screen_find("in", "b@far.test", "a@ours.test"), 0);
	ck_assert_int_eq(screen_find("in", "a@ours.test", ""), 0);
}
END_TEST

Suite *whose_suite(void);
Suite *
whose_suite(void)
{
	const TTest *const tests[] = {what_was_said_is_remembered,
	    a_foreign_domain_is_so_for_all_in_it, what_could_not_be_said_is_asked_again,
	    memory_has_a_bound_and_strangers_only_make_us_ask,
	    screened_is_who_sends_to_whom_from_where, NULL};

	return unit_suite_around("whose", door_begin, door_end, tests);
}
