/* Settings of TLS that people write. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/tls.h"
#include "t/unit/net/certs.h"
#include "t/unit/net/owner.h"
#include "t/unit/unit.h"

Suite *options_suite(void);

START_TEST(settings_that_can_be_used_are_taken)
{
	static const char *const alpn[] = {"imap", "pop3"};
	static const struct tls_options good[] = {
	    {.min_version = TLS_V12},
	    {.min_version = TLS_V13},
	    {.ciphers = "", .ciphersuites = "", .groups = ""},
	    {.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"},
	    {.ciphers = "HIGH:!aNULL:!MD5:!RC4:!3DES:!EXPORT:@STRENGTH"},
	    {.ciphers = "ECDHE+AESGCM DHE+CHACHA20, ECDHE+AES"},
	    {.ciphers = "AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", .any_kex = true},
	    {.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"},
	    {.groups = "X25519"},
	    {.groups = "P-384:X25519:prime256v1"},
	    {.min_version = TLS_V13,
		.ciphersuites = "TLS_AES_256_GCM_SHA384",
		.groups = "X25519:P-256",
		.alpn = alpn,
		.nalpn = 2},
	};
	struct err e;
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++)
		ck_assert_msg(tls_options_check(&good[i], &e) == 0, "%zu: %s", i, e.text);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

START_TEST(settings_that_cannot_be_used_are_named)
{
	static char much[5000], wide[300];
	static const char *const empty[] = {"pop3", ""}, *const lengthy[] = {wide};
	const struct {
		struct tls_options o;
		const char *text;
	} bad[] = {
	    {{.ciphers = "ECDHE+AESGCM:BOGUS"}, "ciphers: \"BOGUS\": OpenSSL knows no such cipher"},
	    {{.ciphers = "ECDHE+AESGCM:!SAH1"}, "ciphers: \"!SAH1\": OpenSSL knows no such cipher"},
	    {{.ciphers = "TLS_AES_128_GCM_SHA256"},
		"ciphers: \"TLS_AES_128_GCM_SHA256\" is of TLS 1.3: it belongs in ciphersuites"},
	    {{.ciphers = "ALL:@SECLEVEL=0"}, "ciphers: \"@SECLEVEL=0\": the security level is 2"},
	    {{.ciphers = "AES128-GCM-SHA256"}, "ciphers: nothing of \"AES128-GCM-SHA256\" can be"},
	    {{.ciphers = "AES128-GCM-SHA256", .any_kex = true}, "ciphers: nothing of "},
	    {{.ciphers = "aNULL"}, "ciphers: "},
	    {{.ciphers = "eNULL"}, "ciphers: "},
	    {{.ciphers = "PSK"}, "ciphers: "},
	    {{.ciphers = "ECDHE+AESGCM:!ECDHE"}, "ciphers: nothing of "},
	    {{.ciphers = ":"}, "ciphers: "},
	    {{.ciphers = much}, "ciphers: a list of more than 4096 octets"},
	    {{.ciphers = wide}, "ciphers: \"wwwwwwwwww"},
	    {{.ciphersuites = "TLS_AES_128_GCM_SHA256:TLS_BOGUS"},
		"ciphersuites: \"TLS_BOGUS\": OpenSSL knows no such cipher of TLS 1.3"},
	    {{.ciphersuites = "ECDHE-RSA-AES128-GCM-SHA256"}, "ciphersuites: \"ECDHE-RSA-"},
	    {{.ciphersuites = ":"}, "ciphersuites: nothing of"},
	    {{.groups = "X25519:P-257"}, "groups: \"P-257\": OpenSSL knows no such group"},
	    {{.groups = "X25519:X25519"}, "groups: \"X25519:X25519\": "},
	    {{.groups = ":"}, "groups: "},
	    {{.alpn = empty, .nalpn = 2}, "alpn: \"\": a protocol has 1 to 255 octets"},
	    {{.alpn = lengthy, .nalpn = 1}, "alpn: \"wwww"},
	};
	struct err e;
	size_t i;

	memset(much, 'm', sizeof much - 1);
	memset(wide, 'w', sizeof wide - 1);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		memset(&e, 0, sizeof e);
		ck_assert_msg(tls_options_check(&bad[i].o, &e) == -1, "%zu", i);
		ck_assert_msg(
		    strncmp(e.text, bad[i].text, strlen(bad[i].text)) == 0, "%zu: %s", i, e.text);
		ck_assert_int_ne(e.code, 0);
		ck_assert_uint_eq(ERR_peek_error(), 0);
		ck_assert_ptr_null(tls_client_ctx(&bad[i].o, NULL, 0, "none", &e));
		ck_assert_ptr_null(
		    tls_server_ctx(&(struct tls_server_options){.o = bad[i].o, .context = ""}, &e));
	}
}
END_TEST

/* --- what they do --- */

static const char *
agreed(const struct tls_options *server, const struct tls_options *client, char out[100])
{
	struct pair ca = make_cert("Test CA", NULL, 30, NULL);
	struct pair p = make_cert_for(rsa_key(), "gw", "DNS:m.example", 10, &ca);
	struct tls_cert *cert = own_cert(&p, NULL);
	struct tls_server_options so = {
	    .o = *server, .certs = &cert, .ncerts = 1, .context = "test"};
	struct conn_peer peer = peer_ca("m.example");
	SSL_CTX *sctx, *cctx = trusting_with(client, &ca);
	struct owner s, c;
	struct err e;

	ck_assert_ptr_nonnull(sctx = tls_server_ctx(&so, &e));
	owner_start(&s, &owner_limits, false);
	owner_join(&c, &s, &owner_limits);
	ck_assert_int_eq(conn_accept_tls(s.c, sctx, false, &e), 0);
	ck_assert_int_eq(conn_start_tls(c.c, cctx, &peer, &e), 0);
	while (c.secured + c.closed == 0 || s.secured + s.closed == 0)
		owner_run(&s, 1);
	(void)snprintf(out, 100, "%s", s.secured ? conn_tls_text(s.c) : "");
	owner_stop(&c);
	owner_stop(&s);
	tls_ctx_free(sctx);
	tls_ctx_free(cctx);
	tls_cert_free(cert);
	free_cert(&p);
	free_cert(&ca);
	return out;
}

START_TEST(settings_decide_what_is_spoken)
{
	static const struct {
		struct tls_options server, client;
		const char *want; /* "": nothing */
	} t[] = {
	    {{0}, {0}, "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"},
	    {{.ciphersuites = "TLS_AES_128_GCM_SHA256"}, {0},
		"TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits)"},
	    {{.min_version = TLS_V13, .groups = "P-384"}, {.groups = "P-256:P-384"},
		"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"},
	    {{.groups = "P-384"}, {.groups = "P-256"}, ""},
	};
	char text[100];
	size_t i;

	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		ck_assert_str_eq(agreed(&t[i].server, &t[i].client, text), t[i].want);
}
END_TEST

/* Against an OpenSSL of the other side that would do anything in TLS 1.2. */
static bool
would_speak(bool any_kex, const char *theirs)
{
	struct tls_options o = {.any_kex = any_kex};
	SSL_CTX *ctx = tls_client_ctx(&o, NULL, 0, "none", NULL);
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
	bool found = false;
	int i;

	for (i = 0; i < sk_SSL_CIPHER_num(all); i++)
		found |= strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i)), theirs) == 0;
	tls_ctx_free(ctx);
	return found;
}

START_TEST(forward_secrecy_is_given_up_for_peers_only_and_on_request)
{
	ck_assert(!would_speak(false, "AES128-GCM-SHA256"));
	ck_assert(would_speak(true, "AES128-GCM-SHA256"));
	ck_assert(would_speak(false, "ECDHE-RSA-AES128-GCM-SHA256"));
	ck_assert(!would_speak(true, "ADH-AES128-GCM-SHA256"));
	ck_assert(!would_speak(true, "PSK-AES128-GCM-SHA256"));
}
END_TEST

Suite *
options_suite(void)
{
	return unit_suite(
	    "options", (const TTest *const[]){settings_that_can_be_used_are_taken,
			   settings_that_cannot_be_used_are_named, settings_decide_what_is_spoken,
			   forward_secrecy_is_given_up_for_peers_only_and_on_request, NULL});
}
