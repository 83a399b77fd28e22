/* What the writer has done, in the loop. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/inner.h"

#define VOID_RETRY 5000 /* ms: a disk that is well again is used again soon */

static void
apply_record(struct qstore *s, const struct job *j, const struct record *r, uint32_t at)
{
	uint32_t slot = qs_index_find(s, r->id);

	if (slot == NONE)
		return;
	switch (r->kind) {
	case RECORD_MESSAGE:
	case RECORD_BIG:
		qs_life_home(s, slot, j->seg, at);
		break;
	case RECORD_STATE:
		qs_life_state(s, slot, j->seg, at, r->lsn);
		break;
	case RECORD_END:
		qs_life_end(s, slot, j->seg, at);
	}
}

static void
undo_group(struct qstore *s, struct job *j)
{
	struct big *b;

	s->counts.failed++;
	STAILQ_FOREACH (b, &j->bigs, next)
		qs_big_drop(s, b->id);
	qs_stage_undo(s, j);
}

static void
group_done(struct qstore *s, struct job *j, int *error)
{
	uint32_t at = GROUP_HEAD;
	struct record r;

	s->waiting -= j->len;
	if (j->error != 0) {
		*error = j->error;
		undo_group(s, j);
	} else {
		for (; qs_group_next(j, &at, &r); at += record_len(&r))
			apply_record(s, j, &r, j->at + at);
		s->counts.records += j->nrec;
	}
	if (j->done != NULL)
		j->done(j->arg, j->error == 0, j->error == 0 ? "" : strerror(j->error));
	qs_job_free(s, j);
}

static void
to_idle(struct qstore *s, struct seg *seg)
{
	struct writer *w = &s->w;

	(void)pthread_mutex_lock(&w->lock);
	seg->state = SEG_IDLE;
	seg->told_in = NULL;
	w->idle_octets += seg->size;
	STAILQ_INSERT_HEAD(&w->idle, seg, next);
	(void)pthread_mutex_unlock(&w->lock);
}

static void
void_done(struct qstore *s, struct job *j)
{
	struct seg *seg = j->seg;

	if (j->error == 0) {
		qs_life_voided(s, seg);
		seg->no_move = 0;
		seg->retry = 0;
		to_idle(s, seg);
	} else {
		log_warn("queue: segment.%u has emptied and cannot be used again now: %s", seg->no,
		    strerror(j->error));
		seg->retry = clock_ms() + VOID_RETRY;
		(void)pthread_mutex_lock(&s->w.lock);
		seg->state = SEG_SEALED;
		(void)pthread_mutex_unlock(&s->w.lock);
	}
	/* Others may have been held by it. */
	s->tend = 1;
	qs_job_free(s, j);
}

static void
drop_done(struct qstore *s, struct job *j)
{
	if (j->error == 0)
		qs_segment_free(s, j->seg);
	else
		to_idle(s, j->seg);
	qs_job_free(s, j);
}

static void
take_done(struct qstore *s, struct jobs *jobs)
{
	(void)pthread_mutex_lock(&s->w.lock);
	STAILQ_CONCAT(jobs, &s->w.done);
	s->tend |= s->w.sealed;
	s->counts.syncs = s->w.syncs;
	(void)pthread_mutex_unlock(&s->w.lock);
}

void
qs_done_apply(struct qstore *s)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct job *j;
	int error = 0;

	take_done(s, &jobs);
	while ((j = STAILQ_FIRST(&jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&jobs, next);
		switch (j->kind) {
		case JOB_GROUP:
			group_done(s, j, &error);
			break;
		case JOB_MOVE:
			qs_move_done(s, j);
			break;
		case JOB_VOID:
			void_done(s, j);
			break;
		case JOB_DROP:
			drop_done(s, j);
			break;
		case JOB_UNLINK:
			qs_job_free(s, j);
		}
	}
	if (error != 0)
		log_err("queue: writing failed: %s", strerror(error));
	if (s->tend) {
		qs_segment_tend(s);
		qs_move_begin(s);
	}
	qs_move_tend(s);
	qs_room_update(s);
}

static int
has_work(struct qstore *s)
{
	struct writer *w = &s->w;

	return !STAILQ_EMPTY(&s->pending) || !STAILQ_EMPTY(&w->queue) || !STAILQ_EMPTY(&w->bigs);
}

void
qstore_turn(struct qstore *s)
{
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);

	do {
		qs_stage_hand_over(s);
		STAILQ_CONCAT(&jobs, &s->w.queue);
		qs_writer_turn(s, &jobs, 1);
		qs_done_apply(s);
	} while (has_work(s));
}
