#ifndef BASE_IO_H
#define BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Octets that are all there and do not change: a message in memory, in a sealed memfd or in an
 * encrypted spool file.  Parsers take this, so that they need not know which.
 */
struct octets {
	uint64_t size;
	const uint8_t *mem; /* all of it, when it is in memory or may be mapped; else NULL */
	/* Read up to n octets at off; short only at the end; -1 with errno. NULL when mem is set:
	 * use octets_read, which serves both. */
	ssize_t (*pread)(void *ctx, void *p, size_t n, uint64_t off);
	void *ctx;
};

/* A struct octets over n octets at p, which must outlive it. */
struct octets octets_mem(const void *p, size_t n);

/* Exactly n octets at off, or -1 (errno EIO when there are fewer). */
int octets_read(const struct octets *o, void *p, size_t n, uint64_t off);

/* Where octets go, in order.  write takes all n or fails with -1 and errno. */
struct sink {
	int (*write)(void *ctx, const void *p, size_t n);
	void *ctx;
};

static inline int
sink_write(const struct sink *s, const void *p, size_t n)
{
	return n == 0 ? 0 : s->write(s->ctx, p, n);
}

int sink_puts(const struct sink *s, const char *text);

struct buf;

/* A sink that appends to b and fails with EMSGSIZE at its maximum. */
struct sink sink_buf(struct buf *b);

/* Copy n octets from off on, through a 64 KiB window when they are not in memory. */
int sink_copy(const struct sink *s, const struct octets *from, uint64_t off, uint64_t n);

#endif
