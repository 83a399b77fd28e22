#ifndef UNIT_ANVILD_TLSRPT_H
#define UNIT_ANVILD_TLSRPT_H

#include <jansson.h>

#include "anvild/tlsrpt_mail.h"
#include "t/unit/unit.h"

#define DAY 86400

/* With TLS by MTA-STS; result "" is a good one. */
struct tls_session session(const char *domain, const char *result);

/* What stands at "policies/0/summary/..."; NULL: nothing. */
const char *text_at(json_t *o, const char *path);
#define IS(o, path, want) ck_assert_pstr_eq(text_at(o, path), want)

/* What base64 and gzip in a mail were made of. */
json_t *unpack(const char *mail);

#endif
