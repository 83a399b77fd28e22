#ifndef MAIL_ENCODE_H
#define MAIL_ENCODE_H

#include <stdint.h>

#include "base/io.h"
#include "mail/mime.h"

/*
 * What signed data must not contain, or transport may change it and break the signature
 * (RFC 3156, 3 and 5): 8-bit octets, NUL, bare CR or LF, lines over 998 octets, white space at
 * line ends, lines that start with "From ".
 */
#define MAIL_7BIT_HARD (MAIL_8BIT | MAIL_NUL | MAIL_BARE_CR | MAIL_BARE_LF | MAIL_LONG_LINE)
#define MAIL_7BIT_SOFT (MAIL_TRAILING_WS | MAIL_FROM_LINE)

#define MAIL_ENTITY 1 /* of the part's own header write only Content-* fields */
#define MAIL_KEEP_ENCODING 2 /* write all as it is, without any change of encoding */

/*
 * Write a part (0: the message) so that it can be signed.  Leaves that need it are encoded anew:
 * text in quoted-printable or base64, whichever is shorter, other types in base64; their content
 * is the same, octet for octet.  Their Content-Transfer-Encoding is set, and that of the containers
 * around them when it says 8bit or binary.  A preamble or epilogue that does not fit is left out.
 * 8-bit words in part headers become encoded words.  Everything else stays byte for byte, but that
 * bare line ends of headers and delimiters become CRLF.  With MAIL_ENTITY the header has only what
 * describes the body: the entity that PGP/MIME signs or encrypts.
 *
 * Nested multipart/signed and multipart/encrypted are never changed: without hard faults (above)
 * they are copied.
 *
 * Returns 0, or -1 with errno EOPNOTSUPP (such a part, a multipart that cannot be walked, or a
 * transfer encoding that is not known needs a change: nothing usable was written), or that of o
 * or the sink.
 */
int mail_to_7bit(const struct octets *o, const struct mail_index *ix, uint32_t part, unsigned how,
    const struct sink *to);

#endif
