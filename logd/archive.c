#include "logd/archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "logd/pack.h"
#include "store/store.h"

#define KEY_LEN 12 /* of a chunk */
#define HEAD_LEN 8 /* of its value */
#define VERSION 1
#define TRIM_CHUNKS 64 /* dropped in one transaction */
#define PUT_TRIES 4
#define EARLY_MS 2000 /* a chunk is filled in less, and its first event tells its place */
#define LATE_MS 10000 /* an event comes at most so long after it happened */

enum { T_EVENTS, T_IDS };
static const char *const tables[] = {"events", "ids", NULL};

struct archive {
	struct store *store;
	uint64_t size, most; /* octets: of the file, and that may be used of it */
	uint32_t number;
};

struct chunk *
chunk_new(uint64_t began)
{
	struct chunk *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->began = began;
	buf_init(&c->events, CHUNK_MAX + PACKED_MAX);
	return c;
}

void
chunk_free(struct chunk *c)
{
	if (c == NULL)
		return;
	buf_free(&c->events);
	free(c);
}

static struct store_options
options(const char *name, uint64_t size)
{
	return (struct store_options){
	    .name = name, .map_size = size, .tables = tables, .unchecked = 1};
}

int
archive_check(const char *dir, const char *name, uint64_t size, struct err *e)
{
	const struct store_options o = options(name, size);

	return store_check(dir, &o, e);
}

struct archive *
archive_open(const char *dir, const char *name, uint64_t size, struct err *e)
{
	const struct store_options o = options(name, size);
	struct archive *a = calloc(1, sizeof *a);

	if (a == NULL) {
		(void)err_sys(e, "%s", name);
		return NULL;
	}
	if ((a->store = store_open(dir, &o, e)) == NULL) {
		free(a);
		return NULL;
	}
	a->size = size;
	/* Pages must be free for what replaces them, and for chunks, which want theirs in a row. */
	a->most = size / 4 * 3;
	a->number = arc4random();
	return a;
}

void
archive_close(struct archive *a)
{
	if (a == NULL)
		return;
	store_close(a->store);
	free(a);
}

int
archive_set_aside(const char *dir, struct err *e)
{
	char from[1100], to[1100], seq[1100];

	(void)snprintf(from, sizeof from, "%s/data.mdb", dir);
	(void)snprintf(to, sizeof to, "%s/damaged.mdb", dir);
	(void)snprintf(seq, sizeof seq, "%s/data.seq", dir);
	if (rename(from, to) == -1 && errno != ENOENT)
		return err_sys(e, "%s", to);
	if (unlink(seq) == -1 && errno != ENOENT)
		return err_sys(e, "%s", seq);
	return 0;
}

/* ---- ids ---- */

/* Each id of a chunk's events once, in order. */
struct ids {
	const char **v;
	size_t n;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
add_id(struct ids *ids, size_t *room, const char *id)
{
	const char **p;

	/* Mostly it is the one of the event before. */
	if (id[0] == '\0' || (ids->n > 0 && strcmp(ids->v[ids->n - 1], id) == 0))
		return 0;
	if (ids->n == *room) {
		*room = *room == 0 ? 256 : 2 * *room;
		if ((p = reallocarray(ids->v, *room, sizeof *p)) == NULL)
			return -1;
		ids->v = p;
	}
	ids->v[ids->n++] = id;
	return 0;
}

/* -1 with errno EBADMSG or ENOMEM; ids->v is to be freed in any case. */
static int
collect_ids(struct ids *ids, const uint8_t *p, size_t n)
{
	struct log_event e;
	const char *who;
	size_t room = 0, i, to = 0;
	ssize_t got;

	*ids = (struct ids){NULL, 0};
	while ((got = unpack_event(p, n, &who, &e)) > 0) {
		if (add_id(ids, &room, e.tx) == -1 || add_id(ids, &room, e.qid) == -1)
			return -1;
		p += got;
		n -= (size_t)got;
	}
	if (ids->n > 1)
		qsort(ids->v, ids->n, sizeof *ids->v, by_name);
	for (i = 0; i < ids->n; i++)
		if (i == 0 || strcmp(ids->v[to - 1], ids->v[i]) != 0)
			ids->v[to++] = ids->v[i];
	ids->n = to;
	return got == -1 ? -1 : 0;
}

/* Of table ids; the id is cut where no id can be that long. */
static size_t
id_key(uint8_t out[STORE_KEY_MAX], const char *id, const uint8_t chunk[KEY_LEN])
{
	size_t n = strnlen(id, QUEUE_ID_MAX);

	memcpy(out, id, n);
	out[n++] = 0;
	memcpy(out + n, chunk, KEY_LEN);
	return n + KEY_LEN;
}

static int
put_ids(struct store_txn *t, const uint8_t *p, size_t n, const uint8_t chunk[KEY_LEN], int there,
    struct err *e)
{
	uint8_t key[STORE_KEY_MAX];
	struct ids ids;
	size_t i, klen;
	int rc = 0;

	if (collect_ids(&ids, p, n) == -1 && errno == ENOMEM)
		rc = err_sys(e, "ids");
	/* What cannot be read any more leaves its last ids behind; they lead to nothing. */
	for (i = 0; i < ids.n && rc != -1; i++) {
		klen = id_key(key, ids.v[i], chunk);
		rc = there ? store_put(t, T_IDS, key, klen, "", 0, e)
			   : store_del(t, T_IDS, key, klen, e);
	}
	free(ids.v);
	return rc == -1 ? -1 : 0;
}

/* ---- writing ---- */

static int
put_chunk(struct archive *a, struct store_txn *t, const struct chunk *c, struct err *e)
{
	uint8_t key[KEY_LEN], *value;
	size_t n = buf_len(&c->events);
	int rc;

	put_be64(key, c->began);
	put_be32(key + 8, a->number++);
	if ((value = malloc(HEAD_LEN + n)) == NULL)
		return err_sys(e, "records");
	memset(value, 0, HEAD_LEN);
	value[0] = VERSION;
	put_be32(value + 4, c->count);
	memcpy(value + HEAD_LEN, buf_ptr(&c->events), n);
	rc = store_put(t, T_EVENTS, key, sizeof key, value, HEAD_LEN + n, e);
	if (rc == 0)
		rc = put_ids(t, value + HEAD_LEN, n, key, 1, e);
	free(value);
	return rc;
}

/* Drop the oldest chunk if it began before oldest. 1 done, 0 not, -1. */
static int
drop_one(struct store_txn *t, uint64_t oldest, struct err *e)
{
	struct store_pos pos = {.klen = 0};
	struct bytes v;
	uint8_t *copy = NULL;
	int rc = store_next(t, T_EVENTS, &pos, &v, e);

	if (rc != 1)
		return rc;
	if (pos.klen == KEY_LEN && get_be64(pos.key) >= oldest)
		return 0;
	/* The value is valid until the next call. */
	if (pos.klen == KEY_LEN && v.n > HEAD_LEN) {
		if ((copy = malloc(v.n)) == NULL)
			return err_sys(e, "records");
		memcpy(copy, v.p, v.n);
		rc = put_ids(t, copy + HEAD_LEN, v.n - HEAD_LEN, pos.key, 0, e);
		free(copy);
		if (rc == -1)
			return -1;
	}
	return store_del(t, T_EVENTS, pos.key, pos.klen, e);
}

/* At least that many octets of the file are to be free, if anything can be dropped. */
static int
trim(struct archive *a, uint64_t oldest, uint64_t most, struct err *e)
{
	struct store_txn *t;
	uint64_t used;
	unsigned n;
	int rc = 1;

	if ((t = store_write(a->store, e)) == NULL)
		return -1;
	for (n = 0; n < TRIM_CHUNKS && rc == 1; n++) {
		if ((rc = store_used(t, &used, e)) == -1)
			break;
		rc = drop_one(t, used > most ? UINT64_MAX : oldest, e);
	}
	if (rc == -1) {
		int code = errno;

		store_abort(t);
		errno = code;
		return -1;
	}
	return store_commit(t, e) == -1 ? -1 : rc;
}

int
archive_trim(struct archive *a, uint64_t oldest, struct err *e)
{
	return trim(a, oldest, a->most, e);
}

/*
 * One transaction: so many chunks that dropping the oldest leaves room for them.  Returns the first
 * one behind them (NULL: none) in *rest.
 */
static int
put_part(
    struct archive *a, const struct chunk_list *chunks, const struct chunk **rest, struct err *e)
{
	const struct chunk *c;
	struct store_txn *t;
	size_t n = 0;

	if ((t = store_write(a->store, e)) == NULL)
		return -1;
	STAILQ_FOREACH (c, chunks, next) {
		if (n > 0 && n + buf_len(&c->events) > a->size / 16)
			break;
		n += buf_len(&c->events);
		if (put_chunk(a, t, c, e) == -1) {
			int code = errno;

			store_abort(t);
			errno = code;
			return -1;
		}
	}
	*rest = c;
	return store_commit(t, e);
}

int
archive_put(struct archive *a, struct chunk_list *chunks, struct err *e)
{
	const struct chunk *rest;
	struct chunk *c;
	unsigned tries = 0;

	while (!STAILQ_EMPTY(chunks)) {
		if (put_part(a, chunks, &rest, e) == -1) {
			/* What is free in the file lies in pieces, or the disk is full: older
			 * records make room.  What one transaction frees serves the next but one.
			 */
			if (errno != ENOSPC || tries++ == PUT_TRIES ||
			    trim(a, 0, a->most / 2, NULL) == -1)
				return -1;
			continue;
		}
		while ((c = STAILQ_FIRST(chunks)) != rest) {
			STAILQ_REMOVE_HEAD(chunks, next);
			chunk_free(c);
		}
		if (trim(a, 0, a->most, e) == -1)
			return -1;
	}
	return 0;
}

int
archive_facts(struct archive *a, struct archive_facts *f, struct err *e)
{
	struct store_pos pos = {.klen = 0};
	struct store_txn *t;
	struct bytes v;
	int64_t n;
	int rc = -1;

	memset(f, 0, sizeof *f);
	if ((t = store_read(a->store, e)) == NULL)
		return -1;
	if ((n = store_count(t, T_EVENTS, e)) >= 0 && store_used(t, &f->octets, e) == 0 &&
	    (rc = store_next(t, T_EVENTS, &pos, &v, e)) != -1) {
		f->chunks = (uint64_t)n;
		if (rc == 1 && pos.klen == KEY_LEN)
			f->oldest = get_be64(pos.key);
	}
	store_abort(t);
	return rc == -1 ? -1 : 0;
}

/* ---- searching ---- */

#define UNPACKED_MORE 160 /* octets that an event in an answer is longer than packed, about */
#define KEPT_MAX (SEARCH_PAGE_OCTETS + PACKED_MAX)
#define LOOKED_AT UINT32_MAX /* the number of an event that no chunk has */

struct search {
	const struct log_search_req *q;
	struct store_txn *t;
	struct store_pos pos, id; /* of the chunk; of the id that led to it */
	struct bytes v; /* its value */
	int resume; /* pos is a chunk that an earlier page began with */
	uint32_t skip; /* events of it that page had */
	size_t octets; /* looked at */
	size_t page; /* octets of the answer so far, about */
	struct buf kept; /* the events in it, packed: events points into it */
	struct log_search_rep rep;
	struct log_found found[LOG_PAGE_MAX];
	struct log_event events[LOG_PAGE_MAX];
	uint8_t after[KEY_LEN + 4];
};

/* Where the search begins: behind what an earlier page had, or at its time. */
static void
begin(struct search *s)
{
	const struct log_search_req *q = s->q;
	uint64_t from = q->since > EARLY_MS ? q->since - EARLY_MS : 0;

	if (q->after.n == KEY_LEN + 4) {
		memcpy(s->pos.key, q->after.p, KEY_LEN);
		s->skip = get_be32(q->after.p + KEY_LEN);
		s->resume = s->skip != LOOKED_AT;
	} else if (from > 0)
		put_be64(s->pos.key, from);
	else
		return;
	s->pos.klen = KEY_LEN;
	if (q->tx[0] != '\0')
		s->id.klen = id_key(s->id.key, q->tx, s->pos.key);
}

/* The next chunk in which that id is. */
static int
next_of_id(struct search *s, struct err *e)
{
	size_t n = strnlen(s->q->tx, QUEUE_ID_MAX);
	struct bytes v;
	int rc;

	if (s->id.klen == 0) {
		memcpy(s->id.key, s->q->tx, n);
		s->id.klen = n;
	}
	while ((rc = store_next(s->t, T_IDS, &s->id, &v, e)) == 1) {
		if (s->id.klen != n + 1 + KEY_LEN || memcmp(s->id.key, s->q->tx, n) != 0 ||
		    s->id.key[n] != 0)
			return 0;
		memcpy(s->pos.key, s->id.key + n + 1, KEY_LEN);
		s->pos.klen = KEY_LEN;
		if ((rc = store_get(s->t, T_EVENTS, s->pos.key, KEY_LEN, &s->v, e)) != 0)
			return rc;
	}
	return rc;
}

/* 1: s->v is the next chunk to look at, s->skip says from where; 0: there is none; -1. */
static int
next_chunk(struct search *s, struct err *e)
{
	int rc;

	if (s->resume) {
		s->resume = 0;
		rc = store_get(s->t, T_EVENTS, s->pos.key, KEY_LEN, &s->v, e);
		if (rc != 0)
			return rc;
		/* Dropped meanwhile: go on with the next. */
	}
	s->skip = 0;
	rc = s->q->tx[0] != '\0' ? next_of_id(s, e) : store_next(s->t, T_EVENTS, &s->pos, &s->v, e);
	if (rc == 1 && s->q->until != 0 && s->pos.klen == KEY_LEN &&
	    get_be64(s->pos.key) > s->q->until && get_be64(s->pos.key) - s->q->until > LATE_MS)
		return 0;
	return rc;
}

static int
page_is_full(const struct search *s)
{
	return s->rep.events.n == LOG_PAGE_MAX || s->page > SEARCH_PAGE_OCTETS;
}

static void
stop_at(struct search *s, uint32_t event)
{
	if (s->pos.klen != KEY_LEN)
		return;
	memcpy(s->after, s->pos.key, KEY_LEN);
	put_be32(s->after + KEY_LEN, event);
	s->rep.after = (struct bytes){s->after, sizeof s->after};
}

/* Into the page: p, of n octets, is as long as the search goes on somewhere else. */
static int
keep(struct search *s, const uint8_t *p, size_t n)
{
	size_t i = s->rep.events.n;
	const uint8_t *to = buf_ptr(&s->kept) + buf_len(&s->kept);

	if (buf_put(&s->kept, p, n) == -1 ||
	    unpack_event(to, n, &s->found[i].who, &s->events[i]) == -1)
		return -1;
	s->found[i].event.v = &s->events[i];
	s->found[i].event.n = 1;
	s->page += n + UNPACKED_MORE;
	s->rep.events.n++;
	return 0;
}

/* What fits of a chunk. 1: the page is full; 0; -1: no memory. */
static int
look(struct search *s)
{
	const uint8_t *p = s->v.p + HEAD_LEN;
	size_t n = s->v.n - HEAD_LEN;
	struct log_event e;
	const char *who;
	uint32_t i = 0;
	ssize_t got;

	for (;; p += got, n -= (size_t)got, i++) {
		if (page_is_full(s)) {
			stop_at(s, i);
			return 1;
		}
		/* One that cannot be read is of a later version. */
		if ((got = unpack_event(p, n, &who, &e)) <= 0)
			return 0;
		if (i >= s->skip && search_fits(s->q, &e) && keep(s, p, (size_t)got) == -1)
			return -1;
	}
}

static int
search(struct search *s, struct err *e)
{
	int rc;

	s->rep.text = "";
	s->rep.events.v = s->found;
	begin(s);
	while ((rc = next_chunk(s, e)) == 1) {
		s->octets += s->v.n + 1;
		if (s->pos.klen != KEY_LEN || s->v.n <= HEAD_LEN || s->v.p[0] != VERSION)
			continue;
		if ((rc = look(s)) != 0)
			return rc == 1 ? 0 : err_sys(e, "search");
		if (s->octets > SEARCH_OCTETS) {
			stop_at(s, LOOKED_AT);
			return 0;
		}
	}
	/* What comes later comes in later chunks. */
	stop_at(s, LOOKED_AT);
	s->rep.end = 1;
	return rc;
}

int
archive_search(struct archive *a, const struct log_search_req *q, struct buf *out, struct err *e)
{
	struct search *s = calloc(1, sizeof *s);
	int rc = -1, code;

	if (s == NULL)
		return err_sys(e, "search");
	s->q = q;
	buf_init(&s->kept, KEPT_MAX);
	/* At once, for what points into it. */
	if (buf_reserve(&s->kept, KEPT_MAX) == NULL)
		(void)err_sys(e, "search");
	else if ((s->t = store_read(a->store, e)) != NULL && (rc = search(s, e)) == 0 &&
		 (rc = rec_encode(&rec_log_search_rep, &s->rep, out)) == -1)
		(void)err_sys(e, "search");
	code = errno;
	store_abort(s->t);
	buf_free(&s->kept);
	free(s);
	errno = code;
	return rc;
}
