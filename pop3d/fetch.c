/*
 * Messages: fetched whole from the peer, looked at once, opened by a worker if need be, sent.
 * TOP is of the message as RETR shows it, so it fetches it too; the last one is remembered.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "pop3d/pop3d.h"
#include "pop3d/session.h"

#define CHUNK (32 * 1024) /* octets of a message stuffed and queued at a time */

void
fetch_free(struct session *s)
{
	spool_free(&s->stored);
	spool_free(&s->opened);
	s->shown = NULL;
	s->cached = 0;
}

/* Behind the header and s->top_lines lines, for TOP (RFC 1939, 7). */
static int
top_end(const struct octets *o, uint64_t lines, uint64_t *end)
{
	uint8_t window[16 * 1024];
	uint64_t off, line = 0; /* octets of the line so far, its CR not counted */
	bool body = false;
	size_t step, i;

	for (off = 0; off < o->size; off += step) {
		step = o->size - off < sizeof window ? (size_t)(o->size - off) : sizeof window;
		if (octets_read(o, window, step, off) == -1)
			return -1;
		for (i = 0; i < step; i++) {
			if (window[i] != '\n') {
				line += window[i] != '\r';
				continue;
			}
			if (body && lines > 0)
				lines--;
			if (!body && line == 0)
				body = true;
			line = 0;
			if (body && lines == 0) {
				*end = off + i + 1;
				return 0;
			}
		}
	}
	*end = o->size;
	return 0;
}

/* Octets that RETR announces: what goes out before stuffing, a missing last CRLF included. */
static uint64_t
octets_announced(const struct octets *o)
{
	uint8_t tail[2];

	if (o->size < 2 || octets_read(o, tail, 2, o->size - 2) == -1)
		return o->size == 0 ? 0 : o->size + 2;
	return memcmp(tail, "\r\n", 2) == 0 ? o->size : o->size + 2;
}

void
fetch_pump(struct session *s)
{
	uint8_t chunk[CHUNK];
	size_t step;

	if (s->sending.size == 0 && s->send_end == 0)
		return;
	while (s->sent < s->send_end) {
		/* Stuffing at most doubles; the end mark needs a few octets more. */
		if (conn_room(s->client) < 2 * CHUNK + 16)
			return; /* drained calls again */
		step = s->send_end - s->sent < CHUNK ? (size_t)(s->send_end - s->sent) : CHUNK;
		if (octets_read(&s->sending, chunk, step, s->sent) == -1 ||
		    dots_encode(&s->encoder, chunk, step) == -1) {
			log_err("%s: cannot read a message back: %s", s->id, strerror(errno));
			session_end(s, NULL); /* in the middle of it: nothing can be said */
			return;
		}
		s->sent += step;
	}
	if (dots_encode_end(&s->encoder) == -1) {
		session_end(s, NULL);
		return;
	}
	s->send_end = 0;
	s->sending.size = 0;
	s->retrieved++;
	totals.messages++;
	session_done(s, NULL);
}

static void
temporary(struct session *s, const char *why)
{
	char text[512], clean[400];

	totals.deferred++;
	s->cached = 0;
	/* A worker's words: it may be in somebody else's hands. */
	(void)log_clean(clean, sizeof clean, why, strlen(why));
	log_warn(
	    "%s: message %llu: status=deferred (%s)", s->id, (unsigned long long)s->number, clean);
	(void)snprintf(text, sizeof text, "-ERR [SYS/TEMP] %s", clean);
	session_done(s, text);
}

/* Send what is shown for this message. */
static void
send_shown(struct session *s)
{
	char text[64];

	if (spool_octets(s->shown, &s->sending) == -1) {
		temporary(s, "the message cannot be read back");
		return;
	}
	s->cached = s->number;
	s->sent = 0;
	s->send_end = s->sending.size;
	if (s->top && top_end(&s->sending, s->top_lines, &s->send_end) == -1) {
		temporary(s, "the message cannot be read back");
		return;
	}
	(void)snprintf(text, sizeof text, "+OK %llu octets",
	    (unsigned long long)octets_announced(&s->sending));
	session_reply(s, s->top ? "+OK top of message follows" : text);
	if (s->ended)
		return;
	s->to_client = conn_sink(s->client);
	dots_encode_init(&s->encoder, &s->to_client);
	dots_encode_any_lf(&s->encoder);
	if (s->send_end == 0) {
		/* An empty message: only the end mark. */
		if (dots_encode_end(&s->encoder) == -1)
			session_end(s, NULL);
		else
			session_done(s, NULL);
		return;
	}
	fetch_pump(s);
}

static int
worker_ready(struct chan *c, uint64_t id, void *arg)
{
	struct session *s = arg;
	struct open_req q;
	struct blob b;
	int fd;

	if (spool_send(&s->stored, &b, &fd) == -1) {
		temporary(s, "the message cannot be passed on");
		return -1;
	}
	q.message.v = &b;
	q.message.n = 1;
	if (chan_send(c, M_open_req, id, &q, fd) == -1) {
		temporary(s, "the message cannot be passed on");
		return -1;
	}
	return 0;
}

static int
worker_message(struct ipc_msg *m, void *arg)
{
	struct session *s = arg;
	const struct open_rep *p = m->body;
	const char *why = "the gateway cannot open the message now";
	char facts[600];

	s->shown = &s->stored;
	if (p->result == OPEN_VIRTUAL) {
		spool_free(&s->opened);
		if (p->message.n != 1 ||
		    spool_receive(&s->opened, p->message.v, m->fd, POP3_MESSAGE_MAX) == -1)
			s->shown = NULL;
		else {
			m->fd = -1;
			s->shown = &s->opened;
		}
	} else if (p->result == OPEN_DEFER) {
		s->shown = NULL;
		why = p->text;
	}
	if (s->shown == NULL) {
		temporary(s, why);
		return 1;
	}
	totals.opened++;
	log_info("%s: message %llu: crypto=%s", s->id, (unsigned long long)s->number,
	    log_clean(facts, sizeof facts, p->facts, strlen(p->facts)));
	send_shown(s);
	return 1;
}

static void
worker_failed(const char *why, void *arg)
{
	temporary(arg, why);
}

static const struct proxy_worker_ops worker_ops = {
    .ready = worker_ready,
    .message = worker_message,
    .failed = worker_failed,
};

/* The whole message is here. */
void
fetch_received(struct session *s)
{
	struct octets o;

	if (s->fetch_error != 0 || spool_octets(&s->stored, &o) == -1) {
		log_err("%s: message %llu: %s", s->id, (unsigned long long)s->number,
		    strerror(s->fetch_error ? s->fetch_error : errno));
		temporary(s, s->fetch_error == ENOSPC ? "the gateway is out of room"
						      : "the message cannot be kept");
		return;
	}
	if ((mail_scan_end(&s->scan) & MAIL_SCAN_WORKER) == 0) {
		s->shown = &s->stored;
		send_shown(s);
	} else if (proxy_worker_ask(s->worker, &worker_ops, s) == -1)
		temporary(s, "the gateway is busy");
}

/* The sink of the peer's data: into the spool, past the scan. */
static int
store(void *ctx, const void *p, size_t n)
{
	struct session *s = ctx;

	mail_scan_feed(&s->scan, p, n);
	return spool_write(&s->stored, p, n);
}

struct sink
fetch_sink(struct session *s)
{
	return (struct sink){store, s};
}

static void
on_retr(struct session *s, const struct pop3_reply *r)
{
	if (r->status != POP3_OK) {
		session_pass_status(s, r);
		session_done(s, NULL);
		return;
	}
	spool_free(&s->stored);
	spool_free(&s->opened);
	spool_init(&s->stored, POP3_MESSAGE_MAX, pop3d_spooldir());
	mail_scan_init(&s->scan);
	s->fetch_error = 0;
	dots_decode_init(&s->dots, false);
	s->mode = PEER_FETCH;
}

static void
ask_peer(struct session *s)
{
	s->cached = 0;
	session_ask(s, on_retr, "RETR %llu", (unsigned long long)s->number);
}

static void
fetch(struct session *s, uint64_t number)
{
	s->number = number;
	/* 0 stands for "none" in here; as a number it is the peer's to refuse. */
	if (number != 0 && s->cached == number && s->shown != NULL)
		send_shown(s);
	else
		ask_peer(s);
}

void
fetch_retr(struct session *s, uint64_t number)
{
	s->top = false;
	fetch(s, number);
}

void
fetch_top(struct session *s, uint64_t number, uint64_t lines)
{
	s->top = true;
	s->top_lines = lines;
	fetch(s, number);
}
