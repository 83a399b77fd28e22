#ifndef DELIVERD_CLIENT_INT_H
#define DELIVERD_CLIENT_INT_H

/* Inside of a client, for client*.c and transaction*.c only. */

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/netaddr.h"
#include "deliverd/client.h"
#include "deliverd/transaction.h"
#include "net/cidr.h"
#include "net/dial.h"
#include "net/line.h"
#include "net/smtp_reply.h"

#define CLIENT_IN_MAX (8 * 1024) /* octets of replies held */
#define CLIENT_OUT_MAX (256 * 1024) /* octets queued for the server */
#define CLIENT_OUT_LOW (64 * 1024)

enum client_feature { /* of its EHLO */
	CF_PIPELINING = 1 << 0, /* RFC 2920 */
	CF_SIZE = 1 << 1, /* RFC 1870 */
	CF_8BITMIME = 1 << 2, /* RFC 6152 */
	CF_SMTPUTF8 = 1 << 3, /* RFC 6531 */
	CF_DSN = 1 << 4, /* RFC 3461 */
	CF_STARTTLS = 1 << 5, /* RFC 3207 */
	CF_CHUNKING = 1 << 6, /* RFC 3030 */
	CF_BINARYMIME = 1 << 7, /* RFC 3030 */
	CF_REQUIRETLS = 1 << 8, /* RFC 8689 */
	CF_PLAIN = 1 << 9, /* AUTH, RFC 4954 */
	CF_LOGIN = 1 << 10
};

enum client_phase {
	CP_DIALING,
	CP_GREETING,
	CP_HELLO, /* EHLO, LHLO */
	CP_OLD_HELLO, /* HELO */
	CP_STARTTLS,
	CP_SECURING,
	CP_AUTH, /* PLAIN, or the last word of LOGIN */
	CP_AUTH_NAME, /* LOGIN asks for the name */
	CP_AUTH_WORD, /* LOGIN asks for the password */
	CP_READY,
	CP_BROKEN
};

struct client {
	struct client_how how; /* with copies of all that it points to, freed when ready */
	char *host; /* how.host, which stays */
	const struct client_ops *ops;
	void *arg;
	enum client_phase phase;
	struct dial *dial;
	size_t at; /* the address in hand, of how.addrs */
	bool announce; /* ready is to be called when all input was looked at */
	bool clear; /* TLS failed there, or is not to be had: go on without */
	struct conn *c;
	struct line_reader in;
	struct smtp_reply reply;
	unsigned features;
	uint64_t size; /* of its SIZE; 0: no bound was said */
	struct sockaddr_storage addr;
	char relay[HOST_MAX + CIDR_TEXT_MAX];
	char *tls_bad; /* see client_tls_bad; NULL: conn_tls_bad is right */
	uint64_t reply_by; /* clock_ms: one that comes octet by octet ends there */
	struct transaction tx;
	bool dirty; /* a transaction is open at the server, or may be: RSET before the next */
	bool used; /* there were transactions before the one in hand */
	uint64_t sent;
	struct event soon; /* what must not be done from within a call of the owner */
	bool no_memory;
	bool silent; /* it fails because no reply came in time */
	int busy; /* inside a callback */
	bool dead; /* closed there */
};

/* --- client.c --- */

/*
 * The connection is of no more use: callbacks follow, so from the loop only; or, before it is
 * ready, the next address is tried.  dsn without its class: "4.2".
 */
void client_fail(struct client *c, enum client_end end, const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The same when a reply says so. */
void client_fail_reply(struct client *c, enum client_end end, const struct smtp_reply *r);

/* Call client_soon from the loop. */
void client_wake(struct client *c);

/* Queue a line without its CRLF.  Without memory the connection fails, from the loop. */
void client_say(struct client *c, const char *line);

/* A reply is to come within reply_ms times factor; 0: none is. */
void client_clock(struct client *c, unsigned factor);

/* The whole of a reply as one line: printable, cut to size. Returns out. */
char *reply_line(char *out, size_t outsz, const struct smtp_reply *r);

/* The enhanced code of a reply, or the general one of its class, which is given: '2', '4', '5'. */
void reply_dsn(char out[12], const struct smtp_reply *r, char class);

/* --- client_hello.c: from the connection until it is ready --- */

void hello_connected(struct client *c);
void hello_reply(struct client *c, const struct smtp_reply *r);
void hello_secured(struct client *c);
void hello_tls_failed(struct client *c, const char *text);

/* A connected socket is there, and is taken over; hello_connected is to follow. 0, or -1. */
int client_begin(struct client *c, int fd);

/* Everything but the connection: client_open without client_dial. */
struct client *client_new(const struct client_how *how, const struct client_ops *ops, void *arg);
int client_dial(struct client *c); /* to how.addrs from at on; 0, or -1 */

/* Once more from the address in hand on, on a new connection. */
void client_redial(struct client *c);

/* --- client_how.c --- */

/* A copy of all of it. 0, or -1 with errno EINVAL, ENOMEM. */
int how_copy(struct client_how *to, const struct client_how *from);

/* What is only needed to connect goes; passwords are wiped. */
void how_free(struct client_how *how);

#endif
