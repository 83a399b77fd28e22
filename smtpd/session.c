/* A client's session: its connections, clocks and replies. */
#include "smtpd/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/through.h"

#define IN_MAX (64 * 1024) /* octets of input held; the longest command line at least */
#define OUT_MAX (64 * 1024) /* octets of replies queued */
#define LOGGED_MAX 8 /* mistakes of one session that are logged each */

struct tally tally;

static LIST_HEAD(, session) all = LIST_HEAD_INITIALIZER(all);
static unsigned count;

static void
free_session(struct session *s)
{
	LIST_REMOVE(s, next);
	count--;
	if (s->timer != NULL)
		event_free(s->timer);
	envelope_free(s);
	auth_wipe(s);
	proxy_worker_free(s->worker);
	peer_close(s->peer);
	if (s->c != NULL)
		conn_finish(s->c);
	line_free(&s->in);
	foreign_free(s);
	log_info("disconnect from unknown%s commands=%u", s->ip, s->commands);
	proxy_left(&s->from);
	proxy_route_drop(s->route);
	proxy_route_drop(s->first);
	free(s);
}

void
session_end(struct session *s)
{
	static const struct timeval now = {0, 0};

	if (s->ended)
		return;
	s->ended = 1;
	(void)event_add(s->timer, &now);
}

void
session_answer(struct session *s, const struct answer *a)
{
	if (s->c == NULL || s->ended)
		return;
	if (answer_put(s->c, a) == -1 || a->code == 421)
		session_end(s);
	if (s->state != ST_OPENING && s->state != ST_DATA && s->state != ST_WORK)
		session_clock(s, s->route->limits.idle_timeout);
}

void
session_say(struct session *s, unsigned code, const char *fmt, ...)
{
	char text[ANSWER_LINE_MAX + 1];
	struct answer a;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	answer_set(&a, code, "%s", text);
	session_answer(s, &a);
}

void
session_mistake(struct session *s, const struct answer *a)
{
	if (s->errors < LOGGED_MAX)
		session_log_reject(s, s->where, a, NULL);
	session_answer(s, a);
	if (++s->errors >= s->route->limits.errors) {
		log_info("too many errors after %s from unknown%s", s->where, s->ip);
		session_say(s, 421, "4.7.0 %s too many errors", s->route->hostname);
	}
}

void
session_error(struct session *s, unsigned code, const char *fmt, ...)
{
	char text[ANSWER_LINE_MAX + 1];
	struct answer a;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	answer_set(&a, code, "%s", text);
	session_mistake(s, &a);
}

void
session_lost(struct session *s)
{
	s->lost.code = 421;
	session_answer(s, &s->lost);
	session_end(s);
}

void
session_left(struct session *s, const char *why)
{
	char text[LOG_FIELD_MAX];

	if (!s->ended)
		log_info("lost connection after %s from unknown%s%s%s",
		    s->state == ST_DATA ? "DATA" : s->where, s->ip, *why != '\0' ? ": " : "",
		    log_escape(text, sizeof text, why, strlen(why)));
	session_end(s);
}

void
session_log_reject(struct session *s, const char *what, const struct answer *a, const char *rcpt)
{
	char line[LOG_FIELD_MAX], to[MAIL_ADDR_MAX + 8] = "";

	if (rcpt != NULL)
		(void)snprintf(to, sizeof to, " to=<%s>", log_str(rcpt));
	log_info("NOQUEUE: reject: %s from unknown%s: %s; from=<%s>%s proto=%s helo=<%s>", what,
	    s->ip, log_str(answer_line(line, sizeof line, a)), log_str(s->mail.path.addr), to,
	    s->esmtp ? "ESMTP" : "SMTP", log_str(s->helo));
}

void
session_no_clock(struct session *s)
{
	if (!s->ended)
		(void)event_del(s->timer);
}

void
session_clock(struct session *s, uint64_t seconds)
{
	uint64_t now = clock_ms(), ms = seconds * 1000;
	struct timeval tv;

	if (s->ended)
		return;
	if (s->until < now + ms)
		ms = s->until > now ? s->until - now : 0;
	tv = (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
	(void)event_add(s->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	if (s->ended) {
		free_session(s);
		return;
	}
	/* The peer has a clock of its own. */
	if ((s->waiting || s->pending > 0) && clock_ms() < s->until) {
		session_clock(s, s->route->limits.idle_timeout);
		return;
	}
	log_info("timeout after %s from unknown%s", s->state == ST_DATA ? "DATA" : s->where, s->ip);
	session_say(s, 421, "4.4.2 %s timeout exceeded", s->route->hostname);
	session_end(s);
}

static void
on_readable(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	session_process(s);
}

static void
on_secured(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (!s->ended)
		starttls_done(s);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct session *s = arg;

	if (why == CONN_EOF || why == CONN_TRUNCATED) {
		s->eof = 1;
		/* Not a word more than this will come: text without its end is no message. */
		if (s->state == ST_OPENING || s->state == ST_TLS)
			session_left(s, "");
		session_process(s);
		if (s->state == ST_DATA)
			session_left(s, "");
	} else {
		if (why == CONN_TLS_FAILED && !conn_is_tls(c))
			starttls_failed(s, text);
		/* A message that is complete goes its way. */
		else if (s->state != ST_WORK)
			session_left(s, text);
		conn_free(s->c);
		s->c = NULL;
	}
}

static const struct conn_handlers handlers = {
    .readable = on_readable,
    .drained = on_readable,
    .secured = on_secured,
    .hello = foreign_hello,
    .closed = on_closed,
};

static void
peer_ready(void *arg)
{
	struct session *s = arg;

	if (s->ended)
		return;
	if (s->renewing) {
		s->renewing = 0;
		/* What was offered before may be gone. */
		s->features &=
		    features_offered(peer_features(s->peer), s->route, conn_is_tls(s->c));
		session_clock(s, s->route->limits.idle_timeout);
		session_process(s);
		return;
	}
	s->state = ST_START;
	session_say(s, 220, "%s ESMTP Postern", s->route->hostname);
	session_clock(s, s->route->limits.idle_timeout);
	session_process(s);
}

static void
peer_failed(const struct answer *why, void *arg)
{
	struct session *s = arg;

	s->lost = *why;
	peer_close(s->peer);
	s->peer = NULL;
	s->pending = 0;
	if (!s->ended && foreign_shaking(s))
		foreign_refuse(s, "the connection to the server is over");
	else if (s->state == ST_WORK)
		deliver_lost(s);
	else if (s->state == ST_DATA) {
		/* The client hears of it behind its text (RFC 5321, 4.1.1.4). */
		if (s->refused.code == 0)
			s->refused = s->lost;
	} else {
		if (s->state == ST_OPENING && s->lost.code != 421 && s->lost.code != 554)
			s->lost.code = 421;
		if (s->state == ST_OPENING)
			session_answer(s, &s->lost);
		else
			session_lost(s);
		session_end(s);
	}
}

static void
peer_drained(void *arg)
{
	struct session *s = arg;

	out_drained(&s->out);
	session_process(s);
}

static const struct peer_ops peer_ops = {
    .ready = peer_ready,
    .failed = peer_failed,
    .drained = peer_drained,
    .connected = foreign_connected,
    .judged = foreign_judged,
};

void
session_open_peer(struct session *s)
{
	/* A peer that answers octet by octet must not hold the client for ever. */
	session_clock(s, s->route->limits.peer_timeout * 3);
	s->peer = peer_open(s->route, foreign_target(s), false, &peer_ops, s);
	if (s->peer == NULL)
		session_say(s, 421, "4.3.0 out of memory");
}

void
session_renew_peer(struct session *s)
{
	envelope_free(s);
	peer_close(s->peer);
	s->peer = NULL;
	s->open = 0;
	if (foreign_is(s)) {
		/* Its TLS has the client's certificate behind it: there is no second one. */
		answer_set(&s->lost, 421, "4.7.0 %s connect again", s->route->hostname);
		return;
	}
	s->renewing = 1;
	session_open_peer(s);
}

static void
accept_client(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from)
{
	const struct conn_limits limits = {
	    .in_max = IN_MAX + 2, .out_max = OUT_MAX, .out_low = OUT_MAX - REPLY_ROOM};
	struct session *s = calloc(1, sizeof *s);

	if (s == NULL)
		goto fail;
	if ((s->route = proxy_route_get(k, l->tls, proc_env()->conf)) == NULL)
		goto fail;
	if (s->route->inspect == CONF_TLS_ALLOW && l->tls == CONF_TLS_IMPLICIT) {
		through_accept(s->route, fd, from);
		free(s);
		return;
	}
	s->from = *from;
	(void)cidr_text(s->ip, sizeof s->ip, (const struct sockaddr *)from);
	(void)snprintf(
	    s->client, sizeof s->client, "%.*s", (int)strcspn(s->ip + 1, "]"), s->ip + 1);
	/* Never towards foreign servers, whatever the configuration says. */
	s->by_address = !foreign_is(s) && cidr_match(k->sign_by_address.v, k->sign_by_address.n,
					      (const struct sockaddr *)from);
	spool_init(&s->spool, 0, -1);
	s->until = clock_ms() + s->route->limits.session_timeout * 1000;
	s->where = "CONNECT";
	line_init(&s->in, s->route->limits.line_length - 2);
	if ((s->timer = evtimer_new(proc_env()->base, on_timer, s)) == NULL ||
	    (s->c = conn_new(proc_env()->base, fd, &limits, &handlers, s)) == NULL)
		goto fail;
	LIST_INSERT_HEAD(&all, s, next);
	count++;
	tally.sessions++;
	log_info("connect from unknown%s", s->ip);
	if (foreign_is(s) && foreign_begin(s) == -1)
		session_end(s);
	else if (s->route->client_tls != CONF_TLS_IMPLICIT)
		session_open_peer(s);
	else if (starttls_implicit(s) == 0)
		session_clock(s, s->route->limits.idle_timeout);
	else
		session_end(s);
	return;
fail:
	log_err("no memory for a session");
	if (s != NULL) {
		if (s->timer != NULL)
			event_free(s->timer);
		line_free(&s->in);
		proxy_route_drop(s->route);
	}
	free(s);
	proxy_left(from);
	close(fd);
}

static void
refuse_client(enum proxy_refusal why, int fd, const struct sockaddr_storage *from)
{
	static const char *const texts[] = {
	    [PROXY_NOT_ALLOWED] = "554 5.7.1 your address is not allowed here\r\n",
	    [PROXY_TOO_MANY] = "421 4.3.2 too many connections, try again later\r\n",
	    [PROXY_TOO_MANY_HERE] =
		"421 4.7.0 too many connections from your address, try again later\r\n",
	};
	char ip[CIDR_TEXT_MAX];

	/* A fresh socket takes one line; nothing waits for a client that is not wanted. */
	(void)send(fd, texts[why], strlen(texts[why]), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	log_info("NOQUEUE: reject: CONNECT from unknown%s: %.*s; proto=SMTP",
	    cidr_text(ip, sizeof ip, (const struct sockaddr *)from), (int)strlen(texts[why]) - 2,
	    texts[why]);
}

const struct proxy_service smtp_service = {.accept = accept_client, .refuse = refuse_client};

/* Those at rest go now, the others when their message is done. */
void
sessions_drain(void)
{
	struct session *s, *next;

	LIST_FOREACH_SAFE (s, &all, next, next) {
		s->leaving = 1;
		if (s->state == ST_DATA || s->state == ST_WORK || s->state == ST_MAIL)
			continue;
		session_say(s, 421, "4.3.2 %s is going down", s->route->hostname);
		session_end(s);
	}
}

unsigned
sessions_count(void)
{
	return count;
}
