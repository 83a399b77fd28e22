/* MAIL and RCPT: parsed here, put to whom they concern, remembered when he agrees. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/session.h"

/*
 * Recipients of one question to a worker must fit into a message between processes, and so must
 * those that go to queued, with their ORCPT.
 */
#define ENVELOPE_MAX (96 * 1024) /* octets of addresses, each with its overhead */
#define RCPT_OVERHEAD 8
#define QUEUE_ENVELOPE_MAX (80 * 1024)
#define QUEUE_RCPT_OVERHEAD 24
#define PARAMS_MAX (256 * 1024) /* octets of parameters that a transaction may hold */

void
envelope_free(struct session *s)
{
	struct rcpt *r;

	out_stop(&s->out);
	copies_free(s);
	spool_free(&s->spool);
	spool_init(&s->spool, 0, -1);
	while (s->nrcpts > 0) {
		r = &s->rcpts[--s->nrcpts];
		free(r->addr);
		free(r->params);
		free(r->orcpt);
		free(r->got);
	}
	free(s->rcpts);
	s->rcpts = NULL;
	s->rcpts_size = s->naccepted = s->rcpt_octets = s->param_octets = 0;
	memset(&s->mail, 0, sizeof s->mail);
	memset(&s->chunk, 0, sizeof s->chunk);
	s->refused.code = 0;
}

void
envelope_reset(struct session *s)
{
	envelope_free(s);
	if (s->state == ST_MAIL || s->state == ST_DATA || s->state == ST_CHUNK ||
	    s->state == ST_WORK)
		s->state = ST_READY;
	s->backend->reset(s);
}

/*
 * Short, unique on this node, also over restarts: microseconds since the epoch, or one more than
 * the last where that is more, and the process.  Upper-case hexadecimal digits, as Postfix has it.
 */
void
envelope_qid(char out[QID_MAX])
{
	static uint64_t last;
	struct timespec t;
	uint64_t now;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	now = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
	last = now > last ? now : last + 1;
	(void)snprintf(
	    out, QID_MAX, "%llX%02X", (unsigned long long)last, proc_env()->instance & 0xffu);
}

void
envelope_begin(struct session *s)
{
	envelope_qid(s->qid);
	s->began = clock_ms();
	s->arrived = clock_unix();
}

int
envelope_mail(struct session *s, const char *args)
{
	struct mail_cmd m;
	struct answer why;
	uint64_t most;

	if (s->leaving) {
		session_say(s, 421, "4.3.2 %s is going down", s->route->hostname);
		return 0;
	}
	if (s->backend->admit(s) == -1)
		return 0;
	if (command_mail(args, s->features, &m, &why) == -1) {
		session_mistake(s, &why);
		return 0;
	}
	if (strlen(m.path.addr) > ADDR_MAX) {
		session_error(s, 501, "5.1.7 the address is too long");
		return 0;
	}
	most = s->backend->size(s);
	envelope_free(s);
	s->mail = m;
	if (m.size > most) {
		answer_set(&why, 552, "5.3.4 the message is too large: %llu octets at most",
		    (unsigned long long)most);
		session_log_reject(s, "MAIL", &why, NULL);
		session_answer(s, &why);
		return 0;
	}
	return s->backend->mail(s);
}

static int
make_room(struct session *s)
{
	struct rcpt *more;
	size_t size = s->rcpts_size == 0 ? 8 : s->rcpts_size * 2;

	if (s->nrcpts < s->rcpts_size)
		return 0;
	if ((more = reallocarray(s->rcpts, size, sizeof *more)) == NULL)
		return -1;
	s->rcpts = more;
	s->rcpts_size = size;
	return 0;
}

/* Octets that a recipient takes between processes, at most. */
static size_t
cost(const struct session *s, const struct rcpt_cmd *c)
{
	if (s->backend == &queue_backend)
		return strlen(c->path.addr) + strlen(c->orcpt) + QUEUE_RCPT_OVERHEAD;
	return strlen(c->path.addr) + RCPT_OVERHEAD;
}

int
envelope_remember(struct session *s, const struct rcpt_cmd *c, const char *params)
{
	struct rcpt *r;

	if (make_room(s) == -1)
		return -1;
	r = &s->rcpts[s->nrcpts];
	memset(r, 0, sizeof *r);
	r->addr = strdup(c->path.addr);
	r->params = params[0] != '\0' ? strdup(params) : NULL;
	r->orcpt = c->orcpt[0] != '\0' ? strdup(c->orcpt) : NULL;
	r->notify = c->notify;
	if (r->addr == NULL || (params[0] != '\0' && r->params == NULL) ||
	    (c->orcpt[0] != '\0' && r->orcpt == NULL)) {
		free(r->addr);
		free(r->params);
		free(r->orcpt);
		return -1;
	}
	s->nrcpts++;
	s->rcpt_octets += cost(s, c);
	s->param_octets += 2 * strlen(params);
	return 0;
}

static int
too_many(const struct session *s, const struct rcpt_cmd *c)
{
	size_t most = s->backend == &queue_backend ? QUEUE_ENVELOPE_MAX : ENVELOPE_MAX;

	return s->nrcpts >= s->route->limits.recipients || s->nrcpts >= RCPTS_MAX ||
	       s->rcpt_octets + cost(s, c) > most || s->param_octets > PARAMS_MAX;
}

int
envelope_rcpt(struct session *s, const char *args)
{
	struct rcpt_cmd c;
	struct answer why;
	int bad;

	if (s->chunk.begun) {
		session_error(s, 503, "5.5.1 a message has begun");
		return 0;
	}
	bad = command_rcpt(args, s->features, s->mail.smtputf8, &c, &why) == -1;
	/* What is refused here is answered behind those that the peer answers. */
	if ((bad || too_many(s, &c) || strlen(c.path.addr) > ADDR_MAX) && s->pending > 0)
		return 1;
	if (bad) {
		session_mistake(s, &why);
		return 0;
	}
	if (strlen(c.path.addr) > ADDR_MAX) {
		session_error(s, 501, "5.1.3 the address is too long");
		return 0;
	}
	if (too_many(s, &c)) {
		answer_set(&why, 452, "4.5.3 too many recipients");
		session_log_reject(s, "RCPT", &why, c.path.addr);
		session_answer(s, &why);
		return 0;
	}
	return s->backend->rcpt(s, &c);
}
