#ifndef OPENPGP_PARAMS_H
#define OPENPGP_PARAMS_H

#include <openssl/evp.h>

#include "base/err.h"
#include "openpgp/mpi.h"
#include "openpgp/pk.h"

/*
 * Inside lib/openpgp: the parameters of public keys, shared by pk.c and skey.c.  Another curve is
 * another row in curves[] and its case where points and shared secrets are handled.
 */
struct pgp_curve {
	const char *name; /* as GnuPG lists it */
	uint8_t pk; /* PGP_PK_EDDSA, PGP_PK_ECDH */
	uint8_t oidlen;
	uint8_t oid[12];
	uint16_t bits;
	uint8_t width; /* octets of a coordinate, scalar, or half signature */
	int evp; /* EVP_PKEY_* */
};

struct pgp_params {
	uint8_t algo;
	struct bytes n, e; /* RSA */
	const struct pgp_curve *curve; /* else */
	const uint8_t *point; /* curve->width octets, no prefix */
	uint8_t kdf_hash, kdf_cipher; /* ECDH */
	size_t used; /* octets that the parameters took */
};

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
const struct pgp_curve *pgp_curve_by_pk(unsigned pk);

unsigned pgp_params_bits(const struct pgp_params *p);

/* A public key of the default provider, or NULL with errno EBADMSG. */
EVP_PKEY *pgp_params_pkey(const struct pgp_params *p);

/*
 * Key-encryption key of ECDH from the shared secret (RFC 9580, 11.5): kek holds
 * pgp_cipher_keylen(p->kdf_cipher) octets. 0 or -1 with errno EIO.
 */
int pgp_ecdh_kek(const struct pgp_params *p, const uint8_t *fpr, size_t fprlen, const uint8_t *z,
    size_t zlen, uint8_t kek[PGP_CIPHER_KEY_MAX]);

/* A new key pair on the curve, or NULL. */
EVP_PKEY *pgp_curve_keygen(const struct pgp_curve *curve);

/* What pgp_ecdh_derive works with, to be kept with a key that is used again; or NULL. */
EVP_PKEY_CTX *pgp_ecdh_ctx(EVP_PKEY *own);

/* X25519 and its like: shared secret of width octets. 0 or -1 (also for an all-zero one). */
int pgp_ecdh_derive(EVP_PKEY_CTX *ctx, EVP_PKEY *peer, size_t width, uint8_t *z);

/* AES key wrap (RFC 3394), n a multiple of 8, out n + 8 or n - 8 octets. 0 or -1. */
int pgp_aes_wrap(unsigned cipher, const uint8_t *kek, const uint8_t *in, size_t n, uint8_t *out);
int pgp_aes_unwrap(unsigned cipher, const uint8_t *kek, const uint8_t *in, size_t n, uint8_t *out);

#endif
