#include "t/unit/filterd/peers.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "mail/address.h"
#include "openpgp/cert.h"
#include "openpgp/message.h"

static const uint8_t job[JOB_ID] = "a job";

static bool
same_mailbox(const char *a, const char *b)
{
	char na[MAIL_ADDR_MAX + 1], nb[MAIL_ADDR_MAX + 1];

	return mail_addr_normalise(a, na, sizeof na) == 0 &&
	       mail_addr_normalise(b, nb, sizeof nb) == 0 && strcmp(na, nb) == 0;
}

static const struct person *
by_addr(const char *addr)
{
	unsigned i;

	for (i = 0; i < PEOPLE; i++)
		if (i != MALLORY && same_mailbox(people[i].addr, addr))
			return &people[i];
	return NULL;
}

static void
plan_rcpt(struct plan_rcpt *r, const char *addr, struct err *e)
{
	const struct person *p = by_addr(addr);
	const struct cert_key *k;

	memset(r, 0, sizeof *r);
	/* Everybody of this domain has carol's key: for many recipients. */
	if (p == NULL && strstr(addr, "@many.example") != NULL)
		p = &people[CAROL];
	if (p == NULL)
		return;
	if (pgp_cert_encryption_keys(&p->cert, clock_unix(), &k, 1, e) == -1) {
		r->status = KEYS_UNUSABLE;
		r->why = e->text;
		return;
	}
	r->status = KEYS_FOUND;
	/* The record wants a list that may be written to. */
	r->certs.v = (struct cert *)(uintptr_t)&p->cert;
	r->certs.n = 1;
}

static void
on_plan(struct ipc *c, const struct ipc_msg *m)
{
	static struct plan_rcpt rcpts[PLAN_RCPTS_MAX];
	static struct err why[PLAN_RCPTS_MAX];
	const struct plan_req *q = m->body;
	struct plan_rep p = {.rcpts = {rcpts, q->rcpts.n}};
	const struct person *who = world.consumer < PEOPLE ? &people[world.consumer] : NULL;
	size_t i;

	world.plans++;
	for (i = 0; i < q->rcpts.n; i++)
		plan_rcpt(&rcpts[i], q->rcpts.v[i].addr, &why[i]);
	if (world.deaf && p.rcpts.n > 3)
		p.rcpts.n = 3;
	p.outside = (uint8_t)world.outside;
	if (who != NULL)
		p.consumer = who->addr;
	if (q->sign && world.sign_defer) {
		p.sign = SIGN_DEFER;
		p.why = "the key store is locked";
	} else if (q->sign && who != NULL && same_mailbox(q->sender, who->addr) &&
		   same_mailbox(q->from, who->addr)) {
		p.sign = SIGN_YES;
		p.job = (struct bytes){job, JOB_ID};
		p.sign_key = who->keys[0].fpr;
		p.signer.v = (struct cert *)(uintptr_t)&who->cert;
		p.signer.n = 1;
		world.used = 0;
	}
	ck_assert_int_eq(ipc_send(c, M_plan_rep, m->id, &p, -1, 1000), 0);
}

static void
on_opening(struct ipc *c, const struct ipc_msg *m)
{
	static const uint8_t hidden[8];
	const struct opening_req *q = m->body;
	struct opening_rep p = {.result = OPENING_NOKEY};
	const struct cert_key *k;
	size_t i;

	world.openings++;
	for (i = 0; i < q->ids.n && world.consumer < PEOPLE; i++) {
		k = &people[world.consumer].keys[1];
		if (memcmp(q->ids.v[i].id.p, pgp_keyid(k->fpr.p, k->fpr.n), 8) != 0 &&
		    memcmp(q->ids.v[i].id.p, hidden, 8) != 0)
			continue;
		p.result = OPENING_GRANTED;
		p.job = (struct bytes){job, JOB_ID};
		p.keys.v = (struct cert_key *)(uintptr_t)k;
		p.keys.n = 1;
	}
	if (world.opening != OPENING_GRANTED)
		p = (struct opening_rep){.result = (uint8_t)world.opening, .why = "not now"};
	world.used = 0;
	ck_assert_int_eq(ipc_send(c, M_opening_rep, m->id, &p, -1, 1000), 0);
}

static void
on_signer(struct ipc *c, const struct ipc_msg *m)
{
	const struct signer_req *q = m->body;
	struct signer_rep p = {.defer = (uint8_t)world.signers_defer};
	struct signer s;
	unsigned i;

	world.lookups++;
	for (i = 0; i < PEOPLE && !world.signers_defer; i++) {
		if (i == MALLORY || (world.unknown & 1U << i) != 0 ||
		    pgp_cert_find(&people[i].cert, q->id.p, q->id.n) == NULL)
			continue;
		s.consumer = people[i].addr;
		s.addrs.v = &people[i].mailbox;
		s.addrs.n = 1;
		s.certs.v = &people[i].cert;
		s.certs.n = 1;
		p.signers.v = &s;
		p.signers.n = 1;
	}
	ck_assert_int_eq(ipc_send(c, M_signer_rep, m->id, &p, -1, 1000), 0);
}

static void
on_phrase(struct ipc *c, const struct ipc_msg *m)
{
	struct phrase_rep p = {.phrase = ""};

	world.phrases++;
	if (world.consumer < PEOPLE)
		p.phrase = world.consumer == ALICE ? PHRASE : "sonofchief";
	ck_assert_int_eq(ipc_send(c, M_phrase_rep, m->id, &p, -1, 1000), 0);
}

static void
on_policyd(struct ipc *c, struct ipc_msg *m)
{
	if (m->def->type == M_plan_req)
		on_plan(c, m);
	else if (m->def->type == M_opening_req)
		on_opening(c, m);
	else if (m->def->type == M_phrase_req)
		on_phrase(c, m);
	else
		on_signer(c, m);
}

/* The status that cryptod gives: the grant of the job, its count, the world's mood. */
static unsigned
allowed(struct bytes id)
{
	if (world.crypto != CRYPTO_OK)
		return (unsigned)world.crypto;
	if (id.n == JOB_ID && memcmp(id.p, job, JOB_ID) == 0 && world.used++ < GRANT_MAX)
		return CRYPTO_OK;
	world.denied++;
	return CRYPTO_DENIED;
}

static void
on_sign(struct ipc *c, const struct ipc_msg *m)
{
	const struct sign_req *q = m->body;
	struct sign_rep p = {.status = (uint8_t)allowed(q->job)};
	struct pgp_sigval v;

	world.signatures++;
	if (p.status == CRYPTO_OK &&
	    own_secret.sign(NULL, q->key.p, q->key.n, q->hash, q->digest.p, q->digest.n, &v) == -1)
		p.status = CRYPTO_NOKEY;
	if (p.status == CRYPTO_OK)
		p.value = (struct bytes){v.data, v.n};
	ck_assert_int_eq(ipc_send(c, M_sign_rep, m->id, &p, -1, 1000), 0);
}

static void
on_unwrap(struct ipc *c, const struct ipc_msg *m)
{
	const struct unwrap_req *q = m->body;
	struct unwrap_rep p = {.status = (uint8_t)allowed(q->job)};
	struct pgp_session_key k;

	world.unwraps++;
	if (p.status == CRYPTO_OK &&
	    own_secret.unwrap(NULL, q->key.p, q->key.n, q->esk.p, q->esk.n, &k) == -1)
		p.status = CRYPTO_NOKEY;
	if (p.status == CRYPTO_OK) {
		if (world.false_key)
			k.key[0] ^= 1;
		p.cipher = k.algo;
		p.session_key = (struct bytes){k.key, k.n};
	}
	ck_assert_int_eq(ipc_send(c, M_unwrap_rep, m->id, &p, -1, 1000), 0);
}

static void
on_cryptod(struct ipc *c, struct ipc_msg *m)
{
	if (m->def->type == M_sign_req)
		on_sign(c, m);
	else
		on_unwrap(c, m);
}

/* Take all that came on a channel; 0 when it was closed. */
static int
serve(struct peers *p, struct ipc *c, int gone)
{
	struct ipc_msg m;
	int rc;

	if (ipc_fill(c) == -1)
		return 0;
	while ((rc = ipc_next(c, &m)) == 1) {
		if (gone) {
			ipc_done(c, &m);
			return 0;
		}
		if (c == &p->policyd)
			on_policyd(c, &m);
		else if (c == &p->cryptod)
			on_cryptod(c, &m);
		else
			proxy_message(p->o, &m);
		ipc_done(c, &m);
	}
	ck_assert_int_eq(rc, 0);
	return c != &p->proxy || p->requests == 0 || p->o->answered < p->requests;
}

static void *
peers_run(void *arg)
{
	struct peers *p = arg;
	struct ipc *const c[] = {&p->proxy, &p->policyd, &p->cryptod};
	const int *const gone[] = {NULL, &world.policyd_gone, &world.cryptod_gone};
	struct pollfd f[3];
	unsigned i;

	while (p->proxy.fd != -1) {
		for (i = 0; i < 3; i++)
			f[i] = (struct pollfd){.fd = c[i]->fd, .events = POLLIN};
		ck_assert_int_ge(poll(f, 3, -1), 0);
		for (i = 0; i < 3; i++)
			if (f[i].revents != 0 && !serve(p, c[i], gone[i] != NULL && *gone[i]))
				ipc_close(c[i]);
	}
	for (i = 1; i < 3; i++)
		ipc_close(c[i]);
	return NULL;
}

void
peers_init(
    struct peers *p, int proxy, int policyd, int cryptod, enum proc_id who, struct outcome *o)
{
	memset(p, 0, sizeof *p);
	p->o = o;
	ipc_init(&p->proxy, proxy, who, P_WORKER);
	ipc_init(&p->policyd, policyd, P_POLICYD, P_WORKER);
	ipc_init(&p->cryptod, cryptod, P_CRYPTOD, P_WORKER);
}

void
peers_request(struct peers *p, uint16_t type, const void *body, int fd)
{
	p->requests++;
	ck_assert_int_eq(ipc_send(&p->proxy, type, 7, body, fd, 5000), 0);
}

void
peers_start(struct peers *p)
{
	ck_assert_int_eq(pthread_create(&p->thread, NULL, peers_run, p), 0);
}

void
peers_join(struct peers *p)
{
	ck_assert_int_eq(pthread_join(p->thread, NULL), 0);
}
