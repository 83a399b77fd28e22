/*
 * Anything, in any order, on a disk that fails and a machine that crashes, beside a model of what
 * must be there.  QUEUE_MODEL_SEEDS=FROM,COUNT runs other sequences, QUEUE_MODEL_STEPS longer ones.
 */
#include <stdio.h>
#include <string.h>

#include "t/unit/queue/box.h"
#include "t/unit/queue/disk.h"
#include "t/unit/unit.h"

#define ITEMS 20000
#define GROUPS 40000
#define OPS 6

enum fate { OPEN, DONE, FAILED }; /* of a group: nothing was heard; durable; could not be written */
enum op_kind { OP_ADD, OP_CHANGE, OP_END };

struct group {
	enum fate fate;
	int doubtful; /* it failed, but the disk had no chance to say so before the crash */
	unsigned nops;
	struct op {
		enum op_kind kind;
		unsigned item;
		uint32_t attempts;
	} op[OPS];
};

struct item {
	qstore_id id;
	size_t size;
	int gone; /* it is not in the queue, and never will be */
	int there; /* it was told, or found at a start */
	uint32_t least, most; /* attempts that may be found */
	int ending; /* an end was asked for */
	int doubtful; /* an end failed, and the disk had no chance to say so */
	int stays; /* long */
};

static struct box b;
static struct item items[ITEMS];
static struct group groups[GROUPS];
static unsigned nitems, ngroups, first_group;

static void
no_doubts(void)
{
	unsigned i;

	for (i = first_group; i < ngroups; i++)
		groups[i].doubtful = 0;
	for (i = 0; i < nitems; i++)
		items[i].doubtful = 0;
}

static void
on_done(void *arg, int ok, const char *why)
{
	struct group *g = arg;
	unsigned i;

	(void)why;
	ck_assert_int_eq(g->fate, OPEN);
	g->fate = ok ? DONE : FAILED;
	g->doubtful = !ok;
	for (i = 0; i < g->nops; i++) {
		struct item *x = &items[g->op[i].item];

		switch (g->op[i].kind) {
		case OP_ADD:
			x->there = ok;
			break;
		case OP_CHANGE:
			if (ok && g->op[i].attempts > x->least)
				x->least = g->op[i].attempts;
			break;
		case OP_END:
			if (ok)
				x->gone = 1;
			else {
				x->ending = 0;
				x->doubtful = 1;
			}
		}
	}
	/* What failed before was told of on the disk before this could be written. */
	if (ok)
		no_doubts();
}

static size_t
any_size(void)
{
	uint64_t r = disk_below(100);

	if (r < 50)
		return disk_below(5000);
	if (r < 98)
		return disk_below(220000);
	return QSTORE_BIG + 1 + disk_below(100000);
}

static int
add_new(struct op *op)
{
	struct item *x = &items[nitems];

	memset(x, 0, sizeof *x);
	x->size = any_size();
	x->stays = disk_below(10) == 0;
	if (nitems == ITEMS || box_add(&b, nitems, x->size, 1, &x->id) == -1)
		return -1;
	*op = (struct op){.kind = OP_ADD, .item = nitems++};
	return 0;
}

static int
touch(struct op *op, int end)
{
	unsigned i, n = nitems < 400 ? nitems : 400;
	struct item *x;

	if (nitems == 0)
		return -1;
	/* Of the last ones mostly. */
	i = disk_below(3) ? nitems - 1 - (unsigned)disk_below(n) : (unsigned)disk_below(nitems);
	x = &items[i];
	if (!x->there || x->gone || x->ending || (end && x->stays && disk_below(20)))
		return -1;
	*op = (struct op){.kind = end ? OP_END : OP_CHANGE, .item = i, .attempts = x->most + 1};
	if ((end ? box_end(&b, x->id) : box_change(&b, x->id, x->most + 1, 1)) == -1)
		return -1;
	if (end)
		x->ending = 1;
	else
		x->most++;
	return 0;
}

static void
undo(struct group *g)
{
	unsigned i;

	qstore_abort(b.s);
	for (i = 0; i < g->nops; i++)
		if (g->op[i].kind == OP_END)
			items[g->op[i].item].ending = 0;
}

static void
some_group(void)
{
	struct group *g = &groups[ngroups];
	unsigned want = 1 + (unsigned)(disk_below(3) ? 0 : disk_below(OPS)), i;

	if (ngroups == GROUPS || qstore_begin(b.s) == -1)
		return;
	memset(g, 0, sizeof *g);
	for (i = 0; i < 3 * OPS && g->nops < want; i++) {
		uint64_t r = disk_below(100);

		if ((r < 40 ? add_new(&g->op[g->nops]) : touch(&g->op[g->nops], r > 55)) == 0)
			g->nops++;
	}
	if (g->nops == 0 || disk_below(25) == 0) {
		undo(g);
		return;
	}
	ngroups++;
	ck_assert_int_eq(qstore_commit(b.s, disk_below(3) == 0, on_done, g), 0);
}

/* The writer's turn, with nobody waiting for a sync perhaps. */
static void
half_turn(void)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);

	qs_stage_hand_over(b.s);
	STAILQ_CONCAT(&jobs, &b.s->w.queue);
	qs_writer_turn(b.s, &jobs, 0);
	qs_done_apply(b.s);
}

static int
is_there(const struct item *x)
{
	const struct box_found *f = box_find(&b, x->id);
	char qid[QUEUE_ID_MAX];

	(void)snprintf(qid, sizeof qid, "%u", (unsigned)(x - items));
	/* Its number may be another one's, if it never was durable. */
	return f != NULL && strcmp(f->qid, qid) == 0;
}

static void
check_item(unsigned i)
{
	struct item *x = &items[i];
	const struct box_found *f;

	if (!is_there(x)) {
		ck_assert_msg(!x->there || x->ending || x->doubtful || x->gone,
		    "message %u (%llu) is lost", i, (unsigned long long)x->id);
		x->gone = 1;
		return;
	}
	ck_assert_msg(!x->gone, "message %u is there again", i);
	f = box_find(&b, x->id);
	ck_assert_msg(f->attempts >= x->least && f->attempts <= x->most,
	    "message %u has attempts %u, not %u to %u", i, f->attempts, x->least, x->most);
	ck_assert_uint_eq(f->size, x->size);
	if (disk_below(10) == 0)
		ck_assert_msg(box_is_whole(&b, x->id, i, x->size), "message %u is damaged", i);
	x->there = 1;
	x->ending = 0;
	x->least = x->most = f->attempts;
}

/* All of a group is there or nothing; what was told that it failed is nothing. */
static void
check_group(const struct group *g)
{
	unsigned i, seen = 0, adds = 0;

	for (i = 0; i < g->nops; i++) {
		const struct item *x = &items[g->op[i].item];

		if (g->op[i].kind != OP_ADD || x->ending || x->doubtful || x->gone)
			continue;
		adds++;
		seen += is_there(x);
	}
	ck_assert_msg(seen == 0 || seen == adds, "%u of %u messages of a group", seen, adds);
	ck_assert_msg(g->fate != FAILED || g->doubtful || seen == 0, "a failed group is there");
	if (seen == 0 || g->fate != OPEN)
		return;
	for (i = 0; i < g->nops; i++) {
		const struct item *x = &items[g->op[i].item];
		const struct box_found *f = box_find(&b, x->id);

		if (g->op[i].kind == OP_END)
			ck_assert_msg(!is_there(x), "an end is missing of a group that is there");
		if (g->op[i].kind == OP_CHANGE && is_there(x))
			ck_assert_uint_ge(f->attempts, g->op[i].attempts);
	}
}

static void
start_again(void)
{
	unsigned i;

	disk_fail(0, 0);
	box_open(&b);
	ck_assert_msg(b.warnings == 0, "%s", b.warning);
	for (i = first_group; i < ngroups; i++)
		check_group(&groups[i]);
	for (i = 0; i < nitems; i++)
		check_item(i);
	no_doubts();
	first_group = ngroups;
}

static void
crash(void)
{
	static const unsigned percents[] = {0, 10, 50, 100};

	if (disk_below(3) == 0)
		disk_fail(0, 1);
	if (disk_below(3) == 0)
		half_turn();
	box_crash(&b);
	disk_lose_power(percents[disk_below(4)]);
	start_again();
}

static void
in_order(void)
{
	disk_fail(0, 0);
	/* Nothing may be lost then, and nobody is told any more: so those that wait are told. */
	b.s->w.open_at = b.s->w.retry_at = 0;
	qstore_turn(b.s);
	box_close(&b);
	start_again();
}

static void
step(void)
{
	uint64_t r = disk_below(1000);

	b.s->w.open_at = 0;
	if (r < 900)
		some_group();
	else if (r < 905)
		disk_fail(disk_below(2) ? 0 : 3 + (unsigned)disk_below(20), 0);
	else if (r < 915)
		crash();
	else if (r < 918)
		in_order();
	r = disk_below(10);
	if (r < 6)
		qstore_turn(b.s);
	else if (r < 8)
		half_turn();
}

static void
run(uint64_t seed, unsigned steps)
{
	struct qstore_counts n;
	unsigned i, there = 0;

	nitems = ngroups = first_group = 0;
	box_make(&b);
	b.conf.memory = 1 << 20;
	box_open(&b);
	disk_start(seed);
	for (i = 0; i < steps; i++)
		step();
	crash();
	qstore_count(b.s, &n);
	for (i = 0; i < nitems; i++)
		there += items[i].there && !items[i].gone;
	ck_assert_uint_eq(n.messages, there);
	/* When all have gone, all segments but a few can be used again. */
	for (i = 0; i < nitems; i++)
		if (items[i].there && !items[i].gone)
			box_drop(&b, items[i].id);
	for (i = 0; i < 3; i++)
		box_drop(&b, box_put(&b, i, 200000));
	qstore_count(b.s, &n);
	ck_assert_uint_eq(n.messages, 0);
	ck_assert_uint_ge(n.free_segments + 7, n.segments);
	ck_assert_uint_eq(box_files(&b, "message."), 0);
	disk_stop();
	box_remove(&b);
	memset(&b, 0, sizeof b);
}

START_TEST(what_was_told_is_there_and_what_ended_is_not_whatever_happens)
{
	const char *seeds = getenv("QUEUE_MODEL_SEEDS"), *steps = getenv("QUEUE_MODEL_STEPS");
	unsigned long from = 1, count = 3, i;

	if (seeds != NULL)
		ck_assert_int_eq(sscanf(seeds, "%lu,%lu", &from, &count), 2);
	for (i = from; i < from + count; i++) {
		if (seeds != NULL)
			fprintf(stderr, "seed %lu\n", i);
		run(i, steps ? (unsigned)strtoul(steps, NULL, 10) : 400);
	}
}
END_TEST

Suite *model_suite(void);
Suite *
model_suite(void)
{
	return unit_suite("queue: model",
	    (const TTest *const[]){
		what_was_told_is_there_and_what_ended_is_not_whatever_happens, NULL});
}
