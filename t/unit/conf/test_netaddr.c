#include <errno.h>
#include <string.h>

#include "base/netaddr.h"
#include "t/unit/unit.h"

Suite *netaddr_suite(void);

START_TEST(addresses_with_ports_parse_and_print_the_same)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {{"192.0.2.1:25", "192.0.2.1:25"}, {"[2001:DB8::1]:25", "[2001:db8::1]:25"},
	    {"[::]:1", "[::]:1"}, {"0.0.0.0:65535", "0.0.0.0:65535"}, {"192.0.2.1", NULL},
	    {"192.0.2.1:", NULL}, {"192.0.2.1:0", NULL}, {"192.0.2.1:65536", NULL},
	    {"192.0.2.1:025x", NULL}, {"192.0.2.1:-1", NULL}, {"::1:25", NULL}, {"[::1]", NULL},
	    {"[192.0.2.1]:25", NULL}, {"[::1:25", NULL}, {"::1]:25", NULL}, {":25", NULL},
	    {"", NULL}, {"192.0.2:25", NULL}, {"192.0.2.256:25", NULL}, {"[fe80::1%eth0]:25", NULL},
	    {"name:25", NULL}, {"[::1]25", NULL}, {"[::1]x:25", NULL}};
	char text[NETADDR_TEXT_MAX];
	struct netaddr a, b;
	struct sockaddr_storage ss;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int rc = netaddr_parse(cases[i].in, ':', 0, &a);

		ck_assert_msg((rc == 0) == (cases[i].out != NULL), "%s", cases[i].in);
		if (rc == -1)
			continue;
		ck_assert_str_eq(netaddr_format(text, sizeof text, ':', &a), cases[i].out);
		(void)netaddr_to_sockaddr(&a, &ss);
		ck_assert_int_eq(netaddr_from_sockaddr(&b, (struct sockaddr *)&ss), 0);
		ck_assert_str_eq(netaddr_format(text, sizeof text, ':', &b), cases[i].out);
	}
}
END_TEST

START_TEST(networks_parse_and_match)
{
	static const struct {
		const char *net, *addr;
		int match; /* -1: no network */
	} cases[] = {{"10.0.0.0/8", "10.255.0.1", 1}, {"10.0.0.0/8", "11.0.0.0", 0},
	    {"10.0.0.0/8", "::ffff:10.1.2.3", 1}, {"10.0.0.0/8", "::1", 0},
	    {"192.0.2.128/25", "192.0.2.128", 1}, {"192.0.2.128/25", "192.0.2.127", 0},
	    {"192.0.2.1", "192.0.2.1", 1}, {"192.0.2.1", "192.0.2.0", 0},
	    {"0.0.0.0/0", "8.8.8.8", 1}, {"fd00::/8", "fdff::1", 1}, {"fd00::/8", "fe00::1", 0},
	    {"::/0", "::ffff:1.2.3.4", 1}, {"[fd00::]/8", "fd00::", 1}, {"::1", "::1", 1},
	    {"10.0.0.1/8", "", -1}, {"10.0.0.0/33", "", -1}, {"::/129", "", -1},
	    {"10.0.0.0/", "", -1}, {"10/8", "", -1}, {"10.0.0.0/8x", "", -1}, {"", "", -1},
	    {"/8", "", -1}, {"fd00::1/8", "", -1}};
	struct netaddr a;
	struct net n;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int rc = net_parse(cases[i].net, &n);

		ck_assert_msg((rc == -1) == (cases[i].match == -1), "%s", cases[i].net);
		if (rc == -1)
			continue;
		ck_assert_int_eq(netaddr_parse_host(cases[i].addr, &a), 0);
		ck_assert_msg(net_contains(&n, &a) == cases[i].match, "%s in %s", cases[i].addr,
		    cases[i].net);
	}
}
END_TEST

START_TEST(host_names_are_told_from_other_text)
{
	static const struct {
		const char *s;
		int valid, loopback;
	} cases[] = {{"mail.example.org", 1, 0}, {"localhost", 1, 1}, {"a_b.example", 1, 0},
	    {"xn--bcher-kva.example", 1, 0}, {"127.0.0.1", 0, 1}, {"127.9.9.9", 0, 1},
	    {"::1", 0, 1}, {"::ffff:127.0.0.1", 0, 1}, {"128.0.0.1", 0, 0}, {"-a.example", 0, 0},
	    {"a-.example", 0, 0}, {"a..b", 0, 0}, {".a", 0, 0}, {"a.", 0, 0}, {"", 0, 0},
	    {"a b", 0, 0}, {"a.123", 0, 0}, {"localhost.example.org", 1, 0}};
	char longest[300];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(host_valid(cases[i].s) == cases[i].valid, "%s", cases[i].s);
		ck_assert_msg(host_is_loopback(cases[i].s) == cases[i].loopback, "%s", cases[i].s);
	}
	memset(longest, 'a', sizeof longest);
	longest[64] = '\0';
	ck_assert(!host_valid(longest));
	longest[63] = '\0';
	ck_assert(host_valid(longest));
}
END_TEST

START_TEST(hosts_with_ports_parse_and_print_the_same)
{
	static const char *const good[] = {"mail.example:25", "[::1]:110", "192.0.2.1:1", NULL};
	static const char *const bad[] = {"mail.example", "mail.example:", ":25", "::1:25",
	    "[a]:25", "[1.2.3.4]:25", "a b:25", "a:0", "a:99999", "", NULL};
	char text[HOSTPORT_TEXT_MAX];
	struct hostport hp;
	size_t i;

	for (i = 0; good[i] != NULL; i++) {
		ck_assert_int_eq(hostport_parse(good[i], &hp), 0);
		ck_assert_str_eq(hostport_format(text, sizeof text, &hp), good[i]);
	}
	for (i = 0; bad[i] != NULL; i++)
		ck_assert_msg(hostport_parse(bad[i], &hp) == -1, "%s", bad[i]);
}
END_TEST

Suite *
netaddr_suite(void)
{
	return unit_suite(
	    "netaddr", (const TTest *const[]){addresses_with_ports_parse_and_print_the_same,
			   networks_parse_and_match, host_names_are_told_from_other_text,
			   hosts_with_ports_parse_and_print_the_same, NULL});
}
