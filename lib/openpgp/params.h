#ifndef OPENPGP_PARAMS_H
#define OPENPGP_PARAMS_H

#include <openssl/evp.h>

#include "base/err.h"
#include "openpgp/mpi.h"
#include "openpgp/pk.h"

#define PGP_COORD_MAX 66 /* octets of a coordinate, scalar or shared secret: P-521 */
#define PGP_POINT_MAX (1 + 2 * PGP_COORD_MAX)

/*
 * Inside lib/openpgp: the parameters of public keys, shared by pk.c and skey.c.  Another curve of
 * one of these kinds is another row in curves[].
 */
enum pgp_curve_kind {
	PGP_CURVE_ED25519, /* signs; OpenSSL's raw keys */
	PGP_CURVE_X25519, /* decrypts */
	PGP_CURVE_NIST, /* ECDSA and ECDH by OpenSSL, see nist.h */
	PGP_CURVE_BRAINPOOL /* the same by libgcrypt, see brainpool.h */
};

struct pgp_curve {
	const char *name; /* as GnuPG lists it and libgcrypt knows it */
	const char *group; /* as OpenSSL knows it */
	enum pgp_curve_kind kind;
	uint8_t oidlen;
	uint8_t oid[12];
	uint16_t bits;
	uint8_t width; /* octets of a coordinate, scalar, or half signature */
	uint8_t kdf_hash, kdf_cipher; /* of ECDH keys made here, RFC 9580, 11.5.1 */
	int evp; /* EVP_PKEY_*, of raw keys */
};

struct pgp_params {
	uint8_t algo;
	struct bytes n, e; /* RSA */
	const struct pgp_curve *curve; /* else */
	struct bytes point; /* as in the packet, with its prefix: see pgp_point_len */
	uint8_t kdf_hash, kdf_cipher; /* ECDH */
	size_t used; /* octets that the parameters took */
};

/* Octets of a point with its prefix: 0x40 and a native one, or 0x04 and both coordinates. */
static inline size_t
pgp_point_len(const struct pgp_curve *c)
{
	return 1 +
	       c->width * (c->kind == PGP_CURVE_ED25519 || c->kind == PGP_CURVE_X25519 ? 1u : 2u);
}

static inline uint8_t
pgp_point_prefix(const struct pgp_curve *c)
{
	return c->kind == PGP_CURVE_ED25519 || c->kind == PGP_CURVE_X25519 ? 0x40 : 0x04;
}

/* Has a point of the curve the form that we read?  Compressed ones are not (RFC 9580, 11.2). */
int pgp_point_formed(const struct pgp_curve *c, struct bytes point);

/*
 * Parse the fields after the algorithm octet; n may be more than they take (secret parts follow).
 * 0, or -1 with e filled: ENOTSUP, EBADMSG.  exact: nothing may follow.
 */
int pgp_params_parse(
    struct pgp_params *out, unsigned algo, const uint8_t *p, size_t n, int exact, struct err *e);

/*
 * Octets that the public parameters take, also for algorithms that we cannot use (ElGamal, DSA,
 * ECDSA, other curves), so that what follows can be found; -1 with errno EBADMSG or ENOTSUP.
 */
ssize_t pgp_params_len(unsigned algo, const uint8_t *p, size_t n);

/* The curve with this name, for key generation. */
const struct pgp_curve *pgp_curve_named(const char *name);

unsigned pgp_params_bits(const struct pgp_params *p);

/*
 * A public key of the default provider in *out, which stays NULL for curves that libgcrypt does;
 * points are checked to be on their curve.  0, or -1 with errno EBADMSG.
 */
int pgp_params_pkey(const struct pgp_params *p, EVP_PKEY **out);

/*
 * Key-encryption key of ECDH from the shared secret (RFC 9580, 11.5): kek holds
 * pgp_cipher_keylen(p->kdf_cipher) octets. 0 or -1 with errno EIO.
 */
int pgp_ecdh_kek(const struct pgp_params *p, const uint8_t *fpr, size_t fprlen, const uint8_t *z,
    size_t zlen, uint8_t kek[PGP_CIPHER_KEY_MAX]);

/* A new key pair on a curve that OpenSSL does, or NULL. */
EVP_PKEY *pgp_curve_keygen(const struct pgp_curve *curve);

/* The point of an OpenSSL key with its prefix, pgp_point_len octets. 0 or -1. */
int pgp_curve_point(const struct pgp_curve *curve, EVP_PKEY *k, uint8_t *point);

/* A public key from a point that is pgp_point_formed; NULL when it is none of the curve. */
EVP_PKEY *pgp_curve_public(const struct pgp_curve *curve, const uint8_t *point);

/* What pgp_ecdh_derive works with, to be kept with a key that is used again; or NULL. */
EVP_PKEY_CTX *pgp_ecdh_ctx(EVP_PKEY *own);

/* Shared secret of width octets: X25519's, or an x coordinate. 0 or -1 (also for an all-zero one).
 */
int pgp_ecdh_derive(EVP_PKEY_CTX *ctx, EVP_PKEY *peer, size_t width, uint8_t *z);

/* AES key wrap (RFC 3394), n a multiple of 8, out n + 8 or n - 8 octets. 0 or -1. */
int pgp_aes_wrap(unsigned cipher, const uint8_t *kek, const uint8_t *in, size_t n, uint8_t *out);
int pgp_aes_unwrap(unsigned cipher, const uint8_t *kek, const uint8_t *in, size_t n, uint8_t *out);

#endif
