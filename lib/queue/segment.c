/* The files of the segments: names, which of them there are, and which can be used again. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "queue/inner.h"

#define OPEN_MAX_SEGS 64 /* files that are kept open for reading */
#define BEYOND 16 /* segments above the size */

struct queue_io queue_io = {pwritev, fdatasync, fallocate};

int
qs_io_write(int fd, const void *p, size_t n, uint64_t at)
{
	struct iovec v = {(void *)(uintptr_t)p, n};
	ssize_t put;

	while (v.iov_len > 0) {
		if ((put = queue_io.pwritev(fd, &v, 1, (off_t)at)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		v.iov_base = (uint8_t *)v.iov_base + put;
		v.iov_len -= (size_t)put;
		at += (uint64_t)put;
	}
	return 0;
}

ssize_t
qs_io_read(int fd, void *p, size_t n, uint64_t at)
{
	size_t have = 0;
	ssize_t got;

	while (have < n) {
		got = pread(fd, (uint8_t *)p + have, n - have, (off_t)(at + have));
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

char *
qs_segment_name(char out[NAME_MAX_OCTETS], uint32_t no)
{
	(void)snprintf(out, NAME_MAX_OCTETS, "segment.%u", no);
	return out;
}

char *
qs_big_name(char out[NAME_MAX_OCTETS], uint64_t id)
{
	(void)snprintf(out, NAME_MAX_OCTETS, "message.%" PRIx64, id);
	return out;
}

uint32_t
qs_segment_size(const struct qstore *s)
{
	uint64_t n = s->segment;

	/* Some must fit, or nothing could be used again. */
	if (n > s->size / 8)
		n = s->size / 8;
	if (n > SEGMENT_MAX)
		n = SEGMENT_MAX;
	if (n < SEGMENT_MIN)
		n = SEGMENT_MIN;
	return (uint32_t)(n / BLOCK * BLOCK);
}

struct seg *
qs_segment_new(struct qstore *s, uint32_t no)
{
	struct seg **more, *seg;
	uint32_t n = s->nsegs;

	if (no >= n) {
		n = no + 16;
		if ((more = reallocarray(s->seg, n, sizeof *more)) == NULL)
			return NULL;
		memset(more + s->nsegs, 0, (n - s->nsegs) * sizeof *more);
		s->seg = more;
		s->nsegs = n;
	}
	if ((seg = calloc(1, sizeof *seg)) == NULL)
		return NULL;
	seg->no = no;
	seg->fd = -1;
	seg->dead = NONE;
	s->seg[no] = seg;
	return seg;
}

void
qs_segment_free(struct qstore *s, struct seg *seg)
{
	if (seg == NULL)
		return;
	qs_segment_close(s, seg);
	s->seg[seg->no] = NULL;
	free(seg->moved);
	free(seg);
}

int
qs_segment_reserve(struct seg *seg, uint32_t n)
{
	uint32_t room = seg->moved_room;
	uint64_t *more;

	if (room - seg->nmoved >= n)
		return 0;
	room = seg->nmoved + n + room;
	if ((more = reallocarray(seg->moved, room, sizeof *more)) == NULL)
		return -1;
	seg->moved = more;
	seg->moved_room = room;
	return 0;
}

void
qs_segment_ref(struct seg *seg, uint32_t octets)
{
	seg->live++;
	seg->octets += octets;
}

void
qs_segment_unref(struct qstore *s, struct seg *seg, uint32_t octets)
{
	seg->live--;
	seg->octets -= seg->octets < octets ? seg->octets : octets;
	if (seg->live == 0)
		s->tend = 1;
}

void
qs_segment_close(struct qstore *s, struct seg *seg)
{
	if (seg->fd == -1)
		return;
	close(seg->fd);
	seg->fd = -1;
	s->open_segs--;
}

static void
close_oldest(struct qstore *s)
{
	struct seg *oldest = NULL;
	uint32_t i;

	for (i = 0; i < s->nsegs; i++)
		if (s->seg[i] != NULL && s->seg[i]->fd != -1 &&
		    (oldest == NULL || s->seg[i]->touched < oldest->touched))
			oldest = s->seg[i];
	if (oldest != NULL)
		qs_segment_close(s, oldest);
}

int
qs_segment_fd(struct qstore *s, struct seg *seg)
{
	char name[NAME_MAX_OCTETS];

	seg->touched = ++s->reads;
	if (seg->fd != -1)
		return seg->fd;
	if (s->open_segs >= OPEN_MAX_SEGS)
		close_oldest(s);
	seg->fd = openat(s->dir, qs_segment_name(name, seg->no), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (seg->fd != -1)
		s->open_segs++;
	return seg->fd;
}

int
qs_segment_write_header(int fd, const struct seg_header *h)
{
	uint8_t sector[SECTOR];

	qs_header_encode(h, sector);
	if (qs_io_write(fd, sector, SECTOR, 0) == -1 ||
	    qs_io_write(fd, sector, SECTOR, h->size - BLOCK) == -1)
		return -1;
	return queue_io.fdatasync(fd);
}

/*
 * The writer takes segments from writer.idle and waits for none: there must be enough for all that
 * waits, and for what is moved.  Messages are refused before the size is reached (room.c).  Changes
 * and what is moved go on beyond it, for without them nothing would become free; but not for ever,
 * should each of the files be one that cannot be written to.
 */
void
qs_segment_supply(struct qstore *s)
{
	uint64_t size = qs_segment_size(s), want = s->waiting + 3 * size, have = 0;
	uint64_t most = s->size / size, least = 2 * size, n = 0;
	struct seg *seg;
	uint32_t i, hole = NONE;

	(void)pthread_mutex_lock(&s->w.lock);
	STAILQ_FOREACH (seg, &s->w.idle, next) {
		have += seg->size;
		if (have >= want)
			break;
	}
	(void)pthread_mutex_unlock(&s->w.lock);
	if (have >= want)
		return;
	for (i = 0; i < s->nsegs; i++)
		n += s->seg[i] != NULL;
	for (i = 0; n < most + BEYOND && (have < least || (have < want && n < most)); i++) {
		hole = i;
		if (i < s->nsegs && s->seg[i] != NULL)
			continue;
		if ((seg = qs_segment_new(s, hole)) == NULL)
			return;
		seg->size = (uint32_t)size;
		seg->state = SEG_ABSENT;
		(void)pthread_mutex_lock(&s->w.lock);
		STAILQ_INSERT_TAIL(&s->w.idle, seg, next);
		(void)pthread_mutex_unlock(&s->w.lock);
		have += size;
		n++;
	}
}

static void
void_one(struct qstore *s, struct seg *seg)
{
	struct job *j = qs_job_new(s, JOB_VOID);

	if (j == NULL)
		return;
	qs_segment_close(s, seg);
	seg->state = SEG_VOIDING;
	j->seg = seg;
	STAILQ_INSERT_TAIL(&s->w.queue, j, next);
	(void)pthread_cond_signal(&s->w.work);
}

/* Is its header needed, for it says where another one ends? */
static int
tells_an_end(const struct qstore *s, const struct seg *seg)
{
	uint32_t i;

	for (i = 0; i < s->nsegs; i++)
		if (s->seg[i] != NULL && s->seg[i] != seg && s->seg[i]->told_in == seg)
			return 1;
	return 0;
}

/* Give the file system back what a full queue once took: half as many as are in use may stay. */
static void
drop_one(struct qstore *s, unsigned used, unsigned idle)
{
	struct seg *seg, *last = NULL;
	struct job *j;

	if (idle <= 4 + used / 2)
		return;
	STAILQ_FOREACH (seg, &s->w.idle, next)
		if (seg->state == SEG_IDLE)
			last = seg;
	if (last == NULL || (j = qs_job_new(s, JOB_DROP)) == NULL)
		return;
	STAILQ_REMOVE(&s->w.idle, last, seg, next);
	s->w.idle_octets -= last->size;
	last->state = SEG_VOIDING;
	j->seg = last;
	STAILQ_INSERT_TAIL(&s->w.queue, j, next);
	(void)pthread_cond_signal(&s->w.work);
}

void
qs_segment_tend(struct qstore *s)
{
	unsigned used = 0, idle = 0;
	int later = 0;
	struct seg *seg;
	uint32_t i;

	s->tend = 0;
	(void)pthread_mutex_lock(&s->w.lock);
	s->w.sealed = 0;
	for (i = 0; i < s->nsegs; i++) {
		if ((seg = s->seg[i]) == NULL)
			continue;
		used += seg->state == SEG_ACTIVE || seg->state == SEG_SEALED;
		idle += seg->state == SEG_IDLE;
		if (seg->state != SEG_SEALED || seg->live != 0 || seg->damaged ||
		    (s->moving.seg == seg && s->moving.under_way) || tells_an_end(s, seg))
			continue;
		if (seg->retry != 0 && clock_ms() < seg->retry)
			later = 1;
		else
			void_one(s, seg);
	}
	drop_one(s, used, idle);
	later |= idle > 4 + used / 2;
	(void)pthread_mutex_unlock(&s->w.lock);
	if (later)
		qstore_tick(s);
}
