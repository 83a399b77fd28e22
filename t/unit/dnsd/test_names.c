#include <string.h>

#include "dnsd/dnsd.h"
#include "t/unit/unit.h"

Suite *names_suite(void);

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

START_TEST(accepts_host_names_and_nothing_else)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
	    {"mail.example.org", "mail.example.org"},
	    {"MAIL.Example.ORG.", "mail.example.org"},
	    {"localhost", "localhost"},
	    {"_smtp._tcp.example.org", "_smtp._tcp.example.org"},
	    {"xn--mller-kva.example", "xn--mller-kva.example"},
	    {"1.2.example", "1.2.example"},
	    {L63 ".org", L63 ".org"},
	    {L63 "x.org", NULL},
	    {L63 "." L63 "." L63 "." L63, NULL}, /* 255 */
	    {"", NULL},
	    {".", NULL},
	    {"a..b", NULL},
	    {".a", NULL},
	    {"a..", NULL},
	    {"-a.org", NULL},
	    {"a-.org", NULL},
	    {"a b", NULL},
	    {"a\nb", NULL},
	    {"a/b", NULL},
	    {"*.org", NULL},
	    {"m\xc3\xbcller.org", NULL},
	    {"a\\046b", NULL},
	};
	char out[NAME_MAX_OCTETS + 1];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(name_check(cases[i].in, out) == (cases[i].out == NULL ? -1 : 0), "%s",
		    cases[i].in);
		if (cases[i].out != NULL)
			ck_assert_str_eq(out, cases[i].out);
	}
}
END_TEST

START_TEST(accepts_names_of_tlsa_records_and_nothing_else)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
	    {"_995._tcp.mail.example.org", "_995._tcp.mail.example.org"},
	    {"_1._tcp.MAIL.example.org.", "_1._tcp.mail.example.org"},
	    {"_65535._tcp.x", "_65535._tcp.x"},
	    {"_65536._tcp.x", NULL},
	    {"_100000._tcp.x", NULL},
	    {"_0._tcp.x", NULL},
	    {"_025._tcp.x", NULL},
	    {"_._tcp.x", NULL},
	    {"_+25._tcp.x", NULL},
	    {"25._tcp.x", NULL},
	    {"_25._udp.x", NULL},
	    {"_25._tcp", NULL},
	    {"_25._tcp.", NULL},
	    {"_25._tcp..x", NULL},
	    {"_25._tcpx.x", NULL},
	    {"_25.x", NULL},
	    {"_25._tcp.192.0.2.1", NULL},
	    {"_25._tcp.2001:db8::1", NULL},
	    {"_25._tcp.a b", NULL},
	    {"_25._tcp.*.x", NULL},
	    {"_25._tcp." L63 "x.org", NULL},
	    {"_25._tcp." L63 "." L63 "." L63 "." L63, NULL},
	    {"mail.example.org", NULL},
	    {"", NULL},
	    {"_", NULL},
	};
	char out[NAME_MAX_OCTETS + 1];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(name_check_tlsa(cases[i].in, out) == (cases[i].out == NULL ? -1 : 0),
		    "%s", cases[i].in);
		if (cases[i].out != NULL)
			ck_assert_str_eq(out, cases[i].out);
	}
}
END_TEST

START_TEST(numeric_addresses_need_no_question)
{
	struct addr a;

	ck_assert(name_numeric("192.0.2.1", &a));
	ck_assert_uint_eq(a.len, 4);
	ck_assert_int_eq(memcmp(a.ip, "\300\0\2\1", 4), 0);
	ck_assert(name_numeric("2001:db8::1", &a));
	ck_assert_uint_eq(a.len, 16);
	ck_assert(name_numeric("[::1]", &a));
	ck_assert(!name_numeric("192.0.2", &a));
	ck_assert(!name_numeric("example.org", &a));
}
END_TEST

static const char hosts_text[] = "# comment\n"
				 "127.0.0.1\tlocalhost\n"
				 "::1 localhost ip6-localhost # more\n"
				 "192.0.2.1   Mail.Example.org mail\r\n"
				 "192.0.2.2 mail.example.org\n"
				 "nonsense mail.example.org\n"
				 "192.0.2.9 bad..name good.name\n"
				 "192.0.2.8\n"
				 "\n"
				 "192.0.2.7 last";

static size_t
find(const struct hosts *h, const char *name, struct addrs *a)
{
	a->n = 0;
	return hosts_find(h, name, a);
}

START_TEST(reads_a_hosts_file)
{
	struct hosts *h = hosts_parse(hosts_text, sizeof hosts_text - 1);
	struct addrs a;

	ck_assert_ptr_nonnull(h);
	ck_assert_uint_eq(find(h, "mail.example.org", &a), 2);
	ck_assert_int_eq(a.v[0].ip[3], 1);
	ck_assert_int_eq(a.v[1].ip[3], 2);
	ck_assert_uint_eq(find(h, "mail", &a), 1);
	ck_assert_uint_eq(find(h, "good.name", &a), 1);
	ck_assert_uint_eq(find(h, "last", &a), 1);
	ck_assert_uint_eq(find(h, "localhost", &a), 2);
	ck_assert_uint_eq(find(h, "nonsense", &a), 0);
	hosts_free(h);
}
END_TEST

static const char *
name_of(const struct hosts *h, const char *text)
{
	struct addr a;

	ck_assert(name_numeric(text, &a));
	return hosts_name(h, &a);
}

START_TEST(the_first_name_of_an_address_is_its_name)
{
	struct hosts *h = hosts_parse(hosts_text, sizeof hosts_text - 1);

	ck_assert_str_eq(name_of(h, "192.0.2.1"), "mail.example.org");
	ck_assert_str_eq(name_of(h, "192.0.2.9"), "good.name");
	ck_assert_str_eq(name_of(h, "192.0.2.7"), "last");
	ck_assert_str_eq(name_of(h, "127.0.0.1"), "localhost");
	ck_assert_str_eq(name_of(h, "::1"), "localhost");
	ck_assert_ptr_null(name_of(h, "192.0.2.8"));
	ck_assert_ptr_null(name_of(h, "2001:db8::1"));
	ck_assert_str_eq(name_of(NULL, "127.0.0.1"), "localhost");
	ck_assert_ptr_null(name_of(NULL, "127.0.0.2"));
	hosts_free(h);
}
END_TEST

START_TEST(names_of_addresses_are_reversed)
{
	static const uint8_t ip[16] = {192, 0, 2, 1};
	char zone[NAME_MAX_OCTETS + 1], out[NAME_MAX_OCTETS + 1];

	ck_assert_int_eq(name_reversed(ip, 4, "list.test", out), 0);
	ck_assert_str_eq(out, "1.2.0.192.list.test");
	ck_assert_int_eq(name_reversed(ip, 16, NULL, out), 0);
	ck_assert_str_eq(
	    out, "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.2.0.0.0.0.c.ip6.arpa");
	memset(zone, 'x', sizeof zone);
	zone[NAME_MAX_OCTETS - 64] = '\0';
	ck_assert_int_eq(name_reversed(ip, 16, zone, out), 0);
	ck_assert_uint_eq(strlen(out), NAME_MAX_OCTETS);
	zone[NAME_MAX_OCTETS - 64] = 'x';
	zone[NAME_MAX_OCTETS - 63] = '\0';
	ck_assert_int_eq(name_reversed(ip, 16, zone, out), -1);
}
END_TEST

START_TEST(localhost_never_goes_out)
{
	struct addrs a;

	ck_assert_uint_eq(find(NULL, "localhost", &a), 2);
	ck_assert_uint_eq(find(NULL, "www.localhost", &a), 2);
	ck_assert_uint_eq(find(NULL, "notlocalhost", &a), 0);
	ck_assert_uint_eq(find(NULL, "localhost.example", &a), 0);
}
END_TEST

START_TEST(reads_resolv_conf)
{
	static const char text[] = "search example.org\n"
				   "nameserver 192.0.2.53\n"
				   "  nameserver\t2001:db8::53\n"
				   "nameserver nonsense\n"
				   "options edns0\n"
				   "nameserver 127.0.0.53\n"
				   "nameserver 192.0.2.99";
	struct netaddr a[3];

	ck_assert_uint_eq(resolv_parse(text, sizeof text - 1, a, 3), 3);
	ck_assert_int_eq(a[0].addr[3], 53);
	ck_assert_int_eq(a[0].port, 53);
	ck_assert_int_eq(a[1].family, AF_INET6);
	ck_assert_int_eq(a[2].addr[0], 127);
	ck_assert_uint_eq(resolv_parse("", 0, a, 3), 0);
}
END_TEST

Suite *
names_suite(void)
{
	return unit_suite(
	    "names", (const TTest *const[]){accepts_host_names_and_nothing_else,
			 accepts_names_of_tlsa_records_and_nothing_else,
			 numeric_addresses_need_no_question, reads_a_hosts_file,
			 the_first_name_of_an_address_is_its_name, names_of_addresses_are_reversed,
			 localhost_never_goes_out, reads_resolv_conf, NULL});
}
