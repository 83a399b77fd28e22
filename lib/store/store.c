#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/inner.h"

#define MAP_DEFAULT (16ULL << 30)
#define MAP_LEAST (1ULL << 20)

static int
table_name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n <= STORE_NAME_MAX && s[n] == '\0';
}

static void
store_free(struct store *s)
{
	unsigned i;

	if (s == NULL)
		return;
	/* A child of fork must not touch its parent's environment, not even to close it. */
	if (s->env != NULL && s->pid == getpid())
		mdb_env_close(s->env);
	if (s->seq_fd != -1)
		(void)close(s->seq_fd);
	for (i = 0; i < s->ntables; i++)
		free(s->table[i]);
	frame_free(&s->frame);
	free(s->name);
	free(s->data_path);
	free(s->seq_path);
	free(s);
}

struct store *
store_new(const char *dir, const struct store_options *o, struct err *e)
{
	struct store *s = calloc(1, sizeof *s);
	unsigned i;

	if (s == NULL) {
		(void)err_sys(e, "%.200s", dir);
		return NULL;
	}
	s->seq_fd = -1;
	s->pid = getpid();
	s->readonly = o->readonly;
	s->unsynced = o->unsynced;
	s->map_size = o->map_size != 0 ? o->map_size : MAP_DEFAULT;
	if (s->map_size < MAP_LEAST)
		s->map_size = MAP_LEAST;
	s->name = strdup(o->name != NULL ? o->name : dir);
	if (s->name == NULL || asprintf(&s->data_path, "%s/" DATA_FILE, dir) == -1 ||
	    asprintf(&s->seq_path, "%s/" SEQ_FILE, dir) == -1 ||
	    frame_init(&s->frame, o->secret) == -1) {
		(void)err_sys(e, "%.200s", dir);
		goto out;
	}
	for (i = 0; o->tables[i] != NULL; i++) {
		if (i == STORE_TABLES_MAX || !table_name_ok(o->tables[i])) {
			(void)err_set(e, EINVAL, "%.200s: too many tables or no name: %.40s",
			    s->name, o->tables[i]);
			goto out;
		}
		if ((s->table[i] = strdup(o->tables[i])) == NULL) {
			(void)err_sys(e, "%.200s", dir);
			goto out;
		}
		s->ntables++;
	}
	return s;
out:
	store_free(s);
	return NULL;
}

int
env_open(struct store *s, int readonly, unsigned *missing, struct err *e)
{
	/* NOSUBDIR and NOLOCK: data.mdb and nothing else, see file.c.  NOTLS: a transaction
	 * belongs to its handle, not to a thread.  NOMEMINIT is not set: unused room in pages
	 * must not carry memory of ours to the disk.  Never WRITEMAP: a full disk would be a
	 * SIGBUS, and a stray pointer a write into the file. */
	unsigned flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS | (readonly ? MDB_RDONLY : 0) |
			 (s->unsynced ? MDB_NOSYNC : 0);
	MDB_txn *txn = NULL;
	unsigned i;
	int rc;

	*missing = 0;
	if ((rc = mdb_env_create(&s->env)) != 0 ||
	    (rc = mdb_env_set_mapsize(s->env, s->map_size)) != 0 ||
	    (rc = mdb_env_set_maxdbs(s->env, STORE_TABLES_MAX + 1)) != 0 ||
	    (rc = mdb_env_open(s->env, s->data_path, flags, 0600)) != 0 ||
	    (rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn)) != 0)
		return store_fail(s, e, rc, "open");
	if ((rc = mdb_dbi_open(txn, TALLY, 0, &s->tally)) == MDB_NOTFOUND)
		*missing = s->ntables + 1;
	else if (rc != 0)
		goto out;
	for (i = 0; i < s->ntables && *missing <= s->ntables; i++)
		if ((rc = mdb_dbi_open(txn, s->table[i], 0, &s->dbi[i])) == MDB_NOTFOUND)
			(*missing)++;
		else if (rc != 0)
			goto out;
	if (*missing <= s->ntables && secret_check(s, txn, 1, e) == -1) {
		mdb_txn_abort(txn);
		return -1;
	}
	rc = mdb_txn_commit(txn); /* an abort would close the tables */
	txn = NULL;
out:
	if (txn != NULL)
		mdb_txn_abort(txn);
	if (rc != 0)
		return store_fail(s, e, rc, "open a table");
	return 0;
}

int
secret_proof(struct store *s, uint8_t out[FRAME_TAG_LEN])
{
	static const char text[] = "postern store key";
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n;

	if (HMAC(EVP_sha256(), s->frame.secret, sizeof s->frame.secret, (const uint8_t *)text,
		sizeof text, mac, &n) == NULL)
		return -1;
	memcpy(out, mac, FRAME_TAG_LEN);
	return 0;
}

int
secret_check(struct store *s, MDB_txn *txn, int required, struct err *e)
{
	MDB_val k = {sizeof TALLY_SECRET - 1, (void *)(uintptr_t)TALLY_SECRET}, v;
	struct frame_place at = {TALLY, TALLY_SECRET, sizeof TALLY_SECRET - 1};
	struct frame_ctx plain = s->frame;
	uint8_t proof[FRAME_TAG_LEN];
	struct bytes b;
	int rc = mdb_get(txn, s->tally, &k, &v);

	if (rc == MDB_NOTFOUND && (s->frame.gcm == NULL || !required))
		return 0;
	if (rc != 0 && rc != MDB_NOTFOUND)
		return store_fail(s, e, rc, "key record");
	if (rc == MDB_NOTFOUND)
		return err_set(e, EACCES, "%.200s: is not sealed, but a key was given", s->name);
	if (s->frame.gcm == NULL)
		return err_set(e, EACCES, "%.200s: is sealed, and no key was given", s->name);
	plain.gcm = NULL; /* this one record is never encrypted */
	rc = frame_decode(&plain, &at, v.mv_data, v.mv_size, NULL, &b);
	explicit_bzero(&plain, sizeof plain);
	if (rc == -1 || b.n != sizeof proof || secret_proof(s, proof) == -1)
		return store_damaged(s, e, DATA_FILE, "the key record is wrong");
	if (memcmp(proof, b.p, sizeof proof) != 0)
		return err_set(e, EACCES, "%.200s: is sealed with another key", s->name);
	return 0;
}

/* Make TALLY, the tables that do not exist yet, and their first records. */
static int
create_missing(struct store *s, struct err *e)
{
	struct frame_ctx plain = s->frame;
	struct frame_place at = {TALLY, TALLY_SECRET, sizeof TALLY_SECRET - 1};
	uint8_t proof[FRAME_TAG_LEN], frame[FRAME_PLAIN_HEAD + FRAME_TAG_LEN];
	MDB_val k = {sizeof TALLY_SECRET - 1, (void *)(uintptr_t)TALLY_SECRET};
	MDB_val v = {sizeof frame, frame};
	struct store_txn *t;
	unsigned i;
	int rc;

	if ((t = store_write(s, e)) == NULL)
		return -1;
	if ((rc = mdb_dbi_open(t->txn, TALLY, MDB_CREATE, &s->tally)) != 0)
		goto out;
	if (s->frame.gcm != NULL) {
		plain.gcm = NULL;
		if (secret_proof(s, proof) == -1 ||
		    frame_encode(&plain, &at, proof, sizeof proof, frame) == -1)
			rc = EIO;
		else
			rc = mdb_put(t->txn, s->tally, &k, &v, 0);
		if (rc != 0)
			goto out;
	}
	for (i = 0; i < s->ntables; i++) {
		if ((rc = mdb_dbi_open(t->txn, s->table[i], MDB_CREATE, &s->dbi[i])) != 0)
			goto out;
		switch (tally_get(s, t->txn, s->table[i], &t->tally[i], e)) {
		case 0:
			t->tally[i] = (struct tally){.loaded = 1, .dirty = 1};
			break;
		case 1:
			break;
		default:
			store_abort(t);
			return -1;
		}
	}
	t->changed = 1;
out:
	explicit_bzero(&plain, sizeof plain);
	if (rc != 0) {
		(void)store_fail(s, e, rc, "create");
		store_abort(t);
		return -1;
	}
	return store_commit(t, e);
}

struct store *
store_open(const char *dir, const struct store_options *o, struct err *e)
{
	struct store *s;
	unsigned missing;

	if ((s = store_new(dir, o, e)) == NULL)
		return NULL;
	if (seq_open(s, e) == -1 || (!o->unchecked && check_walk(s, e) == -1) ||
	    env_open(s, s->readonly, &missing, e) == -1)
		goto out;
	if (missing > 0) {
		if (s->readonly) {
			(void)err_set(e, ENOENT, "%.200s: tables are missing", s->name);
			goto out;
		}
		if (create_missing(s, e) == -1 || folder_sync(s, dir, e) == -1)
			goto out;
	}
	return s;
out : {
	int code = errno;

	store_free(s);
	errno = code;
}
	return NULL;
}

int
store_check(const char *dir, const struct store_options *o, struct err *e)
{
	struct store_options ro = *o;
	struct store *s;
	int rc = -1, code;

	ro.readonly = 1;
	if ((s = store_new(dir, &ro, e)) == NULL)
		return -1;
	if (seq_open(s, e) == 0)
		rc = check_walk(s, e);
	code = errno;
	store_free(s);
	errno = code;
	return rc;
}

void
store_close(struct store *s)
{
	store_free(s);
}

int
tally_get(struct store *s, MDB_txn *txn, const char *name, struct tally *t, struct err *e)
{
	struct frame_place at = {TALLY, name, strlen(name)};
	MDB_val k = {at.klen, (void *)(uintptr_t)name}, v;
	uint8_t plain[FRAME_SEALED_HEAD + TALLY_LEN];
	struct bytes b;
	int rc = mdb_get(txn, s->tally, &k, &v);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return store_fail(s, e, rc, "tally");
	if (v.mv_size > sizeof plain ||
	    frame_decode(&s->frame, &at, v.mv_data, v.mv_size, plain, &b) == -1 || b.n != TALLY_LEN)
		return store_damaged(s, e, DATA_FILE, "the tally of table %s is wrong", name);
	*t = (struct tally){.count = get_be64(b.p), .loaded = 1};
	memcpy(t->sum, b.p + 8, sizeof t->sum);
	return 1;
}

void
tally_add(struct tally *t, const uint8_t *tag)
{
	unsigned carry = 0;
	int i;

	t->count++;
	for (i = FRAME_TAG_LEN - 1; i >= 0; i--) {
		carry += (unsigned)t->sum[i] + tag[i];
		t->sum[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

void
tally_sub(struct tally *t, const uint8_t *tag)
{
	int borrow = 0, i;

	t->count--;
	for (i = FRAME_TAG_LEN - 1; i >= 0; i--) {
		borrow += (int)t->sum[i] - (int)tag[i];
		t->sum[i] = (uint8_t)borrow;
		borrow = borrow < 0 ? -1 : 0;
	}
}
