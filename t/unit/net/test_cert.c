#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "net/tls.h"
#include "t/unit/net/certs.h"
#include "t/unit/unit.h"

Suite *cert_suite(void);

static struct evp_pkey_st *
bind_local(struct x509_st *cert, void *arg, struct err *e)
{
	const struct pair *p = arg;

	(void)cert;
	if (p == NULL) {
		(void)err_set(e, ENOTSUP, "no such key");
		return NULL;
	}
	EVP_PKEY_up_ref(p->key);
	return p->key;
}

static struct tls_cert *
load(const char *chain, const struct pair *own, struct err *e)
{
	return tls_cert_new(
	    chain, strlen(chain), false, "gw.pem", bind_local, (void *)(uintptr_t)own, e);
}

START_TEST(a_certificate_that_has_ended_still_loads)
{
	struct pair own = make_cert("gw", NULL, -3, NULL);
	struct tls_cert *c = own_cert(&own, NULL);
	int64_t end = tls_cert_expires(c);

	ck_assert_int_gt(end, (int64_t)clock_unix() - 4 * 86400);
	ck_assert_int_lt(end, (int64_t)clock_unix() - 2 * 86400);
	tls_cert_free(c);
	free_cert(&own);
}
END_TEST

START_TEST(says_which_certificate_of_a_file_is_bad)
{
	struct pair ca = make_cert("CA", NULL, 30, NULL), own = make_cert("gw", NULL, 10, &ca);
	char *good = add_pem(NULL, &own), *two = add_pem(add_pem(NULL, &own), &ca), *torn, *many;
	struct err e;
	int i;

	torn = strdup(two);
	memset(strstr(torn + strlen(good), "-----\n") + 20, '!', 10);
	many = strdup(good);
	for (i = 0; i < 10; i++)
		many = add_pem(many, &ca);
	struct {
		const char *chain, *text;
		const struct pair *own;
	} bad[] = {
	    {"", "gw.pem: there is no certificate in it (PEM is wanted)", &own},
	    {"rubbish\n", "gw.pem: there is no certificate in it (PEM is wanted)", &own},
	    {"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
		"gw.pem: certificate 1 cannot be read: ", &own},
	    {torn, "gw.pem: certificate 2 cannot be read: ", &own},
	    {many, "gw.pem: certificate 11: ", &own},
	    {good, "gw.pem: certificate 1: no such key", NULL},
	    {good, "gw.pem: certificate 1: key values mismatch", &ca},
	};
	for (i = 0; i < (int)(sizeof bad / sizeof bad[0]); i++) {
		ck_assert_ptr_null(load(bad[i].chain, bad[i].own, &e));
		ck_assert_msg(
		    strncmp(e.text, bad[i].text, strlen(bad[i].text)) == 0, "%d: %s", i, e.text);
		ck_assert_int_ne(e.code, 0);
		ck_assert_uint_eq(ERR_peek_error(), 0);
	}
	free(good);
	free(two);
	free(torn);
	free(many);
	free_cert(&ca);
	free_cert(&own);
}
END_TEST

START_TEST(takes_der_as_well)
{
	struct pair ca = make_cert("CA", NULL, 30, NULL), own = make_cert("gw", NULL, 10, &ca);
	uint8_t der[8192], *p = der;
	struct tls_cert *c;
	const uint8_t *got;
	size_t n, first;
	struct err e;

	first = (size_t)i2d_X509(own.cert, &p);
	n = first + (size_t)i2d_X509(ca.cert, &p);
	c = tls_cert_new(der, n, true, "leaf", bind_local, &own, &e);
	ck_assert_msg(c != NULL, "%s", e.text);
	ck_assert_ptr_nonnull(got = tls_cert_der(c, 0, &n));
	ck_assert_uint_eq(n, first);
	ck_assert_mem_eq(got, der, n);
	ck_assert_ptr_nonnull(got = tls_cert_der(c, 1, &n));
	ck_assert_mem_eq(got, der + first, n);
	ck_assert_ptr_null(tls_cert_der(c, 2, &n));
	ck_assert_ptr_null(tls_cert_der(c, 1000, &n));
	tls_cert_free(tls_cert_keep(c));
	tls_cert_free(c);
	tls_cert_free(NULL);

	ck_assert_ptr_null(tls_cert_new(der, first - 1, true, "leaf", bind_local, &own, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "leaf: certificate 1 cannot be read: "));
	ck_assert_ptr_null(tls_cert_new(der, first + 3, true, "leaf", bind_local, &own, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "leaf: certificate 2 cannot be read: "));
	ck_assert_ptr_null(tls_cert_new(der, 0, true, "leaf", bind_local, &own, &e));
	ck_assert_str_eq(e.text, "leaf: there is no certificate in it");
	ck_assert_ptr_null(tls_cert_new("\x30\x80", 2, true, "leaf", bind_local, &own, &e));
	ck_assert_uint_eq(ERR_peek_error(), 0);
	free_cert(&ca);
	free_cert(&own);
}
END_TEST

START_TEST(knows_its_names_and_its_kind)
{
	struct pair ca = make_cert("CA", NULL, 30, NULL);
	struct pair ec = make_cert("cn.example",
	    "DNS:mail.example.org,DNS:*.wild.example,IP:192.0.2.1,IP:2001:db8::1", 10, &ca);
	struct pair rsa = make_cert_for(rsa_key(), "cn.example", NULL, 10, &ca);
	struct tls_cert *c = own_cert(&ec, NULL), *d = own_cert(&rsa, NULL);

	ck_assert_str_eq(tls_cert_kind(c), "ecdsa");
	ck_assert(tls_cert_is_for(c, "mail.example.org"));
	ck_assert(tls_cert_is_for(c, "MAIL.example.org."));
	ck_assert(tls_cert_is_for(c, "x.wild.example"));
	ck_assert(tls_cert_is_for(c, "192.0.2.1"));
	ck_assert(tls_cert_is_for(c, "2001:db8::1"));
	ck_assert(!tls_cert_is_for(c, "cn.example"));
	ck_assert(!tls_cert_is_for(c, "x.y.wild.example"));
	ck_assert(!tls_cert_is_for(c, "192.0.2.2"));
	ck_assert(!tls_cert_is_for(c, ""));
	ck_assert_str_eq(tls_cert_kind(d), "rsa");
	ck_assert(tls_cert_is_for(d, "cn.example"));
	ck_assert(!tls_cert_is_for(d, "mail.example.org"));
	tls_cert_free(c);
	tls_cert_free(d);
	free_cert(&ec);
	free_cert(&rsa);
	free_cert(&ca);
}
END_TEST

START_TEST(weak_and_foreign_keys_are_refused)
{
	struct pair ca = make_cert("CA", NULL, 30, NULL);
	const struct {
		EVP_PKEY *key;
		const char *text;
	} bad[] = {
	    {EVP_RSA_gen(1024), "gw.pem: certificate 1: ee key too small"},
	    {EVP_EC_gen("secp256k1"), "gw.pem: certificate 1: RSA keys are possible, Ed25519 and"},
	    {EVP_EC_gen("P-224"), "gw.pem: certificate 1: "},
	    {EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), "gw.pem: certificate 1: RSA keys are "},
	};
	struct err e;
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct pair p = make_cert_for(bad[i].key, "gw", NULL, 10, &ca);
		char *pem = add_pem(NULL, &p);

		ck_assert_ptr_null(load(pem, &p, &e));
		ck_assert_msg(
		    strncmp(e.text, bad[i].text, strlen(bad[i].text)) == 0, "%zu: %s", i, e.text);
		free(pem);
		free_cert(&p);
	}
	free_cert(&ca);
}
END_TEST

START_TEST(a_context_keeps_what_it_shows)
{
	struct pair own = make_cert("gw", "DNS:gw.example.org", 10, NULL);
	struct tls_cert *c = own_cert(&own, NULL);
	SSL_CTX *ctx = serving(c, NULL);
	SSL *ssl;

	tls_cert_free(c);
	free_cert(&own);
	ssl = SSL_new(ctx);
	tls_ctx_free(ctx);
	ck_assert_ptr_nonnull(SSL_get_certificate(ssl));
	SSL_free(ssl);
}
END_TEST

Suite *
cert_suite(void)
{
	const TTest *const tests[] = {a_certificate_that_has_ended_still_loads,
	    says_which_certificate_of_a_file_is_bad, takes_der_as_well,
	    knows_its_names_and_its_kind, weak_and_foreign_keys_are_refused,
	    a_context_keeps_what_it_shows, NULL};

	return unit_suite("cert", tests);
}
