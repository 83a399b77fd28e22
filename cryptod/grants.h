#ifndef CRYPTOD_GRANTS_H
#define CRYPTOD_GRANTS_H

#include <stddef.h>
#include <stdint.h>

#include "ipc/messages.h"

/*
 * What policyd allowed: one worker, some keys, one operation, a number of times, until a
 * deadline.  A grant may come before the worker's own channel does (they travel over different
 * sockets); it goes with the channel, or with its deadline.
 */
#define GRANTS_MAX 65536 /* at once; some 200 octets each and 32 a key */
#define GRANTS_WORKER_MAX                                                                          \
	64 /* of one worker: it serves one message at a time, so its oldest go                     \
	    */
#define HOLDERS_MAX 8192 /* workers known, bound or not */
#define REFUSALS_MAX 16 /* refused requests of one worker before its channel is closed */

struct grants;
struct holder; /* a worker */

struct grants *grants_new(void); /* NULL with errno ENOMEM */
void grants_free(struct grants *g);

/*
 * Take a grant of policyd's; now in milliseconds of clock_ms.
 *
 * Returns CRYPTO_OK, CRYPTO_DENIED (the job's number is taken), CRYPTO_BUSY (full).
 */
enum crypto_status grants_add(struct grants *g, const struct grant_req *r, uint64_t now);

/*
 * This worker has a channel now.  Returns NULL with errno EEXIST (it has one already), ENOBUFS.
 * Until grants_unbind, which takes all its grants away.
 */
struct holder *grants_bind(struct grants *g, const uint8_t worker[WORKER_ID]);
void grants_unbind(struct grants *g, struct holder *h);

/* The worker's own number of refused requests; the caller counts. */
unsigned *grants_refusals(struct holder *h);

enum grant_verdict {
	GRANT_OK,
	GRANT_NONE, /* no such job for this worker: never given, another's, or gone */
	GRANT_EXPIRED,
	GRANT_WRONG_OP,
	GRANT_WRONG_KEY,
	GRANT_USED_UP
};

/*
 * May this worker do that now?  Uses up one operation when it may.
 *
 * consumer	receives whom the job is for (valid until the next call here), or NULL
 */
enum grant_verdict grants_use(struct grants *g, struct holder *h, struct bytes job, enum key_op op,
    struct bytes key, uint64_t now, const char **consumer);

/* The i-th key of a job: 1 and key, valid until the next call here, or 0 when there is none. */
int grants_key(struct grants *g, struct bytes job, unsigned i, struct bytes *key);

/* "no grant", "grant used up"...: for the log. */
const char *grants_why(enum grant_verdict v);

/* Forget what is past its deadline; returns how many grants are left. */
size_t grants_expire(struct grants *g, uint64_t now);

/* Void all grants; bound workers stay bound. */
void grants_clear(struct grants *g);

size_t grants_count(const struct grants *g);

#endif
