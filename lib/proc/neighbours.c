#include "proc/internal.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/sink.h"

#define INSTANCES 64 /* of one daemon, as in struct plumb */
#define TOOLS_MAX 16 /* channels of each tool at once */

static const struct proc_env *env;
static const struct proc *proc;
static const struct chan_handler *table;
static struct chan *neighbour[P_MAX][INSTANCES];
static uint32_t serials[P_MAX][INSTANCES]; /* of these channels, as master numbers them */

/* A request that outlives its channel. */
struct proc_req {
	TAILQ_ENTRY(proc_req) next;
	enum proc_id peer;
	uint16_t type;
	struct buf body; /* encoded, to be sent again */
	struct event timer;
	struct chan_req *asked; /* NULL: waiting for the peer */
	chan_reply_fn fn;
	void *arg;
};

static TAILQ_HEAD(, proc_req) reqs = TAILQ_HEAD_INITIALIZER(reqs);

struct chan *
proc_chan(enum proc_id peer, unsigned instance)
{
	if ((unsigned)peer >= P_MAX || instance >= INSTANCES)
		return NULL;
	return neighbour[peer][instance];
}

void
neighbours_init(
    const struct proc_env *the_env, const struct proc *p, const struct chan_handler *handlers)
{
	env = the_env;
	proc = p;
	table = handlers;
}

static int
is_tool(enum proc_id peer)
{
	return (PM(peer) & PM_TOOLS) != 0;
}

static void
gone(enum proc_id peer, unsigned instance)
{
	neighbour[peer][instance] = NULL;
	if (peer == P_LOGD)
		sink_logd(NULL);
	if (proc->plumbed != NULL)
		proc->plumbed(peer, instance, NULL);
}

static void
on_closed(struct chan *c, void *arg)
{
	enum proc_id peer = chan_peer(c);
	unsigned instance = chan_instance(c);
	struct plumb_lost lost = {.peer = (uint8_t)peer,
	    .instance = (uint16_t)instance,
	    .serial = serials[peer][instance]};

	(void)arg;
	if (neighbour[peer][instance] != c)
		return;
	gone(peer, instance);
	/* Most often it died and master knows; if not, it has to make a new pair. */
	if (!is_tool(peer) && proc_master() != NULL)
		(void)chan_send(proc_master(), M_plumb_lost, 0, &lost, -1);
}

/* Tools come and go: each gets the first free number. */
static int
tool_instance(enum proc_id peer, unsigned *instance)
{
	unsigned i;

	for (i = 0; i < TOOLS_MAX && neighbour[peer][i] != NULL; i++)
		;
	*instance = i;
	return i < TOOLS_MAX ? 0 : -1;
}

static void ask_waiting(enum proc_id peer);

int
neighbours_plumb(const struct plumb *p, int fd)
{
	enum proc_id peer = p->peer;
	unsigned instance = p->instance;
	struct chan *c, *old;

	if ((unsigned)peer >= P_MAX || instance >= INSTANCES) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	if (is_tool(peer) && tool_instance(peer, &instance) == -1) {
		log_warn("%s refused: %d of them are connected", proc_name(peer), TOOLS_MAX);
		close(fd);
		errno = EBUSY;
		return -1;
	}
	if ((c = chan_new(env->base, fd, env->self, peer, table, on_closed, NULL)) == NULL)
		return -1;
	chan_set_instance(c, instance);
	old = neighbour[peer][instance];
	neighbour[peer][instance] = c;
	serials[peer][instance] = p->serial;
	if (peer == P_LOGD)
		sink_logd(c);
	/* Its requests fail now, and may be asked again of the new one. */
	chan_abandon(old);
	if (proc->plumbed != NULL)
		proc->plumbed(peer, instance, c);
	ask_waiting(peer);
	return 0;
}

void
neighbours_free(void)
{
	struct proc_req *r;
	size_t i, j;

	while ((r = TAILQ_FIRST(&reqs)) != NULL)
		proc_cancel(r);
	sink_logd(NULL);
	for (i = 0; i < P_MAX; i++)
		for (j = 0; j < INSTANCES; j++) {
			chan_free(neighbour[i][j]);
			neighbour[i][j] = NULL;
		}
}

void
proc_cancel(struct proc_req *r)
{
	if (r == NULL)
		return;
	chan_cancel(r->asked);
	event_del(&r->timer);
	TAILQ_REMOVE(&reqs, r, next);
	buf_wipe_free(&r->body);
	free(r);
}

static void
finish(struct proc_req *r, struct ipc_msg *m, int error)
{
	chan_reply_fn fn = r->fn;
	void *arg = r->arg;

	proc_cancel(r);
	fn(arg, m, error);
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg, NULL, ETIMEDOUT);
}

static void
on_reply(void *arg, struct ipc_msg *m, int error)
{
	struct proc_req *r = arg;

	r->asked = NULL;
	/* The timer here is the only one that counts. */
	if (m == NULL && (error == ECONNRESET || error == ETIMEDOUT))
		return;
	finish(r, m, error);
}

static int
ask(struct proc_req *r, const void *body)
{
	struct chan *c = proc_chan(r->peer, 0);

	if (c == NULL)
		return 0;
	r->asked = chan_request(c, r->type, body, -1, INT32_MAX, on_reply, r);
	if (r->asked == NULL && errno != EPIPE && errno != ENOBUFS)
		return -1;
	return 0;
}

static void
ask_waiting(enum proc_id peer)
{
	const struct ipc_msgdef *d;
	struct proc_req *r, *t;
	void *body;

	TAILQ_FOREACH_SAFE (r, &reqs, next, t) {
		if (r->peer != peer || r->asked != NULL)
			continue;
		d = ipc_message(r->type);
		body = rec_decode(d->rec, buf_ptr(&r->body), buf_len(&r->body));
		/* Failing that, its timer ends it. */
		if (body != NULL)
			(void)ask(r, body);
		free(body);
	}
}

struct proc_req *
proc_request(enum proc_id peer, uint16_t type, const void *body, unsigned timeout, chan_reply_fn fn,
    void *arg)
{
	struct timeval tv = {timeout / 1000, (timeout % 1000) * 1000};
	const struct ipc_msgdef *d = ipc_message(type);
	struct proc_req *r;

	if (d == NULL || !ipc_allowed(d, env->self, peer)) {
		errno = EPERM;
		return NULL;
	}
	if ((r = calloc(1, sizeof *r)) == NULL)
		return NULL;
	buf_init(&r->body, IPC_FRAME_MAX);
	r->peer = peer;
	r->type = type;
	r->fn = fn;
	r->arg = arg;
	if (rec_encode(d->rec, body, &r->body) == -1 ||
	    evtimer_assign(&r->timer, env->base, on_timeout, r) == -1 ||
	    evtimer_add(&r->timer, &tv) == -1) {
		buf_wipe_free(&r->body);
		free(r);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&reqs, r, next);
	if (ask(r, body) == -1) {
		proc_cancel(r);
		return NULL;
	}
	return r;
}
