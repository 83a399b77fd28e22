/* With the thread: answers come through the loop, and nothing waits for ever. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "t/unit/queue/box.h"
#include "t/unit/unit.h"

#define LONG 20000 /* ms; nothing here takes as long, however busy the machine is */

static struct box b;
static struct event_base *base;

static void
open_started(void)
{
	struct err e;

	box_open(&b);
	ck_assert_int_eq(qstore_start(b.s, base, &e), 0);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(base = event_base_new());
	box_make(&b);
	open_started();
}

static void
teardown(void)
{
	box_remove(&b);
	event_base_free(base);
}

/* Run the loop until *flag is not 0. */
static void
until(const int *flag)
{
	const struct timeval step = {0, 20000};
	uint64_t end = clock_ms() + LONG;

	while (!*flag && clock_ms() < end) {
		ck_assert_int_eq(event_base_loopexit(base, &step), 0);
		ck_assert_int_ge(event_base_dispatch(base), 0);
	}
	ck_assert(*flag);
}

struct sender {
	unsigned left, done;
	uint64_t next;
	int all;
};

static void send_next(struct sender *x);

static void
on_sent(void *arg, int ok, const char *why)
{
	struct sender *x = arg;

	ck_assert_msg(ok, "%s", why);
	x->done++;
	if (x->left > 0)
		send_next(x);
	else
		x->all = x->done == 2000;
}

static void
send_next(struct sender *x)
{
	qstore_id id;

	x->left--;
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, x->next++, 2000, 1, &id), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, on_sent, x), 0);
}

START_TEST(many_who_wait_share_syncs_and_all_is_there)
{
	struct sender x = {.left = 2000};
	struct qstore_counts n;
	unsigned i;

	for (i = 0; i < 50; i++)
		send_next(&x);
	until(&x.all);
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, 2000);
	ck_assert_uint_lt(n.syncs, 1000);
	box_close(&b);
	open_started();
	ck_assert_uint_eq(b.nfound, 2000);
	ck_assert_uint_eq(b.warnings, 0);
}
END_TEST

static void
on_flag(void *arg, int ok, const char *why)
{
	ck_assert_msg(ok, "%s", why);
	*(int *)arg = 1;
}

START_TEST(a_lazy_group_is_synced_though_nobody_waits)
{
	int put = 0, synced = 0;
	qstore_id id;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 1, 100, 1, &id), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &put), 0);
	until(&put);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_end(&b, id), 0);
	ck_assert_int_eq(qstore_commit(b.s, 1, on_flag, &synced), 0);
	until(&synced);
}
END_TEST

START_TEST(what_is_committed_when_the_store_closes_is_written)
{
	struct box_done d = {0};
	qstore_id id, lazy, big;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 1, 100, 1, &id), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, box_done, &d), 0);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 2, 100, 1, &lazy), 0);
	ck_assert_int_eq(qstore_commit(b.s, 1, NULL, NULL), 0);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 3, 9 << 20, 1, &big), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, box_done, &d), 0);
	/* One that was never committed is nothing. */
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 4, 100, 1, &id), 0);
	box_close(&b);
	ck_assert_int_eq(d.called, 0);
	open_started();
	ck_assert_uint_eq(b.nfound, 3);
	ck_assert(box_is_whole(&b, big, 3, 9 << 20));
}
END_TEST

START_TEST(a_large_message_holds_up_nobody_and_is_there_when_it_is_told)
{
	int small = 0, big = 0;
	qstore_id a, c;
	char p;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 1, 30 << 20, 1, &a), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &big), 0);
	ck_assert_int_eq(qstore_read(b.s, a, &p, 1, 0), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 2, 100, 1, &c), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &small), 0);
	until(&small);
	until(&big);
	ck_assert(box_is_whole(&b, a, 1, 30 << 20));
	box_close(&b);
	open_started();
	ck_assert(box_is_whole(&b, a, 1, 30 << 20));
}
END_TEST

START_TEST(too_much_that_waits_is_refused_for_a_while)
{
	struct sender x = {.left = 0};
	unsigned n = 0;
	qstore_id id;

	for (;; n++) {
		ck_assert_uint_lt(n, 1000);
		ck_assert_int_eq(qstore_begin(b.s), 0);
		if (box_add(&b, n, QSTORE_BIG, 1, &id) == -1)
			break;
		ck_assert_int_eq(qstore_commit(b.s, 0, on_sent, &x), 0);
	}
	ck_assert_int_eq(errno, EAGAIN);
	qstore_abort(b.s);
	x.done += 2000 - n;
	until(&x.all);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, n, QSTORE_BIG, 1, &id), 0);
	qstore_abort(b.s);
}
END_TEST

static int room_changes;

static void
on_room(void *arg)
{
	(void)arg;
	room_changes++;
}

START_TEST(a_full_queue_says_so_and_has_room_again_when_messages_went)
{
	struct box_done d = {0};
	qstore_id id[2000];
	unsigned n = 0, i;
	char why[100];
	int flag;

	qstore_on_room(b.s, on_room, NULL);
	room_changes = 0;
	ck_assert_int_eq(qstore_full(b.s, why, sizeof why), 0);
	for (;; n++) {
		flag = 0;
		ck_assert_uint_lt(n, 2000);
		ck_assert_int_eq(qstore_begin(b.s), 0);
		if (box_add(&b, n, 200000, 1, &id[n]) == -1)
			break;
		ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &flag), 0);
		until(&flag);
	}
	ck_assert_int_eq(errno, ENOSPC);
	qstore_abort(b.s);
	flag = 0;
	/* Something of its 96 MiB is kept. */
	ck_assert_uint_gt(n, 300);
	ck_assert_uint_lt(n, 450);
	ck_assert_int_eq(room_changes, 1);
	ck_assert_int_eq(qstore_full(b.s, why, sizeof why), 1);
	ck_assert_ptr_nonnull(strstr(why, "queue.size"));
	/* Changes are taken all the same. */
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(qstore_begin(b.s), 0);
		ck_assert_int_eq(box_change(&b, id[i], 1, 1), 0);
		ck_assert_int_eq(qstore_commit(b.s, 1, NULL, NULL), 0);
	}
	for (i = 0; i < n / 2; i++) {
		ck_assert_int_eq(qstore_begin(b.s), 0);
		ck_assert_int_eq(box_end(&b, id[i]), 0);
		ck_assert_int_eq(qstore_commit(b.s, 0, box_done, &d), 0);
	}
	while (room_changes < 2) {
		flag = 0;
		ck_assert_int_eq(qstore_begin(b.s), 0);
		ck_assert_int_eq(box_change(&b, id[n - 1], 2, 1), 0);
		ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &flag), 0);
		until(&flag);
	}
	ck_assert_int_eq(d.called, (int)(n / 2));
	ck_assert_int_eq(qstore_full(b.s, why, sizeof why), 0);
	box_close(&b);
	open_started();
	ck_assert_uint_eq(b.nfound, n - n / 2);
}
END_TEST

START_TEST(a_full_queue_takes_notices_of_what_ends_with_them_until_it_is_empty)
{
	qstore_id id[2000], notice;
	unsigned n = 0, i;
	int flag;

	for (;; n++) {
		flag = 0;
		ck_assert_uint_lt(n, 2000);
		ck_assert_int_eq(qstore_begin(b.s), 0);
		if (box_add(&b, n, 200000, 1, &id[n]) == -1)
			break;
		ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &flag), 0);
		until(&flag);
	}
	qstore_abort(b.s);
	for (i = 0; i < n; i++) {
		flag = 0;
		ck_assert_int_eq(qstore_begin(b.s), 0);
		qstore_frees(b.s);
		ck_assert_int_eq(box_add(&b, n + i, 60000, 1, &notice), 0);
		ck_assert_int_eq(box_end(&b, id[i]), 0);
		ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &flag), 0);
		until(&flag);
	}
	box_close(&b);
	open_started();
	ck_assert_uint_eq(b.nfound, n);
	ck_assert_int_eq(qstore_full(b.s, NULL, 0), 0);
}
END_TEST

START_TEST(what_frees_room_is_bounded_too)
{
	unsigned n = 0, extra = 0;
	qstore_id id;
	int flag;

	for (; extra == 0 || errno != ENOSPC; n++) {
		flag = 0;
		ck_assert_uint_lt(n, 2000);
		ck_assert_int_eq(qstore_begin(b.s), 0);
		errno = 0;
		if (box_add(&b, n, 200000, 1, &id) == -1) {
			ck_assert_int_eq(errno, ENOSPC);
			qstore_frees(b.s);
			errno = 0;
			if (box_add(&b, n, 200000, 1, &id) == -1)
				break;
			extra++;
		}
		ck_assert_int_eq(qstore_commit(b.s, 0, on_flag, &flag), 0);
		until(&flag);
	}
	ck_assert_int_eq(errno, ENOSPC);
	qstore_abort(b.s);
	ck_assert_uint_gt(extra, 0);
	ck_assert_uint_lt(extra, 200);
}
END_TEST

START_TEST(a_file_system_with_too_little_left_is_full)
{
	char why[100];

	b.conf.min_free = 1ULL << 60;
	qstore_reload(b.s, &b.conf);
	b.s->fs_asked = 0;
	qs_room_update(b.s);
	ck_assert_int_eq(qstore_full(b.s, why, sizeof why), 1);
	ck_assert_ptr_nonnull(strstr(why, "queue.min_free"));
	/* Looked at again though nothing comes. */
	b.conf.min_free = 0;
	qstore_reload(b.s, &b.conf);
	room_changes = 0;
	qstore_on_room(b.s, on_room, NULL);
	until(&room_changes);
	ck_assert_int_eq(qstore_full(b.s, why, sizeof why), 0);
}
END_TEST

Suite *loop_suite(void);
Suite *
loop_suite(void)
{
	const TTest *const tests[] = {many_who_wait_share_syncs_and_all_is_there,
	    a_lazy_group_is_synced_though_nobody_waits,
	    what_is_committed_when_the_store_closes_is_written,
	    a_large_message_holds_up_nobody_and_is_there_when_it_is_told,
	    too_much_that_waits_is_refused_for_a_while,
	    a_full_queue_says_so_and_has_room_again_when_messages_went,
	    a_full_queue_takes_notices_of_what_ends_with_them_until_it_is_empty,
	    what_frees_room_is_bounded_too, a_file_system_with_too_little_left_is_full, NULL};

	return unit_suite_around("queue: loop", setup, teardown, tests);
}
