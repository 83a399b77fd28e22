/* A transaction at the peer. */
#include "smtpd/out.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/conn.h"
#include "smtpd/command.h"

#define STEP (32 * 1024) /* octets at once at least; twice as many go out when each is a dot */

static void on_rcpt(void *arg, unsigned tag, const struct smtp_reply *r);
static void on_data(void *arg, unsigned tag, const struct smtp_reply *r);

static void
finish(struct out *o)
{
	o->active = o->streaming = 0;
	o->done(o->arg);
}

static void
on_reset(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct out *o = arg;

	(void)tag;
	(void)r;
	if (o->active)
		finish(o);
}

/* Refused before the text: leave nothing open at the peer. */
static void
give_up(struct out *o)
{
	if (peer_reset(o->peer, on_reset, o) == -1)
		finish(o);
}

static void
send_rcpts(struct out *o)
{
	char line[COMMAND_MAX];
	const struct out_rcpt *r;

	while (o->sent < o->n && peer_may_pipeline(o->peer)) {
		r = &o->rcpts[o->sent];
		(void)snprintf(line, sizeof line, "RCPT TO:<%s>%s", r->addr, r->params);
		if (peer_command(o->peer, line, on_rcpt, o, (unsigned)o->sent) == -1)
			return;
		o->sent++;
	}
}

static void
refusal(struct answer *a, const struct smtp_reply *r)
{
	answer_from_peer(a, r);
	if (r->code < 400) /* no reply to this command */
		a->code = 451;
}

static void
on_mail(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct out *o = arg;

	(void)tag;
	if (!o->active)
		return;
	if (r->code / 100 != 2) {
		/* RCPTs that were pipelined are refused as well: their replies come first. */
		refusal(&o->answer, r);
		o->refused = 1;
		o->n = o->sent;
		if (o->n == 0)
			give_up(o);
		return;
	}
	send_rcpts(o);
}

static void
rcpt_refused(struct out *o, struct out_rcpt *x, const struct smtp_reply *r)
{
	x->got = malloc(sizeof *x->got);
	if (x->got != NULL)
		refusal(x->got, r);
	if (o->answer.code == 0)
		refusal(&o->answer, r);
}

static void
on_rcpt(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct out *o = arg;
	struct out_rcpt *x;

	if (!o->active)
		return;
	x = &o->rcpts[tag];
	x->code = r->code;
	o->replied++;
	if (r->code / 100 == 2)
		o->taken++;
	else
		rcpt_refused(o, x, r);
	if (o->sent < o->n)
		send_rcpts(o);
	if (o->replied < o->n)
		return;
	if (o->taken == 0 || o->refused)
		give_up(o);
	else if (peer_command(o->peer, "DATA", on_data, o, 0) == -1) {
		answer_set(&o->answer, 451, "4.4.2 the mail server cannot be reached");
		finish(o);
	}
}

static void
on_end(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct out *o = arg;

	(void)tag;
	if (!o->active)
		return;
	answer_from_peer(&o->answer, r);
	if (r->code / 100 == 3)
		o->answer.code = 451;
	finish(o);
}

/* Our own spool cannot be read: only a lost connection keeps the peer from taking half of it. */
static void
broken_body(struct out *o)
{
	log_err("cannot read a message in the spool: %s", strerror(errno));
	(void)shutdown(conn_fd(peer_conn(o->peer)), SHUT_RDWR);
	o->streaming = 0;
}

/* The next octets of the message, max at most, as they lie in memory or read from its file. */
static const uint8_t *
next_octets(struct out *o, size_t max, size_t *n)
{
	static uint8_t window[STEP];
	uint64_t left = o->body->size - o->off;

	if (o->body->mem != NULL) {
		*n = left < max ? (size_t)left : max;
		return o->body->mem + o->off;
	}
	*n = left < sizeof window ? (size_t)left : sizeof window;
	return octets_read(o->body, window, *n, o->off) == 0 ? window : NULL;
}

static void
stream(struct out *o)
{
	struct conn *c = peer_conn(o->peer);
	const uint8_t *p;
	size_t n, room;

	while (o->streaming && (room = conn_room(c)) >= 2 * STEP + 16) {
		if (o->off == o->body->size) {
			o->streaming = 0;
			if (dots_encode_end(&o->enc) == 0)
				(void)peer_expect_end(o->peer, on_end, o);
			return;
		}
		if ((p = next_octets(o, (room - 16) / 2, &n)) == NULL) {
			broken_body(o);
			return;
		}
		if (dots_encode(&o->enc, p, n) == -1)
			return; /* the connection has failed: closed will tell */
		o->off += n;
	}
}

static void
on_data(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct out *o = arg;

	(void)tag;
	if (!o->active)
		return;
	if (r->code != 354) {
		refusal(&o->answer, r);
		give_up(o);
		return;
	}
	o->answer.code = 0;
	o->to = conn_sink(peer_conn(o->peer));
	dots_encode_init(&o->enc, &o->to);
	o->streaming = 1;
	peer_stream(o->peer);
	stream(o);
}

int
out_start(struct out *o, struct peer *p, const char *mail, struct out_rcpt *rcpts, size_t n,
    const struct octets *body, void (*done)(void *arg), void *arg)
{
	memset(o, 0, sizeof *o);
	o->peer = p;
	o->rcpts = rcpts;
	o->n = n;
	o->body = body;
	o->done = done;
	o->arg = arg;
	o->active = 1;
	if (mail == NULL)
		return peer_command(p, "DATA", on_data, o, 0);
	if (peer_command(p, mail, on_mail, o, 0) == -1)
		return -1;
	if (peer_features(p) & F_PIPELINING)
		send_rcpts(o);
	return 0;
}

void
out_drained(struct out *o)
{
	if (!o->active)
		return;
	if (o->streaming)
		stream(o);
	else if (o->sent < o->n)
		send_rcpts(o);
}

void
out_stop(struct out *o)
{
	o->active = o->streaming = 0;
}
