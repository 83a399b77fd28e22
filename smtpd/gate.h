#ifndef SMTPD_GATE_H
#define SMTPD_GATE_H

#include <stddef.h>
#include <sys/socket.h>

#include "conf/conf.h"
#include "ipc/ipc.h"
#include "smtpd/reply.h"

struct chan;

/*
 * What keeps abusers away from a connector of the queue: a client's gate, from its connection to
 * its end.  It asks anvild (counts, rates, greylist) and dnsd (name of the address, DNSBL); while
 * one of them is away nobody is refused for that.
 *
 * A client of a connector without a gate, or of an exempt network, has none: NULL, which every
 * function here takes and answers with GATE_OK.  The configuration is copied: a reload may take it
 * away.
 *
 * One hook at a time: after GATE_WAIT no other but gate_early, gate_error and gate_close until done
 * was called, which happens once, from the loop, never from within a hook.
 */
struct gate;

enum gate_verdict {
	GATE_OK,
	GATE_WAIT, /* done tells which of the others it is */
	GATE_REFUSE, /* say gate_answer; the session goes on */
	GATE_CLOSE /* say gate_answer, and close */
};

struct gate_ops {
	void (*done)(enum gate_verdict v, void *arg);
};

/*
 * A client has come; greet it when the verdict is GATE_OK.  Before that: it is counted, waits for
 * the greeting if it has to, and its name is looked up.
 *
 * k	its connector under the running configuration; not kept
 * from	its address: the one that PROXY or XCLIENT told, if they did
 * name	that XCLIENT told; NULL: it is looked up (mx only)
 * shy	it has to be silent until it is greeted, so that it can be seen whether it is: 0 where
 *	TLS comes first, and after XCLIENT
 * v	receives GATE_OK, GATE_WAIT or GATE_CLOSE
 *
 * Returns the gate, or NULL with GATE_OK: nothing stands between this client and us.
 */
struct gate *gate_open(const struct conf_connector *k, const struct sockaddr_storage *from,
    const char *name, int shy, const struct gate_ops *ops, void *arg, enum gate_verdict *v);

/*
 * The client has gone, or changes its address (XCLIENT): done is not called any more.  The gate is
 * freed.
 */
void gate_close(struct gate *g);

/* The reply that belongs to the last GATE_REFUSE or GATE_CLOSE. */
const struct answer *gate_answer(const struct gate *g);

/*
 * The name that the client's address has, confirmed, or what XCLIENT told; "unknown" when none is
 * known so far, and without a gate.
 */
const char *gate_name(const struct gate *g);

/*
 * The client has sent these n octets before it was greeted.  GATE_OK: it is not minded, and they
 * stay where they are; or GATE_CLOSE, and done is not called any more.
 */
enum gate_verdict gate_early(struct gate *g, const void *p, size_t n);

/*
 * There is more input waiting behind a command that must be the last of its group (RFC 2920, 3.1):
 * HELO, EHLO, and DATA before its 354.
 *
 * where	the command, for the log; p, n: the beginning of what waits
 *
 * Returns GATE_OK or GATE_CLOSE; instead of answering the command.
 */
enum gate_verdict gate_hasty(struct gate *g, const char *where, const void *p, size_t n);

/* Has the client to say HELO or EHLO before MAIL?  1 without a gate. */
int gate_helo_required(const struct gate *g);

/* It has said so, and this name is not refused for its form alone; a false one is at RCPT. */
void gate_helo(struct gate *g, const char *helo);

/* MAIL: may this client send another message now?  GATE_OK, GATE_WAIT, GATE_REFUSE. */
enum gate_verdict gate_mail(struct gate *g);

/*
 * RCPT, once it is known that the recipient exists and the client may send to it: name, DNSBL,
 * greylist, rate.  GATE_OK, GATE_WAIT, GATE_REFUSE.
 *
 * sender	address of MAIL; "" for <>
 * trusted	it has logged in, or is one of those that may relay: only its rate counts
 */
enum gate_verdict gate_rcpt(struct gate *g, const char *sender, const char *rcpt, int trusted);

/*
 * The client made a mistake, or tried what it may not: any reply of 4xx or 5xx but those of the
 * gate itself.  Returns the milliseconds that its answer has to wait (no command is looked at
 * meanwhile), 0 for none.
 */
unsigned gate_error(struct gate *g);

/*
 * For smtpd.c: the configuration is another one; a channel came or went (c NULL); facts for gwctl
 * status.
 */
void gate_renew(void);
void gate_plumbed(enum proc_id peer, struct chan *c);
void gate_status(void);

#endif
