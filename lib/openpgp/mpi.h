#ifndef OPENPGP_MPI_H
#define OPENPGP_MPI_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Multiprecision integers (RFC 9580, 3.2): a 16-bit count of bits and that many, big-endian. */
#define PGP_MPI_BITS_MAX 16384

/* A cursor over fields in memory. After a failed read it is at its end and bad is set. */
struct pgp_cur {
	const uint8_t *p;
	size_t n; /* octets left */
	int bad;
};

static inline struct pgp_cur
pgp_cur(const void *p, size_t n)
{
	return (struct pgp_cur){p, n, 0};
}

/* Take n octets; NULL and bad when fewer are left. */
const uint8_t *pgp_cur_take(struct pgp_cur *c, size_t n);
uint8_t pgp_cur_u8(struct pgp_cur *c);
uint16_t pgp_cur_u16(struct pgp_cur *c);
uint32_t pgp_cur_u32(struct pgp_cur *c);

/*
 * Take one MPI; the value without leading zero octets (a wrong bit count is tolerated as other
 * implementations do, RFC 9580, 3.2.1: only octets that the count names are used).  Empty and bad
 * when short or above PGP_MPI_BITS_MAX.
 */
struct bytes pgp_cur_mpi(struct pgp_cur *c);

/* Take an OID: one octet of length, 1 to 254, and the octets (RFC 9580, 9.2). */
struct bytes pgp_cur_oid(struct pgp_cur *c);

/* Append the MPI whose value is the n big-endian octets at p (leading zeros are dropped). */
int pgp_mpi_put(struct buf *b, const uint8_t *p, size_t n);

/* The same with OpenSSL's numbers, of PGP_MPI_BITS_MAX at most; -1: too long, or out of room. */
struct bignum_st;
int pgp_mpi_put_bn(struct buf *b, const struct bignum_st *x);

/* As pgp_mpi_put to memory with room for n + 2; returns the octets written. */
size_t pgp_mpi_write(uint8_t *out, const uint8_t *p, size_t n);

/* Right-align a value in width octets, zero-filled; -1 with errno EMSGSIZE when it is longer. */
int pgp_mpi_pad(uint8_t *out, size_t width, struct bytes v);

#endif
