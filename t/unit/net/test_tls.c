#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/tls.h"
#include "t/unit/net/certs.h"
#include "t/unit/net/owner.h"
#include "t/unit/unit.h"

Suite *tls_suite(void);

static const struct conn_peer m_example = {.name = "m.example", .verify = CONN_VERIFY_CA};
static const struct conn_peer nobody = {.name = "", .verify = CONN_VERIFY_CA};

/* --- a server on the other end of an owner's connection --- */

struct server {
	SSL_CTX *ctx;
	SSL *ssl;
	struct event *ev;
	bool up;
	struct buf got;
};

static void
serve(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	char in[16384];
	int n;

	(void)fd;
	(void)what;
	ERR_clear_error();
	if (!s->up) {
		if (SSL_do_handshake(s->ssl) != 1)
			return;
		s->up = true;
	}
	while ((n = SSL_read(s->ssl, in, sizeof in)) > 0)
		ck_assert_int_eq(buf_put(&s->got, in, (size_t)n), 0);
	if (SSL_get_error(s->ssl, n) != SSL_ERROR_WANT_READ)
		event_del(s->ev);
}

static void
server_start(struct server *s, struct owner *o, const struct pair *p, int max_version)
{
	memset(s, 0, sizeof *s);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL's own sockets write without MSG_NOSIGNAL */
	buf_init(&s->got, 1 << 24);
	s->ctx = SSL_CTX_new(TLS_server_method());
	ck_assert_int_eq(SSL_CTX_use_certificate(s->ctx, p->cert), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(s->ctx, p->key), 1);
	if (max_version != 0) {
		SSL_CTX_set_security_level(s->ctx, 0);
		SSL_CTX_set_min_proto_version(s->ctx, 0);
		SSL_CTX_set_max_proto_version(s->ctx, max_version);
	}
	s->ssl = SSL_new(s->ctx);
	SSL_set_fd(s->ssl, o->peer);
	SSL_set_mode(s->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_set_accept_state(s->ssl);
	s->ev = event_new(o->base, o->peer, EV_READ | EV_PERSIST, serve, s);
	event_add(s->ev, NULL);
}

static void
server_stop(struct server *s)
{
	event_free(s->ev);
	SSL_free(s->ssl);
	SSL_CTX_free(s->ctx);
	buf_free(&s->got);
	ERR_clear_error();
}

static void
server_say(struct server *s, struct owner *o, const char *p, size_t n)
{
	size_t put;

	while (n > 0) {
		ERR_clear_error();
		if (SSL_write_ex(s->ssl, p, n, &put) == 1) {
			p += put;
			n -= put;
		} else {
			ck_assert_int_eq(SSL_get_error(s->ssl, 0), SSL_ERROR_WANT_WRITE);
			owner_run(o, 2);
		}
	}
}

/* One handshake: the server shows p, we want name. Fills o; 1: secured, 0: closed. */
static int
shake(struct owner *o, SSL_CTX *ctx, const struct pair *p, const char *name,
    enum conn_verify verify, int max_version)
{
	const struct conn_peer peer = {.name = name, .verify = verify};
	struct server s;
	struct err e;
	int ok;

	owner_start(o, &owner_limits, false);
	server_start(&s, o, p, max_version);
	ck_assert_int_eq(conn_start_tls(o->c, ctx, &peer, &e), 0);
	while (o->secured == 0 && o->closed == 0)
		owner_run(o, 2);
	ok = o->secured == 1;
	owner_stop(o);
	server_stop(&s);
	return ok;
}

START_TEST(accepts_a_certificate_that_names_the_peer)
{
	static const struct {
		const char *cn, *names, *want;
	} good[] = {
	    {"x", "DNS:mail.example.org", "mail.example.org"},
	    {"x", "DNS:mail.example.org", "MAIL.example.org."},
	    {"x", "DNS:*.example.org", "mail.example.org"},
	    {"x", "IP:192.0.2.1", "192.0.2.1"},
	    {"x", "IP:2001:db8::1", "2001:db8::1"},
	    {"mail.example.org", NULL, "mail.example.org"},
	};
	struct pair ca = make_cert("Test CA", NULL, 30, NULL), p;
	SSL_CTX *ctx = trusting(&ca);
	struct owner o;
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		p = make_cert(good[i].cn, good[i].names, 10, &ca);
		ck_assert_msg(shake(&o, ctx, &p, good[i].want, CONN_VERIFY_CA, 0), "%s", o.text);
		ck_assert_int_eq(
		    shake(&o, ctx, &p, good[i].want, CONN_VERIFY_CA, TLS1_2_VERSION), 1);
		free_cert(&p);
	}
	tls_ctx_free(ctx);
	free_cert(&ca);
}
END_TEST

START_TEST(refuses_a_bad_certificate_with_a_text_for_people)
{
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	struct pair other = make_cert("Other CA", NULL, 30, NULL);
	struct pair old_ca = make_cert("Test CA", NULL, -1, NULL);
	struct {
		struct pair p;
		const char *want, *text;
	} bad[] = {
	    {make_cert("x", "DNS:a.example,DNS:b.example", 10, &ca), "mail.example.org",
		"certificate of mail.example.org: name does not match: seen a.example, b.example"},
	    {make_cert("x", "DNS:a,DNS:b,DNS:c,DNS:d,DNS:e", 10, &ca), "m.example",
		"certificate of m.example: name does not match: seen a, b, c, d, ..."},
	    {make_cert("cn.example", NULL, 10, &ca), "m.example",
		"certificate of m.example: name does not match: seen cn.example"},
	    {make_cert("m.example", "DNS:other.example", 10, &ca), "m.example",
		"certificate of m.example: name does not match: seen other.example"},
	    {make_cert("x", "DNS:m*.example.org", 10, &ca), "mail.example.org",
		"certificate of mail.example.org: name does not match: seen m*.example.org"},
	    {make_cert("x", "DNS:192.0.2.1", 10, &ca), "192.0.2.1",
		"certificate of 192.0.2.1: name does not match: seen 192.0.2.1"},
	    {make_cert("evil\r\n250 ok", NULL, 10, &ca), "m.example",
		"certificate of m.example: name does not match: seen evil\\x0D\\x0A250 ok"},
	    {make_cert("x", "DNS:m.example", -3, &ca), "m.example",
		"certificate of m.example: expired on "},
	    {make_cert("x", "DNS:m.example", 10, &other), "m.example",
		"certificate of m.example: its issuer is not among the trusted ones"},
	    {make_cert("x", "DNS:m.example", 10, NULL), "m.example",
		"certificate of m.example: self-signed, and not among the trusted ones"},
	};
	SSL_CTX *ctx = trusting(&ca);
	struct owner o;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_int_eq(shake(&o, ctx, &bad[i].p, bad[i].want, CONN_VERIFY_CA, 0), 0);
		ck_assert_int_eq(o.why, CONN_TLS_FAILED);
		ck_assert_msg(strncmp(o.text, bad[i].text, strlen(bad[i].text)) == 0, "%s", o.text);
		/* Without verification all of them will do. */
		ck_assert_int_eq(shake(&o, ctx, &bad[i].p, bad[i].want, CONN_VERIFY_NONE, 0), 1);
		free_cert(&bad[i].p);
	}
	tls_ctx_free(ctx);
	free_cert(&ca);
	free_cert(&other);
	free_cert(&old_ca);
}
END_TEST

START_TEST(refuses_versions_before_1_2)
{
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	struct pair p = make_cert("x", "DNS:m.example", 10, &ca);
	SSL_CTX *ctx = trusting(&ca);
	struct owner o;

	ck_assert_int_eq(shake(&o, ctx, &p, "m.example", CONN_VERIFY_NONE, TLS1_1_VERSION), 0);
	ck_assert_int_eq(o.why, CONN_TLS_FAILED);
	ck_assert_ptr_nonnull(strstr(o.text, "TLS handshake with m.example: "));
	tls_ctx_free(ctx);
	free_cert(&ca);
	free_cert(&p);
}
END_TEST

/* Groups of a server's own making: nobody has looked at what p is. */
static EVP_PKEY *
group(int bits)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	BIGNUM *p = BN_new(), *g = BN_new();
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params;

	ck_assert_int_eq(BN_rand(p, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
	ck_assert_int_eq(BN_set_word(g, 2), 1);
	OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_FFC_P, p);
	OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_FFC_G, g);
	params = OSSL_PARAM_BLD_to_param(b);
	ck_assert_int_eq(EVP_PKEY_fromdata_init(c), 1);
	ck_assert_int_eq(EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEY_PARAMETERS, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	BN_free(p);
	BN_free(g);
	EVP_PKEY_CTX_free(c);
	return key;
}

/* It would have everybody else wait for it. */
START_TEST(refuses_a_server_that_makes_key_agreement_costly)
{
	static const int bits[] = {2048, 8192};
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	struct pair p = make_cert_for(rsa_key(), "x", "DNS:m.example", 10, &ca);
	SSL_CTX *ctx = trusting(&ca);
	struct server s;
	struct owner o;
	struct err e;
	unsigned i;

	for (i = 0; i < 2; i++) {
		owner_start(&o, &owner_limits, false);
		server_start(&s, &o, &p, TLS1_2_VERSION);
		ck_assert_int_eq(SSL_set_cipher_list(s.ssl, "DHE-RSA-AES128-GCM-SHA256"), 1);
		ck_assert_int_eq(SSL_set0_tmp_dh_pkey(s.ssl, group(bits[i])), 1);
		ck_assert_int_eq(conn_start_tls(o.c, ctx, &m_example, &e), 0);
		while (o.secured == 0 && o.closed == 0)
			owner_run(&o, 2);
		ck_assert_uint_eq(o.secured, i == 0);
		if (i == 1)
			ck_assert_str_eq(o.text,
			    "TLS handshake with m.example: Diffie-Hellman of 8192 bit, more than "
			    "4096");
		owner_stop(&o);
		server_stop(&s);
	}
	tls_ctx_free(ctx);
	free_cert(&ca);
	free_cert(&p);
}
END_TEST

/* A secured connection for the tests below. */
struct secured {
	struct owner o;
	struct server s;
	struct pair ca, p;
	SSL_CTX *ctx;
};

static void
secure(struct secured *t, const struct conn_limits *limits)
{
	struct err e;

	t->ca = make_cert("Test CA", NULL, 30, NULL);
	t->p = make_cert("x", "DNS:m.example", 10, &t->ca);
	t->ctx = trusting(&t->ca);
	owner_start(&t->o, limits, true);
	server_start(&t->s, &t->o, &t->p, 0);
	ck_assert_int_eq(conn_start_tls(t->o.c, t->ctx, &m_example, &e), 0);
	/* What is written meanwhile leaves encrypted. */
	ck_assert_int_eq(conn_puts(t->o.c, "early "), 0);
	ck_assert(owner_until(&t->o, &t->o.secured, 1, 5000));
}

static void
unsecure(struct secured *t)
{
	owner_stop(&t->o);
	server_stop(&t->s);
	tls_ctx_free(t->ctx);
	free_cert(&t->ca);
	free_cert(&t->p);
}

START_TEST(carries_megabytes_both_ways_under_back_pressure)
{
	struct secured t;
	const size_t total = 3 << 20;
	char *data = malloc(total);
	size_t i, put;

	for (i = 0; i < total; i++)
		data[i] = (char)(i * 7 + i / 251);
	secure(&t, &owner_limits);
	ck_assert_ptr_nonnull(strstr(conn_tls_text(t.o.c), "TLSv1.3 with cipher "));
	for (i = 0; i < total; i += put) {
		put = conn_room(t.o.c);
		if (put > total - i)
			put = total - i;
		ck_assert_int_eq(conn_write(t.o.c, data + i, put), 0);
		owner_run(&t.o, 1);
	}
	while (buf_len(&t.s.got) < total + 6)
		owner_run(&t.o, 2);
	ck_assert_mem_eq(buf_ptr(&t.s.got), "early ", 6);
	ck_assert_int_eq(memcmp(buf_ptr(&t.s.got) + 6, data, total), 0);
	/* A change of keys in the middle makes reading write. */
	server_say(&t.s, &t.o, data, total / 2);
	ck_assert_int_eq(SSL_key_update(t.s.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
	server_say(&t.s, &t.o, data + total / 2, total - total / 2);
	for (i = 0; i < 2000 && buf_len(&t.o.got) < total; i++)
		owner_run(&t.o, 2);
	ck_assert_uint_eq(buf_len(&t.o.got), total);
	ck_assert_int_eq(memcmp(buf_ptr(&t.o.got), data, total), 0);
	free(data);
	unsecure(&t);
}
END_TEST

START_TEST(offers_what_tls_holds_when_room_is_made)
{
	struct conn_limits l = owner_limits;
	struct secured t;
	char data[12000];
	size_t n, total = 0;
	int i;

	memset(data, 'x', sizeof data);
	l.in_max = 100; /* one record holds far more than the buffer */
	secure(&t, &l);
	t.o.keep = true;
	server_say(&t.s, &t.o, data, sizeof data);
	for (i = 0; i < 1000 && total < sizeof data; i++) {
		owner_run(&t.o, 1);
		(void)conn_in(t.o.c, &n);
		ck_assert_uint_le(n, 100);
		conn_consume(t.o.c, n);
		total += n;
	}
	ck_assert_uint_eq(total, sizeof data);
	unsecure(&t);
}
END_TEST

START_TEST(tells_close_notify_from_a_cut_connection)
{
	struct secured t;

	secure(&t, &owner_limits);
	server_say(&t.s, &t.o, "bye", 3);
	SSL_shutdown(t.s.ssl);
	ck_assert(owner_until(&t.o, &t.o.closed, 1, 2000));
	ck_assert_int_eq(t.o.why, CONN_EOF);
	ck_assert_uint_eq(buf_len(&t.o.got), 3);
	unsecure(&t);

	secure(&t, &owner_limits);
	server_say(&t.s, &t.o, "bye", 3);
	owner_run(&t.o, 10);
	shutdown(t.o.peer, SHUT_WR);
	ck_assert(owner_until(&t.o, &t.o.closed, 1, 2000));
	ck_assert_int_eq(t.o.why, CONN_TRUNCATED);
	ck_assert_uint_eq(buf_len(&t.o.got), 3);
	/* And we can still answer. */
	ck_assert_int_eq(conn_puts(t.o.c, "answer"), 0);
	conn_finish(t.o.c);
	t.o.c = NULL;
	owner_run(&t.o, 30);
	ck_assert_uint_eq(buf_len(&t.s.got), 12);
	ck_assert_int_eq(SSL_get_shutdown(t.s.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
	unsecure(&t);
}
END_TEST

START_TEST(sends_close_notify_behind_the_last_output)
{
	struct secured t;
	char *data = calloc(1, 200000);

	secure(&t, &owner_limits);
	ck_assert_int_eq(conn_write(t.o.c, data, 200000), 0);
	conn_finish(t.o.c);
	t.o.c = NULL;
	owner_run(&t.o, 100);
	ck_assert_uint_eq(buf_len(&t.s.got), 200006);
	ck_assert_int_eq(SSL_get_shutdown(t.s.ssl), SSL_RECEIVED_SHUTDOWN);
	shutdown(t.o.peer, SHUT_WR);
	owner_run(&t.o, 20);
	ck_assert_uint_eq(conn_count(), 0);
	free(data);
	unsecure(&t);
}
END_TEST

START_TEST(refuses_to_start_with_clear_text_waiting)
{
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	SSL_CTX *ctx = trusting(&ca);
	struct owner o;
	struct err e;

	owner_start(&o, &owner_limits, false);
	o.keep = true;
	owner_say(&o, "250 injected\r\n", 14);
	ck_assert(owner_until(&o, &o.readable, 1, 2000));
	ck_assert_int_eq(conn_start_tls(o.c, ctx, &m_example, &e), -1);
	ck_assert_int_eq(e.code, EPROTO);
	ck_assert_ptr_nonnull(strstr(e.text, "m.example sent 14 octets in clear"));
	conn_consume(o.c, 14);
	ck_assert_int_eq(conn_start_tls(o.c, ctx, &nobody, &e), -1);
	ck_assert_int_eq(e.code, EINVAL);
	/* Clear text that is still on its way is no TLS record. */
	ck_assert_int_eq(conn_start_tls(o.c, ctx, &m_example, &e), 0);
	ck_assert_int_eq(conn_start_tls(o.c, ctx, &m_example, &e), -1);
	ck_assert_int_eq(e.code, EALREADY);
	owner_say(&o, "250 injected\r\n", 14);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_TLS_FAILED);
	ck_assert_str_eq(o.text,
	    "TLS handshake with m.example: wrong version number (is there TLS on that port?)");
	ck_assert_uint_eq(o.secured, 0);
	owner_stop(&o);
	tls_ctx_free(ctx);
	free_cert(&ca);
}
END_TEST

START_TEST(sends_what_was_queued_before_in_clear)
{
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	SSL_CTX *ctx = trusting(&ca);
	struct owner o;
	struct err e;
	char in[512];

	owner_start(&o, &owner_limits, false);
	ck_assert_int_eq(conn_puts(o.c, "STARTTLS\r\n"), 0);
	ck_assert_int_eq(conn_start_tls(o.c, ctx, &m_example, &e), 0);
	ck_assert_int_eq(conn_puts(o.c, "secret"), 0);
	ck_assert_uint_gt(owner_hear(&o, in, sizeof in), 100);
	ck_assert_mem_eq(in, "STARTTLS\r\n\x16\x03", 12);
	ck_assert_ptr_null(memmem(in, sizeof in, "secret", 6));
	ck_assert(!conn_is_tls(o.c));
	/* The peer goes away in the middle. */
	close(o.peer);
	o.peer = -1;
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_TLS_FAILED);
	ck_assert_str_eq(o.text, "TLS handshake with m.example: connection closed by the peer");
	owner_stop(&o);
	tls_ctx_free(ctx);
	free_cert(&ca);
}
END_TEST

START_TEST(output_written_during_a_tls_1_2_handshake_follows_it)
{
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	struct pair p = make_cert("x", "DNS:m.example", 10, &ca);
	SSL_CTX *ctx = trusting(&ca);
	struct server s;
	struct owner o;
	struct err e;

	owner_start(&o, &owner_limits, true);
	server_start(&s, &o, &p, TLS1_2_VERSION);
	ck_assert_int_eq(conn_start_tls(o.c, ctx, &m_example, &e), 0);
	ck_assert_int_eq(conn_puts(o.c, "EHLO x\r\n"), 0);
	ck_assert(owner_until(&o, &o.secured, 1, 5000));
	/* The server is silent now, so nothing but the end of the handshake can set it off. */
	owner_run(&o, 50);
	ck_assert_uint_eq(buf_len(&s.got), 8);
	owner_stop(&o);
	server_stop(&s);
	tls_ctx_free(ctx);
	free_cert(&ca);
	free_cert(&p);
}
END_TEST

START_TEST(a_handshake_that_stands_still_is_idle)
{
	struct conn_limits l = owner_limits;
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	SSL_CTX *ctx = trusting(&ca);
	struct owner o;
	struct err e;

	l.idle_ms = 100;
	owner_start(&o, &l, false);
	ck_assert_int_eq(conn_start_tls(o.c, ctx, &m_example, &e), 0);
	conn_pause(o.c);
	ck_assert(owner_until(&o, &o.closed, 1, 2000));
	ck_assert_int_eq(o.why, CONN_IDLE);
	owner_stop(&o);
	tls_ctx_free(ctx);
	free_cert(&ca);
}
END_TEST

START_TEST(refuses_a_tampered_record)
{
	struct secured t;
	char junk[64] = "\x17\x03\x03\x00\x30";

	secure(&t, &owner_limits);
	owner_say(&t.o, junk, 53);
	ck_assert(owner_until(&t.o, &t.o.closed, 1, 2000));
	ck_assert_int_eq(t.o.why, CONN_TLS_FAILED);
	ck_assert_uint_eq(buf_len(&t.o.got), 0);
	ck_assert_int_eq(conn_puts(t.o.c, "x"), -1);
	unsecure(&t);
}
END_TEST

START_TEST(reads_bundles_and_names_what_is_wrong_in_them)
{
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	BIO *b = BIO_new(BIO_s_mem());
	SSL_CTX *ctx;
	struct err e;
	char *pem;
	size_t n;

	ck_assert_int_eq(PEM_write_bio_X509(b, ca.cert), 1);
	ck_assert_int_gt(BIO_puts(b, "# a comment\n"), 0);
	ck_assert_int_eq(PEM_write_bio_X509(b, ca.cert), 1);
	n = (size_t)BIO_get_mem_data(b, &pem);
	ck_assert_ptr_nonnull(ctx = tls_client_ctx(&usual_tls, pem, n, "ca.pem", &e));
	tls_ctx_free(ctx);
	ck_assert_ptr_null(tls_client_ctx(&usual_tls, pem, n - 40, "ca.pem", &e));
	ck_assert_ptr_nonnull(strstr(e.text, "ca.pem: certificate 2 cannot be read"));
	ck_assert_ptr_null(tls_client_ctx(&usual_tls, "hello\n", 6, "ca.pem", &e));
	ck_assert_str_eq(e.text, "ca.pem: there is no certificate in it (PEM is wanted)");
	ck_assert_ptr_null(
	    tls_client_ctx(&usual_tls, pem, (size_t)TLS_BUNDLE_MAX + 1, "ca.pem", &e));
	ck_assert_int_eq(e.code, EFBIG);
	ck_assert_ptr_nonnull(ctx = tls_client_ctx(&usual_tls, NULL, 0, "none", &e));
	tls_ctx_free(ctx);
	BIO_free(b);
	free_cert(&ca);
}
END_TEST

Suite *
tls_suite(void)
{
	return unit_suite("tls",
	    (const TTest *const[]){accepts_a_certificate_that_names_the_peer,
		refuses_a_bad_certificate_with_a_text_for_people, refuses_versions_before_1_2,
		refuses_a_server_that_makes_key_agreement_costly,
		carries_megabytes_both_ways_under_back_pressure,
		offers_what_tls_holds_when_room_is_made, tells_close_notify_from_a_cut_connection,
		sends_close_notify_behind_the_last_output, refuses_to_start_with_clear_text_waiting,
		sends_what_was_queued_before_in_clear,
		output_written_during_a_tls_1_2_handshake_follows_it,
		a_handshake_that_stands_still_is_idle, refuses_a_tampered_record,
		reads_bundles_and_names_what_is_wrong_in_them, NULL});
}
