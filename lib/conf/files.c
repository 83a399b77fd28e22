/* The files that daemons need. */
#include <stdio.h>

#include "conf/conf.h"

struct caller {
	conf_file_fn fn;
	void *arg;
};

static int
give(const struct caller *to, const char *section, const char *name, const char *key,
    const char *path, int need)
{
	char what[128];

	if (*path == '\0')
		return 0;
	(void)snprintf(
	    what, sizeof what, "%s%s%s: %s", section, *name != '\0' ? " " : "", name, key);
	return to->fn(to->arg, path, what, need);
}

static int
of_connector(const struct caller *to, const struct conf_connector *k)
{
	const struct conf_profile *p = k->profile;
	size_t i;

	if (k->tls == CONF_SUPPORT_DISABLED || k->inspect != CONF_TLS_INSPECT)
		return 0;
	for (i = 0; i < k->chains.n; i++)
		if (give(to, "connector", k->name, "certificates", k->chains.v[i], 1) == -1)
			return -1;
	if (p->client_certificate != CONF_CLIENT_CERT_NONE &&
	    give(to, "tls_profile", p->name, "client_ca", p->client_ca, 1) == -1)
		return -1;
	if (k->transparent == CONF_TRANSPARENT_NO)
		return 0;
	return give(to, "tls_profile", p->name, "ca_file", p->ca_file, p->verify == CONF_VERIFY_CA);
}

static int
of_route(const struct caller *to, const struct conf_route *r)
{
	const struct conf_profile *p = r->profile;

	if (r->tls != CONF_ROUTE_TLS_NONE &&
	    give(to, "tls_profile", p->name, "ca_file", p->ca_file,
		r->tls == CONF_ROUTE_TLS_VERIFY && p->verify != CONF_VERIFY_FINGERPRINT) == -1)
		return -1;
	if (*r->login == '\0')
		return 0;
	return give(to, "route", r->name, "password_file", r->password_file, 1);
}

/* Deliveries: by routes, and to MX that no route is about. */
static int
of_queue(const struct caller *to, const struct conf *c)
{
	const struct conf_profile *usual = conf_profile_find(c, "default");
	size_t i;

	for (i = 0; i < c->nroutes; i++)
		if (of_route(to, &c->routes[i]) == -1)
			return -1;
	return give(to, "tls_profile", "default", "ca_file", usual->ca_file, 0);
}

int
conf_files(const struct conf *c, conf_file_fn fn, void *arg)
{
	const struct caller to = {fn, arg};
	const struct conf_peer *p;
	size_t i;

	for (i = 0; i < c->nconnectors; i++)
		if (of_connector(&to, &c->connectors[i]) == -1)
			return -1;
	for (i = 0; i < c->npeers; i++) {
		p = &c->peers[i];
		if (p->tls != CONF_TLS_NONE && give(&to, "peer", p->name, "ca_file", p->ca_file,
						   p->verify == CONF_VERIFY_CA) == -1)
			return -1;
	}
	if (conf_has_queue(c) && of_queue(&to, c) == -1)
		return -1;
	if (conf_has_queue(c) && give(&to, "keyd", "", "sts_ca_file", c->keyd.sts_ca_file, 0) == -1)
		return -1;
	if (c->dns.servers.n == 0 && give(&to, "dns", "", "servers", CONF_RESOLV_FILE, 0) == -1)
		return -1;
	if (c->dns.hosts && give(&to, "dns", "", "hosts", CONF_HOSTS_FILE, 0) == -1)
		return -1;
	return give(&to, "dns", "", "trust_anchor", c->dns.trust_anchor, 1);
}
