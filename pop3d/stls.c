/* TLS towards the client: STLS (RFC 2595, 4) and from the first octet on (RFC 8314, 3.3). */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "pop3d/session.h"
#include "proxy/tls_server.h"

#define HANDSHAKE_MS 60000 /* without anything heard during the handshake */

bool
stls_offered(const struct session *s)
{
	if (s->route->client_tls != CONF_TLS_STARTTLS || s->state != ST_AUTH ||
	    conn_is_tls(s->client))
		return false;
	if (foreign_is(s))
		return s->can.stls;
	/* What passes untouched needs a port where the peer begins TLS. */
	return s->route->inspect == CONF_TLS_INSPECT || s->route->tls != CONF_TLS_IMPLICIT;
}

bool
stls_missing(const struct session *s)
{
	return s->route->tls_required && !conn_is_tls(s->client);
}

static int
begin(struct session *s)
{
	struct err e;

	if (tls_server_accept(s->route, s->client, &e) == -1) {
		log_warn("%s: TLS with unknown%s: %s", s->id, s->client_text, e.text);
		return -1;
	}
	conn_set_idle(s->client, HANDSHAKE_MS);
	return 0;
}

void
stls_command(struct session *s)
{
	struct err e;

	if (s->route->client_tls != CONF_TLS_STARTTLS) {
		session_wrong(s, "-ERR unknown command");
		return;
	}
	if (!stls_offered(s)) {
		session_wrong(s, "-ERR not now");
		return;
	}
	if (s->route->inspect == CONF_TLS_ALLOW) {
		foreign_tunnel(s);
		return;
	}
	if (tls_server_ready(s->route, &e) == -1) {
		log_warn("%s: TLS with unknown%s: %s", s->id, s->client_text, e.text);
		session_done(s, "-ERR [SYS/TEMP] TLS is not available now");
		return;
	}
	if (foreign_is(s))
		foreign_stls(s);
	else
		stls_begin(s);
}

void
stls_begin(struct session *s)
{
	session_reply(s, "+OK begin TLS");
	if (s->ended)
		return;
	/* What was said in clear is forgotten, what waits is thrown away (RFC 2595, 2.4). */
	free(s->user);
	s->user = NULL;
	s->client_lines.scanned = s->client_lines.skipped = 0;
	if (begin(s) == -1)
		session_end(s, NULL);
}

int
stls_implicit(struct session *s)
{
	return begin(s);
}

void
stls_secured(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->ended)
		return;
	conn_set_idle(c, (uint32_t)(s->route->limits.pop3_idle_timeout * 1000));
	log_info("%s: TLS connection established from unknown%s: %s%s", s->id, s->client_text,
	    conn_tls_text(c), conn_tls_resumed(c) ? ", resumed" : "");
	if (s->state == ST_CONNECT || foreign_is(s))
		peer_go_on(s);
	else
		session_done(s, NULL);
}
