/* Sessions that go on in another connection. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "net/tls.h"
#include "t/unit/net/client.h"
#include "t/unit/unit.h"

Suite *tickets_suite(void);

/* A server with tickets, and the session that its client had last. */
static struct {
	struct pair ca, own;
	struct tls_cert *cert;
	SSL_CTX *ctx;
	SSL_SESSION *session;
} site;

static const struct tls_ticket_key keys[3] = {
    {"first key's name", "aes 1", "hmac 1"},
    {"second key's nam", "aes 2", "hmac 2"},
    {"third key's name", "aes 3", "hmac 3"},
};

/* Octets that a client of TLS 1.2 shows as its ticket. */
static unsigned char old_ticket[4096];
static size_t old_ticket_n;

static SSL_CTX *
context(const char *name, enum tls_client_auth auth)
{
	struct tls_server_options o = {.certs = &site.cert,
	    .ncerts = 1,
	    .tickets = true,
	    .context = name,
	    .auth = auth,
	    .client_ca_name = "ca.pem"};
	char *pem = add_pem(NULL, &site.ca);
	struct err e;
	SSL_CTX *ctx;

	o.client_ca = pem;
	o.client_ca_n = strlen(pem);
	ctx = tls_server_ctx(&o, &e);
	ck_assert_msg(ctx != NULL, "%s", e.text);
	free(pem);
	return ctx;
}

static void
begin(void)
{
	memset(&site, 0, sizeof site);
	site.ca = make_cert("Test CA", NULL, 30, NULL);
	site.own = make_cert("gw", "DNS:gw.example.org", 10, &site.ca);
	site.cert = own_cert(&site.own, NULL);
	site.ctx = context("submission", TLS_AUTH_NONE);
	tls_ticket_keys(keys, 1);
}

static void
end(void)
{
	SSL_SESSION_free(site.session);
	tls_ctx_free(site.ctx);
	tls_cert_free(site.cert);
	free_cert(&site.own);
	free_cert(&site.ca);
	tls_ticket_keys(NULL, 0);
}

/* One connection, which shows the session (NULL: none). It is kept with what came of it. */
static bool
resumes_at(SSL_CTX *ctx, SSL_SESSION *with, int version)
{
	struct client t;
	struct owner o;
	struct err e;
	bool resumed;

	owner_start(&o, &owner_limits, false);
	client_start(&t, &o, &site.ca, NULL);
	SSL_set_tlsext_host_name(t.ssl, "gw.example.org");
	if (version != 0)
		SSL_set_max_proto_version(t.ssl, version);
	if (old_ticket_n > 0)
		ck_assert_int_eq(
		    SSL_set_session_ticket_ext(t.ssl, old_ticket, (int)old_ticket_n), 1);
	if (with != NULL)
		ck_assert_int_eq(SSL_set_session(t.ssl, with), 1);
	ck_assert_int_eq(conn_accept_tls(o.c, ctx, false, &e), 0);
	ck_assert_msg(client_shake(&t, &o), "%s", o.text);
	ck_assert_int_eq(conn_puts(o.c, "220 gw\r\n"), 0);
	while (t.n < 8)
		owner_run(&o, 2);
	resumed = conn_tls_resumed(o.c);
	ck_assert_int_eq(SSL_session_reused(t.ssl), resumed);
	ck_assert_str_eq(conn_tls_asked(o.c), "gw.example.org");
	SSL_SESSION_free(site.session);
	site.session = SSL_get1_session(t.ssl);
	/* Whoever resumes agrees on a new key, too. */
	ck_assert_int_eq(SSL_SESSION_get_max_early_data(site.session), 0);
	ck_assert_int_ne((int)SSL_get_negotiated_group(t.ssl), 0);
	(void)SSL_shutdown(t.ssl); /* else the session would be void */
	owner_stop(&o);
	client_stop(&t);
	return resumed;
}

static bool
resumes(void)
{
	return resumes_at(site.ctx, site.session, 0);
}

static bool
has_ticket(void)
{
	return SSL_SESSION_has_ticket(site.session) && SSL_SESSION_is_resumable(site.session);
}

START_TEST(a_session_goes_on_and_gets_a_new_ticket_each_time)
{
	const unsigned char *a, *b;
	SSL_SESSION *first;
	size_t n, m;

	begin();
	ck_assert(!resumes());
	ck_assert(has_ticket());
	ck_assert_uint_le(SSL_SESSION_get_ticket_lifetime_hint(site.session), 7200);
	first = site.session;
	ck_assert_int_eq(SSL_SESSION_up_ref(first), 1);
	ck_assert(resumes());
	ck_assert(has_ticket());
	SSL_SESSION_get0_ticket(first, &a, &n);
	SSL_SESSION_get0_ticket(site.session, &b, &m);
	ck_assert(n != m || memcmp(a, b, n) != 0);
	ck_assert_mem_eq(a, keys[0].name, 16);
	ck_assert(resumes());
	SSL_SESSION_free(first);
	end();
}
END_TEST

START_TEST(a_ticket_leaves_with_what_is_said_first)
{
	struct client t;
	struct owner o;
	struct err e;
	char octets[4096];
	ssize_t n;

	begin();
	owner_start(&o, &owner_limits, true);
	client_start(&t, &o, &site.ca, NULL);
	ck_assert_int_eq(conn_accept_tls(o.c, site.ctx, false, &e), 0);
	ck_assert_msg(client_shake(&t, &o), "%s", o.text);
	owner_run(&o, 20);
	client_step(&t);
	ck_assert(!SSL_SESSION_has_ticket(SSL_get0_session(t.ssl)));
	(void)event_del(t.ev); /* it reads when told to, from here on */
	ck_assert_int_eq(conn_puts(o.c, "220 gw\r\n"), 0);
	owner_run(&o, 20);
	/* Both records are there at once, the ticket first. */
	n = recv(SSL_get_fd(t.ssl), octets, sizeof octets, MSG_PEEK | MSG_DONTWAIT);
	ck_assert_int_gt(n, 5);
	n -= 5 + (octets[3] & 0xff) * 256 + (octets[4] & 0xff);
	ck_assert_int_eq(n, 5 + 8 + 1 + 16);
	client_step(&t);
	ck_assert_uint_eq(t.n, 8);
	ck_assert(SSL_SESSION_has_ticket(SSL_get0_session(t.ssl)));
	owner_stop(&o);
	client_stop(&t);
	end();
}
END_TEST

START_TEST(a_ticket_is_good_as_long_as_its_key_is_there)
{
	const struct tls_ticket_key rotated[3] = {keys[2], keys[1], keys[0]};
	const unsigned char *ticket;
	SSL_SESSION *first;
	size_t n;

	begin();
	ck_assert(!resumes());
	first = site.session;
	ck_assert_int_eq(SSL_SESSION_up_ref(first), 1);
	tls_ticket_keys(rotated, 3);
	ck_assert(resumes());
	SSL_SESSION_get0_ticket(site.session, &ticket, &n);
	ck_assert_mem_eq(ticket, keys[2].name, 16);
	tls_ticket_keys(rotated, 2);
	ck_assert(resumes());
	ck_assert(!resumes_at(site.ctx, first, 0));
	/* The same name with another key is no way in either. */
	SSL_SESSION_free(site.session);
	site.session = first;
	tls_ticket_keys(
	    (const struct tls_ticket_key[]){{"first key's name", "aes 1", "another"}}, 1);
	ck_assert(!resumes());
	end();
}
END_TEST

START_TEST(a_ticket_counts_in_its_own_context_only)
{
	SSL_CTX *other, *same;
	SSL_SESSION *first;

	begin();
	other = context("retrieval", TLS_AUTH_NONE);
	same = context("submission", TLS_AUTH_NONE); /* of another process, or after a reload */
	ck_assert(!resumes());
	first = site.session;
	ck_assert_int_eq(SSL_SESSION_up_ref(first), 1);
	ck_assert(!resumes_at(other, first, 0));
	ck_assert(resumes_at(same, first, 0));
	SSL_SESSION_free(first);
	tls_ctx_free(other);
	tls_ctx_free(same);
	end();
}
END_TEST

START_TEST(tls_1_2_has_no_tickets)
{
	const unsigned char *ticket;

	begin();
	ck_assert(!resumes_at(site.ctx, NULL, TLS1_2_VERSION));
	ck_assert(!has_ticket());
	ck_assert(!resumes_at(site.ctx, site.session, TLS1_2_VERSION));
	/* Nor is one of TLS 1.3 good for it (RFC 5077, 3.2). */
	ck_assert(!resumes());
	SSL_SESSION_get0_ticket(site.session, &ticket, &old_ticket_n);
	memcpy(old_ticket, ticket, old_ticket_n);
	ck_assert(!resumes_at(site.ctx, NULL, TLS1_2_VERSION));
	old_ticket_n = 0;
	end();
}
END_TEST

START_TEST(without_keys_there_are_no_tickets)
{
	begin();
	tls_ticket_keys(NULL, 0);
	ck_assert(!resumes());
	ck_assert(!has_ticket());
	tls_ticket_keys(keys, 1);
	ck_assert(!resumes());
	ck_assert(has_ticket());
	tls_ticket_keys(NULL, 0);
	ck_assert(!resumes());
	ck_assert(!has_ticket());
	end();
}
END_TEST

START_TEST(where_clients_show_certificates_there_are_no_tickets)
{
	SSL_CTX *ctx;

	begin();
	ctx = context("submission", TLS_AUTH_ASK);
	ck_assert(!resumes_at(ctx, NULL, 0));
	ck_assert(!has_ticket());
	/* One from elsewhere does not stand for a certificate. */
	ck_assert(!resumes());
	ck_assert(has_ticket());
	ck_assert(!resumes_at(ctx, site.session, 0));
	tls_ctx_free(ctx);
	end();
}
END_TEST

START_TEST(a_ticket_that_was_changed_is_void)
{
	unsigned char *der = NULL, *at;
	const unsigned char *p, *ticket;
	size_t len, k;
	int n;

	begin();
	for (k = 0; k < 200; k += 37) {
		ck_assert(!resumes_at(site.ctx, NULL, 0));
		SSL_SESSION_get0_ticket(site.session, &ticket, &len);
		der = NULL;
		n = i2d_SSL_SESSION(site.session, &der);
		ck_assert_int_gt(n, 0);
		at = memmem(der, (size_t)n, ticket, len);
		ck_assert_ptr_nonnull(at);
		at[k % len] ^= 1;
		SSL_SESSION_free(site.session);
		p = der;
		ck_assert_ptr_nonnull(site.session = d2i_SSL_SESSION(NULL, &p, n));
		OPENSSL_free(der);
		ck_assert(!resumes());
	}
	end();
}
END_TEST

/* Which certificate it would have been does not matter to who shows none. */
START_TEST(tickets_count_for_all_names_of_a_context)
{
	struct tls_server_options o = {.ncerts = 2, .tickets = true, .context = "submission"};
	struct tls_cert *certs[2];
	struct pair other;
	SSL_CTX *ctx;
	struct err e;

	begin();
	other = make_cert("other", "DNS:other.example.org", 10, &site.ca);
	certs[0] = own_cert(&other, NULL);
	certs[1] = site.cert;
	o.certs = certs;
	ck_assert_ptr_nonnull(ctx = tls_server_ctx(&o, &e));
	ck_assert(!resumes_at(ctx, NULL, 0));
	ck_assert(resumes_at(ctx, site.session, 0));
	ck_assert(resumes_at(site.ctx, site.session, 0));
	ck_assert(resumes_at(ctx, site.session, 0));
	ck_assert(!resumes_at(ctx, NULL, TLS1_2_VERSION));
	ck_assert(!has_ticket());
	tls_ctx_free(ctx);
	tls_cert_free(certs[0]);
	free_cert(&other);
	end();
}
END_TEST

/* --- memory --- */

#define LARGE 8192 /* octets: a buffer for records */

static void *large[64];

static void
note(void *p, size_t n)
{
	size_t i;

	for (i = 0; n >= LARGE && i < 64; i++)
		if (large[i] == NULL) {
			large[i] = p;
			return;
		}
	ck_assert_uint_lt(n, LARGE);
}

static void
forget(void *p)
{
	size_t i;

	for (i = 0; p != NULL && i < 64; i++)
		if (large[i] == p)
			large[i] = NULL;
}

static void *
noted_malloc(size_t n, const char *file, int line)
{
	void *p = malloc(n);

	(void)file;
	(void)line;
	note(p, n);
	return p;
}

static void *
noted_realloc(void *old, size_t n, const char *file, int line)
{
	void *p;

	(void)file;
	(void)line;
	forget(old);
	p = realloc(old, n);
	note(p, n);
	return p;
}

static void
noted_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	forget(p);
	free(p);
}

static unsigned
count_large(void)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < 64; i++)
		n += large[i] != NULL;
	return n;
}

START_TEST(a_quiet_session_holds_no_buffers)
{
	struct conn_peer peer = peer_ca("gw.example.org");
	unsigned before, round;
	struct owner s, c;
	SSL_CTX *client;
	struct err e;

	if (CRYPTO_set_mem_functions(noted_malloc, noted_realloc, noted_free) != 1)
		return; /* it was in use before, for want of a process of our own */
	begin();
	client = trusting(&site.ca);
	for (round = 0; round < 2; round++) {
		owner_start(&s, &owner_limits, true);
		owner_join(&c, &s, &owner_limits);
		before = count_large();
		ck_assert_int_eq(conn_accept_tls(s.c, site.ctx, false, &e), 0);
		ck_assert_int_eq(conn_start_tls(c.c, client, &peer, &e), 0);
		ck_assert(owner_until(&s, &c.secured, 1, 20000));
		ck_assert(owner_until(&s, &s.secured, 1, 20000));
		ck_assert_int_eq(conn_puts(s.c, "220 gw\r\n"), 0);
		ck_assert(owner_until(&s, &c.readable, 1, 20000));
		owner_run(&s, 10);
		/* What OpenSSL has once, it has from the first time on. */
		if (round > 0)
			ck_assert_uint_eq(count_large(), before);
		owner_stop(&c);
		owner_stop(&s);
	}
	tls_ctx_free(client);
	end();
}
END_TEST

Suite *
tickets_suite(void)
{
	const TTest *const tests[] = {a_session_goes_on_and_gets_a_new_ticket_each_time,
	    a_ticket_leaves_with_what_is_said_first, a_ticket_is_good_as_long_as_its_key_is_there,
	    a_ticket_counts_in_its_own_context_only, tls_1_2_has_no_tickets,
	    without_keys_there_are_no_tickets, where_clients_show_certificates_there_are_no_tickets,
	    a_ticket_that_was_changed_is_void, tickets_count_for_all_names_of_a_context,
	    a_quiet_session_holds_no_buffers, NULL};

	return unit_suite("tickets", tests);
}
