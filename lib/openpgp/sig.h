#ifndef OPENPGP_SIG_H
#define OPENPGP_SIG_H

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "openpgp/pk.h"

/* Signature packets, version 4 (RFC 9580, 5.2). */
enum pgp_sig_type {
	PGP_SIG_BINARY = 0x00,
	PGP_SIG_TEXT = 0x01,
	PGP_SIG_STANDALONE = 0x02,
	PGP_SIG_CERT_GENERIC = 0x10,
	PGP_SIG_CERT_PERSONA = 0x11,
	PGP_SIG_CERT_CASUAL = 0x12,
	PGP_SIG_CERT_POSITIVE = 0x13,
	PGP_SIG_SUBKEY = 0x18,
	PGP_SIG_BACK = 0x19, /* primary key binding */
	PGP_SIG_DIRECT = 0x1f,
	PGP_SIG_REV_KEY = 0x20,
	PGP_SIG_REV_SUBKEY = 0x28,
	PGP_SIG_REV_CERT = 0x30,
	PGP_SIG_TIMESTAMP = 0x40,
	PGP_SIG_CONFIRM = 0x50
};

enum pgp_subpacket {
	PGP_SUB_CREATED = 2,
	PGP_SUB_EXPIRES = 3,
	PGP_SUB_EXPORTABLE = 4,
	PGP_SUB_TRUST = 5,
	PGP_SUB_REGEX = 6,
	PGP_SUB_REVOCABLE = 7,
	PGP_SUB_KEY_EXPIRES = 9,
	PGP_SUB_CIPHERS = 11,
	PGP_SUB_REVOKER = 12,
	PGP_SUB_ISSUER = 16,
	PGP_SUB_NOTATION = 20,
	PGP_SUB_HASHES = 21,
	PGP_SUB_COMPRESS = 22,
	PGP_SUB_KS_PREFS = 23,
	PGP_SUB_KEYSERVER = 24,
	PGP_SUB_PRIMARY_UID = 25,
	PGP_SUB_POLICY = 26,
	PGP_SUB_FLAGS = 27,
	PGP_SUB_SIGNER_UID = 28,
	PGP_SUB_REASON = 29,
	PGP_SUB_FEATURES = 30,
	PGP_SUB_TARGET = 31,
	PGP_SUB_EMBEDDED = 32,
	PGP_SUB_ISSUER_FPR = 33
};

#define PGP_SUB_CRITICAL 0x80

#define PGP_SIG_PARSE_MAX 65536 /* octets of a signature packet's body, else malformed */
#define PGP_SIG_SUBS_MAX 64 /* subpackets in one area */

/* A parsed signature; its bytes point into the packet's body. */
struct pgp_sig {
	uint8_t version; /* 4 */
	uint8_t type; /* enum pgp_sig_type */
	uint8_t pk; /* enum pgp_pk_algo */
	uint8_t hash; /* enum pgp_hash_algo */
	uint8_t left16[2]; /* of the digest */
	uint8_t unusable; /* no hashed creation time, or a critical subpacket that we do not know:
			     never good (RFC 9580, 5.2.3.7) */
	uint8_t has_issuer; /* issuer is set, from either area or from issuer_fpr */
	uint8_t issuer[8]; /* a hint: key id */
	struct bytes issuer_fpr; /* 20 or 32 octets, or none; a hint unless issuer_hashed */
	uint8_t issuer_hashed; /* issuer_fpr stands in the hashed area */
	uint64_t created; /* seconds since the epoch */
	uint64_t lifetime; /* seconds from created, 0: for ever */
	uint64_t key_lifetime; /* seconds from the key's creation, 0: for ever */
	uint8_t has_key_lifetime, has_flags, has_features, primary_uid;
	uint8_t flags; /* key flags, first octet */
	uint8_t features; /* first octet */
	uint8_t has_reason, reason; /* of a revocation */
	struct bytes ciphers, hashes, compress; /* preferences, hashed area */
	struct bytes signer_uid; /* hashed area */
	struct bytes embedded; /* body of the first embedded signature of type 0x19 */
	struct bytes hashed; /* what is hashed: from the version to the end of the hashed area */
	struct bytes value; /* the algorithm-specific MPIs */
};

/*
 * Parse a signature packet's body, strictly.
 *
 * body, n	must outlive out
 *
 * Returns 0, or -1 with errno EBADMSG (malformed) or ENOTSUP (another version than 4: version,
 * and of v3 and v6 type, pk, hash are set where they could be read).
 */
int pgp_sig_parse(struct pgp_sig *out, const uint8_t *body, size_t n);

/* Whether the signature itself has run out at time t. */
static inline int
pgp_sig_expired(const struct pgp_sig *s, uint64_t t)
{
	return s->lifetime != 0 && t >= s->created + s->lifetime;
}

/*
 * Append the trailer to a context that has seen the data and finish it (RFC 9580, 5.2.4).  The
 * context can be initialised again afterwards.  digest holds PGP_DIGEST_MAX octets.
 *
 * Returns the digest's octets, or -1 with errno EIO.
 */
int pgp_sig_digest(const struct pgp_sig *s, EVP_MD_CTX *ctx, uint8_t *digest);

/*
 * Verify: finishes ctx, which has hashed the signed data with s->hash, compares left16, verifies
 * the MPIs.  Time, hash strength and what the key may do are the caller's.
 *
 * Returns 0 when good; -1 with errno EBADMSG (bad, or s->unusable), ENOTSUP, EIO.
 */
int pgp_sig_verify(const struct pgp_sig *s, EVP_MD_CTX *ctx, struct pgp_pk *pk);

/* A signature in the making.  Sizes: an area of at most 4,096 octets each. */
#define PGP_SIG_AREA_MAX 4096

struct pgp_sigmake {
	uint8_t pk, hash;
	uint8_t left16[2];
	size_t hashed_n, unhashed_n;
	uint8_t hashed[6 + PGP_SIG_AREA_MAX]; /* from the version octet on */
	uint8_t unhashed[PGP_SIG_AREA_MAX];
};

/*
 * Begin a v4 signature: creation time and issuer fingerprint (hashed), issuer key id (unhashed).
 *
 * pk		algorithm of the key that will sign
 * fpr, fprlen	its fingerprint, 20 octets
 */
void pgp_sigmake_begin(struct pgp_sigmake *m, unsigned type, unsigned pk, unsigned hash,
    uint64_t created, const uint8_t *fpr, size_t fprlen);

/* Add a hashed subpacket; type may have PGP_SUB_CRITICAL. 0, or -1 with errno EMSGSIZE. */
int pgp_sigmake_add(struct pgp_sigmake *m, unsigned type, const void *p, size_t n);

/* Add an unhashed one (an embedded signature may stand there). */
int pgp_sigmake_add_unhashed(struct pgp_sigmake *m, unsigned type, const void *p, size_t n);

/*
 * Append the trailer to a context that has seen the data and finish it.  Add nothing hashed
 * after this.  Returns the digest's octets (at most PGP_DIGEST_MAX), or -1 with errno EIO.
 */
int pgp_sigmake_digest(struct pgp_sigmake *m, EVP_MD_CTX *ctx, uint8_t *digest);

/* Append the packet's body, or the whole packet with a new-format header. 0 or -1 with errno. */
int pgp_sigmake_body(const struct pgp_sigmake *m, const struct pgp_sigval *v, struct buf *out);
int pgp_sigmake_packet(const struct pgp_sigmake *m, const struct pgp_sigval *v, struct buf *out);

#endif
