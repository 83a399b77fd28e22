/* A disk that fails: exactly those who waited for it are told, and nothing of theirs is seen. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "t/unit/queue/box.h"
#include "t/unit/unit.h"

static struct box b;

/* Calls of one kind, or of all, from number from on, so many of them, fail with code. */
enum call { C_PWRITEV = 1, C_FDATASYNC = 2, C_FALLOCATE = 4, C_ALL = 7 };
static struct {
	unsigned kinds;
	int from, count, code;
	int seen, failed;
} plan;

static int
fails(enum call kind)
{
	if (!(plan.kinds & kind))
		return 0;
	plan.seen++;
	if (plan.seen <= plan.from || plan.seen > plan.from + plan.count)
		return 0;
	plan.failed++;
	errno = plan.code;
	return 1;
}

static ssize_t
bad_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	if (fails(C_PWRITEV)) {
		/* As full disks do: a part of it may be there. */
		if (v->iov_len > 600)
			(void)!pwrite(fd, v->iov_base, 600, at);
		return -1;
	}
	return pwritev(fd, v, n, at);
}

static int
bad_fdatasync(int fd)
{
	/* What was written stays in the file: the worst that can be. */
	return fails(C_FDATASYNC) ? -1 : fdatasync(fd);
}

static int
bad_fallocate(int fd, int mode, off_t off, off_t len)
{
	return fails(C_FALLOCATE) ? -1 : fallocate(fd, mode, off, len);
}

static void
fail_from(unsigned kinds, int from, int count, int code)
{
	plan.kinds = kinds;
	plan.from = from;
	plan.count = count;
	plan.code = code;
	plan.seen = plan.failed = 0;
	/* Without pauses between the tries. */
	b.s->w.open_at = b.s->w.retry_at = 0;
}

static void
setup(void)
{
	static const struct queue_io io = {bad_pwritev, bad_fdatasync, bad_fallocate};

	memset(&plan, 0, sizeof plan);
	queue_io = io;
	box_make(&b);
	box_open(&b);
}

static void
teardown(void)
{
	memset(&plan, 0, sizeof plan);
	box_remove(&b);
}

static qstore_id
stage(uint64_t n, size_t size, struct box_done *d, int lazily)
{
	qstore_id id;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, n, size, 1, &id), 0);
	ck_assert_int_eq(qstore_commit(b.s, lazily, d ? box_done : NULL, d), 0);
	return id;
}

static void
crash_and_open(void)
{
	memset(&plan, 0, sizeof plan);
	box_crash(&b);
	box_open(&b);
	ck_assert_msg(b.warnings == 0, "%s", b.warning);
}

static void
a_round_fails(unsigned kinds, int count, int code)
{
	struct box_done d[3] = {{0}};
	qstore_id before = box_put(&b, 1, 3000), id[3], lazy, after;
	struct qstore_counts n;
	unsigned i;

	for (i = 0; i < 3; i++)
		id[i] = stage(10 + i, 2000, &d[i], 0);
	lazy = stage(20, 2000, NULL, 1);
	fail_from(kinds, 0, count, code);
	qstore_turn(b.s);
	ck_assert_int_gt(plan.failed, 0);
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(d[i].called, 1);
		ck_assert_int_eq(d[i].ok, 0);
		ck_assert_str_eq(d[i].why, strerror(code));
	}
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, 1);
	ck_assert_uint_eq(n.failed, 3);
	/* Service goes on, and what nobody waited for comes with it. */
	fail_from(0, 0, 0, 0);
	after = box_put(&b, 30, 2000);
	crash_and_open();
	ck_assert_uint_eq(b.nfound, 3);
	ck_assert_ptr_nonnull(box_find(&b, before));
	ck_assert_ptr_nonnull(box_find(&b, lazy));
	ck_assert_ptr_nonnull(box_find(&b, after));
	for (i = 0; i < 3; i++)
		ck_assert_ptr_null(box_find(&b, id[i]));
	ck_assert(box_is_whole(&b, lazy, 20, 2000));
	ck_assert(box_is_whole(&b, after, 30, 2000));
	/* Still so when segments were emptied, used again, and read once more. */
	for (i = 0; i < 100; i++)
		box_drop(&b, box_put(&b, 100 + i, 200000));
	crash_and_open();
	ck_assert_uint_eq(b.nfound, 3);
}

START_TEST(a_sync_that_fails_once)
{
	a_round_fails(C_FDATASYNC, 1, EIO);
}
END_TEST

START_TEST(a_sync_that_fails_and_the_mark_of_the_end_too)
{
	a_round_fails(C_FDATASYNC, 2, EIO);
}
END_TEST

START_TEST(a_sync_that_fails_and_the_mark_and_the_next_segment)
{
	a_round_fails(C_FDATASYNC, 3, EIO);
}
END_TEST

START_TEST(a_write_that_fails_once)
{
	a_round_fails(C_PWRITEV, 1, ENOSPC);
}
END_TEST

START_TEST(a_write_that_fails_again_and_again)
{
	a_round_fails(C_PWRITEV, 30, EIO);
}
END_TEST

START_TEST(nothing_works_for_a_while)
{
	a_round_fails(C_ALL, 200, EIO);
}
END_TEST

START_TEST(a_full_disk_is_told_and_lazy_changes_wait_for_room)
{
	struct box_done d = {0};
	qstore_id old, id;
	int i;

	/* The segment is nearly full, the next cannot be allocated. */
	old = box_put(&b, 1, 1000);
	for (i = 0; i < 41; i++)
		box_put(&b, 2, 200000);
	fail_from(C_FALLOCATE, 0, 1000, ENOSPC);
	id = stage(3, 250000, &d, 0);
	qstore_turn(b.s);
	ck_assert(d.called == 1 && !d.ok);
	ck_assert_str_eq(d.why, strerror(ENOSPC));
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_end(&b, old), 0);
	ck_assert_int_eq(qstore_commit(b.s, 1, NULL, NULL), 0);
	qstore_turn(b.s);
	memset(&d, 0, sizeof d);
	stage(3, 250000, &d, 0);
	qstore_turn(b.s);
	ck_assert(d.called == 1 && !d.ok);
	fail_from(0, 0, 0, 0);
	box_put(&b, 4, 250000);
	crash_and_open();
	ck_assert_ptr_null(box_find(&b, old));
	ck_assert_ptr_null(box_find(&b, id));
	ck_assert_uint_eq(b.nfound, 42);
}
END_TEST

START_TEST(a_large_message_that_cannot_be_written_leaves_no_file)
{
	static const unsigned kinds[] = {C_PWRITEV, C_FDATASYNC, C_FALLOCATE};
	struct box_done d;
	unsigned i;

	box_put(&b, 1, 100);
	for (i = 0; i < 3; i++) {
		memset(&d, 0, sizeof d);
		stage(2, 6 << 20, &d, 0);
		/* Its own pieces come first. */
		fail_from(kinds[i], i == 2 ? 0 : 1, 1, EIO);
		qstore_turn(b.s);
		ck_assert(d.called == 1 && !d.ok);
		ck_assert_uint_eq(box_files(&b, "message."), 0);
	}
	crash_and_open();
	ck_assert_uint_eq(b.nfound, 1);
}
END_TEST

/* Some of everything, of which calls fail: told is kept, failed is never seen. */
#define STEPS 16

struct step {
	struct box_done d;
	qstore_id id;
	int end;
};

static void
run_steps(struct step x[STEPS])
{
	unsigned i;

	for (i = 0; i < STEPS; i++) {
		if (i % 4 == 3) {
			/* End the one before, where there is one. */
			x[i].id = x[i - 1].id;
			x[i].end = 1;
			ck_assert_int_eq(qstore_begin(b.s), 0);
			if (box_end(&b, x[i].id) == -1) {
				qstore_abort(b.s);
				x[i].end = 0;
				x[i].id = 0;
				continue;
			}
			ck_assert_int_eq(qstore_commit(b.s, 0, box_done, &x[i].d), 0);
		} else
			x[i].id = stage(i, i % 6 == 5 ? 300000 : 20000 + i * 3000, &x[i].d, 0);
		b.s->w.open_at = 0;
		if (i % 2 == 1)
			qstore_turn(b.s);
	}
	qstore_turn(b.s);
}

static void
check_steps(const struct step x[STEPS], int call)
{
	unsigned i;

	for (i = 0; i < STEPS; i++) {
		int ended = i % 4 == 2 && x[i + 1].end && x[i + 1].d.ok;

		if (x[i].id == 0 || x[i].end)
			continue;
		ck_assert_int_eq(x[i].d.called, 1);
		ck_assert_msg((box_find(&b, x[i].id) != NULL) == (x[i].d.ok && !ended),
		    "call %d, step %u", call, i);
		if (x[i].d.ok && !ended)
			ck_assert(
			    box_is_whole(&b, x[i].id, i, i % 6 == 5 ? 300000 : 20000 + i * 3000));
	}
}

START_TEST(whichever_call_fails_told_is_kept_and_failed_is_never_seen)
{
	struct step x[STEPS];
	int call, width;

	for (width = 1; width <= 3; width += 2)
		for (call = 0; call == 0 || plan.failed > 0; call++) {
			memset(x, 0, sizeof x);
			fail_from(C_ALL, call, width, EIO);
			run_steps(x);
			/* The word of where a segment ends must have come to the disk somehow. */
			plan.kinds = 0;
			b.s->w.open_at = 0;
			box_put(&b, 99, 10);
			plan.seen = plan.failed;
			box_crash(&b);
			box_open(&b);
			ck_assert_msg(b.warnings == 0, "call %d: %s", call, b.warning);
			check_steps(x, call);
			while (b.nfound > 0)
				box_drop(&b, b.found[--b.nfound].id);
		}
}
END_TEST

Suite *errors_suite(void);
Suite *
errors_suite(void)
{
	const TTest *const tests[] = {a_sync_that_fails_once,
	    a_sync_that_fails_and_the_mark_of_the_end_too,
	    a_sync_that_fails_and_the_mark_and_the_next_segment, a_write_that_fails_once,
	    a_write_that_fails_again_and_again, nothing_works_for_a_while,
	    a_full_disk_is_told_and_lazy_changes_wait_for_room,
	    a_large_message_that_cannot_be_written_leaves_no_file,
	    whichever_call_fails_told_is_kept_and_failed_is_never_seen, NULL};

	return unit_suite_around("queue: errors", setup, teardown, tests);
}
