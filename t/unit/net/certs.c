#include "t/unit/net/certs.h"

#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/tls.h"
#include "t/unit/unit.h"

EVP_PKEY *
rsa_key(void)
{
	static EVP_PKEY *key;

	if (key == NULL)
		key = EVP_RSA_gen(2048);
	EVP_PKEY_up_ref(key);
	return key;
}

struct pair
make_cert(const char *cn, const char *names, long days, const struct pair *issuer)
{
	return make_cert_for(EVP_EC_gen("P-256"), cn, names, days, issuer);
}

struct pair
make_cert_for(
    EVP_PKEY *key, const char *cn, const char *names, long days, const struct pair *issuer)
{
	struct pair p = {X509_new(), key};
	X509_NAME *n = X509_get_subject_name(p.cert);
	X509_EXTENSION *ext;
	static int serial;

	X509_set_version(p.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(p.cert), ++serial);
	X509_time_adj_ex(X509_getm_notBefore(p.cert), days < 0 ? (int)(days * 2) : -1, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(p.cert), (int)days, 0, NULL);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(p.cert, issuer != NULL ? X509_get_subject_name(issuer->cert) : n);
	X509_set_pubkey(p.cert, p.key);
	if (names != NULL) {
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
		ck_assert_ptr_nonnull(ext);
		X509_add_ext(p.cert, ext, -1);
		X509_EXTENSION_free(ext);
	}
	if (issuer == NULL) {
		ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
		X509_add_ext(p.cert, ext, -1);
		X509_EXTENSION_free(ext);
	}
	ck_assert_int_gt(X509_sign(p.cert, issuer != NULL ? issuer->key : p.key, EVP_sha256()), 0);
	return p;
}

void
free_cert(struct pair *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
}

char *
add_pem(char *text, const struct pair *p)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *pem, *all;
	long n;

	ck_assert_int_eq(PEM_write_bio_X509(b, p->cert), 1);
	n = BIO_get_mem_data(b, &pem);
	ck_assert_int_ne(asprintf(&all, "%s%.*s", text != NULL ? text : "", (int)n, pem), -1);
	BIO_free(b);
	free(text);
	return all;
}

const struct tls_options usual_tls;

SSL_CTX *
trusting_with(const struct tls_options *o, const struct pair *ca)
{
	char *pem = add_pem(NULL, ca);
	struct err e = {0};
	SSL_CTX *ctx = tls_client_ctx(o, pem, strlen(pem), "ca.pem", &e);

	ck_assert_msg(ctx != NULL, "%s", e.text);
	free(pem);
	return ctx;
}

SSL_CTX *
trusting(const struct pair *ca)
{
	return trusting_with(&usual_tls, ca);
}

struct conn_peer
peer_ca(const char *name)
{
	return (struct conn_peer){.name = name, .verify = CONN_VERIFY_CA};
}

static EVP_PKEY *
bind_pair(X509 *cert, void *arg, struct err *e)
{
	const struct pair *p = arg;

	(void)cert;
	(void)e;
	EVP_PKEY_up_ref(p->key);
	return p->key;
}

struct tls_cert *
own_cert(const struct pair *p, const struct pair *issuer)
{
	char *pem = add_pem(NULL, p);
	struct err e = {0};
	struct tls_cert *c;

	if (issuer != NULL)
		pem = add_pem(pem, issuer);
	c = tls_cert_new(pem, strlen(pem), false, "gw.pem", bind_pair, (void *)(uintptr_t)p, &e);
	ck_assert_msg(c != NULL, "%s", e.text);
	free(pem);
	return c;
}

SSL_CTX *
serving(struct tls_cert *c, const struct pair *client_ca)
{
	struct tls_server_options o = {.certs = &c, .ncerts = c != NULL, .context = "test"};
	char *pem = client_ca != NULL ? add_pem(NULL, client_ca) : NULL;
	struct err e = {0};
	SSL_CTX *ctx;

	if (pem != NULL) {
		o.auth = TLS_AUTH_REQUIRE;
		o.client_ca = pem;
		o.client_ca_n = strlen(pem);
		o.client_ca_name = "clients.pem";
	}
	ctx = tls_server_ctx(&o, &e);
	ck_assert_msg(ctx != NULL, "%s", e.text);
	free(pem);
	return ctx;
}
