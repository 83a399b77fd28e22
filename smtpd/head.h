#ifndef SMTPD_HEAD_H
#define SMTPD_HEAD_H

#include <stdint.h>

#include "base/io.h"

/*
 * What the queue's way in has to know of a message's header.  One look at its fields, by the same
 * rules as the workers' (mail/header.h).
 */
#define HEAD_HOPS_MAX 50 /* Received fields, then it is a loop (RFC 5321, 6.3) */
#define HEAD_TEXT_MAX 1024 /* octets of Subject and Sensitivity that are looked at here */

struct head {
	unsigned received; /* fields of that name */
	int forged; /* there are X-Postern-*, or may be */
	char msgid[256]; /* Message-ID, unfolded; "" */
	/* All fields of the name, one to a line; undone are folds, and nothing else. */
	char subject[HEAD_TEXT_MAX], sensitivity[HEAD_TEXT_MAX];
	/* They hold an encoded word, or more than fits: what they say only a worker knows. */
	int doubtful;
};

/*
 * len	octets of the header at the front of o, or more
 *
 * Returns 0, or -1 with errno ENOMEM or of reading.
 */
int head_read(struct head *h, struct octets *o, uint64_t len);

/*
 * Does its sender ask for something, by the words that the policy knows?  Then, and when it cannot
 * be said, a worker has to see it.
 *
 * rcpts, n	whom it is for
 */
int head_asks(const struct head *h, const char *sender, const char *const *rcpts, size_t n);

/* Copy a message without the X-Postern-* fields of its header. 0, or -1 with errno. */
int head_strip(struct octets *o, uint64_t len, const struct sink *to);

#endif
