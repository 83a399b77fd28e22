#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "mail/classify.h"
#include "t/unit/unit.h"

Suite *classify_suite(void);

#define E MAIL_SCAN_ENCRYPTED
#define S MAIL_SCAN_SIGNED
#define I MAIL_SCAN_INLINE
#define F MAIL_SCAN_FORGED
#define X MAIL_SCAN_SMIME
#define H "From: a@b\r\nSubject: x\r\n"

static const struct {
	const char *message;
	unsigned found;
} cases[] = {
    {H "\r\nhello\r\n", 0},
    {"", 0},
    {"Content-Type: multipart/encrypted; boundary=b\r\n\r\n", E},
    {H "CONTENT-type :\r\n\tMultiPart/\r\n Encrypted;boundary=b\r\n\r\n", E},
    {H "Content-Type: (a (nested) \\) comment) multipart/(x)encrypted\r\n\r\n", E},
    {H "Content-Type\r\n : multipart/encrypted\r\n\r\n", E},
    {H "Content-Type: multipart/encrypted", E},
    {H "Content-Type: multipart/mixed; x=multipart/encrypted\r\n\r\n", 0},
    {H "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
       "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"\r\n\r\n",
	S},
    {H "Content-Type: multipart/signed; micalg=x\r\n\r\n", S},
    {H "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"\r\n\r\n", X},
    {H "Content-Type: application/x-pkcs7-mime; name=smime.p7m\r\n\r\n", X},
    {H "\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n", E},
    {H "\r\n--b\r\nContent-Type: application/pgp-signature; name=s\r\n\r\n", S},
    {H "\r\n--b\r\nContent-Type: application/pgp-keys\r\n\r\n", 0},
    {H "\r\nis Content-Type: multipart/encrypted a header?\r\n", 0},
    {H "\r\n--b\r\nContent-Type: application/octet-stream; name=\"a.pdf.PGP\"\r\n\r\n", I},
    {H "\r\n--b\r\ncontent-Disposition :\r\n attachment;\r\n filename=a.gpg\r\n\r\n", I},
    {H "Content-Disposition: attachment; filename=a.gpg", I},
    {H "\r\n--b\r\nContent-Disposition: attachment; filename=pgp.txt\r\n\r\n", 0},
    {H "\r\n--b\r\nContent-Description: a.gpg\r\n\r\n", 0},
    {H "Content-Disposition: multipart/encrypted\r\n\r\n", 0},
    {"Content-Disposition: x\rX-Postern-Verdict: y\r\n" H "\r\n", F},
    {"Content-DispositionX-Postern: y\r\nX-Postern-A: b\r\n\r\n", F},
    {H "\r\n-----BEGIN PGP MESSAGE-----\r\n", I},
    {H "\r\ntext-----BEGIN PGP SIGNED MESSAGE-----\r\n", I},
    {H "\r\n---------BEGIN PGP MESSAGE-----\r\n", I},
    {H "\r\n-----BEGIN CERTIFICATE-----\r\n", 0},
    {H "\r\n-----BEGIN\r\nPGP MESSAGE-----\r\n", 0},
    {H "\r\n=2D=2D=2D=2D=2DBEGIN=20PGP=20MESSAGE\r\n", I},
    {H "\r\n=2d--=2D-=42EGIN PG=\r\nP MESSAGE\r\n", I},
    {H "\r\n-----BEG=  \t\r\nIN P=\nGP MESSAGE\r\n", I},
    {H "\r\n=-----BEGIN PGP MESSAGE\r\n", I},
    {H "\r\n=2-----BEGIN PGP MESSAGE\r\n", I},
    {H "\r\n--=2D=2D=2=D-BEGIN PGP MESSAGE\r\n", 0},
    /* base64 of "-----BEGIN PGP MESSAGE-----" behind 0, 1, 2 octets */
    {H "\r\nLS0tLS1CRUdJTiBQR1AgTUVTU0FHRS0tLS0t\r\n", I},
    {H "\r\nCi0tLS0tQkVHSU4gUEdQIE1FU1NBR0UtLS0tLQ==\r\n", I},
    {H "\r\nDQotLS0tLUJFR0lOIFBHUCBNRVNTQUdFLS0tLS0=\r\n", I},
    {H "\r\nLS0t\r\nLS1C\r\nRUdJ\r\nTiBQ\r\nR1AgTUVTU0FHRS0tLS0t\r\n", I},
    {H "\r\nCi0tL\r\n S0tQ k\tVHSU4\r\ng\r\nUEd!QIE1FU1NBR0UtLS0tLQ==\r\n", I},
    {H "\r\nD\nQ\no\nt\nL\nS\n0\nt\nL\nU\nJ\nF\nR\n0\nl\nO\nI\nF\nB\nH\nU\nC\nB\n", I},
    {H "\r\nLS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t\r\n", 0}, /* BEGIN CERTIFICATE */
    {"X-Postern-Verdict: good\r\n" H "\r\n", F},
    {H "x-POSTERN-anything\r\n :x\r\n\r\n", F},
    {H "X-Postern-Verdict \t: x\r\n\r\n", F},
    {"  X-Postern-Verdict: x\r\n\r\n", F},
    {H "X-Other: a\rX-Postern-Verdict: x\r\n\r\n", F},
    {H "X-Other: a\r\r\nX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type: text/plain\rX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type\rX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type: text/plain\r\nX-Postern-Verdict: x\r\n\r\n", F},
    {H "Content-Type: text/plain\n\nX-Postern-Verdict: x\r\n\r\n", 0},
    {H "\r\nX-Postern-Verdict: in the body\r\n", 0},
    {H "X-Posternal: other\r\n\r\n", 0},
    {H " X-Postern-Fold: other\r\n\r\n", 0},
};
#define NCASES (sizeof cases / sizeof cases[0])

static unsigned
scan3(const char *p, size_t n, size_t a, size_t b)
{
	struct mail_scan s;

	mail_scan_init(&s);
	mail_scan_feed(&s, p, a);
	mail_scan_feed(&s, p + a, b - a);
	mail_scan_feed(&s, p + b, n - b);
	return mail_scan_end(&s);
}

static unsigned
scan1(const char *p, size_t n)
{
	struct mail_scan s;
	size_t i;

	mail_scan_init(&s);
	for (i = 0; i < n; i++)
		mail_scan_feed(&s, p + i, 1);
	return mail_scan_end(&s);
}

START_TEST(finds_what_a_worker_would_act_on)
{
	size_t i, n;

	for (i = 0; i < NCASES; i++) {
		n = strlen(cases[i].message);
		ck_assert_msg(scan3(cases[i].message, n, n, n) == cases[i].found,
		    "case %zu: %x, not %x:\n%s", i, scan3(cases[i].message, n, n, n),
		    cases[i].found, cases[i].message);
	}
}
END_TEST

START_TEST(every_split_in_three_finds_the_same)
{
	size_t i, n, a, b;

	for (i = 0; i < NCASES; i++) {
		n = strlen(cases[i].message);
		for (a = 0; a <= n; a++)
			for (b = a; b <= n; b++)
				ck_assert_msg(scan3(cases[i].message, n, a, b) == cases[i].found,
				    "case %zu split at %zu, %zu", i, a, b);
	}
}
END_TEST

START_TEST(octet_by_octet_finds_the_same)
{
	size_t i;

	for (i = 0; i < NCASES; i++)
		ck_assert_uint_eq(
		    scan1(cases[i].message, strlen(cases[i].message)), cases[i].found);
}
END_TEST

START_TEST(a_content_type_too_long_to_judge_goes_to_a_worker)
{
	static const char head[] = "Content-Type: (";
	struct mail_scan s;
	int i;

	mail_scan_init(&s);
	mail_scan_feed(&s, head, sizeof head - 1);
	for (i = 0; i < 600; i++)
		mail_scan_feed(&s, "x", 1);
	ck_assert(mail_scan_needs_worker(&s));
	/* a long list of parameters is no reason */
	mail_scan_init(&s);
	mail_scan_feed(&s, "Content-Type: text/plain; name=", 31);
	for (i = 0; i < 600; i++)
		mail_scan_feed(&s, "x", 1);
	mail_scan_feed(&s, "\r\n\r\n", 4);
	ck_assert_uint_eq(mail_scan_end(&s), 0);
}
END_TEST

/*
 * Chunks of one octet are read by the automaton alone, all others many octets at a time where they
 * can be, in one of two ways: these compare the three, at every end of a chunk.
 */
static void
use_portable(bool on)
{
#ifdef VEC_AVX2
	vec_portable = on;
#else
	(void)on;
#endif
}

#define SOUP_MAX 512

struct soup {
	uint32_t seed;
	unsigned round; /* for who looks for what failed */
	size_t n;
	char p[SOUP_MAX];
};

static unsigned
draw(struct soup *o, unsigned below)
{
	o->seed = o->seed * 1664525 + 1013904223;
	return (o->seed >> 16) % below;
}

static void
add(struct soup *o, const char *p, size_t n)
{
	if (n > SOUP_MAX - o->n)
		n = SOUP_MAX - o->n;
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void
add_text(struct soup *o, const char *text)
{
	add(o, text, strlen(text));
}

/* The armour's start, each octet plain or coded, with soft breaks between; one in four is wrong. */
static void
add_armour(struct soup *o)
{
	static const char text[] = "-----BEGIN PGP ";
	unsigned wrong = draw(o, 4 * (sizeof text - 1)), i, coded = draw(o, 4);
	char code[4];

	for (i = 0; i < sizeof text - 1; i++) {
		if (draw(o, 8) < coded)
			add_text(o, (const char *const[]){"=\r\n", "=\n", "= \t\r\n"}[draw(o, 3)]);
		if (i == wrong)
			add_text(o, "=2");
		if (draw(o, 4) < coded) {
			snprintf(code, sizeof code, draw(o, 2) ? "=%02X" : "=%02x", text[i]);
			add_text(o, code);
		} else
			add(o, &text[i], 1);
	}
}

/* The same in base64, with other octets between the letters; one in four is wrong. */
static void
add_base64(struct soup *o)
{
	static const char *const texts[] = {"LS0tLS1CRUdJTiBQ", "0tLS0tQkVHSU4gU",
	    "tLS0tLUJFR0lOIFBHU", "LS0tLS1CRULS0tLS1CRUdJTiBQ", "LS0tLS1CRUdJTLS0tLS1CRU"};
	static const char junk[] = " \r\n\t!,-.:;<=>?@[\\]^_`{|}~\177\200\241\325\377\001";
	const char *text = texts[draw(o, 5)];
	unsigned wrong = draw(o, 4 * (unsigned)strlen(text)), i, often = draw(o, 3);

	for (i = 0; text[i] != '\0'; i++) {
		while (draw(o, 4) < often)
			add(o, &junk[draw(o, sizeof junk - 1)], 1);
		add(o, i == wrong ? "/" : &text[i], 1);
	}
}

static void
cook(struct soup *o)
{
	static const char *const pieces[] = {"-", "--", "-----", "=", "=2", "=2D", "=3D", "=20",
	    "=\r\n", "\r", "\n", "\r\n", "\r\n\r\n", "Q", "U", "RU", "gU", "HU", " U", "c", "C",
	    "\nco", "x", "+", "/", "BEGIN", "PGP ", "\200",
	    "\r\nContent-Type: multipart/encrypted\r\n", "\ncontent-disposition\n : a; b=c.gpg\n",
	    "\rX-Postern-", "\nx-postern-", "\nContent-Type: application/x-pkcs7-mime\n",
	    "\r\nConte", "\r\nX-Post"};
	static const char filler[] = "it was a quiet day on the river, and the boats lay still";
	unsigned parts = draw(o, 10);

	o->n = 0;
	if (draw(o, 2))
		add_text(o, H "\r\n");
	for (; parts > 0; parts--)
		switch (draw(o, 8)) {
		case 0:
			add_armour(o);
			break;
		case 1:
			add_base64(o);
			break;
		case 2:
		case 3:
		case 4:
			add(o, filler, draw(o, sizeof filler));
			break;
		default:
			add_text(o, pieces[draw(o, sizeof pieces / sizeof pieces[0])]);
		}
}

/* Feed n octets in chunks of 1 to most; found holds what the automaton had found by each end. */
static void
feed_chunks(struct soup *o, unsigned most, const unsigned *found)
{
	struct mail_scan s;
	size_t off, len;
	char *copy;

	mail_scan_init(&s);
	for (off = 0; off < o->n; off += len) {
		len = 1 + draw(o, most);
		if (len > o->n - off)
			len = o->n - off;
		/* A block of its own, so that ASan sees one octet too many. */
		copy = malloc(len);
		memcpy(copy, o->p + off, len);
		mail_scan_feed(&s, copy, len);
		free(copy);
		ck_assert_msg(s.found == found[off + len], "round %u: %x, not %x, at %zu of %zu",
		    o->round, s.found, found[off + len], off + len, o->n);
	}
	ck_assert_uint_eq(mail_scan_end(&s), found[o->n + 1]);
}

START_TEST(many_octets_at_a_time_find_what_single_octets_do)
{
	unsigned found[SOUP_MAX + 2] = {0}, some = 0, none = 0;
	struct soup o = {.seed = 20};
	struct mail_scan s;
	size_t i;

	for (; o.round < 20000; o.round++) {
		cook(&o);
		mail_scan_init(&s);
		for (i = 0; i < o.n; i++) {
			mail_scan_feed(&s, o.p + i, 1);
			found[i + 1] = s.found;
		}
		found[o.n + 1] = mail_scan_end(&s);
		if (found[o.n + 1] & I)
			some++;
		else
			none++;
		feed_chunks(&o, 1 << 16, found);
		feed_chunks(&o, 200, found);
		use_portable(true);
		feed_chunks(&o, 1 << 16, found);
		feed_chunks(&o, 100, found);
		feed_chunks(&o, 20, found);
		use_portable(false);
	}
	ck_assert_uint_gt(some, o.round / 10);
	ck_assert_uint_gt(none, o.round / 10);
}
END_TEST

/* Each case behind up to 70 octets of text and before as many, in two chunks cut anywhere. */
static void
cut_anywhere(size_t i, size_t pad)
{
	size_t len = strlen(cases[i].message), n = 4 + pad + len + 70, cut;
	char *p = malloc(n), *b;
	struct mail_scan s;
	unsigned want, found;

	memset(p, 'a', n);
	memcpy(p, "A:\n\n", 4);
	memcpy(p + 4 + pad, cases[i].message, len);
	want = scan1(p, n);
	for (cut = 0; cut <= n; cut += 1 + cut / 16) {
		b = malloc(n - cut + 1);
		memcpy(b, p + cut, n - cut);
		mail_scan_init(&s);
		mail_scan_feed(&s, p, cut);
		mail_scan_feed(&s, b, n - cut);
		free(b);
		if ((found = mail_scan_end(&s)) != want)
			ck_abort_msg("case %zu behind %zu, cut at %zu: %x, not %x", i, pad, cut,
			    found, want);
	}
	free(p);
}

START_TEST(every_alignment_and_split_finds_the_same)
{
	size_t i, pad;
	int portable;

	for (portable = 0; portable < 2; portable++) {
		use_portable(portable);
		for (i = 0; i < NCASES; i++)
			for (pad = 0; pad <= 70; pad++)
				cut_anywhere(i, pad);
	}
	use_portable(false);
}
END_TEST

/* Three octets at "at" in the middle of text: the state behind all is the same as octet by octet.
 */
static void
read_alike(const char *text, size_t n, size_t at)
{
	struct mail_scan one, many;
	size_t i;

	mail_scan_init(&one);
	mail_scan_feed(&one, "\n\n", 2);
	many = one;
	for (i = 0; i < n; i++)
		mail_scan_feed(&one, text + i, 1);
	mail_scan_feed(&many, text, n);
	if (one.found != many.found || one.armour != many.armour || one.line != many.line ||
	    one.qp != many.qp)
		ck_abort_msg("%02x %02x %02x at %zu", (uint8_t)text[at], (uint8_t)text[at + 1],
		    (uint8_t)text[at + 2], at);
}

START_TEST(no_three_octets_are_passed_that_matter)
{
	static const char octets[] = "-=2Dd\nCcOoURgHBQ :@`+/Z\r\t\200\377a";
	/* behind them what makes each of them matter */
	static const char *const tails[] = {"----BEGIN PGP ", "\r\n----BEGIN PGP "};
	size_t i, at, c, k, n = sizeof octets - 1;
	char text[140];

	for (i = 0; i < 4 * n * n * n; i++) {
		use_portable(i & 1);
		memset(text, 'a', sizeof text);
		at = 40 + i / 4 % 64;
		for (c = i / 4, k = 0; k < 3; k++, c /= n)
			text[at + k] = octets[c % n];
		memcpy(text + at + 3, tails[i / 2 % 2], strlen(tails[i / 2 % 2]));
		read_alike(text, sizeof text, at);
	}
	use_portable(false);
}
END_TEST

Suite *
classify_suite(void)
{
	return unit_suite("classify",
	    (const TTest *const[]){finds_what_a_worker_would_act_on,
		every_split_in_three_finds_the_same, octet_by_octet_finds_the_same,
		every_alignment_and_split_finds_the_same, no_three_octets_are_passed_that_matter,
		many_octets_at_a_time_find_what_single_octets_do,
		a_content_type_too_long_to_judge_goes_to_a_worker, NULL});
}
