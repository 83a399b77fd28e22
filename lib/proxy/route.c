#include "proxy/route.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/enc.h"

#define SHOWN_MAX 64 /* connectors that one process tells of */

struct shared {
	LIST_ENTRY(shared) next;
	unsigned refs;
	bool old; /* for the sessions that have it only: from before a reload, or one's own */
	struct proxy_route r;
};

static LIST_HEAD(, shared) routes = LIST_HEAD_INITIALIZER(routes);

static void
set_prints(struct proxy_route *r, const struct conf_strings *prints)
{
	const char *p;
	size_t i;

	for (i = 0; i < prints->n && i < ROUTE_PRINTS_MAX; i++) {
		p = prints->v[i];
		if (hex_decode(r->prints[i], sizeof r->prints[i], p, strlen(p)) == -1)
			return;
		r->nprints++;
	}
}

static void
set_profile(struct proxy_route *r, const struct conf_profile *f)
{
	(void)strlcpy(r->profile, f->name, sizeof r->profile);
	r->ocsp = f->ocsp;
}

static void
set_ours(struct proxy_route *r, const struct conf *conf)
{
	r->limits = conf->limits;
	(void)strlcpy(r->hostname, conf->node.hostname, sizeof r->hostname);
}

/* Whose login it is. */
static void
set_logins(struct proxy_route *r, const struct conf_peer *p)
{
	(void)strlcpy(r->peer, p->name, sizeof r->peer);
	(void)strlcpy(r->login_domain, p->login_domain, sizeof r->login_domain);
	r->login_case = p->login_case;
}

void
proxy_route_peer(struct proxy_route *r, const struct conf_peer *p, const struct conf *conf)
{
	memset(r, 0, sizeof *r);
	set_ours(r, conf);
	set_logins(r, p);
	set_profile(r, p->profile);
	(void)strlcpy(r->host, p->host, sizeof r->host);
	r->port = (uint16_t)p->port;
	r->tls_port = (uint16_t)p->tls_port;
	r->tls = p->tls;
	r->verify = p->verify;
	(void)strlcpy(r->server_name, p->server_name, sizeof r->server_name);
	(void)strlcpy(r->ca_file, p->ca_file, sizeof r->ca_file);
	set_prints(r, &p->fingerprints);
}

void
proxy_route_server(struct proxy_route *r, const struct conf_route *to,
    const struct conf_server *server, const struct conf *conf)
{
	memset(r, 0, sizeof *r);
	set_ours(r, conf);
	set_profile(r, to->profile);
	(void)strlcpy(r->connector, to->name, sizeof r->connector);
	(void)strlcpy(r->host, server->host, sizeof r->host);
	r->port = server->port;
	r->tls = to->tls == CONF_ROUTE_TLS_NONE ? CONF_TLS_NONE
		 : to->implicit                 ? CONF_TLS_IMPLICIT
						: CONF_TLS_STARTTLS;
	r->verify = to->tls == CONF_ROUTE_TLS_VERIFY ? to->profile->verify
		    : to->tls == CONF_ROUTE_TLS_DANE ? CONF_VERIFY_DANE
						     : CONF_VERIFY_NONE;
	if (to->tls < CONF_ROUTE_TLS_VERIFY)
		r->ocsp = CONF_OCSP_OFF;
	r->tls_may = to->tls == CONF_ROUTE_TLS_MAY;
	r->lmtp = to->protocol == CONF_PROTO_LMTP;
	if (r->port == 0)
		r->port = r->lmtp ? 24 : r->tls == CONF_TLS_IMPLICIT ? 465 : 25;
	(void)strlcpy(r->server_name, server->host, sizeof r->server_name);
	(void)strlcpy(r->ca_file, to->profile->ca_file, sizeof r->ca_file);
	set_prints(r, &to->profile->fingerprints);
	r->limits.peer_timeout = to->timeout;
}

/*
 * A connector of the queue has nobody behind it.  Its logins are those of the peer that checks
 * them, or its own.
 */
static void
set_queue(struct proxy_route *r, const struct conf_connector *k, const struct conf *conf)
{
	if (k->auth == CONF_AUTH_PEER && k->peer != NULL)
		proxy_route_peer(r, k->peer, conf);
	else {
		memset(r, 0, sizeof *r);
		set_ours(r, conf);
	}
	if (k->auth == CONF_AUTH_SASL) {
		(void)strlcpy(r->peer, k->name, sizeof r->peer);
		(void)strlcpy(r->login_domain, k->login_domain, sizeof r->login_domain);
	}
	r->auth = k->auth;
	r->inbound = k->inbound;
	r->outside_senders = k->outside_senders;
}

/* To whatever server a client wants to reach. */
static void
set_foreign(struct proxy_route *r, const struct conf_connector *k, enum conf_tls listener,
    const struct conf *conf)
{
	const struct conf_profile *f = k->profile;

	memset(r, 0, sizeof *r);
	set_ours(r, conf);
	set_profile(r, f);
	r->transparent = k->transparent;
	r->keep_source = k->keep_source;
	r->tls = listener;
	r->verify = f->verify;
	r->bad_certificate = f->bad_certificate;
	(void)strlcpy(r->ca_file, f->ca_file, sizeof r->ca_file);
	set_prints(r, &f->fingerprints);
}

void
proxy_route_set(struct proxy_route *r, const struct conf_connector *k, enum conf_tls listener,
    const struct conf *conf)
{
	if (conf_queues(k))
		set_queue(r, k, conf);
	else if (k->transparent != CONF_TRANSPARENT_NO)
		set_foreign(r, k, listener, conf);
	else
		proxy_route_peer(r, k->peer, conf);
	r->service = k->service;
	(void)strlcpy(r->connector, k->name, sizeof r->connector);
	(void)strlcpy(r->tenant, k->tenant, sizeof r->tenant);
	r->inspect = k->inspect;
	r->client_tls = listener;
	r->tls_required = listener == CONF_TLS_IMPLICIT || k->starttls == CONF_STARTTLS_REQUIRED;
	r->second_factor = k->second_factor;
	r->sizes = k->sizes;
	r->banner = k->banner;
}

const struct proxy_route *
proxy_route_get(const struct conf_connector *k, enum conf_tls listener, const struct conf *conf)
{
	struct shared *x;

	LIST_FOREACH (x, &routes, next)
		if (!x->old && x->r.client_tls == listener &&
		    strcmp(x->r.connector, k->name) == 0) {
			x->refs++;
			return &x->r;
		}
	if ((x = malloc(sizeof *x)) == NULL)
		return NULL;
	proxy_route_set(&x->r, k, listener, conf);
	x->refs = 1;
	x->old = false;
	LIST_INSERT_HEAD(&routes, x, next);
	return &x->r;
}

/*
 * Has the server proved what this peer would have to?  The same name, to the same authorities,
 * and to keyd no less.
 */
static bool
is_proof(const struct proxy_route *r, const struct conf_peer *p, const char *proved)
{
	return p->verify == CONF_VERIFY_CA && p->tls != CONF_TLS_NONE &&
	       strcmp(p->ca_file, r->ca_file) == 0 && p->profile->ocsp <= r->ocsp &&
	       strcasecmp(conf_profile_expects(p->profile, p->server_name), proved) == 0;
}

static const struct conf_peer *
peer_of_name(const struct proxy_route *r, const char *name)
{
	const struct conf_connector *k = proxy_connector(r->connector);
	const struct conf *c = proc_env()->conf;
	const struct conf_profile *f = conf_profile_find(c, r->profile);
	size_t i;

	if (k == NULL || f == NULL || r->verify != CONF_VERIFY_CA)
		return NULL;
	for (i = 0; i < c->npeers; i++)
		if (c->peers[i].service == k->service &&
		    strcasecmp(c->peers[i].server_name, name) == 0 &&
		    conf_peer_vouches(c, &c->peers[i], k->tenant) &&
		    is_proof(r, &c->peers[i], conf_profile_expects(f, name)))
			return &c->peers[i];
	return NULL;
}

const struct proxy_route *
proxy_route_named(const struct proxy_route *r, const char *name)
{
	const struct conf_peer *p = peer_of_name(r, name);
	struct shared *x;

	if (p == NULL) {
		LIST_FOREACH (x, &routes, next)
			if (&x->r == r)
				x->refs++;
		return r;
	}
	if ((x = malloc(sizeof *x)) == NULL)
		return NULL;
	x->r = *r;
	set_logins(&x->r, p);
	x->refs = 1;
	x->old = true; /* one session's own */
	LIST_INSERT_HEAD(&routes, x, next);
	return &x->r;
}

void
proxy_route_status(void)
{
	const struct shared *x, *y;
	unsigned n, shown = 0;

	LIST_FOREACH (x, &routes, next) {
		/* Of those with the same name the first one tells for all. */
		for (y = LIST_FIRST(&routes); y != x; y = LIST_NEXT(y, next))
			if (strcmp(x->r.connector, y->r.connector) == 0)
				break;
		if (y != x)
			continue;
		if (++shown > SHOWN_MAX)
			return;
		for (n = 0; y != NULL; y = LIST_NEXT(y, next))
			if (strcmp(x->r.connector, y->r.connector) == 0)
				n += y->refs;
		proc_fact("connector", "%s sessions=%u", x->r.connector, n);
	}
}

void
proxy_route_renew(void)
{
	struct shared *x;

	LIST_FOREACH (x, &routes, next)
		x->old = true;
}

void
proxy_route_drop(const struct proxy_route *r)
{
	struct shared *x;

	LIST_FOREACH (x, &routes, next)
		if (&x->r == r) {
			if (--x->refs == 0) {
				LIST_REMOVE(x, next);
				free(x);
			}
			return;
		}
}

const struct conf_connector *
proxy_connector(const char *name)
{
	const struct conf *c = proc_env()->conf;
	size_t i;

	for (i = 0; i < c->nconnectors; i++)
		if (strcmp(c->connectors[i].name, name) == 0)
			return &c->connectors[i];
	return NULL;
}

const struct conf_peer *
proxy_peer(const char *name)
{
	const struct conf *c = proc_env()->conf;
	size_t i;

	for (i = 0; i < c->npeers; i++)
		if (strcmp(c->peers[i].name, name) == 0)
			return &c->peers[i];
	return NULL;
}
