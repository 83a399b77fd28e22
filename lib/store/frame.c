#include "store/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define VERSION_PLAIN 1
#define VERSION_SEALED 2

static int
failed(int code)
{
	errno = code;
	return -1;
}

int
frame_init(struct frame_ctx *f, const uint8_t *secret)
{
	memset(f, 0, sizeof *f);
	f->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	f->md = EVP_MD_CTX_new();
	if (f->sha256 == NULL || f->md == NULL)
		goto out;
	if (secret != NULL) {
		memcpy(f->secret, secret, sizeof f->secret);
		f->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
		f->cipher = EVP_CIPHER_CTX_new();
		if (f->gcm == NULL || f->cipher == NULL)
			goto out;
	}
	return 0;
out:
	frame_free(f);
	return failed(ENOMEM);
}

void
frame_free(struct frame_ctx *f)
{
	EVP_MD_CTX_free(f->md);
	EVP_MD_free(f->sha256);
	EVP_CIPHER_CTX_free(f->cipher);
	EVP_CIPHER_free(f->gcm);
	explicit_bzero(f, sizeof *f);
}

/* The head of the place: both lengths and the name; the key follows it. */
static size_t
place_head(const struct frame_place *at, uint8_t out[259])
{
	size_t n = strlen(at->table) & 0xff;

	out[0] = (uint8_t)n;
	memcpy(out + 1, at->table, n);
	put_be16(out + 1 + n, (uint16_t)at->klen);
	return n + 3;
}

static int
checksum(struct frame_ctx *f, const struct frame_place *at, const void *value, size_t n,
    uint8_t out[FRAME_TAG_LEN])
{
	uint8_t head[259], sum[EVP_MAX_MD_SIZE];
	size_t len = place_head(at, head);

	if (EVP_DigestInit_ex(f->md, f->sha256, NULL) != 1 ||
	    EVP_DigestUpdate(f->md, head, len) != 1 ||
	    EVP_DigestUpdate(f->md, at->key, at->klen) != 1 ||
	    EVP_DigestUpdate(f->md, value, n) != 1 || EVP_DigestFinal_ex(f->md, sum, NULL) != 1)
		return failed(EIO);
	memcpy(out, sum, FRAME_TAG_LEN);
	return 0;
}

/* Start a GCM run in either direction and feed it the place. */
static int
begin(struct frame_ctx *f, const struct frame_place *at, const uint8_t *nonce, int encrypt)
{
	uint8_t head[259];
	size_t len = place_head(at, head);
	int got;

	if (EVP_CipherInit_ex2(f->cipher, f->gcm, f->secret, nonce, encrypt, NULL) != 1 ||
	    EVP_CipherUpdate(f->cipher, NULL, &got, head, (int)len) != 1 ||
	    EVP_CipherUpdate(f->cipher, NULL, &got, at->key, (int)at->klen) != 1)
		return failed(EIO);
	return 0;
}

int
frame_encode(
    struct frame_ctx *f, const struct frame_place *at, const void *value, size_t n, uint8_t *out)
{
	uint8_t *nonce = out + 1, *tag = nonce + FRAME_NONCE_LEN, *text = tag + FRAME_TAG_LEN;
	int got = 0;

	if (f->gcm == NULL) {
		out[0] = VERSION_PLAIN;
		if (n > 0)
			memcpy(out + FRAME_PLAIN_HEAD, value, n);
		return checksum(f, at, value, n, out + 1);
	}
	out[0] = VERSION_SEALED;
	arc4random_buf(nonce, FRAME_NONCE_LEN);
	if (n > INT32_MAX || begin(f, at, nonce, 1) == -1 ||
	    (n > 0 && EVP_CipherUpdate(f->cipher, text, &got, value, (int)n) != 1) ||
	    EVP_CipherFinal_ex(f->cipher, text + got, &got) != 1 ||
	    EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_AEAD_GET_TAG, FRAME_TAG_LEN, tag) != 1)
		return failed(EIO);
	return 0;
}

static int
open_sealed(struct frame_ctx *f, const struct frame_place *at, const uint8_t *p, size_t n,
    uint8_t *plain, struct bytes *value)
{
	uint8_t tag[FRAME_TAG_LEN];
	size_t len = n - FRAME_SEALED_HEAD;
	int got = 0;

	memcpy(tag, p + 1 + FRAME_NONCE_LEN, sizeof tag);
	if (len > INT32_MAX || begin(f, at, p + 1, 0) == -1 ||
	    EVP_CIPHER_CTX_ctrl(f->cipher, EVP_CTRL_AEAD_SET_TAG, FRAME_TAG_LEN, tag) != 1 ||
	    (len > 0 &&
		EVP_CipherUpdate(f->cipher, plain, &got, p + FRAME_SEALED_HEAD, (int)len) != 1))
		return failed(EIO);
	if (EVP_CipherFinal_ex(f->cipher, plain + got, &got) != 1) {
		explicit_bzero(plain, len); /* nobody sees what was not authentic */
		return failed(EBADMSG);
	}
	*value = (struct bytes){plain, len};
	return 0;
}

int
frame_decode(struct frame_ctx *f, const struct frame_place *at, const uint8_t *p, size_t n,
    uint8_t *plain, struct bytes *value)
{
	uint8_t sum[FRAME_TAG_LEN];

	if (n < frame_head(f) || p[0] != (f->gcm != NULL ? VERSION_SEALED : VERSION_PLAIN))
		return failed(EBADMSG);
	if (f->gcm != NULL)
		return open_sealed(f, at, p, n, plain, value);
	*value = (struct bytes){p + FRAME_PLAIN_HEAD, n - FRAME_PLAIN_HEAD};
	if (checksum(f, at, value->p, value->n, sum) == -1)
		return -1;
	return CRYPTO_memcmp(sum, p + 1, sizeof sum) == 0 ? 0 : failed(EBADMSG);
}

const uint8_t *
frame_tag(const struct frame_ctx *f, const uint8_t *p, size_t n)
{
	if (n < frame_head(f))
		return NULL;
	return p + frame_head(f) - FRAME_TAG_LEN;
}
