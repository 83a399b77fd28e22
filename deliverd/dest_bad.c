/* Servers that were of no use lately. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "deliverd/dest.h"

#define BUCKETS 128
#define PROBE_MS 20000 /* for the one who finds out whether it is back */

struct bad {
	LIST_ENTRY(bad) next;
	TAILQ_ENTRY(bad) age;
	uint64_t until; /* clock_ms */
	uint32_t ms; /* the time that it has got last */
	bool probed; /* somebody finds out whether it is back */
	char key[];
};

static LIST_HEAD(, bad) buckets[BUCKETS];
static TAILQ_HEAD(, bad) ages = TAILQ_HEAD_INITIALIZER(ages);
static unsigned count;

char *
bad_key(char *out, const char *host, uint16_t port)
{
	(void)snprintf(
	    out, HOSTPORT_TEXT_MAX, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
	return out;
}

static unsigned
bucket(const char *key)
{
	unsigned h = 5381;

	for (; *key != '\0'; key++)
		h = h * 33 ^ (uint8_t)*key;
	return h % BUCKETS;
}

static struct bad *
find(const char *key)
{
	struct bad *b;

	if (count == 0)
		return NULL;
	LIST_FOREACH (b, &buckets[bucket(key)], next)
		if (strcmp(b->key, key) == 0)
			return b;
	return NULL;
}

static void
bad_free(struct bad *b)
{
	LIST_REMOVE(b, next);
	TAILQ_REMOVE(&ages, b, age);
	count--;
	free(b);
}

void
bad_note(const char *key)
{
	struct bad *b = find(key);
	uint64_t now = clock_ms();
	size_t n = strlen(key) + 1;

	if (b == NULL) {
		if (count == BAD_NAMES_MAX)
			bad_free(TAILQ_FIRST(&ages));
		if ((b = calloc(1, sizeof *b + n)) == NULL)
			return;
		memcpy(b->key, key, n);
		LIST_INSERT_HEAD(&buckets[bucket(key)], b, next);
		TAILQ_INSERT_TAIL(&ages, b, age);
		count++;
	} else if (now < b->until && !b->probed)
		return; /* one of several who found out at the same time */
	b->ms = b->ms == 0 ? BAD_MS : 2 * b->ms > BAD_MAX_MS ? BAD_MAX_MS : 2 * b->ms;
	b->until = now + b->ms;
	b->probed = false;
}

void
bad_forget(const char *key)
{
	struct bad *b = find(key);

	if (b != NULL)
		bad_free(b);
}

bool
bad_is(const char *key)
{
	struct bad *b = find(key);
	uint64_t now;

	if (b == NULL)
		return false;
	if ((now = clock_ms()) < b->until)
		return true;
	if (now > b->until + BAD_MAX_MS) {
		/* Nobody has wanted it for long. */
		bad_free(b);
		return false;
	}
	b->until = now + PROBE_MS;
	b->probed = true;
	return false;
}

void
bad_clear(void)
{
	while (!TAILQ_EMPTY(&ages))
		bad_free(TAILQ_FIRST(&ages));
}

unsigned
bad_count(void)
{
	return count;
}
