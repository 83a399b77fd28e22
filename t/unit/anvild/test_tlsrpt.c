/* Reports about TLS: counting, and what is in them. */
#include <stdio.h>
#include <string.h>

#include <zlib.h>

#include "base/enc.h"
#include "t/unit/anvild/tlsrpt.h"

Suite *tlsrpt_suite(void);

/* ---- counting ---- */

static struct days days;

static void
begin(void)
{
	days_init(&days);
}

static void
end(void)
{
	days_clear(&days);
	ck_assert_uint_eq(days.count, 0);
	ck_assert_uint_eq(days.octets, 0);
}

struct tls_session
session(const char *domain, const char *result)
{
	return (struct tls_session){.domain = domain,
	    .policy = TLSPOL_STS,
	    .policy_text = "version: STSv1\nmode: enforce\nmx: *.example.org\nmax_age: 86400",
	    .mx = "mx.example.org",
	    .ip = "192.0.2.25",
	    .result = result,
	    .reason = "",
	    .our_ip = "192.0.2.1"};
}

static void
add(const char *domain, const char *result, uint64_t now)
{
	struct tls_session s = session(domain, result);

	days_add(&days, &s, now);
}

START_TEST(sessions_are_counted_by_day_domain_and_policy)
{
	struct tls_session other = session("example.org", "certificate-expired");
	const struct day *x;

	add("example.org", "", 10 * DAY);
	add("example.org", "", 11 * DAY - 1);
	add("example.org", "certificate-expired", 10 * DAY);
	add("example.org", "certificate-expired", 10 * DAY);
	add("example.org", "starttls-not-supported", 10 * DAY);
	other.ip = "2001:db8::25";
	days_add(&days, &other, 10 * DAY);
	other.policy = TLSPOL_TLSA;
	other.policy_text = "3 1 1 00";
	days_add(&days, &other, 10 * DAY);
	add("example.org", "", 11 * DAY);
	add("a.example", "", 10 * DAY);
	ck_assert_uint_eq(days.count, 3);
	x = days_first(&days);
	ck_assert_str_eq(x->r.domain, "a.example");
	x = days_find(&days, 10, "example.org");
	ck_assert_ptr_nonnull(x);
	ck_assert_uint_eq(x->r.policies.n, 2);
	ck_assert_uint_eq(x->r.policies.v[0].good, 2);
	ck_assert_uint_eq(x->r.policies.v[0].failed, 4);
	ck_assert_uint_eq(x->r.policies.v[0].details.n, 3);
	ck_assert_uint_eq(x->r.policies.v[0].details.v[0].count, 2);
	ck_assert_str_eq(x->r.policies.v[0].details.v[2].ip, "2001:db8::25");
	ck_assert_uint_eq(x->r.policies.v[1].failed, 1);
	/* Not all at midnight. */
	ck_assert_uint_ge(x->r.due, 11 * DAY);
	ck_assert_uint_lt(x->r.due, 11 * DAY + 4 * 3600);
}
END_TEST

START_TEST(domains_that_are_no_names_are_left_out)
{
	add("[192.0.2.1]", "", DAY);
	add("192.0.2.1", "", DAY);
	add("a b", "", DAY);
	ck_assert_uint_eq(days.count, 0);
}
END_TEST

START_TEST(what_a_hostile_server_says_is_bounded)
{
	struct tls_session s = session("example.org", "validation-failure");
	char text[40];
	unsigned i;
	const struct day *x;

	for (i = 0; i < 1000; i++) {
		(void)snprintf(text, sizeof text, "reason %u", i);
		s.reason = text;
		days_add(&days, &s, DAY);
	}
	x = days_find(&days, 1, "example.org");
	ck_assert_uint_eq(x->r.policies.v[0].details.n, DAY_DETAILS_MAX);
	ck_assert_uint_eq(x->r.policies.v[0].failed, 1000);
	s.result = "";
	for (i = 0; i < 100; i++) {
		(void)snprintf(text, sizeof text, "max_age: %u", i);
		s.policy_text = text;
		days_add(&days, &s, DAY);
	}
	ck_assert_uint_eq(x->r.policies.n, DAY_POLICIES_MAX);
	ck_assert_uint_eq(days.left_out, 100 - (DAY_POLICIES_MAX - 1));
	for (i = 0; i < DAYS_MAX + 10; i++) {
		(void)snprintf(text, sizeof text, "d%u.example", i);
		add(text, "", DAY);
	}
	ck_assert_uint_eq(days.count, DAYS_MAX);
	ck_assert_uint_le(days.octets, DAYS_OCTETS);
}
END_TEST

START_TEST(what_was_taken_out_comes_back_to_what_came_since)
{
	struct day *x;

	add("example.org", "certificate-expired", DAY);
	x = days_find(&days, 1, "example.org");
	days_take(&days, x);
	ck_assert_uint_eq(days.octets, 0);
	add("example.org", "certificate-expired", DAY);
	add("example.org", "", DAY);
	days_return(&days, x);
	x = days_find(&days, 1, "example.org");
	ck_assert_uint_eq(days.count, 1);
	ck_assert_uint_eq(x->r.policies.n, 1);
	ck_assert_uint_eq(x->r.policies.v[0].good, 1);
	ck_assert_uint_eq(x->r.policies.v[0].failed, 2);
	ck_assert_uint_eq(x->r.policies.v[0].details.v[0].count, 2);
	days_take(&days, x);
	days_return(&days, x);
	ck_assert_ptr_eq(days_find(&days, 1, "example.org"), x);
	ck_assert_uint_eq(days.octets, x->octets);
}
END_TEST

/* ---- the wish ---- */

static int
wish(const char *const *texts, struct ruas *to, struct err *e)
{
	struct dns_txt v[8];
	size_t n;

	for (n = 0; texts[n] != NULL; n++)
		v[n].text = (struct bytes){(const uint8_t *)texts[n], strlen(texts[n])};
	return rua_parse(v, n, to, e);
}

START_TEST(takes_the_addresses_of_a_wish)
{
	static const struct {
		const char *text, *first;
		size_t n;
	} cases[] = {
	    {"v=TLSRPTv1;rua=mailto:reports@example.org", "reports@example.org", 1},
	    {"v=TLSRPTv1; rua=mailto:Reports@Example.ORG;", "Reports@example.org", 1},
	    {"v=TLSRPTv1 ;x=y; rua=MAILTO:a%2Bb@example.org?subject=x", "a+b@example.org", 1},
	    {"v=TLSRPTv1; rua=mailto:a@x.org , mailto:b@x.org,mailto:a@x.org", "a@x.org", 2},
	    {"v=TLSRPTv1; rua=https://x.org/report,mailto:a@x.org", "a@x.org", 1},
	    {"v=TLSRPTv1; rua=mailto:a@b.c,mailto:b@b.c,mailto:c@b.c,mailto:d@b.c,mailto:e@b.c",
		"a@b.c", RUAS_MAX},
	};
	struct ruas to;
	struct err e;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(
		    wish((const char *const[]){"other", cases[i].text, NULL}, &to, &e) == 0,
		    "%s: %s", cases[i].text, e.text);
		ck_assert_str_eq(to.v[0], cases[i].first);
		ck_assert_uint_eq(to.n, cases[i].n);
	}
}
END_TEST

START_TEST(a_wish_that_cannot_be_fulfilled_is_none)
{
	static const char *const cases[] = {"", "v=TLSRPTv1", "v=TLSRPTv2; rua=mailto:a@x.org",
	    "v=tlsrptv1; rua=mailto:a@x.org", " v=TLSRPTv1; rua=mailto:a@x.org", "v=TLSRPTv1;",
	    "v=TLSRPTv1; rua=", "v=TLSRPTv1; rua=https://x.org/", "v=TLSRPTv1; rua=a@x.org",
	    "v=TLSRPTv1; rua=mailto:", "v=TLSRPTv1; rua=mailto:a",
	    "v=TLSRPTv1; rua=mailto:a@x.org%", "v=TLSRPTv1; rua=mailto:a@x.org%0d%0aBcc:b@x.org",
	    "v=TLSRPTv1; rua=mailto:a%40x.org%00", "v=TLSRPTv1; rua=mailto:<a@x.org>",
	    "v=TLSRPTv1; rua=mailto:%22a%20b%22@x.org"};
	struct ruas to;
	struct err e;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(
		    wish((const char *const[]){cases[i], NULL}, &to, &e) == -1, "%s", cases[i]);
	ck_assert_int_eq(wish((const char *const[]){"v=TLSRPTv1; rua=mailto:a@x.org",
				  "v=TLSRPTv1; rua=mailto:b@x.org", NULL},
			     &to, &e),
	    -1);
}
END_TEST

/* ---- the report ---- */

static struct ruas to = {{"tls@example.org", "b@example.net"}, 2};

static struct report
report(const char *domain)
{
	return (struct report){.day = &days_find(&days, 20000, domain)->r,
	    .hostname = "gw.example.net",
	    .from = "postmaster@example.net",
	    .to = &to,
	    .until = 20001ULL * DAY + 10,
	    .now = 20001ULL * DAY + 10};
}

const char *
text_at(json_t *o, const char *path)
{
	char key[40];
	size_t n;

	for (; *path != '\0'; path += n + (path[n] == '/')) {
		n = strcspn(path, "/");
		(void)snprintf(key, sizeof key, "%.*s", (int)n, path);
		o = json_is_array(o) ? json_array_get(o, strtoul(key, NULL, 10))
				     : json_object_get(o, key);
	}
	if (json_is_integer(o)) {
		static char number[30];

		(void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(o));
		return number;
	}
	return json_string_value(o);
}

/* RFC 8460, appendix B */
START_TEST(the_report_says_what_was_seen)
{
	struct tls_session s = session("example.org", "validation-failure");
	struct report r;
	struct buf b;
	json_t *o;

	s.reason = "odd \"text\" of a \x01server \xff";
	days_add(&days, &s, 20000ULL * DAY);
	add("example.org", "", 20000ULL * DAY);
	s = session("example.org", "");
	s.policy = TLSPOL_TLSA;
	s.policy_text = "3 1 1 0123";
	days_add(&days, &s, 20000ULL * DAY);
	s.policy = TLSPOL_NONE;
	s.policy_text = "";
	days_add(&days, &s, 20000ULL * DAY);
	r = report("example.org");
	buf_init(&b, REPORT_MAX);
	ck_assert_int_eq(report_json(&r, &b), 0);
	o = json_loadb((const char *)buf_ptr(&b), buf_len(&b), 0, NULL);
	ck_assert_ptr_nonnull(o);
	IS(o, "organization-name", "gw.example.net");
	IS(o, "date-range/start-datetime", "2024-10-04T00:00:00Z");
	IS(o, "date-range/end-datetime", "2024-10-04T23:59:59Z");
	IS(o, "contact-info", "postmaster@example.net");
	ck_assert_ptr_nonnull(strstr(text_at(o, "report-id"), "@gw.example.net"));
	IS(o, "policies/0/policy/policy-type", "sts");
	IS(o, "policies/0/policy/policy-string/1", "mode: enforce");
	IS(o, "policies/0/policy/policy-domain", "example.org");
	IS(o, "policies/0/policy/mx-host/0", "*.example.org");
	IS(o, "policies/0/summary/total-successful-session-count", "1");
	IS(o, "policies/0/summary/total-failure-session-count", "1");
	IS(o, "policies/0/failure-details/0/result-type", "validation-failure");
	IS(o, "policies/0/failure-details/0/sending-mta-ip", "192.0.2.1");
	IS(o, "policies/0/failure-details/0/receiving-mx-hostname", "mx.example.org");
	IS(o, "policies/0/failure-details/0/receiving-ip", "192.0.2.25");
	IS(o, "policies/0/failure-details/0/failed-session-count", "1");
	IS(o, "policies/0/failure-details/0/failure-reason-code", "odd \"text\" of a ?server ?");
	IS(o, "policies/1/policy/policy-type", "tlsa");
	IS(o, "policies/1/policy/policy-string/0", "3 1 1 0123");
	ck_assert_ptr_null(
	    json_object_get(json_array_get(json_object_get(o, "policies"), 1), "failure-details"));
	IS(o, "policies/2/policy/policy-type", "no-policy-found");
	IS(o, "policies/2/policy/policy-string", NULL);
	json_decref(o);
	buf_free(&b);
	/* Of a day that goes on, so far. */
	r.until = 20000ULL * DAY + 3600;
	buf_init(&b, REPORT_MAX);
	ck_assert_int_eq(report_json(&r, &b), 0);
	o = json_loadb((const char *)buf_ptr(&b), buf_len(&b), 0, NULL);
	IS(o, "date-range/end-datetime", "2024-10-04T01:00:00Z");
	json_decref(o);
	buf_free(&b);
}
END_TEST

static void
has(const char *mail, const char *part)
{
	ck_assert_msg(strstr(mail, part) != NULL, "no %s in %s", part, mail);
}

/* What base64 and gzip were made of. */
json_t *
unpack(const char *mail)
{
	static uint8_t gz[REPORT_MAX], out[1024 * 1024];
	z_stream z = {.next_in = gz};
	const char *p = strstr(mail, "application/tlsrpt+gzip");
	size_t n = 0;
	ssize_t got;
	json_t *o;

	ck_assert_ptr_nonnull(p);
	p = strstr(p, "\r\n\r\n") + 4;
	for (; strncmp(p, "--", 2) != 0; p += strcspn(p, "\r") + 2) {
		ck_assert_uint_le(strcspn(p, "\r"), 76);
		got = b64_decode(gz + n, sizeof gz - n, p, strcspn(p, "\r"));
		ck_assert_int_gt(got, 0);
		n += (size_t)got;
	}
	z.avail_in = (uInt)n;
	z.next_out = out;
	z.avail_out = sizeof out;
	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	(void)inflateEnd(&z);
	o = json_loadb((const char *)out, sizeof out - z.avail_out, 0, NULL);
	ck_assert_ptr_nonnull(o);
	return o;
}

START_TEST(the_mail_is_a_report_of_rfc_8460)
{
	char name[200];
	struct report r;
	struct buf b;
	const char *mail, *line;
	json_t *o;

	add("example.org", "certificate-expired", 20000ULL * DAY);
	r = report("example.org");
	buf_init(&b, REPORT_MAX);
	ck_assert_int_eq(report_mail(&r, &b), 0);
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	mail = (const char *)buf_ptr(&b);
	for (line = mail; *line != '\0'; line += strcspn(line, "\r") + 2) {
		ck_assert_uint_le(strcspn(line, "\r"), 998);
		ck_assert_uint_eq(strcspn(line, "\n"), strcspn(line, "\r") + 1);
	}
	has(mail, "From: <postmaster@example.net>\r\n");
	has(mail, "To: <tls@example.org>,\r\n\t<b@example.net>\r\n");
	has(mail,
	    "Subject: Report Domain: example.org\r\n\tSubmitter: gw.example.net\r\n\tReport-ID: <");
	has(mail, "Date: Sat, 5 Oct 2024 00:00:10 +0000\r\n");
	has(mail, "\r\nTLS-Report-Domain: example.org\r\nTLS-Report-Submitter: gw.example.net\r\n");
	has(mail, "Content-Type: multipart/report; report-type=tlsrpt;\r\n\tboundary=\"");
	(void)snprintf(name, sizeof name, "filename=\"gw.example.net!example.org!%llu!%llu!",
	    20000ULL * DAY, 20001ULL * DAY - 1);
	has(mail, name);
	o = unpack(mail);
	IS(o, "policies/0/failure-details/0/result-type", "certificate-expired");
	json_decref(o);
	buf_free(&b);
}
END_TEST

START_TEST(the_longest_report_is_short_enough_for_the_queue)
{
	struct tls_session s = session("example.org", "validation-failure");
	char policy[2001], reason[256], mx[256];
	struct report r;
	struct buf b;
	unsigned i, j;

	s.policy_text = policy;
	s.reason = reason;
	s.mx = mx;
	for (i = 0; i < 200; i++) {
		for (j = 0; j < 2000; j++)
			policy[j] = (char)('!' + arc4random_uniform(90));
		for (j = 0; j < 255; j++)
			mx[j] = reason[j] = (char)('!' + arc4random_uniform(90));
		policy[2000] = mx[255] = reason[255] = '\0';
		days_add(&days, &s, 20000ULL * DAY);
	}
	r = report("example.org");
	buf_init(&b, REPORT_MAX);
	ck_assert_int_eq(report_mail(&r, &b), 0);
	ck_assert_uint_le(buf_len(&b), BLOB_INLINE_MAX);
	buf_free(&b);
}
END_TEST

Suite *
tlsrpt_suite(void)
{
	return unit_suite_around("tlsrpt", begin, end,
	    (const TTest *const[]){sessions_are_counted_by_day_domain_and_policy,
		domains_that_are_no_names_are_left_out, what_a_hostile_server_says_is_bounded,
		what_was_taken_out_comes_back_to_what_came_since, takes_the_addresses_of_a_wish,
		a_wish_that_cannot_be_fulfilled_is_none, the_report_says_what_was_seen,
		the_mail_is_a_report_of_rfc_8460, the_longest_report_is_short_enough_for_the_queue,
		NULL});
}
