#include <errno.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#include "base/enc.h"
#include "t/unit/keyprov/holder.h"
#include "t/unit/unit.h"

Suite *key_suite(void);

/* --- handles --- */

/* The generator of a curve: the public key of the private key 1. */
static EVP_PKEY *
generator(const char *curve, int compressed)
{
	EC_GROUP *g = EC_GROUP_new_by_curve_name(EC_curve_nist2nid(curve));
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	unsigned char point[140];
	EVP_PKEY *key = NULL;
	OSSL_PARAM params[3];
	size_t n;

	n = EC_POINT_point2oct(g, EC_GROUP_get0_generator(g),
	    compressed ? POINT_CONVERSION_COMPRESSED : POINT_CONVERSION_UNCOMPRESSED, point,
	    sizeof point, NULL);
	params[0] = OSSL_PARAM_construct_utf8_string(
	    OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)curve, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, n);
	params[2] = OSSL_PARAM_construct_end();
	ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
	ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	EVP_PKEY_CTX_free(ctx);
	EC_GROUP_free(g);
	return key;
}

/* n = 2^2047 + 1, e = 65537: nobody looks whether it is a product of two primes. */
static EVP_PKEY *
odd_rsa(void)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *n = BN_new(), *e = BN_new();
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params;

	BN_set_bit(n, 2047);
	BN_set_bit(n, 0);
	BN_set_word(e, 65537);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
	params = OSSL_PARAM_BLD_to_param(bld);
	ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
	ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	return key;
}

static void
has_handle(EVP_PKEY *key, const char *want)
{
	uint8_t handle[KEYPROV_HANDLE];
	char hex[2 * KEYPROV_HANDLE + 1];
	struct err e;

	ck_assert_int_eq(keyprov_handle(key, handle, &e), 0);
	ck_assert_str_eq(hex_encode(hex, handle, sizeof handle), want);
	EVP_PKEY_free(key);
}

/* Computed apart from the definition in RFC 9580, 5.5.4.2. */
START_TEST(handles_are_openpgp_fingerprints_with_time_0)
{
	static const uint8_t ed[32] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b,
	    0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25,
	    0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};

	has_handle(odd_rsa(), "C92FBC8577AFE60CC398A57BD97C71D9AC523893");
	has_handle(generator("P-256", 0), "8F37E3F7339D2542B8133BE64D8F4714A14548AC");
	has_handle(generator("P-256", 1), "8F37E3F7339D2542B8133BE64D8F4714A14548AC");
	has_handle(generator("P-384", 0), "65680FE696559FE8FAB9459B7E6DDC75EC1AA80F");
	has_handle(generator("P-521", 0), "C1E4DCE1DF2C8A909EF8B66EC6C89021C9212EC9");
	has_handle(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, ed, sizeof ed),
	    "3CBB1D29D4118DCC7BF8510362FEC138F168B98F");
}
END_TEST

START_TEST(refuses_keys_that_could_not_sign)
{
	EVP_PKEY *keys[] = {EVP_RSA_gen(1024), EVP_EC_gen("brainpoolP256r1"), EVP_EC_gen("P-224"),
	    EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), EVP_PKEY_Q_keygen(NULL, NULL, "ED448")};
	struct err e;
	X509 *x;
	size_t i;

	holder_start();
	for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		x = X509_new();
		ck_assert_int_eq(X509_set_pubkey(x, keys[i]), 1);
		ck_assert_ptr_null(keyprov_key(x, NULL, &e));
		ck_assert_int_eq(e.code, ENOTSUP);
		X509_free(x);
		EVP_PKEY_free(keys[i]);
	}
	x = X509_new(); /* without a key at all */
	ck_assert_ptr_null(keyprov_key(x, NULL, &e));
	X509_free(x);
	holder_stop();
}
END_TEST

START_TEST(a_key_belongs_to_its_certificate_and_to_no_other)
{
	struct cert *a, *b;
	EVP_PKEY *fresh;
	size_t kind;
	BIO *out;

	holder_start();
	for (kind = 0; kind < KINDS; kind++) {
		a = cert_make(kind);
		b = cert_make(kind);
		ck_assert_int_eq(X509_check_private_key(a->x, a->remote), 1);
		ck_assert_int_ne(X509_check_private_key(a->x, b->remote), 1);
		ck_assert_int_eq(EVP_PKEY_eq(a->remote, a->key), 1);
		out = BIO_new(BIO_s_mem());
		ck_assert_int_ne(
		    PEM_write_bio_PKCS8PrivateKey(out, a->remote, NULL, NULL, 0, NULL, NULL), 1);
		ck_assert_int_eq(PEM_write_bio_PUBKEY(out, a->remote), 1);
		BIO_free(out);
		cert_free(a);
		cert_free(b);
	}
	ck_assert_uint_eq(holder.asked, 0);
	/* Nobody else's keys come from us. */
	fresh = EVP_EC_gen("P-256");
	ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(fresh)), "default");
	EVP_PKEY_free(fresh);
	holder_stop();
}
END_TEST

/* --- signatures outside of handshakes, answered at once --- */

START_TEST(signs_certificates_and_requests)
{
	struct cert *c;
	X509_REQ *req;
	const EVP_MD *md;
	size_t kind;
	X509 *x;

	holder_start();
	for (kind = 0; kind < KINDS; kind++) {
		c = cert_make(kind);
		md = kind == ED_25519  ? NULL
		     : kind == EC_P521 ? EVP_sha512()
		     : kind == EC_P384 ? EVP_sha384()
				       : EVP_sha256();
		x = X509_dup(c->x);
		ck_assert_int_gt(X509_sign(x, c->remote, md), 0);
		ck_assert_int_eq(X509_verify(x, c->key), 1);
		ck_assert_int_eq(holder.may_wait, 0);
		X509_free(x);
		req = X509_REQ_new();
		ck_assert_int_eq(X509_REQ_set_pubkey(req, c->remote), 1);
		ck_assert_int_gt(X509_REQ_sign(req, c->remote, md), 0);
		ck_assert_int_eq(X509_REQ_verify(req, c->key), 1);
		X509_REQ_free(req);
		cert_free(c);
	}
	holder_stop();
}
END_TEST

static const char message[] = "Content-Type: text/plain\r\n\r\nhello\r\n";

static void
verifies(EVP_PKEY *key, const EVP_MD *md, const uint8_t *sig, size_t len, const char *text)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	ck_assert_int_eq(EVP_DigestVerifyInit(ctx, NULL, md, NULL, key), 1);
	ck_assert_int_eq(EVP_DigestVerify(ctx, sig, len, (const uint8_t *)text, strlen(text)), 1);
	EVP_MD_CTX_free(ctx);
}

/* Nothing is asked of the context but the signature: padding is what it is with local keys. */
START_TEST(signs_a_text_in_one_call_and_goes_on)
{
	static const enum kind kinds[] = {RSA_2048, EC_P256};
	EVP_MD_CTX *ctx;
	struct cert *c;
	uint8_t sig[512];
	size_t i, len;

	holder_start();
	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		c = cert_make(kinds[i]);
		ctx = EVP_MD_CTX_new();
		ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, c->remote), 1);
		ck_assert_int_eq(EVP_DigestSign(ctx, NULL, &len, (const uint8_t *)"one", 3), 1);
		len = sizeof sig;
		ck_assert_int_eq(EVP_DigestSign(ctx, sig, &len, (const uint8_t *)"one", 3), 1);
		ck_assert_uint_eq(holder.scheme, kinds[i] == RSA_2048 ? 0x0401 : 0x0403);
		verifies(c->key, EVP_sha256(), sig, len, "one");
		len = sizeof sig;
		ck_assert_int_eq(EVP_DigestSignUpdate(ctx, "two", 3), 1);
		ck_assert_int_eq(EVP_DigestSignFinal(ctx, sig, &len), 1);
		verifies(c->key, EVP_sha256(), sig, len, "onetwo");
		len = 8;
		ck_assert_int_ne(EVP_DigestSign(ctx, sig, &len, (const uint8_t *)"", 0), 1);
		EVP_MD_CTX_free(ctx);
		cert_free(c);
	}
	ck_assert_uint_eq(holder.asked, 4);
	holder_stop();
}
END_TEST

/* As the one who receives it: from its octets, with the certificate's key. */
static void
cms_verifies(CMS_ContentInfo *signed_here)
{
	BIO *in = BIO_new_mem_buf(message, -1);
	unsigned char *der = NULL;
	const unsigned char *p;
	CMS_ContentInfo *cms;
	int n;

	n = i2d_CMS_ContentInfo(signed_here, &der);
	ck_assert_int_gt(n, 0);
	p = der;
	cms = d2i_CMS_ContentInfo(NULL, &p, n);
	ck_assert_ptr_nonnull(cms);
	ck_assert_int_eq(CMS_verify(cms, NULL, NULL, in, NULL,
			     CMS_DETACHED | CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY),
	    1);
	OPENSSL_free(der);
	BIO_free(in);
	CMS_ContentInfo_free(cms);
	CMS_ContentInfo_free(signed_here);
}

START_TEST(signs_cms)
{
	static const enum kind kinds[] = {RSA_2048, RSA_3072, EC_P256};
	static const unsigned flags[] = {0, CMS_NOATTR};
	CMS_ContentInfo *cms;
	struct cert *c;
	size_t i, k;
	BIO *in;

	holder_start();
	for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		c = cert_make(kinds[i]);
		for (k = 0; k < sizeof flags / sizeof flags[0]; k++) {
			in = BIO_new_mem_buf(message, -1);
			cms = CMS_sign(
			    c->x, c->remote, NULL, in, CMS_DETACHED | CMS_BINARY | flags[k]);
			ck_assert_ptr_nonnull(cms);
			cms_verifies(cms);
			BIO_free(in);
		}
		cert_free(c);
	}
	holder_stop();
}
END_TEST

START_TEST(signs_cms_with_pss)
{
	CMS_ContentInfo *cms;
	CMS_SignerInfo *si;
	EVP_PKEY_CTX *p;
	struct cert *c;
	BIO *in;

	holder_start();
	c = cert_make(RSA_2048);
	in = BIO_new_mem_buf(message, -1);
	cms = CMS_sign(NULL, NULL, NULL, in, CMS_PARTIAL | CMS_DETACHED | CMS_BINARY);
	si = CMS_add1_signer(cms, c->x, c->remote, EVP_sha384(), CMS_KEY_PARAM);
	ck_assert_ptr_nonnull(si);
	p = CMS_SignerInfo_get0_pkey_ctx(si);
	ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING), 0);
	ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST), 0);
	ck_assert_int_eq(CMS_final(cms, in, NULL, CMS_DETACHED | CMS_BINARY), 1);
	ck_assert_uint_eq(holder.scheme, 0x0805);
	cms_verifies(cms);
	BIO_free(in);
	cert_free(c);
	holder_stop();
}
END_TEST

/* What goes on hashing behind a signature does so on a copy. */
START_TEST(a_context_signs_twice)
{
	EVP_MD_CTX *m = EVP_MD_CTX_new(), *v;
	unsigned char sig[512];
	struct cert *c;
	size_t i, n;

	holder_start();
	c = cert_make(RSA_2048);
	ck_assert_int_eq(EVP_DigestSignInit_ex(m, NULL, "SHA256", NULL, NULL, c->remote, NULL), 1);
	for (i = 1; i <= 2; i++) {
		ck_assert_int_eq(EVP_DigestSignUpdate(m, "part", 4), 1);
		ck_assert_int_eq(EVP_DigestSignFinal(m, NULL, &n), 1);
		ck_assert_uint_eq(holder.asked, i - 1);
		ck_assert_int_eq(EVP_DigestSignFinal(m, sig, &n), 1);
		ck_assert_uint_eq(holder.asked, i);
		v = EVP_MD_CTX_new();
		ck_assert_int_eq(
		    EVP_DigestVerifyInit_ex(v, NULL, "SHA256", NULL, NULL, c->key, NULL), 1);
		ck_assert_int_eq(
		    EVP_DigestVerify(v, sig, n, (const unsigned char *)"partpart", 4 * i), 1);
		EVP_MD_CTX_free(v);
	}
	EVP_MD_CTX_free(m);
	cert_free(c);
	holder_stop();
}
END_TEST

START_TEST(asks_for_nothing_that_could_not_be_signed)
{
	static const struct {
		enum kind kind;
		const char *hash;
		size_t octets;
		int pad, salt;
	} bad[] = {
	    {RSA_2048, "SHA1", 10, 0, 0},
	    {RSA_2048, "SHA224", 10, 0, 0},
	    {RSA_2048, "SHA3-256", 10, 0, 0},
	    {RSA_2048, "SHA256", 10, RSA_PKCS1_PSS_PADDING, 20},
	    {RSA_2048, "SHA256", 10, RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_MAX},
	    {EC_P256, "SHA512", 10, 0, 0},
	    {EC_P521, "SHA256", 10, 0, 0},
	    {ED_25519, NULL, KEYPROV_DATA_MAX + 1, 0, 0},
	};
	static const unsigned char data[KEYPROV_DATA_MAX + 1];
	unsigned char sig[512];
	struct cert *c;
	EVP_PKEY_CTX *p;
	EVP_MD_CTX *m;
	size_t i, n;

	holder_start();
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		c = cert_make(bad[i].kind);
		m = EVP_MD_CTX_new();
		ck_assert_int_eq(
		    EVP_DigestSignInit_ex(m, &p, bad[i].hash, NULL, NULL, c->remote, NULL), 1);
		if (bad[i].pad != 0) {
			ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_padding(p, bad[i].pad), 0);
			ck_assert_int_gt(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, bad[i].salt), 0);
		}
		n = sizeof sig;
		ck_assert_int_ne(EVP_DigestSign(m, sig, &n, data, bad[i].octets), 1);
		EVP_MD_CTX_free(m);
		cert_free(c);
	}
	ck_assert_uint_eq(holder.asked, 0);
	holder_stop();
}
END_TEST

/* Outside of a handshake there is nobody who would come back for it. */
START_TEST(an_answer_that_is_not_there_at_once_fails_outside_of_handshakes)
{
	struct cert *c;
	X509 *x;

	holder_start();
	c = cert_make(EC_P256);
	x = X509_dup(c->x);
	holder.answer = ANSWER_HOLD;
	ck_assert_int_eq(X509_sign(x, c->remote, EVP_sha256()), 0);
	ck_assert_uint_eq(holder.asked, 1);
	ck_assert_uint_eq(holder.cancelled, 1);
	holder.answer = ANSWER_NOW;
	ck_assert_int_gt(X509_sign(x, c->remote, EVP_sha256()), 0);
	X509_free(x);
	cert_free(c);
	holder_stop();
}
END_TEST

Suite *
key_suite(void)
{
	const TTest *const tests[] = {handles_are_openpgp_fingerprints_with_time_0,
	    refuses_keys_that_could_not_sign, a_key_belongs_to_its_certificate_and_to_no_other,
	    signs_certificates_and_requests, signs_a_text_in_one_call_and_goes_on, signs_cms,
	    signs_cms_with_pss, a_context_signs_twice, asks_for_nothing_that_could_not_be_signed,
	    an_answer_that_is_not_there_at_once_fails_outside_of_handshakes, NULL};

	return unit_suite("key", tests);
}
