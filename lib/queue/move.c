/*
 * Segments in which little is left are emptied, so that they can be used again: what counts is
 * copied, with its numbers, to the segment of what was moved.  There it is among its like: what
 * stayed once mostly stays long.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "queue/inner.h"

#define SLOTS_AT_ONCE 16384 /* looked at before the loop goes on */
#define FEW 4 /* segments in use that are no reason to copy anything */

/* How full a segment may be at most to be emptied: a half, or more when the room gets short. */
static int
is_worth_it(const struct qstore *s, const struct seg *seg)
{
	uint64_t limit = s->room < 4 * (int64_t)qs_segment_size(s) ? 3 : 2;

	return seg->state == SEG_SEALED && seg->live > 0 && !seg->no_move &&
	       seg->octets < seg->size / 4 * limit;
}

/* The one with the least left, if most of what the segments take is not needed any more. */
void
qs_move_begin(struct qstore *s)
{
	uint64_t used = 0, octets = 0;
	struct seg *best = NULL, *seg;
	unsigned n = 0;
	uint32_t i;

	if (s->moving.seg != NULL)
		return;
	(void)pthread_mutex_lock(&s->w.lock);
	for (i = 0; i < s->nsegs; i++) {
		if ((seg = s->seg[i]) == NULL || seg->state != SEG_SEALED)
			continue;
		n++;
		used += seg->size;
		octets += seg->octets;
		if (is_worth_it(s, seg) && (best == NULL || seg->octets < best->octets))
			best = seg;
	}
	(void)pthread_mutex_unlock(&s->w.lock);
	if (best == NULL || n <= FEW ||
	    (octets * 2 > used && s->room >= 4 * (int64_t)qs_segment_size(s)))
		return;
	s->moving.seg = best;
	s->moving.slot = 0;
}

static void
add_item(struct job *j, uint32_t slot, const struct msg *m, enum item_kind kind, uint64_t *octets)
{
	struct move_item *i = &j->item[j->nitems++];

	*i = (struct move_item){.id = m->id, .slot = slot, .kind = (uint8_t)kind};
	if (kind == ITEM_MESSAGE) {
		i->off = m->off;
		i->len = m->body + (m->flags & M_BIG ? 0 : m->size);
	} else
		i->off = m->soff;
	*octets += i->len ? i->len : BLOCK;
}

static void
add_message(struct job *j, uint32_t slot, const struct msg *m, uint32_t no, uint64_t *octets)
{
	if (!(m->flags & M_USED) || m->seg == NONE)
		return;
	if (m->flags & M_DEAD) {
		if (m->sseg == no && m->seg != no)
			add_item(j, slot, m, ITEM_END, octets);
		return;
	}
	/* What is about to end need not be moved. */
	if (m->flags & (M_ENDING | M_LOST))
		return;
	if (m->seg == no)
		add_item(j, slot, m, ITEM_MESSAGE, octets);
	if (m->sseg == no)
		add_item(j, slot, m, ITEM_STATE, octets);
}

/* The next things to be moved; an empty list when nothing was found yet; NULL: no memory. */
static struct job *
collect(struct qstore *s)
{
	struct moving *mv = &s->moving;
	struct job *j = qs_job_new(s, JOB_MOVE);
	uint32_t end = qs_slot_count(s), n = 0;
	uint64_t octets = 0;

	if (j == NULL || (j->item = calloc(MOVE_ITEMS, sizeof *j->item)) == NULL ||
	    qs_segment_reserve(mv->seg, MOVE_ITEMS) == -1) {
		if (j != NULL)
			qs_job_free(s, j);
		return NULL;
	}
	for (; mv->slot < end && n < SLOTS_AT_ONCE; mv->slot++, n++) {
		if (j->nitems > MOVE_ITEMS - 2 || octets > MOVE_OCTETS)
			break;
		add_message(j, mv->slot, qs_slot_msg(s, mv->slot), mv->seg->no, &octets);
	}
	j->from = mv->seg;
	return j;
}

static void
stop(struct qstore *s)
{
	s->moving.seg = NULL;
	s->tend = 1;
	qs_segment_tend(s);
}

void
qs_move_tend(struct qstore *s)
{
	struct moving *mv = &s->moving;
	struct job *j;

	while (mv->seg != NULL && !mv->under_way) {
		if (mv->slot >= qs_slot_count(s)) {
			stop(s);
			return;
		}
		if ((j = collect(s)) == NULL) {
			stop(s);
			return;
		}
		if (j->nitems > 0) {
			mv->under_way = 1;
			qs_segment_supply(s);
			qs_stage_submit(s, j);
			return;
		}
		qs_job_free(s, j);
		if (s->base != NULL) {
			event_active(&s->kick, EV_TIMEOUT, 0);
			return;
		}
	}
}

static void
lost(struct qstore *s, const struct job *j, const struct move_item *i)
{
	struct msg *m = qs_slot_msg(s, i->slot);

	j->from->no_move = 1;
	if (m->flags & M_USED && m->id == i->id)
		m->flags |= M_LOST;
	log_warn("queue: segment.%u: what is at %u cannot be read any more: gwctl queue check",
	    j->from->no, i->off);
}

void
qs_move_done(struct qstore *s, struct job *j)
{
	unsigned i;

	s->moving.under_way = 0;
	for (i = 0; i < j->nitems; i++) {
		if (!j->item[i].read)
			lost(s, j, &j->item[i]);
		else if (j->error == 0 && j->item[i].to != 0) {
			qs_life_copied(s, &j->item[i], j->from, j->seg, j->at + j->item[i].to);
			s->counts.moved++;
		}
	}
	if (j->error != 0) {
		log_warn("queue: nothing can be moved out of segment.%u now: %s", j->from->no,
		    strerror(j->error));
		s->moving.seg = NULL;
		qstore_tick(s);
	}
	qs_job_free(s, j);
}

int
qs_move_all(struct qstore *s, struct seg *seg)
{
	struct moving *mv = &s->moving;

	*mv = (struct moving){.seg = seg};
	qs_move_tend(s);
	while (mv->seg == seg)
		qstore_turn(s);
	return seg->live == 0 ? 0 : -1;
}

/* The record of an item, head, meta and body, behind b's end. 0, or -1. */
static int
read_item(int fd, const struct seg *from, const struct move_item *i, struct buf *b)
{
	uint32_t max = from->size - i->off, n = i->len ? i->len : BLOCK;
	struct record r;
	ssize_t got;
	uint8_t *p;

	if (n > max)
		n = max;
	for (;;) {
		if ((p = buf_reserve(b, n + 8)) == NULL ||
		    (got = qs_io_read(fd, p, n, i->off)) == -1)
			return -1;
		if (got < RECORD_HEAD || qs_record_decode(&r, p, max) == -1 || r.id != i->id)
			return -1;
		if (RECORD_HEAD + r.meta + r.body <= (uint32_t)got)
			break;
		if ((uint32_t)got < n || RECORD_HEAD + r.meta + r.body <= n)
			return -1;
		n = RECORD_HEAD + r.meta + r.body;
	}
	if (qs_record_check(from->mark, i->off, p, r.meta) == -1)
		return -1;
	n = RECORD_HEAD + r.meta + r.body;
	memset(p + n, 0, record_len(&r) - n);
	buf_added(b, record_len(&r));
	return 0;
}

static int
put_end(const struct move_item *i, struct buf *b)
{
	/* No other record is weighed against it. */
	struct record r = {.kind = RECORD_END, .id = i->id};
	uint8_t *p = buf_reserve(b, RECORD_HEAD);

	if (p == NULL)
		return -1;
	qs_record_encode(&r, p);
	buf_added(b, RECORD_HEAD);
	return 0;
}

void
qs_move_build(struct qstore *s, struct job *j)
{
	char name[NAME_MAX_OCTETS];
	struct move_item *i;
	struct buf b;
	size_t at;
	int fd;

	buf_init(&b, GROUP_MAX);
	fd = openat(s->dir, qs_segment_name(name, j->from->no), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (buf_reserve(&b, GROUP_HEAD) != NULL)
		buf_added(&b, GROUP_HEAD);
	for (i = j->item; i < j->item + j->nitems && buf_len(&b) >= GROUP_HEAD; i++) {
		at = buf_len(&b);
		errno = 0;
		i->read = 1;
		if (i->kind == ITEM_END ? put_end(i, &b) == 0
					: read_item(fd, j->from, i, &b) == 0) {
			i->to = (uint32_t)at;
			j->nrec++;
		} else
			/* What does not fit any more comes the next time. */
			i->read = errno == EMSGSIZE || errno == ENOMEM || fd == -1;
	}
	if (fd != -1)
		close(fd);
	j->p = b.data;
	j->len = (uint32_t)buf_len(&b);
}
