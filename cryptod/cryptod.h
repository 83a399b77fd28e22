#ifndef CRYPTOD_CRYPTOD_H
#define CRYPTOD_CRYPTOD_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "base/err.h"
#include "cryptod/grants.h"
#include "cryptod/ignition.h"
#include "cryptod/keys.h"
#include "cryptod/ops.h"
#include "cryptod/perm.h"
#include "cryptod/pool.h"
#include "cryptod/rate.h"
#include "proc/proc.h"

/*
 * The daemon.  Locked (no keys in memory, no grants) or unlocked; requests are judged at once, in
 * the handler, from what is in memory or one read of the store, and answered there too, unless the
 * key is a slow one (ops.h).
 */
#define NEW_KEYS_MAX 64 /* keys just made that still may sign their own binding */
#define NEW_KEY_TTL 600000 /* milliseconds that a key counts as new */

/* A filterd worker's channel. */
struct worker {
	LIST_ENTRY(worker) next;
	struct chan *chan;
	struct holder *holder;
	char name[2 * WORKER_ID + 1]; /* for the log */
};

struct cryptod {
	struct event_base *base;
	struct event tick;
	int ticking;
	char *dir, *name; /* of the key store: as it is reached, as people know it */
	int dirfd;
	struct ignition ignition;
	int initialised; /* ignition is there and complete */
	struct keys *keys; /* NULL: locked */
	struct grants *grants;
	struct rate *rate; /* of consumers */
	struct rate *tls_rate; /* of proxies */
	struct rate *mint_rate; /* the same, for certificates */
	struct pool *pool;
	LIST_HEAD(, worker) workers;
	unsigned nworkers;
	struct {
		uint8_t fpr[KEY_FPR];
		uint64_t until; /* clock_ms; 0: free */
	} fresh[NEW_KEYS_MAX];
	uint8_t leaf[KEY_FPR]; /* of the key of minted certificates, if there is one */
	uint64_t nsigned, nunwrapped, nhandshakes, nminted, nrefused;
};

extern struct cryptod cryptod;
extern const struct chan_handler cryptod_handlers[];

/*
 * Load what can be loaded while locked.
 *
 * dir		the key store's folder as this process reaches it
 * name		the same in messages
 * threads	for slow operations
 *
 * Returns 0, or -1 with e: EUCLEAN (damaged; the file is named)...
 */
int cryptod_load(
    struct event_base *base, const char *dir, const char *name, unsigned threads, struct err *e);
void cryptod_unload(void); /* lock, close every worker's channel, free */

/*
 * The changes of state.  0, or -1 with e: ENOENT (not initialised), EEXIST (is already),
 * EKEYREJECTED (wrong key), EUCLEAN (damaged)...
 */
int cryptod_init(const struct seal_params *p, const uint8_t seal[SEAL_KEY_LEN], struct err *e);
int cryptod_unlock(const uint8_t seal[SEAL_KEY_LEN], struct err *e);
void cryptod_lock(void);

/* Leave the sealing key with master, when unlocked and master's channel stands. */
void cryptod_leave_key(void);

/* The enum crypto_status that says e to a peer. */
enum crypto_status cryptod_status(const struct err *e);

/* worker.c: channels of workers and what they ask. */
void cryptod_worker_bind(struct chan *c, struct ipc_msg *m);
void cryptod_workers_close(void);

/* tls.c */
void cryptod_tls_sign(struct chan *c, struct ipc_msg *m);

/* mint.c */
void cryptod_mint(struct chan *c, struct ipc_msg *m);

/* ca.c: the authorities. */
void cryptod_ca_init(struct chan *c, struct ipc_msg *m);
void cryptod_ca_get(struct chan *c, struct ipc_msg *m);
void cryptod_ca_tool_gone(unsigned instance); /* as cryptod_tool_gone */
void cryptod_ca_tools_gone(void);

/*
 * What must be known about the proxy authority before it is too late; "" when nothing must.
 * Returns out.
 */
#define CA_NOTE_MAX 160
const char *cryptod_ca_note(char out[CA_NOTE_MAX]);
void cryptod_ca_facts(void); /* inside the status callback */

/* policy.c */
void cryptod_grant(struct chan *c, struct ipc_msg *m);

void cryptod_note(void); /* tell master what is special now */

/* admin.c: keyctl's requests. */
#define CRYPTOD_TEXT_MAX 400 /* octets of text in an answer */
#define CRYPTOD_LOCKED_TEXT "the key store is locked: run keyctl unlock"

/*
 * May this be done now?  use 0: with no key in particular.  Returns CRYPTO_OK, or the status and
 * its text.
 */
enum crypto_status cryptod_permitted(
    struct chan *c, unsigned use, enum perm_op op, const char **text);
void cryptod_keys_state(struct chan *c, struct ipc_msg *m);
void cryptod_keys_init(struct chan *c, struct ipc_msg *m);
void cryptod_keys_unlock(struct chan *c, struct ipc_msg *m);
void cryptod_keys_lock(struct chan *c, struct ipc_msg *m);
void cryptod_key_generate(struct chan *c, struct ipc_msg *m);
void cryptod_key_import(struct chan *c, struct ipc_msg *m);
void cryptod_key_export(struct chan *c, struct ipc_msg *m);
void cryptod_key_list(struct chan *c, struct ipc_msg *m);
void cryptod_key_certify(struct chan *c, struct ipc_msg *m);
void cryptod_key_disable(struct chan *c, struct ipc_msg *m);
void cryptod_tool_gone(unsigned instance); /* its channel; nobody waits for its key any more */
void cryptod_tools_gone(void); /* all of them */

#endif
