#include "filterd/dispatch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "filterd/zygote.h"
#include "mail/header.h"

#define WAIT_MS 10000 /* a proxy waits that long for a worker, then it is told to try later */
#define WAITING_MAX 2000 /* requests in line; more are turned away at once */
#define FORK_MS 5000 /* a fork that the zygote has not made by then, failed */
#define RETRY_MS 50 /* pause after a fork that failed, and between looks at the line */

/* Descriptors that the zygote has. */
enum { ZYGOTE_SOCK = 3, ZYGOTE_DIR };

/* A worker, from its birth until its control socket closes. */
struct seat {
	TAILQ_ENTRY(seat) next;
	struct chan *control;
	uint32_t pid;
	int busy;
};

/* A proxy's request for a worker. */
struct request {
	STAILQ_ENTRY(request) next;
	enum proc_id proxy;
	unsigned instance;
	uint64_t id, deadline;
	uint8_t session[SESSION_ID];
};

static struct {
	TAILQ_HEAD(, seat) seats;
	STAILQ_HEAD(, request) line;
	unsigned waiting, idle, busy, asked; /* asked: forks under way */
	struct chan *zygote;
	int spooldir, draining;
	uint64_t asked_at; /* clock_ms of the last question */
	struct event *timer;
	uint64_t served, turned_away, crashed;
} d = {.seats = TAILQ_HEAD_INITIALIZER(d.seats),
    .line = STAILQ_HEAD_INITIALIZER(d.line),
    .spooldir = -1};

static void dispatch(void);
static void drain_check(void);

static void
tick_in(unsigned ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	if (!event_pending(d.timer, EV_TIMEOUT, NULL))
		(void)event_add(d.timer, &tv);
}

static void
ask_forks(void)
{
	const struct conf_workers *c = &proc_env()->conf->workers;
	static const struct zygote_fork q = {0};
	unsigned all;

	if (d.asked > 0 && clock_ms() - d.asked_at > FORK_MS)
		d.asked = 0;
	all = d.idle + d.busy + d.asked;
	while (d.zygote != NULL && all < c->max && d.idle + d.asked < c->spare + d.waiting) {
		if (chan_send(d.zygote, M_zygote_fork, 0, &q, -1) == -1) {
			tick_in(RETRY_MS);
			return;
		}
		d.asked++;
		d.asked_at = clock_ms();
		all++;
	}
}

static void
worker_gone(struct chan *c, void *arg)
{
	struct seat *s = arg;

	(void)c;
	TAILQ_REMOVE(&d.seats, s, next);
	if (s->busy)
		d.busy--;
	else
		d.idle--;
	free(s);
	dispatch();
	drain_check();
}

static const struct chan_handler no_messages[] = {{0, NULL}};

static void
on_child(struct chan *c, struct ipc_msg *m)
{
	const struct zygote_child *r = m->body;
	struct seat *s = calloc(1, sizeof *s);

	(void)c;
	if (d.asked > 0)
		d.asked--;
	if (s == NULL)
		return;
	s->pid = r->pid;
	s->control =
	    chan_new(proc_env()->base, m->fd, P_FILTERD, P_WORKER, no_messages, worker_gone, s);
	m->fd = -1;
	if (s->control == NULL) {
		free(s);
		return;
	}
	TAILQ_INSERT_TAIL(&d.seats, s, next);
	d.idle++;
	dispatch();
}

static void
on_exit_status(struct chan *c, struct ipc_msg *m)
{
	const struct zygote_exit *r = m->body;
	int st = (int)r->status;

	(void)c;
	if (WIFSIGNALED(st)) {
		d.crashed++;
		log_err("worker[%u]: %s", r->pid,
		    WTERMSIG(st) == SIGALRM ? "took longer than workers.deadline and was ended"
					    : strsignal(WTERMSIG(st)));
	} else if (WEXITSTATUS(st) != 0)
		log_debug("worker[%u]: exit %d", r->pid, WEXITSTATUS(st));
}

static const struct chan_handler zygote_messages[] = {
    {M_zygote_child, on_child},
    {M_zygote_exit, on_exit_status},
    {0, NULL},
};

static void
zygote_gone(struct chan *c, void *arg)
{
	(void)c;
	(void)arg;
	/* Without it no worker can be made; master starts filterd anew, clean. */
	log_err("the zygote is gone; starting again");
	exit(EXIT_FAILURE);
}

static void
answer(const struct request *r, int fd, const char *text)
{
	struct worker_rep p = {.ok = fd != -1, .text = text};
	struct chan *c = proc_chan(r->proxy, r->instance);

	if (c == NULL) {
		if (fd != -1)
			close(fd);
	} else if (chan_send(c, M_worker_rep, r->id, &p, fd) == -1)
		log_warn("cannot answer %s: %s", proc_name(r->proxy), strerror(errno));
}

/* Give the worker and the other side each their end of a new channel. */
static int
seat_at(struct seat *s, enum proc_id peer, int *theirs)
{
	struct worker_seat m = {.peer = (uint8_t)peer};
	int fds[2];

	if (ipc_pair(fds) == -1)
		return -1;
	if (chan_send(s->control, M_worker_seat, 0, &m, fds[0]) == -1) {
		close(fds[1]);
		return -1;
	}
	*theirs = fds[1];
	return 0;
}

/* Seat a worker at policyd or cryptod. */
static int
bind_to(struct seat *s, enum proc_id peer, const struct worker_bind *b)
{
	struct chan *c = proc_chan(peer, 0);
	int fd;

	if (c == NULL || seat_at(s, peer, &fd) == -1)
		return -1;
	return chan_send(c, M_worker_bind, 0, b, fd);
}

/*
 * Seat an idle worker at a session.  A worker that was seated in part cannot be used again: it
 * is let go, and the proxy gets another.
 */
static int
assign(struct seat *s, const struct request *r)
{
	struct worker_go go = {.deadline = (uint32_t)proc_env()->conf->workers.deadline};
	uint8_t worker[WORKER_ID];
	struct worker_bind b;
	int fd;

	arc4random_buf(worker, sizeof worker);
	memset(&b, 0, sizeof b);
	b.worker = (struct bytes){worker, sizeof worker};
	if (bind_to(s, P_CRYPTOD, &b) == -1)
		return -1;
	b.session = (struct bytes){r->session, sizeof r->session};
	if (bind_to(s, P_POLICYD, &b) == -1)
		return -1;
	if (seat_at(s, r->proxy, &fd) == -1)
		return -1;
	if (chan_send(s->control, M_worker_go, 0, &go, -1) == -1) {
		close(fd);
		return -1;
	}
	s->busy = 1;
	d.idle--;
	d.busy++;
	d.served++;
	answer(r, fd, "");
	return 0;
}

static void
drop_seat(struct seat *s)
{
	chan_free(s->control);
	TAILQ_REMOVE(&d.seats, s, next);
	d.idle--;
	free(s);
}

static struct seat *
idle_seat(void)
{
	struct seat *s;

	TAILQ_FOREACH (s, &d.seats, next)
		if (!s->busy)
			return s;
	return NULL;
}

static void
pop_request(void)
{
	struct request *r = STAILQ_FIRST(&d.line);

	STAILQ_REMOVE_HEAD(&d.line, next);
	d.waiting--;
	free(r);
}

/* Serve the line as far as workers and neighbours are there. */
static void
dispatch(void)
{
	struct request *r;
	struct seat *s;

	while ((r = STAILQ_FIRST(&d.line)) != NULL) {
		if (clock_ms() >= r->deadline) {
			d.turned_away++;
			answer(r, -1, "no worker became free in time");
			pop_request();
			continue;
		}
		if (proc_chan(P_POLICYD, 0) == NULL || proc_chan(P_CRYPTOD, 0) == NULL ||
		    (s = idle_seat()) == NULL)
			break;
		if (assign(s, r) == -1)
			drop_seat(s);
		else
			pop_request();
	}
	ask_forks();
	if (!STAILQ_EMPTY(&d.line))
		tick_in(RETRY_MS);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	dispatch();
}

static void
on_worker_req(struct chan *c, struct ipc_msg *m)
{
	const struct worker_req *q = m->body;
	struct request *r = calloc(1, sizeof *r);

	if (r == NULL)
		return;
	r->proxy = chan_peer(c);
	r->instance = chan_instance(c);
	r->id = m->id;
	r->deadline = clock_ms() + WAIT_MS;
	memcpy(r->session, q->session.p, SESSION_ID);
	if (d.waiting >= WAITING_MAX) {
		d.turned_away++;
		answer(r, -1, "too many wait for a worker");
		free(r);
		return;
	}
	STAILQ_INSERT_TAIL(&d.line, r, next);
	d.waiting++;
	dispatch();
}

static const struct chan_handler handlers[] = {
    {M_worker_req, on_worker_req},
    {0, NULL},
};

static int
filterd_open(const struct proc_env *env, struct err *e)
{
	char path[PATH_MAX];

	/* Workers convert header text; the converters are files that a jail lacks. */
	mail_charset_init();
	(void)snprintf(path, sizeof path, "%s/filterd", env->conf->node.spool_dir);
	if ((d.spooldir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", path);
	return sandbox_allow(path, 1, e);
}

/* Fork the zygote now, before anything from another process has been read. */
static int
filterd_start(const struct proc_env *env, struct err *e)
{
	int fds[2];
	pid_t pid;

	if (ipc_pair(fds) == -1)
		return err_sys(e, "socketpair");
	if ((pid = fork()) == -1)
		return err_sys(e, "fork");
	if (pid == 0) {
		/* Only the two that it needs; the channel to master is not among them. Moved up
		 * first: either may stand where the other shall. */
		int sock = fcntl(fds[1], F_DUPFD, ZYGOTE_DIR + 1);
		int dir = fcntl(d.spooldir, F_DUPFD, ZYGOTE_DIR + 1);

		if (dup2(sock, ZYGOTE_SOCK) == -1 || dup2(dir, ZYGOTE_DIR) == -1)
			_exit(EXIT_FAILURE);
		closefrom(ZYGOTE_DIR + 1);
		zygote_run(ZYGOTE_SOCK, ZYGOTE_DIR, env->conf->workers.memory);
	}
	close(fds[1]);
	d.zygote =
	    chan_new(env->base, fds[0], P_FILTERD, P_ZYGOTE, zygote_messages, zygote_gone, NULL);
	d.timer = evtimer_new(env->base, on_tick, NULL);
	if (d.zygote == NULL || d.timer == NULL)
		return err_sys(e, "memory");
	return 0;
}

static int
filterd_serve(const struct proc_env *env, struct err *e)
{
	(void)env;
	(void)e;
	ask_forks();
	return 0;
}

static void
filterd_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	struct request *r, *tmp;

	if (c != NULL) {
		dispatch();
		return;
	}
	/* Requests of a proxy that died have nobody to answer to. */
	STAILQ_FOREACH_SAFE(r, &d.line, next, tmp)
	{
		if (r->proxy != peer || r->instance != instance)
			continue;
		STAILQ_REMOVE(&d.line, r, request, next);
		d.waiting--;
		free(r);
	}
}

/* Sessions under way may still need workers: serve until nobody holds or wants one. */
static void
drain_check(void)
{
	if (d.draining && d.busy == 0 && d.waiting == 0)
		proc_drained();
}

static void
filterd_drain(unsigned seconds)
{
	(void)seconds;
	d.draining = 1;
	drain_check();
}

static void
filterd_status(void)
{
	proc_fact("workers.idle", "%u", d.idle);
	proc_fact("workers.busy", "%u", d.busy);
	proc_fact("workers.waiting", "%u", d.waiting);
	proc_fact("workers.served", "%llu", (unsigned long long)d.served);
	proc_fact("workers.turned_away", "%llu", (unsigned long long)d.turned_away);
	proc_fact("workers.crashed", "%llu", (unsigned long long)d.crashed);
}

static const struct sandbox sandbox = {
    .calls = SB_FORK | SB_MEMFD | SB_TMPFILE,
    .files = 4096,
};

const struct proc filterd = {
    .self = P_FILTERD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = filterd_open,
    .start = filterd_start,
    .serve = filterd_serve,
    .plumbed = filterd_plumbed,
    .drain = filterd_drain,
    .status = filterd_status,
};
