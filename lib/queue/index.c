/* The messages by their numbers: slots of equal size, and a hash table of those that live. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "queue/inner.h"

#define PER_PAGE (1U << SLOTS_SHIFT)
#define HASH_FIRST 1024

struct msg *
qs_slot_msg(const struct qstore *s, uint32_t slot)
{
	return &s->slots.page[slot >> SLOTS_SHIFT][slot & (PER_PAGE - 1)];
}

uint32_t
qs_slot_count(const struct qstore *s)
{
	return s->slots.npages << SLOTS_SHIFT;
}

static int
more_slots(struct slots *t)
{
	struct msg **pages, *page;
	uint32_t i;

	if (t->npages >= NONE >> SLOTS_SHIFT) {
		errno = ENOMEM;
		return -1;
	}
	/* One at a time would copy the list again and again. */
	if ((t->npages & (t->npages - 1)) == 0) {
		pages = reallocarray(t->page, t->npages ? 2 * (size_t)t->npages : 1, sizeof *pages);
		if (pages == NULL)
			return -1;
		t->page = pages;
	}
	if ((page = calloc(PER_PAGE, sizeof *page)) == NULL)
		return -1;
	for (i = 0; i < PER_PAGE; i++)
		page[i].next = i + 1 < PER_PAGE ? (t->npages << SLOTS_SHIFT) + i + 1 : t->free;
	t->free = t->npages << SLOTS_SHIFT;
	t->page[t->npages++] = page;
	return 0;
}

uint32_t
qs_slot_new(struct qstore *s, uint64_t id)
{
	struct slots *t = &s->slots;
	uint32_t slot;
	struct msg *m;

	if (t->free == NONE && more_slots(t) == -1)
		return NONE;
	slot = t->free;
	m = qs_slot_msg(s, slot);
	t->free = m->next;
	t->used++;
	*m = (struct msg){
	    .id = id, .seg = NONE, .sseg = NONE, .chunk = NONE, .next = NONE, .flags = M_USED};
	return slot;
}

void
qs_slot_free(struct qstore *s, uint32_t slot)
{
	struct msg *m = qs_slot_msg(s, slot);

	memset(m, 0, sizeof *m);
	m->next = s->slots.free;
	s->slots.free = slot;
	s->slots.used--;
}

static uint32_t
place(const struct slots *t, uint64_t id)
{
	return (uint32_t)(id * 0x9e3779b97f4a7c15 >> 32) & t->mask;
}

uint32_t
qs_index_find(const struct qstore *s, uint64_t id)
{
	const struct slots *t = &s->slots;
	uint32_t i;

	if (t->hash == NULL)
		return NONE;
	for (i = place(t, id); t->hash[i] != 0; i = (i + 1) & t->mask)
		if (qs_slot_msg(s, t->hash[i] - 1)->id == id)
			return t->hash[i] - 1;
	return NONE;
}

static void
enter(struct qstore *s, uint32_t slot)
{
	struct slots *t = &s->slots;
	uint32_t i = place(t, qs_slot_msg(s, slot)->id);

	while (t->hash[i] != 0)
		i = (i + 1) & t->mask;
	t->hash[i] = slot + 1;
}

static int
grow(struct qstore *s)
{
	struct slots *t = &s->slots;
	uint32_t *old = t->hash, *hash, i, n = t->hash ? t->mask + 1 : 0;
	uint32_t size = n ? 2 * n : HASH_FIRST;

	if (size == 0 || (hash = calloc(size, sizeof *hash)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	t->hash = hash;
	t->mask = size - 1;
	for (i = 0; i < n; i++)
		if (old[i] != 0)
			enter(s, old[i] - 1);
	free(old);
	return 0;
}

int
qs_index_add(struct qstore *s, uint32_t slot)
{
	struct slots *t = &s->slots;

	if ((t->hash == NULL || t->hashed >= t->mask / 3 * 2) && grow(s) == -1)
		return -1;
	enter(s, slot);
	t->hashed++;
	return 0;
}

void
qs_index_remove(struct qstore *s, uint64_t id)
{
	struct slots *t = &s->slots;
	uint32_t i, k, home;

	if (t->hash == NULL)
		return;
	for (i = place(t, id); t->hash[i] != 0; i = (i + 1) & t->mask)
		if (qs_slot_msg(s, t->hash[i] - 1)->id == id)
			break;
	if (t->hash[i] == 0)
		return;
	/* What stands behind the gap and was pushed past it moves up. */
	for (k = (i + 1) & t->mask; t->hash[k] != 0; k = (k + 1) & t->mask) {
		home = place(t, qs_slot_msg(s, t->hash[k] - 1)->id);
		if (((k - home) & t->mask) >= ((k - i) & t->mask)) {
			t->hash[i] = t->hash[k];
			i = k;
		}
	}
	t->hash[i] = 0;
	t->hashed--;
}

void
qs_index_free(struct qstore *s)
{
	struct slots *t = &s->slots;
	uint32_t i;

	for (i = 0; i < t->npages; i++)
		free(t->page[i]);
	free(t->page);
	free(t->hash);
	memset(t, 0, sizeof *t);
	t->free = NONE;
}
