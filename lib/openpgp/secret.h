#ifndef OPENPGP_SECRET_H
#define OPENPGP_SECRET_H

#include "openpgp/pk.h"

/*
 * The secret operations, wherever the keys live: in production another process is asked, tests
 * and tools call skey.h.  Keys are named by fingerprint.  0, or -1 with errno; EAGAIN: the store
 * of keys is locked, try again later; ENOKEY: no such key.
 */
struct pgp_secret {
	/* Sign a digest of n octets. */
	int (*sign)(void *ctx, const uint8_t *fpr, size_t fprlen, unsigned hash,
	    const uint8_t *digest, size_t n, struct pgp_sigval *out);
	/* Unwrap a session key: the fields of a PKESK after its algorithm octet. A bad
	 * ciphertext is not an error, see pgp_skey_unwrap. */
	int (*unwrap)(void *ctx, const uint8_t *fpr, size_t fprlen, const uint8_t *esk, size_t n,
	    struct pgp_session_key *out);
	void *ctx;
};

#endif
