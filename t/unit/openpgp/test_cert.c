#include <errno.h>
#include <string.h>

#include "openpgp/certmake.h"
#include "openpgp/seckey.h"
#include "openpgp/sig.h"
#include "openpgp/tpk.h"
#include "t/unit/openpgp/handmade.h"
#include "t/unit/unit.h"

Suite *cert_suite(void);

static struct pgp_cert *
read_at(const struct bench *b, uint64_t now)
{
	struct err e = {0};
	struct pgp_cert *c = pgp_cert_read(buf_ptr(&b->out), buf_len(&b->out), now, &e);

	ck_assert_msg(c != NULL, "%s", e.text);
	return c;
}

static const struct cert_key *
key_in(const struct pgp_cert *c, const struct bench *b, unsigned i)
{
	return pgp_cert_find(c->rec, b->pub[i].fpr.p, PGP_FPR4);
}

/* ---- certificates of our own making ---- */

static void
make_whole(struct bench *b, uint64_t expires)
{
	static const char *const uids[] = {UID, "anna@second.test"};
	const struct pgp_secret secret = {.sign = bench_sign, .ctx = b};
	struct pgp_certspec spec = {b->pub, 3, uids, 2, T0, expires};
	struct err e = {0};

	ck_assert_msg(pgp_certmake(&spec, &secret, &b->out, &e) == 0, "%s", e.text);
}

START_TEST(made_certificates_evaluate_as_asked)
{
	struct bench b;
	struct pgp_cert *c;
	const struct cert_key *enc[4];
	struct err e = {0};

	bench_start(&b);
	b.pub[CRYPT].expires = T0 + 200 * DAY;
	make_whole(&b, T0 + 300 * DAY);
	c = read_at(&b, NOW);
	ck_assert_uint_eq(c->rec->keys.n, 3);
	ck_assert_uint_eq(c->rec->keys.v[0].flags, KEY_CERTIFY);
	ck_assert_uint_eq(c->rec->keys.v[0].expires, T0 + 300 * DAY);
	ck_assert_uint_eq(c->rec->keys.v[1].flags, KEY_SIGN);
	ck_assert_uint_eq(c->rec->keys.v[2].expires, T0 + 200 * DAY);
	ck_assert_uint_eq(c->rec->uids.n, 2);
	ck_assert_str_eq(c->rec->uids.v[0].addr, "Anna@example.org");
	ck_assert(c->rec->uids.v[0].primary && !c->rec->uids.v[1].primary);
	ck_assert_uint_eq(c->rec->ciphers.n, 3);
	ck_assert_uint_eq(c->rec->features, 1);
	ck_assert_uint_eq(c->raw.n, buf_len(&b.out));
	ck_assert_int_eq(pgp_cert_encryption_keys(c->rec, NOW, enc, 4, &e), 1);
	ck_assert_ptr_eq(enc[0], &c->rec->keys.v[2]);
	ck_assert_ptr_eq(pgp_cert_signing_key(c->rec, NOW, &e), &c->rec->keys.v[1]);
	/* the subkey ends first, then all */
	ck_assert_int_eq(pgp_cert_encryption_keys(c->rec, T0 + 200 * DAY, enc, 4, &e), -1);
	ck_assert_int_eq(e.code, EKEYEXPIRED);
	ck_assert_ptr_nonnull(strstr(e.text, "expired on 20"));
	ck_assert_ptr_nonnull(pgp_cert_signing_key(c->rec, T0 + 200 * DAY, &e));
	ck_assert_ptr_null(pgp_cert_signing_key(c->rec, T0 + 300 * DAY, &e));
	ck_assert_int_eq(pgp_cert_valid(c->rec, T0 - 1, &e), -1);
	ck_assert_int_eq(e.code, EAGAIN);
	pgp_cert_free(c);
	bench_end(&b);
}
END_TEST

/* What a refusal tells the sender when a certificate cannot be encrypted to. */
START_TEST(says_why_there_is_no_key_to_encrypt_to)
{
	static const uint8_t fpr[20] = {1}, weak[] = {0x04, 0x00}, strong[] = {0x08, 0x00};
	static const struct {
		struct cert_key sub;
		const char *why;
	} rows[] = {
	    {{.algo = PGP_PK_RSA, .params = {weak, 2}},
		"too weak for encryption (RSA of 1024 bits)"},
	    {{.algo = PGP_PK_RSA, .params = {strong, 2}}, "has no key for encryption"},
	    {{.algo = PGP_PK_RSA, .params = {weak, 1}}, "has no key for encryption"},
	    {{.algo = PGP_PK_EDDSA, .params = {weak, 2}}, "has no key for encryption"},
	    {{.algo = PGP_PK_ECDH, .flags = KEY_ENCRYPT, .revoked = 1}, "was revoked"},
	    {{.algo = PGP_PK_ECDH, .flags = KEY_ENCRYPT, .expires = NOW}, "expired on"},
	    {{.algo = PGP_PK_ECDH, .flags = KEY_ENCRYPT, .created = NOW + 1}, "not valid before"},
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct cert_key keys[2] = {
		    {.algo = PGP_PK_EDDSA, .flags = KEY_CERTIFY}, rows[i].sub};
		struct cert c = {.keys = {keys, 2}};
		const struct cert_key *k;
		struct err e = {0};

		keys[0].fpr = keys[1].fpr = (struct bytes){fpr, sizeof fpr};
		ck_assert_int_eq(pgp_cert_encryption_keys(&c, NOW, &k, 1, &e), -1);
		ck_assert_msg(strstr(e.text, rows[i].why) != NULL, "row %zu: %s", i, e.text);
	}
}
END_TEST

START_TEST(impossible_specifications_are_refused)
{
	static const char *const uids[] = {UID}, *const empty[] = {""};
	struct bench b;
	const struct pgp_secret secret = {.sign = bench_sign, .ctx = &b};
	struct err e;

	bench_start(&b);
	for (int i = 0; i < 7; i++) {
		struct cert_key keys[3];
		struct pgp_certspec s = {keys, 3, uids, 1, T0, 0};

		memcpy(keys, b.pub, sizeof keys);
		if (i == 0)
			s.nkeys = 0;
		if (i == 1)
			s.uids = empty;
		if (i == 2)
			s.expires = T0;
		if (i == 3)
			s.created = T0 - 1;
		if (i == 4)
			keys[2].flags = KEY_SIGN;
		if (i == 5)
			keys[1].flags = KEY_ENCRYPT;
		if (i == 6)
			keys[0].flags = KEY_SIGN;
		ck_assert_msg(pgp_certmake(&s, &secret, &b.out, &e) == -1, "case %d", i);
		ck_assert_int_eq(e.code, EINVAL);
	}
	bench_end(&b);
}
END_TEST

/* ---- bindings ---- */

/* A signing subkey with every kind of back signature; what is it worth? */
START_TEST(a_signing_subkey_needs_a_good_back_signature)
{
	static const struct {
		const char *what;
		int embed, unhashed;
		unsigned type, by, over;
		int signs;
	} rows[] = {
	    {"good", 1, 0, PGP_SIG_BACK, SIGNER, SIGNER, 1},
	    {"good, unhashed", 1, 1, PGP_SIG_BACK, SIGNER, SIGNER, 1},
	    {"none", 0, 0, 0, 0, 0, 0},
	    {"of another key", 1, 0, PGP_SIG_BACK, OTHER, SIGNER, 0},
	    {"over another key", 1, 0, PGP_SIG_BACK, SIGNER, OTHER, 0},
	    {"by the primary", 1, 0, PGP_SIG_BACK, PRIMARY, SIGNER, 0},
	    {"of another type", 1, 0, PGP_SIG_SUBKEY, SIGNER, SIGNER, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct bench b;
		struct buf back;
		struct pgp_cert *c;

		bench_start(&b);
		buf_init(&back, 4096);
		if (rows[i].embed)
			bench_make_sig(&b,
			    SUB_SIG(rows[i].over, .type = rows[i].type, .by = rows[i].by), &back);
		put_head(&b);
		put_key(&b, SIGNER);
		put_sig(&b, SUB_SIG(SIGNER, .flags = KEY_SIGN, .back = rows[i].embed ? &back : NULL,
				.back_unhashed = rows[i].unhashed));
		c = read_at(&b, NOW);
		ck_assert_msg(key_in(c, &b, SIGNER) != NULL, "%s", rows[i].what);
		ck_assert_msg(key_in(c, &b, SIGNER)->flags == (rows[i].signs ? KEY_SIGN : 0), "%s",
		    rows[i].what);
		pgp_cert_free(c);
		buf_free(&back);
		bench_end(&b);
	}
}
END_TEST

START_TEST(only_good_bindings_bind)
{
	static const struct {
		const char *what;
		struct spec s;
		int bound;
	} rows[] = {
	    {"good", {.created = T0}, 1},
	    {"by a stranger", {.created = T0, .by = OTHER}, 0},
	    {"over another key", {.created = T0, .over = OTHER}, 0},
	    {"before the key was made", {.created = T0 - 1}, 0},
	    {"a little ahead of now", {.created = NOW + 3600}, 1},
	    {"far ahead of now", {.created = NOW + 2 * DAY}, 0},
	    {"run out", {.created = T0, .lifetime = 100}, 0},
	    {"running out", {.created = T0, .lifetime = 20 * DAY}, 1},
	    {"critical unknown subpacket", {.created = T0, .extra = 101 | PGP_SUB_CRITICAL}, 0},
	    {"unknown subpacket", {.created = T0, .extra = 101}, 1},
	    {"SHA-1 of these days", {.created = T0, .hash = PGP_HASH_SHA1}, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct spec s = rows[i].s;
		struct pgp_cert *c;
		struct bench b;

		s.type = PGP_SIG_SUBKEY;
		s.flags = KEY_ENCRYPT;
		if (s.over == 0)
			s.over = CRYPT;
		bench_start(&b);
		put_head(&b);
		put_key(&b, CRYPT);
		put_sig(&b, &s);
		c = read_at(&b, NOW);
		ck_assert_msg((key_in(c, &b, CRYPT) != NULL) == rows[i].bound, "%s", rows[i].what);
		if (rows[i].bound && s.lifetime != 0)
			ck_assert_uint_eq(key_in(c, &b, CRYPT)->expires, T0 + s.lifetime);
		pgp_cert_free(c);
		bench_end(&b);
	}
}
END_TEST

START_TEST(sha1_counts_in_old_bindings_and_in_all_revocations)
{
	const uint64_t old = PGP_CERT_SHA1_UNTIL - 100 * DAY;
	struct bench b;
	struct pgp_cert *c;
	struct err e;

	bench_start_at(&b, old);
	put_key(&b, PRIMARY);
	put_uid(&b, UID);
	put_sig(&b, UID_SIG(.uid = UID, .created = old, .hash = PGP_HASH_SHA1));
	put_key(&b, CRYPT);
	put_sig(&b, SUB_SIG(CRYPT, .created = old, .hash = PGP_HASH_SHA1, .flags = KEY_ENCRYPT));
	/* a newer one is not seen, so the old one stays */
	put_sig(&b, SUB_SIG(CRYPT, .created = PGP_CERT_SHA1_UNTIL, .hash = PGP_HASH_SHA1,
			.key_lifetime = 1));
	c = read_at(&b, NOW);
	ck_assert_uint_eq(key_in(c, &b, CRYPT)->flags, KEY_ENCRYPT);
	ck_assert_uint_eq(key_in(c, &b, CRYPT)->expires, 0);
	pgp_cert_free(c);
	put_sig(&b, SUB_SIG(CRYPT, .type = PGP_SIG_REV_SUBKEY, .created = NOW,
			.hash = PGP_HASH_SHA1, .reason = 3));
	c = read_at(&b, NOW);
	ck_assert_uint_eq(key_in(c, &b, CRYPT)->revoked, 1);
	pgp_cert_free(c);
	/* a certificate of new SHA-1 signatures only */
	buf_reset(&b.out);
	put_key(&b, PRIMARY);
	put_uid(&b, UID);
	put_sig(&b, UID_SIG(.uid = UID, .hash = PGP_HASH_SHA1));
	ck_assert_ptr_null(pgp_cert_read(buf_ptr(&b.out), buf_len(&b.out), NOW, &e));
	ck_assert_int_eq(e.code, ENOKEY);
	bench_end(&b);
}
END_TEST

START_TEST(the_newest_self_signature_decides)
{
	for (int order = 0; order < 2; order++) {
		struct bench b;
		struct pgp_cert *c;

		bench_start(&b);
		put_key(&b, PRIMARY);
		put_uid(&b, UID);
		for (int i = 0; i < 2; i++)
			if (i == order)
				put_sig(&b, UID_SIG(.uid = UID, .key_lifetime = 10));
			else
				put_sig(&b, UID_SIG(.uid = UID, .created = T0 + 5,
						.key_lifetime = 90 * DAY));
		c = read_at(&b, NOW);
		ck_assert_uint_eq(c->rec->keys.v[0].expires, T0 + 90 * DAY);
		pgp_cert_free(c);
		/* a direct-key signature goes before user ids, as far as it says something */
		buf_reset(&b.out);
		put_key(&b, PRIMARY);
		put_sig(
		    &b, &(struct spec){.type = PGP_SIG_DIRECT, .flags = KEY_CERTIFY | KEY_SIGN});
		put_uid(&b, UID);
		put_sig(&b, UID_SIG(.uid = UID, .key_lifetime = 90 * DAY));
		c = read_at(&b, NOW);
		ck_assert_uint_eq(c->rec->keys.v[0].expires, T0 + 90 * DAY);
		ck_assert_uint_eq(c->rec->keys.v[0].flags, KEY_CERTIFY | KEY_SIGN);
		pgp_cert_free(c);
		bench_end(&b);
	}
}
END_TEST

/* ---- revocations ---- */

START_TEST(hard_revocations_count_for_ever_soft_ones_from_their_time)
{
	static const struct {
		int reason;
		unsigned by, hard;
	} rows[] = {{-1, PRIMARY, 1}, {0, PRIMARY, 1}, {2, PRIMARY, 1}, {99, PRIMARY, 1},
	    {1, PRIMARY, 0}, {3, PRIMARY, 0}, {0, OTHER, 2}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (int whole = 0; whole < 2; whole++) {
			struct spec s = {.type = whole ? PGP_SIG_REV_KEY : PGP_SIG_REV_SUBKEY,
			    .by = rows[i].by,
			    .over = whole ? 0 : CRYPT,
			    .created = T0 + 5 * DAY,
			    .reason = rows[i].reason + 1};
			const struct cert_key *k, *enc[2];
			struct pgp_cert *c;
			struct bench b;
			struct err e;
			int revoked = rows[i].hard != 2;

			bench_start(&b);
			put_key(&b, PRIMARY);
			if (whole)
				put_sig(&b, &s);
			put_uid(&b, UID);
			put_sig(&b, UID_SIG(.uid = UID));
			put_key(&b, CRYPT);
			put_sig(&b, SUB_SIG(CRYPT, .flags = KEY_ENCRYPT));
			if (!whole)
				put_sig(&b, &s);
			c = read_at(&b, NOW);
			k = key_in(c, &b, CRYPT);
			ck_assert_int_eq(pgp_key_state(c->rec, k, T0 + DAY),
			    rows[i].hard == 1 ? PGP_KEY_REVOKED : PGP_KEY_OK);
			ck_assert_int_eq(
			    pgp_key_state(c->rec, k, NOW), revoked ? PGP_KEY_REVOKED : PGP_KEY_OK);
			ck_assert_int_eq(
			    pgp_cert_encryption_keys(c->rec, NOW, enc, 2, &e), revoked ? -1 : 1);
			if (revoked)
				ck_assert_int_eq(e.code, EKEYREVOKED);
			pgp_cert_free(c);
			bench_end(&b);
		}
}
END_TEST

START_TEST(a_user_id_revocation_is_undone_by_a_newer_self_signature)
{
	for (int again = 0; again < 2; again++) {
		struct bench b;
		struct pgp_cert *c;

		bench_start(&b);
		put_head(&b);
		put_uid(&b, "old@example.org");
		put_sig(&b, UID_SIG(.uid = "old@example.org"));
		put_sig(&b, UID_SIG(.uid = "old@example.org", .type = PGP_SIG_REV_CERT,
				.created = T0 + 10, .reason = 33));
		if (again)
			put_sig(&b, UID_SIG(.uid = "old@example.org", .created = T0 + 20));
		c = read_at(&b, NOW);
		ck_assert_uint_eq(c->rec->uids.n, 2);
		ck_assert_uint_eq(c->rec->uids.v[1].revoked, again ? 0 : T0 + 10);
		pgp_cert_free(c);
		bench_end(&b);
	}
}
END_TEST

START_TEST(revoking_goes_through_the_library_too)
{
	struct bench b;
	const struct pgp_secret secret = {.sign = bench_sign, .ctx = &b};
	struct err e = {0};

	bench_start(&b);
	make_whole(&b, 0);
	for (int i = 0; i < 3; i++) {
		struct pgp_cert *c;
		struct buf out;

		buf_init(&out, PGP_CERT_MAX);
		ck_assert_int_eq(
		    pgp_cert_revoke(buf_ptr(&b.out), buf_len(&b.out), b.pub[i].fpr.p, PGP_FPR4,
			PGP_REASON_COMPROMISED, "lost", T0 + 9, &secret, &out, &e),
		    0);
		c = pgp_cert_read(buf_ptr(&out), buf_len(&out), NOW, &e);
		ck_assert_msg(c != NULL, "%s", e.text);
		ck_assert_uint_eq(c->rec->keys.v[i].revoked, 1);
		pgp_cert_free(c);
		buf_free(&out);
	}
	ck_assert_int_eq(pgp_cert_revoke(buf_ptr(&b.out), buf_len(&b.out), b.pub[OTHER].fpr.p,
			     PGP_FPR4, PGP_REASON_NONE, "", T0 + 9, &secret, &b.out, &e),
	    -1);
	ck_assert_int_eq(e.code, ENOKEY);
	bench_end(&b);
}
END_TEST

/* ---- what is around ---- */

START_TEST(user_ids_give_their_address)
{
	static const struct {
		const char *uid, *addr;
	} rows[] = {{"Anna <a@B.org>", "a@b.org"}, {"a@B.org", "a@b.org"},
	    {"Anna (work) <A.b+c@x.ORG>", "A.b+c@x.org"}, {"Anna", NULL}, {"Anna <a@b.org", NULL},
	    {"Anna <a@b.org> x", NULL}, {"<a@@b.org>", NULL}, {"<@b.org>", NULL}, {"<a@>", NULL},
	    {"<a b@c.org>", NULL}, {"a <x@y.org> <p@q.org>", "p@q.org"}, {"", NULL},
	    {"\"x\"@y.org", NULL}, {"<a@b.org,c@d.org>", NULL}};
	char out[321];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		int r = pgp_uid_addr(out, sizeof out, rows[i].uid, strlen(rows[i].uid));

		ck_assert_msg((r == 0) == (rows[i].addr != NULL), "%s", rows[i].uid);
		if (r == 0)
			ck_assert_str_eq(out, rows[i].addr);
	}
}
END_TEST

START_TEST(strange_user_ids_are_left_out_or_made_utf8)
{
	static const struct {
		const char *uid, *text;
	} rows[] = {{"Line\nbreak <x@y.org>", NULL}, {"esc\033[1m <x@y.org>", NULL},
	    {"J\xf6rg <x@y.org>", "J\xc3\xb6rg <x@y.org>"},
	    {"J\xc3\xb6rg <x@y.org>", "J\xc3\xb6rg <x@y.org>"}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct bench b;
		struct pgp_cert *c;

		bench_start(&b);
		put_head(&b);
		put_uid(&b, rows[i].uid);
		put_sig(&b, UID_SIG(.uid = rows[i].uid));
		c = read_at(&b, NOW);
		ck_assert_uint_eq(c->rec->uids.n, rows[i].text == NULL ? 1 : 2);
		if (rows[i].text != NULL)
			ck_assert_str_eq(c->rec->uids.v[1].text, rows[i].text);
		ck_assert_uint_eq(c->rec->uids.v[0].primary, 1);
		pgp_cert_free(c);
		bench_end(&b);
	}
}
END_TEST

START_TEST(unknown_parts_are_passed_over)
{
	struct bench b;
	struct pgp_cert *c;
	struct err e;
	uint8_t v6[64] = {6, 1, 2, 3, 4, 27}, v3[64] = {3};

	bench_start(&b);
	put_head(&b);
	ck_assert_int_eq(tpk_put_packet(&b.out, PGP_TAG_PUBSUB, (struct bytes){v6, 64}), 0);
	put_sig(&b, SUB_SIG(CRYPT, .flags = KEY_ENCRYPT));
	ck_assert_int_eq(tpk_put_packet(&b.out, PGP_TAG_TRUST, (struct bytes){v3, 3}), 0);
	ck_assert_int_eq(tpk_put_packet(&b.out, 60, (struct bytes){v3, 3}), 0);
	ck_assert_int_eq(tpk_put_packet(&b.out, PGP_TAG_SIG, (struct bytes){v6, 20}), 0);
	put_key(&b, CRYPT);
	ck_assert_int_eq(tpk_put_packet(&b.out, PGP_TAG_SIG, (struct bytes){v3, 40}), 0);
	put_sig(&b, SUB_SIG(CRYPT, .flags = KEY_ENCRYPT));
	c = read_at(&b, NOW);
	ck_assert_uint_eq(c->rec->keys.n, 2);
	pgp_cert_free(c);
	/* as primary they make it unusable, and the next one is still read */
	for (int i = 0; i < 2; i++) {
		struct pgp_cert_iter it;
		struct buf two;

		buf_init(&two, 65536);
		ck_assert_int_eq(
		    tpk_put_packet(&two, PGP_TAG_PUBKEY, (struct bytes){i ? v6 : v3, 64}), 0);
		ck_assert_int_eq(buf_put(&two, buf_ptr(&b.out), buf_len(&b.out)), 0);
		it = (struct pgp_cert_iter){buf_ptr(&two), buf_len(&two), NOW};
		ck_assert_int_eq(pgp_cert_next(&it, &c, &e), -1);
		ck_assert_int_eq(e.code, ENOTSUP);
		ck_assert_int_eq(pgp_cert_next(&it, &c, &e), 1);
		pgp_cert_free(c);
		ck_assert_int_eq(pgp_cert_next(&it, &c, &e), 0);
		buf_free(&two);
	}
	bench_end(&b);
}
END_TEST

START_TEST(floods_are_bounded)
{
	struct bench b;
	struct pgp_cert *c;
	struct err e;
	uint8_t junk[512] = {4, 0x10, 22, 8};
	char uid[64];

	bench_start(&b);
	/* others' signatures without end: dropped, the rest stays */
	put_head(&b);
	for (int i = 0; i < 1500; i++)
		ck_assert_int_eq(tpk_put_packet(&b.out, PGP_TAG_SIG, (struct bytes){junk, 500}), 0);
	put_key(&b, CRYPT);
	put_sig(&b, SUB_SIG(CRYPT, .flags = KEY_ENCRYPT));
	c = read_at(&b, NOW);
	ck_assert_uint_eq(c->rec->keys.n, 2);
	ck_assert_uint_lt(c->raw.n, 2000);
	pgp_cert_free(c);
	/* more octets, packets or components than anyone needs */
	for (int what = 0; what < 3; what++) {
		struct pgp_cert_iter it;
		size_t keep;

		buf_reset(&b.out);
		put_head(&b);
		for (int i = 0; i < (what == 0 ? 2200 : what == 1 ? 8300 : 600); i++) {
			snprintf(uid, sizeof uid, "%d", i);
			if (what == 2)
				put_uid(&b, uid);
			else
				ck_assert_int_eq(tpk_put_packet(&b.out, PGP_TAG_SIG,
						     (struct bytes){junk, what == 0 ? 500 : 10}),
				    0);
		}
		keep = buf_len(&b.out);
		put_head(&b);
		ck_assert_uint_gt(buf_len(&b.out), keep);
		it = (struct pgp_cert_iter){buf_ptr(&b.out), buf_len(&b.out), NOW};
		ck_assert_int_eq(pgp_cert_next(&it, &c, &e), -1);
		ck_assert_int_eq(e.code, EMSGSIZE);
		ck_assert_int_eq(pgp_cert_next(&it, &c, &e), 1);
		pgp_cert_free(c);
	}
	bench_end(&b);
}
END_TEST

START_TEST(user_ids_too_many_or_too_long_are_left_out)
{
	struct bench b;
	struct pgp_cert *c;
	char uid[CERT_UID_MAX + 2];

	bench_start(&b);
	put_key(&b, PRIMARY);
	for (int i = 0; i < CERT_UIDS_MAX + 5; i++) {
		snprintf(uid, sizeof uid, "u%d@example.org", i);
		put_uid(&b, uid);
		put_sig(&b, UID_SIG(.uid = uid));
	}
	memset(uid, 'x', sizeof uid - 1);
	uid[sizeof uid - 1] = '\0';
	put_uid(&b, uid);
	put_sig(&b, UID_SIG(.uid = uid));
	c = read_at(&b, NOW);
	ck_assert_uint_eq(c->rec->uids.n, CERT_UIDS_MAX);
	ck_assert_ptr_null(memmem(c->raw.p, c->raw.n, uid, sizeof uid - 1));
	pgp_cert_free(c);
	bench_end(&b);
}
END_TEST

START_TEST(damage_anywhere_takes_rights_away_and_never_gives_any)
{
	struct bench b;
	size_t n;

	bench_start(&b);
	make_whole(&b, T0 + 300 * DAY);
	n = buf_len(&b.out);
	for (size_t i = 0; i < n; i += 3) {
		uint8_t *p = b.out.data + b.out.off + i;
		struct pgp_cert *c;
		struct err e;

		*p ^= 1;
		c = pgp_cert_read(buf_ptr(&b.out), n, NOW, &e);
		if (c != NULL) {
			ck_assert_uint_le(c->rec->keys.n, 3);
			for (size_t k = 0; k < c->rec->keys.n; k++) {
				/* the octets of a key cannot change under a signature */
				ck_assert_ptr_nonnull(memmem(buf_ptr(&b.out), n,
				    c->rec->keys.v[k].params.p, c->rec->keys.v[k].params.n));
				ck_assert(c->rec->keys.v[k].expires == 0 ||
					  c->rec->keys.v[k].expires == T0 + 300 * DAY);
			}
			pgp_cert_free(c);
		}
		*p ^= 1;
	}
	bench_end(&b);
}
END_TEST

START_TEST(merging_takes_nothing_away)
{
	struct bench b;
	struct buf old, out, same;
	struct pgp_cert *c;
	struct err e = {0};

	bench_start(&b);
	buf_init(&old, PGP_CERT_MAX);
	buf_init(&out, PGP_CERT_MAX);
	buf_init(&same, PGP_CERT_MAX);
	put_head(&b);
	put_key(&b, CRYPT);
	put_sig(&b, SUB_SIG(CRYPT, .flags = KEY_ENCRYPT));
	ck_assert_int_eq(buf_put(&old, buf_ptr(&b.out), buf_len(&b.out)), 0);
	buf_reset(&b.out);
	put_head(&b);
	put_uid(&b, "new@example.org");
	put_sig(&b, UID_SIG(.uid = "new@example.org"));
	ck_assert_int_eq(pgp_cert_merge(buf_ptr(&old), buf_len(&old), buf_ptr(&b.out),
			     buf_len(&b.out), &out, &e),
	    0);
	c = pgp_cert_read(buf_ptr(&out), buf_len(&out), NOW, &e);
	ck_assert_msg(c != NULL, "%s", e.text);
	ck_assert_uint_eq(c->rec->keys.n, 2);
	ck_assert_uint_eq(c->rec->uids.n, 2);
	pgp_cert_free(c);
	ck_assert_int_eq(
	    pgp_cert_merge(buf_ptr(&out), buf_len(&out), buf_ptr(&old), buf_len(&old), &same, &e),
	    0);
	ck_assert_uint_eq(buf_len(&same), buf_len(&out));
	/* of another key */
	buf_reset(&old);
	ck_assert_int_eq(tpk_put_packet(&old, PGP_TAG_PUBKEY, body_of(&b.body[OTHER])), 0);
	ck_assert_int_eq(
	    pgp_cert_merge(buf_ptr(&out), buf_len(&out), buf_ptr(&old), buf_len(&old), &same, &e),
	    -1);
	ck_assert_int_eq(e.code, EINVAL);
	buf_free(&old);
	buf_free(&out);
	buf_free(&same);
	bench_end(&b);
}
END_TEST

/* ---- secret keys ---- */

START_TEST(exported_secret_keys_come_back)
{
	struct bench b;
	struct pgp_seckey s;
	struct buf out;
	struct err e = {0};

	bench_start(&b);
	make_whole(&b, 0);
	buf_init(&out, PGP_SECKEY_MAX);
	/* without the primary: a stub in its place */
	ck_assert_int_eq(
	    pgp_seckey_write(buf_ptr(&b.out), buf_len(&b.out), b.k + 1, 2, "word", &out, &e), 0);
	ck_assert_int_eq(pgp_seckey_read(buf_ptr(&out), buf_len(&out), NULL, NOW, &s, &e), -1);
	ck_assert_int_eq(e.code, EACCES);
	ck_assert_int_eq(pgp_seckey_read(buf_ptr(&out), buf_len(&out), "Word", NOW, &s, &e), -1);
	ck_assert_int_eq(e.code, EKEYREJECTED);
	ck_assert_int_eq(pgp_seckey_read(buf_ptr(&out), buf_len(&out), "word", NOW, &s, &e), 0);
	ck_assert_uint_eq(s.nkeys, 2);
	ck_assert_uint_eq(s.missing, 1);
	ck_assert_uint_eq(s.flags[0], KEY_SIGN);
	ck_assert_uint_eq(s.flags[1], KEY_ENCRYPT);
	ck_assert_uint_eq(s.cert->raw.n, buf_len(&b.out));
	for (int i = 0; i < 2; i++) {
		struct bytes x = pgp_skey_secret(s.keys[i]), y = pgp_skey_secret(b.k[i + 1]);

		ck_assert_uint_eq(x.n, y.n);
		ck_assert_mem_eq(x.p, y.p, x.n);
	}
	pgp_seckey_clear(&s);
	ck_assert_int_eq(
	    pgp_seckey_read(buf_ptr(&b.out), buf_len(&b.out), "word", NOW, &s, &e), -1);
	ck_assert_int_eq(e.code, ENOKEY);
	ck_assert_int_eq(
	    pgp_seckey_write(buf_ptr(&b.out), buf_len(&b.out), b.k, 1, "", &out, &e), -1);
	buf_free(&out);
	bench_end(&b);
}
END_TEST

Suite *
cert_suite(void)
{
	const TTest *const tests[] = {made_certificates_evaluate_as_asked,
	    says_why_there_is_no_key_to_encrypt_to, impossible_specifications_are_refused,
	    a_signing_subkey_needs_a_good_back_signature, only_good_bindings_bind,
	    sha1_counts_in_old_bindings_and_in_all_revocations, the_newest_self_signature_decides,
	    hard_revocations_count_for_ever_soft_ones_from_their_time,
	    a_user_id_revocation_is_undone_by_a_newer_self_signature,
	    revoking_goes_through_the_library_too, user_ids_give_their_address,
	    strange_user_ids_are_left_out_or_made_utf8, unknown_parts_are_passed_over,
	    floods_are_bounded, user_ids_too_many_or_too_long_are_left_out,
	    damage_anywhere_takes_rights_away_and_never_gives_any, merging_takes_nothing_away,
	    exported_secret_keys_come_back, NULL};

	return unit_suite("openpgp certificates", tests);
}
