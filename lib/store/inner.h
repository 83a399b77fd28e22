#ifndef STORE_INNER_H
#define STORE_INNER_H

#include <lmdb.h>
#include <sys/types.h>

#include "store/frame.h"
#include "store/store.h"

/*
 * The parts of a store.
 *
 * data.mdb holds one LMDB table per table, and TALLY: for each table a record with the number of
 * its records and the sum of their tags (a page that was lost, or replaced by an older one, shows
 * there), and two records about the whole.
 */
#define TALLY "=tally" /* no caller's table can have that name */
#define TALLY_TXN "=txn" /* number of the transaction that wrote the file as it is (be64) */
#define TALLY_SECRET "=secret" /* in a sealed store: what a key must give, always a plain frame */
#define TALLY_LEN (8 + FRAME_TAG_LEN)

#define DATA_FILE "data.mdb"
#define SEQ_FILE "data.seq"

struct tally {
	uint64_t count;
	uint8_t sum[FRAME_TAG_LEN]; /* of the tags, modulo 2^128 */
	int loaded, dirty;
};

struct store {
	char *name; /* of the folder, for messages */
	char *data_path, *seq_path;
	MDB_env *env;
	MDB_dbi tally;
	MDB_dbi dbi[STORE_TABLES_MAX];
	char *table[STORE_TABLES_MAX];
	unsigned ntables;
	struct frame_ctx frame;
	size_t map_size;
	int readonly, unsynced;
	int seq_fd; /* data.seq, locked */
	pid_t pid; /* who opened it */
	unsigned readers;
	int writing;
};

struct store_txn {
	struct store *s;
	MDB_txn *txn;
	int writer, failed, changed;
	struct tally tally[STORE_TABLES_MAX];
	MDB_cursor *cursor; /* of the last store_next, NULL when it may have moved */
	unsigned cursor_table;
	uint8_t *frame; /* being written */
	size_t frame_size;
	uint8_t *plain; /* of the last sealed record read */
	size_t plain_size;
};

/* What data.seq says: see file.c. */
struct seq {
	uint64_t txn; /* last committed transaction; 0: none yet */
	uint64_t size; /* octets that data.mdb had then */
};

/* Set e from an LMDB return code: "NAME/data.mdb: what: reason". Returns -1 with errno. */
int store_fail(const struct store *s, struct err *e, int rc, const char *what);

/* The same for damage found by us: errno EUCLEAN, and the remedy. */
int store_damaged(const struct store *s, struct err *e, const char *file, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Make the struct with its paths and keys, nothing opened yet; NULL with errno. */
struct store *store_new(const char *dir, const struct store_options *o, struct err *e);

/* Make the names of new files durable. */
int folder_sync(const struct store *s, const char *dir, struct err *e);

int seq_open(struct store *s, struct err *e);
int seq_read(struct store *s, struct seq *q, struct err *e);
/* Note the last commit. A failure is not one of the commit: the older note stays true. */
void seq_write(struct store *s);

/* Open the environment and the tables that there are; *missing counts those that are not. */
int env_open(struct store *s, int readonly, unsigned *missing, struct err *e);

/* One record of TALLY. Returns 1, 0 when there is none, -1. */
int tally_get(struct store *s, MDB_txn *txn, const char *name, struct tally *t, struct err *e);
void tally_add(struct tally *t, const uint8_t *tag);
void tally_sub(struct tally *t, const uint8_t *tag);

/* Compare the key of a sealed store with TALLY_SECRET; EACCES when it is another one. */
int secret_check(struct store *s, MDB_txn *txn, int required, struct err *e);
/* What the record of the key holds. */
int secret_proof(struct store *s, uint8_t out[FRAME_TAG_LEN]);

/* The walk over everything, in a child; s has its paths, nothing open but data.seq. */
int check_walk(struct store *s, struct err *e);

/* The pages of data.mdb, read as octets: see pages.c. */
int pages_check(const struct store *s, int fd, struct err *e);

#endif
