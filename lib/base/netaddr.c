#include "base/netaddr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static int
invalid(void)
{
	errno = EINVAL;
	return -1;
}

/* n octets of decimal digits only, no more than max; -1 with EINVAL otherwise. */
static int
number(const char *s, size_t n, unsigned max, unsigned *v)
{
	unsigned x = 0;
	size_t i;

	if (n == 0 || n > 5)
		return invalid();
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return invalid();
		x = x * 10 + (unsigned)(s[i] - '0');
	}
	if (x > max)
		return invalid();
	*v = x;
	return 0;
}

static int
port_number(const char *s, uint16_t *port)
{
	unsigned v;

	if (number(s, strlen(s), 65535, &v) == -1 || v == 0)
		return invalid();
	*port = (uint16_t)v;
	return 0;
}

/* An address in the n octets at s, brackets permitted around IPv6. */
static int
parse_addr(const char *s, size_t n, int *family, uint8_t addr[16])
{
	char text[INET6_ADDRSTRLEN];
	int bracketed = n >= 2 && s[0] == '[' && s[n - 1] == ']';

	if (bracketed) {
		s++;
		n -= 2;
	}
	if (n >= sizeof text)
		return invalid();
	memcpy(text, s, n);
	text[n] = '\0';
	memset(addr, 0, 16);
	if (!bracketed && inet_pton(AF_INET, text, addr) == 1) {
		*family = AF_INET;
		return 0;
	}
	if (inet_pton(AF_INET6, text, addr) != 1)
		return invalid();
	*family = AF_INET6;
	return 0;
}

int
netaddr_parse_host(const char *s, struct netaddr *a)
{
	struct netaddr v = {0};

	if (parse_addr(s, strlen(s), &v.family, v.addr) == -1)
		return -1;
	*a = v;
	return 0;
}

int
netaddr_parse(const char *s, char sep, uint16_t defport, struct netaddr *a)
{
	const char *at = strrchr(s, sep), *close = strrchr(s, ']');
	struct netaddr v = {0};
	size_t n;

	/* A colon inside the brackets, or of a bare IPv6 address, is no separator. */
	if (at != NULL && close != NULL && at < close)
		at = NULL;
	n = at != NULL ? (size_t)(at - s) : strlen(s);
	if (sep == ':' && at != NULL && memchr(s, ':', n) != NULL && s[0] != '[')
		return invalid();
	if (at == NULL && defport == 0)
		return invalid();
	v.port = defport;
	if (at != NULL && port_number(at + 1, &v.port) == -1)
		return -1;
	if (parse_addr(s, n, &v.family, v.addr) == -1)
		return -1;
	*a = v;
	return 0;
}

char *
netaddr_format(char *out, size_t outsz, char sep, const struct netaddr *a)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(a->family, a->addr, text, sizeof text) == NULL)
		(void)snprintf(text, sizeof text, "unknown");
	if (a->port == 0)
		(void)snprintf(out, outsz, "%s", text);
	else if (a->family == AF_INET6 && sep == ':')
		(void)snprintf(out, outsz, "[%s]%c%u", text, sep, a->port);
	else
		(void)snprintf(out, outsz, "%s%c%u", text, sep, a->port);
	return out;
}

socklen_t
netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *ss)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};

	memset(ss, 0, sizeof *ss);
	if (a->family == AF_INET) {
		memcpy(&in.sin_addr, a->addr, 4);
		memcpy(ss, &in, sizeof in);
		return sizeof in;
	}
	memcpy(&in6.sin6_addr, a->addr, 16);
	memcpy(ss, &in6, sizeof in6);
	return sizeof in6;
}

int
netaddr_from_sockaddr(struct netaddr *a, const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(a, 0, sizeof *a);
	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof in);
		memcpy(a->addr, &in.sin_addr, 4);
		a->port = ntohs(in.sin_port);
		break;
	case AF_INET6:
		memcpy(&in6, sa, sizeof in6);
		memcpy(a->addr, &in6.sin6_addr, 16);
		a->port = ntohs(in6.sin6_port);
		break;
	default:
		errno = EAFNOSUPPORT;
		return -1;
	}
	a->family = sa->sa_family;
	return 0;
}

/* The four octets of an IPv4 address, also of one mapped into IPv6; else NULL. */
static const uint8_t *
as_v4(const struct netaddr *a)
{
	if (a->family == AF_INET)
		return a->addr;
	if (a->family == AF_INET6 && memcmp(a->addr, v4_mapped, sizeof v4_mapped) == 0)
		return a->addr + sizeof v4_mapped;
	return NULL;
}

int
netaddr_is_loopback(const struct netaddr *a)
{
	const uint8_t *v4 = as_v4(a);

	if (v4 != NULL)
		return v4[0] == 127;
	return a->family == AF_INET6 && memcmp(a->addr, &in6addr_loopback, 16) == 0;
}

int
netaddr_is_any(const struct netaddr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->addr, zero, a->family == AF_INET ? 4 : 16) == 0;
}

int
hostport_parse(const char *s, struct hostport *hp)
{
	const char *at = strrchr(s, ':');
	struct hostport v;
	struct netaddr a;
	size_t n;

	if (at == NULL || port_number(at + 1, &v.port) == -1)
		return invalid();
	n = (size_t)(at - s);
	if (n >= 2 && s[0] == '[' && s[n - 1] == ']') {
		s++;
		n -= 2;
		if (n >= sizeof v.host)
			return invalid();
		memcpy(v.host, s, n);
		v.host[n] = '\0';
		if (netaddr_parse_host(v.host, &a) == -1 || a.family != AF_INET6)
			return invalid();
	} else {
		if (n >= sizeof v.host)
			return invalid();
		memcpy(v.host, s, n);
		v.host[n] = '\0';
		if (strchr(v.host, ':') != NULL)
			return invalid();
		if (!host_valid(v.host) && netaddr_parse_host(v.host, &a) == -1)
			return invalid();
	}
	*hp = v;
	return 0;
}

char *
hostport_format(char *out, size_t outsz, const struct hostport *hp)
{
	(void)snprintf(
	    out, outsz, strchr(hp->host, ':') != NULL ? "[%s]:%u" : "%s:%u", hp->host, hp->port);
	return out;
}

int
host_valid(const char *s)
{
	size_t len = strlen(s), label = 0, i;
	int digits = 1;

	if (len == 0 || len >= HOST_MAX)
		return 0;
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '.') {
			if (label == 0 || s[i - 1] == '-' || i + 1 == len)
				return 0;
			label = 0;
			digits = 1;
			continue;
		}
		if (!(c < 0x80 && isalnum(c)) && c != '-' && c != '_')
			return 0;
		if ((c == '-' && label == 0) || ++label > 63)
			return 0;
		if (c < '0' || c > '9')
			digits = 0;
	}
	return s[len - 1] != '-' && !digits;
}

int
host_is_loopback(const char *s)
{
	struct netaddr a;

	if (strcasecmp(s, "localhost") == 0)
		return 1;
	return netaddr_parse_host(s, &a) == 0 && netaddr_is_loopback(&a);
}

/* Whether any bit of an address behind the first `bits` is set. */
static int
host_bits(const uint8_t *addr, unsigned bits, unsigned all)
{
	unsigned i;

	for (i = bits; i < all; i++)
		if (addr[i / 8] & (0x80 >> i % 8))
			return 1;
	return 0;
}

int
net_parse(const char *s, struct net *net)
{
	const char *slash = strchr(s, '/');
	struct net v = {0};
	unsigned all;

	if (parse_addr(s, slash ? (size_t)(slash - s) : strlen(s), &v.family, v.addr) == -1)
		return -1;
	all = v.family == AF_INET ? 32 : 128;
	v.bits = all;
	if (slash != NULL && number(slash + 1, strlen(slash + 1), all, &v.bits) == -1)
		return -1;
	if (host_bits(v.addr, v.bits, all)) {
		errno = EDOM;
		return -1;
	}
	*net = v;
	return 0;
}

char *
net_format(char *out, size_t outsz, const struct net *net)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(net->family, net->addr, text, sizeof text) == NULL)
		(void)snprintf(text, sizeof text, "unknown");
	if (net->bits == (net->family == AF_INET ? 32U : 128U))
		(void)snprintf(out, outsz, "%s", text);
	else
		(void)snprintf(out, outsz, "%s/%u", text, net->bits);
	return out;
}

static int
prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return 0;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> rest & 0xff)) == 0;
}

int
net_contains(const struct net *net, const struct netaddr *a)
{
	const uint8_t *v4 = as_v4(a);

	if (net->family == AF_INET)
		return v4 != NULL && prefix_equal(net->addr, v4, net->bits);
	if (a->family != AF_INET6)
		return 0;
	return prefix_equal(net->addr, a->addr, net->bits);
}
