#include "openpgp/s2k.h"

#include <errno.h>
#include <gcrypt.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/mpi.h"

/* RFC 9580, 3.7.1.3 */
static uint32_t
decode_count(uint8_t c)
{
	return (16u + (c & 15)) << ((c >> 4) + 6);
}

ssize_t
pgp_s2k_parse(struct pgp_s2k *s, const uint8_t *p, size_t n)
{
	struct pgp_cur c = pgp_cur(p, n);
	const uint8_t *x;

	memset(s, 0, sizeof *s);
	s->type = pgp_cur_u8(&c);
	s->hash = pgp_cur_u8(&c);
	switch (s->type) {
	case PGP_S2K_SIMPLE:
		break;
	case PGP_S2K_SALTED:
	case PGP_S2K_ITERATED:
		if ((x = pgp_cur_take(&c, sizeof s->salt)) != NULL)
			memcpy(s->salt, x, sizeof s->salt);
		if (s->type == PGP_S2K_ITERATED)
			s->count = decode_count(pgp_cur_u8(&c));
		break;
	case PGP_S2K_GNU:
		x = pgp_cur_take(&c, 3);
		if (x != NULL && memcmp(x, "GNU", 3) == 0)
			s->gnu = pgp_cur_u8(&c);
		if (s->gnu == 2) /* the card's serial number: one octet of length, up to 16 more */
			(void)pgp_cur_take(&c, pgp_cur_u8(&c));
		if (!c.bad && s->gnu != 1 && s->gnu != 2)
			goto notsup;
		break;
	default:
		if (!c.bad)
			goto notsup;
	}
	if (c.bad) {
		errno = EBADMSG;
		return -1;
	}
	if (s->type != PGP_S2K_GNU && pgp_hash_gcry(s->hash) == 0)
		goto notsup;
	return (ssize_t)(n - c.n);
notsup:
	errno = ENOTSUP;
	return -1;
}

void
pgp_s2k_make(struct pgp_s2k *s)
{
	memset(s, 0, sizeof *s);
	s->type = PGP_S2K_ITERATED;
	s->hash = PGP_HASH_SHA256;
	s->count = PGP_S2K_COUNT_MAX;
	arc4random_buf(s->salt, sizeof s->salt);
}

size_t
pgp_s2k_write(const struct pgp_s2k *s, uint8_t out[PGP_S2K_LEN])
{
	unsigned code = 0;

	/* the least code that hashes at least as much */
	while (code < 255 && decode_count((uint8_t)code) < s->count)
		code++;
	out[0] = PGP_S2K_ITERATED;
	out[1] = s->hash;
	memcpy(out + 2, s->salt, sizeof s->salt);
	out[10] = (uint8_t)code;
	return PGP_S2K_LEN;
}

int
pgp_s2k_derive(const struct pgp_s2k *s, const char *pass, size_t passlen, uint8_t *key, size_t n)
{
	int kind;

	if (n == 0 || n > 64) {
		errno = EINVAL;
		return -1;
	}
	if (pgp_algo_init() < 0)
		return -1;
	switch (s->type) {
	case PGP_S2K_SIMPLE:
		kind = GCRY_KDF_SIMPLE_S2K;
		break;
	case PGP_S2K_SALTED:
		kind = GCRY_KDF_SALTED_S2K;
		break;
	case PGP_S2K_ITERATED:
		kind = GCRY_KDF_ITERSALTED_S2K;
		break;
	default:
		errno = ENOTSUP;
		return -1;
	}
	if (gcry_kdf_derive(pass, passlen, kind, pgp_hash_gcry(s->hash), s->salt, sizeof s->salt,
		s->count, n, key) != 0) {
		errno = ENOTSUP;
		return -1;
	}
	return 0;
}
