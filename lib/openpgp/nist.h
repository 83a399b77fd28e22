#ifndef OPENPGP_NIST_H
#define OPENPGP_NIST_H

#include "openpgp/params.h"

/*
 * Inside lib/openpgp: keys on P-256, P-384 and P-521 (RFC 6637; RFC 9580, 9.2) as OpenSSL has
 * them, and ECDSA between OpenSSL's DER and OpenPGP's MPIs.  Nothing is kept between two calls.
 */

/*
 * A key from an uncompressed point (pgp_point_len octets) and, when d is given, its scalar of dn
 * octets.  NULL with errno EBADMSG (no point of the curve, scalar out of range), EKEYREJECTED (the
 * two do not belong together), or ENOMEM.
 */
EVP_PKEY *pgp_nist_key(
    const struct pgp_curve *curve, const uint8_t *point, const uint8_t *d, size_t dn);

/* The scalar of a key that OpenSSL made, curve->width octets. 0 or -1. */
int pgp_nist_scalar(const struct pgp_curve *curve, EVP_PKEY *k, uint8_t *d);

/* Sign a digest (n octets; its leftmost bits are used, FIPS 186-5, 6.4). 0 and out, or -1. */
int pgp_nist_sign(const struct pgp_curve *curve, EVP_PKEY *k, const uint8_t *digest, size_t n,
    struct pgp_sigval *out);

/* 0 when good, else -1. */
int pgp_nist_verify(EVP_PKEY *k, const uint8_t *digest, size_t n, struct bytes r, struct bytes s);

#endif
