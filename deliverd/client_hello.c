/* From the connection until messages may be sent: greeting, EHLO, TLS, login. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509_vfy.h>

#include "base/enc.h"
#include "deliverd/client_int.h"

#define LOGIN_ROOM 1600 /* octets of name and password with their NULs */

/* --- what is told of TLS --- */

/* An address without brackets and port. */
static void
bare_ip(char *out, size_t outsz, const struct sockaddr_storage *ss)
{
	char text[CIDR_TEXT_MAX];
	size_t n;

	(void)cidr_text(text, sizeof text, (const struct sockaddr *)ss);
	n = strlen(text);
	if (n > 2 && text[0] == '[')
		(void)snprintf(out, outsz, "%.*s", (int)(n - 2), text + 1);
	else
		(void)snprintf(out, outsz, "%s", text);
}

static void
tell_tls(struct client *c, const char *result, const char *reason)
{
	struct client_tls_try t = {.result = result, .reason = reason};
	struct sockaddr_storage ours = {0};
	socklen_t n = sizeof ours;

	if (c->ops->tls == NULL)
		return;
	bare_ip(t.ip, sizeof t.ip, &c->addr);
	if (c->c != NULL && getsockname(conn_fd(c->c), (struct sockaddr *)&ours, &n) == 0)
		bare_ip(t.our_ip, sizeof t.our_ip, &ours);
	c->ops->tls(c, &t, c->arg);
}

/* RFC 8460, 4.3, of what OpenSSL found in a certificate. */
static const char *
result_of(int error)
{
	switch (error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "certificate-host-mismatch";
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "certificate-expired";
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
	case X509_V_ERR_CERT_REJECTED:
		return "certificate-not-trusted";
	default:
		return "validation-failure";
	}
}

static void
keep_reason(struct client *c, const char *text)
{
	free(c->tls_bad);
	c->tls_bad = strdup(text);
}

/* --- EHLO --- */

static void
say_hello(struct client *c)
{
	char line[SMTP_REPLY_LINE_MAX];
	const char *verb = c->how.lmtp ? "LHLO" : c->phase == CP_OLD_HELLO ? "HELO" : "EHLO";

	(void)snprintf(line, sizeof line, "%s %s", verb, c->how.helo);
	client_say(c, line);
	client_clock(c, 1);
}

static void
note_features(struct client *c, const struct smtp_reply *r)
{
	static const struct {
		const char *keyword;
		unsigned bit;
	} known[] = {
	    {"PIPELINING", CF_PIPELINING},
	    {"SIZE", CF_SIZE},
	    {"8BITMIME", CF_8BITMIME},
	    {"SMTPUTF8", CF_SMTPUTF8},
	    {"DSN", CF_DSN},
	    {"STARTTLS", CF_STARTTLS},
	    {"CHUNKING", CF_CHUNKING},
	    {"BINARYMIME", CF_BINARYMIME},
	    {"REQUIRETLS", CF_REQUIRETLS},
	};
	size_t i;

	c->features = 0;
	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (smtp_reply_keyword(r, known[i].keyword) != NULL)
			c->features |= known[i].bit;
	c->size = smtp_reply_size(r);
	if (smtp_reply_has(r, "AUTH", "PLAIN"))
		c->features |= CF_PLAIN;
	if (smtp_reply_has(r, "AUTH", "LOGIN"))
		c->features |= CF_LOGIN;
	/* Each of these rests on another one (RFC 6531, 3.1; RFC 3030, 3; RFC 8689, 2). */
	if (!(c->features & CF_8BITMIME))
		c->features &= ~(unsigned)CF_SMTPUTF8;
	if (!(c->features & CF_CHUNKING))
		c->features &= ~(unsigned)CF_BINARYMIME;
	if (!conn_is_tls(c->c))
		c->features &= ~(unsigned)CF_REQUIRETLS;
}

static void
be_ready(struct client *c)
{
	c->phase = CP_READY;
	client_clock(c, 0);
	conn_set_total(c->c, 0);
	how_free(&c->how);
	c->announce = true;
}

/* --- the login --- */

static void
say_secret(struct client *c, const char *verb, const void *p, size_t n)
{
	char line[16 + B64_LEN(LOGIN_ROOM) + 1];
	size_t len = strlen(verb);

	memcpy(line, verb, len);
	(void)b64_encode(line + len, p, n);
	client_say(c, line);
	explicit_bzero(line, sizeof line);
	client_clock(c, 1);
}

static bool
may_log_in_here(const struct client *c)
{
	struct netaddr a;

	return conn_is_tls(c->c) ||
	       (netaddr_from_sockaddr(&a, (const struct sockaddr *)&c->addr) == 0 &&
		   netaddr_is_loopback(&a));
}

static void
log_in(struct client *c)
{
	const char *name = c->how.login, *word = c->how.password != NULL ? c->how.password : "";
	size_t nname = strlen(name), nword = strlen(word);
	char plain[LOGIN_ROOM];

	if (!may_log_in_here(c)) {
		client_fail(c, CLIENT_NO_LOGIN, "7.0",
		    "%s: a login is configured, but without TLS it would go in clear", c->relay);
	} else if (nname + nword + 2 > sizeof plain) {
		client_fail(
		    c, CLIENT_NO_LOGIN, "7.0", "%s: login name or password is too long", c->relay);
	} else if (c->features & CF_PLAIN) {
		plain[0] = '\0';
		memcpy(plain + 1, name, nname + 1);
		memcpy(plain + nname + 2, word, nword);
		c->phase = CP_AUTH;
		say_secret(c, "AUTH PLAIN ", plain, nname + nword + 2);
		explicit_bzero(plain, sizeof plain);
	} else if (c->features & CF_LOGIN) {
		c->phase = CP_AUTH_NAME;
		client_say(c, "AUTH LOGIN");
		client_clock(c, 1);
	} else
		client_fail(c, CLIENT_NO_LOGIN, "7.0",
		    "%s: a login is configured, but AUTH PLAIN or LOGIN is not offered", c->relay);
}

static void
on_auth(struct client *c, const struct smtp_reply *r)
{
	const char *word = c->how.password != NULL ? c->how.password : "";

	if (c->phase == CP_AUTH_NAME && r->code == 334) {
		c->phase = CP_AUTH_WORD;
		say_secret(c, "", c->how.login, strlen(c->how.login));
	} else if (c->phase == CP_AUTH_WORD && r->code == 334) {
		c->phase = CP_AUTH;
		say_secret(c, "", word, strlen(word));
	} else if (c->phase == CP_AUTH && r->code == 235) {
		be_ready(c);
	} else if (r->code >= 400) {
		client_fail_reply(c, CLIENT_NO_LOGIN, r);
	} else
		client_fail(
		    c, CLIENT_GARBLED, "5.0", "%s answered AUTH with %u", c->relay, r->code);
}

/* --- TLS --- */

/* There is none: go on in clear if that is allowed. again: on a new connection. */
static void
without_tls(struct client *c, const char *result, const char *dsn, const char *text, bool again)
{
	char kept[ERR_TEXT_MAX];

	(void)snprintf(kept, sizeof kept, "%s", text);
	tell_tls(c, result, kept);
	if (c->dead)
		return;
	if (c->how.tls != CLIENT_TLS_MAY) {
		client_fail(c, CLIENT_NO_TLS, dsn, "%s", kept);
		return;
	}
	c->clear = true;
	if (strcmp(result, "starttls-not-supported") != 0)
		keep_reason(c, kept);
	if (again)
		client_redial(c);
}

void
hello_tls_failed(struct client *c, const char *text)
{
	int error = c->c != NULL ? conn_tls_error(c->c) : 0;

	without_tls(c, result_of(error), "7.5", text, true);
}

static void
start_tls(struct client *c)
{
	struct err e;

	c->phase = CP_SECURING;
	client_clock(c, 1);
	/* Clear text behind the answer to STARTTLS is an injection: refused in there. */
	if (conn_start_tls(c->c, c->how.ctx, &c->how.peer, &e) == 0)
		return;
	without_tls(c,
	    e.code == EINVAL && c->how.peer.verify == CONN_VERIFY_DANE ? "tlsa-invalid"
								       : "validation-failure",
	    "7.5", e.text, true);
}

void
hello_secured(struct client *c)
{
	const char *bad = conn_tls_bad(c->c);

	tell_tls(c, bad != NULL ? result_of(conn_tls_error(c->c)) : "", bad != NULL ? bad : "");
	if (c->dead)
		return;
	/* What was heard in clear is void (RFC 3207, 4.2). */
	c->features = 0;
	c->size = 0;
	smtp_reply_reset(&c->reply);
	free(c->tls_bad);
	c->tls_bad = NULL;
	if (c->how.implicit) {
		c->phase = CP_GREETING;
		client_clock(c, 1);
	} else {
		c->phase = CP_HELLO;
		say_hello(c);
	}
}

/* Who the server is, and what it can, is known. */
static void
after_hello(struct client *c)
{
	char text[HOST_MAX + CIDR_TEXT_MAX + 80];

	if (c->how.tls != CLIENT_TLS_NONE && !c->clear && !conn_is_tls(c->c)) {
		if (c->features & CF_STARTTLS) {
			c->phase = CP_STARTTLS;
			client_say(c, "STARTTLS");
			client_clock(c, 1);
			return;
		}
		(void)snprintf(
		    text, sizeof text, "TLS is required, but was not offered by %s", c->relay);
		without_tls(c, "starttls-not-supported", "7.4", text, false);
		if (c->dead || c->phase == CP_BROKEN || c->phase == CP_DIALING)
			return;
	}
	if (c->how.login != NULL && *c->how.login != '\0')
		log_in(c);
	else
		be_ready(c);
}

static void
on_starttls(struct client *c, const struct smtp_reply *r)
{
	char said[ERR_TEXT_MAX / 2], text[ERR_TEXT_MAX];
	bool again = r->code < 400 || r->code == 421;

	if (r->code == 220) {
		start_tls(c);
		return;
	}
	(void)snprintf(text, sizeof text, "TLS cannot be had: %.180s said: %s", c->relay,
	    reply_line(said, sizeof said, r));
	without_tls(c, "validation-failure", "7.5", text, again);
	/* It refused, and stays where it was. */
	if (!c->dead && c->phase == CP_STARTTLS)
		after_hello(c);
}

/* --- replies --- */

static void
on_greeting(struct client *c, const struct smtp_reply *r)
{
	/* No other one is a beginning (RFC 5321, 4.3.2). */
	if (r->code == 220) {
		c->phase = CP_HELLO;
		say_hello(c);
	} else if (r->code >= 400) {
		client_fail_reply(c, CLIENT_REFUSED, r);
	} else
		client_fail(c, CLIENT_GARBLED, "5.0", "%s greeted us with %u", c->relay, r->code);
}

static void
on_hello(struct client *c, const struct smtp_reply *r)
{
	if (r->code == 250) {
		note_features(c, r);
		if (c->phase == CP_OLD_HELLO)
			c->features = 0;
		after_hello(c);
	} else if (r->code >= 500 && c->phase == CP_HELLO && !c->how.lmtp) {
		/* An old server: no extensions, and no TLS either. */
		c->phase = CP_OLD_HELLO;
		say_hello(c);
	} else if (r->code >= 400) {
		client_fail_reply(c, CLIENT_REFUSED, r);
	} else
		client_fail(
		    c, CLIENT_GARBLED, "5.0", "%s answered EHLO with %u", c->relay, r->code);
}

void
hello_reply(struct client *c, const struct smtp_reply *r)
{
	if (r->code == 421 && c->phase != CP_STARTTLS) {
		client_fail_reply(c, CLIENT_BYE, r);
		return;
	}
	switch (c->phase) {
	case CP_GREETING:
		on_greeting(c, r);
		break;
	case CP_HELLO:
	case CP_OLD_HELLO:
		on_hello(c, r);
		break;
	case CP_STARTTLS:
		on_starttls(c, r);
		break;
	default:
		on_auth(c, r);
		break;
	}
}

void
hello_connected(struct client *c)
{
	c->phase = CP_GREETING;
	client_clock(c, 1);
	if (c->how.implicit)
		start_tls(c);
}
