#ifndef PROC_SINK_H
#define PROC_SINK_H

#include <sys/types.h>

#include "ipc/messages.h"
#include "proc/chan.h"

/*
 * The way of log lines and events to logd, of daemons and of master.  It never waits: a slow or
 * dead logd must not hold up mail.  What does not fit is counted, and the count is logged when
 * there is room.
 *
 * Warnings and errors leave at once, and take with them what waits; other lines wait 20 ms for
 * more, or until they are 32 KiB.  A process that is killed takes those with it.
 */

/*
 * From now on log lines go to logd once it is there.
 *
 * hold	1: until then they are held; 0: they go to stderr
 */
void sink_start(int hold);

/* This process, as it stands in its lines: not asked of the kernel each time. */
pid_t sink_pid(void);

/* One event, all of whose fields are within their bounds; before sink_start to standard error. */
void sink_event(const struct log_event *e);

/* logd's channel came or (NULL) went.  While it is away after having been there, lines are held,
 * too. */
void sink_logd(struct chan *c);

/* Hand the lines that wait to logd's socket, as far as it takes them, without waiting. */
void sink_push(void);

/* Wait a moment for what is queued for logd to leave, and print what is held: before an exit. */
void sink_flush(void);

#endif
