#ifndef SMTPD_PEER_H
#define SMTPD_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "proxy/upstream.h"
#include "smtpd/reply.h"

/*
 * The SMTP client towards a server: connection, greeting, TLS as the route says, EHLO; then
 * commands whose replies come back in order.
 *
 * At a peer of the configuration all of that happens by itself.  At a foreign server, and where
 * TLS is not ours, the owner begins TLS and says when to go on.
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

	/* Of a foreign server only, else NULL. */
	void (*connected)(void *arg); /* with TLS from the first octet on: peer_begin_tls now */
	/* TLS is there; as upstream_judged.  Nothing happens until peer_go_on. */
	void (*judged)(enum upstream_verdict v, const char *text, void *arg);
};

#define PEER_PENDING_MAX 64 /* commands without a reply */
#define PEER_OUT_MAX (256 * 1024) /* octets queued for it */

/*
 * to		a foreign server, copied; NULL: the route's peer
 * in_clear	do not begin TLS, whatever the route says of its peer: it will be somebody else's
 *
 * r must stay as long as the peer. NULL with errno ENOMEM.
 */
struct peer *peer_open(const struct proxy_route *r, const struct proxy_target *to, bool in_clear,
    const struct peer_ops *ops, void *arg);

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

/*
 * Ask for TLS on a client's behalf, with nothing under way.  fn is told the reply; with 220 no
 * command may be given any more, and the connection stands where TLS begins, in clear: what the
 * server says then is an attack, or a mistake, and the end.  0, or -1 as peer_command.
 */
int peer_starttls(struct peer *p, peer_reply_fn fn, void *arg);

/*
 * From there on, or from connected on:
 *
 * peer_begin_tls	asked as in upstream_start_tls; then judged is called, or failed, from
 *			within this call perhaps
 * peer_mint		as upstream_mint; not after peer_close
 * peer_go_on		greeting or EHLO, then ready
 * peer_release		the connection is the caller's, where TLS would begin; peer_close is due
 */
void peer_begin_tls(struct peer *p, const char *asked);
int peer_mint(
    struct peer *p, enum upstream_verdict v, const char *asked, upstream_minted fn, void *arg);
void peer_go_on(struct peer *p);
struct conn *peer_release(struct peer *p);

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
