/* What deliverd, smtpd, anvild and keyd ask beside addresses: MX, TXT, PTR, lists. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "t/unit/dnsd/harness.h"

Suite *questions_suite(void);

static const uint8_t v4[4] = {192, 0, 2, 1};
static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 0x1f};
static const uint8_t listed[4] = {127, 0, 0, 2};

static void
ask_mx(uint64_t id, const char *name)
{
	ask_of(&deliverd, M_dns_mx_req, id, &(struct dns_mx_req){.name = name});
}

static void
add_mx(unsigned preference, const char *host)
{
	uint8_t data[300], p[2];

	put_be16(p, (uint16_t)preference);
	packet_add(TYPE_MX, "example.test", data, wire(data, p, 2, host));
}

static void
ask_txt(uint64_t id, const char *name)
{
	ask_of(&deliverd, M_dns_txt_req, id, &(struct dns_txt_req){.name = name});
}

static void
ask_ptr(uint64_t id, const uint8_t *ip, size_t n)
{
	ask_of(&pop3d, M_dns_ptr_req, id, &(struct dns_ptr_req){.ip = {ip, n}});
}

static void
add_ptr(const char *host)
{
	uint8_t data[300];

	packet_add(TYPE_PTR, "x.in-addr.arpa", data, wire(data, NULL, 0, host));
}

static void
ask_list(uint64_t id, const uint8_t *ip, size_t n, const char *zone)
{
	ask_of(&pop3d, M_dns_list_req, id, &(struct dns_list_req){.ip = {ip, n}, .zone = zone});
}

/* ---- MX ---- */

START_TEST(mx_records_come_in_the_order_of_their_preference)
{
	ask_mx(1, "Example.test.");
	turn();
	ck_assert_str_eq(questions[nquestions - 1].name, "example.test");
	packet_empty();
	add_mx(20, "b.test");
	add_mx(65535, "last.test");
	add_mx(0, "A.Test");
	add_mx(30, "a.test"); /* once is enough */
	found_packet(TYPE_MX, SECURE);
	IS(answer_of(&deliverd, 1), "ok 1 0 a.test 20 b.test 65535 last.test: ");
	ask_mx(2, "example.test");
	packet_empty();
	add_mx(10, "a.test");
	found_packet(TYPE_MX, INSECURE);
	IS(answer_of(&deliverd, 2), "ok 0 10 a.test: ");
}
END_TEST

START_TEST(mx_of_the_same_preference_come_in_any_order)
{
	unsigned first[3] = {0, 0, 0}, i;
	const char *got;

	for (i = 0; i < 200; i++) {
		ask_mx(i, "example.test");
		packet_empty();
		add_mx(10, "a.test");
		add_mx(10, "b.test");
		add_mx(10, "c.test");
		add_mx(5, "first.test");
		found_packet(TYPE_MX, INSECURE);
		got = answer_of(&deliverd, i);
		ck_assert_int_eq(strncmp(got, "ok 0 5 first.test 10 ", 21), 0);
		ck_assert(got[21] >= 'a' && got[21] <= 'c');
		first[got[21] - 'a']++;
	}
	/* One in 10^35 that one of them never came first. */
	ck_assert(first[0] > 0 && first[1] > 0 && first[2] > 0);
}
END_TEST

START_TEST(no_mx_and_no_domain_are_different_things)
{
	ask_mx(1, "example.test");
	found(TYPE_MX, NULL, 0, SECURE);
	IS(answer_of(&deliverd, 1), "ok 1: ");
	ask_mx(2, "example.test");
	resolve(TYPE_MX, 3, NULL, 0, SECURE, NULL);
	IS(answer_of(&deliverd, 2), "notfound 1: there is no such domain");
	ask_mx(3, "example.test");
	resolve(TYPE_MX, 2, NULL, 0, INSECURE, NULL);
	IS(answer_of(&deliverd, 3), "tempfail 0: the name servers do not answer");
	ask_mx(4, "example.test");
	resolve(TYPE_MX, 0, NULL, 0, BOGUS, "signature expired");
	IS(answer_of(&deliverd, 4), "bogus 0: DNSSEC: signature expired");
}
END_TEST

START_TEST(a_null_mx_is_told)
{
	ask_mx(1, "example.test");
	packet_empty();
	add_mx(0, "");
	found_packet(TYPE_MX, SECURE);
	IS(answer_of(&deliverd, 1), "ok 1 null: the domain takes no mail (RFC 7505)");
	/* Beside others it says nothing. */
	ask_mx(2, "example.test");
	packet_empty();
	add_mx(0, "");
	add_mx(10, "a.test");
	found_packet(TYPE_MX, SECURE);
	IS(answer_of(&deliverd, 2), "ok 1 10 a.test: ");
}
END_TEST

START_TEST(mx_that_name_no_host_do_not_count)
{
	ask_mx(1, "example.test");
	packet_empty();
	add_mx(10, "192.0.2.1");
	add_mx(10, "bad name.test");
	add_mx(10, "-x.test");
	add_mx(20, "good.test");
	found_packet(TYPE_MX, SECURE);
	IS(answer_of(&deliverd, 1), "ok 1 20 good.test: ");
	/* Nor does the domain's own address then. */
	ask_mx(2, "example.test");
	packet_empty();
	add_mx(10, "192.0.2.1");
	found_packet(TYPE_MX, SECURE);
	IS(answer_of(&deliverd, 2), "notfound 1: none of its MX records has the name of a host");
	ask_mx(3, "example.test");
	packet_empty();
	packet_add(TYPE_MX, "", "\0", 1);
	found_packet(TYPE_MX, SECURE);
	IS(answer_of(&deliverd, 3), "tempfail 0: the answer is malformed");
}
END_TEST

START_TEST(mx_records_are_bounded)
{
	char name[20];
	const char *got;
	unsigned i, n = 0;

	ask_mx(1, "example.test");
	packet_empty();
	for (i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof name, "m%u", i);
		add_mx(10, name);
	}
	found_packet(TYPE_MX, SECURE);
	for (got = answer_of(&deliverd, 1); (got = strstr(got, " 10 m")) != NULL; got++)
		n++;
	ck_assert_uint_eq(n, DNS_MXS_MAX);
}
END_TEST

START_TEST(names_that_are_no_domains_are_not_asked_for)
{
	static const char *const bad[] = {"m\xc3\xbcller.test", "192.0.2.1", "2001:db8::1",
	    "[192.0.2.1]", "a b.test", "-a.test", "."};
	unsigned before;
	size_t i;

	turn();
	before = nquestions;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ask_mx(i, bad[i]);
		IS(answer_of(&deliverd, i), "notfound 0: this is not a domain name");
	}
	ask_txt(10, "m\xc3\xbcller.test");
	IS(answer_of(&deliverd, 10), "notfound 0: this is not a domain name");
	ck_assert_uint_eq(nquestions, before);
	/* A-labels are. */
	ask_mx(20, "xn--mller-kva.test");
	found(TYPE_MX, NULL, 0, INSECURE);
	IS(answer_of(&deliverd, 20), "ok 0: ");
}
END_TEST

/* ---- TXT ---- */

START_TEST(txt_records_have_their_strings_joined)
{
	ask_txt(1, "_mta-sts.example.test");
	packet_empty();
	packet_add(TYPE_TXT, "", "\11v=STSv1; \5id=1;", 16);
	packet_add(TYPE_TXT, "", "\0", 1);
	packet_add(5, "", "\1x\0", 3);
	packet_add(TYPE_TXT, "", "\5other", 6);
	found_packet(TYPE_TXT, SECURE);
	IS(answer_of(&deliverd, 1), "ok 1 \"v=STSv1; id=1;\" \"\" \"other\": ");
}
END_TEST

START_TEST(no_txt_records_are_not_found)
{
	ask_txt(1, "example.test");
	found(TYPE_TXT, NULL, 0, SECURE);
	IS(answer_of(&deliverd, 1), "notfound 1: there is no such name, or it has none");
	ask_txt(2, "example.test");
	resolve(TYPE_TXT, 3, NULL, 0, INSECURE, NULL);
	IS(answer_of(&deliverd, 2), "notfound 0: there is no such name, or it has none");
	ask_txt(3, "example.test");
	resolve(TYPE_TXT, 2, NULL, 0, INSECURE, "timeout");
	IS(answer_of(&deliverd, 3), "tempfail 0: timeout");
	ask_txt(4, "example.test");
	resolve(TYPE_TXT, 2, NULL, 0, BOGUS, NULL);
	IS(answer_of(&deliverd, 4), "bogus 0: DNSSEC: bogus");
	ask_txt(5, "example.test");
	packet_empty();
	packet_add(TYPE_TXT, "", "\5four", 5);
	found_packet(TYPE_TXT, SECURE);
	IS(answer_of(&deliverd, 5), "tempfail 0: the answer is malformed");
}
END_TEST

START_TEST(long_txt_records_are_left_out)
{
	static uint8_t data[17 * 256];
	unsigned i;
	const char *got;

	memset(data, 'x', sizeof data);
	for (i = 0; i < 17; i++)
		data[i * 256] = 255;
	ask_txt(1, "example.test");
	packet_empty();
	packet_add(TYPE_TXT, "", data, 17 * 256); /* 4335 octets */
	packet_add(TYPE_TXT, "", "\2ok", 3);
	found_packet(TYPE_TXT, SECURE);
	IS(answer_of(&deliverd, 1), "ok 1 \"ok\": ");
	ask_txt(2, "example.test");
	packet_empty();
	packet_add(TYPE_TXT, "", data, 16 * 256); /* 4080 octets */
	found_packet(TYPE_TXT, SECURE);
	got = answer_of(&deliverd, 2);
	ck_assert_int_eq(strncmp(got, "ok 1 \"xxx", 9), 0);
}
END_TEST

/* ---- PTR ---- */

START_TEST(a_name_counts_when_it_has_the_address)
{
	ask_ptr(1, v4, 4);
	turn();
	ck_assert_str_eq(questions[nquestions - 1].name, "1.2.0.192.in-addr.arpa");
	packet_empty();
	add_ptr("Mail.test");
	found_packet(TYPE_PTR, INSECURE);
	ck_assert(!has_answer());
	ck_assert_str_eq(questions[nquestions - 1].name, "mail.test");
	found(TYPE_A, v4, 4, INSECURE);
	IS(answer(1), "ok mail.test: ");
	ask_ptr(2, v4, 4);
	packet_empty();
	add_ptr("mail.test");
	found_packet(TYPE_PTR, INSECURE);
	found(TYPE_A, listed, 4, INSECURE);
	IS(answer(2), "notfound : its name does not have this address");
	ask_ptr(3, v4, 4);
	packet_empty();
	add_ptr("mail.test");
	found_packet(TYPE_PTR, INSECURE);
	resolve(TYPE_A, 3, NULL, 0, INSECURE, NULL);
	IS(answer(3), "notfound : its name does not have this address");
}
END_TEST

START_TEST(names_of_ipv6_addresses_are_found_too)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};

	ask_ptr(1, v6, 16);
	turn();
	ck_assert_str_eq(questions[nquestions - 1].name,
	    "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
	packet_empty();
	add_ptr("mail.test");
	found_packet(TYPE_PTR, INSECURE);
	found(TYPE_AAAA, v6, 16, INSECURE);
	IS(answer(1), "ok mail.test: ");
	/* IPv4 in IPv6 is IPv4. */
	ask_ptr(2, mapped, 16);
	turn();
	ck_assert_str_eq(questions[nquestions - 1].name, "1.2.0.192.in-addr.arpa");
}
END_TEST

START_TEST(of_several_names_one_that_has_the_address_counts)
{
	ask_ptr(1, v4, 4);
	packet_empty();
	add_ptr("wrong.test");
	add_ptr("bad name.test");
	add_ptr("192.0.2.1");
	add_ptr("right.test");
	found_packet(TYPE_PTR, INSECURE);
	ck_assert_str_eq(questions[nquestions - 1].name, "wrong.test");
	resolve(TYPE_A, 2, NULL, 0, INSECURE, NULL);
	ck_assert_str_eq(questions[nquestions - 1].name, "right.test");
	found(TYPE_A, v4, 4, INSECURE);
	IS(answer(1), "ok right.test: ");
}
END_TEST

START_TEST(an_address_whose_owner_names_all_the_world_costs_little)
{
	unsigned i;
	char name[20];

	ask_ptr(1, v4, 4);
	packet_empty();
	for (i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof name, "n%u.test", i);
		add_ptr(name);
	}
	found_packet(TYPE_PTR, INSECURE);
	for (i = 0; i < PTRS_MAX; i++)
		found(TYPE_A, listed, 4, INSECURE);
	IS(answer(1), "notfound : its name does not have this address");
}
END_TEST

START_TEST(what_is_not_known_of_a_name_is_not_said_to_be_none)
{
	ask_ptr(1, v4, 4);
	resolve(TYPE_PTR, 3, NULL, 0, INSECURE, NULL);
	IS(answer(1), "notfound : the address has no name");
	ask_ptr(2, v4, 4);
	resolve(TYPE_PTR, 2, NULL, 0, INSECURE, NULL);
	IS(answer(2), "tempfail : the name servers do not answer");
	ask_ptr(3, v4, 4);
	resolve(TYPE_PTR, 0, NULL, 0, BOGUS, "expired");
	IS(answer(3), "bogus : DNSSEC: expired");
	ask_ptr(4, v4, 4);
	packet_empty();
	add_ptr("mail.test");
	found_packet(TYPE_PTR, INSECURE);
	resolve(TYPE_A, 2, NULL, 0, INSECURE, "timeout");
	IS(answer(4), "tempfail : timeout");
	ask_ptr(5, v4, 4);
	packet_empty();
	packet_add(TYPE_PTR, "", "\4four", 5);
	found_packet(TYPE_PTR, INSECURE);
	IS(answer(5), "tempfail : the answer is malformed");
	ask_ptr(6, v6, 5);
	IS(answer(6), "notfound : this is not an address");
}
END_TEST

START_TEST(hosts_know_names_of_addresses)
{
	static const uint8_t loop6[16] = {[15] = 1};
	struct err e = {0};
	unsigned before;

	conf.dns.hosts = 1;
	stage(anchor_path, TEST_DS);
	stage(
	    CONF_HOSTS_FILE, "192.0.2.9 other.test\n192.0.2.1 Mail.test mail\n192.0.2.1 z.test\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	turn();
	before = nquestions;
	ask_ptr(1, v4, 4);
	IS(answer(1), "ok mail.test: ");
	ask_ptr(2, loop6, 16);
	IS(answer(2), "ok localhost: ");
	ck_assert_uint_eq(nquestions, before);
}
END_TEST

/* ---- lists ---- */

START_TEST(a_listed_address_comes_with_its_reason)
{
	ask_list(1, v4, 4, "List.test");
	turn();
	ck_assert_str_eq(questions[nquestions - 1].name, "1.2.0.192.list.test");
	packet_empty();
	packet_add(TYPE_A, "x", listed, 4);
	packet_add(TYPE_A, "x", "\x7f\0\0\4", 4);
	found_packet(TYPE_A, INSECURE);
	ck_assert(!has_answer());
	ck_assert_str_eq(questions[nquestions - 1].name, "1.2.0.192.list.test");
	packet_empty();
	packet_add(TYPE_TXT, "x", "\11see\0http:\4//x\n", 15);
	found_packet(TYPE_TXT, INSECURE);
	IS(answer(1), "ok 127.2 127.4: see http://x ");
	ask_list(2, v4, 4, "list.test");
	found(TYPE_A, listed, 4, INSECURE);
	resolve(TYPE_TXT, 2, NULL, 0, INSECURE, NULL);
	IS(answer(2), "ok 127.2: ");
	ask_list(3, v4, 4, "list.test");
	found(TYPE_A, listed, 4, INSECURE);
	resolve(TYPE_TXT, 0, NULL, 0, BOGUS, NULL);
	IS(answer(3), "ok 127.2: ");
}
END_TEST

START_TEST(what_is_not_listed_is_asked_for_once)
{
	ask_list(1, v4, 4, "list.test");
	resolve(TYPE_A, 3, NULL, 0, INSECURE, NULL);
	IS(answer(1), "notfound: ");
	ask_list(2, v4, 4, "list.test");
	resolve(TYPE_A, 2, NULL, 0, INSECURE, NULL);
	IS(answer(2), "tempfail: the name servers do not answer");
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

START_TEST(lists_of_ipv6_addresses_have_nibbles)
{
	ask_list(1, v6, 16, "list.test");
	turn();
	ck_assert_str_eq(questions[nquestions - 1].name,
	    "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.test");
}
END_TEST

START_TEST(answers_of_a_zone_that_is_no_list_any_more_do_not_count)
{
	ask_list(1, v4, 4, "list.test");
	found(TYPE_A, v4, 4, INSECURE);
	IS(answer(1), "notfound: its answers are none of a list: not of 127.0.0.0/8");
}
END_TEST

START_TEST(lists_never_ask_hosts)
{
	struct err e = {0};

	conf.dns.hosts = 1;
	stage(anchor_path, TEST_DS);
	stage(CONF_HOSTS_FILE, "127.0.0.2 1.2.0.192.list.test\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ask_list(1, v4, 4, "list.test");
	resolve(TYPE_A, 3, NULL, 0, INSECURE, NULL);
	IS(answer(1), "notfound: ");
	ask_list(2, v4, 4, "not a zone");
	IS(answer(2), "notfound: this is not an address and the name of a zone");
}
END_TEST

START_TEST(a_reason_that_does_not_come_is_not_waited_for)
{
	uint64_t end = clock_ms() + 30000;

	ask_list(1, v4, 4, "list.test");
	found(TYPE_A, listed, 4, INSECURE);
	while (!has_answer() && clock_ms() < end)
		(void)usleep(10000);
	IS(answer(1), "ok 127.2: ");
	ck_assert_uint_eq(query_count()->open, 1);
	resolve(TYPE_TXT, 2, NULL, 0, INSECURE, NULL);
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

START_TEST(an_asker_may_go_away_while_names_are_looked_up)
{
	ask_ptr(1, v4, 4);
	ask_list(2, v4, 4, "list.test");
	packet_empty();
	add_ptr("mail.test");
	found_packet(TYPE_PTR, INSECURE);
	ipc_close(&pop3d);
	turn();
	while (nquestions > 1) /* but for the keys of the zone */
		resolve(TYPE_A, 0, (const uint8_t *)"\0\0\0\0\0\0\0\0\0\0\0\0", 12, INSECURE, NULL);
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

Suite *
questions_suite(void)
{
	return unit_suite_around("questions", set_up, tear_down,
	    (const TTest *const[]){mx_records_come_in_the_order_of_their_preference,
		mx_of_the_same_preference_come_in_any_order,
		no_mx_and_no_domain_are_different_things, a_null_mx_is_told,
		mx_that_name_no_host_do_not_count, mx_records_are_bounded,
		names_that_are_no_domains_are_not_asked_for, txt_records_have_their_strings_joined,
		no_txt_records_are_not_found, long_txt_records_are_left_out,
		a_name_counts_when_it_has_the_address, names_of_ipv6_addresses_are_found_too,
		of_several_names_one_that_has_the_address_counts,
		an_address_whose_owner_names_all_the_world_costs_little,
		what_is_not_known_of_a_name_is_not_said_to_be_none, hosts_know_names_of_addresses,
		a_listed_address_comes_with_its_reason, what_is_not_listed_is_asked_for_once,
		lists_of_ipv6_addresses_have_nibbles,
		answers_of_a_zone_that_is_no_list_any_more_do_not_count, lists_never_ask_hosts,
		a_reason_that_does_not_come_is_not_waited_for,
		an_asker_may_go_away_while_names_are_looked_up, NULL});
}
