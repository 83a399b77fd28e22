#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/log.h"
#include "keyd/keyd.h"

/* Somebody who waits for the answer. */
struct waiter {
	TAILQ_ENTRY(waiter) next;
	struct chan *asker;
	uint64_t id;
};

/* A question under way: several who ask the same wait for the one answer. */
struct question {
	TAILQ_ENTRY(question) next;
	struct subject subject;
	struct fetch *fetch;
	uint64_t began; /* clock_ms */
	TAILQ_HEAD(, waiter) waiters;
};

static TAILQ_HEAD(, question) questions = TAILQ_HEAD_INITIALIZER(questions);
static struct question_counts counts;
static unsigned nwaiters;

const struct question_counts *
question_count(void)
{
	return &counts;
}

static void
reply(struct chan *c, uint64_t id, const struct answer *a)
{
	const struct ocsp_rep rep = {
	    .status = (uint8_t)a->status,
	    .text = a->text,
	    .this_update = a->this_update,
	    .next_update = a->next_update,
	    .response = {a->der, a->n},
	};

	counts.status[a->status]++;
	(void)chan_send(c, M_ocsp_rep, id, &rep, -1);
}

/* An answer without a response: what is wrong, in two texts. */
static void
make_failure(struct answer *a, enum ocsp_status status, const char *text, const char *more)
{
	memset(a, 0, sizeof *a);
	a->status = status;
	(void)strlcpy(a->text, text, sizeof a->text);
	(void)strlcat(a->text, more, sizeof a->text);
}

static void
reply_failure(struct chan *c, uint64_t id, enum ocsp_status status, const char *text)
{
	struct answer a;

	counts.failed += status == OCSP_UNREACHABLE;
	make_failure(&a, status, text, "");
	reply(c, id, &a);
}

static void
question_free(struct question *q)
{
	struct waiter *w;

	while ((w = TAILQ_FIRST(&q->waiters)) != NULL) {
		TAILQ_REMOVE(&q->waiters, w, next);
		nwaiters--;
		free(w);
	}
	TAILQ_REMOVE(&questions, q, next);
	counts.open--;
	subject_free(&q->subject);
	free(q);
}

static void
conclude(struct question *q, const struct answer *a)
{
	const struct answer *before = NULL;
	uint64_t now = clock_ms();
	char host[HOSTPORT_TEXT_MAX];
	struct waiter *w;

	if (a->status == OCSP_UNREACHABLE) {
		counts.failed++;
		before = cache_renew(q->subject.key, now);
	}
	log_info("ocsp responder=%s, serial=%s, delay=%llums, %s%s",
	    url_authority(host, sizeof host, &q->subject.url), q->subject.serial,
	    (unsigned long long)(now - q->began), a->text,
	    before != NULL ? "; the answer before this still counts" : "");
	if (before != NULL)
		a = before;
	else
		cache_keep(q->subject.key, a, now, clock_unix());
	TAILQ_FOREACH (w, &q->waiters, next)
		reply(w->asker, w->id, a);
	question_free(q);
}

static void
on_fetched(void *arg, const uint8_t *p, size_t n, const struct err *why)
{
	struct question *q = arg;
	struct answer a = {0};
	struct err e = {0};
	char whose[HOSTPORT_TEXT_MAX + 16], host[HOSTPORT_TEXT_MAX];

	q->fetch = NULL;
	if (p == NULL)
		e = *why;
	else if (response_check(&q->subject, p, n, clock_unix(), &a, &e) == 0) {
		if (a.status != OCSP_UNKNOWN) {
			a.der = (uint8_t *)p;
			a.n = n;
		}
		conclude(q, &a);
		return;
	}
	(void)snprintf(whose, sizeof whose, " (responder %s)",
	    url_authority(host, sizeof host, &q->subject.url));
	make_failure(&a, OCSP_UNREACHABLE, e.text, whose);
	conclude(q, &a);
}

static struct question *
find(const uint8_t key[32])
{
	struct question *q;

	TAILQ_FOREACH (q, &questions, next)
		if (memcmp(q->subject.key, key, sizeof q->subject.key) == 0)
			return q;
	return NULL;
}

/* Ask the responder of s, which belongs to the question from now on. NULL: it cannot be asked. */
static struct question *
ask(const struct subject *s)
{
	struct question *q;
	uint8_t *der;
	size_t n;

	if (counts.open >= QUESTIONS_MAX || (q = calloc(1, sizeof *q)) == NULL)
		return NULL;
	if ((der = subject_question(s, &n)) != NULL)
		q->fetch = fetch_start(
		    &(struct fetch_request){
			.url = s->url, .post = der, .n = n, .max = OCSP_DER_MAX, .ms = FETCH_MS},
		    on_fetched, q);
	OPENSSL_free(der);
	if (q->fetch == NULL) {
		free(q);
		return NULL;
	}
	q->subject = *s;
	q->began = clock_ms();
	TAILQ_INIT(&q->waiters);
	TAILQ_INSERT_TAIL(&questions, q, next);
	counts.open++;
	counts.fetched++;
	return q;
}

static int
wait_for(struct question *q, struct chan *c, uint64_t id)
{
	struct waiter *w;

	if (nwaiters >= WAITERS_MAX || (w = calloc(1, sizeof *w)) == NULL)
		return -1;
	w->asker = c;
	w->id = id;
	TAILQ_INSERT_TAIL(&q->waiters, w, next);
	nwaiters++;
	return 0;
}

/* What the server has sent along counts if it says something and is valid; else e says why not. */
static int
take_stapled(const struct subject *s, struct bytes der, struct answer *a, struct err *e)
{
	memset(a, 0, sizeof *a);
	if (response_check(s, der.p, der.n, clock_unix(), a, e) == -1)
		return -1;
	if (a->status == OCSP_UNKNOWN)
		return err_set(e, ENOENT, "the responder did not know the certificate");
	a->der = (uint8_t *)der.p;
	a->n = der.n;
	counts.stapled++;
	cache_keep(s->key, a, clock_ms(), clock_unix());
	return 0;
}

static int
is_settled(const struct answer *a)
{
	return a != NULL && (a->status == OCSP_GOOD || a->status == OCSP_REVOKED);
}

/*
 * The order: what a responder has said a short while ago (it may be newer than what a server has
 * stapled, who would rather not be known as revoked), what is stapled, what failed just before, and
 * then the responder.  s is taken over with 1, else not.
 */
static int
answer_or_ask(struct subject *s, struct chan *c, uint64_t id, struct bytes stapled)
{
	const struct answer *known = cache_find(s->key, clock_ms());
	struct err e = {0};
	struct answer a;
	struct question *q;
	int taken = 0;

	if (!is_settled(known) && stapled.n > 0 && take_stapled(s, stapled, &a, &e) == 0) {
		reply(c, id, &a);
		return 0;
	}
	if (known != NULL) {
		counts.cached++;
		reply(c, id, known);
		return 0;
	}
	if (s->url.host[0] == '\0') {
		make_failure(&a, OCSP_UNREACHABLE,
		    s->asks ? "the certificate names a responder that cannot be asked: "
			    : "what is stapled is not valid, and there is no responder: ",
		    s->asks ? s->why.text : e.text);
		counts.failed++;
		reply(c, id, &a);
		return 0;
	}
	if ((q = find(s->key)) == NULL) {
		q = ask(s);
		taken = q != NULL;
	}
	if (q == NULL || wait_for(q, c, id) == -1)
		reply_failure(c, id, OCSP_UNREACHABLE, "too many questions are under way");
	return taken;
}

void
question_new(struct chan *c, uint64_t id, const struct ocsp_req *q)
{
	struct err e = {0};
	struct subject s;

	counts.asked++;
	if (subject_parse(&s, q->cert, q->issuer, &e) == -1) {
		reply_failure(c, id, OCSP_UNREACHABLE, e.text);
		return;
	}
	if (!s.asks && q->stapled.n == 0)
		reply_failure(c, id, OCSP_NONE, "the certificate names no responder");
	else if (subject_check(&s, &e) == -1)
		reply_failure(c, id, OCSP_UNREACHABLE, e.text);
	else if (answer_or_ask(&s, c, id, q->stapled) == 1)
		return;
	subject_free(&s);
}

void
question_forget(const struct chan *c)
{
	struct question *q;
	struct waiter *w, *next;

	TAILQ_FOREACH (q, &questions, next)
		TAILQ_FOREACH_SAFE (w, &q->waiters, next, next)
			if (w->asker == c) {
				TAILQ_REMOVE(&q->waiters, w, next);
				nwaiters--;
				free(w);
			}
}

void
question_abort(void)
{
	struct question *q;

	while ((q = TAILQ_FIRST(&questions)) != NULL) {
		fetch_cancel(q->fetch);
		question_free(q);
	}
}
