#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * How a record's value stands in the file.
 *
 *	plain	1 | checksum 16 | value
 *		the checksum is SHA-256, cut, over the place and the value
 *	sealed	2 | nonce 12 | tag 16 | ciphertext
 *		AES-256-GCM with a random nonce, the place as additional data
 *
 * The place is: length of the table's name (1 octet), name, length of the key (2), key.  So a
 * record that turns up in another place is as wrong as one that was changed.
 */
#define FRAME_TAG_LEN 16
#define FRAME_NONCE_LEN 12
#define FRAME_PLAIN_HEAD (1 + FRAME_TAG_LEN)
#define FRAME_SEALED_HEAD (1 + FRAME_NONCE_LEN + FRAME_TAG_LEN)

struct frame_ctx {
	EVP_MD *sha256;
	EVP_MD_CTX *md;
	EVP_CIPHER *gcm; /* NULL: plain */
	EVP_CIPHER_CTX *cipher;
	uint8_t secret[32];
};

struct frame_place {
	const char *table;
	const void *key;
	size_t klen; /* up to 65535 */
};

/* secret: 32 octets, or NULL for plain. Returns 0, or -1 with errno ENOMEM or EIO. */
int frame_init(struct frame_ctx *f, const uint8_t *secret);
void frame_free(struct frame_ctx *f);

static inline size_t
frame_head(const struct frame_ctx *f)
{
	return f->gcm != NULL ? FRAME_SEALED_HEAD : FRAME_PLAIN_HEAD;
}

/* Frame n octets into out, which holds frame_head(f) + n. Returns 0, or -1 with errno EIO. */
int frame_encode(
    struct frame_ctx *f, const struct frame_place *at, const void *value, size_t n, uint8_t *out);

/*
 * Check a frame of n octets and give its value: inside the frame when plain, else decrypted to
 * plain, which holds n octets.
 *
 * Returns 0, or -1 with errno EBADMSG (too short, another version, wrong checksum or tag) or EIO.
 */
int frame_decode(struct frame_ctx *f, const struct frame_place *at, const uint8_t *p, size_t n,
    uint8_t *plain, struct bytes *value);

/* The checksum or tag of a frame, NULL when it is too short to have one. */
const uint8_t *frame_tag(const struct frame_ctx *f, const uint8_t *p, size_t n);

#endif
