#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Records on disk: named tables of key and value in one LMDB file, changed in transactions that
 * are durable when committed.  A folder holds data.mdb and data.seq (see file.c).
 *
 * LMDB itself does not notice a changed octet.  Here each record carries a checksum or, with a
 * key, is encrypted and authenticated, bound to its table and key; each table carries the number
 * and the sum of its records; and the file is walked by a child before it is used.  Damage is an
 * error that names the file, never a missing or changed record.
 *
 * One process has a store open, for reading or writing, one at a time (EBUSY otherwise); after a
 * fork the child must open its own.  Not for several threads.
 */
struct store;
struct store_txn;

#define STORE_KEY_MAX 480 /* octets of a record's key, 1 at least */
#define STORE_VALUE_MAX (64 * 1024 * 1024) /* octets of a record's value, 0 at least */
#define STORE_TABLES_MAX 32
#define STORE_NAME_MAX 32 /* octets of a table's name */
#define STORE_SECRET_LEN 32 /* octets of the key of a sealed store */

struct store_options {
	const char *name; /* of the folder, in messages (a chroot hides the real one); NULL: dir */
	uint64_t map_size; /* most octets the file may grow to; 0: 16 GiB */
	const char *const *tables; /* names, NULL at the end; numbered from 0 by the caller */
	const uint8_t *secret; /* STORE_SECRET_LEN octets: records are sealed with AES-256-GCM;
				* NULL: records are checksummed. Copied, wiped by store_close. */
	int readonly; /* never create, never write */
	int unsynced; /* a commit does not wait for the disk: it survives the end of the process,
		       * and after that of the machine the store may be damaged, which is noticed:
		       * for what can be done without */
	int unchecked; /* the caller just ran store_check itself */
};

/*
 * Walk the whole store in a child: size of the file, pages, tables, every record.  A folder without
 * data.mdb is fine (there is nothing yet).  Needs fork: run it before a seccomp filter forbids it.
 *
 * Returns 0, or -1 with errno EUCLEAN (damaged; e names the file and what was found), EACCES (wrong
 * key), or that of opening.
 */
int store_check(const char *dir, const struct store_options *o, struct err *e);

/*
 * Open, creating what is missing (mode 0600); runs store_check first.  dir may be relative, "."
 * too: nothing is opened later.
 *
 * Returns NULL with errno as store_check, or EBUSY (another process has it), ENOSPC.
 */
struct store *store_open(const char *dir, const struct store_options *o, struct err *e);
void store_close(struct store *s);

/*
 * Begin a transaction.  Readers see the state of their beginning; keep them short.  A writer and
 * readers at once are refused (EBUSY): one thread cannot need that.
 *
 * Returns NULL with errno.
 */
struct store_txn *store_read(struct store *s, struct err *e);
struct store_txn *store_write(struct store *s, struct err *e);

/*
 * End a transaction; t is gone in every case.  Commit of a writer is durable when it returns 0;
 * -1 with errno ENOSPC (disk or map full) or EIO: nothing of it is stored, everything before is.
 */
int store_commit(struct store_txn *t, struct err *e);
void store_abort(struct store_txn *t); /* NULL is fine */

/*
 * One record.  What value points to is valid until the next call with t.
 *
 * get	1 found, 0 not found, -1 with errno (EUCLEAN: damaged)
 * put	insert or replace; 0, or -1 with errno (EINVAL: key or value too long; ENOSPC)
 * del	1 done, 0 there was none, -1 with errno
 *
 * After -1 of put or del the transaction can only be aborted; store_commit then fails.
 */
int store_get(struct store_txn *t, unsigned table, const void *key, size_t klen,
    struct bytes *value, struct err *e);
int store_put(struct store_txn *t, unsigned table, const void *key, size_t klen, const void *value,
    size_t vlen, struct err *e);
int store_del(struct store_txn *t, unsigned table, const void *key, size_t klen, struct err *e);

/*
 * Step through a table in the order of the keys (octets, unsigned).  The key is both place and
 * result, so a walk may go on in a later transaction, and records may be changed between steps.
 *
 * pos	zeroed: the first record; then as left by the call before; or set by the caller:
 *	the first record with a key above pos->key
 *
 * Returns 1 with pos and value set, 0 at the end, -1 with errno.
 */
struct store_pos {
	uint8_t key[STORE_KEY_MAX];
	size_t klen;
};
int store_next(
    struct store_txn *t, unsigned table, struct store_pos *pos, struct bytes *value, struct err *e);

/* Records in a table; -1 with errno. */
int64_t store_count(struct store_txn *t, unsigned table, struct err *e);

/*
 * Octets of the file that hold something, for who keeps a store below its map_size: a file never
 * gets smaller, what lies free in it is used first.  0, or -1 with errno.
 */
int store_used(struct store_txn *t, uint64_t *octets, struct err *e);

#endif
