#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "anvild/db.h"
#include "anvild/grey.h"
#include "t/unit/unit.h"

Suite *grey_suite(void);

#define DAY 86400

static char dir[] = "/tmp/anvild.XXXXXX";
static struct conf_gate gate;
static uint64_t now;
static uint32_t wait_for;
static const uint8_t addr[4] = {192, 0, 2, 1}, neighbour[4] = {192, 0, 2, 77},
		     other[4] = {198, 51, 100, 1};
static const struct bytes ip = {addr, 4};

static void
set_up(void)
{
	struct err e = {0};

	(void)strcpy(dir + sizeof dir - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_msg(db_open(dir, "anvil", &e) == 0, "%s", e.text);
	memset(&gate, 0, sizeof gate);
	gate.name = (char *)(uintptr_t) "default";
	gate.greylist = 1;
	gate.greylist_delay = 300;
	gate.greylist_days = 35;
	gate.pass_days = 7;
	now = 1800000000;
}

static void
tear_down(void)
{
	char path[64];

	db_close();
	(void)snprintf(path, sizeof path, "%s/data.mdb", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof path, "%s/data.seq", dir);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static int
ask(const char *sender, const char *rcpt)
{
	return grey_ask(&gate, ip, sender, rcpt, now, &wait_for);
}

START_TEST(a_triple_passes_once_the_delay_is_over)
{
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	ck_assert_uint_eq(wait_for, 300);
	now += 100;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	ck_assert_uint_eq(wait_for, 200);
	now += 199;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	ck_assert_uint_eq(wait_for, 1);
	now++;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
	now++;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
}
END_TEST

START_TEST(another_sender_recipient_or_network_waits_for_itself)
{
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	now += 300;
	ck_assert_int_eq(ask("a2@z.example", "b@y.example"), 0);
	ck_assert_int_eq(ask("a@x.example", "c@y.example"), 0);
	ck_assert_int_eq(
	    grey_ask(&gate, (struct bytes){other, 4}, "a@x.example", "b@y.example", now, &wait_for),
	    0);
	ck_assert_int_eq(grey_ask(&gate, (struct bytes){neighbour, 4}, "a@x.example", "b@y.example",
			     now, &wait_for),
	    1);
	/* What ends one address is not the beginning of the next. */
	ck_assert_int_eq(ask("a@x.exampleb@y", ".example"), 0);
	ck_assert_int_eq(ask("", "b@y.example"), 0);
	now += 300;
	ck_assert_int_eq(ask("", "b@y.example"), 1);
}
END_TEST

START_TEST(numbers_extensions_and_case_of_a_sender_do_not_count)
{
	ck_assert_int_eq(ask("list-bounces-1234+bob=y@X.example", "Bob@y.example"), 0);
	now += 300;
	ck_assert_int_eq(ask("List-Bounces-99+alice=y@x.example", "bob@Y.example"), 1);
	ck_assert_int_eq(ask("list-bounces-@x.example", "bob@y.example"), 0);
	ck_assert_int_eq(ask("list-bounces-7@x2.example", "bob@y.example"), 0);
	/* Digits of the domain do. */
	ck_assert_int_eq(ask("n1@h1.example", "b@y.example"), 0);
	now += 300;
	ck_assert_int_eq(ask("n2@h2.example", "b@y.example"), 0);
	ck_assert_int_eq(ask("n2@h1.example", "b@y.example"), 1);
	/* Nothing but an extension is no reason to be the same as others. */
	ck_assert_int_eq(ask("+x@h.example", "b@y.example"), 0);
	ck_assert_int_eq(ask("+y@h.example", "b@y.example"), 0);
	now += 300;
	ck_assert_int_eq(ask("+z@h.example", "b@y.example"), 0);
}
END_TEST

START_TEST(who_does_not_come_again_in_time_is_new)
{
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	now += 300 + GREY_RETRY;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	ck_assert_uint_eq(wait_for, 300);
	now += 300 + GREY_RETRY - 1;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
}
END_TEST

START_TEST(a_known_triple_is_known_for_days_since_it_was_last_used)
{
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	now += 300;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
	now += 34 * DAY;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
	now += 34 * DAY;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
	now += 35 * DAY;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
}
END_TEST

START_TEST(a_network_whose_triples_came_again_is_known_as_a_whole)
{
	char sender[32];
	int i;

	for (i = 0; i < GREY_NETWORK; i++) {
		(void)snprintf(sender, sizeof sender, "%c@x.example", 'a' + i);
		ck_assert_int_eq(ask(sender, "b@y.example"), 0);
	}
	now += 300;
	for (i = 0; i < GREY_NETWORK; i++) {
		ck_assert_int_eq(ask("new@x.example", "b@y.example"), 0);
		(void)snprintf(sender, sizeof sender, "%c@x.example", 'a' + i);
		ck_assert_int_eq(ask(sender, "b@y.example"), 1);
		ck_assert_int_eq(ask(sender, "b@y.example"), 1); /* counts once */
	}
	ck_assert_int_eq(ask("new@x.example", "b@y.example"), 1);
	ck_assert_int_eq(grey_ask(&gate, (struct bytes){neighbour, 4}, "newer@x.example",
			     "b@y.example", now, &wait_for),
	    1);
	ck_assert_int_eq(grey_ask(&gate, (struct bytes){other, 4}, "newer@x.example", "b@y.example",
			     now, &wait_for),
	    0);
	now += 35 * DAY;
	ck_assert_int_eq(ask("newest@x.example", "b@y.example"), 0);
}
END_TEST

START_TEST(a_clock_that_is_set_back_makes_nobody_wait_for_long)
{
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	now -= 100 * DAY;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	ck_assert_uint_eq(wait_for, 300);
	now += 300;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
}
END_TEST

START_TEST(all_of_it_is_there_after_a_restart)
{
	char text[KNOWN_TEXT_MAX];
	struct err e = {0};

	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
	passed_put(&gate, ip, now);
	known_put("B@y.example", KNOWN_BAD, "550 5.1.1 no such user", now);
	known_put("c@y.example", KNOWN_GOOD, "", now);
	ck_assert_int_eq(db_dirty(), 1);
	db_commit();
	ck_assert_int_eq(db_dirty(), 0);
	db_close();
	ck_assert_int_eq(db_open(dir, "anvil", &e), 0);
	now += 300;
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
	ck_assert_int_eq(passed_is(ip, now), 1);
	ck_assert_int_eq(passed_is((struct bytes){other, 4}, now), 0);
	ck_assert_int_eq(known_get("B@Y.example", now, text), KNOWN_BAD);
	ck_assert_str_eq(text, "550 5.1.1 no such user");
	/* Who is unknown as B may be known as b. */
	ck_assert_int_eq(known_get("b@y.example", now, text), KNOWN_NOT);
	ck_assert_int_eq(known_get("c@y.example", now, text), KNOWN_GOOD);
	ck_assert_int_eq(known_get("d@y.example", now, text), KNOWN_NOT);
	now += 3600;
	ck_assert_int_eq(known_get("B@y.example", now, text), KNOWN_NOT);
	ck_assert_int_eq(known_get("c@y.example", now, text), KNOWN_GOOD);
	now += DAY;
	ck_assert_int_eq(known_get("c@y.example", now, text), KNOWN_NOT);
	now += 6 * DAY;
	ck_assert_int_eq(passed_is(ip, now), 0);
}
END_TEST

static void
damage(const char *name, off_t at)
{
	uint8_t junk[64];
	char path[64];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY);
	memset(junk, 0xa5, sizeof junk);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, junk, sizeof junk, at), sizeof junk);
	close(fd);
}

START_TEST(a_damaged_store_is_begun_anew)
{
	static const struct {
		const char *name;
		off_t at;
		int pages;
	} where[] = {{"data.mdb", 4096 * 2 + 4000, 6}, {"data.mdb", 0, 2}, {"data.seq", 4, 1}};
	struct err e = {0};
	size_t i;
	int page;

	for (i = 0; i < sizeof where / sizeof where[0]; i++) {
		ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
		passed_put(&gate, ip, now);
		db_commit();
		db_close();
		for (page = 0; page < where[i].pages; page++)
			damage(where[i].name, where[i].at + 4096 * page);
		ck_assert_int_eq(db_open(dir, "anvil", &e), 0);
		ck_assert_ptr_nonnull(db_store());
		ck_assert_int_eq(passed_is(ip, now), 0);
		now += 300;
	}
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 0);
}
END_TEST

START_TEST(damage_at_work_ends_neither_the_process_nor_the_memory)
{
	char sender[32];
	int i;

	for (i = 0; i < 500; i++) {
		(void)snprintf(sender, sizeof sender, "%c%c@x.example", 'a' + i / 26, 'a' + i % 26);
		(void)ask(sender, "b@y.example");
	}
	db_commit();
	for (i = 2; i < 20; i++)
		damage("data.mdb", 4096 * i + 2000);
	for (i = 0; i < 500; i++) {
		(void)snprintf(sender, sizeof sender, "%c%c@x.example", 'a' + i / 26, 'a' + i % 26);
		(void)ask(sender, "b@y.example");
		db_commit();
	}
	ck_assert_ptr_nonnull(db_store());
	ck_assert_int_eq(ask("last@x.example", "b@y.example"), 0);
	now += 300;
	ck_assert_int_eq(ask("last@x.example", "b@y.example"), 1);
}
END_TEST

START_TEST(without_a_store_all_pass)
{
	char text[KNOWN_TEXT_MAX];

	db_close();
	ck_assert_int_eq(ask("a@x.example", "b@y.example"), 1);
	passed_put(&gate, ip, now);
	ck_assert_int_eq(passed_is(ip, now), 0);
	known_put("b@y.example", KNOWN_GOOD, "", now);
	ck_assert_int_eq(known_get("b@y.example", now, text), KNOWN_NOT);
	ck_assert_int_eq(db_count(T_GREY), 0);
	db_sweep(now);
	db_commit();
}
END_TEST

START_TEST(another_process_keeps_its_store)
{
	struct err e = {0};

	/* A second one in this process is as good: the lock is of the open file. */
	ck_assert_int_eq(db_open(dir, "anvil", &e), -1);
	ck_assert_int_eq(e.code, EBUSY);
	ck_assert_int_eq(db_open(dir, "anvil", NULL), -1);
}
END_TEST

START_TEST(what_is_over_is_swept)
{
	char sender[32];
	int i;

	for (i = 0; i < 600; i++) {
		(void)snprintf(sender, sizeof sender, "%c%c@x.example", 'a' + i / 26, 'a' + i % 26);
		(void)ask(sender, "b@y.example");
	}
	passed_put(&gate, ip, now);
	known_put("b@y.example", KNOWN_GOOD, "", now);
	ck_assert_int_eq(db_count(T_GREY), 600);
	db_sweep(now);
	ck_assert_int_eq(db_count(T_GREY), 600);
	now += 300 + GREY_RETRY;
	db_sweep(now);
	db_commit();
	ck_assert_int_eq(db_count(T_GREY), 0);
	ck_assert_int_eq(db_count(T_PASSED), 1);
	ck_assert_int_eq(db_count(T_KNOWN), 0);
}
END_TEST

START_TEST(there_are_never_more_than_there_may_be)
{
	uint8_t v[4] = {0xff, 0, 0, 0}, key[9];
	uint32_t i;

	for (i = 0; i < PASSED_MAX + 1000; i++) {
		memset(key, 0, sizeof key);
		memcpy(key, &i, 4);
		/* Those that end first make room. */
		v[3] = (uint8_t)(i % 2);
		db_put(T_PASSED, key, sizeof key, v, sizeof v, now);
		if (i % 50000 == 0)
			db_commit();
	}
	ck_assert_int_eq(db_count(T_PASSED), PASSED_MAX);
	/* The last one is there. */
	ck_assert_int_eq(db_get(T_PASSED, key, sizeof key, now, &(struct bytes){0}), 1);
}
END_TEST

Suite *
grey_suite(void)
{
	const TTest *const tests[] = {a_triple_passes_once_the_delay_is_over,
	    another_sender_recipient_or_network_waits_for_itself,
	    numbers_extensions_and_case_of_a_sender_do_not_count,
	    who_does_not_come_again_in_time_is_new,
	    a_known_triple_is_known_for_days_since_it_was_last_used,
	    a_network_whose_triples_came_again_is_known_as_a_whole,
	    a_clock_that_is_set_back_makes_nobody_wait_for_long, all_of_it_is_there_after_a_restart,
	    a_damaged_store_is_begun_anew, damage_at_work_ends_neither_the_process_nor_the_memory,
	    without_a_store_all_pass, another_process_keeps_its_store, what_is_over_is_swept,
	    there_are_never_more_than_there_may_be, NULL};

	return unit_suite_around("grey", set_up, tear_down, tests);
}
