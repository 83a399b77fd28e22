#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "keyctl/tlskey.h"
#include "openpgp/algo.h"
#include "openpgp/skey.h"
#include "t/unit/unit.h"

Suite *tlskey_suite(void);

static const struct kind {
	const char *type, *group;
	size_t bits;
	const char *shown;
	unsigned algo;
} kinds[] = {
    {"RSA", NULL, 2048, "RSA 2048", PGP_PK_RSA},
    {"EC", "P-256", 0, "P-256", PGP_PK_ECDSA},
    {"EC", "P-384", 0, "P-384", PGP_PK_ECDSA},
    {"EC", "P-521", 0, "P-521", PGP_PK_ECDSA},
    {"ED25519", NULL, 0, "Ed25519", PGP_PK_EDDSA},
};
#define NKINDS (sizeof kinds / sizeof kinds[0])

static EVP_PKEY *
make(const struct kind *k)
{
	EVP_PKEY *pk = k->group != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, k->type, k->group)
		       : k->bits > 0    ? EVP_PKEY_Q_keygen(NULL, NULL, k->type, k->bits)
					: EVP_PKEY_Q_keygen(NULL, NULL, k->type);

	ck_assert_ptr_nonnull(pk);
	return pk;
}

enum form { PKCS8, TRADITIONAL, ENCRYPTED };

static void
to_pem(EVP_PKEY *pk, enum form form, const char *pass, struct buf *out)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	if (form == TRADITIONAL)
		ck_assert_int_eq(
		    PEM_write_bio_PrivateKey_traditional(b, pk, NULL, NULL, 0, NULL, NULL), 1);
	else
		ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(b, pk,
				     form == ENCRYPTED ? EVP_aes_128_cbc() : NULL, pass,
				     pass != NULL ? (int)strlen(pass) : 0, NULL, NULL),
		    1);
	n = BIO_get_mem_data(b, &p);
	ck_assert_int_eq(buf_put(out, p, (size_t)n), 0);
	BIO_free(b);
}

/* A certificate of the key, signed by itself. */
static void
to_cert(EVP_PKEY *pk, const char *name, struct buf *out)
{
	X509 *x = X509_new();
	X509_NAME *n = X509_get_subject_name(x);
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long len;

	ck_assert_int_eq(X509_set_version(x, 2), 1);
	ck_assert_int_eq(
	    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0),
	    1);
	ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(x), 0));
	ck_assert_ptr_nonnull(X509_time_adj_ex(X509_getm_notAfter(x), 30, 0, NULL));
	ck_assert_int_eq(X509_set_pubkey(x, pk), 1);
	ck_assert_int_gt(
	    X509_sign(x, pk, EVP_PKEY_get_id(pk) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()), 0);
	ck_assert_int_eq(PEM_write_bio_X509(b, x), 1);
	len = BIO_get_mem_data(b, &p);
	ck_assert_int_eq(buf_put(out, p, (size_t)len), 0);
	BIO_free(b);
	X509_free(x);
}

static struct tls_key *
ask(struct buf *mem, const struct buf *file, const struct buf *chain, const char *pass)
{
	struct tls_key_ask a = {
	    .file = {buf_ptr(file), buf_len(file)},
	    .pass = pass,
	};
	struct tls_key *k;

	if (chain != NULL)
		a.chain = (struct bytes){buf_ptr(chain), buf_len(chain)};
	buf_reset(mem);
	ck_assert_int_eq(tls_key_read(&a, mem), 0);
	k = rec_decode(&rec_tls_key, buf_ptr(mem), buf_len(mem));
	ck_assert_ptr_nonnull(k);
	return k;
}

/* What cryptod checks: the halves belong together. */
static void
load(const struct tls_key *k)
{
	struct err e = {0};
	struct pgp_skey *s = pgp_skey_load(k->algo, 0, k->params, k->secret, &e);

	ck_assert_msg(s != NULL, "%s: %s", k->kind, e.text);
	pgp_skey_free(s);
}

static void
write_back(const struct tls_key *k)
{
	struct buf file, mem;
	struct err e = {0};
	struct tls_key *k2;

	buf_init(&file, 1 << 16);
	buf_init(&mem, 1 << 16);
	ck_assert_msg(tls_key_write(k->algo, k->params, k->secret, "other", &file, &e) == 0,
	    "%s: %s", k->kind, e.text);
	ck_assert_ptr_nonnull(
	    memmem(buf_ptr(&file), buf_len(&file), "BEGIN ENCRYPTED PRIVATE KEY", 27));
	k2 = ask(&mem, &file, NULL, "other");
	ck_assert_msg(k2->code == 0, "%s: %s", k->kind, k2->text);
	ck_assert_uint_eq(k->params.n, k2->params.n);
	ck_assert_mem_eq(k->params.p, k2->params.p, k->params.n);
	ck_assert_uint_eq(k->secret.n, k2->secret.n);
	ck_assert_mem_eq(k->secret.p, k2->secret.p, k->secret.n);
	free(k2);
	buf_free(&file);
	buf_wipe_free(&mem);
}

START_TEST(reads_every_kind_and_writes_it_back)
{
	struct buf file, mem;
	struct tls_key *k;
	EVP_PKEY *pk;

	buf_init(&file, 1 << 16);
	buf_init(&mem, 1 << 16);
	for (size_t i = 0; i < NKINDS; i++) {
		pk = make(&kinds[i]);
		for (int form = PKCS8; form <= ENCRYPTED; form++) {
			if (form == TRADITIONAL && kinds[i].algo == PGP_PK_EDDSA)
				continue; /* has none */
			buf_reset(&file);
			ck_assert_int_eq(buf_puts(&file, "words before\n"), 0);
			to_pem(pk, (enum form)form, form == ENCRYPTED ? "word" : NULL, &file);
			k = ask(&mem, &file, NULL, form == ENCRYPTED ? "word" : NULL);
			ck_assert_msg(k->code == 0, "%s: %s", kinds[i].shown, k->text);
			ck_assert_str_eq(k->kind, kinds[i].shown);
			ck_assert_uint_eq(k->algo, kinds[i].algo);
			load(k);
			if (form == PKCS8)
				write_back(k);
			free(k);
		}
		EVP_PKEY_free(pk);
	}
	buf_free(&file);
	buf_wipe_free(&mem);
}
END_TEST

START_TEST(tells_which_passphrase_is_wanted)
{
	struct buf file, mem;
	EVP_PKEY *pk = make(&kinds[1]);
	struct tls_key *k;

	buf_init(&file, 1 << 16);
	buf_init(&mem, 1 << 16);
	to_pem(pk, ENCRYPTED, "word", &file);
	k = ask(&mem, &file, NULL, NULL);
	ck_assert_uint_eq(k->code, EACCES);
	free(k);
	k = ask(&mem, &file, NULL, "another");
	ck_assert_uint_eq(k->code, EKEYREJECTED);
	ck_assert_uint_eq(k->secret.n, 0);
	free(k);
	EVP_PKEY_free(pk);
	buf_free(&file);
	buf_free(&mem);
}
END_TEST

START_TEST(compares_the_key_with_the_first_certificate)
{
	struct buf file, chain, mem;
	EVP_PKEY *pk = make(&kinds[1]), *other = make(&kinds[1]);
	struct tls_key *k;

	buf_init(&file, 1 << 16);
	buf_init(&chain, 1 << 16);
	buf_init(&mem, 1 << 16);
	to_pem(pk, PKCS8, NULL, &file);
	to_cert(pk, "mail.a.example", &chain);
	to_cert(other, "Authority", &chain);
	k = ask(&mem, &file, &chain, NULL);
	ck_assert_msg(k->code == 0, "%s", k->text);
	ck_assert_str_eq(k->subject, "CN=mail.a.example");
	ck_assert_uint_gt(k->expires, 1700000000);
	free(k);
	buf_reset(&chain);
	to_cert(other, "Authority", &chain);
	to_cert(pk, "mail.a.example", &chain);
	k = ask(&mem, &file, &chain, NULL);
	ck_assert_uint_eq(k->code, EKEYREJECTED);
	ck_assert_uint_eq(k->of_chain, 1);
	ck_assert_uint_eq(k->secret.n, 0);
	free(k);
	k = ask(&mem, &file, &file, NULL);
	ck_assert_uint_eq(k->code, EBADMSG);
	ck_assert_uint_eq(k->of_chain, 1);
	free(k);
	/* The passphrase comes before the certificate. */
	buf_reset(&file);
	to_pem(pk, ENCRYPTED, "word", &file);
	k = ask(&mem, &file, &chain, "another");
	ck_assert_uint_eq(k->code, EKEYREJECTED);
	ck_assert_uint_eq(k->of_chain, 0);
	free(k);
	EVP_PKEY_free(pk);
	EVP_PKEY_free(other);
	buf_free(&file);
	buf_free(&chain);
	buf_free(&mem);
}
END_TEST

START_TEST(refuses_what_cryptod_does_not_sign_with)
{
	static const struct kind bad[] = {
	    {"RSA", NULL, 1024, "1024 bit", 0},
	    {"EC", "secp256k1", 0, "secp256k1", 0},
	    {"X25519", NULL, 0, "X25519", 0},
	    {"ED448", NULL, 0, "ED448", 0},
	};
	static const char *const texts[] = {"", "hello\n", "-----BEGIN PRIVATE KEY-----\n",
	    "-----BEGIN PRIVATE KEY-----\n####\n-----END PRIVATE KEY-----\n",
	    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
	struct buf file, mem;
	struct tls_key *k;
	EVP_PKEY *pk;

	buf_init(&file, 1 << 16);
	buf_init(&mem, 1 << 16);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		buf_reset(&file);
		pk = make(&bad[i]);
		to_pem(pk, PKCS8, NULL, &file);
		k = ask(&mem, &file, NULL, NULL);
		ck_assert_uint_eq(k->code, ENOTSUP);
		ck_assert_msg(strstr(k->text, bad[i].shown) != NULL, "%s", k->text);
		free(k);
		EVP_PKEY_free(pk);
	}
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		buf_reset(&file);
		ck_assert_int_eq(buf_puts(&file, texts[i]), 0);
		k = ask(&mem, &file, NULL, NULL);
		ck_assert_msg(k->code == EBADMSG, "%zu: %s", i, k->text);
		free(k);
	}
	buf_free(&file);
	buf_free(&mem);
}
END_TEST

Suite *
tlskey_suite(void)
{
	const TTest *const tests[] = {
	    reads_every_kind_and_writes_it_back,
	    tells_which_passphrase_is_wanted,
	    compares_the_key_with_the_first_certificate,
	    refuses_what_cryptod_does_not_sign_with,
	    NULL,
	};

	return unit_suite("keyctl TLS keys", tests);
}
