#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "net/cidr.h"
#include "smtpd/proxyproto.h"
#include "t/unit/unit.h"

Suite *proxyproto_suite(void);

static struct proxyproto h;

static ssize_t
parse(const void *p, size_t n)
{
	/* A block of its own, so that a look behind it is seen. */
	uint8_t *copy = malloc(n > 0 ? n : 1);
	ssize_t rc;

	memcpy(copy, p, n);
	errno = 0;
	rc = proxyproto_parse(copy, n, &h);
	free(copy);
	if (rc == -1)
		ck_assert_int_eq(errno, EPROTO);
	return rc;
}

static const char *
text(const struct sockaddr_storage *ss)
{
	static char out[CIDR_TEXT_MAX];

	return cidr_text_port(out, sizeof out, (const struct sockaddr *)ss);
}

/* Whole it is taken, and cut anywhere more of it is wanted. */
static void
takes(const void *p, size_t n, const char *from, const char *to)
{
	uint8_t more[PROXYPROTO_MAX + 16];
	size_t i;

	for (i = 0; i < n; i++)
		ck_assert_msg(parse(p, i) == 0, "cut behind %zu", i);
	memcpy(more, p, n);
	memcpy(more + n, "EHLO x\r\n", 8);
	ck_assert_int_eq(parse(more, n + 8), (ssize_t)n);
	ck_assert_int_eq(parse(p, n), (ssize_t)n);
	ck_assert_int_eq(h.local, from == NULL);
	if (from != NULL) {
		ck_assert_str_eq(text(&h.from), from);
		ck_assert_str_eq(text(&h.to), to);
	}
}

START_TEST(takes_version_1)
{
	static const struct {
		const char *line, *from, *to;
	} t[] = {
	    {"PROXY TCP4 192.0.2.1 198.51.100.7 4711 25\r\n", "[192.0.2.1]:4711",
		"[198.51.100.7]:25"},
	    {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
		"[255.255.255.255]:65535", "[255.255.255.255]:65535"},
	    {"PROXY TCP4 192.0.2.1 198.51.100.7 0 0\r\n", "[192.0.2.1]:0", "[198.51.100.7]:0"},
	    {"PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 4711 25\r\n", "[2001:db8::1]:4711",
		"[2001:db8::2]:25"},
	    {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	    {"PROXY UNKNOWN\r\n", NULL, NULL},
	    {"PROXY UNKNOWN ffff:f... whatever 65535 65535\r\n", NULL, NULL},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		takes(t[i].line, strlen(t[i].line), t[i].from, t[i].to);
}
END_TEST

START_TEST(refuses_what_is_no_version_1)
{
	static const char *const bad[] = {
	    "EHLO x\r\n",
	    "P\r\n",
	    "PROXY\r\n",
	    "PROXY \r\n",
	    "proxy TCP4 192.0.2.1 198.51.100.7 4711 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 4711 25\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 4711 25 \r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 4711 25 x\r\n",
	    "PROXY TCP4  192.0.2.1 198.51.100.7 4711 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 4711\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 4711 \r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 4711 65536\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 -1 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 04711 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 +711 25\r\n",
	    "PROXY TCP4 192.0.2.256 198.51.100.7 4711 25\r\n",
	    "PROXY TCP4 192.0.2 198.51.100.7 4711 25\r\n",
	    "PROXY TCP4 2001:db8::1 2001:db8::2 4711 25\r\n",
	    "PROXY TCP6 192.0.2.1 198.51.100.7 4711 25\r\n",
	    "PROXY TCP6 [2001:db8::1] 2001:db8::2 4711 25\r\n",
	    "PROXY TCP6 fe80::1%eth0 2001:db8::2 4711 25\r\n",
	    "PROXY UDP4 192.0.2.1 198.51.100.7 4711 25\r\n",
	    "PROXY TCP4\t192.0.2.1 198.51.100.7 4711 25\r\n",
	    "PROXY TCP4 192.0.2.1 198.51.100.7 4711 25\r\r\n",
	    "PROXY UNKNOWNX\r\n",
	    "\r\n\r\n\0\r\nQUIT\rx",
	};
	char line[300];
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(parse(bad[i], i == 25 ? 12 : strlen(bad[i])) == -1, "%s", bad[i]);
	/* A NUL must not end it early. */
	memcpy(line, "PROXY TCP4 192.0.2.1 198.51.100.7 4711 25\0x\r\n", 46);
	ck_assert_int_eq(parse(line, 45), -1);
	/* Without an end it is given up at its largest size, not later. */
	memset(line, 'x', sizeof line);
	memcpy(line, "PROXY UNKNOWN ", 14);
	ck_assert_int_eq(parse(line, 106), 0);
	ck_assert_int_eq(parse(line, 107), -1);
	line[105] = '\r';
	line[106] = '\n';
	ck_assert_int_eq(parse(line, 300), 107);
}
END_TEST

static const uint8_t head[12] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static uint8_t v2[PROXYPROTO_MAX + 64];

/* A header with so many octets behind the first 16; returns all of them. */
static size_t
build(uint8_t command, uint8_t family, size_t len)
{
	memcpy(v2, head, sizeof head);
	v2[12] = command;
	v2[13] = family;
	v2[14] = (uint8_t)(len >> 8);
	v2[15] = (uint8_t)len;
	return 16 + len;
}

START_TEST(takes_version_2)
{
	static const uint8_t four[] = {192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x67, 0, 25};
	static const uint8_t six[] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20,
	    1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x12, 0x67, 0, 25};

	memset(v2, 0xee, sizeof v2);
	memcpy(v2 + 16, four, sizeof four);
	takes(v2, build(0x21, 0x11, 12), "[192.0.2.1]:4711", "[198.51.100.7]:25");
	/* What stands behind the addresses is skipped. */
	takes(v2, build(0x21, 0x11, 84), "[192.0.2.1]:4711", "[198.51.100.7]:25");
	takes(v2, build(0x21, 0x11, PROXYPROTO_MAX - 16), "[192.0.2.1]:4711", "[198.51.100.7]:25");
	memcpy(v2 + 16, six, sizeof six);
	takes(v2, build(0x21, 0x21, 36), "[2001:db8::1]:4711", "[2001:db8::2]:25");
	takes(v2, build(0x20, 0x11, 12), NULL, NULL);
	takes(v2, build(0x20, 0x00, 0), NULL, NULL);
	takes(v2, build(0x21, 0x00, 7), NULL, NULL);
	takes(v2, build(0x21, 0x31, 216), NULL, NULL);
}
END_TEST

START_TEST(refuses_what_is_no_version_2)
{
	memset(v2, 1, sizeof v2);
	ck_assert_int_eq(parse(v2, build(0x11, 0x11, 12)), -1); /* version */
	ck_assert_int_eq(parse(v2, build(0x22, 0x11, 12)), -1); /* command */
	ck_assert_int_eq(parse(v2, build(0x21, 0x13, 12)), -1); /* family */
	ck_assert_int_eq(parse(v2, build(0x21, 0x41, 12)), -1);
	ck_assert_int_eq(parse(v2, build(0x21, 0x11, 11)), -1); /* too short for its family */
	ck_assert_int_eq(parse(v2, build(0x21, 0x11, 0)), -1);
	ck_assert_int_eq(parse(v2, build(0x21, 0x21, 35)), -1);
	/* Too long: known before it has come. */
	(void)build(0x21, 0x11, PROXYPROTO_MAX - 15);
	ck_assert_int_eq(parse(v2, 16), -1);
	(void)build(0x20, 0, 65535);
	ck_assert_int_eq(parse(v2, 16), -1);
	(void)build(0x21, 0x11, 12);
	v2[11] = 0x0d;
	ck_assert_int_eq(parse(v2, 12), -1);
}
END_TEST

START_TEST(only_balancers_send_it)
{
	struct net nets[2];
	struct conf_connector k = {.proxy_protocol = {nets, 2}};
	struct sockaddr_storage ss;
	struct netaddr a;

	ck_assert_int_eq(net_parse("10.0.0.0/8", &nets[0]), 0);
	ck_assert_int_eq(net_parse("2001:db8::/32", &nets[1]), 0);
	ck_assert_int_eq(netaddr_parse("10.1.2.3:5", ':', 0, &a), 0);
	(void)netaddr_to_sockaddr(&a, &ss);
	ck_assert_int_eq(proxyproto_wanted(&k, &ss), 1);
	ck_assert_int_eq(netaddr_parse("[::ffff:10.1.2.3]:5", ':', 0, &a), 0);
	(void)netaddr_to_sockaddr(&a, &ss);
	ck_assert_int_eq(proxyproto_wanted(&k, &ss), 1);
	ck_assert_int_eq(netaddr_parse("192.0.2.1:5", ':', 0, &a), 0);
	(void)netaddr_to_sockaddr(&a, &ss);
	ck_assert_int_eq(proxyproto_wanted(&k, &ss), 0);
	k.proxy_protocol.n = 0;
	ck_assert_int_eq(proxyproto_wanted(&k, &ss), 0);
}
END_TEST

Suite *
proxyproto_suite(void)
{
	const TTest *const tests[] = {takes_version_1, refuses_what_is_no_version_1,
	    takes_version_2, refuses_what_is_no_version_2, only_balancers_send_it, NULL};

	return unit_suite("proxyproto", tests);
}
