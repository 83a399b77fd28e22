/* Segments in which little is left are emptied; nothing that was moved or has ended comes back. */
#include <string.h>
#include <unistd.h>

#include "t/unit/queue/box.h"
#include "t/unit/unit.h"

#define PER_SEGMENT 40 /* messages of SIZE fill one */
#define SIZE 200000

static struct box b;

static void
setup(void)
{
	box_make(&b);
	b.conf.memory = 1 << 20;
	box_open(&b);
}

static void
teardown(void)
{
	box_remove(&b);
}

static void
reopen(void)
{
	box_crash(&b);
	box_open(&b);
	ck_assert_msg(b.warnings == 0, "%s", b.warning);
}

/* One message that stays in each of n segments; the others end. */
static void
leave_one_each(qstore_id *stays, unsigned n, uint64_t number)
{
	qstore_id id[PER_SEGMENT];
	unsigned i, k;

	for (i = 0; i < n; i++) {
		stays[i] = box_put(&b, number + i, 3000);
		box_set(&b, stays[i], i + 1);
		for (k = 0; k < PER_SEGMENT; k++)
			id[k] = box_put(&b, 7, SIZE);
		for (k = 0; k < PER_SEGMENT; k++)
			box_drop(&b, id[k]);
	}
}

static void
check_stayed(const qstore_id *stays, unsigned n, uint64_t number)
{
	unsigned i;

	ck_assert_uint_eq(b.nfound, n);
	for (i = 0; i < n; i++) {
		const struct box_found *f = box_find(&b, stays[i]);

		ck_assert(f != NULL && f->attempts == i + 1);
		ck_assert(box_is_whole(&b, stays[i], number + i, 3000));
	}
}

START_TEST(messages_that_stay_are_moved_together)
{
	enum { N = 30 };
	qstore_id stays[N];
	struct qstore_counts n;

	leave_one_each(stays, N, 100);
	qstore_count(b.s, &n);
	ck_assert_uint_gt(n.moved, N / 2);
	ck_assert_uint_eq(n.messages, N);
	/* 30 would be in use without. */
	ck_assert_uint_le(n.segments - n.free_segments, 8);
	reopen();
	check_stayed(stays, N, 100);
	leave_one_each(stays, 3, 100);
	reopen();
	ck_assert_uint_eq(b.nfound, N + 3);
}
END_TEST

START_TEST(a_moved_message_that_ends_stays_away)
{
	enum { N = 20 };
	qstore_id stays[N], more[N];
	unsigned i;

	leave_one_each(stays, N, 100);
	for (i = 0; i < N; i++)
		box_drop(&b, stays[i]);
	reopen();
	ck_assert_uint_eq(b.nfound, 0);
	/* The segments that its end was in are used for others, again and again. */
	for (i = 0; i < 3; i++) {
		leave_one_each(more, 8, 200);
		reopen();
		ck_assert_uint_eq(b.nfound, 8);
		check_stayed(more, 8, 200);
		while (b.nfound > 0)
			box_drop(&b, b.found[--b.nfound].id);
	}
}
END_TEST

/* Its octets lie among others that stay: its end must be known as long. */
START_TEST(an_end_outlives_the_segment_of_the_octets)
{
	qstore_id here[PER_SEGMENT], gone, id;
	unsigned i;

	gone = box_put(&b, 1, SIZE);
	for (i = 0; i < PER_SEGMENT; i++)
		here[i] = box_put(&b, 2 + i, SIZE);
	/* Its end is in another segment, of which nothing else is needed. */
	for (i = 0; i < PER_SEGMENT; i++)
		id = box_put(&b, 50, SIZE);
	box_drop(&b, gone);
	for (i = 0; i < 600; i++) {
		box_drop(&b, id);
		id = box_put(&b, 60, SIZE);
		if (i % 100 == 50) {
			reopen();
			ck_assert_ptr_null(box_find(&b, gone));
			ck_assert_ptr_nonnull(box_find(&b, here[0]));
		}
	}
	for (i = 0; i < PER_SEGMENT; i++)
		ck_assert(box_is_whole(&b, here[i], 2 + i, SIZE));
}
END_TEST

/* The writer's turn with what it was given so far: a job of the mover is under way before it. */
static void
writer_only(void)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);

	qs_stage_hand_over(b.s);
	STAILQ_CONCAT(&jobs, &b.s->w.queue);
	qs_writer_turn(b.s, &jobs, 1);
}

START_TEST(messages_that_change_or_end_while_they_are_moved)
{
	qstore_id end, change, id;
	struct seg *seg;
	unsigned i;

	end = box_put(&b, 1, 5000);
	change = box_put(&b, 2, 5000);
	box_set(&b, change, 1);
	seg = b.s->seg[qs_slot_msg(b.s, qs_index_find(b.s, end))->seg];
	for (i = 0; i < PER_SEGMENT + 2; i++)
		id = box_put(&b, 3, SIZE);
	ck_assert_int_eq(seg->state, SEG_SEALED);
	/* The copies are on the disk; that they count is not known yet. */
	b.s->moving = (struct moving){.seg = seg};
	qs_move_tend(b.s);
	writer_only();
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_end(&b, end), 0);
	ck_assert_int_eq(box_change(&b, change, 2, 1), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), 0);
	writer_only();
	reopen();
	ck_assert_ptr_null(box_find(&b, end));
	ck_assert_uint_eq(box_find(&b, change)->attempts, 2);
	ck_assert(box_is_whole(&b, change, 2, 5000));
	for (i = 0; i < b.nfound; i++)
		if (b.found[i].id != change && b.found[i].id != id)
			box_drop(&b, b.found[i].id);
	for (i = 0; i < 300; i++) {
		box_drop(&b, id);
		id = box_put(&b, 3, SIZE);
	}
	reopen();
	ck_assert_uint_eq(b.nfound, 2);
	ck_assert_uint_eq(box_find(&b, change)->attempts, 2);
}
END_TEST

START_TEST(a_queue_that_was_full_gives_the_disk_back)
{
	static qstore_id id[2000];
	struct qstore_counts n;
	unsigned i, k, free;

	for (i = 0; i < 300; i++)
		id[i] = box_put(&b, i, SIZE);
	qstore_count(b.s, &n);
	ck_assert_uint_ge(n.segments, 7);
	for (k = 0; k < i; k++)
		box_drop(&b, id[k]);
	for (k = 0; k < 20; k++) {
		b.s->tend = 1;
		box_drop(&b, box_put(&b, 1, 10));
	}
	qstore_count(b.s, &n);
	free = box_files(&b, "segment.");
	ck_assert_uint_le(n.segments, 8);
	ck_assert_uint_eq(n.segments, free);
	ck_assert_uint_eq(n.disk, n.segments * SEGMENT_MIN);
}
END_TEST

START_TEST(a_long_queue_is_told_of_at_the_start)
{
	enum { MANY = 100000, PER_GROUP = 500, LITTLE = 400 };
	struct box_done d = {0};
	qstore_id id;
	unsigned i, k;

	b.conf.size = 512 << 20;
	qstore_reload(b.s, &b.conf);
	qs_room_update(b.s);
	for (i = 0; i < MANY / PER_GROUP; i++) {
		ck_assert_int_eq(qstore_begin(b.s), 0);
		for (k = 0; k < PER_GROUP; k++)
			ck_assert_int_eq(box_add(&b, i * PER_GROUP + k, LITTLE, 1, &id), 0);
		ck_assert_int_eq(qstore_commit(b.s, 0, box_done, &d), 0);
		qstore_turn(b.s);
	}
	ck_assert_int_eq(d.called, MANY / PER_GROUP);
	reopen();
	ck_assert_uint_eq(b.nfound, MANY);
	for (i = 0; i < MANY; i += 997)
		ck_assert(box_is_whole(&b, b.found[i].id, i, LITTLE));
	ck_assert_uint_le(b.s->chunk_octets, 1 << 20);
}
END_TEST

Suite *moving_suite(void);
Suite *
moving_suite(void)
{
	const TTest *const tests[] = {messages_that_stay_are_moved_together,
	    a_moved_message_that_ends_stays_away, an_end_outlives_the_segment_of_the_octets,
	    messages_that_change_or_end_while_they_are_moved,
	    a_queue_that_was_full_gives_the_disk_back, a_long_queue_is_told_of_at_the_start, NULL};

	return unit_suite_around("queue: moving", setup, teardown, tests);
}
