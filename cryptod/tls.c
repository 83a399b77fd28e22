/* Proxies sign for their handshakes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "cryptod/cryptod.h"

/* One handshake's request as it is being judged. */
struct request {
	struct bytes key;
	const char *who;
	enum crypto_status status;
	const char *why; /* when CRYPTO_DENIED */
	struct loaded_key *loaded;
};

static void
judge(struct request *q, enum proc_id peer)
{
	struct err e = {0};

	q->status = CRYPTO_DENIED;
	q->why = "no permission";
	if (!perm_any(peer, PERM_TLS_SIGN))
		return;
	q->status = CRYPTO_LOCKED;
	if (cryptod.keys == NULL)
		return;
	q->status = CRYPTO_BUSY;
	if (!rate_take(cryptod.tls_rate, q->who, clock_ms()))
		return;
	if ((q->loaded = keys_get(cryptod.keys, q->key, &e)) == NULL) {
		q->status = e.code == ENOKEY ? CRYPTO_NOKEY : CRYPTO_FAILED;
		if (q->status == CRYPTO_FAILED)
			log_err("%s", e.text);
		return;
	}
	q->status = CRYPTO_DENIED;
	q->why = "wrong use of this key";
	if (perm_need(peer, q->loaded->use, PERM_TLS_SIGN) == PERM_FREE)
		q->status = CRYPTO_OK;
}

#define COMPLAIN_MS 1000 /* between two lines about what was refused; all are counted */

static void
refused(const char *who, const char *what, const char *why)
{
	static uint64_t quiet;
	uint64_t now = clock_ms();

	cryptod.nrefused++;
	rate_count(cryptod.tls_rate, who, RATE_REFUSED, now);
	if (now < quiet)
		return;
	quiet = now + COMPLAIN_MS;
	log_warn("%s refused: TLS with %s: %s", who, what, why);
}

static enum crypto_status
do_sign(struct op *op)
{
	int n = tls_sign(op->key->skey, op->number, op->in.p, op->in.n, op->out.tls.p);

	if (n == -1)
		return errno == EINVAL ? CRYPTO_DENIED : CRYPTO_FAILED;
	op->out.tls.n = (size_t)n;
	return CRYPTO_OK;
}

static void
answer(struct chan *c, uint64_t id, enum crypto_status st, struct bytes value)
{
	struct tls_sign_rep rep = {.status = (uint8_t)st, .value = value};

	(void)chan_send(c, M_tls_sign_rep, id, &rep, -1);
}

static void
done(struct op *op)
{
	struct bytes value = {NULL, 0};
	char scheme[32];

	if (op->status == CRYPTO_OK) {
		value = (struct bytes){op->out.tls.p, op->out.tls.n};
		cryptod.nhandshakes++;
		rate_count(cryptod.tls_rate, op->line, RATE_SIGNED, clock_ms());
	} else if (op->status == CRYPTO_DENIED) {
		(void)snprintf(scheme, sizeof scheme, "scheme 0x%04x", op->number);
		refused(op->line, scheme, "not for this key");
	}
	if (op->chan != NULL)
		answer(op->chan, op->id, op->status, value);
}

void
cryptod_tls_sign(struct chan *c, struct ipc_msg *m)
{
	const struct tls_sign_req *r = m->body;
	char who[POOL_NAME_MAX + 1], key[2 * KEY_FPR + 1];
	struct request q = {.key = r->key, .who = who};
	struct op op = {.chan = c,
	    .id = m->id,
	    .line = who,
	    .number = r->scheme,
	    .in = r->data,
	    .work = do_sign,
	    .done = done};

	(void)snprintf(who, sizeof who, "%s/%u", proc_name(chan_peer(c)), chan_instance(c));
	judge(&q, chan_peer(c));
	if (q.status == CRYPTO_OK) {
		op.key = q.loaded;
		op_run(&op);
		return;
	}
	if (q.status == CRYPTO_DENIED) {
		(void)hex_encode(key, r->key.p, r->key.n);
		refused(who, key, q.why);
	}
	answer(c, m->id, q.status, (struct bytes){NULL, 0});
}
