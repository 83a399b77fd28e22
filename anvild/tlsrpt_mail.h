#ifndef ANVILD_TLSRPT_MAIL_H
#define ANVILD_TLSRPT_MAIL_H

#include "anvild/tlsrpt_day.h"
#include "base/buf.h"
#include "base/err.h"

/* The wish for a report, and the report (RFC 8460). */

#define RUAS_MAX 4 /* addresses that get one report */
#define RUA_MAX 320 /* octets of an address with its NUL */
#define REPORT_MAX (128 * 1024) /* octets of a message; the bounds of a day give less */

struct ruas {
	char v[RUAS_MAX][RUA_MAX]; /* normalised addresses */
	size_t n;
};

/*
 * What "_smtp._tls.DOMAIN" says (RFC 8460, 3): of the TXT records exactly one begins with
 * "v=TLSRPTv1;"; its addresses with mailto: are taken.  Those with https: are not.
 *
 * Returns 0, or -1 with e: there is no wish that can be fulfilled.
 */
int rua_parse(const struct dns_txt *v, size_t n, struct ruas *out, struct err *e);

struct report {
	const struct tlsrpt_day *day;
	const char *hostname; /* ours: the submitter */
	const char *from; /* address: sender and contact */
	const struct ruas *to;
	uint64_t until; /* seconds since the epoch that it is about; the end of the day at most */
	uint64_t now;
};

/*
 * The report as JSON (4.4).  out has no bound but its own; 0, or -1 with errno.
 */
int report_json(const struct report *r, struct buf *out);

/*
 * The whole message (5.3): lines end with CRLF, none is longer than 998 octets, all of it is ASCII.
 *
 * Returns 0, or -1 with errno ENOMEM, EMSGSIZE.
 */
int report_mail(const struct report *r, struct buf *out);

/* "<...@hostname>": of the Message-ID, and the report-id. Returns out. */
char *report_id(const struct report *r, char *out, size_t outsz);

#endif
