#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "master/master.h"
#include "proc/logfile.h"
#include "proc/sink.h"

#define EXIT_S 1 /* from closing its channel to the end of a process */
#define MEND_MS 500 /* a lost channel is made again when nobody died meanwhile */

/* Two neighbours that lost their channel. */
struct mend {
	LIST_ENTRY(mend) next;
	struct child *a, *b;
	uint32_t serial;
	struct event timer;
};

static LIST_HEAD(, mend) mends = LIST_HEAD_INITIALIZER(mends);
static uint32_t last_serial;

static int
dup_fd(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static struct child *
child_of(struct chan *c)
{
	return chan_arg(c);
}

static void
on_ready(struct chan *ch, struct ipc_msg *m)
{
	const struct ready *r = m->body;
	struct child *c = child_of(ch);

	(void)strlcpy(c->note, r->note, sizeof c->note);
	if (c->state == PROC_STARTING) {
		c->state = PROC_RUNNING;
		if (c->svc->role == P_LOGD) {
			sink_logd(ch);
		}
		if (c->restarts > 0)
			log_info("%s %u is back after %llu ms, pid %ld", proc_name(c->svc->role),
			    c->instance, (unsigned long long)(clock_ms() - c->since_ms),
			    (long)c->pid);
	}
	master_check_started();
}

static void
on_failed(struct chan *ch, struct ipc_msg *m)
{
	const struct failed *f = m->body;
	struct child *c = child_of(ch);

	c->fail_code = f->code;
	(void)strlcpy(c->fail_text, f->text, sizeof c->fail_text);
}

static void
on_reload_done(struct chan *ch, struct ipc_msg *m)
{
	reload_answer(child_of(ch), m->body);
}

/*
 * The pages of a memfd can be swapped out unless somebody has them locked: this mapping, which is
 * never read, does.
 */
static void
hold_seal(int fd)
{
	static void *held = MAP_FAILED;

	if (held != MAP_FAILED)
		(void)munmap(held, SEAL_KEY_LEN);
	held = MAP_FAILED;
	if (fd == -1)
		return;
	held = mmap(NULL, SEAL_KEY_LEN, PROT_READ, MAP_PRIVATE, fd, 0);
	if (held == MAP_FAILED || mlock(held, SEAL_KEY_LEN) == -1)
		log_warn("the sealing key may be swapped out: %s", strerror(errno));
}

static void
on_seal_key(struct chan *ch, struct ipc_msg *m)
{
	(void)ch;
	if (M.seal_fd != -1)
		close(M.seal_fd);
	M.seal_fd = m->fd;
	M.locked = 0;
	m->fd = -1;
	hold_seal(M.seal_fd);
}

static void
on_seal_drop(struct chan *ch, struct ipc_msg *m)
{
	(void)ch;
	(void)m;
	if (M.seal_fd != -1)
		close(M.seal_fd);
	M.seal_fd = -1;
	M.locked = 1;
	hold_seal(-1);
}

/* One channel between two children; the one that has an older one replaces it. */
static uint32_t *
serial_of(struct child *a, const struct child *b)
{
	return &a->serials[b - M.children];
}

static void
plumb(struct child *a, struct child *b)
{
	uint32_t serial = ++last_serial;
	struct plumb to_a = {
	    .peer = (uint8_t)b->svc->role, .instance = (uint16_t)b->instance, .serial = serial};
	struct plumb to_b = {
	    .peer = (uint8_t)a->svc->role, .instance = (uint16_t)a->instance, .serial = serial};
	int fds[2];

	if (ipc_pair(fds) == -1) {
		log_err("no channel between %s and %s: %s", proc_name(a->svc->role),
		    proc_name(b->svc->role), strerror(errno));
		return;
	}
	*serial_of(a, b) = *serial_of(b, a) = serial;
	/* A send that fails means that the child is dying: its successor gets a new one. */
	(void)chan_send(a->chan, M_plumb, 0, &to_a, fds[0]);
	(void)chan_send(b->chan, M_plumb, 0, &to_b, fds[1]);
}

/* With every neighbour that is there. */
void
link_plumb(struct child *c)
{
	struct child *d;
	size_t i;

	for (i = 0; i < M.nchildren; i++) {
		d = &M.children[i];
		if (d != c && d->chan != NULL && c->chan != NULL &&
		    services_edge(c->svc->role, d->svc->role))
			plumb(c, d);
	}
}

static void
on_mend(evutil_socket_t fd, short what, void *arg)
{
	struct mend *x = arg;

	(void)fd;
	(void)what;
	LIST_REMOVE(x, next);
	if (x->a->chan != NULL && x->b->chan != NULL && *serial_of(x->a, x->b) == x->serial) {
		log_warn("new channel between %s %u and %s %u", proc_name(x->a->svc->role),
		    x->a->instance, proc_name(x->b->svc->role), x->b->instance);
		plumb(x->a, x->b);
	}
	free(x);
}

static void
on_plumb_lost(struct chan *ch, struct ipc_msg *m)
{
	const struct plumb_lost *p = m->body;
	struct child *a = child_of(ch), *b = child_find(p->peer, p->instance);
	struct timeval tv = {0, MEND_MS * 1000};
	struct mend *x;

	/* A channel that was replaced since, because somebody died, is no loss. */
	if (b == NULL || !services_edge(a->svc->role, b->svc->role) ||
	    *serial_of(a, b) != p->serial || M.phase == STOPPING)
		return;
	LIST_FOREACH (x, &mends, next)
		if ((x->a == a && x->b == b) || (x->a == b && x->b == a))
			return;
	if ((x = calloc(1, sizeof *x)) == NULL)
		return;
	x->a = a;
	x->b = b;
	x->serial = p->serial;
	if (evtimer_assign(&x->timer, M.base, on_mend, x) == -1 ||
	    evtimer_add(&x->timer, &tv) == -1) {
		free(x);
		return;
	}
	LIST_INSERT_HEAD(&mends, x, next);
}

static void
on_source(struct chan *ch, struct ipc_msg *m)
{
	source_answer(child_of(ch), m);
}

static void
on_sasl(struct chan *ch, struct ipc_msg *m)
{
	sasl_answer(child_of(ch), m);
}

static const struct chan_handler handlers[] = {
    {M_ready, on_ready},
    {M_failed, on_failed},
    {M_reload_done, on_reload_done},
    {M_seal_key, on_seal_key},
    {M_seal_drop, on_seal_drop},
    {M_plumb_lost, on_plumb_lost},
    {M_source_req, on_source},
    {M_sasl_req, on_sasl},
    {0, NULL},
};

static void
on_closed(struct chan *ch, void *arg)
{
	const struct timeval soon = {.tv_sec = EXIT_S};
	struct child *c = arg;

	(void)ch;
	c->chan = NULL;
	if (c->svc->role == P_LOGD)
		sink_logd(NULL);
	/* It is exiting, or has shut out the only one who can help it: then it must go. */
	(void)evtimer_add(&c->timer, &soon);
}

void
link_forget(struct child *c)
{
	if (c->svc->role == P_LOGD)
		sink_logd(NULL);
	chan_free(c->chan);
	c->chan = NULL;
}

int
link_reopen(struct err *e)
{
	struct child *c = child_find(P_LOGD, 0);
	struct reopen m = {0};
	int fd = -1;

	if (c == NULL || c->chan == NULL)
		return err_set(e, EHOSTDOWN, "logd is not running");
	if (M.conf->log.destination == CONF_LOG_FILE &&
	    (fd = log_file_open(M.conf->log.file, c->uid, c->gid)) == -1)
		return err_sys(e, "%s", M.conf->log.file);
	if (chan_send(c->chan, M_reopen, 0, &m, fd) == -1)
		return err_sys(e, "logd");
	return 0;
}

static int
send_boot(struct child *c)
{
	char jail[256];
	struct boot b = {
	    .role = (uint8_t)c->svc->role,
	    .instance = (uint16_t)c->instance,
	    .privileged = (uint8_t)M.privileged,
	    .uid = (uint32_t)c->uid,
	    .gid = (uint32_t)c->gid,
	    .jail = jail,
	    .debug = (uint8_t)M.debug,
	    .quiet = (uint8_t)M.background,
	    .locked = (uint8_t)M.locked,
	    .version = POSTERN_VERSION,
	};
	struct seal_key key = {0};
	int fd;

	if (service_path(jail, sizeof jail, &c->svc->dirs[0], M.conf) == -1 ||
	    (fd = dup_fd(M.conf_fd)) == -1 || chan_send(c->chan, M_boot, 0, &b, fd) == -1)
		return -1;
	if (c->svc->role != P_CRYPTOD || M.seal_fd == -1)
		return 0;
	if ((fd = dup_fd(M.seal_fd)) == -1)
		return -1;
	return chan_send(c->chan, M_seal_key, 0, &key, fd);
}

/* Take over our end of a new child's channel and send what it needs first. */
int
link_boot(struct child *c, int fd)
{
	c->chan = chan_new(M.base, fd, P_MASTER, c->svc->role, handlers, on_closed, c);
	if (c->chan == NULL)
		return -1;
	chan_set_instance(c->chan, c->instance);
	if (send_boot(c) == -1 || files_send(M.files, c->chan) == -1)
		return -1;
	return tickets_send(c->chan);
}

/* Those in front wait until everything behind them works: clients wait in the backlog. */
static int
may_start(const struct child *c)
{
	size_t i;

	if (c->svc->stage != STAGE_FRONT || M.phase != STARTING)
		return 1;
	for (i = 0; i < M.nchildren; i++)
		if (M.children[i].svc->stage != STAGE_FRONT && M.children[i].state != PROC_RUNNING)
			return 0;
	return 1;
}

void
link_start(struct child *c)
{
	struct start m = {0};

	if (c->started || c->chan == NULL || !may_start(c))
		return;
	c->started = chan_send(c->chan, M_start, 0, &m, -1) == 0;
}
