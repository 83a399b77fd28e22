#include "proc/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "proc/event.h"

#define SINK_PENDING_MAX (2 * 1024 * 1024) /* octets queued in logd's channel: a second's worth */
#define SINK_HELD_MAX (1024 * 1024) /* octets held while logd is being restarted */
#define SINK_FLUSH_MS 1000
#define SINK_DELAY_MS 20 /* that an unimportant line waits for company: each wakes logd */
#define SINK_BATCH (32 * 1024) /* octets that are company enough */

struct held {
	STAILQ_ENTRY(held) next;
	int event; /* an encoded log_event; else a line with its NUL */
	enum log_level level;
	size_t n;
	uint8_t data[];
};

static struct chan *logd;
static int had_logd; /* it was there once, or will be: lines wait */
static STAILQ_HEAD(, held) held = STAILQ_HEAD_INITIALIZER(held);
static size_t nheld; /* octets */
static uint64_t dropped;
static pid_t self;

static int
send_to_logd(enum log_level level, uint16_t type, const void *body)
{
	size_t pending = chan_pending(logd);

	if (pending > SINK_PENDING_MAX)
		return -1;
	if (level <= LOG_L_WARN || pending >= SINK_BATCH)
		return chan_send(logd, type, 0, body, -1);
	return chan_send_later(logd, type, 0, body, -1, SINK_DELAY_MS);
}

static int
send_line(enum log_level level, const char *line)
{
	struct log_line m = {
	    .level = (uint8_t)level, .pid = (uint32_t)self, .text = line, .when = clock_unix_ms()};

	return send_to_logd(level, M_log_line, &m);
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
hold(int event, enum log_level level, const void *data, size_t n)
{
	struct held *h;

	if (nheld + n > SINK_HELD_MAX || (h = malloc(sizeof *h + n)) == NULL) {
		dropped++;
		return;
	}
	h->event = event;
	h->level = level;
	h->n = n;
	memcpy(h->data, data, n);
	STAILQ_INSERT_TAIL(&held, h, next);
	nheld += n;
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
		hold(0, level, line, strlen(line) + 1);
	else
		(void)fprintf(stderr, "%s: %s\n", getprogname(), line);
}

static void
print_event(const struct log_event *e)
{
	char line[EVENT_LINE_MAX];

	(void)event_line(line, sizeof line, e);
	(void)fprintf(stderr, "%s: %s\n", getprogname(), line);
}

void
sink_event(const struct log_event *e)
{
	struct buf b;

	if (logd != NULL) {
		confess();
		if (dropped > 0 || send_to_logd(e->level, M_log_event, e) == -1)
			dropped++;
		return;
	}
	if (!had_logd) {
		print_event(e);
		return;
	}
	buf_init(&b, IPC_FRAME_MAX);
	if (rec_encode(&rec_log_event, e, &b) == 0)
		hold(1, e->level, buf_ptr(&b), buf_len(&b));
	else
		dropped++;
	buf_free(&b);
}

static struct log_event *
held_event(const struct held *h)
{
	return rec_decode(&rec_log_event, h->data, h->n);
}

static int
send_held(const struct held *h)
{
	struct log_event *e;
	int rc = -1;

	if (!h->event)
		return send_line(h->level, (const char *)h->data);
	if ((e = held_event(h)) != NULL)
		rc = send_to_logd(h->level, M_log_event, e);
	free(e);
	return rc;
}

static void
print_held(const struct held *h)
{
	struct log_event *e;

	if (!h->event) {
		(void)fprintf(stderr, "%s: %s\n", getprogname(), (const char *)h->data);
		return;
	}
	if ((e = held_event(h)) != NULL)
		print_event(e);
	free(e);
}

void
sink_start(int hold_lines)
{
	had_logd = hold_lines;
	self = getpid();
	log_set_sink(sink, NULL);
}

pid_t
sink_pid(void)
{
	return self != 0 ? self : getpid();
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
		nheld -= h->n;
		if (dropped > 0 || send_held(h) == -1)
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
		print_held(h);
		free(h);
	}
	nheld = 0;
}
