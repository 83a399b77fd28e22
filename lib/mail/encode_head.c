#include "mail/encode_head.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/utf8.h"

#define FOLD 78
#define LINE_MAX_LEN 998
#define ENCODED_MAX 75

/* Does the field have what it may not have? */
static bool
is_clean(const uint8_t *p, size_t n)
{
	size_t i, col = 0;

	for (i = 0; i < n; i++) {
		if (p[i] == '\n') {
			if (i == 0 || p[i - 1] != '\r' || col > LINE_MAX_LEN + 1)
				return false;
			col = 0;
			continue;
		}
		if (p[i] == 0 || p[i] >= 0x80 || (p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n')))
			return false;
		col++;
	}
	return col <= LINE_MAX_LEN;
}

/* NUL or a bare CR? */
static bool
has_breaks(struct bytes b)
{
	size_t i;

	for (i = 0; i < b.n; i++)
		if (b.p[i] == 0 || (b.p[i] == '\r' && (i + 1 == b.n || b.p[i + 1] != '\n')))
			return true;
	return false;
}

static bool
is_delim(uint8_t c)
{
	return c <= ' ' || (c < 0x80 && strchr("\"\\();<>,=:", c) != NULL);
}

/* Octets of the run of words with 8-bit octets that starts at p, 0 when the word has none. */
static size_t
run_8bit(const uint8_t *p, size_t n)
{
	size_t i = 0, start, end = 0;
	bool high;

	for (;;) {
		for (start = i, high = false; i < n && !is_delim(p[i]); i++)
			high = high || p[i] >= 0x80;
		if (i == start || !high)
			return end;
		end = i;
		while (i < n && (p[i] == ' ' || p[i] == '\t'))
			i++;
	}
}

/* A run as encoded words with spaces between; what is not UTF-8 is taken for ISO 8859-1. */
static int
put_run(struct buf *out, const uint8_t *p, size_t n)
{
	static const char start[] = "=?UTF-8?Q?";
	char hex[3];
	uint8_t c[4];
	size_t used = 0;
	uint32_t cp;
	unsigned len, k, step;

	if (memchr(p, '@', n) != NULL) {
		errno = EOPNOTSUPP; /* an address: encoded it would be another one */
		return -1;
	}
	while (n > 0) {
		if ((step = mail_utf8_next(p, n, &cp)) == 0) {
			cp = *p;
			step = 1;
		}
		len = mail_utf8_put(c, cp);
		if (used > 0 && used + 3 * len + 2 > ENCODED_MAX) {
			if (buf_puts(out, "?= ") == -1)
				return -1;
			used = 0;
		}
		if (used == 0) {
			if (buf_puts(out, start) == -1)
				return -1;
			used = sizeof start - 1;
		}
		if (cp < 0x80 && isalnum((int)cp)) {
			used++;
			if (buf_putc(out, c[0]) == -1)
				return -1;
		} else
			for (k = 0; k < len; k++, used += 3)
				if (buf_putc(out, '=') == -1 ||
				    buf_put(out, hex_encode(hex, &c[k], 1), 2) == -1)
					return -1;
		p += step;
		n -= step;
	}
	return buf_puts(out, "?=");
}

/* The unfolded body with its 8-bit words encoded and other faults made spaces. */
static int
put_ascii(struct buf *out, const uint8_t *p, size_t n)
{
	size_t run;

	while (n > 0) {
		if (is_delim(*p)) {
			if (buf_putc(out, *p == 0 || *p == '\r' ? ' ' : *p) == -1)
				return -1;
			run = 1;
		} else if ((run = run_8bit(p, n)) > 0) {
			if (put_run(out, p, run) == -1)
				return -1;
		} else {
			while (run < n && !is_delim(p[run]))
				run++;
			if (buf_put(out, p, run) == -1)
				return -1;
		}
		p += run;
		n -= run;
	}
	return 0;
}

/* Fold at white space. */
static int
put_folded(const struct sink *to, const uint8_t *p, size_t n, size_t col)
{
	size_t i, word;

	while (n > 0) {
		for (i = 0; i < n && (p[i] == ' ' || p[i] == '\t'); i++)
			;
		for (word = i; i < n && p[i] != ' ' && p[i] != '\t'; i++)
			;
		if (word > FOLD) { /* so much white space is one */
			p += word - 1;
			n -= word - 1;
			i -= word - 1;
			word = 1;
		}
		if (i > LINE_MAX_LEN - FOLD) {
			errno = EOPNOTSUPP;
			return -1;
		}
		if (word > 0 && word < i && col + i > FOLD) {
			if (sink_write(to, "\r\n", 2) == -1)
				return -1;
			col = 0;
		}
		if (sink_write(to, p, i) == -1)
			return -1;
		col += i;
		p += i;
		n -= i;
	}
	return sink_write(to, "\r\n", 2);
}

static int
put_field(const struct mail_header *h, const struct mail_field *f, const struct sink *to)
{
	struct buf flat, ascii;
	int rc = -1;

	if (is_clean(h->data + f->off, f->len) && h->data[f->off + f->len - 1] == '\n')
		return sink_write(to, h->data + f->off, f->len);
	if (f->name.n == 0)
		return 0; /* junk that nobody can read */
	if (mail_keep_content(f->name, NULL) && has_breaks(f->body)) {
		errno = EOPNOTSUPP; /* its parameters could become others */
		return -1;
	}
	buf_init(&flat, f->len + 1);
	buf_init(&ascii, 16 * f->len + 128);
	if (buf_putc(&flat, ' ') == -1 || mail_unfold(f->body, &flat) == -1 ||
	    put_ascii(&ascii, buf_ptr(&flat), buf_len(&flat)) == -1)
		goto out;
	if (f->name.n > LINE_MAX_LEN - FOLD) {
		errno = EOPNOTSUPP;
		goto out;
	}
	if (sink_write(to, f->name.p, f->name.n) == -1 || sink_write(to, ":", 1) == -1)
		goto out;
	rc = put_folded(to, buf_ptr(&ascii), buf_len(&ascii), f->name.n + 1);
out:
	buf_free(&flat);
	buf_free(&ascii);
	return rc;
}

static int
put_cte(const struct sink *to, const char *cte)
{
	return sink_puts(to, "Content-Transfer-Encoding: ") == -1 || sink_puts(to, cte) == -1
		   ? -1
		   : sink_write(to, "\r\n", 2);
}

int
mail_encode_head(const struct octets *o, const struct mail_part *p, const char *cte, unsigned how,
    const struct sink *to)
{
	struct mail_header h;
	struct mail_field f;
	size_t pos = 0;
	bool written = false;
	int rc = -1;

	if (mail_header_load(&h, o, p->head_off, p->head_len) == -1)
		return -1;
	if (h.cut) {
		errno = EOPNOTSUPP;
		goto out;
	}
	while (mail_field_next(&h, &pos, &f)) {
		if ((how & MAIL_ENTITY) && !mail_keep_content(f.name, NULL))
			continue;
		if (cte != NULL && mail_field_is(&f, "Content-Transfer-Encoding")) {
			if (!written && put_cte(to, cte) == -1)
				goto out;
			written = true;
		} else if ((how & MAIL_KEEP_ENCODING) ? sink_write(to, h.data + f.off, f.len) == -1
						      : put_field(&h, &f, to) == -1)
			goto out;
	}
	if (cte != NULL && !written && put_cte(to, cte) == -1)
		goto out;
	rc = p->sep_len > 0 || (how & MAIL_ENTITY) ? sink_write(to, "\r\n", 2) : 0;
out:
	mail_header_free(&h);
	return rc;
}
