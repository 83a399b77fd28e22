/* What is put in, changed and ended is so after the next opening, too. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

static void
reopen(void)
{
	box_close(&b);
	box_open(&b);
	ck_assert_msg(b.warnings == 0, "%s", b.warning);
}

START_TEST(an_empty_folder_is_an_empty_queue)
{
	struct qstore_counts n;

	ck_assert_uint_eq(b.nfound, 0);
	reopen();
	ck_assert_uint_eq(b.nfound, 0);
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, 0);
	ck_assert_uint_eq(n.segments, 0);
}
END_TEST

START_TEST(messages_are_told_of_in_order_with_their_envelopes_and_octets)
{
	static const size_t sizes[] = {
	    0, 1, 7, 8, 4096, 100000, BLOB_INLINE_MAX, BLOB_INLINE_MAX + 1, QSTORE_BIG};
	enum { N = sizeof sizes / sizeof sizes[0] };
	qstore_id id[N];
	struct qstore_counts n;
	size_t i;

	for (i = 0; i < N; i++)
		id[i] = box_put(&b, 100 + i, sizes[i]);
	for (i = 0; i < N; i++)
		ck_assert(box_is_whole(&b, id[i], 100 + i, sizes[i]));
	reopen();
	ck_assert_uint_eq(b.nfound, N);
	for (i = 0; i < N; i++) {
		char qid[16];

		(void)snprintf(qid, sizeof qid, "%zu", 100 + i);
		ck_assert_uint_eq(b.found[i].id, id[i]);
		ck_assert_uint_eq(b.found[i].size, sizes[i]);
		ck_assert_uint_eq(b.found[i].nrcpts, 1);
		ck_assert_int_eq(b.found[i].has_state, 0);
		ck_assert_str_eq(b.found[i].qid, qid);
		ck_assert(box_is_whole(&b, id[i], 100 + i, sizes[i]));
	}
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, N);
	/* Numbers go on. */
	ck_assert_uint_gt(box_put(&b, 1, 1), id[N - 1]);
}
END_TEST

START_TEST(the_last_state_counts_and_what_ended_is_gone)
{
	qstore_id a = box_put(&b, 1, 100), c = box_put(&b, 2, 100), d = box_put(&b, 3, 100);
	struct qstore_counts n;

	box_set(&b, a, 1);
	box_set(&b, a, 2);
	box_set(&b, c, 7);
	box_drop(&b, c);
	box_set(&b, a, 3);
	reopen();
	ck_assert_uint_eq(b.nfound, 2);
	ck_assert(box_find(&b, a)->has_state && box_find(&b, a)->attempts == 3);
	ck_assert_ptr_null(box_find(&b, c));
	ck_assert(!box_find(&b, d)->has_state);
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, 2);
	ck_assert_uint_eq(n.octets, 200);
	errno = 0;
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_end(&b, c), -1);
	ck_assert_int_eq(errno, EINVAL);
	qstore_abort(b.s);
}
END_TEST

START_TEST(a_group_given_up_leaves_nothing)
{
	qstore_id keep = box_put(&b, 1, 5000), id;
	struct qstore_counts n;
	char c;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(box_add(&b, 2, 4096, 3, &id), 0);
	ck_assert_int_eq(box_end(&b, keep), 0);
	/* It is about to end. */
	ck_assert_int_eq(box_change(&b, keep, 1, 1), -1);
	qstore_abort(b.s);
	ck_assert_int_eq(qstore_read(b.s, id, &c, 1, 0), -1);
	ck_assert_int_eq(errno, ENOENT);
	box_set(&b, keep, 1);
	reopen();
	ck_assert_uint_eq(b.nfound, 1);
	ck_assert_uint_eq(b.found[0].id, keep);
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, 1);
}
END_TEST

START_TEST(groups_are_begun_and_committed_in_pairs)
{
	qstore_id id;

	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), -1);
	ck_assert_int_eq(box_add(&b, 1, 1, 1, &id), -1);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(qstore_begin(b.s), -1);
	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
	qstore_abort(b.s);
	qstore_abort(b.s);
}
END_TEST

START_TEST(fields_out_of_their_bounds_are_refused)
{
	struct envelope env = {.qid = "", .tx = "x"};
	struct queue_rcpt rcpt = {.addr = "a@b"};
	struct qstore_entry e = {.envelope = {&env, 1}, .rcpts = {&rcpt, 1}};
	struct octets o = octets_mem("abc", 3);
	qstore_id id;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(qstore_add(b.s, &e, &o, &id), -1);
	ck_assert_int_eq(errno, EINVAL);
	env.qid = "Q";
	ck_assert_int_eq(qstore_add(b.s, &e, &o, &id), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), 0);
	reopen();
	ck_assert_uint_eq(b.nfound, 1);
	ck_assert_str_eq(b.found[0].qid, "Q");
}
END_TEST

START_TEST(a_group_of_many_messages_with_many_recipients_is_one)
{
	enum { N = 60 };
	qstore_id id[N];
	struct box_done d = {0};
	unsigned i;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	for (i = 0; i < N; i++)
		ck_assert_int_eq(box_add(&b, i, 9000, i % 5 ? 3 : RCPTS_MAX, &id[i]), 0);
	for (i = 0; i < N; i++)
		ck_assert(box_is_whole(&b, id[i], i, 9000));
	ck_assert_int_eq(qstore_commit(b.s, 0, box_done, &d), 0);
	qstore_turn(b.s);
	ck_assert(d.called == 1 && d.ok);
	reopen();
	ck_assert_uint_eq(b.nfound, N);
	for (i = 0; i < N; i++) {
		ck_assert_uint_eq(b.found[i].nrcpts, i % 5 ? 3 : RCPTS_MAX);
		ck_assert(box_is_whole(&b, id[i], i, 9000));
	}
}
END_TEST

START_TEST(messages_that_burden_their_group_have_files_of_their_own)
{
	enum { N = 30 };
	qstore_id id[N];
	unsigned i;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	for (i = 0; i < N; i++)
		ck_assert_int_eq(box_add(&b, i, QSTORE_BIG, 1, &id[i]), 0);
	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), 0);
	qstore_turn(b.s);
	ck_assert_uint_gt(box_files(&b, "message."), 0);
	reopen();
	ck_assert_uint_eq(b.nfound, N);
	for (i = 0; i < N; i++)
		ck_assert(box_is_whole(&b, id[i], i, QSTORE_BIG));
}
END_TEST

START_TEST(what_is_too_much_for_a_group_is_refused_and_the_rest_stays)
{
	unsigned i = 0;
	qstore_id id;

	ck_assert_int_eq(qstore_begin(b.s), 0);
	while (box_add(&b, i, 10, RCPTS_MAX, &id) == 0)
		i++;
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_gt(i, 40);
	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), 0);
	reopen();
	ck_assert_uint_eq(b.nfound, i);
}
END_TEST

static void
check_blob(qstore_id id, uint64_t n, size_t size, enum blob_kind kind)
{
	uint8_t *want = box_body(n, size), *have = malloc(size + 1);
	struct spool sp;
	struct octets o;
	struct blob blob;
	int fd;

	ck_assert_int_eq(qstore_blob(b.s, id, &blob, &fd), 0);
	ck_assert_int_eq(blob.kind, kind);
	ck_assert_uint_eq(blob.size, size);
	ck_assert_int_eq(fd == -1, kind == BLOB_INLINE);
	if (kind == BLOB_FILE)
		ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	/* As deliverd receives it. */
	ck_assert_int_eq(spool_receive(&sp, &blob, fd, 1 << 30), 0);
	ck_assert_int_eq(spool_octets(&sp, &o), 0);
	ck_assert_int_eq(octets_read(&o, have, size, 0), 0);
	ck_assert_mem_eq(have, want, size);
	spool_free(&sp);
	free(want);
	free(have);
}

START_TEST(blobs_are_what_a_receiver_accepts)
{
	static const struct {
		size_t size;
		enum blob_kind kind;
	} t[] = {{0, BLOB_INLINE}, {4096, BLOB_INLINE}, {BLOB_INLINE_MAX, BLOB_INLINE},
	    {BLOB_INLINE_MAX + 1, BLOB_MEMFD}, {QSTORE_BIG, BLOB_MEMFD},
	    {QSTORE_BIG + 1, BLOB_FILE}, {5 * 1024 * 1024 + 3, BLOB_FILE}};
	enum { N = sizeof t / sizeof t[0] };
	qstore_id id[N];
	unsigned i, round;

	for (i = 0; i < N; i++)
		id[i] = box_put(&b, i, t[i].size);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < N; i++)
			check_blob(id[i], i, t[i].size, t[i].kind);
		reopen();
	}
}
END_TEST

static void
add_spool(uint64_t n, size_t size, int taken, qstore_id *id)
{
	struct envelope env = {.qid = "S", .tx = "S"};
	struct queue_rcpt rcpt = {.addr = "a@b"};
	struct qstore_entry e = {.envelope = {&env, 1}, .rcpts = {&rcpt, 1}};
	uint8_t *body = box_body(n, size);
	struct spool sp;

	spool_init(&sp, 1 << 30, b.dir);
	ck_assert_int_eq(spool_write(&sp, body, size), 0);
	ck_assert_int_eq(qstore_begin(b.s), 0);
	ck_assert_int_eq(qstore_add_spool(b.s, &e, &sp, id), 0);
	ck_assert_uint_eq(sp.size, taken ? 0 : size);
	spool_free(&sp);
	ck_assert_int_eq(qstore_commit(b.s, 0, NULL, NULL), 0);
	qstore_turn(b.s);
	free(body);
}

START_TEST(large_messages_come_by_spool_of_every_kind)
{
	static const size_t sizes[] = {
	    1000, 200 * 1024, QSTORE_BIG + 1, BLOB_MEMFD_MAX, BLOB_MEMFD_MAX + 1, 9 * 1024 * 1024};
	enum { N = sizeof sizes / sizeof sizes[0] };
	qstore_id id[N];
	struct qstore_counts n;
	unsigned i, round;

	for (i = 0; i < N; i++)
		add_spool(i, sizes[i], sizes[i] > QSTORE_BIG, &id[i]);
	ck_assert_uint_eq(box_files(&b, "message."), 4);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < N; i++)
			ck_assert(box_is_whole(&b, id[i], i, sizes[i]));
		reopen();
	}
	for (i = 0; i < N; i++)
		box_drop(&b, id[i]);
	ck_assert_uint_eq(box_files(&b, "message."), 0);
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, 0);
	ck_assert_uint_eq(n.octets, 0);
}
END_TEST

START_TEST(reads_have_bounds)
{
	qstore_id id = box_put(&b, 5, 1000), big = box_put(&b, 6, QSTORE_BIG + 5);
	uint8_t *want = box_body(5, 1000), p[1000];

	ck_assert_int_eq(qstore_read(b.s, id, p, 1000, 0), 0);
	ck_assert_int_eq(qstore_read(b.s, id, p, 10, 990), 0);
	ck_assert_mem_eq(p, want + 990, 10);
	ck_assert_int_eq(qstore_read(b.s, id, p, 11, 990), -1);
	ck_assert_int_eq(qstore_read(b.s, id, p, 0, 1001), -1);
	ck_assert_int_eq(qstore_read(b.s, big, p, 6, QSTORE_BIG), -1);
	ck_assert_int_eq(qstore_read(b.s, id + 100, p, 1, 0), -1);
	ck_assert_int_eq(errno, ENOENT);
	free(want);
}
END_TEST

START_TEST(what_left_the_memory_is_read_from_the_disk)
{
	enum { N = 400 };
	qstore_id id[N];
	unsigned i;

	b.conf.memory = 1 << 20;
	qstore_reload(b.s, &b.conf);
	for (i = 0; i < N; i++)
		id[i] = box_put(&b, i, 10000);
	ck_assert_uint_le(b.s->chunk_octets, (1 << 20) + 2 * CHUNK);
	for (i = 0; i < N; i++)
		ck_assert(box_is_whole(&b, id[i], i, 10000));
	for (i = 0; i < N; i += 2)
		box_drop(&b, id[i]);
	for (i = 1; i < N; i += 2)
		ck_assert(box_is_whole(&b, id[i], i, 10000));
}
END_TEST

START_TEST(memory_of_messages_that_ended_is_used_again)
{
	unsigned i;

	for (i = 0; i < 500; i++)
		box_drop(&b, box_put(&b, i, 10000));
	ck_assert_uint_le(b.s->chunk_octets, 2 * CHUNK);
	ck_assert_uint_le(sizeof(struct msg), 56);
	ck_assert_uint_le(b.s->slots.used, 2 * SEGMENT_MIN / 10000);
}
END_TEST

START_TEST(two_cannot_be_at_work_in_one_folder)
{
	struct err e = {0};
	struct qstore *other =
	    qstore_open_dir(fcntl(b.dir, F_DUPFD_CLOEXEC, 0), &b.conf, NULL, NULL, &e);

	ck_assert_ptr_null(other);
	ck_assert_int_eq(e.code, EBUSY);
	ck_assert_int_eq(qstore_check(b.dir, 0, NULL, NULL, &e), -1);
	ck_assert_int_eq(e.code, EBUSY);
}
END_TEST

Suite *store_suite(void);
Suite *
store_suite(void)
{
	const TTest *const tests[] = {an_empty_folder_is_an_empty_queue,
	    messages_are_told_of_in_order_with_their_envelopes_and_octets,
	    the_last_state_counts_and_what_ended_is_gone, a_group_given_up_leaves_nothing,
	    groups_are_begun_and_committed_in_pairs, fields_out_of_their_bounds_are_refused,
	    a_group_of_many_messages_with_many_recipients_is_one,
	    messages_that_burden_their_group_have_files_of_their_own,
	    what_is_too_much_for_a_group_is_refused_and_the_rest_stays,
	    blobs_are_what_a_receiver_accepts, large_messages_come_by_spool_of_every_kind,
	    reads_have_bounds, what_left_the_memory_is_read_from_the_disk,
	    memory_of_messages_that_ended_is_used_again, two_cannot_be_at_work_in_one_folder, NULL};

	return unit_suite_around("queue: store", setup, teardown, tests);
}
