#ifndef NET_SMTP_REPLY_H
#define NET_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Replies of an SMTP or LMTP server, as its client sees them (RFC 5321, 4.2; RFC 2034).
 */
#define SMTP_REPLY_LINES_MAX 128
#define SMTP_REPLY_OCTETS_MAX (16 * 1024) /* of all lines together */
#define SMTP_REPLY_LINE_MAX 2048 /* for line_init: 512 (RFC 5321, 4.5.3.1.5), and patience */

struct smtp_reply {
	unsigned code; /* 200 to 599; 0 before the first line */
	unsigned lines;
	char enhanced[12]; /* "5.7.1", or "" where there is none or it contradicts the code */
	struct buf text; /* of all lines, each NUL-terminated; see smtp_reply_text */
};

void smtp_reply_init(struct smtp_reply *r);
void smtp_reply_free(struct smtp_reply *r);

/* Ready for the next reply. */
void smtp_reply_reset(struct smtp_reply *r);

/*
 * One line, without CRLF, in the order of arrival.
 *
 * Returns 1 when the reply is complete, 0 when more lines follow, or -1 with errno EPROTO (not a
 * reply line, codes that differ, CR, LF or NUL inside), EMSGSIZE (too many lines or octets) or
 * ENOMEM: the connection is of no more use.
 */
int smtp_reply_line(struct smtp_reply *r, const char *line, size_t n);

/*
 * Walk over the texts of the lines: code and separator taken off, the enhanced code kept, control
 * characters but TAB replaced by '?', so that it can be sent on to a client.
 *
 * prev	NULL for the first line, else what the last call returned
 *
 * Returns the text, NUL-terminated, or NULL behind the last.
 */
const char *smtp_reply_text(const struct smtp_reply *r, const char *prev);

/*
 * The parameters of an extension in a reply to EHLO (RFC 5321, 4.1.1.1): "" where it has none,
 * NULL where the server does not offer it.  The first line is the server's name and not looked
 * at.  "AUTH=LOGIN" of old servers counts as AUTH with the parameter LOGIN.
 */
const char *smtp_reply_keyword(const struct smtp_reply *r, const char *keyword);

/* Does the extension have this word, in any case, among its parameters ("AUTH", "PLAIN")? */
bool smtp_reply_has(const struct smtp_reply *r, const char *keyword, const char *word);

/* What SIZE says (RFC 1870, 4): octets; 0 when it says nothing, or nonsense. */
uint64_t smtp_reply_size(const struct smtp_reply *r);

#endif
