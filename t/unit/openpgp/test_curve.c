#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <openssl/evp.h>

#include "openpgp/certmake.h"
#include "openpgp/decrypt.h"
#include "openpgp/encrypt.h"
#include "openpgp/mpi.h"
#include "openpgp/seckey.h"
#include "t/unit/openpgp/keys.h"

#define CURVES (sizeof types / sizeof types[0])
#define THREADS 4
#define ROUNDS 8

static const enum pgp_keytype types[] = {
    PGP_GEN_P256, PGP_GEN_P384, PGP_GEN_P521, PGP_GEN_BP256, PGP_GEN_BP384, PGP_GEN_BP512};
static const unsigned widths[] = {32, 48, 66, 32, 48, 64};
static const char *const names[] = {
    "nistp256", "nistp384", "nistp521", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"};
static const unsigned hashes[] = {PGP_HASH_SHA256, PGP_HASH_SHA384, PGP_HASH_SHA512};

static void
sign(struct pgp_skey *k, unsigned hash, const uint8_t *digest, struct pgp_sigval *v)
{
	ck_assert_int_eq(pgp_skey_sign(k, hash, digest, pgp_hash_len(hash), v), 0);
}

static int
good(struct pgp_pk *pk, unsigned hash, const uint8_t *digest, const struct pgp_sigval *v)
{
	return pgp_pk_verify(pk, hash, digest, pgp_hash_len(hash), v->data, v->n) == 0;
}

START_TEST(signatures_verify_and_altered_ones_do_not)
{
	struct pgp_skey *k = make(types[_i], 0), *other = make(types[_i], 0);
	struct pgp_pk *pk = public_of(k), *wrong = public_of(other);
	uint8_t digest[PGP_DIGEST_MAX];
	struct pgp_sigval v;

	for (size_t i = 0; i < sizeof digest; i++)
		digest[i] = (uint8_t)(0xff - i * 3);
	for (size_t h = 0; h < 3; h++) {
		sign(k, hashes[h], digest, &v);
		ck_assert(good(pk, hashes[h], digest, &v));
		ck_assert(!good(wrong, hashes[h], digest, &v));
		digest[0] ^= 1;
		ck_assert(!good(pk, hashes[h], digest, &v));
		digest[0] ^= 1;
		for (size_t i = 4; i < v.n; i += 19) {
			v.data[i] ^= 0x20;
			ck_assert_msg(!good(pk, hashes[h], digest, &v), "octet %zu", i);
			v.data[i] ^= 0x20;
		}
		v.n--;
		ck_assert(!good(pk, hashes[h], digest, &v));
		v.data[v.n + 1] = 0;
		v.n += 2;
		ck_assert(!good(pk, hashes[h], digest, &v));
	}
	pgp_pk_free(pk);
	pgp_pk_free(wrong);
	pgp_skey_free(k);
	pgp_skey_free(other);
}
END_TEST

/* r or s of 0, as long as it can be, or longer than the order. */
START_TEST(impossible_signatures_are_bad)
{
	struct pgp_skey *k = make(types[_i], 0);
	struct pgp_pk *pk = public_of(k);
	uint8_t digest[PGP_DIGEST_MAX] = {1}, big[PGP_SIGVAL_MAX / 2 - 2];
	struct pgp_sigval v;

	memset(big, 0xff, sizeof big);
	for (unsigned how = 0; how < 4; how++) {
		static const uint8_t one = 1;
		size_t n = how == 2 ? widths[_i] : sizeof big;

		v.n = how == 0 ? pgp_mpi_write(v.data, NULL, 0) : pgp_mpi_write(v.data, &one, 1);
		v.n += how == 1
			   ? pgp_mpi_write(v.data + v.n, NULL, 0)
			   : pgp_mpi_write(v.data + v.n, how == 0 ? &one : big, how == 0 ? 1 : n);
		ck_assert(!good(pk, PGP_HASH_SHA512, digest, &v));
	}
	pgp_pk_free(pk);
	pgp_skey_free(k);
}
END_TEST

START_TEST(session_keys_come_back_and_altered_ones_do_not)
{
	static const unsigned ciphers[] = {PGP_CIPHER_AES128, PGP_CIPHER_AES192, PGP_CIPHER_AES256};
	struct pgp_skey *k = make(types[_i], 1);
	struct pgp_pk *pk = public_of(k);
	struct pgp_session_key s, got;
	struct pgp_esk esk;

	for (size_t i = 0; i < 3; i++) {
		s = session_key(ciphers[i]);
		ck_assert_int_eq(pgp_pk_wrap(pk, &s, &esk), 0);
		ck_assert_uint_eq(esk.n, 2 + 1 + 2 * widths[_i] + 1 + 48);
		ck_assert_int_eq(pgp_skey_unwrap(k, esk.data, esk.n, &got), 0);
		ck_assert(same(&s, &got));
	}
	for (size_t i = 2; i < esk.n; i += 7) {
		esk.data[i] ^= 0x10;
		check_rejected(k, esk.data, esk.n, &s);
		esk.data[i] ^= 0x10;
	}
	for (size_t n = 0; n < esk.n; n += 13)
		check_rejected(k, esk.data, n, &s);
	pgp_pk_free(pk);
	pgp_skey_free(k);
}
END_TEST

/* The fields of a PKESK whose point is what is given; the wrapped key is any. */
static size_t
with_point(uint8_t *out, const uint8_t *point, size_t n)
{
	size_t at = pgp_mpi_write(out, point, n);

	out[at] = 48;
	memset(out + at + 1, 0x5a, 48);
	return at + 49;
}

START_TEST(points_off_the_curve_are_refused)
{
	struct pgp_skey *k = make(types[_i], 1), *other = make(types[(_i + 1) % CURVES], 1);
	struct pgp_session_key s = session_key(PGP_CIPHER_AES256);
	uint8_t params[256], esk[512], *point;
	struct cert_key pub, theirs;
	struct err e;
	size_t at, n = 1 + 2 * widths[_i];

	pgp_skey_public(k, &pub);
	pgp_skey_public(other, &theirs);
	memcpy(params, pub.params.p, pub.params.n);
	at = 1u + params[0] + 2u;
	point = params + at;
	pub.params.p = params;
	/* a coordinate altered; both zero; the greatest */
	point[n - 1] ^= 1;
	ck_assert_ptr_null(pgp_pk_load(&pub, &e));
	ck_assert_int_eq(e.code, EBADMSG);
	check_rejected(k, esk, with_point(esk, point, n), &s);
	memset(point + 1, 0, n - 1);
	ck_assert_ptr_null(pgp_pk_load(&pub, &e));
	check_rejected(k, esk, with_point(esk, point, n), &s);
	memset(point + 1, 0xff, n - 1);
	ck_assert_ptr_null(pgp_pk_load(&pub, &e));
	check_rejected(k, esk, with_point(esk, point, n), &s);
	/* infinity, and a compressed point */
	point[0] = 0;
	check_rejected(k, esk, with_point(esk, point, 1), &s);
	point[0] = 2;
	check_rejected(k, esk, with_point(esk, point, 1 + widths[_i]), &s);
	/* a good point of another curve */
	at = 1u + theirs.params.p[0] + 2u;
	check_rejected(k, esk,
	    with_point(esk, theirs.params.p + at, 1 + 2 * widths[(_i + 1) % (int)CURVES]), &s);
	pgp_skey_free(k);
	pgp_skey_free(other);
}
END_TEST

START_TEST(keys_are_stored_and_false_halves_refused)
{
	struct pgp_skey *k = make(types[_i], 1), *b = make(types[_i], 1), *back;
	uint8_t secret[2 + 66];
	char text[PGP_KEY_TEXT_MAX];
	struct cert_key pub, again;
	struct err e = {0};
	struct buf enc;

	buf_init(&enc, PGP_SKEY_ENC_MAX);
	ck_assert_int_eq(pgp_skey_encode(k, &enc), 0);
	back = pgp_skey_decode(buf_ptr(&enc), buf_len(&enc), &e);
	ck_assert_msg(back != NULL, "%s", e.text);
	pgp_skey_public(k, &pub);
	pgp_skey_public(back, &again);
	ck_assert_mem_eq(pub.fpr.p, again.fpr.p, PGP_FPR4);
	ck_assert_str_eq(pgp_key_text(pub.algo, pub.params, text), names[_i]);
	ck_assert_ptr_null(pgp_skey_load(pub.algo, NOW, pub.params, pgp_skey_secret(b), &e));
	ck_assert_int_eq(e.code, EKEYREJECTED);
	memset(secret + 2, 0, widths[_i]);
	ck_assert_ptr_null(pgp_skey_load(
	    pub.algo, NOW, pub.params, (struct bytes){secret, pgp_mpi_write(secret, NULL, 0)}, &e));
	ck_assert_int_eq(e.code, EBADMSG);
	memset(secret, 0xff, sizeof secret); /* beyond the order */
	put_be16(secret, (uint16_t)(widths[_i] * 8));
	ck_assert_ptr_null(
	    pgp_skey_load(pub.algo, NOW, pub.params, (struct bytes){secret, 2 + widths[_i]}, &e));
	ck_assert_int_eq(e.code, EBADMSG);
	ck_assert_int_eq(pgp_skey_evp(k) != NULL, types[_i] <= PGP_GEN_P521);
	pgp_skey_free(back);
	pgp_skey_free(b);
	pgp_skey_free(k);
	buf_wipe_free(&enc);
}
END_TEST

/* ---- threads ---- */

struct shared {
	struct pgp_skey *sign, *decrypt;
	struct pgp_session_key key;
	struct pgp_esk esk, bad;
	struct pgp_session_key answer; /* to bad */
};

static void *
work(void *arg)
{
	const struct shared *s = arg;
	struct pgp_pk *pk = public_of(s->sign);
	uint8_t digest[64] = {0};
	struct pgp_session_key got;
	struct pgp_sigval v;
	size_t failed = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		digest[1] = (uint8_t)i;
		if (pgp_skey_sign(s->sign, PGP_HASH_SHA512, digest, 64, &v) == -1 ||
		    !good(pk, PGP_HASH_SHA512, digest, &v))
			failed++;
		if (pgp_skey_unwrap(s->decrypt, s->esk.data, s->esk.n, &got) == -1 ||
		    !same(&got, &s->key))
			failed++;
		if (pgp_skey_unwrap(s->decrypt, s->bad.data, s->bad.n, &got) == -1 ||
		    !same(&got, &s->answer))
			failed++;
	}
	pgp_pk_free(pk);
	return (void *)failed;
}

START_TEST(several_threads_use_one_key)
{
	static const enum pgp_keytype kinds[][2] = {{PGP_GEN_ED25519, PGP_GEN_CV25519},
	    {PGP_GEN_RSA, PGP_GEN_RSA}, {PGP_GEN_P256, PGP_GEN_P256},
	    {PGP_GEN_BP256, PGP_GEN_BP256}};
	struct shared s = {.key = session_key(PGP_CIPHER_AES256)};
	struct pgp_pk *pk;
	pthread_t t[THREADS];
	void *failed;

	ck_assert_int_eq(pgp_algo_init(), 0);
	s.sign = make(kinds[_i][0], 0);
	s.decrypt = make(kinds[_i][1], 1);
	pk = public_of(s.decrypt);
	ck_assert_int_eq(pgp_pk_wrap(pk, &s.key, &s.esk), 0);
	s.bad = s.esk;
	s.bad.data[s.bad.n - 1] ^= 1;
	ck_assert_int_eq(pgp_skey_unwrap(s.decrypt, s.bad.data, s.bad.n, &s.answer), 0);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, work, &s), 0);
	for (size_t i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(t[i], &failed), 0);
		ck_assert_ptr_null(failed);
	}
	pgp_pk_free(pk);
	pgp_skey_free(s.sign);
	pgp_skey_free(s.decrypt);
}
END_TEST

/* ---- certificates and messages ---- */

static struct pgp_skey *own[3]; /* primary, signing, decrypting */
static const struct cert *own_cert;

static struct pgp_skey *
own_key(const uint8_t *fpr)
{
	struct cert_key pub;

	for (int i = 0; i < 3; i++) {
		pgp_skey_public(own[i], &pub);
		if (memcmp(pub.fpr.p, fpr, PGP_FPR4) == 0)
			return own[i];
	}
	return NULL;
}

static int
own_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out)
{
	(void)ctx, (void)fprlen;
	return pgp_skey_sign(own_key(fpr), hash, digest, n, out);
}

static int
own_unwrap(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
    struct pgp_session_key *out)
{
	(void)ctx, (void)fprlen;
	return pgp_skey_unwrap(own_key(fpr), esk, n, out);
}

static const struct cert *
own_find(void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen)
{
	(void)ctx, (void)keyid, (void)fpr, (void)fprlen;
	return own_cert;
}

/* To ourselves, signed. */
static void
send_and_read(const struct pgp_secret *secret, unsigned want_hash)
{
	const struct pgp_certs certs = {own_find, NULL};
	const struct cert_key *keys = own_cert->keys.v, *ours[] = {&keys[2]};
	struct pgp_recipient to = {own_cert, &keys[2]};
	struct pgp_signer by = {&keys[1], NULL};
	struct pgp_encrypt_params p = {.to = &to,
	    .nto = 1,
	    .signers = &by,
	    .nsigners = 1,
	    .secret = secret,
	    .hash = PGP_HASH_SHA256,
	    .now = NOW};
	struct pgp_decrypt_params dp = {
	    .keys = ours, .nkeys = 1, .secret = secret, .certs = &certs, .now = NOW};
	struct pgp_encrypt *w;
	struct pgp_result r;
	struct buf made, got;
	struct sink to_made, to_got;
	struct octets in;
	struct err e = {0};

	buf_init(&made, 65536);
	buf_init(&got, 65536);
	to_made = sink_buf(&made);
	to_got = sink_buf(&got);
	ck_assert_ptr_nonnull(w = pgp_encrypt_open(&p, &to_made, &e));
	ck_assert_int_eq(pgp_encrypt_write(w, "hello", 5), 0);
	ck_assert_msg(pgp_encrypt_close(w, &e) == 0, "%s", e.text);
	in = octets_mem(buf_ptr(&made), buf_len(&made));
	ck_assert_msg(pgp_decrypt(&in, &dp, &to_got, &r, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(buf_len(&got), 5);
	ck_assert_uint_eq(r.nsigs, 1);
	ck_assert_int_eq(r.sigs[0].state, PGP_SIG_GOOD);
	ck_assert_uint_eq(r.sigs[0].hash, want_hash);
	buf_free(&made);
	buf_free(&got);
}

START_TEST(certificates_and_messages_of_every_curve)
{
	static const uint8_t flags[] = {KEY_CERTIFY, KEY_SIGN, KEY_ENCRYPT};
	static const char *const uids[] = {"Curva <curva@example.org>"};
	const struct pgp_secret secret = {own_sign, own_unwrap, NULL};
	struct cert_key pub[3];
	struct pgp_certspec spec = {
	    .keys = pub, .nkeys = 3, .uids = uids, .nuids = 1, .created = NOW};
	struct buf cert, sec;
	struct pgp_seckey back;
	struct err e = {0};

	for (int i = 0; i < 3; i++) {
		own[i] = make(types[_i], i == 2);
		pgp_skey_public(own[i], &pub[i]);
		pub[i].flags = flags[i];
	}
	buf_init(&cert, PGP_SECKEY_MAX);
	buf_init(&sec, PGP_SECKEY_MAX);
	ck_assert_msg(pgp_certmake(&spec, &secret, &cert, &e) == 0, "%s", e.text);
	ck_assert_msg(
	    pgp_seckey_write(buf_ptr(&cert), buf_len(&cert), own, 3, "word", &sec, &e) == 0, "%s",
	    e.text);
	ck_assert_int_eq(pgp_seckey_read(buf_ptr(&sec), buf_len(&sec), "drow", NOW, &back, &e), -1);
	ck_assert_msg(pgp_seckey_read(buf_ptr(&sec), buf_len(&sec), "word", NOW, &back, &e) == 0,
	    "%s", e.text);
	ck_assert_uint_eq(back.nkeys, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(back.flags[i], flags[i]);
	own_cert = back.cert->rec;
	send_and_read(&secret, widths[_i] == 32   ? PGP_HASH_SHA256
			       : widths[_i] == 48 ? PGP_HASH_SHA384
						  : PGP_HASH_SHA512);
	pgp_seckey_clear(&back);
	for (int i = 0; i < 3; i++)
		pgp_skey_free(own[i]);
	buf_free(&cert);
	buf_free(&sec);
}
END_TEST

Suite *curve_suite(void);

Suite *
curve_suite(void)
{
	const TTest *const each[] = {signatures_verify_and_altered_ones_do_not,
	    impossible_signatures_are_bad, session_keys_come_back_and_altered_ones_do_not,
	    points_off_the_curve_are_refused, keys_are_stored_and_false_halves_refused,
	    certificates_and_messages_of_every_curve};
	Suite *s = suite_create("openpgp curves");
	TCase *tc = tcase_create("curves");

	tcase_set_timeout(tc, 120);
	for (size_t i = 0; i < sizeof each / sizeof each[0]; i++)
		tcase_add_loop_test(tc, each[i], 0, (int)CURVES);
	tcase_add_loop_test(tc, several_threads_use_one_key, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}
