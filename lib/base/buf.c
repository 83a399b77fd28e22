#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 512 /* most frames and lines fit the first allocation */

void
buf_init(struct buf *b, size_t max)
{
	memset(b, 0, sizeof *b);
	b->max = max;
}

void
buf_free(struct buf *b)
{
	size_t max = b->max;

	free(b->data);
	buf_init(b, max);
}

void
buf_wipe_free(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->size);
	buf_free(b);
}

static int
buf_grow(struct buf *b, size_t want)
{
	size_t size = b->size ? b->size : BUF_FIRST;
	uint8_t *p;

	while (size < want)
		size *= 2;
	if (size > b->max)
		size = b->max;
	/* Not realloc: the old block may hold a secret and must be wiped, behind the data too,
	 * where what was drained stands still; and the gap in front of the data need not be copied.
	 */
	if ((p = malloc(size)) == NULL)
		return -1;
	if (b->data != NULL) {
		memcpy(p, b->data + b->off, buf_len(b));
		explicit_bzero(b->data, b->size);
		free(b->data);
	}
	b->end -= b->off;
	b->off = 0;
	b->data = p;
	b->size = size;
	return 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (n > b->max || len > b->max - n) {
		errno = EMSGSIZE;
		return NULL;
	}
	if (b->data != NULL && b->size - b->end >= n)
		return b->data + b->end;
	if (b->data != NULL && b->size - len >= n && b->off >= len) {
		/* Moving costs less than it frees, so that a long drain stays linear. */
		memcpy(b->data, b->data + b->off, len);
		b->off = 0;
		b->end = len;
		return b->data + b->end;
	}
	if (b->data != NULL && b->size == b->max) {
		memmove(b->data, b->data + b->off, len);
		b->off = 0;
		b->end = len;
		return b->data + b->end;
	}
	if (buf_grow(b, len + (n ? n : 1)) == -1)
		return NULL;
	return b->data + b->end;
}

void
buf_added(struct buf *b, size_t n)
{
	b->end += n;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;

	if (n == 0)
		return 0;
	if ((to = buf_reserve(b, n)) == NULL)
		return -1;
	memcpy(to, p, n);
	b->end += n;
	return 0;
}

int
buf_puts(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

int
buf_putc(struct buf *b, uint8_t c)
{
	return buf_put(b, &c, 1);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	uint8_t *to;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || (to = buf_reserve(b, (size_t)n + 1)) == NULL)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->end += (size_t)n;
	return 0;
}

void
buf_drain(struct buf *b, size_t n)
{
	b->off += n;
	if (b->off == b->end)
		b->off = b->end = 0;
}

void
buf_reset(struct buf *b)
{
	b->off = b->end = 0;
}
