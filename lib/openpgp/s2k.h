#ifndef OPENPGP_S2K_H
#define OPENPGP_S2K_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * String-to-key (RFC 9580, 3.7.1), for the import and export of secret keys: simple, salted,
 * iterated and salted.  Argon2 (type 4) is refused: only v6 and AEAD keys use it.
 */
#define PGP_S2K_SIMPLE 0
#define PGP_S2K_SALTED 1
#define PGP_S2K_ITERATED 3
#define PGP_S2K_GNU 101 /* GnuPG: the secret part is not here */
#define PGP_S2K_COUNT_MAX 65011712 /* octets hashed, the format's own greatest */

struct pgp_s2k {
	uint8_t type;
	uint8_t hash; /* enum pgp_hash_algo; MD5, SHA-1, RIPEMD-160 and SHA-2 */
	uint8_t salt[8];
	uint32_t count; /* octets, of ITERATED */
	uint8_t gnu; /* of GNU: 1 no secret part, 2 on a card */
};

/*
 * Parse a specifier.  Returns the octets it takes, or -1 with errno EBADMSG (short), ENOTSUP
 * (type or hash).
 */
ssize_t pgp_s2k_parse(struct pgp_s2k *s, const uint8_t *p, size_t n);

/* A fresh iterated one with SHA-256 and the greatest count. */
void pgp_s2k_make(struct pgp_s2k *s);

/* Write a specifier of ITERATED (11 octets); returns the octets. */
#define PGP_S2K_LEN 11
size_t pgp_s2k_write(const struct pgp_s2k *s, uint8_t out[PGP_S2K_LEN]);

/* Derive a key of n octets (at most 64) from a passphrase. 0, or -1 with errno ENOTSUP, EINVAL. */
int pgp_s2k_derive(
    const struct pgp_s2k *s, const char *pass, size_t passlen, uint8_t *key, size_t n);

#endif
