#include "net/line.h"

#include <stdlib.h>
#include <string.h>

#include "net/conn.h"

int
line_init(struct line_reader *r, size_t max)
{
	memset(r, 0, sizeof *r);
	r->max = max;
	return (r->text = calloc(1, max + 1)) == NULL ? -1 : 0;
}

void
line_free(struct line_reader *r)
{
	if (r->text != NULL)
		explicit_bzero(r->text, r->max + 1);
	free(r->text);
	memset(r, 0, sizeof *r);
}

void
line_wipe(struct line_reader *r)
{
	explicit_bzero(r->text, r->max + 1);
	r->len = 0;
}

/* Keep n octets at p, at most max, as the text, and say what is odd in them. */
static void
line_keep(struct line_reader *r, const uint8_t *p, size_t n)
{
	if (n > r->max)
		n = r->max;
	memcpy(r->text, p, n);
	r->text[n] = '\0';
	r->len = n;
	r->flags = 0;
	if (memchr(p, '\r', n) != NULL)
		r->flags |= LINE_BARE_CR;
	if (memchr(p, '\0', n) != NULL)
		r->flags |= LINE_NUL;
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
	if (n == 0)
		return LINE_MORE;
	if (r->skipped > 0)
		return line_skip(r, p, n, used);
	lf = memchr(p + r->scanned, '\n', n - r->scanned);
	len = lf != NULL ? (size_t)(lf - p) : n;
	if (len > 0 && p[len - 1] == '\r')
		len--;
	r->scanned = 0;
	if (len > r->max) {
		line_keep(r, p, len);
		return line_skip(r, p, n, used);
	}
	if (lf == NULL) {
		r->scanned = n;
		return LINE_MORE;
	}
	line_keep(r, p, len);
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
