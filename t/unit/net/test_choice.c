/* Which certificate a client is shown, and which protocol is spoken. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "net/tls.h"
#include "t/unit/net/client.h"
#include "t/unit/unit.h"

Suite *choice_suite(void);

#define CERTS_MAX 8

/* Certificates of one authority, and contexts with them. */
static struct {
	struct pair ca, pairs[CERTS_MAX];
	struct tls_cert *certs[CERTS_MAX];
	size_t n;
} shop;

static void
begin(void)
{
	memset(&shop, 0, sizeof shop);
	shop.ca = make_cert("Test CA", NULL, 30, NULL);
}

static void
end(void)
{
	size_t i;

	for (i = 0; i < shop.n; i++) {
		tls_cert_free(shop.certs[i]);
		free_cert(&shop.pairs[i]);
	}
	free_cert(&shop.ca);
}

static struct tls_cert *
stock(EVP_PKEY *key, const char *cn, const char *names)
{
	size_t i = shop.n++;

	ck_assert_uint_lt(i, CERTS_MAX);
	shop.pairs[i] = make_cert_for(key, cn, names, 10, &shop.ca);
	shop.certs[i] = own_cert(&shop.pairs[i], NULL);
	return shop.certs[i];
}

static SSL_CTX *
open_shop(const struct tls_options *o)
{
	struct tls_server_options so = {
	    .o = *o, .certs = shop.certs, .ncerts = shop.n, .context = "x"};
	struct err e;
	SSL_CTX *ctx = tls_server_ctx(&so, &e);

	ck_assert_msg(ctx != NULL, "%s", e.text);
	return ctx;
}

/* How a client asks. */
struct ask {
	const char *name; /* NULL: none */
	bool no_name; /* not one of a host */
	int version; /* 0: any */
	const char *sigalgs, *groups, *ciphers;
};

static void
prepare(struct client *t, const struct ask *a)
{
	if (a->name != NULL)
		ck_assert_int_eq(SSL_set_tlsext_host_name(t->ssl, a->name), 1);
	if (a->version != 0) {
		SSL_set_min_proto_version(t->ssl, a->version);
		SSL_set_max_proto_version(t->ssl, a->version);
	}
	if (a->sigalgs != NULL)
		ck_assert_int_eq(SSL_set1_sigalgs_list(t->ssl, a->sigalgs), 1);
	if (a->groups != NULL)
		ck_assert_int_eq(SSL_set1_groups_list(t->ssl, a->groups), 1);
	if (a->ciphers != NULL)
		ck_assert_int_eq(SSL_set_cipher_list(t->ssl, a->ciphers), 1);
}

/* Which certificate, by its common name, whoever asks so gets; NULL: none. The caller frees it. */
static char *
gets(SSL_CTX *ctx, const struct ask *a)
{
	struct client t;
	struct owner o;
	struct err e;
	char *cn = NULL;

	owner_start(&o, &owner_limits, false);
	client_start(&t, &o, &shop.ca, NULL);
	prepare(&t, a);
	ck_assert_int_eq(conn_accept_tls(o.c, ctx, false, &e), 0);
	if (client_shake(&t, &o)) {
		cn = client_saw(&t);
		ck_assert_str_eq(
		    conn_tls_asked(o.c), a->name != NULL && !a->no_name ? a->name : "");
		ck_assert(!conn_tls_resumed(o.c));
	}
	owner_stop(&o);
	client_stop(&t);
	return cn;
}

static void
expect(SSL_CTX *ctx, const struct ask *a, const char *cn)
{
	char *got = gets(ctx, a);

	if (cn == NULL)
		ck_assert_msg(got == NULL, "%s: %s", a->name, got);
	else
		ck_assert_msg(got != NULL && strcmp(got, cn) == 0, "%s: %s", a->name, got);
	free(got);
}

START_TEST(of_several_certificates_the_one_for_the_name_is_shown)
{
	static const char *const names[][2] = {
	    {"a.example.org", "a"},
	    {"b.example.org", "b"},
	    {"also.b.example.org", "b"},
	    {"c.example.org", "c.example.org"}, /* a common name, for lack of others */
	    {"x.wild.example", "wild"},
	    {"x.y.wild.example", "a"}, /* a wildcard is one label */
	    {"wild.example", "a"},
	    {"own.wild.example", "own"}, /* and what is said in full comes first */
	    {"nobody.example", "a"},
	    {NULL, "a"},
	};
	static const char *const no_names[] = {
	    "192.0.2.1", "not_a_name!", "b..example.org", "b.example.org\n"};
	struct tls_options o = {0};
	struct ask ask = {0};
	SSL_CTX *ctx;
	size_t i;

	begin();
	(void)stock(EVP_EC_gen("P-256"), "a", "DNS:a.example.org");
	(void)stock(EVP_EC_gen("P-256"), "b", "DNS:B.example.org,DNS:also.b.example.org");
	(void)stock(EVP_EC_gen("P-256"), "c.example.org", NULL);
	(void)stock(EVP_EC_gen("P-256"), "own", "DNS:own.wild.example");
	(void)stock(EVP_EC_gen("P-256"), "wild", "DNS:*.wild.example");
	for (ask.version = TLS1_2_VERSION; ask.version <= TLS1_3_VERSION; ask.version++) {
		ctx = open_shop(&o);
		for (i = 0; i < sizeof names / sizeof names[0]; i++) {
			ask.name = names[i][0];
			ask.no_name = false;
			expect(ctx, &ask, names[i][1]);
		}
		for (i = 0; i < sizeof no_names / sizeof no_names[0]; i++) {
			ask.name = no_names[i];
			ask.no_name = true;
			expect(ctx, &ask, "a");
		}
		tls_ctx_free(ctx);
	}
	/* Asked for a second time, with another key share. */
	o.groups = "X25519";
	ctx = open_shop(&o);
	expect(ctx, &(struct ask){.name = "b.example.org", .groups = "P-256:X25519"}, "b");
	tls_ctx_free(ctx);
	end();
}
END_TEST

/* Of the same name: what a client can verify decides, and ECDSA comes first. */
START_TEST(rsa_and_ecdsa_stand_side_by_side)
{
	static const struct tls_options usual;
	static const struct {
		struct ask ask;
		const char *cn;
	} asks[] = {
	    {{.version = TLS1_3_VERSION}, "ec"},
	    {{.version = TLS1_2_VERSION}, "ec"},
	    {{.version = TLS1_3_VERSION, .sigalgs = "rsa_pss_rsae_sha256"}, "rsa"},
	    {{.version = TLS1_2_VERSION, .sigalgs = "RSA+SHA256"}, "rsa"},
	    {{.version = TLS1_3_VERSION, .sigalgs = "rsa_pss_rsae_sha256:ECDSA+SHA384"}, "ec"},
	    /* With TLS 1.2 a P-384 key could sign SHA-256, but nobody would do it for us. */
	    {{.version = TLS1_2_VERSION, .sigalgs = "ECDSA+SHA256:RSA+SHA256"}, "rsa"},
	    {{.version = TLS1_2_VERSION, .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"}, "rsa"},
	    {{.version = TLS1_3_VERSION, .sigalgs = "ECDSA+SHA256"}, NULL},
	    {{.version = TLS1_3_VERSION, .sigalgs = "ed25519:rsa_pss_rsae_sha512"}, "rsa"},
	};
	SSL_CTX *ctx;
	size_t i, k;
	struct ask a;
	int turn;

	for (turn = 0; turn < 2; turn++) {
		begin();
		if (turn == 0)
			(void)stock(EVP_EC_gen("P-384"), "ec", "DNS:m.example,DNS:*.m.example");
		(void)stock(rsa_key(), "rsa", "DNS:m.example,DNS:www.m.example,DNS:*.m.example");
		if (turn == 1)
			(void)stock(EVP_EC_gen("P-384"), "ec", "DNS:m.example,DNS:*.m.example");
		(void)stock(EVP_EC_gen("P-256"), "other", "DNS:other.example");
		(void)stock(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed", "DNS:other.example");
		ctx = open_shop(&usual);
		for (i = 0; i < sizeof asks / sizeof asks[0]; i++)
			for (k = 0; k < 3; k++) {
				a = asks[i].ask;
				a.name =
				    (const char *const[]){"m.example", "www.m.example", NULL}[k];
				expect(ctx, &a, asks[i].cn);
			}
		expect(ctx, &(struct ask){.name = "other.example"}, "other");
		expect(ctx,
		    &(struct ask){
			.name = "other.example", .sigalgs = "ed25519:ECDSA+SHA384:ECDSA+SHA256"},
		    "other");
		tls_ctx_free(ctx);
		end();
	}
}
END_TEST

START_TEST(an_ed25519_certificate_serves_who_knows_it)
{
	static const struct tls_options usual;
	SSL_CTX *ctx;

	begin();
	(void)stock(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed", "DNS:m.example");
	ck_assert_str_eq(tls_cert_kind(shop.certs[0]), "ed25519");
	ctx = open_shop(&usual);
	expect(ctx, &(struct ask){.name = "m.example", .version = TLS1_3_VERSION}, "ed");
	expect(ctx, &(struct ask){.name = "m.example", .version = TLS1_2_VERSION}, "ed");
	expect(ctx, &(struct ask){.name = "m.example", .sigalgs = "RSA+SHA256:ECDSA+SHA256"}, NULL);
	tls_ctx_free(ctx);
	end();
}
END_TEST

/* --- certificates that are found while the client waits --- */

START_TEST(a_context_without_certificates_asks_for_one)
{
	static const char *const groups[] = {NULL, "P-521:X25519"};
	struct tls_options o = {.groups = "X25519"};
	struct client t;
	struct owner own;
	struct err e;
	SSL_CTX *ctx;
	char *cn;
	int i;

	begin();
	(void)stock(EVP_EC_gen("P-256"), "p256", "DNS:m.example");
	(void)stock(EVP_EC_gen("P-384"), "p384", "DNS:m.example");
	(void)stock(rsa_key(), "rsa", "DNS:m.example");
	for (i = 0; i < 12; i++) {
		size_t n = shop.n;

		shop.n = 0;
		ctx = open_shop(&o);
		shop.n = n;
		owner_start(&own, &owner_limits, false);
		client_start(&t, &own, &shop.ca, NULL);
		prepare(&t, &(struct ask){.name = "Foreign.Example",
				.version = i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION,
				.groups = i % 2 == 0 ? groups[i / 2 % 2] : NULL});
		if (i >= 6)
			own.answer = shop.certs[i % 3];
		ck_assert_int_eq(conn_accept_tls(own.c, ctx, false, &e), 0);
		tls_ctx_free(ctx); /* a reload meanwhile */
		client_step(&t);
		ck_assert(owner_until(&own, &own.hello, 1, 20000));
		ck_assert_str_eq(own.asked, "foreign.example");
		if (i < 6) {
			owner_run(&own, 20);
			ck_assert_uint_eq(own.secured + own.closed, 0);
			ck_assert_int_eq(conn_tls_use(own.c, shop.certs[i % 3]), 0);
			ck_assert_int_eq(conn_tls_use(own.c, shop.certs[i % 3]), -1);
			ck_assert_int_eq(errno, EINVAL);
		}
		ck_assert_msg(client_shake(&t, &own), "%d: %s", i, own.text);
		ck_assert_uint_eq(own.hello, 1);
		ck_assert_str_eq(conn_tls_asked(own.c), "foreign.example");
		cn = client_saw(&t);
		ck_assert_str_eq(cn, ((const char *[]){"p256", "p384", "rsa"})[i % 3]);
		free(cn);
		owner_stop(&own);
		client_stop(&t);
	}
	end();
}
END_TEST

START_TEST(who_asks_for_a_name_that_is_refused_gets_an_alert)
{
	SSL_CTX *ctx = serving(NULL, NULL);
	struct client t;
	struct owner o;
	struct err e;

	begin();
	owner_start(&o, &owner_limits, false);
	client_start(&t, &o, &shop.ca, NULL);
	prepare(&t, &(struct ask){.name = "foreign.example"});
	ck_assert_int_eq(conn_tls_use(o.c, NULL), -1);
	ck_assert_int_eq(conn_accept_tls(o.c, ctx, false, &e), 0);
	client_step(&t);
	ck_assert(owner_until(&o, &o.hello, 1, 20000));
	ck_assert_int_eq(conn_tls_use(o.c, NULL), 0);
	ck_assert(!client_shake(&t, &o));
	ck_assert_int_eq(t.alert, SSL_AD_UNRECOGNIZED_NAME);
	ck_assert_int_eq(o.why, CONN_TLS_FAILED);
	ck_assert_str_eq(
	    o.text, "TLS handshake with the client: no certificate for foreign.example");
	owner_stop(&o);
	client_stop(&t);
	tls_ctx_free(ctx);
	end();
}
END_TEST

START_TEST(while_a_certificate_is_looked_for_deadlines_count_and_it_may_be_freed)
{
	SSL_CTX *ctx = serving(NULL, NULL);
	struct conn_limits l = owner_limits;
	struct client t;
	struct owner o;
	struct err e;
	int i;

	begin();
	l.idle_ms = 100;
	for (i = 0; i < 2; i++) {
		owner_start(&o, &l, false);
		client_start(&t, &o, &shop.ca, NULL);
		ck_assert_int_eq(conn_accept_tls(o.c, ctx, false, &e), 0);
		client_step(&t);
		ck_assert(owner_until(&o, &o.hello, 1, 20000));
		ck_assert_str_eq(o.asked, "");
		if (i == 0) {
			ck_assert(owner_until(&o, &o.closed, 1, 20000));
			ck_assert_int_eq(o.why, CONN_IDLE);
		}
		owner_stop(&o);
		client_stop(&t);
	}
	tls_ctx_free(ctx);
	end();
}
END_TEST

/* --- ALPN --- */

START_TEST(chooses_a_protocol_that_both_speak_or_none_goes_on)
{
	static const char *const ours[] = {"imap", "pop3"};
	static const struct {
		const char *wire;
		unsigned n;
		const char *want; /* NULL: refused */
	} asks[] = {
	    {"\4pop3", 5, "pop3"},
	    {"\4pop3\4imap", 10, "imap"},
	    {"\10http/1.1\4pop3", 14, "pop3"},
	    {"\10http/1.1", 9, NULL},
	    {"\3pop\5pop3s", 10, NULL},
	    {"", 0, ""},
	};
	struct tls_options o = {.alpn = ours, .nalpn = 2};
	const unsigned char *p;
	struct client t;
	struct owner own;
	struct err e;
	SSL_CTX *ctx;
	unsigned n;
	size_t i;
	int speaks;

	begin();
	(void)stock(EVP_EC_gen("P-256"), "m", "DNS:m.example");
	(void)stock(EVP_EC_gen("P-256"), "n", "DNS:n.example");
	for (speaks = 0; speaks < 2; speaks++) {
		o.nalpn = speaks ? 2 : 0;
		ctx = open_shop(&o);
		for (i = 0; i < sizeof asks / sizeof asks[0]; i++) {
			const char *want = speaks ? asks[i].want : "";

			owner_start(&own, &owner_limits, false);
			client_start(&t, &own, &shop.ca, NULL);
			prepare(&t, &(struct ask){.name = i % 2 == 0 ? "m.example" : "n.example"});
			if (asks[i].n > 0)
				SSL_set_alpn_protos(
				    t.ssl, (const unsigned char *)asks[i].wire, asks[i].n);
			ck_assert_int_eq(conn_accept_tls(own.c, ctx, false, &e), 0);
			ck_assert_int_eq(client_shake(&t, &own), want != NULL);
			SSL_get0_alpn_selected(t.ssl, &p, &n);
			if (want != NULL) {
				ck_assert_uint_eq(n, strlen(want));
				ck_assert_int_eq(
				    memcmp(p != NULL ? (const char *)p : "", want, n), 0);
			} else {
				ck_assert_int_eq(t.alert, SSL_AD_NO_APPLICATION_PROTOCOL);
				ck_assert_int_eq(own.why, CONN_TLS_FAILED);
			}
			owner_stop(&own);
			client_stop(&t);
		}
		tls_ctx_free(ctx);
	}
	end();
}
END_TEST

/* --- staples --- */

static void
gets_staple(SSL_CTX *ctx, const char *name, int version, bool asks, const char *want)
{
	const unsigned char *p = NULL;
	struct client t;
	struct owner o;
	struct err e;
	long n;

	owner_start(&o, &owner_limits, false);
	client_start(&t, &o, &shop.ca, NULL);
	prepare(&t, &(struct ask){.name = name, .version = version});
	if (asks)
		SSL_set_tlsext_status_type(t.ssl, TLSEXT_STATUSTYPE_ocsp);
	ck_assert_int_eq(conn_accept_tls(o.c, ctx, false, &e), 0);
	ck_assert_msg(client_shake(&t, &o), "%s", o.text);
	n = SSL_get_tlsext_status_ocsp_resp(t.ssl, &p);
	ck_assert_int_eq(n, want != NULL ? (long)strlen(want) : -1);
	if (want != NULL)
		ck_assert_mem_eq(p, want, n);
	owner_stop(&o);
	client_stop(&t);
}

START_TEST(staples_what_belongs_to_the_certificate_for_who_asks)
{
	static const struct tls_options usual;
	static uint8_t much[TLS_STAPLE_MAX + 1];
	SSL_CTX *ctx;
	int v;

	begin();
	(void)stock(EVP_EC_gen("P-256"), "m", "DNS:m.example");
	(void)stock(EVP_EC_gen("P-256"), "n", "DNS:n.example");
	ctx = open_shop(&usual);
	for (v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		gets_staple(ctx, "m.example", v, true, NULL);
		ck_assert_int_eq(tls_cert_staple(shop.certs[0], "first", 5), 0);
		ck_assert_int_eq(tls_cert_staple(shop.certs[1], "second", 6), 0);
		gets_staple(ctx, "m.example", v, true, "first");
		gets_staple(ctx, "n.example", v, true, "second");
		gets_staple(ctx, "n.example", v, false, NULL);
		ck_assert_int_eq(tls_cert_staple(shop.certs[0], "newer", 5), 0);
		gets_staple(ctx, NULL, v, true, "newer");
		ck_assert_int_eq(tls_cert_staple(shop.certs[0], NULL, 0), 0);
		gets_staple(ctx, "m.example", v, true, NULL);
	}
	ck_assert_int_eq(tls_cert_staple(shop.certs[0], much, sizeof much), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	tls_ctx_free(ctx);
	end();
}
END_TEST

/* --- clients that may show a certificate --- */

START_TEST(a_client_that_is_asked_may_have_none_but_no_bad_one)
{
	struct pair cca, good, bad;
	struct tls_server_options o = {
	    .auth = TLS_AUTH_ASK, .client_ca_name = "clients.pem", .context = ""};
	const struct pair *shown[3];
	struct client t;
	struct owner own;
	SSL_CTX *ctx;
	struct err e;
	char *pem;
	int i, v;

	begin();
	cca = make_cert("Client CA", NULL, 30, NULL);
	good = make_cert("x", "email:a@b", 10, &cca);
	bad = make_cert("x", "email:a@b", 10, &shop.ca);
	shown[0] = NULL;
	shown[1] = &good;
	shown[2] = &bad;
	(void)stock(EVP_EC_gen("P-256"), "m", "DNS:m.example");
	(void)stock(EVP_EC_gen("P-256"), "n", "DNS:n.example");
	pem = add_pem(NULL, &cca);
	o.certs = shop.certs;
	o.ncerts = 2;
	o.client_ca = pem;
	o.client_ca_n = strlen(pem);
	ck_assert_ptr_nonnull(ctx = tls_server_ctx(&o, &e));
	for (i = 0; i < 6; i++)
		for (v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
			owner_start(&own, &owner_limits, false);
			client_start(&t, &own, &shop.ca, shown[i % 3]);
			prepare(&t,
			    &(struct ask){.version = v, .name = i < 3 ? "m.example" : "n.example"});
			ck_assert_int_eq(conn_accept_tls(own.c, ctx, false, &e), 0);
			(void)client_shake(&t, &own);
			ck_assert_uint_eq(own.secured, i % 3 != 2);
			if (i % 3 == 0)
				ck_assert_ptr_null(conn_tls_client_addr(own.c, 0));
			else if (i % 3 == 1)
				ck_assert_str_eq(conn_tls_client_addr(own.c, 0), "a@b");
			else
				ck_assert_str_eq(own.text,
				    "certificate of the client: self-signed issuer, and not among "
				    "the trusted ones");
			owner_stop(&own);
			client_stop(&t);
		}
	tls_ctx_free(ctx);
	/* What is wrong with the authorities is said with their file. */
	o.client_ca = "";
	o.client_ca_n = 0;
	ck_assert_ptr_null(tls_server_ctx(&o, &e));
	ck_assert_str_eq(e.text, "clients.pem: there is no certificate in it (PEM is wanted)");
	free(pem);
	free_cert(&cca);
	free_cert(&good);
	free_cert(&bad);
	end();
}
END_TEST

Suite *
choice_suite(void)
{
	const TTest *const tests[] = {of_several_certificates_the_one_for_the_name_is_shown,
	    rsa_and_ecdsa_stand_side_by_side, an_ed25519_certificate_serves_who_knows_it,
	    a_context_without_certificates_asks_for_one,
	    who_asks_for_a_name_that_is_refused_gets_an_alert,
	    while_a_certificate_is_looked_for_deadlines_count_and_it_may_be_freed,
	    chooses_a_protocol_that_both_speak_or_none_goes_on,
	    staples_what_belongs_to_the_certificate_for_who_asks,
	    a_client_that_is_asked_may_have_none_but_no_bad_one, NULL};

	return unit_suite("choice", tests);
}
