#ifndef OPENPGP_SKEY_H
#define OPENPGP_SKEY_H

#include "base/buf.h"
#include "base/err.h"
#include "model/cert.h"
#include "openpgp/pk.h"

/* The secret side of a key: only where secret keys live.  No packets are parsed here. */
#define PGP_SECRET_MAX 5200 /* octets of secret parameters: d, p, q, u of RSA-16384 */
#define PGP_SKEY_ENC_MAX (CERT_PARAMS_MAX + PGP_SECRET_MAX + 32) /* of pgp_skey_encode */

enum pgp_keytype {
	PGP_GEN_ED25519,
	PGP_GEN_CV25519,
	PGP_GEN_RSA, /* 3,072 bit */
	PGP_GEN_P256, /* NIST's: by OpenSSL */
	PGP_GEN_P384,
	PGP_GEN_P521,
	PGP_GEN_BP256, /* brainpoolP256r1 and so on: by libgcrypt */
	PGP_GEN_BP384,
	PGP_GEN_BP512
};

struct pgp_skey;
struct evp_pkey_st;

/*
 * A loaded key does not change: several threads may sign and unwrap with the same one at the same
 * time, once pgp_algo_init has run.
 */

/*
 * Make a key.
 *
 * decrypts	on a curve that does either: 1 for a key that decrypts (ECDH), 0 for one that signs
 *		or certifies (ECDSA); the first three types need not be told
 * created	seconds since the epoch, part of its fingerprint
 *
 * Returns the key, or NULL with e filled.
 */
struct pgp_skey *pgp_skey_generate(
    enum pgp_keytype type, int decrypts, uint64_t created, struct err *e);

/*
 * Load a key and check that the secret half belongs to the public one.
 *
 * params	the public key packet's fields after the algorithm octet
 * secret	the secret MPIs as an unprotected packet has them, no checksum (RFC 9580, 5.5.5)
 *
 * Returns the key, or NULL with e filled: ENOTSUP (algorithm, curve, size), EBADMSG (malformed),
 * EKEYREJECTED (the halves do not match), ENOMEM.
 */
struct pgp_skey *pgp_skey_load(
    unsigned algo, uint64_t created, struct bytes params, struct bytes secret, struct err *e);

/* Wipes. */
void pgp_skey_free(struct pgp_skey *k);

/*
 * Canonical octets for the sealed store and for the way there; they are the key in clear: use
 * buf_wipe_free.  Decoding takes exactly n octets and checks as pgp_skey_load does.
 * 0 or -1 with errno EMSGSIZE, ENOMEM; NULL with e filled.
 */
int pgp_skey_encode(const struct pgp_skey *k, struct buf *out);
struct pgp_skey *pgp_skey_decode(const uint8_t *p, size_t n, struct err *e);

/* The public half (flags 0, times but created 0); its fields point into the key. */
void pgp_skey_public(const struct pgp_skey *k, struct cert_key *out);

/* The key as OpenSSL has it, for signatures that are not OpenPGP's; NULL when libgcrypt holds it.
 */
struct evp_pkey_st *pgp_skey_evp(struct pgp_skey *k);

/* The secret parameters as pgp_skey_load takes them; they point into the key. */
struct bytes pgp_skey_secret(const struct pgp_skey *k);

/*
 * Sign a digest.  RSA: PKCS#1 v1.5 with blinding, 2,048 bit and more; EdDSA: the digest is the
 * message.  Hashes that are not pgp_hash_strong are refused.
 *
 * Returns 0 and out, or -1 with errno ENOTSUP (not a signing key, weak), EINVAL (n is not the
 * hash's length), EIO.
 */
int pgp_skey_sign(
    struct pgp_skey *k, unsigned hash, const uint8_t *digest, size_t n, struct pgp_sigval *out);

/*
 * Unwrap a session key.
 *
 * esk, n	the PKESK's fields after its algorithm octet, as they came: anything at all
 *
 * Returns 0 and out for every input, or -1 with errno ENOTSUP (this key does not decrypt) or EIO
 * (out of memory), which do not depend on what the ciphertext holds.
 *
 * Bad padding, a wrong checksum, an unknown cipher, a length that does not fit: all give an
 * AES-256 key derived by HMAC-SHA256 from a secret of the key and the octets of esk, so that the
 * same bad ciphertext always gives the same key and nothing tells it from a good one but that
 * the message does not decrypt.  For RSA the choice between the two is made without branches or
 * addresses that depend on the decrypted octets, after a blinded private operation that yields
 * the whole block; both keys are always computed.  What stays visible is public: whether the
 * fields were well-formed.  For ECDH the key unwrap's own integrity check (RFC 3394) decides and
 * may be seen in time; it yields no oracle, because the sender cannot alter a wrapped key
 * without knowing the shared secret.
 */
int pgp_skey_unwrap(struct pgp_skey *k, const uint8_t *esk, size_t n, struct pgp_session_key *out);

#endif
