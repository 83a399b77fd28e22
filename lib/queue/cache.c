/*
 * Memory that groups are put together in.  The writer writes from it, and as long as it stays there
 * a message is read from it; the oldest goes first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "queue/inner.h"

#define SPARE_MAX (sizeof((struct qstore *)0)->spare_chunk / sizeof(struct chunk *))
#define RING_FIRST 64

/* Of a record's head, see record.c. */
#define ID_AT 8

struct chunk *
qs_cache_chunk(const struct qstore *s, uint32_t no)
{
	struct chunk *c;

	if (s->ring == NULL || no - s->first_chunk >= s->next_chunk - s->first_chunk)
		return NULL;
	c = s->ring[no & s->ring_mask];
	return c != NULL && c->no == no ? c : NULL;
}

static void
chunk_free(struct chunk *c)
{
	explicit_bzero(c->data, c->size);
	free(c->data);
	free(c);
}

static void
release(struct qstore *s, struct chunk *c)
{
	s->ring[c->no & s->ring_mask] = NULL;
	while (s->first_chunk != s->next_chunk && s->ring[s->first_chunk & s->ring_mask] == NULL)
		s->first_chunk++;
	s->chunk_octets -= c->size;
	if (c->size == CHUNK && s->nspare < SPARE_MAX)
		s->spare_chunk[s->nspare++] = c;
	else
		chunk_free(c);
}

static void
perhaps_release(struct qstore *s, struct chunk *c)
{
	if (c->jobs == 0 && c->live == 0 && c != s->cur)
		release(s, c);
}

/* Chunks above the limit go, and those that would make the ring long: the oldest first. */
static void
evict(struct qstore *s)
{
	uint32_t no, most = (uint32_t)(s->memory / CHUNK) * 4 + RING_FIRST;
	struct chunk *c;

	for (no = s->first_chunk; no != s->next_chunk; no++) {
		if (s->chunk_octets <= s->memory && s->next_chunk - s->first_chunk <= most)
			break;
		c = s->ring[no & s->ring_mask];
		if (c != NULL && c->jobs == 0 && c != s->cur)
			release(s, c);
	}
}

static int
ring_room(struct qstore *s)
{
	uint32_t n = s->ring ? s->ring_mask + 1 : 0, no;
	struct chunk **ring;

	if (s->next_chunk - s->first_chunk < n)
		return 0;
	if ((ring = calloc(n ? 2 * (size_t)n : RING_FIRST, sizeof(struct chunk *))) == NULL)
		return -1;
	for (no = s->first_chunk; no != s->next_chunk; no++)
		ring[no & ((n ? 2 * n : RING_FIRST) - 1)] = s->ring[no & s->ring_mask];
	free(s->ring);
	s->ring = ring;
	s->ring_mask = (n ? 2 * n : RING_FIRST) - 1;
	return 0;
}

static struct chunk *
chunk_new(struct qstore *s, uint32_t size)
{
	struct chunk *c;
	uint8_t *data;

	evict(s);
	if (ring_room(s) == -1)
		return NULL;
	if (size <= CHUNK && s->nspare > 0) {
		c = s->spare_chunk[--s->nspare];
		data = c->data;
	} else {
		if (size < CHUNK)
			size = CHUNK;
		if ((c = malloc(sizeof *c)) == NULL)
			return NULL;
		if ((data = malloc(size)) == NULL) {
			free(c);
			return NULL;
		}
		c->size = size;
	}
	*c = (struct chunk){.data = data, .size = c->size, .no = s->next_chunk++};
	/* NONE is nobody's number. */
	if (s->next_chunk == NONE)
		s->next_chunk = 0;
	s->ring[c->no & s->ring_mask] = c;
	s->chunk_octets += c->size;
	return c;
}

/* The group's messages are read from its new place. */
static void
follow(struct qstore *s, const struct job *j, struct chunk *from, struct chunk *to)
{
	uint32_t at = GROUP_HEAD, slot;
	struct record r;
	struct msg *m;

	for (; qs_group_next(j, &at, &r); at += record_len(&r)) {
		if (r.kind != RECORD_MESSAGE && r.kind != RECORD_BIG)
			continue;
		if ((slot = qs_index_find(s, r.id)) == NONE)
			continue;
		m = qs_slot_msg(s, slot);
		if (m->chunk != from->no)
			continue;
		from->live--;
		to->live++;
		m->chunk = to->no;
		m->coff = (uint32_t)(j->p - to->data) + at;
	}
}

uint8_t *
qs_cache_reserve(struct qstore *s, uint32_t n)
{
	struct job *j = s->group;
	struct chunk *c = s->cur, *old = j->chunk, *last;

	/* Nothing in it is needed any more: from its beginning again, while the processor has it.
	 */
	if (c != NULL && old == NULL && c->jobs == 0 && c->live == 0)
		c->used = 0;
	if (c == NULL || c->size - c->used < j->len + n) {
		if ((c = chunk_new(s, j->len + n)) == NULL)
			return NULL;
		last = s->cur;
		s->cur = c;
		if (last != NULL)
			perhaps_release(s, last);
	}
	if (c == old)
		return j->p + j->len;
	if (old != NULL)
		memcpy(c->data, j->p, j->len);
	j->p = c->data + c->used;
	j->chunk = c;
	c->jobs++;
	if (old != NULL) {
		follow(s, j, old, c);
		qs_cache_job_done(s, old);
	}
	return j->p + j->len;
}

const uint8_t *
qs_cache_find(const struct qstore *s, const struct msg *m, uint32_t *len)
{
	struct chunk *c = m->chunk == NONE ? NULL : qs_cache_chunk(s, m->chunk);

	*len = m->body + (m->flags & M_BIG ? 0 : m->size);
	if (c == NULL || m->coff > c->size || *len > c->size - m->coff ||
	    get_be64(c->data + m->coff + ID_AT) != m->id)
		return NULL;
	return c->data + m->coff;
}

void
qs_cache_forget(struct qstore *s, struct msg *m)
{
	struct chunk *c = m->chunk == NONE ? NULL : qs_cache_chunk(s, m->chunk);

	m->chunk = NONE;
	if (c == NULL)
		return;
	c->live--;
	perhaps_release(s, c);
}

void
qs_cache_job_done(struct qstore *s, struct chunk *c)
{
	c->jobs--;
	perhaps_release(s, c);
	evict(s);
}

void
qs_cache_free(struct qstore *s)
{
	uint32_t no;

	for (no = s->first_chunk; no != s->next_chunk; no++)
		if (s->ring[no & s->ring_mask] != NULL)
			chunk_free(s->ring[no & s->ring_mask]);
	while (s->nspare > 0)
		chunk_free(s->spare_chunk[--s->nspare]);
	free(s->ring);
	s->ring = NULL;
	s->cur = NULL;
}
