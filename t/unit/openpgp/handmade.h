#ifndef UNIT_OPENPGP_HANDMADE_H
#define UNIT_OPENPGP_HANDMADE_H

#include "base/buf.h"
#include "openpgp/skey.h"

/* Certificates made by hand, also such as pgp_certmake would never make. */
#define T0 1790000000 /* the keys are made */
#define NOW (T0 + 1000000)
#define DAY 86400

enum { PRIMARY, SIGNER, CRYPT, OTHER, NKEYS };

/* Keys and what is being built of them: a certificate made by hand, signature by signature. */
struct bench {
	struct pgp_skey *k[NKEYS];
	struct cert_key pub[NKEYS];
	struct buf body[NKEYS]; /* key packet bodies */
	struct buf out;
	EVP_MD_CTX *md;
};

/* One self-signature to make; what is 0 is as usual. */
struct spec {
	unsigned type; /* 0: a user id's certification, a subkey's binding */
	unsigned by; /* key */
	unsigned over; /* key whose packet is hashed behind the primary, 0: none */
	const char *uid; /* or the user id */
	uint64_t created; /* 0: T0 */
	unsigned hash; /* 0: SHA-256 */
	unsigned flags; /* 0: none, of a user id KEY_CERTIFY */
	uint64_t key_lifetime, lifetime;
	int reason; /* 0: none, else one more than the reason */
	unsigned extra; /* a subpacket more, one octet of 1 */
	const struct buf *back; /* to embed */
	int back_unhashed;
};

#define UID "Anna <Anna@Example.ORG>"
#define UID_SIG(...)                                                                               \
	&(struct spec)                                                                             \
	{                                                                                          \
		.by = PRIMARY, __VA_ARGS__                                                         \
	}
#define SUB_SIG(key, ...)                                                                          \
	&(struct spec)                                                                             \
	{                                                                                          \
		.over = key, __VA_ARGS__                                                           \
	}

/* Keys made at T0, or at t; nothing in out yet. */
void bench_start(struct bench *b);
void bench_start_at(struct bench *b, uint64_t t);
void bench_end(struct bench *b);

/* As struct pgp_secret wants it; SHA-1 too. */
int bench_sign(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash, const uint8_t *digest,
    size_t n, struct pgp_sigval *out);

/* Append a signature's body to out. */
void bench_make_sig(struct bench *b, const struct spec *s, struct buf *out);

/* Append packets to b->out; put_head: primary and user id, the usual beginning. */
void put_key(struct bench *b, unsigned i);
void put_uid(struct bench *b, const char *uid);
void put_sig(struct bench *b, const struct spec *s);
void put_head(struct bench *b);

static inline struct bytes
body_of(const struct buf *b)
{
	return (struct bytes){buf_ptr(b), buf_len(b)};
}

#endif
