/* The turns of the daemon: what happens together at the end of a round of the event loop. */
#include <errno.h>
#include <event2/event_struct.h>
#include <string.h>

#include "base/log.h"
#include "queued/queued.h"

#define SET_BACK_MS 5000 /* a clock that is slewed goes on; less than that is of no matter */
#define LONGEST_SLEEP 60000 /* ms: the wall clock may be set meanwhile */
#define SLICE_MS 2 /* between slices of work on very many messages */
#define LOG_PENDING (256 * 1024) /* octets that logd has not taken: no more slices */

struct queue Q;

static struct event tick, timer;
static int kicked;
static uint64_t armed; /* what the timer waits for; NEVER: for nothing */

/* What is to come would come too late by as much. */
static void
set_back(uint64_t ms)
{
	log_warn("the clock was set back by %llu s", (unsigned long long)ms / 1000);
	wake_set_back(ms);
	dest_set_back(ms);
	msgs_set_back(ms);
	life_write_now();
}

void
round_begin(void)
{
	uint64_t before = Q.now;

	Q.now = wall_ms();
	if (Q.now + SET_BACK_MS < before)
		set_back(before - Q.now);
}

static void
arm(void)
{
	uint64_t at = wake_next(), slice = Q.now + SLICE_MS, wait;
	struct timeval tv;

	if ((dests_dying() || admin_walking()) && at > slice)
		at = slice;
	if (at == armed && at > Q.now)
		return;
	if ((armed = at) == NEVER) {
		(void)evtimer_del(&timer);
		return;
	}
	wait = at <= Q.now ? 0 : at - Q.now;
	if (wait > LONGEST_SLEEP)
		wait = LONGEST_SLEEP;
	tv = (struct timeval){(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)};
	(void)evtimer_add(&timer, &tv);
}

static void
maybe_drained(void)
{
	if (!Q.draining || jobs_count() > 0 || intake_waiting() > 0 || Q.groups > 0 ||
	    life_unwritten())
		return;
	qstore_close(Q.store);
	round_end();
	proc_drained();
}

/* Answers first, then what the disk has to know, then new work. */
static void
turn(void)
{
	if (Q.store == NULL)
		return;
	intake_answer();
	life_write();
	dests_park_some();
	admin_walk();
	jobs_schedule();
	/* It may have put messages on hold. */
	life_write();
	kicked = 0;
	maybe_drained();
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	round_begin();
	turn();
	if (Q.store != NULL)
		arm();
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	armed = NEVER;
	round_begin();
	wake_run();
}

int
round_paced(void)
{
	const struct chan *logd = proc_chan(P_LOGD, 0);

	return logd != NULL && chan_pending(logd) > LOG_PENDING;
}

void
kick(void)
{
	if (kicked || Q.base == NULL)
		return;
	kicked = 1;
	event_active(&tick, EV_TIMEOUT, 0);
}

int
round_start(struct event_base *base)
{
	armed = NEVER;
	kicked = 0;
	if (event_assign(&tick, base, -1, 0, on_tick, NULL) == -1 ||
	    evtimer_assign(&timer, base, on_timer, NULL) == -1) {
		errno = ENOMEM;
		return -1;
	}
	Q.base = base;
	round_begin();
	return 0;
}

void
round_end(void)
{
	jobs_free();
	admin_free();
	intake_free();
	notices_free();
	msgs_free();
	life_free();
	dest_free_all();
	wake_free();
	if (Q.base != NULL) {
		(void)event_del(&tick);
		(void)evtimer_del(&timer);
	}
	memset(&Q, 0, sizeof Q);
}
