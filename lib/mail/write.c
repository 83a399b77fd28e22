#include "mail/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "mail/utf8.h"

#define FOLD 78 /* RFC 5322, 2.1.1: lines should be no longer */
#define WORD_MAX 900 /* a longer word is encoded, so that no line passes 998 */
#define SPACE_MAX 60 /* of the white space before a word */
#define ENCODED_MAX 75 /* RFC 2047, 2 */
#define ENC_START "=?UTF-8?Q?"
#define ENC_START_B "=?UTF-8?B?"
#define ENC_LEN (sizeof ENC_START - 1)

struct line {
	const struct sink *s;
	size_t col;
};

static int
put(struct line *l, const void *p, size_t n)
{
	l->col += n;
	return sink_write(l->s, p, n);
}

static int
fold(struct line *l)
{
	l->col = 0;
	return sink_write(l->s, "\r\n", 2);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* Octets that stand for themselves in an encoded word wherever it stands (RFC 2047, 5, 3). */
static bool
is_q_safe(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '!' || c == '*' || c == '+' || c == '-' || c == '/';
}

static bool
needs_encoding(const char *p, size_t n)
{
	size_t i;

	if (n > WORD_MAX)
		return true;
	for (i = 0; i < n; i++)
		if ((uint8_t)p[i] < 33 || (uint8_t)p[i] > 126 ||
		    (p[i] == '=' && i + 1 < n && p[i + 1] == '?'))
			return true;
	return false;
}

/* One character of the text as it goes into an encoded word; its octets in the input. */
static unsigned
next_char(const uint8_t *p, size_t n, uint8_t out[4], unsigned *len)
{
	uint32_t cp;
	unsigned used = mail_utf8_next(p, n, &cp);

	if (used == 0 || (cp < 32 && cp != '\t') || (cp >= 127 && cp < 160))
		cp = 0xfffd;
	*len = mail_utf8_put(out, cp);
	return used > 0 ? used : 1;
}

/* Which of the two encodings is shorter for it? */
static bool
prefer_b64(const uint8_t *p, size_t n)
{
	size_t i, safe = 0;

	for (i = 0; i < n; i++)
		safe += is_q_safe(p[i]) || p[i] == ' ';
	/* a little longer is worth it when people can read it */
	return safe + 3 * (n - safe) > B64_LEN(n) + 8;
}

/* As much of the text as fits room octets, as one encoded word. Octets of input used, or -1. */
static ssize_t
put_word(struct line *l, const uint8_t *p, size_t n, size_t room, bool b64)
{
	uint8_t raw[ENCODED_MAX], c[4];
	char word[2 * ENCODED_MAX];
	size_t used = 0, nraw = 0, len = 0, cost;
	unsigned k, clen, step;

	memcpy(word, b64 ? ENC_START_B : ENC_START, ENC_LEN);
	len = ENC_LEN;
	while (used < n) {
		step = next_char(p + used, n - used, c, &clen);
		if (b64)
			cost = B64_LEN(nraw + clen) - B64_LEN(nraw);
		else
			cost = clen == 1 && (is_q_safe(c[0]) || c[0] == ' ') ? 1 : 3 * clen;
		/* the first character always fits: room is at least that */
		if (len + (b64 ? B64_LEN(nraw) : 0) + cost + 2 > room)
			break;
		for (k = 0; k < clen; k++) {
			if (b64)
				raw[nraw++] = c[k];
			else if (c[k] == ' ')
				word[len++] = '_';
			else if (is_q_safe(c[k]))
				word[len++] = (char)c[k];
			else {
				word[len++] = '=';
				hex_encode(word + len, &c[k], 1);
				len += 2;
			}
		}
		used += step;
	}
	if (b64)
		len += b64_encode(word + len, raw, nraw);
	memcpy(word + len, "?=", 2);
	return put(l, word, len + 2) == -1 ? -1 : (ssize_t)used;
}

/* Text as encoded words, with white space (sep) before the first. */
static int
put_encoded(struct line *l, const char *sep, size_t nsep, const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;
	bool b64 = prefer_b64(p, n);
	size_t room;
	ssize_t used;

	while (n > 0) {
		if (l->col + nsep + ENC_LEN + 2 + 12 > FOLD && fold(l) == -1)
			return -1;
		if (put(l, sep, nsep) == -1)
			return -1;
		room = l->col < FOLD ? FOLD - l->col : 0;
		if (room > ENCODED_MAX)
			room = ENCODED_MAX;
		if (room < ENC_LEN + 2 + 12)
			room = ENC_LEN + 2 + 12; /* a long field name: the line is longer then */
		if ((used = put_word(l, p, n, room, b64)) == -1)
			return -1;
		p += used;
		n -= (size_t)used;
		sep = " ";
		nsep = 1;
	}
	return 0;
}

/* A word as it is, with white space before it; folded before that when need be. */
static int
put_plain(struct line *l, const char *sep, size_t nsep, const char *p, size_t n, bool may_fold)
{
	if (may_fold && nsep > 0 && l->col + nsep + n > FOLD && fold(l) == -1)
		return -1;
	return put(l, sep, nsep) == -1 || put(l, p, n) == -1 ? -1 : 0;
}

/* Free text, word by word; the name and its colon are already there. */
static int
put_text(struct line *l, const char *v, const char *end)
{
	const char *sep, *word, *next, *more;
	size_t nsep;
	bool first = true;

	for (sep = v; v < end; sep = v) {
		for (word = v; word < end && is_space(*word); word++)
			;
		for (v = word; v < end && !is_space(*v); v++)
			;
		nsep = first ? 1 : (size_t)(word - sep);
		if (first)
			sep = " ";
		if (nsep > SPACE_MAX)
			nsep = SPACE_MAX;
		if (!needs_encoding(word, (size_t)(v - word))) {
			if (put_plain(l, sep, nsep, word, (size_t)(v - word), !first) == -1)
				return -1;
			first = false;
			continue;
		}
		/* White space between encoded words is not text: words that follow and need it
		 * too are encoded together with what is between. */
		for (;;) {
			for (next = v; next < end && is_space(*next); next++)
				;
			for (more = next; more < end && !is_space(*more); more++)
				;
			if (next == more || !needs_encoding(next, (size_t)(more - next)))
				break;
			v = more;
		}
		if (put_encoded(l, sep, nsep, word, (size_t)(v - word)) == -1)
			return -1;
		first = false;
	}
	return 0;
}

static int
put_name(struct line *l, const char *name)
{
	size_t i, n = strlen(name);

	for (i = 0; i < n; i++)
		if (name[i] <= 32 || name[i] >= 127 || name[i] == ':')
			break;
	if (n == 0 || i < n || n > FOLD - 2) {
		errno = EINVAL;
		return -1;
	}
	return put(l, name, n) == -1 || put(l, ":", 1) == -1 ? -1 : 0;
}

int
mail_put_field(const struct sink *s, const char *name, const char *value)
{
	struct line l = {.s = s};
	const char *end;

	if (put_name(&l, name) == -1)
		return -1;
	while (is_space(*value))
		value++;
	for (end = value + strlen(value); end > value && is_space(end[-1]); end--)
		;
	if (value == end && put(&l, " ", 1) == -1)
		return -1;
	return put_text(&l, value, end) == -1 || fold(&l) == -1 ? -1 : 0;
}

void
mail_boundary_random(char out[MAIL_BOUNDARY_LEN + 1])
{
	uint8_t octets[16];

	arc4random_buf(octets, sizeof octets);
	memcpy(out, "=_", 2);
	hex_encode(out + 2, octets, sizeof octets);
}
