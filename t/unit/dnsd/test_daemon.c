#include <stdio.h>
#include <string.h>

#include "t/unit/dnsd/harness.h"

Suite *daemon_suite(void);

static const uint8_t v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 1, 0xd, 0xb8};
static const uint8_t key[] = {3, 1, 1, 'k', 'e', 'y'};

#define NAME "_995._tcp.mail.test"

START_TEST(addresses_are_secure_when_all_of_them_are)
{
	ask(1, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	ck_assert(!has_answer());
	found(TYPE_AAAA, v6, 16, SECURE);
	IS(answer(1), "ok 1 2: ");
	ask(2, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(2), "ok 1 1: ");
	ask(3, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, v6, 16, INSECURE);
	IS(answer(3), "ok 0 2: ");
	ask(4, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, INSECURE);
	IS(answer(4), "ok 0 1: ");
	/* What could not be found does not make what was found worse, nor better. */
	ask(5, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	resolve(TYPE_AAAA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(5), "ok 1 1: ");
	ask(6, "mail.test");
	found(TYPE_A, v4, 4, INSECURE);
	resolve(TYPE_AAAA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(6), "ok 0 1: ");
}
END_TEST

START_TEST(that_there_are_no_addresses_may_be_secure)
{
	ask(1, "mail.test");
	resolve(TYPE_A, 3, NULL, 0, SECURE, NULL);
	resolve(TYPE_AAAA, 3, NULL, 0, SECURE, NULL);
	IS(answer(1), "notfound 1 0: there is no such name, or it has no address");
	ask(2, "mail.test");
	found(TYPE_A, NULL, 0, INSECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(2), "notfound 0 0: there is no such name, or it has no address");
	ask(3, "mail.test");
	found(TYPE_A, NULL, 0, SECURE);
	resolve(TYPE_AAAA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(3), "tempfail 0 0: the name servers do not answer");
}
END_TEST

/* It comes as a success from the resolver's cache. */
START_TEST(a_failure_that_is_remembered_is_one)
{
	static const uint8_t failed[] = {0, 0, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};
	static const uint8_t nobody[] = {0, 0, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};

	ask(1, "mail.test");
	resolve(TYPE_A, 0, failed, sizeof failed, INSECURE, NULL);
	resolve(TYPE_AAAA, 0, failed, sizeof failed, INSECURE, NULL);
	IS(answer(1), "tempfail 0 0: the name servers do not answer");
	ask_tlsa(2, "_25._tcp.mail.test");
	resolve(TYPE_TLSA, 0, failed, sizeof failed, INSECURE, NULL);
	IS(answer(2), "tempfail 0 0: the name servers do not answer");
	ask(3, "mail.test");
	resolve(TYPE_A, 0, nobody, sizeof nobody, SECURE, NULL);
	resolve(TYPE_AAAA, 0, nobody, sizeof nobody, SECURE, NULL);
	IS(answer(3), "notfound 1 0: there is no such name, or it has no address");
}
END_TEST

/* RFC 7672, 2.2.2 */
START_TEST(the_name_behind_secure_aliases_is_told)
{
	ask(1, "mail.test");
	packet_empty();
	packet_add(5, "mail.test", "\3mx1\4test", 10);
	packet_add(TYPE_A, "MX1.test", v4, 4);
	found_packet(TYPE_A, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(1), "ok 1 1: mx1.test");
	ask(2, "mail.test");
	packet_empty();
	packet_add(TYPE_A, "mx1.test", v4, 4);
	found_packet(TYPE_A, INSECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(2), "ok 0 1: ");
	ask(3, "mx1.test");
	packet_empty();
	packet_add(TYPE_AAAA, "MX1.test", v6, 16);
	found_packet(TYPE_AAAA, SECURE);
	found(TYPE_A, NULL, 0, SECURE);
	IS(answer(3), "ok 1 1: ");
	/* A name that cannot be asked for is not told. */
	ask(4, "mail.test");
	packet_empty();
	packet_add(TYPE_A, "m x.test", v4, 4);
	found_packet(TYPE_A, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(4), "ok 1 1: ");
}
END_TEST

START_TEST(half_of_a_forged_answer_is_forged)
{
	ask(1, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	resolve(TYPE_AAAA, 0, NULL, 0, BOGUS, "validation failure <mail.test. AAAA IN>: expired");
	IS(answer(1), "bogus 0 0: DNSSEC: validation failure mail.test. AAAA IN: expired");
	ask(2, "mail.test");
	resolve(TYPE_A, 2, NULL, 0, BOGUS, NULL);
	found(TYPE_AAAA, v6, 16, SECURE);
	IS(answer(2), "bogus 0 0: DNSSEC: bogus");
}
END_TEST

START_TEST(tlsa_records_are_given_when_they_are_signed)
{
	ask_tlsa(1, NAME);
	ck_assert_str_eq(questions[1].name, NAME);
	found(TYPE_TLSA, key, sizeof key, SECURE);
	IS(answer(1), "ok 1 1key: ");
	ask_tlsa(2, NAME);
	found(TYPE_TLSA, key, sizeof key, INSECURE);
	IS(answer(2), "notfound 0 0: they are not signed with DNSSEC");
	ask_tlsa(3, NAME);
	found(TYPE_TLSA, NULL, 0, INSECURE);
	IS(answer(3), "notfound 0 0: they are not signed with DNSSEC");
}
END_TEST

START_TEST(that_there_are_no_tlsa_records_counts_when_it_is_signed)
{
	ask_tlsa(1, NAME);
	found(TYPE_TLSA, NULL, 0, SECURE);
	IS(answer(1), "notfound 1 0: DNSSEC says that there are none");
	ask_tlsa(2, NAME);
	resolve(TYPE_TLSA, 3, NULL, 0, SECURE, NULL);
	IS(answer(2), "notfound 1 0: DNSSEC says that there are none");
	ask_tlsa(3, NAME);
	found(TYPE_TLSA, key, 3, SECURE);
	IS(answer(3), "notfound 1 0: none of them is well-formed");
}
END_TEST

START_TEST(what_is_not_known_of_tlsa_records_is_not_said_to_be_none)
{
	size_t n;
	const uint8_t *p;

	ask_tlsa(1, NAME);
	resolve(TYPE_TLSA, 2, NULL, 0, INSECURE, NULL);
	IS(answer(1), "tempfail 0 0: the name servers do not answer");
	ask_tlsa(2, NAME);
	resolve(TYPE_TLSA, 0, NULL, 0, BOGUS, "signature expired");
	IS(answer(2), "bogus 0 0: DNSSEC: signature expired");
	ask_tlsa(3, NAME);
	packet_empty();
	packet_add(TYPE_TLSA, "", key, sizeof key);
	p = packet(&n);
	resolve(TYPE_TLSA, 0, p, n - 1, SECURE, NULL);
	IS(answer(3), "tempfail 0 0: the answer is malformed");
	ask_tlsa(4, NAME);
	resolve(TYPE_TLSA, 5, NULL, 0, SECURE, NULL);
	IS(answer(4), "tempfail 0 0: the name servers do not answer");
}
END_TEST

START_TEST(names_are_checked_before_they_are_asked_for)
{
	unsigned before;

	turn();
	before = nquestions;
	ask_tlsa(1, "mail.test");
	IS(answer(1), "notfound 0 0: this is not a name of TLSA records");
	ask_tlsa(2, "_995._tcp.192.0.2.1");
	IS(answer(2), "notfound 0 0: this is not a name of TLSA records");
	ask(3, "a b");
	IS(answer(3), "notfound 0 0: this is not a host name");
	ask(4, "192.0.2.1");
	IS(answer(4), "ok 0 1: ");
	ck_assert_uint_eq(nquestions, before);
}
END_TEST

START_TEST(without_a_trust_anchor_there_are_no_tlsa_records)
{
	char none[] = "";
	struct err e = {0};

	conf.dns.trust_anchor = none;
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(current->nanchors, 0);
	ask_tlsa(1, NAME);
	IS(answer(1), "notfound 0 0: answers are not validated here: set dns.trust_anchor");
	ck_assert_uint_eq(nquestions, 0);
}
END_TEST

START_TEST(a_reload_takes_another_trust_anchor)
{
	struct err e = {0};

	ck_assert_str_eq(current->server, "192.0.2.53@53");
	ck_assert_str_eq(current->anchors[0], TEST_DS);
	/* What has not changed stays, with its cache. */
	stage(anchor_path, "; the same\n" TEST_DS "\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(ncontexts, 1);
	stage(anchor_path, TEST_DS "\nexample. IN DS 2 13 2 " SHA2_32);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(ncontexts, 2);
	ck_assert_uint_eq(current->nanchors, 2);
	ck_assert_str_eq(current->anchors[1], "example. IN DS 2 13 2 " SHA2_32);
	/* The keys of both zones are looked at. */
	ck_assert_uint_eq(nquestions, 2);
}
END_TEST

START_TEST(a_bad_trust_anchor_changes_nothing)
{
	struct err e = {0};

	stage(anchor_path, TEST_DS "\ntest. IN DS 1 13 2 abcd\n");
	ck_assert_int_eq(load(dnsd.reload, &e), -1);
	ck_assert_str_eq(
	    e.text, "dns: trust_anchor: /anchor:2: the digest is not one of 32 octets in hex");
	ck_assert_int_eq(load(dnsd.reload, &e), -1);
	ck_assert_str_eq(e.text, "dns: trust_anchor: /anchor is not there");
	ck_assert_uint_eq(ncontexts, 1);
	ask_tlsa(1, NAME);
	found(TYPE_TLSA, key, sizeof key, SECURE);
	IS(answer(1), "ok 1 1key: ");
}
END_TEST

START_TEST(name_servers_that_strip_dnssec_are_told_of)
{
	const char *bad = "no DNSKEY rrset";

	resolve(TYPE_DNSKEY, 0, NULL, 0, BOGUS, bad);
	ask_tlsa(1, NAME);
	resolve(TYPE_TLSA, 0, NULL, 0, BOGUS, bad);
	IS(answer(1),
	    "bogus 0 0: DNSSEC: no keys of zone test. that fit the trust anchor come from "
	    "the name servers: do they strip DNSSEC? no DNSKEY rrset");
	/* That of another zone has another reason; nor is it asked again and again. */
	ask_tlsa(2, "_995._tcp.mail.contest");
	resolve(TYPE_TLSA, 0, NULL, 0, BOGUS, bad);
	IS(answer(2), "bogus 0 0: DNSSEC: no DNSKEY rrset");
	ck_assert_uint_eq(nquestions, 0);
	/* The anchor stays: what it does not vouch for is not taken. */
	ck_assert_uint_eq(ncontexts, 1);
}
END_TEST

START_TEST(questions_under_way_fail_when_the_resolver_starts_again)
{
	struct err e = {0};

	ask(1, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	server.addr[3] = 54;
	stage(anchor_path, TEST_DS);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(ncontexts, 2);
	IS(answer(1), "ok 1 1: ");
	ask_tlsa(2, NAME);
	server.addr[3] = 53;
	stage(anchor_path, TEST_DS);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	IS(answer(2), "tempfail 0 0: the resolver starts again");
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

START_TEST(an_asker_may_go_away)
{
	ask(1, "mail.test");
	ask_tlsa(2, NAME);
	ipc_close(&pop3d);
	turn();
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	found(TYPE_TLSA, key, sizeof key, SECURE);
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

START_TEST(questions_are_bounded_for_each_asker)
{
	struct err e = {0};
	unsigned i;

	for (i = 0; i < QUERIES_EACH; i++)
		ask_tlsa(i, NAME);
	ck_assert(!has_answer());
	ask_tlsa(i, NAME);
	IS(answer(i), "tempfail 0 0: too many names are being looked up");
	ask(i, "mail.test");
	IS(answer(i), "tempfail 0 0: too many names are being looked up");
	/* Others ask on. */
	ask_of(&deliverd, M_dns_tlsa_req, 1, &(struct dns_tlsa_req){.name = NAME});
	ck_assert(!has_answer_of(&deliverd));
	/* Once they are answered there is room again. */
	conf.dns.trust_anchor[0] = '\0';
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_uint_eq(query_count()->open, 0);
}
END_TEST

START_TEST(hosts_and_resolv_conf_are_read_again_at_a_reload)
{
	struct err e = {0};

	conf.dns.hosts = 1;
	conf.dns.servers.n = 0;
	stage(anchor_path, TEST_DS);
	stage(CONF_HOSTS_FILE, "192.0.2.9 mail.test\n");
	stage(CONF_RESOLV_FILE, "nameserver 192.0.2.99\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ck_assert_str_eq(current->server, "192.0.2.99@53");
	ask(1, "mail.test");
	IS(answer(1), "ok 0 1: ");
	conf.dns.hosts = 0;
	stage(anchor_path, TEST_DS);
	stage(CONF_RESOLV_FILE, "nameserver 192.0.2.99\n");
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	ask(2, "mail.test");
	found(TYPE_A, v4, 4, SECURE);
	found(TYPE_AAAA, NULL, 0, SECURE);
	IS(answer(2), "ok 1 1: ");
}
END_TEST

START_TEST(the_systems_anchor_counts_until_it_does_not_work)
{
	char none[] = "";
	struct err e = {0};

	conf.dns.trust_anchor = none;
	ck_assert_int_eq(dnsd.open(env(), &e), 0);
	ck_assert_int_eq(load(dnsd.reload, &e), 0);
	if (current->nanchors == 0)
		return; /* this machine has none */
	ask(1, "mail.test");
	resolve(TYPE_DNSKEY, 0, NULL, 0, BOGUS, "no DNSKEY rrset");
	IS(answer(1), "tempfail 0 0: the resolver starts again");
	ck_assert_uint_eq(ncontexts, 3);
	ck_assert_uint_eq(current->nanchors, 0);
	ask(2, "mail.test");
	found(TYPE_A, v4, 4, INSECURE);
	found(TYPE_AAAA, NULL, 0, INSECURE);
	IS(answer(2), "ok 0 1: ");
}
END_TEST

Suite *
daemon_suite(void)
{
	return unit_suite_around("daemon", set_up, tear_down,
	    (const TTest *const[]){addresses_are_secure_when_all_of_them_are,
		the_name_behind_secure_aliases_is_told, that_there_are_no_addresses_may_be_secure,
		a_failure_that_is_remembered_is_one, half_of_a_forged_answer_is_forged,
		tlsa_records_are_given_when_they_are_signed,
		that_there_are_no_tlsa_records_counts_when_it_is_signed,
		what_is_not_known_of_tlsa_records_is_not_said_to_be_none,
		names_are_checked_before_they_are_asked_for,
		without_a_trust_anchor_there_are_no_tlsa_records,
		a_reload_takes_another_trust_anchor, a_bad_trust_anchor_changes_nothing,
		name_servers_that_strip_dnssec_are_told_of,
		questions_under_way_fail_when_the_resolver_starts_again, an_asker_may_go_away,
		questions_are_bounded_for_each_asker,
		hosts_and_resolv_conf_are_read_again_at_a_reload,
		the_systems_anchor_counts_until_it_does_not_work, NULL});
}
