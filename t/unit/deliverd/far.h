#ifndef UNIT_DELIVERD_FAR_H
#define UNIT_DELIVERD_FAR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "net/conn.h"

struct card;

/* Servers on addresses of loopback, all on the same port, with any number of connections. */
struct far {
	const char *ip;
	int fd;
	struct event *accept;
	TAILQ_HEAD(, far_conn) conns;

	/* What it says; to be changed at any time. */
	const char *greeting; /* the whole line; "421..." and the like end it;
			       * "": it says nothing */
	const char *features; /* "PIPELINING 8BITMIME"; STARTTLS comes by itself */
	const char *bad_rcpt, *bad_reply; /* a RCPT with this in it gets that */
	const char *end_reply; /* to the end of a message; NULL: 250 */
	const char *hang_up_at; /* the connection ends at a command that begins so, or at "." */
	struct ssl_ctx_st *tls; /* it offers STARTTLS */

	unsigned connections, open, messages, recipients, starttls;
	unsigned senders; /* MAILs */
};

/* The port of all of them. */
extern uint16_t far_port;

/* The first one takes a port, the others take the same. */
void far_start(struct far *f, const char *ip);
void far_stop(struct far *f);

/* Close what waits for the next message. */
void far_hang_up(struct far *f);

/* Certificates on P-256: names as subjectAltName in openssl.cnf, issuer NULL: an authority. */
struct card *card_new(const char *cn, const char *names, const struct card *issuer);
void card_free(struct card *c);
char *card_pem(const struct card *c); /* for free */
/* SHA-256 of its public key: TLSA with selector 1 and matching 1. */
void card_spki(const struct card *c, uint8_t out[32]);
/* The server shows it from now on. */
void far_show(struct far *f, const struct card *c, const struct card *issuer);

#endif
