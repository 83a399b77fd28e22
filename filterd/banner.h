#ifndef FILTERD_BANNER_H
#define FILTERD_BANNER_H

#include "filterd/reading.h"

/*
 * The banner: the verdict as text, for mail programs that hide header fields.  The message becomes
 * a multipart/mixed: a part of ours (text and HTML), then what was the body, octet for octet.
 * Nothing is written into parts of the sender, whose markup could hide or repaint it.
 *
 * A sender can write whatever looks like a banner; what he does not know is the phrase, which
 * belongs to the reader and stands in every banner of ours.
 *
 * All banners take BANNER_LEN octets, whatever the verdict; what is missing is filled up where no
 * mail program looks, in front of the first part.
 */
#define BANNER_LEN 3072 /* octets from the multipart's Content-Type to its second part */
#define BANNER_SIGNER_MAX 80 /* octets of the signer's address that are shown */

/*
 * The key of the boundaries.  Whoever forwards a message as it is shows them to others, and with
 * the message they would tell the phrase to who tries all of them: so each try is made to cost.
 *
 * 0, or -1 with errno ENOMEM.
 */
int banner_key(const char *phrase, uint8_t key[BANNER_KEY_LEN]);

/*
 * Write the multipart's header and our part, up to where the header of the second part begins.
 * v is what is shown.  0, or -1 with errno.
 */
int banner_begin(const struct reading *r, const struct mail_verdict *v, const struct sink *out);
int banner_end(const struct reading *r, const struct sink *out);

#endif
