#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "mail/mime.h"
#include "t/unit/unit.h"

Suite *mime_suite(void);

#define MP "Content-Type: multipart/mixed; boundary="

/* The parts' bodies in order, containers as "{", joined by "|". */
static void
outline(const char *text, size_t n, struct buf *b, struct mail_index *ix)
{
	struct octets o = octets_mem(text, n);
	uint32_t i;

	buf_init(b, 100000);
	ck_assert_int_eq(mail_index_make(ix, &o), 0);
	for (i = 0; i < ix->n; i++) {
		if (i > 0)
			ck_assert_int_eq(buf_putc(b, '|'), 0);
		if (mail_part_leaf(&ix->parts[i]))
			buf_put(b, text + ix->parts[i].body_off, ix->parts[i].body_len);
		else
			buf_putc(b, '{');
	}
	buf_putc(b, 0);
}

START_TEST(every_odd_message_has_its_one_reading)
{
	static const struct {
		const char *text, *outline;
		uint32_t part, flags;
	} cases[] = {
	    {"", "", 0, 0},
	    {"A: b\r\n\r\nhello\r\n", "hello\r\n", 0, 0},
	    {"A: b\n\nhello\n", "hello\n", 0, MAIL_BARE_LF | MAIL_HEAD_BARE_LF},
	    {"\r\nno header\r\n", "no header\r\n", 0, 0},
	    {"A: b\r\nno body", "", 0, MAIL_HEAD_JUNK | MAIL_NO_FINAL_NL},
	    {"A: b\r\n\r\na\rb\r\n", "a\rb\r\n", 0, MAIL_BARE_CR},
	    {"A: b\r\n\r\nno end", "no end", 0, MAIL_NO_FINAL_NL},
	    {"From x\r\nA: b\r\n\r\nx \r\nFrom y\r\n", "x \r\nFrom y\r\n", 0,
		MAIL_HEAD_JUNK | MAIL_TRAILING_WS | MAIL_FROM_LINE},
	    {"A: b\r\n \t\r\nC: d\r\n\r\nx", "x", 0, MAIL_NO_FINAL_NL},
	    {MP "b\r\n\r\npre\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n\r\n--b--\r\npost\r\n",
		"{|one|two\r\n", 1, 0},
	    {MP "b\r\n\r\n--b \t\r\n\r\none\r\n--b junk\r\n\r\ntwo\r\n--b-- x\r\n", "{|one|two", 0,
		MAIL_TRAILING_WS | MAIL_AMBIGUOUS},
	    {MP "b\r\n\r\n--b \t\r\n\r\none\r\n--b-- \r\n", "{|one", 0, MAIL_TRAILING_WS},
	    {MP "b\r\n\r\n--b\r\n\r\none\r\n--bb\r\n\r\ntwo\r\n--b--\r\n", "{|one|two", 0,
		MAIL_AMBIGUOUS},
	    {MP "b\r\n\r\n--b\r\n\r\none\n--b\r\n\r\ntwo\r\n--b--\r\n", "{|one|two", 0,
		MAIL_AMBIGUOUS | MAIL_BARE_LF},
	    {MP "\r\n \"B=boundary (1)\"\r\n\r\n--B=boundary (1)\r\n\r\none", "{|one", 0,
		MAIL_UNCLOSED},
	    {MP "\"\\b\"\r\n\r\n--b\r\n\r\none\r\n--b--\r\n", "{|one", 0, MAIL_AMBIGUOUS},
	    {MP "b; boundary*=c\r\n\r\n--c\r\n\r\none\r\n--c--\r\n", "{|one", 0, MAIL_AMBIGUOUS},
	    {MP "b; boundary=c\r\n\r\n--b\r\n\r\none\r\n--b--\r\n", "{|one", 0, MAIL_AMBIGUOUS},
	    {MP "b\r\n\r\n--b\r\n\r\none", "{|one", 0, MAIL_UNCLOSED},
	    {MP "b\r\n\r\n--b--\r\n", "--b--\r\n", 0, 0},
	    {MP "b\r\n\r\n--b", "{|", 1, MAIL_NO_FINAL_NL},
	    {MP "b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\nX: y\r\n--b--", "{|||", 3, 0},
	    /* a boundary that is a prefix of another, both ways round */
	    {MP "b\r\n\r\n--b\r\n" MP
		"bb\r\n\r\n--bb\r\n\r\nin\r\n--bb--\r\n--b\r\n\r\nout\r\n--b--",
		"{|{|in|out", 0, MAIL_NO_FINAL_NL},
	    {MP "bb\r\n\r\n--bb\r\n" MP
		"b\r\n\r\n--b\r\n\r\nin\r\n--b--\r\n--bb\r\n\r\nout\r\n--bb--",
		"{|{|in|out", 0, MAIL_NO_FINAL_NL},
	    {MP "\"b--\"\r\n\r\n--b--\r\n\r\none\r\n--b----\r\n", "{|one", 0, 0},
	    /* the same boundary inside: the innermost */
	    {MP "b\r\n\r\n--b\r\n" MP "b\r\n\r\n--b\r\n\r\nin\r\n--b--\r\n--b\r\n\r\nout\r\n--b--",
		"{|{|in|out", 0, MAIL_NO_FINAL_NL},
	    /* an outer delimiter ends what is inside */
	    {MP "o\r\n\r\n--o\r\n" MP "i\r\n\r\n--i\r\n\r\nin\r\n--o\r\n\r\nout\r\n--o--",
		"{|{|in|out", 1, MAIL_UNCLOSED},
	    {MP "\"\"\r\n\r\n--\r\nx", "--\r\nx", 0, MAIL_OPAQUE | MAIL_NO_FINAL_NL},
	    {"Content-Type: multipart/mixed\r\n\r\nx\r\n", "x\r\n", 0, MAIL_OPAQUE},
	    {"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n",
		"--b\r\n", 0, MAIL_AMBIGUOUS},
	    {"Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n", "{|x\r\n", 0, 0},
	    {"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ==\r\n",
		"QQ==\r\n", 0, MAIL_OPAQUE},
	    {"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\n", "{|{|", 2,
		0},
	    {"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: "
	     "b\r\n\r\nx\r\n--b--\r\n",
		"{|{|x", 0, 0},
	    {MP "b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", "{|x", 0,
		0},
	    {MP "b\n\n--b\n\none\n--b--\n", "{|one", 1, MAIL_HEAD_BARE_LF},
	};
	struct mail_index ix;
	struct buf b;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		outline(cases[i].text, strlen(cases[i].text), &b, &ix);
		ck_assert_msg(strcmp((const char *)buf_ptr(&b), cases[i].outline) == 0,
		    "case %zu:\n%s\ngives %s", i, cases[i].text, (const char *)buf_ptr(&b));
		ck_assert_msg(ix.parts[cases[i].part].flags == cases[i].flags, "case %zu: flags %x",
		    i, ix.parts[cases[i].part].flags);
		mail_index_free(&ix);
		buf_free(&b);
	}
}
END_TEST

#define SIGNED "Content-Type: multipart/signed; boundary="
#define ONE "--b\r\n\r\none\r\n"
#define SIG "--b\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n"
#define EVIL "--b\r\n\r\nevil\r\n--b--\r\n"

START_TEST(signed_parts_that_readers_may_cut_differently_are_none)
{
	static const struct {
		const char *text;
		bool container;
	} cases[] = {
	    {SIGNED "b\r\n\r\n" ONE SIG "--b--\r\n", true},
	    {SIGNED "\"b\"; micalg=pgp-sha256\r\n\r\npreamble\r\n" ONE SIG "--b--\r\npost\r\n",
		true},
	    {SIGNED "\"b\" ;\r\n micalg=x\r\n\r\n" ONE SIG "--b-- \t\r\n", true},
	    {"Content-Type: Multipart/Signed;\r\n\tBoundary=b\r\n\r\n" ONE SIG "--b--", true},
	    {SIGNED "b\n\n--b\n\none\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n",
		true},
	    {SIGNED "\"the boundary (b)\"\r\n\r\n", false}, /* no parts */
	    /* two types, one for each taste */
	    {SIGNED "b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" ONE SIG "--b--\r\n",
		false},
	    {"Content-Type : multipart/signed; boundary=b\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {"Content-Type: multipart/(x)signed; boundary=b\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {"Content-Type: \"multipart/signed\"; boundary=b\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {"From me\r\n" SIGNED "b\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {SIGNED "b\r\nContent-Transfer-Encoding: base64\r\n\r\n" ONE SIG "--b--\r\n", false},
	    /* two boundaries */
	    {SIGNED "b; boundary=c\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {SIGNED "b; boundary*=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n", false},
	    {SIGNED "b (c)\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {SIGNED "\"\\b\"\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {"Content-Type: multipart/signed; x=\"; boundary=c\"; boundary=b\r\n\r\n" ONE SIG
	     "--b--\r\n",
		false},
	    {"Content-Type: multipart/signed; boundary =b\r\n\r\n" ONE SIG "--b--\r\n", false},
	    {SIGNED "b=c\r\n\r\n--b=c\r\n\r\none\r\n--b=c\r\n\r\ntwo\r\n--b=c--\r\n", false},
	    /* delimiters for some */
	    {SIGNED "b\r\n\r\n--bx\r\n\r\none\r\n--bx\r\n\r\nsig\r\n--b--x\r\n" EVIL, false},
	    {SIGNED "b\r\n\r\n" ONE SIG "--b--\r\n" EVIL, false},
	    {SIGNED "b\r\n\r\nx\r--b\r\revil\r--b--\r\n" ONE SIG "--b--\r\n", false},
	    {SIGNED "b\r\n\r\n" ONE SIG "x\r--b\r\revil\r\n--b--\r\n", false},
	    {SIGNED "b\r\n\r\n" ONE
		    "--b\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--b--\r\n",
		false},
	    /* a signature that is shown */
	    {SIGNED "b\r\n\r\n" ONE "--b\r\nContent-Type: application/pgp-signature\r\n"
		    "Content-Type: text/html\r\n\r\nsig\r\n--b--\r\n",
		false},
	};
	struct mail_index ix;
	struct octets o;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		o = octets_mem(cases[i].text, strlen(cases[i].text));
		ck_assert_int_eq(mail_index_make(&ix, &o), 0);
		ck_assert_str_eq(ix.parts[0].type, "multipart");
		ck_assert_str_eq(ix.parts[0].subtype, "signed");
		ck_assert_msg((ix.parts[0].child != MAIL_NONE) == cases[i].container,
		    "case %zu:\n%s", i, cases[i].text);
		mail_index_free(&ix);
	}
}
END_TEST

START_TEST(nul_is_content_in_header_and_body)
{
	static const char text[] = "A: \0b\r\n\r\nx\0y\r\n";
	struct mail_index ix;
	struct buf b;

	outline(text, sizeof text - 1, &b, &ix);
	ck_assert_uint_eq(ix.parts[0].flags, MAIL_NUL | MAIL_HEAD_NUL);
	ck_assert_uint_eq(ix.parts[0].body_len, 5);
	mail_index_free(&ix);
	buf_free(&b);
}
END_TEST

START_TEST(fields_of_a_part_are_indexed)
{
	static const char text[] =
	    "Content-Type: TEXT/Html; Charset=\"UTF-8\"; name=\"old\"\r\n"
	    "Content-Transfer-Encoding: Quoted-Printable\r\n"
	    "Content-Disposition: Attachment; filename=\"=?utf-8?q?J=C3=B6?=.txt\"\r\n"
	    "Content-ID: <x@y>\r\n\r\na=20b\r\nc\r\n";
	struct octets o = octets_mem(text, sizeof text - 1);
	struct mail_index ix;
	struct mail_part *p;

	ck_assert_int_eq(mail_index_make(&ix, &o), 0);
	p = &ix.parts[0];
	ck_assert(mail_part_is(p, "text", "html"));
	ck_assert_str_eq(p->charset, "utf-8");
	ck_assert_int_eq(p->cte, MAIL_CTE_QP);
	ck_assert_str_eq(p->disposition, "attachment");
	ck_assert_str_eq(p->name, "J\xc3\xb6.txt");
	ck_assert_str_eq(p->id, "x@y");
	ck_assert_uint_eq(p->head_lines, 5);
	ck_assert_uint_eq(p->body_lines, 2);
	ck_assert_uint_eq(p->sep_len, 2);
	mail_index_free(&ix);
}
END_TEST

START_TEST(depth_is_bounded)
{
	struct mail_index ix;
	struct buf b;
	struct octets o;
	int i;

	buf_init(&b, 1 << 20);
	for (i = 0; i < 100; i++)
		buf_printf(&b, MP "b%d\r\n\r\n--b%d\r\n", 1000 + i, 1000 + i);
	buf_puts(&b, "\r\nx\r\n");
	o = octets_mem(buf_ptr(&b), buf_len(&b));
	ck_assert_int_eq(mail_index_make(&ix, &o), 0);
	ck_assert_uint_eq(ix.truncated, MAIL_TRUNC_DEPTH);
	ck_assert_uint_eq(ix.n, MAIL_DEPTH_MAX + 1);
	ck_assert(ix.parts[ix.n - 1].flags & MAIL_OPAQUE);
	mail_index_free(&ix);
	buf_free(&b);
}
END_TEST

START_TEST(parts_are_bounded)
{
	struct mail_index ix;
	struct buf b;
	struct octets o;
	int i;

	buf_init(&b, 1 << 20);
	buf_puts(&b, MP "b\r\n\r\n");
	for (i = 0; i < 20000; i++)
		buf_puts(&b, "--b\r\n\r\n");
	o = octets_mem(buf_ptr(&b), buf_len(&b));
	ck_assert_int_eq(mail_index_make(&ix, &o), 0);
	ck_assert_uint_eq(ix.truncated, MAIL_TRUNC_PARTS);
	ck_assert_uint_eq(ix.n, MAIL_PARTS_MAX);
	ck_assert_uint_eq(ix.parts[0].body_off + ix.parts[0].body_len, ix.size);
	mail_index_free(&ix);
	buf_free(&b);
}
END_TEST

START_TEST(headers_are_bounded)
{
	struct mail_index ix;
	struct buf b;
	struct octets o;
	int i;

	buf_init(&b, 1 << 21);
	for (i = 0; i < 60000; i++)
		buf_puts(&b, "X: y\r\n");
	buf_puts(&b, MP "b\r\n\r\n--b\r\n");
	o = octets_mem(buf_ptr(&b), buf_len(&b));
	ck_assert_int_eq(mail_index_make(&ix, &o), 0);
	ck_assert_uint_eq(ix.truncated, MAIL_TRUNC_HEADER);
	ck_assert_uint_eq(ix.n, 1);
	ck_assert_uint_eq(ix.parts[0].body_len, 5);
	mail_index_free(&ix);
	buf_free(&b);
}
END_TEST

START_TEST(hostile_boundaries_take_linear_time)
{
	struct mail_index ix;
	struct buf b;
	struct octets o;
	clock_t t;
	int i;

	buf_init(&b, 1 << 24);
	for (i = 0; i < MAIL_DEPTH_MAX; i++)
		buf_printf(&b, MP "abcd%d\r\n\r\n--abcd%d\r\n", 1000 + i, 1000 + i);
	buf_puts(&b, "\r\n");
	for (i = 0; i < 1000000; i++)
		buf_puts(&b, "--abcd\r\n");
	o = octets_mem(buf_ptr(&b), buf_len(&b));
	t = clock();
	ck_assert_int_eq(mail_index_make(&ix, &o), 0);
	ck_assert_msg(clock() - t < 10 * CLOCKS_PER_SEC, "%ld", (long)(clock() - t));
	mail_index_free(&ix);
	buf_free(&b);
}
END_TEST

Suite *
mime_suite(void)
{
	return unit_suite("mime",
	    (const TTest *const[]){every_odd_message_has_its_one_reading,
		signed_parts_that_readers_may_cut_differently_are_none,
		nul_is_content_in_header_and_body, fields_of_a_part_are_indexed, depth_is_bounded,
		parts_are_bounded, headers_are_bounded, hostile_boundaries_take_linear_time, NULL});
}
