#include "pop3d/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/cidr.h"
#include "pop3d/pop3d.h"
#include "proc/event.h"
#include "proxy/through.h"

#define CLIENT_OUT_MAX (192 * 1024) /* octets queued for a client: a chunk of message, stuffed */
#define CLIENT_OUT_LOW (64 * 1024)

struct totals totals;

/*
 * A line is looked at and done with before the loop goes on, so that all sessions share the room
 * for it: a token may be long, and idle sessions are many.
 */
static char client_line[POP3_LINE_MAX + 1], peer_line[POP3_REPLY_LINE_MAX + 1];

struct entry {
	LIST_ENTRY(entry) next;
	struct session s;
};

static LIST_HEAD(, entry) sessions = LIST_HEAD_INITIALIZER(sessions);
static unsigned nsessions;

unsigned
session_count(void)
{
	return nsessions;
}

static struct entry *
entry_of(struct session *s)
{
	return (struct entry *)(void *)((char *)s - offsetof(struct entry, s));
}

static void
on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	event_free(s->reaper);
	event_free(s->reply_timer);
	proxy_route_drop(s->route);
	proxy_route_drop(s->first);
	LIST_REMOVE(entry_of(s), next);
	explicit_bzero(s, sizeof *s);
	free(entry_of(s));
}

void
session_event(const struct session *s, struct log_event *e)
{
	char client[sizeof s->client_text + 8];

	(void)snprintf(client, sizeof client, "unknown%s", s->client_text);
	e->qid = e->tx = s->id;
	e->client = client;
	e->connector = s->route->connector;
	e->tenant = s->route->tenant;
	proc_event(e);
}

void
session_end(struct session *s, const char *text)
{
	static const struct timeval now = {0, 0};
	char counts[64];

	if (s->ended)
		return;
	s->ended = true;
	if (s->client != NULL) {
		if (text != NULL)
			(void)conn_printf(s->client, "%s\r\n", text);
		conn_finish(s->client);
		s->client = NULL;
	}
	upstream_free(s->up);
	s->up = NULL;
	foreign_free(s);
	if (s->peer != NULL)
		conn_finish(s->peer);
	s->peer = NULL;
	(void)event_del(s->reply_timer);
	proxy_worker_free(s->worker);
	s->worker = NULL;
	fetch_free(s);
	sizes_free(s);
	login_free(s);
	if (s->drop != NULL)
		maildrop_save(s->drop, pop3d_statedir());
	maildrop_free(s->drop);
	s->drop = NULL;
	free(s->user);
	free(s->authzid);
	free(s->authcid);
	s->user = s->authzid = s->authcid = NULL;
	(void)snprintf(counts, sizeof counts, "commands=%u messages=%llu", s->commands,
	    (unsigned long long)s->retrieved);
	session_event(s, &(struct log_event){.kind = EV_DISCONNECT, .text = counts});
	proxy_left(&s->from);
	nsessions--;
	/* Handlers up the stack still look at s. */
	(void)event_add(s->reaper, &now);
}

void
session_reply(struct session *s, const char *text)
{
	if (!s->ended && (conn_puts(s->client, text) == -1 || conn_puts(s->client, "\r\n") == -1))
		session_end(s, NULL);
}

void
session_done(struct session *s, const char *reply)
{
	if (reply != NULL)
		session_reply(s, reply);
	if (s->ended)
		return;
	if (s->quitting) {
		session_end(s, NULL);
		return;
	}
	s->busy = false;
	conn_resume(s->client);
}

void
session_status_text(char *out, size_t outsz, const struct pop3_reply *r)
{
	static const char *const words[] = {"+OK", "-ERR", "+"};

	(void)snprintf(out, outsz, "%s%s%.*s", words[r->status],
	    r->len > 0 || r->status == POP3_CONTINUE ? " " : "", (int)r->len, r->text);
}

void
session_pass_status(struct session *s, const struct pop3_reply *r)
{
	char text[POP3_REPLY_LINE_MAX + 8];

	session_status_text(text, sizeof text, r);
	session_reply(s, text);
}

static void
on_reply_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	char server[SESSION_SERVER_MAX];

	(void)fd;
	(void)what;
	log_warn("%s: %s does not answer", s->id, session_server(s, server));
	session_end(s, "-ERR [SYS/TEMP] the mail server does not answer");
}

void
session_wait(struct session *s)
{
	struct timeval tv = {(time_t)s->route->limits.peer_timeout, 0};

	(void)event_add(s->reply_timer, &tv);
}

static void __attribute__((format(printf, 2, 0)))
send_peer(struct session *s, const char *fmt, va_list ap)
{
	char line[POP3_LINE_MAX + 16];
	int n;

	if (s->ended)
		return;
	/* Made of a line of the client, which is no longer than POP3_LINE_MAX. */
	n = vsnprintf(line, sizeof line - 2, fmt, ap);
	if (n < 0 || (size_t)n >= sizeof line - 2) {
		session_end(s, "-ERR line too long");
		return;
	}
	memcpy(line + n, "\r\n", 2);
	if (conn_write(s->peer, line, (size_t)n + 2) == -1)
		session_end(s, "-ERR [SYS/TEMP] the mail server is gone");
	explicit_bzero(line, (size_t)n + 2);
}

void
session_send(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	send_peer(s, fmt, ap);
	va_end(ap);
}

void
session_expect(struct session *s, reply_fn fn)
{
	if (s->ended)
		return;
	s->mode = PEER_REPLY;
	s->on_reply = fn;
	session_wait(s);
	conn_resume(s->peer);
}

void
session_ask(struct session *s, reply_fn fn, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	send_peer(s, fmt, ap);
	va_end(ap);
	session_expect(s, fn);
}

void
session_lines(struct session *s, line_fn fn)
{
	s->mode = PEER_LINES;
	s->on_line = fn;
}

void
session_wrong(struct session *s, const char *text)
{
	if (++s->errors > s->route->limits.errors)
		session_end(s, "-ERR too many errors");
	else
		session_done(s, text);
}

/* A line that the client must not send; a login that it was to go on with is over. */
static void
bad_line(struct session *s, const char *text)
{
	login_free(s);
	s->busy = true;
	session_wrong(s, text);
}

static void
client_readable(struct conn *c, void *arg)
{
	struct session *s = arg;
	struct line_reader *l = &s->client_lines;

	while (!s->ended && !s->busy) {
		switch (line_read(l, c)) {
		case LINE_MORE:
			return;
		case LINE_ENDLESS:
			session_end(s, "-ERR line too long");
			return;
		case LINE_TOO_LONG:
			bad_line(s, "-ERR line too long");
			continue;
		case LINE_OK:
			break;
		}
		/* RFC 1939, 3: lines end with CRLF. A bare LF is tolerated, as by every server;
		 * a CR or NUL inside is not: it would be passed on to the peer. */
		if ((l->flags & (LINE_BARE_CR | LINE_NUL)) != 0)
			bad_line(s, "-ERR invalid character in line");
		else if (++s->commands > s->route->limits.commands)
			session_end(s, "-ERR too many commands");
		else {
			s->busy = true;
			command_line(s, l->text, l->len);
		}
		line_wipe(l);
	}
	if (!s->ended && s->busy)
		conn_pause(c);
}

static void
client_drained(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->ended)
		return;
	if (s->mode == PEER_PASS) {
		if (conn_paused(s->peer)) {
			session_wait(s); /* its clock goes on as well */
			conn_resume(s->peer);
		}
	} else if (s->sizes != NULL)
		sizes_pump(s);
	else
		fetch_pump(s);
}

static void
client_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->ended)
		return;
	if (why == CONN_IDLE || why == CONN_EXPIRED)
		session_event(s, &(struct log_event){.kind = EV_LOST, .what = "timeout from"});
	else if (why != CONN_EOF)
		session_event(
		    s, &(struct log_event){
			   .kind = EV_LOST, .what = "lost connection from", .text = text});
	/* What was asked and not sent is nobody's now; the peer forgets DELE without QUIT. */
	session_end(s, why == CONN_IDLE || why == CONN_EXPIRED ? "-ERR timeout" : NULL);
}

static const struct conn_handlers client_handlers = {
    .readable = client_readable,
    .drained = client_drained,
    .secured = stls_secured,
    .hello = foreign_hello,
    .closed = client_closed,
};

static int
session_init(struct session *s, int fd)
{
	struct event_base *base = proc_env()->base;
	struct conn_limits l = {
	    .in_max = POP3_LINE_MAX + 2,
	    .out_max = CLIENT_OUT_MAX,
	    .out_low = CLIENT_OUT_LOW,
	    .idle_ms = (uint32_t)(s->route->limits.pop3_idle_timeout * 1000),
	    .total_ms = (uint32_t)(s->route->limits.session_timeout * 1000),
	};

	s->reaper = evtimer_new(base, on_reap, s);
	s->reply_timer = evtimer_new(base, on_reply_timeout, s);
	if (s->reaper == NULL || s->reply_timer == NULL)
		return -1;
	s->client_lines = (struct line_reader){.max = POP3_LINE_MAX, .text = client_line};
	s->peer_lines = (struct line_reader){.max = POP3_REPLY_LINE_MAX, .text = peer_line};
	s->client = conn_new(base, fd, &l, &client_handlers, s);
	return s->client == NULL ? -1 : 0;
}

void
session_accept(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from)
{
	struct entry *x = calloc(1, sizeof *x);
	struct session *s;
	uint32_t r[2];

	if (x == NULL) {
		close(fd);
		proxy_left(from);
		return;
	}
	s = &x->s;
	s->from = *from;
	s->route = proxy_route_get(k, l->tls, proc_env()->conf);
	if (s->route != NULL && s->route->inspect == CONF_TLS_ALLOW &&
	    l->tls == CONF_TLS_IMPLICIT) {
		through_accept(s->route, fd, from);
		free(x);
		return;
	}
	(void)cidr_text(s->client_text, sizeof s->client_text, (const struct sockaddr *)from);
	arc4random_buf(r, sizeof r);
	(void)snprintf(s->id, sizeof s->id, "%08X%02X", r[0], r[1] & 0xff);
	if (s->route == NULL || session_init(s, fd) == -1) {
		log_err("cannot begin a session: %s", strerror(errno));
		if (s->reaper != NULL)
			event_free(s->reaper);
		if (s->reply_timer != NULL)
			event_free(s->reply_timer);
		proxy_route_drop(s->route);
		free(x);
		close(fd);
		proxy_left(from);
		return;
	}
	LIST_INSERT_HEAD(&sessions, x, next);
	nsessions++;
	totals.sessions++;
	session_event(s, &(struct log_event){.kind = EV_CONNECT});
	s->busy = true;
	conn_pause(s->client);
	if (foreign_is(s) && foreign_begin(s) == -1)
		session_end(s, NULL);
	else if (s->route->client_tls != CONF_TLS_IMPLICIT)
		peer_begin(s);
	else if (stls_implicit(s) == -1)
		session_end(s, NULL);
}

void
session_refuse(enum proxy_refusal why, int fd, const struct sockaddr_storage *from)
{
	static const char *const texts[] = {
	    [PROXY_NOT_ALLOWED] = "-ERR access denied\r\n",
	    [PROXY_TOO_MANY] = "-ERR [SYS/TEMP] too many sessions, try again later\r\n",
	    [PROXY_TOO_MANY_HERE] = "-ERR [SYS/TEMP] too many sessions from your address\r\n",
	};
	char ip[CIDR_TEXT_MAX], client[CIDR_TEXT_MAX + 8], text[80];

	(void)send(fd, texts[why], strlen(texts[why]), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	(void)snprintf(client, sizeof client, "unknown%s",
	    cidr_text(ip, sizeof ip, (const struct sockaddr *)from));
	(void)snprintf(text, sizeof text, "%.*s", (int)strcspn(texts[why], "\r"), texts[why]);
	proc_event(&(struct log_event){.kind = EV_REJECT,
	    .what = "CONNECT from",
	    .client = client,
	    .proto = "POP3",
	    .text = text});
}

void
session_drain(void)
{
	struct entry *x, *next;

	LIST_FOREACH_SAFE (x, &sessions, next, next) {
		if (!x->s.busy)
			session_end(&x->s, "-ERR [SYS/TEMP] the gateway is shutting down");
		else
			x->s.quitting = true;
	}
}
