/* Connections with TLS as it is wanted, over real handshakes; and gwctl route test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliverd/pool.h"
#include "t/unit/deliverd/far.h"
#include "t/unit/deliverd/stage.h"
#include "t/unit/unit.h"

Suite *pool_suite(void);

static struct far one, two;
static struct card *authority, *good, *other;
static char tlsa_name[2][64];

/* Mail of example.org goes to the MX of example.org, at far_port. */
static void
route(const char *keys)
{
	char text[600];

	(void)snprintf(text, sizeof text,
	    "queue { tls_reports = yes postmaster = \"postmaster@gateway.test\" }\n"
	    "route r { domains = {\"*\"} servers = {\"mx:example.org:%u\"} timeout = 5 %s "
	    "}\n",
	    far_port, keys);
	if (strstr(keys, "reuse") == NULL)
		(void)strlcpy(strrchr(text, '}'), "reuse = 0 }\n", 20);
	stage_conf(text);
}

static void
begin(void)
{
	char *pem;
	int i;

	authority = card_new("authority", NULL, NULL);
	good = card_new("one", "DNS:one.example.org", authority);
	other = card_new("other", "DNS:other.example.org", authority);
	pem = card_pem(authority);
	stage_file("/etc/ssl/certs/ca-certificates.crt", pem);
	free(pem);
	stage_begin("");
	far_start(&one, "127.0.0.1");
	far_start(&two, "127.0.0.2");
	stage_mx("example.org", DNS_OK, SECURE, "10 one.example.org, 20 two.example.org");
	stage_addr("one.example.org", DNS_OK, SECURE, "127.0.0.1", "");
	stage_addr("two.example.org", DNS_OK, SECURE, "127.0.0.2", "");
	for (i = 0; i < 2; i++)
		(void)snprintf(tlsa_name[i], sizeof tlsa_name[i], "_%u._tcp.%s.example.org",
		    far_port, i == 0 ? "one" : "two");
}

static void
end(void)
{
	far_stop(&one);
	far_stop(&two);
	stage_end();
	card_free(authority);
	card_free(good);
	card_free(other);
}

static const struct stage_job to_bob = {
    .route = "r", .domain = "example.org", .rcpts = {"bob@example.org"}};

static const char *
outcome(const struct stage_job *j)
{
	unsigned n = stage_job(j);

	stage_until(&stage_answers, stage_answers + 1);
	stage_run(20);
	return stage_outcome(n);
}

/* A record for the key of c. */
static void
vouch(int i, const struct card *c, unsigned usage)
{
	uint8_t print[32];

	card_spki(c, print);
	stage_tlsa(tlsa_name[i], DNS_OK, SECURE, usage, 1, 1, print, sizeof print);
}

START_TEST(tls_is_used_where_it_is_offered)
{
	far_show(&one, other, authority);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_uint_eq(one.starttls, 1);
	ck_assert_ptr_nonnull(strstr(stage_log, "ABC123: tls=TLSv1.3 with cipher "));
	ck_assert_ptr_nonnull(strstr(stage_log, "verified (no)"));
}
END_TEST

START_TEST(where_tls_is_a_must_nothing_goes_in_clear)
{
	static const char *const tls[] = {"tls = encrypt", "tls = verify", "tls = dane"};
	size_t i;

	for (i = 0; i < 3; i++) {
		route(tls[i]);
		ck_assert_str_eq(outcome(&to_bob), "delayed 4.7.4, site");
	}
	ck_assert_uint_eq(one.senders + two.senders, 0);
}
END_TEST

START_TEST(verify_wants_the_name_and_the_authority)
{
	far_show(&one, other, authority);
	far_show(&two, other, authority);
	route("tls = verify dane = no");
	ck_assert_ptr_nonnull(strstr(outcome(&to_bob), "delayed 4.7.5, site"));
	ck_assert_uint_eq(one.senders + two.senders, 0);
	far_show(&one, good, authority);
	route("tls = verify dane = no");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_ptr_nonnull(strstr(stage_log, "verified (ca)"));
}
END_TEST

START_TEST(good_dane_is_verified_without_any_authority)
{
	struct card *alone = card_new("alone", NULL, NULL);

	far_show(&one, alone, NULL);
	vouch(0, alone, 3);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 1);
	ck_assert_ptr_nonnull(strstr(stage_log, "verified (dane)"));
	card_free(alone);
}
END_TEST

START_TEST(bad_dane_goes_to_the_next_server_and_never_clear)
{
	far_show(&one, other, authority);
	vouch(0, good, 3);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_uint_eq(one.senders, 0);
	ck_assert_uint_eq(two.messages, 1);
	/* With no other one the mail waits; and offering no TLS at all does not help an attacker.
	 */
	stage_mx("example.org", DNS_OK, SECURE, "10 one.example.org");
	route("tls = may");
	ck_assert_ptr_nonnull(strstr(outcome(&to_bob), "delayed 4.7.5, site"));
	far_stop(&one);
	far_start(&one, "127.0.0.1");
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "delayed 4.7.4, site");
	ck_assert_uint_eq(one.senders, 0);
}
END_TEST

START_TEST(bogus_tlsa_records_put_that_server_off)
{
	stage_tlsa(tlsa_name[0], DNS_BOGUS, 0, 0, 0, 0, NULL, 0);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_uint_eq(one.connections, 0);
	ck_assert_uint_eq(two.messages, 1);
	stage_tlsa(tlsa_name[1], DNS_TEMPFAIL, 0, 0, 0, 0, NULL, 0);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "delayed 4.7.5, site");
	ck_assert_uint_eq(one.connections, 0);
}
END_TEST

START_TEST(an_authority_named_by_dane_may_vouch_for_the_domain_itself)
{
	struct card *domain = card_new("domain", "DNS:example.org", authority);

	far_show(&one, domain, authority);
	vouch(0, authority, 2);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 1);
	ck_assert_ptr_nonnull(strstr(stage_log, "verified (dane)"));
	/* Somebody else's name is none of the two. */
	far_show(&one, other, authority);
	stage_mx("example.org", DNS_OK, SECURE, "10 one.example.org");
	route("tls = may");
	ck_assert_ptr_nonnull(strstr(outcome(&to_bob), "delayed 4.7.5, site"));
	ck_assert_uint_eq(one.messages, 1);
	card_free(domain);
}
END_TEST

START_TEST(mta_sts_enforced_wants_the_servers_and_their_certificates)
{
	stage_mx("example.org", DNS_OK, 0, "10 one.example.org, 20 two.example.org");
	stage_sts("example.org", STS_ENFORCE, "one.example.org");
	far_show(&one, good, authority);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_ptr_nonnull(strstr(stage_log, "verified (sts)"));
	/* A bad certificate, and then a server that the policy does not name. */
	far_show(&one, other, authority);
	route("tls = may");
	ck_assert_ptr_nonnull(strstr(outcome(&to_bob), "delayed 4.7.5, site"));
	ck_assert_uint_eq(one.messages, 1);
	ck_assert_uint_eq(two.connections, 0);
	/* In testing it goes there all the same. */
	stage_sts("example.org", STS_TESTING, "one.example.org");
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 2);
}
END_TEST

START_TEST(sessions_are_told_to_anvild)
{
	stage_mx("example.org", DNS_OK, 0, "10 one.example.org");
	stage_sts("example.org", STS_TESTING, "one.example.org");
	far_show(&one, other, authority);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	stage_until(&stage_nsessions, 1);
	ck_assert_uint_eq(stage_sessions[0].policy, TLSPOL_STS);
	ck_assert_str_eq(stage_sessions[0].domain, "example.org");
	ck_assert_str_eq(stage_sessions[0].mx, "one.example.org");
	ck_assert_str_eq(stage_sessions[0].ip, "127.0.0.1");
	ck_assert_str_eq(stage_sessions[0].result, "certificate-host-mismatch");
	ck_assert_str_eq(stage_sessions[0].text, "version: STSv1");
	far_show(&one, good, authority);
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	stage_until(&stage_nsessions, 2);
	ck_assert_str_eq(stage_sessions[1].result, "");
	stage_sts("example.org", STS_NONE, "");
	route("tls = may");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	stage_until(&stage_nsessions, 3);
	ck_assert_uint_eq(stage_sessions[2].policy, TLSPOL_NONE);
}
END_TEST

START_TEST(requiretls_is_refused_where_nobody_vouches)
{
	struct stage_job j = to_bob;

	j.requiretls = true;
	stage_mx("example.org", DNS_OK, 0, "10 one.example.org");
	far_show(&one, good, authority);
	one.features = "PIPELINING DSN REQUIRETLS";
	route("tls = may");
	ck_assert_str_eq(outcome(&j), "failed 5.7.30");
	ck_assert_uint_eq(one.connections, 0);
	stage_mx("example.org", DNS_OK, SECURE, "10 one.example.org");
	route("tls = may");
	ck_assert_str_eq(outcome(&j), "sent 2.0.0");
	far_show(&one, other, authority);
	route("tls = may");
	/* No other message has to wait for that, and the server is no bad one. */
	ck_assert_str_eq(outcome(&j), "delayed 4.7.5");
	ck_assert_uint_eq(bad_count(), 0);
	ck_assert_uint_eq(one.messages, 1);
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
}
END_TEST

START_TEST(requiretls_takes_no_idle_connection_that_was_not_verified)
{
	struct stage_job j = to_bob;

	j.requiretls = true;
	far_show(&one, good, authority);
	one.features = "PIPELINING DSN REQUIRETLS";
	route("tls = may reuse = 60");
	ck_assert_str_eq(outcome(&to_bob), "sent 2.0.0");
	ck_assert_str_eq(outcome(&j), "sent 2.0.0");
	ck_assert_uint_eq(one.connections, 2);
	ck_assert_str_eq(outcome(&j), "sent 2.0.0");
	ck_assert_uint_eq(one.connections, 2);
}
END_TEST

START_TEST(a_message_that_does_without_tls_leaves_no_connection_to_others)
{
	struct stage_job j = to_bob;

	j.message = "TLS-Required: No\r\n\r\nhello\r\n";
	far_show(&one, other, authority);
	vouch(0, good, 3); /* nobody else may go there */
	stage_mx("example.org", DNS_OK, SECURE, "10 one.example.org");
	route("tls = may reuse = 60");
	ck_assert_str_eq(outcome(&j), "sent 2.0.0");
	ck_assert_ptr_nonnull(strstr(outcome(&to_bob), "delayed 4.7.5"));
	ck_assert_str_eq(outcome(&j), "sent 2.0.0");
	ck_assert_uint_eq(one.messages, 2);
}
END_TEST

START_TEST(what_would_be_done_is_told_in_lines)
{
	static const uint8_t print[32] = {1};
	const char *text;
	bool ok;

	stage_tlsa(tlsa_name[0], DNS_OK, SECURE, 3, 1, 1, print, sizeof print);
	stage_addr("two.example.org", DNS_NOTFOUND, 0, "", "");
	route("tls = may");
	text = stage_route_test("example.org", &ok);
	ck_assert_int_eq(ok, true);
	ck_assert_msg(
	    strstr(text, "example.org: route r, smtp, tls = may, dane\n1. one.example.org:") ==
		text,
	    "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "MX of example.org (DNSSEC)\n"));
	ck_assert_ptr_nonnull(strstr(text, "    addresses: 127.0.0.1 (DNSSEC)\n"));
	ck_assert_ptr_nonnull(strstr(text, "verified by its TLSA records (DANE)\n2. two."));
	ck_assert_ptr_nonnull(strstr(text, "    no address: not found\n"));
	stage_conf("");
	text = stage_route_test("nowhere.test", &ok);
	ck_assert_int_eq(ok, false);
	ck_assert_ptr_nonnull(strstr(text, "nowhere.test: no route, MX of the domain, smtp"));
	ck_assert_ptr_nonnull(strstr(text, "mail is returned: Host or domain name not found"));
	ck_assert_uint_eq(one.connections, 0);
}
END_TEST

START_TEST(what_a_route_names_must_be_there)
{
	static const char config[] =
	    "connector r { service = relay listen = {\"127.0.0.1:8025\"} tls = disabled"
	    " relay_clients = {\"127.0.0.1\"} }\n"
	    "tls_profile p { ca_file = \"/nowhere.pem\" }\n"
	    "route v { domains = {\"*\"} tls = verify profile = p }\n";
	static const char login[] =
	    "connector r { service = relay listen = {\"127.0.0.1:8025\"} tls = disabled"
	    " relay_clients = {\"127.0.0.1\"} }\n"
	    "route v { domains = {\"*\"} servers = {\"a.test\"} tls = encrypt login = me "
	    "password_file = \"/pass\" }\n";
	struct conf *c;
	struct err e;

	c = conf_load_mem(config, sizeof config - 1, "f", NULL, &e);
	ck_assert_msg(c != NULL, "%s", e.text);
	ck_assert_int_eq(route_prepare(c, &e), -1);
	ck_assert_str_eq(e.text, "route v: tls_profile p: ca_file: /nowhere.pem is not there");
	conf_free(c);
	c = conf_load_mem(login, sizeof login - 1, "f", NULL, &e);
	ck_assert_msg(c != NULL, "%s", e.text);
	ck_assert_int_eq(route_prepare(c, &e), -1);
	ck_assert_str_eq(e.text, "route v: password_file: /pass is not there");
	stage_file("/pass", "\nsecret\n");
	ck_assert_int_eq(route_prepare(c, &e), -1);
	stage_file("/pass", "secret\r\nsecond line\n");
	ck_assert_msg(route_prepare(c, &e) == 0, "%s", e.text);
	route_commit();
	ck_assert_str_eq(route_at(1)->password, "secret");
	ck_assert_str_eq(route_at(1)->login, "me");
	conf_free(c);
}
END_TEST

Suite *
pool_suite(void)
{
	const TTest *const tests[] = {tls_is_used_where_it_is_offered,
	    where_tls_is_a_must_nothing_goes_in_clear, verify_wants_the_name_and_the_authority,
	    good_dane_is_verified_without_any_authority,
	    bad_dane_goes_to_the_next_server_and_never_clear,
	    bogus_tlsa_records_put_that_server_off,
	    an_authority_named_by_dane_may_vouch_for_the_domain_itself,
	    mta_sts_enforced_wants_the_servers_and_their_certificates, sessions_are_told_to_anvild,
	    requiretls_is_refused_where_nobody_vouches,
	    requiretls_takes_no_idle_connection_that_was_not_verified,
	    a_message_that_does_without_tls_leaves_no_connection_to_others,
	    what_would_be_done_is_told_in_lines, what_a_route_names_must_be_there, NULL};

	return unit_suite_around("pool", begin, end, tests);
}
