#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

/* Octets that belong to somebody else. */
struct bytes {
	const uint8_t *p;
	size_t n;
};

/*
 * A growing buffer with a maximum from birth.  Octets are appended at the end and consumed from
 * the front; consumed room is reused.  Readable octets: b->data + b->off, buf_len(b) of them.
 */
struct buf {
	uint8_t *data;
	size_t off; /* first readable octet */
	size_t end; /* one past the last readable octet */
	size_t size; /* allocated */
	size_t max; /* most octets it may ever hold at once */
};

void buf_init(struct buf *b, size_t max);

/* Free the storage; a secret buffer is wiped first by buf_wipe_free. The buffer may be used again.
 */
void buf_free(struct buf *b);
void buf_wipe_free(struct buf *b);

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->off;
}

/* Never NULL, also when nothing was ever put in. */
static inline const uint8_t *
buf_ptr(const struct buf *b)
{
	return b->data != NULL ? b->data + b->off : (const uint8_t *)"";
}

/*
 * Make room for n more octets and return where they go (then call buf_added).
 *
 * Returns NULL with errno EMSGSIZE (over b->max) or ENOMEM; the contents are unchanged.
 */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

/* Append; 0, or -1 with errno EMSGSIZE or ENOMEM and the buffer unchanged. */
int buf_put(struct buf *b, const void *p, size_t n);
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, uint8_t c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Drop n octets from the front (n <= buf_len) or all of them. */
void buf_drain(struct buf *b, size_t n);
void buf_reset(struct buf *b);

/* Big-endian numbers, for frames and packets. */
static inline void
put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void
put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

static inline void
put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

static inline uint16_t
get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline uint64_t
get_be64(const uint8_t *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

#endif
