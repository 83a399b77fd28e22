/*
 * The pages of data.mdb, checked without LMDB.
 *
 * LMDB trusts its file: a wrong page number sends it into a page of another table, an old page or
 * past the end of the map; a wrong entry in its list of free pages lets it overwrite live ones
 * some transactions later.  So each page is read with pread and its place is claimed once: meta
 * pages, pages of the trees, overflow pages, free pages.  Layout of LMDB 0.9, data version 1, with
 * 64-bit page numbers, in the byte order of the machine:
 *
 *	page	number 8, pad 2, flags 2, then lower 2, upper 2 or, of an overflow run, pages 4
 *	node	lo 2, hi 2, flags 2, key size 2, key, data
 *	table	pad 4, flags 2, depth 2, branch, leaf and overflow pages, entries, root (8 each)
 *	meta	magic 4, version 4, address 8, map size 8, two tables, last page 8, transaction 8
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/inner.h"

#define PAGE_HEAD 16
#define NODE_HEAD 8
#define TABLE_LEN 48
#define META_LEN 136
#define META_MAGIC 0xBEEFC0DEU
#define META_VERSION 1
#define PAGE_LEAST 512
#define PAGE_MOST 65536
#define DEPTH_MAX 32 /* LMDB's own bound */
#define NO_PAGE UINT64_MAX

enum { P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8 };
enum { F_BIGDATA = 1, F_SUBDATA = 2 };

struct table {
	uint16_t flags, depth;
	uint64_t branch, leaf, overflow, entries, root;
};

struct walk {
	const struct store *s;
	struct err *e;
	int fd;
	size_t psize;
	uint64_t size; /* of the file, octets */
	uint64_t last; /* last page that LMDB has used */
	uint64_t txn;
	struct table free_db, main_db;
	uint8_t *claimed; /* one bit per page */
	uint8_t *slots; /* of one page, one octet per two */
	struct table seen; /* pages and entries counted in the tree being walked */
	int is_free, is_main;
};

static uint16_t
u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static uint32_t
u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static uint64_t
u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static int
bad(struct walk *w, uint64_t page, const char *what)
{
	return store_damaged(
	    w->s, w->e, DATA_FILE, "page %llu: %s", (unsigned long long)page, what);
}

static int
read_at(struct walk *w, void *p, size_t n, uint64_t off)
{
	uint8_t *to = p;
	ssize_t got;

	for (; n > 0; to += got, off += (uint64_t)got, n -= (size_t)got) {
		got = pread(w->fd, to, n, (off_t)off);
		if (got == -1 && errno == EINTR)
			got = 0;
		else if (got == -1)
			return err_sys(w->e, "%.200s/" DATA_FILE, w->s->name);
		else if (got == 0)
			return store_damaged(w->s, w->e, DATA_FILE, "it was truncated");
	}
	return 0;
}

/* Pages n from first on belong to the caller and to nobody else. */
static int
claim(struct walk *w, uint64_t first, uint64_t n, int on_disk)
{
	uint64_t p;

	if (n == 0 || first < 2 || first > w->last || n - 1 > w->last - first)
		return bad(w, first, "is not a page of this file");
	if (on_disk && (first + n) * w->psize > w->size)
		return store_damaged(w->s, w->e, DATA_FILE,
		    "it was truncated: page %llu is missing", (unsigned long long)(first + n - 1));
	for (p = first; p < first + n; p++) {
		if (w->claimed[p / 8] & 1U << p % 8)
			return bad(w, p, "is used twice");
		w->claimed[p / 8] |= (uint8_t)(1U << p % 8);
	}
	return 0;
}

static struct table
parse_table(const uint8_t *p)
{
	return (struct table){
	    u16(p + 4), u16(p + 6), u64(p + 8), u64(p + 16), u64(p + 24), u64(p + 32), u64(p + 40)};
}

static int
overflow(struct walk *w, uint64_t first, uint64_t size)
{
	uint8_t head[PAGE_HEAD];
	uint64_t need = (PAGE_HEAD - 1 + size) / w->psize + 1, n;

	if (first > w->last || read_at(w, head, sizeof head, first * w->psize) == -1)
		return first > w->last ? bad(w, first, "is not a page of this file") : -1;
	n = u32(head + 12);
	if (u64(head) != first || u16(head + 10) != P_OVERFLOW || n < need)
		return bad(w, first, "is no run of pages for a long value");
	w->seen.overflow += n;
	return claim(w, first, n, 1);
}

static int walk_table(struct walk *w, const struct table *t, int is_free, int is_main);

/* A record of the list of free pages: count, then that many page numbers, falling. */
static int
free_list(
    struct walk *w, uint64_t page, const uint8_t *key, size_t klen, const uint8_t *p, size_t n)
{
	uint64_t count, i, v, before = UINT64_MAX;

	if (klen != 8 || u64(key) > w->txn || n < 8 || n % 8 != 0)
		return bad(w, page, "the list of free pages is wrong");
	count = u64(p);
	if (count > n / 8 - 1)
		return bad(w, page, "the list of free pages is too short");
	for (i = 1; i <= count; i++) {
		v = u64(p + 8 * i);
		if (v >= before)
			return bad(w, page, "the list of free pages is not in order");
		if (claim(w, v, 1, 0) == -1)
			return -1;
		before = v;
	}
	return 0;
}

/* A free list too long for a page. */
static int
long_free_list(
    struct walk *w, uint64_t page, const uint8_t *key, size_t klen, uint64_t at, uint64_t size)
{
	uint8_t *p;
	int rc = -1;

	if (size > (w->last + 2) * 8)
		return bad(w, page, "the list of free pages is too long");
	if ((p = malloc(size)) == NULL)
		return err_sys(w->e, "%.200s", w->s->name);
	if (read_at(w, p, size, at * w->psize + PAGE_HEAD) == 0)
		rc = free_list(w, page, key, klen, p, size);
	free(p);
	return rc;
}

/* The record of a table inside the main tree. */
static int
sub_table(struct walk *w, uint64_t page, const uint8_t *p, size_t n)
{
	struct table t, seen = w->seen;
	int is_free = w->is_free, is_main = w->is_main, rc;

	if (!is_main || n != TABLE_LEN)
		return bad(w, page, "a table where none can be");
	t = parse_table(p);
	if (t.flags != 0)
		return bad(w, page, "a table of another kind");
	rc = walk_table(w, &t, 0, 0);
	w->seen = seen;
	w->is_free = is_free;
	w->is_main = is_main;
	return rc;
}

static int
leaf_node(struct walk *w, uint64_t page, const uint8_t *node)
{
	uint64_t size = u16(node) | (uint64_t)u16(node + 2) << 16, at;
	unsigned flags = u16(node + 4);
	size_t klen = u16(node + 6);
	const uint8_t *key = node + NODE_HEAD, *data = key + klen;

	w->seen.entries++;
	if (flags == F_BIGDATA && !w->is_main) {
		at = u64(data);
		if (overflow(w, at, size) == -1)
			return -1;
		return w->is_free ? long_free_list(w, page, key, klen, at, size) : 0;
	}
	if (flags == F_SUBDATA)
		return sub_table(w, page, data, (size_t)size);
	if (flags != 0 || w->is_main)
		return bad(w, page, "a record of an unknown kind");
	return w->is_free ? free_list(w, page, key, klen, data, (size_t)size) : 0;
}

/* Where node i of a page is, or NULL; its room is marked in slots. */
static const uint8_t *
node_at(struct walk *w, const uint8_t *p, unsigned i, size_t *used)
{
	size_t off = u16(p + PAGE_HEAD + 2 * i), len, k, upper = u16(p + 14);
	const uint8_t *node = p + off;

	if (off < upper || off % 2 != 0 || off + NODE_HEAD > w->psize)
		return NULL;
	len = NODE_HEAD + u16(node + 6);
	if (u16(p + 10) == P_LEAF)
		len += (u16(node + 4) & F_BIGDATA) ? 8 : u16(node) | (size_t)u16(node + 2) << 16;
	len = (len + 1) & ~(size_t)1;
	if (off + len > w->psize)
		return NULL;
	for (k = off / 2; k < (off + len) / 2; k++)
		if (w->slots[k]++ != 0)
			return NULL;
	*used += len;
	return node;
}

static int walk_page(struct walk *w, uint64_t page, unsigned level, unsigned depth);

static int
walk_nodes(struct walk *w, uint64_t page, const uint8_t *p, unsigned level, unsigned depth)
{
	unsigned flags = u16(p + 10), lower = u16(p + 12), upper = u16(p + 14), i, n;
	const uint8_t *node;
	size_t used = 0;

	if (lower < PAGE_HEAD + 2 || lower % 2 != 0 || upper < lower || upper > w->psize)
		return bad(w, page, "its bounds are wrong");
	n = (lower - PAGE_HEAD) / 2;
	memset(w->slots, 0, w->psize / 2);
	for (i = 0; i < n; i++)
		if (node_at(w, p, i, &used) == NULL)
			return bad(w, page, "its records overlap");
	if (used != w->psize - upper)
		return bad(w, page, "its records do not fill it");
	for (i = 0; i < n; i++) {
		node = p + u16(p + PAGE_HEAD + 2 * i);
		if (flags == P_LEAF) {
			if (leaf_node(w, page, node) == -1)
				return -1;
		} else if (walk_page(w,
			       u16(node) | (uint64_t)u16(node + 2) << 16 |
				   (uint64_t)u16(node + 4) << 32,
			       level + 1, depth) == -1)
			return -1;
	}
	return 0;
}

/* One page of a tree; depth is at most DEPTH_MAX. */
static int
walk_page(struct walk *w, uint64_t page, unsigned level, unsigned depth)
{
	unsigned want = level == depth ? P_LEAF : P_BRANCH;
	uint8_t *p;
	int rc = -1;

	if (claim(w, page, 1, 1) == -1)
		return -1;
	if ((p = malloc(w->psize)) == NULL)
		return err_sys(w->e, "%.200s", w->s->name);
	if (read_at(w, p, w->psize, page * w->psize) == -1)
		goto out;
	if (u64(p) != page || u16(p + 10) != want) {
		(void)bad(w, page, "is not the page that should be here");
		goto out;
	}
	if (want == P_LEAF)
		w->seen.leaf++;
	else
		w->seen.branch++;
	rc = walk_nodes(w, page, p, level, depth);
out:
	free(p);
	return rc;
}

static int
walk_table(struct walk *w, const struct table *t, int is_free, int is_main)
{
	const struct table *seen = &w->seen;

	w->is_free = is_free;
	w->is_main = is_main;
	memset(&w->seen, 0, sizeof w->seen);
	if (t->root == NO_PAGE) {
		if (t->depth != 0)
			return bad(w, 0, "a table without root has a depth");
	} else if (t->depth == 0 || t->depth > DEPTH_MAX)
		return bad(w, t->root, "a table is too deep");
	else if (walk_page(w, t->root, 1, t->depth) == -1)
		return -1;
	if (seen->branch != t->branch || seen->leaf != t->leaf || seen->overflow != t->overflow ||
	    seen->entries != t->entries)
		return bad(w, t->root, "a table has lost or gained pages or records");
	return 0;
}

/* The meta page at off; 1 and the walk filled in when it is good and newer, 0 when older. */
static int
read_meta(struct walk *w, unsigned n)
{
	uint8_t b[PAGE_HEAD + META_LEN];
	const uint8_t *m = b + PAGE_HEAD;
	size_t psize;

	if (read_at(w, b, sizeof b, n * w->psize) == -1)
		return -1;
	psize = u32(m + 24);
	if (u64(b) != n || u16(b + 10) != P_META || u32(m) != META_MAGIC ||
	    u32(m + 4) != META_VERSION || psize < PAGE_LEAST || psize > PAGE_MOST ||
	    (psize & (psize - 1)) != 0 || (n == 1 && psize != w->psize))
		return bad(w, n, "the head of the file is wrong");
	if (n == 1 && u64(m + 128) <= w->txn)
		return 0;
	w->psize = psize;
	w->free_db = parse_table(m + 24);
	w->main_db = parse_table(m + 72);
	w->last = u64(m + 120);
	w->txn = u64(m + 128);
	/* LMDB writes transaction n into meta page n & 1. */
	if ((w->txn & 1) != n && w->txn != 0)
		return bad(w, n, "the head of the file is wrong");
	if ((w->free_db.flags & 0xff) != MDB_INTEGERKEY || w->main_db.flags != 0 || w->last < 1 ||
	    w->last > (w->size > w->s->map_size ? w->size : w->s->map_size) / psize)
		return bad(w, n, "the head of the file is wrong");
	return 1;
}

/* Pages behind the end of the file can only be free ones: LMDB does not write those. */
static int
check_end(struct walk *w)
{
	uint64_t p;

	for (p = w->size / w->psize; p <= w->last; p++)
		if (!(w->claimed[p / 8] & 1U << p % 8))
			return store_damaged(w->s, w->e, DATA_FILE,
			    "it was truncated: page %llu is missing", (unsigned long long)p);
	return 0;
}

int
pages_check(const struct store *s, int fd, struct err *e)
{
	struct walk w = {.s = s, .e = e, .fd = fd};
	struct stat st;
	int rc = -1;

	if (fstat(fd, &st) == -1)
		return err_sys(e, "%.200s/" DATA_FILE, s->name);
	w.size = (uint64_t)st.st_size;
	if (read_meta(&w, 0) == -1 || read_meta(&w, 1) == -1)
		return -1;
	w.claimed = calloc(1, w.last / 8 + 1);
	w.slots = malloc(w.psize / 2);
	if (w.claimed == NULL || w.slots == NULL) {
		(void)err_sys(e, "%.200s", s->name);
		goto out;
	}
	w.claimed[0] = 3; /* the meta pages */
	if (walk_table(&w, &w.main_db, 0, 1) == 0 && walk_table(&w, &w.free_db, 1, 0) == 0)
		rc = check_end(&w);
out:
	free(w.claimed);
	free(w.slots);
	return rc;
}
