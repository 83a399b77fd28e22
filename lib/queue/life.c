/*
 * What of a message counts, and in which segments.
 *
 * A message that lives holds its segment, and that of its last state.  When it has ended, its end
 * must be read at a start as long as its octets are, or it would live again: so the record of its
 * end holds the segment that it is in, until the one with the octets is void.  The dead message
 * waits for that in seg.dead.  Where a message was moved, the old copy stays in a segment that is
 * about to be voided; if it ends before that is done, its end is needed for the old copy, too, and
 * a second dead message, a ghost, waits there.
 */
#include <stdlib.h>

#include "queue/inner.h"

/* Octets of a state's and an end's record, about: to choose segments by. */
#define STATE_OCTETS 256
#define END_OCTETS RECORD_HEAD

static uint32_t
home_octets(const struct msg *m)
{
	return m->body + (m->flags & M_BIG ? 0 : m->size);
}

static uint64_t
size_of(const struct msg *m)
{
	return m->flags & M_BIG ? (uint64_t)m->size << 10 : m->size;
}

static struct seg *
home_of(const struct qstore *s, const struct msg *m)
{
	return s->seg[m->seg];
}

void
qs_life_bury(struct qstore *s, uint32_t slot, struct seg *end, uint32_t off)
{
	struct msg *m = qs_slot_msg(s, slot);
	struct seg *home = home_of(s, m);

	m->flags = M_USED | M_DEAD;
	m->sseg = end->no;
	m->soff = off;
	/* What lies in the same segment goes with it. */
	if (end == home) {
		qs_slot_free(s, slot);
		return;
	}
	qs_segment_ref(end, END_OCTETS);
	m->next = home->dead;
	home->dead = slot;
}

/* The end is needed for the octets in seg, too. */
static void
ghost(struct qstore *s, uint64_t id, struct seg *seg, struct seg *end, uint32_t off)
{
	uint32_t slot = qs_slot_new(s, id);

	if (slot == NONE) {
		/* Until the next start then. */
		qs_segment_ref(end, END_OCTETS);
		return;
	}
	qs_slot_msg(s, slot)->seg = seg->no;
	qs_life_bury(s, slot, end, off);
}

static void
ghosts(struct qstore *s, uint64_t id, struct seg *end, uint32_t off)
{
	struct seg *seg;
	uint32_t i, k;

	for (i = 0; i < s->nsegs; i++) {
		if ((seg = s->seg[i]) == NULL)
			continue;
		for (k = 0; k < seg->nmoved; k++)
			if (seg->moved[k] == id)
				ghost(s, id, seg, end, off);
	}
}

void
qs_life_home(struct qstore *s, uint32_t slot, struct seg *seg, uint32_t off)
{
	struct msg *m = qs_slot_msg(s, slot);

	m->flags &= ~(uint32_t)M_STAGED;
	m->seg = seg->no;
	m->off = off;
	if (m->flags & M_DEAD) {
		qs_segment_unref(s, s->seg[m->sseg], END_OCTETS);
		qs_life_bury(s, slot, s->seg[m->sseg], m->soff);
		return;
	}
	qs_segment_ref(seg, home_octets(m));
	s->counts.messages++;
	s->counts.octets += size_of(m);
}

void
qs_life_state(struct qstore *s, uint32_t slot, struct seg *seg, uint32_t off, uint64_t lsn)
{
	struct msg *m = qs_slot_msg(s, slot);

	/* One that waited for a large message in its group can come after a newer one. */
	if (lsn < m->lsn)
		return;
	m->lsn = lsn;
	if (m->sseg != NONE)
		qs_segment_unref(s, s->seg[m->sseg], STATE_OCTETS);
	m->sseg = seg->no;
	m->soff = off;
	qs_segment_ref(seg, STATE_OCTETS);
}

void
qs_life_end(struct qstore *s, uint32_t slot, struct seg *seg, uint32_t off)
{
	struct msg *m = qs_slot_msg(s, slot);

	if (m->flags & M_BIG)
		qs_big_drop(s, m->id);
	if (m->flags & M_BIG)
		s->big_octets -= size_of(m);
	qs_cache_forget(s, m);
	qs_index_remove(s, m->id);
	if (m->sseg != NONE)
		qs_segment_unref(s, s->seg[m->sseg], STATE_OCTETS);
	if (m->flags & M_STALE)
		ghosts(s, m->id, seg, off);
	if (m->seg == NONE) {
		/* Its octets are still on their way: see qs_life_home. */
		m->flags |= M_DEAD;
		m->sseg = seg->no;
		m->soff = off;
		qs_segment_ref(seg, END_OCTETS);
		return;
	}
	s->counts.messages--;
	s->counts.octets -= size_of(m);
	qs_segment_unref(s, home_of(s, m), home_octets(m));
	qs_life_bury(s, slot, seg, off);
}

/* Of what was read at the start, when all of it was read. */
void
qs_life_restore(struct qstore *s, uint32_t slot)
{
	struct msg *m = qs_slot_msg(s, slot);
	struct seg *last = m->sseg == NONE ? NULL : s->seg[m->sseg];

	m->flags &= ~(uint32_t)M_STAGED;
	if (m->seg == NONE || m->flags & M_DEAD)
		qs_index_remove(s, m->id);
	if (m->seg == NONE) {
		qs_slot_free(s, slot);
		return;
	}
	if (m->flags & M_DEAD) {
		if (m->flags & M_STALE)
			ghosts(s, m->id, last, m->soff);
		qs_life_bury(s, slot, last, m->soff);
		return;
	}
	qs_segment_ref(home_of(s, m), home_octets(m));
	if (last != NULL)
		qs_segment_ref(last, STATE_OCTETS);
	if (m->flags & M_BIG)
		s->big_octets += size_of(m);
	s->counts.messages++;
	s->counts.octets += size_of(m);
}

void
qs_life_forget(struct qstore *s, uint32_t slot)
{
	struct msg *m = qs_slot_msg(s, slot);

	if (m->sseg != NONE)
		qs_segment_unref(s, s->seg[m->sseg], m->flags & M_DEAD ? END_OCTETS : STATE_OCTETS);
	if (!(m->flags & M_DEAD)) {
		if (m->flags & M_BIG)
			s->big_octets -= size_of(m);
		qs_cache_forget(s, m);
		qs_index_remove(s, m->id);
	}
	qs_slot_free(s, slot);
}

void
qs_life_stale(struct qstore *s, struct seg *seg, uint32_t slot)
{
	struct msg *m = qs_slot_msg(s, slot);

	seg->moved[seg->nmoved++] = m->id;
	m->flags |= M_STALE;
}

void
qs_life_copied(
    struct qstore *s, const struct move_item *i, struct seg *from, struct seg *to, uint32_t off)
{
	struct msg *m = qs_slot_msg(s, i->slot);

	if (!(m->flags & M_USED) || m->id != i->id)
		return;
	if (i->kind == ITEM_MESSAGE && m->flags & M_DEAD)
		/* It ended meanwhile, and now lies here, too. */
		ghost(s, m->id, to, s->seg[m->sseg], m->soff);
	else if (i->kind == ITEM_MESSAGE && m->seg == from->no) {
		qs_segment_unref(s, from, home_octets(m));
		m->seg = to->no;
		m->off = off;
		qs_segment_ref(to, home_octets(m));
		qs_life_stale(s, from, i->slot);
	} else if (i->kind == ITEM_STATE && !(m->flags & M_DEAD) && m->sseg == from->no &&
		   m->soff == i->off)
		qs_life_state(s, i->slot, to, off, m->lsn);
	else if (i->kind == ITEM_END && m->flags & M_DEAD && m->sseg == from->no &&
		 m->soff == i->off) {
		qs_segment_unref(s, from, END_OCTETS);
		m->sseg = to->no;
		m->soff = off;
		if (m->seg != to->no)
			qs_segment_ref(to, END_OCTETS);
	}
}

void
qs_life_voided(struct qstore *s, struct seg *seg)
{
	struct msg *m;
	uint32_t slot, i;

	while ((slot = seg->dead) != NONE) {
		m = qs_slot_msg(s, slot);
		seg->dead = m->next;
		if (m->sseg != seg->no)
			qs_segment_unref(s, s->seg[m->sseg], END_OCTETS);
		qs_slot_free(s, slot);
	}
	for (i = 0; i < seg->nmoved; i++)
		if ((slot = qs_index_find(s, seg->moved[i])) != NONE)
			qs_slot_msg(s, slot)->flags &= ~(uint32_t)M_STALE;
	free(seg->moved);
	seg->moved = NULL;
	seg->nmoved = seg->moved_room = 0;
	/* Another one may have copies of the same messages. */
	for (i = 0; i < s->nsegs; i++) {
		struct seg *other = s->seg[i];
		uint32_t k;

		for (k = 0; other != NULL && k < other->nmoved; k++)
			if ((slot = qs_index_find(s, other->moved[k])) != NONE)
				qs_slot_msg(s, slot)->flags |= M_STALE;
	}
}
