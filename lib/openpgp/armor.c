#include "openpgp/armor.h"

#include <string.h>

#include "openpgp/dearmor.h"

#define CRC24_POLY 0x864cfbU
#define LINE_OCTETS 48 /* 64 characters, what every other implementation writes */
#define LINE_CHARS 66 /* with CRLF */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Eight octets of CRC at a time, three octets of base64 by two look-ups. */
static uint32_t crc_table[8][256];
static char pair_table[4096][2];

static void
tables_init(void)
{
	static bool done;
	uint32_t v;
	unsigned i, k;

	if (done)
		return;
	for (i = 0; i < 256; i++) {
		v = i << 24;
		for (k = 0; k < 8; k++)
			v = v << 1 ^ (v & 0x80000000U ? CRC24_POLY << 8 : 0);
		crc_table[0][i] = v;
	}
	for (k = 1; k < 8; k++) {
		for (i = 0; i < 256; i++) {
			v = crc_table[k - 1][i];
			crc_table[k][i] = v << 8 ^ crc_table[0][v >> 24];
		}
	}
	for (i = 0; i < 4096; i++) {
		pair_table[i][0] = alphabet[i >> 6];
		pair_table[i][1] = alphabet[i & 63];
	}
	done = true;
}

uint32_t
pgp_crc24(uint32_t crc, const uint8_t *p, size_t n)
{
	uint32_t x, y, v = crc << 8;

	tables_init();
	for (; n >= 8; p += 8, n -= 8) {
		x = v ^ get_be32(p);
		y = get_be32(p + 4);
		v = crc_table[7][x >> 24] ^ crc_table[6][x >> 16 & 255] ^
		    crc_table[5][x >> 8 & 255] ^ crc_table[4][x & 255] ^ crc_table[3][y >> 24] ^
		    crc_table[2][y >> 16 & 255] ^ crc_table[1][y >> 8 & 255] ^
		    crc_table[0][y & 255];
	}
	for (; n > 0; p++, n--)
		v = v << 8 ^ crc_table[0][v >> 24 ^ *p];
	return v >> 8;
}

static const char *const labels[] = {
    [PGP_ARMOR_NONE] = NULL,
    [PGP_ARMOR_MESSAGE] = "PGP MESSAGE",
    [PGP_ARMOR_SIGNATURE] = "PGP SIGNATURE",
    [PGP_ARMOR_PUBLIC_KEY] = "PGP PUBLIC KEY BLOCK",
    [PGP_ARMOR_SECRET_KEY] = "PGP PRIVATE KEY BLOCK",
    [PGP_ARMOR_CLEARSIGNED] = "PGP SIGNED MESSAGE",
};

const char *
pgp_armor_label(enum pgp_armor_type type)
{
	return labels[type];
}

static enum pgp_armor_type
match_line(struct bytes line, const char *word)
{
	size_t w = strlen(word), n, i;

	if (line.n < w + 5 || memcmp(line.p, word, w) != 0 ||
	    memcmp(line.p + line.n - 5, "-----", 5) != 0)
		return PGP_ARMOR_NONE;
	for (i = 1; i < sizeof labels / sizeof labels[0]; i++) {
		n = strlen(labels[i]);
		if (line.n == w + n + 5 && memcmp(line.p + w, labels[i], n) == 0)
			return (enum pgp_armor_type)i;
	}
	return PGP_ARMOR_NONE;
}

enum pgp_armor_type
pgp_armor_begins(struct bytes line)
{
	return match_line(line, "-----BEGIN ");
}

enum pgp_armor_type
pgp_armor_ends(struct bytes line)
{
	return match_line(line, "-----END ");
}

/* 48 octets or the last fewer ones as characters; returns how many. */
static size_t
encode_line(char *to, const uint8_t *p, size_t n)
{
	char *at = to;
	uint32_t v;

	for (; n >= 3; p += 3, n -= 3, at += 4) {
		v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
		memcpy(at, pair_table[v >> 12], 2);
		memcpy(at + 2, pair_table[v & 4095], 2);
	}
	if (n > 0) {
		v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
		memcpy(at, pair_table[v >> 12], 2);
		at[2] = n == 2 ? alphabet[v >> 6 & 63] : '=';
		at[3] = '=';
		at += 4;
	}
	memcpy(at, "\r\n", 2);
	return (size_t)(at + 2 - to);
}

static int
stage_line(struct pgp_armor *a, const uint8_t *p, size_t n)
{
	if (a->staged + LINE_CHARS > sizeof a->stage) {
		if (sink_write(a->to, a->stage, a->staged) == -1)
			return -1;
		a->staged = 0;
	}
	a->staged += encode_line(a->stage + a->staged, p, n);
	return 0;
}

int
pgp_armor_open(struct pgp_armor *a, enum pgp_armor_type type, const struct sink *to)
{
	tables_init();
	a->to = to;
	a->type = type;
	a->crc = PGP_CRC24_INIT;
	a->held = 0;
	a->staged = 0;
	return sink_puts(to, "-----BEGIN ") == -1 || sink_puts(to, labels[type]) == -1 ||
		       sink_puts(to, "-----\r\n\r\n") == -1
		   ? -1
		   : 0;
}

int
pgp_armor_write(struct pgp_armor *a, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t k;

	a->crc = pgp_crc24(a->crc, p, n);
	if (a->held > 0) {
		k = LINE_OCTETS - a->held < n ? LINE_OCTETS - a->held : n;
		memcpy(a->part + a->held, p, k);
		a->held += (unsigned)k;
		p += k;
		n -= k;
		if (a->held < LINE_OCTETS)
			return 0;
		if (stage_line(a, a->part, LINE_OCTETS) == -1)
			return -1;
		a->held = 0;
	}
	for (; n >= LINE_OCTETS; p += LINE_OCTETS, n -= LINE_OCTETS) {
		if (stage_line(a, p, LINE_OCTETS) == -1)
			return -1;
	}
	if (n > 0) {
		memcpy(a->part, p, n);
		a->held = (unsigned)n;
	}
	return 0;
}

int
pgp_armor_close(struct pgp_armor *a)
{
	uint8_t crc[3] = {(uint8_t)(a->crc >> 16), (uint8_t)(a->crc >> 8), (uint8_t)a->crc};
	char sum[8] = "=";

	if (a->held > 0 && stage_line(a, a->part, a->held) == -1)
		return -1;
	(void)encode_line(sum + 1, crc, sizeof crc);
	if (sink_write(a->to, a->stage, a->staged) == -1 || sink_write(a->to, sum, 7) == -1 ||
	    sink_puts(a->to, "-----END ") == -1 || sink_puts(a->to, labels[a->type]) == -1)
		return -1;
	return sink_puts(a->to, "-----\r\n");
}
