/* Certificates minted for clients of foreign servers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls.h"
#include "proxy/tls_server.h"
#include "t/unit/proxy/trip.h"
#include "t/unit/unit.h"

Suite *leaf_suite(void);
Suite *leaf_odd_suite(void);
Suite *leaf_many_suite(void);

#define LEAF_NAMES "DNS:mail.test"
#define MANY 1024 /* as many are kept */

static struct card ca, server, proxy, leaf;
static struct far far;
static struct trip trip;

static void
begin_at(const char *names)
{
	struct proxy_target to;
	struct err e = {0};
	char *pem;

	world_begin("tls_profile x { ca_file = /ca.pem ocsp = off }\n"
		    "action a { service = pop3 profile = x }\n"
		    "connector c { service = pop3 listen_tls = {\"127.0.0.1:8995\"} action = a\n"
		    " tls = required transparent = tproxy }\n");
	card_make(&ca, "authority", NULL, 86400, NULL, NULL);
	card_make(&server, "mail.test", names, 86400, &ca, NULL);
	card_make(&proxy, "proxy authority", NULL, 86400, NULL, NULL);
	card_make(&leaf, "leaf", LEAF_NAMES, 86400, &proxy, NULL);
	pem = card_pem(&ca, NULL);
	world_file("/ca.pem", pem);
	free(pem);
	ck_assert_msg(tls_server_start(proc_env()->conf, &e) == 0, "%s", e.text);
	far_start(&far, "127.0.0.1", card_serve(&server, &ca));
	far_target(&to, "127.0.0.1", far.port);
	trip_connect(
	    &trip, proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf), &to);
	trip_connected(&trip);
	trip_secure(&trip, "mail.test");
	ck_assert_uint_eq(trip.secured, 1);
	trip.verdict = UPSTREAM_GOOD;
}

static void
begin(void)
{
	begin_at("DNS:mail.test,DNS:*.mail.test,IP:127.0.0.1,IP:2001:db8::1");
}

static void
end(void)
{
	trip_end(&trip);
	far_stop(&far);
	card_free(&ca);
	card_free(&server);
	card_free(&proxy);
	card_free(&leaf);
	world_end();
}

static void
answer(unsigned status, const struct card *c)
{
	struct mint_rep rep = {.status = (uint8_t)status};

	if (status == CRYPTO_OK) {
		rep.cert = (struct bytes){c->der, c->n};
		rep.issuer = (struct bytes){proxy.der, proxy.n};
	}
	world_answer(M_mint_req, &rep);
}

/* One more, which cryptod has to make (asked) or not. */
static void
mint(const char *asked, bool anew)
{
	unsigned before = trip.minted;

	trip_mint(&trip, asked);
	ck_assert_msg(world_count(M_mint_req) == anew, "%s", asked);
	if (anew)
		answer(CRYPTO_OK, &leaf);
	ck_assert_uint_eq(trip.minted, before);
	world_until(&trip.minted, before + 1);
	ck_assert_msg(trip.cert != NULL, "%s", trip.text);
}

/* "a b 127.0.0.1": what cryptod is asked for. */
static const char *
wanted(void)
{
	const struct mint_req *q = world_asked(M_mint_req)->body;
	static char text[MINT_NAMES_MAX * 260];
	struct netaddr a = {0};
	char ip[NETADDR_TEXT_MAX];
	size_t i;

	text[0] = '\0';
	for (i = 0; i < q->names.n; i++) {
		(void)strlcat(text, i > 0 ? " " : "", sizeof text);
		(void)strlcat(text, q->names.v[i].name, sizeof text);
	}
	for (i = 0; i < q->ips.n; i++) {
		a.family = q->ips.v[i].ip.n == 4 ? AF_INET : AF_INET6;
		memcpy(a.addr, q->ips.v[i].ip.p, q->ips.v[i].ip.n);
		(void)strlcat(text, " ", sizeof text);
		(void)strlcat(text, netaddr_format(ip, sizeof ip, ':', &a), sizeof text);
	}
	return text;
}

START_TEST(the_name_asked_for_comes_before_the_servers_own)
{
	trip_mint(&trip, "pop.mail.test");
	ck_assert_str_eq(wanted(), "pop.mail.test mail.test *.mail.test 127.0.0.1 2001:db8::1");
	ck_assert_uint_eq(
	    ((struct mint_req *)world_asked(M_mint_req)->body)->authority, AUTHORITY_PROXY);
	answer(CRYPTO_OK, &leaf);
	world_until(&trip.minted, 1);
	ck_assert_ptr_nonnull(trip.cert);
	ck_assert(tls_cert_is_for(trip.cert, "mail.test"));
	/* Without a name it is the address. */
	trip_mint(&trip, "");
	ck_assert_str_eq(wanted(), "mail.test *.mail.test 127.0.0.1 2001:db8::1");
}
END_TEST

START_TEST(who_is_not_verified_gets_the_untrusted_authority_and_no_others_leaf)
{
	mint("mail.test", true);
	trip.verdict = UPSTREAM_UNVERIFIED;
	trip_mint(&trip, "mail.test");
	ck_assert_uint_eq(
	    ((struct mint_req *)world_asked(M_mint_req)->body)->authority, AUTHORITY_UNTRUSTED);
	answer(CRYPTO_OK, &leaf);
	world_until(&trip.minted, 2);
	/* Each is remembered apart. */
	mint("mail.test", false);
	trip.verdict = UPSTREAM_GOOD;
	mint("mail.test", false);
	mint("other.mail.test", true);
	mint("", true);
}
END_TEST

static void
begin_odd(void)
{
	/* What cryptod would refuse, and with it all others. */
	begin_at(
	    "DNS:mail.test,DNS:*.test,DNS:a_b.test,DNS:*.x*.test,DNS:UPPER.Test,DNS:upper.test,"
	    "DNS:1.2.3.4,DNS:trailing.test.,DNS:-x.test,email:a@b.test,URI:x://y,"
	    "IP:192.0.2.1,IP:192.0.2.1");
}

START_TEST(names_that_cryptod_would_refuse_are_left_out)
{
	trip_mint(&trip, "mail.test");
	ck_assert_str_eq(wanted(), "mail.test upper.test trailing.test 192.0.2.1");
}
END_TEST

static void
begin_many(void)
{
	char names[40000] = "DNS:mail.test", one[300], label[64];
	int i;

	/* More than one certificate of ours may hold. */
	memset(label, 'x', 60);
	label[60] = '\0';
	for (i = 0; i < 75; i++) {
		(void)snprintf(one, sizeof one, ",DNS:n%d.%s.%s.%s.test", i, label, label, label);
		(void)strlcat(names, one, sizeof names);
	}
	for (i = 0; i < 24; i++) {
		(void)snprintf(one, sizeof one, ",IP:192.0.2.%d", i);
		(void)strlcat(names, one, sizeof names);
	}
	begin_at(names);
}

START_TEST(names_are_as_many_as_one_certificate_may_have)
{
	const struct mint_req *q;
	size_t i, n = 0;

	trip_mint(&trip, "");
	q = world_asked(M_mint_req)->body;
	for (i = 0; i < q->names.n; i++)
		n += strlen(q->names.v[i].name) + 4;
	for (i = 0; i < q->ips.n; i++)
		n += q->ips.v[i].ip.n + 4;
	ck_assert_uint_le(n, MINT_OCTETS_MAX);
	ck_assert_uint_gt(n, MINT_OCTETS_MAX - 300);
	/* What the client compares is there. */
	ck_assert_int_eq(memcmp(q->ips.v[0].ip.p, "\x7f\0\0\1", 4), 0);
	ck_assert_str_eq(q->names.v[0].name, "mail.test");
}
END_TEST

START_TEST(several_who_want_the_same_ask_once)
{
	struct trip other;
	struct proxy_target to;

	far_target(&to, "127.0.0.1", far.port);
	trip_connect(&other,
	    proxy_route_get(world_connector("c"), CONF_TLS_IMPLICIT, proc_env()->conf), &to);
	trip_connected(&other);
	trip_secure(&other, "mail.test");
	trip_mint(&trip, "mail.test");
	trip_mint(&other, "mail.test");
	ck_assert_uint_eq(world_count(M_mint_req), 1);
	/* The first goes, the second gets it. */
	upstream_free(trip.u);
	trip.u = NULL;
	ck_assert_uint_eq(world_count(M_mint_req), 1);
	answer(CRYPTO_OK, &leaf);
	world_until(&other.minted, 1);
	ck_assert_ptr_nonnull(other.cert);
	ck_assert_uint_eq(trip.minted, 0);
	/* It was kept; and what waits to be told may go, too. */
	trip_mint(&other, "mail.test");
	ck_assert_uint_eq(world_count(M_mint_req), 0);
	upstream_free(other.u);
	other.u = NULL;
	world_run(20);
	ck_assert_uint_eq(other.minted, 1);
	trip_end(&other);
}
END_TEST

START_TEST(one_who_goes_may_take_others_along)
{
	/* Whoever waits twice hears once. */
	trip_mint(&trip, "a.mail.test");
	trip_mint(&trip, "b.mail.test");
	ck_assert_uint_eq(world_count(M_mint_req), 2);
	answer(CRYPTO_OK, &leaf);
	answer(CRYPTO_OK, &leaf);
	trip.free_in_callback = true;
	world_until(&trip.minted, 1);
	world_run(20);
	ck_assert_uint_eq(trip.minted, 1);
	ck_assert_ptr_null(trip.u);
}
END_TEST

START_TEST(what_cryptod_refuses_is_told)
{
	static const struct {
		unsigned status;
		const char *told;
	} t[] = {
	    {CRYPTO_NOKEY, "there is no proxy authority, or it has ended: keyctl ca init"},
	    {CRYPTO_BUSY, "cryptod is busy"},
	    {CRYPTO_DENIED, "cryptod would not sign it"},
	    {CRYPTO_FAILED, "cryptod would not sign it"},
	    {CRYPTO_LOCKED, "the key store is locked: keyctl unlock"},
	};
	struct card junk = {.der = "\x30\x03junk", .n = 6};
	struct err e = {0};
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		ck_assert_int_eq(tls_server_ready(trip.r, &e), 0);
		trip_mint(&trip, "mail.test");
		answer(t[i].status, NULL);
		world_until(&trip.minted, (unsigned)i + 1);
		ck_assert_ptr_null(trip.cert);
		ck_assert_str_eq(trip.text, t[i].told);
	}
	/* While it is locked nobody need begin. */
	ck_assert_int_eq(tls_server_ready(trip.r, &e), -1);
	ck_assert_int_eq(e.code, EAGAIN);
	trip_mint(&trip, "mail.test");
	world_fail(M_mint_req, ETIMEDOUT);
	world_until(&trip.minted, (unsigned)i + 1);
	ck_assert_str_eq(trip.text, "Connection timed out");
	trip_mint(&trip, "mail.test");
	answer(CRYPTO_OK, &junk);
	world_until(&trip.minted, (unsigned)i + 2);
	ck_assert_ptr_null(trip.cert);
	world_refuses = true;
	trip_mint(&trip, "mail.test");
	world_until(&trip.minted, (unsigned)i + 3);
	ck_assert_str_eq(trip.text, "cryptod cannot be asked");
	world_refuses = false;
	/* None of that is remembered. */
	mint("mail.test", true);
}
END_TEST

static void
mint_number(unsigned i, bool anew)
{
	char name[40];

	(void)snprintf(name, sizeof name, "n%u.mail.test", i);
	mint(name, anew);
}

START_TEST(those_used_last_are_kept)
{
	unsigned i;

	for (i = 0; i < MANY; i++)
		mint_number(i, true);
	mint_number(0, false); /* which makes 1 the oldest */
	mint_number(MANY, true);
	mint_number(0, false);
	mint_number(1, true);
}
END_TEST

START_TEST(large_ones_are_fewer)
{
	char names[14000] = "DNS:mail.test", one[100];
	unsigned i;

	for (i = 0; i < 250; i++) {
		(void)snprintf(
		    one, sizeof one, ",DNS:n%u.abcdefghijklmnopqrstuvwxyz-abcdefghij.test", i);
		(void)strlcat(names, one, sizeof names);
	}
	card_free(&leaf);
	card_make(&leaf, "leaf", names, 86400, &proxy, NULL);
	ck_assert_uint_gt(leaf.n, 11000);
	for (i = 0; i < 400; i++)
		mint_number(i, true);
	mint_number(399, false);
	mint_number(200, false);
	mint_number(0, true);
}
END_TEST

START_TEST(after_a_while_and_near_their_end_they_are_made_anew)
{
	struct card brief;

	mint("mail.test", true);
	world_skip(14 * 60);
	mint("mail.test", false);
	world_skip(2 * 60);
	mint("mail.test", true);
	/* One of an authority that ends soon. */
	brief = leaf;
	card_make(&leaf, "leaf", LEAF_NAMES, 1800, &proxy, NULL);
	mint("a.mail.test", true);
	mint("a.mail.test", true);
	card_free(&leaf);
	leaf = brief;
}
END_TEST

/* --- a client that is shown it --- */

static unsigned hellos, shaken, failed;

static void
on_hello(struct conn *c, void *arg)
{
	(void)arg;
	hellos++;
	ck_assert_int_eq(conn_tls_use(c, trip.cert), 0);
}

static void
on_secured(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
	shaken++;
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	(void)c;
	(void)why;
	(void)text;
	(void)arg;
	failed++;
}

static const struct conn_handlers near_handlers = {
    .secured = on_secured, .closed = on_closed, .hello = on_hello};

START_TEST(when_cryptod_has_lost_their_key_all_are_forgotten)
{
	static const struct conn_limits limits = {.in_max = 4096, .out_max = 4096};
	struct tls_sign_rep rep = {.status = CRYPTO_NOKEY};
	struct conn_peer want = {.name = "mail.test", .verify = CONN_VERIFY_NONE};
	static const struct tls_options usual;
	struct conn *us, *them;
	struct ssl_ctx_st *ctx;
	struct err e = {0};
	int fds[2];

	mint("mail.test", true);
	mint("a.mail.test", true);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	us = conn_new(proc_env()->base, fds[0], &limits, &near_handlers, NULL);
	them = conn_new(proc_env()->base, fds[1], &limits, &near_handlers, NULL);
	ctx = tls_client_ctx(&usual, NULL, 0, "none", &e);
	ck_assert_int_eq(conn_start_tls(them, ctx, &want, &e), 0);
	ck_assert_msg(tls_server_accept(trip.r, us, &e) == 0, "%s", e.text);
	world_until(&hellos, 1);
	while (world_count(M_tls_sign_req) == 0)
		world_run(5);
	world_answer(M_tls_sign_req, &rep);
	world_until(&failed, 2);
	ck_assert_uint_eq(shaken, 0);
	mint("mail.test", true);
	mint("a.mail.test", true);
	conn_free(us);
	conn_free(them);
	tls_ctx_free(ctx);
}
END_TEST

Suite *
leaf_suite(void)
{
	return unit_suite_around("leaf", begin, end,
	    (const TTest *const[]){the_name_asked_for_comes_before_the_servers_own,
		who_is_not_verified_gets_the_untrusted_authority_and_no_others_leaf,
		several_who_want_the_same_ask_once, one_who_goes_may_take_others_along,
		what_cryptod_refuses_is_told, those_used_last_are_kept, large_ones_are_fewer,
		after_a_while_and_near_their_end_they_are_made_anew,
		when_cryptod_has_lost_their_key_all_are_forgotten, NULL});
}

Suite *
leaf_odd_suite(void)
{
	return unit_suite_around("leaf: odd names", begin_odd, end,
	    (const TTest *const[]){names_that_cryptod_would_refuse_are_left_out, NULL});
}

Suite *
leaf_many_suite(void)
{
	return unit_suite_around("leaf: many names", begin_many, end,
	    (const TTest *const[]){names_are_as_many_as_one_certificate_may_have, NULL});
}
