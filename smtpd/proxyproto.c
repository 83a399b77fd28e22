#include "smtpd/proxyproto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/netaddr.h"
#include "proxy/route.h"

#define V1_MAX 107 /* octets of a header of version 1, CR and LF included */
#define V2_HEAD 16

static const uint8_t v2_signature[12] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const char v1_signature[6] = "PROXY ";

int
proxyproto_wanted(const struct conf_connector *k, const struct sockaddr_storage *from)
{
	return proxy_is_balancer(k, from);
}

static int
wrong(void)
{
	errno = EPROTO;
	return -1;
}

static void
set_address(struct sockaddr_storage *ss, int family, const uint8_t *addr, uint16_t port)
{
	struct netaddr a = {.family = family, .port = port};

	memcpy(a.addr, addr, family == AF_INET ? 4 : 16);
	(void)netaddr_to_sockaddr(&a, ss);
}

/* A word up to the next space or the end; 0, or -1 when it is none or too long. */
static int
word(const char **s, char *out, size_t outsz)
{
	size_t n = strcspn(*s, " ");

	if (n == 0 || n >= outsz)
		return -1;
	memcpy(out, *s, n);
	out[n] = '\0';
	*s += n;
	if (**s == ' ')
		(*s)++;
	return 0;
}

/* 0 to 65535 without leading zeros; -1. */
static long
port_number(const char *s)
{
	long v = 0;

	if (*s == '\0' || strlen(s) > 5 || (s[0] == '0' && s[1] != '\0'))
		return -1;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		v = v * 10 + (*s - '0');
	}
	return v <= 65535 ? v : -1;
}

/* "TCP4 192.0.2.1 192.0.2.2 4711 25", the line without PROXY and its end. */
static int
v1_fields(const char *s, struct proxyproto *h)
{
	char proto[8], ip[2][INET6_ADDRSTRLEN], port[2][8];
	struct sockaddr_storage *to[2] = {&h->from, &h->to};
	uint8_t addr[16];
	long number;
	int i, family;

	if (word(&s, proto, sizeof proto) == -1)
		return wrong();
	if (strcmp(proto, "UNKNOWN") == 0) { /* whatever else is in the line */
		h->local = 1;
		return 0;
	}
	family = strcmp(proto, "TCP4") == 0   ? AF_INET
		 : strcmp(proto, "TCP6") == 0 ? AF_INET6
					      : AF_UNSPEC;
	if (family == AF_UNSPEC || word(&s, ip[0], sizeof ip[0]) == -1 ||
	    word(&s, ip[1], sizeof ip[1]) == -1 || word(&s, port[0], sizeof port[0]) == -1 ||
	    word(&s, port[1], sizeof port[1]) == -1 || *s != '\0' || s[-1] == ' ')
		return wrong();
	for (i = 0; i < 2; i++) {
		if (inet_pton(family, ip[i], addr) != 1 || (number = port_number(port[i])) == -1)
			return wrong();
		set_address(to[i], family, addr, (uint16_t)number);
	}
	return 0;
}

static ssize_t
parse_v1(const uint8_t *p, size_t n, struct proxyproto *h)
{
	size_t most = n < V1_MAX ? n : V1_MAX, len;
	const uint8_t *lf = memchr(p, '\n', most);
	char line[V1_MAX];

	if (lf == NULL)
		return n < V1_MAX ? 0 : wrong();
	len = (size_t)(lf - p);
	if (len < sizeof v1_signature + 1 || p[len - 1] != '\r' || memchr(p, '\0', len) != NULL)
		return wrong();
	memcpy(line, p + sizeof v1_signature, len - 1 - sizeof v1_signature);
	line[len - 1 - sizeof v1_signature] = '\0';
	return v1_fields(line, h) == -1 ? -1 : (ssize_t)len + 1;
}

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_UNSPEC = 0, V2_TCP4 = 0x11, V2_UDP4, V2_TCP6 = 0x21, V2_UDP6, V2_UNIX = 0x31, V2_UNIXD };

static int
v2_known(uint8_t family)
{
	static const uint8_t known[] = {
	    V2_UNSPEC, V2_TCP4, V2_UDP4, V2_TCP6, V2_UDP6, V2_UNIX, V2_UNIXD};

	return memchr(known, family, sizeof known) != NULL;
}

static ssize_t
parse_v2(const uint8_t *p, size_t n, struct proxyproto *h)
{
	const uint8_t *a = p + V2_HEAD;
	size_t len, alen;

	if (n < V2_HEAD)
		return 0;
	len = (size_t)p[14] << 8 | p[15];
	if ((p[12] != V2_LOCAL && p[12] != V2_PROXY) || !v2_known(p[13]) ||
	    len > PROXYPROTO_MAX - V2_HEAD)
		return wrong();
	if (n < V2_HEAD + len)
		return 0;
	h->local = p[12] == V2_LOCAL || (p[13] != V2_TCP4 && p[13] != V2_TCP6);
	if (h->local)
		return (ssize_t)(V2_HEAD + len);
	alen = p[13] == V2_TCP4 ? 4 : 16;
	if (len < 2 * alen + 4)
		return wrong();
	set_address(&h->from, alen == 4 ? AF_INET : AF_INET6, a,
	    (uint16_t)(a[2 * alen] << 8 | a[2 * alen + 1]));
	set_address(&h->to, alen == 4 ? AF_INET : AF_INET6, a + alen,
	    (uint16_t)(a[2 * alen + 2] << 8 | a[2 * alen + 3]));
	/* What is behind (TLV) is for others. */
	return (ssize_t)(V2_HEAD + len);
}

/* Does p begin as sig does?  1 yes, 0 it may, -1 no. */
static int
begins(const uint8_t *p, size_t n, const void *sig, size_t len)
{
	if (memcmp(p, sig, n < len ? n : len) != 0)
		return -1;
	return n >= len;
}

ssize_t
proxyproto_parse(const uint8_t *p, size_t n, struct proxyproto *h)
{
	int one, two;

	memset(h, 0, sizeof *h);
	if (n == 0)
		return 0;
	one = begins(p, n, v1_signature, sizeof v1_signature);
	two = begins(p, n, v2_signature, sizeof v2_signature);
	if (one == 1)
		return parse_v1(p, n, h);
	if (two == 1)
		return parse_v2(p, n, h);
	return one == 0 || two == 0 ? 0 : wrong();
}
