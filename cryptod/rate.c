#include "cryptod/rate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

struct bucket {
	RB_ENTRY(bucket) entry;
	uint64_t at; /* when tokens were last added; clock_ms */
	uint64_t reported;
	uint64_t milli; /* tokens, in thousandths */
	unsigned counts[RATE_KINDS], limited;
	char consumer[];
};

RB_HEAD(bucket_tree, bucket);

struct rate {
	struct bucket_tree tree;
	size_t n;
	uint64_t most; /* tokens, in thousandths */
	unsigned per_second;
};

static int
bucket_cmp(const struct bucket *a, const struct bucket *b)
{
	return strcmp(a->consumer, b->consumer);
}

RB_GENERATE_INTERNAL(bucket_tree, bucket, entry, bucket_cmp, static __attribute__((unused)))

struct rate *
rate_new(unsigned burst, unsigned per_second)
{
	struct rate *r;

	if ((r = calloc(1, sizeof *r)) == NULL)
		return NULL;
	RB_INIT(&r->tree);
	r->most = (uint64_t)burst * 1000;
	r->per_second = per_second;
	return r;
}

void
rate_free(struct rate *r)
{
	struct bucket *b;

	if (r == NULL)
		return;
	while ((b = RB_ROOT(&r->tree)) != NULL) {
		RB_REMOVE(bucket_tree, &r->tree, b);
		free(b);
	}
	free(r);
}

static struct bucket *
bucket_find(struct rate *r, const char *consumer)
{
	struct bucket *b = RB_ROOT(&r->tree);
	int c;

	while (b != NULL && (c = strcmp(consumer, b->consumer)) != 0)
		b = c < 0 ? RB_LEFT(b, entry) : RB_RIGHT(b, entry);
	return b;
}

static struct bucket *
bucket_get(struct rate *r, const char *consumer, uint64_t now)
{
	size_t n = strlen(consumer) + 1;
	struct bucket *b;

	if ((b = bucket_find(r, consumer)) != NULL)
		return b;
	if (r->n >= RATE_CONSUMERS_MAX || (b = calloc(1, sizeof *b + n)) == NULL)
		return NULL;
	memcpy(b->consumer, consumer, n);
	b->at = b->reported = now;
	b->milli = r->most;
	RB_INSERT(bucket_tree, &r->tree, b);
	r->n++;
	return b;
}

static void
bucket_fill(const struct rate *r, struct bucket *b, uint64_t now)
{
	uint64_t past = now > b->at ? now - b->at : 0;

	b->at = now;
	if (past >= r->most / r->per_second)
		b->milli = r->most;
	else if ((b->milli += past * r->per_second) > r->most)
		b->milli = r->most;
}

int
rate_take(struct rate *r, const char *consumer, uint64_t now)
{
	struct bucket *b;

	if ((b = bucket_get(r, consumer, now)) == NULL)
		return 0;
	bucket_fill(r, b, now);
	if (b->milli < 1000) {
		b->limited++;
		return 0;
	}
	b->milli -= 1000;
	return 1;
}

void
rate_count(struct rate *r, const char *consumer, enum rate_what what, uint64_t now)
{
	struct bucket *b;

	if ((b = bucket_get(r, consumer, now)) != NULL)
		b->counts[what]++;
}

void
rate_report(struct rate *r, uint64_t now, int all,
    void (*tell)(const char *consumer, const unsigned counts[RATE_KINDS], unsigned limited))
{
	struct bucket *b, *next;
	int any;

	RB_FOREACH_SAFE(b, bucket_tree, &r->tree, next)
	{
		if (!all && now - b->reported < RATE_REPORT)
			continue;
		any = b->limited != 0;
		for (int i = 0; i < RATE_KINDS; i++)
			any |= b->counts[i] != 0;
		if (any)
			tell(b->consumer, b->counts, b->limited);
		memset(b->counts, 0, sizeof b->counts);
		b->limited = 0;
		b->reported = now;
		bucket_fill(r, b, now);
		if (!any && b->milli == r->most) {
			RB_REMOVE(bucket_tree, &r->tree, b);
			r->n--;
			free(b);
		}
	}
}
