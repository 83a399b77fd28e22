/*
 * AUTH (RFC 4954): responses are taken here, checked for form, and given to whom they concern: the
 * peer of a proxy, over its connection; on connectors of the queue a peer that is connected to for
 * this, or an auth server.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "proxy/factor.h"
#include "smtpd/sasl.h"
#include "smtpd/session.h"

#define TRIES_MAX 5 /* failed logins of one session */
#define COMMAND_LINE 510 /* octets of a command without CRLF (RFC 5321, 4.5.3.1.4) */

/* Where there is a second factor, nobody shall learn which of the two was wrong. */
#define REFUSAL "5.7.8 Error: authentication failed"

enum step {
	TO_NAME, /* what the client says next: the response, or LOGIN's user name */
	TO_PASSWORD, /* LOGIN's */
	TO_END /* the empty answer to a peer that has told in a challenge why a token is bad */
};

struct auth {
	enum sasl_mech mech; /* what is said to the peer */
	enum step step;
	struct credentials who;
	char secret[FACTOR_SECRET_MAX + 1]; /* the gateway password */
	char response[SASL_RESPONSE_MAX + 1]; /* for the peer */
	uint64_t asked; /* clock_ms */
	struct factor *factor;
	struct sasl_ask *sasl;
	struct event *later; /* a refusal waits */
	struct answer answer; /* for the client, meanwhile */
};

static void on_reply(void *arg, unsigned tag, const struct smtp_reply *r);

void
auth_wipe(struct session *s)
{
	if (s->login == NULL)
		return;
	factor_cancel(s->login->factor);
	sasl_cancel(s->login->sasl);
	if (s->login->later != NULL)
		event_free(s->login->later);
	explicit_bzero(s->login, sizeof *s->login);
	free(s->login);
	s->login = NULL;
}

static void
form_error(struct session *s)
{
	auth_wipe(s);
	s->state = ST_READY;
	session_error(s, 501, "5.5.2 the response is not what %s wants, in base64", s->mechanism);
}

/* Nobody is logged in there any longer than it takes to see that he could. */
static void
leave_peer(struct session *s)
{
	if (s->route->auth != CONF_AUTH_PEER)
		return;
	peer_close(s->peer);
	s->peer = NULL;
}

/* The client learns what came of it. */
static void
finish(struct session *s)
{
	struct answer a = s->login->answer;

	leave_peer(s);
	s->waiting = 0;
	s->state = ST_READY;
	auth_wipe(s);
	session_answer(s, &a);
	if (s->logins_failed >= TRIES_MAX)
		session_say(s, 421, "4.7.0 %s too many failed logins", s->route->hostname);
	session_process(s);
}

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

/* answer says how; why is for the log. */
static void
failed(struct session *s, const char *why)
{
	struct auth *l = s->login;
	uint64_t due = l->asked + FACTOR_REFUSAL_MS, now = clock_ms();
	struct log_event e = {.kind = EV_LOGIN_FAILED, .level = LOG_L_WARN};
	struct timeval tv;

	s->logins_failed++;
	e.text = why;
	e.user = l->who.authcid;
	e.mechanism = s->mechanism;
	session_event(s, &e);
	if (s->route->second_factor == CONF_FACTOR_NONE || l->answer.code < 500) {
		finish(s);
		return;
	}
	answer_set(&l->answer, 535, REFUSAL);
	tv = (struct timeval){0, 0};
	if (due > now) {
		tv.tv_sec = (time_t)((due - now) / 1000);
		tv.tv_usec = (suseconds_t)((due - now) % 1000 * 1000);
	}
	s->waiting = 1;
	if ((l->later = evtimer_new(proc_env()->base, on_later, s)) == NULL ||
	    event_add(l->later, &tv) == -1)
		session_say(s, 421, "4.3.0 out of memory");
}

/* The login is right; whom they call as is more than it, if it is somebody else. */
static void
accepted(struct session *s, const char *authzid)
{
	struct credentials *c = &s->login->who;
	bool nobodys = foreign_nobodys(s);
	struct proxy_worker *w = proxy_worker_new(
	    s->route, nobodys ? "" : authzid, nobodys ? "" : c->authcid, 0, s->client);

	if (w == NULL) {
		session_say(s, 421, "4.3.0 out of memory");
		return;
	}
	proxy_worker_free(s->worker);
	s->worker = w;
	s->authed = 1;
	(void)strlcpy(s->user, c->authcid, sizeof s->user);
	finish(s);
}

/* policyd's word on a login that the peer has accepted. */
static void
on_factor(enum factor_result result, const char *why, void *arg)
{
	struct session *s = arg;
	struct auth *l = s->login;
	char text[LOG_FIELD_MAX];

	l->factor = NULL;
	if (result == FACTOR_OK) {
		accepted(s, l->who.authzid);
		return;
	}
	/* The peer believes that somebody is logged in. */
	session_renew_peer(s);
	if (result == FACTOR_DENIED)
		answer_set(&l->answer, 535, REFUSAL);
	else
		answer_set(&l->answer, 454, "4.7.0 Temporary authentication failure");
	(void)snprintf(text, sizeof text, "second factor: %s", why);
	failed(s, text);
}

/* The peer's last word on the login. */
static void
conclude(struct session *s, const struct smtp_reply *r)
{
	struct auth *l = s->login;
	char line[LOG_FIELD_MAX];

	answer_from_peer(&l->answer, r);
	if (r->code == 235) {
		leave_peer(s);
		l->factor = factor_ask(s->route, &l->who, s->c, l->secret, on_factor, s);
		if (l->factor == NULL)
			session_say(s, 421, "4.3.0 out of memory");
		return;
	}
	if (r->code < 400)
		answer_set(&l->answer, 454, "4.7.0 the mail server did not finish the login");
	failed(s, answer_line(line, sizeof line, &l->answer));
}

static void
ask_peer(struct session *s, const char *line, unsigned tag)
{
	s->waiting = 1;
	if (peer_command(s->peer, line, on_reply, s, tag) == -1)
		session_say(s, 421, "4.4.2 the mail server cannot be asked");
}

/* tag of a command: what the peer is expected to ask for next. */
enum { ASKS_NAME, ASKS_PASSWORD, ASKS_NOTHING, IS_CANCELLED };

/* Never leave the peer in the middle of an exchange. */
static void
cancel_at_peer(struct session *s)
{
	ask_peer(s, "*", IS_CANCELLED);
}

/* Why a token is not good (RFC 7628, 3.2.2): the client has to answer before it is refused. */
static void
challenge(struct session *s, const struct smtp_reply *r)
{
	static const char b64[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	const char *text = smtp_reply_text(r, NULL);

	if (text == NULL || r->lines != 1 || strlen(text) > ANSWER_LINE_MAX ||
	    text[strspn(text, b64)] != '\0')
		text = "";
	s->login->step = TO_END;
	s->waiting = 0;
	s->state = ST_AUTH;
	session_say(s, 334, "%s", text);
	session_process(s);
}

static void
on_reply(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct session *s = arg;
	struct auth *l = s->login;
	char line[B64_LEN(PASSWORD_MAX) + 1];
	const char *what;

	if (r->code != 334 || tag == IS_CANCELLED)
		conclude(s, r);
	else if (l->mech == SASL_LOGIN && tag < ASKS_NOTHING) {
		what = tag == ASKS_NAME ? l->who.authcid : l->who.password;
		(void)b64_encode(line, what, strlen(what));
		ask_peer(s, line, tag + 1);
		explicit_bzero(line, sizeof line);
	} else if (tag == ASKS_NAME)
		ask_peer(s, l->response, ASKS_NOTHING);
	else if ((F_MECH(l->mech) & F_TOKENS) && l->step != TO_END)
		challenge(s, r);
	else
		cancel_at_peer(s);
}

/* Put it to the peer. */
static void
tell_peer(struct session *s)
{
	struct auth *l = s->login;
	const char *name = sasl_mech_name(l->mech);
	char line[COMMAND_LINE + 1];

	if (l->mech == SASL_PLAIN &&
	    sasl_plain_make(l->response, sizeof l->response, &l->who) == -1) {
		leave_peer(s);
		s->waiting = 0;
		form_error(s);
		return;
	}
	if (l->mech != SASL_LOGIN &&
	    snprintf(line, sizeof line, "AUTH %s %s", name, l->response) < (int)sizeof line)
		ask_peer(s, line, ASKS_NOTHING);
	else {
		/* Too long for a command line: the peer is asked to ask for it (RFC 4954, 4). */
		(void)snprintf(line, sizeof line, "AUTH %s", name);
		ask_peer(s, line, ASKS_NAME);
	}
	explicit_bzero(line, sizeof line);
}

/* It could not be found out. */
static void
unknown(struct session *s, const char *why)
{
	answer_set(&s->login->answer, 454, "4.7.0 Temporary authentication failure");
	failed(s, why);
}

/* --- a peer that is connected to for this login --- */

#define LEARNT_MAX 16 /* peers whose mechanisms are remembered */

static struct learnt {
	char peer[65];
	unsigned mechs;
} learnt[LEARNT_MAX];

static struct learnt *
learnt_of(const char *peer)
{
	size_t i;

	for (i = 0; i < LEARNT_MAX; i++)
		if (learnt[i].peer[0] == '\0' || strcmp(learnt[i].peer, peer) == 0)
			return &learnt[i];
	return &learnt[0];
}

static void
learn(const char *peer, unsigned mechs)
{
	struct learnt *x = learnt_of(peer);

	(void)strlcpy(x->peer, peer, sizeof x->peer);
	x->mechs = mechs & F_LOGINS;
}

/* What a password is put in there is not what the client took. */
static int
choose_mech(struct auth *l, unsigned has)
{
	enum sasl_mech other = l->mech == SASL_PLAIN ? SASL_LOGIN : SASL_PLAIN;

	if (has & F_MECH(l->mech))
		return 0;
	if ((l->mech != SASL_PLAIN && l->mech != SASL_LOGIN) || (has & F_MECH(other)) == 0 ||
	    (l->who.authzid[0] != '\0' && strcmp(l->who.authzid, l->who.authcid) != 0))
		return -1;
	l->mech = other;
	return 0;
}

static void
login_ready(void *arg)
{
	struct session *s = arg;

	learn(s->route->peer, peer_features(s->peer));
	if (choose_mech(s->login, peer_features(s->peer)) == 0)
		tell_peer(s);
	else
		unknown(s, "the peer has no such mechanism");
}

static void
login_failed(const struct answer *why, void *arg)
{
	struct session *s = arg;
	char line[LOG_FIELD_MAX];

	leave_peer(s);
	/* Between a challenge and its response the client is not waiting. */
	if (s->login != NULL && s->state != ST_AUTH)
		unknown(s, answer_line(line, sizeof line, why));
}

static const struct peer_ops login_ops = {.ready = login_ready, .failed = login_failed};

static void
on_sasl(enum sasl_result r, const char *user, const char *why, void *arg)
{
	struct session *s = arg;
	struct auth *l = s->login;
	const char *as = l->who.authzid;

	l->sasl = NULL;
	if (r == SASL_UNKNOWN)
		unknown(s, why);
	else if (r == SASL_WRONG) {
		answer_set(&l->answer, 535, REFUSAL);
		failed(s, why);
	} else {
		answer_set(&l->answer, 235, "2.7.0 Authentication successful");
		/* Who is let in under another name than he gave acts for somebody. */
		if (as[0] == '\0' || strcasecmp(as, l->who.authcid) == 0)
			as = user;
		accepted(s, as);
	}
}

static void
local_ip(const struct session *s, char *out, size_t outsz)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof ss;
	struct netaddr a;

	out[0] = '\0';
	if (getsockname(conn_fd(s->c), (struct sockaddr *)&ss, &len) == -1 ||
	    netaddr_from_sockaddr(&a, (struct sockaddr *)&ss) == -1)
		return;
	a.port = 0;
	(void)netaddr_format(out, outsz, ':', &a);
}

static void
tell_sasl(struct session *s)
{
	struct auth *l = s->login;
	char lip[NETADDR_TEXT_MAX];

	local_ip(s, lip, sizeof lip);
	s->waiting = 1;
	l->sasl =
	    sasl_ask(s->route->connector, &l->who, conn_is_tls(s->c), lip, s->client, on_sasl, s);
	if (l->sasl == NULL)
		unknown(s, strerrordesc_np(errno));
}

/* All is there that the client has to say. */
static void
submit(struct session *s)
{
	struct auth *l = s->login;

	l->asked = clock_ms();
	if (factor_split(s->route, &l->who, l->secret) == -1) {
		answer_set(&l->answer, 535, REFUSAL);
		failed(s, "no gateway password");
		return;
	}
	switch (s->route->auth) {
	case CONF_AUTH_NONE: /* a proxy's */
		tell_peer(s);
		break;
	case CONF_AUTH_PEER:
		s->waiting = 1;
		if ((s->peer = peer_open(s->route, NULL, false, &login_ops, s)) == NULL)
			unknown(s, "out of memory");
		break;
	case CONF_AUTH_SASL:
		tell_sasl(s);
	}
}

static int
parse(struct auth *l, const char *b64)
{
	switch (l->mech) {
	case SASL_PLAIN:
		return sasl_plain_parse(&l->who, b64);
	case SASL_XOAUTH2:
		return sasl_xoauth2_parse(&l->who, b64);
	case SASL_OAUTHBEARER:
		return sasl_oauthbearer_parse(&l->who, b64);
	default:
		break;
	}
	if (l->step == TO_NAME)
		return sasl_login_parse(l->who.authcid, sizeof l->who.authcid, b64, 0);
	return sasl_login_parse(l->who.password, sizeof l->who.password, b64, 1);
}

static void
response(struct session *s, const char *b64)
{
	struct auth *l = s->login;

	if (parse(l, b64) == -1)
		form_error(s);
	else if (l->mech == SASL_LOGIN && l->step == TO_NAME) {
		l->step = TO_PASSWORD;
		s->state = ST_AUTH;
		session_say(s, 334, "UGFzc3dvcmQ6"); /* "Password:" */
	} else {
		(void)strlcpy(l->response, b64, sizeof l->response);
		submit(s);
	}
}

void
auth_response(struct session *s, const char *line)
{
	if (s->login->step == TO_END && s->peer == NULL) {
		s->waiting = 1;
		unknown(s, "the peer was lost");
	} else if (s->login->step == TO_END) {
		/* XOAUTH2 has an empty line here, OAUTHBEARER a single ^A (RFC 7628, 3.2.3). */
		if (*line == '\0' || strcmp(line, "AQ==") == 0)
			ask_peer(s, line, ASKS_NOTHING);
		else
			cancel_at_peer(s);
	} else if (strcmp(line, "*") == 0) {
		auth_wipe(s);
		s->state = ST_READY;
		session_error(s, 501, "5.7.0 login cancelled");
	} else if (strlen(line) > SASL_RESPONSE_MAX) {
		auth_wipe(s);
		s->state = ST_READY;
		session_error(s, 500, "5.5.6 the response is too long");
	} else
		response(s, line);
}

void
auth_garbled(struct session *s)
{
	int open = s->login->step == TO_END;

	auth_wipe(s);
	s->state = ST_READY;
	leave_peer(s);
	if (!open || s->peer == NULL)
		return;
	s->waiting = 1;
	if (peer_command(s->peer, "*", session_goes_on, s, 0) == -1)
		session_say(s, 421, "4.4.2 the mail server cannot be asked");
}

/* May this mechanism be used now? It, or -1 and the client was told. */
static int
admissible(struct session *s, const char *name, size_t n)
{
	int m = sasl_mech_find(name, n);

	if ((s->features & F_LOGINS) == 0)
		session_error(s, 502, "5.5.1 logins are not offered");
	else if (s->authed)
		session_error(s, 503, "5.5.1 you are logged in already");
	else if (m == -1 || (s->features & F_MECH(m)) == 0)
		session_error(s, 504, "5.5.4 mechanism not offered");
	else
		return m;
	return -1;
}

int
auth_command(struct session *s, const char *args)
{
	size_t n = strcspn(args, " ");
	const char *initial = args + n + (args[n] == ' ');
	int m;

	if (n == 0) {
		session_error(s, 501, "5.5.4 a mechanism is expected");
		return 0;
	}
	if ((m = admissible(s, args, n)) == -1)
		return 0;
	if ((s->login = calloc(1, sizeof *s->login)) == NULL) {
		session_say(s, 454, "4.7.0 out of memory");
		return 0;
	}
	s->login->mech = (enum sasl_mech)m;
	s->mechanism = sasl_mech_name(s->login->mech);
	if (initial[0] != '\0')
		auth_response(s, initial);
	else {
		s->state = ST_AUTH;
		session_say(s, 334, "%s", m == SASL_LOGIN ? "VXNlcm5hbWU6" : "");
	}
	line_wipe(&s->in);
	return 0;
}

/* --- what is offered --- */

/* A look at what a peer has, that nobody has logged in at so far. */
struct probe {
	const struct proxy_route *r;
	struct peer *peer;
};

static void
probe_end(struct probe *p)
{
	peer_close(p->peer);
	proxy_route_drop(p->r);
	free(p);
}

static void
probe_ready(void *arg)
{
	struct probe *p = arg;

	learn(p->r->peer, peer_features(p->peer));
	probe_end(p);
}

static void
probe_failed(const struct answer *why, void *arg)
{
	(void)why; /* is in the log */
	probe_end(arg);
}

static const struct peer_ops probe_ops = {.ready = probe_ready, .failed = probe_failed};

static void
probe(const struct session *s)
{
	const struct conf_connector *k = proxy_connector(s->route->connector);
	struct probe *p = k != NULL ? calloc(1, sizeof *p) : NULL;

	if (p == NULL)
		return;
	p->r = proxy_route_get(k, s->route->client_tls, proc_env()->conf);
	if (p->r == NULL || p->r->auth != CONF_AUTH_PEER ||
	    (p->peer = peer_open(p->r, NULL, false, &probe_ops, p)) == NULL)
		probe_end(p);
}

unsigned
auth_offers(const struct session *s)
{
	const struct proxy_route *r = s->route;
	const struct learnt *x;

	if (r->auth == CONF_AUTH_NONE || (r->tls_required && !conn_is_tls(s->c)))
		return 0;
	if (r->auth == CONF_AUTH_SASL)
		return F_PLAIN | F_LOGIN;
	x = learnt_of(r->peer);
	if (strcmp(x->peer, r->peer) == 0)
		return x->mechs & (F_PLAIN | F_LOGIN) ? x->mechs | F_PLAIN | F_LOGIN : x->mechs;
	/* Passwords there will be; of tokens the next client is told. */
	learn(r->peer, F_PLAIN | F_LOGIN);
	probe(s);
	return F_PLAIN | F_LOGIN;
}
