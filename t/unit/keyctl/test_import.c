#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "keyctl/imported.h"
#include "openpgp/armor.h"
#include "openpgp/certmake.h"
#include "openpgp/seckey.h"
#include "t/unit/unit.h"

Suite *import_suite(void);

#define NKEYS 3

static struct pgp_skey *keys[NKEYS];

static int
sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest, size_t n,
    struct pgp_sigval *out)
{
	struct cert_key pub;

	(void)ctx;
	for (int i = 0; i < NKEYS; i++) {
		pgp_skey_public(keys[i], &pub);
		if (pub.fpr.n == fprlen && memcmp(pub.fpr.p, fpr, fprlen) == 0)
			return pgp_skey_sign(keys[i], hash, digest, n, out);
	}
	errno = ENOKEY;
	return -1;
}

/* Append a transferable secret key of three keys, protected by pass. */
static void
append_key(struct buf *out, const char *uid, const char *pass)
{
	static const uint8_t flags[NKEYS] = {KEY_CERTIFY, KEY_SIGN, KEY_ENCRYPT};
	const struct pgp_secret secret = {.sign = sign};
	struct cert_key pub[NKEYS];
	struct pgp_certspec spec = {
	    .keys = pub, .nkeys = NKEYS, .uids = &uid, .nuids = 1, .created = 1700000000};
	struct err e = {0};
	struct buf cert;

	buf_init(&cert, PGP_CERT_MAX);
	for (int i = 0; i < NKEYS; i++) {
		keys[i] = pgp_skey_generate(
		    i == 2 ? PGP_GEN_CV25519 : PGP_GEN_ED25519, 0, 1700000000, &e);
		ck_assert_ptr_nonnull(keys[i]);
		pgp_skey_public(keys[i], &pub[i]);
		pub[i].flags = flags[i];
	}
	ck_assert_msg(pgp_certmake(&spec, &secret, &cert, &e) == 0, "%s", e.text);
	ck_assert_msg(
	    pgp_seckey_write(buf_ptr(&cert), buf_len(&cert), keys, NKEYS, pass, out, &e) == 0, "%s",
	    e.text);
	for (int i = 0; i < NKEYS; i++)
		pgp_skey_free(keys[i]);
	buf_free(&cert);
}

static struct imported *
ask(struct buf *mem, const void *p, size_t n, unsigned index, const char *pass)
{
	struct import_ask a = {.p = p, .n = n, .index = index, .pass = pass, .now = clock_unix()};
	struct imported *im;

	buf_reset(mem);
	ck_assert_int_eq(import_read(&a, mem), 0);
	im = rec_decode(&rec_imported, buf_ptr(mem), buf_len(mem));
	ck_assert_ptr_nonnull(im);
	return im;
}

START_TEST(reads_each_key_of_a_file)
{
	uint8_t uses[CERT_KEYS_MAX];
	struct buf file, text, mem;
	struct pgp_armor a;
	struct sink to;
	struct imported *im;

	buf_init(&file, 1 << 20);
	buf_init(&text, 1 << 20);
	buf_init(&mem, 1 << 20);
	append_key(&file, "One <one@a.example>", "pass");
	append_key(&file, "Two <two@a.example>", "other");
	to = sink_buf(&text);
	ck_assert_int_eq(buf_puts(&text, "some words before\n"), 0);
	ck_assert_int_eq(pgp_armor_open(&a, PGP_ARMOR_SECRET_KEY, &to), 0);
	ck_assert_int_eq(pgp_armor_write(&a, buf_ptr(&file), buf_len(&file)), 0);
	ck_assert_int_eq(pgp_armor_close(&a), 0);
	for (int armoured = 0; armoured < 2; armoured++) {
		struct buf *b = armoured ? &text : &file;

		im = ask(&mem, buf_ptr(b), buf_len(b), 0, NULL);
		ck_assert_uint_eq(im->total, 2);
		ck_assert_int_eq((int)im->code, EACCES);
		free(im);
		im = ask(&mem, buf_ptr(b), buf_len(b), 0, "other");
		ck_assert_int_eq((int)im->code, EKEYREJECTED);
		free(im);
		im = ask(&mem, buf_ptr(b), buf_len(b), 1, "other");
		ck_assert_msg(im->code == 0, "%s", im->text);
		ck_assert_str_eq(im->uid, "Two <two@a.example>");
		ck_assert_uint_eq(im->addrs.n, 1);
		ck_assert_str_eq(im->addrs.v[0].addr, "two@a.example");
		ck_assert_uint_eq(im->keys.n, 3);
		ck_assert_uint_gt(im->raw.n, 100);
		import_uses(im, uses);
		ck_assert_uint_eq(uses[0], USE_CERTIFY);
		ck_assert_uint_eq(uses[1], USE_SIGN);
		ck_assert_uint_eq(uses[2], USE_DECRYPT);
		free(im);
		im = ask(&mem, buf_ptr(b), buf_len(b), 2, "other");
		ck_assert_int_eq((int)im->code, ENOKEY);
		free(im);
	}
	buf_wipe_free(&mem);
	buf_free(&file);
	buf_free(&text);
}
END_TEST

START_TEST(refuses_what_is_no_secret_key)
{
	static const char *const texts[] = {"", "hello\n",
	    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
	    "-----BEGIN PGP MESSAGE-----\n\nwy4=\n-----END PGP MESSAGE-----\n",
	    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n####\n-----END PGP PRIVATE KEY BLOCK-----\n",
	    "\x95\xff\xff",
	    ("\x99\x01\x01"
	     "x")};
	struct imported *im;
	struct buf mem;

	buf_init(&mem, 1 << 20);
	for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		im = ask(&mem, texts[i], strlen(texts[i]), 0, NULL);
		ck_assert_msg(im->code != 0, "%u", i);
		ck_assert_uint_gt(strlen(im->text), 0);
		ck_assert_uint_eq(im->keys.n, 0);
		free(im);
	}
	buf_free(&mem);
}
END_TEST

START_TEST(gives_every_key_one_use)
{
	static const struct {
		const char *what;
		unsigned n;
		uint8_t flags[3]; /* the first is the primary */
		uint8_t want[3];
	} t[] = {
	    {"ours", 3, {KEY_CERTIFY, KEY_SIGN, KEY_ENCRYPT}, {USE_CERTIFY, USE_SIGN, USE_DECRYPT}},
	    {"GnuPG's", 2, {KEY_CERTIFY | KEY_SIGN, KEY_ENCRYPT}, {USE_SIGN, USE_DECRYPT}},
	    {"GnuPG's with a signing subkey", 3, {KEY_CERTIFY | KEY_SIGN, KEY_SIGN, KEY_ENCRYPT},
		{USE_CERTIFY, USE_SIGN, USE_DECRYPT}},
	    {"one for all", 1, {KEY_CERTIFY | KEY_SIGN | KEY_ENCRYPT}, {USE_SIGN}},
	    {"one for all, with a signing subkey", 2,
		{KEY_CERTIFY | KEY_SIGN | KEY_ENCRYPT, KEY_SIGN}, {USE_DECRYPT, USE_SIGN}},
	    {"subkey for both", 2, {KEY_CERTIFY, KEY_SIGN | KEY_ENCRYPT}, {USE_CERTIFY, USE_SIGN}},
	    {"subkey for authentication", 2, {KEY_CERTIFY, 0x20}, {USE_CERTIFY, 0}},
	    {"subkey that is not bound", 2, {KEY_CERTIFY, 0}, {USE_CERTIFY, 0}},
	};
	struct imported_key k[3];
	struct imported im = {.uid = ""};
	uint8_t uses[CERT_KEYS_MAX];

	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		memset(k, 0, sizeof k);
		for (unsigned j = 0; j < t[i].n; j++) {
			k[j].flags = t[i].flags[j];
			k[j].primary = j == 0;
		}
		im.keys.v = k;
		im.keys.n = t[i].n;
		import_uses(&im, uses);
		for (unsigned j = 0; j < t[i].n; j++)
			ck_assert_msg(uses[j] == t[i].want[j], "%s: key %u", t[i].what, j);
	}
}
END_TEST

Suite *
import_suite(void)
{
	const TTest *const tests[] = {
	    reads_each_key_of_a_file,
	    refuses_what_is_no_secret_key,
	    gives_every_key_one_use,
	    NULL,
	};

	return unit_suite("keyctl import", tests);
}
