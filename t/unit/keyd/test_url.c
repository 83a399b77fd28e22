#include <arpa/inet.h>
#include <string.h>

#include "keyd/keyd.h"
#include "t/unit/unit.h"

Suite *url_suite(void);

START_TEST(takes_urls_of_responders)
{
	static const struct {
		const char *in, *authority, *path;
	} cases[] = {
	    {"http://ocsp.example.org", "ocsp.example.org", "/"},
	    {"HTTP://OCSP.Example.Org/", "ocsp.example.org", "/"},
	    {"http://ocsp.example.org:8080/a/b?c=d&e", "ocsp.example.org:8080", "/a/b?c=d&e"},
	    {"http://ocsp.example.org?q", "ocsp.example.org", "/?q"},
	    {"http://ocsp.example.org:/x", "ocsp.example.org", "/x"},
	    {"http://ocsp.example.org:080/x", "ocsp.example.org", "/x"},
	    {"http://ocsp.example.org/a@b:c", "ocsp.example.org", "/a@b:c"},
	    {"http://192.0.2.1:81/x", "192.0.2.1:81", "/x"},
	    {"http://[2001:DB8::1]/x", "[2001:db8::1]", "/x"},
	    {"http://[2001:db8::1]:65535", "[2001:db8::1]:65535", "/"},
	};
	char text[HOSTPORT_TEXT_MAX];
	struct err e;
	struct url u;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(url_parse(cases[i].in, strlen(cases[i].in), &u, &e) == 0, "%s: %s",
		    cases[i].in, e.text);
		ck_assert_str_eq(url_authority(text, sizeof text, &u), cases[i].authority);
		ck_assert_str_eq(u.path, cases[i].path);
	}
}
END_TEST

START_TEST(refuses_all_other_urls)
{
	static const char *const cases[] = {
	    "",
	    "http:",
	    "http://",
	    "http:///path",
	    "https://ocsp.example.org/",
	    "ldap://ocsp.example.org/",
	    "file:///etc/passwd",
	    "//ocsp.example.org/",
	    " http://ocsp.example.org/",
	    "http://user@ocsp.example.org/",
	    "http://user:pw@ocsp.example.org/",
	    "http://ocsp.example.org/#fragment",
	    "http://ocsp.example.org#",
	    "http://ocsp.example.org/a b",
	    "http://ocsp.example.org/\r\nHost: x",
	    "http://ocsp.example.org/\n",
	    "http://ocsp.example.org\r\n/",
	    "http://ocsp.example.org/\x7f",
	    "http://ocsp.example.org/\xc3\xbc",
	    "http://ocsp.example.org:0/",
	    "http://ocsp.example.org:65536/",
	    "http://ocsp.example.org:4294967376/",
	    "http://ocsp.example.org:8o/",
	    "http://ocsp.example.org:-1/",
	    "http://ocsp.example.org:80:80/",
	    "http://ocsp..example/",
	    "http://-x.example/",
	    "http://127.1/",
	    "http://2130706433/",
	    "http://192.0.2.256/",
	    "http://2001:db8::1/",
	    "http://[192.0.2.1]/",
	    "http://[ocsp.example.org]/",
	    "http://[2001:db8::1/",
	    "http://[2001:db8::1]x/",
	    "http://[fe80::1%25eth0]/",
	    "http://[]/",
	    "http://\\\\x/",
	};
	char longest[URL_MAX + 2];
	struct err e;
	struct url u;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(url_parse(cases[i], strlen(cases[i]), &u, &e) == -1, "%s", cases[i]);
	ck_assert_int_eq(url_parse("http://a.example/\0x", 19, &u, &e), -1);
	memset(longest, 'x', sizeof longest);
	memcpy(longest, "http://a.example/", 17);
	ck_assert_int_eq(url_parse(longest, URL_MAX, &u, &e), 0);
	ck_assert_uint_eq(strlen(u.path), URL_MAX - 16);
	memcpy(longest, "http://a.example?", 17);
	ck_assert_int_eq(url_parse(longest, URL_MAX, &u, &e), 0);
	ck_assert_uint_eq(strlen(u.path), URL_MAX - 15);
	ck_assert_int_eq(url_parse(longest, URL_MAX + 1, &u, &e), -1);
}
END_TEST

static int
allowed(const char *text, uint16_t port, const struct conf_nets *nets)
{
	struct netaddr a;

	ck_assert_int_eq(netaddr_parse_host(text, &a), 0);
	a.port = port;
	return address_allowed(&a, nets, 0);
}

START_TEST(connects_to_addresses_of_the_internet_only)
{
	static const char *const good[] = {"1.1.1.1", "9.255.255.255", "100.63.255.255",
	    "100.128.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255", "2600::1", "2001:200::1",
	    "2a00::1"};
	static const char *const bad[] = {"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1",
	    "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
	    "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
	    "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
	    "::ffff:1.1.1.1", "64:ff9b::7f00:1", "fe80::1", "fc00::1", "fd00::1", "ff02::1",
	    "2001:db8::1", "2001::1", "2002:7f00:1::", "fec0::1", "3fff::1", "4000::1"};
	struct conf_nets none = {NULL, 0};
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_msg(allowed(good[i], 80, &none), "%s", good[i]);
		ck_assert_msg(allowed(good[i], 8080, &none), "%s", good[i]);
		ck_assert_msg(!allowed(good[i], 25, &none), "%s", good[i]);
		ck_assert_msg(!allowed(good[i], 443, &none), "%s", good[i]);
	}
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!allowed(bad[i], 80, &none), "%s", bad[i]);
}
END_TEST

START_TEST(connects_to_networks_that_the_administrator_names)
{
	struct net v[2];
	struct conf_nets nets = {v, 2};

	ck_assert_int_eq(net_parse("10.1.0.0/16", &v[0]), 0);
	ck_assert_int_eq(net_parse("::1", &v[1]), 0);
	ck_assert(allowed("10.1.2.3", 2560, &nets));
	ck_assert(allowed("::ffff:10.1.2.3", 80, &nets));
	ck_assert(allowed("::1", 1, &nets));
	ck_assert(!allowed("10.2.0.1", 80, &nets));
	ck_assert(!allowed("127.0.0.1", 80, &nets));
	ck_assert(allowed("1.1.1.1", 80, &nets));
}
END_TEST

Suite *
url_suite(void)
{
	return unit_suite(
	    "url", (const TTest *const[]){takes_urls_of_responders, refuses_all_other_urls,
		       connects_to_addresses_of_the_internet_only,
		       connects_to_networks_that_the_administrator_names, NULL});
}
