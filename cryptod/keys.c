#include "cryptod/keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/tree.h>
#include <unistd.h>

#include "openpgp/algo.h"
#include "store/store.h"

REC_DEFINE(key_record, REC_KEY_RECORD)
REC_DEFINE(authority_record, REC_AUTHORITY_RECORD)

/* Octets: the larger of the two kinds of records, which is the authority's. */
#define RECORD_MAX (CERT_DER_MAX + KEY_SECRET_MAX)
#define STORE_MAP (UINT64_C(4) << 30) /* octets of map: some hundred thousand RSA keys */
#define STORE_FILE "data.mdb"

enum { TABLE_KEYS, TABLE_AUTHORITIES };
static const char *const tables[] = {"keys", "authorities", NULL};

struct cached {
	struct loaded_key key; /* first: found by it */
	RB_ENTRY(cached) by_fpr;
	TAILQ_ENTRY(cached) by_use; /* longest unused first */
	uint8_t fpr[KEY_FPR];
	unsigned holders; /* beside the cache */
	int in_cache;
	int passing; /* it is nowhere else, and in no order */
	pthread_mutex_t loading; /* of key.skey and stored */
	struct key_entry stored; /* until it is loaded */
};
RB_HEAD(cached_tree, cached);

struct keys {
	struct store *store;
	struct cached_tree tree;
	TAILQ_HEAD(, cached) lru;
	unsigned ncached;
};

static int
cached_cmp(const struct cached *a, const struct cached *b)
{
	return memcmp(a->fpr, b->fpr, KEY_FPR);
}

RB_GENERATE_INTERNAL(cached_tree, cached, by_fpr, cached_cmp, static __attribute__((unused)))

int
keys_there(const char *dir)
{
	char path[1024];
	struct stat st;

	if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, STORE_FILE) >= sizeof path)
		return 0;
	return stat(path, &st) == 0;
}

static int
missing(const char *name, struct err *e)
{
	return err_set(e, EUCLEAN, "%s/%s: missing; bring it back from a backup", name, STORE_FILE);
}

struct keys *
keys_open(
    const char *dir, const char *name, const uint8_t seal[SEAL_KEY_LEN], int create, struct err *e)
{
	uint8_t secret[STORE_SECRET_LEN];
	struct store_options o = {
	    .name = name, .map_size = STORE_MAP, .tables = tables, .secret = secret};
	struct keys *k;

	if (!create && !keys_there(dir)) {
		missing(name, e);
		return NULL;
	}
	if ((k = calloc(1, sizeof *k)) == NULL) {
		err_sys(e, "%s", name);
		return NULL;
	}
	RB_INIT(&k->tree);
	TAILQ_INIT(&k->lru);
	/* A copy: the check runs in a child, where the vault's page is wiped. */
	memcpy(secret, seal, sizeof secret);
	k->store = store_open(dir, &o, e);
	explicit_bzero(secret, sizeof secret);
	if (k->store == NULL) {
		free(k);
		return NULL;
	}
	return k;
}

static void
cached_free(struct cached *c)
{
	if (c->in_cache || c->holders > 0)
		return;
	pgp_skey_free(c->key.skey);
	keys_entry_free(&c->stored);
	(void)pthread_mutex_destroy(&c->loading);
	free(c);
}

static void
uncache(struct keys *k, struct cached *c)
{
	RB_REMOVE(cached_tree, &k->tree, c);
	if (!c->passing) {
		TAILQ_REMOVE(&k->lru, c, by_use);
		k->ncached--;
	}
	c->in_cache = 0;
	cached_free(c);
}

void
keys_forget(struct keys *k)
{
	while (!TAILQ_EMPTY(&k->lru))
		uncache(k, TAILQ_FIRST(&k->lru));
}

void
keys_close(struct keys *k)
{
	if (k == NULL)
		return;
	while (!RB_EMPTY(&k->tree))
		uncache(k, RB_ROOT(&k->tree));
	store_close(k->store);
	free(k);
}

int
keys_check(const char *dir, const char *name, struct err *e)
{
	struct store_options o = {.name = name, .map_size = STORE_MAP, .tables = tables};

	if (!keys_there(dir))
		return missing(name, e);
	if (store_check(dir, &o, e) == 0)
		return 0;
	/* Its pages are in order; it can be opened, but not by us now. */
	return errno == EACCES ? 0 : -1;
}

int
keys_remove(const char *dir, struct err *e)
{
	static const char *const files[] = {STORE_FILE, "data.seq"};
	char path[1024];

	for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		if (unlink(path) == -1 && errno != ENOENT)
			return err_sys(e, "%s", files[i]);
	}
	return 0;
}

void
keys_entry_free(struct key_entry *en)
{
	free(en->rec);
	if (en->mem != NULL)
		explicit_bzero(en->mem, en->n);
	free(en->mem);
	memset(en, 0, sizeof *en);
}

/* Copy and decode a value of the store. */
static int
entry_decode(struct key_entry *out, struct bytes value, struct err *e)
{
	memset(out, 0, sizeof *out);
	if ((out->mem = malloc(value.n == 0 ? 1 : value.n)) == NULL)
		return err_sys(e, "key record");
	memcpy(out->mem, value.p, value.n);
	out->n = value.n;
	if ((out->rec = rec_decode(&rec_key_record, out->mem, out->n)) == NULL) {
		keys_entry_free(out);
		/* The seal was good, so another version of this program wrote it. */
		return err_set(
		    e, EUCLEAN, "%s: a record that this version does not know", STORE_FILE);
	}
	out->info = out->rec->info.v;
	return 0;
}

static int
entry_get(struct store_txn *t, struct bytes fpr, struct key_entry *out, struct err *e)
{
	struct bytes value;
	int rc;

	memset(out, 0, sizeof *out);
	if (fpr.n != KEY_FPR)
		return 0;
	if ((rc = store_get(t, TABLE_KEYS, fpr.p, fpr.n, &value, e)) != 1)
		return rc;
	return entry_decode(out, value, e) == -1 ? -1 : 1;
}

int
keys_read(struct keys *k, struct bytes fpr, struct key_entry *out, struct err *e)
{
	struct store_txn *t;
	int rc;

	memset(out, 0, sizeof *out);
	if ((t = store_read(k->store, e)) == NULL)
		return -1;
	rc = entry_get(t, fpr, out, e);
	store_abort(t);
	return rc;
}

int
keys_list(struct keys *k, struct bytes after, struct key_entry *out, unsigned max, int *more,
    struct err *e)
{
	struct store_pos pos = {.klen = 0};
	struct store_txn *t;
	struct bytes value;
	unsigned n = 0;
	int rc;

	*more = 0;
	if (after.n > 0 && after.n <= sizeof pos.key) {
		memcpy(pos.key, after.p, after.n);
		pos.klen = after.n;
	}
	if ((t = store_read(k->store, e)) == NULL)
		return -1;
	while ((rc = store_next(t, TABLE_KEYS, &pos, &value, e)) == 1) {
		if (n == max) {
			*more = 1;
			break;
		}
		if ((rc = entry_decode(&out[n], value, e)) == -1)
			break;
		n++;
	}
	store_abort(t);
	if (rc != -1)
		return (int)n;
	while (n > 0)
		keys_entry_free(&out[--n]);
	return -1;
}

int64_t
keys_count(struct keys *k, struct err *e)
{
	struct store_txn *t;
	int64_t n;

	if ((t = store_read(k->store, e)) == NULL)
		return -1;
	n = store_count(t, TABLE_KEYS, e);
	store_abort(t);
	return n;
}

static int
record_put(struct store_txn *t, unsigned table, struct bytes key, const struct rec *rec,
    const void *r, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, RECORD_MAX);
	if (rec_encode(rec, r, &b) == -1)
		rc = err_sys(e, "%s", rec->name);
	else
		rc = store_put(t, table, key.p, key.n, buf_ptr(&b), buf_len(&b), e);
	buf_wipe_free(&b);
	return rc;
}

/* Encode and put a record; commits. */
static int
entry_put(struct store_txn *t, const struct key_record *r, struct err *e)
{
	if (record_put(t, TABLE_KEYS, r->info.v[0].fpr, &rec_key_record, r, e) == -1) {
		store_abort(t);
		return -1;
	}
	return store_commit(t, e);
}

/* The record of a key that is new here. */
static struct key_record
new_record(struct key_info *info, const struct pgp_skey *skey, enum key_use use, const char *label,
    uint64_t now)
{
	struct key_record rec = {.version = 1, .secret = pgp_skey_secret(skey)};
	struct cert_key pub;

	pgp_skey_public(skey, &pub);
	*info = (struct key_info){.fpr = pub.fpr,
	    .use = (uint8_t)use,
	    .algo = pub.algo,
	    .created = pub.created,
	    .stored = now,
	    .label = label != NULL ? label : "",
	    .params = pub.params};
	rec.info.v = info;
	rec.info.n = 1;
	return rec;
}

int
keys_add(struct keys *k, const struct pgp_skey *skey, enum key_use use, const char *label,
    uint64_t now, struct key_entry *stored, struct err *e)
{
	struct key_info info;
	struct key_record rec = new_record(&info, skey, use, label, now);
	struct store_txn *t;
	int rc;

	memset(stored, 0, sizeof *stored);
	if ((t = store_write(k->store, e)) == NULL)
		return -1;
	if ((rc = entry_get(t, info.fpr, stored, e)) != 0) {
		store_abort(t);
		return rc == -1 ? -1 : 0;
	}
	if (entry_put(t, &rec, e) == -1)
		return -1;
	return keys_read(k, info.fpr, stored, e) == 1 ? 1 : -1;
}

static struct cached *
cached_find(struct keys *k, struct bytes fpr)
{
	struct cached find;

	if (fpr.n != KEY_FPR)
		return NULL;
	memcpy(find.fpr, fpr.p, KEY_FPR);
	return RB_FIND(cached_tree, &k->tree, &find);
}

int
keys_set_disabled(struct keys *k, struct bytes fpr, int disabled, struct err *e)
{
	struct store_txn *t;
	struct key_entry en;
	struct cached *c;
	int rc;

	if ((t = store_write(k->store, e)) == NULL)
		return -1;
	if ((rc = entry_get(t, fpr, &en, e)) != 1) {
		store_abort(t);
		return rc == 0 ? err_set(e, ENOKEY, "no such key") : -1;
	}
	en.rec->info.v[0].disabled = disabled != 0;
	rc = entry_put(t, en.rec, e);
	keys_entry_free(&en);
	if (rc == 0 && (c = cached_find(k, fpr)) != NULL)
		c->key.disabled = disabled != 0;
	return rc;
}

int
keys_peek(struct keys *k, struct bytes fpr, enum key_use *use, int *disabled, struct err *e)
{
	struct cached *c = cached_find(k, fpr);
	struct key_entry en;
	int rc;

	if (c != NULL) {
		*use = (enum key_use)c->key.use;
		*disabled = c->key.disabled;
		return 1;
	}
	if ((rc = keys_read(k, fpr, &en, e)) == 1) {
		*use = (enum key_use)en.info->use;
		*disabled = en.info->disabled;
		keys_entry_free(&en);
	}
	return rc;
}

/*
 * What is quick: less than some 50 microseconds.  Everything else, P-384 too (a millisecond), takes
 * longer than a thread takes to wake up.
 */
int
key_is_slow(unsigned algo, struct bytes params)
{
	static const struct {
		unsigned algo; /* 0: any */
		size_t n;
		uint8_t curve[11]; /* as the parameters begin: length and OID (RFC 9580, 9.2) */
	} quick[] = {
	    {PGP_PK_EDDSA, 10, {9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1}},
	    {PGP_PK_ECDH, 11, {10, 0x2b, 6, 1, 4, 1, 0x97, 0x55, 1, 5, 1}},
	    {PGP_PK_ECDH, 9, {8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}},
	    {PGP_PK_ECDSA, 9, {8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}},
	};

	for (size_t i = 0; i < sizeof quick / sizeof quick[0]; i++)
		if (quick[i].algo == algo && params.n > quick[i].n &&
		    memcmp(params.p, quick[i].curve, quick[i].n) == 0)
			return 0;
	return 1;
}

int
loaded_key_ready(struct loaded_key *lk, struct err *e)
{
	struct cached *c = (struct cached *)lk;
	const struct key_info *info;
	int rc = 0;

	(void)pthread_mutex_lock(&c->loading);
	if (lk->skey == NULL) {
		info = c->stored.info;
		lk->skey = pgp_skey_load(
		    info->algo, info->created, info->params, c->stored.rec->secret, e);
		if (lk->skey != NULL)
			keys_entry_free(&c->stored);
		else
			rc = -1;
	}
	(void)pthread_mutex_unlock(&c->loading);
	return rc;
}

void
loaded_key_hold(struct loaded_key *lk)
{
	((struct cached *)lk)->holders++;
}

void
loaded_key_release(struct loaded_key *lk)
{
	struct cached *c = (struct cached *)lk;

	c->holders--;
	cached_free(c);
}

/* Read a stored key and keep it, in place of the longest unused one when there are too many. */
static struct cached *
cache_load(struct keys *k, struct bytes fpr, struct err *e)
{
	struct cached *c;
	int rc;

	if ((c = calloc(1, sizeof *c)) == NULL) {
		err_sys(e, "loading a key");
		return NULL;
	}
	(void)pthread_mutex_init(&c->loading, NULL);
	if ((rc = keys_read(k, fpr, &c->stored, e)) == 0)
		err_set(e, ENOKEY, "no such key");
	if (rc != 1)
		goto fail;
	memcpy(c->fpr, fpr.p, KEY_FPR);
	c->key.use = c->stored.info->use;
	c->key.disabled = c->stored.info->disabled;
	c->key.slow = (uint8_t)key_is_slow(c->stored.info->algo, c->stored.info->params);
	if (!c->key.slow && loaded_key_ready(&c->key, e) == -1)
		goto fail;
	RB_INSERT(cached_tree, &k->tree, c);
	TAILQ_INSERT_TAIL(&k->lru, c, by_use);
	c->in_cache = 1;
	if (++k->ncached > KEYS_CACHE_MAX)
		uncache(k, TAILQ_FIRST(&k->lru));
	return c;
fail:
	cached_free(c);
	return NULL;
}

struct loaded_key *
keys_get(struct keys *k, struct bytes fpr, struct err *e)
{
	struct cached *c;

	if ((c = cached_find(k, fpr)) != NULL && c->passing)
		return &c->key;
	if (c != NULL) {
		TAILQ_REMOVE(&k->lru, c, by_use);
		TAILQ_INSERT_TAIL(&k->lru, c, by_use);
		return &c->key;
	}
	if ((c = cache_load(k, fpr, e)) == NULL && e->code == ENOMEM && k->ncached > 0) {
		/* The secure heap is full: begin anew. */
		keys_forget(k);
		c = cache_load(k, fpr, e);
	}
	return c != NULL ? &c->key : NULL;
}

int
keys_add_passing(struct keys *k, struct pgp_skey *skey, enum key_use use, struct err *e)
{
	struct cert_key pub;
	struct cached *c;

	pgp_skey_public(skey, &pub);
	if (cached_find(k, pub.fpr) != NULL || (c = calloc(1, sizeof *c)) == NULL) {
		pgp_skey_free(skey);
		return err_set(e, ENOMEM, "no memory for a key");
	}
	(void)pthread_mutex_init(&c->loading, NULL);
	memcpy(c->fpr, pub.fpr.p, KEY_FPR);
	c->key.use = (uint8_t)use;
	c->key.skey = skey;
	c->in_cache = c->passing = 1;
	RB_INSERT(cached_tree, &k->tree, c);
	return 0;
}

/* ---- authorities ---- */

static int
authority_get(struct store_txn *t, enum authority a, struct authority_entry *out, struct err *e)
{
	const uint8_t key = (uint8_t)a;
	struct authority_record *rec;
	struct bytes value;
	int rc;

	if ((rc = store_get(t, TABLE_AUTHORITIES, &key, sizeof key, &value, e)) != 1)
		return rc;
	if ((rec = rec_decode(&rec_authority_record, value.p, value.n)) == NULL)
		return err_set(
		    e, EUCLEAN, "%s: a record that this version does not know", STORE_FILE);
	memcpy(out->fpr, rec->fpr.p, KEY_FPR);
	memcpy(out->cert, rec->cert.p, rec->cert.n);
	out->n = rec->cert.n;
	free(rec);
	return 1;
}

int
keys_authority(struct keys *k, enum authority a, struct authority_entry *out, struct err *e)
{
	struct store_txn *t;
	int rc;

	if ((t = store_read(k->store, e)) == NULL)
		return -1;
	rc = authority_get(t, a, out, e);
	store_abort(t);
	return rc;
}

/* Within a transaction: the old authority's key makes no certificates any more. */
static int
retire(struct store_txn *t, const uint8_t fpr[KEY_FPR], struct err *e)
{
	const struct bytes key = {fpr, KEY_FPR};
	struct key_entry en;
	int rc = entry_get(t, key, &en, e);

	if (rc != 1)
		return rc;
	en.rec->info.v[0].disabled = 1;
	rc = record_put(t, TABLE_KEYS, key, &rec_key_record, en.rec, e);
	keys_entry_free(&en);
	return rc;
}

/* Within a transaction: may a have this key, and is there room for a? */
static int
authority_check(struct store_txn *t, enum authority a, struct bytes fpr, int replace, struct err *e)
{
	enum authority other = a == AUTHORITY_PROXY ? AUTHORITY_UNTRUSTED : AUTHORITY_PROXY;
	struct authority_entry en;
	struct key_entry there;
	int rc;

	/* What the untrusted one signs must not be good for who trusts the other. */
	if ((rc = authority_get(t, other, &en, e)) == -1)
		return -1;
	if (rc == 1 && memcmp(en.fpr, fpr.p, KEY_FPR) == 0)
		return err_set(e, EEXIST, "this key is the other authority's");
	if ((rc = entry_get(t, fpr, &there, e)) == -1)
		return -1;
	if (rc == 1) {
		rc = there.info->use != USE_CA;
		keys_entry_free(&there);
		if (rc)
			return err_set(e, EEXIST, "this key is there for another use");
	}
	if ((rc = authority_get(t, a, &en, e)) == -1)
		return -1;
	if (rc == 0)
		return 0;
	if (!replace)
		return err_set(e, EEXIST, "there is such an authority already");
	return memcmp(en.fpr, fpr.p, KEY_FPR) == 0 ? 0 : retire(t, en.fpr, e);
}

int
keys_set_authority(struct keys *k, enum authority a, const struct pgp_skey *skey, const char *label,
    struct bytes cert, int replace, uint64_t now, struct err *e)
{
	const uint8_t key = (uint8_t)a;
	struct key_info info;
	struct key_record krec = new_record(&info, skey, USE_CA, label, now);
	struct authority_record arec = {.version = 1, .fpr = info.fpr, .cert = cert};
	struct store_txn *t;

	if ((t = store_write(k->store, e)) == NULL)
		return -1;
	if (authority_check(t, a, info.fpr, replace, e) == -1 ||
	    record_put(t, TABLE_KEYS, info.fpr, &rec_key_record, &krec, e) == -1 ||
	    record_put(t, TABLE_AUTHORITIES, (struct bytes){&key, sizeof key},
		&rec_authority_record, &arec, e) == -1) {
		store_abort(t);
		return -1;
	}
	/* Of keys that are ready it is known whether they are disabled; that has changed. */
	keys_forget(k);
	return store_commit(t, e);
}
