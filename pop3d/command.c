/* The client's commands (RFC 1939, 5 to 7; CAPA: RFC 2449; AUTH: RFC 5034). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "pop3d/session.h"

#define IN_AUTH (1u << ST_AUTH)
#define IN_TRANSACTION (1u << ST_TRANSACTION)

struct command {
	const char *name;
	unsigned states;
	unsigned least, most; /* numbers as arguments; most 0: text, or none */
	void (*fn)(struct session *s, const struct args *a);
};

/* A single status line of the peer is the answer. */
static void
pass_and_go_on(struct session *s, const struct pop3_reply *r)
{
	session_pass_status(s, r);
	session_done(s, NULL);
}

/* A status line, and with +OK lines up to a dot. */
static void
pass_lines(struct session *s, const struct pop3_reply *r)
{
	session_pass_status(s, r);
	if (r->status != POP3_OK) {
		session_done(s, NULL);
		return;
	}
	dots_decode_init(&s->dots, false);
	s->mode = PEER_PASS;
}

static void
cmd_capa(struct session *s, const struct args *a)
{
	(void)a;
	if (conn_printf(s->client,
		"+OK capabilities\r\n"
		"%s%s%s%s%s"
		"PIPELINING\r\n"
		"IMPLEMENTATION Postern\r\n"
		".\r\n",
		s->can.user ? "USER\r\n" : "", s->can.sasl_plain ? "SASL PLAIN\r\n" : "",
		s->can.uidl ? "UIDL\r\n" : "", "TOP\r\n",
		s->can.auth_codes ? "RESP-CODES\r\nAUTH-RESP-CODE\r\n" : "RESP-CODES\r\n") == -1)
		session_end(s, NULL);
	session_done(s, NULL);
}

static void
cmd_user(struct session *s, const struct args *a)
{
	login_user(s, a->all);
}

static void
cmd_pass(struct session *s, const struct args *a)
{
	login_pass(s, a->all);
}

static void
cmd_auth(struct session *s, const struct args *a)
{
	login_auth(s, a->all);
}

static void
cmd_stat(struct session *s, const struct args *a)
{
	(void)a;
	session_ask(s, pass_and_go_on, "STAT");
}

static void
cmd_list(struct session *s, const struct args *a)
{
	if (a->n == 1)
		session_ask(s, pass_and_go_on, "LIST %llu", (unsigned long long)a->v[0]);
	else
		session_ask(s, pass_lines, "LIST");
}

static void
cmd_uidl(struct session *s, const struct args *a)
{
	if (a->n == 1)
		session_ask(s, pass_and_go_on, "UIDL %llu", (unsigned long long)a->v[0]);
	else
		session_ask(s, pass_lines, "UIDL");
}

static void
cmd_retr(struct session *s, const struct args *a)
{
	fetch_retr(s, a->v[0]);
}

static void
cmd_top(struct session *s, const struct args *a)
{
	fetch_top(s, a->v[0], a->v[1]);
}

static void
cmd_dele(struct session *s, const struct args *a)
{
	/* What was marked must not be served from the cache. */
	if (s->cached == a->v[0])
		s->cached = 0;
	session_ask(s, pass_and_go_on, "DELE %llu", (unsigned long long)a->v[0]);
}

static void
cmd_noop(struct session *s, const struct args *a)
{
	(void)a;
	session_ask(s, pass_and_go_on, "NOOP");
}

static void
cmd_rset(struct session *s, const struct args *a)
{
	(void)a;
	session_ask(s, pass_and_go_on, "RSET");
}

/* The peer removes what was marked now; only its answer tells whether it did (RFC 1939, 6). */
static void
cmd_quit(struct session *s, const struct args *a)
{
	(void)a;
	s->quitting = true;
	session_ask(s, pass_and_go_on, "QUIT");
}

static const struct command commands[] = {
    {"CAPA", IN_AUTH | IN_TRANSACTION, 0, 0, cmd_capa},
    {"USER", IN_AUTH, 0, 0, cmd_user},
    {"PASS", IN_AUTH, 0, 0, cmd_pass},
    {"AUTH", IN_AUTH, 0, 0, cmd_auth},
    {"STAT", IN_TRANSACTION, 0, 0, cmd_stat},
    {"LIST", IN_TRANSACTION, 0, 1, cmd_list},
    {"UIDL", IN_TRANSACTION, 0, 1, cmd_uidl},
    {"RETR", IN_TRANSACTION, 1, 1, cmd_retr},
    {"TOP", IN_TRANSACTION, 2, 2, cmd_top},
    {"DELE", IN_TRANSACTION, 1, 1, cmd_dele},
    {"NOOP", IN_TRANSACTION, 0, 0, cmd_noop},
    {"RSET", IN_TRANSACTION, 0, 0, cmd_rset},
    {"QUIT", IN_AUTH | IN_TRANSACTION, 0, 0, cmd_quit},
};

static void
wrong(struct session *s, const char *text)
{
	if (++s->errors > s->route.limits.errors)
		session_end(s, "-ERR too many errors");
	else
		session_done(s, text);
}

static const struct command *
find(const char *word, size_t n)
{
	size_t i;

	for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strlen(commands[i].name) == n && strncasecmp(commands[i].name, word, n) == 0)
			return &commands[i];
	return NULL;
}

void
command_line(struct session *s, char *line, size_t n)
{
	const struct command *c;
	struct args a;
	size_t word;

	(void)n;
	if (s->sasl_expected) {
		login_sasl_response(s, line);
		return;
	}
	word = parse_command(&a, line);
	if ((c = find(line, word)) == NULL) {
		wrong(s, "-ERR unknown command");
		return;
	}
	if ((c->states & (1u << s->state)) == 0) {
		wrong(s, s->state == ST_AUTH ? "-ERR log in first" : "-ERR not now");
		return;
	}
	if (c->fn != cmd_user && c->fn != cmd_pass && c->fn != cmd_auth &&
	    (parse_numbers(&a) == -1 || a.n < c->least || a.n > c->most)) {
		wrong(s, "-ERR wrong arguments");
		return;
	}
	c->fn(s, &a);
}
