/* A client's session: lines in, replies out, and the table of commands. */
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

#define IN_MAX (64 * 1024) /* octets of input held; the longest command line at least */
#define OUT_MAX (64 * 1024) /* octets of replies queued */
#define REPLY_ROOM (8 * 1024) /* no further command while less is free */

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
	log_info("disconnect from unknown%s commands=%u", s->ip, s->commands);
	proxy_left(&s->from);
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
		session_clock(s, s->route.limits.idle_timeout);
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
	session_answer(s, a);
	if (++s->errors >= s->route.limits.errors) {
		log_warn("too many errors from unknown%s", s->ip);
		session_say(s, 421, "4.7.0 %s too many errors", s->route.hostname);
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
		session_clock(s, s->route.limits.idle_timeout);
		return;
	}
	log_info("timeout after %s from unknown%s",
	    s->state == ST_DATA      ? "DATA"
	    : clock_ms() >= s->until ? "all"
				     : "command",
	    s->ip);
	session_say(s, 421, "4.4.2 %s timeout exceeded", s->route.hostname);
	session_end(s);
}

/* HELO and EHLO take back what was open (RFC 5321, 4.1.4). */
static int
hello(struct session *s, const char *args, int esmtp)
{
	struct answer a;

	if (!command_helo_valid(args)) {
		session_error(s, 501, "5.5.4 a host name or address literal is expected");
		return 0;
	}
	envelope_reset(s);
	(void)strlcpy(s->helo, args, sizeof s->helo);
	s->esmtp = esmtp;
	s->features = esmtp ? peer_features(s->peer) | F_PIPELINING | F_SIZE : 0;
	s->state = ST_READY;
	if (!esmtp) {
		session_say(s, 250, "%s", s->route.hostname);
		return 0;
	}
	ehlo_answer(&a, s->route.hostname, s->features,
	    size_offered(s->route.limits.message_size, peer_size(s->peer)), !s->authed);
	session_answer(s, &a);
	return 0;
}

static int
cmd_helo(struct session *s, const char *args)
{
	return hello(s, args, 0);
}

static int
cmd_ehlo(struct session *s, const char *args)
{
	return hello(s, args, 1);
}

static int
cmd_rset(struct session *s, const char *args)
{
	(void)args;
	envelope_reset(s);
	session_say(s, 250, "2.0.0 Ok");
	return 0;
}

static int
cmd_noop(struct session *s, const char *args)
{
	(void)args;
	session_say(s, 250, "2.0.0 Ok");
	return 0;
}

static int
cmd_vrfy(struct session *s, const char *args)
{
	(void)args;
	session_say(s, 252, "2.5.2 send mail, and it will be seen");
	return 0;
}

static int
cmd_help(struct session *s, const char *args)
{
	(void)args;
	session_say(s, 214, "2.0.0 see RFC 5321");
	return 0;
}

static int
cmd_quit(struct session *s, const char *args)
{
	(void)args;
	session_say(s, 221, "2.0.0 Bye");
	session_end(s);
	return 0;
}

static int
cmd_not_here(struct session *s, const char *args)
{
	(void)args;
	session_error(s, 502, "5.5.1 command not implemented");
	return 0;
}

#define IN(st) (1u << (st))
#define ANY (IN(ST_START) | IN(ST_READY) | IN(ST_MAIL))

/* What may be said when; anything else is refused before its arguments are looked at. */
static const struct command {
	const char *name;
	int (*handler)(struct session *s, const char *args);
	unsigned states;
	int no_args, pipelined;
} commands[] = {
    {"HELO", cmd_helo, ANY, 0, 0},
    {"EHLO", cmd_ehlo, ANY, 0, 0},
    {"AUTH", auth_command, IN(ST_READY), 0, 0},
    {"MAIL", envelope_mail, IN(ST_READY), 0, 0},
    {"RCPT", envelope_rcpt, IN(ST_MAIL), 0, 1},
    {"DATA", data_command, IN(ST_MAIL), 1, 0},
    {"RSET", cmd_rset, ANY, 1, 0},
    {"NOOP", cmd_noop, ANY, 0, 0},
    {"QUIT", cmd_quit, ANY, 1, 0},
    {"VRFY", cmd_vrfy, ANY, 0, 0},
    {"HELP", cmd_help, ANY, 0, 0},
    {"EXPN", cmd_not_here, ANY, 0, 0},
    {"ETRN", cmd_not_here, ANY, 0, 0},
    {"TURN", cmd_not_here, ANY, 0, 0},
    {"BDAT", cmd_not_here, ANY, 0, 0},
    {"STARTTLS", cmd_not_here, ANY, 0, 0},
};

static const struct command *
find_command(const char *line, const char **args)
{
	size_t n = strcspn(line, " "), i;

	*args = line + n + strspn(line + n, " ");
	for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strlen(commands[i].name) == n && strncasecmp(line, commands[i].name, n) == 0)
			return &commands[i];
	return NULL;
}

static void
wrong_time(struct session *s, const struct command *k)
{
	if (s->state == ST_START)
		session_error(s, 503, "5.5.1 send HELO or EHLO first");
	else if (k->handler == auth_command)
		session_error(s, 503, "5.5.1 AUTH is not possible within a transaction");
	else if (k->handler == envelope_mail)
		session_error(s, 503, "5.5.1 a sender is given already");
	else
		session_error(s, 503, "5.5.1 send MAIL first");
}

static int
has_controls(const struct session *s)
{
	const unsigned char *p = (const unsigned char *)s->in.text;
	size_t i;

	for (i = 0; i < s->in.len; i++)
		if ((p[i] < ' ' && p[i] != '\t') || p[i] == 0x7f)
			return 1;
	return 0;
}

/* Is the line one that a command or a response can be? */
static int
clean_line(struct session *s)
{
	if (s->got == LINE_TOO_LONG) {
		session_error(s, 500, "5.5.2 line too long");
		return 0;
	}
	if (s->in.flags & LINE_BARE_LF) {
		session_error(s, 500, "5.5.2 a line ends with CR LF");
		return 0;
	}
	if (has_controls(s)) {
		session_error(s, 500, "5.5.2 control characters are not allowed");
		return 0;
	}
	return 1;
}

/* One command line. Returns 1 when it has to wait for replies to earlier ones. */
static int
command(struct session *s)
{
	const struct command *k;
	const char *args;
	char *line = s->in.text;
	size_t n = s->in.len;

	while (n > 0 && line[n - 1] == ' ')
		line[--n] = '\0';
	k = find_command(line, &args);
	/* Only recipients overtake the replies; those come in the peer's order, which is ours. */
	if (s->pending > 0 &&
	    (s->got != LINE_OK || s->in.flags != 0 || k == NULL || !k->pipelined ||
		s->state != ST_MAIL || has_controls(s) || !peer_may_pipeline(s->peer)))
		return 1;
	if (s->commands >= s->route.limits.commands) {
		session_say(s, 421, "4.7.0 %s too many commands", s->route.hostname);
		return 0;
	}
	if (!clean_line(s))
		k = NULL;
	else if (k == NULL)
		session_error(s, 500, "5.5.2 unknown command");
	else if ((k->states & IN(s->state)) == 0)
		wrong_time(s, k);
	else if (k->no_args && *args != '\0')
		session_error(s, 501, "5.5.4 no argument is expected");
	else if (k->handler(s, args))
		return 1;
	s->commands++;
	return 0;
}

/* What answers a challenge of AUTH. */
static void
response(struct session *s)
{
	if (clean_line(s))
		auth_response(s, s->in.text);
	else {
		auth_wipe(s);
		s->state = ST_READY;
	}
	line_wipe(&s->in);
}

/* A line, if there is one. Returns 0 when there is nothing to do now. */
static int
input(struct session *s)
{
	if (!s->held)
		s->got = line_read(&s->in, s->c);
	if (s->got == LINE_MORE) {
		if (s->eof && s->pending == 0)
			session_end(s);
		return 0;
	}
	s->held = 0;
	if (s->got == LINE_ENDLESS) {
		session_say(s, 500, "5.5.2 line too long");
		session_end(s);
		return 0;
	}
	if (s->peer == NULL) {
		session_lost(s);
		return 0;
	}
	session_clock(s, s->route.limits.idle_timeout);
	if (s->state == ST_AUTH)
		response(s);
	else
		s->held = command(s);
	return !s->held;
}

void
session_process(struct session *s)
{
	int more = 1;

	while (more && !s->ended && s->c != NULL && !s->waiting && s->state != ST_OPENING &&
	       s->state != ST_WORK && conn_room(s->c) >= REPLY_ROOM)
		more = s->state == ST_DATA ? data_input(s) : input(s);
}

static void
on_readable(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	session_process(s);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (why == CONN_EOF || why == CONN_TRUNCATED) {
		s->eof = 1;
		/* Not a word more than this will come: text without its end is no message. */
		if (s->state == ST_OPENING)
			session_end(s);
		session_process(s);
		if (s->state == ST_DATA)
			session_end(s);
	} else {
		log_info("lost connection from unknown%s: %s", s->ip, log_str(text));
		conn_free(s->c);
		s->c = NULL;
		/* A message that is complete goes its way. */
		if (s->state != ST_WORK)
			session_end(s);
	}
}

static const struct conn_handlers handlers = {
    .readable = on_readable,
    .drained = on_readable,
    .closed = on_closed,
};

static void
peer_ready(void *arg)
{
	struct session *s = arg;

	s->state = ST_START;
	session_say(s, 220, "%s ESMTP Postern", s->route.hostname);
	session_clock(s, s->route.limits.idle_timeout);
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
	if (s->state == ST_WORK)
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
    .ready = peer_ready, .failed = peer_failed, .drained = peer_drained};

static void
accept_client(const struct conf_connector *k, int fd, const struct sockaddr_storage *from)
{
	const struct conn_limits limits = {
	    .in_max = IN_MAX + 2, .out_max = OUT_MAX, .out_low = OUT_MAX - REPLY_ROOM};
	const struct conf *conf = proc_env()->conf;
	struct session *s = calloc(1, sizeof *s);

	if (s == NULL)
		goto fail;
	proxy_route_set(&s->route, k, conf);
	s->from = *from;
	(void)cidr_text(s->ip, sizeof s->ip, (const struct sockaddr *)from);
	(void)snprintf(
	    s->client, sizeof s->client, "%.*s", (int)strcspn(s->ip + 1, "]"), s->ip + 1);
	s->by_address =
	    cidr_match(k->sign_by_address.v, k->sign_by_address.n, (const struct sockaddr *)from);
	spool_init(&s->spool, 0, -1);
	s->until = clock_ms() + s->route.limits.session_timeout * 1000;
	if (line_init(&s->in, s->route.limits.line_length - 2) == -1 ||
	    (s->timer = evtimer_new(proc_env()->base, on_timer, s)) == NULL ||
	    (s->peer = peer_open(&s->route, &peer_ops, s)) == NULL ||
	    (s->c = conn_new(proc_env()->base, fd, &limits, &handlers, s)) == NULL)
		goto fail;
	LIST_INSERT_HEAD(&all, s, next);
	count++;
	tally.sessions++;
	/* A peer that answers octet by octet must not hold the client for ever. */
	session_clock(s, s->route.limits.peer_timeout * 3);
	log_info("connect from unknown%s", s->ip);
	return;
fail:
	log_err("no memory for a session");
	if (s != NULL) {
		peer_close(s->peer);
		if (s->timer != NULL)
			event_free(s->timer);
		line_free(&s->in);
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
		session_say(s, 421, "4.3.2 %s is going down", s->route.hostname);
		session_end(s);
	}
}

unsigned
sessions_count(void)
{
	return count;
}
