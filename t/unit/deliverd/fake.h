#ifndef UNIT_DELIVERD_FAKE_H
#define UNIT_DELIVERD_FAKE_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/buf.h"
#include "deliverd/client.h"

struct ssl_ctx_st;

/*
 * A server on loopback that does what its script says, and a client beside it on the same loop.
 *
 * A script is a list of lines, one script for each connection; behind its end the server says no
 * more and keeps the connection open:
 *
 *	S text		say a line
 *	R text		say it without a line end
 *	C text		wait for a line that begins so
 *	D		wait for the end of a message's text
 *	B number	wait for so many octets
 *	T		shake hands as a TLS server
 *	W		wait 20 ms
 *	H		read no more
 *	X		close politely
 *	Z		reset the connection
 */
typedef const char *const script[];

#define FAKE_SCRIPTS_MAX 4

struct fake {
	struct event_base *base;
	int fd;
	struct event *accept, *timer;
	uint16_t port;
	const char *const *scripts[FAKE_SCRIPTS_MAX];
	unsigned conns;
	struct conn *c;
	const char *const *at;
	struct buf in, pending;
	struct buf got; /* all that it heard */
	char wrong[256]; /* a line that was not the one awaited */
	unsigned reads; /* how often something came */
	size_t budget; /* octets it says before it closes the connection */
	size_t said;
	bool drip; /* octet by octet */
	int twice,
	    never; /* the line of that number (S only, 0 is the first) is said twice, or not */
	int line;
	struct ssl_ctx_st *tls;
	bool shaking;
};

/* What came of it. */
struct world {
	struct event_base *base;
	struct fake fake;
	struct client_how how; /* to the fake; may be changed before world_open */
	struct sockaddr_storage addr;
	struct client *client;
	unsigned ready, done, closed, tls;
	struct client_failure failure;
	char tls_result[64], tls_reason[256];
	struct envelope env;
	struct job_rcpt to[100];
	struct client_rcpt rcpts[100];
	char texts[100][200];
	struct octets body;
	struct client_mail mail;
	bool site, stale;
	bool close_in_done; /* client_close from within done */
	const char *again; /* another message, sent from within done */
};

/* scripts: of the first, second... connection; NULL at the end. */
void world_start(struct world *w, const char *const *first, const char *const *second);
void world_stop(struct world *w);

/* Connect; until ready or closed. */
void world_dial(struct world *w);
void world_open(struct world *w);

/* Send a message to some recipients, NULL at the end; until done. */
void world_send(struct world *w, const char *body, const char *const to[]);
void world_begin(struct world *w, const struct octets *body, const char *const to[]);

/* Run the loop for ms, or until *n is at least want; whether it is. */
bool world_run(struct world *w, const unsigned *n, unsigned want, unsigned ms);

/*
 * What came of the last message: for each recipient "sent 2.0.0", "relayed", "delayed", "failed";
 * then "idle" or why the connection was closed, and "site", "stale".  Valid until the next call.
 */
const char *world_outcome(const struct world *w);

/* Did the server hear this? */
bool world_heard(const struct world *w, const char *text);

extern const char *const alice[]; /* one recipient, a@x.example */

#define MESSAGE "Subject: x\r\n\r\nhello\r\n"

#endif
