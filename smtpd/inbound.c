/*
 * Mail that comes in for people whose keys we hold, where it is opened at the door: each of them
 * gets what his own worker makes of it, all others the message as it came.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "smtpd/queue.h"

#define COPY_ROOM (1024 * 1024) /* octets that an opened message may have beyond four times it */

static void next_rcpt(struct session *s);

void
inbound_free(struct intake *in)
{
	proxy_worker_free(in->opener);
	in->opener = NULL;
}

/* The recipient in hand is done with. */
static void
step(struct session *s)
{
	s->intake->opening++;
	next_rcpt(s);
}

static void
keep_closed(struct session *s, const char *why)
{
	struct rcpt *r = &s->rcpts[s->intake->opening];

	log_warn(
	    "%s: to=<%s>: it cannot be opened now: %s", s->qid, log_str(r->addr), log_str(why));
	r->held = 1;
	s->intake->unopened++;
}

static int
on_ready(struct chan *c, uint64_t id, void *arg)
{
	struct open_req q = {.banner = 0};
	struct session *s = arg;
	struct blob b;
	int fd;

	if (spool_send(&s->spool, &b, &fd) == -1)
		goto fail;
	q.message.v = &b;
	q.message.n = 1;
	if (chan_send(c, M_open_req, id, &q, fd) == 0)
		return 0;
fail:
	keep_closed(s, strerror(errno));
	step(s);
	return -1;
}

/* A message for one. 0, or -1 with errno. */
static int
take_opened(struct session *s, struct ipc_msg *m)
{
	const struct open_rep *p = m->body;
	struct copy *y = copies_add(&s->copies, s->nrcpts + 1);

	if (y == NULL || (y->who = malloc(sizeof *y->who)) == NULL)
		return -1;
	errno = EBADMSG;
	if (p->message.n != 1 || spool_receive(&y->spool, p->message.v, m->fd,
				     s->route->limits.message_size * 4 + COPY_ROOM) == -1)
		return -1;
	m->fd = -1;
	y->who[0] = (uint16_t)s->intake->opening;
	y->n = 1;
	(void)strlcpy(y->facts, p->facts, sizeof y->facts);
	s->intake->opened++;
	return 0;
}

static void
drop_last(struct copies *c)
{
	c->n--;
	spool_free(&c->v[c->n].spool);
	free(c->v[c->n].who);
}

static int
on_message(struct ipc_msg *m, void *arg)
{
	const struct open_rep *p = m->body;
	struct session *s = arg;
	size_t had = s->copies.n;

	if (m->def->type != M_open_rep)
		return 0;
	if (p->result == OPEN_DEFER)
		keep_closed(s, p->text);
	else if (p->result == OPEN_VIRTUAL && take_opened(s, m) == -1) {
		keep_closed(s, "the worker's answer cannot be taken");
		if (s->copies.n > had)
			drop_last(&s->copies);
	}
	/* The worker goes with its session, which is this recipient's. */
	step(s);
	return 1;
}

static void
on_failed(const char *why, void *arg)
{
	struct session *s = arg;

	keep_closed(s, why);
	step(s);
}

static const struct proxy_worker_ops ops = {
    .ready = on_ready, .message = on_message, .failed = on_failed};

/* All others get it as it came. 0, or -1 with ENOMEM. */
static int
add_common(struct session *s)
{
	uint8_t *own = calloc(s->nrcpts, 1);
	struct copy *y;
	size_t i, k;

	if (own == NULL || (y = copies_add(&s->copies, s->nrcpts + 1)) == NULL) {
		free(own);
		return -1;
	}
	for (i = 0; i + 1 < s->copies.n; i++)
		own[s->copies.v[i].who[0]] = 1;
	y->unchanged = 1;
	y->who = calloc(s->nrcpts, sizeof *y->who);
	for (k = 0; y->who != NULL && k < s->nrcpts; k++)
		if (!own[k])
			y->who[y->n++] = (uint16_t)k;
	free(own);
	return y->who == NULL ? -1 : 0;
}

static void
finish(struct session *s)
{
	struct answer a;

	inbound_free(s->intake);
	if (s->intake->unopened == s->nrcpts) {
		answer_set(&a, 451, "4.3.0 the message cannot be opened now, try again later");
		session_log_reject(s, "END-OF-MESSAGE", &a, NULL);
		data_finish(s, &a);
		return;
	}
	if (s->copies.n > 0 && s->copies.n < s->nrcpts && add_common(s) == -1) {
		secure_defer(s, strerror(errno));
		return;
	}
	put_begin(s);
}

static void
next_rcpt(struct session *s)
{
	struct intake *in = s->intake;

	inbound_free(in);
	while (in->opening < s->nrcpts && !s->rcpts[in->opening].reads)
		in->opening++;
	if (in->opening == s->nrcpts) {
		finish(s);
		return;
	}
	in->opener = proxy_worker_for(s->route, s->tenant, s->rcpts[in->opening].addr, s->client);
	if (in->opener != NULL && proxy_worker_ask(in->opener, &ops, s) == 0)
		return;
	secure_defer(s, strerror(errno));
}

void
inbound_begin(struct session *s)
{
	s->intake->opening = 0;
	next_rcpt(s);
}
