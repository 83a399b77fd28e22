#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/io.h"

/*
 * Header fields (RFC 5322, 2.2).  A field is a line and the lines behind it that start with space
 * or tab.  Its name is what stands before the first colon, without white space at its end
 * (RFC 5322, 4.5 allows it; so does the iterator, so that nobody hides a field that way); an
 * empty name, or one with white space, controls or 8-bit octets in it, is no name: the field is
 * junk and name.n is 0.  The header ends at an empty line.
 */
struct mail_header {
	const uint8_t *data;
	size_t len;
	uint64_t off; /* where data starts in the message */
	bool cut; /* the header is longer than MAIL_HEADER_MAX; data has its start */
	uint8_t *own; /* allocation behind data, or NULL */
};

struct mail_field {
	size_t off, len; /* the whole field in h->data, line end included */
	struct bytes name; /* as written; n is 0 for junk */
	struct bytes body; /* behind the colon, folds kept, without the last line end */
};

/*
 * Fetch a header.
 *
 * off, len	where it is, of mail_part.head_off and head_len (a longer range is fine: fields
 *		end at the first empty line)
 *
 * Returns 0, or -1 with errno ENOMEM or what reading gave.  The header points into o->mem when
 * there is one; free it before o.
 */
int mail_header_load(struct mail_header *h, const struct octets *o, uint64_t off, uint64_t len);
void mail_header_free(struct mail_header *h);

/* The field at *pos (0 at first), which moves on; false at the end. */
bool mail_field_next(const struct mail_header *h, size_t *pos, struct mail_field *f);

/* Is this the field's name? Case does not count. */
bool mail_field_is(const struct mail_field *f, const char *name);

/* The nth (from 0) field of that name; false when there are fewer. */
bool mail_header_get(
    const struct mail_header *h, const char *name, unsigned nth, struct mail_field *f);
unsigned mail_header_count(const struct mail_header *h, const char *name);

/*
 * Append a field's body without folds: line ends go, white space at both ends goes, other octets
 * stay.  Returns 0, or -1 with errno EMSGSIZE or ENOMEM.
 */
int mail_unfold(struct bytes body, struct buf *out);

/*
 * Append text with its encoded words (RFC 2047) as UTF-8.  Folds are undone first.  White space
 * between two encoded words goes.  A word whose charset is unknown, or whose encoding is broken,
 * stays as it is written.  Malformed octets become U+FFFD.  Raw 8-bit octets outside of words
 * stay when they are UTF-8 (RFC 6532) and are read as ISO 8859-1 otherwise.  Controls other than
 * tab become spaces, so that what comes out is one line of well-formed UTF-8.
 *
 * Returns 0, or -1 with errno EMSGSIZE or ENOMEM.
 */
int mail_decode_text(struct bytes text, struct buf *out);

/*
 * The same for looking for a word in it, where none may be missed: an encoded word of an unknown
 * charset is read as ISO 8859-1, one that is broken as far as it goes.
 */
int mail_decode_guess(struct bytes text, struct buf *out);

/*
 * mail_decode_text of the first field of that name, as a string with a final NUL that buf_len
 * does not count.  No such field: "".
 *
 * Returns out's string (good until out changes), or NULL with errno.
 */
const char *mail_header_text(const struct mail_header *h, const char *name, struct buf *out);

/*
 * Charsets.  Converters of the C library are loaded from files, which a jail lacks: call
 * mail_charset_init before the jail to load the usual ones.  US-ASCII, UTF-8, ISO 8859-1 and
 * Windows-1252 always work.
 */
void mail_charset_init(void);

/*
 * Append octets of a charset as UTF-8; what cannot be converted becomes U+FFFD.
 *
 * Returns 0, or -1 with errno EINVAL (unknown charset, nothing appended), EMSGSIZE or ENOMEM.
 */
int mail_to_utf8(const char *charset, struct bytes in, struct buf *out);

/*
 * A value with parameters (RFC 2045, 5.1; RFC 2231): Content-Type, Content-Disposition, and
 * Autocrypt-like fields.  Tolerant but deterministic: comments are skipped; a parameter without
 * "=" is ignored; an unquoted value goes on to the next ";" (white space at its ends removed, inner
 * kept); a quoted one to its quote or the end.  The first of duplicates counts.  RFC 2231: pieces
 * name*0, name*1*, ... are joined in numerical order up to the first that is missing; the charset
 * stands in the first; the extended form is preferred to the plain one.
 */
#define MAIL_PARAMS_MAX 64 /* parameters and pieces; later ones are ignored */

struct mail_param {
	const char *name; /* lower case */
	const char *value; /* UTF-8 when it had a charset, else as it is; never NUL inside */
};

struct mail_params {
	const char *value; /* "multipart/mixed", "attachment": lower case, no white space */
	struct mail_param *v;
	size_t n;
	bool cut; /* something was over MAIL_PARAMS_MAX or MAIL_PARAM_MAX */
	struct params_mem *mem;
};

/* Parse; 0, or -1 with errno ENOMEM. Free also after a failure. */
int mail_params_parse(struct mail_params *p, struct bytes body);
void mail_params_free(struct mail_params *p);

/* Value of a parameter (name in lower case), or NULL. */
const char *mail_param_get(const struct mail_params *p, const char *name);

/*
 * Copy a header field by field, each either kept byte for byte or left out; the header may be of
 * any length, a field's name is looked at in its first 256 octets.  Only a bare CR becomes a space,
 * or "?" where it begins a line: some readers would see another field behind it, one that was not
 * asked about.
 *
 * off, len	the header in o
 * keep		called with each field's name (n 0: junk), true to keep it
 *
 * Returns 0, or -1 with errno of o or the sink.  The empty line at the end is not copied when
 * sep is false.
 */
int mail_header_copy(const struct octets *o, uint64_t off, uint64_t len,
    bool (*keep)(struct bytes name, void *ctx), void *ctx, bool sep, const struct sink *to);

/* For keep: MIME-Version and Content-*, which describe the body; ctx is not used. */
bool mail_keep_content(struct bytes name, void *ctx); /* true for Content-* only */
bool mail_keep_envelope(
    struct bytes name, void *ctx); /* true for all but Content-*, MIME-Version */

#endif
