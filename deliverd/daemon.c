/* deliverd: the SMTP and LMTP client. */
#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "deliverd/deliverd.h"
#include "deliverd/job.h"
#include "deliverd/pool.h"
#include "deliverd/route_test.h"
#include "net/conn.h"

#define INSTANCES 64
#define FAREWELL_MS 2000 /* for QUITs to leave */
#define LOOK_MS 20
#define FILES_OTHER 256 /* descriptors of the loop, of channels and what they bring */
/* Each job has at most a connection and a message's descriptor. */
#define FILES_MAX (POOL_LINKS_MAX + JOBS_MAX + FILES_OTHER)

static struct chan *askers[P_MAX][INSTANCES];
static struct event farewell;
static unsigned looks;

/* Half of the descriptors that there will be, for a job may have one of a message. */
static void
choose_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max < FILES_MAX)
		pool_limit(r.rlim_max > 2 * FILES_OTHER ? (unsigned)(r.rlim_max - FILES_OTHER) / 2
							: FILES_OTHER / 2);
}

static int
deliverd_open(const struct proc_env *env, struct err *e)
{
	int fd;

	(void)env;
	if ((fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "cannot open the spool folder");
	pool_spool(fd);
	choose_limit();
	return sandbox_allow(".", 1, e);
}

static int
deliverd_start(const struct proc_env *env, struct err *e)
{
	if (route_prepare(env->conf, e) == -1)
		return -1;
	route_commit();
	return 0;
}

static int
deliverd_reload(const struct proc_env *env, struct err *e)
{
	if (deliverd_start(env, e) == -1)
		return -1;
	ask_forget();
	bad_clear();
	pool_renew();
	return 0;
}

static void
deliverd_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	struct chan *old;

	if ((unsigned)peer >= P_MAX || instance >= INSTANCES)
		return;
	old = askers[peer][instance];
	askers[peer][instance] = c;
	if (old != NULL && peer == P_QUEUED)
		job_orphan(old);
	if (old != NULL && peer == P_GWCTL)
		route_test_forget(old);
}

/* ---- the end ---- */

static void
on_farewell(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval tv = {0, LOOK_MS * 1000};

	(void)fd;
	(void)what;
	(void)arg;
	if (conn_count() == 0 || ++looks > FAREWELL_MS / LOOK_MS)
		proc_drained();
	else
		(void)evtimer_add(&farewell, &tv);
}

static void
on_jobs_done(void)
{
	const struct timeval tv = {0, 0};

	pool_drain();
	(void)evtimer_add(&farewell, &tv);
}

static void
deliverd_drain(unsigned seconds)
{
	(void)seconds;
	if (!evtimer_initialized(&farewell))
		(void)evtimer_assign(&farewell, proc_env()->base, on_farewell, NULL);
	job_drain(on_jobs_done);
}

static void
deliverd_status(void)
{
	const struct job_counts *j = job_count();
	const struct pool_counts *p = pool_count();
	const struct ask_counts *a = ask_count();

	proc_fact("sent", "%llu", (unsigned long long)j->sent);
	proc_fact("delayed", "%llu", (unsigned long long)j->delayed);
	proc_fact("failed", "%llu", (unsigned long long)j->failed);
	proc_fact("jobs", "%u", j->open);
	proc_fact("sending", "%u", j->sending);
	proc_fact("connections", "%u", p->links);
	proc_fact("idle", "%u", p->idle);
	proc_fact("waiting", "%u", p->waiting);
	proc_fact("connected", "%llu", (unsigned long long)p->opened);
	proc_fact("reused", "%llu", (unsigned long long)p->reused);
	proc_fact("unreached", "%llu", (unsigned long long)p->failed);
	proc_fact("destinations", "%u", dest_count());
	proc_fact("bad_servers", "%u", bad_count());
	proc_fact("asked", "%llu", (unsigned long long)a->asked);
	proc_fact("cached", "%llu", (unsigned long long)a->cached);
}

static const struct chan_handler handlers[] = {
    {M_job_req, job_begin}, {M_route_test_req, route_test_begin}, {0, NULL}};

static const struct sandbox sandbox = {
    .calls = SB_NET | SB_MEMFD | SB_TMPFILE,
    .files = FILES_MAX,
};

const struct proc deliverd = {
    .self = P_DELIVERD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = deliverd_open,
    .start = deliverd_start,
    .reload = deliverd_reload,
    .plumbed = deliverd_plumbed,
    .drain = deliverd_drain,
    .status = deliverd_status,
};
