#ifndef CRYPTOD_KEYS_H
#define CRYPTOD_KEYS_H

#include <stdint.h>

#include "base/err.h"
#include "base/rec.h"
#include "ipc/messages.h"
#include "openpgp/skey.h"

/*
 * The private keys: sealed records in the store, loaded ones in memory.
 */
#define KEYS_CACHE_MAX 1024 /* keys kept ready; the longest unused one goes first */

/* As stored; its octets are sealed by lib/store, bound to the record's key (the fingerprint). */
#define REC_KEY_RECORD(F, L)                                                                       \
	F(U8, version, 1, 1)                                                                       \
	L(key_info, info, 1, 1)                                                                    \
	F(BYTES, secret, 1, KEY_SECRET_MAX)
REC_DECLARE(key_record, REC_KEY_RECORD)

/* Of an authority (enum authority): its key is among the others, use ca. */
#define REC_AUTHORITY_RECORD(F, L)                                                                 \
	F(U8, version, 1, 1)                                                                       \
	F(BYTES, fpr, KEY_FPR, KEY_FPR)                                                            \
	F(BYTES, cert, 1, CERT_DER_MAX)
REC_DECLARE(authority_record, REC_AUTHORITY_RECORD)

struct keys;

/*
 * A key of the cache.  It is valid until the next call of a keys_ function, or while it is held.
 */
struct loaded_key {
	uint8_t use; /* enum key_use */
	uint8_t disabled;
	uint8_t slow; /* loading and using it takes longer than handing it to a thread */
	struct pgp_skey *skey; /* of a slow one: only after loaded_key_ready */
};

/*
 * See to it that skey is there.  From any thread, by one that holds it.  0, or -1 with e: ENOMEM
 * (the secure heap is full), or as pgp_skey_load.
 */
int loaded_key_ready(struct loaded_key *k, struct err *e);

/* Keep it, though it may leave the cache.  From the loop. */
void loaded_key_hold(struct loaded_key *k);
void loaded_key_release(struct loaded_key *k);

/* Does it take that long?  For a key by its algorithm and public parameters. */
int key_is_slow(unsigned algo, struct bytes params);

/*
 * Open the store in the folder dir with its sealing key; created when create is set, else its
 * absence is damage.  name: the folder in messages.  NULL with e filled as by store_open.
 */
struct keys *keys_open(
    const char *dir, const char *name, const uint8_t seal[SEAL_KEY_LEN], int create, struct err *e);
void keys_close(struct keys *k); /* wipes what is loaded, unless it is held */

/*
 * What can be told of the store without its key: whether it is there and its pages are in order.
 * 0, or -1 with e: EUCLEAN.
 */
int keys_check(const char *dir, const char *name, struct err *e);

/* Is there a store at all? */
int keys_there(const char *dir);

/* Throw away a store that was never finished. */
int keys_remove(const char *dir, struct err *e);

/* The key, read when it was not there yet.  NULL with e filled: ENOKEY, EUCLEAN... */
struct loaded_key *keys_get(struct keys *k, struct bytes fpr, struct err *e);

/* Empty the cache, to make room in the secure heap. */
void keys_forget(struct keys *k);

/* One stored key, decoded; wipe and free with keys_entry_free. */
struct key_entry {
	struct key_record *rec; /* points into mem; NULL: nothing here */
	const struct key_info *info; /* rec's only one */
	uint8_t *mem;
	size_t n;
};
void keys_entry_free(struct key_entry *en);

/* 1 found, 0 not there, -1 with e (EUCLEAN). */
int keys_read(struct keys *k, struct bytes fpr, struct key_entry *out, struct err *e);

/*
 * Keys with a fingerprint above after (empty: from the first).
 *
 * out	room for max entries
 * more	receives whether there are further ones
 *
 * Returns how many, or -1 with e.
 */
int keys_list(struct keys *k, struct bytes after, struct key_entry *out, unsigned max, int *more,
    struct err *e);

/* Use and state without loading it. 1, 0 not there, -1 with e. */
int keys_peek(struct keys *k, struct bytes fpr, enum key_use *use, int *disabled, struct err *e);

int64_t keys_count(struct keys *k, struct err *e);

/*
 * Store a key unless one with its fingerprint is there; what is there stays, private half, use
 * and all.  stored receives the record as it is now.
 *
 * Returns 1 stored, 0 it was there, -1 with e (ENOSPC...); nothing changed then.
 */
int keys_add(struct keys *k, const struct pgp_skey *skey, enum key_use use, const char *label,
    uint64_t now, struct key_entry *stored, struct err *e);

/*
 * Keep a key that is never stored: keys_get has it until the store is closed.  It must be a quick
 * one; it is k's in any case.  0, or -1 with e.
 */
int keys_add_passing(struct keys *k, struct pgp_skey *skey, enum key_use use, struct err *e);

/* An authority as it is stored. */
struct authority_entry {
	uint8_t fpr[KEY_FPR]; /* of its key */
	size_t n;
	uint8_t cert[CERT_DER_MAX]; /* n octets */
};

/* 1 found, 0 there is none, -1 with e. */
int keys_authority(struct keys *k, enum authority a, struct authority_entry *out, struct err *e);

/*
 * Store an authority with its key, all at once.  The key of the one that it replaces is disabled.
 *
 * label	of the key
 * cert		DER
 *
 * Returns 0, or -1 with e: EEXIST (there is one, and replace is 0; or the key is there for another
 * use, or is the other authority's), ENOSPC... and nothing has changed.
 */
int keys_set_authority(struct keys *k, enum authority a, const struct pgp_skey *skey,
    const char *label, struct bytes cert, int replace, uint64_t now, struct err *e);

/* 0, or -1 with e: ENOKEY. */
int keys_set_disabled(struct keys *k, struct bytes fpr, int disabled, struct err *e);

#endif
