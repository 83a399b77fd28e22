/* Encoded words (RFC 2047). */
#include <errno.h>
#include <string.h>

#include "base/enc.h"
#include "mail/header.h"
#include "mail/utf8.h"

#define WORD_CHARSET_MAX 40
#define WORD_TEXT_MAX 4096 /* RFC 2047 has 75 for the whole word */

struct word {
	char charset[WORD_CHARSET_MAX + 1];
	bool base64;
	struct bytes text;
	size_t len; /* of the whole word */
};

/* Text goes out as one line: no controls, no line separators of Unicode. */
static int
put_text(struct buf *out, const uint8_t *p, size_t n)
{
	uint32_t cp;
	unsigned len;

	while (n > 0) {
		if ((len = mail_utf8_next(p, n, &cp)) == 0) {
			len = 1;
			cp = 0xfffd;
		}
		if ((cp < 0x20 && cp != '\t') || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 ||
		    cp == 0x2029) {
			if (buf_putc(out, ' ') == -1)
				return -1;
		} else {
			uint8_t u[4];

			if (buf_put(out, u, mail_utf8_put(u, cp)) == -1)
				return -1;
		}
		p += len;
		n -= len;
	}
	return 0;
}

/* Is there an encoded word at p? */
static bool
parse_word(const uint8_t *p, size_t n, struct word *w)
{
	const uint8_t *start = p, *q, *star;
	size_t len;

	if (n < 8 || p[0] != '=' || p[1] != '?')
		return false;
	p += 2;
	n -= 2;
	if ((q = memchr(p, '?', n < 2 * WORD_CHARSET_MAX ? n : 2 * WORD_CHARSET_MAX)) == NULL)
		return false;
	/* RFC 2231, 5: a language may follow the charset */
	star = memchr(p, '*', (size_t)(q - p));
	len = (size_t)((star != NULL ? star : q) - p);
	if (len == 0 || len > WORD_CHARSET_MAX || memchr(p, 0, len) != NULL)
		return false;
	memcpy(w->charset, p, len);
	w->charset[len] = '\0';
	n -= (size_t)(q + 1 - p);
	p = q + 1;
	if (n < 4 || p[1] != '?')
		return false;
	if ((p[0] | 0x20) != 'b' && (p[0] | 0x20) != 'q')
		return false;
	w->base64 = (p[0] | 0x20) == 'b';
	p += 2;
	n -= 2;
	if ((q = memchr(p, '?', n < WORD_TEXT_MAX ? n : WORD_TEXT_MAX)) == NULL ||
	    (size_t)(q - p) + 1 >= n || q[1] != '=')
		return false;
	w->text = (struct bytes){p, (size_t)(q - p)};
	w->len = (size_t)(q + 2 - start);
	return true;
}

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The octets that a word spells; -1 when its encoding is broken, unless that is passed over. */
static ssize_t
word_octets(const struct word *w, bool guess, uint8_t out[WORD_TEXT_MAX])
{
	size_t i, n = 0;
	uint32_t bits = 0;
	unsigned nbits = 0;
	int a, b;

	for (i = 0; i < w->text.n; i++) {
		uint8_t c = w->text.p[i];

		if (w->base64) {
			if (c == '=' || c == ' ' || c == '\t')
				continue;
			if ((a = b64_value(c)) == -1) {
				if (guess)
					continue;
				return -1;
			}
			bits = bits << 6 | (uint32_t)a;
			nbits += 6;
			if (nbits >= 8)
				out[n++] = (uint8_t)(bits >> (nbits -= 8));
		} else if (c == '=') {
			if (i + 2 >= w->text.n || (a = hex_digit(w->text.p[i + 1])) == -1 ||
			    (b = hex_digit(w->text.p[i + 2])) == -1) {
				if (!guess)
					return -1;
				out[n++] = c;
				continue;
			}
			out[n++] = (uint8_t)(a << 4 | b);
			i += 2;
		} else
			out[n++] = c == '_' ? ' ' : c;
	}
	return (ssize_t)n;
}

/* Octets of words of one charset in a row: a character may be split between them. */
struct pending {
	char charset[WORD_CHARSET_MAX + 1];
	struct buf octets;
	bool guess; /* what a word may mean is better than nothing */
};

static int
flush_pending(struct pending *pend, struct buf *out, struct buf *tmp)
{
	struct bytes in = {buf_ptr(&pend->octets), buf_len(&pend->octets)};

	if (in.n == 0)
		return 0;
	buf_reset(tmp);
	if (mail_to_utf8(pend->charset, in, tmp) == -1)
		return -1;
	buf_reset(&pend->octets);
	return put_text(out, buf_ptr(tmp), buf_len(tmp));
}

/* Raw text between words: UTF-8 stays, anything else is ISO 8859-1. */
static int
put_raw(struct buf *out, const uint8_t *p, size_t n)
{
	uint8_t u[4];
	uint32_t cp;
	unsigned len;

	while (n > 0) {
		if ((len = mail_utf8_next(p, n, &cp)) == 0) {
			if (put_text(out, u, mail_utf8_put(u, *p)) == -1)
				return -1;
			len = 1;
		} else if (put_text(out, p, len) == -1)
			return -1;
		p += len;
		n -= len;
	}
	return 0;
}

/* Take a word in: 1 when it was one that can be decoded, 0 when it stays as written, -1. */
static int
take_word(const struct word *w, struct pending *pend, struct buf *out, struct buf *tmp)
{
	uint8_t octets[WORD_TEXT_MAX];
	const char *charset = w->charset;
	ssize_t n;

	if ((n = word_octets(w, pend->guess, octets)) == -1)
		return 0;
	if (strcasecmp(charset, pend->charset) != 0) {
		if (mail_to_utf8(charset, (struct bytes){octets, 0}, tmp) == -1) {
			if (errno != EINVAL || !pend->guess)
				return errno == EINVAL ? 0 : -1;
			charset = "ISO-8859-1";
		}
		if (flush_pending(pend, out, tmp) == -1)
			return -1;
		strlcpy(pend->charset, charset, sizeof pend->charset);
	}
	return buf_put(&pend->octets, octets, (size_t)n) == -1 ? -1 : 1;
}

static int
decode_unfolded(const uint8_t *p, size_t n, struct pending *pend, struct buf *out, struct buf *tmp)
{
	const uint8_t *end = p + n, *from = p, *q = p, *gap = NULL;
	struct word w;
	int took;

	/* from: start of raw text not yet written; gap: end of the last word, when only white space
	 * has come since */
	while (q < end) {
		if (*q == '=' && parse_word(q, (size_t)(end - q), &w)) {
			if (gap == NULL && put_raw(out, from, (size_t)(q - from)) == -1)
				return -1;
			if (gap == NULL)
				from = q;
			if ((took = take_word(&w, pend, out, tmp)) == -1)
				return -1;
			if (took == 1) {
				q += w.len;
				from = gap = q;
				continue;
			}
		}
		if (gap != NULL && *q != ' ' && *q != '\t') {
			if (flush_pending(pend, out, tmp) == -1)
				return -1;
			gap = NULL;
		}
		q++;
	}
	if (flush_pending(pend, out, tmp) == -1)
		return -1;
	return put_raw(out, from, (size_t)(q - from));
}

static int
decode(struct bytes text, bool guess, struct buf *out)
{
	struct buf flat, tmp;
	struct pending pend = {.guess = guess};
	int rc = -1;

	/* UTF-8 takes at most 4 octets for one of a charset */
	buf_init(&flat, text.n + 1);
	buf_init(&tmp, 4 * text.n + 64);
	buf_init(&pend.octets, text.n + 1);
	if (mail_unfold(text, &flat) == 0 &&
	    decode_unfolded(buf_ptr(&flat), buf_len(&flat), &pend, out, &tmp) == 0)
		rc = 0;
	buf_free(&flat);
	buf_free(&tmp);
	buf_free(&pend.octets);
	return rc;
}

int
mail_decode_text(struct bytes text, struct buf *out)
{
	return decode(text, false, out);
}

int
mail_decode_guess(struct bytes text, struct buf *out)
{
	return decode(text, true, out);
}
