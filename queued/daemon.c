/* queued: the durable queue. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "queued/queued.h"

/* ---- start ---- */

static int
queued_open(const struct proc_env *env, struct err *e)
{
	(void)env;
	return sandbox_allow(".", 1, e);
}

static void
found(void *arg, qstore_id id, const struct qstore_entry *entry, const struct qstore_state *state)
{
	struct msg *m =
	    msg_new(entry->envelope.v, entry->rcpts.v, entry->rcpts.n, entry->size, state);
	int *lost = arg;

	if (m == NULL) {
		(*lost)++;
		return;
	}
	m->id = id;
	if ((m = intake_link(m)) == NULL) {
		(*lost)++;
		return;
	}
	/* Later than that was never said, but by a clock that was wrong. */
	if (m->next > Q.now + 2 * 1000 * Q.conf->queue.retry_max)
		m->next = Q.now;
	if (m->arrived > Q.now)
		m->arrived = Q.now;
	/* Its attempts are made when the deliverds are there. */
	wake_set(&m->wake, m->next > Q.now && m->settle_at == 0 ? m->next : Q.now);
	if (m->left == 0)
		life_dirty(m);
}

static int
queued_start(const struct proc_env *env, struct err *e)
{
	int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), lost = 0;

	Q.conf = env->conf;
	if (dir == -1)
		return err_sys(e, "the folder of the queue");
	if (round_start(env->base) == -1 || jobs_start() == -1 || life_start() == -1) {
		close(dir);
		return err_set(e, ENOMEM, "no memory for the queue");
	}
	Q.store = qstore_open_dir(dir, &env->conf->queue, found, &lost, e);
	if (Q.store == NULL || qstore_start(Q.store, env->base, e) == -1)
		return -1;
	if (lost > 0)
		return err_set(e, ENOMEM, "no memory for %d messages of the queue", lost);
	qstore_on_room(Q.store, intake_room, NULL);
	if (msg_count() > 0)
		log_info("%llu messages are in the queue", (unsigned long long)msg_count());
	return 0;
}

/* ---- afterwards ---- */

static int
queued_reload(const struct proc_env *env, struct err *e)
{
	(void)e;
	if (Q.store == NULL)
		return 0;
	round_begin();
	Q.conf = env->conf;
	qstore_reload(Q.store, &env->conf->queue);
	jobs_reload();
	dest_reload();
	admin_reroute();
	kick();
	return 0;
}

static void
queued_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	if (Q.store == NULL)
		return;
	round_begin();
	switch (peer) {
	case P_SMTPD:
	case P_ANVILD:
		intake_plumbed(peer, instance, c);
		break;
	case P_DELIVERD:
		jobs_plumbed(instance, c);
		break;
	case P_GWCTL:
		admin_plumbed(instance, c);
		break;
	default:
		break;
	}
}

static void
queued_drain(unsigned seconds)
{
	(void)seconds;
	Q.draining = 1;
	kick();
}

static void
fact(const char *name, uint64_t value)
{
	proc_fact(name, "%llu", (unsigned long long)value);
}

static void
queued_status(void)
{
	struct qstore_counts n = {0};
	char why[256];
	unsigned dead, dests = dest_count(&dead);

	if (Q.store == NULL)
		return;
	qstore_count(Q.store, &n);
	fact("messages", msg_count());
	fact("messages.octets", n.octets);
	fact("active", jobs_count());
	fact("recipients.waiting", Q.states[R_TASK] - Q.parked);
	fact("recipients.deferred", Q.states[R_DEFERRED] + Q.parked);
	fact("recipients.held", Q.states[R_HELD]);
	fact("destinations", dests);
	fact("destinations.suspended", dead);
	fact("queued", Q.tally.queued);
	fact("jobs", Q.tally.jobs);
	fact("jobs.lost", Q.tally.lost);
	fact("sent", Q.tally.sent);
	fact("deferred", Q.tally.deferred);
	fact("bounced", Q.tally.bounced);
	fact("expired", Q.tally.expired);
	fact("notices", Q.tally.notices);
	fact("notices.dropped", Q.tally.dropped);
	fact("refused", Q.tally.refused);
	fact("store.disk", n.disk);
	fact("store.segments", n.segments);
	fact("store.segments.free", n.free_segments);
	fact("store.syncs", n.syncs);
	fact("store.records", n.records);
	fact("store.moved", n.moved);
	fact("store.failed", n.failed);
	fact("store.full", (uint64_t)qstore_full(Q.store, why, sizeof why));
	jobs_facts();
}

static const struct chan_handler handlers[] = {
    {M_queue_put_req, on_put},
    {M_job_rep, on_job_rep},
    {M_queue_list_req, on_list},
    {M_queue_show_req, on_show},
    {M_queue_act_req, on_act},
    {0, NULL},
};

static const struct sandbox sandbox = {
    .calls = SB_FILES | SB_THREADS | SB_MEMFD,
};

const struct proc queued = {
    .self = P_QUEUED,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = queued_open,
    .start = queued_start,
    .reload = queued_reload,
    .plumbed = queued_plumbed,
    .drain = queued_drain,
    .status = queued_status,
};
