/* What TLS with a server must be like. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deliverd/policy.h"
#include "t/unit/deliverd/far.h"
#include "t/unit/deliverd/stage.h"
#include "t/unit/unit.h"

Suite *policy_suite(void);

static const uint8_t print[32] = {1, 2, 3};
static struct policy *got;
static unsigned policies;

static void
on_policy(void *arg, struct policy *p)
{
	(void)arg;
	policy_free(got);
	got = p;
	policies++;
}

/* mx.example.org, an MX of example.org, under the route "r". */
static struct plan_host host = {.name = (char *)"mx.example.org",
    .port = 25,
    .mx = true,
    .domain = (char *)"example.org",
    .weight = 1};

/* "may", "encrypt", "dane also=example.org", "wait 4.7.5", ... */
static const char *
policy_of(int host_secure, int addr_secure, const char *canonical, enum policy_need need)
{
	static const char *const tls[] = {"none", "may", "encrypt", ""};
	static char out[700];
	struct policy_ask q = {.route = route_get("r"),
	    .host = &host,
	    .secure = addr_secure,
	    .canonical = canonical,
	    .need = need};
	struct policing *later;
	unsigned had = policies;
	struct policy *p;

	host.secure = host_secure;
	ask_forget();
	p = policy_make(&q, &later, on_policy, NULL);
	if (p != NULL)
		on_policy(NULL, p);
	stage_until(&policies, had + 1);
	route_drop(q.route);
	if (got->verdict != POLICY_GO)
		(void)snprintf(out, sizeof out, "%s %s",
		    got->verdict == POLICY_WAIT ? "wait" : "never", got->dsn);
	else if (got->tls != CLIENT_TLS_VERIFY)
		(void)snprintf(out, sizeof out, "%s%s", tls[got->tls],
		    got->verify == CONN_VERIFY_CA ? " looked at" : "");
	else
		(void)snprintf(out, sizeof out, "%s name=%s%s%s", got->by, got->name,
		    got->also[0] != '\0' ? " also=" : "", got->also);
	return out;
}

static void
route(const char *keys)
{
	char text[400];

	(void)snprintf(text, sizeof text, "route r { domains = {\"*\"} %s }\n", keys);
	stage_conf(text);
}

static void
begin(void)
{
	struct card *authority = card_new("authority", NULL, NULL);
	char *pem = card_pem(authority);

	stage_file("/etc/ssl/certs/ca-certificates.crt", pem);
	free(pem);
	card_free(authority);
	stage_begin("");
}

static void
end(void)
{
	policy_free(got);
	got = NULL;
	stage_end();
}

START_TEST(the_route_says_how_much_tls)
{
	static const struct {
		const char *keys, *policy;
	} t[] = {
	    {"tls = none", "none"},
	    {"tls = may", "may"},
	    {"tls = may implicit = yes", "encrypt"},
	    {"tls = encrypt", "encrypt"},
	    {"tls = verify", "ca name=mx.example.org"},
	    {"tls = dane", "wait 4.7.4"},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		route(t[i].keys);
		ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), t[i].policy);
	}
}
END_TEST

START_TEST(tlsa_records_count_where_all_of_the_way_is_signed)
{
	const char *name = "_25._tcp.mx.example.org";
	int i;

	stage_tlsa(name, DNS_OK, SECURE, 3, 1, 1, print, sizeof print);
	for (i = 0; i < 2; i++) {
		route(i == 0 ? "tls = may" : "tls = encrypt");
		ck_assert_str_eq(
		    policy_of(1, 1, "", NEED_USUAL), "dane name=mx.example.org also=example.org");
		ck_assert_uint_eq(got->ntlsa, 1);
		ck_assert_int_eq(got->authentic, true);
		ck_assert_uint_eq(got->kind, TLSPOL_TLSA);
		ck_assert_ptr_nonnull(strstr(got->kind_text, "3 1 1 010203"));
		ck_assert_str_eq(policy_of(0, 1, "", NEED_USUAL), i == 0 ? "may" : "encrypt");
		ck_assert_str_eq(policy_of(1, 0, "", NEED_USUAL), i == 0 ? "may" : "encrypt");
	}
	/* Asked for only where they would count. */
	ck_assert_uint_eq(stage_asked(M_dns_tlsa_req, name), 2);
	route("tls = may dane = no");
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "may");
	route("tls = none");
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "none");
	route("tls = dane");
	ck_assert_str_eq(
	    policy_of(1, 1, "", NEED_USUAL), "dane name=mx.example.org also=example.org");
}
END_TEST

START_TEST(without_an_answer_about_tlsa_nothing_is_sent)
{
	const char *name = "_25._tcp.mx.example.org";

	route("tls = may");
	stage_tlsa(name, DNS_TEMPFAIL, 0, 0, 0, 0, NULL, 0);
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "wait 4.7.5");
	ck_assert_str_eq(got->result, "dnssec-invalid");
	stage_tlsa(name, DNS_BOGUS, 0, 0, 0, 0, NULL, 0);
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "wait 4.7.5");
	stage_tlsa(name, DNS_NOTFOUND, SECURE, 0, 0, 0, NULL, 0);
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "may");
	/* Not signed: worth nothing. */
	stage_tlsa(name, DNS_OK, 0, 3, 1, 1, print, sizeof print);
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "may");
}
END_TEST

START_TEST(records_that_cannot_be_used_want_encryption_only)
{
	const char *name = "_25._tcp.mx.example.org";

	route("tls = may");
	stage_tlsa(name, DNS_OK, SECURE, 1, 1, 1, print, sizeof print);
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "encrypt");
	ck_assert_str_eq(got->result, "tlsa-invalid");
	route("tls = dane");
	ck_assert_str_eq(policy_of(1, 1, "", NEED_USUAL), "wait 4.7.4");
}
END_TEST

START_TEST(which_records_can_be_used)
{
	static const struct {
		uint8_t usage, selector, matching;
		size_t n;
		bool usable;
	} t[] = {
	    {3, 1, 1, 32, true},
	    {2, 0, 2, 64, true},
	    {3, 0, 0, 500, true},
	    {0, 1, 1, 32, false},
	    {1, 1, 1, 32, false},
	    {4, 1, 1, 32, false},
	    {3, 2, 1, 32, false},
	    {3, 1, 3, 32, false},
	    {3, 1, 1, 31, false},
	    {3, 1, 2, 32, false},
	    {3, 1, 0, 0, false},
	};
	static const uint8_t data[500];
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		const struct dns_tlsa v = {
		    t[i].usage, t[i].selector, t[i].matching, {data, t[i].n}};

		ck_assert_msg(policy_tlsa_usable(&v) == t[i].usable, "%zu", i);
	}
}
END_TEST

START_TEST(behind_an_alias_the_records_at_its_end_come_first)
{
	route("tls = may");
	stage_tlsa("_25._tcp.real.example.net", DNS_OK, SECURE, 3, 1, 1, print, sizeof print);
	ck_assert_str_eq(policy_of(1, 1, "real.example.net", NEED_USUAL),
	    "dane name=real.example.net also=example.org");
	stage_tlsa("_25._tcp.real.example.net", DNS_NOTFOUND, SECURE, 0, 0, 0, NULL, 0);
	stage_tlsa("_25._tcp.mx.example.org", DNS_OK, SECURE, 3, 1, 1, print, sizeof print);
	ck_assert_str_eq(policy_of(1, 1, "real.example.net", NEED_USUAL),
	    "dane name=mx.example.org also=example.org");
	stage_tlsa("_25._tcp.real.example.net", DNS_BOGUS, 0, 0, 0, 0, NULL, 0);
	ck_assert_str_eq(policy_of(1, 1, "real.example.net", NEED_USUAL), "wait 4.7.5");
}
END_TEST

START_TEST(an_mta_sts_policy_names_the_servers)
{
	route("tls = may");
	stage_sts("example.org", STS_ENFORCE, "mx.example.org");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), "sts name=mx.example.org");
	ck_assert_int_eq(got->authentic, true);
	ck_assert_uint_eq(got->kind, TLSPOL_STS);
	stage_sts("example.org", STS_ENFORCE, "other.example.org");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), "wait 4.7.5");
	ck_assert_str_eq(got->result, "validation-failure");
	stage_sts("example.org", STS_TESTING, "other.example.org");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), "may");
	ck_assert_str_eq(got->result, "validation-failure");
	stage_sts("example.org", STS_TESTING, "mx.example.org");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), "may looked at");
	stage_sts("example.org", STS_UNKNOWN, "");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), "may");
	ck_assert_str_eq(got->result, "sts-policy-fetch-error");
	stage_sts("example.org", STS_ENFORCE, "mx.example.org");
	route("tls = may mta_sts = no");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), "may");
	route("tls = none");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_USUAL), "none");
	/* Servers of the configuration have none. */
	route("tls = may");
	host.mx = false;
	ck_assert_str_eq(policy_of(1, 0, "", NEED_USUAL), "may");
	host.mx = true;
}
END_TEST

static struct policy *
silent_policy(int secure)
{
	struct policy_ask q = {
	    .route = route_get("r"), .host = &host, .secure = secure, .canonical = ""};
	struct policing *later;
	unsigned had = policies;

	host.secure = secure;
	ask_forget();
	stage_hold();
	ck_assert_ptr_null(policy_make(&q, &later, on_policy, NULL));
	stage_time_out();
	stage_release();
	stage_until(&policies, had + 1);
	route_drop(q.route);
	return got;
}

START_TEST(without_an_answer_about_mta_sts_nothing_is_sent)
{
	route("tls = may");
	stage_sts("example.org", STS_ENFORCE, "mx.example.org");
	ck_assert_int_eq(silent_policy(0)->verdict, POLICY_WAIT);
	ck_assert_str_eq(got->dsn, "4.3.0");
	/* DANE says more than that. */
	stage_tlsa("_25._tcp.mx.example.org", DNS_OK, SECURE, 3, 1, 1, print, sizeof print);
	ck_assert_int_eq(silent_policy(1)->verdict, POLICY_GO);
	ck_assert_str_eq(got->by, "dane");
	host.secure = false;
}
END_TEST

START_TEST(dane_goes_before_mta_sts)
{
	route("tls = may");
	stage_sts("example.org", STS_ENFORCE, "other.example.org");
	stage_tlsa("_25._tcp.mx.example.org", DNS_OK, SECURE, 3, 1, 1, print, sizeof print);
	ck_assert_str_eq(
	    policy_of(1, 1, "", NEED_USUAL), "dane name=mx.example.org also=example.org");
	ck_assert_uint_eq(got->kind, TLSPOL_TLSA);
}
END_TEST

START_TEST(patterns_of_mta_sts)
{
	static const struct {
		const char *pattern, *host;
		bool match;
	} t[] = {
	    {"mail.example.org", "mail.example.org", true},
	    {"Mail.Example.Org", "mail.example.org", true},
	    {"*.example.org", "mail.example.org", true},
	    {"*.example.org", "a.mail.example.org", false},
	    {"*.example.org", "example.org", false},
	    {"*.example.org", ".example.org", false},
	    {"example.org", "mail.example.org", false},
	    {"*.org", "example.org", true},
	    {"*", "example.org", false},
	    {"*.", "example.", false},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct sts_mx mx = {t[i].pattern};
		const struct sts_rep rep = {.mxs = {&mx, 1}};

		ck_assert_msg(policy_sts_match(&rep, t[i].host) == t[i].match, "%s %s",
		    t[i].pattern, t[i].host);
	}
}
END_TEST

START_TEST(requiretls_wants_a_server_that_somebody_vouches_for)
{
	route("tls = may");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_REQUIRETLS), "never 5.7.30");
	ck_assert_str_eq(policy_of(1, 0, "", NEED_REQUIRETLS), "ca name=mx.example.org");
	stage_sts("example.org", STS_ENFORCE, "mx.example.org");
	ck_assert_str_eq(policy_of(0, 0, "", NEED_REQUIRETLS), "sts name=mx.example.org");
	stage_tlsa("_25._tcp.mx.example.org", DNS_OK, SECURE, 3, 1, 1, print, sizeof print);
	ck_assert_str_eq(
	    policy_of(1, 1, "", NEED_REQUIRETLS), "dane name=mx.example.org also=example.org");
	route("tls = none");
	ck_assert_str_eq(policy_of(1, 1, "", NEED_REQUIRETLS), "never 5.7.30");
}
END_TEST

START_TEST(a_message_may_do_without_what_its_domain_wants)
{
	route("tls = may");
	stage_sts("example.org", STS_ENFORCE, "other.example.org");
	stage_tlsa("_25._tcp.mx.example.org", DNS_BOGUS, 0, 0, 0, 0, NULL, 0);
	ck_assert_str_eq(policy_of(1, 1, "", NEED_NOTHING), "may");
	ck_assert_str_eq(got->domain, "");
	/* What the administrator wants it may not. */
	route("tls = encrypt");
	ck_assert_str_eq(policy_of(1, 1, "", NEED_NOTHING), "encrypt");
	route("tls = dane");
	ck_assert_str_eq(policy_of(1, 1, "", NEED_NOTHING), "wait 4.7.5");
}
END_TEST

Suite *
policy_suite(void)
{
	const TTest *const tests[] = {the_route_says_how_much_tls,
	    tlsa_records_count_where_all_of_the_way_is_signed,
	    without_an_answer_about_tlsa_nothing_is_sent,
	    records_that_cannot_be_used_want_encryption_only, which_records_can_be_used,
	    behind_an_alias_the_records_at_its_end_come_first, an_mta_sts_policy_names_the_servers,
	    without_an_answer_about_mta_sts_nothing_is_sent, dane_goes_before_mta_sts,
	    patterns_of_mta_sts, requiretls_wants_a_server_that_somebody_vouches_for,
	    a_message_may_do_without_what_its_domain_wants, NULL};

	return unit_suite_around("policy", begin, end, tests);
}
