#include "proxy/route.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define SHOWN_MAX 64 /* connectors that one process tells of */

struct shared {
	LIST_ENTRY(shared) next;
	unsigned refs;
	bool old; /* from before a reload: for the sessions that have it */
	struct proxy_route r;
};

static LIST_HEAD(, shared) routes = LIST_HEAD_INITIALIZER(routes);

void
proxy_route_peer(struct proxy_route *r, const struct conf_peer *p, const struct conf *conf)
{
	memset(r, 0, sizeof *r);
	(void)strlcpy(r->peer, p->name, sizeof r->peer);
	(void)strlcpy(r->host, p->host, sizeof r->host);
	r->port = (uint16_t)p->port;
	r->tls = p->tls;
	r->verify = p->verify;
	(void)strlcpy(r->server_name, p->server_name, sizeof r->server_name);
	(void)strlcpy(r->ca_file, p->ca_file, sizeof r->ca_file);
	(void)strlcpy(r->login_domain, p->login_domain, sizeof r->login_domain);
	r->login_case = p->login_case;
	r->limits = conf->limits;
	(void)strlcpy(r->hostname, conf->node.hostname, sizeof r->hostname);
}

void
proxy_route_set(struct proxy_route *r, const struct conf_connector *k, const struct conf *conf)
{
	proxy_route_peer(r, k->peer, conf);
	(void)strlcpy(r->connector, k->name, sizeof r->connector);
	(void)strlcpy(r->tenant, k->tenant, sizeof r->tenant);
	r->client_tls = k->tls;
	r->tls_required = k->tls == CONF_TLS_IMPLICIT || k->starttls == CONF_STARTTLS_REQUIRED;
	r->second_factor = k->second_factor;
	r->sizes = k->sizes;
	r->banner = k->banner;
}

const struct proxy_route *
proxy_route_get(const struct conf_connector *k, const struct conf *conf)
{
	struct shared *x;

	LIST_FOREACH (x, &routes, next)
		if (!x->old && strcmp(x->r.connector, k->name) == 0) {
			x->refs++;
			return &x->r;
		}
	if ((x = malloc(sizeof *x)) == NULL)
		return NULL;
	proxy_route_set(&x->r, k, conf);
	x->refs = 1;
	x->old = false;
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
