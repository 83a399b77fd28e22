#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "master/master.h"

#define RELOAD_S 8 /* for all daemons together */
#define TEXT_MAX 3900 /* as in struct ctl_reply */

/* A change of configuration under way. */
static struct {
	int active;
	uint32_t serial;
	struct conf *fresh;
	int fd; /* sealed memfd with fresh */
	struct files *files; /* that fresh names */
	size_t waiting; /* daemons that have not answered */
	int failed;
	struct buf text; /* errors, a line each */
	reload_done_fn done;
	void *arg;
	struct event timer;
} R;

static void
add_line(void *arg, const char *line)
{
	(void)arg;
	/* All processes of a service say the same. */
	if (memmem(buf_ptr(&R.text), buf_len(&R.text), line, strlen(line)) != NULL)
		return;
	log_err("reload: %s", line);
	(void)buf_printf(&R.text, "%s\n", line);
}

static void
warn_line(void *arg, const char *line)
{
	(void)arg;
	log_warn("reload: %s", line);
}

int
reload_active(void)
{
	return R.active;
}

static void
finish(int ok)
{
	reload_done_fn done = R.done;
	char *text = NULL;

	(void)evtimer_del(&R.timer);
	if (R.fd != -1)
		close(R.fd);
	conf_free(R.fresh);
	files_free(R.files);
	R.fresh = NULL;
	R.files = NULL;
	R.fd = -1;
	R.active = 0;
	notify_send("READY=1");
	if (!ok)
		log_err("reload failed: the old configuration stays");
	if (buf_len(&R.text) == 0 || buf_putc(&R.text, '\0') == 0)
		text = (char *)R.text.data;
	if (done != NULL)
		done(R.arg, ok, buf_len(&R.text) > 0 && text != NULL ? text + R.text.off : "");
	buf_free(&R.text);
}

/* A configuration with its files to one daemon. */
static int
send_one(struct child *c, int fd, const struct files *files, uint32_t serial)
{
	struct reload m = {.serial = serial};
	int copy;

	if (files_send(files, c->chan) == -1 || (copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1)
		return -1;
	return chan_send(c->chan, M_reload, 0, &m, copy);
}

/* The new configuration to every daemon. */
static void
send_all(void)
{
	char line[128];
	struct child *c;
	size_t i;

	for (i = 0; i < M.nchildren; i++) {
		c = &M.children[i];
		if (c->chan == NULL || c->state == PROC_DRAINING)
			continue;
		if (send_one(c, R.fd, R.files, R.serial) == 0) {
			c->reload_asked = R.serial;
			R.waiting++;
		} else if (errno != EPIPE) { /* else it is dying */
			(void)snprintf(line, sizeof line, "%s %u cannot be told: %s",
			    proc_name(c->svc->role), c->instance, strerror(errno));
			add_line(NULL, line);
			R.failed = 1;
		}
	}
}

/*
 * The running configuration once more, to those that took the other one, and to those that have not
 * said so yet: if they take it later, this comes behind it.
 */
static void
send_back(void)
{
	uint32_t given_up = R.serial++;
	struct child *c;
	size_t i;

	for (i = 0; i < M.nchildren; i++) {
		c = &M.children[i];
		if (c->chan == NULL || c->state == PROC_DRAINING ||
		    (c->reload_serial != given_up && c->reload_asked != given_up))
			continue;
		c->reload_asked = 0;
		/* What was refused must not stay in force: its successor starts with the old one.
		 */
		if (send_one(c, M.conf_fd, M.files, R.serial) == -1)
			child_kill(c);
	}
}

/* Everybody took it: from now on it counts. */
static void
commit(void)
{
	struct err e = {0};
	struct child *c;
	size_t i;

	conf_free(M.conf);
	M.conf = R.fresh;
	R.fresh = NULL;
	close(M.conf_fd);
	M.conf_fd = R.fd;
	R.fd = -1;
	files_free(M.files);
	M.files = R.files;
	R.files = NULL;
	log_init("postern", M.debug ? LOG_L_DEBUG : M.conf->log.level);
	for (i = 0; i < M.nchildren; i++)
		child_give_listeners(&M.children[i], 1);
	listen_settle(&M.listeners, M.conf);
	if (child_add_all(&e) == -1)
		add_line(NULL, e.text);
	R.active = 0;
	for (i = 0; i < M.nchildren; i++) {
		c = &M.children[i];
		if (c->instance >= service_instances(c->svc, M.conf)) {
			if (!c->retired)
				child_retire(c);
		} else if (c->pid == 0 && !evtimer_pending(&c->timer, NULL))
			child_spawn(c);
	}
	log_info("configuration reloaded");
	finish(1);
}

static void
roll_back(void)
{
	listen_undo(&M.listeners);
	/* It worked before. */
	send_back();
	finish(0);
}

static void
check(void)
{
	if (!R.active || R.waiting > 0 || M.phase == STOPPING)
		return;
	if (R.failed)
		roll_back();
	else
		commit();
}

void
reload_answer(struct child *c, const struct reload_done *m)
{
	char line[600];

	/* The answer to a roll-back, or to what was given up meanwhile. */
	if (!R.active || m->serial != R.serial || c->reload_asked != R.serial)
		return;
	c->reload_asked = 0;
	log_debug("%s %u %s the configuration", proc_name(c->svc->role), c->instance,
	    m->ok ? "takes" : "refuses");
	if (m->ok)
		c->reload_serial = m->serial;
	else {
		(void)snprintf(line, sizeof line, "%s: %s", proc_name(c->svc->role), m->text);
		add_line(NULL, line);
		R.failed = 1;
	}
	R.waiting--;
	check();
}

/* A daemon died while it was asked: its successor starts with whatever is decided. */
void
reload_lost(struct child *c)
{
	if (!R.active || c->reload_asked != R.serial)
		return;
	c->reload_asked = 0;
	R.waiting--;
	check();
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	char line[128];
	size_t i;

	(void)fd;
	(void)what;
	(void)arg;
	for (i = 0; i < M.nchildren; i++) {
		if (M.children[i].reload_asked != R.serial)
			continue;
		(void)snprintf(line, sizeof line, "%s %u did not answer within %d seconds",
		    proc_name(M.children[i].svc->role), M.children[i].instance, RELOAD_S);
		add_line(NULL, line);
	}
	R.failed = 1;
	R.waiting = 0;
	check();
}

/* What daemons have opened for good cannot move while they run. */
static int
check_fixed(const struct conf *old, const struct conf *fresh, struct err *e)
{
	const char *what = NULL;

	if (strcmp(old->node.state_dir, fresh->node.state_dir) != 0)
		what = "state_dir";
	else if (strcmp(old->node.spool_dir, fresh->node.spool_dir) != 0)
		what = "spool_dir";
	else if (strcmp(old->node.run_dir, fresh->node.run_dir) != 0)
		what = "run_dir";
	if (what == NULL)
		return 0;
	return err_set(e, EINVAL, "%s changed: that needs a restart", what);
}

static int
prepare(struct err *e)
{
	const struct conf_report report = {.line = add_line, .warn = warn_line};

	if ((R.fresh = conf_load(M.conf_path, &report, e)) == NULL) {
		if (buf_len(&R.text) > 0)
			e->text[0] = '\0'; /* said already */
		return -1;
	}
	if ((R.files = files_load(R.fresh, &report, e)) == NULL) {
		if (buf_len(&R.text) > 0)
			e->text[0] = '\0';
		return -1;
	}
	if (check_fixed(M.conf, R.fresh, e) == -1 || folders_check(R.fresh, e) == -1 ||
	    (R.fd = confd_seal(R.fresh, e)) == -1 || listen_bind(&M.listeners, R.fresh, e) == -1)
		return -1;
	return 0;
}

void
reload_begin(reload_done_fn done, void *arg)
{
	const struct timeval tv = {.tv_sec = RELOAD_S};
	struct err e = {0};

	if (R.active || M.phase != RUNNING) {
		if (done != NULL)
			done(arg, 0,
			    R.active ? "a reload is under way: try again"
				     : "the gateway is not running yet, or stopping");
		return;
	}
	notify_send("RELOADING=1");
	R.active = 1;
	R.serial++;
	R.fd = -1;
	R.waiting = 0;
	R.failed = 0;
	R.done = done;
	R.arg = arg;
	buf_init(&R.text, TEXT_MAX);
	if (!evtimer_initialized(&R.timer))
		(void)evtimer_assign(&R.timer, M.base, on_timeout, NULL);
	if (prepare(&e) == -1) {
		if (e.text[0] != '\0')
			add_line(NULL, e.text);
		listen_undo(&M.listeners);
		finish(0);
		return;
	}
	(void)evtimer_add(&R.timer, &tv);
	send_all();
	check();
}
