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
void
command_pass_lines(struct session *s, const struct pop3_reply *r)
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
	char text[512] = "+OK capabilities\r\n";
	unsigned mechs = login_mechs(s);
	int m;

	(void)a;
	if (stls_offered(s))
		(void)strlcat(text, "STLS\r\n", sizeof text);
	if (s->can.user && !stls_missing(s))
		(void)strlcat(text, "USER\r\n", sizeof text);
	if (mechs != 0) {
		(void)strlcat(text, "SASL", sizeof text);
		for (m = 0; m < SASL_MECHS; m++)
			if ((mechs & 1u << m) != 0) {
				(void)strlcat(text, " ", sizeof text);
				(void)strlcat(text, sasl_mech_name(m), sizeof text);
			}
		(void)strlcat(text, "\r\n", sizeof text);
	}
	if (s->can.uidl)
		(void)strlcat(text, "UIDL\r\n", sizeof text);
	(void)strlcat(text, "TOP\r\nRESP-CODES\r\n", sizeof text);
	if (s->can.auth_codes)
		(void)strlcat(text, "AUTH-RESP-CODE\r\n", sizeof text);
	(void)strlcat(text, "PIPELINING\r\nIMPLEMENTATION Postern\r\n.", sizeof text);
	session_done(s, text);
}

static void
cmd_stls(struct session *s, const struct args *a)
{
	(void)a;
	stls_command(s);
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
	if (s->route->sizes == CONF_SIZES_EXACT)
		sizes_stat(s);
	else
		session_ask(s, pass_and_go_on, "STAT");
}

static void
cmd_list(struct session *s, const struct args *a)
{
	if (a->n == 1 && a->v[0] == 0)
		session_done(s, "-ERR no such message");
	else if (s->route->sizes == CONF_SIZES_EXACT)
		sizes_list(s, a->n == 1 ? a->v[0] : 0);
	else if (a->n == 1)
		session_ask(s, pass_and_go_on, "LIST %llu", (unsigned long long)a->v[0]);
	else
		session_ask(s, command_pass_lines, "LIST");
}

static void
cmd_uidl(struct session *s, const struct args *a)
{
	if (a->n == 1)
		session_ask(s, pass_and_go_on, "UIDL %llu", (unsigned long long)a->v[0]);
	else
		session_ask(s, command_pass_lines, "UIDL");
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
on_dele(struct session *s, const struct pop3_reply *r)
{
	struct slot *x;

	if (r->status == POP3_OK && s->drop != NULL &&
	    (x = maildrop_slot(s->drop, s->number)) != NULL)
		x->flags |= SLOT_DELETED;
	pass_and_go_on(s, r);
}

static void
cmd_dele(struct session *s, const struct args *a)
{
	fetch_forget(s, a->v[0]);
	s->number = a->v[0];
	session_ask(s, on_dele, "DELE %llu", (unsigned long long)a->v[0]);
}

static void
cmd_noop(struct session *s, const struct args *a)
{
	(void)a;
	session_ask(s, pass_and_go_on, "NOOP");
}

static void
on_rset(struct session *s, const struct pop3_reply *r)
{
	if (r->status == POP3_OK && s->drop != NULL) {
		maildrop_undelete(s->drop);
		/* What was deleted before the sizes were asked for is there again. */
		s->drop->sized = false;
	}
	pass_and_go_on(s, r);
}

static void
cmd_rset(struct session *s, const struct args *a)
{
	(void)a;
	session_ask(s, on_rset, "RSET");
}

static void
on_quit(struct session *s, const struct pop3_reply *r)
{
	if (r->status == POP3_OK && s->drop != NULL)
		maildrop_expunged(s->drop);
	pass_and_go_on(s, r);
}

/* The peer removes what was marked now; only its answer tells whether it did (RFC 1939, 6). */
static void
cmd_quit(struct session *s, const struct args *a)
{
	(void)a;
	s->quitting = true;
	session_ask(s, on_quit, "QUIT");
}

static const struct command commands[] = {
    {"CAPA", IN_AUTH | IN_TRANSACTION, 0, 0, cmd_capa},
    {"STLS", IN_AUTH | IN_TRANSACTION, 0, 0, cmd_stls},
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

static const struct command *
find(const char *word, size_t n)
{
	size_t i;

	for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
		/* Letters of either case differ in 0x20 alone; most names end there. */
		if (n > 0 && ((commands[i].name[0] ^ word[0]) & ~0x20) == 0 &&
		    strlen(commands[i].name) == n && strncasecmp(commands[i].name, word, n) == 0)
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
	if (login_expects(s)) {
		login_response(s, line);
		return;
	}
	word = parse_command(&a, line);
	if ((c = find(line, word)) == NULL) {
		session_wrong(s, "-ERR unknown command");
		return;
	}
	if ((c->states & (1u << s->state)) == 0) {
		session_wrong(s, s->state == ST_AUTH ? "-ERR log in first" : "-ERR not now");
		return;
	}
	if (c->fn != cmd_user && c->fn != cmd_pass && c->fn != cmd_auth &&
	    (parse_numbers(&a) == -1 || a.n < c->least || a.n > c->most)) {
		session_wrong(s, "-ERR wrong arguments");
		return;
	}
	c->fn(s, &a);
}
