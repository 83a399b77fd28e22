#ifndef OPENPGP_STREAM_H
#define OPENPGP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/io.h"
#include "openpgp/limits.h"
#include "openpgp/packet.h"

/*
 * Octets on their way through the reader's layers: input, armour, packet body, decryption,
 * decompression.  Each layer shows a window; who reads takes from the window in place, so that
 * layers which only cut (a packet's body) copy nothing.
 */
struct pgp_src {
	const uint8_t *p; /* the window: octets not taken yet */
	size_t n;
	/* Show more, called when n is 0: 1 with a window that is not empty, 0 at the end, -1 with
	 * errno.  The window stays until more is called again. */
	int (*more)(struct pgp_src *s);
};

static inline void
pgp_src_take(struct pgp_src *s, size_t n)
{
	s->p += n;
	s->n -= n;
}

/* 1 when there is at least one octet in the window, 0 at the end, -1 with errno. */
static inline int
pgp_src_fill(struct pgp_src *s)
{
	return s->n != 0 ? 1 : s->more(s);
}

/* Up to n octets, fewer only at the end; -1 with errno. */
ssize_t pgp_src_read(struct pgp_src *s, void *p, size_t n);

/* Exactly n octets; -1 with errno, EBADMSG when there are fewer. */
int pgp_src_exact(struct pgp_src *s, void *p, size_t n);

/* Read to the end and throw away. 0, or -1 with errno. */
int pgp_src_drain(struct pgp_src *s);

/* Everything up to the end, at most max octets: octets read, or -1 (EMSGSIZE: more were there). */
ssize_t pgp_src_all(struct pgp_src *s, uint8_t *p, size_t max);

/* The bottom: an input.  window is allocated only when the input is not in memory. */
struct pgp_input {
	struct pgp_src src;
	const struct octets *in;
	uint64_t off; /* of the octet behind the window */
	uint64_t end;
	uint8_t *window;
};

/* Octets from off to end of in. 0, or -1 with errno ENOMEM. */
int pgp_input_open(struct pgp_input *i, const struct octets *in, uint64_t off, uint64_t end);
void pgp_input_close(struct pgp_input *i);

/*
 * The body of a packet.  At the end of a body of partial lengths nothing is left over; reading
 * past a parent that ends early is EBADMSG.
 */
struct pgp_body {
	struct pgp_src src;
	struct pgp_src *from;
	uint64_t left; /* of this length */
	bool partial; /* another length follows */
	bool to_end; /* indeterminate: up to the parent's end */
	uint8_t tag;
};

/*
 * Read a packet's header.  Partial and indeterminate lengths are allowed where RFC 4880, 4.2
 * does: for literal, compressed and encrypted data.
 *
 * Returns 1 with b ready, 0 when from is at its end, or -1 with errno EBADMSG or what from gave.
 */
int pgp_body_open(struct pgp_body *b, struct pgp_src *from);

#endif
