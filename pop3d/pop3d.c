/* pop3d: the retrieval proxy for POP3. */
#include "pop3d/pop3d.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "pop3d/session.h"
#include "proxy/through.h"
#include "proxy/tls_server.h"

#define DRAIN_LOOK 200 /* milliseconds between looks at what is still open */

static int spooldir = -1, statedir = -1;
static struct event *drain_timer;

int
pop3d_spooldir(void)
{
	return spooldir;
}

int
pop3d_statedir(void)
{
	return statedir;
}

static const struct proxy_service service = {
    .accept = session_accept,
    .refuse = session_refuse,
};

static int
pop3d_open(const struct proc_env *env, struct err *e)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof path, "%s/pop3d", env->conf->node.spool_dir);
	if ((spooldir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", path);
	/* The folder of the maildrops is the jail. */
	return sandbox_allow(path, 1, e) == -1 ? -1 : sandbox_allow(".", 1, e);
}

static int
pop3d_start(const struct proc_env *env, struct err *e)
{
	return tls_server_start(env->conf, e);
}

static int
pop3d_serve(const struct proc_env *env, struct err *e)
{
	if ((statedir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "memory of maildrops");
	if (env->instance == 0)
		memory_sweep(statedir);
	return 0;
}

static int
pop3d_listener(const struct conf_connector *k, const char *address, int fd, struct err *e)
{
	return proxy_listen(&service, k, address, fd, e);
}

static int
pop3d_reload(const struct proc_env *env, struct err *e)
{
	peer_forget();
	if (tls_server_start(env->conf, e) == -1)
		return -1;
	return proxy_limits(&env->conf->limits, e);
}

static void
pop3d_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	(void)instance;
	proxy_worker_plumbed(peer, c);
}

static void
on_drain(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval look = {0, DRAIN_LOOK * 1000};

	(void)fd;
	(void)what;
	(void)arg;
	if (conn_count() == 0)
		proc_drained();
	else
		(void)event_add(drain_timer, &look);
}

static void
pop3d_drain(unsigned seconds)
{
	(void)seconds;
	proxy_unlisten_all();
	through_drain();
	session_drain();
	drain_timer = evtimer_new(proc_env()->base, on_drain, NULL);
	if (drain_timer == NULL)
		proc_drained();
	else
		on_drain(-1, 0, NULL);
}

static void
pop3d_status(void)
{
	proc_fact("sessions", "%u", session_count());
	proc_fact("sessions.total", "%llu", (unsigned long long)totals.sessions);
	proc_fact("tunnels", "%u", through_count());
	proc_fact("logins", "%llu", (unsigned long long)totals.logins);
	proc_fact("logins.failed", "%llu", (unsigned long long)totals.failed_logins);
	proc_fact("messages", "%llu", (unsigned long long)totals.messages);
	proc_fact("messages.opened", "%llu", (unsigned long long)totals.opened);
	proc_fact("messages.deferred", "%llu", (unsigned long long)totals.deferred);
	proxy_route_status();
	upstream_status();
	tls_server_status();
}

static const struct chan_handler handlers[] = {{0, NULL}};

static const struct sandbox sandbox = {
    .calls = SB_NET | SB_MEMFD | SB_TMPFILE | SB_FILES,
};

const struct proc pop3d = {
    .self = P_POP3D,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = pop3d_open,
    .start = pop3d_start,
    .serve = pop3d_serve,
    .listener = pop3d_listener,
    .unlisten = proxy_unlisten,
    .reload = pop3d_reload,
    .ticket_keys = tls_server_tickets,
    .plumbed = pop3d_plumbed,
    .drain = pop3d_drain,
    .status = pop3d_status,
};
