#include "t/unit/proxy/pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "t/unit/unit.h"

static void
extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

void
card_make(struct card *c, const char *cn, const char *names, long seconds,
    const struct card *issuer, EVP_PKEY *key)
{
	static long serial;
	uint8_t *p = c->der;
	X509_NAME *n;

	c->x = X509_new();
	c->key = key != NULL ? key : EVP_EC_gen("P-256");
	if (key != NULL)
		EVP_PKEY_up_ref(key);
	n = X509_get_subject_name(c->x);
	X509_set_version(c->x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(c->x), -86400);
	X509_gmtime_adj(X509_getm_notAfter(c->x), seconds);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0);
	X509_set_issuer_name(c->x, issuer != NULL ? X509_get_subject_name(issuer->x) : n);
	X509_set_pubkey(c->x, c->key);
	if (names != NULL)
		extend(c->x, NID_subject_alt_name, names);
	if (issuer == NULL)
		extend(c->x, NID_basic_constraints, "critical,CA:TRUE");
	ck_assert_int_gt(X509_sign(c->x, issuer != NULL ? issuer->key : c->key, EVP_sha256()), 0);
	ck_assert_int_le(i2d_X509(c->x, NULL), (int)sizeof c->der);
	c->n = (size_t)i2d_X509(c->x, &p);
}

void
card_free(struct card *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
}

char *
card_pem(const struct card *first, const struct card *second)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p, *text;
	long n;

	ck_assert_int_eq(PEM_write_bio_X509(b, first->x), 1);
	if (second != NULL)
		ck_assert_int_eq(PEM_write_bio_X509(b, second->x), 1);
	n = BIO_get_mem_data(b, &p);
	text = strndup(p, (size_t)n);
	BIO_free(b);
	return text;
}

static EVP_PKEY *
bind_card(X509 *x, void *arg, struct err *e)
{
	EVP_PKEY *key = ((const struct card *)arg)->key;

	(void)x;
	(void)e;
	EVP_PKEY_up_ref(key);
	return key;
}

struct ssl_ctx_st *
card_serve(const struct card *c, const struct card *issuer)
{
	char *pem = card_pem(c, issuer);
	struct tls_cert *cert;
	struct tls_server_options o = {.certs = &cert, .ncerts = 1, .context = "far"};
	struct ssl_ctx_st *ctx;
	struct err e = {0};

	cert =
	    tls_cert_new(pem, strlen(pem), false, "far.pem", bind_card, (void *)(uintptr_t)c, &e);
	ck_assert_msg(cert != NULL, "%s", e.text);
	ctx = tls_server_ctx(&o, &e);
	ck_assert_msg(ctx != NULL, "%s", e.text);
	tls_cert_free(cert);
	free(pem);
	return ctx;
}
