#ifndef OPENPGP_DOCUMENT_H
#define OPENPGP_DOCUMENT_H

#include <openssl/evp.h>

#include "openpgp/encrypt.h"
#include "openpgp/message.h"

/* Signatures over documents: hashing, making, judging. Inside of the engine. */

/* Line ends on their way to CRLF: a bare LF gains a CR; nothing else is touched. */
struct pgp_crlf {
	bool cr; /* the last octet was a CR */
};

/* Pass n octets on to `to`, canonical. 0, or -1 as the sink does. */
int pgp_crlf_feed(struct pgp_crlf *c, const uint8_t *p, size_t n, const struct sink *to);

#define PGP_HASHING_MAX 12 /* algorithms, each over octets and over canonical text */

/* One pass over the data for all signatures: a digest per (algorithm, text or not). */
struct pgp_hashing {
	unsigned n;
	struct pgp_crlf crlf;
	bool any_text;
	struct {
		uint8_t hash;
		bool text;
		EVP_MD_CTX *ctx;
	} v[PGP_HASHING_MAX];
};

/*
 * Want a digest.  0; -1 with errno ENOTSUP (unknown or too weak an algorithm: the signature is
 * then judged without one), EMSGSIZE, ENOMEM.
 */
int pgp_hashing_add(struct pgp_hashing *h, uint8_t hash, bool text);
int pgp_hashing_update(struct pgp_hashing *h, const void *p, size_t n);

/* A copy of the running digest, for EVP_MD_CTX_free; NULL when it was not asked for. */
EVP_MD_CTX *pgp_hashing_copy(const struct pgp_hashing *h, uint8_t hash, bool text);
void pgp_hashing_free(struct pgp_hashing *h);

/*
 * Make one signature packet over what h has seen, and append it to out.
 *
 * Returns 0, or -1 with e filled; errno is the signer's.
 */
int pgp_document_sign(const struct pgp_hashing *h, const struct pgp_signer *signer, uint8_t hash,
    bool text, uint64_t now, const struct pgp_secret *secret, struct buf *out, struct err *e);

/* Ask for the digest that a signature packet's body needs; bodies beyond our means are let be. */
int pgp_document_expect(struct pgp_hashing *h, const uint8_t *body, size_t n);

/* Judge a signature packet's body over what h has seen. */
void pgp_document_check(const struct pgp_hashing *h, const uint8_t *body, size_t n,
    const struct pgp_certs *certs, uint64_t now, struct pgp_signature *out);

#endif
