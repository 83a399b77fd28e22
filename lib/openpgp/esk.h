#ifndef OPENPGP_ESK_H
#define OPENPGP_ESK_H

#include "openpgp/decrypt.h"
#include "openpgp/layers.h"

/*
 * The session keys of a message: its PKESK packets are gathered first, then those that name a key
 * of ours are unwrapped, then those that name nobody with each key that could be meant.  So the
 * order of the packets does not matter.  Inside of the engine.
 */
struct pgp_esk_try {
	uint16_t key; /* index of pgp_decrypt_params.keys */
	uint16_t n;
	uint32_t off; /* into octets */
};

struct pgp_esks {
	const struct pgp_decrypt_params *p;
	struct buf octets; /* PKESK fields after the algorithm octet */
	unsigned nnamed, nhidden;
	struct pgp_esk_try named[PGP_TRIES_MAX], hidden[PGP_TRIES_MAX];
	bool temporary; /* a private key could not be asked */
	unsigned nkeys; /* different session keys that came out */
	struct pgp_session_key keys[PGP_TRIES_MAX];
};

void pgp_esks_init(struct pgp_esks *s, const struct pgp_decrypt_params *p);
void pgp_esks_free(struct pgp_esks *s); /* wipes */

/* Take the body of a PKESK packet, version 3 (10 octets at least). 0, or -1 with errno ENOMEM. */
int pgp_esks_add(struct pgp_esks *s, const uint8_t *body, size_t n);

/* Unwrap them all, PGP_TRIES_MAX at most: fills keys. How many is public knowledge. */
void pgp_esks_unwrap(struct pgp_esks *s);

/*
 * Put the most promising keys for a container with this prefix in front.  Those behind
 * PGP_PROBES are not worth trying: with 64 keys the odds that the right one is among them are one
 * to two million.
 */
void pgp_esks_rank(struct pgp_esks *s, const uint8_t prefix[PGP_PREFIX_MAX]);

#endif
