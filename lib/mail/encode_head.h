#ifndef MAIL_ENCODE_HEAD_H
#define MAIL_ENCODE_HEAD_H

#include "base/io.h"
#include "mail/mime.h"

/*
 * Write a part's header for mail_to_7bit.
 *
 * cte	its new Content-Transfer-Encoding, or NULL: as it was
 * how	MAIL_ENTITY: only Content-* fields; MAIL_KEEP_ENCODING: fields stay as they are
 *
 * Returns 0, or -1 with errno EOPNOTSUPP (a header over MAIL_HEADER_MAX, a field that cannot be
 * made 7bit), or that of o or the sink.
 */
int mail_encode_head(const struct octets *o, const struct mail_part *p, const char *cte,
    unsigned how, const struct sink *to);

#endif
