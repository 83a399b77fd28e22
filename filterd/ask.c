#include "filterd/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/cert.h"

void
ask_init(struct ask *a, struct ipc *policyd, struct ipc *cryptod)
{
	memset(a, 0, sizeof *a);
	a->policyd = policyd;
	a->cryptod = cryptod;
}

void
ask_reset(struct ask *a)
{
	while (a->nsigners > 0) {
		a->nsigners--;
		free(a->signers[a->nsigners].rep);
		buf_free(&a->signers[a->nsigners].octets);
	}
	explicit_bzero(a->job, sizeof a->job);
	a->used = 0;
	a->sender = a->from = NULL;
}

void
kept_free(struct kept *k)
{
	free(k->body);
	buf_free(&k->octets);
	k->body = NULL;
}

/* Ask policyd and keep the answer, which else lives in the channel's buffer. */
static int
ask_policyd(
    struct ask *a, uint16_t type, const void *body, uint16_t want, struct kept *k, struct err *e)
{
	struct ipc_msg m;

	memset(k, 0, sizeof *k);
	buf_init(&k->octets, IPC_FRAME_MAX);
	if (ipc_call(a->policyd, type, body, -1, want, &m, ASK_TIMEOUT) == -1) {
		/* The answer may still come and would be taken for the next one's. */
		a->dead = 1;
		return err_sys(e, "policyd does not answer");
	}
	if (buf_put(&k->octets, buf_ptr(&a->policyd->in) + IPC_HEADER, m.frame - IPC_HEADER) == 0)
		k->body = rec_decode(m.def->rec, buf_ptr(&k->octets), buf_len(&k->octets));
	ipc_done(a->policyd, &m);
	if (k->body == NULL) {
		kept_free(k);
		return err_sys(e, "no memory for an answer of policyd");
	}
	return 0;
}

/* Does an answer fit its question: no more recipients, and all that signing takes? */
static int
plan_fits(const struct plan_rep *p, size_t n)
{
	if (p->rcpts.n > n)
		return 0;
	return p->sign != SIGN_YES ||
	       (p->job.n == JOB_ID && p->signer.n == 1 &&
		   pgp_cert_find(p->signer.v, p->sign_key.p, p->sign_key.n) != NULL);
}

int
ask_plan(struct ask *a, const char *sender, const char *from, int sign, const struct mailbox *rcpts,
    size_t n, struct kept *k, struct err *e)
{
	struct plan_req q = {.sender = sender, .from = from, .sign = (uint8_t)sign};
	const struct plan_rep *p;

	/* The record wants a non-const list; nothing writes to it. */
	q.rcpts.v = (struct mailbox *)(uintptr_t)rcpts;
	q.rcpts.n = n;
	if (ask_policyd(a, M_plan_req, &q, M_plan_rep, k, e) == -1)
		return -1;
	p = k->body;
	if (!plan_fits(p, n)) {
		kept_free(k);
		a->dead = 1;
		return err_set(e, EBADMSG, "policyd gave an answer that does not fit the question");
	}
	if (p->sign == SIGN_YES) {
		memcpy(a->job, p->job.p, JOB_ID);
		a->used = 0;
		a->sender = sender;
		a->from = from;
	}
	return 0;
}

int
ask_opening(struct ask *a, const struct key_id *ids, size_t n, struct kept *k, struct err *e)
{
	struct opening_req q;
	const struct opening_rep *p;

	q.ids.v = (struct key_id *)(uintptr_t)ids;
	q.ids.n = n;
	if (ask_policyd(a, M_opening_req, &q, M_opening_rep, k, e) == -1)
		return -1;
	p = k->body;
	if (p->result == OPENING_GRANTED && (p->job.n != JOB_ID || p->keys.n == 0)) {
		kept_free(k);
		a->dead = 1;
		return err_set(e, EBADMSG, "policyd granted nothing");
	}
	if (p->result == OPENING_GRANTED) {
		memcpy(a->job, p->job.p, JOB_ID);
		a->used = 0;
	}
	return 0;
}

int
ask_phrase(struct ask *a, const char **phrase, struct err *e)
{
	struct phrase_req q = {0};
	const struct phrase_rep *p;
	struct kept k;

	*phrase = a->phrase;
	if (a->has_phrase)
		return 0;
	if (ask_policyd(a, M_phrase_req, &q, M_phrase_rep, &k, e) == -1)
		return -1;
	p = k.body;
	a->has_phrase = !p->defer;
	(void)strlcpy(a->phrase, p->phrase, sizeof a->phrase);
	kept_free(&k);
	return a->has_phrase ? 0 : err_set(e, EAGAIN, "the database cannot be read now");
}

/* errno for what cryptod said. Anything but a missing key may be better later. */
static int
status_errno(unsigned status)
{
	switch (status) {
	case CRYPTO_OK:
		return 0;
	case CRYPTO_NOKEY:
		return ENOKEY;
	case CRYPTO_FAILED:
		return EIO;
	default:
		return EAGAIN;
	}
}

/* A message to many hidden recipients needs more signatures than one grant carries. */
static int
renew_grant(struct ask *a)
{
	struct kept k;
	int rc;

	if (ask_plan(a, a->sender, a->from, 1, NULL, 0, &k, NULL) == -1) {
		errno = EAGAIN;
		return -1;
	}
	rc = ((const struct plan_rep *)k.body)->sign == SIGN_YES ? 0 : -1;
	kept_free(&k);
	if (rc == -1)
		errno = EAGAIN;
	return rc;
}

/* As many hidden recipients may stand before one of the consumer's keys. */
static int
renew_opening(struct ask *a)
{
	static const uint8_t hidden[8]; /* names every key: those that were granted before, too */
	const struct key_id id = {{hidden, sizeof hidden}};
	struct kept k;
	int rc;

	if (ask_opening(a, &id, 1, &k, NULL) == -1)
		return -1;
	rc = ((const struct opening_rep *)k.body)->result == OPENING_GRANTED ? 0 : -1;
	kept_free(&k);
	return rc;
}

static int
ask_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	struct ask *a = ctx;
	struct sign_req q = {.key = {fpr, fprlen}, .hash = (uint8_t)hash, .digest = {digest, n}};
	const struct sign_rep *p;
	struct ipc_msg m;
	int rc = -1, why;

	if (a->used == GRANT_MAX && (a->sender == NULL || renew_grant(a) == -1))
		return -1;
	q.job = (struct bytes){a->job, JOB_ID};
	a->used++;
	if (ipc_call(a->cryptod, M_sign_req, &q, -1, M_sign_rep, &m, ASK_TIMEOUT) == -1) {
		a->dead = 1;
		errno = EAGAIN;
		return -1;
	}
	p = m.body;
	why = status_errno(p->status);
	if (why == 0 && (p->value.n == 0 || p->value.n > sizeof out->data))
		why = EIO;
	if (why == 0) {
		memcpy(out->data, p->value.p, p->value.n);
		out->n = p->value.n;
		rc = 0;
	}
	ipc_done(a->cryptod, &m);
	errno = why;
	return rc;
}

static int
ask_unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	struct ask *a = ctx;
	struct unwrap_req q = {.key = {fpr, fprlen}, .esk = {esk, n}};
	const struct unwrap_rep *p;
	struct ipc_msg m;
	int rc = -1, why;

	if (a->dead || (a->used == GRANT_MAX && renew_opening(a) == -1)) {
		errno = EAGAIN;
		return -1;
	}
	q.job = (struct bytes){a->job, JOB_ID};
	a->used++;
	if (ipc_call(a->cryptod, M_unwrap_req, &q, -1, M_unwrap_rep, &m, ASK_TIMEOUT) == -1) {
		a->dead = 1;
		errno = EAGAIN;
		return -1;
	}
	p = m.body;
	why = status_errno(p->status);
	if (why == 0 && p->session_key.n > sizeof out->key)
		why = EIO;
	if (why == 0) {
		out->algo = p->cipher;
		out->n = (uint8_t)p->session_key.n;
		memcpy(out->key, p->session_key.p, p->session_key.n);
		rc = 0;
	}
	ipc_done(a->cryptod, &m);
	errno = why;
	return rc;
}

struct pgp_secret
ask_secret(struct ask *a)
{
	return (struct pgp_secret){ask_sign, ask_unwrap, a};
}

static int
cert_has(const struct cert *c, const uint8_t *id, size_t n)
{
	size_t i;
	const struct bytes *f;

	for (i = 0; i < c->keys.n; i++) {
		f = &c->keys.v[i].fpr;
		if (f->n == n && memcmp(f->p, id, n) == 0)
			return 1;
		if (n == 8 && memcmp(pgp_keyid(f->p, f->n), id, 8) == 0)
			return 1;
	}
	return 0;
}

static const struct cert *
find_known(const struct ask *a, const uint8_t *id, size_t n)
{
	unsigned i;
	size_t k;

	for (i = 0; i < a->nsigners; i++)
		for (k = 0; k < a->signers[i].rep->signers.n; k++)
			if (cert_has(a->signers[i].rep->signers.v[k].certs.v, id, n))
				return a->signers[i].rep->signers.v[k].certs.v;
	return NULL;
}

static const struct cert *
ask_cert(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	struct ask *a = ctx;
	const uint8_t *id = fpr != NULL && fprlen >= 20 ? fpr : keyid;
	size_t n = id == keyid ? 8 : fprlen;
	struct signer_req q = {.id = {id, n}};
	const struct cert *c = find_known(a, id, n);
	struct signer_rep *rep;
	struct kept k;

	if (c != NULL || a->nsigners == ASK_SIGNERS_MAX || a->dead)
		return c;
	if (ask_policyd(a, M_signer_req, &q, M_signer_rep, &k, NULL) == -1)
		return NULL;
	rep = k.body;
	if (rep->defer)
		a->dead = 1;
	a->signers[a->nsigners].rep = rep;
	a->signers[a->nsigners++].octets = k.octets;
	return find_known(a, id, n);
}

struct pgp_certs
ask_certs(struct ask *a)
{
	return (struct pgp_certs){ask_cert, a};
}

const struct signer *
ask_signer(const struct ask *a, const uint8_t *primary, size_t n)
{
	unsigned i;
	size_t k;
	const struct signer *s;

	for (i = 0; i < a->nsigners; i++)
		for (k = 0; k < a->signers[i].rep->signers.n; k++) {
			s = &a->signers[i].rep->signers.v[k];
			if (s->certs.v[0].keys.v[0].fpr.n == n &&
			    memcmp(s->certs.v[0].keys.v[0].fpr.p, primary, n) == 0)
				return s;
		}
	return NULL;
}
