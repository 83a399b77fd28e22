#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "keyctl/cacert.h"
#include "keyctl/tlskey.h"
#include "t/unit/unit.h"

Suite *cacert_suite(void);

struct subject {
	const char *org, *cn, *cn2; /* NULL: left out */
	int ca; /* -1: no basic constraints */
	int ours;
};

static X509 *
certificate(EVP_PKEY *pk, const struct subject *s)
{
	X509 *x = X509_new();
	X509_NAME *n = X509_get_subject_name(x);
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	const char *parts[][2] = {{"O", s->org}, {"CN", s->cn}, {"CN", s->cn2}};

	ck_assert_int_eq(X509_set_version(x, X509_VERSION_3), 1);
	for (unsigned i = 0; i < 3; i++)
		if (parts[i][1] != NULL)
			ck_assert_int_eq(X509_NAME_add_entry_by_txt(n, parts[i][0], MBSTRING_UTF8,
					     (const uint8_t *)parts[i][1], -1, -1, 0),
			    1);
	ck_assert_int_eq(X509_set_issuer_name(x, n), 1);
	ck_assert_ptr_nonnull(ASN1_TIME_set(X509_getm_notBefore(x), 1700000000));
	ck_assert_ptr_nonnull(ASN1_TIME_set(X509_getm_notAfter(x), 2500000000));
	ck_assert_int_eq(X509_set_pubkey(x, pk), 1);
	bc->ca = s->ca > 0 ? 0xff : 0;
	if (s->ca != -1)
		ck_assert_int_eq(X509_add1_ext_i2d(x, NID_basic_constraints, bc, 1, 0), 1);
	BASIC_CONSTRAINTS_free(bc);
	ck_assert_int_gt(X509_sign(x, pk, EVP_sha256()), 0);
	return x;
}

static struct bytes
der_of(X509 *x, uint8_t **mem)
{
	int n;

	*mem = NULL;
	ck_assert_int_gt(n = i2d_X509(x, mem), 0);
	return (struct bytes){*mem, (size_t)n};
}

/* A backup: the key and the certificate in one file. */
static void
backup(EVP_PKEY *pk, struct bytes der, struct buf *out)
{
	BIO *b = BIO_new(BIO_s_mem());
	struct err e = {0};
	char *p;
	long n;

	ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(b, pk, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(b, &p);
	ck_assert_int_eq(buf_put(out, p, (size_t)n), 0);
	BIO_free(b);
	ck_assert_msg(cacert_pem(der, out, &e) == 0, "%s", e.text);
}

START_TEST(knows_an_authority_of_a_gateway)
{
	static const char longest[] =
	    "0123456789012345678901234567890123456789012345678901234567890123";
	static const struct subject t[] = {
	    {"Postern", "Authority", NULL, 1, 1},
	    {"Postern", "J\xc3\xbcrgens", NULL, 1, 1},
	    {"Postern", longest, NULL, 1, 1},
	    {"Postern", "Authority", NULL, 0, 0},
	    {"Postern", "Authority", NULL, -1, 0},
	    {"Postern", "Authority", "Another", 1, 0},
	    {"Postern", NULL, NULL, 1, 0},
	    {NULL, "Authority", NULL, 1, 0},
	    {"Postern Inc", "Authority", NULL, 1, 0},
	    {"Another", "Authority", NULL, 1, 0},
	};
	EVP_PKEY *pk = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	struct tls_key_ask ask = {.pass = NULL};
	struct buf file, mem;
	struct tls_key *k;
	struct cacert view;
	struct err e = {0};
	struct bytes der;
	uint8_t *octets;
	X509 *x;

	buf_init(&file, 1 << 16);
	buf_init(&mem, 1 << 16);
	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		x = certificate(pk, &t[i]);
		der = der_of(x, &octets);
		ck_assert_msg((cacert_read(der, &view, &e) == 0) == t[i].ours, "%u", i);
		if (t[i].ours) {
			ck_assert_str_eq(view.name, t[i].cn);
			ck_assert_str_eq(view.algo, "nistp384");
			ck_assert_uint_eq(view.begins, 1700000000);
			ck_assert_uint_eq(view.ends, 2500000000);
			ck_assert_uint_eq(strlen(view.sha256), 64);
		}
		/* As the jail reads it in a backup. */
		buf_reset(&file);
		buf_reset(&mem);
		backup(pk, der, &file);
		ask.file = ask.chain = (struct bytes){buf_ptr(&file), buf_len(&file)};
		ck_assert_int_eq(tls_key_read(&ask, &mem), 0);
		k = rec_decode(&rec_tls_key, buf_ptr(&mem), buf_len(&mem));
		ck_assert_ptr_nonnull(k);
		ck_assert_msg(k->code == 0, "%s", k->text);
		ck_assert_str_eq(k->authority, t[i].ours ? t[i].cn : "");
		ck_assert_uint_eq(k->expires, 2500000000);
		free(k);
		OPENSSL_free(octets);
		X509_free(x);
	}
	ck_assert_int_eq(cacert_read((struct bytes){(const uint8_t *)"0\x82", 2}, &view, &e), -1);
	ck_assert_int_eq(cacert_pem((struct bytes){(const uint8_t *)"0\x82", 2}, &file, &e), -1);
	EVP_PKEY_free(pk);
	buf_free(&file);
	buf_free(&mem);
}
END_TEST

Suite *
cacert_suite(void)
{
	const TTest *const tests[] = {knows_an_authority_of_a_gateway, NULL};

	return unit_suite("keyctl authorities", tests);
}
