#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "base/buf.h"
#include "base/io.h"

/*
 * Delivery status notifications: multipart/report (RFC 6522) with a text for people, the report
 * (RFC 3464; RFC 6533 where addresses are not ASCII) and something of the message.
 *
 * Everything that comes from outside is made printable here, and folded where it is long: the
 * result has CRLF line ends, and lines of at most 998 octets but for a message that is returned as
 * it is.
 */
enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED };

/* What the sender gets back of his message. */
enum dsn_return {
	DSN_FIELDS, /* the header fields by which it is known, and nothing that tells its way */
	DSN_HEADERS, /* its header */
	DSN_MESSAGE /* all of it, if it is not longer than message_max; else its header */
};

struct dsn_rcpt {
	const char *addr;
	const char *orcpt; /* ORCPT (RFC 3461, 4.2) as it was given; "": none */
	enum dsn_action action;
	const char *status; /* RFC 3463: "5.1.1" */
	const char *mta; /* who said so; "": we */
	unsigned code; /* of the reply; 0: none, or at the front of text */
	const char *text; /* of the reply, its lines separated by \n; "": there is none */
	uint64_t last; /* seconds since the epoch: of the last attempt; 0: not said */
	uint64_t until; /* the same: DSN_DELAYED: tried until then; 0: not said */
};

struct dsn_facts {
	const char *hostname; /* ours */
	const char *to; /* the notice's recipient */
	const char *subject;
	const char *msgid; /* Message-ID, without <> */
	const char *log_id; /* queue id of the message, to be found in the log; "": not said */
	const char *envid; /* ENVID (RFC 3461, 4.4) as it was given; "": none */
	const char *before; /* paragraphs around the recipients; \n ends a line, not the last */
	const char *after;
	const char *label; /* in front of another's words: "The mail server said: " */
	int utf8; /* the notice is SMTPUTF8: 8-bit addresses and fields stand in it as they are */
	uint64_t arrived, now; /* seconds since the epoch */
	const struct dsn_rcpt *rcpts;
	size_t n;
	struct octets *message; /* NULL: nothing is returned of it */
	enum dsn_return what;
	int hide_subject; /* not among the fields */
	int eightbit; /* with DSN_MESSAGE: it has octets above 127 */
	uint64_t message_max; /* octets */
};

/*
 * Append the notice to out.  Returns 0, or -1 with errno EMSGSIZE or ENOMEM, or of reading the
 * message.
 */
int dsn_build(const struct dsn_facts *f, struct buf *out);

/* Is there an octet above 127? */
int dsn_is_8bit(const char *s);

/* Is this message encrypted, by its Content-Type? Also true when it cannot be read. */
int dsn_is_encrypted(struct octets *message);

#endif
