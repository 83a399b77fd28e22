/* The peer's side: connection, greeting, TLS, capabilities; then whatever it answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "pop3d/session.h"

#define PEER_IN_MAX (64 * 1024)
#define PEER_OUT_MAX (16 * 1024)
#define CAPA_LINES_MAX 200

static void
give_up(struct session *s, const char *why)
{
	char text[LOG_FIELD_MAX];

	/* What the peer gave has been escaped where the text was made. */
	log_warn("%s: peer %s (%s:%u): %s", s->id, s->route.peer, s->route.host, s->route.port,
	    log_clean(text, sizeof text, why, strlen(why)));
	session_end(s, "-ERR [SYS/TEMP] the mail server cannot be reached");
}

/* The peer is ready: greet the client. */
static void
greet(struct session *s)
{
	char text[320];

	s->state = ST_AUTH;
	s->mode = PEER_IDLE;
	(void)snprintf(text, sizeof text, "+OK %s POP3 ready", s->route.hostname);
	session_done(s, text);
}

static void
on_capa(struct session *s, const struct pop3_reply *r)
{
	if (r->status != POP3_OK) {
		/* A server of before 1998: USER and PASS it has. */
		s->can.user = s->can.uidl = true;
		greet(s);
		return;
	}
	s->capa_lines = 0;
	s->mode = PEER_CAPA;
}

static void
ask_capa(struct session *s)
{
	session_ask(s, on_capa, "CAPA");
}

/* From now on the peer has its time for an answer. */
static void
expect_something(struct session *s)
{
	struct timeval tv = {(time_t)s->route.limits.peer_timeout, 0};

	(void)event_add(s->reply_timer, &tv);
}

static void
begin_tls(struct session *s)
{
	struct err e;

	s->mode = PEER_IDLE;
	expect_something(s);
	/* Clear text behind the answer to STLS is an injection: refused in there. */
	if (upstream_start_tls(&s->route, s->peer, &e) == -1)
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
	else if (s->route.tls == CONF_TLS_STARTTLS)
		session_ask(s, on_stls, "STLS");
	else
		ask_capa(s);
}

static void
expect_greeting(struct session *s)
{
	s->mode = PEER_REPLY;
	s->on_reply = on_greeting;
	expect_something(s);
}

/* A line of the peer as a line: status, or capability. */
static void
take_line(struct session *s)
{
	struct line_reader *l = &s->peer_lines;
	struct pop3_reply r;

	if (s->mode == PEER_CAPA) {
		if (strcmp(l->text, ".") == 0) {
			(void)event_del(s->reply_timer);
			greet(s);
		} else if (++s->capa_lines > CAPA_LINES_MAX)
			give_up(s, "its CAPA has no end");
		else
			parse_capability(&s->can, l->text);
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
	if (!s->ended && (s->mode == PEER_CAPA || s->mode == PEER_PASS || s->mode == PEER_FETCH))
		expect_something(s);
}

/* Octets of a multi-line answer; 1 when its end was among them. */
static int
take_data(struct session *s, const uint8_t *p, size_t n, size_t *used)
{
	struct sink out;
	int end;

	if (s->mode == PEER_PASS) {
		/* As they are, dots and all; only the end is looked for. */
		if (n > conn_room(s->client))
			n = conn_room(s->client);
		end = dots_decode(&s->dots, p, n, used, NULL);
		if (conn_write(s->client, p, *used) == -1) {
			session_end(s, NULL);
			return 0;
		}
		return end;
	}
	if (s->fetch_error == 0) {
		out = fetch_sink(s);
		end = dots_decode(&s->dots, p, n, used, &out);
		if (end != -1)
			return end;
		s->fetch_error = errno;
		return dots_ended(&s->dots);
	}
	return dots_decode(&s->dots, p, n, used, NULL);
}

static void
peer_readable(struct conn *c, void *arg)
{
	struct session *s = arg;
	const uint8_t *p;
	size_t n, used;
	int end;

	while (!s->ended) {
		if (s->mode == PEER_IDLE) {
			(void)conn_in(c, &n);
			if (n > 0)
				give_up(s, "it talks out of turn");
			return;
		}
		if (s->mode == PEER_REPLY || s->mode == PEER_CAPA) {
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
		}
		p = conn_in(c, &n);
		if (n == 0)
			return;
		expect_something(s);
		used = 0;
		end = take_data(s, p, n, &used);
		if (s->ended)
			return;
		conn_consume(c, used);
		if (end == 1) {
			(void)event_del(s->reply_timer);
			if (s->mode == PEER_PASS) {
				s->mode = PEER_IDLE;
				session_done(s, NULL);
			} else {
				s->mode = PEER_IDLE;
				fetch_received(s);
			}
		} else if (s->mode == PEER_PASS && conn_room(s->client) == 0) {
			/* A client that does not read: the peer waits, and so does its clock. */
			(void)event_del(s->reply_timer);
			conn_pause(c);
			return;
		}
	}
}

static void
peer_secured(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->route.tls == CONF_TLS_IMPLICIT)
		expect_greeting(s);
	else
		ask_capa(s);
}

static void
peer_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct session *s = arg;
	char line[LOG_FIELD_MAX];

	(void)c;
	(void)why;
	if (s->ended)
		return;
	if (s->state == ST_CONNECT)
		give_up(s, text);
	else {
		log_warn("%s: peer %s: %s", s->id, s->route.peer,
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
	struct conn_limits l = {.in_max = PEER_IN_MAX, .out_max = PEER_OUT_MAX};

	s->up = NULL;
	if (fd == -1) {
		give_up(s, text);
		return;
	}
	s->peer = conn_new(proc_env()->base, fd, &l, &peer_handlers, s);
	if (s->peer == NULL) {
		give_up(s, strerror(errno));
		return;
	}
	if (s->route.tls == CONF_TLS_IMPLICIT)
		begin_tls(s);
	else
		expect_greeting(s);
}

void
peer_begin(struct session *s)
{
	if ((s->up = upstream_connect(&s->route, on_connected, s)) == NULL)
		give_up(s, strerror(errno));
}
