#ifndef SMTPD_NOTICE_H
#define SMTPD_NOTICE_H

#include "base/buf.h"
#include "base/io.h"
#include "smtpd/reply.h"

/*
 * The delivery status notification (RFC 3464) for recipients whose copy could not be delivered
 * after others' had been.
 *
 * Of the message it has header fields only, of the copy that failed: what anybody on that copy's
 * way could have read.  The Subject is left out as well where hide_subject says so.
 */
struct notice_rcpt {
	const char *addr;
	const char *orcpt; /* "" when the client gave none */
	const struct answer *answer; /* the peer's */
};

struct notice_facts {
	const char *hostname; /* ours */
	const char *peer; /* host name of the peer that refused */
	const char *sender;
	const char *envid; /* "" when the client gave none */
	const char *qid;
	int hide_subject; /* some copy of the message was encrypted */
	int utf8; /* the transaction was SMTPUTF8 */
	uint64_t arrived, now; /* seconds since the epoch */
	const struct notice_rcpt *rcpts;
	size_t n;
	struct octets *copy; /* of the first of them */
};

/* 0, or -1 with errno EMSGSIZE or ENOMEM, or of reading the copy. */
int notice_build(const struct notice_facts *f, struct buf *out);

/* Is this copy encrypted, by its Content-Type? Also true when it cannot be read. */
int notice_is_encrypted(struct octets *copy);

#endif
