#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * Looking at 16 octets at a time, for scans that every octet of a message passes.  Vectors of the
 * compiler, not of a machine: where there are none it takes several words instead.
 *
 * Comparisons of vectors give 0xff where true; a constant beside a vector stands for 16 of it.
 */
#define VEC_OCTETS 16

typedef uint8_t vec __attribute__((vector_size(VEC_OCTETS)));
typedef int8_t vec_signed __attribute__((vector_size(VEC_OCTETS)));

/* The 16 octets at p, which needs no alignment. */
static inline vec
vec_load(const uint8_t *p)
{
	vec v;

	memcpy(&v, p, sizeof v);
	return v;
}

/* Where v is c. */
static inline vec
vec_is(vec v, uint8_t c)
{
	return (vec)(v == c);
}

/* Is any of them not 0? */
static inline bool
vec_any(vec v)
{
	uint64_t w[2];

	memcpy(w, &v, sizeof w);
	return (w[0] | w[1]) != 0;
}

/* The index of the first that is not 0, in the order of memory; there must be one. */
static inline unsigned
vec_first(vec v)
{
	uint64_t w[2];
	unsigned i;

	memcpy(w, &v, sizeof w);
	i = w[0] == 0;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return i * 8 + (unsigned)__builtin_clzll(w[i]) / 8;
#else
	return i * 8 + (unsigned)__builtin_ctzll(w[i]) / 8;
#endif
}

#endif
