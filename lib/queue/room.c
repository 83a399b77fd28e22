/* Is there room? */
#include <stdio.h>
#include <sys/statfs.h>

#include "base/clock.h"
#include "queue/inner.h"

/*
 * Segments that are kept for what must be written when no message is taken any more: changes, ends,
 * and what is moved to make room.
 */
#define RESERVE 2
#define ENOUGH 3 /* segments of room until messages are taken again */
#define ASK_MS 1000 /* the file system is asked as often */

static void
ask(struct qstore *s)
{
	uint64_t now = clock_ms();
	struct statfs st;

	if (s->fs_asked != 0 && now - s->fs_asked < ASK_MS)
		return;
	s->fs_asked = now;
	if (fstatfs(s->dir, &st) == 0)
		s->fs_free = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
}

static uint64_t
left(uint64_t have, uint64_t used)
{
	return have > used ? have - used : 0;
}

void
qs_room_update(struct qstore *s)
{
	uint64_t disk, idle, fs, can;
	int64_t size = qs_segment_size(s);
	int full = s->full;

	ask(s);
	(void)pthread_mutex_lock(&s->w.lock);
	disk = s->disk = s->w.disk;
	idle = s->w.idle_octets;
	(void)pthread_mutex_unlock(&s->w.lock);
	can = left(s->size, disk + s->big_octets);
	fs = left(s->fs_free, s->min_free);
	s->room = (int64_t)(idle + (can < fs ? can : fs)) - (int64_t)s->waiting - RESERVE * size;
	if (s->room < 0)
		s->full = 1;
	else if (s->room >= (ENOUGH - RESERVE) * size)
		s->full = 0;
	if (s->full)
		qstore_tick(s);
	if (full != s->full && s->room_changed != NULL)
		s->room_changed(s->room_arg);
}

int64_t
qs_room_for(const struct qstore *s, int frees)
{
	/* A half of what is kept, so that the rest is there for what is moved. */
	if (frees)
		return s->room + RESERVE / 2 * (int64_t)qs_segment_size(s);
	return s->full ? -1 : s->room;
}

int
qstore_full(const struct qstore *s, char *why, size_t whysz)
{
	if (!s->full) {
		if (whysz > 0)
			*why = '\0';
		return 0;
	}
	if (left(s->fs_free, s->min_free) < left(s->size, s->disk + s->big_octets))
		(void)snprintf(why, whysz,
		    "the spool's file system has %llu MiB left (queue.min_free = %llu MiB)",
		    (unsigned long long)s->fs_free >> 20, (unsigned long long)s->min_free >> 20);
	else
		(void)snprintf(why, whysz, "the queue takes all of its %llu MiB (queue.size)",
		    (unsigned long long)s->size >> 20);
	return 1;
}

void
qstore_on_room(struct qstore *s, void (*changed)(void *arg), void *arg)
{
	s->room_changed = changed;
	s->room_arg = arg;
}
