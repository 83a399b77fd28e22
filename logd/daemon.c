#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "logd/logd.h"

static struct output *out;

static void
put(enum log_level level, const char *who, uint32_t pid, const char *text)
{
	struct line l = {.level = level, .who = who, .pid = pid, .text = text};
	time_t now = (time_t)clock_unix();

	(void)localtime_r(&now, &l.when);
	output_line(out, &l);
}

/* Our own lines take the short way. */
static void
sink(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	put(level, "logd", (uint32_t)getpid(), line);
}

/* Whose line it is, the channel says: nobody writes in another's name. */
static void
on_line(struct chan *c, struct ipc_msg *m)
{
	const struct log_line *l = m->body;

	put(l->level, proc_name(chan_peer(c)), l->pid, l->text);
}

static const struct chan_handler handlers[] = {{M_log_line, on_line}, {0, NULL}};

static int
logd_open(const struct proc_env *env, struct err *e)
{
	/* The zone's file is out of reach later. */
	tzset();
	out = output_open(env->conf, env->uid, env->gid, e);
	return out == NULL ? -1 : 0;
}

static int
logd_start(const struct proc_env *env, struct err *e)
{
	(void)env;
	(void)e;
	log_set_sink(sink, NULL);
	return 0;
}

static int
logd_reload(const struct proc_env *env, struct err *e)
{
	return output_reload(out, env->conf, e);
}

static void
logd_status(void)
{
	struct output_counts n;

	output_count(out, &n);
	proc_fact("lines", "%llu", (unsigned long long)n.written);
	proc_fact("lost", "%llu", (unsigned long long)n.lost);
	if (n.trouble[0] != '\0')
		proc_fact("trouble", "%s", n.trouble);
}

static void
logd_reopen(int fd)
{
	output_reopen(out, fd);
}

static const struct sandbox sandbox = {
    .calls = SB_UNIX,
    .files = 256,
};

const struct proc logd = {
    .self = P_LOGD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = logd_open,
    .start = logd_start,
    .reload = logd_reload,
    .status = logd_status,
    .reopen = logd_reopen,
};
