#ifndef OPENPGP_PACKET_H
#define OPENPGP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Packet tags, RFC 4880, 4.3, and RFC 9580, 5. */
enum pgp_tag {
	PGP_TAG_PKESK = 1,
	PGP_TAG_SIG = 2,
	PGP_TAG_SKESK = 3,
	PGP_TAG_OPS = 4,
	PGP_TAG_SECKEY = 5,
	PGP_TAG_PUBKEY = 6,
	PGP_TAG_SECSUB = 7,
	PGP_TAG_COMPRESSED = 8,
	PGP_TAG_SED = 9,
	PGP_TAG_MARKER = 10,
	PGP_TAG_LITERAL = 11,
	PGP_TAG_TRUST = 12,
	PGP_TAG_USERID = 13,
	PGP_TAG_PUBSUB = 14,
	PGP_TAG_ATTRIBUTE = 17,
	PGP_TAG_SEIPD = 18,
	PGP_TAG_MDC = 19,
	PGP_TAG_OCB = 20, /* GnuPG's AEAD packet */
	PGP_TAG_PADDING = 21,
};

struct pgp_packet {
	uint8_t tag; /* 1 to 63 */
	struct bytes body;
};

/*
 * Take the next packet off a range of memory: keys, certificates, detached signatures.  Old and
 * new formats; partial and indeterminate lengths are refused, they are for data packets only
 * (RFC 4880, 4.2.2.4).
 *
 * in	what is left; on success moved behind the packet
 * p	receives the packet; its body points into in
 *
 * Returns 1, 0 at the end of the range, or -1 with errno EBADMSG (in is then unchanged).
 */
int pgp_packet_next(struct bytes *in, struct pgp_packet *p);

#define PGP_HEAD_MAX 6 /* octets of the longest header */

/* Write a new-format header for a body of n octets; returns its length, 2, 3 or 6. */
size_t pgp_packet_head(uint8_t out[PGP_HEAD_MAX], enum pgp_tag tag, uint32_t n);

/*
 * May a packet of this tag that we do not know be skipped?  RFC 9580, 4.3.1: 40 to 63 are not
 * critical, marker (10), trust (12) and padding (21) mean nothing.
 */
bool pgp_tag_skippable(uint8_t tag);

#endif
