#ifndef OPENPGP_ARMOR_H
#define OPENPGP_ARMOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"

/* ASCII armour, RFC 4880, 6. */
enum pgp_armor_type {
	PGP_ARMOR_NONE,
	PGP_ARMOR_MESSAGE,
	PGP_ARMOR_SIGNATURE,
	PGP_ARMOR_PUBLIC_KEY,
	PGP_ARMOR_SECRET_KEY, /* "PRIVATE KEY BLOCK" */
	PGP_ARMOR_CLEARSIGNED, /* "SIGNED MESSAGE": text, then a signature block */
};

#define PGP_ARMOR_STAGE 4096 /* octets gathered before the sink is called */

/*
 * A streaming encoder: CRLF line ends, lines of 64 characters, CRC-24.  Plain data; no clean-up.
 */
struct pgp_armor {
	const struct sink *to;
	enum pgp_armor_type type;
	uint32_t crc;
	unsigned held; /* octets in part, less than a line's 48 */
	size_t staged;
	uint8_t part[48];
	char stage[PGP_ARMOR_STAGE];
};

/* Begin a block; to must outlive a. Returns 0, or -1 as the sink does. */
int pgp_armor_open(struct pgp_armor *a, enum pgp_armor_type type, const struct sink *to);
int pgp_armor_write(struct pgp_armor *a, const void *p, size_t n);

/* Write the last line, the checksum and the END line. */
int pgp_armor_close(struct pgp_armor *a);

/* Upper bound of the octets that n octets take in armour of any type. */
static inline uint64_t
pgp_armor_len(uint64_t n)
{
	return n / 48 * 66 + 66 + 128;
}

/*
 * Decode one block that lies in memory, the first in the range.  Other text before it is skipped;
 * armour headers are read over; a missing checksum is accepted, a wrong one is not (RFC 9580,
 * 6.1, would let it pass; a damaged block is better told early).
 *
 * p, n	the text
 * out	receives the octets (appended)
 * type	receives what the BEGIN line says; may be NULL
 * used	receives the octets of text up to and with the END line; may be NULL
 *
 * Returns 1, 0 when the range holds no block, or -1 with e filled: EBADMSG (not armour), EMSGSIZE.
 */
int pgp_dearmor(const void *p, size_t n, struct buf *out, enum pgp_armor_type *type, size_t *used,
    struct err *e);

/*
 * Do these octets look like binary packets rather than text?  True when the first has the top
 * bit that every packet header has (RFC 4880, 4.2).
 */
static inline bool
pgp_is_binary(const uint8_t *p, size_t n)
{
	return n > 0 && (p[0] & 0x80) != 0;
}

/* A block inside a text. */
struct pgp_block {
	enum pgp_armor_type type; /* a clear-signed one reaches to the end of its signature */
	uint64_t begin; /* offset of the BEGIN line's first octet */
	uint64_t end; /* one past the END line and its line end */
};

/*
 * Find the next block at or after an offset; BEGIN and END stand at the beginning of a line.
 * Only lines are looked at: what is inside may still be malformed.
 *
 * Returns 1, 0 when there is none (a BEGIN without its END is none), or -1 with errno of pread.
 */
int pgp_armor_find(const struct octets *text, uint64_t from, struct pgp_block *block);

#endif
