#include "net/line.h"

#include <stdlib.h>
#include <string.h>

#include "net/conn.h"

static char none[1]; /* text when there is no line */

void
line_init(struct line_reader *r, size_t max)
{
	memset(r, 0, sizeof *r);
	r->max = max;
	r->text = none;
}

/* No line is in hand any more. */
static void
line_drop(struct line_reader *r)
{
	if (!r->own)
		return;
	explicit_bzero(r->text, r->len + 1);
	free(r->text);
	r->text = none;
	r->own = false;
	r->len = 0;
}

void
line_free(struct line_reader *r)
{
	line_wipe(r);
	line_drop(r);
	memset(r, 0, sizeof *r);
}

void
line_wipe(struct line_reader *r)
{
	if (r->own)
		explicit_bzero(r->text, r->len);
	else if (r->text != NULL && r->text != none)
		explicit_bzero(r->text, r->max + 1);
	r->len = 0;
}

/* Keep n octets at p, at most max, as the text, and say what is odd in them. 0, or -1. */
static int
line_keep(struct line_reader *r, const uint8_t *p, size_t n)
{
	if (n > r->max)
		n = r->max;
	if (r->text == none) {
		if ((r->text = malloc(n + 1)) == NULL) {
			r->text = none;
			return -1;
		}
		r->own = true;
	}
	memcpy(r->text, p, n);
	r->text[n] = '\0';
	r->len = n;
	r->flags = 0;
	if (memchr(p, '\r', n) != NULL)
		r->flags |= LINE_BARE_CR;
	if (memchr(p, '\0', n) != NULL)
		r->flags |= LINE_NUL;
	return 0;
}

/* The rest of a line whose first octets were kept and dropped before. */
static enum line_status
line_skip(struct line_reader *r, const uint8_t *p, size_t n, size_t *used)
{
	const uint8_t *lf = memchr(p, '\n', n);

	*used = lf != NULL ? (size_t)(lf - p) + 1 : n;
	if (*used > LINE_SKIP_MAX - r->skipped) {
		r->skipped = LINE_SKIP_MAX;
		return LINE_ENDLESS;
	}
	r->skipped += *used;
	if (lf == NULL)
		return LINE_MORE;
	r->skipped = 0;
	return LINE_TOO_LONG;
}

enum line_status
line_next(struct line_reader *r, const uint8_t *p, size_t n, size_t *used)
{
	const uint8_t *lf;
	size_t len;

	*used = 0;
	if (n < r->scanned)
		r->scanned = 0; /* somebody else consumed */
	if (n == 0) {
		if (r->skipped == 0)
			line_drop(r);
		return LINE_MORE;
	}
	if (r->skipped > 0)
		return line_skip(r, p, n, used);
	line_drop(r);
	lf = memchr(p + r->scanned, '\n', n - r->scanned);
	len = lf != NULL ? (size_t)(lf - p) : n;
	if (len > 0 && p[len - 1] == '\r')
		len--;
	r->scanned = 0;
	if (len > r->max) {
		if (line_keep(r, p, len) == -1)
			return LINE_ENDLESS;
		return line_skip(r, p, n, used);
	}
	if (lf == NULL) {
		r->scanned = n;
		return LINE_MORE;
	}
	if (line_keep(r, p, len) == -1)
		return LINE_ENDLESS;
	*used = (size_t)(lf - p) + 1;
	if (*used == len + 1)
		r->flags |= LINE_BARE_LF;
	return LINE_OK;
}

enum line_status
line_read(struct line_reader *r, struct conn *c)
{
	const uint8_t *p;
	size_t n, used;
	enum line_status st;

	p = conn_in(c, &n);
	st = line_next(r, p, n, &used);
	if (used > 0)
		conn_consume(c, used);
	return st;
}
