/* The peer's side: connection, greeting, TLS, capabilities; then whatever it answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "pop3d/session.h"

#define PEER_OUT_MAX (16 * 1024)
#define CAPA_LINES_MAX 200
#define CAPA_MS 60000 /* that an answer to CAPA is remembered */
#define CAPA_PEERS_MAX 16

static void
give_up(struct session *s, const char *why)
{
	char server[SESSION_SERVER_MAX], text[LOG_FIELD_MAX];
	bool foreign = foreign_is(s);

	(void)session_server(s, server);
	/* What the peer gave has been escaped where the text was made. */
	(void)log_clean(text, sizeof text, why, strlen(why));
	log_warn("%s: peer %s%s%s%s: %s", s->id, foreign ? "" : s->route->peer, foreign ? "" : " (",
	    server, foreign ? "" : ")", text);
	if (s->state == ST_CONNECT && !foreign)
		upstream_failed(s->route, text);
	if (!foreign_alert(s))
		session_end(s, "-ERR [SYS/TEMP] the mail server cannot be reached");
}

/* The peer is ready: greet the client. */
static void
greet(struct session *s)
{
	char text[320];

	bool again = s->state == ST_AUTH; /* behind STLS at a foreign server */

	s->state = ST_AUTH;
	s->mode = PEER_IDLE;
	if (!foreign_is(s)) { /* a foreign server's is wanted when the client asks for TLS */
		upstream_free(s->up);
		s->up = NULL;
	}
	upstream_reached(s->route, s->peer);
	if (again) {
		session_done(s, NULL);
		return;
	}
	(void)snprintf(text, sizeof text, "+OK %s POP3 ready", s->route->hostname);
	session_done(s, text);
}

/*
 * What peers said before a login, for a short while: most sessions come to do little, and are
 * spared a round trip.  It is what clients are offered; whoever relies on pipelining asks again,
 * since behind one address there may be several servers.
 */
static struct remembered {
	char host[HOST_MAX];
	uint16_t port;
	enum conf_tls tls;
	uint64_t until; /* clock_ms */
	struct capabilities can;
} remembered[CAPA_PEERS_MAX];

static bool
is_of(const struct remembered *x, const struct proxy_route *r)
{
	return x->port == r->port && x->tls == r->tls && strcmp(x->host, r->host) == 0;
}

static const struct capabilities *
recall(const struct proxy_route *r)
{
	size_t i;

	for (i = 0; i < CAPA_PEERS_MAX; i++)
		if (is_of(&remembered[i], r) && clock_ms() < remembered[i].until)
			return &remembered[i].can;
	return NULL;
}

static void
remember(const struct proxy_route *r, const struct capabilities *can)
{
	struct remembered *to = &remembered[0];
	size_t i;

	for (i = 0; i < CAPA_PEERS_MAX; i++) {
		if (is_of(&remembered[i], r)) {
			to = &remembered[i];
			break;
		}
		if (remembered[i].until < to->until)
			to = &remembered[i];
	}
	(void)strlcpy(to->host, r->host, sizeof to->host);
	to->port = r->port;
	to->tls = r->tls;
	to->until = clock_ms() + CAPA_MS;
	to->can = *can;
}

void
peer_forget(void)
{
	memset(remembered, 0, sizeof remembered);
}

static int
capa_line(struct session *s, const char *line)
{
	if (line != NULL) {
		if (++s->capa_lines > CAPA_LINES_MAX)
			return -1;
		parse_capability(&s->can, line);
		return 0;
	}
	s->capa_heard = true;
	if (s->state == ST_CONNECT && !foreign_is(s))
		remember(s->route, &s->can);
	s->capa_then(s);
	return 0;
}

static void
on_capa(struct session *s, const struct pop3_reply *r)
{
	if (r->status != POP3_OK) {
		/* A server of before 1998: USER and PASS it has. */
		s->can.user = s->can.uidl = true;
		s->capa_heard = true;
		s->capa_then(s);
		return;
	}
	s->capa_lines = 0;
	session_lines(s, capa_line);
}

void
peer_capabilities(struct session *s, void (*then)(struct session *s))
{
	if (s->capa_heard) {
		then(s);
		return;
	}
	s->can.uidl = s->can.pipelining = false;
	s->capa_then = then;
	session_ask(s, on_capa, "CAPA");
}

/* The peer can be talked to: what it can do decides what the client is offered. */
static void
ready(struct session *s)
{
	const struct capabilities *can = foreign_is(s) ? NULL : recall(s->route);

	if (can == NULL) {
		peer_capabilities(s, greet);
		return;
	}
	s->can = *can;
	s->can.pipelining = false;
	greet(s);
}

static void
begin_tls(struct session *s)
{
	struct err e;

	s->mode = PEER_IDLE;
	session_wait(s);
	/* Clear text behind the answer to STLS is an injection: refused in there. */
	if (upstream_start_tls(s->up, s->peer, NULL, &e) == -1)
		give_up(s, e.text);
}

static void
on_stls(struct session *s, const struct pop3_reply *r)
{
	if (r->status == POP3_OK)
		begin_tls(s);
	else
		give_up(s, "it refuses STLS, which the configuration asks for");
}

static void
on_greeting(struct session *s, const struct pop3_reply *r)
{
	if (r->status != POP3_OK)
		give_up(s, "it greets with -ERR");
	else if (s->route->tls == CONF_TLS_STARTTLS && !foreign_is(s))
		session_ask(s, on_stls, "STLS");
	else
		ready(s);
}

static void
expect_greeting(struct session *s)
{
	session_expect(s, on_greeting);
}

/* A line of a listing; a dot in front of another is stuffed (RFC 1939, 3). */
static void
take_listed(struct session *s, const char *line)
{
	bool last = strcmp(line, ".") == 0;

	if (last) {
		(void)event_del(s->reply_timer);
		s->mode = PEER_IDLE;
	}
	if (s->on_line(s, last ? NULL : line + (line[0] == '.')) == -1)
		give_up(s, "its listing makes no sense");
}

/* A line of the peer as a line: status, or of a listing. */
static void
take_line(struct session *s)
{
	struct line_reader *l = &s->peer_lines;
	struct pop3_reply r;

	if (s->mode == PEER_LINES) {
		take_listed(s, l->text);
		return;
	}
	if (pop3_reply_parse(&r, l->text, l->len) == -1) {
		give_up(s, "it does not speak POP3");
		return;
	}
	(void)event_del(s->reply_timer);
	s->mode = PEER_IDLE;
	s->on_reply(s, &r);
	/* Lines follow: a peer that stops before the first must not hold the session for ever. */
	if (!s->ended && (s->mode == PEER_LINES || s->mode == PEER_PASS || s->mode == PEER_FETCH))
		session_wait(s);
}

/*
 * Lines for the client are there.  They go on as they are, dots and all; only the end is looked
 * for.  Returns 0 when no more may be taken now.
 */
static int
pass_lines(struct session *s, struct conn *c)
{
	const uint8_t *p;
	size_t n, used;
	int end;

	p = conn_in(c, &n);
	if (n == 0)
		return 0;
	session_wait(s);
	if (n > conn_room(s->client))
		n = conn_room(s->client);
	end = dots_decode(&s->dots, p, n, &used, NULL);
	if (conn_write(s->client, p, used) == -1) {
		session_end(s, NULL);
		return 0;
	}
	conn_consume(c, used);
	if (end == 1) {
		(void)event_del(s->reply_timer);
		s->mode = PEER_IDLE;
		session_done(s, NULL);
	} else if (conn_room(s->client) == 0) {
		/* A client that does not read: the peer waits, and so does its clock. */
		(void)event_del(s->reply_timer);
		conn_pause(c);
		return 0;
	}
	return 1;
}

static void
peer_readable(struct conn *c, void *arg)
{
	struct session *s = arg;
	size_t n;

	while (!s->ended && s->peer == c) {
		switch (s->mode) {
		case PEER_IDLE:
			(void)conn_in(c, &n);
			/* What was asked for ahead waits for its turn. */
			if (n > 0 && s->ahead != 0)
				conn_pause(c);
			else if (n > 0)
				give_up(s, "it talks out of turn");
			return;
		case PEER_REPLY:
		case PEER_LINES:
			switch (line_read(&s->peer_lines, c)) {
			case LINE_MORE:
				return;
			case LINE_OK:
				take_line(s);
				continue;
			case LINE_TOO_LONG:
			case LINE_ENDLESS:
				give_up(s, "its line is too long");
				return;
			}
			break;
		case PEER_PASS:
			if (!pass_lines(s, c))
				return;
			break;
		case PEER_FETCH:
			if (!fetch_take(s, c))
				return;
		}
	}
}

/* Nothing is said to the server before its certificate was judged. */
static void
on_judged(enum upstream_verdict v, const char *text, void *arg)
{
	struct session *s = arg;

	if (v != UPSTREAM_GOOD) {
		give_up(s, text);
		return;
	}
	upstream_free(s->up);
	s->up = NULL;
	if (s->route->tls == CONF_TLS_IMPLICIT)
		expect_greeting(s);
	else
		ready(s);
}

static void
peer_secured(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->ended)
		return;
	(void)event_del(s->reply_timer);
	if (foreign_is(s))
		foreign_secured(s);
	else
		upstream_judge(s->up, c, on_judged, s);
}

static void
peer_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct session *s = arg;
	char server[SESSION_SERVER_MAX], line[LOG_FIELD_MAX];

	(void)c;
	(void)why;
	if (s->ended)
		return;
	if (s->state == ST_CONNECT)
		give_up(s, text);
	else {
		log_warn("%s: peer %s: %s", s->id,
		    foreign_is(s) ? session_server(s, server) : s->route->peer,
		    log_clean(line, sizeof line, text, strlen(text)));
		session_end(s, "-ERR [SYS/TEMP] the mail server has closed the connection");
	}
}

const struct conn_handlers peer_handlers = {
    .readable = peer_readable,
    .secured = peer_secured,
    .closed = peer_closed,
};

static void
on_connected(int fd, const char *text, void *arg)
{
	struct session *s = arg;
	struct conn_limits l = {.in_max = POP3_PEER_IN_MAX, .out_max = PEER_OUT_MAX};

	if (fd == -1) {
		give_up(s, text);
		return;
	}
	s->peer = conn_new(proc_env()->base, fd, &l, &peer_handlers, s);
	if (s->peer == NULL) {
		give_up(s, strerror(errno));
		return;
	}
	if (s->tunnel)
		foreign_tunnel_peer(s);
	else if (s->route->tls != CONF_TLS_IMPLICIT)
		expect_greeting(s);
	else if (foreign_is(s))
		foreign_start_tls(s);
	else
		begin_tls(s);
}

void
peer_begin(struct session *s)
{
	if ((s->up = upstream_connect(s->route, foreign_target(s), false, on_connected, s)) == NULL)
		give_up(s, strerror(errno));
}

void
peer_go_on(struct session *s)
{
	if (!foreign_is(s))
		peer_begin(s);
	else if (s->state == ST_CONNECT)
		expect_greeting(s);
	else {
		/* What was known from clear text is void. */
		memset(&s->can, 0, sizeof s->can);
		s->capa_heard = false;
		peer_capabilities(s, greet);
	}
}
