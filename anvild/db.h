#ifndef ANVILD_DB_H
#define ANVILD_DB_H

#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

/*
 * What is remembered over restarts: an LMDB store in the jail.  Nothing in it is precious: it is
 * not synced, a damaged one is begun anew, and without one all goes on, but for the memory.
 *
 * Every value but those of T_TLSRPT begins with the time when it is dropped (be32, seconds since
 * the epoch).  Keys are spread evenly or nearly so, and there are at most so many of each table:
 * where it is full, some of those that are worth least make room.
 */
enum table_id { T_PASSED, T_GREY, T_KNOWN, T_TLSRPT };

#define PASSED_MAX 200000
#define GREY_MAX 500000
#define KNOWN_MAX 100000

/*
 * dir	the folder		name	of it, in messages
 *
 * Returns 0, also when there is no store to be had, which is logged; -1 with e and errno EBUSY:
 * another process has it.
 */
int db_open(const char *dir, const char *name, struct err *e);
void db_close(void);

/*
 * The transaction that all requests share until db_commit; NULL: there is no store.  What value
 * points to is valid until the next call.
 */
struct store_txn *db_txn(void);

/* End it.  What was changed stays; db_dirty: there is such. */
void db_commit(void);
int db_dirty(void);

/* One record of T_PASSED, T_GREY or T_KNOWN, not older than it may be: 1, else 0. */
int db_get(enum table_id table, const void *key, size_t klen, uint64_t now, struct bytes *value);

/* value begins with the time when it is dropped.  now: seconds since the epoch. */
void db_put(enum table_id table, const void *key, size_t klen, const void *value, size_t vlen,
    uint64_t now);

/* Look at some more records, and drop those whose time is over; once a minute or so. */
void db_sweep(uint64_t now);

/* Records of a table, for status. */
int64_t db_count(enum table_id table);

/*
 * The store itself, or NULL: for who has transactions of its own, while none is open here
 * (db_commit).  changed is called when it is another one, or none; the one before is gone then.
 */
struct store *db_store(void);
void db_watch(void (*changed)(struct store *s));

#endif
