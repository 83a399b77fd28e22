/* A client's session: its connection, clocks and replies. */
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
#include "proc/event.h"
#include "proxy/through.h"

#define IN_MAX (64 * 1024) /* octets of input held; the longest command line at least */
#define OUT_MAX (64 * 1024) /* octets of replies queued */
#define LATE_MAX (16 * 1024) /* the same while they wait for a tarpit */
#define LOGGED_MAX 8 /* mistakes of one session that are logged each */

struct tally tally;

static LIST_HEAD(, session) all = LIST_HEAD_INITIALIZER(all);
static unsigned count;

static void
free_session(struct session *s)
{
	struct log_event e = {.kind = EV_DISCONNECT};
	char text[32];

	LIST_REMOVE(s, next);
	count--;
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->slow != NULL)
		event_free(s->slow);
	buf_wipe_free(&s->late);
	free(s->forward);
	envelope_free(s);
	auth_wipe(s);
	proxy_worker_free(s->worker);
	gate_close(s->gate);
	s->backend->free(s);
	peer_close(s->peer);
	if (s->c != NULL)
		conn_finish(s->c);
	line_free(&s->in);
	foreign_free(s);
	(void)snprintf(text, sizeof text, "commands=%u", s->commands);
	e.text = text;
	session_event(s, &e);
	proxy_left(&s->counted);
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
	/* The last answer has to wait as those before. */
	if (s->slowed && s->c != NULL) {
		s->ending = 1;
		return;
	}
	s->ended = 1;
	(void)event_add(s->timer, &now);
}

/* --- replies --- */

/* The tarpit's time is over. */
static void
on_slow(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	s->slowed = 0;
	if (s->c != NULL && buf_len(&s->late) > 0 &&
	    conn_write(s->c, buf_ptr(&s->late), buf_len(&s->late)) == -1)
		s->ending = 1;
	buf_wipe_free(&s->late);
	buf_init(&s->late, LATE_MAX);
	if (s->ending)
		session_end(s);
	if (s->state != ST_OPENING && s->state != ST_DATA && s->state != ST_WORK)
		session_clock(s, s->route->limits.idle_timeout);
	session_process(s);
}

/* Whose fault is it?  The gate counts what clients do, not what we lack. */
static int
is_their_fault(unsigned code)
{
	return code >= 500 || code == 450;
}

/* A client that makes mistakes has to wait for its answers. */
static void
slow_down(struct session *s, unsigned code)
{
	unsigned ms = s->gate != NULL && is_their_fault(code) ? gate_error(s->gate) : 0;
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	if (ms == 0 || s->slowed)
		return;
	if (s->slow == NULL && (s->slow = evtimer_new(proc_env()->base, on_slow, s)) == NULL)
		return;
	if (event_add(s->slow, &tv) == 0)
		s->slowed = 1;
}

static void
reply(struct session *s, const struct answer *a)
{
	int rc = s->slowed ? answer_put_buf(&s->late, a) : answer_put(s->c, a);

	if (rc == -1 || a->code == 421)
		session_end(s);
	if (s->state != ST_OPENING && s->state != ST_DATA && s->state != ST_CHUNK &&
	    s->state != ST_WORK)
		session_clock(s, s->route->limits.idle_timeout);
}

void
session_answer(struct session *s, const struct answer *a)
{
	if (s->c == NULL || s->ended || s->ending)
		return;
	slow_down(s, a->code);
	reply(s, a);
}

void
session_refused(struct session *s)
{
	if (s->c != NULL && !s->ended && !s->ending)
		reply(s, gate_answer(s->gate));
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
	struct log_event e = {.kind = EV_LOST};
	char what[48];

	if (s->errors < LOGGED_MAX)
		session_log_reject(s, s->where, a, NULL);
	session_answer(s, a);
	if (++s->errors >= s->route->limits.errors) {
		(void)snprintf(what, sizeof what, "too many errors after %s from", s->where);
		e.what = what;
		session_event(s, &e);
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

/* --- the log --- */

void
session_came(struct session *s)
{
	struct log_event e = {
	    .kind = EV_CONNECT, .client = s->who, .connector = s->route->connector};

	if (s->told)
		return;
	s->told = 1;
	proc_event(&e);
}

void
session_event(struct session *s, struct log_event *e)
{
	session_came(s);
	e->client = s->who;
	e->connector = s->route->connector;
	e->tenant = s->tenant;
	proc_event(e);
}

static const char *
where(const struct session *s)
{
	return s->state == ST_DATA ? "DATA" : s->state == ST_CHUNK ? "BDAT" : s->where;
}

static void
log_lost(struct session *s, const char *how, const char *why)
{
	struct log_event e = {.kind = EV_LOST, .text = why};
	char what[64];

	(void)snprintf(what, sizeof what, "%s after %s from", how, where(s));
	e.what = what;
	session_event(s, &e);
}

void
session_left(struct session *s, const char *why)
{
	if (!s->ended && !s->ending)
		log_lost(s, "lost connection", why);
	s->slowed = 0; /* nobody is there who could wait */
	session_end(s);
}

void
session_log_reject(struct session *s, const char *what, const struct answer *a, const char *rcpt)
{
	struct log_event e = {.kind = EV_REJECT,
	    .sender = s->mail.path.addr,
	    .rcpt = rcpt,
	    .proto = s->esmtp ? "ESMTP" : "SMTP",
	    .helo = s->helo,
	    .user = s->user,
	    .mechanism = s->user[0] != '\0' ? s->mechanism : ""};
	char line[LOG_FIELD_MAX], from[48];

	(void)snprintf(from, sizeof from, "%s from", what);
	e.what = from;
	e.text = answer_line(line, sizeof line, a);
	session_event(s, &e);
}

void
session_log_client(struct session *s, const char *qid)
{
	struct log_event e = {.kind = EV_CLIENT, .qid = qid, .tx = s->qid, .helo = s->helo};

	e.proto = s->esmtp ? "ESMTP" : "SMTP";
	if (s->user[0] != '\0') {
		e.user = s->user;
		e.mechanism = s->mechanism;
	}
	session_event(s, &e);
}

/* --- clocks --- */

/*
 * The timer is not moved with every command: it fires when it was to fire, sees that there is time
 * left, and is set anew.
 */
static void
arm(struct session *s, uint64_t now)
{
	uint64_t ms = s->due > now ? s->due - now : 0;
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	if (s->armed != 0 && s->armed <= s->due)
		return;
	if (event_add(s->timer, &tv) == 0)
		s->armed = s->due;
}

void
session_no_clock(struct session *s)
{
	s->due = 0;
}

void
session_clock(struct session *s, uint64_t seconds)
{
	uint64_t now = clock_ms();

	if (s->ended)
		return;
	s->due = now + seconds * 1000;
	if (s->due > s->until)
		s->due = s->until;
	arm(s, now);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	uint64_t now = clock_ms();

	(void)fd;
	(void)what;
	if (s->ended) {
		free_session(s);
		return;
	}
	s->armed = 0;
	if (s->due == 0)
		return;
	if (s->due > now) {
		arm(s, now);
		return;
	}
	if (s->state == ST_WORK && s->backend->expired != NULL) {
		s->backend->expired(s);
		return;
	}
	/* What is waited for has a clock of its own. */
	if ((s->waiting || s->pending > 0 || s->slowed) && now < s->until) {
		session_clock(s, s->route->limits.idle_timeout);
		return;
	}
	log_lost(s, "timeout", "");
	s->slowed = 0;
	session_say(s, 421, "4.4.2 %s timeout exceeded", s->route->hostname);
	session_end(s);
}

/* --- the connection --- */

/* Who talks before the greeting does not listen. */
static void
early(struct session *s)
{
	const uint8_t *p;
	size_t n;

	if (s->gate == NULL || conn_is_tls(s->c))
		return;
	p = conn_in(s->c, &n);
	if (n > 0 && gate_early(s->gate, p, n) == GATE_CLOSE)
		session_gate_closes(s);
}

static void
on_readable(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->state == ST_OPENING && !s->ended)
		early(s);
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
		if (s->state == ST_DATA || s->state == ST_CHUNK)
			session_left(s, "");
	} else {
		if (why == CONN_TLS_FAILED && !conn_is_tls(c))
			starttls_failed(s, text);
		/* A message that is complete goes its way. */
		else if (s->state != ST_WORK)
			session_left(s, text);
		conn_free(s->c);
		s->c = NULL;
		s->slowed = 0;
		if (s->ending)
			session_end(s);
	}
}

static const struct conn_handlers handlers = {
    .readable = on_readable,
    .drained = on_readable,
    .secured = on_secured,
    .hello = foreign_hello,
    .closed = on_closed,
};

/* --- the beginning --- */

void
session_greet(struct session *s)
{
	s->state = ST_START;
	session_say(s, 220, "%s ESMTP Postern", s->route->hostname);
	session_clock(s, s->route->limits.idle_timeout);
	session_process(s);
}

void
session_opened(struct session *s)
{
	if (s->gated != GATED_OPEN && !s->ended)
		s->backend->open(s);
}

void
session_named(struct session *s, const char *name)
{
	(void)strlcpy(s->name, name, sizeof s->name);
	(void)snprintf(s->who, sizeof s->who, "%s%s", s->name, s->ip);
}

void
session_is(struct session *s, const struct sockaddr_storage *from)
{
	const struct conf_connector *k = proxy_connector(s->route->connector);

	s->from = *from;
	if (from->ss_family == AF_UNSPEC)
		(void)strlcpy(s->ip, "[unknown]", sizeof s->ip);
	else
		(void)cidr_text(s->ip, sizeof s->ip, (const struct sockaddr *)from);
	(void)snprintf(
	    s->client, sizeof s->client, "%.*s", (int)strcspn(s->ip + 1, "]"), s->ip + 1);
	session_named(s, "unknown");
	/* Never towards foreign servers, whatever the configuration says. */
	s->by_address =
	    k != NULL && !foreign_is(s) &&
	    cidr_match(k->sign_by_address.v, k->sign_by_address.n, (const struct sockaddr *)from);
}

static void
begin(struct session *s)
{
	int tls_first = s->route->client_tls == CONF_TLS_IMPLICIT;

	if (foreign_is(s) && foreign_begin(s) == -1) {
		session_end(s);
		return;
	}
	/* Who shakes hands shows that he listens. */
	if (s->backend == &queue_backend)
		session_gate_open(s, NULL, !tls_first);
	else
		session_came(s);
	if (s->ended || s->ending)
		return;
	if (!tls_first)
		session_opened(s);
	else if (starttls_implicit(s) == 0)
		session_clock(s, s->route->limits.idle_timeout);
	else
		session_end(s);
}

static struct session *
new_session(const struct proxy_route *r, int fd)
{
	const struct conn_limits limits = {
	    .in_max = IN_MAX + 2, .out_max = OUT_MAX, .out_low = OUT_MAX - REPLY_ROOM};
	struct session *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->route = r;
	s->backend = r->service == CONF_SMTP ? &proxy_backend : &queue_backend;
	spool_init(&s->spool, 0, -1);
	buf_init(&s->late, LATE_MAX);
	s->until = clock_ms() + r->limits.session_timeout * 1000;
	s->where = "CONNECT";
	line_init(&s->in, r->limits.line_length - 2);
	(void)strlcpy(s->tenant, r->service == CONF_MX ? "" : r->tenant, sizeof s->tenant);
	if ((s->timer = evtimer_new(proc_env()->base, on_timer, s)) != NULL &&
	    (s->c = conn_new(proc_env()->base, fd, &limits, &handlers, s)) != NULL &&
	    (s->backend != &queue_backend || intake_new(s) == 0))
		return s;
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->c != NULL)
		(void)conn_release(s->c, NULL, NULL);
	line_free(&s->in);
	free(s);
	return NULL;
}

void
session_begin(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from, const struct sockaddr_storage *counted)
{
	const struct proxy_route *r = proxy_route_get(k, l->tls, proc_env()->conf);
	struct session *s;

	if (r != NULL && r->inspect == CONF_TLS_ALLOW && l->tls == CONF_TLS_IMPLICIT) {
		through_accept(r, fd, from);
		return;
	}
	if (r == NULL || (s = new_session(r, fd)) == NULL) {
		log_err("no memory for a session");
		proxy_route_drop(r);
		proxy_left(counted);
		close(fd);
		return;
	}
	s->counted = *counted;
	session_is(s, from);
	LIST_INSERT_HEAD(&all, s, next);
	count++;
	tally.sessions++;
	begin(s);
}

/* --- the drain --- */

/* Those at rest go now, the others when their message is done. */
void
sessions_drain(void)
{
	struct session *s, *next;

	LIST_FOREACH_SAFE (s, &all, next, next) {
		s->leaving = 1;
		if (s->state == ST_DATA || s->state == ST_CHUNK || s->state == ST_WORK ||
		    s->state == ST_MAIL)
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
