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
	log_warn("%s: peer %s (%s:%u): %s", s->id, s->route->peer, s->route->host, s->route->port,
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
	(void)snprintf(text, sizeof text, "+OK %s POP3 ready", s->route->hostname);
	session_done(s, text);
}

static int
capa_line(struct session *s, const char *line)
{
	if (line == NULL)
		greet(s);
	else if (++s->capa_lines > CAPA_LINES_MAX)
		return -1;
	else
		parse_capability(&s->can, line);
	return 0;
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
	session_lines(s, capa_line);
}

static void
ask_capa(struct session *s)
{
	session_ask(s, on_capa, "CAPA");
}

static void
begin_tls(struct session *s)
{
	struct err e;

	s->mode = PEER_IDLE;
	session_wait(s);
	/* Clear text behind the answer to STLS is an injection: refused in there. */
	if (upstream_start_tls(s->route, s->peer, &e) == -1)
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
	else if (s->route->tls == CONF_TLS_STARTTLS)
		session_ask(s, on_stls, "STLS");
	else
		ask_capa(s);
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
	if (s->fetch->error == 0) {
		out = fetch_sink(s);
		end = dots_decode(&s->dots, p, n, used, &out);
		if (end != -1)
			return end;
		s->fetch->error = errno;
		return dots_ended(&s->dots);
	}
	return dots_decode(&s->dots, p, n, used, NULL);
}

/* A multi-line answer has ended. */
static void
data_ended(struct session *s)
{
	bool passed = s->mode == PEER_PASS;

	(void)event_del(s->reply_timer);
	s->mode = PEER_IDLE;
	if (passed)
		session_done(s, NULL);
	else
		fetch_received(s);
}

/* Octets of a multi-line answer are there. Returns 0 when no more may be taken now. */
static int
take_answer(struct session *s, struct conn *c)
{
	const uint8_t *p;
	size_t n, used = 0;
	int end;

	p = conn_in(c, &n);
	if (n == 0)
		return 0;
	session_wait(s);
	end = take_data(s, p, n, &used);
	if (s->ended)
		return 0;
	conn_consume(c, used);
	if (end == 1)
		data_ended(s);
	else if (s->mode == PEER_PASS && conn_room(s->client) == 0) {
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
		case PEER_FETCH:
			if (!take_answer(s, c))
				return;
		}
	}
}

static void
peer_secured(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->route->tls == CONF_TLS_IMPLICIT)
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
		log_warn("%s: peer %s: %s", s->id, s->route->peer,
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
	if (s->route->tls == CONF_TLS_IMPLICIT)
		begin_tls(s);
	else
		expect_greeting(s);
}

void
peer_begin(struct session *s)
{
	if ((s->up = upstream_connect(s->route, on_connected, s)) == NULL)
		give_up(s, strerror(errno));
}
