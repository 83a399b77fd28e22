/* What we want of a server's certificate, and what we can say of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "net/tls.h"
#include "t/unit/net/certs.h"
#include "t/unit/net/owner.h"
#include "t/unit/unit.h"

Suite *verify_suite(void);

/* Both ends are connections: a server with a certificate, and a client of ours. */
static struct {
	struct pair ca, own;
	struct tls_cert *cert;
	SSL_CTX *server, *client;
	struct owner s, c;
} duo;

static void
begin(const char *names, long days)
{
	memset(&duo, 0, sizeof duo);
	duo.ca = make_cert("Test CA", NULL, 30, NULL);
	duo.own = make_cert("gw", names, days, &duo.ca);
	duo.cert = own_cert(&duo.own, &duo.ca);
	duo.server = serving(duo.cert, NULL);
	duo.client = trusting(&duo.ca);
}

static void
end(void)
{
	tls_ctx_free(duo.server);
	tls_ctx_free(duo.client);
	tls_cert_free(duo.cert);
	free_cert(&duo.own);
	free_cert(&duo.ca);
}

/* To be followed by part. */
static bool
shakes(const struct conn_peer *peer)
{
	uint64_t until = clock_ms() + 20000;
	struct err e;

	owner_start(&duo.s, &owner_limits, false);
	owner_join(&duo.c, &duo.s, &owner_limits);
	ck_assert_int_eq(conn_accept_tls(duo.s.c, duo.server, false, &e), 0);
	ck_assert_msg(conn_start_tls(duo.c.c, duo.client, peer, &e) == 0, "%s", e.text);
	while (duo.c.secured + duo.c.closed == 0 || duo.s.secured + duo.s.closed == 0) {
		ck_assert_uint_lt(clock_ms(), until);
		owner_run(&duo.s, 1);
	}
	return duo.c.secured == 1;
}

static void
part(void)
{
	owner_stop(&duo.c);
	owner_stop(&duo.s);
}

static void
accepts(const struct conn_peer *peer)
{
	struct conn_peer reports = *peer;

	reports.report = true;
	ck_assert_msg(shakes(peer), "%s", duo.c.text);
	ck_assert_ptr_null(conn_tls_bad(duo.c.c));
	part();
	ck_assert(shakes(&reports));
	ck_assert_ptr_null(conn_tls_bad(duo.c.c));
	part();
}

/* A bad certificate ends the handshake with this text, or it goes on and the text can be had. */
static void
refuses(const struct conn_peer *peer, const char *text)
{
	struct conn_peer reports = *peer;

	reports.report = true;
	ck_assert(!shakes(peer));
	ck_assert_int_eq(duo.c.why, CONN_TLS_FAILED);
	ck_assert_msg(strncmp(duo.c.text, text, strlen(text)) == 0, "%s", duo.c.text);
	ck_assert_ptr_null(conn_tls_bad(duo.c.c));
	part();
	ck_assert_msg(shakes(&reports), "%s", duo.c.text);
	ck_assert_ptr_nonnull(conn_tls_bad(duo.c.c));
	ck_assert_msg(
	    strncmp(conn_tls_bad(duo.c.c), text, strlen(text)) == 0, "%s", conn_tls_bad(duo.c.c));
	part();
}

static void
cannot_start(const struct conn_peer *peer, const char *text)
{
	struct owner o;
	struct err e;

	owner_start(&o, &owner_limits, false);
	ck_assert_int_eq(conn_start_tls(o.c, duo.client, peer, &e), -1);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_msg(strstr(e.text, text) != NULL, "%s", e.text);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	owner_stop(&o);
}

/* --- names --- */

START_TEST(another_name_can_be_expected_than_is_asked_for)
{
	struct conn_peer p = peer_ca("mail.example.org");

	begin("DNS:internal.example,IP:192.0.2.7", 10);
	refuses(&p, "certificate of mail.example.org: name does not match: seen internal.example, "
		    "192.0.2.7");
	p.expected = "internal.example";
	ck_assert(shakes(&p));
	ck_assert_str_eq(conn_tls_asked(duo.s.c), "mail.example.org");
	part();
	p.expected = "192.0.2.7";
	accepts(&p);
	p.expected = "192.0.2.8";
	refuses(&p, "certificate of mail.example.org: name does not match: seen ");
	p.expected = NULL;
	p.also = "other.example";
	refuses(&p, "certificate of mail.example.org: name does not match: seen ");
	p.also = "internal.example";
	accepts(&p);
	p.name = "internal.example";
	p.also = "mail.example.org";
	accepts(&p);
	p.also = NULL;
	p.name = "192.0.2.7";
	ck_assert(shakes(&p));
	ck_assert_str_eq(conn_tls_asked(duo.s.c), "");
	part();
	p.expected = "";
	cannot_start(&p, "1 to 255 octets");
	p.expected = NULL;
	p.also = "";
	cannot_start(&p, "1 to 255 octets");
	end();
}
END_TEST

START_TEST(a_bad_certificate_can_be_reported_instead_of_refused)
{
	struct conn_peer p = peer_ca("m.example");
	struct pair other = make_cert("Other CA", NULL, 30, NULL);

	begin("DNS:m.example", -3);
	refuses(&p, "certificate of m.example: expired on ");
	end();
	begin("DNS:m.example", 10);
	tls_ctx_free(duo.client);
	duo.client = trusting(&other);
	refuses(&p, "certificate of m.example: self-signed issuer, and not among the trusted ones");
	p.verify = CONN_VERIFY_NONE;
	accepts(&p);
	end();
	free_cert(&other);
}
END_TEST

/* --- fingerprints --- */

static void
print_cert(const struct pair *p, uint8_t out[32])
{
	ck_assert_int_eq(X509_digest(p->cert, EVP_sha256(), out, NULL), 1);
}

static void
print_key(const struct pair *p, uint8_t out[32])
{
	uint8_t *der = NULL;
	int n = i2d_PUBKEY(p->key, &der);

	ck_assert_int_gt(n, 0);
	SHA256(der, (size_t)n, out);
	OPENSSL_free(der);
}

START_TEST(a_fingerprint_is_of_the_certificate_or_of_its_key)
{
	uint8_t prints[3][32] = {{1}, {2}, {3}};
	struct conn_peer p = {.name = "m.example",
	    .verify = CONN_VERIFY_FINGERPRINT,
	    .prints = (const uint8_t(*)[32])prints,
	    .nprints = 3};

	/* Nothing else about it matters. */
	begin("DNS:elsewhere.example", -3);
	refuses(&p, "certificate of m.example: neither its fingerprint nor that of its key is ");
	print_cert(&duo.own, prints[1]);
	accepts(&p);
	p.nprints = 1;
	refuses(&p, "certificate of m.example: neither ");
	print_key(&duo.own, prints[0]);
	accepts(&p);
	prints[0][31] ^= 1;
	refuses(&p, "certificate of m.example: neither ");
	/* The authority's own is not the server's. */
	print_cert(&duo.ca, prints[0]);
	refuses(&p, "certificate of m.example: neither ");
	p.nprints = 0;
	cannot_start(&p, "fingerprints");
	end();
}
END_TEST

/* --- DANE --- */

static struct conn_tlsa
record(uint8_t usage, uint8_t selector, const struct pair *p, uint8_t digest[32])
{
	if (selector == 0)
		print_cert(p, digest);
	else
		print_key(p, digest);
	return (struct conn_tlsa){usage, selector, 1, digest, 32};
}

START_TEST(dane_ee_pins_the_certificate_whatever_its_names_and_dates)
{
	uint8_t digest[3][32] = {{0}};
	struct conn_tlsa r[2];
	struct conn_peer p = {
	    .name = "m.example", .verify = CONN_VERIFY_DANE, .tlsa = r, .ntlsa = 1};
	uint8_t *whole = NULL;
	int n;

	begin("DNS:elsewhere.example", -3);
	r[0] = record(3, 0, &duo.own, digest[0]);
	accepts(&p);
	r[0] = record(3, 1, &duo.own, digest[0]);
	accepts(&p);
	r[0] = (struct conn_tlsa){3, 1, 1, digest[1], 32};
	refuses(&p, "certificate of m.example: it fits none of the TLSA records in DNS");
	/* One that fits is enough. */
	p.ntlsa = 2;
	r[1] = record(3, 1, &duo.own, digest[0]);
	accepts(&p);
	/* The whole certificate, and what cannot be used beside it. */
	ck_assert_int_gt(n = i2d_X509(duo.own.cert, &whole), 0);
	r[0] = (struct conn_tlsa){3, 0, 0, whole, (size_t)n};
	r[1] = (struct conn_tlsa){9, 9, 9, whole, 3};
	accepts(&p);
	OPENSSL_free(whole);
	end();
}
END_TEST

START_TEST(dane_ta_wants_the_authority_and_the_name)
{
	uint8_t digest[32];
	struct conn_tlsa r;
	struct conn_peer p = {
	    .name = "m.example", .verify = CONN_VERIFY_DANE, .tlsa = &r, .ntlsa = 1};
	struct pair other = make_cert("Other CA", NULL, 30, NULL);

	begin("DNS:m.example", 10);
	/* The trusted ones do not matter. */
	tls_ctx_free(duo.client);
	duo.client = trusting(&other);
	r = record(2, 0, &duo.ca, digest);
	accepts(&p);
	r = record(2, 1, &duo.ca, digest);
	accepts(&p);
	r = record(2, 0, &other, digest);
	refuses(&p, "certificate of m.example: it fits none of the TLSA records in DNS");
	end();

	begin("DNS:elsewhere.example", 10);
	r = record(2, 0, &duo.ca, digest);
	refuses(&p, "certificate of m.example: name does not match: seen elsewhere.example");
	p.expected = "elsewhere.example";
	accepts(&p);
	p.expected = NULL;
	p.also = "elsewhere.example";
	accepts(&p);
	p.also = "other.example";
	refuses(&p, "certificate of m.example: name does not match: seen elsewhere.example");
	p.also = NULL;
	end();

	begin("DNS:m.example", -3);
	r = record(2, 0, &duo.ca, digest);
	refuses(&p, "certificate of m.example: expired on ");
	end();
	free_cert(&other);
}
END_TEST

START_TEST(dane_without_a_record_that_can_be_used_does_not_begin)
{
	static const uint8_t junk[64];
	struct conn_tlsa r[6] = {{0, 0, 1, junk, 32}, {1, 1, 1, junk, 32}, {3, 1, 1, junk, 31},
	    {3, 7, 1, junk, 32}, {3, 0, 0, junk, 64}, {2, 1, 0, junk, 0}};
	struct conn_peer p = {
	    .name = "m.example", .verify = CONN_VERIFY_DANE, .tlsa = r, .ntlsa = 6};
	size_t i;

	begin("DNS:m.example", 10);
	for (i = 0; i < 6; i++) {
		p.tlsa = r + i;
		p.ntlsa = 1;
		cannot_start(&p, "m.example: no TLSA record that can be used");
	}
	p.ntlsa = 0;
	cannot_start(&p, "m.example: no TLSA record that can be used");
	p.tlsa = r;
	p.ntlsa = 6;
	cannot_start(&p, "m.example: no TLSA record that can be used");
	p.name = "192.0.2.1";
	cannot_start(&p, "an address has no TLSA records");
	end();
}
END_TEST

/* --- what the server showed --- */

static void
is_der_of(unsigned i, const struct pair *p)
{
	const uint8_t *got;
	uint8_t *der = NULL;
	size_t n;
	int len;

	got = conn_tls_peer_der(duo.c.c, i, &n);
	if (p == NULL) {
		ck_assert_ptr_null(got);
		return;
	}
	ck_assert_ptr_nonnull(got);
	ck_assert_int_gt(len = i2d_X509(p->cert, &der), 0);
	ck_assert_uint_eq(n, (size_t)len);
	ck_assert_mem_eq(got, der, n);
	OPENSSL_free(der);
}

START_TEST(gives_the_certificate_and_what_stands_behind_it)
{
	struct conn_peer p = peer_ca("m.example");
	struct tls_cert *alone;
	struct owner o;
	size_t n;

	begin("DNS:m.example", 10);
	alone = own_cert(&duo.own, NULL);
	tls_ctx_free(duo.server);
	duo.server = serving(alone, NULL);
	/* The authority was not sent, but found. */
	ck_assert(shakes(&p));
	is_der_of(0, &duo.own);
	is_der_of(1, &duo.ca);
	is_der_of(2, NULL);
	is_der_of(0, &duo.own);
	is_der_of(100, NULL);
	ck_assert_ptr_null(conn_tls_peer_der(duo.s.c, 0, &n));
	ck_assert_ptr_null(conn_tls_bad(duo.s.c));
	part();
	p.verify = CONN_VERIFY_NONE;
	ck_assert(shakes(&p));
	is_der_of(0, &duo.own);
	is_der_of(1, NULL);
	part();
	/* Sent, and not to be believed. */
	tls_ctx_free(duo.server);
	duo.server = serving(duo.cert, NULL);
	p = peer_ca("n.example");
	p.report = true;
	ck_assert(shakes(&p));
	ck_assert_ptr_nonnull(conn_tls_bad(duo.c.c));
	is_der_of(0, &duo.own);
	is_der_of(1, &duo.ca);
	is_der_of(2, NULL);
	part();
	/* Before there is a certificate there is nothing. */
	owner_start(&o, &owner_limits, false);
	ck_assert_ptr_null(conn_tls_peer_der(o.c, 0, &n));
	ck_assert_ptr_null(conn_tls_alt_name(o.c, 0));
	ck_assert_ptr_null(conn_tls_stapled(o.c, &n));
	ck_assert_ptr_null(conn_tls_bad(o.c));
	ck_assert_str_eq(conn_tls_asked(o.c), "");
	ck_assert(!conn_tls_resumed(o.c));
	owner_stop(&o);
	tls_cert_free(alone);
	end();
}
END_TEST

START_TEST(gives_the_names_that_are_names)
{
	static const char *const want[] = {"mail.example.org", "*.example.org", "192.0.2.1",
	    "2001:db8::1", "xn--bcher-kva.example"};
	struct conn_peer p = {.name = "m.example"};
	unsigned i;

	begin("DNS:Mail.example.org,DNS:*.Example.org,email:a@b,IP:192.0.2.1,IP:2001:db8::1,"
	      "DNS:a b.example,DNS:evil\t.example,DNS:*.*.example,DNS:m*.example,"
	      "DNS:under_score.example,DNS:192.0.2.9,DNS:-x.example,URI:http://x.example,"
	      "DNS:xn--bcher-kva.example.",
	    10);
	ck_assert(shakes(&p));
	for (i = 0; i < 5; i++)
		ck_assert_str_eq(conn_tls_alt_name(duo.c.c, i), want[i]);
	ck_assert_ptr_null(conn_tls_alt_name(duo.c.c, i));
	ck_assert_ptr_null(conn_tls_alt_name(duo.c.c, 100000));
	ck_assert_ptr_null(conn_tls_alt_name(duo.s.c, 0));
	part();
	end();
	/* One without names. */
	begin(NULL, 10);
	ck_assert(shakes(&p));
	ck_assert_ptr_null(conn_tls_alt_name(duo.c.c, 0));
	part();
	end();
}
END_TEST

START_TEST(the_names_of_one_certificate_are_bounded)
{
	struct conn_peer p = {.name = "m.example"};
	char *names = strdup("DNS:x0.example"), *more;
	int i;

	for (i = 1; i < 150; i++) {
		ck_assert_int_ne(asprintf(&more, "%s,DNS:x%d.example", names, i), -1);
		free(names);
		names = more;
	}
	begin(names, 10);
	ck_assert(shakes(&p));
	ck_assert_str_eq(conn_tls_alt_name(duo.c.c, 99), "x99.example");
	ck_assert_ptr_null(conn_tls_alt_name(duo.c.c, 100));
	part();
	end();
	free(names);
}
END_TEST

START_TEST(gives_what_was_stapled_if_it_was_asked_for)
{
	struct conn_peer p = peer_ca("m.example");
	const uint8_t *got;
	size_t n;

	begin("DNS:m.example", 10);
	ck_assert_int_eq(tls_cert_staple(duo.cert, "response", 8), 0);
	ck_assert(shakes(&p));
	ck_assert_ptr_null(conn_tls_stapled(duo.c.c, &n));
	part();
	p.staple = true;
	ck_assert(shakes(&p));
	ck_assert_ptr_nonnull(got = conn_tls_stapled(duo.c.c, &n));
	ck_assert_uint_eq(n, 8);
	ck_assert_mem_eq(got, "response", 8);
	ck_assert_ptr_null(conn_tls_stapled(duo.s.c, &n));
	part();
	ck_assert_int_eq(tls_cert_staple(duo.cert, NULL, 0), 0);
	ck_assert(shakes(&p));
	ck_assert_ptr_null(conn_tls_stapled(duo.c.c, &n));
	part();
	end();
}
END_TEST

/* --- ALPN --- */

static int
choose_anything(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
    unsigned n, void *arg)
{
	(void)ssl;
	(void)in;
	(void)n;
	*out = arg;
	*outlen = (unsigned char)strlen(arg);
	return SSL_TLSEXT_ERR_OK;
}

START_TEST(a_server_must_choose_a_protocol_that_was_offered)
{
	static const char *const ours[] = {"pop3", "imap"};
	static const struct tls_options o = {.alpn = ours, .nalpn = 2};
	struct conn_peer p = peer_ca("m.example");

	begin("DNS:m.example", 10);
	tls_ctx_free(duo.client);
	duo.client = trusting_with(&o, &duo.ca);
	accepts(&p); /* it may not know of ALPN */
	SSL_CTX_set_alpn_select_cb(duo.server, choose_anything, (void *)(uintptr_t) "imap");
	accepts(&p);
	SSL_CTX_set_alpn_select_cb(duo.server, choose_anything, (void *)(uintptr_t) "http/1.1");
	ck_assert(!shakes(&p));
	ck_assert_int_eq(duo.c.why, CONN_TLS_FAILED);
	ck_assert_ptr_nonnull(strstr(duo.c.text, "TLS handshake with m.example: "));
	part();
	end();
}
END_TEST

Suite *
verify_suite(void)
{
	const TTest *const tests[] = {another_name_can_be_expected_than_is_asked_for,
	    a_bad_certificate_can_be_reported_instead_of_refused,
	    a_fingerprint_is_of_the_certificate_or_of_its_key,
	    dane_ee_pins_the_certificate_whatever_its_names_and_dates,
	    dane_ta_wants_the_authority_and_the_name,
	    dane_without_a_record_that_can_be_used_does_not_begin,
	    gives_the_certificate_and_what_stands_behind_it, gives_the_names_that_are_names,
	    the_names_of_one_certificate_are_bounded, gives_what_was_stapled_if_it_was_asked_for,
	    a_server_must_choose_a_protocol_that_was_offered, NULL};

	return unit_suite("verify", tests);
}
