#include "t/unit/queued/fakestore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "t/unit/unit.h"

#define MESSAGES_MAX 20000

struct stored {
	qstore_id id;
	struct buf entry; /* rec_qstore_entry */
	struct buf state; /* rec_qstore_state; empty: none */
	char *text;
	size_t size;
	int live;
};

/* A record of a group. */
struct op {
	struct op *next;
	struct stored *fresh; /* a new message; else a change */
	qstore_id id;
	int ends;
	struct buf state;
};

struct group {
	struct group *next;
	struct op *ops, **tail;
	int durable, ok;
	void (*done)(void *arg, int ok, const char *why);
	void *arg;
};

int disk_manual, disk_errno, disk_add_errno, disk_read_errno;
unsigned disk_changes;

static struct stored *all[MESSAGES_MAX];
static unsigned nall;
static qstore_id last_id;
static struct group *open_group, *groups, **groups_tail = &groups;
static int full;
static void (*room_changed)(void *arg);
static void *room_arg;

struct qstore {
	int unused;
};
static struct qstore the_store;

REC_DEFINE(qstore_rcpt, REC_QSTORE_RCPT)
REC_DEFINE(qstore_state, REC_QSTORE_STATE)
REC_DEFINE(qstore_entry, REC_QSTORE_ENTRY)

static struct stored *
by_id(qstore_id id)
{
	unsigned i;

	for (i = nall; i > 0; i--)
		if (all[i - 1]->id == id)
			return all[i - 1];
	return NULL;
}

static void
stored_free(struct stored *s)
{
	buf_free(&s->entry);
	buf_free(&s->state);
	free(s->text);
	free(s);
}

static void
group_free(struct group *g, int keep)
{
	struct op *o;

	while ((o = g->ops) != NULL) {
		g->ops = o->next;
		if (o->fresh != NULL && !keep)
			stored_free(o->fresh);
		buf_free(&o->state);
		free(o);
	}
	free(g);
}

void
disk_empty(void)
{
	struct group *g;

	while (nall > 0)
		stored_free(all[--nall]);
	while ((g = groups) != NULL) {
		groups = g->next;
		group_free(g, 0);
	}
	groups_tail = &groups;
	disk_manual = disk_errno = disk_add_errno = disk_read_errno = full = 0;
	disk_changes = 0;
}

static int
all_done(const struct qstore_state *s)
{
	size_t i;

	for (i = 0; i < s->rcpts.n; i++)
		if (s->rcpts.v[i].state != 0)
			return 0;
	return s->rcpts.n > 0;
}

static void
apply(struct group *g)
{
	struct qstore_state *s;
	struct stored *m;
	struct op *o;

	for (o = g->ops; o != NULL; o = o->next) {
		if (o->fresh != NULL) {
			ck_assert_uint_lt(nall, MESSAGES_MAX);
			all[nall++] = o->fresh;
			continue;
		}
		disk_changes++;
		ck_assert_ptr_nonnull(m = by_id(o->id));
		ck_assert_msg(m->live, "a change of a message that was ended");
		buf_reset(&m->state);
		ck_assert_int_eq(buf_put(&m->state, buf_ptr(&o->state), buf_len(&o->state)), 0);
		s = rec_decode(&rec_qstore_state, buf_ptr(&o->state), buf_len(&o->state));
		ck_assert_ptr_nonnull(s);
		m->live = !all_done(s);
		free(s);
	}
}

/* In order: the first that is decided, then the next. */
void
disk_turn(void)
{
	struct group *g;

	while ((g = groups) != NULL && (g->durable || !disk_manual)) {
		if ((groups = g->next) == NULL)
			groups_tail = &groups;
		if (!g->durable)
			g->ok = 1;
		if (g->ok)
			apply(g);
		if (g->done != NULL)
			g->done(g->arg, g->ok, g->ok ? NULL : "the disk is bad");
		group_free(g, g->ok);
	}
}

void
disk_sync(int ok)
{
	struct group *g;

	for (g = groups; g != NULL; g = g->next)
		if (!g->durable) {
			g->durable = 1;
			g->ok = ok;
		}
}

void
disk_set_full(int is)
{
	full = is;
	if (room_changed != NULL)
		room_changed(room_arg);
}

unsigned
disk_live(void)
{
	unsigned i, n = 0;

	for (i = 0; i < nall; i++)
		n += all[i]->live != 0;
	return n;
}

static struct stored *
find(const char *qid)
{
	struct qstore_entry *e;
	unsigned i;
	int is;

	for (i = nall; i > 0; i--) {
		if (!all[i - 1]->live)
			continue;
		e = rec_decode(
		    &rec_qstore_entry, buf_ptr(&all[i - 1]->entry), buf_len(&all[i - 1]->entry));
		is = strcmp(e->envelope.v[0].qid, qid) == 0;
		free(e);
		if (is)
			return all[i - 1];
	}
	return NULL;
}

unsigned
disk_has(const char *qid)
{
	return find(qid) != NULL;
}

const struct qstore_state *
disk_state(const char *qid)
{
	static struct qstore_state *last;
	struct stored *s = find(qid);

	free(last);
	last = NULL;
	if (s != NULL && buf_len(&s->state) > 0)
		last = rec_decode(&rec_qstore_state, buf_ptr(&s->state), buf_len(&s->state));
	return last;
}

const char *
disk_text(const char *qid)
{
	struct stored *s = find(qid);

	return s != NULL ? s->text : NULL;
}

const char *
disk_qid(unsigned nth)
{
	static char qid[QUEUE_ID_MAX];
	struct qstore_entry *e;
	unsigned i;

	for (i = 0; i < nall; i++)
		if (all[i]->live && nth-- == 0) {
			e = rec_decode(
			    &rec_qstore_entry, buf_ptr(&all[i]->entry), buf_len(&all[i]->entry));
			(void)strlcpy(qid, e->envelope.v[0].qid, sizeof qid);
			free(e);
			return qid;
		}
	return NULL;
}

/* ---- lib/queue/qstore.h ---- */

struct qstore *
qstore_open_dir(
    int dir, const struct conf_queue *conf, qstore_found_fn found, void *arg, struct err *e)
{
	struct qstore_entry *entry;
	struct qstore_state *state;
	struct group *g;
	unsigned i;

	(void)close(dir);
	(void)conf;
	(void)e;
	/* What was not durable when the process ended. */
	while ((g = groups) != NULL) {
		groups = g->next;
		group_free(g, 0);
	}
	groups_tail = &groups;
	for (i = 0; i < nall; i++) {
		if (!all[i]->live)
			continue;
		entry =
		    rec_decode(&rec_qstore_entry, buf_ptr(&all[i]->entry), buf_len(&all[i]->entry));
		state = buf_len(&all[i]->state) > 0
			    ? rec_decode(&rec_qstore_state, buf_ptr(&all[i]->state),
				  buf_len(&all[i]->state))
			    : NULL;
		found(arg, all[i]->id, entry, state);
		free(entry);
		free(state);
	}
	return &the_store;
}

int
qstore_start(struct qstore *s, struct event_base *base, struct err *e)
{
	(void)s;
	(void)base;
	(void)e;
	return 0;
}

int
qstore_add_spool(
    struct qstore *s, const struct qstore_entry *entry, struct spool *message, qstore_id *id)
{
	struct octets o;

	return spool_octets(message, &o) == -1 ? -1 : qstore_add(s, entry, &o, id);
}

void
qstore_close(struct qstore *s)
{
	struct group *g;

	(void)s;
	while ((g = groups) != NULL) {
		groups = g->next;
		apply(g);
		group_free(g, 1);
	}
	groups_tail = &groups;
	room_changed = NULL;
}

void
qstore_reload(struct qstore *s, const struct conf_queue *conf)
{
	(void)s;
	(void)conf;
}

int
qstore_full(const struct qstore *s, char *why, size_t whysz)
{
	(void)s;
	(void)strlcpy(why, full ? "no room" : "", whysz);
	return full;
}

void
qstore_on_room(struct qstore *s, void (*changed)(void *arg), void *arg)
{
	(void)s;
	room_changed = changed;
	room_arg = arg;
}

int
qstore_begin(struct qstore *s)
{
	(void)s;
	ck_assert_ptr_null(open_group);
	open_group = calloc(1, sizeof *open_group);
	open_group->tail = &open_group->ops;
	return 0;
}

static struct op *
op_new(void)
{
	struct op *o = calloc(1, sizeof *o);

	buf_init(&o->state, 1024 * 1024);
	*open_group->tail = o;
	open_group->tail = &o->next;
	return o;
}

void
qstore_frees(struct qstore *s)
{
	(void)s;
	ck_assert_ptr_nonnull(open_group);
}

int
qstore_add(
    struct qstore *s, const struct qstore_entry *entry, struct octets *message, qstore_id *id)
{
	struct stored *m;

	(void)s;
	ck_assert_ptr_nonnull(open_group);
	if (disk_errno != 0 || disk_add_errno != 0) {
		errno = disk_errno != 0 ? disk_errno : disk_add_errno;
		return -1;
	}
	m = calloc(1, sizeof *m);
	m->id = *id = ++last_id;
	m->live = 1;
	buf_init(&m->entry, 1024 * 1024);
	buf_init(&m->state, 1024 * 1024);
	ck_assert_int_eq(rec_encode(&rec_qstore_entry, entry, &m->entry), 0);
	m->size = message->size;
	ck_assert_uint_eq(entry->size, message->size);
	ck_assert_ptr_nonnull(m->text = calloc(1, m->size + 1));
	ck_assert_int_eq(octets_read(message, m->text, m->size, 0), 0);
	op_new()->fresh = m;
	return 0;
}

int
qstore_change(struct qstore *s, qstore_id id, const struct qstore_state *state)
{
	struct group *g;
	struct op *o;

	(void)s;
	ck_assert_ptr_nonnull(open_group);
	if (disk_errno != 0) {
		errno = disk_errno;
		return -1;
	}
	for (g = groups; g != NULL; g = g->next)
		for (o = g->ops; o != NULL; o = o->next)
			ck_assert_msg(o->fresh != NULL || o->id != id || !o->ends,
			    "a change of a message that ends");
	o = op_new();
	o->id = id;
	o->ends = all_done(state);
	ck_assert_int_eq(rec_encode(&rec_qstore_state, state, &o->state), 0);
	return 0;
}

int
qstore_commit(
    struct qstore *s, int lazily, void (*done)(void *arg, int ok, const char *why), void *arg)
{
	(void)s;
	ck_assert_ptr_nonnull(open_group);
	ck_assert_int_eq(lazily != 0, done == NULL);
	open_group->done = done;
	open_group->arg = arg;
	*groups_tail = open_group;
	groups_tail = &open_group->next;
	open_group = NULL;
	return 0;
}

void
qstore_abort(struct qstore *s)
{
	(void)s;
	ck_assert_ptr_nonnull(open_group);
	group_free(open_group, 0);
	open_group = NULL;
}

int
qstore_read(struct qstore *s, qstore_id id, void *p, size_t n, uint64_t off)
{
	struct stored *m = by_id(id);

	(void)s;
	ck_assert_ptr_nonnull(m);
	ck_assert(off + n <= m->size);
	if (disk_read_errno != 0) {
		errno = disk_read_errno;
		return -1;
	}
	memcpy(p, m->text + off, n);
	return 0;
}

int
qstore_blob(struct qstore *s, qstore_id id, struct blob *b, int *fd)
{
	struct stored *m = by_id(id);

	(void)s;
	ck_assert_ptr_nonnull(m);
	if (disk_read_errno != 0) {
		errno = disk_read_errno;
		return -1;
	}
	*b = (struct blob){.kind = BLOB_INLINE, .size = m->size};
	b->data = (struct bytes){(const uint8_t *)m->text, m->size};
	*fd = -1;
	return 0;
}

void
qstore_count(const struct qstore *s, struct qstore_counts *n)
{
	(void)s;
	memset(n, 0, sizeof *n);
	n->messages = disk_live();
}
