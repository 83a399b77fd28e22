#ifndef OPENPGP_TPK_H
#define OPENPGP_TPK_H

#include "base/err.h"
#include "openpgp/cert.h"
#include "openpgp/packet.h"
#include "openpgp/pk.h"

/*
 * Inside lib/openpgp: a transferable public key as its packets stand, nothing evaluated.  A
 * component is a key, user id or user attribute with the signatures behind it; the same component
 * twice is one.  Everything points into the octets that were read.
 */
struct tpk_sig {
	struct bytes body;
	int next; /* of the same component, -1 at the end */
	uint8_t keep; /* for tpk_write */
};

struct tpk_comp {
	uint8_t tag; /* PGP_TAG_PUBKEY, _USERID, _ATTRIBUTE, _PUBSUB */
	uint8_t keep;
	uint8_t put_tag; /* what tpk_write writes: as read, unless changed */
	struct bytes put;
	struct bytes body;
	int first, last; /* into sigs, -1: none */
};

struct tpk {
	struct tpk_comp *comps; /* [0] is the primary key */
	int ncomps, comps_room;
	struct tpk_sig *sigs;
	int nsigs, sigs_room;
};

/*
 * Take the packets of one certificate off the range: up to the next primary key or the end.
 * Everything is marked to be kept.
 *
 * Returns 1, 0 at the end of the range, -1 with e filled; in is moved on in any case.
 */
int tpk_read(struct tpk *t, struct bytes *in, struct err *e);
void tpk_free(struct tpk *t);

/* Add a component (or find it) and a signature to it (unless it has it); 0 and up, -1 ENOMEM. */
int tpk_add_comp(struct tpk *t, unsigned tag, struct bytes body);
int tpk_add_sig(struct tpk *t, int comp, struct bytes body);

/*
 * Append what is to be kept in the order of RFC 9580, 10.1: primary, user ids, attributes,
 * subkeys.  0, or -1 with errno EMSGSIZE (above PGP_CERT_MAX or out's own bound), ENOMEM.
 */
int tpk_write(const struct tpk *t, struct buf *out);

/* Append one packet with a new-format header. */
int tpk_put_packet(struct buf *out, unsigned tag, struct bytes body);

/*
 * The public fields of a key packet's body, public or secret; used receives the octets they took.
 * k's fpr points to fpr.  0, or -1 with e filled: EBADMSG, ENOTSUP.
 */
int tpk_key(struct cert_key *k, uint8_t fpr[PGP_FPR4], struct bytes body, int secret, size_t *used,
    struct err *e);

/* Feed the hash of a key as signatures over keys want it (RFC 9580, 5.2.4). 1 or 0, as EVP. */
int tpk_hash_key(EVP_MD_CTX *ctx, struct bytes body);
int tpk_hash_uid(EVP_MD_CTX *ctx, unsigned tag, struct bytes body);

#endif
