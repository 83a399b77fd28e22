#ifndef LOGD_THREAD_H
#define LOGD_THREAD_H

#include <event2/event.h>
#include <sys/queue.h>

#include "base/err.h"

/*
 * One thread beside the loop, for what waits for the disk.  It does jobs one after the other, in
 * the order in which they were given.
 */
struct job {
	STAILQ_ENTRY(job) next;
	void (*work)(struct job *j); /* in the thread: no logging, nothing of the loop's */
	void (*done)(struct job *j); /* in the loop, afterwards; frees it */
};

struct thread;

/* NULL with e. */
struct thread *thread_new(struct event_base *base, struct err *e);

/* The job belongs to the thread until it is done. */
void thread_do(struct thread *t, struct job *j);

/* Ends when all jobs have been worked on; those not yet told are, now. */
void thread_free(struct thread *t);

#endif
