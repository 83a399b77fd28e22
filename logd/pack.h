#ifndef LOGD_PACK_H
#define LOGD_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ipc/messages.h"

/*
 * Events as they stand in the database, one behind the other:
 *
 *	length of what follows (2 octets), name of the process with a NUL, a bit for each field of
 *	log_event that is not "" or 0 (variable), those fields in the order of their declaration:
 *	strings with a NUL, numbers variable
 *
 * Variable numbers have 7 bits an octet, the least significant first, and 0x80 in all but the last.
 * Fields are known by their place: log_event grows at its end only.
 */
#define PACKED_MAX 8192 /* octets of one event with all that it could need, at most */

/* Append. 0, or -1 with errno: EINVAL (out of bounds), EMSGSIZE or ENOMEM (of the buffer). */
int pack_event(struct buf *out, const char *who, const struct log_event *e);

/*
 * Take the event at p, of n octets; who and the strings of e point into them.
 *
 * Returns the octets that it takes, 0 at the end (n is 0), -1 with errno EBADMSG.
 */
ssize_t unpack_event(const uint8_t *p, size_t n, const char **who, struct log_event *e);

#endif
