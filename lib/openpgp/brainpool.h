#ifndef OPENPGP_BRAINPOOL_H
#define OPENPGP_BRAINPOOL_H

#include "openpgp/params.h"

/*
 * Inside lib/openpgp: brainpoolP256r1, P384r1 and P512r1 (RFC 5639; RFC 9580, 9.2) by libgcrypt.
 * Points are 0x04 and both coordinates, scalars curve->width octets.  Nothing is kept between two
 * calls, so that any thread may make them; pgp_algo_init has run before.
 */

/* Whether a formed point is one of the curve (the cofactor is 1: then it has the right order). */
int pgp_brainpool_valid(const struct pgp_curve *curve, const uint8_t *point);

/* The point of a scalar. 0, or -1 with errno EBADMSG (0, or not below the order), EIO. */
int pgp_brainpool_public(const struct pgp_curve *curve, const uint8_t *d, uint8_t *point);

/* A new key pair. 0, or -1 with errno EIO. */
int pgp_brainpool_generate(const struct pgp_curve *curve, uint8_t *d, uint8_t *point);

/*
 * The x coordinate of d times a formed point, in constant time as far as libgcrypt has it.
 * 0, or -1 with errno EBADMSG (not on the curve) or EIO.
 */
int pgp_brainpool_shared(
    const struct pgp_curve *curve, const uint8_t *d, const uint8_t *point, uint8_t *z);

/* ECDSA over a digest's leftmost bits (FIPS 186-5, 6.4). 0 and out, or -1. */
int pgp_brainpool_sign(const struct pgp_curve *curve, const uint8_t *d, const uint8_t *digest,
    size_t n, struct pgp_sigval *out);

/* 0 when good, else -1. */
int pgp_brainpool_verify(const struct pgp_curve *curve, const uint8_t *point, const uint8_t *digest,
    size_t n, struct bytes r, struct bytes s);

#endif
