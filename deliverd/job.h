#ifndef DELIVERD_JOB_H
#define DELIVERD_JOB_H

#include "ipc/messages.h"
#include "proc/chan.h"

/*
 * Jobs: one message to some recipients at one destination.  A job finds the servers, takes an idle
 * connection or makes one, goes on to the next server when one cannot be used, logs what became of
 * each recipient and answers queued.
 */
#define JOBS_MAX 5000 /* at once; queued has fewer (queue.active) */
#define JOB_TRIES_MAX 8 /* connections that are made for one job */
#define JOB_LOOK_MS 1800000 /* then no further server is tried; queued asks again after hours */

/* M_job_req. What is wrong with it is answered. */
void job_begin(struct chan *c, struct ipc_msg *m);

/*
 * queued is gone: who has not begun to send is forgotten, queued will ask again; the others come to
 * their end, and nobody is told.
 */
void job_orphan(const struct chan *c);

/* Take no more; fn is called when the last one is done, perhaps at once. */
void job_drain(void (*fn)(void));
void job_clear(void);

struct job_counts {
	uint64_t sent, delayed, failed; /* recipients */
	unsigned open, sending; /* jobs */
};
const struct job_counts *job_count(void);

#endif
