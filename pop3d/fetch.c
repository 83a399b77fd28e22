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
#define STUFFING 1024 /* octets of dots that a message may have: so much room at first */
#define STATUS_ROOM 64 /* octets of the line before a message */
#define STAYS_MAX (96 * 1024) /* octets of a message that is put together in the peer's input */

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

	f->sending = false;
	s->retrieved++;
	totals.messages++;
	/* A client that fetches the same again is rare, and idle sessions are many. */
	if (f->what == FETCH_RETR || !f->whole)
		fetch_free(s);
	session_done(s, NULL);
}

/* The next octets to the client, as many as it has room for: how many, 0 to wait, -1 on errors. */
static ssize_t
send_some(struct session *s)
{
	struct fetch *f = s->fetch;
	uint8_t chunk[CHUNK];
	const uint8_t *p = f->shown.mem != NULL ? f->shown.mem + f->sent : chunk;
	uint64_t left = f->send_end - f->sent;
	size_t step = conn_room(s->client);

	/* Stuffing at most doubles; the end mark needs a few octets more. */
	if (!f->stuffed)
		step = step < 2 * CHUNK + 16 ? 0 : CHUNK;
	else if (f->shown.mem == NULL && step > CHUNK)
		step = CHUNK;
	if (step > left)
		step = (size_t)left;
	if (p == chunk && octets_read(&f->shown, chunk, step, f->sent) == -1)
		return -1;
	if ((f->stuffed ? conn_write(s->client, p, step) : dots_encode(&f->encoder, p, step)) == -1)
		return -1;
	f->sent += step;
	return (ssize_t)step;
}

void
fetch_pump(struct session *s)
{
	struct fetch *f = s->fetch;
	ssize_t n;

	if (f == NULL || !f->sending)
		return;
	while (f->sent < f->send_end) {
		if ((n = send_some(s)) == 0)
			return; /* drained calls again */
		if (n == -1) {
			log_err("%s: cannot read a message back: %s", s->id, strerror(errno));
			session_end(s, NULL); /* in the middle of it: nothing can be said */
			return;
		}
	}
	if (!f->stuffed && dots_encode_end(&f->encoder) == -1)
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
	char text[STATUS_ROOM];

	f->cached = f->whole;
	f->sent = 0;
	f->send_end = f->shown.size;
	if (f->what == FETCH_TOP && top_end(&f->shown, f->lines, &f->send_end) == -1) {
		temporary(s, "the message cannot be read back");
		return;
	}
	(void)snprintf(text, sizeof text, "+OK %llu octets", (unsigned long long)f->size);
	session_reply(s, f->what == FETCH_TOP ? "+OK top of message follows" : text);
	if (s->ended)
		return;
	f->to_client = conn_sink(s->client);
	dots_encode_init(&f->encoder, &f->to_client);
	dots_encode_any_lf(&f->encoder);
	f->sending = true;
	fetch_pump(s);
}

/* Whole and in a spool: what the user is shown. 0, or -1 with errno. */
static int
show(struct fetch *f, struct spool *from)
{
	if (spool_octets(from, &f->shown) == -1)
		return -1;
	if (!f->stuffed)
		f->size = octets_announced(&f->shown);
	return 0;
}

/* What the user is shown is known, and whether it may be remembered. */
static void
conclude(struct session *s, bool plain, bool keep, const struct bytes *sticky)
{
	struct fetch *f = s->fetch;
	uint64_t size = f->size;
	struct slot *x = NULL;

	/* A session in which there was nothing for a worker leaves the memory alone. */
	if (s->drop != NULL && s->drop->loaded)
		x = maildrop_add(s->drop, f->number);
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
	struct spool *result = &f->stored;
	char facts[600];

	if (p->result == OPEN_VIRTUAL) {
		result = NULL;
		spool_free(&f->opened);
		if (p->message.n == 1 &&
		    spool_receive(&f->opened, p->message.v, m->fd, POP3_MESSAGE_MAX) == 0) {
			m->fd = -1;
			result = &f->opened;
		}
	} else if (p->result == OPEN_DEFER) {
		result = NULL;
		why = p->text;
	}
	if (result == NULL || show(f, result) == -1) {
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
		s->worker =
		    proxy_worker_new(s->route, foreign_login(s)[0] != '\0' ? s->authzid : "",
			foreign_login(s), 0, s->client_text);
	ahead_fill(s);
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
		s->drop = session_maildrop(s);
	if (s->drop != NULL) {
		maildrop_load(s->drop, pop3d_statedir());
		x = maildrop_add(s->drop, f->number);
	}
	/* Its answer would come behind those of messages that were asked for ahead. */
	if (x != NULL && (x->flags & SLOT_UID) == 0 && s->can.uidl && f->what != FETCH_SIZE &&
	    s->ahead == 0)
		session_ask(s, on_uidl, "UIDL %llu", (unsigned long long)f->number);
	else
		ask_worker(s);
}

void
fetch_ask(struct session *s)
{
	session_ask(s, on_message, "RETR %llu", (unsigned long long)s->fetch->number);
}

/* The whole message is here; shown: so is what the user is shown. */
static void
received(struct session *s, bool shown)
{
	static const struct bytes nothing;
	struct fetch *f = s->fetch;

	if (f->error != 0 || (!shown && show(f, &f->stored) == -1)) {
		log_err("%s: message %llu: %s", s->id, (unsigned long long)f->number,
		    strerror(f->error ? f->error : errno));
		temporary(s, f->error == ENOSPC ? "the gateway is out of room"
						: "the message cannot be kept");
	} else if (!f->whole && f->worker) {
		/* Not what it was when it was looked at: all of it, then. */
		f->whole = true;
		fetch_ask(s);
	} else if (!f->whole)
		send_shown(s);
	else if (f->worker && f->what == FETCH_SIZE && sizes_stopped(s)) {
		fetch_free(s);
		sizes_learnt(s, "");
	} else if (f->worker)
		open_message(s);
	else {
		ahead_fill(s);
		if (!s->ended)
			conclude(s, true, true, &nothing);
	}
}

/* The sink of the message without what was stuffed. */
static int
look(void *ctx, const void *p, size_t n)
{
	struct fetch *f = ctx;

	mail_scan_feed(&f->scan, p, n);
	return f->stuffed ? 0 : spool_write(&f->stored, p, n);
}

struct unstuffing {
	struct dots_decoder dots;
	struct sink out;
};

static int
unstuff_write(void *ctx, const void *p, size_t n)
{
	struct unstuffing *u = ctx;
	size_t used;

	return dots_decode(&u->dots, p, n, &used, &u->out) == -1 ? -1 : 0;
}

/* From now on stored is without what was stuffed: what there is, and n octets behind it at p. */
static int
unstuff(struct session *s, const uint8_t *p, size_t n)
{
	struct fetch *f = s->fetch;
	struct spool to;
	struct unstuffing u = {.out = spool_sink(&to)};
	struct sink in = {unstuff_write, &u};
	struct octets o;
	int error;

	spool_init(&to, POP3_MESSAGE_MAX, pop3d_spooldir());
	spool_expect(&to, f->announced);
	dots_decode_init(&u.dots, false);
	if (spool_octets(&f->stored, &o) == -1 || sink_copy(&in, &o, 0, o.size) == -1 ||
	    sink_write(&in, p, n) == -1) {
		error = errno;
		spool_free(&to);
		errno = error;
		return -1;
	}
	spool_free(&f->stored);
	f->stored = to;
	f->stuffed = false;
	s->dots = u.dots;
	return 0;
}

/*
 * May it go to the client as it came?  Not where dots are stuffed in a way of its own: a client may
 * see the end in the middle of it.
 */
static bool
passes(const struct session *s)
{
	return s->fetch->stuffed && !s->fetch->worker && s->fetch->error == 0 && !s->dots.odd;
}

/* Octets of the message, as they came, into the spool. */
static void
keep(struct session *s, const uint8_t *p, size_t n)
{
	struct fetch *f = s->fetch;

	if (f->error != 0 || !f->stuffed)
		return;
	if (f->stored.size == 0 && passes(s))
		spool_expect(&f->stored, f->announced + STUFFING);
	if ((passes(s) ? spool_write(&f->stored, p, n) : unstuff(s, p, n)) == -1)
		f->error = errno;
}

/* All of a message is in these octets, and may go from there. */
static bool
goes_from_there(const struct session *s, size_t n)
{
	const struct fetch *f = s->fetch;

	return passes(s) && f->stored.size == 0 &&
	       (f->what == FETCH_SIZE || conn_room(s->client) >= n + STATUS_ROOM);
}

/*
 * The rest of the message is waited for, and these octets of it may stay where they are.  There
 * must be room behind them: reading stops at POP3_PEER_IN_MAX.
 */
static bool
stays(const struct session *s, size_t n)
{
	const struct fetch *f = s->fetch;

	return passes(s) && f->stored.size == 0 && n <= STAYS_MAX &&
	       f->announced <= STAYS_MAX - STUFFING;
}

int
fetch_take(struct session *s, struct conn *c)
{
	struct fetch *f = s->fetch;
	struct sink out = {look, f};
	const uint8_t *p;
	size_t n, used;
	int end;

	p = conn_in(c, &n);
	if (n == f->seen)
		return 0;
	session_wait(s);
	end = dots_decode(&s->dots, p + f->seen, n - f->seen, &used, f->error == 0 ? &out : NULL);
	used += f->seen;
	if (end == -1) {
		f->error = errno;
		end = dots_ended(&s->dots);
	}
	f->worker = end ? (mail_scan_end(&f->scan) & MAIL_SCAN_WORKER) != 0
			: mail_scan_needs_worker(&f->scan);
	if (end && goes_from_there(s, used))
		f->shown = octets_mem(p, used);
	else if (!end && stays(s, used)) {
		f->seen = used;
		return 0;
	} else {
		f->seen = 0;
		keep(s, p, used);
		conn_consume(c, used);
		used = 0;
	}
	if (!end)
		return 1;
	f->size = s->dots.octets;
	(void)event_del(s->reply_timer);
	s->mode = PEER_IDLE;
	received(s, used > 0);
	if (!s->ended && used > 0)
		conn_consume(c, used);
	return 1;
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
	f->seen = 0;
	f->announced = r->text[0] >= '0' && r->text[0] <= '9' ? strtoull(r->text, NULL, 10) : 0;
	f->stuffed = f->what != FETCH_TOP; /* of which lines are counted */
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
	if (s->ahead == 0 && is_cached(s, number)) {
		s->fetch->what = FETCH_RETR;
		send_shown(s);
	} else if (begin(s, FETCH_RETR, number) == -1)
		session_end(s, "-ERR [SYS/TEMP] out of memory");
	else if (s->ahead > 0) {
		s->ahead--;
		session_expect(s, on_message);
		if (s->uids)
			ahead_fill(s);
	} else
		ahead_retr(s);
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
		fetch_ask(s);
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
