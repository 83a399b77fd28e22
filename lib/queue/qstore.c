/* The store as a whole: its limits, its events. */
#include "queue/qstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "queue/inner.h"

REC_DEFINE(qstore_rcpt, REC_QSTORE_RCPT)
REC_DEFINE(qstore_state, REC_QSTORE_STATE)
REC_DEFINE(qstore_entry, REC_QSTORE_ENTRY)

#define LOCK_NAME "lock"
#define RECORD_MAX (SEGMENT_MIN) /* no record is longer than a group */

void
qstore_reload(struct qstore *s, const struct conf_queue *conf)
{
	s->size = conf->size;
	s->min_free = conf->min_free;
	s->memory = conf->memory;
	s->segment = conf->segment > SEGMENT_MAX ? SEGMENT_MAX : (uint32_t)conf->segment;
}

/* Whoever has the lock is the only one at work here. */
static int
take_lock(struct qstore *s, struct err *e)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	s->lock = openat(s->dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock == -1)
		return err_sys(e, "queue: lock");
	if (fcntl(s->lock, F_OFD_SETLK, &l) == -1)
		return err_set(e, EBUSY, "queue: somebody else is at work in this folder");
	return 0;
}

struct qstore *
qstore_new(int dir, const struct conf_queue *conf, struct err *e)
{
	struct qstore *s = calloc(1, sizeof *s);

	if (s == NULL) {
		err_sys(e, "queue");
		return NULL;
	}
	s->dir = dir;
	s->lock = -1;
	s->next_id = s->next_lsn = 1;
	s->slots.free = NONE;
	STAILQ_INIT(&s->pending);
	buf_init(&s->record, RECORD_MAX);
	spool_init(&s->shown, 0, -1);
	qs_writer_init(s);
	qstore_reload(s, conf);
	if (take_lock(s, e) == 0)
		return s;
	qstore_free(s);
	return NULL;
}

void
qstore_free(struct qstore *s)
{
	uint32_t i;

	if (s->base != NULL) {
		(void)event_del(&s->kick);
		(void)event_del(&s->ready);
		(void)event_del(&s->tick);
	}
	while (!STAILQ_EMPTY(&s->pending)) {
		struct job *j = STAILQ_FIRST(&s->pending);

		STAILQ_REMOVE_HEAD(&s->pending, next);
		qs_job_free(s, j);
	}
	if (s->group != NULL)
		qs_job_free(s, s->group);
	qs_writer_free(s);
	qs_cache_free(s);
	qs_index_free(s);
	for (i = 0; i < s->nsegs; i++)
		qs_segment_free(s, s->seg[i]);
	free(s->seg);
	spool_free(&s->shown);
	buf_wipe_free(&s->record);
	if (s->lock != -1)
		close(s->lock);
	close(s->dir);
	free(s);
}

static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct qstore *s = arg;

	(void)fd;
	(void)what;
	s->kicked = 0;
	qs_stage_hand_over(s);
	qs_move_tend(s);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof n);
	qs_done_apply(arg);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct qstore *s = arg;

	(void)fd;
	(void)what;
	s->tend = 1;
	qs_done_apply(s);
}

void
qstore_tick(struct qstore *s)
{
	const struct timeval second = {1, 0};

	if (s->base != NULL && !event_pending(&s->tick, EV_TIMEOUT, NULL))
		(void)event_add(&s->tick, &second);
}

int
qstore_start(struct qstore *s, struct event_base *base, struct err *e)
{
	if (qs_writer_start(s, e) == -1)
		return -1;
	if (event_assign(&s->kick, base, -1, 0, on_kick, s) == -1 ||
	    event_assign(&s->tick, base, -1, 0, on_tick, s) == -1 ||
	    event_assign(&s->ready, base, s->w.fd, EV_READ | EV_PERSIST, on_ready, s) == -1 ||
	    event_add(&s->ready, NULL) == -1) {
		qs_writer_stop(s);
		return err_set(e, ENOMEM, "queue: no event");
	}
	s->base = base;
	/* What the start left to be done. */
	event_active(&s->tick, EV_TIMEOUT, 0);
	return 0;
}

static void
no_callbacks(struct jobs *jobs)
{
	struct job *j;

	STAILQ_FOREACH (j, jobs, next)
		j->done = NULL;
}

void
qstore_close(struct qstore *s)
{
	struct jobs none = STAILQ_HEAD_INITIALIZER(none);
	struct job *j;
	unsigned lost = 0;

	if (s == NULL)
		return;
	qstore_abort(s);
	qs_stage_hand_over(s);
	qs_writer_stop(s);
	/* Without a thread; and the last try for what could not be written. */
	STAILQ_CONCAT(&none, &s->w.queue);
	s->w.open_error = 0;
	s->w.retry_at = 0;
	qs_writer_turn(s, &none, 1);
	while (!STAILQ_EMPTY(&s->w.bigs))
		qs_writer_turn(s, &none, 1);
	qs_stream_end(s, &s->w.stream[0]);
	qs_stream_end(s, &s->w.stream[1]);
	STAILQ_FOREACH (j, &s->w.retry, next)
		lost += j->nrec;
	if (lost > 0)
		log_err("queue: %u changes could not be written and are lost", lost);
	no_callbacks(&s->w.done);
	no_callbacks(&s->w.finished);
	qstore_free(s);
}

void
qstore_count(const struct qstore *s, struct qstore_counts *n)
{
	struct writer *w = (struct writer *)(uintptr_t)&s->w;
	const struct seg *seg;
	uint32_t i;

	*n = s->counts;
	(void)pthread_mutex_lock(&w->lock);
	for (i = 0; i < s->nsegs; i++) {
		if ((seg = s->seg[i]) == NULL || seg->state == SEG_ABSENT)
			continue;
		n->segments++;
		n->free_segments += seg->state == SEG_IDLE;
	}
	n->syncs = w->syncs;
	n->disk = w->disk + s->big_octets;
	(void)pthread_mutex_unlock(&w->lock);
}
