#include "logd/order.h"

#include <stdlib.h>
#include <string.h>

struct item {
	uint64_t when;
	uint32_t number; /* things of one millisecond and step leave as they came */
	uint32_t text, ntext; /* where it stands in the octets; ntext 0: none */
	uint32_t event, nevent;
	uint32_t pid;
	const char *who;
	uint8_t level, escaped, step;
};

struct order {
	order_fn fn;
	uint32_t number;
	uint64_t oldest; /* of those that are held */
	int giving;
	size_t n;
	struct buf octets, spare;
	struct item items[ORDER_MAX];
};

struct order *
order_new(order_fn fn)
{
	struct order *o = calloc(1, sizeof *o);

	if (o == NULL)
		return NULL;
	o->fn = fn;
	buf_init(&o->octets, ORDER_OCTETS);
	buf_init(&o->spare, ORDER_OCTETS);
	return o;
}

void
order_free(struct order *o)
{
	if (o == NULL)
		return;
	buf_free(&o->octets);
	buf_free(&o->spare);
	free(o);
}

/* Octets into the buffer, and where they are; -1: there is no room. */
static int
keep(struct buf *b, const void *p, size_t n, uint32_t *at, uint32_t *len)
{
	*at = (uint32_t)buf_len(b);
	*len = (uint32_t)n;
	return n > 0 ? buf_put(b, p, n) : 0;
}

static int
hold(struct order *o, const struct said *s, uint64_t when)
{
	struct item *i = &o->items[o->n];
	size_t end = o->octets.end;

	if (o->n == ORDER_MAX)
		return -1;
	*i = (struct item){.when = when,
	    .number = o->number++,
	    .pid = s->pid,
	    .who = s->who,
	    .level = (uint8_t)s->level,
	    .escaped = (uint8_t)(s->escaped != 0),
	    .step = (uint8_t)s->step};
	if ((s->text != NULL &&
		keep(&o->octets, s->text, strlen(s->text) + 1, &i->text, &i->ntext) == -1) ||
	    keep(&o->octets, s->event.p, s->event.n, &i->event, &i->nevent) == -1) {
		o->octets.end = end;
		return -1;
	}
	if (o->n++ == 0 || when < o->oldest)
		o->oldest = when;
	return 0;
}

void
order_add(struct order *o, const struct said *s, uint64_t now)
{
	uint64_t when = s->when < now ? s->when : now;
	struct said copy;

	if (hold(o, s, when) == 0)
		return;
	order_flush(o, UINT64_MAX);
	if (hold(o, s, when) == 0)
		return;
	copy = *s;
	copy.when = when;
	o->fn(&copy);
}

static int
by_time(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;
	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void
give(struct order *o, const struct item *i)
{
	const uint8_t *p = buf_ptr(&o->octets);
	const struct said s = {.when = i->when,
	    .level = i->level,
	    .who = i->who,
	    .pid = i->pid,
	    .escaped = i->escaped,
	    .text = i->ntext > 0 ? (const char *)p + i->text : NULL,
	    .event = {p + i->event, i->nevent}};

	o->fn(&s);
}

/* Keep what is left, from the item first on; there is room for it: it was there before. */
static void
keep_rest(struct order *o, size_t first)
{
	const uint8_t *p = buf_ptr(&o->octets);
	struct buf swap = o->octets;
	struct item *i;
	size_t n;

	buf_reset(&o->spare);
	for (n = 0; first + n < o->n; n++) {
		i = &o->items[n];
		*i = o->items[first + n];
		if (keep(&o->spare, p + i->text, i->ntext, &i->text, &i->ntext) == -1 ||
		    keep(&o->spare, p + i->event, i->nevent, &i->event, &i->nevent) == -1)
			break;
	}
	o->n = n;
	o->octets = o->spare;
	o->spare = swap;
	o->oldest = n > 0 ? o->items[0].when : 0;
}

void
order_flush(struct order *o, uint64_t before)
{
	size_t i;

	if (o->n == 0 || o->oldest >= before || o->giving)
		return;
	o->giving = 1;
	qsort(o->items, o->n, sizeof *o->items, by_time);
	for (i = 0; i < o->n && o->items[i].when < before; i++)
		give(o, &o->items[i]);
	if (i == o->n) {
		o->n = 0;
		buf_reset(&o->octets);
	} else
		keep_rest(o, i);
	o->giving = 0;
}

uint64_t
order_due(const struct order *o)
{
	return o->n > 0 ? o->oldest + ORDER_MS : 0;
}
