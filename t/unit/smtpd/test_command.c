#include <string.h>

#include "proxy/route.h"
#include "smtpd/command.h"
#include "t/unit/unit.h"

#define ALL (F_PIPELINING | F_SIZE | F_8BITMIME | F_SMTPUTF8 | F_DSN | F_ENHANCED | F_PLAIN)

static void
ehlo(struct smtp_reply *r, const char *const lines[])
{
	char line[256];
	size_t i;

	smtp_reply_init(r);
	for (i = 0; lines[i] != NULL; i++) {
		(void)snprintf(
		    line, sizeof line, "250%c%s", lines[i + 1] != NULL ? '-' : ' ', lines[i]);
		ck_assert_int_ne(smtp_reply_line(r, line, strlen(line)), -1);
	}
}

START_TEST(offers_the_intersection_only)
{
	static const char *const lines[] = {"peer.test", "PIPELINING", "SIZE 1000000", "8BITMIME",
	    "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "STARTTLS", "ETRN",
	    "XCLIENT NAME", "AUTH GSSAPI PLAIN CRAM-MD5 LOGIN SCRAM-SHA-256-PLUS", NULL};
	static const char *const never[] = {
	    "CHUNKING", "BINARYMIME", "STARTTLS", "ETRN", "XCLIENT", "GSSAPI", "CRAM", "SCRAM"};
	static const struct proxy_route clear;
	struct smtp_reply r;
	struct answer a;
	uint64_t size;
	unsigned f;
	size_t i;

	ehlo(&r, lines);
	f = features_of(&r, &size);
	ck_assert_uint_eq(f, ALL | F_LOGIN | F_STARTTLS);
	ck_assert_uint_eq(size, 1000000);
	f = features_offered(f, &clear, 0);
	ehlo_answer(&a, "gw.test", f, size_offered(50000000, size), 1);
	ck_assert_str_eq(a.text,
	    "gw.test\nPIPELINING\nSIZE 654122\n8BITMIME\nSMTPUTF8\nDSN\nENHANCEDSTATUSCODES\n"
	    "AUTH PLAIN LOGIN");
	for (i = 0; i < sizeof never / sizeof never[0]; i++)
		ck_assert_ptr_null(strstr(a.text, never[i]));
	ehlo_answer(&a, "gw.test", 0, 100, 1);
	ck_assert_str_eq(a.text, "gw.test\nPIPELINING\nSIZE 100");
	ehlo_answer(&a, "gw.test", F_PLAIN, 100, 0);
	ck_assert_ptr_null(strstr(a.text, "AUTH"));
	smtp_reply_free(&r);
}
END_TEST

START_TEST(offers_what_the_connector_allows_when_it_does)
{
	static const struct {
		enum conf_tls tls;
		int required;
		enum conf_factor factor;
		int is_tls;
		unsigned peer, offered;
	} t[] = {
	    {CONF_TLS_NONE, 0, CONF_FACTOR_NONE, 0, F_LOGINS | F_STARTTLS, F_LOGINS},
	    {CONF_TLS_NONE, 0, CONF_FACTOR_NONE, 0, 0, 0},
	    {CONF_TLS_STARTTLS, 0, CONF_FACTOR_NONE, 0, F_LOGINS, F_LOGINS | F_STARTTLS},
	    {CONF_TLS_STARTTLS, 0, CONF_FACTOR_NONE, 1, F_LOGINS, F_LOGINS},
	    {CONF_TLS_STARTTLS, 1, CONF_FACTOR_NONE, 0, F_LOGINS | F_DSN, F_STARTTLS | F_DSN},
	    {CONF_TLS_STARTTLS, 1, CONF_FACTOR_NONE, 1, F_PLAIN | F_STARTTLS, F_PLAIN},
	    {CONF_TLS_IMPLICIT, 1, CONF_FACTOR_NONE, 1, F_LOGINS, F_LOGINS},
	    {CONF_TLS_NONE, 0, CONF_FACTOR_PASSWORD, 0, F_LOGINS, F_PLAIN | F_LOGIN},
	    {CONF_TLS_IMPLICIT, 1, CONF_FACTOR_CERTIFICATE, 1, F_TOKENS, F_TOKENS},
	};
	struct proxy_route r = {.inspect = CONF_TLS_INSPECT};
	struct answer a;
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		r.client_tls = t[i].tls;
		r.tls_required = t[i].required;
		r.second_factor = t[i].factor;
		ck_assert_msg(features_offered(t[i].peer, &r, t[i].is_tls) ==
				  (t[i].offered | F_PIPELINING | F_SIZE),
		    "%zu", i);
	}
	ehlo_answer(&a, "gw.test", F_LOGINS | F_STARTTLS, 100, 1);
	ck_assert_str_eq(a.text,
	    "gw.test\nPIPELINING\nSIZE 100\nSTARTTLS\nAUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER");
}
END_TEST

START_TEST(offers_tls_that_a_server_must_answer_only_if_it_would)
{
	static const struct {
		enum conf_transparent transparent;
		enum conf_inspect inspect;
		enum conf_tls tls; /* to the peer */
		unsigned in_clear, without; /* offered, when the server has STARTTLS or not */
	} t[] = {
	    {CONF_TRANSPARENT_NO, CONF_TLS_INSPECT, CONF_TLS_NONE, F_STARTTLS, F_STARTTLS},
	    {CONF_TRANSPARENT_NO, CONF_TLS_INSPECT, CONF_TLS_IMPLICIT, F_STARTTLS, F_STARTTLS},
	    {CONF_TRANSPARENT_NO, CONF_TLS_ALLOW, CONF_TLS_NONE, F_STARTTLS, 0},
	    /* We are behind TLS of our own there: it has offered it before. */
	    {CONF_TRANSPARENT_NO, CONF_TLS_ALLOW, CONF_TLS_STARTTLS, F_STARTTLS, F_STARTTLS},
	    {CONF_TRANSPARENT_REDIRECT, CONF_TLS_INSPECT, CONF_TLS_STARTTLS, F_STARTTLS, 0},
	    {CONF_TRANSPARENT_TPROXY, CONF_TLS_ALLOW, CONF_TLS_STARTTLS, F_STARTTLS, 0},
	};
	struct proxy_route r = {.client_tls = CONF_TLS_STARTTLS};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		r.transparent = t[i].transparent;
		r.inspect = t[i].inspect;
		r.tls = t[i].tls;
		ck_assert_uint_eq(features_offered(F_STARTTLS, &r, 0) & F_STARTTLS, t[i].in_clear);
		ck_assert_uint_eq(features_offered(0, &r, 0) & F_STARTTLS, t[i].without);
		ck_assert_uint_eq(features_offered(F_STARTTLS, &r, 1) & F_STARTTLS, 0);
	}
	r.client_tls = CONF_TLS_NONE;
	ck_assert_uint_eq(features_offered(F_STARTTLS, &r, 0) & F_STARTTLS, 0);
}
END_TEST

START_TEST(reads_odd_ehlo_answers)
{
	static const struct {
		const char *line;
		unsigned features;
		uint64_t size;
	} t[] = {
	    {"SIZE", F_SIZE, 0},
	    {"SIZE 0", F_SIZE, 0},
	    {"size 12", F_SIZE, 12},
	    {"SIZE -1", F_SIZE, 0},
	    {"SIZE 99999999999999999999", F_SIZE, 0},
	    {"SIZE 999999999999999999999999", F_SIZE, 0},
	    {"SIZEX 12", 0, 0},
	    {"AUTH=LOGIN PLAIN", F_LOGIN | F_PLAIN, 0},
	    {"AUTH XPLAIN PLAINX", 0, 0},
	    {"AUTH SCRAM-SHA-256 xoauth2 OAUTHBEARER", F_TOKENS, 0},
	    {"auth plain", F_PLAIN, 0},
	    {"AUTH", 0, 0},
	};
	struct smtp_reply r;
	uint64_t size;
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		ehlo(&r, (const char *const[]){"x", t[i].line, NULL});
		ck_assert_msg(features_of(&r, &size) == t[i].features, "%s", t[i].line);
		ck_assert_msg(size == t[i].size, "%s", t[i].line);
		smtp_reply_free(&r);
	}
}
END_TEST

START_TEST(leaves_room_for_what_encryption_adds)
{
	static const uint64_t peers[] = {
	    1, 1000, 64 * 1024, 200000, 1 << 20, 100 << 20, UINT64_MAX};
	uint64_t n;
	size_t i;

	ck_assert_uint_eq(size_offered(500, 0), 500);
	ck_assert_uint_eq(size_offered(500, UINT64_MAX), 500);
	for (i = 0; i < sizeof peers / sizeof peers[0]; i++) {
		n = size_offered(UINT64_MAX, peers[i]);
		ck_assert_uint_gt(n, 0);
		ck_assert_msg(peers[i] < 200000 || n / 3 * 4 + 4000 < peers[i], "%zu", i);
		ck_assert(n <= peers[i]);
		ck_assert(size_declared(n, peers[i]) <= peers[i]);
	}
	ck_assert_uint_eq(size_declared(7000, 0), 10000 + EXPANSION_ROOM);
	ck_assert(size_declared(UINT64_MAX, 0) == UINT64_MAX);
}
END_TEST

START_TEST(parses_mail)
{
	static const struct {
		const char *args;
		unsigned offered, code; /* 0: good */
		const char *text; /* for the peer */
	} t[] = {
	    {"FROM:<a@x.test>", 0, 0, "MAIL FROM:<a@x.test>"},
	    {"from: <a@x.test>", 0, 0, "MAIL FROM:<a@x.test>"},
	    {"FROM:<>", 0, 0, "MAIL FROM:<>"},
	    {"FROM:<@r.test,@s.test:a@X.Test>", 0, 0, "MAIL FROM:<a@x.test>"},
	    {"FROM:<a@x.test> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>", ALL, 0,
		"MAIL FROM:<a@x.test> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb"},
	    {"FROM:<a@x.test>  ret=full   body=7bit ", ALL, 0,
		"MAIL FROM:<a@x.test> BODY=7BIT RET=FULL"},
	    {"FROM:<\xc3\xa4@x.test> SMTPUTF8", ALL, 0, "MAIL FROM:<\xc3\xa4@x.test> SMTPUTF8"},
	    {"FROM:<\xc3\xa4@x.test>", ALL, 553, NULL},
	    {"FROM:<\xa4@x.test> SMTPUTF8", ALL, 501, NULL},
	    {"FROM:<a@x.test> SIZE=5", 0, 555, NULL},
	    {"FROM:<a@x.test> SMTPUTF8", ALL & ~F_SMTPUTF8, 555, NULL},
	    {"FROM:<a@x.test> RET=HDRS", ALL & ~F_DSN, 555, NULL},
	    {"FROM:<a@x.test> BODY=BINARYMIME", ALL, 501, NULL},
	    {"FROM:<a@x.test> SIZE=5 SIZE=5", ALL, 501, NULL},
	    {"FROM:<a@x.test> SIZE=", ALL, 501, NULL},
	    {"FROM:<a@x.test> SIZE=5x", ALL, 501, NULL},
	    {"FROM:<a@x.test> SIZE=-5", ALL, 501, NULL},
	    {"FROM:<a@x.test> SIZE=18446744073709551616", ALL, 501, NULL},
	    {"FROM:<a@x.test> ENVID=", ALL, 501, NULL},
	    {"FROM:<a@x.test> ENVID=a=b", ALL, 501, NULL},
	    {"FROM:<a@x.test> ENVID=a+2", ALL, 501, NULL},
	    {"FROM:<a@x.test> ENVID=a+2b", ALL, 501, NULL},
	    {"FROM:<a@x.test> SMTPUTF8=1", ALL, 501, NULL},
	    {"FROM:<a@x.test> X=1", ALL, 555, NULL},
	    {"FROM:<a@x.test> =1", ALL, 555, NULL},
	    {"FROM:<a@x.test>SIZE=5", ALL, 501, NULL},
	    {"FROM:<a@x.test", ALL, 501, NULL},
	    {"FROM:a@x.test", ALL, 501, NULL},
	    {"FROM:<a>", ALL, 501, NULL},
	    {"FROM:<postmaster>", ALL, 501, NULL},
	    {"FROM <a@x.test>", ALL, 501, NULL},
	    {"TO:<a@x.test>", ALL, 501, NULL},
	    {"", ALL, 501, NULL},
	};
	char out[COMMAND_MAX];
	struct mail_cmd m;
	struct answer why;
	size_t i;
	int rc;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		rc = command_mail(t[i].args, t[i].offered, &m, &why);
		ck_assert_msg(rc == (t[i].code == 0 ? 0 : -1), "%s", t[i].args);
		if (rc == -1) {
			ck_assert_msg(why.code == t[i].code, "%s: %u", t[i].args, why.code);
			continue;
		}
		command_mail_text(out, &m, ALL, m.size);
		ck_assert_str_eq(out, t[i].text);
	}
}
END_TEST

START_TEST(parses_rcpt)
{
	static const struct {
		const char *args;
		unsigned offered, code;
		const char *addr, *params;
	} t[] = {
	    {"TO:<a@x.test>", 0, 0, "a@x.test", ""},
	    {"TO:<Postmaster>", 0, 0, "Postmaster", ""},
	    {"TO:<\"a b\"@x.test>", 0, 0, "\"a b\"@x.test", ""},
	    {"TO:<a@x.test> NOTIFY=NEVER", ALL, 0, "a@x.test", " NOTIFY=NEVER"},
	    {"TO:<a@x.test> NOTIFY=delay,SUCCESS ORCPT=rfc822;a+40b", ALL, 0, "a@x.test",
		" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b"},
	    {"TO:<a@x.test> ORCPT=utf-8;\xc3\xa4@x.test", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> NOTIFY=NEVER", 0, 555, NULL, NULL},
	    {"TO:<a@x.test> NOTIFY=NEVER,DELAY", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> NOTIFY=SUCCESS,SUCCESS", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> NOTIFY=,", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> NOTIFY=SUCCESS,", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> NOTIFY=NEVER NOTIFY=NEVER", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> ORCPT=rfc822", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> ORCPT=;x", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> ORCPT=rfc822;", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test> SIZE=5", ALL, 555, NULL, NULL},
	    {"TO:<>", ALL, 501, NULL, NULL},
	    {"TO:<a@x.test><b@x.test>", ALL, 501, NULL, NULL},
	};
	char params[RCPT_PARAMS_MAX];
	struct rcpt_cmd r;
	struct answer why;
	size_t i;
	int rc;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		rc = command_rcpt(t[i].args, t[i].offered, 0, &r, &why);
		ck_assert_msg(rc == (t[i].code == 0 ? 0 : -1), "%s", t[i].args);
		if (rc == -1) {
			ck_assert_msg(why.code == t[i].code, "%s: %u", t[i].args, why.code);
			continue;
		}
		ck_assert_int_eq(strcasecmp(r.path.addr, t[i].addr), 0);
		command_rcpt_params(params, sizeof params, &r, ALL);
		ck_assert_str_eq(params, t[i].params);
		command_rcpt_params(params, sizeof params, &r, 0);
		ck_assert_str_eq(params, "");
	}
	ck_assert_int_eq(
	    command_rcpt("TO:<a@x.test> ORCPT=utf-8;\xc3\xa4@x.test", ALL, 1, &r, &why), 0);
}
END_TEST

START_TEST(bounds_what_it_keeps)
{
	char args[8192];
	struct mail_cmd m;
	struct rcpt_cmd r;
	struct answer why;
	size_t n;

	for (n = 1; n < 4000; n += 37) {
		(void)snprintf(args, sizeof args, "FROM:<a@x.test> ENVID=%0*d", (int)n, 1);
		ck_assert_int_eq(command_mail(args, ALL, &m, &why), n <= ENVID_MAX ? 0 : -1);
		(void)snprintf(args, sizeof args, "TO:<a@x.test> ORCPT=rfc822;%0*d", (int)n, 1);
		ck_assert_int_eq(command_rcpt(args, ALL, 0, &r, &why), n + 7 <= ORCPT_MAX ? 0 : -1);
	}
}
END_TEST

START_TEST(takes_names_and_literals_in_helo)
{
	static const char *const good[] = {"x", "client.example.test", "[192.0.2.1]",
	    "[IPv6:2001:db8::1]", "my_pc", "-x-", "b\xc3\xbc"};
	static const char *const bad[] = {"", "a b", "[x", "x]", "a\tb", "<x>", "a\"b", "\xff"};
	char longer[300];
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++)
		ck_assert_msg(command_helo_valid(good[i]), "%s", good[i]);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!command_helo_valid(bad[i]), "%s", bad[i]);
	memset(longer, 'a', sizeof longer);
	longer[256] = '\0';
	ck_assert(!command_helo_valid(longer));
	longer[255] = '\0';
	ck_assert(command_helo_valid(longer));
}
END_TEST

Suite *command_suite(void);

Suite *
command_suite(void)
{
	return unit_suite("command",
	    (const TTest *const[]){offers_the_intersection_only,
		offers_what_the_connector_allows_when_it_does,
		offers_tls_that_a_server_must_answer_only_if_it_would, reads_odd_ehlo_answers,
		leaves_room_for_what_encryption_adds, parses_mail, parses_rcpt,
		bounds_what_it_keeps, takes_names_and_literals_in_helo, NULL});
}
