#ifndef MAIL_CLASSIFY_H
#define MAIL_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one look that a proxy takes into a message: does it need a worker at all?  A scan, not a
 * parser: what it finds may turn out to be nothing, but what a worker would act on it finds,
 * however the octets come in chunks.
 *
 *  - Content-Type fields at any depth: multipart/encrypted, multipart/signed, application/pgp-*,
 *    application/pkcs7-*; whatever case, comments, folds, white space before the colon
 *  - names of files that end in .pgp or .gpg, in Content-Type and Content-Disposition fields
 *  - "-----BEGIN PGP " as it is, in quoted-printable with any octets encoded and soft breaks
 *    anywhere, in base64 at each alignment with anything between the letters
 *  - fields in the message's header whose name starts with X-Postern-
 */
#define MAIL_SCAN_ENCRYPTED 0x01 /* multipart/encrypted, application/pgp-encrypted */
#define MAIL_SCAN_SIGNED                                                                           \
	0x02 /* multipart/signed that may be OpenPGP, application/pgp-signature                    \
	      */
#define MAIL_SCAN_INLINE 0x04 /* armour, or an attachment named as one */
#define MAIL_SCAN_FORGED 0x08 /* X-Postern-* from outside */
#define MAIL_SCAN_SMIME 0x10 /* pkcs7; no worker acts on it yet */
#define MAIL_SCAN_ODD 0x20 /* a Content-Type or -Disposition too long to judge */

/* Found any of these: hand the message to a worker. */
#define MAIL_SCAN_WORKER                                                                           \
	(MAIL_SCAN_ENCRYPTED | MAIL_SCAN_SIGNED | MAIL_SCAN_INLINE | MAIL_SCAN_FORGED |            \
	    MAIL_SCAN_ODD)

#define MAIL_SCAN_TYPE_MAX 512 /* octets of a Content-Type that are looked at */
#define MAIL_SCAN_HISTORY 18 /* base64 letters remembered from earlier chunks */

struct mail_scan {
	unsigned found; /* MAIL_SCAN_* so far */
	bool in_header; /* of the message */
	bool last_cr; /* the last octet was CR, in the header */
	uint8_t line; /* where in the line, see classify.c */
	uint8_t names; /* field names that still fit */
	uint8_t pos; /* octets of the name matched */
	uint8_t armour; /* octets of the marker matched */
	uint8_t qp; /* inside of "=XY" or a soft break */
	uint8_t hex;
	uint8_t nhist;
	uint16_t ntype;
	const char *rest; /* letters of base64 that make up the marker with those before, or NULL */
	uint8_t hist[MAIL_SCAN_HISTORY]; /* oldest first */
	uint8_t type[MAIL_SCAN_TYPE_MAX];
};

/* The struct points at constants at most and needs no end: copy or drop it at will. */
void mail_scan_init(struct mail_scan *s);

/* The next n octets of the message. */
void mail_scan_feed(struct mail_scan *s, const void *p, size_t n);

/* All was fed: what was found, MAIL_SCAN_*. */
unsigned mail_scan_end(struct mail_scan *s);

/* May be asked between chunks: once true it stays true. */
static inline bool
mail_scan_needs_worker(const struct mail_scan *s)
{
	return (s->found & MAIL_SCAN_WORKER) != 0;
}

#endif
