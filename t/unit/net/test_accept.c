#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "net/conn_int.h"
#include "net/tls.h"
#include "t/unit/net/client.h"
#include "t/unit/unit.h"

Suite *accept_suite(void);

/* What a server of ours needs: authority, certificate, context. */
struct site {
	struct pair ca, own;
	SSL_CTX *ctx;
};

static void
site_start(struct site *s, const struct pair *client_ca)
{
	struct tls_cert *c;

	s->ca = make_cert("Test CA", NULL, 30, NULL);
	s->own = make_cert("gw", "DNS:gw.example.org", 10, &s->ca);
	c = own_cert(&s->own, NULL);
	s->ctx = serving(c, client_ca);
	tls_cert_free(c);
}

static void
site_stop(struct site *s)
{
	tls_ctx_free(s->ctx);
	free_cert(&s->ca);
	free_cert(&s->own);
}

static void
until(struct owner *o, const bool *a)
{
	uint64_t end = clock_ms() + 20000;

	while (!*a) {
		ck_assert_uint_lt(clock_ms(), end);
		owner_run(o, 2);
	}
}

static void
until_shaken(struct owner *o)
{
	uint64_t end = clock_ms() + 20000;

	while (o->secured == 0 && o->closed == 0) {
		ck_assert_uint_lt(clock_ms(), end);
		owner_run(o, 2);
	}
}

/* --- STARTTLS --- */

START_TEST(discards_what_came_in_clear_behind_starttls)
{
	struct owner o;
	struct client t;
	struct site s;
	struct err e;
	char in[64];
	size_t n;

	site_start(&s, NULL);
	owner_start(&o, &owner_limits, true);
	o.keep = true;
	owner_say(&o, "STARTTLS\r\nMAIL FROM:<a@example>\r\n", 33);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	conn_consume(o.c, 10);
	ck_assert_int_eq(conn_puts(o.c, "220 go\r\n"), 0);
	/* Not all of it has been read yet. */
	ck_assert_int_eq(send(o.peer, "RCPT TO:<b@example>\r\n", 21, MSG_NOSIGNAL), 21);
	ck_assert_int_eq(conn_accept_tls(o.c, s.ctx, false, &e), -1);
	ck_assert_int_eq(e.code, EPROTO);
	ck_assert_int_eq(conn_accept_tls(o.c, s.ctx, true, &e), 0);
	ck_assert_int_eq(conn_accept_tls(o.c, s.ctx, true, &e), -1);
	ck_assert_int_eq(e.code, EALREADY);
	ck_assert_uint_eq(owner_hear(&o, in, 8), 8);
	ck_assert_mem_eq(in, "220 go\r\n", 8);

	client_start(&t, &o, &s.ca, NULL);
	client_step(&t);
	until(&o, &t.up);
	ck_assert(owner_until(&o, &o.secured, 1, 5000));
	(void)conn_in(o.c, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(o.readable, 1);
	ck_assert_int_eq(SSL_write(t.ssl, "EHLO x\r\n", 8), 8);
	ck_assert(owner_until(&o, &o.readable, 2, 5000));
	ck_assert_mem_eq(conn_in(o.c, &n), "EHLO x\r\n", 8);
	ck_assert_uint_eq(n, 8);
	ck_assert_int_eq(conn_puts(o.c, "250 gw\r\n"), 0);
	while (t.n < 8)
		owner_run(&o, 2);
	ck_assert_mem_eq(t.got, "250 gw\r\n", 8);
	owner_stop(&o);
	client_stop(&t);
	site_stop(&s);
}
END_TEST

static SSL_CTX *starttls_ctx;

/* As the proxies do it: the command, and what came behind it, are still being shown. */
static void
starttls_in_hand(struct owner *o)
{
	struct err e;
	size_t n;

	o->on_read = NULL;
	conn_consume(o->c, 10);
	ck_assert_int_eq(conn_puts(o->c, "220 go\r\n"), 0);
	ck_assert_int_eq(conn_accept_tls(o->c, starttls_ctx, false, &e), -1);
	ck_assert_int_eq(e.code, EPROTO);
	ck_assert_int_eq(conn_accept_tls(o->c, starttls_ctx, true, &e), 0);
	(void)conn_in(o->c, &n);
	ck_assert_uint_eq(n, 0);
}

START_TEST(discards_it_within_readable_too)
{
	struct owner o;
	struct client t;
	struct site s;
	char in[8];
	size_t n;

	site_start(&s, NULL);
	starttls_ctx = s.ctx;
	owner_start(&o, &owner_limits, true);
	o.keep = true;
	o.on_read = starttls_in_hand;
	owner_say(&o, "STARTTLS\r\nMAIL FROM:<a@example>\r\n", 33);
	ck_assert_uint_eq(owner_hear(&o, in, 8), 8);
	client_start(&t, &o, &s.ca, NULL);
	client_step(&t);
	until(&o, &t.up);
	ck_assert(owner_until(&o, &o.secured, 1, 5000));
	ck_assert_uint_eq(o.readable, 1);
	ck_assert_int_eq(SSL_write(t.ssl, "EHLO x\r\n", 8), 8);
	ck_assert(owner_until(&o, &o.readable, 2, 5000));
	ck_assert_mem_eq(conn_in(o.c, &n), "EHLO x\r\n", 8);
	ck_assert_uint_eq(n, 8);
	owner_stop(&o);
	client_stop(&t);
	site_stop(&s);
}
END_TEST

START_TEST(rubbish_instead_of_a_handshake_ends_the_connection)
{
	struct owner o;
	struct site s;
	struct err e;

	site_start(&s, NULL);
	owner_start(&o, &owner_limits, false);
	ck_assert_int_eq(conn_accept_tls(o.c, s.ctx, true, &e), 0);
	owner_say(&o, "EHLO client.example\r\n", 21);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_TLS_FAILED);
	ck_assert_ptr_nonnull(strstr(o.text, "TLS handshake with the client: "));
	ck_assert_uint_eq(o.readable + o.secured, 0);
	owner_stop(&o);
	site_stop(&s);
}
END_TEST

/* --- what is offered --- */

static void
offers(struct site *s, int version, const char *ciphers, const char *want)
{
	struct owner o;
	struct client t;
	struct err e;

	owner_start(&o, &owner_limits, false);
	client_start(&t, &o, &s->ca, NULL);
	SSL_set_security_level(t.ssl, 0);
	SSL_set_min_proto_version(t.ssl, version);
	SSL_set_max_proto_version(t.ssl, version);
	if (ciphers != NULL)
		ck_assert_int_eq(SSL_set_cipher_list(t.ssl, ciphers), 1);
	ck_assert_int_eq(conn_accept_tls(o.c, s->ctx, false, &e), 0);
	client_step(&t);
	until_shaken(&o);
	if (want == NULL) {
		ck_assert_int_eq(o.why, CONN_TLS_FAILED);
		ck_assert_uint_eq(o.secured, 0);
	} else {
		ck_assert_msg(o.secured == 1, "%s", o.text);
		ck_assert_str_eq(conn_tls_text(o.c), want);
		until(&o, &t.up);
		/* Nothing that a later session could be resumed with. */
		owner_run(&o, 10);
		ck_assert_int_eq(SSL_SESSION_has_ticket(SSL_get0_session(t.ssl)), 0);
		ck_assert_int_eq(SSL_SESSION_is_resumable(SSL_get0_session(t.ssl)), 0);
	}
	owner_stop(&o);
	client_stop(&t);
}

START_TEST(offers_forward_secrecy_and_nothing_old)
{
	struct site s;

	site_start(&s, NULL);
	offers(
	    &s, TLS1_3_VERSION, NULL, "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)");
	offers(&s, TLS1_2_VERSION, NULL,
	    "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)");
	/* Ours is the order... */
	offers(&s, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
	    "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)");
	/* ...but for a client without AES in hardware. */
	offers(&s, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384",
	    "TLSv1.2 with cipher ECDHE-ECDSA-CHACHA20-POLY1305 (256/256 bits)");
	offers(&s, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", NULL); /* CBC */
	offers(&s, TLS1_2_VERSION, "ECDHE-ECDSA-NULL-SHA", NULL);
	offers(&s, TLS1_1_VERSION, NULL, NULL);
	site_stop(&s);
}
END_TEST

START_TEST(a_client_cannot_shake_hands_again_within_tls_1_2)
{
	struct owner o;
	struct client t;
	struct site s;
	struct err e;

	site_start(&s, NULL);
	owner_start(&o, &owner_limits, false);
	client_start(&t, &o, &s.ca, NULL);
	SSL_set_max_proto_version(t.ssl, TLS1_2_VERSION);
	ck_assert_int_eq(conn_accept_tls(o.c, s.ctx, false, &e), 0);
	client_step(&t);
	until(&o, &t.up);
	ck_assert_int_eq(SSL_renegotiate(t.ssl), 1);
	t.up = false;
	client_step(&t);
	while (t.failed == 0 && o.closed == 0)
		owner_run(&o, 2);
	ck_assert(!t.up);
	ck_assert_uint_eq(o.secured, 1);
	owner_stop(&o);
	client_stop(&t);
	site_stop(&s);
}
END_TEST

/* --- certificates of clients --- */

/* One handshake in which the client shows own; the connection's addresses are left in o.c. */
static bool
show(struct owner *o, struct client *t, struct site *s, const struct pair *own, int version)
{
	struct err e;

	owner_start(o, &owner_limits, false);
	client_start(t, o, &s->ca, own);
	SSL_set_max_proto_version(t->ssl, version);
	ck_assert_int_eq(conn_accept_tls(o->c, s->ctx, false, &e), 0);
	client_step(t);
	until_shaken(o);
	return o->secured == 1;
}

START_TEST(gives_the_addresses_of_a_verified_client_certificate)
{
	static const struct {
		const char *names, *addrs[4];
	} good[] = {
	    {"email:alice@example.org", {"alice@example.org", NULL}},
	    {"email:alice@example.org,DNS:host.example.org,email:a.l+x@sub.example.org,"
	     "URI:mailto:mallory@example.org",
		{"alice@example.org", "a.l+x@sub.example.org", NULL}},
	    {"DNS:alice.example.org", {NULL}},
	    {NULL, {NULL}},
	    /* What is no address is passed over. */
	    {"email:alice example.org,email:al ice@example.org,email:@example.org,email:alice@,"
	     "email:a@b@c,email:<alice@example.org>,email:\"a\"@example.org,email:bob@example.org",
		{"bob@example.org", NULL}},
	};
	struct pair ca = make_cert("Client CA", NULL, 30, NULL), own;
	struct owner o;
	struct client t;
	struct site s;
	unsigned k;
	size_t i;
	int v;

	site_start(&s, &ca);
	for (i = 0; i < sizeof good / sizeof good[0]; i++)
		for (v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
			own = make_cert("alice@cn.example", good[i].names, 10, &ca);
			ck_assert_msg(show(&o, &t, &s, &own, v), "%zu: %s", i, o.text);
			for (k = 0; good[i].addrs[k] != NULL; k++)
				ck_assert_str_eq(conn_tls_client_addr(o.c, k), good[i].addrs[k]);
			ck_assert_ptr_null(conn_tls_client_addr(o.c, k));
			owner_stop(&o);
			client_stop(&t);
			free_cert(&own);
		}
	site_stop(&s);
	free_cert(&ca);
}
END_TEST

/* A name with octets of one's own choice. */
static void
add_email(struct pair *p, const struct pair *ca, const char *const *names, const size_t *sizes)
{
	GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *g;

	for (; *names != NULL; names++, sizes++) {
		g = GENERAL_NAME_new();
		g->type = GEN_EMAIL;
		g->d.rfc822Name = ASN1_IA5STRING_new();
		ASN1_STRING_set(g->d.rfc822Name, *names, (int)*sizes);
		sk_GENERAL_NAME_push(all, g);
	}
	ck_assert_int_eq(X509_add1_ext_i2d(p->cert, NID_subject_alt_name, all, 0, 0), 1);
	ck_assert_int_gt(X509_sign(p->cert, ca->key, EVP_sha256()), 0);
	GENERAL_NAMES_free(all);
}

START_TEST(an_address_with_a_nul_or_other_controls_is_none)
{
	static const char *const names[] = {"alice@example.org\0.evil.example", "\0", "",
	    "alice@example.org\r\n", "al\xc3\xafs@example.org", "alice@example.org\0", "x@y", NULL};
	static const size_t sizes[] = {31, 1, 0, 19, 17, 18, 3};
	struct pair ca = make_cert("Client CA", NULL, 30, NULL);
	struct pair own = make_cert("x", NULL, 10, &ca);
	struct owner o;
	struct client t;
	struct site s;

	site_start(&s, &ca);
	add_email(&own, &ca, names, sizes);
	ck_assert_msg(show(&o, &t, &s, &own, TLS1_3_VERSION), "%s", o.text);
	ck_assert_str_eq(conn_tls_client_addr(o.c, 0), "x@y");
	ck_assert_ptr_null(conn_tls_client_addr(o.c, 1));
	owner_stop(&o);
	client_stop(&t);
	free_cert(&own);
	free_cert(&ca);
	site_stop(&s);
}
END_TEST

START_TEST(the_addresses_of_one_certificate_are_bounded)
{
	static char text[100][12];
	const char *names[101] = {NULL};
	struct pair ca = make_cert("Client CA", NULL, 30, NULL);
	struct pair own = make_cert("x", NULL, 10, &ca);
	size_t sizes[100], i;
	struct owner o;
	struct client t;
	struct site s;

	for (i = 0; i < 100; i++) {
		sizes[i] = (size_t)snprintf(text[i], sizeof text[i], "a%zu@b", i);
		names[i] = text[i];
	}
	site_start(&s, &ca);
	add_email(&own, &ca, names, sizes);
	ck_assert_msg(show(&o, &t, &s, &own, TLS1_3_VERSION), "%s", o.text);
	ck_assert_str_eq(conn_tls_client_addr(o.c, 31), "a31@b");
	ck_assert_ptr_null(conn_tls_client_addr(o.c, 32));
	owner_stop(&o);
	client_stop(&t);
	free_cert(&own);
	free_cert(&ca);
	site_stop(&s);
}
END_TEST

START_TEST(refuses_clients_without_a_good_certificate_where_one_is_wanted)
{
	struct pair ca = make_cert("Client CA", NULL, 30, NULL);
	struct pair other = make_cert("Other CA", NULL, 30, NULL);
	struct {
		struct pair p;
		const char *text;
	} bad[] = {
	    {make_cert("x", "email:a@b", 10, &other),
		"certificate of the client: its issuer is not among the trusted ones"},
	    {make_cert("x", "email:a@b", -3, &ca), "certificate of the client: expired on "},
	    {make_cert("x", "email:a@b", 10, NULL),
		"certificate of the client: self-signed, and not among the trusted ones"},
	};
	struct owner o;
	struct client t;
	struct site s;
	size_t i;
	int v;

	site_start(&s, &ca);
	for (v = TLS1_2_VERSION; v <= TLS1_3_VERSION; v++) {
		for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			ck_assert(!show(&o, &t, &s, &bad[i].p, v));
			ck_assert_int_eq(o.why, CONN_TLS_FAILED);
			ck_assert_msg(
			    strncmp(o.text, bad[i].text, strlen(bad[i].text)) == 0, "%s", o.text);
			ck_assert_ptr_null(conn_tls_client_addr(o.c, 0));
			owner_stop(&o);
			client_stop(&t);
		}
		ck_assert(!show(&o, &t, &s, NULL, v));
		ck_assert_msg(strstr(o.text, "did not return a certificate") != NULL, "%s", o.text);
		owner_stop(&o);
		client_stop(&t);
	}
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		free_cert(&bad[i].p);
	site_stop(&s);
	free_cert(&ca);
	free_cert(&other);
}
END_TEST

START_TEST(a_certificate_that_nobody_asked_for_gives_no_address)
{
	struct pair ca = make_cert("Client CA", NULL, 30, NULL);
	struct pair own = make_cert("x", "email:a@b", 10, &ca);
	struct owner o;
	struct client t;
	struct site s;

	site_start(&s, NULL);
	ck_assert(show(&o, &t, &s, &own, TLS1_3_VERSION));
	ck_assert_ptr_null(conn_tls_client_addr(o.c, 0));
	owner_stop(&o);
	client_stop(&t);
	free_cert(&own);
	free_cert(&ca);
	site_stop(&s);
}
END_TEST

/* --- memory --- */

START_TEST(a_quiet_connection_holds_no_buffers)
{
	struct owner o;
	char in[8];

	owner_start(&o, &owner_limits, false);
	owner_say(&o, "NOOP\r\n", 6);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	ck_assert_int_eq(conn_puts(o.c, "+OK\r\n"), 0);
	ck_assert_uint_eq(owner_hear(&o, in, 5), 5);
	ck_assert_ptr_null(o.c->in.data);
	ck_assert_ptr_null(o.c->out.data);
	ck_assert_uint_lt(sizeof *o.c, 1024);
	owner_stop(&o);
}
END_TEST

/* What a client has ready for its server: a mass of records without any octet for us. */
static BIO *
key_updates(struct client *t, unsigned n)
{
	BIO *out = BIO_new(BIO_s_mem());

	BIO_up_ref(out);
	SSL_set0_wbio(t->ssl, out);
	while (n-- > 0) {
		ck_assert_int_eq(SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		ck_assert_int_eq(SSL_do_handshake(t->ssl), 1);
	}
	ck_assert_int_eq(SSL_write(t->ssl, "NOOP\r\n", 6), 6);
	return out;
}

START_TEST(records_without_data_do_not_hold_the_loop)
{
	int waiting = 0, turns = 0;
	char *p, in[8];
	struct owner o;
	struct client t;
	struct site s;
	struct err e;
	ssize_t put;
	long left;
	BIO *out;

	site_start(&s, NULL);
	owner_start(&o, &owner_limits, true);
	ck_assert_int_eq(conn_accept_tls(o.c, s.ctx, false, &e), 0);
	client_start(&t, &o, &s.ca, NULL);
	ck_assert(client_shake(&t, &o));
	out = key_updates(&t, 10000);
	left = BIO_get_mem_data(out, &p);
	while (left > 0 || waiting > 0) {
		while (left > 0 && (put = send(o.peer, p, (size_t)left, MSG_NOSIGNAL)) > 0) {
			p += put;
			left -= put;
		}
		/* Others get their turn while there is more of it. */
		ck_assert_int_ne(event_base_loop(o.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), -1);
		ck_assert_int_eq(ioctl(conn_fd(o.c), FIONREAD, &waiting), 0);
		turns += waiting > 0;
	}
	ck_assert_int_gt(turns, 1);
	ck_assert(owner_until(&o, &o.readable, 1, 20000));
	ck_assert_uint_eq(buf_len(&o.got), 6);
	/* And the session is as good as ever. */
	ck_assert_int_eq(conn_puts(o.c, "+OK\r\n"), 0);
	while (t.n < 5)
		owner_run(&o, 2);
	memcpy(in, t.got, 5);
	ck_assert_mem_eq(in, "+OK\r\n", 5);
	BIO_free(out);
	owner_stop(&o);
	client_stop(&t);
	site_stop(&s);
}
END_TEST

Suite *
accept_suite(void)
{
	const TTest *const tests[] = {discards_what_came_in_clear_behind_starttls,
	    discards_it_within_readable_too, rubbish_instead_of_a_handshake_ends_the_connection,
	    offers_forward_secrecy_and_nothing_old,
	    a_client_cannot_shake_hands_again_within_tls_1_2,
	    gives_the_addresses_of_a_verified_client_certificate,
	    an_address_with_a_nul_or_other_controls_is_none,
	    the_addresses_of_one_certificate_are_bounded,
	    refuses_clients_without_a_good_certificate_where_one_is_wanted,
	    a_certificate_that_nobody_asked_for_gives_no_address,
	    a_quiet_connection_holds_no_buffers, records_without_data_do_not_hold_the_loop, NULL};

	return unit_suite("accept", tests);
}
