#ifndef FILTERD_STICKY_H
#define FILTERD_STICKY_H

#include "filterd/reading.h"

/*
 * What was found of a message, kept by the proxy and given back (msg_filter.h, open_req): its
 * signature's verdict and the room that the signer took, bound to the stored octets by SHA-256.
 * It needs no authentication: the proxy that keeps it is the one who is told.
 */
#define STICKY_LEN 36

/* Digest the stored message, for the record and for boundaries. 0, or -1 with errno. */
int sticky_digest(struct reading *r);

/* Take what is given back; of another message, or malformed, it has no effect. */
void sticky_take(struct reading *r, struct bytes record);

/* The record of r as it is shown; out: STICKY_LEN octets. Returns its length, 0: keep nothing. */
size_t sticky_make(const struct reading *r, uint8_t *out);

#endif
