/*
 * The copies on their way to the peer.  One copy for everybody goes into the transaction that the
 * client's own MAIL and RCPT have opened; several are transactions one after the other.  Until
 * the first is taken, the client hears of a failure itself; later failures become a notice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "smtpd/bounce.h"
#include "smtpd/notice.h"
#include "smtpd/session.h"

static void next_copy(struct session *s);

static int
is_success(unsigned code)
{
	return code / 100 == 2;
}

/* What the peer said about a recipient, last. */
static const struct answer *
answer_for(const struct session *s, const struct copy *y, const struct rcpt *r)
{
	return r->got != NULL ? r->got : y->answer.code != 0 ? &y->answer : &s->lost;
}

/* Milliseconds between two moments, as an event has them. */
static uint32_t
span(uint64_t from, uint64_t to)
{
	return to < from ? 0 : to - from > UINT32_MAX ? UINT32_MAX : (uint32_t)(to - from);
}

static void
log_rcpt(struct session *s, const struct copy *y, const struct rcpt *r)
{
	const struct answer *a = answer_for(s, y, r);
	char dsn[12], line[LOG_FIELD_MAX];
	struct log_event e = {.kind = EV_DELIVERY,
	    .qid = s->qid,
	    .tx = s->qid,
	    .sender = s->mail.path.addr,
	    .rcpt = r->addr,
	    .orcpt = r->orcpt,
	    .delay_a = span(s->began, s->received),
	    .delay_b = span(s->received, s->secured),
	    .delay_d = span(s->secured, clock_ms())};

	e.relay = s->peer != NULL ? peer_relay(s->peer) : foreign_name(s);
	e.dsn = answer_dsn(dsn, sizeof dsn, a);
	e.status = is_success(r->code) ? ES_SENT : a->code / 100 == 4 ? ES_DEFERRED : ES_BOUNCED;
	e.text = answer_line(line, sizeof line, a);
	session_event(s, &e);
}

/* A copy's transaction is over, or will never be. */
static void
settle(struct session *s, struct copy *y)
{
	struct log_event e = {.kind = EV_CRYPTO,
	    .qid = s->qid,
	    .tx = s->qid,
	    .text = y->facts,
	    .nrcpt = (uint32_t)y->n};
	struct rcpt *r;
	size_t i;

	session_event(s, &e);
	for (i = 0; i < y->n; i++) {
		r = &s->rcpts[y->who[i]];
		r->code = y->answer.code != 0 ? y->answer.code : s->lost.code;
		if (is_success(r->code) && s->out_rcpts != NULL &&
		    !is_success(s->out_rcpts[i].code))
			r->code = s->out_rcpts[i].code;
		if (s->out_rcpts != NULL) {
			r->got = s->out_rcpts[i].got;
			s->out_rcpts[i].got = NULL;
		}
		log_rcpt(s, y, r);
	}
	free(s->out_rcpts);
	s->out_rcpts = NULL;
	if (is_success(y->answer.code))
		tally.messages_out++;
}

static int
copy_octets(struct session *s, struct copy *y, struct octets *o)
{
	if (y->unchanged) {
		*o = s->octets;
		return 0;
	}
	return spool_octets(&y->spool, o);
}

/* Does a notice tell of this recipient?  RFC 3461, 4.1: FAILURE unless told otherwise. */
static int
wants_notice(const struct rcpt *r)
{
	return !is_success(r->code) && (r->notify == 0 || (r->notify & NOTIFY_FAILURE) != 0);
}

/* The failed recipients, and the copy of the first of them. Returns how many. */
static size_t
gather(struct session *s, struct notice_rcpt *out, struct copy **first)
{
	struct copy *y;
	const struct rcpt *r;
	size_t i, k, n = 0;

	for (k = 0; k < s->copies.n; k++) {
		y = &s->copies.v[k];
		for (i = 0; i < y->n; i++) {
			r = &s->rcpts[y->who[i]];
			if (!wants_notice(r))
				continue;
			if (n == 0)
				*first = y;
			out[n].addr = r->addr;
			out[n].orcpt = r->orcpt != NULL ? r->orcpt : "";
			out[n++].answer = answer_for(s, y, r);
		}
	}
	return n;
}

/* Was any copy of it encrypted? Then its subject is not repeated in clear. */
static int
was_encrypted(struct session *s)
{
	struct octets o;
	size_t k;

	for (k = 0; k < s->copies.n; k++)
		if (copy_octets(s, &s->copies.v[k], &o) == -1 || notice_is_encrypted(&o))
			return 1;
	return 0;
}

static int
write_notice(struct session *s, struct notice_rcpt *rcpts, size_t n, struct copy *y, struct err *e)
{
	struct octets o;
	struct notice_facts f = {.hostname = s->route->hostname,
	    .peer = foreign_name(s),
	    .sender = s->mail.path.addr,
	    .envid = s->mail.envid,
	    .qid = s->qid,
	    .utf8 = s->mail.smtputf8,
	    .hide_subject = was_encrypted(s),
	    .arrived = s->arrived,
	    .now = clock_unix(),
	    .rcpts = rcpts,
	    .n = n,
	    .copy = &o};
	struct notice rec = {.created = f.now,
	    .peer = s->route->peer,
	    .qid = s->qid,
	    .to = s->mail.path.addr,
	    .utf8 = (uint8_t)s->mail.smtputf8};
	struct buf b;
	int rc;

	buf_init(&b, NOTICE_MAX);
	if (copy_octets(s, y, &o) == -1 || notice_build(&f, &b) == -1)
		rc = err_sys(e, "notice");
	else {
		rec.message = (struct bytes){buf_ptr(&b), buf_len(&b)};
		rc = bounce_owe(&rec, e);
	}
	buf_free(&b);
	return rc;
}

/*
 * At a foreign server there is nobody to send a notice through: the client itself hears who did not
 * get it.  Not to be tried again, since the others would get it twice.
 */
static void
tell_client(struct answer *a, const struct session *s, const struct notice_rcpt *rcpts, size_t n)
{
	char line[ANSWER_LINE_MAX + 1];
	size_t i;

	answer_set(a, 554, "5.3.0 not sent to %zu of %zu recipients, and sent to the others", n,
	    s->nrcpts);
	for (i = 0; i < n; i++)
		answer_add(a, "5.3.0 not to <%s>: %s", rcpts[i].addr,
		    answer_line(line, sizeof line, rcpts[i].answer));
	log_info("%s: the client is told of %zu recipients that did not get it", s->qid, n);
}

/*
 * Some have it, some do not: the sender must hear of those, and that is on the disk before the
 * message is taken.  0, or -1 when it cannot be; a is what the client will hear.
 */
static int
tell_sender(struct session *s, struct answer *a)
{
	struct notice_rcpt *rcpts = calloc(s->nrcpts, sizeof *rcpts);
	struct copy *first = NULL;
	struct err e = {.text = "out of memory"};
	size_t n;
	int rc = -1;

	if (rcpts == NULL)
		goto out;
	n = gather(s, rcpts, &first);
	rc = 0;
	if (n == 0)
		goto out;
	if (foreign_nobodys(s)) {
		tell_client(a, s, rcpts, n);
		goto out;
	}
	if (s->mail.path.null) {
		log_info("%s: no notice for %zu recipients: the sender is empty", s->qid, n);
		goto out;
	}
	if ((rc = write_notice(s, rcpts, n, first, &e)) == 0) {
		tally.notices++;
		log_info("%s: sender non-delivery notification for %zu recipients", s->qid, n);
	}
out:
	if (rc == -1)
		log_err("%s: %s", s->qid, e.text);
	free(rcpts);
	return rc;
}

/* Every copy had its turn. */
static void
conclude(struct session *s)
{
	struct log_event e = {.kind = EV_REMOVED, .qid = s->qid, .tx = s->qid};
	struct answer a = s->copies.v[0].answer;

	s->copies.delivering = 0;
	/* Better that some get it twice than that nobody learns who did not. */
	if (is_success(a.code) && tell_sender(s, &a) == -1)
		answer_set(&a, 451, "4.3.0 the gateway cannot keep a notice now, try again later");
	session_event(s, &e);
	/* Nobody is told that a message was taken before the log can say what became of it. */
	proc_log_push();
	data_finish(s, &a);
}

static void
on_done(void *arg)
{
	struct session *s = arg;
	struct copy *y = &s->copies.v[s->copies.at];

	y->answer = s->out.answer;
	s->open = 0;
	settle(s, y);
	/* The first has failed: nothing was sent, and the client hears why. */
	if (s->copies.at++ == 0 && !is_success(y->answer.code))
		conclude(s);
	else
		next_copy(s);
}

static int
begin_copy(struct session *s, struct copy *y)
{
	char line[COMMAND_MAX];
	const struct rcpt *r;
	size_t i;

	if ((s->out_rcpts = calloc(y->n, sizeof *s->out_rcpts)) == NULL)
		return -1;
	for (i = 0; i < y->n; i++) {
		r = &s->rcpts[y->who[i]];
		s->out_rcpts[i].addr = r->addr;
		s->out_rcpts[i].params = r->params != NULL ? r->params : "";
	}
	command_mail_text(line, &s->mail, peer_features(s->peer), s->body.size);
	return out_start(&s->out, s->peer, line, s->out_rcpts, y->n, &s->body, on_done, s);
}

static void
next_copy(struct session *s)
{
	struct copy *y;

	while (s->copies.at < s->copies.n) {
		y = &s->copies.v[s->copies.at];
		if (copy_octets(s, y, &s->body) == 0 && begin_copy(s, y) == 0)
			return;
		answer_set(&y->answer, 451, "4.3.0 the gateway could not send it");
		settle(s, y);
		if (s->copies.at++ == 0)
			break;
	}
	conclude(s);
}

static void
on_reset(void *arg, unsigned tag, const struct smtp_reply *r)
{
	(void)tag;
	(void)r;
	next_copy(arg);
}

void
deliver_begin(struct session *s)
{
	struct copy *y = &s->copies.v[0];

	s->copies.delivering = 1;
	s->copies.at = 0;
	if (s->copies.n > 1) {
		s->open = 0;
		if (peer_reset(s->peer, on_reset, s) == 0)
			return;
	} else if (copy_octets(s, y, &s->body) == 0 &&
		   out_start(&s->out, s->peer, NULL, NULL, 0, &s->body, on_done, s) == 0)
		return;
	answer_set(&y->answer, 451, "4.3.0 the gateway could not send it");
	settle(s, y);
	conclude(s);
}

void
deliver_lost(struct session *s)
{
	struct answer a = s->lost;

	out_stop(&s->out);
	s->open = 0;
	if (!s->copies.delivering) {
		proxy_worker_cancel(s->worker);
		log_warn("%s: deferred: the mail server was lost", s->qid);
		data_finish(s, &a);
		return;
	}
	if (s->copies.at == 0) {
		s->copies.v[0].answer = a;
		settle(s, &s->copies.v[0]);
	} else
		for (; s->copies.at < s->copies.n; s->copies.at++)
			settle(s, &s->copies.v[s->copies.at]);
	conclude(s);
}
