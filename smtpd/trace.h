#ifndef SMTPD_TRACE_H
#define SMTPD_TRACE_H

#include <stdint.h>

#include "base/buf.h"

/*
 * The Received field that is put in front of a message (RFC 5321, 4.4).
 */
#define TRACE_MAX 4096 /* octets of it, at most */

struct trace_facts {
	const char *helo; /* what the client calls itself; "": it did not say */
	const char *name; /* of its address, confirmed; "unknown" */
	const char *ip; /* without brackets */
	const char *hostname; /* ours */
	const char *tls; /* "TLSv1.3 with cipher X (256/256 bits)"; "": in clear */
	int esmtp, utf8; /* EHLO; the transaction is SMTPUTF8 */
	int authed; /* RFC 3848: with ESMTPA */
	const char *qid;
	const char *rcpt; /* NULL: several, who must not learn of each other */
	uint64_t when; /* seconds since the epoch */
};

/*
 * Append it, with CRLF line ends.  Where the transaction is not SMTPUTF8, octets above 127 become
 * "?".  0, or -1 with errno EMSGSIZE, ENOMEM.
 */
int trace_received(struct buf *out, const struct trace_facts *f);

#endif
