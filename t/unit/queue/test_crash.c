/* What a crash leaves: all that was durable, nothing by halves, nothing old. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/queue/box.h"
#include "t/unit/unit.h"

static struct box b;

static void
setup(void)
{
	box_make(&b);
	box_open(&b);
}

static void
teardown(void)
{
	box_remove(&b);
}

/* The one segment with its three last groups: a message, a group of a message and two changes. */
struct tail {
	char name[NAME_MAX_OCTETS];
	uint8_t *file;
	size_t n;
	qstore_id old, one, two;
	uint32_t first, first_end, second; /* where the groups begin and end */
	uint32_t end;
};

static void
make_tail(struct tail *t)
{
	struct box_done d = {0};

	t->old = box_put(&b, 1, 3000);
	t->one = box_put(&b, 2, 700);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 3, 500, 2, &t->two), 0);
	ck_assert_int_eq(box_change(&b, t->one, 9, 1), 0);
	ck_assert_int_eq(box_end(&b, t->old), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, box_done, &d), 0);
	/* Where it is, before the writer's half is gone. */
	qstore_turn(b.s);
	ck_assert(d.ok);
	(void)snprintf(t->name, sizeof t->name, "%s", box_segment(&b, t->two));
	t->first = box_offset(&b, t->one) - GROUP_HEAD;
	t->first_end = t->first + GROUP_HEAD + box_length(&b, t->one);
	t->second = box_offset(&b, t->two) - GROUP_HEAD;
	t->end = b.s->w.stream[0].off;
	box_crash(&b);
	t->file = box_read_file(&b, t->name, &t->n);
}

/* What must be there when all from octet cut on is lost. */
static void
check_tail(const struct tail *t, uint32_t cut)
{
	int second = box_find(&b, t->two) != NULL;

	ck_assert_msg(b.warnings == 0, "%u: %s", cut, b.warning);
	/* Each of the groups counts as a whole or not at all. */
	if (second) {
		ck_assert_ptr_null(box_find(&b, t->old));
		ck_assert_uint_eq(box_find(&b, t->one)->attempts, 9);
		ck_assert_uint_eq(box_find(&b, t->two)->nrcpts, 2);
		ck_assert(box_is_whole(&b, t->two, 3, 500));
		ck_assert_uint_gt(cut, t->second);
		return;
	}
	ck_assert_uint_lt(cut, t->end);
	if (box_find(&b, t->one) != NULL) {
		ck_assert(!box_find(&b, t->one)->has_state);
		ck_assert(box_is_whole(&b, t->one, 2, 700));
		ck_assert_uint_gt(cut, t->first);
	} else
		ck_assert_uint_lt(cut, t->first_end);
	ck_assert_ptr_nonnull(box_find(&b, t->old));
	ck_assert(box_is_whole(&b, t->old, 1, 3000));
}

START_TEST(a_file_that_ends_at_any_octet_of_its_tail)
{
	struct tail t;
	uint32_t cut;
	int fd;

	make_tail(&t);
	for (cut = t.first; cut <= t.end; cut++) {
		/* Where nothing stands but zeros, one in a while will do. */
		if (cut > t.first + 1200 && cut < t.second && cut % 97)
			continue;
		if (cut > t.second + 1400 && cut < t.end && cut % 97)
			continue;
		box_write_file(&b, t.name, t.file, t.n, 0);
		fd = openat(b.dir, t.name, O_WRONLY | O_CLOEXEC);
		ck_assert_int_eq(ftruncate(fd, cut), 0);
		close(fd);
		box_open(&b);
		check_tail(&t, cut);
		box_crash(&b);
		/* What the opening wrote is understood by the next. */
		if (cut % 16 == 0) {
			box_open(&b);
			check_tail(&t, cut);
			box_crash(&b);
		}
		while (box_files(&b, "segment.") > 1)
			(void)unlinkat(b.dir, "segment.1", 0);
	}
	free(t.file);
	box_open(&b);
}
END_TEST

START_TEST(a_tail_of_which_only_the_beginning_was_written)
{
	struct tail t;
	uint8_t *torn;
	uint32_t cut;

	make_tail(&t);
	ck_assert_ptr_nonnull(torn = malloc(t.n));
	for (cut = t.second; cut < t.second + 1500; cut++) {
		memcpy(torn, t.file, cut);
		memset(torn + cut, cut % 3 ? 0 : 0xa5, t.n - BLOCK - cut);
		memcpy(torn + t.n - BLOCK, t.file + t.n - BLOCK, BLOCK);
		box_write_file(&b, t.name, torn, t.n, 0);
		box_open(&b);
		check_tail(&t, cut);
		box_crash(&b);
		cut += cut % 7;
	}
	free(torn);
	free(t.file);
	box_open(&b);
}
END_TEST

START_TEST(a_tail_of_which_any_sector_is_missing)
{
	struct tail t;
	uint32_t at;

	make_tail(&t);
	for (at = t.second; at < t.end; at += 512) {
		static const uint8_t zeros[512];
		uint8_t saved[512];

		memcpy(saved, t.file + at, 512);
		box_write_file(&b, t.name, t.file, t.n, 0);
		box_write_file(&b, t.name, zeros, 512, at);
		box_open(&b);
		check_tail(&t, memcmp(saved, zeros, 512) == 0 ? t.end : at + 1);
		box_crash(&b);
	}
	free(t.file);
	box_open(&b);
}
END_TEST

/* Groups behind a torn one were never acknowledged, and are not found at a later start either. */
START_TEST(what_lies_behind_a_torn_group_never_comes_back)
{
	qstore_id id[4];
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	static const uint8_t zeros[64];
	char name[NAME_MAX_OCTETS];
	uint32_t at;
	int i;

	box_put(&b, 1, 100);
	/* Three that were written and not synced. */
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(qstore_begin(b.s), 0);
		ck_assert_int_eq(box_add(&b, 10 + (uint64_t)i, 1000, 1, &id[i]), 0);
		ck_assert_int_eq(qstore_commit(b.s, 1, NULL, NULL), 0);
	}
	qs_stage_hand_over(b.s);
	STAILQ_CONCAT(&jobs, &b.s->w.queue);
	qs_writer_turn(b.s, &jobs, 0);
	at = STAILQ_FIRST(&b.s->w.stream[0].jobs)->at;
	(void)qs_segment_name(name, b.s->w.stream[0].seg->no);
	box_crash(&b);
	box_write_file(&b, name, zeros, sizeof zeros, at);
	for (i = 0; i < 3; i++) {
		box_open(&b);
		ck_assert_msg(b.warnings == 0, "%s", b.warning);
		ck_assert_uint_eq(b.nfound, 1 + (size_t)i);
		id[3] = box_put(&b, 20 + (uint64_t)i, 1000);
		ck_assert(box_is_whole(&b, id[3], 20 + (uint64_t)i, 1000));
		box_crash(&b);
	}
	box_open(&b);
	ck_assert_uint_eq(b.nfound, 4);
}
END_TEST

START_TEST(unsynced_groups_survive_the_process)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	qstore_id id, old = box_put(&b, 1, 100);

	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 2, 1000, 1, &id), 0);
	ck_assert_int_eq(box_end(&b, old), 0);
	ck_assert_int_eq(qstore_commit(b.s, 1, NULL, NULL), 0);
	qs_stage_hand_over(b.s);
	STAILQ_CONCAT(&jobs, &b.s->w.queue);
	qs_writer_turn(b.s, &jobs, 0);
	box_crash(&b);
	box_open(&b);
	ck_assert_uint_eq(b.nfound, 1);
	ck_assert_uint_eq(b.found[0].id, id);
}
END_TEST

/* An old use's groups stand behind the new one's; a message can hold what looks like them, too. */
START_TEST(stale_groups_of_a_segment_used_again_are_nothing)
{
	enum { N = 60 };
	qstore_id id[N], last;
	unsigned round, i;

	for (round = 0; round < 4; round++) {
		/* Always the same places. */
		for (i = 0; i < N; i++)
			id[i] = box_put(&b, i, 120000);
		for (i = 0; i < N; i++)
			box_drop(&b, id[i]);
	}
	last = box_put(&b, 1000, 120000);
	box_crash(&b);
	box_open(&b);
	ck_assert_msg(b.warnings == 0, "%s", b.warning);
	ck_assert_uint_eq(b.nfound, 1);
	ck_assert_uint_eq(b.found[0].id, last);
	ck_assert_uint_le(box_files(&b, "segment."), 4);
}
END_TEST

START_TEST(octets_of_a_message_are_never_taken_for_records)
{
	qstore_id id = box_put(&b, 7, 3000), copy;
	uint32_t at = box_offset(&b, id) - GROUP_HEAD;
	struct envelope env = {.qid = "COPY", .tx = "COPY"};
	struct queue_rcpt rcpt = {.addr = "a@b"};
	struct qstore_entry e = {.envelope = {&env, 1}, .rcpts = {&rcpt, 1}};
	char name[NAME_MAX_OCTETS];
	struct octets o;
	uint8_t *file;
	size_t n;

	(void)snprintf(name, sizeof name, "%s", box_segment(&b, id));
	file = box_read_file(&b, name, &n);
	/* Even somebody who knew a whole group could put it into another place only. */
	o = octets_mem(file + at, 2 * BLOCK);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(qstore_add(b.s, &e, &o, &copy), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), 0);
	qstore_turn(b.s);
	box_put(&b, 8, 100);
	/* So that it is looked for group by group. */
	at = box_offset(&b, copy);
	box_crash(&b);
	file[at] ^= 1;
	box_write_file(&b, name, file + at, 1, at);
	free(file);
	box_open(&b);
	ck_assert_uint_eq(b.nfound, 2);
	ck_assert_ptr_nonnull(box_find(&b, id));
	ck_assert_uint_gt(b.warnings, 0);
}
END_TEST

/* Killed at each of the writer's system calls. */
static int calls_left, pipe_to_test;

static void
count_down(void)
{
	if (calls_left-- == 0)
		(void)kill(getpid(), SIGKILL);
}

static ssize_t
count_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	count_down();
	return pwritev(fd, v, n, at);
}

static int
count_fdatasync(int fd)
{
	count_down();
	return fdatasync(fd);
}

static void
tell_test(void *arg, int ok, const char *why)
{
	uint8_t n = (uint8_t)(uintptr_t)arg;

	(void)why;
	if (!ok || write(pipe_to_test, &n, 1) != 1)
		_exit(1);
}

/* The life of a message, step by step; each tells the test when it is durable. */
enum step { ADDED = 1, DEFERRED, GROUP, REMOVED, STEPS };

static void
live(int calls)
{
	static const struct queue_io io = {count_pwritev, count_fdatasync, fallocate};
	qstore_id id, other;
	int step;

	queue_io = io;
	calls_left = calls;
	for (step = ADDED; step < STEPS; step++) {
		ck_assert_int_eq(qstore_begin(b.s), 0);
		if (step == ADDED)
			ck_assert_int_eq(box_add(&b, 1, 5000, 1, &id), 0);
		else if (step == DEFERRED)
			ck_assert_int_eq(box_change(&b, id, 4, 1), 0);
		else if (step == GROUP) {
			ck_assert_int_eq(box_add(&b, 2, 300 * 1024, 1, &other), 0);
			ck_assert_int_eq(box_change(&b, id, 5, 1), 0);
		} else
			ck_assert_int_eq(box_end(&b, id), 0);
		ck_assert_int_eq(qstore_commit(b.s, 0, tell_test, (void *)(uintptr_t)step), 0);
		qstore_turn(b.s);
	}
	_exit(0);
}

static int
live_and_die(int calls, int *killed)
{
	int fds[2], status, last = 0;
	uint8_t step;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	box_open(&b);
	if ((pid = fork()) == 0) {
		pipe_to_test = fds[1];
		live(calls);
	}
	ck_assert_int_ne(pid, -1);
	close(fds[1]);
	while (read(fds[0], &step, 1) == 1)
		last = step;
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	*killed = WIFSIGNALED(status);
	box_crash(&b);
	return last;
}

START_TEST(killed_at_any_call_what_was_told_is_there)
{
	int calls, killed = 1, last, first, second;

	box_close(&b);
	for (calls = 0; killed; calls++) {
		ck_assert_int_lt(calls, 200);
		last = live_and_die(calls, &killed);
		box_open(&b);
		ck_assert_msg(b.warnings == 0, "%s", b.warning);
		first = b.nfound > 0 && strcmp(b.found[0].qid, "1") == 0;
		second = b.nfound > 0 && strcmp(b.found[b.nfound - 1].qid, "2") == 0;
		if (last >= ADDED && last < REMOVED - 1)
			ck_assert(first && box_is_whole(&b, b.found[0].id, 1, 5000));
		if (last == DEFERRED)
			ck_assert_uint_ge(b.found[0].attempts, 4);
		if (first && second)
			ck_assert_uint_eq(b.found[0].attempts, 5);
		if (last >= GROUP) {
			ck_assert(second);
			ck_assert(box_is_whole(&b, b.found[b.nfound - 1].id, 2, 300 * 1024));
		}
		if (last >= REMOVED)
			ck_assert(!first);
		ck_assert_uint_eq(box_files(&b, "message."), second);
		/* The next one begins with an empty queue. */
		while (b.nfound > 0)
			box_drop(&b, b.found[--b.nfound].id);
		box_close(&b);
	}
	ck_assert_int_gt(calls, 10);
	box_open(&b);
}
END_TEST

Suite *crash_suite(void);
Suite *
crash_suite(void)
{
	const TTest *const tests[] = {a_file_that_ends_at_any_octet_of_its_tail,
	    a_tail_of_which_only_the_beginning_was_written, a_tail_of_which_any_sector_is_missing,
	    what_lies_behind_a_torn_group_never_comes_back, unsynced_groups_survive_the_process,
	    stale_groups_of_a_segment_used_again_are_nothing,
	    octets_of_a_message_are_never_taken_for_records,
	    killed_at_any_call_what_was_told_is_there, NULL};

	return unit_suite_around("queue: crash", setup, teardown, tests);
}
