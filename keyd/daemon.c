#include "keyd/keyd.h"
#include "keyd/sts.h"

#define INSTANCES 64

static struct chan *askers[P_MAX][INSTANCES];

static void
on_ocsp_req(struct chan *c, struct ipc_msg *m)
{
	question_new(c, m->id, m->body);
}

static void
on_sts_req(struct chan *c, struct ipc_msg *m)
{
	sts_new(c, m->id, m->body);
}

static int
keyd_open(const struct proc_env *env, struct err *e)
{
	(void)env;
	return sandbox_allow(".", 1, e);
}

/* The administrator may have allowed what was refused before. */
static int
keyd_reload(const struct proc_env *env, struct err *e)
{
	if (sts_reload(env, e) == -1)
		return -1;
	cache_forget_failures();
	return 0;
}

static void
keyd_drain(unsigned seconds)
{
	(void)seconds;
	kept_save();
	proc_drained();
}

static void
keyd_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	if ((unsigned)peer >= P_MAX || instance >= INSTANCES)
		return;
	if (askers[peer][instance] != NULL) {
		question_forget(askers[peer][instance]);
		sts_forget(askers[peer][instance]);
	}
	askers[peer][instance] = c;
}

static void
keyd_status(void)
{
	const struct question_counts *n = question_count();

	proc_fact("asked", "%llu", (unsigned long long)n->asked);
	proc_fact("cached", "%llu", (unsigned long long)n->cached);
	proc_fact("stapled", "%llu", (unsigned long long)n->stapled);
	proc_fact("fetched", "%llu", (unsigned long long)n->fetched);
	proc_fact("failed", "%llu", (unsigned long long)n->failed);
	proc_fact("good", "%llu", (unsigned long long)n->status[OCSP_GOOD]);
	proc_fact("revoked", "%llu", (unsigned long long)n->status[OCSP_REVOKED]);
	proc_fact("unknown", "%llu", (unsigned long long)n->status[OCSP_UNKNOWN]);
	proc_fact("kept", "%u", cache_count());
	proc_fact("open", "%u", n->open);
	proc_fact("sts.asked", "%llu", (unsigned long long)sts_count()->asked);
	proc_fact("sts.fetched", "%llu", (unsigned long long)sts_count()->fetched);
	proc_fact("sts.failed", "%llu", (unsigned long long)sts_count()->failed);
	proc_fact("sts.kept", "%u", kept_policies());
	proc_fact("sts.open", "%u", sts_count()->open);
}

static const struct chan_handler handlers[] = {
    {M_ocsp_req, on_ocsp_req}, {M_sts_req, on_sts_req}, {0, NULL}};

static const struct sandbox sandbox = {
    .calls = SB_NET | SB_FILES | SB_MAPFILE,
    .starting = SB_FORK,
    .files = 1024,
};

const struct proc keyd = {
    .self = P_KEYD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = keyd_open,
    .start = sts_start,
    .reload = keyd_reload,
    .plumbed = keyd_plumbed,
    .drain = keyd_drain,
    .status = keyd_status,
};
