#ifndef MAIL_READER_H
#define MAIL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"

#define MAIL_WINDOW (64 * 1024) /* octets held at once when the message is not in memory */

/*
 * A window that moves over a struct octets from front to back.  When the octets are in memory
 * it lies in them and nothing is copied.
 */
struct mail_reader {
	const struct octets *o;
	uint64_t next; /* offset of the first octet not yet handed out */
	uint64_t end; /* one past the last octet to hand out */
	uint8_t *window; /* NULL when o->mem is set */
};

/*
 * Read n octets from off on (cut at the end of o).  o must outlive the reader.
 *
 * Returns 0, or -1 with errno ENOMEM.
 */
int mail_reader_init(struct mail_reader *r, const struct octets *o, uint64_t off, uint64_t n);
void mail_reader_free(struct mail_reader *r);

/*
 * The next octets: at least 1, up to MAIL_WINDOW when they are not in memory.  *p stays good
 * until the next call.
 *
 * Returns their number, 0 at the end, -1 with errno from octets_read.
 */
ssize_t mail_reader_next(struct mail_reader *r, const uint8_t **p);

#endif
