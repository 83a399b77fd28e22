#ifndef ANVILD_COUNTS_H
#define ANVILD_COUNTS_H

#include <stdint.h>

#include "conf/conf.h"
#include "ipc/msg_anvil.h"

/*
 * Connections at once, and rates per minute, of clients and networks at each gate, over all smtpd.
 * A rate is that of the last sixty seconds: of the minute that has begun, and of the part of the
 * one before that still counts.  What was refused is not counted, so that a client that is too
 * fast gets on as fast as it may.
 *
 * now: milliseconds of a clock that does not go back.
 */
#define COUNTS_CLIENTS_MAX 65536 /* clients and networks, each; about 20 MB when all are taken */
#define COUNTS_TEXT_MAX 256

struct counts;

struct counts *counts_new(void); /* NULL: no memory */
void counts_free(struct counts *c); /* NULL is allowed */

/*
 * A client has connected to this smtpd; counted only with CLIENT_OK.
 *
 * text	receives the figure and its limit when it is refused, else ""
 */
enum client_verdict counts_enter(struct counts *c, const struct conf_gate *g, unsigned instance,
    struct bytes ip, uint64_t now, char text[COUNTS_TEXT_MAX]);

/*
 * It has gone, with so many errors.  Of one that was not counted the errors are.  The gate may be
 * one that a reload has taken away.
 */
void counts_leave(struct counts *c, const char *gate, unsigned instance, struct bytes ip,
    uint32_t errors, uint64_t now);

/* May it send so many messages and recipients more?  1 or 0, with text as above. */
int counts_rate(struct counts *c, const struct conf_gate *g, struct bytes ip, uint32_t messages,
    uint32_t recipients, uint64_t now, char text[COUNTS_TEXT_MAX]);

/* This smtpd is another one now: its connections are no more. */
void counts_forget(struct counts *c, unsigned instance, uint64_t now);

/* Give memory back; once a minute or so. */
void counts_sweep(struct counts *c, uint64_t now);

/* For status. */
struct counts_facts {
	unsigned clients, networks; /* remembered */
	unsigned connections; /* open */
	uint64_t refused[CLIENT_ERRORS + 1]; /* by enum client_verdict */
	uint64_t slowed; /* rates of messages and recipients */
};
void counts_facts(const struct counts *c, struct counts_facts *f);

#endif
