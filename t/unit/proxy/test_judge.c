/* What is thought of a server: certificate and revocation. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/enc.h"
#include "net/tls.h"
#include "proxy/tls_server.h"
#include "proxy/upstream_int.h"
#include "t/unit/proxy/trip.h"
#include "t/unit/unit.h"

Suite *judge_suite(void);

#define NOT_ASKED (-1)
#define SILENT (-2)

static struct card ca, good, bad;
static struct far far;
static struct trip trip;

static void
begin(void)
{
	char *pem;

	world_begin("connector c { service = pop3 listen = {\"127.0.0.1:8110\"} tls = disabled\n"
		    " transparent = tproxy }\n");
	card_make(&ca, "authority", NULL, 86400, NULL, NULL);
	card_make(&good, "mail.test", "DNS:mail.test,IP:127.0.0.1", 86400, &ca, NULL);
	card_make(&bad, "mail.test", "DNS:mail.test,IP:127.0.0.1", -60, &ca, NULL);
	pem = card_pem(&ca, NULL);
	world_file("/ca.pem", pem);
	free(pem);
}

static void
end(void)
{
	card_free(&ca);
	card_free(&good);
	card_free(&bad);
	world_end();
}

static void
print_of(const struct card *c, char out[65])
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	(void)SHA256(c->der, c->n, hash);
	(void)hex_encode(out, hash, sizeof hash);
}

/* A foreign server, or a peer at its port, under a profile of these words; and its contexts. */
static void
configure(bool foreign, const char *profile)
{
	char config[1000], where[200];
	struct err e = {0};

	if (foreign)
		(void)snprintf(where, sizeof where, "transparent = tproxy");
	else
		(void)snprintf(where, sizeof where, "peer = p certificates = /gw.pem");
	(void)snprintf(config, sizeof config,
	    "tls_profile x { ca_file = /ca.pem %s }\n"
	    "action a { service = pop3 profile = x }\n"
	    "peer p { service = pop3 host = 127.0.0.1 port = %u tls = implicit\n"
	    " profile = x server_name = mail.test }\n"
	    "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"} action = a\n"
	    " tls = required %s }\n",
	    profile, far.port, where);
	world_conf(config);
	ck_assert_msg(upstream_prepare(proc_env()->conf, &e) == 0, "%s", e.text);
	upstream_commit();
}

static bool at_once;

/* Up to where it may be judged; whether TLS came about. */
static bool
come(bool foreign, const char *asked)
{
	struct proxy_target to;

	far_target(&to, "127.0.0.1", far.port);
	trip_connect(&trip,
	    proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf),
	    foreign ? &to : NULL);
	trip_connected(&trip);
	trip.judge_at_once = at_once;
	trip_secure(&trip, foreign ? asked : NULL);
	return trip.secured == 1;
}

static void
answer_ocsp(int status)
{
	struct ocsp_rep rep = {.status = (uint8_t)status, .text = "so says it"};

	if (status == NOT_ASKED)
		ck_assert_uint_eq(world_count(M_ocsp_req), 0);
	else if (status == SILENT)
		world_fail(M_ocsp_req, ETIMEDOUT);
	else
		world_answer(M_ocsp_req, &rep);
}

struct row {
	bool foreign;
	const struct card *shown;
	const char *verify, *ocsp, *asked, *bad;
	int answer; /* enum ocsp_status */
	enum upstream_verdict want;
	const char *told;
};

static void
check_row(const struct row *t, size_t i)
{
	char profile[400], print[65];

	print_of(&good, print);
	far_start(&far, "127.0.0.1", card_serve(t->shown, &ca));
	(void)snprintf(profile, sizeof profile,
	    "verify = %s ocsp = %s bad_certificate = %s fingerprints = {\"%s\"}", t->verify,
	    t->ocsp, t->bad, print);
	configure(t->foreign, profile);
	ck_assert_msg(come(t->foreign, t->asked), "%zu: %s", i, trip.text);
	trip_judge(&trip);
	answer_ocsp(t->answer);
	world_until(&trip.judged, 1);
	ck_assert_msg(trip.verdict == t->want, "%zu: %d: %s", i, (int)trip.verdict, trip.text);
	ck_assert_msg(strstr(trip.text, t->told) != NULL, "%zu: %s", i, trip.text);
	if (t->told[0] == '\0')
		ck_assert_str_eq(trip.text, "");
	trip_end(&trip);
	far_stop(&far);
}

START_TEST(certificate_profile_and_keyd_make_the_verdict)
{
	static const struct row t[] = {
	    /* A good certificate, whoever the server is: what OCSP says. */
	    {true, &good, "ca", "off", "mail.test", "untrusted", NOT_ASKED, UPSTREAM_GOOD, ""},
	    {true, &good, "ca", "off", "", "untrusted", NOT_ASKED, UPSTREAM_GOOD, ""},
	    {true, &good, "ca", "lenient", "mail.test", "refuse", OCSP_GOOD, UPSTREAM_GOOD, ""},
	    {true, &good, "ca", "lenient", "mail.test", "refuse", OCSP_NONE, UPSTREAM_GOOD, ""},
	    {true, &good, "ca", "lenient", "mail.test", "refuse", OCSP_UNREACHABLE, UPSTREAM_GOOD,
		""},
	    {true, &good, "ca", "lenient", "mail.test", "refuse", SILENT, UPSTREAM_GOOD, ""},
	    {true, &good, "ca", "lenient", "mail.test", "refuse", OCSP_REVOKED, UPSTREAM_BAD,
		"OCSP: so says it"},
	    {true, &good, "ca", "lenient", "mail.test", "untrusted", OCSP_REVOKED,
		UPSTREAM_UNVERIFIED, "OCSP: so says it"},
	    {true, &good, "ca", "strict", "mail.test", "untrusted", OCSP_GOOD, UPSTREAM_GOOD, ""},
	    {true, &good, "ca", "strict", "mail.test", "untrusted", OCSP_NONE, UPSTREAM_UNVERIFIED,
		"OCSP"},
	    {true, &good, "ca", "strict", "mail.test", "refuse", OCSP_UNKNOWN, UPSTREAM_BAD,
		"OCSP"},
	    /* Later is not now, whatever may be shown. */
	    {true, &good, "ca", "strict", "mail.test", "untrusted", OCSP_UNREACHABLE,
		UPSTREAM_UNKNOWN, "OCSP"},
	    {true, &good, "ca", "strict", "mail.test", "untrusted", SILENT, UPSTREAM_UNKNOWN,
		"Connection timed out"},
	    /* A bad one is bad, and keyd is not asked. */
	    {true, &bad, "ca", "strict", "mail.test", "untrusted", NOT_ASKED, UPSTREAM_UNVERIFIED,
		"expired"},
	    {true, &bad, "ca", "strict", "mail.test", "refuse", NOT_ASKED, UPSTREAM_BAD, "expired"},
	    {true, &good, "ca", "off", "bank.test", "untrusted", NOT_ASKED, UPSTREAM_UNVERIFIED,
		"name does not match"},
	    {true, &good, "ca", "off", "bank.test", "refuse", NOT_ASKED, UPSTREAM_BAD,
		"name does not match"},
	    {true, &good, "fingerprint", "off", "bank.test", "refuse", NOT_ASKED, UPSTREAM_GOOD,
		""},
	    {true, &bad, "fingerprint", "off", "mail.test", "refuse", NOT_ASKED, UPSTREAM_BAD,
		"fingerprint"},
	    /* A peer; a bad one does not come here. */
	    {false, &good, "ca", "off", NULL, "untrusted", NOT_ASKED, UPSTREAM_GOOD, ""},
	    {false, &good, "ca", "lenient", NULL, "untrusted", OCSP_REVOKED, UPSTREAM_BAD, "OCSP"},
	    {false, &good, "ca", "strict", NULL, "untrusted", OCSP_NONE, UPSTREAM_BAD, "OCSP"},
	    {false, &bad, "none", "off", NULL, "untrusted", NOT_ASKED, UPSTREAM_GOOD, ""},
	};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		check_row(&t[i], i);
}
END_TEST

START_TEST(a_peers_bad_certificate_ends_the_handshake)
{
	far_start(&far, "127.0.0.1", card_serve(&bad, &ca));
	configure(false, "verify = ca");
	ck_assert(!come(false, NULL));
	ck_assert_ptr_nonnull(strstr(trip.text, "expired"));
	trip_end(&trip);
	far_stop(&far);
}
END_TEST

START_TEST(keyd_is_asked_about_the_certificate_and_its_issuer)
{
	const struct ocsp_req *q;

	far_start(&far, "127.0.0.1", card_serve(&good, &ca));
	configure(true, "ocsp = lenient");
	at_once = true;
	ck_assert(come(true, "mail.test"));
	q = world_asked(M_ocsp_req)->body;
	ck_assert_uint_eq(q->cert.n, good.n);
	ck_assert_int_eq(memcmp(q->cert.p, good.der, good.n), 0);
	ck_assert_uint_eq(q->issuer.n, ca.n);
	ck_assert_int_eq(memcmp(q->issuer.p, ca.der, ca.n), 0);
	ck_assert_uint_eq(q->stapled.n, 0);
	/* Not an octet of what the server says counts before the verdict; then it does. */
	world_run(50);
	ck_assert(conn_paused(trip.c));
	ck_assert_uint_eq(trip.readable, 0);
	answer_ocsp(OCSP_GOOD);
	ck_assert_uint_eq(trip.judged, 0);
	world_until(&trip.judged, 1);
	world_until(&trip.readable, 1);
	trip_end(&trip);
	far_stop(&far);
}
END_TEST

START_TEST(a_verdict_can_be_given_up)
{
	far_start(&far, "127.0.0.1", card_serve(&good, &ca));
	configure(true, "ocsp = strict");
	/* While keyd thinks. */
	ck_assert(come(true, "mail.test"));
	trip_judge(&trip);
	upstream_free(trip.u);
	trip.u = NULL;
	ck_assert_uint_eq(world_count(M_ocsp_req), 0);
	trip_end(&trip);
	/* When it is known and not yet told. */
	ck_assert(come(true, "mail.test"));
	trip_judge(&trip);
	answer_ocsp(OCSP_GOOD);
	upstream_free(trip.u);
	conn_free(trip.c);
	trip.u = NULL;
	trip.c = NULL;
	world_run(20);
	ck_assert_uint_eq(trip.judged, 0);
	trip_end(&trip);
	/* From within. */
	ck_assert(come(true, "mail.test"));
	trip_judge(&trip);
	trip.free_in_callback = true;
	answer_ocsp(OCSP_GOOD);
	world_until(&trip.judged, 1);
	ck_assert_ptr_null(trip.u);
	trip_end(&trip);
	/* Where keyd cannot be asked. */
	ck_assert(come(true, "mail.test"));
	world_refuses = true;
	trip_judge(&trip);
	world_until(&trip.judged, 1);
	ck_assert_int_eq((int)trip.verdict, UPSTREAM_UNKNOWN);
	trip_end(&trip);
	far_stop(&far);
}
END_TEST

START_TEST(names_of_the_profile_are_expected_instead)
{
	far_start(&far, "127.0.0.1", card_serve(&good, &ca));
	configure(true, "ocsp = off names = {\"other.test=mail.test\"}");
	ck_assert(come(true, "other.test"));
	trip_judge(&trip);
	world_until(&trip.judged, 1);
	ck_assert_int_eq((int)trip.verdict, UPSTREAM_GOOD);
	trip_end(&trip);
	far_stop(&far);
}
END_TEST

START_TEST(a_reload_that_takes_the_profile_away_ends_what_wants_it)
{
	struct proxy_target to;
	struct err e = {0};

	far_start(&far, "127.0.0.1", card_serve(&good, &ca));
	configure(true, "ocsp = off");
	far_target(&to, "127.0.0.1", far.port);
	trip_connect(
	    &trip, proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf), &to);
	world_conf("connector d { service = pop3 listen = {\"127.0.0.1:8110\"} tls = disabled\n"
		   " transparent = tproxy }\n");
	ck_assert_int_eq(upstream_prepare(proc_env()->conf, &e), 0);
	upstream_commit();
	trip_connected(&trip);
	ck_assert_ptr_nonnull(trip.c);
	ck_assert_int_eq(upstream_start_tls(trip.u, trip.c, "mail.test", &e), -1);
	ck_assert_int_eq(e.code, ENOENT);
	trip_end(&trip);
	far_stop(&far);
}
END_TEST

START_TEST(a_missing_authority_is_told_and_the_old_ones_stay)
{
	struct err e = {0};

	far_start(&far, "127.0.0.1", card_serve(&good, &ca));
	configure(true, "ocsp = off");
	/* That a peer without verification names it first does not hide it. */
	world_conf("peer a { service = pop3 host = 127.0.0.1 tls = implicit verify = none\n"
		   " ca_file = /gone.pem }\n"
		   "peer b { service = pop3 host = 127.0.0.1 tls = implicit ca_file = /gone.pem }\n"
		   "tls_profile x { ca_file = /ca.pem ocsp = off }\n"
		   "action a { service = pop3 profile = x }\n"
		   "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"} action = a\n"
		   " tls = required transparent = tproxy }\n");
	ck_assert_int_eq(upstream_prepare(proc_env()->conf, &e), -1);
	ck_assert_str_eq(e.text, "peer b: ca_file: /gone.pem is not there");
	ck_assert(come(true, "mail.test"));
	trip_end(&trip);
	far_stop(&far);
}
END_TEST

Suite *
judge_suite(void)
{
	return unit_suite_around("judge", begin, end,
	    (const TTest *const[]){certificate_profile_and_keyd_make_the_verdict,
		a_peers_bad_certificate_ends_the_handshake,
		keyd_is_asked_about_the_certificate_and_its_issuer, a_verdict_can_be_given_up,
		names_of_the_profile_are_expected_instead,
		a_reload_that_takes_the_profile_away_ends_what_wants_it,
		a_missing_authority_is_told_and_the_old_ones_stay, NULL});
}
