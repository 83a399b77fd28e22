#ifndef SMTPD_OUT_H
#define SMTPD_OUT_H

#include "base/io.h"
#include "net/dots.h"
#include "smtpd/peer.h"

/*
 * One transaction at a peer: MAIL, RCPTs (pipelined where the peer can), DATA, the octets.  A
 * recipient that is refused does not stop it; when all are, or anything else is refused, it ends
 * with RSET and that reply.
 */
struct out_rcpt {
	const char *addr; /* without brackets */
	const char *params; /* " NOTIFY=..." or "" */
	unsigned code; /* of the peer's reply to RCPT */
	struct answer *got; /* that reply when it is no success, for free(); NULL without memory */
};

struct out {
	struct peer *peer;
	struct out_rcpt *rcpts;
	size_t n, sent, replied, taken;
	const struct octets *body;
	uint64_t off; /* octets of the body that were put out */
	struct sink to;
	struct dots_encoder enc;
	int active, refused, streaming;
	struct answer answer; /* of the whole, when done is called */
	void (*done)(void *arg);
	void *arg;
};

/*
 * Begin; done is called from the loop when answer is known.  Not called when the peer fails, of
 * which its owner hears; then out_stop.
 *
 * mail		the MAIL command; NULL: MAIL and RCPT were given before, in the open transaction
 * rcpts, n	1 or more, when mail is given; must stay until done
 * body		must stay until done
 *
 * Returns 0, or -1 with errno EPIPE (the peer is gone).
 */
int out_start(struct out *o, struct peer *p, const char *mail, struct out_rcpt *rcpts, size_t n,
    const struct octets *body, void (*done)(void *arg), void *arg);

/* Call from peer_ops.drained. */
void out_drained(struct out *o);

/* It is over, whatever came of it; no callback any more. */
void out_stop(struct out *o);

#endif
