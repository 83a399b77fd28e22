#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/clock.h"
#include "keyprov/keyprov.h"
#include "t/unit/cryptod/harness.h"

static struct ipc keyctl, smtpd, pop3d, policyd;

enum { K_RSA, K_P256, K_P384, K_P521, K_ED, NKEYS };
static uint8_t keys[NKEYS][KEY_FPR];

static const struct {
	unsigned scheme;
	int key, padding;
	const char *hash; /* NULL: the message */
} schemes[] = {
    {0x0401, K_RSA, RSA_PKCS1_PADDING, "SHA256"},
    {0x0501, K_RSA, RSA_PKCS1_PADDING, "SHA384"},
    {0x0601, K_RSA, RSA_PKCS1_PADDING, "SHA512"},
    {0x0804, K_RSA, RSA_PKCS1_PSS_PADDING, "SHA256"},
    {0x0805, K_RSA, RSA_PKCS1_PSS_PADDING, "SHA384"},
    {0x0806, K_RSA, RSA_PKCS1_PSS_PADDING, "SHA512"},
    {0x0403, K_P256, 0, "SHA256"},
    {0x0503, K_P384, 0, "SHA384"},
    {0x0603, K_P521, 0, "SHA512"},
    {0x0807, K_ED, 0, NULL},
};
#define NSCHEMES (sizeof schemes / sizeof schemes[0])
static const uint8_t data[TLS_SIGN_DATA_MAX] = "what is to be signed";

static void
setup(void)
{
	harness_begin();
	harness_init();
	harness_peer(&keyctl, P_KEYCTL);
	harness_peer(&smtpd, P_SMTPD);
	harness_peer(&pop3d, P_POP3D);
	harness_peer(&policyd, P_POLICYD);
}

static void
teardown(void)
{
	ipc_close(&keyctl);
	ipc_close(&smtpd);
	ipc_close(&pop3d);
	ipc_close(&policyd);
	harness_turns(10);
	harness_end();
}

static void
make_keys(void)
{
	ck_assert_int_eq(harness_rsa(&keyctl, 2048, USE_TLS, 0, keys[K_RSA]), CRYPTO_OK);
	harness_key(&keyctl, KIND_P256, USE_TLS, keys[K_P256]);
	harness_key(&keyctl, KIND_P384, USE_TLS, keys[K_P384]);
	harness_key(&keyctl, KIND_P521, USE_TLS, keys[K_P521]);
	harness_key(&keyctl, KIND_ED25519, USE_TLS, keys[K_ED]);
}

static int
ask(struct ipc *c, const uint8_t *key, unsigned scheme, size_t n)
{
	struct tls_sign_req r = {
	    .key = {key, KEY_FPR}, .scheme = (uint16_t)scheme, .data = {data, n}};

	return harness_status(c, M_tls_sign_req, &r);
}

static size_t
length(unsigned i)
{
	return schemes[i].hash == NULL
		   ? 130
		   : (size_t)EVP_MD_get_size(EVP_get_digestbyname(schemes[i].hash));
}

/* As a client of TLS checks it. */
static int
verifies(EVP_PKEY *k, unsigned i, struct bytes value)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(k, NULL);
	EVP_MD_CTX *m = EVP_MD_CTX_new();
	int ok;

	if (schemes[i].hash == NULL)
		ok = EVP_DigestVerifyInit(m, NULL, NULL, NULL, k) == 1 &&
		     EVP_DigestVerify(m, value.p, value.n, data, length(i)) == 1;
	else
		ok = EVP_PKEY_verify_init(c) == 1 &&
		     (schemes[i].padding == 0 ||
			 EVP_PKEY_CTX_set_rsa_padding(c, schemes[i].padding) == 1) &&
		     EVP_PKEY_CTX_set_signature_md(c, EVP_get_digestbyname(schemes[i].hash)) == 1 &&
		     (schemes[i].padding != RSA_PKCS1_PSS_PADDING ||
			 EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1) &&
		     EVP_PKEY_verify(c, value.p, value.n, data, length(i)) == 1;
	EVP_PKEY_CTX_free(c);
	EVP_MD_CTX_free(m);
	return ok;
}

START_TEST(signs_what_clients_verify)
{
	const struct tls_sign_rep *rep;
	struct ipc_msg m;
	EVP_PKEY *k;

	make_keys();
	for (unsigned i = 0; i < NSCHEMES; i++) {
		struct tls_sign_req r = {.key = {keys[schemes[i].key], KEY_FPR},
		    .scheme = (uint16_t)schemes[i].scheme,
		    .data = {data, length(i)}};

		k = harness_public(&keyctl, keys[schemes[i].key]);
		for (unsigned p = 0; p < 2; p++) {
			struct ipc *c = p == 0 ? &smtpd : &pop3d;

			ck_assert_int_eq(harness_ask(c, M_tls_sign_req, &r, &m), 0);
			rep = m.body;
			ck_assert_msg(rep->status == CRYPTO_OK, "scheme %x: status %u",
			    schemes[i].scheme, rep->status);
			ck_assert_msg(verifies(k, i, rep->value), "scheme %x", schemes[i].scheme);
			ipc_done(c, &m);
		}
		EVP_PKEY_free(k);
	}
	ck_assert_uint_eq(cryptod.nhandshakes, 2 * NSCHEMES);
}
END_TEST

START_TEST(refuses_what_does_not_fit_the_key)
{
	/* SHA-1, SHA-224, brainpool, RSA-PSS keys, Ed448, nothing. */
	static const unsigned other[] = {0x0201, 0x0203, 0x0301, 0x0303, 0x081a, 0x081b, 0x081c,
	    0x0809, 0x080a, 0x0808, 0, 0xffff};

	make_keys();
	for (unsigned i = 0; i < NSCHEMES; i++)
		for (int k = 0; k < NKEYS; k++)
			if (schemes[i].key != k)
				ck_assert_int_eq(ask(&smtpd, keys[k], schemes[i].scheme, length(i)),
				    CRYPTO_DENIED);
	for (int k = 0; k < NKEYS; k++)
		for (unsigned i = 0; i < sizeof other / sizeof other[0]; i++)
			ck_assert_int_eq(ask(&smtpd, keys[k], other[i], 32), CRYPTO_DENIED);
	/* Not a digest. */
	for (unsigned i = 0; i < NSCHEMES; i++) {
		if (schemes[i].hash == NULL)
			continue;
		ck_assert_int_eq(
		    ask(&smtpd, keys[schemes[i].key], schemes[i].scheme, length(i) - 1),
		    CRYPTO_DENIED);
		ck_assert_int_eq(
		    ask(&smtpd, keys[schemes[i].key], schemes[i].scheme, TLS_SIGN_DATA_MAX),
		    CRYPTO_DENIED);
	}
	ck_assert_uint_eq(cryptod.nhandshakes, 0);
	ck_assert_uint_gt(cryptod.nrefused, NSCHEMES * (NKEYS - 1));
}
END_TEST

START_TEST(keys_of_mail_are_not_for_handshakes_nor_the_reverse)
{
	static const enum key_use uses[] = {USE_CERTIFY, USE_SIGN, USE_DECRYPT};
	static const uint8_t unknown[KEY_FPR];
	uint8_t fpr[KEY_FPR], job[JOB_ID] = "job", id[WORKER_ID] = "worker";
	struct key_certify_req cert = {.hash = 8, .digest = {data, 32}};
	struct grant_key gk = {.key = {keys[K_P256], KEY_FPR}};
	struct grant_req g = {.job = {job, JOB_ID},
	    .worker = {id, WORKER_ID},
	    .op = OP_SIGN,
	    .max = 1,
	    .ttl = 60000,
	    .consumer = "alice"};

	for (unsigned i = 0; i < 3; i++) {
		harness_key(&keyctl, KIND_P256, uses[i], fpr);
		ck_assert_int_eq(ask(&smtpd, fpr, 0x0403, 32), CRYPTO_DENIED);
	}
	ck_assert_int_eq(ask(&smtpd, unknown, 0x0403, 32), CRYPTO_NOKEY);
	harness_key(&keyctl, KIND_P256, USE_TLS, keys[K_P256]);
	g.keys.v = &gk;
	g.keys.n = 1;
	ck_assert_int_eq(harness_status(&policyd, M_grant_req, &g), CRYPTO_DENIED);
	cert.fpr = (struct bytes){keys[K_P256], KEY_FPR};
	ck_assert_int_eq(harness_status(&keyctl, M_key_certify_req, &cert), CRYPTO_DENIED);
	ck_assert_int_eq(ask(&smtpd, keys[K_P256], 0x0403, 32), CRYPTO_OK);
}
END_TEST

START_TEST(takes_only_keys_that_handshakes_can_use)
{
	struct key_generate_req r = {.kind = KIND_P256, .use = USE_TLS, .label = ""};
	static const unsigned useless[] = {KIND_CV25519, KIND_BP256, KIND_BP384, KIND_BP512};
	uint8_t fpr[KEY_FPR];

	r.created = 1700000000;
	ck_assert_int_eq(harness_status(&keyctl, M_key_generate_req, &r), CRYPTO_DENIED);
	r.created = 0;
	for (unsigned i = 0; i < 4; i++) {
		r.kind = (uint8_t)useless[i];
		ck_assert_int_eq(harness_status(&keyctl, M_key_generate_req, &r), CRYPTO_DENIED);
	}
	ck_assert_int_eq(harness_rsa(&keyctl, 2048, USE_TLS, 1700000000, fpr), CRYPTO_DENIED);
	ck_assert_int_eq(harness_rsa(&keyctl, 1024, USE_TLS, 0, fpr), CRYPTO_DENIED);
	ck_assert_int_eq(harness_rsa(&keyctl, 2048, USE_TLS, 0, fpr), CRYPTO_OK);
}
END_TEST

/* Whoever has the certificate knows under which name to ask. */
START_TEST(its_name_follows_from_the_public_key)
{
	uint8_t handle[KEYPROV_HANDLE];
	struct err e = {0};
	EVP_PKEY *k;

	make_keys();
	for (int i = 0; i < NKEYS; i++) {
		k = harness_public(&keyctl, keys[i]);
		ck_assert_msg(keyprov_handle(k, handle, &e) == 0, "%s", e.text);
		ck_assert_mem_eq(handle, keys[i], KEY_FPR);
		EVP_PKEY_free(k);
	}
}
END_TEST

START_TEST(no_handshake_while_locked)
{
	struct keys_lock_req lock = {0};
	struct keys_unlock_req unlock = {.seal = {seal, SEAL_KEY_LEN}};

	harness_key(&keyctl, KIND_ED25519, USE_TLS, keys[K_ED]);
	ck_assert_int_eq(harness_status(&keyctl, M_keys_lock_req, &lock), CRYPTO_OK);
	ck_assert_int_eq(ask(&pop3d, keys[K_ED], 0x0807, 130), CRYPTO_LOCKED);
	ck_assert_int_eq(harness_status(&keyctl, M_keys_unlock_req, &unlock), CRYPTO_OK);
	ck_assert_int_eq(ask(&pop3d, keys[K_ED], 0x0807, 130), CRYPTO_OK);
}
END_TEST

START_TEST(limits_each_proxy_process)
{
	uint64_t future = clock_ms() + 3600 * 1000;

	harness_key(&keyctl, KIND_ED25519, USE_TLS, keys[K_ED]);
	ck_assert_int_eq(ask(&smtpd, keys[K_ED], 0x0807, 130), CRYPTO_OK);
	/* As if it had asked very often, until late: no new tokens come. */
	while (rate_take(cryptod.tls_rate, "smtpd/0", future))
		;
	ck_assert_int_eq(ask(&smtpd, keys[K_ED], 0x0807, 130), CRYPTO_BUSY);
	ck_assert_int_eq(ask(&pop3d, keys[K_ED], 0x0807, 130), CRYPTO_OK);
}
END_TEST

Suite *tls_suite(void);

Suite *
tls_suite(void)
{
	const TTest *const tests[] = {
	    signs_what_clients_verify,
	    refuses_what_does_not_fit_the_key,
	    keys_of_mail_are_not_for_handshakes_nor_the_reverse,
	    takes_only_keys_that_handshakes_can_use,
	    its_name_follows_from_the_public_key,
	    no_handshake_while_locked,
	    limits_each_proxy_process,
	    NULL,
	};

	return unit_suite_around("cryptod tls", setup, teardown, tests);
}
