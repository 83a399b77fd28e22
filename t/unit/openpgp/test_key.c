#include <errno.h>
#include <string.h>
#include <openssl/bn.h>

#include "base/enc.h"
#include "openpgp/mpi.h"
#include "openpgp/s2k.h"
#include "t/unit/openpgp/keys.h"

static const enum pgp_keytype types[] = {PGP_GEN_ED25519, PGP_GEN_CV25519, PGP_GEN_RSA};

START_TEST(mpis_round_trip_and_lose_leading_zeros)
{
	static const struct {
		const char *in, *out;
	} rows[] = {{"01", "000101"}, {"00", "0000"}, {"0001FF", "000901FF"}, {"80", "000880"}};
	uint8_t v[8], out[16];
	char hex[40];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ssize_t n = hex_decode(v, sizeof v, rows[i].in, strlen(rows[i].in));

		hex_encode(hex, out, pgp_mpi_write(out, v, (size_t)n));
		ck_assert_str_eq(hex, rows[i].out);
	}
}
END_TEST

START_TEST(cursor_refuses_short_and_huge_fields)
{
	static const uint8_t shortmpi[] = {0x00, 0x10, 0x01}, huge[] = {0x40, 0x01, 0x01};
	struct pgp_cur c = pgp_cur(shortmpi, sizeof shortmpi);

	ck_assert_uint_eq(pgp_cur_mpi(&c).n, 0);
	ck_assert(c.bad && c.n == 0);
	c = pgp_cur(huge, sizeof huge);
	(void)pgp_cur_mpi(&c);
	ck_assert(c.bad);
	c = pgp_cur("", 0);
	ck_assert_uint_eq(pgp_cur_u32(&c), 0);
	ck_assert(c.bad);
}
END_TEST

START_TEST(session_keys_of_every_size_come_back)
{
	static const unsigned ciphers[] = {PGP_CIPHER_AES128, PGP_CIPHER_AES192, PGP_CIPHER_AES256,
	    PGP_CIPHER_3DES, PGP_CIPHER_CAST5};
	static const enum pgp_keytype enc[] = {PGP_GEN_CV25519, PGP_GEN_RSA};

	for (size_t t = 0; t < 2; t++) {
		struct pgp_skey *k = make(enc[t], 0);
		struct pgp_pk *pk = public_of(k);
		struct pgp_esk esk;
		struct pgp_session_key got;

		for (size_t i = 0; i < 5; i++) {
			struct pgp_session_key s = session_key(ciphers[i]);

			ck_assert_int_eq(pgp_pk_wrap(pk, &s, &esk), 0);
			ck_assert_int_eq(pgp_skey_unwrap(k, esk.data, esk.n, &got), 0);
			ck_assert(same(&s, &got));
		}
		pgp_pk_free(pk);
		pgp_skey_free(k);
	}
}
END_TEST

START_TEST(bad_ciphertext_gives_a_stable_pseudo_random_key)
{
	static const enum pgp_keytype enc[] = {PGP_GEN_CV25519, PGP_GEN_RSA};

	for (size_t t = 0; t < 2; t++) {
		struct pgp_skey *k = make(enc[t], 0);
		struct pgp_pk *pk = public_of(k);
		struct pgp_session_key s = session_key(PGP_CIPHER_AES256);
		struct pgp_esk esk;
		uint8_t big[4096];

		ck_assert_int_eq(pgp_pk_wrap(pk, &s, &esk), 0);
		for (size_t i = 0; i < esk.n; i += 11) {
			esk.data[i] ^= 0x10;
			check_rejected(k, esk.data, esk.n, &s);
			esk.data[i] ^= 0x10;
		}
		for (size_t n = 0; n < esk.n; n += 13)
			check_rejected(k, esk.data, n, &s);
		memset(big, 0xff, sizeof big);
		check_rejected(k, big, sizeof big, &s);
		big[0] = 0x40; /* an MPI of 16,384 bit */
		big[1] = 0;
		check_rejected(k, big, 2050, &s);
		memset(big, 0, sizeof big);
		check_rejected(k, big, 2, &s);
		check_rejected(k, NULL, 0, &s);
		pgp_pk_free(pk);
		pgp_skey_free(k);
	}
}
END_TEST

/* Raw RSA blocks of our own making: every deviation of the padding and of what is inside. */
START_TEST(malformed_rsa_blocks_are_rejected_one_by_one)
{
	struct pgp_skey *k = make(PGP_GEN_RSA, 0);
	struct cert_key pub;
	struct pgp_cur cur;
	struct bytes n, e;
	struct pgp_session_key s = session_key(PGP_CIPHER_AES256), got;
	uint8_t em[384], c[384];
	struct pgp_esk esk;
	BIGNUM *bn, *be, *bm, *bc;
	BN_CTX *ctx = BN_CTX_new();
	static const struct {
		int at;
		uint8_t xor ;
	} rows[] = {{-1, 0}, {0, 1}, {1, 1}, {1, 3}, {2, 0x5a}, {9, 0x5a}, {100, 0x5a}, {348, 1},
	    {348, 0xff}, {349, 1}, {349, 2}, {349, 0xf0}, {382, 1}, {383, 1}, {360, 1}};

	pgp_skey_public(k, &pub);
	cur = pgp_cur(pub.params.p, pub.params.n);
	n = pgp_cur_mpi(&cur);
	e = pgp_cur_mpi(&cur);
	bn = BN_bin2bn(n.p, (int)n.n, NULL);
	be = BN_bin2bn(e.p, (int)e.n, NULL);
	bc = BN_new();
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		unsigned sum = 0;

		memset(em, 0x5a, sizeof em);
		em[0] = 0;
		em[1] = 2;
		em[384 - 36] = 0;
		em[384 - 35] = s.algo;
		memcpy(em + 384 - 34, s.key, 32);
		for (int j = 0; j < 32; j++)
			sum += s.key[j];
		em[382] = (uint8_t)(sum >> 8);
		em[383] = (uint8_t)sum;
		if (rows[i].at >= 0)
			em[rows[i].at] ^= rows[i].xor ;
		bm = BN_bin2bn(em, sizeof em, NULL);
		ck_assert(BN_mod_exp(bc, bm, be, bn, ctx));
		ck_assert_int_eq(BN_bn2binpad(bc, c, sizeof c), sizeof c);
		BN_free(bm);
		esk.n = pgp_mpi_write(esk.data, c, sizeof c);
		if (rows[i].at < 0) {
			ck_assert_int_eq(pgp_skey_unwrap(k, esk.data, esk.n, &got), 0);
			ck_assert(same(&s, &got));
		} else {
			check_rejected(k, esk.data, esk.n, &s);
		}
	}
	BN_free(bn);
	BN_free(be);
	BN_free(bc);
	BN_CTX_free(ctx);
	pgp_skey_free(k);
}
END_TEST

START_TEST(signatures_verify_and_altered_ones_do_not)
{
	static const enum pgp_keytype signers[] = {PGP_GEN_ED25519, PGP_GEN_RSA};
	uint8_t digest[64];

	memset(digest, 0x33, sizeof digest);
	for (size_t t = 0; t < 2; t++) {
		struct pgp_skey *k = make(signers[t], 0);
		struct pgp_pk *pk = public_of(k);
		struct pgp_sigval v;

		ck_assert_int_eq(pgp_skey_sign(k, PGP_HASH_SHA256, digest, 32, &v), 0);
		ck_assert_int_eq(pgp_pk_verify(pk, PGP_HASH_SHA256, digest, 32, v.data, v.n), 0);
		ck_assert_int_eq(pgp_pk_verify(pk, PGP_HASH_SHA512, digest, 64, v.data, v.n), -1);
		for (size_t i = 2; i < v.n; i += 5) {
			v.data[i] ^= 1;
			ck_assert_int_eq(
			    pgp_pk_verify(pk, PGP_HASH_SHA256, digest, 32, v.data, v.n), -1);
			v.data[i] ^= 1;
		}
		ck_assert_int_eq(
		    pgp_pk_verify(pk, PGP_HASH_SHA256, digest, 32, v.data, v.n - 1), -1);
		digest[5] ^= 1;
		ck_assert_int_eq(pgp_pk_verify(pk, PGP_HASH_SHA256, digest, 32, v.data, v.n), -1);
		ck_assert_int_eq(pgp_skey_sign(k, PGP_HASH_SHA1, digest, 20, &v), -1);
		ck_assert_int_eq(errno, ENOTSUP);
		ck_assert_int_eq(pgp_skey_sign(k, PGP_HASH_SHA256, digest, 31, &v), -1);
		ck_assert_int_eq(errno, EINVAL);
		pgp_pk_free(pk);
		pgp_skey_free(k);
	}
}
END_TEST

START_TEST(keys_do_only_what_their_algorithm_can)
{
	struct pgp_skey *sign = make(PGP_GEN_ED25519, 0), *dec = make(PGP_GEN_CV25519, 0);
	struct pgp_pk *pk = public_of(sign);
	struct pgp_session_key s = session_key(PGP_CIPHER_AES256);
	struct pgp_sigval v;
	struct pgp_esk esk;

	ck_assert_int_eq(pgp_skey_unwrap(sign, s.key, 32, &s), -1);
	ck_assert_int_eq(errno, ENOTSUP);
	ck_assert_int_eq(pgp_skey_sign(dec, PGP_HASH_SHA256, s.key, 32, &v), -1);
	ck_assert_int_eq(errno, ENOTSUP);
	ck_assert_int_eq(pgp_pk_wrap(pk, &s, &esk), -1);
	ck_assert_int_eq(errno, ENOTSUP);
	pgp_pk_free(pk);
	pgp_skey_free(sign);
	pgp_skey_free(dec);
}
END_TEST

START_TEST(stored_keys_come_back_and_damaged_ones_are_refused)
{
	for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
		struct pgp_skey *k = make(types[t], 0), *back;
		struct cert_key a, b;
		struct err e = {0};
		struct buf enc;
		size_t n, step;

		buf_init(&enc, PGP_SKEY_ENC_MAX);
		ck_assert_int_eq(pgp_skey_encode(k, &enc), 0);
		n = buf_len(&enc);
		back = pgp_skey_decode(buf_ptr(&enc), n, &e);
		ck_assert_msg(back != NULL, "%s", e.text);
		pgp_skey_public(k, &a);
		pgp_skey_public(back, &b);
		ck_assert_uint_eq(a.created, b.created);
		ck_assert_mem_eq(a.fpr.p, b.fpr.p, PGP_FPR4);
		ck_assert(pgp_skey_decode(buf_ptr(&enc), n - 1, &e) == NULL);
		step = types[t] == PGP_GEN_RSA ? 41 : 1;
		for (size_t i = 14; i < n; i += step) {
			/* the KDF octets and the RSA inverse do not tie the halves together */
			int free_octet =
			    (types[t] == PGP_GEN_CV25519 && i >= 14 + 46 && i < 14 + 50) ||
			    (types[t] == PGP_GEN_RSA && i >= n - 194);
			/* bits of a clamped scalar that count for nothing */
			int clamped = types[t] == PGP_GEN_CV25519 && (i == n - 1 || i == n - 32);
			/* a bit count may be off by a few, RFC 9580, 3.2.1 */
			size_t oid = types[t] == PGP_GEN_ED25519 ? 10 : 11,
			       sec = n - (types[t] == PGP_GEN_RSA ? 0 : 34);
			int count = i == 14 + oid || i == 15 + oid || i == sec || i == sec + 1;
			struct pgp_skey *bad;

			if (free_octet || clamped || count)
				continue;
			enc.data[enc.off + i] ^= 4;
			bad = pgp_skey_decode(buf_ptr(&enc), n, &e);
			ck_assert_msg(bad == NULL, "type %zu octet %zu of %zu", t, i, n);
			enc.data[enc.off + i] ^= 4;
		}
		pgp_skey_free(back);
		pgp_skey_free(k);
		buf_wipe_free(&enc);
	}
}
END_TEST

START_TEST(halves_of_different_keys_do_not_load)
{
	static const char *const names[] = {"ed25519", "cv25519", "rsa3072"};
	char text[PGP_KEY_TEXT_MAX];

	for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
		struct pgp_skey *a = make(types[t], 0), *b = make(types[t], 0);
		struct cert_key pub;
		struct err e = {0};

		pgp_skey_public(a, &pub);
		ck_assert_str_eq(pgp_key_text(pub.algo, pub.params, text), names[t]);
		ck_assert(pgp_skey_load(pub.algo, NOW, pub.params, pgp_skey_secret(b), &e) == NULL);
		ck_assert_int_eq(e.code, EKEYREJECTED);
		pgp_skey_free(a);
		pgp_skey_free(b);
	}
}
END_TEST

START_TEST(weak_and_unknown_public_keys_are_refused)
{
	static const uint8_t fpr[20] = {0};
	uint8_t rsa[200] = {0x03, 0xe8}; /* 1,000 bit */
	struct cert_key k = {.version = 4, .algo = PGP_PK_RSA, .fpr = {fpr, 20}};
	char text[PGP_KEY_TEXT_MAX];
	struct err e = {0};

	memset(rsa + 2, 0xff, 125);
	memcpy(rsa + 127, "\0\021\1\0\1", 5);
	k.params = (struct bytes){rsa, 132};
	ck_assert(pgp_pk_load(&k, &e) == NULL);
	ck_assert_int_eq(e.code, ENOTSUP);
	k.params.n = 20;
	ck_assert(pgp_pk_load(&k, &e) == NULL);
	ck_assert_int_eq(e.code, EBADMSG);
	k.algo = PGP_PK_DSA;
	ck_assert(pgp_pk_load(&k, &e) == NULL);
	ck_assert_int_eq(e.code, ENOTSUP);
	k.algo = PGP_PK_ECDH;
	k.params =
	    (struct bytes){(const uint8_t *)"\x05\x2b\x81\x04\x00\x0a\0\0", 8}; /* secp256k1 */
	ck_assert(pgp_pk_load(&k, &e) == NULL);
	ck_assert_int_eq(e.code, ENOTSUP);
	ck_assert_str_eq(pgp_key_text(k.algo, k.params, text), "ECDH");
	ck_assert_str_eq(pgp_key_text(99, k.params, text), "unknown");
}
END_TEST

START_TEST(string_to_key_hashes_what_it_should)
{
	struct pgp_s2k s = {.type = PGP_S2K_SIMPLE, .hash = PGP_HASH_SHA1};
	uint8_t key[24];
	char hex[64];

	ck_assert_int_eq(pgp_s2k_derive(&s, "abc", 3, key, 16), 0);
	ck_assert_str_eq(hex_encode(hex, key, 16), "A9993E364706816ABA3E25717850C26C");
	s.hash = PGP_HASH_MD5;
	ck_assert_int_eq(pgp_s2k_derive(&s, "abc", 3, key, 16), 0);
	ck_assert_str_eq(hex_encode(hex, key, 16), "900150983CD24FB0D6963F7D28E17F72");
	s.type = PGP_S2K_SALTED; /* of "saltsaltabc" */
	s.hash = PGP_HASH_SHA256;
	memcpy(s.salt, "saltsalt", 8);
	ck_assert_int_eq(pgp_s2k_derive(&s, "abc", 3, key, 16), 0);
	ck_assert_str_eq(hex_encode(hex, key, 16), "4ABD777B473D255442932D92D4559E38");
	s.type = PGP_S2K_ITERATED; /* "saltsaltabc" again and again, 1,024 octets of it */
	s.count = 1024;
	ck_assert_int_eq(pgp_s2k_derive(&s, "abc", 3, key, 16), 0);
	ck_assert_str_eq(hex_encode(hex, key, 16), "4D8D62DD2EF0C37CFFFFCD7E7A972188");
	ck_assert_int_eq(pgp_s2k_derive(&s, "abc", 3, key, 65), -1);
}
END_TEST

START_TEST(string_to_key_specifiers_are_parsed_strictly)
{
	static const struct {
		const char *hex;
		int used, err;
	} rows[] = {
	    {"0008", 2, 0},
	    {"0108"
	     "0102030405060708",
		10, 0},
	    {"0308"
	     "0102030405060708"
	     "60",
		11, 0},
	    {"0308"
	     "0102030405060708",
		-1, EBADMSG},
	    {"6500474E5501", 6, 0},
	    {"6500474E55020401020304", 11, 0},
	    {"6500474E550204010203", -1, EBADMSG},
	    {"6500474E5509", -1, ENOTSUP},
	    {"0463", -1, ENOTSUP},
	    {"0063", -1, ENOTSUP},
	    {"00", -1, EBADMSG},
	    {"", -1, EBADMSG},
	};
	struct pgp_s2k s;
	uint8_t b[32], w[PGP_S2K_LEN];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ssize_t n = hex_decode(b, sizeof b, rows[i].hex, strlen(rows[i].hex));

		ck_assert_msg(pgp_s2k_parse(&s, b, (size_t)n) == rows[i].used, "row %zu", i);
		if (rows[i].used < 0)
			ck_assert_int_eq(errno, rows[i].err);
	}
	pgp_s2k_make(&s);
	ck_assert_uint_eq(pgp_s2k_write(&s, w), PGP_S2K_LEN);
	ck_assert_uint_eq(w[10], 255);
}
END_TEST

Suite *key_suite(void);

Suite *
key_suite(void)
{
	const TTest *const tests[] = {mpis_round_trip_and_lose_leading_zeros,
	    cursor_refuses_short_and_huge_fields, session_keys_of_every_size_come_back,
	    bad_ciphertext_gives_a_stable_pseudo_random_key,
	    malformed_rsa_blocks_are_rejected_one_by_one, signatures_verify_and_altered_ones_do_not,
	    keys_do_only_what_their_algorithm_can,
	    stored_keys_come_back_and_damaged_ones_are_refused,
	    halves_of_different_keys_do_not_load, weak_and_unknown_public_keys_are_refused,
	    string_to_key_hashes_what_it_should, string_to_key_specifiers_are_parsed_strictly,
	    NULL};

	return unit_suite("openpgp keys", tests);
}
