#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "openpgp/armor.h"
#include "openpgp/dearmor.h"
#include "t/unit/unit.h"

static void
encode(struct buf *out, const uint8_t *p, size_t n, size_t step)
{
	struct sink to = sink_buf(out);
	struct pgp_armor a;
	size_t k;

	ck_assert_int_eq(pgp_armor_open(&a, PGP_ARMOR_MESSAGE, &to), 0);
	for (; n > 0; p += k, n -= k) {
		k = n < step ? n : step;
		ck_assert_int_eq(pgp_armor_write(&a, p, k), 0);
	}
	ck_assert_int_eq(pgp_armor_close(&a), 0);
}

START_TEST(decodes_what_it_encodes)
{
	static const size_t sizes[] = {0, 1, 2, 3, 47, 48, 49, 95, 96, 97, 4095, 12288, 100001};
	static uint8_t data[100001];
	enum pgp_armor_type type;
	struct buf text, back;
	size_t i, step, used;

	for (i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 131 + (i >> 8));
	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (step = 7; step < 200000; step *= 23) {
			buf_init(&text, 1 << 20);
			buf_init(&back, 1 << 20);
			encode(&text, data, sizes[i], step);
			ck_assert_uint_le(buf_len(&text), pgp_armor_len(sizes[i]));
			ck_assert_int_eq(
			    pgp_dearmor(buf_ptr(&text), buf_len(&text), &back, &type, &used, NULL),
			    1);
			ck_assert_uint_eq(buf_len(&back), sizes[i]);
			ck_assert_uint_eq(used, buf_len(&text));
			ck_assert_int_eq(type, PGP_ARMOR_MESSAGE);
			ck_assert(sizes[i] == 0 || memcmp(buf_ptr(&back), data, sizes[i]) == 0);
			buf_free(&text);
			buf_free(&back);
		}
	}
}
END_TEST

START_TEST(computes_the_known_checksum)
{
	/* The check value of CRC-24/OPENPGP. */
	ck_assert_uint_eq(pgp_crc24(PGP_CRC24_INIT, (const uint8_t *)"123456789", 9), 0x21cf02);
}
END_TEST

#define BEGIN "-----BEGIN PGP MESSAGE-----\n"
#define END "-----END PGP MESSAGE-----\n"

START_TEST(is_as_tolerant_as_the_rfc_and_no_more)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
	    {BEGIN "\nYWJjZGVm\n=PZ84\n" END, -1}, /* wrong checksum */
	    {BEGIN "\nYWJjZGVm\n" END, 1}, /* no checksum */
	    {BEGIN "Version: x\nComment: y\n\nYWJjZGVm\n" END, 1},
	    {BEGIN " \t\r\nYWJjZGVm\r\n" END, 1}, /* blanks in the empty line */
	    {BEGIN "YWJjZGVm\n" END, 1}, /* no empty line */
	    {"hello\n\n" BEGIN "\nYWJjZGVm \t\n\n" END "bye\n", 1},
	    {BEGIN "\nYWJj\nZGVm\n" END, 1},
	    {BEGIN "\nYWJjZ\nGVm\n" END, 1}, /* groups across lines */
	    {BEGIN "\nYWJjZGVm", -1}, /* no end */
	    {BEGIN "\nYWJjZGV\n" END, -1}, /* cut group */
	    {BEGIN "\nYWJjZGVm\n-----END PGP SIGNATURE-----\n", -1},
	    {BEGIN "\nYWJj ZGVm\n" END, -1}, /* a blank inside */
	    {BEGIN "\nYWJj!GVm\n" END, -1},
	    {BEGIN "\nYW==ZGVm\n" END, -1}, /* padding inside */
	    {BEGIN "\nYW===\n" END, -1},
	    {BEGIN "\nYWJjZGVm\n=aaaa\n=aaaa\n" END, -1},
	    {BEGIN "\nYWJjZGVm\n" BEGIN, -1},
	    {" " BEGIN "\nYWJjZGVm\n" END, 0}, /* not at the beginning of the line */
	    {"no armour", 0},
	    {"", 0},
	};
	struct buf out;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buf_init(&out, 4096);
		ck_assert_msg(pgp_dearmor(cases[i].text, strlen(cases[i].text), &out, NULL, NULL,
				  NULL) == cases[i].rc,
		    "case %zu", i);
		if (cases[i].rc == 1)
			ck_assert_mem_eq(buf_ptr(&out), "abcdef", 6);
		buf_free(&out);
	}
}
END_TEST

START_TEST(refuses_long_lines_and_many_headers)
{
	static char text[PGP_ARMOR_PREFACE_MAX * 2];
	struct buf out;
	size_t n;
	int i;

	buf_init(&out, 4096);
	n = (size_t)sprintf(text, BEGIN "\n");
	memset(text + n, 'A', PGP_ARMOR_LINE_MAX + 4);
	strcpy(text + n + PGP_ARMOR_LINE_MAX + 4, "\n" END);
	ck_assert_int_eq(pgp_dearmor(text, strlen(text), &out, NULL, NULL, NULL), -1);

	n = (size_t)sprintf(text, BEGIN);
	for (i = 0; i <= PGP_ARMOR_HEADERS_MAX; i++)
		n += (size_t)sprintf(text + n, "A: b\n");
	strcpy(text + n, "\nYWJj\n" END);
	ck_assert_int_eq(pgp_dearmor(text, strlen(text), &out, NULL, NULL, NULL), -1);

	memset(text, 'x', PGP_ARMOR_PREFACE_MAX + 1);
	strcpy(text + PGP_ARMOR_PREFACE_MAX + 1, "\n" BEGIN "\nYWJj\n" END);
	ck_assert_int_eq(pgp_dearmor(text, strlen(text), &out, NULL, NULL, NULL), 0);
	buf_free(&out);
}
END_TEST

START_TEST(finds_blocks_in_a_text)
{
	static const char text[] =
	    "Hello,\r\n"
	    "-----BEGIN PGP MESSAGE-----\r\n\r\nYWJj\r\n"
	    "-----END PGP MESSAGE-----\r\n"
	    "> -----BEGIN PGP MESSAGE-----\r\n"
	    "between\r\n"
	    "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nhi\r\n"
	    "-----BEGIN PGP SIGNATURE-----\r\n\r\nYWJj\r\n"
	    "-----END PGP SIGNATURE-----\r\n"
	    "-----BEGIN PGP MESSAGE-----\r\nnever ends\r\n"
	    "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nYWJj\r\n"
	    "-----END PGP PUBLIC KEY BLOCK-----";
	static const struct {
		enum pgp_armor_type type;
		const char *first, *last;
	} want[] = {
	    {PGP_ARMOR_MESSAGE, "-----BEGIN PGP MESSAGE", "> ---"},
	    {PGP_ARMOR_CLEARSIGNED, "-----BEGIN PGP SIGNED",
		"-----BEGIN PGP MESSAGE-----\r\nnever"},
	    {PGP_ARMOR_PUBLIC_KEY, "-----BEGIN PGP PUBLIC", NULL},
	};
	struct octets in = octets_mem(text, sizeof text - 1);
	struct pgp_block block;
	uint64_t from = 0;
	size_t i;

	for (i = 0; i < sizeof want / sizeof want[0]; i++) {
		ck_assert_int_eq(pgp_armor_find(&in, from, &block), 1);
		ck_assert_int_eq(block.type, want[i].type);
		ck_assert_uint_eq(block.begin, (size_t)(strstr(text, want[i].first) - text));
		ck_assert_uint_eq(block.end,
		    want[i].last ? (size_t)(strstr(text, want[i].last) - text) : sizeof text - 1);
		from = block.end;
	}
	ck_assert_int_eq(pgp_armor_find(&in, from, &block), 0);
}
END_TEST

Suite *armor_suite(void);

Suite *
armor_suite(void)
{
	return unit_suite(
	    "armor", (const TTest *const[]){decodes_what_it_encodes, computes_the_known_checksum,
			 is_as_tolerant_as_the_rfc_and_no_more, refuses_long_lines_and_many_headers,
			 finds_blocks_in_a_text, NULL});
}
