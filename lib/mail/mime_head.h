#ifndef MAIL_MIME_HEAD_H
#define MAIL_MIME_HEAD_H

#include "mail/header.h"
#include "mail/mime.h"

/*
 * Fill a part's type, strings and encoding from its header.
 *
 * digest	its parent is multipart/digest: the default type is message/rfc822
 *
 * Returns 0, or -1 with errno ENOMEM.
 */
int mail_mime_head(
    struct mail_index *ix, struct mail_part *p, const struct mail_header *h, bool digest);

#endif
