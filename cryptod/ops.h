#ifndef CRYPTOD_OPS_H
#define CRYPTOD_OPS_H

#include <sys/queue.h>

#include "base/err.h"
#include "base/rec.h"
#include "cryptod/keys.h"
#include "cryptod/pool.h"
#include "cryptod/tlssign.h"
#include "proc/chan.h"

/*
 * One operation with a private key: what was asked, and what came of it.  With keys that are quick
 * it is done at once; what takes longer than handing it over does is done in a thread, so that the
 * loop goes on.
 */
struct op {
	struct pool_job job;
	LIST_ENTRY(op) next;

	/* Filled by whoever asks. */
	struct chan *chan; /* NULL in done: nobody waits for it any more */
	uint64_t id; /* of the request */
	const char *line; /* for whom: at most POOL_NAME_MAX octets */
	struct loaded_key *key; /* NULL: none of the store's */
	int slow; /* without a key: is it for a thread? */
	unsigned number; /* hash or scheme */
	struct bytes in; /* stays where it is until op_run returns */
	/* Anywhere; the loop's memory is out of bounds for it. */
	enum crypto_status (*work)(struct op *op);
	/* In the loop: answer.  What out points to must be freed here. */
	void (*done)(struct op *op);

	enum crypto_status status;
	struct err err;
	union {
		struct pgp_sigval sig;
		struct pgp_session_key session_key;
		struct {
			size_t n;
			uint8_t p[TLS_VALUE_MAX];
		} tls;
		struct pgp_skey *made;
		struct {
			struct pgp_skey *key; /* NULL: none was made */
			struct buf cert; /* in memory of its own */
		} issued;
	} out;

	/* ops.c's own */
	enum proc_id peer;
	unsigned instance;
	int again;
};

/*
 * Do it, now or in a thread; op itself is copied for that.  done is called once in any case:
 * CRYPTO_OK or what work said; CRYPTO_BUSY: too much is waiting; CRYPTO_LOCKED: the store was
 * locked before it was answered, and out is empty.
 */
void op_run(struct op *op);

/* Nobody waits for the answers any more that were to go over this channel, or to this peer. */
void ops_forget(const struct chan *c);
void ops_forget_peer(enum proc_id peer, unsigned instance);

/*
 * End all that is under way, after waiting for what is at work: afterwards no operation has a key.
 * answer: 0 when there is nobody left to be told.
 */
void ops_end(int answer);

/* How many are under way; fn (may be NULL) is called from the loop when there are none left. */
unsigned ops_count(void);
void ops_when_none(void (*fn)(void));

#endif
