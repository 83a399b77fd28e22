#ifndef SMTPD_PEER_H
#define SMTPD_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/route.h"
#include "smtpd/reply.h"

struct conn;

/*
 * The SMTP client towards a peer: connection, greeting, TLS as the route says, EHLO; then
 * commands whose replies come back in order.
 */
struct peer;

struct peer_ops {
	void (*ready)(void *arg); /* commands may be given now */
	/*
	 * It is of no more use; called once, from the loop, and never for commands that still
	 * wait.  why has code and text for a client: 421 where the peer said so or could
	 * not be reached, 554 where it refused us, 451 where the connection was lost later, the
	 * peer's own where it refused a message before all of it was there.
	 */
	void (*failed)(const struct answer *why, void *arg);
	void (*drained)(void *arg); /* there is room again; may be NULL */
};

#define PEER_PENDING_MAX 64 /* commands without a reply */
#define PEER_OUT_MAX (256 * 1024) /* octets queued for it */

/* r must stay as long as the peer. NULL with errno ENOMEM. */
struct peer *peer_open(const struct proxy_route *r, const struct peer_ops *ops, void *arg);

/* Say QUIT if nothing is under way, and close. NULL is allowed; may be called from a callback. */
void peer_close(struct peer *p);

/* What its EHLO offered (enum feature), and its SIZE; from ready on. */
unsigned peer_features(const struct peer *p);
uint64_t peer_size(const struct peer *p);

/* "mail.example.org[192.0.2.1]:25" for the log; "none" before it was reached. */
const char *peer_relay(const struct peer *p);

/* The reply to a command; tag is the asker's own. */
typedef void (*peer_reply_fn)(void *arg, unsigned tag, const struct smtp_reply *r);

/*
 * Give a command (line without CRLF; no line ends in it).  Several may be under way only where
 * peer_features has F_PIPELINING, and not behind DATA and AUTH.
 *
 * fn	NULL when the reply does not matter
 *
 * Returns 0, or -1 with errno EMSGSIZE, ENOMEM, EPIPE, EINVAL.
 */
int peer_command(struct peer *p, const char *line, peer_reply_fn fn, void *arg, unsigned tag);

/*
 * Take the transaction back that is open there (RSET).  fn is called when that is done; a peer
 * that refuses has failed: what it would do with the next transaction nobody knows.
 */
int peer_reset(struct peer *p, peer_reply_fn fn, void *arg);

/* Commands whose replies are awaited, and may another be given now? */
unsigned peer_pending(const struct peer *p);
int peer_may_pipeline(const struct peer *p);

/*
 * Message text behind DATA goes to conn directly; then its reply is awaited, several times as
 * long as another (RFC 5321, 4.5.3.2.6).
 */
struct conn *peer_conn(struct peer *p);
void peer_stream(struct peer *p); /* from now on text is sent: it must take all in data_timeout */
int peer_expect_end(struct peer *p, peer_reply_fn fn, void *arg);

#endif
