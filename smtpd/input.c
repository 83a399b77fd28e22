/* What a client says: its lines, and the table of commands. */
#include <string.h>

#include "smtpd/session.h"

/* HELO and EHLO take back what was open (RFC 5321, 4.1.4). */
static int
hello(struct session *s, const char *args, int esmtp)
{
	struct answer a;
	const uint8_t *p;
	size_t n;

	if (!command_helo_valid(args)) {
		session_error(s, 501, "5.5.4 a host name or address literal is expected");
		return 0;
	}
	p = conn_in(s->c, &n);
	if (n > 0 && s->gate != NULL && gate_hasty(s->gate, s->where, p, n) == GATE_CLOSE) {
		session_gate_closes(s);
		return 0;
	}
	envelope_reset(s);
	(void)strlcpy(s->helo, args, sizeof s->helo);
	s->esmtp = esmtp;
	s->features = esmtp ? s->backend->features(s) : 0;
	s->state = ST_READY;
	gate_helo(s->gate, args);
	if (!esmtp) {
		session_say(s, 250, "%s", s->route->hostname);
		return 0;
	}
	ehlo_answer(&a, s->route->hostname, s->features, s->backend->size(s), !s->authed);
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
cmd_quit(struct session *s, const char *args)
{
	(void)args;
	session_say(s, 221, "2.0.0 Bye");
	session_end(s);
	return 0;
}

#define NOT_HTTP "4.7.0 this is no web server"

#define IN(st) (1u << (st))
#define ANY (IN(ST_START) | IN(ST_READY) | IN(ST_MAIL))

enum {
	NO_ARGS = 1,
	PIPELINED = 2, /* may be sent on before earlier replies are there */
	CLEAR = 4 /* before TLS where it is required (RFC 3207, 4) */
};

/*
 * What may be said when; anything else is refused before its arguments are looked at.  Without a
 * handler the reply is all there is to it.
 */
static const struct command {
	const char *name;
	int (*handler)(struct session *s, const char *args);
	unsigned states, flags, code;
	const char *text;
} commands[] = {
    {"HELO", cmd_helo, ANY, CLEAR, 0, NULL},
    {"EHLO", cmd_ehlo, ANY, CLEAR, 0, NULL},
    {"STARTTLS", starttls_command, IN(ST_READY) | IN(ST_MAIL), NO_ARGS | CLEAR, 0, NULL},
    {"AUTH", auth_command, IN(ST_READY), 0, 0, NULL},
    {"MAIL", envelope_mail, IN(ST_READY), 0, 0, NULL},
    {"RCPT", envelope_rcpt, IN(ST_MAIL), PIPELINED, 0, NULL},
    {"DATA", data_command, IN(ST_MAIL), NO_ARGS, 0, NULL},
    {"RSET", cmd_rset, ANY, NO_ARGS | CLEAR, 0, NULL},
    {"QUIT", cmd_quit, ANY, NO_ARGS | CLEAR, 0, NULL},
    {"NOOP", NULL, ANY, CLEAR, 250, "2.0.0 Ok"},
    {"HELP", NULL, ANY, CLEAR, 214, "2.0.0 see RFC 5321"},
    {"VRFY", NULL, ANY, 0, 252, "2.5.2 send mail, and it will be seen"},
    {"EXPN", NULL, ANY, 0, 502, "5.5.1 command not implemented"},
    {"ETRN", NULL, ANY, 0, 502, "5.5.1 command not implemented"},
    {"TURN", NULL, ANY, 0, 502, "5.5.1 command not implemented"},
    {"BDAT", bdat_command, ANY, CLEAR, 0, NULL},
    {"XCLIENT", xclient_command, ANY, CLEAR, 0, NULL},
    {"XFORWARD", xforward_command, ANY, CLEAR, 0, NULL},
    /* A browser that a web page has sent here would have mail in what it posts. */
    {"GET", NULL, ANY, CLEAR, 421, NOT_HTTP},
    {"POST", NULL, ANY, CLEAR, 421, NOT_HTTP},
    {"PUT", NULL, ANY, CLEAR, 421, NOT_HTTP},
    {"HEAD", NULL, ANY, CLEAR, 421, NOT_HTTP},
    {"OPTIONS", NULL, ANY, CLEAR, 421, NOT_HTTP},
    {"CONNECT", NULL, ANY, CLEAR, 421, NOT_HTTP},
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

/* MAIL of a client that need not say who it is. */
static int
may_begin(const struct session *s, const struct command *k)
{
	return s->state == ST_START && k->handler == envelope_mail && !gate_helo_required(s->gate);
}

/* A command that may be said now, perhaps. */
static int
obey(struct session *s, const struct command *k, const char *args)
{
	if ((k->flags & CLEAR) == 0 && s->route->tls_required && !conn_is_tls(s->c))
		session_error(s, 530, "5.7.0 Must issue a STARTTLS command first");
	else if ((k->states & IN(s->state)) == 0 && !may_begin(s, k))
		wrong_time(s, k);
	else if ((k->flags & NO_ARGS) && *args != '\0')
		session_error(s, 501, "5.5.4 no argument is expected");
	else if (k->handler != NULL)
		return k->handler(s, args);
	else if (k->code >= 400)
		session_error(s, k->code, "%s", k->text);
	else
		session_say(s, k->code, "%s", k->text);
	return 0;
}

/* Only recipients overtake the replies; those come in the peer's order, which is ours. */
static int
must_wait(const struct session *s, const struct command *k)
{
	return s->pending > 0 &&
	       (s->got != LINE_OK || s->in.flags != 0 || k == NULL || (k->flags & PIPELINED) == 0 ||
		   s->state != ST_MAIL || has_controls(s) || !s->backend->may_pipeline(s));
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
	s->in.len = n;
	k = find_command(line, &args);
	if (must_wait(s, k))
		return 1;
	s->where = k != NULL ? k->name : "UNKNOWN";
	if (s->commands >= s->route->limits.commands) {
		session_say(s, 421, "4.7.0 %s too many commands", s->route->hostname);
		return 0;
	}
	if (clean_line(s)) {
		if (k == NULL)
			session_error(s, 500, "5.5.2 unknown command");
		else if (obey(s, k, args))
			return 1;
	}
	s->commands++;
	return 0;
}

/* What answers a challenge of AUTH. */
static void
response(struct session *s)
{
	if (clean_line(s))
		auth_response(s, s->in.text);
	else
		auth_garbled(s);
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
			session_left(s, "");
		return 0;
	}
	s->held = 0;
	if (s->got == LINE_ENDLESS) {
		session_say(s, 500, "5.5.2 line too long");
		session_end(s);
		return 0;
	}
	if (s->lost.code != 0) {
		session_lost(s);
		return 0;
	}
	session_clock(s, s->route->limits.idle_timeout);
	if (s->state == ST_AUTH)
		response(s);
	else
		s->held = command(s);
	return !s->held;
}

/* Does something else have to come first? */
static int
must_stop(const struct session *s)
{
	return s->ended || s->ending || s->slowed || s->c == NULL || s->waiting || s->renewing ||
	       s->state == ST_OPENING || s->state == ST_TLS || s->state == ST_WORK ||
	       conn_room(s->c) < REPLY_ROOM;
}

void
session_process(struct session *s)
{
	int more = 1;

	/* What ends at once calls from within: this loop goes on then, and not another in it. */
	if (s->processing)
		return;
	s->processing = 1;
	while (more && !must_stop(s))
		switch (s->state) {
		case ST_DATA:
			more = data_input(s);
			break;
		case ST_CHUNK:
			more = bdat_input(s);
			break;
		default:
			more = input(s);
		}
	s->processing = 0;
}
