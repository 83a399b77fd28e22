#ifndef OPENPGP_SIGSET_H
#define OPENPGP_SIGSET_H

#include "openpgp/document.h"

/* Signatures that are known before their document is read. Inside of the engine. */
struct pgp_sigset {
	struct buf octets; /* of all packets; the owner fills it first */
	unsigned n;
	struct bytes body[PGP_SIGS_MAX]; /* into octets */
	struct pgp_hashing hashing;
};

/*
 * Take the signature packets of a blob, which must stay, and prepare the digests.
 * 0, or -1 with errno EBADMSG (no signatures, or others beside them), EMSGSIZE (too many), ENOMEM.
 */
int pgp_sigset_add(struct pgp_sigset *s, struct bytes blob);

/* Judge all over what s->hashing has seen: fills r->sigs, r->nsigs, r->status. */
void pgp_sigset_check(
    const struct pgp_sigset *s, const struct pgp_certs *certs, uint64_t now, struct pgp_result *r);
void pgp_sigset_free(struct pgp_sigset *s);

#endif
