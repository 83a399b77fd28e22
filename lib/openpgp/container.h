#ifndef OPENPGP_CONTAINER_H
#define OPENPGP_CONTAINER_H

#include <openssl/evp.h>
#include <zlib.h>

#include "openpgp/message.h"
#include "openpgp/packet.h"

/* The writer's layers, each a sink for the one above: inside of the engine. */

/*
 * A packet whose length is known only at its end: partial lengths of the buffer's size, or one
 * fixed length when it all fits the buffer.
 */
struct pgp_chunks {
	const struct sink *to;
	enum pgp_tag tag;
	unsigned log2; /* size of the buffer and of each partial length */
	bool partial; /* a length has been written */
	size_t used;
	uint8_t *buf;
};

/* log2: 9 to 30. 0, or -1 with errno ENOMEM. */
int pgp_chunks_open(struct pgp_chunks *c, enum pgp_tag tag, unsigned log2, const struct sink *to);

/* Room at c->buf + c->used, at least 1 octet (a full buffer is written first); 0: errno is set. */
size_t pgp_chunks_room(struct pgp_chunks *c);
int pgp_chunks_write(struct pgp_chunks *c, const void *p, size_t n);

/* Write what is left with the last length. */
int pgp_chunks_end(struct pgp_chunks *c);
void pgp_chunks_free(struct pgp_chunks *c); /* wipes */

/* Symmetrically encrypted, integrity protected data, version 1 (RFC 4880, 5.13, 5.14). */
struct pgp_seipd {
	struct pgp_chunks body;
	void *cipher; /* gcry_cipher_hd_t */
	unsigned algo; /* its enum pgp_cipher_algo */
	EVP_MD_CTX *mdc;
};

int pgp_seipd_open(struct pgp_seipd *s, const struct pgp_session_key *key, const struct sink *to);
int pgp_seipd_write(struct pgp_seipd *s, const void *p, size_t n);
int pgp_seipd_end(struct pgp_seipd *s);
void pgp_seipd_free(struct pgp_seipd *s);

/* Compressed data (RFC 4880, 5.6). */
struct pgp_deflate {
	struct pgp_chunks body;
	bool open;
	z_stream z;
};

/* algo: PGP_COMP_ZIP or PGP_COMP_ZLIB. */
int pgp_deflate_open(struct pgp_deflate *d, unsigned algo, const struct sink *to);
int pgp_deflate_write(struct pgp_deflate *d, const void *p, size_t n);
int pgp_deflate_end(struct pgp_deflate *d);
void pgp_deflate_free(struct pgp_deflate *d);

/*
 * Open a CFB cipher (gcry_cipher_hd_t) with an all-zero IV. NULL with errno ENOTSUP (unknown),
 * EINVAL (key length).  Closing wipes it; one is kept to be opened again, so that only one thread
 * may use these.
 */
void *pgp_cfb_open(const struct pgp_session_key *key);
void pgp_cfb_close(void *h, unsigned algo); /* algo: of the key. NULL is ignored */

#endif
