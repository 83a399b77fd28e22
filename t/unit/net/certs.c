#include "t/unit/net/certs.h"

#include <stdio.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/tls.h"
#include "t/unit/unit.h"

struct pair
make_cert(const char *cn, const char *names, long days, const struct pair *issuer)
{
	struct pair p = {X509_new(), EVP_EC_gen("P-256")};
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

SSL_CTX *
trusting(const struct pair *ca)
{
	BIO *b = BIO_new(BIO_s_mem());
	SSL_CTX *ctx;
	struct err e = {0};
	char *pem;
	long n;

	ck_assert_int_eq(PEM_write_bio_X509(b, ca->cert), 1);
	n = BIO_get_mem_data(b, &pem);
	ctx = tls_client_ctx(pem, (size_t)n, "ca.pem", &e);
	ck_assert_msg(ctx != NULL, "%s", e.text);
	BIO_free(b);
	return ctx;
}
