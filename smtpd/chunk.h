#ifndef SMTPD_CHUNK_H
#define SMTPD_CHUNK_H

#include <stddef.h>
#include <stdint.h>

/*
 * BDAT (RFC 3030): a message comes in chunks of so many octets, whatever they are.  As BINARYMIME
 * is not offered they are lines of text all the same (RFC 3030, 2), and what would not be one
 * behind DATA is none here.
 */
struct chunk {
	int begun; /* a chunk of this transaction was taken */
	int last; /* the one under way */
	uint64_t size, left; /* octets of it, and that are still to come */
	int before; /* state of the session when it began */
	unsigned code; /* not 0: they are dropped, and then the answer is this */
	const char *why;

	/* The text so far, over all chunks. */
	int cr; /* it ends with CR */
	unsigned flags; /* DOTS_BARE_CR, DOTS_BARE_LF (net/dots.h) */
	size_t line, longest; /* octets of a line without CRLF */
};

/*
 * The arguments of BDAT: octets, and perhaps LAST.  Returns 0, or -1: nobody knows where the next
 * command is.
 */
int chunk_parse(const char *args, uint64_t *size, int *last);

/*
 * The next n octets of text; at its end chunk_lines_end, which tells of a CR that hangs there.  The
 * first bad octet is noted, and nothing counted behind it.
 */
void chunk_lines(struct chunk *c, const uint8_t *p, size_t n);
void chunk_lines_end(struct chunk *c);

/* Does the text end with CRLF, so far? Also when there is none. */
int chunk_is_whole(const struct chunk *c);

#endif
