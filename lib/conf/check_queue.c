/* The queue: its connectors, gates and routes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/load.h"

static int
filled(const char *s)
{
	return s != NULL && *s != '\0';
}

/* ---- connectors ---- */

#define PROXIES (1u << CONF_SMTP | 1u << CONF_POP3)
#define QUEUES (1u << CONF_MX | 1u << CONF_RELAY | 1u << CONF_SUBMISSION)
#define SENDERS (1u << CONF_RELAY | 1u << CONF_SUBMISSION)

/* Keys that belong to some services only: in another one they would do nothing. */
static void
check_foreign(struct conf_load *l, const struct conf_connector *k, const struct scan_section *at)
{
	const struct {
		const char *key;
		int set; /* to something else than what stands for nothing */
		unsigned of; /* 1 << enum conf_service */
	} keys[] = {
	    {"gate", filled(k->gate_name), QUEUES},
	    {"relay_clients", k->relay_clients.n > 0, 1u << CONF_RELAY},
	    {"relay_certificates", k->relay_certificates.n > 0, 1u << CONF_RELAY},
	    {"auth", k->auth != CONF_AUTH_NONE, SENDERS},
	    {"sasl_socket", filled(k->sasl_socket), SENDERS},
	    {"login_domain", filled(k->login_domain), SENDERS},
	    {"inbound", k->inbound != CONF_INBOUND_PASS, 1u << CONF_MX},
	    {"proxy_protocol", k->proxy_protocol.n > 0, QUEUES},
	    {"xclient", k->xclient.n > 0, QUEUES},
	    {"outside_senders", k->outside_senders, SENDERS | PROXIES},
	    {"tenant", filled(k->tenant) && strcmp(k->tenant, "default") != 0, SENDERS | PROXIES},
	    {"sign_by_address", k->sign_by_address.n > 0, PROXIES},
	    {"second_factor", k->second_factor != CONF_FACTOR_NONE, PROXIES},
	    {"transparent", k->transparent != CONF_TRANSPARENT_NO, PROXIES},
	};
	size_t i;

	for (i = 0; i < sizeof keys / sizeof keys[0]; i++)
		if (keys[i].set && (keys[i].of & 1u << k->service) == 0)
			conf_error(&l->errs, conf_line(at, keys[i].key),
			    "%s stands in connector \"%s\" of service %s, where it means nothing: "
			    "remove it",
			    keys[i].key, k->name, conf_word(CONF_S_CONNECTOR, k, "service"));
}

static void
check_login(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	int peer = filled(k->peer_name);

	if (k->service == CONF_SUBMISSION && k->auth == CONF_AUTH_NONE)
		conf_error(&l->errs, conf_line(at, "auth"),
		    "connector \"%s\": nobody could log in: set auth = peer or sasl", k->name);
	if (peer && k->auth != CONF_AUTH_PEER)
		conf_error(&l->errs, conf_line(at, "peer"),
		    "peer = %s: a connector of service %s has a peer for auth = peer only: set "
		    "that, or remove it",
		    k->peer_name, conf_word(CONF_S_CONNECTOR, k, "service"));
	if (k->auth == CONF_AUTH_PEER && !peer)
		conf_error(&l->errs, conf_line(at, "auth"),
		    "connector \"%s\": auth = peer needs peer = NAME, the server that checks "
		    "logins",
		    k->name);
	if ((k->auth == CONF_AUTH_SASL) != filled(k->sasl_socket))
		conf_error(&l->errs, conf_line(at, filled(k->sasl_socket) ? "sasl_socket" : "auth"),
		    "connector \"%s\": auth = sasl and sasl_socket go together: %s", k->name,
		    filled(k->sasl_socket) ? "remove sasl_socket, or set auth = sasl"
					   : "add sasl_socket = /run/dovecot/auth-client");
	/* One user must not be taken for the other's namesake. */
	if (k->auth == CONF_AUTH_SASL && conf_peer_find(l->c, k->name) != NULL)
		conf_error(&l->errs, k->line,
		    "connector \"%s\": a peer (line %u) has the same name, and with auth = sasl "
		    "logins are kept under it: rename one",
		    k->name, conf_peer_find(l->c, k->name)->line);
	if (filled(k->login_domain) && k->auth != CONF_AUTH_SASL)
		conf_error(&l->errs, conf_line(at, "login_domain"),
		    "login_domain is for auth = sasl; with auth = peer it stands in the peer");
	if (k->auth != CONF_AUTH_PEER || !peer)
		return;
	k->peer = conf_peer_find(l->c, k->peer_name);
	if (k->peer == NULL)
		conf_error(&l->errs, conf_line(at, "peer"),
		    "peer = %s: there is no such peer; add a section peer \"%s\"", k->peer_name,
		    k->peer_name);
	else if (k->peer->service != CONF_SMTP)
		conf_error(&l->errs, conf_line(at, "peer"),
		    "peer = %s: that peer (line %u) is of service %s, and logins are checked by "
		    "one of smtp",
		    k->peer_name, k->peer->line, conf_word(CONF_S_PEER, k->peer, "service"));
}

/* All addresses, or all of IPv4, which may come mapped into IPv6. */
static int
is_everybody(const struct net *n)
{
	static const struct netaddr mapped = {
	    .family = AF_INET6, .addr = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};

	return n->bits == 0 || (n->family == AF_INET6 && n->bits <= 96 && net_contains(n, &mapped));
}

static void
check_nets(struct conf_load *l, const struct scan_section *at, const char *key,
    const struct conf_nets *v, const char *danger)
{
	size_t i;

	for (i = 0; i < v->n; i++)
		if (is_everybody(&v->v[i]))
			conf_error(&l->errs, conf_value_line(l, at, key, i),
			    "%s: %s: name the networks", key, danger);
}

static void
check_relay(struct conf_load *l, const struct conf_connector *k, const struct scan_section *at)
{
	if (k->service != CONF_RELAY)
		return;
	if (k->relay_clients.n == 0 && k->relay_certificates.n == 0 && k->auth == CONF_AUTH_NONE)
		conf_error(&l->errs, k->line,
		    "connector \"%s\": nobody could send: set relay_clients, relay_certificates or "
		    "auth",
		    k->name);
	check_nets(l, at, "relay_clients", &k->relay_clients, "everybody could relay");
	if (k->relay_certificates.n > 0 &&
	    (k->profile == NULL || k->profile->client_certificate == CONF_CLIENT_CERT_NONE))
		conf_error(&l->errs, conf_line(at, "relay_certificates"),
		    "relay_certificates: no client is asked for one: set action = NAME, one whose "
		    "tls_profile has client_certificate = ask");
}

void
conf_check_queue(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	int named = filled(k->gate_name);

	check_foreign(l, k, at);
	if (!conf_queues(k))
		return;
	if (k->inspect == CONF_TLS_ALLOW)
		conf_error(&l->errs, conf_line(at, "action"),
		    "action = %s: it passes TLS on untouched, and connector \"%s\" has nobody to "
		    "pass it on to: give it tls = inspect",
		    k->action_name, k->name);
	if (named && (k->gate = conf_gate_find(l->c, k->gate_name)) == NULL)
		conf_error(&l->errs, conf_line(at, "gate"),
		    "gate = %s: there is no such gate; add a section gate \"%s\"", k->gate_name,
		    k->gate_name);
	if (!named && k->service == CONF_MX)
		k->gate = conf_gate_find(l->c, "default");
	check_login(l, k, at);
	check_relay(l, k, at);
	check_nets(l, at, "proxy_protocol", &k->proxy_protocol, "everybody could be anybody");
	check_nets(l, at, "xclient", &k->xclient, "everybody could be anybody");
}

/* ---- gates, routes, the queue itself ---- */

static void
check_gate(struct conf_load *l, const struct conf_gate *g, const struct scan_section *at)
{
	struct conf_dnsbl d;
	size_t i;

	for (i = 0; i < g->dnsbl.n; i++)
		if (conf_dnsbl_parse(g->dnsbl.v[i], &d) == -1)
			conf_error(&l->errs, conf_value_line(l, at, "dnsbl", i),
			    "dnsbl = %s: write ZONE, ZONE*WEIGHT or ZONE=127.0.0.[2..11]*WEIGHT",
			    g->dnsbl.v[i]);
	check_nets(l, at, "exempt", &g->exempt, "everybody would be exempt, remove the gate");
}

static int
domain_valid(const char *s)
{
	return strcmp(s, "*") == 0 || host_valid(s[0] == '.' ? s + 1 : s);
}

static void
check_domains(struct conf_load *l, size_t x)
{
	const struct conf_route *r = &l->c->routes[x], *o;
	const struct scan_section *at = l->titled[CONF_S_ROUTE][x];
	size_t i, j, y;

	for (i = 0; i < r->domains.n; i++) {
		if (!domain_valid(r->domains.v[i]))
			conf_error(&l->errs, conf_value_line(l, at, "domains", i),
			    "domains = %s: write example.org, .example.org for all below it, or *",
			    r->domains.v[i]);
		for (y = 0; y <= x; y++) {
			o = &l->c->routes[y];
			for (j = 0; j < (y == x ? i : o->domains.n); j++)
				if (strcasecmp(o->domains.v[j], r->domains.v[i]) == 0)
					conf_error(&l->errs, conf_value_line(l, at, "domains", i),
					    "domains = %s: route \"%s\" in line %u has it already: "
					    "remove one",
					    r->domains.v[i], o->name,
					    conf_value_line(
						l, l->titled[CONF_S_ROUTE][y], "domains", j));
		}
	}
}

/* A server that is one of our own listeners would be a loop. */
static int
is_ours(const struct conf *c, const struct conf_server *s, uint16_t usual)
{
	struct netaddr a;
	const struct netaddr *b;
	size_t i, k;

	if (s->mx || netaddr_parse_host(s->host, &a) == -1)
		return 0;
	a.port = s->port != 0 ? s->port : usual;
	for (k = 0; k < c->nconnectors; k++)
		for (i = 0; conf_is_smtp(c->connectors[k].service) && i < c->connectors[k].nbound;
		     i++) {
			b = &c->connectors[k].bound[i].addr;
			if (b->port == a.port && b->family == a.family &&
			    (memcmp(a.addr, b->addr, 16) == 0 ||
				(netaddr_is_any(b) && netaddr_is_loopback(&a))))
				return 1;
		}
	return 0;
}

static void
check_servers(struct conf_load *l, const struct conf_route *r, const struct scan_section *at,
    const char *key, const struct conf_strings *v)
{
	struct conf_server s;
	size_t i;

	for (i = 0; i < v->n; i++)
		if (conf_server_parse(v->v[i], &s) == -1)
			conf_error(&l->errs, conf_value_line(l, at, key, i),
			    "%s = %s: write HOST, HOST:PORT or mx:DOMAIN; priority in front as in "
			    "10/HOST, weight behind as in HOST*3",
			    key, v->v[i]);
		else if (is_ours(l->c, &s,
			     r->protocol == CONF_PROTO_LMTP ? 24
			     : r->implicit                  ? 465
							    : 25))
			conf_error(&l->errs, conf_value_line(l, at, key, i),
			    "%s = %s: that is a connector of our own: mail would go round in a "
			    "loop",
			    key, v->v[i]);
}

static void
check_route_tls(struct conf_load *l, const struct conf_route *r, const struct scan_section *at)
{
	if (r->implicit && r->tls == CONF_ROUTE_TLS_NONE)
		conf_error(&l->errs, conf_line(at, "implicit"),
		    "implicit is TLS from the first octet on, and tls = none forbids it: remove "
		    "one");
	if (filled(r->login) != filled(r->password_file))
		conf_error(&l->errs, conf_line(at, filled(r->login) ? "login" : "password_file"),
		    "route \"%s\": login and password_file go together", r->name);
	if (filled(r->login) && r->tls < CONF_ROUTE_TLS_ENCRYPT)
		conf_error(&l->errs, conf_line(at, "login"),
		    "route \"%s\": the password could go out in clear: set tls = encrypt or verify",
		    r->name);
	if (filled(r->login) && r->servers.n == 0)
		conf_error(&l->errs, conf_line(at, "login"),
		    "route \"%s\": the password would go to whatever server the MX name: set "
		    "servers",
		    r->name);
	if (r->tls == CONF_ROUTE_TLS_DANE && !r->dane)
		conf_error(&l->errs, conf_line(at, "dane"),
		    "route \"%s\": tls = dane and dane = no contradict each other", r->name);
	if (r->protocol == CONF_PROTO_LMTP && r->servers.n == 0)
		conf_error(&l->errs, conf_line(at, "protocol"),
		    "route \"%s\": MX are of SMTP: set servers for lmtp", r->name);
}

/* As far as this library can say: local@domain. */
static int
address_valid(const char *s)
{
	const char *at = strrchr(s, '@');

	return at != NULL && at != s && strpbrk(s, " <>\"(),:;\\") == NULL && host_valid(at + 1);
}

static void
check_queue_section(struct conf_load *l)
{
	const struct conf_queue *q = &l->c->queue;
	const struct scan_section *at = l->single[CONF_S_QUEUE];

	if (q->postmaster == NULL || q->report_from == NULL)
		return;
	if (q->retry_min > q->retry_max)
		conf_error(&l->errs, conf_line(at, "retry_min"),
		    "queue: retry_min is larger than retry_max: lower it");
	if (q->segment > q->size / 4)
		conf_error(&l->errs, conf_line(at, "segment"),
		    "queue: segment is more than a quarter of size: lower it");
	if (filled(q->postmaster) && !address_valid(q->postmaster))
		conf_error(&l->errs, conf_line(at, "postmaster"),
		    "postmaster = %s: that is no address", q->postmaster);
	if (filled(q->report_from) && !address_valid(q->report_from))
		conf_error(&l->errs, conf_line(at, "report_from"),
		    "report_from = %s: that is no address", q->report_from);
	if (q->tls_reports && !filled(q->postmaster) && !filled(q->report_from))
		conf_error(&l->errs, conf_line(at, "tls_reports"),
		    "queue: reports have a sender: set report_from or postmaster");
}

/* A path, or an address that only this machine reaches. */
static void
check_metrics(struct conf_load *l)
{
	const char *m = l->c->log.metrics;
	struct netaddr a;

	if (!filled(m) || m[0] == '/')
		return;
	if (netaddr_parse(m, ':', 0, &a) == -1 || !netaddr_is_loopback(&a))
		conf_error(&l->errs, conf_line(l->single[CONF_S_LOG], "metrics"),
		    "metrics = %s: write the path of a socket, or a loopback address as "
		    "127.0.0.1:9090: whoever reaches it reads it",
		    m);
}

void
conf_check_routes(struct conf_load *l)
{
	const struct scan_section *at;
	struct conf_route *r;
	size_t i;

	check_queue_section(l);
	check_metrics(l);
	for (i = 0; i < l->c->ngates; i++)
		check_gate(l, &l->c->gates[i], l->titled[CONF_S_GATE][i]);
	for (i = 0; i < l->c->nroutes; i++) {
		r = &l->c->routes[i];
		at = l->titled[CONF_S_ROUTE][i];
		if (filled(r->profile_name) &&
		    (r->profile = conf_profile_find(l->c, r->profile_name)) == NULL)
			conf_error(&l->errs, conf_line(at, "profile"),
			    "profile = %s: there is no such TLS profile; add a section tls_profile "
			    "\"%s\"",
			    r->profile_name, r->profile_name);
		check_domains(l, i);
		check_servers(l, r, at, "servers", &r->servers);
		check_servers(l, r, at, "fallback", &r->fallback);
		check_route_tls(l, r, at);
	}
}
