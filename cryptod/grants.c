#include "cryptod/grants.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>

struct grant {
	RB_ENTRY(grant) by_job, by_time;
	TAILQ_ENTRY(grant) of_holder;
	struct holder *holder;
	uint8_t job[JOB_ID];
	uint64_t deadline; /* clock_ms */
	enum key_op op;
	unsigned left;
	unsigned nkeys;
	char *consumer; /* behind the keys, in the same allocation */
	struct grant_fpr {
		uint8_t n, fpr[32];
	} keys[];
};

struct holder {
	RB_ENTRY(holder) by_id;
	TAILQ_HEAD(, grant) grants; /* oldest first */
	unsigned ngrants, refusals;
	int bound;
	uint8_t id[WORKER_ID];
};

RB_HEAD(job_tree, grant);
RB_HEAD(time_tree, grant);
RB_HEAD(holder_tree, holder);

struct grants {
	struct job_tree jobs;
	struct time_tree times;
	struct holder_tree holders;
	size_t ngrants, nholders;
};

static int
job_cmp(const struct grant *a, const struct grant *b)
{
	return memcmp(a->job, b->job, JOB_ID);
}

static int
time_cmp(const struct grant *a, const struct grant *b)
{
	if (a->deadline != b->deadline)
		return a->deadline < b->deadline ? -1 : 1;
	return job_cmp(a, b);
}

static int
holder_cmp(const struct holder *a, const struct holder *b)
{
	return memcmp(a->id, b->id, WORKER_ID);
}

RB_GENERATE_INTERNAL(job_tree, grant, by_job, job_cmp, static __attribute__((unused)))
RB_GENERATE_INTERNAL(time_tree, grant, by_time, time_cmp, static __attribute__((unused)))
RB_GENERATE_INTERNAL(holder_tree, holder, by_id, holder_cmp, static __attribute__((unused)))

struct grants *
grants_new(void)
{
	struct grants *g;

	if ((g = calloc(1, sizeof *g)) == NULL)
		return NULL;
	RB_INIT(&g->jobs);
	RB_INIT(&g->times);
	RB_INIT(&g->holders);
	return g;
}

static void
holder_drop(struct grants *g, struct holder *h)
{
	if (h->bound || h->ngrants > 0)
		return;
	RB_REMOVE(holder_tree, &g->holders, h);
	g->nholders--;
	free(h);
}

/* The holder stays, even when this was its last. */
static void
grant_drop(struct grants *g, struct grant *gr)
{
	RB_REMOVE(job_tree, &g->jobs, gr);
	RB_REMOVE(time_tree, &g->times, gr);
	TAILQ_REMOVE(&gr->holder->grants, gr, of_holder);
	gr->holder->ngrants--;
	g->ngrants--;
	free(gr);
}

static struct holder *
holder_get(struct grants *g, const uint8_t *id)
{
	struct holder find, *h;

	memcpy(find.id, id, WORKER_ID);
	if ((h = RB_FIND(holder_tree, &g->holders, &find)) != NULL)
		return h;
	if (g->nholders >= HOLDERS_MAX) {
		errno = ENOBUFS;
		return NULL;
	}
	if ((h = calloc(1, sizeof *h)) == NULL)
		return NULL;
	memcpy(h->id, id, WORKER_ID);
	TAILQ_INIT(&h->grants);
	RB_INSERT(holder_tree, &g->holders, h);
	g->nholders++;
	return h;
}

static struct grant *
grant_find(struct grants *g, const uint8_t *job)
{
	struct grant find;

	memcpy(find.job, job, JOB_ID);
	return RB_FIND(job_tree, &g->jobs, &find);
}

static struct grant *
grant_new(const struct grant_req *r, uint64_t now)
{
	size_t keys = r->keys.n * sizeof(struct grant_fpr), who = strlen(r->consumer) + 1;
	struct grant *gr;

	if ((gr = calloc(1, sizeof *gr + keys + who)) == NULL)
		return NULL;
	memcpy(gr->job, r->job.p, JOB_ID);
	gr->deadline = now + r->ttl;
	gr->op = (enum key_op)r->op;
	gr->left = r->max;
	gr->nkeys = (unsigned)r->keys.n;
	for (unsigned i = 0; i < gr->nkeys; i++) {
		gr->keys[i].n = (uint8_t)r->keys.v[i].key.n;
		memcpy(gr->keys[i].fpr, r->keys.v[i].key.p, r->keys.v[i].key.n);
	}
	gr->consumer = (char *)gr->keys + keys;
	memcpy(gr->consumer, r->consumer, who);
	return gr;
}

enum crypto_status
grants_add(struct grants *g, const struct grant_req *r, uint64_t now)
{
	struct holder *h;
	struct grant *gr;

	if (grant_find(g, r->job.p) != NULL)
		return CRYPTO_DENIED;
	if (g->ngrants >= GRANTS_MAX || (h = holder_get(g, r->worker.p)) == NULL)
		return CRYPTO_BUSY;
	if ((gr = grant_new(r, now)) == NULL) {
		holder_drop(g, h);
		return CRYPTO_BUSY;
	}
	if (h->ngrants >= GRANTS_WORKER_MAX)
		grant_drop(g, TAILQ_FIRST(&h->grants));
	gr->holder = h;
	TAILQ_INSERT_TAIL(&h->grants, gr, of_holder);
	h->ngrants++;
	RB_INSERT(job_tree, &g->jobs, gr);
	RB_INSERT(time_tree, &g->times, gr);
	g->ngrants++;
	return CRYPTO_OK;
}

struct holder *
grants_bind(struct grants *g, const uint8_t worker[WORKER_ID])
{
	struct holder *h;

	if ((h = holder_get(g, worker)) == NULL)
		return NULL;
	if (h->bound) {
		errno = EEXIST;
		return NULL;
	}
	h->bound = 1;
	return h;
}

void
grants_unbind(struct grants *g, struct holder *h)
{
	while (!TAILQ_EMPTY(&h->grants))
		grant_drop(g, TAILQ_FIRST(&h->grants));
	h->bound = 0;
	holder_drop(g, h);
}

unsigned *
grants_refusals(struct holder *h)
{
	return &h->refusals;
}

static int
has_key(const struct grant *gr, struct bytes key)
{
	for (unsigned i = 0; i < gr->nkeys; i++)
		if (gr->keys[i].n == key.n && memcmp(gr->keys[i].fpr, key.p, key.n) == 0)
			return 1;
	return 0;
}

enum grant_verdict
grants_use(struct grants *g, struct holder *h, struct bytes job, enum key_op op, struct bytes key,
    uint64_t now, const char **consumer)
{
	struct grant *gr;

	*consumer = NULL;
	if (job.n != JOB_ID || (gr = grant_find(g, job.p)) == NULL || gr->holder != h)
		return GRANT_NONE;
	*consumer = gr->consumer;
	if (gr->deadline <= now)
		return GRANT_EXPIRED;
	if (gr->op != op)
		return GRANT_WRONG_OP;
	if (!has_key(gr, key))
		return GRANT_WRONG_KEY;
	/* It stays until its deadline, so that the log can tell "used up" from "never given". */
	if (gr->left == 0)
		return GRANT_USED_UP;
	gr->left--;
	return GRANT_OK;
}

int
grants_key(struct grants *g, struct bytes job, unsigned i, struct bytes *key)
{
	struct grant *gr;

	if (job.n != JOB_ID || (gr = grant_find(g, job.p)) == NULL || i >= gr->nkeys)
		return 0;
	*key = (struct bytes){gr->keys[i].fpr, gr->keys[i].n};
	return 1;
}

const char *
grants_why(enum grant_verdict v)
{
	static const char *const text[] = {
	    [GRANT_OK] = "granted",
	    [GRANT_NONE] = "no such grant",
	    [GRANT_EXPIRED] = "grant expired",
	    [GRANT_WRONG_OP] = "grant is for another operation",
	    [GRANT_WRONG_KEY] = "key not in the grant",
	    [GRANT_USED_UP] = "grant used up",
	};

	return text[v];
}

size_t
grants_expire(struct grants *g, uint64_t now)
{
	struct grant *gr;
	struct holder *h;

	while ((gr = RB_MIN(time_tree, &g->times)) != NULL && gr->deadline <= now) {
		h = gr->holder;
		grant_drop(g, gr);
		holder_drop(g, h);
	}
	return g->ngrants;
}

void
grants_clear(struct grants *g)
{
	(void)grants_expire(g, UINT64_MAX);
}

size_t
grants_count(const struct grants *g)
{
	return g->ngrants;
}

void
grants_free(struct grants *g)
{
	struct holder *h;

	if (g == NULL)
		return;
	grants_clear(g);
	while ((h = RB_ROOT(&g->holders)) != NULL) {
		h->bound = 0;
		holder_drop(g, h);
	}
	free(g);
}
