#include "openpgp/layers.h"

#include <errno.h>
#include <gcrypt.h>
#include <openssl/crypto.h>
#include <string.h>

#include "openpgp/algo.h"
#include "openpgp/container.h"

#define RATIO_GRACE                                                                                \
	65536 /* octets that may come out whatever went in: small mails compress well              \
	       */

static int
bad(void)
{
	errno = EBADMSG;
	return -1;
}

/* The container is at its end: what is held must be the MDC packet of what was shown. */
static int
check_mdc(struct pgp_unseipd *u)
{
	uint8_t digest[20];
	const uint8_t *mdc = u->buf;

	u->ended = true;
	if (u->held != PGP_MDC_LEN)
		return bad();
	if (EVP_DigestUpdate(u->mdc, mdc, 2) != 1 ||
	    EVP_DigestFinal_ex(u->mdc, digest, NULL) != 1) {
		errno = EIO;
		return -1;
	}
	if (mdc[0] != (0xc0 | PGP_TAG_MDC) || mdc[1] != sizeof digest ||
	    CRYPTO_memcmp(mdc + 2, digest, sizeof digest) != 0)
		return bad();
	u->good = true;
	return 0;
}

static int
unseipd_more(struct pgp_src *s)
{
	struct pgp_unseipd *u = (struct pgp_unseipd *)s;
	size_t k;
	int rc;

	if (u->ended)
		return u->good ? 0 : bad();
	memmove(u->buf, u->buf + u->shown, u->held);
	u->shown = 0;
	while (u->held <= PGP_MDC_LEN) {
		if ((rc = pgp_src_fill(u->from)) == -1) {
			u->ended = true;
			return -1;
		}
		if (rc == 0)
			return check_mdc(u);
		k = sizeof u->buf - u->held;
		k = k < u->from->n ? k : u->from->n;
		if (gcry_cipher_decrypt(u->cipher, u->buf + u->held, k, u->from->p, k) != 0) {
			errno = EIO;
			return -1;
		}
		pgp_src_take(u->from, k);
		u->held += k;
	}
	u->shown = u->held - PGP_MDC_LEN;
	u->held = PGP_MDC_LEN;
	if (EVP_DigestUpdate(u->mdc, u->buf, u->shown) != 1) {
		errno = EIO;
		return -1;
	}
	s->p = u->buf;
	s->n = u->shown;
	return 1;
}

int
pgp_unseipd_open(struct pgp_unseipd *u, struct pgp_src *from, const struct pgp_session_key *key,
    const uint8_t prefix[PGP_PREFIX_MAX])
{
	size_t n = pgp_cipher_blocklen(key->algo) + 2;
	uint8_t plain[PGP_PREFIX_MAX];

	memset(u, 0, offsetof(struct pgp_unseipd, buf));
	u->src.more = unseipd_more;
	u->from = from;
	u->algo = key->algo;
	if ((u->cipher = pgp_cfb_open(key)) == NULL)
		return -1;
	if ((u->mdc = EVP_MD_CTX_new()) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	if (n > sizeof plain ||
	    gcry_cipher_decrypt(u->cipher, plain, sizeof plain, prefix, sizeof plain) != 0 ||
	    EVP_DigestInit_ex(u->mdc, pgp_hash_md(PGP_HASH_SHA1), NULL) != 1 ||
	    EVP_DigestUpdate(u->mdc, plain, n) != 1) {
		errno = EINVAL;
		return -1;
	}
	/* With blocks of 8 octets some of it is plaintext. */
	u->held = sizeof plain - n;
	memcpy(u->buf, plain + n, u->held);
	explicit_bzero(plain, sizeof plain);
	return 0;
}

void
pgp_unseipd_close(struct pgp_unseipd *u)
{
	pgp_cfb_close(u->cipher, u->algo);
	EVP_MD_CTX_free(u->mdc);
	explicit_bzero(u, sizeof *u);
}

bool
pgp_prefix_matches(const struct pgp_session_key *key, const uint8_t prefix[PGP_PREFIX_MAX])
{
	size_t n = pgp_cipher_blocklen(key->algo) + 2;
	uint8_t plain[PGP_PREFIX_MAX];
	gcry_cipher_hd_t h;
	bool match;

	if ((h = pgp_cfb_open(key)) == NULL)
		return false;
	match = n <= sizeof plain && gcry_cipher_decrypt(h, plain, n, prefix, n) == 0 &&
		memcmp(plain + n - 2, plain + n - 4, 2) == 0;
	pgp_cfb_close(h, key->algo);
	explicit_bzero(plain, sizeof plain);
	return match;
}

static int
over_bounds(const struct pgp_inflate *i)
{
	if (i->max_out != 0 && i->out > i->max_out)
		return 1;
	return i->max_ratio != 0 && i->out > RATIO_GRACE && i->out / i->max_ratio > i->in;
}

/*
 * One step of zlib or libbz2: up to *n octets at p in, up to a whole buf out.  Returns 0 with the
 * octets taken in *n and those made in *made, or -1 with errno.
 */
static int
step_zlib(struct pgp_inflate *i, const uint8_t *p, size_t *n, size_t *made)
{
	int rc;

	i->z.next_in = (uint8_t *)(uintptr_t)p; /* zlib does not write there */
	i->z.avail_in = (uInt)*n;
	i->z.next_out = i->buf;
	i->z.avail_out = sizeof i->buf;
	rc = inflate(&i->z, Z_NO_FLUSH);
	*n -= i->z.avail_in;
	*made = sizeof i->buf - i->z.avail_out;
	i->ended = rc == Z_STREAM_END;
	if (rc == Z_OK || rc == Z_STREAM_END)
		return 0;
	errno = rc == Z_MEM_ERROR ? ENOMEM : EBADMSG; /* Z_BUF_ERROR: the data are cut */
	return -1;
}

static int
step_bzip2(struct pgp_inflate *i, const uint8_t *p, size_t *n, size_t *made)
{
	int rc;

	i->bz.next_in = (char *)(uintptr_t)p; /* nor does libbz2 */
	i->bz.avail_in = (unsigned)*n;
	i->bz.next_out = (char *)i->buf;
	i->bz.avail_out = sizeof i->buf;
	rc = BZ2_bzDecompress(&i->bz);
	*n -= i->bz.avail_in;
	*made = sizeof i->buf - i->bz.avail_out;
	i->ended = rc == BZ_STREAM_END;
	/* It has no word for data that are cut: nothing went in, nothing came out. */
	if (rc == BZ_STREAM_END || (rc == BZ_OK && (*n > 0 || *made > 0)))
		return 0;
	errno = rc == BZ_MEM_ERROR ? ENOMEM : EBADMSG;
	return -1;
}

static int
inflate_more(struct pgp_src *s)
{
	struct pgp_inflate *i = (struct pgp_inflate *)s;
	size_t taken, made;
	int rc;

	if (i->ended)
		return 0;
	for (;;) {
		/* At the end of the input there may still be something to come out. */
		if (pgp_src_fill(i->from) == -1)
			return -1;
		taken = i->from->n < PGP_WINDOW ? i->from->n : PGP_WINDOW;
		rc = i->algo == PGP_COMP_BZIP2 ? step_bzip2(i, i->from->p, &taken, &made)
					       : step_zlib(i, i->from->p, &taken, &made);
		pgp_src_take(i->from, taken);
		i->in += taken;
		i->out += made;
		if (rc == -1)
			return -1;
		if (over_bounds(i)) {
			errno = EMSGSIZE;
			return -1;
		}
		if (made > 0) {
			s->p = i->buf;
			s->n = made;
			return 1;
		}
		if (i->ended)
			return 0;
	}
}

int
pgp_inflate_open(struct pgp_inflate *i, struct pgp_src *from, unsigned algo)
{
	int rc;

	memset(i, 0, offsetof(struct pgp_inflate, buf));
	i->src.more = inflate_more;
	i->from = from;
	i->algo = (uint8_t)algo;
	switch (algo) {
	case PGP_COMP_ZIP:
		rc = inflateInit2(&i->z, -MAX_WBITS) == Z_OK;
		break;
	case PGP_COMP_ZLIB:
		rc = inflateInit2(&i->z, MAX_WBITS) == Z_OK;
		break;
	case PGP_COMP_BZIP2:
		rc = BZ2_bzDecompressInit(&i->bz, 0, 0) == BZ_OK;
		break;
	default:
		errno = ENOTSUP;
		return -1;
	}
	if (!rc) {
		errno = ENOMEM;
		return -1;
	}
	i->open = true;
	return 0;
}

void
pgp_inflate_close(struct pgp_inflate *i)
{
	if (i->open && i->algo == PGP_COMP_BZIP2)
		(void)BZ2_bzDecompressEnd(&i->bz);
	else if (i->open)
		(void)inflateEnd(&i->z);
	explicit_bzero(i, sizeof *i);
}
