/* The thread that writes.  Nothing here logs or calls into the loop's half: jobs go back to it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "queue/inner.h"

#define STACK (256 * 1024) /* a window of a large message is 64 KiB */
#define UNSYNCED_MAX (4 * 1024 * 1024) /* octets: more are synced though nobody waits */
#define RETRY_MS 1000

void
qs_writer_init(struct qstore *s)
{
	struct writer *w = &s->w;
	pthread_condattr_t attr;
	unsigned i;

	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->work, &attr);
	(void)pthread_condattr_destroy(&attr);
	w->fd = -1;
	w->inc = 1;
	STAILQ_INIT(&w->queue);
	STAILQ_INIT(&w->done);
	STAILQ_INIT(&w->idle);
	STAILQ_INIT(&w->finished);
	STAILQ_INIT(&w->bigs);
	STAILQ_INIT(&w->retry);
	for (i = 0; i < 2; i++) {
		w->stream[i].kind = i == 0 ? SEG_NEW : SEG_MOVED;
		w->stream[i].fd = -1;
		STAILQ_INIT(&w->stream[i].jobs);
	}
}

static void
free_jobs(struct qstore *s, struct jobs *jobs)
{
	struct job *j;

	while ((j = STAILQ_FIRST(jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(jobs, next);
		qs_job_free(s, j);
	}
}

void
qs_writer_free(struct qstore *s)
{
	struct writer *w = &s->w;
	unsigned i;

	free_jobs(s, &w->queue);
	free_jobs(s, &w->done);
	free_jobs(s, &w->finished);
	free_jobs(s, &w->bigs);
	free_jobs(s, &w->retry);
	for (i = 0; i < 2; i++) {
		free_jobs(s, &w->stream[i].jobs);
		if (w->stream[i].fd != -1)
			close(w->stream[i].fd);
	}
	if (w->fd != -1)
		close(w->fd);
	(void)pthread_cond_destroy(&w->work);
	(void)pthread_mutex_destroy(&w->lock);
}

void
qs_writer_done(struct qstore *s, struct job *j, int error)
{
	j->error = error;
	STAILQ_INSERT_TAIL(&s->w.finished, j, next);
}

void
qs_writer_post(struct qstore *s)
{
	struct writer *w = &s->w;
	const uint64_t one = 1;
	int wake;

	if (STAILQ_EMPTY(&w->finished))
		return;
	(void)pthread_mutex_lock(&w->lock);
	wake = STAILQ_EMPTY(&w->done) && w->fd != -1;
	STAILQ_CONCAT(&w->done, &w->finished);
	(void)pthread_mutex_unlock(&w->lock);
	/* It is read to zero each time, so it cannot be full. */
	if (wake)
		(void)!write(w->fd, &one, sizeof one);
}

/* A group that could not be put anywhere. */
static void
refuse(struct qstore *s, struct job *j, int error)
{
	struct writer *w = &s->w;

	if (j->kind != JOB_GROUP || !j->lazily || j->done != NULL) {
		qs_writer_done(s, j, error);
		return;
	}
	STAILQ_INSERT_TAIL(&w->retry, j, next);
	w->retry_at = clock_ms() + RETRY_MS;
}

static void
void_segment(struct qstore *s, struct job *j)
{
	struct seg_header h = {.kind = SEG_FREE, .no = j->seg->no, .size = j->seg->size};
	struct writer *w = &s->w;
	char name[NAME_MAX_OCTETS];
	int fd;

	/* As long as more can be read in one of those than counts, ends of messages are needed. */
	if (qs_stream_tell(s) == -1) {
		qs_writer_done(s, j, EIO);
		return;
	}
	fd = openat(s->dir, qs_segment_name(name, h.no), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1) {
		qs_writer_done(s, j, errno);
		return;
	}
	(void)pthread_mutex_lock(&w->lock);
	h.inc = w->inc++;
	h.next_id = w->next_id;
	h.next_lsn = w->next_lsn;
	(void)pthread_mutex_unlock(&w->lock);
	qs_writer_done(s, j, qs_segment_write_header(fd, &h) == -1 ? errno : 0);
	close(fd);
}

static void
drop_segment(struct qstore *s, struct job *j)
{
	char name[NAME_MAX_OCTETS];

	if (unlinkat(s->dir, qs_segment_name(name, j->seg->no), 0) == -1) {
		qs_writer_done(s, j, errno);
		return;
	}
	(void)pthread_mutex_lock(&s->w.lock);
	s->w.disk -= j->seg->size;
	(void)pthread_mutex_unlock(&s->w.lock);
	qs_writer_done(s, j, 0);
}

/* What may be done when those who wait have their answer. */
static void
do_later(struct qstore *s, struct jobs *later)
{
	char name[NAME_MAX_OCTETS];
	struct job *j;

	while ((j = STAILQ_FIRST(later)) != NULL) {
		STAILQ_REMOVE_HEAD(later, next);
		if (j->kind == JOB_VOID)
			void_segment(s, j);
		else if (j->kind == JOB_DROP)
			drop_segment(s, j);
		else {
			(void)unlinkat(s->dir, qs_big_name(name, j->id), 0);
			qs_writer_done(s, j, 0);
		}
	}
}

/* The first of the messages in b that has octets left, or NULL. */
static struct big *
unfinished(const struct job *j)
{
	struct big *b;

	STAILQ_FOREACH (b, &j->bigs, next)
		if (b->off < b->src.size || b->fd != -1)
			return b;
	return NULL;
}

/* A piece of a large message; its group is put when the last of them is durable. */
static void
write_bigs(struct qstore *s, struct jobs *jobs)
{
	struct job *j = STAILQ_FIRST(&s->w.bigs);
	struct big *b;
	int rc, code;

	if (j == NULL)
		return;
	b = unfinished(j);
	if ((rc = qs_big_step(s, b)) == 0)
		return;
	code = errno;
	if (rc == 1) {
		put_be32(j->p + b->at + RECORD_HEAD + BIG_CRC, b->crc);
		if (unfinished(j) != NULL)
			return;
	}
	STAILQ_REMOVE_HEAD(&s->w.bigs, next);
	if (rc == 1)
		STAILQ_INSERT_TAIL(jobs, j, next);
	else
		qs_writer_done(s, j, code);
}

static void
put(struct qstore *s, struct job *j)
{
	struct stream *st = &s->w.stream[j->kind == JOB_MOVE];

	if (j->kind == JOB_MOVE)
		qs_move_build(s, j);
	if (j->len <= GROUP_HEAD)
		qs_writer_done(s, j, 0);
	else if (qs_stream_put(s, st, j) == -1)
		refuse(s, j, errno);
	/* Those who were first need not wait for all of a long round. */
	else if (st->off - st->synced > UNSYNCED_MAX)
		qs_stream_sync(s, st);
}

static int
is_due(const struct stream *st, uint64_t now)
{
	return st->waited || now >= st->since + LAZY_MS || st->off - st->synced > UNSYNCED_MAX;
}

void
qs_writer_turn(struct qstore *s, struct jobs *jobs, int all)
{
	struct jobs later = STAILQ_HEAD_INITIALIZER(later);
	struct writer *w = &s->w;
	uint64_t now = clock_ms();
	struct stream *st;
	struct job *j;
	unsigned i;

	/* What could not be written before goes first. */
	if (!STAILQ_EMPTY(&w->retry) && (!STAILQ_EMPTY(jobs) || now >= w->retry_at)) {
		STAILQ_CONCAT(&w->retry, jobs);
		STAILQ_CONCAT(jobs, &w->retry);
	}
	write_bigs(s, jobs);
	while ((j = STAILQ_FIRST(jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(jobs, next);
		if (j->kind > JOB_MOVE)
			STAILQ_INSERT_TAIL(&later, j, next);
		else if (j->kind == JOB_GROUP && unfinished(j) != NULL)
			STAILQ_INSERT_TAIL(&w->bigs, j, next);
		else
			put(s, j);
	}
	for (i = 0; i < 2; i++) {
		st = &w->stream[i];
		qs_stream_flush(s, st);
		if (all || is_due(st, now))
			qs_stream_sync(s, st);
	}
	do_later(s, &later);
	qs_writer_post(s);
}

/* When there is something to do without anything coming, in ms; UINT64_MAX: never. */
static uint64_t
next_time(const struct writer *w)
{
	uint64_t at = UINT64_MAX;
	unsigned i;

	if (!STAILQ_EMPTY(&w->bigs))
		return 0;
	for (i = 0; i < 2; i++)
		if (!STAILQ_EMPTY(&w->stream[i].jobs) && w->stream[i].since + LAZY_MS < at)
			at = w->stream[i].since + LAZY_MS;
	if (!STAILQ_EMPTY(&w->retry) && w->retry_at < at)
		at = w->retry_at;
	return at;
}

/* With the lock: wait for work; 0 when there will be no more. */
static int
wait_for_work(struct writer *w)
{
	uint64_t at = next_time(w);
	struct timespec t = {(time_t)(at / 1000), (long)(at % 1000) * 1000000};

	while (STAILQ_EMPTY(&w->queue) && !w->ending && at != 0) {
		if (at == UINT64_MAX)
			(void)pthread_cond_wait(&w->work, &w->lock);
		else if (pthread_cond_timedwait(&w->work, &w->lock, &t) == ETIMEDOUT)
			break;
	}
	return !w->ending || !STAILQ_EMPTY(&w->queue) || !STAILQ_EMPTY(&w->bigs);
}

static void *
run(void *arg)
{
	struct qstore *s = arg;
	struct jobs jobs = STAILQ_HEAD_INITIALIZER(jobs);
	struct writer *w = &s->w;
	int more;

	(void)pthread_setname_np(pthread_self(), "queue-sync");
	do {
		(void)pthread_mutex_lock(&w->lock);
		more = wait_for_work(w);
		STAILQ_CONCAT(&jobs, &w->queue);
		(void)pthread_mutex_unlock(&w->lock);
		qs_writer_turn(s, &jobs, !more);
	} while (more);
	return NULL;
}

/* Signals are the loop's. */
int
qs_writer_start(struct qstore *s, struct err *e)
{
	struct writer *w = &s->w;
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	if ((w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) == -1)
		return err_sys(e, "eventfd");
	if ((rc = pthread_attr_init(&attr)) != 0)
		return err_set(e, rc, "thread: %s", strerror(rc));
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, &attr, run, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	if (rc != 0)
		return err_set(e, rc, "thread: %s", strerror(rc));
	w->running = 1;
	return 0;
}

void
qs_writer_stop(struct qstore *s)
{
	struct writer *w = &s->w;

	if (!w->running)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->ending = 1;
	(void)pthread_cond_signal(&w->work);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	w->running = 0;
}
