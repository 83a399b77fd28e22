#include "base/io.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"

#define COPY_WINDOW (64 * 1024)

struct octets
octets_mem(const void *p, size_t n)
{
	return (struct octets){.size = n, .mem = n ? p : (const void *)""};
}

int
octets_read(const struct octets *o, void *p, size_t n, uint64_t off)
{
	uint8_t *to = p;
	ssize_t got;

	if (off > o->size || n > o->size - off) {
		errno = EIO;
		return -1;
	}
	if (o->mem != NULL) {
		memcpy(p, o->mem + off, n);
		return 0;
	}
	while (n > 0) {
		if ((got = o->pread(o->ctx, to, n, off)) <= 0) {
			if (got == 0)
				errno = EIO;
			return -1;
		}
		to += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

int
sink_puts(const struct sink *s, const char *text)
{
	return sink_write(s, text, strlen(text));
}

static int
buf_write(void *ctx, const void *p, size_t n)
{
	return buf_put(ctx, p, n);
}

struct sink
sink_buf(struct buf *b)
{
	return (struct sink){buf_write, b};
}

int
sink_copy(const struct sink *s, const struct octets *from, uint64_t off, uint64_t n)
{
	uint8_t window[COPY_WINDOW];
	size_t step;

	if (off > from->size || n > from->size - off) {
		errno = EIO;
		return -1;
	}
	if (from->mem != NULL)
		return sink_write(s, from->mem + off, (size_t)n);
	for (; n > 0; n -= step, off += step) {
		step = n < sizeof window ? (size_t)n : sizeof window;
		if (octets_read(from, window, step, off) == -1 || sink_write(s, window, step) == -1)
			return -1;
	}
	return 0;
}
