/* What connectors listen on. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/load.h"

/* In clear, and with TLS from the first octet on. */
static const uint16_t listen_ports[][2] = {[CONF_SMTP] = {587, 465},
    [CONF_POP3] = {110, 995},
    [CONF_MX] = {25, 465},
    [CONF_RELAY] = {25, 465},
    [CONF_SUBMISSION] = {587, 465}};

/*
 * What a connector could listen on whatever connector.tls is, the n-th of it; key and i say which
 * value has it.  Returns 1, 0 (this number gives nothing), or -1 (there are no more).
 */
static int
port_at(const struct conf_connector *k, size_t n, struct conf_listener *out, const char **key,
    size_t *i)
{
	const uint16_t *usual = listen_ports[k->service];

	if (n < 2 * k->listen.n) {
		*key = "listen";
		*i = n / 2;
		*out = (struct conf_listener){k->listen.v[*i], CONF_TLS_STARTTLS};
		if (n % 2 == 1) {
			/* Servers that send to us know port 25 only. */
			if (out->addr.port != 0 || usual[0] == 25)
				return 0;
			out->tls = CONF_TLS_IMPLICIT;
		}
	} else {
		n -= 2 * k->listen.n;
		if (n >= k->listen_tls.n)
			return -1;
		*key = "listen_tls";
		*i = n;
		*out = (struct conf_listener){k->listen_tls.v[n], CONF_TLS_IMPLICIT};
	}
	if (out->addr.port == 0)
		out->addr.port = usual[out->tls == CONF_TLS_IMPLICIT];
	return 1;
}

/* Whether connector.tls lets it be bound; as which kind of port then. */
static int
is_bound(const struct conf_connector *k, struct conf_listener *p)
{
	if (k->tls == (p->tls == CONF_TLS_IMPLICIT ? CONF_SUPPORT_DISABLED : CONF_SUPPORT_REQUIRED))
		return 0;
	if (k->tls == CONF_SUPPORT_DISABLED)
		p->tls = CONF_TLS_NONE;
	return 1;
}

/* Line of the value that gave the n-th of k->bound. */
static unsigned
line_of(const struct conf_load *l, const struct conf_connector *k, const struct scan_section *at,
    size_t n)
{
	struct conf_listener p;
	const char *key;
	size_t i, j;
	int rc;

	for (j = 0; (rc = port_at(k, j, &p, &key, &i)) != -1; j++)
		if (rc == 1 && is_bound(k, &p) && n-- == 0)
			return conf_value_line(l, at, key, i);
	return at->line;
}

static void
complain_of_none(struct conf_load *l, const struct conf_connector *k, const struct scan_section *at)
{
	size_t n = k->listen.n + k->listen_tls.n;

	if (n < conf_count(at, "listen") + conf_count(at, "listen_tls"))
		return; /* wrong ones were told of */
	if (n == 0)
		conf_error(&l->errs, k->line,
		    "connector \"%s\" has no listen: add one, as listen = {\"192.0.2.1\"}",
		    k->name);
	else if (k->tls == CONF_SUPPORT_DISABLED)
		conf_error(&l->errs, conf_line(at, "tls"),
		    "connector \"%s\" has listen_tls only, which tls = disabled does not bind: add "
		    "listen, or set tls = enabled",
		    k->name);
	else
		conf_error(&l->errs, conf_line(at, "tls"),
		    "connector \"%s\" has clear ports only, which tls = required does not bind: "
		    "add listen_tls, or set tls = enabled",
		    k->name);
}

static void
check_form(
    struct conf_load *l, const struct scan_section *at, const char *key, const struct conf_addrs *v)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	size_t i;

	for (i = 0; i < v->n; i++)
		if (v->v[i].family == AF_INET6 && memcmp(v->v[i].addr, mapped, sizeof mapped) == 0)
			conf_error(&l->errs, conf_value_line(l, at, key, i),
			    "%s: an IPv4 address in IPv6 form: write it as IPv4", key);
}

void
conf_complete_ports(struct conf_load *l, struct conf_connector *k, const struct scan_section *at)
{
	int open = 0, rc; /* to somebody else than this machine, in clear at first */
	struct conf_listener p;
	const char *key;
	size_t i, n;

	check_form(l, at, "listen", &k->listen);
	check_form(l, at, "listen_tls", &k->listen_tls);
	k->bound = calloc(2 * k->listen.n + k->listen_tls.n + 1, sizeof *k->bound);
	if (k->bound == NULL) {
		conf_no_memory(l);
		return;
	}
	for (n = 0; (rc = port_at(k, n, &p, &key, &i)) != -1; n++)
		if (rc == 1 && is_bound(k, &p)) {
			k->bound[k->nbound++] = p;
			open |= p.tls == CONF_TLS_STARTTLS && !netaddr_is_loopback(&p.addr);
		}
	if (k->nbound == 0)
		complain_of_none(l, k, at);
	/*
	 * Off loopback a login in clear has to be wanted.  Where nobody logs in, mail of the world
	 * comes as it can.
	 */
	if (k->service == CONF_MX || (k->service == CONF_RELAY && k->auth == CONF_AUTH_NONE))
		open = 0;
	if (k->starttls == CONF_STARTTLS_DEFAULT)
		k->starttls = open || k->tls == CONF_SUPPORT_REQUIRED ? CONF_STARTTLS_REQUIRED
								      : CONF_STARTTLS_OPTIONAL;
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
	const struct scan_section *const *at = l->titled[CONF_S_CONNECTOR];
	const struct conf_connector *c = l->c->connectors;
	const struct netaddr *a = &c[k].bound[i].addr, *b;
	char text[2][NETADDR_TEXT_MAX];
	size_t k2, i2;

	for (k2 = 0; k2 <= k; k2++)
		for (i2 = 0; i2 < (k2 == k ? i : c[k2].nbound); i2++) {
			b = &c[k2].bound[i2].addr;
			if (!collide(a, b))
				continue;
			conf_error(&l->errs, line_of(l, &c[k], at[k], i),
			    "listener %s of connector \"%s\" is taken by %s of connector \"%s\" in "
			    "line %u: change or remove one",
			    netaddr_format(text[0], sizeof text[0], ':', a), c[k].name,
			    netaddr_format(text[1], sizeof text[1], ':', b), c[k2].name,
			    line_of(l, &c[k2], at[k2], i2));
			return;
		}
}

/* A peer that is one of our own listeners would be a loop. */
static void
check_loop(struct conf_load *l, const struct conf_peer *p, uint64_t port, unsigned line,
    const struct conf_connector *k)
{
	const struct netaddr *b;
	struct netaddr a;
	size_t i;

	if (p->host == NULL || port > UINT16_MAX)
		return;
	if (strcasecmp(p->host, "localhost") == 0)
		(void)netaddr_parse_host("127.0.0.1", &a);
	else if (netaddr_parse_host(p->host, &a) == -1)
		return;
	a.port = (uint16_t)port;
	for (i = 0; i < k->nbound; i++) {
		b = &k->bound[i].addr;
		if (b->port == a.port && b->family == a.family &&
		    (memcmp(a.addr, b->addr, 16) == 0 ||
			(netaddr_is_any(b) && netaddr_is_loopback(&a))))
			conf_error(&l->errs, line,
			    "peer \"%s\" is our own connector \"%s\": mail would go round in a "
			    "loop",
			    p->name, k->name);
	}
}

/* Whether TLS of clients is tunnelled to this peer's tls_port. */
static int
has_tunnels(const struct conf *c, const struct conf_peer *p)
{
	const struct conf_connector *k;
	size_t i;

	for (k = c->connectors; k < c->connectors + c->nconnectors; k++)
		for (i = 0; k->peer == p && k->inspect == CONF_TLS_ALLOW && i < k->nbound; i++)
			if (k->bound[i].tls == CONF_TLS_IMPLICIT)
				return 1;
	return 0;
}

void
conf_check_ports(struct conf_load *l)
{
	const struct conf *c = l->c;
	const struct scan_section *at;
	size_t i, k;

	for (k = 0; k < c->nconnectors; k++)
		for (i = 0; i < c->connectors[k].nbound; i++)
			check_listener(l, k, i);
	for (i = 0; i < c->npeers; i++) {
		const struct conf_peer *p = &c->peers[i];
		int tunnels = p->tls_port != p->port && has_tunnels(c, p);

		at = l->titled[CONF_S_PEER][i];
		for (k = 0; k < c->nconnectors; k++) {
			check_loop(l, p, p->port, conf_line(at, "host"), &c->connectors[k]);
			if (tunnels)
				check_loop(l, p, p->tls_port, conf_line(at, "tls_port"),
				    &c->connectors[k]);
		}
	}
}

const struct conf_listener *
conf_listener_find(const struct conf_connector *k, const char *address)
{
	char text[NETADDR_TEXT_MAX];
	size_t i;

	for (i = 0; i < k->nbound; i++)
		if (strcmp(netaddr_format(text, sizeof text, ':', &k->bound[i].addr), address) == 0)
			return &k->bound[i];
	return NULL;
}
