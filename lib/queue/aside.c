/*
 * After the segments were read: telling of the messages, and taking over what is in damaged
 * segments, which are kept aside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "queue/crc32c.h"
#include "queue/inner.h"

#define ASIDE_MAX 1000000 /* the highest N of "damaged.N" */

/* A message whose record cannot be read, or its octets: it is known by its number only. */
static int
bad_message(struct recovery *r, uint32_t slot, const char *what)
{
	struct msg *m = qs_slot_msg(r->s, slot);

	qs_recovery_tell(r, "segment.%u: the message at %u: %s", m->seg, m->off, what);
	r->s->seg[m->seg]->damaged = 1;
	return qs_recovery_note(&r->bad, &r->nbad, m->id);
}

static const uint8_t *
look_at_record(struct recovery *r, struct scan *sc, uint32_t no, uint32_t off, struct record *rec)
{
	struct seg *seg = r->s->seg[no];
	int fd = qs_segment_fd(r->s, seg);

	if (fd == -1)
		return NULL;
	if (sc->fd != fd || sc->mark != seg->mark)
		qs_scan_use(sc, fd, seg->mark, seg->size - BLOCK);
	return qs_scan_record(sc, off, rec);
}

static struct qstore_entry *
read_entry(struct recovery *r, const struct msg *m)
{
	const uint8_t *p;
	size_t skip = m->flags & M_BIG ? BIG_META : 0;
	struct qstore_entry *entry;
	struct record rec;

	if ((p = look_at_record(r, &r->scan, m->seg, m->off, &rec)) == NULL || rec.id != m->id ||
	    rec.meta < skip)
		return NULL;
	entry = rec_decode(&rec_qstore_entry, p + RECORD_HEAD + skip, rec.meta - skip);
	if (entry != NULL &&
	    entry->size != (skip != 0 ? get_be64(p + RECORD_HEAD + BIG_SIZE) : rec.body)) {
		free(entry);
		return NULL;
	}
	return entry;
}

static struct qstore_state *
read_state(struct recovery *r, struct msg *m, const struct qstore_entry *entry)
{
	struct qstore_state *st = NULL;
	const uint8_t *p;
	struct record rec;

	if (m->sseg == NONE)
		return NULL;
	p = look_at_record(r, &r->states, m->sseg, m->soff, &rec);
	if (p != NULL && rec.id == m->id)
		st = rec_decode(&rec_qstore_state, p + RECORD_HEAD, rec.meta);
	if (st != NULL && (st->rcpts.n == 0 || st->rcpts.n == entry->rcpts.n))
		return st;
	free(st);
	qs_recovery_tell(
	    r, "segment.%u: the state of a message at %u cannot be read", m->sseg, m->soff);
	return NULL;
}

/* Is the file of a large message there and as long as it must be; with all, what was written? */
static int
check_big(struct recovery *r, const struct msg *m)
{
	uint8_t window[WINDOW_LEAST], meta[BIG_META];
	const uint8_t *p;
	uint32_t crc = 0;
	struct spool sp;
	struct record rec;
	uint64_t off;
	ssize_t n;

	if ((p = look_at_record(r, &r->scan, m->seg, m->off, &rec)) == NULL)
		return -1;
	memcpy(meta, p + RECORD_HEAD, sizeof meta);
	if (qs_read_big(r->s, m->id, meta, &sp) == -1)
		return -1;
	for (off = 0; r->all && off < sp.size; off += (uint64_t)n) {
		if ((n = qs_io_read(sp.fd, window, sizeof window, off)) <= 0)
			break;
		crc = crc32c(crc, window, (size_t)n);
	}
	spool_free(&sp);
	return !r->all || crc == get_be32(meta + BIG_CRC) ? 0 : -1;
}

static void
tell_damaged(struct recovery *r, const struct msg *m, const struct qstore_entry *e)
{
	qs_recovery_tell(r, "segment.%u: the octets of %s are damaged: from <%s> to <%s>%s", m->seg,
	    e->envelope.v[0].qid, log_str(e->envelope.v[0].sender), log_str(e->rcpts.v[0].addr),
	    e->rcpts.n > 1 ? " and others" : "");
}

static int
is_bad(const struct recovery *r, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < r->nbad; i++)
		if (r->bad[i] == id)
			return 1;
	return 0;
}

static int
found_one(struct recovery *r, uint32_t slot, qstore_found_fn found, void *arg)
{
	struct msg *m = qs_slot_msg(r->s, slot);
	struct qstore_entry *entry = read_entry(r, m);
	struct qstore_state *state;

	if (entry == NULL)
		return bad_message(r, slot, "its envelope cannot be read");
	if (is_bad(r, m->id)) {
		tell_damaged(r, m, entry);
		r->s->seg[m->seg]->damaged = 1;
	} else if (m->flags & M_BIG && check_big(r, m) == -1) {
		/* Whoever reads it is told then; only a repair takes it away. */
		tell_damaged(r, m, entry);
		if (r->all && qs_recovery_note(&r->bad, &r->nbad, m->id) == -1) {
			free(entry);
			return -1;
		}
	}
	state = read_state(r, m, entry);
	if (found != NULL)
		found(arg, m->id, entry, state);
	free(state);
	free(entry);
	return 0;
}

struct by_id {
	uint64_t id;
	uint32_t slot;
};

static int
compare(const void *a, const void *b)
{
	const struct by_id *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int
qs_recovery_found(struct recovery *r, qstore_found_fn found, void *arg, struct err *e)
{
	uint32_t i, n = 0, slots = qs_slot_count(r->s);
	struct by_id *list;
	struct msg *m;
	int rc = 0;

	if ((list = calloc(r->s->slots.used + 1, sizeof *list)) == NULL)
		return err_sys(e, "queue");
	for (i = 0; i < slots; i++) {
		m = qs_slot_msg(r->s, i);
		if (m->flags & M_USED && !(m->flags & M_DEAD))
			list[n++] = (struct by_id){m->id, i};
	}
	qsort(list, n, sizeof *list, compare);
	for (i = 0; rc == 0 && i < n; i++)
		rc = found_one(r, list[i].slot, found, arg);
	free(list);
	return rc == 0 ? 0 : err_sys(e, "queue");
}

static int
rename_aside(struct recovery *r, const char *name, const char *to)
{
	if (renameat(r->s->dir, name, r->s->dir, to) == -1 || fsync(r->s->dir) == -1)
		return -1;
	log_warn("queue: %s is kept aside as %s", name, to);
	return 0;
}

/* The first name of the kind that is not there yet. */
static int
free_name(const struct recovery *r, char out[NAME_MAX_OCTETS])
{
	struct stat st;
	unsigned i;

	for (i = 1; i < ASIDE_MAX; i++) {
		(void)snprintf(out, NAME_MAX_OCTETS, "damaged.%u", i);
		if (fstatat(r->s->dir, out, &st, AT_SYMLINK_NOFOLLOW) == -1)
			return errno == ENOENT ? 0 : -1;
	}
	errno = EEXIST;
	return -1;
}

/* All that can be read of it is elsewhere: the segment is none of the queue's any more. */
static void
segment_aside(struct recovery *r, struct seg *seg)
{
	char name[NAME_MAX_OCTETS], to[NAME_MAX_OCTETS];
	struct qstore *s = r->s;

	if (qs_move_all(s, seg) == -1) {
		log_err("queue: segment.%u: not all of it can be taken over now", seg->no);
		return;
	}
	if (free_name(r, to) == -1 || rename_aside(r, qs_segment_name(name, seg->no), to) == -1) {
		log_err("queue: segment.%u cannot be kept aside: %s", seg->no, strerror(errno));
		return;
	}
	qs_life_voided(s, seg);
	s->w.disk -= seg->size;
	qs_segment_free(s, seg);
}

/* A message whose octets cannot be read is taken out, and told of; a copy of it is kept aside. */
static int
end_bad(struct recovery *r, struct err *e)
{
	struct qstore_rcpt done = {.state = 0, .dsn = "", .mta = "", .text = ""};
	struct qstore_state st = {.rcpts = {&done, 1}};
	char name[NAME_MAX_OCTETS], to[NAME_MAX_OCTETS];
	uint32_t i, slot;

	for (i = 0; i < r->nbad; i++) {
		if ((slot = qs_index_find(r->s, r->bad[i])) == NONE)
			continue;
		/* It may not be there at all. */
		if (qs_slot_msg(r->s, slot)->flags & M_BIG && free_name(r, to) == 0)
			(void)rename_aside(r, qs_big_name(name, r->bad[i]), to);
		if (qstore_begin(r->s) == -1 || qstore_change(r->s, r->bad[i], &st) == -1 ||
		    qstore_commit(r->s, 1, NULL, NULL) == -1)
			return err_sys(e, "queue");
	}
	qstore_turn(r->s);
	return 0;
}

/* Files that belong to no message: from a crash before their group was there, or after its end. */
static void
clean_bigs(struct recovery *r, int damaged)
{
	char name[NAME_MAX_OCTETS], to[NAME_MAX_OCTETS];
	uint32_t i, slot;

	for (i = 0; i < r->nbigs; i++) {
		slot = qs_index_find(r->s, r->bigs[i]);
		if (slot != NONE && qs_slot_msg(r->s, slot)->flags & M_BIG)
			continue;
		if (!damaged)
			(void)unlinkat(r->s->dir, qs_big_name(name, r->bigs[i]), 0);
		else if (free_name(r, to) == 0)
			(void)rename_aside(r, qs_big_name(name, r->bigs[i]), to);
	}
}

int
qs_recovery_clean(struct recovery *r, struct err *e)
{
	struct qstore *s = r->s;
	struct seg *seg;
	uint32_t i;
	int damaged = 0;

	if (end_bad(r, e) == -1)
		return -1;
	for (i = 0; i < s->nsegs; i++) {
		if ((seg = s->seg[i]) == NULL || !seg->damaged)
			continue;
		damaged = 1;
		segment_aside(r, seg);
	}
	clean_bigs(r, damaged || r->findings > 0);
	return 0;
}
