#ifndef OPENPGP_DETACHED_H
#define OPENPGP_DETACHED_H

#include "openpgp/encrypt.h"
#include "openpgp/message.h"

/*
 * Detached and clear-text signatures.
 *
 * For PGP/MIME (RFC 3156, 5) the caller feeds the exact octets of the signed part with CRLF line
 * ends, without the CRLF that belongs to the boundary, as a binary document.
 */
struct pgp_sign_params {
	const struct pgp_signer *signers;
	unsigned nsigners; /* 1 to PGP_SIGS_MAX */
	const struct pgp_secret *secret;
	uint8_t hash; /* RFC 4880, 9.4; 0: SHA-256; see pgp_signing_hash */
	bool text; /* canonical text (type 0x01): line ends count as CRLF */
	bool armor;
	uint64_t now;
};

struct pgp_sign;

/* Begin; what p points to must stay until close. NULL with e filled on failure. */
struct pgp_sign *pgp_sign_open(const struct pgp_sign_params *p, struct err *e);
int pgp_sign_write(struct pgp_sign *s, const void *p, size_t n);

/* Write the signature packets to out, and free s, whatever happens; 0, or -1 with e filled. */
int pgp_sign_close(struct pgp_sign *s, const struct sink *out, struct err *e);
void pgp_sign_abort(struct pgp_sign *s);

/* The micalg parameter of multipart/signed (RFC 3156, 5): "pgp-sha256"; NULL if unknown. */
const char *pgp_micalg(uint8_t hash);

struct pgp_verify;

/*
 * Begin to verify detached signatures.
 *
 * sig, n	the signature packets, armoured or binary, up to PGP_SIGS_MAX signatures; copied
 * certs	may be NULL: every signer is unknown
 * now		seconds since the epoch
 *
 * Returns NULL with e filled: EBADMSG (no signature in there), EMSGSIZE, ENOMEM.
 */
struct pgp_verify *pgp_verify_open(
    const void *sig, size_t n, const struct pgp_certs *certs, uint64_t now, struct err *e);
int pgp_verify_write(struct pgp_verify *v, const void *p, size_t n);

/* Fill r->sigs and r->nsigs (status is PGP_OK: signatures of any state were found); frees v. */
void pgp_verify_close(struct pgp_verify *v, struct pgp_result *r);
void pgp_verify_abort(struct pgp_verify *v);

/* The three steps over a range of octets: 0, or -1 with e filled and r->status telling why. */
int pgp_verify_octets(const void *sig, size_t siglen, const struct octets *data, uint64_t off,
    uint64_t n, const struct pgp_certs *certs, uint64_t now, struct pgp_result *r, struct err *e);

/*
 * Verify a clear-signed text (RFC 4880, 7) that begins at octet 0 of in, or behind other text.
 *
 * out	receives the text as it was signed: dash escapes undone, white space at line ends gone,
 *	line ends CRLF.  Only what the signature covers comes out.
 *
 * Returns 0 (r->sigs of any state), or -1 with e filled and r->status PGP_MALFORMED, PGP_IO.
 */
int pgp_clear_verify(const struct octets *in, const struct pgp_certs *certs, uint64_t now,
    const struct sink *out, struct pgp_result *r, struct err *e);

#endif
