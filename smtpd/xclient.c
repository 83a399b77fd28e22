#include "smtpd/xclient.h"

#include <string.h>
#include <strings.h>

#include "net/cidr.h"

static const struct attr {
	const char *name;
	unsigned bit, of_client, of_forward;
} attrs[] = {
    {"NAME", X_NAME, 1, 1},
    {"ADDR", X_ADDR, 1, 1},
    {"PORT", X_PORT, 1, 1},
    {"PROTO", X_PROTO, 1, 1},
    {"HELO", X_HELO, 1, 1},
    {"LOGIN", X_LOGIN, 1, 0},
    {"DESTADDR", X_DESTADDR, 1, 0},
    {"DESTPORT", X_DESTPORT, 1, 0},
    {"IDENT", X_IDENT, 0, 1},
    {"SOURCE", X_SOURCE, 0, 1},
};

int
xclient_allowed(const struct conf_connector *k, const struct sockaddr_storage *from)
{
	return cidr_match(k->xclient.v, k->xclient.n, (const struct sockaddr *)from);
}

static const struct attr *
find_attr(const char *name, size_t n, int forward)
{
	size_t i;

	for (i = 0; i < sizeof attrs / sizeof attrs[0]; i++)
		if (strlen(attrs[i].name) == n && strncasecmp(attrs[i].name, name, n) == 0 &&
		    (forward ? attrs[i].of_forward : attrs[i].of_client))
			return &attrs[i];
	return NULL;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* xtext (RFC 3461, 4): "+41" is A.  What is no printable text is refused.  0, or -1. */
static int
decode(const char *s, size_t n, char out[XCLIENT_VALUE_MAX + 1])
{
	size_t at = 0, i;
	int c, high, low;

	for (i = 0; i < n; i++) {
		c = (unsigned char)s[i];
		if (c == '+') {
			if (n - i < 3 || (high = hex(s[i + 1])) == -1 ||
			    (low = hex(s[i + 2])) == -1)
				return -1;
			c = high << 4 | low;
			i += 2;
		}
		if (c < ' ' || c == 0x7f || at == XCLIENT_VALUE_MAX)
			return -1;
		out[at++] = (char)c;
	}
	out[at] = '\0';
	return 0;
}

/* "192.0.2.1", "IPV6:2001:db8::1"; the port in a stays. */
static int
set_addr(const char *v, struct netaddr *a)
{
	static const char prefix[] = "IPV6:";
	int six = strncasecmp(v, prefix, sizeof prefix - 1) == 0;
	struct netaddr got;

	if (netaddr_parse_host(six ? v + sizeof prefix - 1 : v, &got) == -1 || *v == '[')
		return -1;
	if (six ? got.family != AF_INET6 || v[sizeof prefix - 1] == '[' : 0)
		return -1;
	got.port = a->port;
	*a = got;
	return 0;
}

static int
set_port(const char *v, struct netaddr *a)
{
	unsigned port = 0;

	if (*v == '\0' || strlen(v) > 5)
		return -1;
	for (; *v != '\0'; v++) {
		if (*v < '0' || *v > '9')
			return -1;
		port = port * 10 + (unsigned)(*v - '0');
	}
	if (port > UINT16_MAX)
		return -1;
	a->port = (uint16_t)port;
	return 0;
}

static int
set_text(const char *v, char to[XCLIENT_VALUE_MAX + 1])
{
	(void)strlcpy(to, v, XCLIENT_VALUE_MAX + 1);
	return 0;
}

static int
set_value(struct xclient *x, unsigned bit, const char *v)
{
	switch (bit) {
	case X_NAME:
		return host_valid(v) ? set_text(v, x->name) : -1;
	case X_ADDR:
		return set_addr(v, &x->addr);
	case X_PORT:
		return set_port(v, &x->addr);
	case X_PROTO:
		x->esmtp = strcasecmp(v, "ESMTP") == 0;
		return x->esmtp || strcasecmp(v, "SMTP") == 0 ? 0 : -1;
	case X_HELO:
		return strlen(v) <= 255 ? set_text(v, x->helo) : -1;
	case X_LOGIN:
		return set_text(v, x->login);
	case X_DESTADDR:
		return set_addr(v, &x->dest);
	case X_DESTPORT:
		return set_port(v, &x->dest);
	case X_IDENT:
		return set_text(v, x->ident);
	default:
		return strcasecmp(v, "LOCAL") == 0 || strcasecmp(v, "REMOTE") == 0
			   ? set_text(v, x->source)
			   : -1;
	}
}

/* Nothing is known of this one any more. */
static void
unset(struct xclient *x, unsigned bit)
{
	char *const texts[] = {x->name, x->helo, x->login, x->ident, x->source};
	static const unsigned bits[] = {X_NAME, X_HELO, X_LOGIN, X_IDENT, X_SOURCE};
	size_t i;

	for (i = 0; i < sizeof bits / sizeof bits[0]; i++)
		if (bits[i] == bit)
			*texts[i] = '\0';
	if (bit == X_PORT)
		x->addr.port = 0;
	if (bit == X_DESTPORT)
		x->dest.port = 0;
	if (bit == X_PROTO)
		x->esmtp = 0;
}

/* One "NAME=value" of n octets. */
static int
take(struct xclient *x, const char *s, size_t n, int forward, struct answer *why)
{
	const char *eq = memchr(s, '=', n);
	char v[XCLIENT_VALUE_MAX + 1];
	const struct attr *a;

	if (eq == NULL || (a = find_attr(s, (size_t)(eq - s), forward)) == NULL) {
		answer_set(why, 501, "5.5.4 bad attribute: %.*s", n < 64 ? (int)n : 64, s);
		return -1;
	}
	if (decode(eq + 1, n - (size_t)(eq - s) - 1, v) == -1) {
		answer_set(why, 501, "5.5.4 bad value of %s", a->name);
		return -1;
	}
	x->given |= a->bit;
	x->set &= ~a->bit;
	if (strcasecmp(v, "[UNAVAILABLE]") == 0 || strcasecmp(v, "[TEMPUNAVAIL]") == 0) {
		unset(x, a->bit);
		return 0;
	}
	if (set_value(x, a->bit, v) == -1) {
		answer_set(why, 501, "5.5.4 bad value of %s", a->name);
		return -1;
	}
	x->set |= a->bit;
	return 0;
}

static int
parse(const char *args, struct xclient *x, int forward, struct answer *why)
{
	struct xclient got = *x;
	size_t n;

	args += strspn(args, " ");
	if (*args == '\0') {
		answer_set(why, 501, "5.5.4 an attribute is expected");
		return -1;
	}
	while (*args != '\0') {
		n = strcspn(args, " ");
		if (take(&got, args, n, forward, why) == -1)
			return -1;
		args += n;
		args += strspn(args, " ");
	}
	*x = got;
	return 0;
}

int
xclient_parse(const char *args, struct xclient *x, struct answer *why)
{
	return parse(args, x, 0, why);
}

int
xforward_parse(const char *args, struct xclient *x, struct answer *why)
{
	return parse(args, x, 1, why);
}
