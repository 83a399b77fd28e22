/*
 * STAT and LIST where sizes = exact: what they tell is what RETR gives.  Before the first answer of
 * a session every message whose size is not remembered is fetched and, if need be, opened.  Nothing
 * can be said to the client meanwhile, so the peer is asked for several messages at once if it can
 * take that; one at a time is held here, the others wait in the connection.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "pop3d/pop3d.h"
#include "pop3d/session.h"

#define AHEAD 16 /* messages that the peer is asked for at once */
#define AHEAD_FAST_MS 250 /* a message that took longer: no further one before its answer */
#define AHEAD_OCTETS (512 * 1024) /* the same, by their listed sizes */
#define TELL_MS 10000 /* milliseconds between lines of progress in the log */
#define LINES 4096 /* octets of lines queued at a time */

enum what { SIZES_STAT, SIZES_LIST, SIZES_ONE };

struct sizes {
	enum what what;
	uint64_t number; /* of SIZES_ONE */
	uint64_t last; /* in the listing being read */
	bool too_many;
	uint64_t deadline, told; /* clock_ms */
	size_t at; /* slots before it are known or asked for */
	size_t due[AHEAD]; /* slots that the peer was asked for, oldest at first */
	unsigned first, ndue;
	unsigned most; /* that may be due */
	uint64_t octets_due, began; /* clock_ms of the message in hand */
	size_t missing, learnt;
	bool stopped;
	char why[256]; /* stopped */
	bool listing; /* the answer is being sent, */
	size_t line; /* this slot is next */
};

static void next(struct session *s);

void
sizes_free(struct session *s)
{
	free(s->sizes);
	s->sizes = NULL;
}

bool
sizes_stopped(const struct session *s)
{
	return s->sizes->stopped;
}

static void
stop(struct sizes *z, const char *why)
{
	if (!z->stopped)
		(void)strlcpy(z->why, why, sizeof z->why);
	z->stopped = true;
}

/* --- the answer --- */

static void
finish(struct session *s, const char *reply)
{
	sizes_free(s);
	session_done(s, reply);
}

void
sizes_pump(struct session *s)
{
	struct sizes *z = s->sizes;
	struct maildrop *d = s->drop;
	char text[LINES];
	size_t n = 0;

	if (!z->listing)
		return;
	for (; z->line < d->n || n > 0; n = 0) {
		if (conn_room(s->client) < LINES)
			return; /* drained calls again */
		for (; z->line < d->n && n + 64 < sizeof text; z->line++)
			if ((d->v[z->line].flags & SLOT_DELETED) == 0)
				n += (size_t)snprintf(text + n, sizeof text - n, "%u %llu\r\n",
				    d->v[z->line].number, (unsigned long long)d->v[z->line].size);
		if (conn_write(s->client, text, n) == -1) {
			session_end(s, NULL);
			return;
		}
	}
	finish(s, ".");
}

static void
answer(struct session *s)
{
	struct sizes *z = s->sizes;
	struct slot *x;
	char text[96];
	uint64_t octets;
	size_t n = maildrop_count(s->drop, &octets);

	if (z->what == SIZES_STAT) {
		(void)snprintf(text, sizeof text, "+OK %zu %llu", n, (unsigned long long)octets);
		finish(s, text);
	} else if (z->what == SIZES_ONE) {
		x = maildrop_slot(s->drop, z->number);
		if (x == NULL || (x->flags & SLOT_DELETED) != 0)
			(void)strlcpy(text, "-ERR no such message", sizeof text);
		else
			(void)snprintf(text, sizeof text, "+OK %u %llu", x->number,
			    (unsigned long long)x->size);
		finish(s, text);
	} else {
		(void)snprintf(text, sizeof text, "+OK %zu messages (%llu octets)", n,
		    (unsigned long long)octets);
		session_reply(s, text);
		if (s->ended)
			return;
		z->listing = true;
		z->line = 0;
		sizes_pump(s);
	}
}

/* --- fetching --- */

static void
learnt_all(struct session *s)
{
	struct sizes *z = s->sizes;

	s->ahead = 0;
	maildrop_save(s->drop, pop3d_statedir());
	if (z->stopped) {
		log_warn("%s: sizes: %zu of %zu messages learnt: status=deferred (%s)", s->id,
		    z->learnt, z->missing, z->why);
		finish(s, "-ERR [SYS/TEMP] the sizes are not known now, try again");
		return;
	}
	if (z->missing > 0)
		log_info("%s: sizes: %zu messages learnt", s->id, z->learnt);
	s->drop->sized = true;
	answer(s);
}

/* Ask for what is missing, as far ahead as may be. */
static void
ask_ahead(struct session *s)
{
	struct sizes *z = s->sizes;
	struct slot *x;

	for (; z->at < s->drop->n && z->ndue < z->most && !s->ended; z->at++) {
		x = &s->drop->v[z->at];
		if ((x->flags & (SLOT_DELETED | SLOT_SIZE)) != 0)
			continue;
		if (z->ndue > 0 && z->octets_due + x->listed > AHEAD_OCTETS)
			return;
		session_send(s, "RETR %u", x->number);
		if (s->ended)
			return;
		z->due[(z->first + z->ndue++) % AHEAD] = z->at;
		z->octets_due += x->listed;
	}
}

/* The next message that the peer was asked for is taken. */
static void
next(struct session *s)
{
	struct sizes *z = s->sizes;
	struct slot *x;

	if (clock_ms() > z->deadline)
		stop(z, "limits.sizes_timeout is over");
	if (s->quitting)
		stop(z, "the gateway is shutting down");
	if (!z->stopped)
		ask_ahead(s);
	if (s->ended)
		return;
	if (z->ndue == 0) {
		learnt_all(s);
		return;
	}
	x = &s->drop->v[z->due[z->first]];
	z->first = (z->first + 1) % AHEAD;
	z->ndue--;
	z->octets_due -= x->listed;
	/* Answers to others are behind this one's. */
	s->ahead = z->ndue;
	z->began = clock_ms();
	if (fetch_size(s, x->number) == -1)
		session_end(s, "-ERR [SYS/TEMP] out of memory");
}

void
sizes_learnt(struct session *s, const char *why)
{
	struct sizes *z = s->sizes;
	uint64_t now = clock_ms();

	if (why != NULL)
		stop(z, why);
	else
		z->learnt++;
	/* What was asked for is taken, deadline or not: a slow peer must not owe much. */
	if (now - z->began > AHEAD_FAST_MS)
		z->most = 1;
	else if (s->can.pipelining && z->most < AHEAD)
		z->most *= 2;
	if (now - z->told >= TELL_MS) {
		z->told = now;
		log_info("%s: sizes: %zu of %zu messages", s->id, z->learnt, z->missing);
		maildrop_save(s->drop, pop3d_statedir());
	}
	next(s);
}

/* --- what there is --- */

static void
all_listed(struct session *s)
{
	struct sizes *z = s->sizes;
	size_t i;

	if (z->too_many) {
		log_warn("%s: sizes: more than %u messages", s->id, MEMORY_MESSAGES_MAX);
		finish(s, "-ERR [SYS/PERM] too many messages for exact sizes");
		return;
	}
	for (i = 0; i < s->drop->n; i++)
		if ((s->drop->v[i].flags & SLOT_DELETED) == 0 &&
		    !maildrop_recall(s->drop, &s->drop->v[i]))
			z->missing++;
	z->at = 0;
	next(s);
}

/* A line of a listing that was taken, or not. */
static int
taken(struct session *s, const struct slot *x)
{
	if (x == NULL && errno == ENOSPC)
		s->sizes->too_many = true;
	return x != NULL || errno == ENOSPC ? 0 : -1;
}

static int
list_line(struct session *s, const char *line)
{
	if (line == NULL)
		all_listed(s);
	else if (!s->sizes->too_many)
		return taken(s, maildrop_list_line(s->drop, line, &s->sizes->last));
	return 0;
}

static void
on_list(struct session *s, const struct pop3_reply *r)
{
	s->sizes->last = 0;
	if (r->status == POP3_OK)
		session_lines(s, list_line);
	else {
		session_pass_status(s, r);
		finish(s, NULL);
	}
}

static int
uidl_line(struct session *s, const char *line)
{
	if (line == NULL) {
		if (!s->sizes->too_many)
			maildrop_prune(s->drop);
		session_ask(s, on_list, "LIST");
	} else if (!s->sizes->too_many)
		return taken(s, maildrop_uidl_line(s->drop, line, &s->sizes->last));
	return 0;
}

static void
on_uidl(struct session *s, const struct pop3_reply *r)
{
	s->sizes->last = 0;
	if (r->status == POP3_OK)
		session_lines(s, uidl_line);
	else {
		/* Then nothing can be known from one session to the next. */
		s->can.uidl = false;
		session_ask(s, on_list, "LIST");
	}
}

static void
ask_uidl(struct session *s)
{
	if (s->can.uidl)
		session_ask(s, on_uidl, "UIDL");
	else
		session_ask(s, on_list, "LIST");
}

static void
begin(struct session *s, enum what what, uint64_t number)
{
	struct sizes *z = calloc(1, sizeof *z);

	if (s->drop == NULL)
		s->drop = session_maildrop(s);
	s->sizes = z;
	if (z == NULL || s->drop == NULL) {
		session_end(s, "-ERR [SYS/TEMP] out of memory");
		return;
	}
	z->most = 1;
	z->what = what;
	z->number = number;
	if (s->drop->sized) {
		answer(s);
		return;
	}
	z->told = clock_ms();
	z->deadline = z->told + s->route->limits.sizes_timeout * 1000;
	maildrop_load(s->drop, pop3d_statedir());
	peer_capabilities(s, ask_uidl);
}

void
sizes_stat(struct session *s)
{
	begin(s, SIZES_STAT, 0);
}

void
sizes_list(struct session *s, uint64_t number)
{
	begin(s, number == 0 ? SIZES_LIST : SIZES_ONE, number);
}
