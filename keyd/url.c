#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "keyd/keyd.h"

#define HTTP_PORT 80
#define HTTP_ALT_PORT 8080
#define HTTPS_PORT 443
#define N(a) (sizeof(a) / sizeof(a)[0])

static const char scheme[] = "http://";

/* RFC 3986, appendix A: what may stand in a path or query. */
static int
path_ok(const char *s)
{
	for (; *s != '\0'; s++)
		if (!isascii((unsigned char)*s) || !isgraph((unsigned char)*s) ||
		    strchr("\"#<>[\\]^`{|}", *s) != NULL)
			return 0;
	return 1;
}

static int
take_port(const char *s, struct url *u)
{
	unsigned port = 0;
	size_t i;

	u->port = HTTP_PORT;
	if (*s == '\0' || strcmp(s, ":") == 0) /* RFC 3986, 3.2.3: it may be empty */
		return 0;
	if (*s++ != ':' || strlen(s) > 5)
		return -1;
	for (i = 0; s[i] != '\0'; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		port = port * 10 + (unsigned)(s[i] - '0');
	}
	if (port < 1 || port > UINT16_MAX)
		return -1;
	u->port = (uint16_t)port;
	return 0;
}

/* "host", "host:port", "[address]:port"; s is written to. */
static int
take_authority(char *s, struct url *u)
{
	int v6 = *s == '[';
	char *host = s + v6, *end = host + strcspn(host, v6 ? "]" : ":"), port[8];
	struct netaddr a;
	size_t i;

	if (v6 && *end != ']')
		return -1;
	if (strlcpy(port, end + v6, sizeof port) >= sizeof port || take_port(port, u) == -1)
		return -1;
	*end = '\0';
	if (netaddr_parse_host(host, &a) == 0 ? (a.family == AF_INET6) != v6
					      : v6 || !host_valid(host))
		return -1;
	for (i = 0; host[i] != '\0'; i++)
		host[i] = (char)tolower((unsigned char)host[i]);
	return strlcpy(u->host, host, sizeof u->host) < sizeof u->host ? 0 : -1;
}

int
url_parse(const void *p, size_t n, struct url *u, struct err *e)
{
	char text[URL_MAX + 1], *authority, *rest;

	memset(u, 0, sizeof *u);
	if (n > URL_MAX)
		return err_set(e, EMSGSIZE, "its URL is longer than %d octets", URL_MAX);
	if (memchr(p, '\0', n) != NULL)
		return err_set(e, EINVAL, "its URL has a NUL in it");
	memcpy(text, p, n);
	text[n] = '\0';
	if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
		return err_set(e, EPROTONOSUPPORT, "its URL is none of http");
	authority = text + sizeof scheme - 1;
	rest = authority + strcspn(authority, "/?#");
	if (!path_ok(rest))
		return err_set(e, EINVAL, "its URL has characters that do not belong there");
	(void)snprintf(u->path, sizeof u->path, "%s%s", *rest == '/' ? "" : "/", rest);
	*rest = '\0';
	if (take_authority(authority, u) == -1) {
		u->host[0] = '\0';
		return err_set(e, EINVAL, "its URL has no proper host and port");
	}
	return 0;
}

char *
url_authority(char *out, size_t outsz, const struct url *u)
{
	const char *open = "", *close = "";
	char port[8] = "";

	if (strchr(u->host, ':') != NULL) {
		open = "[";
		close = "]";
	}
	if (u->port != (u->tls ? HTTPS_PORT : HTTP_PORT))
		(void)snprintf(port, sizeof port, ":%u", u->port);
	(void)snprintf(out, outsz, "%s%s%s%s", open, u->host, close, port);
	return out;
}

/* What is not of the Internet, or leads elsewhere than it says (6to4, Teredo). */
static const struct net special[] = {
    {AF_INET, {0}, 8},
    {AF_INET, {10}, 8},
    {AF_INET, {100, 64}, 10},
    {AF_INET, {127}, 8},
    {AF_INET, {169, 254}, 16},
    {AF_INET, {172, 16}, 12},
    {AF_INET, {192, 0, 0}, 24},
    {AF_INET, {192, 0, 2}, 24},
    {AF_INET, {192, 88, 99}, 24},
    {AF_INET, {192, 168}, 16},
    {AF_INET, {198, 18}, 15},
    {AF_INET, {198, 51, 100}, 24},
    {AF_INET, {203, 0, 113}, 24},
    {AF_INET, {224}, 3}, /* multicast, reserved, broadcast */
    {AF_INET6, {0x20, 0x01}, 23},
    {AF_INET6, {0x20, 0x01, 0x0d, 0xb8}, 32},
    {AF_INET6, {0x20, 0x02}, 16},
    {AF_INET6, {0x3f, 0xff}, 20},
};

/* Of IPv6 only this was given to the Internet so far; what is mapped or translated is not in it. */
static const struct net global6 = {AF_INET6, {0x20}, 3};

int
address_allowed(const struct netaddr *a, const struct conf_nets *allow, int own_port)
{
	size_t i;

	for (i = 0; i < allow->n; i++)
		if (net_contains(&allow->v[i], a))
			return 1;
	if (!own_port && a->port != HTTP_PORT && a->port != HTTP_ALT_PORT)
		return 0;
	if (a->family == AF_INET6 && !net_contains(&global6, a))
		return 0;
	for (i = 0; i < N(special); i++)
		if (net_contains(&special[i], a))
			return 0;
	return 1;
}
