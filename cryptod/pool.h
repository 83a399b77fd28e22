#ifndef CRYPTOD_POOL_H
#define CRYPTOD_POOL_H

#include <event2/event.h>
#include <sys/queue.h>

#include "base/err.h"

/*
 * Threads for what takes long.  Jobs wait in lines, one for each name, and each line in turn gets
 * a free thread, so that nobody's many jobs hold up those of the others.  Everything but work is
 * called from the loop's thread, and all of these functions are for that thread only.
 */
#define POOL_JOBS_MAX 8192 /* waiting, in all lines together: some full lines stop nobody else */
#define POOL_LINE_MAX 256 /* waiting in one line: the handshakes that a proxy has under way */
#define POOL_NAME_MAX 64 /* octets of a line's name */

struct pool;
struct pool_line;

struct pool_job {
	TAILQ_ENTRY(pool_job) next;
	struct pool_line *line;
	void (*work)(struct pool_job *j); /* in a thread */
	void (*done)(struct pool_job *j); /* in the loop, some time after work */
};
TAILQ_HEAD(pool_jobs, pool_job);

/*
 * Start the threads; they take no signals.
 *
 * threads	1 and more
 *
 * Returns NULL with e.
 */
struct pool *pool_new(struct event_base *base, unsigned threads, struct err *e);

/* No job may be under way (pool_halt).  Ends the threads. */
void pool_free(struct pool *p);

/*
 * Queue a job in the line of this name; it is the pool's until done is called.
 * 0, or -1 with errno EBUSY (too many wait), ENOMEM.
 */
int pool_submit(struct pool *p, struct pool_job *j, const char *name);

/*
 * Take a job back.  1: it had not begun and is the caller's again, done will not be called;
 * 0: it is too late, done will be called.
 */
int pool_cancel(struct pool *p, struct pool_job *j);

/*
 * Wait for the jobs that are at work, at most one in each thread, and give back all: those that
 * waited and those whose done has not been called yet, and now will not be.
 */
void pool_halt(struct pool *p, struct pool_jobs *out);

/*
 * Around a fork: a child has no other thread, so none may be at work and hold a lock that the
 * child would wait for.  Waits as pool_halt does; what waits goes on after pool_release.  NULL is
 * allowed.
 */
void pool_hold(struct pool *p);
void pool_release(struct pool *p);

#endif
