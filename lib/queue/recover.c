/*
 * What the segments say together.  Their order does not matter: of two states the one with the
 * higher number counts, an end is for ever, and copies of a message are equal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/inner.h"

/* A message in two places: the newer one counts. */
static int
copy_found(struct qstore *s, uint32_t slot, struct seg *seg, uint32_t off)
{
	struct msg *m = qs_slot_msg(s, slot);
	struct seg *other = s->seg[m->seg];

	if (other == seg)
		return 0;
	if (seg->inc > other->inc) {
		m->seg = seg->no;
		m->off = off;
	} else
		other = seg;
	if (qs_segment_reserve(other, 1) == -1)
		return -1;
	qs_life_stale(s, other, slot);
	return 0;
}

static int
apply(struct recovery *r, struct seg *seg, const struct record *rec, const uint8_t *p, uint32_t at)
{
	struct qstore *s = r->s;
	uint32_t slot = qs_index_find(s, rec->id);
	struct msg *m;

	if (rec->id >= s->next_id)
		s->next_id = rec->id + 1;
	if (rec->lsn >= s->next_lsn)
		s->next_lsn = rec->lsn + 1;
	if (slot == NONE) {
		if ((slot = qs_slot_new(s, rec->id)) == NONE || qs_index_add(s, slot) == -1)
			return -1;
		qs_slot_msg(s, slot)->flags |= M_STAGED;
	}
	m = qs_slot_msg(s, slot);
	if (rec->kind == RECORD_END) {
		m->flags |= M_DEAD;
		m->sseg = seg->no;
		m->soff = at;
	} else if (rec->kind == RECORD_STATE) {
		if (m->flags & M_DEAD || rec->lsn < m->lsn)
			return 0;
		m->sseg = seg->no;
		m->soff = at;
		m->lsn = rec->lsn;
	} else if (m->seg != NONE)
		return copy_found(s, slot, seg, at);
	else {
		m->seg = seg->no;
		m->off = at;
		m->body = RECORD_HEAD + rec->meta;
		m->size = rec->body;
		if (rec->kind == RECORD_BIG) {
			m->flags |= M_BIG;
			m->size = (uint32_t)((get_be64(p + RECORD_HEAD + BIG_SIZE) + 1023) >> 10);
		}
	}
	return 0;
}

/* The records of a group that is whole. */
static int
apply_group(struct recovery *r, struct seg *seg, uint32_t at, const struct group_head *g)
{
	uint32_t i, end = at + g->len;
	struct record rec;
	const uint8_t *p;

	at += GROUP_HEAD;
	for (i = 0; i < g->nrec && at < end; i++, at += record_len(&rec)) {
		if ((p = qs_scan_record(&r->scan, at, &rec)) == NULL)
			return 0;
		if (apply(r, seg, &rec, p, at) == -1)
			return -1;
		if (r->all && qs_scan_body(&r->scan, at, &rec) == -1 &&
		    qs_recovery_note(&r->bad, &r->nbad, rec.id) == -1)
			return -1;
	}
	return 0;
}

static uint32_t
next_block(uint32_t at)
{
	return (at + BLOCK - 1) / BLOCK * BLOCK;
}

/* The group behind the one at prev, which ended at *at: there, or at the next block. */
static int
next_group(struct scan *sc, uint32_t *at, uint32_t prev, struct group_head *g, int bodies)
{
	if (qs_scan_group(sc, *at, g, bodies) == 0 && g->prev == prev)
		return 0;
	if (qs_scan_group(sc, next_block(*at), g, bodies) == -1 || g->prev != prev)
		return -1;
	*at = next_block(*at);
	return 0;
}

static uint32_t
told_end(const struct recovery *r, const struct seg *seg)
{
	uint32_t end = UINT32_MAX;
	unsigned i;

	for (i = 0; i < r->nends; i++)
		if (r->ends[i].end.inc == seg->inc && r->ends[i].end.end < end)
			end = r->ends[i].end.end;
	return end;
}

/*
 * Nothing whole is at an offset of the segment that was being written to at the crash.  It is the
 * torn end, unless something behind it says that this place was durable.
 */
static int
is_torn(struct recovery *r, uint32_t at)
{
	struct group_head g;
	uint32_t next = at;

	while ((next = qs_scan_find(&r->scan, next, &g, 1)) != NONE) {
		/* Up to the next block there may be nothing but what a sync was rounded up by. */
		if (g.synced > next_block(at) || (g.prev >= at && g.prev < g.synced))
			return 0;
		next += 8;
	}
	return 1;
}

/* A gap in what was durable: on with the next whole group, or NONE. */
static uint32_t
behind_gap(struct recovery *r, struct seg *seg, uint32_t at, struct group_head *g)
{
	uint32_t found = qs_scan_find(&r->scan, at, g, 0);

	seg->damaged = 1;
	if (found == NONE)
		qs_recovery_tell(
		    r, "segment.%u: from octet %u on nothing can be read", seg->no, at);
	else
		qs_recovery_tell(
		    r, "segment.%u: octets %u to %u cannot be read", seg->no, at, found - 1);
	return found;
}

/* The torn end of what was written last: nothing there may be found another time. */
static int
clean_end(struct recovery *r, struct seg *seg, uint32_t at, uint32_t prev, struct err *e)
{
	static const uint8_t zero[8];
	uint8_t head[GROUP_HEAD];
	struct group_head g = {.len = GROUP_HEAD, .prev = prev}, found;
	int fd = r->scan.fd, rc = 0;
	uint32_t from = at;

	while (rc == 0 && (from = qs_scan_find(&r->scan, from, &found, 0)) != NONE) {
		rc = qs_io_write(fd, zero, sizeof zero, from);
		r->scan.n = 0;
	}
	at = next_block(at);
	g.synced = at;
	qs_group_encode(&g, seg->mark, at, head);
	if (rc == -1 || qs_io_write(fd, head, sizeof head, at) == -1 ||
	    queue_io.fdatasync(fd) == -1)
		return err_sys(e, "queue: segment.%u", seg->no);
	return 0;
}

static int
read_groups(struct recovery *r, struct seg *seg, struct err *e)
{
	int newest = seg->last;
	uint32_t at = FIRST, prev = 0;
	struct group_head g;

	for (; at + GROUP_HEAD <= r->scan.limit; at += g.len) {
		if (next_group(&r->scan, &at, prev, &g, newest) == -1) {
			/* Nothing more fits: what is left was only rounded up. */
			if (next_block(at) + GROUP_HEAD > r->scan.limit)
				break;
			if (newest && is_torn(r, at))
				return r->write ? clean_end(r, seg, at, prev, e) : 0;
			/* Octets of a message may be damaged; the rest of its group is not. */
			if ((!newest || next_group(&r->scan, &at, prev, &g, 0) == -1) &&
			    (at = behind_gap(r, seg, at, &g)) == NONE)
				return 0;
		}
		seg->end = at;
		if (g.nrec == 0)
			return 0;
		if (apply_group(r, seg, at, &g) == -1)
			return err_sys(e, "queue");
		prev = at;
	}
	seg->end = at;
	return 0;
}

static int
open_for(const struct recovery *r, const struct seg *seg)
{
	char name[NAME_MAX_OCTETS];

	return openat(r->s->dir, qs_segment_name(name, seg->no),
	    (r->write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
}

/* The one of a stream that was begun last, of those before the use that is given. */
static struct seg *
last_before(const struct recovery *r, unsigned kind, uint64_t inc)
{
	struct seg *last = NULL, *seg;
	uint32_t i;

	for (i = 0; i < r->s->nsegs; i++) {
		seg = r->s->seg[i];
		if (seg != NULL && seg->state == SEG_SEALED && !seg->damaged && seg->kind == kind &&
		    seg->inc < inc && (last == NULL || seg->inc > last->inc))
			last = seg;
	}
	return last;
}

/*
 * Which of a stream's segments may have a torn end: the last one; and if nothing is in that, for
 * the disk failed when it was begun, the one before, too.
 */
static int
find_last(struct recovery *r, unsigned kind)
{
	struct group_head g;
	struct seg *seg;
	uint64_t inc = UINT64_MAX;
	int fd, empty = 1;

	while (empty && (seg = last_before(r, kind, inc)) != NULL) {
		seg->last = 1;
		inc = seg->inc;
		if ((fd = open_for(r, seg)) == -1)
			return -1;
		qs_scan_use(&r->scan, fd, seg->mark, seg->size - BLOCK);
		empty = qs_scan_group(&r->scan, FIRST, &g, 0) == -1;
		close(fd);
	}
	return 0;
}

static int
read_segment(struct recovery *r, struct seg *seg, struct err *e)
{
	uint32_t limit = seg->size - BLOCK, end = told_end(r, seg);
	int fd, rc;

	if (seg->mark == 0 || seg->kind == SEG_FREE)
		return 0;
	if ((fd = open_for(r, seg)) == -1)
		return err_sys(e, "queue: segment.%u", seg->no);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	qs_scan_use(&r->scan, fd, seg->mark, end < limit ? end : limit);
	rc = read_groups(r, seg, e);
	close(fd);
	return rc;
}

static void
link_ends(struct recovery *r)
{
	struct seg *seg;
	uint32_t i, k;

	for (i = 0; i < r->s->nsegs; i++)
		for (k = 0; (seg = r->s->seg[i]) != NULL && k < r->nends; k++)
			if (seg->state == SEG_SEALED && seg->inc == r->ends[k].end.inc)
				seg->told_in = r->ends[k].in;
}

int
qs_recovery_read(struct recovery *r, struct err *e)
{
	struct qstore *s = r->s;
	uint32_t i, n;

	if (qs_recovery_list(r, e) == -1)
		return -1;
	if (find_last(r, SEG_NEW) == -1 || find_last(r, SEG_MOVED) == -1)
		return err_sys(e, "queue");
	for (i = 0; i < s->nsegs; i++)
		if (s->seg[i] != NULL && s->seg[i]->state == SEG_SEALED &&
		    read_segment(r, s->seg[i], e) == -1)
			return -1;
	link_ends(r);
	/* Ghosts that this makes are no part of it. */
	for (i = 0, n = qs_slot_count(s); i < n; i++)
		if (qs_slot_msg(s, i)->flags & M_STAGED)
			qs_life_restore(s, i);
	s->w.next_id = s->next_id;
	s->w.next_lsn = s->next_lsn;
	return 0;
}
