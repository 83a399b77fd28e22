#ifndef SMTPD_REPLY_H
#define SMTPD_REPLY_H

#include <stddef.h>

#include "net/smtp_reply.h"

struct conn;

#define ANSWER_TEXT_MAX 2048 /* octets of all lines with their NUL; what is over is cut */
#define ANSWER_LINE_MAX                                                                            \
	500 /* octets of one line's text: 512 (RFC 5321, 4.5.3.1.5) with its code                  \
	     */

/*
 * One reply to a client, or what came of a transaction: the code, and lines of text separated by
 * '\n', the enhanced status code (RFC 3463) at the front of each.
 */
struct answer {
	unsigned code; /* 200 to 599; 0: none yet */
	char text[ANSWER_TEXT_MAX];
};

/* A reply of our own. Always fills; octets that are no printable ASCII become '?'. */
void answer_set(struct answer *a, unsigned code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* One more line; without room it is left out. Same rules. */
void answer_add(struct answer *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What the peer said, bounded and made printable. */
void answer_from_peer(struct answer *a, const struct smtp_reply *r);

/*
 * The enhanced status code of an answer, or the general one of its class ("5.0.0").
 *
 * out	receives at least 12 octets.  Returns out.
 */
char *answer_dsn(char *out, size_t outsz, const struct answer *a);

/* All lines as one, for the log: "250 2.0.0 queued". Returns out. */
char *answer_line(char *out, size_t outsz, const struct answer *a);

/* Queue it for the client; 0, or -1 as conn_write. */
int answer_put(struct conn *c, const struct answer *a);

/* Append it as it would go to a client; 0, or -1 as buf_put. */
struct buf;
int answer_put_buf(struct buf *b, const struct answer *a);

#endif
