#include "cryptod/pool.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/tree.h>
#include <unistd.h>

/* OpenSSL's and our own arrays for RSA of 16,384 bit fit many times. */
#define STACK (512 * 1024)

struct pool_line {
	RB_ENTRY(pool_line) by_name;
	TAILQ_ENTRY(pool_line) turn;
	struct pool_jobs jobs; /* not empty: without a job there is no line */
	unsigned njobs;
	char name[POOL_NAME_MAX + 1];
};

RB_HEAD(line_tree, pool_line);

struct pool {
	pthread_mutex_t lock; /* of all but thread, nthreads, ev, fd */
	pthread_cond_t work; /* a job waits, or the end has come */
	pthread_cond_t idle; /* nobody is at work */
	struct line_tree lines;
	TAILQ_HEAD(, pool_line) turns; /* the next one first */
	struct pool_jobs done;
	unsigned waiting, working;
	int held, ending;
	int fd; /* eventfd: done is not empty */
	struct event ev;
	unsigned nthreads;
	pthread_t thread[];
};

static int
line_cmp(const struct pool_line *a, const struct pool_line *b)
{
	return strcmp(a->name, b->name);
}

RB_GENERATE_INTERNAL(line_tree, pool_line, by_name, line_cmp, static __attribute__((unused)))

static void
unqueue(struct pool *p, struct pool_job *j)
{
	struct pool_line *l = j->line;

	TAILQ_REMOVE(&l->jobs, j, next);
	j->line = NULL;
	p->waiting--;
	if (--l->njobs > 0)
		return;
	TAILQ_REMOVE(&p->turns, l, turn);
	RB_REMOVE(line_tree, &p->lines, l);
	free(l);
}

/* The first job of the line whose turn it is; the line goes to the end. */
static struct pool_job *
take(struct pool *p)
{
	struct pool_line *l = TAILQ_FIRST(&p->turns);
	struct pool_job *j = TAILQ_FIRST(&l->jobs);

	TAILQ_REMOVE(&p->turns, l, turn);
	TAILQ_INSERT_TAIL(&p->turns, l, turn);
	unqueue(p, j);
	return j;
}

static void
finished(struct pool *p, struct pool_job *j)
{
	const uint64_t one = 1;

	/* It is only ever read to zero, so it cannot be full. */
	if (TAILQ_EMPTY(&p->done) && write(p->fd, &one, sizeof one) == -1)
		abort();
	TAILQ_INSERT_TAIL(&p->done, j, next);
	if (--p->working == 0)
		(void)pthread_cond_signal(&p->idle);
}

static void *
thread(void *arg)
{
	struct pool *p = arg;
	struct pool_job *j;

	(void)pthread_setname_np(pthread_self(), "cryptod-op");
	(void)pthread_mutex_lock(&p->lock);
	for (;;) {
		while ((p->waiting == 0 || p->held) && !p->ending)
			(void)pthread_cond_wait(&p->work, &p->lock);
		if (p->ending)
			break;
		j = take(p);
		p->working++;
		(void)pthread_mutex_unlock(&p->lock);
		j->work(j);
		(void)pthread_mutex_lock(&p->lock);
		finished(p, j);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
on_done(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;
	struct pool_job *j;
	uint64_t n;

	(void)what;
	(void)pthread_mutex_lock(&p->lock);
	(void)!read(fd, &n, sizeof n);
	/* One at a time: done may do anything, even halt the pool. */
	while ((j = TAILQ_FIRST(&p->done)) != NULL) {
		TAILQ_REMOVE(&p->done, j, next);
		(void)pthread_mutex_unlock(&p->lock);
		j->done(j);
		(void)pthread_mutex_lock(&p->lock);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

/* Signals are the loop's.  0, or -1 with e; nthreads says how many there are. */
static int
start(struct pool *p, unsigned threads, struct err *e)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	if ((rc = pthread_attr_init(&attr)) != 0)
		return err_set(e, rc, "threads: %s", strerror(rc));
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	while (rc == 0 && p->nthreads < threads)
		if ((rc = pthread_create(&p->thread[p->nthreads], &attr, thread, p)) == 0)
			p->nthreads++;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return rc == 0 ? 0 : err_set(e, rc, "threads: %s", strerror(rc));
}

struct pool *
pool_new(struct event_base *base, unsigned threads, struct err *e)
{
	struct pool *p;

	if ((p = calloc(1, sizeof *p + threads * sizeof p->thread[0])) == NULL) {
		err_sys(e, "threads");
		return NULL;
	}
	RB_INIT(&p->lines);
	TAILQ_INIT(&p->turns);
	TAILQ_INIT(&p->done);
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->work, NULL);
	(void)pthread_cond_init(&p->idle, NULL);
	if ((p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) == -1 ||
	    event_assign(&p->ev, base, p->fd, EV_READ | EV_PERSIST, on_done, p) == -1 ||
	    event_add(&p->ev, NULL) == -1)
		err_sys(e, "threads");
	else if (start(p, threads, e) == 0)
		return p;
	pool_free(p);
	return NULL;
}

void
pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->ending = 1;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
	while (p->nthreads > 0)
		(void)pthread_join(p->thread[--p->nthreads], NULL);
	if (event_initialized(&p->ev))
		(void)event_del(&p->ev);
	if (p->fd != -1)
		close(p->fd);
	(void)pthread_cond_destroy(&p->idle);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

/* The line of this name; made when it is not there, by the caller's promise to fill it. */
static struct pool_line *
line_get(struct pool *p, const char *name)
{
	struct pool_line find, *l;

	(void)snprintf(find.name, sizeof find.name, "%s", name);
	if ((l = RB_FIND(line_tree, &p->lines, &find)) != NULL)
		return l;
	if ((l = calloc(1, sizeof *l)) == NULL)
		return NULL;
	TAILQ_INIT(&l->jobs);
	memcpy(l->name, find.name, sizeof l->name);
	RB_INSERT(line_tree, &p->lines, l);
	TAILQ_INSERT_TAIL(&p->turns, l, turn);
	return l;
}

int
pool_submit(struct pool *p, struct pool_job *j, const char *name)
{
	struct pool_line *l = NULL;
	int rc = -1;

	(void)pthread_mutex_lock(&p->lock);
	errno = EBUSY;
	if (p->waiting < POOL_JOBS_MAX && (l = line_get(p, name)) != NULL &&
	    l->njobs < POOL_LINE_MAX) {
		j->line = l;
		TAILQ_INSERT_TAIL(&l->jobs, j, next);
		l->njobs++;
		p->waiting++;
		(void)pthread_cond_signal(&p->work);
		rc = 0;
	}
	(void)pthread_mutex_unlock(&p->lock);
	return rc;
}

int
pool_cancel(struct pool *p, struct pool_job *j)
{
	int waits;

	(void)pthread_mutex_lock(&p->lock);
	if ((waits = j->line != NULL))
		unqueue(p, j);
	(void)pthread_mutex_unlock(&p->lock);
	return waits;
}

static void
await_idle(struct pool *p)
{
	while (p->working > 0)
		(void)pthread_cond_wait(&p->idle, &p->lock);
}

void
pool_halt(struct pool *p, struct pool_jobs *out)
{
	struct pool_job *j;

	TAILQ_INIT(out);
	(void)pthread_mutex_lock(&p->lock);
	while (p->waiting > 0) {
		j = take(p);
		TAILQ_INSERT_TAIL(out, j, next);
	}
	await_idle(p);
	TAILQ_CONCAT(out, &p->done, next);
	(void)pthread_mutex_unlock(&p->lock);
}

void
pool_hold(struct pool *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->held = 1;
	await_idle(p);
	(void)pthread_mutex_unlock(&p->lock);
}

void
pool_release(struct pool *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->held = 0;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
}
