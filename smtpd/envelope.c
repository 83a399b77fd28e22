/* MAIL and RCPT: parsed here, asked of the peer, remembered when it agrees. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/session.h"

/* Recipients of one question to a worker must fit into a message between processes. */
#define ENVELOPE_MAX (96 * 1024) /* octets of addresses, each with its overhead */
#define RCPT_OVERHEAD 8
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
	s->refused.code = 0;
}

void
session_goes_on(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct session *s = arg;

	(void)tag;
	(void)r;
	s->waiting = 0;
	session_process(s);
}

void
envelope_reset(struct session *s)
{
	envelope_free(s);
	if (s->state == ST_MAIL || s->state == ST_DATA || s->state == ST_WORK)
		s->state = ST_READY;
	if (s->open && s->peer != NULL && peer_reset(s->peer, session_goes_on, s) == 0)
		s->waiting = 1;
	s->open = 0;
}

/* Short, unique on this node, as Postfix has it: upper-case hexadecimal digits. */
static void
new_qid(struct session *s)
{
	static uint16_t serial;
	static int begun;

	if (!begun) {
		serial = (uint16_t)arc4random();
		begun = 1;
	}
	(void)snprintf(s->qid, sizeof s->qid, "%llX%04X%02X", (unsigned long long)clock_unix(),
	    serial++, proc_env()->instance & 0xffu);
}

static void
pass_on(struct session *s, const struct smtp_reply *r, struct answer *a)
{
	answer_from_peer(a, r);
	if (r->code / 100 == 3 || r->code < 200)
		answer_set(a, 451, "4.3.0 the mail server gave a wrong answer");
	session_answer(s, a);
}

static void
on_mail(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct session *s = arg;
	struct answer a;

	(void)tag;
	s->pending--;
	pass_on(s, r, &a);
	if (a.code / 100 != 2) {
		/* Recipients that were sent behind it are answered by the peer. */
		if (s->state == ST_MAIL)
			s->state = ST_READY;
		s->open = 0;
		session_log_reject(s, "MAIL", &a, NULL);
	} else if (s->user[0] != '\0')
		log_info("%s: client=unknown%s, sasl_method=%s, sasl_username=%s", s->qid, s->ip,
		    s->mechanism, log_str(s->user));
	else
		log_info("%s: client=unknown%s", s->qid, s->ip);
	session_process(s);
}

int
envelope_mail(struct session *s, const char *args)
{
	char line[COMMAND_MAX];
	struct mail_cmd m;
	struct answer why;
	uint64_t peer = peer_size(s->peer), most;

	if (s->leaving) {
		session_say(s, 421, "4.3.2 %s is going down", s->route->hostname);
		return 0;
	}
	if (s->route->second_factor != CONF_FACTOR_NONE && !s->authed && !s->by_address) {
		session_error(s, 530, "5.7.0 Authentication required");
		return 0;
	}
	if (command_mail(args, s->features, &m, &why) == -1) {
		session_mistake(s, &why);
		return 0;
	}
	if (strlen(m.path.addr) > ADDR_MAX) {
		session_error(s, 501, "5.1.7 the address is too long");
		return 0;
	}
	most = size_offered(s->route->limits.message_size, peer);
	envelope_free(s);
	s->mail = m;
	if (m.size > most) {
		answer_set(&why, 552, "5.3.4 the message is too large: %llu octets at most",
		    (unsigned long long)most);
		session_log_reject(s, "MAIL", &why, NULL);
		session_answer(s, &why);
		return 0;
	}
	command_mail_text(
	    line, &m, peer_features(s->peer), m.size != 0 ? size_declared(m.size, peer) : 0);
	if (peer_command(s->peer, line, on_mail, s, 0) == -1) {
		session_say(s, 451, "4.3.0 the mail server cannot be asked now");
		return 0;
	}
	new_qid(s);
	s->began = clock_ms();
	s->arrived = clock_unix();
	s->pending++;
	s->open = 1;
	s->state = ST_MAIL;
	return 0;
}

static void
on_rcpt(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct session *s = arg;
	struct answer a;

	s->pending--;
	pass_on(s, r, &a);
	if (a.code / 100 != 2)
		session_log_reject(s, "RCPT", &a, s->rcpts[tag].addr);
	else if (s->state == ST_MAIL) {
		s->rcpts[tag].accepted = 1;
		s->naccepted++;
	}
	session_process(s);
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

/* Remember a recipient; the peer's answer to it is still to come. */
static int
remember(struct session *s, const struct rcpt_cmd *c, const char *params)
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
	s->rcpt_octets += strlen(r->addr) + RCPT_OVERHEAD;
	s->param_octets += 2 * strlen(params);
	return 0;
}

static int
too_many(const struct session *s, const struct rcpt_cmd *c)
{
	return s->nrcpts >= s->route->limits.recipients || s->nrcpts >= RCPTS_MAX ||
	       s->rcpt_octets + strlen(c->path.addr) + RCPT_OVERHEAD > ENVELOPE_MAX ||
	       s->param_octets > PARAMS_MAX;
}

int
envelope_rcpt(struct session *s, const char *args)
{
	char line[COMMAND_MAX], params[RCPT_PARAMS_MAX];
	struct rcpt_cmd c;
	struct answer why;
	int bad = command_rcpt(args, s->features, s->mail.smtputf8, &c, &why) == -1;

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
	command_rcpt_params(params, sizeof params, &c, peer_features(s->peer));
	(void)snprintf(line, sizeof line, "RCPT TO:<%s>%s", c.path.addr, params);
	if (remember(s, &c, params) == -1) {
		if (s->pending > 0)
			return 1;
		session_say(s, 452, "4.3.1 out of memory");
		return 0;
	}
	if (peer_command(s->peer, line, on_rcpt, s, (unsigned)(s->nrcpts - 1)) == -1) {
		/* Looked at before: this is a lost connection, of which we hear soon. */
		session_say(s, 451, "4.3.0 the mail server cannot be asked now");
		return 0;
	}
	s->pending++;
	return 0;
}
