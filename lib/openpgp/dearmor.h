#ifndef OPENPGP_DEARMOR_H
#define OPENPGP_DEARMOR_H

#include "openpgp/armor.h"
#include "openpgp/stream.h"

/* Reading lines and armour off a stream: inside of the engine. */

#define PGP_ARMOR_USUAL_MAX 80 /* octets of a header that is no remark */
#define PGP_CRC24_INIT 0xb704ceU

/* CRC-24 of n more octets (RFC 4880, 6.1). */
uint32_t pgp_crc24(uint32_t crc, const uint8_t *p, size_t n);

/* The words behind BEGIN and END: "PGP MESSAGE". */
const char *pgp_armor_label(enum pgp_armor_type type);

/* Is this a BEGIN (or END) line?  Its type, or PGP_ARMOR_NONE. */
enum pgp_armor_type pgp_armor_begins(struct bytes line);
enum pgp_armor_type pgp_armor_ends(struct bytes line);

struct pgp_lines {
	struct pgp_src *from;
	uint64_t off; /* octets taken so far */
	bool cut; /* the last line was longer than size; its rest was dropped */
	size_t size; /* of the longest line */
	uint8_t *buf; /* the caller's, size octets: a line that two windows share */
};

/*
 * The next line without its LF or CRLF and the blanks before that; valid until the next call.
 * 1, 0 at the end, -1 with errno.
 */
int pgp_lines_next(struct pgp_lines *l, struct bytes *line);

#define PGP_DEARMOR_OUT 12288 /* octets decoded at a time */

struct pgp_dearmor {
	struct pgp_src src;
	struct pgp_lines lines;
	uint8_t line[PGP_ARMOR_LINE_MAX];
	enum { DEARMOR_PREFACE, DEARMOR_HEADERS, DEARMOR_DATA, DEARMOR_TAIL, DEARMOR_DONE } state;
	enum pgp_armor_type type;
	unsigned headers;
	bool remarks; /* among them others than Version, Charset and Hash, or long ones */
	bool crc_seen;
	uint32_t crc, crc_told;
	uint32_t acc; /* characters of a group begun */
	unsigned chars, pads;
	size_t n;
	uint8_t out[PGP_DEARMOR_OUT + PGP_ARMOR_LINE_MAX];
};

/* Decode the first block of from.  d is large: not for the stack. */
void pgp_dearmor_open(struct pgp_dearmor *d, struct pgp_src *from);

/* As above, the BEGIN line having been read. */
void pgp_dearmor_open_inside(struct pgp_dearmor *d, struct pgp_src *from, enum pgp_armor_type type);

/* Read up to the armour headers: 1 and d->type, 0 when there is no block, -1 with errno. */
int pgp_dearmor_begin(struct pgp_dearmor *d);

#endif
