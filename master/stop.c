#include <stdio.h>

#include "base/log.h"
#include "master/master.h"

#define FRONT_S 30 /* sessions under way may finish */
#define BACK_S 5
#define LAST_S 2

/* The way down: who talks to clients first, who writes the log last. */
static const struct {
	enum service_stage stage;
	unsigned seconds;
} order[] = {{STAGE_FRONT, FRONT_S}, {STAGE_BACK, BACK_S}, {STAGE_LAST, LAST_S}};

#define STEPS (sizeof order / sizeof order[0])

static size_t step;

static int
left(enum service_stage stage)
{
	size_t i;
	int n = 0;

	for (i = 0; i < M.nchildren; i++)
		n += M.children[i].svc->stage == stage && M.children[i].pid > 0;
	return n;
}

static void
drain_step(void)
{
	size_t i;

	for (i = 0; i < M.nchildren; i++)
		if (M.children[i].svc->stage == order[step].stage)
			child_drain(&M.children[i], order[step].seconds);
}

void
stop_gone(void)
{
	while (step < STEPS && left(order[step].stage) == 0)
		if (++step < STEPS)
			drain_step();
	if (step == STEPS)
		event_base_loopbreak(M.base);
}

/* The second request is impatient. */
static void
kill_all(void)
{
	size_t i;

	for (i = 0; i < M.nchildren; i++)
		child_kill(&M.children[i]);
}

void
stop_begin(int code, const char *why)
{
	const struct child *logd;

	if (M.phase == STOPPING) {
		kill_all();
		return;
	}
	logd = child_find(P_LOGD, 0);
	if (code == 0)
		log_info("stopping: %s", why);
	else {
		if (logd != NULL && logd->state == PROC_RUNNING)
			log_err("%s", why);
		/* Whoever started the gateway reads it there. */
		(void)fprintf(stderr, "postern: %s\n", why);
	}
	M.phase = STOPPING;
	M.exit_code = code;
	notify_send("STOPPING=1");
	control_close();
	/* No new connections: the daemons close their copies when they drain. */
	while (M.listeners.n > 0)
		M.listeners.v[M.listeners.n - 1].fresh = 1, listen_undo(&M.listeners);
	step = 0;
	drain_step();
	stop_gone();
}
