/*
 * What workers ask: who may sign, which keys encrypt, which keys open, who signed.  A worker is
 * answered for the session that it was bound to and for nothing else; private keys are granted
 * to it by name, for a few operations and a short time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "mail/address.h"
#include "openpgp/cert.h"
#include "openpgp/pk.h"
#include "policyd/identity.h"
#include "policyd/policyd.h"

#define CERTS_MAX 64 /* certificates of one consumer that are looked at */
#define RCPT_CERTS_MAX 8 /* as in plan_rcpt */
#define GRANT_TTL 60000 /* milliseconds: the time a worker needs for one message, generously */
#define GRANT_WAIT 5000 /* milliseconds for cryptod to answer, its restart included */
#define GRANTS_OPEN_MAX 8 /* that one worker waits for: an honest one asks one after the other */
#define ANSWER_MAX (IPC_FRAME_MAX - 16 * 1024) /* octets of certificates in one answer */

/* A question of a worker's, and the grant that cryptod gets or is asked for. */
struct grant {
	LIST_ENTRY(grant) next;
	struct bound *b;
	struct proc_req *req;
	uint64_t id; /* of the worker's request */
	uint8_t job[JOB_ID];
	uint16_t type; /* M_plan_rep or M_opening_rep */
	union {
		struct plan_rep plan;
		struct opening_rep opening;
	} rep;
	/* What rep points into. */
	struct held *own; /* certificates of the consumer, CERTS_MAX at most */
	size_t nown;
	struct plan_keys {
		struct cert certs[RCPT_CERTS_MAX]; /* part of */
		struct held held[RCPT_CERTS_MAX];
		char why[256];
	} * rcpt_keys; /* of each recipient */
	struct plan_rcpt *rcpts;
	size_t nrcpts; /* of both */
	struct cert_key keys[OPENING_KEYS_MAX];
	struct grant_key granted[OPENING_KEYS_MAX];
	struct held consumer;
	char text[256];
};

static void
grant_free(struct grant *g)
{
	size_t i, k;

	while (g->nown > 0)
		held_free(&g->own[--g->nown]);
	for (i = 0; i < g->nrcpts; i++)
		for (k = 0; k < g->rcpts[i].certs.n; k++)
			held_free(&g->rcpt_keys[i].held[k]);
	held_free(&g->consumer);
	free(g->own);
	free(g->rcpts);
	free(g->rcpt_keys);
	free(g);
}

void
grants_cancel(struct bound *b)
{
	struct grant *g;

	while ((g = LIST_FIRST(&b->grants)) != NULL) {
		LIST_REMOVE(g, next);
		b->ngrants--;
		proc_cancel(g->req);
		grant_free(g);
	}
}

/* Only that it cannot be done now, in place of what was said before. */
static void
defer(struct grant *g, const char *why)
{
	memset(&g->rep, 0, sizeof g->rep);
	if (g->type == M_plan_rep) {
		g->rep.plan.sign = SIGN_DEFER;
		g->rep.plan.why = why;
	} else {
		g->rep.opening.result = OPENING_DEFER;
		g->rep.opening.why = why;
	}
}

static void
answer(struct grant *g)
{
	int rc = chan_send(g->b->chan, g->type, g->id, &g->rep, -1);

	if (rc == -1 && errno == EMSGSIZE) {
		defer(g, "the certificates of one recipient are too large together");
		rc = chan_send(g->b->chan, g->type, g->id, &g->rep, -1);
	}
	if (rc == -1)
		log_warn("cannot answer a worker: %s", strerror(errno));
	grant_free(g);
}

static void
answer_defer(struct grant *g, const char *why)
{
	defer(g, why);
	answer(g);
}

/* cryptod has spoken, or has not. */
static void
on_grant(void *arg, struct ipc_msg *m, int error)
{
	struct grant *g = arg;
	unsigned status = m != NULL ? ((const struct grant_rep *)m->body)->status : CRYPTO_BUSY;
	const char *why = error != 0                ? "the key store does not answer"
			  : status == CRYPTO_LOCKED ? "the key store is locked"
			  : status == CRYPTO_NOKEY  ? "the private key is not in the key store"
			  : status == CRYPTO_DENIED ? "the key store refuses the use of the key"
						    : "the key store is busy";

	LIST_REMOVE(g, next);
	g->b->ngrants--;
	if (g->type == M_plan_rep) {
		if (status != CRYPTO_OK) {
			g->rep.plan.sign = SIGN_DEFER;
			g->rep.plan.why = why;
			g->rep.plan.job.n = 0;
			g->rep.plan.sign_key.n = 0;
			g->rep.plan.signer.n = 0;
		}
	} else if (status != CRYPTO_OK) {
		defer(g, why);
		/* None of them is there: that will not pass by itself, the mail stays as it is. */
		if (error == 0 && status == CRYPTO_NOKEY)
			g->rep.opening.result = OPENING_NOKEY;
	}
	answer(g);
}

static struct grant *
grant_new(struct chan *c, const struct ipc_msg *m, uint16_t type)
{
	struct grant *g = calloc(1, sizeof *g);

	if (g == NULL)
		return NULL;
	g->b = chan_arg(c);
	g->id = m->id;
	g->type = type;
	return g;
}

/*
 * Put the grant into cryptod's socket.  What the worker asks of cryptod after it has its answer
 * comes later, so cryptod finds the grant, and tells the worker itself when it cannot be used.
 */
static int
hand_grant(const struct grant_req *q)
{
	struct chan *c = proc_chan(P_CRYPTOD, 0);

	if (c == NULL || chan_pending(c) > 0 || chan_send(c, M_grant_req, 0, q, -1) == -1)
		return -1;
	chan_flush(c, 0);
	return chan_pending(c) > 0 ? -1 : 0;
}

/* Let this worker use n keys, and answer it. */
static void
give_grant(struct grant *g, enum key_op op, const char *consumer, size_t n)
{
	struct grant_req q;

	memset(&q, 0, sizeof q);
	arc4random_buf(g->job, sizeof g->job);
	q.job = (struct bytes){g->job, sizeof g->job};
	q.worker = (struct bytes){g->b->worker, WORKER_ID};
	q.op = (uint8_t)op;
	q.max = GRANT_MAX;
	q.ttl = GRANT_TTL;
	q.consumer = consumer;
	q.keys.v = g->granted;
	q.keys.n = n;
	if (hand_grant(&q) == 0) {
		answer(g);
		return;
	}
	/* cryptod is away or far behind: wait for it, or for its successor. */
	if (g->b->ngrants >= GRANTS_OPEN_MAX) {
		answer_defer(g, "too many requests at once");
		return;
	}
	/* The one before may still arrive, and a job's number counts once. */
	arc4random_buf(g->job, sizeof g->job);
	LIST_INSERT_HEAD(&g->b->grants, g, next);
	g->b->ngrants++;
	g->req = proc_request(P_CRYPTOD, M_grant_req, &q, GRANT_WAIT, on_grant, g);
	if (g->req == NULL)
		on_grant(g, NULL, ENOMEM);
}

/*
 * The consumer a message is from: the session's as it is now, or (by_address) the owner of the
 * sender.  1, 0 nobody, -1 with e.
 */
static int
consumer_of(struct grant *g, const struct session *s, const char *sender, struct err *e)
{
	char addr[MAIL_ADDR_MAX + 1];
	const struct consumer *c;
	int rc = 0;

	if (s->consumer[0] != '\0')
		rc = db_consumer(s->consumer, &g->consumer, e);
	else if (s->by_address && mail_addr_normalise(sender, addr, sizeof addr) == 0)
		rc = db_consumer_addr(s->tenant, addr, &g->consumer, e);
	if (rc != 1)
		return rc;
	c = g->consumer.rec;
	if (c->kind == CONSUMER_INTERNAL && strcmp(c->tenant, s->tenant) == 0)
		return 1;
	held_free(&g->consumer);
	return 0;
}

static int
load_own(struct grant *g, const char *consumer, struct err *e)
{
	struct held h[CERTS_MAX];
	int n = db_certs_of(consumer, h, CERTS_MAX, e);

	if (n <= 0)
		return n;
	if ((g->own = calloc((size_t)n, sizeof *g->own)) != NULL) {
		memcpy(g->own, h, (size_t)n * sizeof *h);
		g->nown = (size_t)n;
		return n;
	}
	while (n > 0)
		held_free(&h[--n]);
	return err_sys(e, "certificates");
}

/* The consumer's newest key that may sign now; its certificate goes into the answer. */
static const struct cert_key *
signing_key(struct grant *g, uint64_t now)
{
	const struct cert_key *best = NULL, *k;
	const struct stored_cert *c;
	size_t i;

	for (i = 0; i < g->nown; i++) {
		c = g->own[i].rec;
		if (!c->secret || (k = pgp_cert_signing_key(c->cert.v, now, NULL)) == NULL)
			continue;
		if (best == NULL || k->created > best->created) {
			best = k;
			g->rep.plan.signer.v = c->cert.v;
		}
	}
	return best;
}

/*
 * May this message be signed, and with what?  Envelope sender and the one From must both be the
 * consumer's own addresses: nobody signs as somebody else.  Returns the key, or NULL with why.
 */
static const struct cert_key *
may_sign(struct grant *g, const struct plan_req *q, struct err *e)
{
	const struct consumer *c = g->consumer.rec;
	const struct cert_key *k;

	if (c == NULL)
		g->rep.plan.why = "the login belongs to no consumer";
	else if (q->sender[0] == '\0' || !consumer_has(c, q->sender))
		g->rep.plan.why = "the envelope sender is not the consumer's";
	else if (q->from[0] == '\0' || !consumer_has(c, q->from))
		g->rep.plan.why = "From is not one address of the consumer";
	else if (load_own(g, c->id, e) == -1) {
		g->rep.plan.sign = SIGN_DEFER; /* not "no key": nobody knows */
		g->rep.plan.why = "the database cannot be read";
		log_err("%s", e->text);
	} else if ((k = signing_key(g, clock_unix())) == NULL)
		g->rep.plan.why = "the consumer has no valid key for signatures";
	else
		return k;
	return NULL;
}

/* Certificates of one recipient that can encrypt now, or the reason why none can. */
static int
plan_rcpt_keys(struct grant *g, const struct session *s, const char *addr, size_t i, size_t *size,
    struct err *e)
{
	struct plan_rcpt *r = &g->rcpts[i];
	struct plan_keys *own = &g->rcpt_keys[i];
	struct held owner, h[CERTS_MAX];
	const struct cert_key *k;
	char norm[MAIL_ADDR_MAX + 1];
	struct err why = {0};
	int n, x, rc;

	r->certs.v = own->certs;
	r->why = own->why;
	if (mail_addr_normalise(addr, norm, sizeof norm) == -1)
		return 0;
	if ((rc = db_domain_managed(s->tenant, mail_addr_domain(norm), e)) == -1)
		return -1;
	r->internal = (uint8_t)rc;
	if ((rc = db_consumer_addr(s->tenant, norm, &owner, e)) != 1)
		return rc;
	n = db_certs_of(((const struct consumer *)owner.rec)->id, h, CERTS_MAX, e);
	held_free(&owner);
	for (x = 0; x < n; x++) {
		const struct stored_cert *c = h[x].rec;

		if (pgp_cert_encryption_keys(c->cert.v, clock_unix(), &k, 1, &why) == -1) {
			(void)strlcpy(own->why, why.text, sizeof own->why);
			held_free(&h[x]);
		} else if (r->certs.n == RCPT_CERTS_MAX) {
			held_free(&h[x]);
		} else {
			*size += buf_len(&h[x].octets);
			own->held[r->certs.n] = h[x];
			own->certs[r->certs.n++] = *c->cert.v;
		}
	}
	if (n > 0)
		r->status = r->certs.n > 0 ? KEYS_FOUND : KEYS_UNUSABLE;
	if (r->status != KEYS_UNUSABLE)
		r->why = "";
	return n == -1 ? -1 : 0;
}

static int
plan_rcpts(struct grant *g, const struct session *s, const struct plan_req *q, struct err *e)
{
	size_t i, size = 0;

	if (q->rcpts.n == 0)
		return 0;
	g->rcpts = calloc(q->rcpts.n, sizeof *g->rcpts);
	g->rcpt_keys = calloc(q->rcpts.n, sizeof *g->rcpt_keys);
	if (g->rcpts == NULL || g->rcpt_keys == NULL)
		return err_sys(e, "recipients");
	g->nrcpts = q->rcpts.n;
	g->rep.plan.rcpts.v = g->rcpts;
	for (i = 0; i < q->rcpts.n; i++) {
		if (plan_rcpt_keys(g, s, q->rcpts.v[i].addr, i, &size, e) == -1)
			return -1;
		/* What does not fit is asked for again, and comes first then. */
		if (i > 0 && size > ANSWER_MAX / 2)
			break;
		g->rep.plan.rcpts.n++;
	}
	return 0;
}

/* Is the envelope sender of somebody else's domain, on a connector that is for our own people? */
static int
from_outside(struct grant *g, const struct session *s, const char *sender, struct err *e)
{
	char addr[MAIL_ADDR_MAX + 1];
	int managed;

	if (sender[0] == '\0' || s->outside_senders)
		return 0;
	if (mail_addr_normalise(sender, addr, sizeof addr) == -1)
		managed = 0;
	else if ((managed = db_domain_managed(s->tenant, mail_addr_domain(addr), e)) == -1)
		return -1;
	g->rep.plan.outside = !managed;
	return 0;
}

static void
on_plan(struct chan *c, struct ipc_msg *m)
{
	const struct plan_req *q = m->body;
	struct grant *g = grant_new(c, m, M_plan_rep);
	const struct cert_key *k = NULL;
	struct session *s;
	struct err e;

	if (g == NULL)
		return; /* the worker's deadline defers the message */
	if ((s = session_find(g->b->session)) == NULL) {
		answer_defer(g, "the session is not known any more; try again");
		return;
	}
	if (s->opens) {
		answer_defer(g, "the session is for mail that comes in");
		return;
	}
	if (consumer_of(g, s, q->sender, &e) == -1 || from_outside(g, s, q->sender, &e) == -1 ||
	    plan_rcpts(g, s, q, &e) == -1) {
		log_err("%s", e.text);
		answer_defer(g, "the database cannot be read now");
		return;
	}
	if (g->consumer.rec != NULL)
		g->rep.plan.consumer = ((const struct consumer *)g->consumer.rec)->id;
	if (q->sign)
		k = may_sign(g, q, &e);
	if (k == NULL) {
		answer(g);
		return;
	}
	g->rep.plan.sign = SIGN_YES;
	g->rep.plan.signer.n = 1;
	g->rep.plan.sign_key = k->fpr;
	g->rep.plan.job = (struct bytes){g->job, sizeof g->job};
	g->granted[0].key = k->fpr;
	give_grant(g, OP_SIGN, g->rep.plan.consumer, 1);
}

/* Does one of the message's key ids name this key? Zeros name every key. */
static int
named(const struct opening_req *q, const struct cert_key *k)
{
	static const uint8_t hidden[8];
	const uint8_t *id = pgp_keyid(k->fpr.p, k->fpr.n);
	size_t i;

	for (i = 0; i < q->ids.n; i++) {
		const struct bytes *b = &q->ids.v[i].id;

		if (b->n == 8 && (memcmp(b->p, id, 8) == 0 || memcmp(b->p, hidden, 8) == 0))
			return 1;
		if (b->n == k->fpr.n && memcmp(b->p, k->fpr.p, b->n) == 0)
			return 1;
	}
	return 0;
}

/*
 * The consumer's own keys that may open it.  Neither expiry nor revocation counts: old mail must
 * stay readable.
 */
static size_t
opening_keys(struct grant *g, const struct opening_req *q)
{
	size_t i, k, n = 0;

	for (i = 0; i < g->nown; i++) {
		const struct stored_cert *c = g->own[i].rec;

		for (k = 0; c->secret && k < c->cert.v->keys.n && n < OPENING_KEYS_MAX; k++) {
			const struct cert_key *key = &c->cert.v->keys.v[k];

			if ((pgp_algo_can(key->algo) & KEY_ENCRYPT) == 0 ||
			    (key->flags != 0 && (key->flags & KEY_ENCRYPT) == 0) || !named(q, key))
				continue;
			g->keys[n] = *key;
			g->granted[n++].key = key->fpr;
		}
	}
	return n;
}

static void
opening_nokey(struct grant *g, const char *why)
{
	g->rep.opening.result = OPENING_NOKEY;
	g->rep.opening.why = why;
	answer(g);
}

static void
on_opening(struct chan *c, struct ipc_msg *m)
{
	struct grant *g = grant_new(c, m, M_opening_rep);
	struct session *s;
	struct err e;
	size_t n;
	int rc;

	if (g == NULL)
		return;
	if ((s = session_find(g->b->session)) == NULL) {
		answer_defer(g, "the session is not known any more; try again");
		return;
	}
	/* Where the sender's address decides nobody has logged in: nothing is opened. */
	if ((rc = s->consumer[0] == '\0' ? 0 : consumer_of(g, s, "", &e)) == 0) {
		opening_nokey(g, "the login belongs to no consumer");
		return;
	}
	if (rc == -1 || load_own(g, s->consumer, &e) == -1) {
		log_err("%s", e.text);
		answer_defer(g, "the database cannot be read now");
		return;
	}
	if ((n = opening_keys(g, m->body)) == 0) {
		opening_nokey(g, "encrypted to none of the consumer's keys");
		return;
	}
	g->rep.opening.result = OPENING_GRANTED;
	g->rep.opening.job = (struct bytes){g->job, sizeof g->job};
	g->rep.opening.keys.v = g->keys;
	g->rep.opening.keys.n = n;
	give_grant(g, OP_UNWRAP, s->consumer, n);
}

#define SIGNERS_MAX 4 /* as in signer_rep */
#define SIGNERS_LOOKED 64 /* certificates looked at: those of other tenants may come first */

/* One signer with the addresses that an administrator bound to it; 0 when not of this tenant. */
static int
fill_signer(struct signer *x, struct mailbox *addrs, const struct session *s, struct held *cert,
    struct held *owner, struct err *e)
{
	const struct stored_cert *c = cert->rec;
	const struct consumer *o;
	size_t i;
	int rc = db_consumer(c->consumer, owner, e);

	if (rc != 1)
		return rc;
	o = owner->rec;
	if (strcmp(o->tenant, s->tenant) != 0)
		return 0;
	x->consumer = o->id;
	x->certs.v = c->cert.v;
	x->certs.n = 1;
	x->addrs.v = addrs;
	for (i = 0; i < o->addresses.n; i++)
		addrs[i].addr = o->addresses.v[i].addr;
	x->addrs.n = o->addresses.n;
	return 1;
}

static void
on_signer(struct chan *c, struct ipc_msg *m)
{
	const struct signer_req *q = m->body;
	struct bound *b = chan_arg(c);
	struct session *s = session_find(b->session);
	struct held certs[SIGNERS_LOOKED], owners[SIGNERS_MAX];
	struct mailbox addrs[SIGNERS_MAX][CONSUMER_ADDRS_MAX];
	struct signer signers[SIGNERS_MAX];
	struct signer_rep p = {.signers = {signers, 0}};
	struct err e;
	int n = 0, i, rc;
	size_t x;

	memset(owners, 0, sizeof owners);
	if (s == NULL || (n = db_certs_by_id(q->id.p, q->id.n, certs, SIGNERS_LOOKED, &e)) == -1)
		p.defer = 1;
	for (i = 0; i < n && p.signers.n < SIGNERS_MAX; i++) {
		x = p.signers.n;
		rc = fill_signer(&signers[x], addrs[x], s, &certs[i], &owners[x], &e);
		if (rc == 1) {
			p.signers.n++;
			continue;
		}
		held_free(&owners[x]);
		if (rc == -1)
			p.defer = 1;
	}
	if (p.defer)
		p.signers.n = 0;
	/* Certificates can be large: better one of several signers than no answer. */
	while ((rc = chan_send(c, M_signer_rep, m->id, &p, -1)) == -1 && errno == EMSGSIZE &&
	       p.signers.n > 0)
		p.signers.n--;
	if (rc == -1)
		log_warn("cannot answer a worker: %s", strerror(errno));
	for (i = 0; i < n; i++)
		held_free(&certs[i]);
	for (x = 0; x < SIGNERS_MAX; x++)
		held_free(&owners[x]);
}

/* Does some connector of this tenant show banners? Else nobody has any use for a phrase. */
static int
shows_banners(const char *tenant)
{
	const struct conf *conf = proc_env()->conf;
	size_t i;

	for (i = 0; i < conf->nconnectors; i++)
		if (conf->connectors[i].banner && strcmp(conf->connectors[i].tenant, tenant) == 0)
			return 1;
	return 0;
}

static void
on_phrase(struct chan *c, struct ipc_msg *m)
{
	struct bound *b = chan_arg(c);
	struct session *s = session_find(b->session);
	struct phrase_rep p = {.phrase = ""};
	struct held h;
	struct err e;
	int rc = s == NULL ? -1 : 0;

	if (rc == 0 && s->consumer[0] != '\0' && shows_banners(s->tenant))
		rc = db_consumer(s->consumer, &h, &e);
	if (rc == -1)
		p.defer = 1;
	if (rc == 1)
		p.phrase = ((const struct consumer *)h.rec)->phrase;
	if (chan_send(c, M_phrase_rep, m->id, &p, -1) == -1)
		log_warn("cannot answer a worker: %s", strerror(errno));
	if (rc == 1)
		held_free(&h);
}

const struct chan_handler worker_messages[] = {
    {M_plan_req, on_plan},
    {M_opening_req, on_opening},
    {M_signer_req, on_signer},
    {M_phrase_req, on_phrase},
    {0, NULL},
};
