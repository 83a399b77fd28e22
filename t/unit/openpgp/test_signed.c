#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/armor.h"
#include "openpgp/detached.h"
#include "openpgp/packet.h"
#include "openpgp/sig.h"
#include "t/unit/openpgp/people.h"
#include "t/unit/unit.h"

/* Sign n octets by the first `nsigners` people, detached. */
static void
sign(struct mail *m, const void *p, size_t n, unsigned nsigners, bool text, bool armor, uint64_t at)
{
	struct pgp_sign_params params = {.signers = signer_of,
	    .nsigners = nsigners,
	    .secret = &secret,
	    .text = text,
	    .armor = armor,
	    .now = at};
	struct pgp_sign *s;
	struct err e;

	mail_init(m);
	ck_assert_ptr_nonnull(s = pgp_sign_open(&params, &e));
	ck_assert_int_eq(pgp_sign_write(s, p, n / 2), 0);
	ck_assert_int_eq(pgp_sign_write(s, (const char *)p + n / 2, n - n / 2), 0);
	ck_assert_int_eq(pgp_sign_close(s, &m->to, &e), 0);
}

static int
verify(const struct mail *sig, const void *p, size_t n, struct pgp_result *r)
{
	struct octets in = octets_mem(p, n);

	return pgp_verify_octets(
	    buf_ptr(&sig->b), buf_len(&sig->b), &in, 0, n, &certs, NOW, r, NULL);
}

START_TEST(verifies_detached_signatures)
{
	static const char doc[] = "one\r\ntwo\r\nthree";
	struct pgp_result r;
	struct mail sig;
	unsigned how, i;

	for (how = 0; how < 4; how++) {
		sign(&sig, doc, sizeof doc - 1, PEOPLE, how & 1, how & 2, NOW);
		ck_assert_int_eq(verify(&sig, doc, sizeof doc - 1, &r), 0);
		ck_assert_uint_eq(r.nsigs, PEOPLE);
		for (i = 0; i < PEOPLE; i++) {
			ck_assert_int_eq(r.sigs[i].state, PGP_SIG_GOOD);
			ck_assert_int_eq(r.sigs[i].text, how & 1);
			ck_assert_uint_eq(r.sigs[i].created, NOW);
			ck_assert_mem_eq(r.sigs[i].primary, people[i].keys[0].fpr.p, 20);
		}
		ck_assert_int_eq(verify(&sig, doc, sizeof doc - 2, &r), 0);
		for (i = 0; i < PEOPLE; i++)
			ck_assert_int_eq(r.sigs[i].state, PGP_SIG_BAD);
		/* Line ends count as CRLF in text only. */
		ck_assert_int_eq(verify(&sig, "one\ntwo\r\nthree", 14, &r), 0);
		ck_assert_int_eq(r.sigs[0].state, how & 1 ? PGP_SIG_GOOD : PGP_SIG_BAD);
		mail_free(&sig);
	}
}
END_TEST

START_TEST(judges_by_the_time_of_signing)
{
	static const struct {
		const char *what;
		uint64_t signed_at, expires, revoked;
		uint8_t flags;
		enum pgp_sig_state state;
	} cases[] = {
	    {"plain", NOW - 100, 0, 0, KEY_SIGN, PGP_SIG_GOOD},
	    {"expired since", NOW - 100, NOW - 50, 0, KEY_SIGN, PGP_SIG_GOOD},
	    {"expired before", NOW - 100, NOW - 150, 0, KEY_SIGN, PGP_SIG_EXPIRED_KEY},
	    {"retired since", NOW - 100, 0, NOW - 50, KEY_SIGN, PGP_SIG_GOOD},
	    {"retired before", NOW - 100, 0, NOW - 150, KEY_SIGN, PGP_SIG_REVOKED_KEY},
	    {"compromised", NOW - 100, 0, 1, KEY_SIGN, PGP_SIG_REVOKED_KEY},
	    {"may not sign", NOW - 100, 0, 0, KEY_CERTIFY, PGP_SIG_BAD},
	    {"older than its key", MADE - 1, 0, 0, KEY_SIGN, PGP_SIG_BAD},
	    {"from the future", NOW + 200000, 0, 0, KEY_SIGN, PGP_SIG_BAD},
	    {"a clock ahead", NOW + 2000, 0, 0, KEY_SIGN, PGP_SIG_GOOD},
	};
	struct cert_key saved = people[ALICE].keys[0], *k = &people[ALICE].keys[0];
	struct pgp_result r;
	struct mail sig;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		sign(&sig, "text", 4, 1, false, false, cases[i].signed_at);
		k->expires = cases[i].expires;
		k->revoked = cases[i].revoked;
		k->flags = cases[i].flags;
		ck_assert_int_eq(verify(&sig, "text", 4, &r), 0);
		ck_assert_msg(r.sigs[0].state == cases[i].state, "%s: %s", cases[i].what,
		    pgp_sig_state_name(r.sigs[0].state));
		*k = saved;
		mail_free(&sig);
	}
}
END_TEST

START_TEST(knows_the_unknown_and_the_weak)
{
	/* v4, binary, EdDSA, SHA-1, creation time, issuer, one MPI. */
	static const uint8_t weak[] = {0xc2, 0x1d, 4, 0, 22, 2, 0, 6, 5, 2, 0x60, 0, 0, 0, 0, 10, 9,
	    16, 1, 2, 3, 4, 5, 6, 7, 8, 0xab, 0xcd, 0, 1, 1};
	static const uint8_t v3[] = {
	    0xc2, 0x16, 3, 5, 0, 0x60, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 8, 0xab, 0xcd, 0, 1, 1};
	struct octets in = octets_mem("text", 4);
	struct pgp_result r;
	struct mail sig;

	ck_assert_int_eq(pgp_verify_octets(weak, sizeof weak, &in, 0, 4, &certs, NOW, &r, NULL), 0);
	ck_assert_int_eq(r.sigs[0].state, PGP_SIG_WEAK);
	ck_assert_int_eq(pgp_verify_octets(v3, sizeof v3, &in, 0, 4, &certs, NOW, &r, NULL), 0);
	ck_assert_int_eq(r.sigs[0].state, PGP_SIG_UNSUPPORTED);
	sign(&sig, "text", 4, 1, false, true, NOW);
	ck_assert_int_eq(
	    pgp_verify_octets(buf_ptr(&sig.b), buf_len(&sig.b), &in, 0, 4, NULL, NOW, &r, NULL), 0);
	ck_assert_int_eq(r.sigs[0].state, PGP_SIG_UNKNOWN_KEY);
	ck_assert_mem_eq(r.sigs[0].fpr, people[ALICE].keys[0].fpr.p, 20);
	ck_assert_uint_eq(r.sigs[0].primary_len, 0);
	mail_free(&sig);
}
END_TEST

START_TEST(refuses_what_is_no_signature)
{
	static const char *const cases[] = {"", "hello", "\xcb\x01z", "\xc2\x05xx",
	    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nYWJj\n-----END PGP PUBLIC KEY BLOCK-----\n"};
	struct octets in = octets_mem("text", 4);
	struct pgp_result r;
	struct mail sig, many;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(
		    pgp_verify_octets(cases[i], strlen(cases[i]), &in, 0, 4, &certs, NOW, &r, NULL),
		    -1);
		ck_assert_int_eq(r.status, PGP_MALFORMED);
	}
	sign(&sig, "text", 4, 1, false, false, NOW);
	mail_init(&many);
	for (i = 0; i <= PGP_SIGS_MAX; i++)
		ck_assert_int_eq(buf_put(&many.b, buf_ptr(&sig.b), buf_len(&sig.b)), 0);
	ck_assert_int_eq(verify(&many, "text", 4, &r), -1);
	mail_free(&many);
	mail_free(&sig);
}
END_TEST

START_TEST(signs_several_times_in_one_pass)
{
	struct pgp_encrypt_params p = {
	    .signers = signer_of, .nsigners = PEOPLE, .secret = &secret, .now = NOW};
	struct mail made, got;
	struct pgp_result r;
	unsigned i;

	people_encrypt(&made, &p, "hello", 5, 2);
	ck_assert_int_eq(people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), PEOPLE, &r), 0);
	ck_assert(!r.encrypted && !r.integrity);
	ck_assert_uint_eq(r.nsigs, PEOPLE);
	for (i = 0; i < PEOPLE; i++) {
		ck_assert_int_eq(r.sigs[i].state, PGP_SIG_GOOD);
		ck_assert_mem_eq(r.sigs[i].primary, people[PEOPLE - 1 - i].keys[0].fpr.p, 20);
	}
	mail_free(&got);
	mail_free(&made);
}
END_TEST

/* Copy the packets of a binary message but those of one tag. */
static void
without(struct mail *out, const struct mail *m, uint8_t tag)
{
	struct bytes in = {buf_ptr(&m->b), buf_len(&m->b)};
	struct pgp_packet pkt;
	const uint8_t *at;

	mail_init(out);
	for (;;) {
		at = in.p;
		if (pgp_packet_next(&in, &pkt) != 1)
			break;
		if (pkt.tag != tag)
			ck_assert_int_eq(buf_put(&out->b, at, (size_t)(in.p - at)), 0);
	}
}

START_TEST(a_signature_that_is_missing_is_bad)
{
	struct pgp_encrypt_params p = {.signers = signer_of,
	    .nsigners = 1,
	    .secret = &secret,
	    .now = NOW,
	    .size_known = true,
	    .size = 5};
	struct mail made, cut, got;
	struct pgp_result r;

	people_encrypt(&made, &p, "hello", 5, 5);
	without(&cut, &made, PGP_TAG_SIG);
	ck_assert_int_eq(people_decrypt(&got, buf_ptr(&cut.b), buf_len(&cut.b), PEOPLE, &r), 0);
	ck_assert_uint_eq(r.nsigs, 1);
	ck_assert_int_eq(r.sigs[0].state, PGP_SIG_BAD);
	mail_free(&got);
	mail_free(&cut);
	without(&cut, &made, PGP_TAG_OPS); /* nobody said what to hash */
	ck_assert_int_eq(people_decrypt(&got, buf_ptr(&cut.b), buf_len(&cut.b), PEOPLE, &r), 0);
	ck_assert_int_eq(r.sigs[0].state, PGP_SIG_BAD);
	mail_free(&got);
	mail_free(&cut);
	mail_free(&made);
}
END_TEST

START_TEST(reads_old_style_signatures_before_the_data)
{
	static const char literal[] = "\xcb\x0b"
				      "b\x00\x00\x00\x00\x00hello";
	struct mail sig, got;
	struct pgp_result r;

	sign(&sig, "hello", 5, 2, false, false, NOW);
	ck_assert_int_eq(buf_put(&sig.b, literal, sizeof literal - 1), 0);
	ck_assert_int_eq(people_decrypt(&got, buf_ptr(&sig.b), buf_len(&sig.b), PEOPLE, &r), 0);
	ck_assert_uint_eq(r.nsigs, 2);
	ck_assert_int_eq(r.sigs[0].state, PGP_SIG_GOOD);
	ck_assert_int_eq(r.sigs[1].state, PGP_SIG_GOOD);
	mail_free(&got);
	mail_free(&sig);
}
END_TEST

START_TEST(signatures_outside_of_encryption_are_refused)
{
	struct pgp_encrypt_params p = {.to = &recipient_of[ALICE], .nto = 1, .now = NOW};
	struct mail made, sig, got;
	struct pgp_result r;

	people_encrypt(&made, &p, "hello", 5, 5);
	sign(&sig, "hello", 5, 1, false, false, NOW);
	ck_assert_int_eq(buf_put(&made.b, buf_ptr(&sig.b), buf_len(&sig.b)), 0);
	ck_assert_int_eq(people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), ALICE, &r), -1);
	ck_assert_uint_eq(r.nsigs, 0);
	mail_free(&got);
	ck_assert_int_eq(buf_put(&sig.b, buf_ptr(&made.b), buf_len(&made.b)), 0);
	ck_assert_int_eq(people_decrypt(&got, buf_ptr(&sig.b), buf_len(&sig.b), ALICE, &r), -1);
	mail_free(&got);
	mail_free(&sig);
	mail_free(&made);
}
END_TEST

START_TEST(text_leaves_with_crlf)
{
	struct pgp_encrypt_params p = {.signers = signer_of,
	    .nsigners = 1,
	    .secret = &secret,
	    .now = NOW,
	    .text = true,
	    .utf8 = true,
	    .filename = "a.txt"};
	static const char in[] = "one\ntwo\r\n\nthree\r", want[] = "one\r\ntwo\r\n\r\nthree\r";
	struct mail made, got;
	struct pgp_result r;
	size_t step;

	for (step = 1; step < 20; step++) {
		people_encrypt(&made, &p, in, sizeof in - 1, step);
		ck_assert_int_eq(
		    people_decrypt(&got, buf_ptr(&made.b), buf_len(&made.b), PEOPLE, &r), 0);
		ck_assert_uint_eq(buf_len(&got.b), sizeof want - 1);
		ck_assert_mem_eq(buf_ptr(&got.b), want, sizeof want - 1);
		ck_assert_int_eq(r.sigs[0].state, PGP_SIG_GOOD);
		ck_assert(r.sigs[0].text && r.mode == 'u');
		ck_assert_str_eq(r.filename, "a.txt");
		mail_free(&got);
		mail_free(&made);
	}
}
END_TEST

#define CLEAR "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"

/* Verify body, clear-signed by alice over text. */
static int
clear(const char *head, const char *body, const char *text, struct mail *got, struct pgp_result *r)
{
	struct mail sig, doc;
	struct octets in;
	int rc;

	sign(&sig, text, strlen(text), 1, true, true, NOW);
	mail_init(&doc);
	ck_assert_int_eq(buf_puts(&doc.b, head), 0);
	ck_assert_int_eq(buf_puts(&doc.b, body), 0);
	ck_assert_int_eq(buf_put(&doc.b, buf_ptr(&sig.b), buf_len(&sig.b)), 0);
	in = octets_mem(buf_ptr(&doc.b), buf_len(&doc.b));
	mail_init(got);
	rc = pgp_clear_verify(&in, &certs, NOW, &got->to, r, NULL);
	mail_free(&doc);
	mail_free(&sig);
	return rc;
}

START_TEST(verifies_clear_signed_text)
{
	static const struct {
		const char *head, *body, *text, *out;
		int rc;
		enum pgp_sig_state state;
	} cases[] = {
	    {CLEAR, "hi\n", "hi", "hi\r\n", 0, PGP_SIG_GOOD},
	    {CLEAR, "hi\r\nthere\r\n", "hi\r\nthere", "hi\r\nthere\r\n", 0, PGP_SIG_GOOD},
	    {CLEAR, "hi \t\n", "hi", "hi\r\n", 0, PGP_SIG_GOOD}, /* blanks are not signed */
	    {CLEAR, "- -- \n- From\n", "--\r\nFrom", "--\r\nFrom\r\n", 0, PGP_SIG_GOOD},
	    {CLEAR, "hi\n\n", "hi\r\n", "hi\r\n\r\n", 0, PGP_SIG_GOOD},
	    {CLEAR, "", "", "", 0, PGP_SIG_GOOD},
	    {CLEAR, "ha\n", "hi", "ha\r\n", 0, PGP_SIG_BAD},
	    {"above\n" CLEAR, "hi\n", "hi", "hi\r\n", 0, PGP_SIG_GOOD},
	    {CLEAR, "-- \n", "--", "", -1, 0}, /* a dash without its escape */
	    {CLEAR, "-----BEGIN PGP MESSAGE-----\n", "", "", -1, 0},
	    {"-----BEGIN PGP SIGNED MESSAGE-----\nlooks signed\n\n", "hi\n", "hi", "", -1, 0},
	    {"-----BEGIN PGP SIGNED MESSAGE-----\n\n", "hi\n", "hi", "hi\r\n", 0, PGP_SIG_GOOD},
	    {"", "hi\n", "hi", "", -1, 0},
	    {"-----BEGIN PGP SIGNED MESSAGE-----\nhash: sha1, SHA3-512,RIPEMD160\n\n", "hi\n", "hi",
		"hi\r\n", 0, PGP_SIG_GOOD},
	    {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: pay mallory\n\n", "hi\n", "hi", "", -1, 0},
	    {"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256 (pay)\n\n", "hi\n", "hi", "", -1, 0},
	};
	struct pgp_result r;
	struct mail got;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(
		    clear(cases[i].head, cases[i].body, cases[i].text, &got, &r) == cases[i].rc,
		    "case %zu", i);
		if (cases[i].rc == 0) {
			ck_assert_uint_eq(r.nsigs, 1);
			ck_assert_msg(r.sigs[0].state == cases[i].state, "case %zu: %s", i,
			    pgp_sig_state_name(r.sigs[0].state));
			ck_assert_uint_eq(buf_len(&got.b), strlen(cases[i].out));
			ck_assert(buf_len(&got.b) == 0 ||
				  memcmp(buf_ptr(&got.b), cases[i].out, buf_len(&got.b)) == 0);
		} else {
			ck_assert_int_eq(r.status, PGP_MALFORMED);
			ck_assert_uint_eq(buf_len(&got.b), 0);
		}
		mail_free(&got);
	}
}
END_TEST

Suite *signed_suite(void);

Suite *
signed_suite(void)
{
	people_make();
	return unit_suite("signed",
	    (const TTest *const[]){verifies_detached_signatures, judges_by_the_time_of_signing,
		knows_the_unknown_and_the_weak, refuses_what_is_no_signature,
		signs_several_times_in_one_pass, a_signature_that_is_missing_is_bad,
		reads_old_style_signatures_before_the_data,
		signatures_outside_of_encryption_are_refused, text_leaves_with_crlf,
		verifies_clear_signed_text, NULL});
}
