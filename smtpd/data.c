/* The text of a message: received, judged as to form, and given to the session's worker. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/session.h"

#define KEEP_ALIVE 60000 /* milliseconds of DATA between words to the peer */
#define COPY_ROOM (1024 * 1024) /* octets that a copy may have beyond four times a message */

/* The text is refused, which is said at its end; what follows is not kept. */
static void
refuse(struct session *s, unsigned code, const char *text)
{
	if (s->refused.code == 0)
		answer_set(&s->refused, code, "%s", text);
	s->spooling = 0;
}

/* Octets of the header, which ends at the first empty line. */
static void
count_header(struct session *s, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && s->in_header; i++) {
		s->header++;
		if (p[i] == '\n') {
			if (s->header_line == 0)
				s->in_header = 0;
			s->header_line = 0;
		} else if (p[i] != '\r')
			s->header_line++;
	}
}

static int
take_text(void *ctx, const void *p, size_t n)
{
	struct session *s = ctx;

	if (s->in_header)
		count_header(s, p, n);
	if (s->header > s->route->limits.headers)
		refuse(s, 554, "5.6.0 the header of the message is too large");
	else if (memchr(p, '\0', n) != NULL)
		refuse(s, 554, "5.6.0 the message has a NUL character");
	else if (s->spool.size + n > s->route->limits.message_size)
		refuse(s, 552, "5.3.4 the message is too large");
	else if (spool_write(&s->spool, p, n) == 0)
		return 0;
	else {
		log_err("%s: cannot keep a message: %s", s->qid, strerror(errno));
		refuse(s, 452,
		    errno == ENOSPC || errno == EDQUOT ? "4.3.1 the gateway is out of room"
						       : "4.3.0 the gateway cannot keep it now");
	}
	return -1;
}

/* Only those whom the peer takes go on. */
static void
keep_accepted(struct session *s)
{
	struct rcpt *r;
	size_t i, n = 0;

	for (i = 0; i < s->nrcpts; i++) {
		r = &s->rcpts[i];
		if (r->accepted)
			s->rcpts[n++] = *r;
		else {
			free(r->addr);
			free(r->params);
			free(r->orcpt);
		}
	}
	s->nrcpts = n;
}

int
data_command(struct session *s, const char *args)
{
	(void)args;
	if (s->naccepted == 0) {
		session_error(s, s->nrcpts == 0 ? 503 : 554, "5.5.1 no valid recipients");
		return 0;
	}
	keep_accepted(s);
	spool_init(&s->spool, s->route->limits.message_size, smtpd_spool);
	spool_expect(&s->spool, s->mail.size);
	dots_decode_init(&s->dots, true);
	s->refused.code = 0;
	s->header = 0;
	s->header_line = 0;
	s->in_header = s->spooling = 1;
	s->alive = clock_ms();
	s->state = ST_DATA;
	session_say(s, 354, "End data with <CR><LF>.<CR><LF>");
	session_clock(s, s->route->limits.data_timeout);
	return 0;
}

/* All of it is here: is it a message? */
static void
text_ends(struct session *s)
{
	struct answer a;

	s->received = s->secured = clock_ms();
	session_no_clock(s);
	s->state = ST_WORK;
	if (s->dots.flags & (DOTS_BARE_CR | DOTS_BARE_LF))
		refuse(s, 550, "5.6.11 a line of the message does not end with CR LF");
	else if (s->dots.longest + 2 > s->route->limits.text_line)
		refuse(s, 554, "5.6.0 a line of the message is too long");
	if (s->refused.code == 0 && spool_octets(&s->spool, &s->octets) == -1)
		refuse(s, 452, "4.3.0 the gateway cannot keep it now");
	if (s->refused.code != 0) {
		a = s->refused;
		session_log_reject(s, "END-OF-MESSAGE", &a, NULL);
		data_finish(s, &a);
		return;
	}
	tally.messages_in++;
	log_info("%s: from=<%s>, size=%llu, nrcpt=%zu", s->qid, log_str(s->mail.path.addr),
	    (unsigned long long)s->spool.size, s->nrcpts);
	secure_begin(s);
}

/* A client that sends slowly must not make the peer think that we are gone. */
static void
keep_alive(struct session *s)
{
	uint64_t now = clock_ms();

	if (s->peer == NULL || now < s->alive + KEEP_ALIVE ||
	    (peer_features(s->peer) & F_PIPELINING) == 0 || peer_pending(s->peer) > 0)
		return;
	s->alive = now;
	(void)peer_command(s->peer, "NOOP", NULL, NULL, 0);
}

int
data_input(struct session *s)
{
	const struct sink to = {take_text, s};
	const uint8_t *p;
	size_t n, used;

	p = conn_in(s->c, &n);
	if (n == 0)
		return 0;
	keep_alive(s);
	/* After -1 the octets are read all the same, and spooling is over. */
	(void)dots_decode(&s->dots, p, n, &used, s->spooling ? &to : NULL);
	conn_consume(s->c, used);
	if (dots_ended(&s->dots))
		text_ends(s);
	return 1;
}

void
data_finish(struct session *s, const struct answer *a)
{
	struct answer copy = *a;

	if (copy.code / 100 == 4)
		tally.deferred++;
	else if (copy.code / 100 == 5)
		tally.refused++;
	session_answer(s, &copy);
	envelope_reset(s);
	session_clock(s, s->route->limits.idle_timeout);
	if (s->c == NULL)
		session_end(s);
	else if (s->leaving)
		session_say(s, 421, "4.3.2 %s is going down", s->route->hostname);
	session_process(s);
}

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

static void
defer(struct session *s, const char *why)
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
	q.eightbit = (peer_features(s->peer) & F_8BITMIME) != 0;
	q.smtputf8 = (peer_features(s->peer) & F_SMTPUTF8) != 0;
	q.max_size = peer_size(s->peer);
	q.message.v = &b;
	q.message.n = 1;
	rc = chan_send(c, M_secure_req, id, &q, fd);
out:
	free(q.rcpts.v);
	if (rc == -1)
		defer(s, strerror(errno));
	return rc;
}

/* Room for one more copy, or NULL. */
static struct copy *
new_copy(struct copies *c, size_t most)
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
	more = &c->v[c->n];
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
	struct copy *y = new_copy(&s->copies, s->nrcpts);
	uint64_t most = s->route->limits.message_size * 4 + COPY_ROOM;

	if (y == NULL)
		return -1;
	s->copies.n++;
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
		defer(s, "the worker's answer is wrong");
		return 1;
	}
	if (m->def->type != M_secure_rep)
		return 0;
	s->secured = clock_ms();
	if (p->result != SECURE_OK)
		refused(s, p);
	else if (s->copies.covered != s->nrcpts)
		defer(s, "the worker left recipients out");
	else
		deliver_begin(s);
	return 1;
}

static void
on_failed(const char *why, void *arg)
{
	defer(arg, why);
}

static const struct proxy_worker_ops worker_ops = {
    .ready = on_ready, .message = on_message, .failed = on_failed};

void
secure_begin(struct session *s)
{
	if (s->worker == NULL)
		s->worker = proxy_worker_new(s->route, "", "", s->by_address, s->client);
	if (s->worker == NULL || proxy_worker_ask(s->worker, &worker_ops, s) == -1)
		defer(s, strerror(errno));
}
