#include "openpgp/container.h"

#include <errno.h>
#include <gcrypt.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/algo.h"

#define SEIPD_LOG2 16 /* 64 KiB: the whole of most messages */
#define DEFLATE_LOG2 13
/* A window of 8 KiB: what ZIP in OpenPGP was made for, and a third of zlib's default memory. */
#define DEFLATE_WINDOW 13
#define DEFLATE_MEMLEVEL 7
/* Hashed and encrypted while it is in the first-level cache. */
#define STEP 8192

int
pgp_chunks_open(struct pgp_chunks *c, enum pgp_tag tag, unsigned log2, const struct sink *to)
{
	memset(c, 0, sizeof *c);
	c->to = to;
	c->tag = tag;
	c->log2 = log2;
	return (c->buf = malloc((size_t)1 << log2)) == NULL ? -1 : 0;
}

/* A partial length, and the tag before the first. */
static int
put_partial(struct pgp_chunks *c)
{
	uint8_t head[2] = {(uint8_t)(0xc0 | c->tag), (uint8_t)(0xe0 | c->log2)};

	if (sink_write(c->to, c->partial ? head + 1 : head, c->partial ? 1 : 2) == -1)
		return -1;
	c->partial = true;
	return 0;
}

size_t
pgp_chunks_room(struct pgp_chunks *c)
{
	size_t size = (size_t)1 << c->log2;

	if (c->used == size) {
		if (put_partial(c) == -1 || sink_write(c->to, c->buf, size) == -1)
			return 0;
		c->used = 0;
	}
	return size - c->used;
}

int
pgp_chunks_write(struct pgp_chunks *c, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t room, size = (size_t)1 << c->log2;

	while (n > 0) {
		if ((room = pgp_chunks_room(c)) == 0)
			return -1;
		if (c->used == 0 && n > size) {
			/* More than a whole chunk: it need not be gathered. */
			if (put_partial(c) == -1 || sink_write(c->to, p, size) == -1)
				return -1;
			p += size;
			n -= size;
			continue;
		}
		room = room < n ? room : n;
		memcpy(c->buf + c->used, p, room);
		c->used += room;
		p += room;
		n -= room;
	}
	return 0;
}

int
pgp_chunks_end(struct pgp_chunks *c)
{
	uint8_t head[PGP_HEAD_MAX];
	size_t n = pgp_packet_head(head, c->tag, (uint32_t)c->used);
	size_t skip = c->partial ? 1 : 0; /* the tag stands before the first length */

	if (sink_write(c->to, head + skip, n - skip) == -1)
		return -1;
	return sink_write(c->to, c->buf, c->used);
}

void
pgp_chunks_free(struct pgp_chunks *c)
{
	if (c->buf != NULL)
		explicit_bzero(c->buf, c->partial ? (size_t)1 << c->log2 : c->used);
	free(c->buf);
	c->buf = NULL;
}

/* Opening one costs as much as two KiB of text: libgcrypt stirs its random numbers each time. */
static gcry_cipher_hd_t idle;
static unsigned idle_algo;

void *
pgp_cfb_open(const struct pgp_session_key *key)
{
	gcry_cipher_hd_t h = NULL;
	int algo = pgp_cipher_gcry(key->algo);

	if (idle != NULL && key->algo == idle_algo) {
		h = idle;
		idle = NULL;
	} else if (algo == 0 || gcry_cipher_open(&h, algo, GCRY_CIPHER_MODE_CFB, 0) != 0) {
		errno = ENOTSUP;
		return NULL;
	}
	if (key->n != pgp_cipher_keylen(key->algo) ||
	    gcry_cipher_setkey(h, key->key, key->n) != 0 || gcry_cipher_setiv(h, NULL, 0) != 0) {
		gcry_cipher_close(h);
		errno = EINVAL;
		return NULL;
	}
	return h;
}

void
pgp_cfb_close(void *h, unsigned algo)
{
	static const uint8_t zeros[PGP_CIPHER_KEY_MAX];

	if (h == NULL)
		return;
	/* Another key over this one, and no block of the text that it was used for. */
	if (idle == NULL && gcry_cipher_setkey(h, zeros, pgp_cipher_keylen(algo)) == 0 &&
	    gcry_cipher_reset(h) == 0) {
		idle = h;
		idle_algo = algo;
	} else
		gcry_cipher_close(h);
}

static int
encrypt_into(struct pgp_seipd *s, const uint8_t *p, size_t n)
{
	size_t k;

	while (n > 0) {
		if ((k = pgp_chunks_room(&s->body)) == 0)
			return -1;
		k = k < n ? k : n;
		k = k < STEP ? k : STEP;
		if (EVP_DigestUpdate(s->mdc, p, k) != 1 ||
		    gcry_cipher_encrypt(s->cipher, s->body.buf + s->body.used, k, p, k) != 0) {
			errno = EIO;
			return -1;
		}
		s->body.used += k;
		p += k;
		n -= k;
	}
	return 0;
}

int
pgp_seipd_open(struct pgp_seipd *s, const struct pgp_session_key *key, const struct sink *to)
{
	uint8_t prefix[16 + 2], version = 1;
	size_t block = pgp_cipher_blocklen(key->algo);

	memset(s, 0, sizeof *s);
	s->algo = key->algo;
	if (pgp_chunks_open(&s->body, PGP_TAG_SEIPD, SEIPD_LOG2, to) == -1 ||
	    (s->cipher = pgp_cfb_open(key)) == NULL || (s->mdc = EVP_MD_CTX_new()) == NULL ||
	    EVP_DigestInit_ex(s->mdc, pgp_hash_md(PGP_HASH_SHA1), NULL) != 1 ||
	    RAND_bytes(prefix, (int)block) != 1) {
		if (errno == 0)
			errno = EIO;
		return -1;
	}
	/* RFC 4880, 5.13: the last two octets of the random prefix come again. */
	memcpy(prefix + block, prefix + block - 2, 2);
	if (pgp_chunks_write(&s->body, &version, 1) == -1)
		return -1;
	return encrypt_into(s, prefix, block + 2);
}

int
pgp_seipd_write(struct pgp_seipd *s, const void *p, size_t n)
{
	return encrypt_into(s, p, n);
}

int
pgp_seipd_end(struct pgp_seipd *s)
{
	uint8_t mdc[2 + 20] = {0xc0 | PGP_TAG_MDC, 20};
	EVP_MD_CTX *ctx = s->mdc;
	size_t i, k;

	if (EVP_DigestUpdate(ctx, mdc, 2) != 1 || EVP_DigestFinal_ex(ctx, mdc + 2, NULL) != 1) {
		errno = EIO;
		return -1;
	}
	for (i = 0; i < sizeof mdc; i += k) {
		if ((k = pgp_chunks_room(&s->body)) == 0)
			return -1;
		k = k < sizeof mdc - i ? k : sizeof mdc - i;
		if (gcry_cipher_encrypt(s->cipher, s->body.buf + s->body.used, k, mdc + i, k) !=
		    0) {
			errno = EIO;
			return -1;
		}
		s->body.used += k;
	}
	return pgp_chunks_end(&s->body);
}

void
pgp_seipd_free(struct pgp_seipd *s)
{
	pgp_cfb_close(s->cipher, s->algo);
	EVP_MD_CTX_free(s->mdc);
	pgp_chunks_free(&s->body);
	memset(s, 0, sizeof *s);
}

int
pgp_deflate_open(struct pgp_deflate *d, unsigned algo, const struct sink *to)
{
	uint8_t octet = (uint8_t)algo;

	memset(d, 0, sizeof *d);
	if (pgp_chunks_open(&d->body, PGP_TAG_COMPRESSED, DEFLATE_LOG2, to) == -1 ||
	    pgp_chunks_write(&d->body, &octet, 1) == -1)
		return -1;
	if (deflateInit2(&d->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
		algo == PGP_COMP_ZIP ? -DEFLATE_WINDOW : DEFLATE_WINDOW, DEFLATE_MEMLEVEL,
		Z_DEFAULT_STRATEGY) != Z_OK) {
		errno = ENOMEM;
		return -1;
	}
	d->open = true;
	return 0;
}

static int
deflate_step(struct pgp_deflate *d, int flush)
{
	size_t room;
	int rc;

	do {
		if ((room = pgp_chunks_room(&d->body)) == 0)
			return -1;
		d->z.next_out = d->body.buf + d->body.used;
		d->z.avail_out = (uInt)room;
		rc = deflate(&d->z, flush);
		d->body.used += room - d->z.avail_out;
		if (rc == Z_STREAM_ERROR) {
			errno = EIO;
			return -1;
		}
	} while (flush == Z_FINISH ? rc != Z_STREAM_END : d->z.avail_out == 0);
	return 0;
}

int
pgp_deflate_write(struct pgp_deflate *d, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t k;

	for (; n > 0; p += k, n -= k) {
		k = n < PGP_WINDOW ? n : PGP_WINDOW;
		d->z.next_in = (uint8_t *)(uintptr_t)p; /* zlib does not write there */
		d->z.avail_in = (uInt)k;
		if (deflate_step(d, Z_NO_FLUSH) == -1)
			return -1;
	}
	return 0;
}

int
pgp_deflate_end(struct pgp_deflate *d)
{
	d->z.avail_in = 0;
	return deflate_step(d, Z_FINISH) == -1 ? -1 : pgp_chunks_end(&d->body);
}

void
pgp_deflate_free(struct pgp_deflate *d)
{
	if (d->open)
		(void)deflateEnd(&d->z);
	pgp_chunks_free(&d->body);
	memset(d, 0, sizeof *d);
}
