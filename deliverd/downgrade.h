#ifndef DELIVERD_DOWNGRADE_H
#define DELIVERD_DOWNGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "ipc/blob.h"

/*
 * What a message needs of the server that it goes to, seen from its octets alone, whatever was said
 * of them before; and a form of it that needs less.
 */
struct facts {
	uint64_t size; /* octets looked at so far */
	bool eight; /* octets of 128 or more (RFC 6152) */
	bool binary; /* NUL, or CR and LF that do not stand together (RFC 3030, BINARYMIME) */
	bool dots; /* a line that begins with a dot */
	uint8_t last; /* the last octet */
	bool ends; /* the last line has its CRLF */
};

void facts_init(struct facts *f);

/* Look at the next n octets, cut anywhere; facts_end behind the last. */
void facts_add(struct facts *f, const uint8_t *p, size_t n);
void facts_end(struct facts *f);

/*
 * Has its header (the first one, up to the empty line) octets of 128 or more?  1, 0, or -1 with
 * errno of reading.
 */
int head_is_utf8(const struct octets *o);

/*
 * A form of 7-bit lines of a message (RFC 6152, 3): bodies in quoted-printable or base64, headers
 * with encoded words; what is signed is never changed (lib/mail/encode.h).  A large message takes a
 * while, so this is done step by step, each of some milliseconds.
 *
 * o	must stay until the end
 * to	started, empty; receives the other form, finished
 *
 * Returns NULL with errno ENOMEM.
 */
struct downgrade;
struct downgrade *downgrade_start(const struct octets *o, struct spool *to);

/*
 * Go on.  1: it is done; 0: call again, when others had their turn; -1 with errno EOPNOTSUPP (it
 * cannot be done), or that of reading or writing.
 */
int downgrade_step(struct downgrade *d);

/* At any time. NULL is allowed. */
void downgrade_free(struct downgrade *d);

#endif
