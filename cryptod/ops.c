#include "cryptod/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cryptod/cryptod.h"

static LIST_HEAD(, op) ops = LIST_HEAD_INITIALIZER(ops);
static unsigned count;
static void (*when_none)(void);

/* An op in memory of its own, with its input. */
struct deferred {
	struct op op; /* first: found by it */
	char line[POOL_NAME_MAX + 1];
	_Alignas(max_align_t) uint8_t in[];
};

static void
perform(struct op *op)
{
	if (op->key != NULL && loaded_key_ready(op->key, &op->err) == -1)
		op->status = CRYPTO_FAILED;
	else
		op->status = op->work(op);
}

static void
in_thread(struct pool_job *j)
{
	perform((struct op *)j);
}

static void
release(struct op *op)
{
	struct deferred *d = (struct deferred *)op;
	size_t n = sizeof *d + op->in.n;

	LIST_REMOVE(op, next);
	if (op->key != NULL)
		loaded_key_release(op->key);
	explicit_bzero(d, n);
	free(d);
	if (--count == 0 && when_none != NULL)
		when_none();
}

/* The memory for private numbers was full, which is known only now: make room and try once more. */
static int
retry(struct op *op)
{
	if (op->err.code != ENOMEM || op->key == NULL || op->again || cryptod.keys == NULL)
		return 0;
	keys_forget(cryptod.keys);
	op->again = 1;
	memset(&op->err, 0, sizeof op->err);
	return pool_submit(cryptod.pool, &op->job, op->line) == 0;
}

static void
on_done(struct pool_job *j)
{
	struct op *op = (struct op *)j;

	if (retry(op))
		return;
	if (op->err.code != 0 && op->key != NULL)
		log_err("%s", op->err.text);
	op->done(op);
	release(op);
}

/* 0, or -1 with errno: EBUSY, ENOMEM. */
static int
defer(const struct op *op)
{
	struct deferred *d;

	if ((d = malloc(sizeof *d + op->in.n)) == NULL)
		return -1;
	d->op = *op;
	if (op->in.n > 0)
		memcpy(d->in, op->in.p, op->in.n);
	d->op.in.p = d->in;
	(void)strlcpy(d->line, op->line, sizeof d->line);
	d->op.line = d->line;
	d->op.peer = chan_peer(op->chan);
	d->op.instance = chan_instance(op->chan);
	d->op.job.work = in_thread;
	d->op.job.done = on_done;
	if (pool_submit(cryptod.pool, &d->op.job, d->line) == -1) {
		explicit_bzero(d, sizeof *d + op->in.n);
		free(d);
		return -1;
	}
	if (d->op.key != NULL)
		loaded_key_hold(d->op.key);
	LIST_INSERT_HEAD(&ops, &d->op, next);
	count++;
	return 0;
}

void
op_run(struct op *op)
{
	op->status = CRYPTO_BUSY;
	if (op->key == NULL ? !op->slow : !op->key->slow)
		perform(op);
	else if (defer(op) == 0)
		return;
	op->done(op);
	explicit_bzero(&op->out, sizeof op->out);
}

/* Its answer is not wanted. */
static void
forget(struct op *op)
{
	op->chan = NULL;
	if (pool_cancel(cryptod.pool, &op->job))
		release(op);
}

void
ops_forget(const struct chan *c)
{
	struct op *op, *next;

	LIST_FOREACH_SAFE (op, &ops, next, next)
		if (op->chan == c)
			forget(op);
}

void
ops_forget_peer(enum proc_id peer, unsigned instance)
{
	struct op *op, *next;

	LIST_FOREACH_SAFE (op, &ops, next, next)
		if (op->chan != NULL && op->peer == peer && op->instance == instance)
			forget(op);
}

void
ops_end(int answer)
{
	struct pool_jobs all;
	struct pool_job *j;
	struct op *op;

	if (cryptod.pool == NULL)
		return;
	pool_halt(cryptod.pool, &all);
	while ((j = TAILQ_FIRST(&all)) != NULL) {
		TAILQ_REMOVE(&all, j, next);
		op = (struct op *)j;
		op->status = CRYPTO_LOCKED;
		if (!answer)
			op->chan = NULL;
		op->done(op);
		release(op);
	}
}

unsigned
ops_count(void)
{
	return count;
}

void
ops_when_none(void (*fn)(void))
{
	when_none = fn;
}
