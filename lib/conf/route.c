/* Routes, gates, and the small texts in them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/conf.h"

int
conf_is_smtp(enum conf_service s)
{
	return s != CONF_POP3;
}

int
conf_queues(const struct conf_connector *k)
{
	return k->service == CONF_MX || k->service == CONF_RELAY || k->service == CONF_SUBMISSION;
}

int
conf_has_queue(const struct conf *c)
{
	size_t i;

	for (i = 0; i < c->nconnectors; i++)
		if (conf_queues(&c->connectors[i]))
			return 1;
	return 0;
}

const struct conf_gate *
conf_gate_find(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->ngates; i++)
		if (strcmp(c->gates[i].name, name) == 0)
			return &c->gates[i];
	return NULL;
}

const struct conf_route *
conf_route_find(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->nroutes; i++)
		if (strcmp(c->routes[i].name, name) == 0)
			return &c->routes[i];
	return NULL;
}

/* Octets of the domain that a pattern covers, and 1 for itself; 0: none of them. */
static size_t
covers(const char *pattern, const char *domain)
{
	size_t n = strlen(pattern), all = strlen(domain);

	if (strcmp(pattern, "*") == 0)
		return 1;
	if (pattern[0] == '.')
		return all > n && strcasecmp(domain + all - n, pattern) == 0 ? n + 1 : 0;
	return strcasecmp(domain, pattern) == 0 ? n + 2 : 0;
}

const struct conf_route *
conf_route_of(const struct conf *c, const char *domain)
{
	const struct conf_route *r, *best = NULL;
	size_t i, n, most = 0;

	for (r = c->routes; r < c->routes + c->nroutes; r++)
		for (i = 0; i < r->domains.n; i++)
			if ((n = covers(r->domains.v[i], domain)) > most) {
				most = n;
				best = r;
			}
	return best;
}

/* A decimal number with nothing behind it; -1 when it is none or out of bounds. */
static long
number(const char *text, size_t n, long min, long max)
{
	char digits[8], *end;
	long v;

	if (n == 0 || n >= sizeof digits)
		return -1;
	memcpy(digits, text, n);
	digits[n] = '\0';
	if (strspn(digits, "0123456789") != n)
		return -1;
	v = strtol(digits, &end, 10);
	return v < min || v > max ? -1 : v;
}

/* HOST, HOST:PORT, [V6], [V6]:PORT */
static int
parse_host(const char *text, size_t n, struct conf_server *s)
{
	const char *colon, *close = memchr(text, ']', n);
	size_t host = n;
	long port;

	colon = memrchr(text, ':', n);
	if (colon != NULL && (close == NULL || colon > close)) {
		host = (size_t)(colon - text);
		if ((port = number(colon + 1, n - host - 1, 1, 65535)) == -1)
			return -1;
		s->port = (uint16_t)port;
	}
	if (host > 2 && text[0] == '[' && text[host - 1] == ']') {
		text++;
		host -= 2;
	}
	if (host == 0 || host >= sizeof s->host)
		return -1;
	memcpy(s->host, text, host);
	s->host[host] = '\0';
	return 0;
}

int
conf_server_parse(const char *text, struct conf_server *s)
{
	const char *slash = strchr(text, '/'), *star = strrchr(text, '*');
	struct netaddr a;
	long v;

	memset(s, 0, sizeof *s);
	s->weight = 1;
	errno = EINVAL;
	if (slash != NULL) {
		if ((v = number(text, (size_t)(slash - text), 0, 65535)) == -1)
			return -1;
		s->priority = (unsigned)v;
		text = slash + 1;
	}
	if (star != NULL) {
		if (star < text || (v = number(star + 1, strlen(star + 1), 1, 1000)) == -1)
			return -1;
		s->weight = (unsigned)v;
	}
	if (strncmp(text, "mx:", 3) == 0) {
		s->mx = 1;
		text += 3;
	}
	if (parse_host(text, star != NULL ? (size_t)(star - text) : strlen(text), s) == -1)
		return -1;
	return host_valid(s->host) || (!s->mx && netaddr_parse_host(s->host, &a) == 0) ? 0 : -1;
}

/* "127.0.0.2", and the last part may be "[2..11]". */
static int
parse_answers(const char *text, size_t n, struct conf_dnsbl *d)
{
	char buf[64];
	struct netaddr a;
	char *open, *dots;
	long low, high;

	if (n >= sizeof buf)
		return -1;
	memcpy(buf, text, n);
	buf[n] = '\0';
	if ((open = strchr(buf, '[')) == NULL) {
		if (netaddr_parse_host(buf, &a) == -1 || a.family != AF_INET)
			return -1;
		memcpy(d->low, a.addr, 4);
		memcpy(d->high, a.addr, 4);
		return 0;
	}
	if (buf[n - 1] != ']' || (dots = strstr(open, "..")) == NULL)
		return -1;
	low = number(open + 1, (size_t)(dots - open) - 1, 0, 255);
	high = number(dots + 2, (size_t)(buf + n - 1 - dots) - 2, 0, 255);
	if (low == -1 || high < low)
		return -1;
	(void)strlcpy(open, "0", 2);
	if (netaddr_parse_host(buf, &a) == -1 || a.family != AF_INET)
		return -1;
	memcpy(d->low, a.addr, 4);
	memcpy(d->high, a.addr, 4);
	d->low[3] = (uint8_t)low;
	d->high[3] = (uint8_t)high;
	return 0;
}

int
conf_dnsbl_parse(const char *text, struct conf_dnsbl *d)
{
	const char *star = strrchr(text, '*'), *eq = strchr(text, '=');
	size_t n = star != NULL ? (size_t)(star - text) : strlen(text);
	size_t zone = eq != NULL && eq < text + n ? (size_t)(eq - text) : n;
	long v;

	memset(d, 0, sizeof *d);
	errno = EINVAL;
	d->weight = 1;
	if (star != NULL) {
		v = number(
		    star + 1 + (star[1] == '-'), strlen(star + 1 + (star[1] == '-')), 0, 1000);
		if (v == -1)
			return -1;
		d->weight = (int)(star[1] == '-' ? -v : v);
	}
	d->low[0] = d->high[0] = 127;
	memset(d->high + 1, 255, 3);
	if (zone < n && parse_answers(text + zone + 1, n - zone - 1, d) == -1)
		return -1;
	if (zone == 0 || zone >= sizeof d->zone)
		return -1;
	memcpy(d->zone, text, zone);
	d->zone[zone] = '\0';
	return host_valid(d->zone) ? 0 : -1;
}
