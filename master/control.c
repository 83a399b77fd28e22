#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/version.h"
#include "ipc/control.h"
#include "master/master.h"

#define TOOLS_MAX 32 /* at once */
#define HELLO_S 10 /* for the first message */
#define TOOL_S 3600 /* then */
#define ADMIN_GROUP "_gwadm"

/* A connected tool. */
struct tool {
	LIST_ENTRY(tool) next;
	struct chan *chan;
	struct event timer;
	uint64_t reload_id; /* request that waits for the end of a reload, or 0 */
};

static LIST_HEAD(, tool) tools = LIST_HEAD_INITIALIZER(tools);
static unsigned ntools;
static int listen_fd = -1;
static struct event listen_event;
static char path[sizeof((struct sockaddr_un *)0)->sun_path];

static void
tool_free(struct tool *t)
{
	event_del(&t->timer);
	LIST_REMOVE(t, next);
	ntools--;
	free(t);
}

static void
on_closed(struct chan *c, void *arg)
{
	(void)c;
	tool_free(arg);
}

static void
tool_end(struct tool *t)
{
	chan_free(t->chan);
	tool_free(t);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tool_end(arg);
}

static void
reply(struct chan *c, uint64_t id, int ok, const char *text)
{
	char cut[4001];
	struct ctl_reply r = {.ok = (uint8_t)ok, .text = cut};

	(void)strlcpy(cut, text, sizeof cut);
	(void)chan_send(c, M_ctl_reply, id, &r, -1);
}

static void
on_hello(struct chan *c, struct ipc_msg *m)
{
	const struct ctl_hello *h = m->body;
	struct tool *t = chan_arg(c);
	const struct timeval tv = {.tv_sec = TOOL_S};
	char text[128];

	if (strcmp(h->version, POSTERN_VERSION) != 0) {
		(void)snprintf(text, sizeof text,
		    "this tool is of version %.32s, the running gateway of %s", log_str(h->version),
		    POSTERN_VERSION);
		reply(c, m->id, 0, text);
		return;
	}
	/* Either tool may be used by the same people; the role only tells the messages apart. */
	chan_set_peer(c, h->role);
	(void)evtimer_add(&t->timer, &tv);
	reply(c, m->id, 1, "");
}

static void
on_connect(struct chan *c, struct ipc_msg *m)
{
	const struct ctl_connect *q = m->body;
	struct ctl_channel give = {.peer = q->peer};
	struct plumb p = {.peer = (uint8_t)chan_peer(c)};
	struct child *d = child_find(q->peer, q->instance);
	char text[128];
	int fds[2];

	if (!services_tool(chan_peer(c), q->peer)) {
		(void)snprintf(text, sizeof text, "%s does not talk to %s", proc_name(chan_peer(c)),
		    proc_name(q->peer));
		reply(c, m->id, 0, text);
	} else if (d == NULL || d->chan == NULL || d->state != PROC_RUNNING) {
		(void)snprintf(text, sizeof text, "%s %u is not running: see gwctl status",
		    proc_name(q->peer), q->instance);
		reply(c, m->id, 0, text);
	} else if (ipc_pair(fds) == -1)
		reply(c, m->id, 0, strerror(errno));
	else if (chan_send(d->chan, M_plumb, 0, &p, fds[0]) == -1) {
		close(fds[1]);
		reply(c, m->id, 0, strerror(errno));
	} else
		(void)chan_send(c, M_ctl_channel, m->id, &give, fds[1]);
}

/* The tool may have gone meanwhile: it is looked up, never kept. */
static void
on_reloaded(void *arg, int ok, const char *text)
{
	struct tool *t;

	(void)arg;
	LIST_FOREACH (t, &tools, next)
		if (t->reload_id != 0) {
			reply(t->chan, t->reload_id, ok, text);
			t->reload_id = 0;
		}
}

static void
on_verb(struct chan *c, struct ipc_msg *m)
{
	const struct ctl_verb *v = m->body;
	struct tool *t = chan_arg(c);
	struct err e = {0};
	int ok;

	switch (v->verb) {
	case CTL_RELOAD:
		if (reload_active() || m->id == 0) {
			reply(c, m->id, 0, "a reload is under way: try again");
			return;
		}
		t->reload_id = m->id;
		reload_begin(on_reloaded, NULL);
		return;
	case CTL_STOP:
		reply(c, m->id, 1, "stopping");
		chan_flush(c, 1000);
		stop_begin(0, "asked by gwctl");
		return;
	case CTL_REOPEN:
		ok = link_reopen(&e) == 0;
		reply(c, m->id, ok, ok ? "" : e.text);
		return;
	}
}

static void
on_status(struct chan *c, struct ipc_msg *m)
{
	struct ctl_proc procs[128];
	struct ctl_status_rep rep = {
	    .privileged = (uint8_t)M.privileged,
	    .started = M.started,
	    .config = M.conf_path,
	    .procs = {procs, 0},
	};
	const struct child *d;
	size_t i;

	for (i = 0; i < M.nchildren && rep.procs.n < 128; i++) {
		d = &M.children[i];
		if (d->retired && d->pid == 0)
			continue;
		procs[rep.procs.n++] = (struct ctl_proc){
		    .role = (uint8_t)d->svc->role,
		    .instance = (uint16_t)d->instance,
		    .pid = (uint32_t)d->pid,
		    .state = (uint8_t)d->state,
		    .restarts = d->restarts,
		    .since = d->since,
		    .note = d->note,
		};
	}
	(void)chan_send(c, M_ctl_status_rep, m->id, &rep, -1);
}

static const struct chan_handler handlers[] = {
    {M_ctl_hello, on_hello},
    {M_ctl_connect, on_connect},
    {M_ctl_verb, on_verb},
    {M_ctl_status_req, on_status},
    {0, NULL},
};

/* The socket's mode lets the group of administrators in; without root only our own user. */
static int
peer_allowed(int fd)
{
	struct ucred u;
	socklen_t n = sizeof u;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &n) == -1)
		return 0;
	if (u.uid == 0 || u.uid == geteuid() || M.privileged)
		return 1;
	log_warn("control socket: user %u refused", u.uid);
	return 0;
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	const struct timeval tv = {.tv_sec = HELLO_S};
	struct tool *t;
	int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	(void)arg;
	if (fd == -1)
		return;
	if (ntools >= TOOLS_MAX || !peer_allowed(fd) || (t = calloc(1, sizeof *t)) == NULL) {
		close(fd);
		return;
	}
	/* Until it says who it is, it may say no more than the lesser tool. */
	t->chan = chan_new(M.base, fd, P_MASTER, P_KEYCTL, handlers, on_closed, t);
	if (t->chan == NULL) {
		free(t);
		return;
	}
	LIST_INSERT_HEAD(&tools, t, next);
	ntools++;
	(void)evtimer_assign(&t->timer, M.base, on_deadline, t);
	(void)evtimer_add(&t->timer, &tv);
}

static int
set_group(struct err *e)
{
	const struct group *gr;

	if (!M.privileged)
		return 0;
	if ((gr = getgrnam(ADMIN_GROUP)) == NULL)
		log_warn("there is no group %s: only root can use gwctl and keyctl", ADMIN_GROUP);
	else if (chown(path, 0, gr->gr_gid) == -1)
		return err_sys(e, "%s", path);
	return 0;
}

int
control_listen(struct err *e)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	mode_t mask;
	int n, rc;

	n = snprintf(path, sizeof path, "%s/%s", M.conf->node.run_dir, CONTROL_NAME);
	if (n < 0 || (size_t)n >= sizeof sun.sun_path)
		return err_set(e, ENAMETOOLONG,
		    "run_dir %s is too long for the path of a socket (%zu octets): choose a "
		    "shorter one",
		    M.conf->node.run_dir, sizeof sun.sun_path);
	memcpy(sun.sun_path, path, (size_t)n + 1);
	/* The lock on run_dir says that nobody else listens here. */
	(void)unlink(path);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listen_fd == -1)
		return err_sys(e, "control socket");
	mask = umask(0777);
	rc = bind(listen_fd, (const struct sockaddr *)&sun, sizeof sun);
	(void)umask(mask);
	if (rc == -1)
		return err_sys(e, "%s", path);
	if (set_group(e) == -1)
		return -1;
	if (chmod(path, M.privileged ? 0660 : 0600) == -1 || listen(listen_fd, TOOLS_MAX) == -1)
		return err_sys(e, "%s", path);
	if (event_assign(&listen_event, M.base, listen_fd, EV_READ | EV_PERSIST, on_accept, NULL) ==
		-1 ||
	    event_add(&listen_event, NULL) == -1)
		return err_set(e, ENOMEM, "no memory for the control socket");
	return 0;
}

void
control_close(void)
{
	if (listen_fd == -1)
		return;
	if (event_initialized(&listen_event))
		(void)event_del(&listen_event);
	close(listen_fd);
	listen_fd = -1;
	(void)unlink(path);
}
