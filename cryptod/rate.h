#ifndef CRYPTOD_RATE_H
#define CRYPTOD_RATE_H

#include <stddef.h>
#include <stdint.h>

/*
 * What each consumer's keys do: counted for the log, and limited by a token bucket, so that a
 * taken-over process cannot put a whole organisation's stored mail through cryptod unseen.
 */
#define RATE_BURST 30000 /* operations at once: a mailbox that is fetched anew */
#define RATE_PER_SECOND 500 /* and for ever after */
/* The same for the handshakes of one process of a proxy: they come before any login. */
#define RATE_TLS_BURST 20000
#define RATE_TLS_PER_SECOND 4000
/* And for the certificates that it has minted: each server's one is kept for days. */
#define RATE_MINT_BURST 2000
#define RATE_MINT_PER_SECOND 100
#define RATE_CONSUMERS_MAX 65536 /* followed at once; idle ones are forgotten */
#define RATE_REPORT 60000 /* milliseconds between two lines about one consumer */

struct rate;

enum rate_what { RATE_SIGNED, RATE_UNWRAPPED, RATE_REFUSED, RATE_KINDS };

/* burst: tokens at once; per_second: and for ever after.  NULL with errno ENOMEM. */
struct rate *rate_new(unsigned burst, unsigned per_second);
void rate_free(struct rate *r);

/* Take a token.  1, or 0: over the limit, or there is no room to follow this consumer. */
int rate_take(struct rate *r, const char *consumer, uint64_t now);

void rate_count(struct rate *r, const char *consumer, enum rate_what what, uint64_t now);

/*
 * Call tell for each consumer that did something and whose report is due, then begin its counts
 * anew; forget who has been idle.  all: whether due or not.
 */
void rate_report(struct rate *r, uint64_t now, int all,
    void (*tell)(const char *consumer, const unsigned counts[RATE_KINDS], unsigned limited));

#endif
