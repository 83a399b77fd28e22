#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/load.h"

static const char *const service_names[] = {[CONF_SMTP] = "smtp", [CONF_POP3] = "pop3"};

static void
no_memory(struct conf_load *l)
{
	conf_error(&l->errs, 0, "%s", strerror(ENOMEM));
}

static void
complete_node(struct conf_load *l)
{
	const struct scan_section *at = l->single[CONF_S_NODE];
	char name[HOST_NAME_MAX + 1] = "";

	if (l->c->node.hostname != NULL || conf_given(at, "hostname"))
		return;
	if (gethostname(name, sizeof name - 1) == -1 || !host_valid(name)) {
		conf_error(&l->errs, at != NULL ? at->line : 0,
		    "this machine calls itself '%s', which is no host name: set node.hostname",
		    conf_show(name, strlen(name)));
		return;
	}
	if ((l->c->node.hostname = strdup(name)) == NULL)
		no_memory(l);
}

static void
complete_peer(struct conf_load *l, struct conf_peer *p)
{
	static const uint64_t ports[][2] = {[CONF_SMTP] = {25, 465}, [CONF_POP3] = {110, 995}};

	if (p->port == 0)
		p->port = ports[p->service][p->tls == CONF_TLS_IMPLICIT];
	if (p->server_name == NULL && p->host != NULL && (p->server_name = strdup(p->host)) == NULL)
		no_memory(l);
}

static void
check_peer(struct conf_load *l, struct conf_peer *p, const struct scan_section *at)
{
	p->notify = p;
	if (p->notify_name != NULL && *p->notify_name != '\0') {
		unsigned line = conf_line(at, "notify");

		p->notify = conf_peer_find(l->c, p->notify_name);
		if (p->service != CONF_SMTP)
			conf_error(&l->errs, line,
			    "notify stands in a %s peer: only smtp peers take notices, remove it",
			    service_names[p->service]);
		else if (p->notify == NULL)
			conf_error(
			    &l->errs, line, "notify = %s: there is no such peer", p->notify_name);
		else if (p->notify->service != CONF_SMTP)
			conf_error(&l->errs, line,
			    "notify = %s: that peer is of service %s, not smtp", p->notify_name,
			    service_names[p->notify->service]);
	}
	if (p->host == NULL || host_is_loopback(p->host))
		return;
	if (p->tls == CONF_TLS_NONE)
		conf_error(&l->errs, conf_line(at, "tls"),
		    "peer \"%s\" at %s would get logins in clear: set tls = starttls or implicit",
		    p->name, p->host);
	else if (!p->verify)
		conf_error(&l->errs, conf_line(at, "verify"),
		    "peer \"%s\" at %s would not be verified: set verify = yes (ca_file and "
		    "server_name say what to trust)",
		    p->name, p->host);
}

/* Off loopback a login in clear has to be wanted. */
static void
complete_connector(struct conf_connector *k)
{
	size_t i;

	if (k->starttls != CONF_STARTTLS_DEFAULT)
		return;
	k->starttls = CONF_STARTTLS_OPTIONAL;
	if (k->tls == CONF_TLS_STARTTLS)
		for (i = 0; i < k->listen.n; i++)
			if (!netaddr_is_loopback(&k->listen.v[i]))
				k->starttls = CONF_STARTTLS_REQUIRED;
}

static void
check_connector_tls(
    struct conf_load *l, const struct conf_connector *k, const struct scan_section *at)
{
	int has = k->certificate != NULL && *k->certificate != '\0';
	int ca = k->client_ca != NULL && *k->client_ca != '\0';

	if (k->tls != CONF_TLS_NONE && !has)
		conf_error(&l->errs, conf_line(at, "tls"),
		    "connector \"%s\" offers TLS without a certificate: set certificate = FILE, "
		    "and "
		    "store its key with keyctl import --tls",
		    k->name);
	if (k->tls == CONF_TLS_NONE && has)
		conf_error(&l->errs, conf_line(at, "certificate"),
		    "certificate stands in connector \"%s\" that offers no TLS: set tls = starttls "
		    "or implicit, or remove it",
		    k->name);
	if (k->tls == CONF_TLS_NONE && k->starttls == CONF_STARTTLS_REQUIRED)
		conf_error(&l->errs, conf_line(at, "starttls"),
		    "connector \"%s\" requires TLS and offers none: set tls = starttls and "
		    "certificate, or remove it",
		    k->name);
	if (k->second_factor == CONF_FACTOR_CERTIFICATE && !ca)
		conf_error(&l->errs, conf_line(at, "second_factor"),
		    "second_factor = certificate: set client_ca = FILE, the authorities of the "
		    "clients' certificates");
	if (k->second_factor != CONF_FACTOR_CERTIFICATE && ca)
		conf_error(&l->errs, conf_line(at, "client_ca"),
		    "client_ca is for second_factor = certificate: set that, or remove it");
	if (k->second_factor == CONF_FACTOR_CERTIFICATE && k->tls != CONF_TLS_IMPLICIT &&
	    k->starttls == CONF_STARTTLS_OPTIONAL)
		conf_error(&l->errs, conf_line(at, "second_factor"),
		    "second_factor = certificate: clients show one in TLS only: set tls = "
		    "implicit, "
		    "or tls = starttls and starttls = required");
}

static void
check_connector(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	size_t i;

	if (k->service != CONF_POP3 && k->sizes != CONF_SIZES_FAST)
		conf_error(&l->errs, conf_line(at, "sizes"),
		    "sizes stands in a %s connector: it belongs to pop3, remove it",
		    service_names[k->service]);
	if (k->service != CONF_POP3 && k->banner)
		conf_error(&l->errs, conf_line(at, "banner"),
		    "banner stands in a %s connector: it belongs to pop3, remove it",
		    service_names[k->service]);
	check_connector_tls(l, k, at);
	if (k->service != CONF_SMTP && k->sign_by_address.n > 0)
		conf_error(&l->errs, conf_line(at, "sign_by_address"),
		    "sign_by_address stands in a %s connector: it belongs to smtp, remove it",
		    service_names[k->service]);
	for (i = 0; i < k->sign_by_address.n; i++)
		if (k->sign_by_address.v[i].bits == 0)
			conf_error(&l->errs, conf_value_line(l, at, "sign_by_address", i),
			    "sign_by_address: everybody could sign as anybody: name the networks");
	for (i = 0; i < k->listen.n; i++)
		if (k->listen.v[i].family == AF_INET6 && !netaddr_is_loopback(&k->listen.v[i]) &&
		    k->listen.v[i].addr[10] == 0xff && k->listen.v[i].addr[11] == 0xff &&
		    memcmp(k->listen.v[i].addr, (uint8_t[10]){0}, 10) == 0)
			conf_error(&l->errs, conf_value_line(l, at, "listen", i),
			    "listen: an IPv4 address in IPv6 form: write it as IPv4");
	if (k->peer_name == NULL)
		return;
	k->peer = conf_peer_find(l->c, k->peer_name);
	if (k->peer == NULL)
		conf_error(&l->errs, conf_line(at, "peer"),
		    "peer = %s: there is no such peer; add a section peer \"%s\"", k->peer_name,
		    k->peer_name);
	else if (k->peer->service != k->service)
		conf_error(&l->errs, conf_line(at, "peer"),
		    "peer = %s: that peer (line %u) is of service %s, connector \"%s\" of %s",
		    k->peer_name, k->peer->line, service_names[k->peer->service], k->name,
		    service_names[k->service]);
}

/* Whether two listeners cannot both be bound. IPv6 listeners take IPv6 only. */
static int
collide(const struct netaddr *a, const struct netaddr *b)
{
	if (a->family != b->family || a->port != b->port)
		return 0;
	return netaddr_is_any(a) || netaddr_is_any(b) || memcmp(a->addr, b->addr, 16) == 0;
}

static void
check_listener(struct conf_load *l, size_t k, size_t i)
{
	const struct conf_connector *c = l->c->connectors;
	const struct netaddr *a = &c[k].listen.v[i], *b;
	char text[2][NETADDR_TEXT_MAX];
	size_t k2, i2;

	for (k2 = 0; k2 <= k; k2++)
		for (i2 = 0; i2 < (k2 == k ? i : c[k2].listen.n); i2++) {
			b = &c[k2].listen.v[i2];
			if (!collide(a, b))
				continue;
			conf_error(&l->errs, conf_value_line(l, l->connector[k], "listen", i),
			    "listener %s of connector \"%s\" is taken by %s of connector \"%s\" in "
			    "line %u: change or remove one",
			    netaddr_format(text[0], sizeof text[0], ':', a), c[k].name,
			    netaddr_format(text[1], sizeof text[1], ':', b), c[k2].name,
			    conf_value_line(l, l->connector[k2], "listen", i2));
			return;
		}
}

/* A peer that is one of our own listeners would be a loop. */
static void
check_loop(struct conf_load *l, const struct conf_peer *p, const struct scan_section *at,
    const struct conf_connector *k)
{
	struct netaddr a, *b;
	size_t i;

	if (p->host == NULL || p->port > UINT16_MAX)
		return;
	if (strcasecmp(p->host, "localhost") == 0)
		(void)netaddr_parse_host("127.0.0.1", &a);
	else if (netaddr_parse_host(p->host, &a) == -1)
		return;
	a.port = (uint16_t)p->port;
	for (i = 0; i < k->listen.n; i++) {
		b = &k->listen.v[i];
		if (b->port == a.port && b->family == a.family &&
		    (memcmp(a.addr, b->addr, 16) == 0 ||
			(netaddr_is_any(b) && netaddr_is_loopback(&a))))
			conf_error(&l->errs, conf_line(at, "host"),
			    "peer \"%s\" is our own connector \"%s\": mail would go round in a "
			    "loop",
			    p->name, k->name);
	}
}

static void
check_ignition(struct conf_load *l)
{
	const struct conf_ignition *g = &l->c->ignition;

	if (*g->key_file != '\0' && *g->credential != '\0')
		conf_error(&l->errs, conf_line(l->single[CONF_S_IGNITION], "credential"),
		    "ignition: key_file and credential are both given: keep one");
}

static void
check_limits(struct conf_load *l)
{
	const struct conf_limits *m = &l->c->limits;
	const struct conf_workers *w = &l->c->workers;
	const struct scan_section *at = l->single[CONF_S_LIMITS];

	if (w->spare > w->max)
		conf_error(&l->errs, conf_line(l->single[CONF_S_WORKERS], "spare"),
		    "workers: spare is larger than max: lower spare or raise max");
	if (m->headers > m->message_size)
		conf_error(&l->errs, conf_line(at, "headers"),
		    "limits: headers is larger than message_size: lower it");
	if (m->sessions_per_client > m->sessions)
		conf_error(&l->errs, conf_line(at, "sessions_per_client"),
		    "limits: sessions_per_client is larger than sessions: lower it");
	if (m->idle_timeout > m->session_timeout || m->pop3_idle_timeout > m->session_timeout)
		conf_error(&l->errs, conf_line(at, "session_timeout"),
		    "limits: session_timeout is shorter than an idle timeout: raise it");
}

void
conf_complete(struct conf_load *l)
{
	struct conf *c = l->c;
	size_t i, k;

	complete_node(l);
	for (i = 0; i < c->npeers; i++)
		complete_peer(l, &c->peers[i]);
	for (i = 0; i < c->npeers; i++) {
		check_peer(l, &c->peers[i], l->peer[i]);
		for (k = 0; k < c->nconnectors; k++)
			check_loop(l, &c->peers[i], l->peer[i], &c->connectors[k]);
	}
	for (k = 0; k < c->nconnectors; k++) {
		complete_connector(&c->connectors[k]);
		check_connector(l, &c->connectors[k], l->connector[k]);
		for (i = 0; i < c->connectors[k].listen.n; i++)
			check_listener(l, k, i);
	}
	if (c->nconnectors == 0)
		conf_error(
		    &l->errs, 0, "no connector: nothing would listen; add a section connector");
	if (c->ignition.key_file != NULL && c->ignition.credential != NULL)
		check_ignition(l);
	check_limits(l);
}
