/* AUTH (RFC 4954): responses are taken here, checked for form, and given to the peer to judge. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/log.h"
#include "smtpd/session.h"

#define TRIES_MAX 5 /* failed logins of one session */
#define LINE_MAX_AUTH (B64_LEN(2 * LOGIN_MAX + PASSWORD_MAX + 2) + 16)

static void on_login_step(void *arg, unsigned tag, const struct smtp_reply *r);

void
auth_wipe(struct session *s)
{
	if (s->login != NULL)
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

/* The peer knows this user now; so do we. */
static int
accepted(struct session *s)
{
	struct proxy_worker *w =
	    proxy_worker_new(&s->route, s->login->authzid, s->login->authcid, 0, s->client);

	if (w == NULL)
		return -1;
	proxy_worker_free(s->worker);
	s->worker = w;
	s->authed = 1;
	(void)strlcpy(s->user, s->login->authcid, sizeof s->user);
	return 0;
}

/* The peer's last word on the login. */
static void
conclude(struct session *s, const struct smtp_reply *r)
{
	char line[LOG_FIELD_MAX];
	struct answer a;

	s->waiting = 0;
	s->state = ST_READY;
	answer_from_peer(&a, r);
	if (r->code == 235) {
		if (accepted(s) == -1) {
			session_say(s, 421, "4.3.0 out of memory");
			return;
		}
	} else {
		if (r->code < 400)
			answer_set(&a, 454, "4.7.0 the mail server did not finish the login");
		s->logins_failed++;
		log_warn("unknown%s: SASL %s authentication failed: %s, sasl_username=%s", s->ip,
		    s->mechanism, log_str(answer_line(line, sizeof line, &a)),
		    log_str(s->login != NULL ? s->login->authcid : ""));
	}
	auth_wipe(s);
	session_answer(s, &a);
	if (s->logins_failed >= TRIES_MAX)
		session_say(s, 421, "4.7.0 %s too many failed logins", s->route.hostname);
	session_process(s);
}

static void
on_final(void *arg, unsigned tag, const struct smtp_reply *r)
{
	(void)tag;
	conclude(arg, r);
}

/* Never leave the peer in the middle of an exchange. */
static void
cancel_at_peer(struct session *s)
{
	if (peer_command(s->peer, "*", on_final, s, 0) == -1)
		session_say(s, 421, "4.4.2 the mail server cannot be asked");
}

static void
on_plain(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct session *s = arg;

	(void)tag;
	if (r->code == 334)
		cancel_at_peer(s);
	else
		conclude(s, r);
}

static void
ask_peer(struct session *s, const char *line, peer_reply_fn fn, unsigned tag)
{
	s->waiting = 1;
	if (peer_command(s->peer, line, fn, s, tag) == -1)
		session_say(s, 421, "4.4.2 the mail server cannot be asked");
}

/* tag: which of user name and password the peer asks for now. */
static void
on_login_step(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct session *s = arg;
	char line[LINE_MAX_AUTH];
	const char *what;

	if (r->code != 334) {
		conclude(s, r);
		return;
	}
	if (tag == 2) {
		cancel_at_peer(s);
		return;
	}
	what = tag == 0 ? s->login->authcid : s->login->password;
	(void)b64_encode(line, what, strlen(what));
	ask_peer(s, line, on_login_step, tag + 1);
	explicit_bzero(line, sizeof line);
}

static void
plain(struct session *s, const char *b64)
{
	char line[LINE_MAX_AUTH];

	if (sasl_plain_parse(s->login, b64) == -1) {
		form_error(s);
		return;
	}
	(void)snprintf(line, sizeof line, "AUTH PLAIN %s", b64);
	ask_peer(s, line, on_plain, 0);
	explicit_bzero(line, sizeof line);
}

static void
login(struct session *s, const char *b64)
{
	struct credentials *l = s->login;

	if (s->login_step == 0) {
		if (login_from_base64(l->authcid, sizeof l->authcid, b64, 0) == -1) {
			form_error(s);
			return;
		}
		s->login_step = 1;
		s->state = ST_AUTH;
		session_say(s, 334, "UGFzc3dvcmQ6"); /* "Password:" */
		return;
	}
	if (login_from_base64(l->password, sizeof l->password, b64, 1) == -1) {
		form_error(s);
		return;
	}
	ask_peer(s, "AUTH LOGIN", on_login_step, 0);
}

void
auth_response(struct session *s, char *line)
{
	if (strcmp(line, "*") == 0) {
		auth_wipe(s);
		s->state = ST_READY;
		session_error(s, 501, "5.7.0 login cancelled");
	} else if (strcmp(s->mechanism, "PLAIN") == 0)
		plain(s, line);
	else
		login(s, line);
}

/* May this be asked now? 0, or -1 and the client was told. */
static int
admissible(struct session *s, const char *name)
{
	static const struct {
		const char *name;
		unsigned bit;
	} mechanisms[] = {{"PLAIN", F_PLAIN}, {"LOGIN", F_LOGIN}};
	size_t i;

	if ((s->features & (F_PLAIN | F_LOGIN)) == 0)
		session_error(s, 502, "5.5.1 logins are not offered");
	else if (s->authed)
		session_error(s, 503, "5.5.1 you are logged in already");
	else {
		for (i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
			if (strcasecmp(name, mechanisms[i].name) == 0 &&
			    (s->features & mechanisms[i].bit) != 0) {
				s->mechanism = mechanisms[i].name;
				return 0;
			}
		session_error(s, 504, "5.5.4 mechanism not offered");
	}
	return -1;
}

int
auth_command(struct session *s, const char *args)
{
	char name[24];
	const char *initial;
	size_t n = strcspn(args, " ");

	if (n == 0 || n >= sizeof name) {
		session_error(s, 501, "5.5.4 a mechanism is expected");
		return 0;
	}
	memcpy(name, args, n);
	name[n] = '\0';
	initial = args + n + (args[n] == ' ');
	if (admissible(s, name) == -1)
		return 0;
	if ((s->login = calloc(1, sizeof *s->login)) == NULL) {
		session_say(s, 454, "4.7.0 out of memory");
		return 0;
	}
	s->login_step = 0;
	if (initial[0] != '\0')
		auth_response(s, (char *)(uintptr_t)initial);
	else {
		s->state = ST_AUTH;
		session_say(s, 334, "%s", s->mechanism[0] == 'P' ? "" : "VXNlcm5hbWU6");
	}
	line_wipe(&s->in);
	return 0;
}
