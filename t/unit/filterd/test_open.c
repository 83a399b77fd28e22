/* Retrieval: what the reader gets of what is stored. */
#include <stdio.h>
#include <string.h>

#include "mail/address.h"
#include "mail/header.h"
#include "mail/verdict.h"
#include "mail/write.h"
#include "t/unit/filterd/harness.h"

Suite *open_suite(void);

#define HEAD                                                                                       \
	"Received: from somewhere\r\nFrom: Bob <bob@partner.example>\r\nTo: alice@our.example\r\n" \
	"Subject: outer\r\n"
#define ENTITY "Content-Type: text/plain; charset=utf-8\r\n\r\nthe secret words\r\n"

static const enum who to_alice[] = {ALICE, NOBODY};
static const enum who to_carol[] = {CAROL, NOBODY};

START_TEST(opens_pgp_mime_and_verifies_in_one_pass)
{
	struct outcome o, again;
	struct buf m;

	harness_reset();
	stored(&m, HEAD, to_alice, BOB, ENTITY);
	opens(&o, &m, "yes good");
	ck_holds(&o.octets, "Received: from somewhere\r\n");
	ck_holds(&o.octets, "\r\nMIME-Version: 1.0\r\n" ENTITY);
	ck_holds(&o.octets, "X-Postern-Signer: bob@partner.example");
	ck_lacks(&o.octets, "multipart/encrypted");
	ck_assert_ptr_nonnull(strstr(o.facts, "decrypted=yes, signature=good"));
	/* The same message always looks the same. */
	opens(&again, &m, "yes good");
	ck_assert_uint_eq(buf_len(&o.octets), buf_len(&again.octets));
	ck_assert_mem_eq(buf_ptr(&o.octets), buf_ptr(&again.octets), buf_len(&o.octets));
	outcome_free(&o);
	outcome_free(&again);
	buf_free(&m);
}
END_TEST

/* Who signed, what From says, the verdict. */
static const struct {
	enum who signer;
	const char *from, *want;
} signers[] = {
    {BOB, "From: bob@partner.example\r\n", "yes good"},
    {BOB, "From: Alice <alice@our.example> <bob@PARTNER.example>\r\n", "yes not-sender"},
    {BOB, "From: BOB@partner.Example\r\n", "yes good"},
    {NOBODY, "From: bob@partner.example\r\n", "yes none"},
    {ERIN, "From: erin@partner.example\r\n", "yes expired-key"},
    {RITA, "From: rita@partner.example\r\n", "yes revoked-key"},
    {MALLORY, "From: mallory@evil.example\r\n", "yes no-key"},
    {CAROL, "From: bob@partner.example\r\n", "yes not-sender"},
    {BOB, "From: bob@partner.example, carol@partner.example\r\n", "yes not-sender"},
    {BOB, "From: bob@partner.example\r\nFrom: chief@our.example\r\n", "yes not-sender"},
    {BOB, "From: chief@our.example\r\nFrom: bob@partner.example\r\n", "yes not-sender"},
    {BOB, "From : chief@our.example\r\nFrom: bob@partner.example\r\n", "yes not-sender"},
    {BOB, "From: \"bob@partner.example\" <carol@partner.example>\r\n", "yes not-sender"},
    {BOB, "", "yes not-sender"},
};

START_TEST(judges_signers_of_encrypted_mail_by_the_one_from)
{
	char header[512];
	struct outcome o;
	struct buf m;

	harness_reset();
	(void)snprintf(header, sizeof header, "%sTo: alice@our.example\r\n", signers[_i].from);
	stored(&m, header, to_alice, signers[_i].signer, ENTITY);
	opens(&o, &m, signers[_i].want);
	ck_holds(&o.octets, "the secret words");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(judges_signers_of_clear_mail_by_the_one_from)
{
	char header[512], want[64];
	struct outcome o;
	struct buf m;

	if (signers[_i].signer == NOBODY)
		return;
	harness_reset();
	buf_init(&m, 1 << 20);
	(void)snprintf(header, sizeof header, "%sTo: alice@our.example\r\n", signers[_i].from);
	(void)snprintf(want, sizeof want, "no %s", strchr(signers[_i].want, ' ') + 1);
	signed_mime(&m, header, ENTITY, signers[_i].signer, 0);
	opens(&o, &m, want);
	ck_holds(&o.octets, "multipart/signed");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(judges_signatures_nested_in_encryption)
{
	static const struct {
		enum who signer;
		int alter;
		const char *want;
	} t[] = {
	    {BOB, 0, "yes good"},
	    {BOB, 1, "yes bad"},
	    {CAROL, 0, "yes not-sender"},
	};
	struct outcome o;
	struct buf in, m;
	size_t i;

	for (i = 0; i < 2 * sizeof t / sizeof t[0]; i++) {
		harness_reset();
		buf_init(&in, 1 << 20);
		signed_mime(&in, "", ENTITY, t[i / 2].signer, t[i / 2].alter);
		buf_putc(&in, 0);
		if (i % 2 == 1) {
			/* Written with bare line feeds, signed with CRLF. */
			char *p = (char *)in.data + in.off, *to = p;

			for (; *p != '\0'; p++)
				if (*p != '\r')
					*to++ = *p;
			*to = '\0';
		}
		stored(&m, HEAD, to_alice, NOBODY, (const char *)buf_ptr(&in));
		opens(&o, &m, t[i / 2].want);
		ck_holds(&o.octets, "multipart/signed");
		outcome_free(&o);
		buf_free(&in);
		buf_free(&m);
	}
}
END_TEST

START_TEST(altered_signed_mail_is_told_and_shown)
{
	struct outcome o;
	struct buf m;

	harness_reset();
	buf_init(&m, 1 << 20);
	signed_mime(&m, HEAD, ENTITY, BOB, 1);
	opens(&o, &m, "no bad");
	ck_holds(&o.octets, "the secret words\r\n!");
	ck_lacks(&o.octets, "X-Postern-Signer");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

/* Plaintexts, and what must stand in the virtual message, or must not. */
static const struct {
	const char *plain, *holds, *lacks;
} entities[] = {
    {"Content-Type: text/plain\n\none\ntwo\n", "\r\nContent-Type: text/plain\r\n\r\none\r\ntwo\r\n",
	NULL},
    {"no entity at all\r\n", "\r\n\r\nno entity at all\r\n", NULL},
    {"Note: a single line", "\r\n\r\nNote: a single line", NULL},
    {"Note: a line\n\nmore\n", "\r\n\r\nNote: a line\r\n\r\nmore\r\n", NULL},
    {"gr\xc3\xbc\xc3\x9f\x65\r\n", "charset=utf-8\r\n", NULL},
    {"\r\nbody of an entity\r\n", "\r\n\r\nbody of an entity\r\n", NULL},
    {"", "\r\n\r\n", NULL},
    {"Content-Type: text/plain\r\nFrom: chief@our.example\r\nX-Postern-Verdict: v=1\r\n"
     "Subject: inner\r\n\r\nx\r\n",
	"Subject: outer\r\n", "chief"},
    {"Content-Type: text/plain; protected-headers=\"v1\"\r\nFrom: chief@our.example\r\n"
     "Subject: inner\r\n\r\nx\r\n",
	"Subject: inner\r\n", "chief"},
    {"Content-Type: text/plain; protected-headers=\"v1\"\r\nSubject: inner\r\n\r\nx\r\n",
	"From: Bob <bob@partner.example>", "Subject: outer"},
    {"Content-Type: text/plain; hp=\"cipher\"\r\nSubject: inner\r\n\r\nx\r\n", "Subject: inner\r\n",
	"Subject: outer"},
    {"Content-Type: text/plain; protected-headers=\"v1\"\r\nSubject: a\r\nSubject: b\r\n\r\nx\r\n",
	"Subject: outer", "Subject: a"},
    {"Content-Type: text/plain; protected-headers=\"v1\"\r\n"
     "Subject: =?utf-8?q?a=0D=0ABcc:_x?=\r\n\r\nx\r\n",
	"Subject: ", "\nBcc:"},
    {"Content-Type: text/plain; x=\"protected-headers=v1\"\r\nSubject: inner\r\n\r\nx\r\n",
	"Subject: outer", "inner"},
    {"Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\n",
	"Content-Transfer-Encoding: base64\r\n", "binary"},
};

START_TEST(puts_the_plaintext_in_the_place_of_the_body)
{
	static const char header[] = HEAD "Content-Transfer-Encoding: base64\r\n"
					  "Content-Language: xx\r\n";
	struct outcome o;
	struct buf m;

	harness_reset();
	stored(&m, header, to_alice, NOBODY, entities[_i].plain);
	opens(&o, &m, "yes none");
	ck_holds(&o.octets, entities[_i].holds);
	if (entities[_i].lacks != NULL)
		ck_lacks(&o.octets, entities[_i].lacks);
	/* What described the ciphertext is gone. */
	ck_lacks(&o.octets, "Content-Language");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(ciphertext_part_may_be_encoded)
{
	static const char *const how[] = {"base64", "quoted-printable"};
	struct buf a, b, m;
	struct outcome o;
	unsigned i;

	for (i = 0; i < 2; i++) {
		struct mail_filter f;
		struct sink to;

		harness_reset();
		buf_init(&a, 1 << 20);
		buf_init(&b, 1 << 20);
		buf_init(&m, 1 << 20);
		encrypted(&a, to_alice, NOBODY, ENTITY, strlen(ENTITY),
		    i == 0 ? &(struct pgp_encrypt_params){.armor = false} : NULL);
		to = sink_buf(&b);
		mail_filter_init(&f, i == 0 ? MAIL_B64_ENCODE : MAIL_QP_ENCODE, &to);
		ck_assert_int_eq(mail_filter_write(&f, buf_ptr(&a), buf_len(&a)), 0);
		ck_assert_int_eq(mail_filter_end(&f), 0);
		buf_printf(&m,
		    HEAD "Content-Type: multipart/encrypted; boundary=xx\r\n\r\n--xx\r\n"
			 "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--xx\r\n"
			 "Content-Type: application/octet-stream\r\n"
			 "Content-Transfer-Encoding: %s\r\n\r\n%.*s\r\n--xx--\r\n",
		    how[i], (int)buf_len(&b), buf_ptr(&b));
		opens(&o, &m, "yes none");
		ck_holds(&o.octets, ENTITY);
		outcome_free(&o);
		buf_free(&a);
		buf_free(&b);
		buf_free(&m);
	}
}
END_TEST

START_TEST(opens_ciphertext_that_was_signed_outside)
{
	struct outcome o;
	struct buf inner, m;

	harness_reset();
	stored(&inner, "", to_alice, NOBODY, ENTITY);
	buf_putc(&inner, 0);
	buf_init(&m, 1 << 20);
	signed_mime(&m, HEAD, (const char *)buf_ptr(&inner), BOB, 0);
	/* Its signer may not know what it says. */
	opens(&o, &m, "yes none");
	ck_holds(&o.octets, ENTITY);
	outcome_free(&o);
	buf_free(&inner);
	buf_free(&m);
}
END_TEST

START_TEST(leaves_alone_what_is_not_to_us)
{
	static const char *const others[] = {
	    HEAD "\r\nplain text\r\n",
	    "no header at all",
	    "",
	    HEAD "Content-Type: text/html\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nwcBM\r\n"
		 "-----END PGP MESSAGE-----\r\n",
	    HEAD "\r\n-----BEGIN PGP MESSAGE-----\r\nhalf of it\r\n",
	    HEAD "\r\n-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nmQ==\r\n"
		 "-----END PGP PUBLIC KEY BLOCK-----\r\n",
	};
	struct outcome o;
	struct buf m;
	size_t i;

	for (i = 0; i < sizeof others / sizeof others[0]; i++) {
		harness_reset();
		open_as(&o, ALICE, others[i], strlen(others[i]));
		ck_assert_msg(o.result == OPEN_UNCHANGED, "%zu: %s", i, o.text);
		outcome_free(&o);
	}
	harness_reset();
	stored(&m, HEAD, to_carol, BOB, ENTITY);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_UNCHANGED);
	ck_assert_ptr_nonnull(strstr(o.facts, "not to our keys"));
	ck_assert_uint_eq(world.unwraps, 0);
	outcome_free(&o);
	/* Mallory cannot have alice's mail opened by mailing it to himself. */
	open_as(&o, MALLORY, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_UNCHANGED);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(opens_for_hidden_recipients)
{
	static const struct pgp_encrypt_params anonymous = {.armor = true, .anonymous = true};
	struct outcome o;
	struct buf a, m;

	harness_reset();
	buf_init(&a, 1 << 20);
	buf_init(&m, 1 << 20);
	encrypted(&a, to_alice, BOB, ENTITY, strlen(ENTITY), &anonymous);
	pgp_mime(&m, HEAD, &a);
	opens(&o, &m, "yes good");
	outcome_free(&o);
	/* Nobody else's key opens it; that is no damage. */
	open_as(&o, CAROL, buf_ptr(&m), buf_len(&m));
	ck_assert_int_ne(o.result, OPEN_DEFER);
	ck_lacks(&o.octets, "secret words");
	outcome_free(&o);
	buf_free(&a);
	buf_free(&m);
}
END_TEST

/* More hidden recipients before ours than one grant carries. */
START_TEST(renews_its_grant_for_many_hidden_recipients_of_stored_mail)
{
	static const struct pgp_encrypt_params anonymous = {.armor = true, .anonymous = true};
	struct pgp_encrypt_params p = anonymous;
	struct pgp_recipient to[GRANT_MAX + 5];
	struct pgp_skey *keys[GRANT_MAX + 5];
	struct cert_key pub[GRANT_MAX + 5];
	struct pgp_encrypt *w;
	struct outcome o;
	struct buf a, m;
	struct sink sink;
	size_t i;

	harness_reset();
	buf_init(&a, 1 << 20);
	buf_init(&m, 1 << 20);
	for (i = 0; i < GRANT_MAX + 4; i++) {
		ck_assert_ptr_nonnull(keys[i] = pgp_skey_generate(PGP_GEN_CV25519, 1, 1, NULL));
		pgp_skey_public(keys[i], &pub[i]);
		to[i] = (struct pgp_recipient){NULL, &pub[i]};
	}
	to[i] = (struct pgp_recipient){&people[ALICE].cert, &people[ALICE].keys[1]};
	p.to = to;
	p.nto = GRANT_MAX + 5;
	sink = sink_buf(&a);
	ck_assert_ptr_nonnull(w = pgp_encrypt_open(&p, &sink, NULL));
	ck_assert_int_eq(pgp_encrypt_write(w, ENTITY, strlen(ENTITY)), 0);
	ck_assert_int_eq(pgp_encrypt_close(w, NULL), 0);
	pgp_mime(&m, HEAD, &a);
	opens(&o, &m, "yes none");
	ck_assert_uint_eq(world.unwraps, GRANT_MAX + 5);
	ck_assert_uint_eq(world.openings, 2);
	ck_assert_uint_eq(world.denied, 0);
	outcome_free(&o);
	for (i = 0; i < GRANT_MAX + 4; i++)
		pgp_skey_free(keys[i]);
	buf_free(&a);
	buf_free(&m);
}
END_TEST

static const struct {
	const char *name;
	struct world w;
	int dead, signed_too;
} passing[] = {
    {"locked", {.opening = OPENING_GRANTED, .crypto = CRYPTO_LOCKED}, 0, 0},
    {"busy", {.opening = OPENING_GRANTED, .crypto = CRYPTO_BUSY}, 0, 0},
    {"denied", {.opening = OPENING_GRANTED, .crypto = CRYPTO_DENIED}, 0, 0},
    {"one key of several gone", {.opening = OPENING_GRANTED, .crypto = CRYPTO_FAILED}, 0, 0},
    {"grant deferred", {.opening = OPENING_DEFER}, 0, 0},
    {"policyd away", {.opening = OPENING_GRANTED, .policyd_gone = 1}, 1, 1},
    {"cryptod away", {.opening = OPENING_GRANTED, .cryptod_gone = 1}, 1, 0},
    {"signers unknown now", {.opening = OPENING_GRANTED, .signers_defer = 1}, 1, 1},
};

START_TEST(defers_what_it_could_open_later)
{
	struct outcome o;
	struct buf m;

	stored(&m, HEAD, to_alice, BOB, ENTITY);
	harness_reset();
	world = passing[_i].w;
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_msg(o.result == OPEN_DEFER, "%s", passing[_i].name);
	ck_assert_uint_gt(strlen(o.text), 0);
	ck_assert_int_eq(o.answered, 1);
	ck_assert_int_eq(o.dead, passing[_i].dead);
	outcome_free(&o);
	buf_free(&m);
	if (!passing[_i].signed_too)
		return;
	buf_init(&m, 1 << 20);
	signed_mime(&m, HEAD, ENTITY, BOB, 0);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_msg(o.result == OPEN_DEFER, "%s", passing[_i].name);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

/* policyd grants unseen: that none of the keys is there cryptod says. */
START_TEST(without_any_of_the_keys_it_is_not_ours)
{
	struct outcome o[2];
	struct buf m;
	unsigned i;

	stored(&m, HEAD, to_alice, BOB, ENTITY);
	for (i = 0; i < 2; i++) {
		harness_reset();
		if (i == 0)
			world.opening = OPENING_NOKEY;
		else
			world.crypto = CRYPTO_NOKEY;
		open_as(&o[i], ALICE, buf_ptr(&m), buf_len(&m));
		ck_assert_int_ne(o[i].result, OPEN_DEFER);
		ck_assert_int_eq(o[i].dead, 0);
	}
	ck_assert_int_eq(o[0].result, o[1].result);
	ck_assert_str_eq(o[0].facts, o[1].facts);
	ck_assert_uint_eq(buf_len(&o[0].octets), buf_len(&o[1].octets));
	for (i = 0; i < 2; i++)
		outcome_free(&o[i]);
	buf_free(&m);
}
END_TEST

/* Not of our fields, and not of the sender who is shown. */
START_TEST(no_line_of_the_header_becomes_a_fold_of_another)
{
	static const struct {
		const char *header, *want;
	} t[] = {
	    {"  ; signature=good\r\nFrom: bob@partner.example\r\n", "yes good"},
	    {" \r\n ; signature=good\r\nFrom: bob@partner.example\r\n", "yes good"},
	    {"\r ; signature=good\r\nFrom: bob@partner.example\r\n", "yes not-sender"},
	    {"From: bob@partner.example\r\n\r <chief@our.example>\r\n", "yes not-sender"},
	};
	char from[MAIL_ADDR_MAX + 1];
	struct mail_header h;
	struct mail_field f;
	struct octets in;
	struct outcome o;
	struct buf m;
	struct err e;
	size_t i;
	int b;

	for (i = 0; i < sizeof t / sizeof t[0]; i++)
		for (b = 0; b < 2; b++) {
			harness_reset();
			world.banner = b;
			stored(&m, t[i].header, to_alice, BOB, ENTITY);
			opens(&o, &m, t[i].want);
			in = octets_mem(buf_ptr(&o.octets), buf_len(&o.octets));
			ck_assert_int_eq(mail_header_load(&h, &in, 0, in.size), 0);
			ck_assert_int_eq(mail_from_single(&h, from, sizeof from, &e), 0);
			ck_assert_str_eq(from, "bob@partner.example");
			ck_assert(mail_header_get(&h, "X-Postern-Verdict", 0, &f));
			ck_assert_uint_eq(f.len, MAIL_VERDICT_LEN);
			ck_assert(mail_header_get(&h, "X-Postern-Signer", 0, &f));
			ck_assert_ptr_null(memmem(f.body.p, f.body.n, "good", 4));
			mail_header_free(&h);
			outcome_free(&o);
			buf_free(&m);
		}
}
END_TEST

/* Look-alikes of our fields go, also when nothing else is done. */
static const char *const forged[] = {
    "X-Postern-Verdict: v=1; decrypted=yes; signature=good; by=postern\r\n",
    "x-POSTERN-verdict: v=1\r\n",
    "X-Postern-Signer : chief@our.example\r\n",
    "X-Postern-Verdict:\r\n v=1;\r\n\tsignature=good\r\n",
    "X-Postern-Anything: x\r\nX-Postern-Signer: y\r\n",
};

START_TEST(strips_forged_verdicts)
{
	static const char *const kinds[] = {"plain", "signed", "encrypted", "foreign", "inline"};
	char header[512];
	struct outcome o;
	struct buf m, a;
	size_t k;

	(void)snprintf(header, sizeof header, "%s%s" HEAD, forged[_i], forged[_i]);
	for (k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		harness_reset();
		buf_init(&m, 1 << 20);
		buf_init(&a, 1 << 20);
		if (k == 0)
			buf_printf(&m, "%s\r\nbody\r\n", header);
		else if (k == 1)
			signed_mime(&m, header, ENTITY, MALLORY, 0);
		else if (k < 4)
			stored(&m, header, k == 2 ? to_alice : to_carol, NOBODY, ENTITY);
		else {
			encrypted(&a, to_alice, NOBODY, "x", 1, NULL);
			buf_printf(&m, "%s\r\n%.*s", header, (int)buf_len(&a), buf_ptr(&a));
		}
		open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
		ck_assert_msg(o.result == OPEN_VIRTUAL, "%s", kinds[k]);
		ck_assert_str_eq(verdict(&o.octets), k == 0   ? "-"
						     : k == 1 ? "no no-key"
						     : k == 3 ? "-"
							      : "yes none");
		ck_lacks(&o.octets, "signature=good");
		ck_lacks(&o.octets, "Signer");
		ck_holds(&o.octets, HEAD);
		outcome_free(&o);
		buf_free(&m);
		buf_free(&a);
	}
}
END_TEST

static const unsigned mib[] = {1, 5, 20};

START_TEST(opens_large_messages)
{
	struct outcome o;
	struct buf a, m, t;
	unsigned i;

	harness_reset();
	buf_init(&a, 64 << 20);
	buf_init(&m, 64 << 20);
	buf_init(&t, 64 << 20);
	buf_puts(&t, "Content-Type: application/octet-stream\r\n\r\n");
	for (i = 0; buf_len(&t) < (size_t)mib[_i] << 20; i++)
		buf_printf(&t, "line %08u of a large message, and so on and so on\r\n", i);
	encrypted(&a, to_alice, BOB, buf_ptr(&t), buf_len(&t), NULL);
	pgp_mime(&m, HEAD, &a);
	opens(&o, &m, "yes good");
	ck_assert_uint_gt(buf_len(&o.octets), buf_len(&t));
	ck_assert_mem_eq(buf_ptr(&o.octets) + buf_len(&o.octets) - (1 << 20),
	    buf_ptr(&t) + buf_len(&t) - (1 << 20), 1 << 20);
	outcome_free(&o);
	buf_free(&a);
	buf_free(&m);
	buf_free(&t);
}
END_TEST

#define LOOP(t, rows) tcase_add_loop_test(c, t, 0, sizeof rows / sizeof rows[0])

Suite *
open_suite(void)
{
	Suite *s = suite_create("open");
	TCase *c = tcase_create("open");

	tcase_set_timeout(c, 120);
	tcase_add_test(c, opens_pgp_mime_and_verifies_in_one_pass);
	LOOP(judges_signers_of_encrypted_mail_by_the_one_from, signers);
	LOOP(judges_signers_of_clear_mail_by_the_one_from, signers);
	tcase_add_test(c, judges_signatures_nested_in_encryption);
	tcase_add_test(c, altered_signed_mail_is_told_and_shown);
	LOOP(puts_the_plaintext_in_the_place_of_the_body, entities);
	tcase_add_test(c, ciphertext_part_may_be_encoded);
	tcase_add_test(c, opens_ciphertext_that_was_signed_outside);
	tcase_add_test(c, leaves_alone_what_is_not_to_us);
	tcase_add_test(c, opens_for_hidden_recipients);
	tcase_add_test(c, renews_its_grant_for_many_hidden_recipients_of_stored_mail);
	tcase_add_test(c, without_any_of_the_keys_it_is_not_ours);
	LOOP(defers_what_it_could_open_later, passing);
	tcase_add_test(c, no_line_of_the_header_becomes_a_fold_of_another);
	LOOP(strips_forged_verdicts, forged);
	LOOP(opens_large_messages, mib);
	suite_add_tcase(s, c);
	return s;
}
