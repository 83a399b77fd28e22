/* TLS with the client: STARTTLS (RFC 3207), or from the first octet on (RFC 8314). */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "proxy/tls_server.h"
#include "smtpd/session.h"

/* What is known from clear text is void (RFC 3207, 4.2). */
static void
forget(struct session *s)
{
	s->backend->forget(s);
	proxy_worker_free(s->worker);
	s->worker = NULL;
	s->authed = 0;
	s->user[0] = s->helo[0] = '\0';
	s->mechanism = NULL;
	s->esmtp = 0;
	s->features = 0;
}

void
starttls_not_now(struct session *s)
{
	struct answer a;

	answer_set(&a, 454, "4.7.0 TLS not available due to temporary reason");
	session_log_reject(s, s->where, &a, NULL);
	session_answer(s, &a);
}

/* What came behind the command is somebody's attempt, or a mistake, and thrown away. */
void
starttls_note_pipelining(const struct session *s)
{
	size_t n;

	(void)conn_in(s->c, &n);
	if (n > 0)
		log_warn(
		    "improper command pipelining after STARTTLS from %s: %zu octets", s->who, n);
}

void
starttls_begin(struct session *s)
{
	struct err e;

	session_say(s, 220, STARTTLS_GO_ON);
	starttls_note_pipelining(s);
	forget(s);
	s->state = ST_TLS;
	if (s->eof)
		session_left(s, ""); /* who has said good-bye shakes no hands */
	else if (tls_server_accept(s->route, s->c, &e) == -1)
		starttls_failed(s, e.text);
	session_clock(s, s->route->limits.idle_timeout);
}

static bool
is_offered(const struct session *s)
{
	return (s->backend->features(s) & F_STARTTLS) != 0;
}

int
starttls_command(struct session *s, const char *args)
{
	struct err e;

	(void)args;
	if (conn_is_tls(s->c))
		session_error(s, 503, "5.5.1 TLS is active already");
	else if (!is_offered(s))
		session_error(s, 502, "5.5.1 command not implemented");
	else if (foreign_is(s) && s->state == ST_MAIL)
		session_error(s, 503, "5.5.1 STARTTLS is not possible within a transaction");
	else if (s->route->inspect == CONF_TLS_ALLOW)
		foreign_tunnel(s);
	else if (tls_server_ready(s->route, &e) == -1) {
		log_warn("connector %s: no TLS for %s: %s", s->route->connector, s->who, e.text);
		starttls_not_now(s);
	} else if (foreign_is(s))
		foreign_starttls(s);
	else
		starttls_begin(s);
	return 0;
}

int
starttls_implicit(struct session *s)
{
	struct err e;

	if (tls_server_accept(s->route, s->c, &e) == 0)
		return 0;
	log_warn("connector %s: no TLS for %s: %s", s->route->connector, s->who, e.text);
	return -1;
}

void
starttls_done(struct session *s)
{
	/* With a second factor in it the handshake ends only when the certificate is good. */
	log_info("%s TLS connection established from %s: %s%s",
	    s->route->second_factor == CONF_FACTOR_CERTIFICATE ? "Trusted" : "Anonymous", s->who,
	    conn_tls_text(s->c), conn_tls_resumed(s->c) ? ", resumed" : "");
	if (foreign_is(s)) {
		foreign_secured(s);
		return;
	}
	if (s->state == ST_OPENING) {
		session_opened(s);
		return;
	}
	s->state = ST_START;
	session_clock(s, s->route->limits.idle_timeout);
	session_process(s);
}

void
starttls_failed(struct session *s, const char *why)
{
	log_info("SSL_accept error from %s: %s", s->who, log_str(why));
	session_end(s);
}
