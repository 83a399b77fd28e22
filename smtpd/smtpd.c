/* smtpd: the proxy between users' mail programs and their mail server, and the queue's way in. */
#include "smtpd/smtpd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "proxy/through.h"
#include "proxy/tls_server.h"
#include "proxy/upstream.h"
#include "smtpd/ahead.h"
#include "smtpd/bounce.h"
#include "smtpd/put.h"
#include "smtpd/sasl.h"
#include "smtpd/session.h"
#include "smtpd/whose.h"

#define DRAIN_POLL 50 /* milliseconds between looks whether all is done */

int smtpd_spool = -1;
static struct event *drain_timer;

static int
smtpd_open(const struct proc_env *env, struct err *e)
{
	char path[PATH_MAX];

	/* The journal's folder is the jail; large messages lie in the spool, unnamed. */
	(void)snprintf(path, sizeof path, "%s/smtpd", env->conf->node.spool_dir);
	if ((smtpd_spool = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", path);
	return sandbox_allow(path, 1, e) == -1 ? -1 : sandbox_allow(".", 1, e);
}

static int
smtpd_start(const struct proc_env *env, struct err *e)
{
	return tls_server_start(env->conf, e);
}

static int
smtpd_serve(const struct proc_env *env, struct err *e)
{
	int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)env;
	if (dir == -1)
		return err_sys(e, "journal of notices");
	return bounce_start(dir, e);
}

static int
smtpd_listener(const struct conf_connector *k, const char *address, int fd, struct err *e)
{
	return proxy_listen(&smtp_service, k, address, fd, e);
}

static int
smtpd_reload(const struct proc_env *env, struct err *e)
{
	if (tls_server_start(env->conf, e) == -1)
		return -1;
	if (proxy_limits(&env->conf->limits, e) == -1)
		return -1;
	gate_renew();
	sasl_renew();
	ahead_renew();
	whose_forget();
	return 0;
}

static void
smtpd_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	(void)instance;
	proxy_worker_plumbed(peer, c);
	gate_plumbed(peer, c);
	if (peer == P_QUEUED)
		put_plumbed(c);
	else if (peer == P_POLICYD)
		whose_forget();
}

static void
on_drain_timer(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval poll = {0, DRAIN_POLL * 1000};

	(void)fd;
	(void)what;
	(void)arg;
	/* Connections that are closing have last replies to send. */
	if (sessions_count() == 0 && front_count() == 0 && conn_count() == 0 && !bounce_busy())
		proc_drained();
	else
		(void)event_add(drain_timer, &poll);
}

static void
smtpd_drain(unsigned seconds)
{
	(void)seconds;
	proxy_unlisten_all();
	bounce_stop();
	through_drain(); /* sessions hear of it */
	front_drain();
	sessions_drain();
	if (drain_timer == NULL)
		drain_timer = evtimer_new(proc_env()->base, on_drain_timer, NULL);
	if (drain_timer == NULL)
		proc_drained();
	else
		on_drain_timer(-1, 0, NULL);
}

static void
smtpd_status(void)
{
	proc_fact("sessions", "%u", sessions_count());
	proc_fact("tunnels", "%u", through_count());
	proc_fact("sessions.total", "%llu", (unsigned long long)tally.sessions);
	proc_fact("messages", "%llu", (unsigned long long)tally.messages_in);
	proc_fact("messages.copies", "%llu", (unsigned long long)tally.messages_out);
	proc_fact("messages.refused", "%llu", (unsigned long long)tally.refused);
	proc_fact("messages.deferred", "%llu", (unsigned long long)tally.deferred);
	proc_fact("messages.waiting", "%u", put_count());
	proc_fact("notices", "%llu", (unsigned long long)tally.notices);
	proc_fact("notices.waiting", "%u", bounce_waiting());
	gate_status();
	proxy_route_status();
	upstream_status();
	tls_server_status();
}

static const struct chan_handler handlers[] = {
    {M_queue_put_rep, put_on_answer},
    {M_queue_room, put_on_room},
    {0, NULL},
};

static const struct sandbox sandbox = {
    .calls = SB_NET | SB_MEMFD | SB_TMPFILE | SB_FILES,
};

const struct proc smtpd = {
    .self = P_SMTPD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = smtpd_open,
    .start = smtpd_start,
    .serve = smtpd_serve,
    .listener = smtpd_listener,
    .unlisten = proxy_unlisten,
    .reload = smtpd_reload,
    .ticket_keys = tls_server_tickets,
    .plumbed = smtpd_plumbed,
    .drain = smtpd_drain,
    .status = smtpd_status,
};
