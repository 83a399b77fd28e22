/*
 * Messages: fetched whole from the peer, looked at once, opened by a worker if need be, sent.
 * TOP is of the message as RETR shows it, so it fetches it too, unless the message is known to pass
 * as it is; the one that TOP fetched is kept, for RETR mostly comes next.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "pop3d/pop3d.h"
#include "pop3d/session.h"

#define CHUNK (32 * 1024) /* octets of a message stuffed and queued at a time */
#define AHEAD_LINE 32 /* octets of a line that may be "RETR n" */

static void on_message(struct session *s, const struct pop3_reply *r);

void
fetch_free(struct session *s)
{
	struct fetch *f = s->fetch;

	if (f == NULL)
		return;
	s->fetch = NULL;
	spool_free(&f->stored);
	spool_free(&f->opened);
	free(f);
}

void
fetch_forget(struct session *s, uint64_t number)
{
	if (s->fetch != NULL && s->fetch->number == number)
		fetch_free(s);
}

/* Behind the header and that many lines, for TOP (RFC 1939, 7). */
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

/* All of it is on its way. */
static void
sent(struct session *s)
{
	struct fetch *f = s->fetch;

	f->sending.size = f->send_end = 0;
	s->retrieved++;
	totals.messages++;
	/* A client that fetches the same again is rare, and idle sessions are many. */
	if (f->what == FETCH_RETR || !f->whole)
		fetch_free(s);
	session_done(s, NULL);
}

void
fetch_pump(struct session *s)
{
	struct fetch *f = s->fetch;
	uint8_t chunk[CHUNK];
	size_t step;

	if (f == NULL || (f->sending.size == 0 && f->send_end == 0))
		return;
	while (f->sent < f->send_end) {
		/* Stuffing at most doubles; the end mark needs a few octets more. */
		if (conn_room(s->client) < 2 * CHUNK + 16)
			return; /* drained calls again */
		step = f->send_end - f->sent < CHUNK ? (size_t)(f->send_end - f->sent) : CHUNK;
		if (octets_read(&f->sending, chunk, step, f->sent) == -1 ||
		    dots_encode(&f->encoder, chunk, step) == -1) {
			log_err("%s: cannot read a message back: %s", s->id, strerror(errno));
			session_end(s, NULL); /* in the middle of it: nothing can be said */
			return;
		}
		f->sent += step;
	}
	if (dots_encode_end(&f->encoder) == -1)
		session_end(s, NULL);
	else
		sent(s);
}

static void
temporary(struct session *s, const char *why)
{
	struct fetch *f = s->fetch;
	char text[512], clean[400];
	bool size = f->what == FETCH_SIZE;

	totals.deferred++;
	/* A worker's words: it may be in somebody else's hands. */
	(void)log_clean(clean, sizeof clean, why, strlen(why));
	log_warn(
	    "%s: message %llu: status=deferred (%s)", s->id, (unsigned long long)f->number, clean);
	fetch_free(s);
	if (size) {
		sizes_learnt(s, clean);
		return;
	}
	(void)snprintf(text, sizeof text, "-ERR [SYS/TEMP] %s", clean);
	session_done(s, text);
}

/* Send what is shown for this message. */
static void
send_shown(struct session *s)
{
	struct fetch *f = s->fetch;
	char text[64];

	if (spool_octets(f->shown, &f->sending) == -1) {
		temporary(s, "the message cannot be read back");
		return;
	}
	f->cached = f->whole;
	f->sent = 0;
	f->send_end = f->sending.size;
	if (f->what == FETCH_TOP && top_end(&f->sending, f->lines, &f->send_end) == -1) {
		temporary(s, "the message cannot be read back");
		return;
	}
	(void)snprintf(text, sizeof text, "+OK %llu octets",
	    (unsigned long long)octets_announced(&f->sending));
	session_reply(s, f->what == FETCH_TOP ? "+OK top of message follows" : text);
	if (s->ended)
		return;
	f->to_client = conn_sink(s->client);
	dots_encode_init(&f->encoder, &f->to_client);
	dots_encode_any_lf(&f->encoder);
	if (f->send_end > 0)
		fetch_pump(s);
	else if (dots_encode_end(&f->encoder) == -1) /* an empty message: only the end mark */
		session_end(s, NULL);
	else
		sent(s);
}

/*
 * The client has sent the next RETR already: so may we, and the message is on its way while this
 * one is opened and sent.  That line is the very next that is looked at; what it asks for stays in
 * the peer's connection until then.
 */
static void
look_ahead(struct session *s)
{
	char line[AHEAD_LINE + 1];
	const uint8_t *p, *lf;
	struct args a;
	size_t n;

	if (!s->can.pipelining || s->quitting || s->fetch->what != FETCH_RETR ||
	    s->client_lines.skipped > 0)
		return;
	p = conn_in(s->client, &n);
	if (n > AHEAD_LINE)
		n = AHEAD_LINE;
	if ((lf = memchr(p, '\n', n)) == NULL || lf == p || lf[-1] != '\r')
		return;
	n = (size_t)(lf - p) - 1;
	memcpy(line, p, n);
	line[n] = '\0';
	if (strlen(line) != n || parse_command(&a, line) != 4 ||
	    strncasecmp(line, "RETR", 4) != 0 || parse_numbers(&a) == -1 || a.n != 1 || a.v[0] == 0)
		return;
	s->ahead = a.v[0];
	session_send(s, "RETR %llu", (unsigned long long)s->ahead);
}

/* What the user is shown is known, and whether it may be remembered. */
static void
conclude(struct session *s, bool plain, bool keep, const struct bytes *sticky)
{
	struct fetch *f = s->fetch;
	struct slot *x = s->drop != NULL ? maildrop_add(s->drop, f->number) : NULL;
	struct octets o;
	uint64_t size;

	if (spool_octets(f->shown, &o) == -1) {
		temporary(s, "the message cannot be read back");
		return;
	}
	size = octets_announced(&o);
	if (x != NULL) {
		if (s->drop->sized && x->size != size)
			log_warn("%s: message %llu: %llu octets were announced, now it has %llu",
			    s->id, (unsigned long long)f->number, (unsigned long long)x->size,
			    (unsigned long long)size);
		maildrop_learn(s->drop, x, size, plain, keep, sticky->p, sticky->n);
	}
	if (f->what == FETCH_SIZE) {
		fetch_free(s);
		sizes_learnt(s, x == NULL ? "out of memory" : NULL);
	} else
		send_shown(s);
}

static int
worker_ready(struct chan *c, uint64_t id, void *arg)
{
	struct session *s = arg;
	struct open_req q = {.banner = (uint8_t)s->route->banner};
	struct blob b;
	int fd;

	if (s->drop != NULL)
		q.sticky.p =
		    maildrop_sticky(s->drop, maildrop_slot(s->drop, s->fetch->number), &q.sticky.n);
	if (spool_send(&s->fetch->stored, &b, &fd) == -1) {
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
	struct fetch *f = s->fetch;
	const struct open_rep *p = m->body;
	const char *why = "the gateway cannot open the message now";
	char facts[600];

	f->shown = &f->stored;
	if (p->result == OPEN_VIRTUAL) {
		spool_free(&f->opened);
		if (p->message.n != 1 ||
		    spool_receive(&f->opened, p->message.v, m->fd, POP3_MESSAGE_MAX) == -1)
			f->shown = NULL;
		else {
			m->fd = -1;
			f->shown = &f->opened;
		}
	} else if (p->result == OPEN_DEFER) {
		f->shown = NULL;
		why = p->text;
	}
	if (f->shown == NULL) {
		temporary(s, why);
		return 1;
	}
	totals.opened++;
	log_info("%s: message %llu: crypto=%s", s->id, (unsigned long long)f->number,
	    log_clean(facts, sizeof facts, p->facts, strlen(p->facts)));
	conclude(s, false, p->sticky.n > 0, &p->sticky);
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

static void
ask_worker(struct session *s)
{
	if (s->worker == NULL)
		s->worker = proxy_worker_new(s->route, s->authzid, s->authcid, 0, s->client_text);
	look_ahead(s);
	if (s->ended)
		return;
	if (s->worker == NULL || proxy_worker_ask(s->worker, &worker_ops, s) == -1)
		temporary(s, "the gateway is busy");
}

static void
on_uidl(struct session *s, const struct pop3_reply *r)
{
	char number[24];
	int n = snprintf(number, sizeof number, "%llu ", (unsigned long long)s->fetch->number);

	/* Without it the message is opened as if it never had been. */
	if (r->status == POP3_OK && strncmp(r->text, number, (size_t)n) == 0)
		(void)maildrop_uidl_line(s->drop, r->text, NULL);
	ask_worker(s);
}

/* A worker is needed, and what it found before if this message was opened before. */
static void
open_message(struct session *s)
{
	struct fetch *f = s->fetch;
	struct slot *x = NULL;

	if (s->drop == NULL)
		s->drop = maildrop_new(s->route, s->authzid, s->authcid);
	if (s->drop != NULL) {
		maildrop_load(s->drop, pop3d_statedir());
		x = maildrop_add(s->drop, f->number);
	}
	if (x != NULL && (x->flags & SLOT_UID) == 0 && s->can.uidl && f->what != FETCH_SIZE)
		session_ask(s, on_uidl, "UIDL %llu", (unsigned long long)f->number);
	else
		ask_worker(s);
}

static void
ask_peer(struct session *s)
{
	session_ask(s, on_message, "RETR %llu", (unsigned long long)s->fetch->number);
}

/* The whole message is here. */
void
fetch_received(struct session *s)
{
	static const struct bytes nothing;
	struct fetch *f = s->fetch;
	struct octets o;
	bool worker;

	if (f->error != 0 || spool_octets(&f->stored, &o) == -1) {
		log_err("%s: message %llu: %s", s->id, (unsigned long long)f->number,
		    strerror(f->error ? f->error : errno));
		temporary(s, f->error == ENOSPC ? "the gateway is out of room"
						: "the message cannot be kept");
		return;
	}
	worker = (mail_scan_end(&f->scan) & MAIL_SCAN_WORKER) != 0;
	f->shown = &f->stored;
	if (!f->whole && worker) {
		/* Not what it was when it was looked at: all of it, then. */
		f->whole = true;
		ask_peer(s);
	} else if (!f->whole)
		send_shown(s);
	else if (worker && f->what == FETCH_SIZE && sizes_stopped(s)) {
		fetch_free(s);
		sizes_learnt(s, "");
	} else if (worker)
		open_message(s);
	else {
		look_ahead(s);
		if (!s->ended)
			conclude(s, true, true, &nothing);
	}
}

/* The sink of the peer's data: into the spool, past the scan. */
static int
store(void *ctx, const void *p, size_t n)
{
	struct fetch *f = ctx;

	mail_scan_feed(&f->scan, p, n);
	return spool_write(&f->stored, p, n);
}

struct sink
fetch_sink(struct session *s)
{
	return (struct sink){store, s->fetch};
}

static void
on_message(struct session *s, const struct pop3_reply *r)
{
	struct fetch *f = s->fetch;

	if (r->status != POP3_OK && f->what == FETCH_SIZE) {
		temporary(s, "the mail server does not give it");
		return;
	}
	if (r->status != POP3_OK) {
		fetch_free(s);
		session_pass_status(s, r);
		session_done(s, NULL);
		return;
	}
	spool_free(&f->stored);
	spool_free(&f->opened);
	spool_init(&f->stored, POP3_MESSAGE_MAX, pop3d_spooldir());
	mail_scan_init(&f->scan);
	f->error = 0;
	dots_decode_init(&s->dots, false);
	s->mode = PEER_FETCH;
}

static int
begin(struct session *s, enum fetch_for what, uint64_t number)
{
	struct fetch *f;

	fetch_free(s);
	if ((f = calloc(1, sizeof *f)) == NULL)
		return -1;
	spool_init(&f->stored, 0, -1);
	spool_init(&f->opened, 0, -1);
	f->what = what;
	f->number = number;
	f->whole = true;
	s->fetch = f;
	return 0;
}

static bool
is_cached(const struct session *s, uint64_t number)
{
	/* A number of 0 is the peer's to refuse. */
	return number != 0 && s->fetch != NULL && s->fetch->cached && s->fetch->number == number;
}

void
fetch_retr(struct session *s, uint64_t number)
{
	bool asked = s->ahead != 0;

	s->ahead = 0;
	if (!asked && is_cached(s, number)) {
		s->fetch->what = FETCH_RETR;
		send_shown(s);
	} else if (begin(s, FETCH_RETR, number) == -1)
		session_end(s, "-ERR [SYS/TEMP] out of memory");
	else if (asked)
		session_expect(s, on_message);
	else
		ask_peer(s);
}

void
fetch_top(struct session *s, uint64_t number, uint64_t lines)
{
	struct slot *x = s->drop != NULL ? maildrop_slot(s->drop, number) : NULL;

	if (is_cached(s, number)) {
		s->fetch->what = FETCH_TOP;
		s->fetch->lines = lines;
		send_shown(s);
		return;
	}
	if (begin(s, FETCH_TOP, number) == -1) {
		session_end(s, "-ERR [SYS/TEMP] out of memory");
		return;
	}
	s->fetch->lines = lines;
	s->fetch->whole = x == NULL || (x->flags & SLOT_PLAIN) == 0;
	if (s->fetch->whole)
		ask_peer(s);
	else
		session_ask(s, on_message, "TOP %llu %llu", (unsigned long long)number,
		    (unsigned long long)lines);
}

int
fetch_size(struct session *s, uint64_t number)
{
	if (begin(s, FETCH_SIZE, number) == -1)
		return -1;
	session_expect(s, on_message);
	return 0;
}
