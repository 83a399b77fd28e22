/*
 * Servers that clients reach behind transparent connectors, and TLS that passes untouched: what
 * differs from a peer that the configuration names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/tls.h"
#include "proxy/through.h"
#include "smtpd/session.h"

/* Where a client wanted to go. */
struct foreign {
	struct proxy_target target;
	char name[HOST_MAX]; /* verified; else its address and port */
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
	struct foreign *f = calloc(1, sizeof *f);
	struct netaddr a;
	struct err e;

	if (f == NULL)
		return -1;
	s->foreign = f;
	if (proxy_target_of(s->route, conn_fd(s->c), &s->from, &f->target, &e) == -1) {
		log_warn("connector %s: %s: %s", s->route->connector, s->who, e.text);
		return -1;
	}
	if (netaddr_from_sockaddr(&a, (const struct sockaddr *)&f->target.to) == 0)
		(void)netaddr_format(f->name, sizeof f->name, ':', &a);
	return 0;
}

void
foreign_free(struct session *s)
{
	free(s->foreign);
	s->foreign = NULL;
}

const struct proxy_target *
foreign_target(const struct session *s)
{
	return s->foreign != NULL ? &s->foreign->target : NULL;
}

const char *
foreign_name(const struct session *s)
{
	return s->foreign != NULL ? s->foreign->name : s->route->host;
}

/* A foreign server says who its users are: here they are nobody, unless a peer has its name. */
bool
foreign_nobodys(const struct session *s)
{
	return foreign_is(s) && s->route->peer[0] == '\0';
}

/* --- inspected: both sides speak TLS with us --- */

bool
foreign_shaking(const struct session *s)
{
	return foreign_is(s) && s->c != NULL && !conn_is_tls(s->c) &&
	       (s->state == ST_TLS ||
		   (s->state == ST_OPENING && s->route->client_tls == CONF_TLS_IMPLICIT));
}

void
foreign_refuse(struct session *s, const char *why)
{
	char text[LOG_FIELD_MAX];

	log_warn("connector %s: server %s: no TLS for %s: %s", s->route->connector, foreign_name(s),
	    s->who, log_clean(text, sizeof text, why, strlen(why)));
	(void)conn_tls_use(s->c, NULL);
	session_end(s);
}

static void
on_minted(struct tls_cert *cert, const char *text, void *arg)
{
	struct session *s = arg;

	if (!s->ended && s->c != NULL) {
		if (cert == NULL)
			foreign_refuse(s, text);
		else if (conn_tls_use(s->c, cert) == -1)
			foreign_refuse(s, strerrordesc_np(errno));
	}
	tls_cert_free(cert);
}

/* The name that the certificate stands for decides whose logins count. */
static int
name_route(struct session *s, const char *asked)
{
	const struct proxy_route *r;

	if (s->foreign->verdict != UPSTREAM_GOOD || asked[0] == '\0')
		return 0;
	(void)strlcpy(s->foreign->name, asked, sizeof s->foreign->name);
	if ((r = proxy_route_named(s->route, asked)) == NULL)
		return -1;
	s->first = s->route; /* what the peer goes by */
	s->route = r;
	return 0;
}

void
foreign_judged(enum upstream_verdict v, const char *text, void *arg)
{
	struct session *s = arg;
	const char *asked;

	if (s->ended || s->c == NULL)
		return;
	asked = conn_tls_asked(s->c);
	s->foreign->verdict = v;
	if (v != UPSTREAM_GOOD && v != UPSTREAM_UNVERIFIED) {
		foreign_refuse(s, text);
		return;
	}
	if (v == UPSTREAM_UNVERIFIED)
		log_warn("connector %s: server %s is not verified, and %s is shown so: %s",
		    s->route->connector, foreign_name(s), s->who, text);
	if (name_route(s, asked) == -1 || peer_mint(s->peer, v, asked, on_minted, s) == -1)
		foreign_refuse(s, strerrordesc_np(errno));
}

void
foreign_connected(void *arg)
{
	struct session *s = arg;

	if (!s->ended && s->c != NULL)
		peer_begin_tls(s->peer, conn_tls_asked(s->c));
}

/* The client has said which name it wants: now the server is asked. */
void
foreign_hello(struct conn *c, void *arg)
{
	struct session *s = arg;

	if (s->ended)
		return;
	if (s->state == ST_OPENING)
		session_open_peer(s);
	else if (s->peer != NULL)
		peer_begin_tls(s->peer, conn_tls_asked(c));
}

void
foreign_secured(struct session *s)
{
	if (s->state != ST_OPENING) {
		/* Commands wait for what the server can do now. */
		s->state = ST_START;
		s->renewing = 1;
	}
	session_clock(s, s->route->limits.peer_timeout * 3);
	if (s->peer == NULL)
		session_lost(s);
	else
		peer_go_on(s->peer);
}

/* --- STARTTLS that a server has to answer --- */

static void
on_left(void *arg)
{
	session_end(arg);
}

/* From here on nobody knows what is said. */
static void
tunnel(struct session *s)
{
	struct conn *client = s->c, *server = peer_release(s->peer);
	struct err e;

	starttls_note_pipelining(s);
	peer_close(s->peer);
	s->peer = NULL;
	s->c = NULL;
	s->state = ST_TLS;
	session_no_clock(s); /* the tunnel has its own */
	if (through_begin(s->route, client, server, "220 " STARTTLS_GO_ON "\r\n", s->ip,
		foreign_name(s), on_left, s, &e) == 0)
		return;
	log_warn("connector %s: no tunnel for %s: %s", s->route->connector, s->who, e.text);
	s->c = client;
	if (e.code == EPROTO || e.code == EAGAIN)
		conn_finish(server);
	session_say(s, 421, "4.7.0 %s TLS is not available now", s->route->hostname);
	session_end(s);
}

/* The server does not want to: the session goes on as it was, but for its login. */
static void
refused(struct session *s)
{
	starttls_not_now(s);
	if (!foreign_is(s)) {
		s->authed = 0;
		s->user[0] = '\0';
		session_renew_peer(s);
	}
	session_process(s);
}

static void
on_starttls(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct session *s = arg;
	struct answer a;
	char line[LOG_FIELD_MAX];

	(void)tag;
	s->waiting = 0;
	if (s->ended || s->c == NULL)
		return;
	if (r->code == 220) {
		if (s->eof)
			session_left(s, "");
		else if (s->route->inspect == CONF_TLS_ALLOW)
			tunnel(s);
		else
			starttls_begin(s);
		return;
	}
	answer_from_peer(&a, r);
	log_warn("connector %s: server %s does not begin TLS: %s", s->route->connector,
	    foreign_name(s), log_str(answer_line(line, sizeof line, &a)));
	refused(s);
}

void
foreign_starttls(struct session *s)
{
	s->waiting = 1;
	if (peer_starttls(s->peer, on_starttls, s) == -1)
		session_say(s, 421, "4.4.2 the mail server cannot be asked");
}

/* The new connection is there, greeted, in clear. */
static void
tunnel_ready(void *arg)
{
	struct session *s = arg;

	if (!s->ended)
		foreign_starttls(s);
}

static void
tunnel_failed(const struct answer *why, void *arg)
{
	struct session *s = arg;

	(void)why; /* is in the log */
	peer_close(s->peer);
	s->peer = NULL;
	s->waiting = 0;
	if (!s->ended && s->c != NULL)
		refused(s);
}

static const struct peer_ops tunnel_ops = {.ready = tunnel_ready, .failed = tunnel_failed};

/*
 * A foreign server waits for it on this connection; a peer of ours is spoken to in TLS of our own,
 * perhaps, and its user is logged in there, so that a new one is wanted.
 */
void
foreign_tunnel(struct session *s)
{
	if (foreign_is(s)) {
		foreign_starttls(s);
		return;
	}
	envelope_free(s);
	s->state = ST_READY;
	s->open = 0;
	proxy_worker_free(s->worker);
	s->worker = NULL;
	peer_close(s->peer);
	s->waiting = 1;
	if ((s->peer = peer_open(s->route, NULL, true, &tunnel_ops, s)) == NULL)
		session_say(s, 421, "4.3.0 out of memory");
}
