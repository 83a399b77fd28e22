#include "anvild/db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define MAP_SIZE (512ULL << 20) /* all tables full take less than half of it */
#define SWEEP_STEP 2000 /* records looked at once: some milliseconds */
#define ROOM_LOOK 32 /* records of which the least one makes room */
#define QUIET 60000 /* ms between complaints */

static const char *const tables[] = {
    [T_PASSED] = "passed", [T_GREY] = "grey", [T_KNOWN] = "known", [T_TLSRPT] = "tlsrpt", NULL};
static const int64_t most[] = {[T_PASSED] = PASSED_MAX, [T_GREY] = GREY_MAX, [T_KNOWN] = KNOWN_MAX};

#define AGING (T_KNOWN + 1) /* tables whose records have a time */

static struct store *store;
static struct store_txn *txn;
static int dirty;
static char folder[256], title[256];
static struct store_pos at[AGING]; /* of the sweep */
static uint64_t complained;
static void (*watcher)(struct store *s);

static uint32_t
until_of(struct bytes v)
{
	if (v.n < 4)
		return 0;
	return (uint32_t)v.p[0] << 24 | (uint32_t)v.p[1] << 16 | (uint32_t)v.p[2] << 8 | v.p[3];
}

static struct store *
open_store(int unchecked, struct err *e)
{
	struct store_options o = {.name = title,
	    .map_size = MAP_SIZE,
	    .tables = tables,
	    .unsynced = 1,
	    .unchecked = unchecked};

	return store_open(folder, &o, e);
}

static void
remove_files(void)
{
	static const char *const files[] = {"data.mdb", "data.seq"};
	char path[sizeof folder + 16];
	size_t i;

	for (i = 0; i < sizeof files / sizeof files[0]; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
		(void)unlink(path);
	}
}

/* What was remembered is void. */
static void
begin_anew(const char *why)
{
	const char *remedy = strstr(why, "; restore");
	struct err e = {0};

	log_warn("%.*s; nothing in it is precious, it is begun anew",
	    (int)(remedy != NULL ? (size_t)(remedy - why) : strlen(why)), why);
	store_abort(txn);
	txn = NULL;
	dirty = 0;
	if (store != NULL)
		store_close(store);
	memset(at, 0, sizeof at);
	remove_files();
	if ((store = open_store(1, &e)) == NULL)
		log_warn("%s: nothing is remembered over restarts", e.text);
	if (watcher != NULL)
		watcher(store);
}

int
db_open(const char *dir, const char *name, struct err *e)
{
	struct err why = {0};
	struct store *s;

	(void)strlcpy(folder, dir, sizeof folder);
	(void)strlcpy(title, name, sizeof title);
	if ((s = open_store(0, &why)) != NULL) {
		store = s;
		return 0;
	}
	if (why.code == EBUSY) {
		if (e != NULL)
			*e = why;
		errno = EBUSY;
		return -1;
	}
	if (why.code == EUCLEAN)
		begin_anew(why.text);
	else
		log_warn("%s: nothing is remembered over restarts", why.text);
	return 0;
}

void
db_close(void)
{
	db_commit();
	if (store != NULL)
		store_close(store);
	store = NULL;
	memset(at, 0, sizeof at);
}

/* The transaction is of no more use. */
static void
failed(const struct err *e)
{
	uint64_t now = clock_ms();

	if (e->code == EUCLEAN) {
		begin_anew(e->text);
		return;
	}
	if (complained == 0 || now - complained >= QUIET) {
		log_warn("%s; what came last is not remembered", e->text);
		complained = now;
	}
	store_abort(txn);
	txn = NULL;
	dirty = 0;
}

struct store_txn *
db_txn(void)
{
	struct err e = {0};

	if (store != NULL && txn == NULL && (txn = store_write(store, &e)) == NULL)
		failed(&e);
	return txn;
}

void
db_commit(void)
{
	struct err e = {0};
	struct store_txn *t = txn;

	txn = NULL;
	dirty = 0;
	if (t != NULL && store_commit(t, &e) == -1)
		failed(&e);
}

int
db_dirty(void)
{
	return dirty;
}

struct store *
db_store(void)
{
	return store;
}

void
db_watch(void (*changed)(struct store *s))
{
	watcher = changed;
}

int
db_get(enum table_id table, const void *key, size_t klen, uint64_t now, struct bytes *value)
{
	struct err e = {0};
	int rc;

	if (db_txn() == NULL)
		return 0;
	if ((rc = store_get(txn, table, key, klen, value, &e)) == -1) {
		failed(&e);
		return 0;
	}
	return rc == 1 && until_of(*value) > now;
}

/*
 * Go on with the walk by n records, dropping those whose time is over.  Of the others the one that
 * would be the first, unless least is NULL.  Returns how many were dropped, or -1.
 */
static int
walk(enum table_id table, unsigned n, uint64_t now, struct store_pos *least, struct err *e)
{
	uint64_t soonest = UINT64_MAX;
	struct bytes v;
	int rc, gone = 0;

	for (; n > 0; n--) {
		if ((rc = store_next(txn, table, &at[table], &v, e)) == -1)
			return -1;
		if (rc == 0) {
			at[table].klen = 0;
			break;
		}
		if (until_of(v) <= now) {
			if (store_del(txn, table, at[table].key, at[table].klen, e) == -1)
				return -1;
			gone++;
			dirty = 1;
		} else if (least != NULL && until_of(v) < soonest) {
			soonest = until_of(v);
			*least = at[table];
		}
	}
	return gone;
}

/* Before a new record: 0, or -1. */
static int
make_room(enum table_id table, uint64_t now, struct err *e)
{
	struct store_pos least = {.klen = 0};
	int64_t n = store_count(txn, table, e);
	int gone;

	if (n < most[table])
		return n == -1 ? -1 : 0;
	/* The walk may have come to the end of the table without having seen any. */
	if ((gone = walk(table, ROOM_LOOK, now, &least, e)) == 0 && least.klen == 0)
		gone = walk(table, ROOM_LOOK, now, &least, e);
	if (gone != 0 || least.klen == 0)
		return gone == -1 ? -1 : 0;
	return store_del(txn, table, least.key, least.klen, e) == -1 ? -1 : 0;
}

void
db_put(
    enum table_id table, const void *key, size_t klen, const void *value, size_t vlen, uint64_t now)
{
	struct err e = {0};
	struct bytes old;
	int rc;

	if (db_txn() == NULL)
		return;
	rc = store_get(txn, table, key, klen, &old, &e);
	if (rc == -1 || (rc == 0 && make_room(table, now, &e) == -1) ||
	    store_put(txn, table, key, klen, value, vlen, &e) == -1) {
		failed(&e);
		return;
	}
	dirty = 1;
}

void
db_sweep(uint64_t now)
{
	struct err e = {0};
	int table;

	for (table = 0; table < AGING; table++)
		if (db_txn() != NULL && walk((enum table_id)table, SWEEP_STEP, now, NULL, &e) == -1)
			failed(&e);
}

int64_t
db_count(enum table_id table)
{
	struct err e = {0};
	int64_t n;

	if (db_txn() == NULL)
		return 0;
	if ((n = store_count(txn, table, &e)) == -1) {
		failed(&e);
		return 0;
	}
	return n;
}
