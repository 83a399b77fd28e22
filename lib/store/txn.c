#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/inner.h"

static struct store_txn *
begin(struct store *s, int writer, struct err *e)
{
	struct store_txn *t;
	int rc;

	if (s->pid != getpid()) {
		(void)err_set(e, EBUSY, "%.200s: was opened by another process", s->name);
		return NULL;
	}
	if (s->writing || (writer && s->readers > 0)) {
		(void)err_set(e, EBUSY, "%.200s: a transaction is open", s->name);
		return NULL;
	}
	if (writer && s->readonly) {
		(void)err_set(e, EROFS, "%.200s: opened for reading", s->name);
		return NULL;
	}
	if ((t = calloc(1, sizeof *t)) == NULL) {
		(void)err_sys(e, "%.200s", s->name);
		return NULL;
	}
	t->s = s;
	t->writer = writer;
	if ((rc = mdb_txn_begin(s->env, NULL, writer ? 0 : MDB_RDONLY, &t->txn)) != 0) {
		free(t);
		(void)store_fail(s, e, rc, "begin");
		return NULL;
	}
	if (writer)
		s->writing = 1;
	else
		s->readers++;
	return t;
}

struct store_txn *
store_read(struct store *s, struct err *e)
{
	return begin(s, 0, e);
}

struct store_txn *
store_write(struct store *s, struct err *e)
{
	return begin(s, 1, e);
}

static void
drop_cursor(struct store_txn *t)
{
	if (t->cursor != NULL)
		mdb_cursor_close(t->cursor);
	t->cursor = NULL;
}

/* Free everything but the LMDB transaction, which is ended already. */
static void
end(struct store_txn *t)
{
	if (t->writer)
		t->s->writing = 0;
	else
		t->s->readers--;
	if (t->plain != NULL)
		explicit_bzero(t->plain, t->plain_size);
	free(t->plain);
	free(t->frame);
	free(t);
}

void
store_abort(struct store_txn *t)
{
	if (t == NULL)
		return;
	drop_cursor(t);
	mdb_txn_abort(t->txn);
	end(t);
}

static uint8_t *
grow(uint8_t **p, size_t *size, size_t want)
{
	uint8_t *v;

	if (want <= *size)
		return *p;
	if ((v = malloc(want)) == NULL)
		return NULL;
	if (*p != NULL)
		explicit_bzero(*p, *size);
	free(*p);
	*p = v;
	*size = want;
	return v;
}

/* Put a record of TALLY. */
static int
tally_put(struct store_txn *t, const char *name, const uint8_t *value, size_t n, struct err *e)
{
	struct store *s = t->s;
	struct frame_place at = {TALLY, name, strlen(name)};
	uint8_t frame[FRAME_SEALED_HEAD + TALLY_LEN];
	MDB_val k = {at.klen, (void *)(uintptr_t)name}, v = {frame_head(&s->frame) + n, frame};
	int rc;

	if (frame_encode(&s->frame, &at, value, n, frame) == -1)
		return err_sys(e, "%.200s: checksum", s->name);
	if ((rc = mdb_put(t->txn, s->tally, &k, &v, 0)) != 0)
		return store_fail(s, e, rc, "write");
	return 0;
}

static int
put_tallies(struct store_txn *t, struct err *e)
{
	uint8_t b[TALLY_LEN];
	unsigned i;

	for (i = 0; i < t->s->ntables; i++) {
		if (!t->tally[i].dirty)
			continue;
		put_be64(b, t->tally[i].count);
		memcpy(b + 8, t->tally[i].sum, FRAME_TAG_LEN);
		if (tally_put(t, t->s->table[i], b, sizeof b, e) == -1)
			return -1;
	}
	put_be64(b, mdb_txn_id(t->txn));
	return tally_put(t, TALLY_TXN, b, 8, e);
}

int
store_commit(struct store_txn *t, struct err *e)
{
	struct store *s = t->s;
	int rc;

	if (!t->writer || !t->changed || t->failed) {
		rc = t->failed ? err_set(e, EINVAL, "%.200s: commit after a failure", s->name) : 0;
		store_abort(t);
		return rc;
	}
	drop_cursor(t);
	if (put_tallies(t, e) == -1) {
		rc = errno;
		store_abort(t);
		errno = rc;
		return -1;
	}
	rc = mdb_txn_commit(t->txn); /* frees it in every case */
	end(t);
	if (rc != 0)
		return store_fail(s, e, rc, "commit");
	seq_write(s);
	return 0;
}

static int
bad_call(const struct store_txn *t, unsigned table, size_t klen, struct err *e)
{
	if (table >= t->s->ntables || klen == 0 || klen > STORE_KEY_MAX) {
		(void)err_set(
		    e, EINVAL, "%.200s: no such table, or a key of %zu octets", t->s->name, klen);
		return 1;
	}
	return 0;
}

/* Check and open what stands in the file. */
static int
open_value(struct store_txn *t, unsigned table, const MDB_val *k, const MDB_val *v,
    struct bytes *value, struct err *e)
{
	struct store *s = t->s;
	struct frame_place at = {s->table[table], k->mv_data, k->mv_size};
	uint8_t *plain = NULL;

	if (s->frame.gcm != NULL &&
	    (plain = grow(&t->plain, &t->plain_size, v->mv_size + 16)) == NULL)
		return err_sys(e, "%.200s", s->name);
	if (frame_decode(&s->frame, &at, v->mv_data, v->mv_size, plain, value) == 0)
		return 0;
	if (errno != EBADMSG)
		return err_sys(e, "%.200s: read", s->name);
	return store_damaged(s, e, DATA_FILE, "a record of table %s is wrong", s->table[table]);
}

int
store_get(struct store_txn *t, unsigned table, const void *key, size_t klen, struct bytes *value,
    struct err *e)
{
	MDB_val k = {klen, (void *)(uintptr_t)key}, v;
	int rc;

	if (bad_call(t, table, klen, e))
		return -1;
	if ((rc = mdb_get(t->txn, t->s->dbi[table], &k, &v)) == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return store_fail(t->s, e, rc, "read");
	return open_value(t, table, &k, &v, value, e) == -1 ? -1 : 1;
}

/* Before a change: its tally is needed, and the record that it replaces. old: 1 there is one. */
static int
prepare(
    struct store_txn *t, unsigned table, MDB_val *k, uint8_t old_tag[FRAME_TAG_LEN], struct err *e)
{
	struct store *s = t->s;
	const uint8_t *tag;
	MDB_val v;
	int rc;

	drop_cursor(t);
	if (!t->writer || t->failed)
		return err_set(e, EINVAL, "%.200s: change without a writing transaction", s->name);
	if (!t->tally[table].loaded) {
		rc = tally_get(s, t->txn, s->table[table], &t->tally[table], e);
		if (rc == 0)
			return store_damaged(
			    s, e, DATA_FILE, "table %s has no tally", s->table[table]);
		if (rc == -1)
			return -1;
	}
	if ((rc = mdb_get(t->txn, s->dbi[table], k, &v)) == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return store_fail(s, e, rc, "read");
	if ((tag = frame_tag(&s->frame, v.mv_data, v.mv_size)) == NULL)
		return store_damaged(
		    s, e, DATA_FILE, "a record of table %s is too short", s->table[table]);
	memcpy(old_tag, tag, FRAME_TAG_LEN);
	return 1;
}

static int
put(struct store_txn *t, unsigned table, MDB_val *k, const void *value, size_t vlen, struct err *e)
{
	struct store *s = t->s;
	struct frame_place at = {s->table[table], k->mv_data, k->mv_size};
	uint8_t old_tag[FRAME_TAG_LEN];
	MDB_val v = {frame_head(&s->frame) + vlen, NULL};
	int rc, old = prepare(t, table, k, old_tag, e);

	if (old == -1)
		return -1;
	if ((v.mv_data = grow(&t->frame, &t->frame_size, v.mv_size + 16)) == NULL)
		return err_sys(e, "%.200s", s->name);
	if (frame_encode(&s->frame, &at, value, vlen, v.mv_data) == -1)
		return err_sys(e, "%.200s: checksum", s->name);
	if ((rc = mdb_put(t->txn, s->dbi[table], k, &v, 0)) != 0)
		return store_fail(s, e, rc, "write");
	if (old == 1)
		tally_sub(&t->tally[table], old_tag);
	tally_add(&t->tally[table], frame_tag(&s->frame, v.mv_data, v.mv_size));
	t->tally[table].dirty = 1;
	t->changed = 1;
	return 0;
}

int
store_put(struct store_txn *t, unsigned table, const void *key, size_t klen, const void *value,
    size_t vlen, struct err *e)
{
	MDB_val k = {klen, (void *)(uintptr_t)key};
	int rc;

	if (bad_call(t, table, klen, e))
		rc = -1;
	else if (vlen > STORE_VALUE_MAX)
		rc = err_set(e, EINVAL, "%.200s: a value of %zu octets", t->s->name, vlen);
	else
		rc = put(t, table, &k, value, vlen, e);
	if (rc == -1)
		t->failed = 1;
	return rc;
}

int
store_del(struct store_txn *t, unsigned table, const void *key, size_t klen, struct err *e)
{
	MDB_val k = {klen, (void *)(uintptr_t)key};
	uint8_t old_tag[FRAME_TAG_LEN];
	int rc = -1, old = -1;

	if (!bad_call(t, table, klen, e))
		old = prepare(t, table, &k, old_tag, e);
	if (old == 1) {
		if ((rc = mdb_del(t->txn, t->s->dbi[table], &k, NULL)) != 0)
			old = store_fail(t->s, e, rc, "delete");
		else {
			tally_sub(&t->tally[table], old_tag);
			t->tally[table].dirty = 1;
			t->changed = 1;
		}
	}
	if (old == -1)
		t->failed = 1;
	return old;
}

/* The record behind pos. Goes on with the cursor of the step before when it still stands there. */
static int
step(struct store_txn *t, unsigned table, const struct store_pos *pos, MDB_val *k, MDB_val *v)
{
	int rc;

	if (t->cursor != NULL && t->cursor_table == table && pos->klen > 0 &&
	    mdb_cursor_get(t->cursor, k, v, MDB_GET_CURRENT) == 0 && k->mv_size == pos->klen &&
	    memcmp(k->mv_data, pos->key, pos->klen) == 0)
		return mdb_cursor_get(t->cursor, k, v, MDB_NEXT);
	drop_cursor(t);
	if ((rc = mdb_cursor_open(t->txn, t->s->dbi[table], &t->cursor)) != 0)
		return rc;
	t->cursor_table = table;
	if (pos->klen == 0)
		return mdb_cursor_get(t->cursor, k, v, MDB_FIRST);
	*k = (MDB_val){pos->klen, (void *)(uintptr_t)pos->key};
	if ((rc = mdb_cursor_get(t->cursor, k, v, MDB_SET_RANGE)) != 0)
		return rc;
	if (k->mv_size == pos->klen && memcmp(k->mv_data, pos->key, pos->klen) == 0)
		return mdb_cursor_get(t->cursor, k, v, MDB_NEXT);
	return 0;
}

int
store_next(
    struct store_txn *t, unsigned table, struct store_pos *pos, struct bytes *value, struct err *e)
{
	MDB_val k, v;
	int rc;

	if (bad_call(t, table, pos->klen > 0 ? pos->klen : 1, e))
		return -1;
	if ((rc = step(t, table, pos, &k, &v)) == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return store_fail(t->s, e, rc, "walk");
	if (k.mv_size > STORE_KEY_MAX)
		return store_damaged(
		    t->s, e, DATA_FILE, "a key of table %s is too long", t->s->table[table]);
	memcpy(pos->key, k.mv_data, k.mv_size);
	pos->klen = k.mv_size;
	return open_value(t, table, &k, &v, value, e) == -1 ? -1 : 1;
}

int64_t
store_count(struct store_txn *t, unsigned table, struct err *e)
{
	struct tally tally = t->tally[table < STORE_TABLES_MAX ? table : 0];
	int rc;

	if (bad_call(t, table, 1, e))
		return -1;
	if (!tally.loaded) {
		if ((rc = tally_get(t->s, t->txn, t->s->table[table], &tally, e)) == -1)
			return -1;
		if (rc == 0)
			return store_damaged(
			    t->s, e, DATA_FILE, "table %s has no tally", t->s->table[table]);
	}
	return (int64_t)tally.count;
}

int
store_used(struct store_txn *t, uint64_t *octets, struct err *e)
{
	MDB_stat st;
	unsigned i;
	int rc;

	*octets = 0;
	for (i = 0; i <= t->s->ntables; i++) {
		rc = mdb_stat(t->txn, i == 0 ? t->s->tally : t->s->dbi[i - 1], &st);
		if (rc != 0)
			return store_fail(t->s, e, rc, "read");
		*octets += (uint64_t)st.ms_psize *
			   (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages);
	}
	return 0;
}
