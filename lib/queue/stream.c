/*
 * A segment that is being written to: groups are put behind each other, written together, and
 * synced.  What cannot be written is never seen again: the segment is given up where the last sync
 * ended, with a mark there, or, if that cannot be written either, with a word in the next segment's
 * header.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "queue/crc32c.h"
#include "queue/inner.h"

#define ZERO_STEP (1024 * 1024)

static const uint8_t zeros[64 * 1024];

static void
set_state(struct qstore *s, struct seg *seg, enum seg_state state, uint32_t end)
{
	(void)pthread_mutex_lock(&s->w.lock);
	seg->state = state;
	seg->end = end;
	if (state == SEG_SEALED)
		s->w.sealed = 1;
	(void)pthread_mutex_unlock(&s->w.lock);
}

/* The next one to be written to, which has its number of use then; NULL: ENOSPC. */
static struct seg *
take_idle(struct qstore *s)
{
	struct writer *w = &s->w;
	struct seg *seg;

	(void)pthread_mutex_lock(&w->lock);
	if ((seg = STAILQ_FIRST(&w->idle)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->idle, next);
		if (seg->state == SEG_IDLE)
			w->idle_octets -= seg->size;
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (seg == NULL)
		errno = ENOSPC;
	return seg;
}

static void
give_back(struct qstore *s, struct seg *seg)
{
	struct writer *w = &s->w;

	(void)pthread_mutex_lock(&w->lock);
	if (seg->state == SEG_IDLE)
		w->idle_octets += seg->size;
	STAILQ_INSERT_TAIL(&w->idle, seg, next);
	(void)pthread_mutex_unlock(&w->lock);
}

/* Its file, of its size; a new one's name is on the disk when this returns. -1 with errno. */
static int
open_file(struct qstore *s, struct seg *seg)
{
	int fd, new = seg->state == SEG_ABSENT, code;
	char name[NAME_MAX_OCTETS];

	fd = openat(s->dir, qs_segment_name(name, seg->no),
	    O_RDWR | O_CLOEXEC | O_NOFOLLOW | (new ? O_CREAT | O_TRUNC : 0), 0600);
	if (fd == -1)
		return -1;
	/* Where allocation is not known, writing to all of it does the same. */
	if (queue_io.fallocate(fd, 0, 0, seg->size) == -1 &&
	    ((errno != EOPNOTSUPP && errno != ENOSYS) || ftruncate(fd, seg->size) == -1))
		goto fail;
	if (!new)
		return fd;
	if (fsync(fd) == -1 || fsync(s->dir) == -1)
		goto fail;
	(void)pthread_mutex_lock(&s->w.lock);
	s->w.disk += seg->size;
	(void)pthread_mutex_unlock(&s->w.lock);
	return fd;
fail:
	code = errno;
	close(fd);
	if (new)
		(void)unlinkat(s->dir, name, 0);
	errno = code;
	return -1;
}

/* Say in a header where segments end that were given up without a mark of their own. */
static void
tell_ends(const struct writer *w, struct seg_header *h)
{
	unsigned i;

	for (i = 0; i < w->nends; i++)
		h->ends[h->nends++] = (struct seg_end){w->ends[i]->inc, w->ends[i]->end};
}

static void
told_ends(struct writer *w, struct seg *in)
{
	(void)pthread_mutex_lock(&w->lock);
	while (w->nends > 0)
		w->ends[--w->nends]->told_in = in;
	(void)pthread_mutex_unlock(&w->lock);
}

static int
begin(struct qstore *s, struct stream *st, struct seg *seg, int fd, int new)
{
	struct writer *w = &s->w;
	struct seg_header h = {.kind = st->kind, .no = seg->no, .size = seg->size};

	while (h.mark == 0)
		arc4random_buf(&h.mark, sizeof h.mark);
	(void)pthread_mutex_lock(&w->lock);
	h.inc = w->inc++;
	h.next_id = w->next_id;
	h.next_lsn = w->next_lsn;
	seg->state = SEG_ACTIVE;
	seg->kind = st->kind;
	seg->inc = h.inc;
	seg->mark = h.mark;
	(void)pthread_mutex_unlock(&w->lock);
	tell_ends(w, &h);
	if (qs_segment_write_header(fd, &h) == -1)
		return -1;
	told_ends(w, seg);
	st->seg = seg;
	st->fd = fd;
	st->off = st->written = st->synced = FIRST;
	st->prev = st->synced_prev = 0;
	st->zeroed = new ? FIRST : seg->size;
	st->niov = 0;
	return 0;
}

/* A segment that can have no mark where it ends: the next header tells. */
static void
give_up(struct qstore *s, struct seg *seg, uint32_t end)
{
	s->w.ends[s->w.nends++] = seg;
	set_state(s, seg, SEG_SEALED, end);
}

static int
open_next(struct qstore *s, struct stream *st)
{
	struct writer *w = &s->w;
	struct seg *seg;
	int fd, new;

	if (w->open_error != 0 && clock_ms() < w->open_at) {
		errno = w->open_error;
		return -1;
	}
	/* Each of the streams may have to give up one more. */
	if (w->nends > ENDS_MAX - 2) {
		errno = EIO;
		return -1;
	}
	if ((seg = take_idle(s)) == NULL)
		return -1;
	new = seg->state == SEG_ABSENT;
	w->open_error = 0;
	if ((fd = open_file(s, seg)) == -1) {
		w->open_error = errno;
		give_back(s, seg);
	} else if (begin(s, st, seg, fd, new) == -1) {
		w->open_error = errno;
		give_up(s, seg, FIRST);
		close(fd);
	} else
		return 0;
	w->open_at = clock_ms() + 1000;
	errno = w->open_error;
	return -1;
}

int
qs_stream_tell(struct qstore *s)
{
	struct writer *w = &s->w;
	unsigned i;

	for (i = 0; i < 2 && w->nends > 0; i++)
		if (w->stream[i].seg == NULL)
			(void)open_next(s, &w->stream[i]);
	return w->nends == 0 ? 0 : -1;
}

/* The mark where a segment ends. */
static int
write_seal(struct stream *st, uint32_t at)
{
	struct group_head g = {.len = GROUP_HEAD, .prev = st->prev, .synced = at};
	uint8_t head[GROUP_HEAD];

	qs_group_encode(&g, st->seg->mark, at, head);
	if (qs_io_write(st->fd, head, sizeof head, at) == -1)
		return -1;
	return queue_io.fdatasync(st->fd);
}

static void
leave(struct stream *st)
{
	close(st->fd);
	st->fd = -1;
	st->seg = NULL;
	st->niov = 0;
	st->waited = 0;
}

/* What was put since the last sync is not to be seen again, and its writers are told. */
static void
fail(struct qstore *s, struct stream *st, int error)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct job *j;

	STAILQ_CONCAT(&jobs, &st->jobs);
	st->prev = st->synced_prev;
	if (write_seal(st, st->synced) == 0)
		set_state(s, st->seg, SEG_SEALED, st->synced);
	else
		give_up(s, st->seg, st->synced);
	leave(st);
	s->w.retry_at = open_next(s, st) == 0 ? 0 : clock_ms() + 1000;
	while ((j = STAILQ_FIRST(&jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&jobs, next);
		/* Nobody waits who could do it once more: so we do. */
		if (j->kind == JOB_GROUP && j->lazily && j->done == NULL)
			STAILQ_INSERT_TAIL(&s->w.retry, j, next);
		else
			qs_writer_done(s, j, error);
	}
	qs_writer_post(s);
}

/* Write ahead in a new file: an overwriting sync need not tell the file system of new blocks. */
static int
zero_ahead(struct stream *st)
{
	uint32_t end = (st->off / ZERO_STEP + 1) * ZERO_STEP, at, n;

	if (st->off <= st->zeroed)
		return 0;
	if (end > st->seg->size - BLOCK)
		end = st->seg->size - BLOCK;
	for (at = st->off; at < end; at += n) {
		n = end - at < sizeof zeros ? end - at : (uint32_t)sizeof zeros;
		if (qs_io_write(st->fd, zeros, n, at) == -1)
			return -1;
	}
	st->zeroed = end;
	return 0;
}

static int
write_all(struct stream *st)
{
	struct iovec *v = st->iov;
	int n = st->niov;
	ssize_t put;

	while (n > 0) {
		if ((put = queue_io.pwritev(st->fd, v, n, st->written)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		st->written += (uint32_t)put;
		for (; n > 0 && (size_t)put >= v->iov_len; v++, n--)
			put -= (ssize_t)v->iov_len;
		if (n > 0) {
			v->iov_base = (uint8_t *)v->iov_base + put;
			v->iov_len -= (size_t)put;
		}
	}
	st->niov = 0;
	return zero_ahead(st);
}

void
qs_stream_flush(struct qstore *s, struct stream *st)
{
	if (st->seg != NULL && st->niov > 0 && write_all(st) == -1)
		fail(s, st, errno);
}

/* There is room for one more, or for the octets at the end of the last. */
static void
add_iov(struct stream *st, const uint8_t *p, uint32_t n)
{
	struct iovec *v = st->niov > 0 ? &st->iov[st->niov - 1] : NULL;

	if (n == 0)
		return;
	if (v != NULL && (uint8_t *)v->iov_base + v->iov_len == p)
		v->iov_len += n;
	else
		st->iov[st->niov++] = (struct iovec){(void *)(uintptr_t)p, n};
	st->off += n;
}

void
qs_stream_sync(struct qstore *s, struct stream *st)
{
	struct job *j;

	if (STAILQ_EMPTY(&st->jobs))
		return;
	/* What comes next shares no block with what is durable. */
	add_iov(st, zeros, -st->off % BLOCK);
	qs_stream_flush(s, st);
	if (st->seg == NULL || STAILQ_EMPTY(&st->jobs))
		return;
	if (queue_io.fdatasync(st->fd) == -1) {
		fail(s, st, errno);
		return;
	}
	st->synced = st->off;
	st->synced_prev = st->prev;
	st->waited = 0;
	while ((j = STAILQ_FIRST(&st->jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&st->jobs, next);
		qs_writer_done(s, j, 0);
	}
	(void)pthread_mutex_lock(&s->w.lock);
	s->w.syncs++;
	(void)pthread_mutex_unlock(&s->w.lock);
	qs_writer_post(s);
}

void
qs_stream_end(struct qstore *s, struct stream *st)
{
	struct seg *seg = st->seg;

	qs_stream_sync(s, st);
	/* When that failed, it was left already. */
	if (seg == NULL || st->seg != seg)
		return;
	if (write_seal(st, st->off) == 0)
		set_state(s, st->seg, SEG_SEALED, st->off);
	else
		give_up(s, st->seg, st->off);
	leave(st);
}

/* The checksums, which are bound to the place. */
static void
finish_group(struct stream *st, struct job *j)
{
	struct group_head g = {
	    .len = j->len, .nrec = j->nrec, .prev = st->prev, .synced = st->synced};
	uint32_t at = GROUP_HEAD;
	struct record r;
	uint8_t *p;

	for (; qs_group_next(j, &at, &r); at += record_len(&r)) {
		p = j->p + at;
		/* A copy has the checksum that it came with, wrong or not. */
		if (j->kind == JOB_GROUP)
			qs_record_body_crc(p, crc32c(0, p + RECORD_HEAD + r.meta, r.body));
		qs_record_seal(st->seg->mark, st->off + at, p, r.meta);
	}
	qs_group_encode(&g, st->seg->mark, st->off, j->p);
}

int
qs_stream_put(struct qstore *s, struct stream *st, struct job *j)
{
	/* The last blocks are for the mark of the end, and the header once more. */
	if (st->seg != NULL && j->len > st->seg->size - 2 * BLOCK - st->off)
		qs_stream_end(s, st);
	if (st->seg == NULL && open_next(s, st) == -1)
		return -1;
	finish_group(st, j);
	if (STAILQ_EMPTY(&st->jobs))
		st->since = clock_ms();
	j->seg = st->seg;
	j->at = st->off;
	st->prev = st->off;
	add_iov(st, j->p, j->len);
	st->waited |= !j->lazily;
	STAILQ_INSERT_TAIL(&st->jobs, j, next);
	if (st->niov > IOV_N - 2)
		qs_stream_flush(s, st);
	return 0;
}
