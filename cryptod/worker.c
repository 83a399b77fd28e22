/* Workers sign and unwrap, by grant only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "cryptod/cryptod.h"

static void
worker_free(struct worker *w)
{
	LIST_REMOVE(w, next);
	cryptod.nworkers--;
	ops_forget(w->chan);
	grants_unbind(cryptod.grants, w->holder);
	free(w);
}

static void
on_closed(struct chan *c, void *arg)
{
	(void)c;
	worker_free(arg);
}

/* One request as it is being judged. */
struct request {
	struct worker *w;
	struct bytes job, key;
	enum key_op op;
	const char *consumer; /* NULL: the job says nothing */
	enum crypto_status status;
	const char *why; /* when CRYPTO_DENIED */
	int granted; /* policyd has allowed it: if it cannot be, the worker is not to blame */
	struct loaded_key *loaded;
};

/*
 * A grant may still be in policyd's socket: policyd writes it there before it answers the worker,
 * and waits for nothing.
 */
static enum grant_verdict
use_grant(struct request *q, uint64_t now)
{
	enum grant_verdict v;
	struct chan *policyd;

	v = grants_use(cryptod.grants, q->w->holder, q->job, q->op, q->key, now, &q->consumer);
	if (v != GRANT_NONE || (policyd = proc_chan(P_POLICYD, 0)) == NULL)
		return v;
	chan_poll(policyd);
	return grants_use(cryptod.grants, q->w->holder, q->job, q->op, q->key, now, &q->consumer);
}

/*
 * The key is not there.  Is another one of the grant's?  The worker must know: without any of them
 * its message will never be opened here, else this one's absence is a fault.
 */
static enum crypto_status
missing(const struct request *q)
{
	struct bytes other;
	enum key_use use;
	int disabled, rc;

	for (unsigned i = 0; grants_key(cryptod.grants, q->job, i, &other); i++) {
		rc = keys_peek(cryptod.keys, other, &use, &disabled, &(struct err){0});
		if (rc != 0)
			return CRYPTO_FAILED;
	}
	return CRYPTO_NOKEY;
}

/* Nobody but the log hears that a key of the database is not in the store. */
static void
log_key_trouble(const struct request *q, const struct err *e)
{
	char fpr[2 * 32 + 1];

	if (e->code == ENOKEY)
		log_warn("worker=%s key=%s consumer=%s: not in the key store", q->w->name,
		    hex_encode(fpr, q->key.p, q->key.n), log_str(q->consumer));
	else
		log_err("%s", e->text);
}

static void
judge(struct request *q, enum proc_id peer)
{
	uint64_t now = clock_ms();
	enum grant_verdict v;
	struct err e = {0};

	q->status = CRYPTO_DENIED;
	q->why = "no permission";
	if (!perm_any(peer, (enum perm_op)q->op))
		return;
	q->status = CRYPTO_LOCKED;
	if (cryptod.keys == NULL)
		return;
	v = use_grant(q, now);
	q->status = CRYPTO_DENIED;
	q->why = grants_why(v);
	if (v != GRANT_OK)
		return;
	q->granted = 1;
	q->status = CRYPTO_BUSY;
	if (!rate_take(cryptod.rate, q->consumer, now))
		return;
	if ((q->loaded = keys_get(cryptod.keys, q->key, &e)) == NULL) {
		q->status = e.code == ENOKEY ? missing(q) : CRYPTO_FAILED;
		log_key_trouble(q, &e);
		return;
	}
	q->status = CRYPTO_DENIED;
	q->why = "wrong use of this key";
	if (perm_need(peer, q->loaded->use, (enum perm_op)q->op) != PERM_BY_GRANT)
		return;
	q->why = "key is disabled";
	if (q->op == OP_SIGN && q->loaded->disabled)
		return;
	q->status = CRYPTO_OK;
}

/* Count what was refused; a worker that asks too much that it may not is cut off. */
static void
refused(const struct request *q)
{
	char fpr[2 * 32 + 1];
	unsigned *refusals;

	if (q->status != CRYPTO_DENIED)
		return;
	cryptod.nrefused++;
	if (q->consumer != NULL)
		rate_count(cryptod.rate, q->consumer, RATE_REFUSED, clock_ms());
	log_warn("worker=%s refused: %s key=%s consumer=%s: %s", q->w->name,
	    q->op == OP_SIGN ? "sign" : "unwrap", hex_encode(fpr, q->key.p, q->key.n),
	    log_str(q->consumer), q->why);
	refusals = grants_refusals(q->w->holder);
	if (q->granted || ++*refusals < REFUSALS_MAX)
		return;
	log_err("worker=%s closed: %u requests without permission", q->w->name, *refusals);
	chan_free(q->w->chan);
	worker_free(q->w);
}

static enum crypto_status
do_sign(struct op *op)
{
	struct pgp_sigval *val = &op->out.sig;

	return pgp_skey_sign(op->key->skey, op->number, op->in.p, op->in.n, val) == 0
		   ? CRYPTO_OK
		   : CRYPTO_FAILED;
}

static void
signed_(struct op *op)
{
	struct sign_rep rep = {.status = (uint8_t)op->status};

	if (op->status == CRYPTO_OK) {
		rep.value = (struct bytes){op->out.sig.data, op->out.sig.n};
		cryptod.nsigned++;
		rate_count(cryptod.rate, op->line, RATE_SIGNED, clock_ms());
	}
	if (op->chan != NULL)
		(void)chan_send(op->chan, M_sign_rep, op->id, &rep, -1);
}

static void
on_sign(struct chan *c, struct ipc_msg *m)
{
	const struct sign_req *r = m->body;
	struct request q = {.w = chan_arg(c), .job = r->job, .key = r->key, .op = OP_SIGN};
	struct sign_rep rep = {0};
	struct op op = {.chan = c, .id = m->id, .work = do_sign, .done = signed_};

	judge(&q, chan_peer(c));
	if (q.status != CRYPTO_OK) {
		rep.status = (uint8_t)q.status;
		(void)chan_send(c, M_sign_rep, m->id, &rep, -1);
		refused(&q);
		return;
	}
	op.line = q.consumer;
	op.key = q.loaded;
	op.number = r->hash;
	op.in = r->digest;
	op_run(&op);
}

static enum crypto_status
do_unwrap(struct op *op)
{
	return pgp_skey_unwrap(op->key->skey, op->in.p, op->in.n, &op->out.session_key) == 0
		   ? CRYPTO_OK
		   : CRYPTO_FAILED;
}

static void
unwrapped(struct op *op)
{
	struct unwrap_rep rep = {.status = (uint8_t)op->status};
	const struct pgp_session_key *sk = &op->out.session_key;

	if (op->status == CRYPTO_OK) {
		rep.cipher = sk->algo;
		rep.session_key = (struct bytes){sk->key, sk->n};
		cryptod.nunwrapped++;
		rate_count(cryptod.rate, op->line, RATE_UNWRAPPED, clock_ms());
	}
	if (op->chan != NULL)
		(void)chan_send(op->chan, M_unwrap_rep, op->id, &rep, -1);
}

static void
on_unwrap(struct chan *c, struct ipc_msg *m)
{
	const struct unwrap_req *r = m->body;
	struct request q = {.w = chan_arg(c), .job = r->job, .key = r->key, .op = OP_UNWRAP};
	struct unwrap_rep rep = {0};
	struct op op = {.chan = c, .id = m->id, .work = do_unwrap, .done = unwrapped};

	judge(&q, chan_peer(c));
	if (q.status != CRYPTO_OK) {
		rep.status = (uint8_t)q.status;
		(void)chan_send(c, M_unwrap_rep, m->id, &rep, -1);
		refused(&q);
		return;
	}
	op.line = q.consumer;
	op.key = q.loaded;
	op.in = r->esk;
	op_run(&op);
}

static const struct chan_handler worker_handlers[] = {
    {M_sign_req, on_sign},
    {M_unwrap_req, on_unwrap},
    {0, NULL},
};

void
cryptod_worker_bind(struct chan *c, struct ipc_msg *m)
{
	const struct worker_bind *b = m->body;
	int fd = m->fd;
	struct worker *w;

	(void)c;
	m->fd = -1;
	if ((w = calloc(1, sizeof *w)) == NULL)
		goto fail;
	hex_encode(w->name, b->worker.p, b->worker.n);
	if ((w->holder = grants_bind(cryptod.grants, b->worker.p)) == NULL)
		goto fail;
	w->chan = chan_new(cryptod.base, fd, P_CRYPTOD, P_WORKER, worker_handlers, on_closed, w);
	fd = -1;
	if (w->chan == NULL) {
		grants_unbind(cryptod.grants, w->holder);
		goto fail;
	}
	LIST_INSERT_HEAD(&cryptod.workers, w, next);
	cryptod.nworkers++;
	return;
fail:
	log_warn("a worker cannot be bound: %s", strerror(errno));
	if (fd != -1)
		close(fd);
	free(w);
}

void
cryptod_workers_close(void)
{
	struct worker *w;

	while ((w = LIST_FIRST(&cryptod.workers)) != NULL) {
		chan_free(w->chan);
		worker_free(w);
	}
}
