#ifndef OPENPGP_DECRYPT_H
#define OPENPGP_DECRYPT_H

#include "openpgp/message.h"

struct pgp_decrypt_params {
	const struct cert_key *const *keys; /* ours: fpr, algo, params are used; may be expired */
	size_t nkeys; /* 0: encrypted messages are PGP_NO_KEY */
	/* unwrap is asked for packets that name one of keys, then for anonymous ones with each key
	 * that fits, PGP_TRIES_MAX times in all; which session key is right shows the message's
	 * integrity check.  EAGAIN ends in PGP_TEMPORARY unless another key opens the message. */
	const struct pgp_secret *secret; /* NULL when there are no keys */
	const struct pgp_certs *certs; /* NULL: every signer is unknown */
	uint64_t now; /* seconds since the epoch */
	uint64_t max_size; /* octets of literal data at most; 0: no bound */
	unsigned max_ratio; /* literal data per octet of compressed data at most; 0: no bound */
};

/*
 * Read one message: encrypted, signed (one-pass or old style), compressed or plain literal, in
 * any sensible nesting, armoured or binary.  SEIPD version 1 with its MDC is what may be
 * encrypted; a message without integrity protection is refused, newer containers are reported.
 *
 * >>> The plaintext goes to out before its integrity is known.  The caller spools it, and throws
 * >>> the spool away unless 0 is returned.  It must not be shown, forwarded, parsed or measured.
 *
 * in	the message, all of it; text before and behind an armoured block is ignored
 * out	NULL, or with a NULL write: the plaintext is thrown away
 * r	receives the verdict, also on failure; then nothing but status, encrypted and rcpts is set
 *
 * Returns 0 (r->status is PGP_OK; the signatures may still be of any state), or -1 with e filled
 * and r->status telling why.
 */
int pgp_decrypt(const struct octets *in, const struct pgp_decrypt_params *p, const struct sink *out,
    struct pgp_result *r, struct err *e);

/*
 * Whom is a message encrypted to?  Reads up to where the data begin and no further.
 *
 * r	receives encrypted and rcpts, and as status: PGP_NO_KEY (encrypted, of the kind that
 *	pgp_decrypt opens), PGP_NO_INTEGRITY, PGP_UNSUPPORTED, PGP_MALFORMED, PGP_IO, or PGP_OK:
 *	not encrypted, as far as can be seen
 *
 * Returns 0, or -1 with e filled when status is PGP_MALFORMED or PGP_IO.
 */
int pgp_recipients(const struct octets *in, struct pgp_result *r, struct err *e);

#endif
