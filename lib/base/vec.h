#ifndef BASE_VEC_H
#define BASE_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined __x86_64__
#include <immintrin.h>
#endif

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

/*
 * 32 octets at a time, for the few loops that pay for a second version: in functions marked with
 * VEC_AVX2, which only a caller for whom vec_avx2() is true may enter.  VEC_AVX2 is not defined
 * where no machine has it.
 */
#if defined __x86_64__
#define VEC_AVX2 __attribute__((target("avx2")))

/* The portable version is to be used, whatever the machine has: how the two are compared. */
extern bool vec_portable;

static inline bool
vec_avx2(void)
{
	return __builtin_cpu_supports("avx2") && !vec_portable;
}

/* The 32 octets at p, which needs no alignment. */
VEC_AVX2 static inline __m256i
vec_load32(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* A bit for each octet of a, then of b, that is not 0, in the order of memory. */
VEC_AVX2 static inline uint64_t
vec_mask64(__m256i a, __m256i b)
{
	const __m256i zero = _mm256_setzero_si256();
	uint64_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, zero));
	uint64_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, zero));

	return ~(low | high << 32);
}
#endif

#endif
