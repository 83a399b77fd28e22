#ifndef MAIL_MIME_H
#define MAIL_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

/*
 * The MIME index of a message: which octets are which part (RFC 2045, 2046).  Made in one pass;
 * it copies no content, so that whoever slices by it gives back the very octets.
 *
 * Garbage never fails: every sequence of octets has an index.  What is done on purpose:
 *
 *  line end		LF, with the CR before it if there is one.  A bare CR is content; it ends no
 *			line.  Both spellings are noted in the part's flags.
 *  NUL			content like any other octet, noted in the flags.
 *  header end		the first line that is empty.  A line of white space is a fold.  A line
 *			without a colon (mbox "From ", junk) stays in the header and names no field.
 *  no header		an empty first line: head_len is that line.  No empty line at all: all is
 *			header, the body is empty.
 *  duplicate fields	the first Content-Type, Content-Transfer-Encoding, ... counts.
 *  delimiter		a line that starts with "--" and an open boundary.  What follows on the line
 *			is ignored (RFC 2046, 5.1.1: "it is sufficient that the boundary appear in
 *			its entirety following the CRLF"), but "--" closes.  The line end before it
 *			belongs to the delimiter, unless the header ends there.
 *  several boundaries	the longest that fits wins, so that a boundary which is a prefix of another
 *			does no harm; among equal ones the innermost.  Delimiters of an outer
 *			multipart end all inner parts.
 *  after the close	of a multipart its boundary is no longer open: the rest is epilogue.
 *  no end boundary	the part ends where its parent ends.  No final newline: likewise.
 *  no boundary		a multipart without boundary parameter, or with an empty one, is a leaf.
 *  message/rfc822	(and message/global, and the default in multipart/digest) has one child, its
 *			message; but with a quoted-printable or base64 encoding it is a leaf.
 *  encoding of a multipart is ignored (RFC 2045, 6.4 allows none; stale ones are common).
 *
 * Beyond a bound the index says so in ->truncated and what lies there is opaque: a leaf whose
 * body is octets; beyond MAIL_PARTS_MAX the rest of a multipart is like its epilogue.  Memory: at
 * most MAIL_PARTS_MAX parts, MAIL_STRINGS_MAX octets of strings, one header of MAIL_HEADER_MAX
 * octets and a window of 64 KiB.  Time is linear in the size.
 */
#define MAIL_DEPTH_MAX 64 /* nesting; the message itself is depth 0 */
#define MAIL_PARTS_MAX 10000
#define MAIL_HEADER_MAX (256 * 1024) /* octets of one part's header that are looked at */
#define MAIL_STRINGS_MAX (8 * 1024 * 1024) /* all types, names, boundaries together */
#define MAIL_PARAM_MAX 1024 /* octets of one parameter's value that are kept */
#define MAIL_BOUNDARY_MAX 256 /* RFC 2046 has 70; longer than this is a leaf */

#define MAIL_NONE UINT32_MAX /* no such part */

enum mail_cte {
	MAIL_CTE_NONE, /* no field: 7bit */
	MAIL_CTE_7BIT,
	MAIL_CTE_8BIT,
	MAIL_CTE_BINARY,
	MAIL_CTE_QP,
	MAIL_CTE_BASE64,
	MAIL_CTE_OTHER, /* uuencode and unknown ones: content is opaque */
};

/* What was seen in a part's own octets: its body for a leaf; for a container preamble, epilogue
 * and delimiter lines, not its children. MAIL_HEAD_* were seen in its header. */
#define MAIL_8BIT 0x0001 /* octet of 128 or more */
#define MAIL_NUL 0x0002
#define MAIL_BARE_CR 0x0004
#define MAIL_BARE_LF 0x0008
#define MAIL_LONG_LINE 0x0010 /* over 998 octets without its line end (RFC 5322, 2.1.1) */
#define MAIL_TRAILING_WS 0x0020 /* a line that ends with space or tab */
#define MAIL_FROM_LINE 0x0040 /* a line that starts with "From " */
#define MAIL_NO_FINAL_NL 0x0080 /* the message's last line has no line end (innermost part) */
#define MAIL_DELIM_DIRTY 0x0100 /* a delimiter line with 8-bit, NUL, CR, too long */
#define MAIL_HEAD_8BIT 0x0200
#define MAIL_HEAD_NUL 0x0400
#define MAIL_HEAD_BARE_CR 0x0800
#define MAIL_HEAD_BARE_LF 0x1000
#define MAIL_HEAD_LONG_LINE 0x2000
#define MAIL_HEAD_JUNK 0x4000 /* a line without a colon */
#define MAIL_UNCLOSED 0x8000 /* a multipart whose end boundary is missing */
#define MAIL_OPAQUE 0x10000 /* would be a container, but a bound was reached or it is encoded */
/*
 * Other readers may see another type, other delimiters: several Content-Type or encoding fields,
 * comments in them, several boundaries, delimiter lines that are not exact or that end in different
 * ways; of multipart/signed also a boundary that is spelled oddly, and delimiter lines that come
 * again behind the last.
 */
#define MAIL_AMBIGUOUS 0x20000

/* Bits of mail_index.truncated. */
#define MAIL_TRUNC_DEPTH 1
#define MAIL_TRUNC_PARTS 2
#define MAIL_TRUNC_HEADER 4 /* a header beyond MAIL_HEADER_MAX: later fields were not seen */
#define MAIL_TRUNC_STRINGS 8

struct mail_part {
	uint32_t parent, child, next; /* indexes in ->parts, or MAIL_NONE; next: next sibling */
	uint32_t depth;
	uint32_t flags; /* MAIL_8BIT ... */
	enum mail_cte cte;
	/* header: its fields and the empty line; body_off is head_off + head_len */
	uint64_t head_off, head_len;
	uint64_t body_off, body_len;
	uint64_t head_lines, body_lines; /* line ends in them, for BODYSTRUCTURE and POP3 TOP */
	uint32_t sep_len; /* octets of the empty line in head_len: 0 (missing), 1 or 2 */
	/*
	 * Strings are NUL-terminated, never NULL ("" when missing), in the index's own memory.
	 * type, subtype, charset and disposition are in lower case; type and subtype default to
	 * text/plain (message/rfc822 in a digest) when missing or malformed.
	 */
	const char *type, *subtype;
	const char *charset;
	const char *boundary; /* as is, "" unless type is multipart */
	const char *protocol; /* parameter of multipart/signed and /encrypted, lower case */
	const char *name; /* filename of the disposition, else name of the type; UTF-8 */
	const char *disposition; /* "inline", "attachment", ... */
	const char *id; /* Content-ID without its angle brackets */
};

struct mail_index {
	uint64_t size; /* of the message */
	struct mail_part *parts; /* [0] is the message; in order of head_off */
	uint32_t n;
	unsigned truncated; /* MAIL_TRUNC_*: 0 is complete */
	struct mail_strings *strings;
};

/*
 * Make the index of a message.
 *
 * o	the whole message; may be freed before the index
 * ix	receives it; give it to mail_index_free, also after a failure
 *
 * Returns 0, or -1 with errno ENOMEM, or what reading o gave.
 */
int mail_index_make(struct mail_index *ix, const struct octets *o);
void mail_index_free(struct mail_index *ix);

/* Is the part of this type? subtype NULL: any. Both in lower case. */
bool mail_part_is(const struct mail_part *p, const char *type, const char *subtype);

/* A part with neither child nor the structure of one. */
static inline bool
mail_part_leaf(const struct mail_part *p)
{
	return p->child == MAIL_NONE;
}

/*
 * Write a leaf's content with its transfer encoding undone (identity for 7bit, 8bit, binary and
 * unknown ones).  Damaged encodings are decoded as far as they go, see write.h.
 *
 * Returns 0, or -1 with errno of o or the sink.
 */
int mail_part_decode(const struct octets *o, const struct mail_part *p, const struct sink *to);

#endif
