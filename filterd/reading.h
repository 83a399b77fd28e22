#ifndef FILTERD_READING_H
#define FILTERD_READING_H

#include "filterd/worker.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "mail/verdict.h"
#include "openpgp/message.h"

/* A stored message on its way to its reader. */
struct reading {
	struct worker *w;
	uint64_t now; /* seconds since the epoch */
	struct spool stored;
	struct octets in;
	struct mail_index ix;
	struct mail_header header;
	char from[MAIL_ADDR_MAX + 1]; /* the one sender, "" when there is not exactly one */
	struct spool virtual; /* what the reader gets, unless the message stays as it is */
	int changed; /* virtual holds */
	struct mail_verdict verdict;
	uint64_t plain_left; /* octets that may still come out of ciphertext */
	int foreign; /* encrypted, in part at least, to keys that are not the reader's */
	char *subject; /* UTF-8, of a protected header, or NULL: takes the place of the outer one */
	char signer[MAIL_ADDR_MAX + 1];
	char fingerprint[2 * 32 + 1];
	uint8_t digest[32]; /* SHA-256 of the stored message */
	const char *phrase; /* a banner is wanted: the reader's phrase; else "" */
	const uint8_t *banner_key; /* likewise, BANNER_KEY_LEN octets */
	int stuck; /* the message was opened before: these were shown then */
	enum mail_signature stuck_signature;
	uint16_t signer_len; /* octets of the signer's field, then or now */
	char why[400]; /* READ_DEFER */
};

/*
 * How a step ended.  READ_DEFER: a passing failure; the reader must not get to see the ciphertext,
 * which clients keep for ever.
 */
enum read_result { READ_DONE, READ_NOT_OURS, READ_DEFER };

#define PLAIN_MAX ((uint64_t)1 << 30) /* octets that one message may decrypt to */
#define PLAIN_FREE ((uint64_t)64 << 20) /* octets that the smallest message may decrypt to */
#define PLAIN_RATIO 200 /* beyond: plaintext octets per stored one; text seldom exceeds 20 */

/*
 * How much plaintext may come out of a stored message, all its blocks together.  A ratio alone
 * would not do: monotonous text compresses to a thousandth and must be readable.
 */
uint64_t reading_plain_max(uint64_t stored);

/*
 * Decrypt an OpenPGP message (armoured or not).  READ_DONE: plain holds the plaintext, whose
 * integrity was checked, or r->status tells that it cannot be opened for good (plain is empty).
 * READ_NOT_OURS: encrypted, but to none of the reader's keys.
 */
enum read_result reading_decrypt(
    struct reading *r, const struct octets *msg, struct spool *plain, struct pgp_result *res);

/* Enter signatures into the verdict: the worst tells, so that a bad one is never hidden. */
void reading_signatures(struct reading *r, const struct pgp_result *res);

/*
 * Begin the virtual message: verdict, the stored header, the banner when one is wanted.
 *
 * content	1: then the stored fields that describe the body, and an empty line: the body comes
 *		next; 0: the caller goes on with such fields of its own
 *
 * reading_end closes what was begun.  0, or -1 with errno.
 */
int reading_begin(struct reading *r, int content, const struct sink *out);
int reading_end(const struct reading *r, const struct sink *out);

/* The ways in: whole PGP/MIME messages, signed messages, armour in text. */
enum read_result read_encrypted(struct reading *r, uint32_t ciphertext);
enum read_result read_signed(struct reading *r);
enum read_result read_inline(struct reading *r);

/*
 * After decryption: r's virtual message out of the outer header and the plaintext, signatures in
 * it judged (res are those of the OpenPGP message itself).
 */
enum read_result write_opened(struct reading *r, struct spool *plain, const struct pgp_result *res);

/* The same for a part in a message: its fields that describe it, and its body. */
enum read_result write_part(
    struct reading *r, struct spool *plain, const struct pgp_result *res, const struct sink *out);

/* The part with the ciphertext of a PGP/MIME entity (RFC 3156, 4), or MAIL_NONE. */
uint32_t pgp_ciphertext(const struct mail_index *ix, uint32_t part);

/* Verify a multipart/signed part: of the octets o, whose index is ix. */
int is_pgp_signed(const struct mail_index *ix, uint32_t part);
enum read_result verify_part(
    struct reading *r, const struct octets *o, const struct mail_index *ix, uint32_t part);

/* A failure that may pass: note why. */
enum read_result reading_defer(struct reading *r, const char *why);

#endif
