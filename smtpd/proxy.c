/* The backend of proxies: the peer is asked what the client says, and gets the message. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/session.h"

#define KEEP_ALIVE 60000 /* milliseconds of DATA between words to the peer */

/* --- the peer's connection --- */

static void
peer_ready(void *arg)
{
	struct session *s = arg;

	if (s->ended)
		return;
	if (s->renewing) {
		s->renewing = 0;
		/* What was offered before may be gone. */
		s->features &= s->backend->features(s);
		session_clock(s, s->route->limits.idle_timeout);
		session_process(s);
		return;
	}
	session_greet(s);
}

static void
peer_failed(const struct answer *why, void *arg)
{
	struct session *s = arg;

	s->lost = *why;
	peer_close(s->peer);
	s->peer = NULL;
	s->pending = 0;
	if (!s->ended && foreign_shaking(s))
		foreign_refuse(s, "the connection to the server is over");
	else if (s->state == ST_WORK)
		deliver_lost(s);
	else if (s->state == ST_DATA) {
		/* The client hears of it behind its text (RFC 5321, 4.1.1.4). */
		if (s->refused.code == 0)
			s->refused = s->lost;
	} else {
		if (s->state == ST_OPENING && s->lost.code != 421 && s->lost.code != 554)
			s->lost.code = 421;
		if (s->state == ST_OPENING)
			session_answer(s, &s->lost);
		else
			session_lost(s);
		session_end(s);
	}
}

static void
peer_drained(void *arg)
{
	struct session *s = arg;

	out_drained(&s->out);
	session_process(s);
}

static const struct peer_ops peer_ops = {
    .ready = peer_ready,
    .failed = peer_failed,
    .drained = peer_drained,
    .connected = foreign_connected,
    .judged = foreign_judged,
};

void
session_open_peer(struct session *s)
{
	/* A peer that answers octet by octet must not hold the client for ever. */
	session_clock(s, s->route->limits.peer_timeout * 3);
	s->peer = peer_open(s->route, foreign_target(s), false, &peer_ops, s);
	if (s->peer == NULL)
		session_say(s, 421, "4.3.0 out of memory");
}

void
session_renew_peer(struct session *s)
{
	envelope_free(s);
	peer_close(s->peer);
	s->peer = NULL;
	s->open = 0;
	if (foreign_is(s)) {
		/* Its TLS has the client's certificate behind it: there is no second one. */
		answer_set(&s->lost, 421, "4.7.0 %s connect again", s->route->hostname);
		return;
	}
	s->renewing = 1;
	session_open_peer(s);
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

static unsigned
features(const struct session *s)
{
	return features_offered(peer_features(s->peer), s->route, conn_is_tls(s->c));
}

static uint64_t
size(const struct session *s)
{
	return size_offered(s->route->limits.message_size, peer_size(s->peer));
}

/* --- the transaction --- */

static void
reset(struct session *s)
{
	if (s->open && s->peer != NULL && peer_reset(s->peer, session_goes_on, s) == 0)
		s->waiting = 1;
	s->open = 0;
}

/* What is known from clear text is void (RFC 3207, 4.2), at the peer too. */
static void
forget(struct session *s)
{
	/* A foreign server forgets by itself, for it is told STARTTLS as well. */
	if (s->authed && !foreign_is(s))
		session_renew_peer(s);
	else
		envelope_reset(s);
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
	} else
		session_log_client(s, s->qid);
	session_process(s);
}

static int
admit(struct session *s)
{
	if (s->route->second_factor == CONF_FACTOR_NONE || s->authed || s->by_address)
		return 0;
	session_error(s, 530, "5.7.0 Authentication required");
	return -1;
}

static int
mail(struct session *s)
{
	char line[COMMAND_MAX];
	uint64_t n = s->mail.size;

	command_mail_text(line, &s->mail, peer_features(s->peer),
	    n != 0 ? size_declared(n, peer_size(s->peer)) : 0);
	if (peer_command(s->peer, line, on_mail, s, 0) == -1) {
		session_say(s, 451, "4.3.0 the mail server cannot be asked now");
		return 0;
	}
	envelope_begin(s);
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
rcpt(struct session *s, const struct rcpt_cmd *c)
{
	char line[COMMAND_MAX], params[RCPT_PARAMS_MAX];

	command_rcpt_params(params, sizeof params, c, peer_features(s->peer));
	(void)snprintf(line, sizeof line, "RCPT TO:<%s>%s", c->path.addr, params);
	if (envelope_remember(s, c, params) == -1) {
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

static int
may_pipeline(const struct session *s)
{
	return peer_may_pipeline(s->peer);
}

static int
text(struct session *s)
{
	s->alive = clock_ms();
	return 0;
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

/* --- the message --- */

static void
message(struct session *s)
{
	struct log_event e = {.kind = EV_QUEUED,
	    .qid = s->qid,
	    .tx = s->qid,
	    .sender = s->mail.path.addr,
	    .size = s->spool.size,
	    .nrcpt = (uint32_t)s->nrcpts};

	tally.messages_in++;
	session_event(s, &e);
	secure_begin(s);
}

static void
wants(const struct session *s, struct secure_req *q)
{
	q->eightbit = (peer_features(s->peer) & F_8BITMIME) != 0;
	q->smtputf8 = (peer_features(s->peer) & F_SMTPUTF8) != 0;
	q->max_size = peer_size(s->peer);
}

static void
freed(struct session *s)
{
	(void)s;
}

const struct backend proxy_backend = {
    .open = session_open_peer,
    .features = features,
    .size = size,
    .admit = admit,
    .mail = mail,
    .rcpt = rcpt,
    .may_pipeline = may_pipeline,
    .text = text,
    .receiving = keep_alive,
    .message = message,
    .wants = wants,
    .secured = deliver_begin,
    .reset = reset,
    .forget = forget,
    .free = freed,
};
