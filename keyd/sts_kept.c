#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "keyd/sts.h"
#include "store/store.h"

#define MAP_SIZE (128ULL << 20) /* KEPT_OCTETS and what LMDB needs beside them */
#define VALUE_MAX (64 * 1024) /* octets of a record: 64 patterns and the text */
#define QUIET_MS 60000 /* between complaints */

REC_DEFINE(sts_kept, REC_STS_KEPT)

RB_HEAD(kept_tree, kept);
TAILQ_HEAD(kept_list, kept);

static struct kept_tree tree = RB_INITIALIZER(&tree);
/* Those with a policy and those without, the latest first. */
static struct kept_list with = TAILQ_HEAD_INITIALIZER(with);
static struct kept_list without = TAILQ_HEAD_INITIALIZER(without);
static unsigned nwith, nwithout;
static size_t octets;

static struct store *store;
static int gone; /* the store has some that are not here any more */
static uint64_t complained;

static int
compare(const struct kept *a, const struct kept *b)
{
	return strcmp(a->domain, b->domain);
}

RB_GENERATE_INTERNAL(kept_tree, kept, by_name, compare, static __attribute__((unused)))

/* ---- in memory ---- */

static void
unlist(struct kept *k)
{
	if (k->policy != NULL) {
		TAILQ_REMOVE(&with, k, by_use);
		nwith--;
	} else {
		TAILQ_REMOVE(&without, k, by_use);
		nwithout--;
	}
}

static void
list(struct kept *k)
{
	if (k->policy != NULL) {
		TAILQ_INSERT_HEAD(&with, k, by_use);
		nwith++;
	} else {
		TAILQ_INSERT_HEAD(&without, k, by_use);
		nwithout++;
	}
}

static void
drop_policy(struct kept *k)
{
	if (k->policy == NULL)
		return;
	octets -= buf_len(&k->octets);
	free(k->policy);
	k->policy = NULL;
	buf_free(&k->octets);
	k->dirty = 0;
	gone = 1;
}

static void
drop(struct kept *k)
{
	unlist(k);
	(void)RB_REMOVE(kept_tree, &tree, k);
	drop_policy(k);
	free(k);
}

/* The last one that nobody waits for. */
static void
make_room(struct kept_list *l, const struct kept *but)
{
	struct kept *k, *prev;

	for (k = TAILQ_LAST(l, kept_list); k != NULL; k = prev) {
		prev = TAILQ_PREV(k, kept_list, by_use);
		if (k->lookup == NULL && k != but) {
			drop(k);
			return;
		}
	}
}

struct kept *
kept_find(const char *domain, int make)
{
	struct kept want, *k;

	if (strlcpy(want.domain, domain, sizeof want.domain) >= sizeof want.domain)
		return NULL;
	if ((k = RB_FIND(kept_tree, &tree, &want)) != NULL || !make)
		return k;
	if ((k = calloc(1, sizeof *k)) == NULL)
		return NULL;
	(void)strlcpy(k->domain, domain, sizeof k->domain);
	buf_init(&k->octets, VALUE_MAX);
	k->failure = "";
	(void)RB_INSERT(kept_tree, &tree, k);
	list(k);
	if (nwithout > KEPT_MAX)
		make_room(&without, k);
	return k;
}

void
kept_use(struct kept *k, uint64_t now)
{
	k->used = now;
	unlist(k);
	list(k);
}

/* Take over what was encoded. */
static int
set(struct kept *k, struct buf *b)
{
	struct sts_kept *p = rec_decode(&rec_sts_kept, buf_ptr(b), buf_len(b));

	if (p == NULL)
		return -1;
	unlist(k);
	drop_policy(k);
	k->octets = *b;
	k->policy = p;
	octets += buf_len(b);
	list(k);
	while ((nwith > KEPT_MAX || octets > KEPT_OCTETS) && nwith > 1) {
		unsigned before = nwith;

		make_room(&with, k);
		if (nwith == before)
			break;
	}
	return 0;
}

int
kept_put(struct kept *k, const struct sts_policy *p, const char *id, uint64_t now)
{
	struct sts_mx mxs[STS_MXS_MAX];
	const struct sts_kept r = {.fetched = now,
	    .expires = now + p->max_age,
	    .used = k->used,
	    .id = id,
	    .mode = (uint8_t)p->mode,
	    .text = p->text,
	    .mxs = {mxs, p->nmx}};
	struct buf b;
	size_t i;

	for (i = 0; i < p->nmx; i++)
		mxs[i].pattern = p->mx[i];
	buf_init(&b, VALUE_MAX);
	if (rec_encode(&rec_sts_kept, &r, &b) == -1 || set(k, &b) == -1) {
		buf_free(&b);
		errno = ENOMEM;
		return -1;
	}
	k->dirty = 1;
	return 0;
}

const struct sts_kept *
kept_policy(struct kept *k, uint64_t now)
{
	if (k->policy != NULL && k->policy->expires <= now) {
		unlist(k);
		drop_policy(k);
		list(k);
	}
	return k->policy;
}

struct kept *
kept_first(void)
{
	return TAILQ_FIRST(&with);
}

struct kept *
kept_next(struct kept *k)
{
	return TAILQ_NEXT(k, by_use);
}

void
kept_forget_failures(void)
{
	struct kept *k;

	RB_FOREACH(k, kept_tree, &tree)
	k->checked = k->failed = 0;
}

unsigned
kept_policies(void)
{
	return nwith;
}

void
kept_clear(void)
{
	struct kept *k;

	while ((k = RB_MIN(kept_tree, &tree)) != NULL)
		drop(k);
	gone = 0;
}

/* ---- the store ---- */

static struct store *
open_store(const char *dir, const char *name, struct err *e)
{
	static const char *const tables[] = {"sts", NULL};
	/* After a crash of the machine it may be damaged, and is begun anew. */
	const struct store_options o = {
	    .name = name, .map_size = MAP_SIZE, .tables = tables, .unsynced = 1};

	return store_open(dir, &o, e);
}

static void
remove_files(const char *dir)
{
	static const char *const files[] = {"data.mdb", "data.seq"};
	char path[300];
	size_t i;

	for (i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
}

static void
complain(const struct err *e)
{
	const uint64_t now = clock_ms();

	if (complained == 0 || now - complained >= QUIET_MS)
		log_warn("policies of MTA-STS are not kept: %s", e->text);
	complained = now;
}

/* One record of the store; what has run out goes with the next save. */
static void
take(const struct store_pos *pos, struct bytes v, uint64_t now)
{
	char domain[HOST_MAX];
	struct kept *k;
	struct buf b;

	if (pos->klen >= sizeof domain)
		return;
	memcpy(domain, pos->key, pos->klen);
	domain[pos->klen] = '\0';
	if (!host_valid(domain) || (k = kept_find(domain, 1)) == NULL)
		return;
	buf_init(&b, VALUE_MAX);
	if (buf_put(&b, v.p, v.n) == -1 || set(k, &b) == -1) {
		buf_free(&b);
		return;
	}
	k->used = k->policy->used;
	if (kept_policy(k, now) == NULL)
		drop(k);
}

void
kept_open(const char *dir, const char *name, uint64_t now)
{
	struct store_pos pos = {.klen = 0};
	struct store_txn *t;
	struct err e = {0};
	struct bytes v;

	if ((store = open_store(dir, name, &e)) == NULL && e.code == EUCLEAN) {
		log_warn("%s; it is begun anew", e.text);
		remove_files(dir);
		store = open_store(dir, name, &e);
	}
	if (store == NULL || (t = store_read(store, &e)) == NULL) {
		complain(&e);
		return;
	}
	while (store_next(t, 0, &pos, &v, &e) == 1)
		take(&pos, v, now);
	store_abort(t);
}

static int
put(struct store_txn *t, struct kept *k, struct err *e)
{
	struct buf b;
	int rc = -1;

	k->policy->used = k->used;
	buf_init(&b, VALUE_MAX);
	if (rec_encode(&rec_sts_kept, k->policy, &b) == -1)
		(void)err_sys(e, "policy of %s", k->domain);
	else
		rc = store_put(t, 0, k->domain, strlen(k->domain), buf_ptr(&b), buf_len(&b), e);
	buf_free(&b);
	return rc;
}

static int
prune(struct store_txn *t, struct err *e)
{
	struct store_pos pos = {.klen = 0};
	char domain[STORE_KEY_MAX + 1];
	struct bytes v;
	struct kept *k;
	int rc;

	while ((rc = store_next(t, 0, &pos, &v, e)) == 1) {
		memcpy(domain, pos.key, pos.klen);
		domain[pos.klen] = '\0';
		k = kept_find(domain, 0);
		if ((k == NULL || k->policy == NULL) && store_del(t, 0, pos.key, pos.klen, e) == -1)
			return -1;
	}
	return rc;
}

void
kept_save(void)
{
	struct store_txn *t = NULL;
	struct err e = {0};
	struct kept *k;
	int any = gone;

	TAILQ_FOREACH (k, &with, by_use)
		any |= k->dirty;
	if (store == NULL || !any)
		return;
	if ((t = store_write(store, &e)) == NULL)
		goto fail;
	TAILQ_FOREACH (k, &with, by_use)
		if (k->dirty && put(t, k, &e) == -1)
			goto fail;
	if (gone && prune(t, &e) == -1)
		goto fail;
	if (store_commit(t, &e) == -1) {
		complain(&e);
		return;
	}
	TAILQ_FOREACH (k, &with, by_use)
		k->dirty = 0;
	gone = 0;
	return;
fail:
	store_abort(t);
	complain(&e);
}

void
kept_close(void)
{
	kept_save();
	if (store != NULL)
		store_close(store);
	store = NULL;
	kept_clear();
}
