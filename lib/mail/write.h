#ifndef MAIL_WRITE_H
#define MAIL_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

/*
 * Write one field of free text (RFC 5322, 3.6.5): "Name: value" CRLF, folded at white space
 * before column 78 where there is any, never over 998 octets a line.  Words that are not
 * printable ASCII, that look like encoded words, or are too long for a line become encoded words
 * of UTF-8 (RFC 2047); octets that are not UTF-8 and controls become U+FFFD.  No way leads to a
 * line end inside the value.
 *
 * name		a field name; value: UTF-8
 *
 * Returns 0, or -1 with errno EINVAL (not a field name) or what the sink gave.
 */
int mail_put_field(const struct sink *s, const char *name, const char *value);

/*
 * A MIME boundary: "=_" (which neither base64 nor quoted-printable can contain), then 32
 * random hexadecimal digits.  For new mail: a message that is opened keeps its own boundaries.
 */
#define MAIL_BOUNDARY_LEN 34
void mail_boundary_random(char out[MAIL_BOUNDARY_LEN + 1]);

/*
 * Filters: octets in, octets out, any chunks.
 *
 *  MAIL_B64_ENCODE	base64 in lines of 76, CRLF after each, the last one too
 *  MAIL_B64_DECODE	octets outside the alphabet are skipped (RFC 2045, 6.8); ends at the first
 *			"=", what follows is ignored; a cut last group gives its whole octets
 *  MAIL_QP_ENCODE	quoted-printable: CRLF stays, a bare CR or LF, 8-bit octets, controls, white
 *			space at a line end are encoded; "-" and "From " at a line's start too, so
 *			that no line becomes a delimiter or gains a ">"; lines up to 76 octets
 *  MAIL_QP_DECODE	soft breaks with CRLF or LF and white space before it; a broken "=XY" stays
 *			as it is; white space at line ends goes (RFC 2045, 6.7, rule 3)
 *  MAIL_CRLF		bare LF becomes CRLF
 */
enum mail_filter_kind {
	MAIL_B64_ENCODE,
	MAIL_B64_DECODE,
	MAIL_QP_ENCODE,
	MAIL_QP_DECODE,
	MAIL_CRLF,
};

#define MAIL_FILTER_OUT 4096 /* octets gathered before the sink is called */
#define MAIL_FILTER_HOLD 1024 /* white space held back while a line's end is not in sight */

struct mail_filter {
	enum mail_filter_kind kind;
	struct sink to;
	int state;
	unsigned col; /* octets in the output line */
	unsigned from; /* how much of "From " the output line is so far */
	uint32_t bits;
	unsigned nbits;
	size_t nhold, nout;
	uint8_t hold[MAIL_FILTER_HOLD], out[MAIL_FILTER_OUT];
};

void mail_filter_init(struct mail_filter *f, enum mail_filter_kind kind, const struct sink *to);

/* 0, or -1 with the sink's errno. Call mail_filter_end once when all is written. */
int mail_filter_write(struct mail_filter *f, const void *p, size_t n);
int mail_filter_end(struct mail_filter *f);

/* A sink that writes into the filter. */
struct sink mail_filter_sink(struct mail_filter *f);

#endif
