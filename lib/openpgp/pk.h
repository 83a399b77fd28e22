#ifndef OPENPGP_PK_H
#define OPENPGP_PK_H

#include "base/err.h"
#include "model/cert.h"
#include "openpgp/algo.h"

/*
 * The public side of a key: wrap session keys, verify signatures.  RSA; EdDSA with Ed25519 and
 * ECDH with Curve25519 under their legacy OIDs; ECDSA and ECDH with P-256, P-384, P-521 and
 * brainpoolP256r1, P384r1, P512r1 (RFC 9580, 9.2; RFC 6637).  A loaded key may be kept and used
 * again; one thread at a time.
 *
 * Sizes: RSA of less than PGP_RSA_VERIFY_MIN bits is refused altogether; below PGP_RSA_MIN it
 * verifies (old mail, and pgp_pk_weak tells) but takes no session key.
 */
#define PGP_RSA_VERIFY_MIN 1024
#define PGP_RSA_MIN 2048
#define PGP_RSA_MAX 16384

#define PGP_SIGVAL_MAX 2050 /* octets: one MPI of PGP_RSA_MAX bits */
#define PGP_ESK_MAX 2050

/* The algorithm-specific fields of a signature packet (RFC 9580, 5.2.3), its MPIs. */
struct pgp_sigval {
	size_t n;
	uint8_t data[PGP_SIGVAL_MAX];
};

/* The algorithm-specific fields of a PKESK packet (RFC 9580, 5.1), after its algorithm octet. */
struct pgp_esk {
	size_t n;
	uint8_t data[PGP_ESK_MAX];
};

struct pgp_session_key {
	uint8_t algo; /* enum pgp_cipher_algo */
	uint8_t n; /* octets, pgp_cipher_keylen(algo) */
	uint8_t key[PGP_CIPHER_KEY_MAX];
};

struct pgp_pk;

/*
 * Load a key's public parameters (algo, fpr and params of k are used, copied).
 *
 * Returns the key, or NULL with e filled: ENOTSUP (algorithm, curve or size that we do not do),
 * EBADMSG (parameters that make no key), ENOMEM.
 */
struct pgp_pk *pgp_pk_load(const struct cert_key *k, struct err *e);
void pgp_pk_free(struct pgp_pk *pk);

/*
 * The same from the few that were wanted last; loaded when it is not among them.  It belongs to the
 * cache and is valid until the next call.  One thread only.
 */
#define PGP_PK_KEPT 16 /* some KiB each with RSA, a few hundred octets on a curve */
struct pgp_pk *pgp_pk_kept(const struct cert_key *k, struct err *e);

unsigned pgp_pk_algo(const struct pgp_pk *pk);
int pgp_pk_weak(const struct pgp_pk *pk); /* verifies only */

/* What the key's algorithm could do, whatever its flags say: KEY_SIGN, KEY_ENCRYPT or both. */
unsigned pgp_algo_can(unsigned pk_algo);

/*
 * What kind of key it is, as GnuPG lists it: "rsa3072", "ed25519", "cv25519", "nistp256"...; of
 * what cannot be used here the algorithm's name.  Returns out.
 */
#define PGP_KEY_TEXT_MAX 32
const char *pgp_key_text(unsigned algo, struct bytes params, char out[PGP_KEY_TEXT_MAX]);

/*
 * Octets of the shortest digest that the key may sign: an ECDSA key's is as long as its curve's
 * order, or 64 (RFC 6637, 13; other implementations refuse shorter ones); 0 for other algorithms.
 */
size_t pgp_key_digest_min(const struct cert_key *k);

/*
 * Wrap a session key for a PKESK v3 (RFC 9580, 5.1.3 to 5.1.5, 11.5).
 *
 * Returns 0 and out, or -1 with errno ENOTSUP (not an encryption key, too weak), EINVAL (algo
 * and n do not fit), EIO (the primitive failed).
 */
int pgp_pk_wrap(struct pgp_pk *pk, const struct pgp_session_key *key, struct pgp_esk *out);

/*
 * Verify the MPIs of a signature over a digest.
 *
 * hash		enum pgp_hash_algo that made the digest of n octets; whether it is strong enough
 *		is the caller's to say (pgp_hash_strong)
 *
 * Returns 0 when good; -1 with errno EBADMSG (bad), ENOTSUP (not a signing key, hash unknown).
 */
int pgp_pk_verify(struct pgp_pk *pk, unsigned hash, const uint8_t *digest, size_t n,
    const uint8_t *sigval, size_t siglen);

/* v4 fingerprint (RFC 9580, 5.5.4.2): SHA-1 over the key packet's body. 0 or -1 with errno. */
int pgp_fingerprint4(
    uint8_t fpr[PGP_FPR4], uint64_t created, unsigned algo, const uint8_t *params, size_t n);

/* The key id of a fingerprint: the last 8 octets of v4, the first 8 of v6. */
const uint8_t *pgp_keyid(const uint8_t *fpr, size_t n);

#endif
