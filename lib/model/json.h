#ifndef MODEL_JSON_H
#define MODEL_JSON_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rec.h"

/*
 * Records as JSON (RFC 8259).  A record is an object with its fields as names, in the order of the
 * declaration.  STR is a string; BYTES a string of upper-case hexadecimal digits; numbers are
 * integers, those above 2^63 - 1 strings of decimal digits (JSON readers lose them otherwise);
 * lists are arrays of objects.
 */

#define JSON_TEXT_MAX (16 * 1024 * 1024) /* octets of JSON that json_to_rec takes */
#define JSON_LINES 1 /* one field per line, for people */

/*
 * Append a record as JSON, without a newline at the end.
 *
 * flags	0 or JSON_LINES
 *
 * Octets of a string that are not UTF-8 become U+FFFD.  Returns 0, or -1 with errno EINVAL (a field
 * out of bounds), EMSGSIZE or ENOMEM, out unchanged in length.
 */
int json_from_rec(const struct rec *r, const void *v, int flags, struct buf *out);

/*
 * Append the record encoding (base/rec.h) of a JSON object to wire; rec_decode makes the struct.
 * A missing field counts as 0, "" or an empty list where its bounds permit that.
 *
 * Returns 0, or -1 with errno EINVAL and the place in e ("line 3: ..." for bad JSON,
 * "items[2].addr: ..." for a bad, unknown or missing field), EMSGSIZE or ENOMEM; wire unchanged in
 * length.
 */
int json_to_rec(const struct rec *r, const char *text, size_t n, struct buf *wire, struct err *e);

#endif
