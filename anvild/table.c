#include "anvild/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096 /* a power of two; 16 in a chain where a table has 65536 entries */

LIST_HEAD(chain, entry);

struct table {
	size_t size;
	unsigned max, count;
	uint64_t seed[2]; /* so that nobody can choose addresses that share a chain */
	TAILQ_HEAD(order, entry) order; /* the last used one is the first */
	struct chain bucket[BUCKETS];
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static int
cut(struct bytes ip, size_t four, size_t six, struct client_key *k)
{
	memset(k, 0, sizeof *k);
	if (ip.n == 16 && memcmp(ip.p, mapped, sizeof mapped) == 0)
		ip = (struct bytes){ip.p + 12, 4};
	if (ip.n != 4 && ip.n != 16) {
		errno = EINVAL;
		return -1;
	}
	k->family = ip.n == 4 ? 4 : 6;
	memcpy(k->addr, ip.p, ip.n == 4 ? four : six);
	return 0;
}

int
client_key(struct bytes ip, struct client_key *k)
{
	return cut(ip, 4, 8, k);
}

int
network_key(struct bytes ip, struct client_key *k)
{
	return cut(ip, 3, 6, k);
}

struct table *
table_new(size_t size, unsigned max)
{
	struct table *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	t->size = size;
	t->max = max;
	arc4random_buf(t->seed, sizeof t->seed);
	TAILQ_INIT(&t->order);
	return t;
}

static struct chain *
bucket_of(const struct table *t, const struct key *k)
{
	uint64_t w[2] = {0, 0};
	__uint128_t m;

	_Static_assert(sizeof *k == sizeof w, "a key is hashed as two words");
	memcpy(w, k, sizeof w);
	m = (__uint128_t)(w[0] ^ t->seed[0]) * ((w[1] ^ t->seed[1]) | 1);
	return (struct chain *)&t->bucket[((uint64_t)m ^ (uint64_t)(m >> 64)) % BUCKETS];
}

struct entry *
table_find(const struct table *t, const struct key *k)
{
	struct entry *e;

	LIST_FOREACH (e, bucket_of(t, k), chain)
		if (memcmp(&e->key, k, sizeof *k) == 0)
			return e;
	return NULL;
}

void
table_drop(struct table *t, struct entry *e)
{
	LIST_REMOVE(e, chain);
	if (e->pins == 0)
		TAILQ_REMOVE(&t->order, e, order);
	t->count--;
	free(e);
}

struct entry *
table_get(struct table *t, const struct key *k, uint64_t now)
{
	struct entry *e = table_find(t, k);

	if (e != NULL) {
		e->used = now;
		if (e->pins == 0) {
			TAILQ_REMOVE(&t->order, e, order);
			TAILQ_INSERT_HEAD(&t->order, e, order);
		}
		return e;
	}
	if (t->count >= t->max) {
		if (TAILQ_EMPTY(&t->order))
			return NULL;
		table_drop(t, TAILQ_LAST(&t->order, order));
	}
	if ((e = calloc(1, t->size)) == NULL)
		return NULL;
	e->key = *k;
	e->used = now;
	LIST_INSERT_HEAD(bucket_of(t, k), e, chain);
	TAILQ_INSERT_HEAD(&t->order, e, order);
	t->count++;
	return e;
}

void
table_pin(struct table *t, struct entry *e)
{
	if (e->pins++ == 0)
		TAILQ_REMOVE(&t->order, e, order);
}

void
table_unpin(struct table *t, struct entry *e, uint64_t now)
{
	if (e->pins == 0 || --e->pins > 0)
		return;
	e->used = now;
	TAILQ_INSERT_HEAD(&t->order, e, order);
}

void
table_sweep(struct table *t, uint64_t before)
{
	struct entry *e;

	while (!TAILQ_EMPTY(&t->order)) {
		e = TAILQ_LAST(&t->order, order);
		if (e->used >= before)
			break;
		table_drop(t, e);
	}
}

void
table_each(struct table *t, void (*fn)(struct entry *e, void *arg), void *arg)
{
	struct entry *e, *next;
	size_t i;

	for (i = 0; i < BUCKETS; i++)
		LIST_FOREACH_SAFE (e, &t->bucket[i], chain, next)
			fn(e, arg);
}

unsigned
table_count(const struct table *t)
{
	return t->count;
}

void
table_free(struct table *t)
{
	struct entry *e, *next;
	size_t i;

	if (t == NULL)
		return;
	for (i = 0; i < BUCKETS; i++)
		LIST_FOREACH_SAFE (e, &t->bucket[i], chain, next)
			free(e);
	free(t);
}
