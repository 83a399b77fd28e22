#include "openpgp/mpi.h"

#include <errno.h>
#include <string.h>
#include <openssl/bn.h>

const uint8_t *
pgp_cur_take(struct pgp_cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->n) {
		c->bad = 1;
		c->n = 0;
		return NULL;
	}
	c->p += n;
	c->n -= n;
	return p;
}

uint8_t
pgp_cur_u8(struct pgp_cur *c)
{
	const uint8_t *p = pgp_cur_take(c, 1);

	return p == NULL ? 0 : *p;
}

uint16_t
pgp_cur_u16(struct pgp_cur *c)
{
	const uint8_t *p = pgp_cur_take(c, 2);

	return p == NULL ? 0 : get_be16(p);
}

uint32_t
pgp_cur_u32(struct pgp_cur *c)
{
	const uint8_t *p = pgp_cur_take(c, 4);

	return p == NULL ? 0 : get_be32(p);
}

static struct bytes
strip(const uint8_t *p, size_t n)
{
	while (n > 0 && *p == 0) {
		p++;
		n--;
	}
	return (struct bytes){p, n};
}

struct bytes
pgp_cur_mpi(struct pgp_cur *c)
{
	unsigned bits = pgp_cur_u16(c);
	const uint8_t *p;

	if (bits > PGP_MPI_BITS_MAX)
		c->bad = 1;
	p = pgp_cur_take(c, (bits + 7) / 8);
	if (p == NULL)
		return (struct bytes){NULL, 0};
	return strip(p, (bits + 7) / 8);
}

struct bytes
pgp_cur_oid(struct pgp_cur *c)
{
	uint8_t n = pgp_cur_u8(c);
	const uint8_t *p;

	if (n == 0 || n == 0xff)
		c->bad = 1;
	p = pgp_cur_take(c, n);
	return (struct bytes){p, p == NULL ? 0 : n};
}

size_t
pgp_mpi_write(uint8_t *out, const uint8_t *p, size_t n)
{
	struct bytes v = strip(p, n);
	unsigned bits = (unsigned)v.n * 8;

	if (v.n > 0)
		bits -= (unsigned)__builtin_clz(v.p[0]) - 24;
	put_be16(out, (uint16_t)bits);
	if (v.n > 0)
		memcpy(out + 2, v.p, v.n);
	return v.n + 2;
}

int
pgp_mpi_put(struct buf *b, const uint8_t *p, size_t n)
{
	uint8_t *to = buf_reserve(b, n + 2);

	if (to == NULL)
		return -1;
	buf_added(b, pgp_mpi_write(to, p, n));
	return 0;
}

int
pgp_mpi_put_bn(struct buf *b, const struct bignum_st *x)
{
	uint8_t v[PGP_MPI_BITS_MAX / 8];
	int n = BN_num_bytes(x), r = -1;

	if (n <= (int)sizeof v && BN_bn2binpad(x, v, n) == n)
		r = pgp_mpi_put(b, v, (size_t)n);
	explicit_bzero(v, sizeof v);
	return r;
}

int
pgp_mpi_pad(uint8_t *out, size_t width, struct bytes v)
{
	if (v.n > width) {
		errno = EMSGSIZE;
		return -1;
	}
	memset(out, 0, width - v.n);
	if (v.n > 0)
		memcpy(out + width - v.n, v.p, v.n);
	return 0;
}
