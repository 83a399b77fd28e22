/* The session's worker makes what is sent of a message. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/session.h"

#define COPY_ROOM (1024 * 1024) /* octets that a copy may have beyond four times a message */

void
copies_free(struct session *s)
{
	struct copies *c = &s->copies;
	size_t i;

	for (i = 0; s->out_rcpts != NULL && i < c->v[c->at].n; i++)
		free(s->out_rcpts[i].got);
	free(s->out_rcpts);
	s->out_rcpts = NULL;
	while (c->n > 0) {
		c->n--;
		spool_free(&c->v[c->n].spool);
		free(c->v[c->n].who);
	}
	free(c->v);
	free(c->seen);
	memset(c, 0, sizeof *c);
}

void
secure_defer(struct session *s, const char *why)
{
	struct answer a;

	log_warn("%s: deferred: %s", s->qid, log_str(why));
	answer_set(&a, 451, "4.3.0 the message cannot be secured now, try again later");
	data_finish(s, &a);
}

/* A worker waits for the message. */
static int
on_ready(struct chan *c, uint64_t id, void *arg)
{
	struct session *s = arg;
	struct secure_req q = {.sender = s->mail.path.addr};
	struct blob b;
	size_t i;
	int fd, rc = -1;

	copies_free(s); /* of a worker that died */
	s->copies.seen = calloc(s->nrcpts, 1);
	q.rcpts.v = calloc(s->nrcpts, sizeof *q.rcpts.v);
	if (s->copies.seen == NULL || q.rcpts.v == NULL || spool_send(&s->spool, &b, &fd) == -1)
		goto out;
	for (i = 0; i < s->nrcpts; i++)
		q.rcpts.v[i].addr = s->rcpts[i].addr;
	q.rcpts.n = s->nrcpts;
	s->backend->wants(s, &q);
	q.message.v = &b;
	q.message.n = 1;
	rc = chan_send(c, M_secure_req, id, &q, fd);
out:
	free(q.rcpts.v);
	if (rc == -1)
		secure_defer(s, strerror(errno));
	return rc;
}

struct copy *
copies_add(struct copies *c, size_t most)
{
	size_t size = c->size == 0 ? 4 : c->size * 2;
	struct copy *more;

	if (c->n >= most)
		return NULL;
	if (c->n == c->size) {
		if ((more = reallocarray(c->v, size, sizeof *more)) == NULL)
			return NULL;
		c->v = more;
		c->size = size;
	}
	more = &c->v[c->n++];
	memset(more, 0, sizeof *more);
	spool_init(&more->spool, 0, -1);
	return more;
}

/* Every recipient stands in one copy. */
static int
take_rcpts(struct session *s, struct copy *y, const struct secure_out *o)
{
	size_t i;

	if ((y->who = calloc(o->rcpts.n, sizeof *y->who)) == NULL)
		return -1;
	for (i = 0; i < o->rcpts.n; i++) {
		y->who[i] = o->rcpts.v[i].i;
		if (y->who[i] >= s->nrcpts || s->copies.seen[y->who[i]])
			return -1;
		s->copies.seen[y->who[i]] = 1;
	}
	y->n = o->rcpts.n;
	s->copies.covered += y->n;
	return 0;
}

/* 0, or -1 when the worker is not to be trusted with this message. */
static int
take_copy(struct session *s, struct ipc_msg *m)
{
	const struct secure_out *o = m->body;
	struct copy *y = copies_add(&s->copies, s->nrcpts);
	uint64_t most = s->route->limits.message_size * 4 + COPY_ROOM;

	if (y == NULL)
		return -1;
	y->unchanged = o->unchanged;
	(void)strlcpy(y->facts, o->facts, sizeof y->facts);
	if (take_rcpts(s, y, o) == -1)
		return -1;
	if (o->unchanged)
		return o->message.n == 0 ? 0 : -1;
	if (o->message.n != 1 || spool_receive(&y->spool, o->message.v, m->fd, most) == -1)
		return -1;
	m->fd = -1;
	return 0;
}

/* The message is refused: every reason in a line of its own. */
static void
refused(struct session *s, const struct secure_rep *p)
{
	unsigned code = p->result == SECURE_REFUSE ? 550 : 451;
	const char *dsn = p->dsn;
	struct answer a;
	size_t i;

	if (dsn[0] != (code == 550 ? '5' : '4') || dsn[1] != '.')
		dsn = code == 550 ? "5.7.1" : "4.3.0";
	if (p->refusals.n == 0)
		answer_set(&a, code, "%s %s", dsn, p->text);
	else {
		answer_set(&a, code, "%s %s", dsn, p->refusals.v[0].text);
		for (i = 1; i < p->refusals.n; i++)
			answer_add(&a, "%s %s", dsn, p->refusals.v[i].text);
	}
	session_log_reject(s, "END-OF-MESSAGE", &a, NULL);
	data_finish(s, &a);
}

static int
on_message(struct ipc_msg *m, void *arg)
{
	struct session *s = arg;
	const struct secure_rep *p = m->body;

	if (m->def->type == M_secure_out) {
		if (take_copy(s, m) == 0)
			return 0;
		secure_defer(s, "the worker's answer is wrong");
		return 1;
	}
	if (m->def->type != M_secure_rep)
		return 0;
	s->secured = clock_ms();
	if (p->result != SECURE_OK)
		refused(s, p);
	else if (s->copies.covered != s->nrcpts)
		secure_defer(s, "the worker left recipients out");
	else
		s->backend->secured(s);
	return 1;
}

static void
on_failed(const char *why, void *arg)
{
	secure_defer(arg, why);
}

static const struct proxy_worker_ops worker_ops = {
    .ready = on_ready, .message = on_message, .failed = on_failed};

void
secure_begin(struct session *s)
{
	if (s->worker == NULL)
		s->worker = proxy_worker_new(s->route, "", "", s->by_address, s->client);
	if (s->worker == NULL || proxy_worker_ask(s->worker, &worker_ops, s) == -1)
		secure_defer(s, strerror(errno));
}
