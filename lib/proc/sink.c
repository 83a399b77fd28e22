#include "proc/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/messages.h"

#define SINK_PENDING_MAX (256 * 1024) /* octets queued in logd's channel */
#define SINK_HELD_MAX 256 /* lines held while logd is being restarted */
#define SINK_FLUSH_MS 1000
#define SINK_DELAY_MS 20 /* that an unimportant line waits for company: each wakes logd */
#define SINK_BATCH (8 * 1024) /* octets that are company enough */

struct held {
	STAILQ_ENTRY(held) next;
	enum log_level level;
	char line[];
};

static struct chan *logd;
static int had_logd; /* it was there once, or will be: lines wait */
static STAILQ_HEAD(, held) held = STAILQ_HEAD_INITIALIZER(held);
static unsigned nheld;
static uint64_t dropped;
static pid_t self;

static int
send_line(enum log_level level, const char *line)
{
	struct log_line m = {.level = (uint8_t)level, .pid = (uint32_t)self, .text = line};
	size_t pending = chan_pending(logd);

	if (pending > SINK_PENDING_MAX)
		return -1;
	if (level <= LOG_L_WARN || pending >= SINK_BATCH)
		return chan_send(logd, M_log_line, 0, &m, -1);
	return chan_send_later(logd, M_log_line, 0, &m, -1, SINK_DELAY_MS);
}

/* Say how many lines are missing, as soon as that line itself gets through. */
static void
confess(void)
{
	char line[128];

	if (dropped == 0 || logd == NULL)
		return;
	(void)snprintf(line, sizeof line, "%llu log lines dropped: logd did not take them",
	    (unsigned long long)dropped);
	if (send_line(LOG_L_WARN, line) == 0)
		dropped = 0;
}

static void
hold(enum log_level level, const char *line)
{
	size_t n = strlen(line) + 1;
	struct held *h;

	if (nheld >= SINK_HELD_MAX || (h = malloc(sizeof *h + n)) == NULL) {
		dropped++;
		return;
	}
	h->level = level;
	memcpy(h->line, line, n);
	STAILQ_INSERT_TAIL(&held, h, next);
	nheld++;
}

static void
sink(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	if (logd != NULL) {
		confess();
		if (dropped > 0 || send_line(level, line) == -1)
			dropped++;
	} else if (had_logd)
		hold(level, line);
	else
		(void)fprintf(stderr, "%s: %s\n", getprogname(), line);
}

void
sink_start(int hold_lines)
{
	had_logd = hold_lines;
	self = getpid();
	log_set_sink(sink, NULL);
}

void
sink_logd(struct chan *c)
{
	struct held *h;

	logd = c;
	if (c == NULL)
		return;
	had_logd = 1;
	while ((h = STAILQ_FIRST(&held)) != NULL) {
		STAILQ_REMOVE_HEAD(&held, next);
		nheld--;
		if (dropped > 0 || send_line(h->level, h->line) == -1)
			dropped++;
		free(h);
	}
	confess();
}

void
sink_push(void)
{
	if (logd != NULL && chan_pending(logd) > 0)
		chan_flush(logd, 0);
}

void
sink_flush(void)
{
	struct held *h;

	if (logd != NULL)
		chan_flush(logd, SINK_FLUSH_MS);
	while ((h = STAILQ_FIRST(&held)) != NULL) {
		STAILQ_REMOVE_HEAD(&held, next);
		(void)fprintf(stderr, "%s: %s\n", getprogname(), h->line);
		free(h);
	}
	nheld = 0;
}
