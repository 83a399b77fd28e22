#ifndef MAIL_VERDICT_H
#define MAIL_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/io.h"

#define MAIL_OURS "X-Postern-" /* what all our fields start with */
#define MAIL_VERDICT_FIELD "X-Postern-Verdict"
#define MAIL_SIGNER_FIELD "X-Postern-Signer"

enum mail_decrypted {
	MAIL_DEC_NO, /* was not encrypted */
	MAIL_DEC_YES,
	MAIL_DEC_PART, /* some parts only (inline) */
	MAIL_DEC_FAILED, /* damaged: cannot be opened for good */
	MAIL_DEC_NO_INTEGRITY, /* without integrity protection, and so not opened */
};

enum mail_signature {
	MAIL_SIG_NONE,
	MAIL_SIG_GOOD, /* and the signer is the sender */
	MAIL_SIG_PART, /* good, but covers only parts of the message (inline) */
	MAIL_SIG_BAD,
	MAIL_SIG_NO_KEY,
	MAIL_SIG_EXPIRED, /* the key had expired when it signed */
	MAIL_SIG_REVOKED,
	MAIL_SIG_UNTRUSTED,
	MAIL_SIG_NOT_SENDER, /* good, but the signer is not the one From address */
	MAIL_SIG_DAMAGED, /* cannot be read */
};

struct mail_verdict {
	enum mail_decrypted decrypted;
	enum mail_signature signature;
	const char
	    *signer; /* address in UTF-8, or NULL; written only when the signature is valid */
	const char *fingerprint; /* upper-case hex, 40 or 64, or NULL; likewise */
	/* Octets that the signer's field shall take, 0 for none; NULL: as many as it needs. */
	const uint16_t *signer_len;
};

/* Octets of the verdict field with its CRLF: the same for every verdict, so that the size of a
 * virtual message does not depend on it. The signer's field is extra. */
#define MAIL_VERDICT_LEN 79
#define MAIL_SIGNER_MIN 21 /* octets of the shortest signer's field, with its CRLF */
#define MAIL_SIGNER_MAX 998 /* of the longest; an address that does not fit is left out */

/* "good", "no-key", ...; "yes", ...: as in the header, for logs. */
const char *mail_decrypted_name(enum mail_decrypted d);
const char *mail_signature_name(enum mail_signature s);

/* Is a key's signature there, whatever one thinks of the key? Only then the signer is shown. */
bool mail_signature_valid(enum mail_signature s);

/*
 * The worse of two, by a fixed order: good, partly-good, not-sender, expired-key, untrusted-key,
 * no-key, none, damaged, revoked-key, bad.
 */
enum mail_signature mail_signature_worse(enum mail_signature a, enum mail_signature b);

/* Octets that the signer's field takes by itself, 0 when it is not written; -1 with errno. */
ssize_t mail_signer_len(const struct mail_verdict *v);

/*
 * Write the verdict fields:
 *	X-Postern-Verdict: v=1; decrypted=yes   ; signature=good         ; by=postern
 *	X-Postern-Signer: alice@example.org; key=0123...
 *
 * Where signer_len asks for a length, the signer's field is filled with spaces; one that does not
 * fit, or that is not to be shown, becomes "-".
 *
 * Returns 0, or -1 with the sink's errno, or EINVAL (signer_len is out of bounds).
 */
int mail_put_verdict(const struct sink *s, const struct mail_verdict *v);

/* Does the name start with X-Postern-, whatever case? */
bool mail_is_ours(const void *name, size_t n);

/*
 * Copy a message's header without the fields whose name starts with X-Postern-: any case, white
 * space or a fold before the colon, no colon at all.  A bare CR counts as a line end here, since
 * some readers take it for one.  White space before the first field goes: behind a field that is
 * put in front it would make that one longer.
 *
 * off, len	the header in o, its empty line included, which is copied
 *
 * Returns 0, or -1 with errno of o or the sink.
 */
int mail_strip_ours(const struct octets *o, uint64_t off, uint64_t len, const struct sink *to);

#endif
