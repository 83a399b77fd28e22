/*
 * Login: what the client says is relayed to the peer, which decides; then we know who it is.  Where
 * the connector wants a second factor, policyd decides after the peer, and before the client hears.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "pop3d/session.h"
#include "proxy/factor.h"

/* What a login that wants a second factor fails with, whichever factor was wrong. */
static const char refusal[] = "-ERR [AUTH] the login is not valid";

enum next { NEXT_NOTHING, NEXT_RESPONSE, NEXT_PASSWORD, NEXT_ERROR_SEEN };

struct attempt {
	int mech; /* enum sasl_mech; -1: USER and PASS */
	enum next next; /* what the client's next line is */
	struct credentials c;
	char secret[FACTOR_SECRET_MAX + 1];
	char *token; /* the response that goes to the peer as it came */
	uint64_t asked; /* clock_ms when the login was known */
	char *answer; /* the peer's status line, for the client once all is well */
	bool refused; /* and it refuses */
	struct factor *factor;
	struct event *wait;
};

static void
wipe(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

void
login_free(struct session *s)
{
	struct attempt *l = s->login;

	if (l == NULL)
		return;
	s->login = NULL;
	factor_cancel(l->factor);
	if (l->wait != NULL)
		event_free(l->wait);
	wipe(&l->token);
	free(l->answer);
	explicit_bzero(l, sizeof *l);
	free(l);
}

bool
login_expects(const struct session *s)
{
	return s->login != NULL && s->login->next != NEXT_NOTHING;
}

unsigned
login_mechs(const struct session *s)
{
	if (stls_missing(s))
		return 0;
	/* A token has no room for a gateway password. */
	if (s->route->second_factor == CONF_FACTOR_PASSWORD)
		return s->can.mechs & (1u << SASL_PLAIN | 1u << SASL_LOGIN);
	return s->can.mechs;
}

static const char *
method(const struct attempt *l)
{
	return l->mech == -1 ? "USER" : sasl_mech_name((enum sasl_mech)l->mech);
}

static void
out_of_memory(struct session *s)
{
	session_end(s, "-ERR [SYS/TEMP] out of memory");
}

static int
begin(struct session *s, int mech)
{
	login_free(s);
	if ((s->login = calloc(1, sizeof *s->login)) == NULL) {
		out_of_memory(s);
		return -1;
	}
	s->login->mech = mech;
	return 0;
}

/* --- the end of it --- */

/* All agree: the session is this user's from now on. */
static void
logged_in(struct session *s)
{
	struct attempt *l = s->login;
	bool tls = conn_is_tls(s->client);
	char server[SESSION_SERVER_MAX], how[LOG_FIELD_MAX + 256];

	s->authzid = strdup(l->c.authzid);
	s->authcid = strdup(l->c.authcid);
	if (s->authzid == NULL || s->authcid == NULL) {
		out_of_memory(s);
		return;
	}
	s->state = ST_TRANSACTION;
	totals.logins++;
	(void)snprintf(how, sizeof how, "%s%.*s%s%s%s", s->authzid[0] ? "authzid=" : "",
	    LOG_FIELD_MAX, s->authzid, s->authzid[0] && tls ? " " : "", tls ? "tls=" : "",
	    tls ? conn_tls_text(s->client) : "");
	session_event(s, &(struct log_event){.kind = EV_LOGIN,
			     .mechanism = method(l),
			     .user = s->authcid,
			     .relay = session_server(s, server),
			     .text = how});
	session_reply(s, l->answer);
	login_free(s);
	session_done(s, NULL);
}

static void
failed(struct session *s, const char *why)
{
	struct attempt *l = s->login;

	totals.failed_logins++;
	session_event(s, &(struct log_event){.kind = EV_LOGIN_FAILED,
			     .mechanism = method(l),
			     .user = l->c.authcid,
			     .text = why});
}

static void
on_wait(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_end(arg, refusal);
}

/*
 * One of the two factors is wrong or missing: nobody learns which.  The session ends, since it must
 * when the peer has taken the login, or must not hear of it.
 */
static void
refuse(struct session *s, const char *why)
{
	uint64_t took = clock_ms() - s->login->asked;
	uint64_t left = took < FACTOR_REFUSAL_MS ? FACTOR_REFUSAL_MS - took : 0;
	struct timeval tv = {(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};

	failed(s, why);
	if (s->peer != NULL)
		conn_finish(s->peer);
	s->peer = NULL;
	if ((s->login->wait = evtimer_new(proc_env()->base, on_wait, s)) == NULL ||
	    event_add(s->login->wait, &tv) == -1)
		out_of_memory(s);
}

static void
on_factor(enum factor_result result, const char *why, void *arg)
{
	struct session *s = arg;
	char text[LOG_FIELD_MAX];

	s->login->factor = NULL;
	if (result == FACTOR_DENIED)
		refuse(s, why);
	else if (result == FACTOR_DEFER) {
		log_warn(
		    "%s: second factor: %s", s->id, log_clean(text, sizeof text, why, strlen(why)));
		session_end(s, "-ERR [SYS/TEMP] the login cannot be checked now");
	} else if (s->login->refused)
		session_end(s, s->login->answer);
	else
		logged_in(s);
}

/* The peer has spoken; the client hears it when policyd agrees. */
static void
ask_factor(struct session *s, const struct pop3_reply *r)
{
	struct attempt *l = s->login;
	char text[POP3_REPLY_LINE_MAX + 8];

	session_status_text(text, sizeof text, r);
	l->refused = r->status != POP3_OK;
	if ((l->answer = strdup(text)) == NULL) {
		out_of_memory(s);
		return;
	}
	if (s->route->second_factor == CONF_FACTOR_NONE) {
		logged_in(s);
		return;
	}
	l->factor = factor_ask(s->route, &l->c, s->client, l->secret, on_factor, s);
	if (l->factor == NULL)
		out_of_memory(s);
	explicit_bzero(l->secret, sizeof l->secret);
}

/* The peer refuses. */
static void
peer_refused(struct session *s, const struct pop3_reply *r)
{
	if (s->route->second_factor != CONF_FACTOR_NONE) {
		/* That somebody has the maildrop open tells that the password was right. */
		if (strcmp(r->code, "IN-USE") == 0) {
			ask_factor(s, r);
			return;
		}
		if (strncmp(r->code, "SYS/", 4) != 0) {
			refuse(s, "");
			return;
		}
	}
	failed(s, "");
	login_free(s);
	session_pass_status(s, r);
	if (++s->failed_logins >= POP3_LOGINS_MAX)
		session_end(s, "-ERR too many failed logins");
	else
		session_done(s, NULL);
}

static void
misunderstood(struct session *s, const char *what)
{
	char server[SESSION_SERVER_MAX];

	log_warn("%s: peer %s %s", s->id,
	    foreign_is(s) ? session_server(s, server) : s->route->peer, what);
	session_end(s, "-ERR [SYS/TEMP] the mail server does not understand the login");
}

/* --- towards the peer --- */

/* The peer's answer to the last that it was told. */
static void
on_final(struct session *s, const struct pop3_reply *r)
{
	struct attempt *l = s->login;

	if (r->status == POP3_OK && l->next != NEXT_ERROR_SEEN)
		ask_factor(s, r);
	else if (r->status == POP3_ERR)
		peer_refused(s, r);
	else if (r->status == POP3_CONTINUE && l->token != NULL && l->next == NEXT_NOTHING) {
		/* Why the token is no good, for the client, which has to acknowledge it (RFC
		 * 7628, 3.2.2).
		 */
		l->next = NEXT_ERROR_SEEN;
		session_pass_status(s, r);
		session_done(s, NULL);
	} else
		misunderstood(s, "goes on with a login that was over");
}

static void
on_login_name(struct session *s, const struct pop3_reply *r)
{
	char b64[B64_LEN(PASSWORD_MAX) + 1];
	struct credentials *c = &s->login->c;

	if (r->status != POP3_CONTINUE) {
		on_final(s, r);
		return;
	}
	(void)b64_encode(b64, c->password, strlen(c->password));
	explicit_bzero(c->password, sizeof c->password);
	session_ask(s, on_final, "%s", b64);
	explicit_bzero(b64, sizeof b64);
}

static void
on_ready(struct session *s, const struct pop3_reply *r)
{
	char b64[SASL_RESPONSE_MAX];
	struct attempt *l = s->login;

	if (r->status == POP3_OK) {
		misunderstood(s, "accepts a login before it was given");
		return;
	}
	if (r->status == POP3_ERR) {
		peer_refused(s, r);
		return;
	}
	if (l->token != NULL)
		session_ask(s, on_final, "%s", l->token);
	else if (l->mech == SASL_LOGIN) {
		(void)b64_encode(b64, l->c.authcid, strlen(l->c.authcid));
		session_ask(s, on_login_name, "%s", b64);
	} else if (sasl_plain_make(b64, sizeof b64, &l->c) == 0) {
		explicit_bzero(l->c.password, sizeof l->c.password);
		session_ask(s, on_final, "%s", b64);
		explicit_bzero(b64, sizeof b64);
	} else
		misunderstood(s, "cannot be told so long a login");
}

/* The client has said all. */
static void
ask_peer(struct session *s)
{
	struct attempt *l = s->login;

	l->next = NEXT_NOTHING;
	l->asked = clock_ms();
	if (factor_split(s->route, &l->c, l->secret) == -1) {
		explicit_bzero(l->c.password, sizeof l->c.password);
		refuse(s, "no gateway password");
		return;
	}
	if (l->mech == -1) {
		session_ask(s, on_final, "PASS %s", l->c.password);
		explicit_bzero(l->c.password, sizeof l->c.password);
	} else
		/* Always in two steps: an initial response may be too long for the peer's line. */
		session_ask(s, on_ready, "AUTH %s", method(l));
}

/* --- from the client --- */

static void
on_user(struct session *s, const struct pop3_reply *r)
{
	if (r->status != POP3_OK) {
		free(s->user);
		s->user = NULL;
	}
	session_pass_status(s, r);
	session_done(s, NULL);
}

/* Refuse what must not be said in clear. */
static int
in_clear(struct session *s)
{
	if (!stls_missing(s))
		return 0;
	session_done(s, "-ERR [AUTH] STLS first: logins in clear are not taken here");
	return 1;
}

void
login_user(struct session *s, const char *arg)
{
	if (in_clear(s))
		return;
	free(s->user);
	s->user = NULL;
	if (arg[0] == '\0' || strlen(arg) > LOGIN_MAX) {
		session_done(s, "-ERR wrong arguments");
		return;
	}
	if ((s->user = strdup(arg)) == NULL)
		out_of_memory(s);
	else
		session_ask(s, on_user, "USER %s", arg);
}

void
login_pass(struct session *s, const char *arg)
{
	struct credentials *c;

	if (in_clear(s))
		return;
	if (s->user == NULL) {
		session_done(s, "-ERR USER first");
		return;
	}
	if (strlen(arg) > PASSWORD_MAX) {
		session_done(s, "-ERR wrong arguments");
		return;
	}
	if (begin(s, -1) == -1)
		return;
	c = &s->login->c;
	(void)strlcpy(c->authcid, s->user, sizeof c->authcid);
	(void)strlcpy(c->password, arg, sizeof c->password);
	free(s->user);
	s->user = NULL;
	ask_peer(s);
}

/* Who it is, or -1.  The password is the peer's to know, and the token its to judge. */
static int
take_response(struct attempt *l, const char *line)
{
	switch (l->mech) {
	case SASL_PLAIN:
		return sasl_plain_parse(&l->c, line);
	case SASL_XOAUTH2:
		if (sasl_xoauth2_parse(&l->c, line) == -1)
			return -1;
		break;
	case SASL_OAUTHBEARER:
		if (sasl_oauthbearer_parse(&l->c, line) == -1)
			return -1;
		break;
	default:
		return -1;
	}
	return (l->token = strdup(line)) == NULL ? -1 : 0;
}

/* A line of LOGIN: the name, then the password.  1 when the peer may be asked. */
static int
take_login(struct session *s, const char *line)
{
	struct attempt *l = s->login;
	struct credentials *c = &l->c;

	if (l->next == NEXT_PASSWORD)
		return sasl_login_parse(c->password, sizeof c->password, line, 1) == 0 ? 1 : -1;
	if (sasl_login_parse(c->authcid, sizeof c->authcid, line, 0) == -1)
		return -1;
	l->next = NEXT_PASSWORD;
	session_done(s, "+ UGFzc3dvcmQ6"); /* "Password:" */
	return 0;
}

/* The client has read why its token was refused; the peer says the rest. */
static void
acknowledge(struct session *s, const char *line)
{
	bool known = line[0] == '\0' || strcmp(line, "AQ==") == 0 || strcmp(line, "*") == 0;

	session_ask(s, on_final, "%s", known ? line : "*");
}

void
login_response(struct session *s, const char *line)
{
	struct attempt *l = s->login;
	int whole = 1;

	if (l->next == NEXT_ERROR_SEEN) {
		acknowledge(s, line);
		return;
	}
	if (strcmp(line, "*") == 0) {
		login_free(s);
		session_done(s, "-ERR cancelled");
		return;
	}
	if (l->mech == SASL_LOGIN)
		whole = take_login(s, line);
	else if (strlen(line) > SASL_RESPONSE_MAX || take_response(l, line) == -1)
		whole = -1;
	if (whole == 1)
		ask_peer(s);
	else if (whole == -1) {
		login_free(s);
		session_done(s, "-ERR malformed response");
	}
}

/* AUTH alone asks what there is. */
static void
list_mechs(struct session *s)
{
	char text[128] = "+OK mechanisms\r\n";
	unsigned mechs = login_mechs(s);
	int m;

	for (m = 0; m < SASL_MECHS; m++)
		if ((mechs & 1u << m) != 0) {
			(void)strlcat(text, sasl_mech_name(m), sizeof text);
			(void)strlcat(text, "\r\n", sizeof text);
		}
	(void)strlcat(text, ".", sizeof text);
	session_done(s, text);
}

void
login_auth(struct session *s, const char *arg)
{
	size_t n = strcspn(arg, " ");
	int mech;

	if (arg[0] == '\0') {
		list_mechs(s);
		return;
	}
	if (in_clear(s))
		return;
	mech = sasl_mech_find(arg, n);
	if (mech == -1 || (login_mechs(s) & 1u << mech) == 0) {
		session_done(s, "-ERR mechanism not offered");
		return;
	}
	if (begin(s, mech) == -1)
		return;
	s->login->next = NEXT_RESPONSE;
	if (arg[n] == ' ')
		login_response(s, arg + n + 1);
	else
		session_done(s, mech == SASL_LOGIN ? "+ VXNlcm5hbWU6" : "+ "); /* "Username:" */
}
