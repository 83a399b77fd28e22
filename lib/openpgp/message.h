#ifndef OPENPGP_MESSAGE_H
#define OPENPGP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "model/cert.h"
#include "openpgp/limits.h"
#include "openpgp/secret.h"

/*
 * Certificates by what a signature names: its issuer fingerprint (fpr, fprlen; NULL and 0 when it
 * has none) or key id.  Returns the certificate that has such a primary or subkey, which must
 * stay as long as the operation, or NULL.
 */
struct pgp_certs {
	const struct cert *(*find)(
	    void *ctx, const uint8_t keyid[8], const uint8_t *fpr, size_t fprlen);
	void *ctx;
};

/* What became of one signature. */
enum pgp_sig_state {
	PGP_SIG_GOOD,
	PGP_SIG_BAD, /* the octets differ, or the key may not sign, or dates are impossible */
	PGP_SIG_UNKNOWN_KEY,
	PGP_SIG_EXPIRED_KEY, /* the key had expired when it signed */
	PGP_SIG_REVOKED_KEY, /* for good, or before it signed */
	PGP_SIG_EXPIRED, /* the signature itself has expired since */
	PGP_SIG_WEAK, /* right or not: MD5, SHA-1, RIPEMD-160 or too short a key prove nothing */
	PGP_SIG_UNSUPPORTED, /* version, algorithm, or a critical subpacket unknown to us */
};

struct pgp_signature {
	enum pgp_sig_state state;
	uint8_t hash; /* algorithm, RFC 4880, 9.4 */
	bool text; /* of canonical text (type 0x01) */
	bool has_keyid;
	uint8_t keyid[8]; /* as the signature says */
	uint8_t fprlen; /* of the key that signed or was said to; 0 when unknown */
	uint8_t fpr[32];
	uint8_t primary_len; /* of the certificate's primary; 0: no certificate */
	uint8_t primary[32];
	uint64_t created; /* seconds since the epoch, 0 when unknown */
};

/* How reading a message ended. Nothing else may be concluded from a failure. */
enum pgp_status {
	PGP_OK,
	PGP_MALFORMED, /* not an OpenPGP message, before anything was decrypted */
	PGP_NO_KEY, /* encrypted, but to no key of ours */
	PGP_TEMPORARY, /* the private key cannot be used just now */
	PGP_FAILED, /* decryption failed: wrong key, altered, cut or malformed, all the same */
	PGP_NO_INTEGRITY, /* encrypted without integrity protection (tag 9): refused */
	PGP_UNSUPPORTED, /* a version, cipher or compression that we do not have */
	PGP_LIMIT, /* expands beyond the caller's bounds */
	PGP_IO, /* reading the input or writing the output failed, see errno */
};

struct pgp_result {
	enum pgp_status status;
	bool encrypted;
	bool integrity; /* encrypted, and its MDC is right */
	bool compressed;
	uint8_t cipher; /* 0: not encrypted */
	uint8_t mode; /* of the literal packet: 'b', 't', 'u', 'm', or what was there */
	uint8_t filename_len;
	char filename[PGP_FILENAME_MAX + 1]; /* raw octets from outside, a NUL behind them */
	uint32_t date; /* of the literal packet */
	uint64_t size; /* octets of literal data */
	bool remarks; /* the armour of a clear text's signature says what nobody has signed */
	unsigned nsigs;
	struct pgp_signature sigs[PGP_SIGS_MAX];
	/* Key ids of the PKESK packets of version 3, in their order; zero: anonymous.  None in an
	 * encrypted message: only for who has a password, or a newer kind of key. */
	unsigned nrcpts;
	uint8_t rcpts[PGP_PKESK_MAX][8];
};

/* A word for a state or status, for headers and logs: "good", "no-key". */
const char *pgp_sig_state_name(enum pgp_sig_state s);
const char *pgp_status_name(enum pgp_status s);

#endif
