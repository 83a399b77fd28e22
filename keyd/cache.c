#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include "keyd/keyd.h"

struct entry {
	RB_ENTRY(entry) by_key;
	TAILQ_ENTRY(entry) by_use;
	uint8_t key[32];
	uint64_t fresh; /* clock_ms; from then on it is better to ask again */
	uint64_t until; /* and from then on it counts no more */
	struct answer answer; /* der is its own */
};

RB_HEAD(entries, entry);

static struct entries entries = RB_INITIALIZER(&entries);
static TAILQ_HEAD(uses, entry) uses = TAILQ_HEAD_INITIALIZER(uses); /* the latest first */
static unsigned count;
static size_t octets;

static int
compare(const struct entry *a, const struct entry *b)
{
	return memcmp(a->key, b->key, sizeof a->key);
}

RB_GENERATE_INTERNAL(entries, entry, by_key, compare, static __attribute__((unused)))

static void
drop(struct entry *x)
{
	(void)RB_REMOVE(entries, &entries, x);
	TAILQ_REMOVE(&uses, x, by_use);
	count--;
	octets -= x->answer.n;
	free(x->answer.der);
	free(x);
}

static struct entry *
find(const uint8_t key[32])
{
	struct entry want;

	memcpy(want.key, key, sizeof want.key);
	return RB_FIND(entries, &entries, &want);
}

static void
use(struct entry *x)
{
	TAILQ_REMOVE(&uses, x, by_use);
	TAILQ_INSERT_HEAD(&uses, x, by_use);
}

const struct answer *
cache_find(const uint8_t key[32], uint64_t now_ms)
{
	struct entry *x = find(key);

	if (x == NULL || x->fresh <= now_ms)
		return NULL;
	use(x);
	return &x->answer;
}

const struct answer *
cache_renew(const uint8_t key[32], uint64_t now_ms)
{
	struct entry *x = find(key);

	if (x == NULL || x->until <= now_ms)
		return NULL;
	x->fresh = x->until < now_ms + CACHE_FAILED_MS ? x->until : now_ms + CACHE_FAILED_MS;
	use(x);
	return &x->answer;
}

static int
is_failure(const struct answer *a)
{
	return a->status != OCSP_GOOD && a->status != OCSP_REVOKED;
}

/* Milliseconds. One that is good only because clocks may differ is asked for again soon. */
static uint64_t
keep_for(const struct answer *a, uint64_t now)
{
	uint64_t ms;

	if (is_failure(a) || (a->next_update != 0 && a->next_update <= now))
		return CACHE_FAILED_MS;
	if (a->next_update == 0 || a->next_update - now > CACHE_MS / 1000)
		return CACHE_MS;
	ms = (a->next_update - now) * 1000;
	return ms > CACHE_FAILED_MS ? ms : CACHE_FAILED_MS;
}

void
cache_keep(const uint8_t key[32], const struct answer *a, uint64_t now_ms, uint64_t now)
{
	struct entry *x = find(key), *last;
	uint64_t ms;

	if (x != NULL)
		drop(x);
	if ((x = calloc(1, sizeof *x)) == NULL)
		return;
	memcpy(x->key, key, sizeof x->key);
	ms = keep_for(a, now);
	x->until = now_ms + ms;
	/* Responders have the next one long before the last one ends. */
	x->fresh = now_ms + (ms / 2 > CACHE_FAILED_MS ? ms / 2 : CACHE_FAILED_MS);
	x->answer = *a;
	if (a->n > 0) {
		if ((x->answer.der = malloc(a->n)) == NULL) {
			free(x);
			return;
		}
		memcpy(x->answer.der, a->der, a->n);
	}
	(void)RB_INSERT(entries, &entries, x);
	TAILQ_INSERT_HEAD(&uses, x, by_use);
	count++;
	octets += a->n;
	while (
	    (count > CACHE_MAX || octets > CACHE_OCTETS) && (last = TAILQ_LAST(&uses, uses)) != x)
		drop(last);
}

void
cache_forget_failures(void)
{
	struct entry *x, *next;

	TAILQ_FOREACH_SAFE (x, &uses, by_use, next)
		if (is_failure(&x->answer))
			drop(x);
}

void
cache_clear(void)
{
	struct entry *x;

	while ((x = TAILQ_FIRST(&uses)) != NULL)
		drop(x);
}

unsigned
cache_count(void)
{
	return count;
}
