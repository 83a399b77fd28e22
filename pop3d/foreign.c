/*
 * Servers that clients reach behind transparent connectors, and TLS that passes untouched: what
 * differs from a peer that the configuration names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/tls.h"
#include "pop3d/session.h"
#include "proxy/through.h"
#include "proxy/tls_server.h"

/* Where a client wanted to go. */
struct foreign {
	struct proxy_target target;
	enum upstream_verdict verdict;
};

bool
foreign_is(const struct session *s)
{
	return s->route->transparent != CONF_TRANSPARENT_NO;
}

int
foreign_begin(struct session *s)
{
	struct err e;

	if ((s->foreign = calloc(1, sizeof *s->foreign)) == NULL)
		return -1;
	if (proxy_target_of(s->route, conn_fd(s->client), &s->from, &s->foreign->target, &e) == 0)
		return 0;
	log_warn(
	    "%s: connector %s: unknown%s: %s", s->id, s->route->connector, s->client_text, e.text);
	return -1;
}

const struct proxy_target *
foreign_target(const struct session *s)
{
	return s->foreign != NULL ? &s->foreign->target : NULL;
}

void
foreign_free(struct session *s)
{
	free(s->foreign);
	s->foreign = NULL;
}

/* A foreign server says who its users are: here they are nobody, unless a peer has its name. */
const char *
foreign_login(const struct session *s)
{
	return foreign_is(s) && s->route->peer[0] == '\0' ? "" : s->authcid;
}

const char *
session_server(const struct session *s, char out[SESSION_SERVER_MAX])
{
	struct netaddr a;

	if (s->foreign == NULL)
		(void)snprintf(out, SESSION_SERVER_MAX, "%s:%u", s->route->host, s->route->port);
	else if (netaddr_from_sockaddr(&a, (const struct sockaddr *)&s->foreign->target.to) == 0)
		(void)netaddr_format(out, SESSION_SERVER_MAX, ':', &a);
	else
		out[0] = '\0';
	return out;
}

/* Memory is kept by peer and login: a foreign server's address stands for the peer. */
static const char *
foreign_place(const struct session *s, char out[SESSION_SERVER_MAX])
{
	if (s->foreign == NULL || s->route->peer[0] != '\0')
		return s->authzid;
	return session_server(s, out);
}

struct maildrop *
session_maildrop(const struct session *s)
{
	char place[SESSION_SERVER_MAX];

	return maildrop_new(s->route, foreign_place(s, place), s->authcid);
}

bool
foreign_alert(struct session *s)
{
	if (s->foreign == NULL || conn_tls_use(s->client, NULL) == -1)
		return false;
	if (s->ended)
		return true;
	(void)event_del(s->reply_timer);
	upstream_free(s->up);
	s->up = NULL;
	if (s->peer != NULL)
		conn_finish(s->peer);
	s->peer = NULL;
	return true;
}

/* Neither side gets an octet more, the client's alert excepted. */
static void
refuse(struct session *s, const char *why)
{
	char server[SESSION_SERVER_MAX], text[LOG_FIELD_MAX];

	log_warn("%s: %s: no TLS for unknown%s: %s", s->id, session_server(s, server),
	    s->client_text, log_clean(text, sizeof text, why, strlen(why)));
	if (!foreign_alert(s))
		session_end(s, NULL);
}

/* --- inspected: both sides speak TLS with us --- */

static void
on_minted(struct tls_cert *cert, const char *text, void *arg)
{
	struct session *s = arg;

	if (cert == NULL) {
		refuse(s, text);
		return;
	}
	if (s->foreign->verdict == UPSTREAM_GOOD)
		log_info("%s: TLS connection established to %s: %s", s->id, upstream_name(s->up),
		    conn_tls_text(s->peer));
	upstream_free(s->up);
	s->up = NULL;
	proxy_route_drop(s->first);
	s->first = NULL;
	if (conn_tls_use(s->client, cert) == -1)
		refuse(s, strerrordesc_np(errno));
	tls_cert_free(cert);
}

/* The name that the certificate stands for decides whose logins count. */
static int
name_route(struct session *s, const char *asked)
{
	const struct proxy_route *r;

	if (s->foreign->verdict != UPSTREAM_GOOD || asked[0] == '\0')
		return 0;
	if ((r = proxy_route_named(s->route, asked)) == NULL)
		return -1;
	s->first = s->route; /* what s->up goes by */
	s->route = r;
	return 0;
}

static void
on_judged(enum upstream_verdict v, const char *text, void *arg)
{
	struct session *s = arg;
	const char *asked = conn_tls_asked(s->client);

	if (s->ended)
		return;
	s->foreign->verdict = v;
	if (v != UPSTREAM_GOOD && v != UPSTREAM_UNVERIFIED) {
		refuse(s, text);
		return;
	}
	if (v == UPSTREAM_UNVERIFIED)
		log_warn("%s: %s is not verified, and unknown%s is shown so: %s", s->id,
		    upstream_name(s->up), s->client_text, text);
	conn_pause(s->peer); /* its greeting has to wait for the client */
	if (name_route(s, asked) == -1 ||
	    upstream_mint(s->up, s->peer, v, asked, on_minted, s) == -1)
		refuse(s, strerrordesc_np(errno));
}

void
foreign_secured(struct session *s)
{
	upstream_judge(s->up, s->peer, on_judged, s);
}

void
foreign_start_tls(struct session *s)
{
	struct err e;

	s->mode = PEER_IDLE;
	session_wait(s);
	if (upstream_start_tls(s->up, s->peer, conn_tls_asked(s->client), &e) == -1)
		refuse(s, e.text);
}

/* The client has said which name it wants: now the server is asked. */
void
foreign_hello(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->ended)
		return;
	if (s->peer != NULL)
		foreign_start_tls(s);
	else
		peer_begin(s);
}

/* --- STLS --- */

static void
on_stls(struct session *s, const struct pop3_reply *r)
{
	if (r->status != POP3_OK)
		session_done(s, "-ERR the mail server does not begin TLS");
	else
		stls_begin(s);
}

void
foreign_stls(struct session *s)
{
	session_ask(s, on_stls, "STLS");
}

/* --- allowed: TLS is theirs --- */

static void
on_left(void *arg)
{
	session_end(arg, NULL);
}

static void
on_tunnel_stls(struct session *s, const struct pop3_reply *r)
{
	struct conn *client = s->client, *peer = s->peer;
	char where[SESSION_SERVER_MAX];
	struct err e;

	if (r->status != POP3_OK) {
		session_end(s, "-ERR the mail server does not begin TLS");
		return;
	}
	(void)session_server(s, where);
	(void)event_del(s->reply_timer);
	s->client = s->peer = NULL;
	if (through_begin(s->route, client, peer, "+OK begin TLS\r\n", s->client_text, where,
		on_left, s, &e) == 0)
		return;
	log_warn("%s: %s: %s", s->id, where, e.text);
	s->client = client;
	if (e.code == EPROTO || e.code == EAGAIN)
		s->peer = peer;
	session_end(s, "-ERR [SYS/TEMP] TLS is not available now");
}

static void
on_tunnel_greeting(struct session *s, const struct pop3_reply *r)
{
	if (r->status == POP3_OK)
		session_ask(s, on_tunnel_stls, "STLS");
	else
		session_end(s, "-ERR [SYS/TEMP] the mail server cannot be reached");
}

void
foreign_tunnel_peer(struct session *s)
{
	session_expect(s, on_tunnel_greeting);
}

/*
 * A foreign server waits for it on this connection; a peer of ours is spoken to in TLS of our own,
 * perhaps, so that a new one is wanted.
 */
void
foreign_tunnel(struct session *s)
{
	if (foreign_is(s)) {
		session_ask(s, on_tunnel_stls, "STLS");
		return;
	}
	conn_finish(s->peer);
	s->peer = NULL;
	upstream_free(s->up);
	s->up = NULL;
	s->tunnel = true;
	peer_begin(s);
}
