#ifndef FILTERD_MASK_H
#define FILTERD_MASK_H

#include "ipc/blob.h"
#include "mail/mime.h"

/*
 * Take a consumer's phrase out of what he sends: who answers a message quotes the banner in it, and
 * the phrase must stay unknown outside.  Its letters become "x", in place, so that sizes and
 * structure stay: in plain text, in quoted-printable across soft breaks, in base64 at each
 * alignment (all but up to four letters, which share a group with others).  Parts that the
 * sender's own program has signed or encrypted are left alone.
 *
 * phrase	PHRASE_LEN lower-case letters; of another length nothing is done
 * out		initialised; receives the message when something was found
 *
 * Returns 1 (out holds), 0 (nothing found), or -1 with errno.
 */
int mask_phrase(
    const struct octets *in, const struct mail_index *ix, const char *phrase, struct spool *out);

#endif
