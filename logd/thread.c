#include "logd/thread.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK (256 * 1024) /* octets; a search keeps its page on the heap */

STAILQ_HEAD(job_list, job);

struct thread {
	pthread_mutex_t lock; /* of todo, done, ending */
	pthread_cond_t more;
	struct job_list todo, done;
	int ending;
	int fd; /* eventfd: done is not empty */
	struct event ev;
	pthread_t thread;
};

static void *
run(void *arg)
{
	struct thread *t = arg;
	const uint64_t one = 1;
	struct job *j;

	(void)pthread_setname_np(pthread_self(), "logd-records");
	(void)pthread_mutex_lock(&t->lock);
	for (;;) {
		while ((j = STAILQ_FIRST(&t->todo)) == NULL && !t->ending)
			(void)pthread_cond_wait(&t->more, &t->lock);
		if (j == NULL)
			break;
		STAILQ_REMOVE_HEAD(&t->todo, next);
		(void)pthread_mutex_unlock(&t->lock);
		j->work(j);
		(void)pthread_mutex_lock(&t->lock);
		/* It is only ever read to zero, so it cannot be full. */
		if (STAILQ_EMPTY(&t->done) && write(t->fd, &one, sizeof one) == -1)
			abort();
		STAILQ_INSERT_TAIL(&t->done, j, next);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void
tell(struct thread *t)
{
	struct job *j;

	(void)pthread_mutex_lock(&t->lock);
	while ((j = STAILQ_FIRST(&t->done)) != NULL) {
		STAILQ_REMOVE_HEAD(&t->done, next);
		(void)pthread_mutex_unlock(&t->lock);
		j->done(j);
		(void)pthread_mutex_lock(&t->lock);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

static void
on_done(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	(void)!read(fd, &n, sizeof n);
	tell(arg);
}

/* Signals are the loop's. */
static int
start(struct thread *t)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	if ((rc = pthread_attr_init(&attr)) != 0)
		return rc;
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t->thread, &attr, run, t);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return rc;
}

static void
release(struct thread *t)
{
	if (event_initialized(&t->ev))
		(void)event_del(&t->ev);
	if (t->fd != -1)
		close(t->fd);
	(void)pthread_cond_destroy(&t->more);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

struct thread *
thread_new(struct event_base *base, struct err *e)
{
	struct thread *t = calloc(1, sizeof *t);
	int rc;

	if (t == NULL) {
		err_sys(e, "thread");
		return NULL;
	}
	STAILQ_INIT(&t->todo);
	STAILQ_INIT(&t->done);
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_cond_init(&t->more, NULL);
	if ((t->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) == -1 ||
	    event_assign(&t->ev, base, t->fd, EV_READ | EV_PERSIST, on_done, t) == -1 ||
	    event_add(&t->ev, NULL) == -1)
		err_sys(e, "thread");
	else if ((rc = start(t)) != 0)
		err_set(e, rc, "thread: %s", strerror(rc));
	else
		return t;
	release(t);
	return NULL;
}

void
thread_do(struct thread *t, struct job *j)
{
	(void)pthread_mutex_lock(&t->lock);
	STAILQ_INSERT_TAIL(&t->todo, j, next);
	(void)pthread_cond_signal(&t->more);
	(void)pthread_mutex_unlock(&t->lock);
}

void
thread_free(struct thread *t)
{
	if (t == NULL)
		return;
	(void)pthread_mutex_lock(&t->lock);
	t->ending = 1;
	(void)pthread_cond_signal(&t->more);
	(void)pthread_mutex_unlock(&t->lock);
	(void)pthread_join(t->thread, NULL);
	tell(t);
	release(t);
}
