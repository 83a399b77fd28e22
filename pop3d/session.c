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

#define CLIENT_OUT_MAX (192 * 1024) /* octets queued for a client: a chunk of message, stuffed */
#define CLIENT_OUT_LOW (64 * 1024)

struct totals totals;

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
	line_free(&s->client_lines);
	line_free(&s->peer_lines);
	event_free(s->reaper);
	event_free(s->reply_timer);
	LIST_REMOVE(entry_of(s), next);
	explicit_bzero(s, sizeof *s);
	free(entry_of(s));
}

void
session_end(struct session *s, const char *text)
{
	static const struct timeval now = {0, 0};

	if (s->ended)
		return;
	s->ended = true;
	if (s->client != NULL) {
		if (text != NULL)
			(void)conn_printf(s->client, "%s\r\n", text);
		conn_finish(s->client);
		s->client = NULL;
	}
	upstream_cancel(s->up);
	s->up = NULL;
	if (s->peer != NULL)
		conn_finish(s->peer);
	s->peer = NULL;
	(void)event_del(s->reply_timer);
	proxy_worker_free(s->worker);
	s->worker = NULL;
	fetch_free(s);
	if (s->sasl != NULL) {
		explicit_bzero(s->sasl, strlen(s->sasl));
		free(s->sasl);
		s->sasl = NULL;
	}
	log_info("%s: disconnect from unknown%s, commands=%u, messages=%llu", s->id, s->client_text,
	    s->commands, (unsigned long long)s->retrieved);
	proxy_left(&s->from);
	nsessions--;
	/* Handlers up the stack still look at s. */
	(void)event_add(s->reaper, &now);
}

void
session_reply(struct session *s, const char *text)
{
	if (!s->ended && conn_printf(s->client, "%s\r\n", text) == -1)
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
session_pass_status(struct session *s, const struct pop3_reply *r)
{
	static const char *const words[] = {"+OK", "-ERR", "+"};

	if (!s->ended && conn_printf(s->client, "%s%s%.*s\r\n", words[r->status],
			     r->len > 0 ? " " : "", (int)r->len, r->text) == -1)
		session_end(s, NULL);
}

static void
on_reply_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	log_warn("%s: %s does not answer", s->id, s->route.host);
	session_end(s, "-ERR [SYS/TEMP] the mail server does not answer");
}

void
session_ask(struct session *s, reply_fn fn, const char *fmt, ...)
{
	struct timeval tv = {(time_t)s->route.limits.peer_timeout, 0};
	char line[POP3_LINE_MAX + 16];
	va_list ap;
	int n;

	if (s->ended)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof line - 2, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line - 2) {
		session_done(s, "-ERR line too long");
		return;
	}
	memcpy(line + n, "\r\n", 2);
	s->mode = PEER_REPLY;
	s->on_reply = fn;
	(void)event_add(s->reply_timer, &tv);
	if (conn_write(s->peer, line, (size_t)n + 2) == -1)
		session_end(s, "-ERR [SYS/TEMP] the mail server is gone");
	explicit_bzero(line, sizeof line);
}

/* A line that the client must not send; counted, so that garbage ends. */
static void
bad_line(struct session *s, const char *text)
{
	if (++s->errors > s->route.limits.errors)
		session_end(s, "-ERR too many errors");
	else
		session_reply(s, text);
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
		else if (++s->commands > s->route.limits.commands)
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
			struct timeval tv = {(time_t)s->route.limits.peer_timeout, 0};

			/* Its clock goes on as well. */
			(void)event_add(s->reply_timer, &tv);
			conn_resume(s->peer);
		}
	} else
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
		log_info("%s: timeout from unknown%s", s->id, s->client_text);
	else if (why != CONN_EOF)
		log_info(
		    "%s: lost connection from unknown%s: %s", s->id, s->client_text, log_str(text));
	/* What was asked and not sent is nobody's now; the peer forgets DELE without QUIT. */
	session_end(s, why == CONN_IDLE || why == CONN_EXPIRED ? "-ERR timeout" : NULL);
}

static const struct conn_handlers client_handlers = {
    .readable = client_readable,
    .drained = client_drained,
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
	    .idle_ms = (uint32_t)(s->route.limits.pop3_idle_timeout * 1000),
	    .total_ms = (uint32_t)(s->route.limits.session_timeout * 1000),
	};

	s->reaper = evtimer_new(base, on_reap, s);
	s->reply_timer = evtimer_new(base, on_reply_timeout, s);
	if (s->reaper == NULL || s->reply_timer == NULL ||
	    line_init(&s->client_lines, POP3_LINE_MAX) == -1 ||
	    line_init(&s->peer_lines, POP3_REPLY_LINE_MAX) == -1)
		return -1;
	s->client = conn_new(base, fd, &l, &client_handlers, s);
	return s->client == NULL ? -1 : 0;
}

void
session_accept(const struct conf_connector *k, int fd, const struct sockaddr_storage *from)
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
	proxy_route_set(&s->route, k, proc_env()->conf);
	(void)cidr_text(s->client_text, sizeof s->client_text, (const struct sockaddr *)from);
	arc4random_buf(r, sizeof r);
	(void)snprintf(s->id, sizeof s->id, "%08X%02X", r[0], r[1] & 0xff);
	spool_init(&s->stored, 0, -1);
	spool_init(&s->opened, 0, -1);
	if (session_init(s, fd) == -1) {
		log_err("cannot begin a session: %s", strerror(errno));
		if (s->reaper != NULL)
			event_free(s->reaper);
		if (s->reply_timer != NULL)
			event_free(s->reply_timer);
		line_free(&s->client_lines);
		line_free(&s->peer_lines);
		free(x);
		close(fd);
		proxy_left(from);
		return;
	}
	LIST_INSERT_HEAD(&sessions, x, next);
	nsessions++;
	totals.sessions++;
	log_info(
	    "%s: connect from unknown%s, connector=%s", s->id, s->client_text, s->route.connector);
	s->busy = true;
	conn_pause(s->client);
	peer_begin(s);
}

void
session_refuse(enum proxy_refusal why, int fd, const struct sockaddr_storage *from)
{
	static const char *const texts[] = {
	    [PROXY_NOT_ALLOWED] = "-ERR access denied\r\n",
	    [PROXY_TOO_MANY] = "-ERR [SYS/TEMP] too many sessions, try again later\r\n",
	    [PROXY_TOO_MANY_HERE] = "-ERR [SYS/TEMP] too many sessions from your address\r\n",
	};
	char client[CIDR_TEXT_MAX];

	(void)send(fd, texts[why], strlen(texts[why]), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	log_info("NOQUEUE: reject: CONNECT from unknown%s: %.*s",
	    cidr_text(client, sizeof client, (const struct sockaddr *)from),
	    (int)strlen(texts[why]) - 2, texts[why]);
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
