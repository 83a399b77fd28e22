#ifndef NET_LINE_H
#define NET_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

struct conn;

/*
 * Command and reply lines.  A line ends at LF.  Whether the LF had its CR, and what else was in
 * the line that does not belong there, is reported: the protocol decides.
 */
#define LINE_BARE_LF 0x1u /* ended with LF that had no CR before it */
#define LINE_BARE_CR 0x2u /* a CR inside */
#define LINE_NUL 0x4u /* a NUL inside: text is then shorter for str* functions than len */

enum line_status {
	LINE_MORE, /* no whole line yet */
	LINE_OK, /* text, len, flags are set */
	LINE_TOO_LONG, /* a line over max was skipped; text has its first max octets */
	LINE_ENDLESS /* LINE_SKIP_MAX octets without an end, or no memory: give it up */
};

#define LINE_SKIP_MAX (64 * 1024)

struct line_reader {
	size_t max; /* octets of a line without its end */
	size_t scanned; /* of the waiting input: no LF in there */
	size_t skipped; /* octets dropped of a line that is too long */
	char *text; /* the line, without its end, NUL-terminated; valid until the next call */
	bool own; /* text was allocated, and is freed when there is no line in hand */
	size_t len;
	unsigned flags;
};

/*
 * max: octets, at least 1.  A reader at rest has no memory for the line.  Who sets max and text
 * (max + 1 octets) himself, and nothing else, lends his own instead.
 */
void line_init(struct line_reader *r, size_t max);

/* Free, wiped. */
void line_free(struct line_reader *r);

/* Wipe the line last returned (it was a password); it is empty then. */
void line_wipe(struct line_reader *r);

/*
 * Look for the next line in n octets at p.
 *
 * used	receives the octets that are done with and must be dropped; a line that is not whole yet
 *	is not among them, and must stand at the front of p in the next call
 */
enum line_status line_next(struct line_reader *r, const uint8_t *p, size_t n, size_t *used);

/*
 * line_next over the input of c, consuming it.  A line that is not whole stays in the input, so
 * that conn_start_tls sees what came behind the line before.
 */
enum line_status line_read(struct line_reader *r, struct conn *c);

#endif
