#ifndef OPENPGP_CERT_H
#define OPENPGP_CERT_H

#include "base/buf.h"
#include "base/err.h"
#include "model/cert.h"

/*
 * Transferable public keys (RFC 9580, 10.1; RFC 4880, 11.1): parsed, every self-signature
 * verified, evaluated into struct cert.
 *
 * What counts:
 * - Only self-signatures.  Third-party certifications, attestations and designated revokers are
 *   ignored.
 * - Of the valid self-signatures of one user id, of one subkey, and of direct-key signatures the
 *   newest decides.  Signatures dated more than a day ahead of now, or before their key, are
 *   ignored; a signature that has itself run out, too.
 * - Hashes: SHA-2 and SHA-3.  SHA-1 in bindings made before 2023-02-01 (collisions of chosen
 *   prefix were affordable by 2020, but self-signatures of keys made by older GnuPG are all over
 *   the world; later ones are refused); in revocations always, since refusing one helps the
 *   wrong side.  MD5 and RIPEMD-160 never.
 * - A subkey that signs needs a valid back signature (0x19), else it has no KEY_SIGN.
 * - Flags, expiry, preferences, features: of the primary from the newest direct-key signature,
 *   what that does not say from the self-signature of the primary user id.
 * - Revocation for "no reason" or "compromised" is hard: revoked = 1.  "Superseded", "retired"
 *   is soft: revoked is its time.  A user id's revocation counts from its time, unless a newer
 *   self-signature stands there.
 * - A key without a flags subpacket gets what its algorithm can do (a primary also KEY_CERTIFY).
 * - Keys of unknown versions, algorithms, curves and sizes below the minimum are left out; as
 *   primary they make the certificate unusable (errno ENOTSUP).  RSA keys too weak for new mail
 *   have no KEY_ENCRYPT, subkeys never KEY_CERTIFY.
 * - A binding that runs out itself ends its key (expires) or user id (revoked) at that time.
 * - User ids with control characters, or longer than CERT_UID_MAX octets, are left out; one that
 *   is not UTF-8 is taken for Latin-1.  User attributes (pictures) are left out.
 */
#define PGP_CERT_INPUT_MAX                                                                         \
	1048576 /* octets of one certificate as it comes, others' signatures in it */
#define PGP_CERT_MAX 262144 /* octets of what is kept of it */
#define PGP_CERT_PACKETS_MAX 8192 /* packets in it */
#define PGP_CERT_COMPONENTS_MAX 512 /* keys, user ids, attributes in it */
/* Public-key operations spent on it; later signatures do not count. */
#define PGP_CERT_VERIFY_MAX 512
#define PGP_CERT_SHA1_UNTIL 1675209600 /* 2023-02-01 */
#define PGP_CERT_FUTURE_MAX 86400 /* seconds a signature may be ahead of now */

#define CERT_UID_MAX 1024 /* octets, the record's own bound */

struct pgp_cert {
	const struct cert *rec; /* evaluated */
	struct bytes enc; /* the same, encoded by rec_encode: what is stored and sent */
	struct bytes raw; /* keys, user ids and verified self-signatures, as they came */
	void *mem[3]; /* what the above point into */
};

/* Where reading stands in a blob of binary octets. */
struct pgp_cert_iter {
	const uint8_t *p;
	size_t n;
	uint64_t now; /* seconds since the epoch */
};

/*
 * Read the next certificate of a blob (binary; decode armour first).
 *
 * Returns 1 and *out (for pgp_cert_free), 0 at the end, -1 with e filled for one that is not
 * usable: EBADMSG (malformed), ENOTSUP (version or algorithm), EMSGSIZE, ENOKEY (no valid
 * self-signature).  After -1 the iterator stands behind it: calling again reads on.
 */
int pgp_cert_next(struct pgp_cert_iter *it, struct pgp_cert **out, struct err *e);
void pgp_cert_free(struct pgp_cert *c);

/* The only certificate of a blob, or NULL with e filled (none, several, or as above). */
struct pgp_cert *pgp_cert_read(const void *p, size_t n, uint64_t now, struct err *e);

enum pgp_key_state { PGP_KEY_OK, PGP_KEY_NOT_YET, PGP_KEY_EXPIRED, PGP_KEY_REVOKED };

/*
 * State of a key of c at time t, the primary's own state included (it binds all).  For a
 * signature give the time it was made: hard revocation counts at every time, soft revocation and
 * expiry only from theirs on.
 */
enum pgp_key_state pgp_key_state(const struct cert *c, const struct cert_key *k, uint64_t t);

/*
 * Whether the certificate as such is valid at t.  0, or -1 with e filled with a text that can
 * stand in a refusal: "key 0123456789ABCDEF expired on 2026-01-31", "... was revoked on ...".
 * errno EKEYEXPIRED, EKEYREVOKED, EAGAIN (not valid yet).
 */
int pgp_cert_valid(const struct cert *c, uint64_t t, struct err *e);

/*
 * The keys to encrypt to at t: every valid encryption subkey with a usable algorithm, newest
 * first (semantics: several valid keys, encrypt to all); the primary only if there is none else.
 *
 * out, max	receives at most max keys
 *
 * Returns how many (>= 1), or -1 with e filled as by pgp_cert_valid; errno ENOKEY: no encryption
 * key ("... has no key for encryption", "... is too weak for encryption (RSA of 1024 bits)").
 */
int pgp_cert_encryption_keys(
    const struct cert *c, uint64_t t, const struct cert_key **out, size_t max, struct err *e);

/* The newest key that may sign data at t, subkeys before the primary; NULL with e filled. */
const struct cert_key *pgp_cert_signing_key(const struct cert *c, uint64_t t, struct err *e);

/* Find a key by fingerprint (n 20 or 32) or key id (n 8); all zero key ids never match. */
const struct cert_key *pgp_cert_find(const struct cert *c, const uint8_t *id, size_t n);

/* The user id marked primary, else the first that is not revoked, else NULL. */
const struct cert_uid *pgp_cert_primary_uid(const struct cert *c, uint64_t t);

/*
 * Address of a user id: "Name (comment) <local@domain>" or a bare address; domain in lower case
 * (ASCII).  out holds 321 octets.  Returns 0, or -1 when there is none.
 */
int pgp_uid_addr(char *out, size_t outsz, const char *uid, size_t n);

/*
 * Merge two copies of the same certificate (same primary): the union of their packets under each
 * component, in the order of old, without duplicates, so that a resubmitted certificate takes
 * nothing away.  Appends to out.  0, or -1 with e filled: EINVAL (other primary), EBADMSG,
 * EMSGSIZE.
 */
int pgp_cert_merge(
    const void *old, size_t oldlen, const void *add, size_t addlen, struct buf *out, struct err *e);

#endif
