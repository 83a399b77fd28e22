/* Login: what the client says is relayed to the peer, which decides; then we know who it is. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "pop3d/session.h"
#include "proxy/sasl.h"

/* The peer accepted it. */
static void
logged_in(struct session *s, const char *method)
{
	s->state = ST_TRANSACTION;
	s->worker = proxy_worker_new(&s->route, s->authzid, s->authcid, 0, s->client_text);
	if (s->worker == NULL) {
		session_end(s, "-ERR [SYS/TEMP] out of memory");
		return;
	}
	totals.logins++;
	log_info("%s: client=unknown%s, sasl_method=%s, sasl_username=%s%s%s, relay=%s:%u", s->id,
	    s->client_text, method, log_str(s->authcid), s->authzid[0] ? ", sasl_authzid=" : "",
	    s->authzid[0] ? log_str(s->authzid) : "", s->route.host, s->route.port);
}

static void
judge(struct session *s, const struct pop3_reply *r, const char *method)
{
	if (r->status == POP3_OK)
		logged_in(s, method);
	else {
		totals.failed_logins++;
		log_warn("%s: unknown%s: SASL %s authentication failed, sasl_username=%s", s->id,
		    s->client_text, method, log_str(s->authcid));
	}
	session_pass_status(s, r);
	if (r->status != POP3_OK && ++s->failed_logins >= POP3_LOGINS_MAX)
		session_end(s, "-ERR too many failed logins");
	else
		session_done(s, NULL);
}

static void
on_user(struct session *s, const struct pop3_reply *r)
{
	if (r->status != POP3_OK)
		s->user[0] = '\0';
	session_pass_status(s, r);
	session_done(s, NULL);
}

void
login_user(struct session *s, const char *arg)
{
	if (arg[0] == '\0' || strlcpy(s->user, arg, sizeof s->user) >= sizeof s->user) {
		s->user[0] = '\0';
		session_done(s, "-ERR wrong arguments");
		return;
	}
	session_ask(s, on_user, "USER %s", arg);
}

static void
on_pass(struct session *s, const struct pop3_reply *r)
{
	judge(s, r, "USER");
}

void
login_pass(struct session *s, const char *arg)
{
	if (s->user[0] == '\0') {
		session_done(s, "-ERR USER first");
		return;
	}
	(void)strlcpy(s->authcid, s->user, sizeof s->authcid);
	s->authzid[0] = s->user[0] = '\0';
	session_ask(s, on_pass, "PASS %s", arg);
}

static void
forget_sasl(struct session *s)
{
	if (s->sasl != NULL) {
		explicit_bzero(s->sasl, strlen(s->sasl));
		free(s->sasl);
	}
	s->sasl = NULL;
}

static void
on_auth(struct session *s, const struct pop3_reply *r)
{
	if (r->status == POP3_CONTINUE) {
		log_warn("%s: peer %s asks for more than PLAIN has", s->id, s->route.peer);
		session_end(s, "-ERR [SYS/TEMP] the mail server does not understand the login");
		return;
	}
	judge(s, r, "PLAIN");
}

static void
on_auth_ready(struct session *s, const struct pop3_reply *r)
{
	if (r->status == POP3_CONTINUE)
		session_ask(s, on_auth, "%s", s->sasl);
	else if (r->status == POP3_OK) {
		log_warn("%s: peer %s accepts a login before it was given", s->id, s->route.peer);
		session_end(s, "-ERR [SYS/TEMP] the mail server does not understand the login");
	} else
		judge(s, r, "PLAIN");
	forget_sasl(s);
}

/* Who it is, or -1. The password is the peer's to know. */
static int
take_names(struct session *s, const char *b64)
{
	struct credentials c;
	int rc = sasl_plain_parse(&c, b64);

	/* On failure both are empty. */
	(void)strlcpy(s->authzid, c.authzid, sizeof s->authzid);
	(void)strlcpy(s->authcid, c.authcid, sizeof s->authcid);
	explicit_bzero(&c, sizeof c);
	return rc;
}

void
login_sasl_response(struct session *s, const char *line)
{
	s->sasl_expected = false;
	if (strcmp(line, "*") == 0) {
		session_done(s, "-ERR cancelled");
		return;
	}
	if (take_names(s, line) == -1) {
		session_done(s, "-ERR malformed response");
		return;
	}
	if ((s->sasl = strdup(line)) == NULL) {
		session_end(s, "-ERR [SYS/TEMP] out of memory");
		return;
	}
	/* Always in two steps: an initial response may be too long for the peer's line. */
	session_ask(s, on_auth_ready, "AUTH PLAIN");
}

void
login_auth(struct session *s, const char *arg)
{
	if (arg[0] == '\0') {
		session_done(
		    s, s->can.sasl_plain ? "+OK mechanisms\r\nPLAIN\r\n." : "+OK mechanisms\r\n.");
		return;
	}
	if (!s->can.sasl_plain || strncasecmp(arg, "PLAIN", 5) != 0 ||
	    (arg[5] != '\0' && arg[5] != ' ')) {
		session_done(s, "-ERR mechanism not offered");
		return;
	}
	if (arg[5] == ' ') {
		login_sasl_response(s, arg + 6);
		return;
	}
	s->sasl_expected = true;
	session_done(s, "+ ");
}
