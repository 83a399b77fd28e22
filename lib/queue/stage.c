/* Groups: put together in memory, then handed to the writer at the end of the loop's round. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/inner.h"

#define SMALL 1024 /* octets of a message that are no burden to any group */
#define META_MAX                                                                                   \
	(2 * 1024 * 1024) /* octets of an envelope or a state with RCPTS_MAX recipients            \
			   */

static int
failed(int code)
{
	errno = code;
	return -1;
}

struct job *
qs_job_new(struct qstore *s, enum job_kind kind)
{
	struct job *j = calloc(1, sizeof *j);

	(void)s;
	if (j == NULL)
		return NULL;
	j->kind = kind;
	STAILQ_INIT(&j->bigs);
	return j;
}

void
qs_job_free(struct qstore *s, struct job *j)
{
	struct big *b;

	while ((b = STAILQ_FIRST(&j->bigs)) != NULL) {
		STAILQ_REMOVE_HEAD(&j->bigs, next);
		s->bigs--;
		qs_big_free(b);
	}
	if (j->chunk != NULL)
		qs_cache_job_done(s, j->chunk);
	else if (j->p != NULL) {
		explicit_bzero(j->p, j->len);
		free(j->p);
	}
	free(j->item);
	free(j);
}

int
qs_group_next(const struct job *j, uint32_t *at, struct record *r)
{
	return *at < j->len && qs_record_decode(r, j->p + *at, j->len - *at) == 0;
}

int
qstore_begin(struct qstore *s)
{
	if (s->group != NULL)
		return failed(EINVAL);
	if (s->waiting > 2 * (uint64_t)WAITING_MAX)
		return failed(EAGAIN);
	if ((s->group = qs_job_new(s, JOB_GROUP)) == NULL)
		return -1;
	s->group->len = GROUP_HEAD;
	if (qs_cache_reserve(s, RECORD_HEAD) == NULL) {
		s->group->p = NULL;
		qs_job_free(s, s->group);
		s->group = NULL;
		return failed(ENOMEM);
	}
	return 0;
}

void
qstore_frees(struct qstore *s)
{
	if (s->group != NULL)
		s->group->frees = 1;
}

/* n octets behind the group as it is. */
static uint8_t *
reserve(struct qstore *s, uint64_t n)
{
	if (n > GROUP_MAX - s->group->len) {
		errno = EMSGSIZE;
		return NULL;
	}
	return qs_cache_reserve(s, (uint32_t)n);
}

/*
 * Encode v behind room for a record's head and the first prefix octets of its meta.  Returns the
 * octets of meta, or -1.
 */
static int64_t
put_meta(struct qstore *s, const struct rec *rec, const void *v, size_t prefix, size_t guess)
{
	size_t head = RECORD_HEAD + prefix;
	struct buf b;
	uint8_t *p;

	for (;; guess *= 2) {
		/* 8: the record's end is rounded up. */
		if ((p = reserve(s, head + guess + 8)) == NULL)
			return -1;
		b = (struct buf){.data = p + head, .size = guess, .max = guess};
		if (rec_encode(rec, v, &b) == 0)
			return (int64_t)(prefix + b.end);
		if (errno != EMSGSIZE || guess > META_MAX)
			return -1;
	}
}

/* The record's head, and zeros behind its end; it belongs to the group now. */
static void
put_record(struct job *j, const struct record *r)
{
	uint32_t n = RECORD_HEAD + r->meta + r->body;

	qs_record_encode(r, j->p + j->len);
	memset(j->p + j->len + n, 0, record_len(r) - n);
	j->len += record_len(r);
	j->nrec++;
}

static uint32_t
new_message(struct qstore *s, const struct record *r, uint64_t size)
{
	struct job *j = s->group;
	uint32_t slot = qs_slot_new(s, r->id);
	struct msg *m;

	if (slot == NONE)
		return NONE;
	if (qs_index_add(s, slot) == -1) {
		qs_slot_free(s, slot);
		return NONE;
	}
	m = qs_slot_msg(s, slot);
	m->flags |= M_STAGED;
	m->body = RECORD_HEAD + r->meta;
	m->size = r->body;
	if (r->kind == RECORD_BIG) {
		m->flags |= M_BIG;
		m->size = (uint32_t)((size + 1023) >> 10);
		s->big_octets += (uint64_t)m->size << 10;
	}
	m->chunk = j->chunk->no;
	m->coff = (uint32_t)(j->p - j->chunk->data) + j->len;
	j->chunk->live++;
	return slot;
}

static int
may_add(const struct qstore *s, uint64_t size)
{
	int64_t room;

	if (s->group == NULL)
		return failed(EINVAL);
	if (s->waiting > WAITING_MAX || s->bigs >= BIGS_MAX)
		return failed(EAGAIN);
	room = qs_room_for(s, s->group->frees);
	if (room < 0 || (size > QSTORE_BIG && room < (int64_t)size))
		return failed(ENOSPC);
	return 0;
}

static int
goes_alone(const struct qstore *s, uint64_t size)
{
	return size > QSTORE_BIG || (size > SMALL && s->group->len + size > GROUP_BODIES);
}

static size_t
guess_entry(const struct qstore_entry *e)
{
	return 1024 + e->rcpts.n * 128;
}

/* With its octets, which are read now. */
static int
add_small(struct qstore *s, const struct qstore_entry *e, const struct octets *o, qstore_id *id)
{
	struct record r = {.kind = RECORD_MESSAGE};
	struct job *j = s->group;
	uint32_t len = j->len;
	int64_t meta;
	uint8_t *p;

	if ((meta = put_meta(s, &rec_qstore_entry, e, 0, guess_entry(e))) == -1)
		return -1;
	r.meta = (uint32_t)meta;
	r.body = (uint32_t)o->size;
	r.id = s->next_id;
	r.lsn = s->next_lsn;
	/* So that what stands there already goes along to another chunk. */
	j->len += RECORD_HEAD + r.meta;
	p = reserve(s, r.body + 8);
	j->len = len;
	if (p == NULL || octets_read(o, p, r.body, 0) == -1 || new_message(s, &r, 0) == NONE)
		return -1;
	put_record(j, &r);
	s->next_lsn++;
	*id = s->next_id++;
	return 0;
}

/* With a file of its own; b->src is its octets. */
static int
add_big(struct qstore *s, const struct qstore_entry *e, struct big *b, qstore_id *id)
{
	struct record r = {.kind = RECORD_BIG};
	struct job *j = s->group;
	int64_t meta;

	if ((meta = put_meta(s, &rec_qstore_entry, e, BIG_META, guess_entry(e))) == -1)
		return -1;
	r.meta = (uint32_t)meta;
	r.id = s->next_id;
	r.lsn = s->next_lsn;
	if (new_message(s, &r, e->size) == NONE)
		return -1;
	memcpy(j->p + j->len + RECORD_HEAD + BIG_KEY, b->key, sizeof b->key);
	put_be64(j->p + j->len + RECORD_HEAD + BIG_SIZE, e->size);
	b->id = r.id;
	b->at = j->len;
	put_record(j, &r);
	STAILQ_INSERT_TAIL(&j->bigs, b, next);
	s->bigs++;
	s->next_lsn++;
	*id = s->next_id++;
	return 0;
}

/* A big one that is not in a spool: it is copied into one. */
static int
spool_octets_of(struct qstore *s, struct spool *sp, const struct octets *o)
{
	struct sink to = spool_sink(sp);

	spool_init(sp, o->size, s->dir);
	if (sink_copy(&to, o, 0, o->size) == 0 && spool_finish(sp) == 0)
		return 0;
	spool_free(sp);
	return -1;
}

int
qstore_add(
    struct qstore *s, const struct qstore_entry *entry, struct octets *message, qstore_id *id)
{
	struct qstore_entry e = *entry;
	struct spool sp;

	e.size = message->size;
	if (may_add(s, e.size) == -1)
		return -1;
	if (!goes_alone(s, e.size))
		return add_small(s, &e, message, id);
	if (spool_octets_of(s, &sp, message) == -1)
		return -1;
	if (qstore_add_spool(s, &e, &sp, id) == 0)
		return 0;
	spool_free(&sp);
	return -1;
}

int
qstore_add_spool(
    struct qstore *s, const struct qstore_entry *entry, struct spool *message, qstore_id *id)
{
	struct qstore_entry e = *entry;
	struct octets o;
	struct big *b;

	if (spool_octets(message, &o) == -1)
		return -1;
	e.size = o.size;
	if (may_add(s, e.size) == -1)
		return -1;
	if (!goes_alone(s, e.size))
		return add_small(s, &e, &o, id);
	if ((b = calloc(1, sizeof *b)) == NULL)
		return -1;
	b->src = *message;
	if (qs_big_begin(b) == -1 || add_big(s, &e, b, id) == -1) {
		/* The spool is still the caller's. */
		spool_init(&b->src, 0, -1);
		qs_big_free(b);
		return -1;
	}
	spool_init(message, message->max, message->dirfd);
	return 0;
}

static int
all_done(const struct qstore_state *st)
{
	size_t i;

	for (i = 0; i < st->rcpts.n; i++)
		if (st->rcpts.v[i].state != 0)
			return 0;
	return st->rcpts.n > 0;
}

int
qstore_change(struct qstore *s, qstore_id id, const struct qstore_state *state)
{
	struct record r = {.kind = RECORD_STATE, .id = id};
	uint32_t slot = qs_index_find(s, id);
	int64_t meta = 0;

	if (s->group == NULL || slot == NONE || qs_slot_msg(s, slot)->flags & (M_ENDING | M_DEAD))
		return failed(EINVAL);
	if (all_done(state)) {
		if (rec_bad_field(&rec_qstore_state, state) != NULL)
			return failed(EINVAL);
		r.kind = RECORD_END;
		if (reserve(s, RECORD_HEAD) == NULL)
			return -1;
	} else if ((meta = put_meta(s, &rec_qstore_state, state, 0, 64 + state->rcpts.n * 128)) ==
		   -1)
		return -1;
	if (r.kind == RECORD_END)
		qs_slot_msg(s, slot)->flags |= M_ENDING;
	r.meta = (uint32_t)meta;
	r.lsn = s->next_lsn++;
	put_record(s->group, &r);
	return 0;
}

int
qstore_commit(
    struct qstore *s, int lazily, void (*done)(void *arg, int ok, const char *why), void *arg)
{
	struct job *j = s->group;

	if (j == NULL || j->nrec == 0)
		return failed(EINVAL);
	s->group = NULL;
	j->chunk->used = (uint32_t)(j->p - j->chunk->data) + j->len;
	j->lazily = lazily;
	j->done = done;
	j->arg = arg;
	s->waiting += j->len;
	s->room -= j->len;
	STAILQ_INSERT_TAIL(&s->pending, j, next);
	if (s->base != NULL && !s->kicked) {
		/* Behind what is active in this round of the loop already. */
		s->kicked = 1;
		event_active(&s->kick, EV_TIMEOUT, 0);
	}
	return 0;
}

void
qs_stage_undo(struct qstore *s, struct job *j)
{
	uint32_t at = GROUP_HEAD, slot;
	struct record r;

	for (; qs_group_next(j, &at, &r); at += record_len(&r)) {
		if ((slot = qs_index_find(s, r.id)) == NONE)
			continue;
		if (r.kind == RECORD_MESSAGE || r.kind == RECORD_BIG)
			qs_life_forget(s, slot);
		else if (r.kind == RECORD_END)
			qs_slot_msg(s, slot)->flags &= ~(uint32_t)M_ENDING;
	}
}

void
qstore_abort(struct qstore *s)
{
	struct job *j = s->group;

	if (j == NULL)
		return;
	s->group = NULL;
	qs_stage_undo(s, j);
	qs_job_free(s, j);
}

void
qs_stage_submit(struct qstore *s, struct job *j)
{
	(void)pthread_mutex_lock(&s->w.lock);
	STAILQ_INSERT_TAIL(&s->w.queue, j, next);
	(void)pthread_cond_signal(&s->w.work);
	(void)pthread_mutex_unlock(&s->w.lock);
}

void
qs_stage_hand_over(struct qstore *s)
{
	if (STAILQ_EMPTY(&s->pending))
		return;
	qs_segment_supply(s);
	(void)pthread_mutex_lock(&s->w.lock);
	STAILQ_CONCAT(&s->w.queue, &s->pending);
	s->w.next_id = s->next_id;
	s->w.next_lsn = s->next_lsn;
	(void)pthread_cond_signal(&s->w.work);
	(void)pthread_mutex_unlock(&s->w.lock);
}
