#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "master/master.h"

#define PROGRAM_FD 3 /* where a daemon finds its channel */
#define QUICK_MS 10000 /* a death sooner after its start counts as quick */
#define QUICK_FREE 2 /* quick deaths in a row that are not yet backed off */
#define WAIT_MAX_S 60
#define EXIT_NO_EXEC 127

static void on_timer(evutil_socket_t fd, short what, void *arg);

struct child *
child_find(enum proc_id role, unsigned instance)
{
	size_t i;

	for (i = 0; i < M.nchildren; i++)
		if (M.children[i].svc->role == role && M.children[i].instance == instance)
			return &M.children[i];
	return NULL;
}

static int
add(const struct service *s, unsigned instance, struct err *e)
{
	struct child *c = child_find(s->role, instance);

	if (c != NULL) {
		c->retired = 0;
		return 0;
	}
	if (M.nchildren == CHILDREN_MAX)
		return err_set(e, EMSGSIZE, "more than %d processes", CHILDREN_MAX);
	c = &M.children[M.nchildren];
	memset(c, 0, sizeof *c);
	c->svc = s;
	c->instance = instance;
	c->state = PROC_STARTING;
	if (folders_user(s->user, &c->uid, &c->gid, e) == -1)
		return -1;
	if (evtimer_assign(&c->timer, M.base, on_timer, c) == -1)
		return err_set(e, ENOMEM, "no memory for a timer");
	M.nchildren++;
	return 0;
}

int
child_add_all(struct err *e)
{
	const struct service *s;
	size_t i, n;
	unsigned j, want;

	s = services(&n);
	for (i = 0; i < n; i++) {
		want = service_instances(&s[i], M.conf);
		for (j = 0; j < want; j++)
			if (add(&s[i], j, e) == -1)
				return -1;
	}
	return 0;
}

/* In the forked process: nothing of master stays but the channel and the standard streams. */
static void __attribute__((noreturn)) become(const struct child *c, int fd)
{
	char path[1024], name[32], paths[] = "PATH=/usr/bin:/bin", lang[] = "LC_ALL=C.UTF-8";
	char creds[1024] = "CREDENTIALS_DIRECTORY=";
	char *env[] = {paths, lang, NULL, NULL};
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char *argv[] = {name, NULL};
	sigset_t none;
	int null;

	(void)snprintf(name, sizeof name, "%s", proc_name(c->svc->role));
	(void)snprintf(path, sizeof path, "%s/%s", M.conf->node.libexec_dir, name);
	/* Where systemd has put the ignition secret: it is read there, not here. */
	if (c->svc->role == P_CRYPTOD && folder != NULL &&
	    strlcat(creds, folder, sizeof creds) < sizeof creds)
		env[2] = creds;
	(void)setsid();
	if ((null = open("/dev/null", O_RDWR)) != -1)
		(void)dup2(null, STDIN_FILENO);
	if (dup2(fd, PROGRAM_FD) == -1 || close_range(PROGRAM_FD + 1, ~0U, 0) == -1)
		_exit(EX_OSERR);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(path, argv, env);
	_exit(EXIT_NO_EXEC);
}

/* Try again later; the last message says why. */
static void
back_off(struct child *c)
{
	struct timeval tv = {0, 0};

	c->wait_s = 0;
	if (c->quick > QUICK_FREE) {
		c->wait_s =
		    c->quick - QUICK_FREE > 6 ? WAIT_MAX_S : 1U << (c->quick - QUICK_FREE - 1);
		if (c->wait_s > WAIT_MAX_S)
			c->wait_s = WAIT_MAX_S;
	}
	c->state = c->wait_s > 0 ? PROC_BACKOFF : PROC_STARTING;
	tv.tv_sec = c->wait_s;
	(void)evtimer_add(&c->timer, &tv);
}

void
child_spawn(struct child *c)
{
	sigset_t all, old;
	int fds[2];

	c->state = PROC_STARTING;
	c->started = 0;
	c->fail_code = 0;
	c->since_ms = clock_ms();
	c->since = clock_unix();
	if (ipc_pair(fds) == -1) {
		log_err("cannot start %s: %s", proc_name(c->svc->role), strerror(errno));
		c->quick++;
		back_off(c);
		return;
	}
	/* A signal for master must not run its handler in the child. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	c->pid = fork();
	if (c->pid == 0)
		become(c, fds[1]);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	close(fds[1]);
	if (c->pid == -1) {
		log_err("cannot start %s: fork: %s", proc_name(c->svc->role), strerror(errno));
		close(fds[0]);
		c->pid = 0;
		c->quick++;
		back_off(c);
		return;
	}
	log_debug("%s %u started, pid %ld", proc_name(c->svc->role), c->instance, (long)c->pid);
	if (link_boot(c, fds[0]) == -1) {
		log_err("no channel to %s: %s", proc_name(c->svc->role), strerror(errno));
		child_kill(c);
		return;
	}
	link_plumb(c);
	child_give_listeners(c, 0);
	link_start(c);
}

void
child_give_listeners(struct child *c, int only_fresh)
{
	const struct conf_connector *k;
	struct listener m;
	size_t i;
	int fd;

	for (i = 0; i < M.listeners.n && c->chan != NULL; i++) {
		if (only_fresh && !M.listeners.v[i].fresh)
			continue;
		k = conf_connector_find(M.conf, M.listeners.v[i].connector);
		if (k == NULL || !service_listens(c->svc, k))
			continue;
		if ((fd = fcntl(M.listeners.v[i].fd, F_DUPFD_CLOEXEC, 0)) == -1) {
			log_err("listener %s: %s", M.listeners.v[i].text, strerror(errno));
			continue;
		}
		m.connector = M.listeners.v[i].connector;
		m.address = M.listeners.v[i].text;
		if (chan_send(c->chan, M_listener, 0, &m, fd) == -1)
			log_err("listener %s cannot be given to %s: %s", m.address,
			    proc_name(c->svc->role), strerror(errno));
	}
}

void
child_kill(struct child *c)
{
	if (c->pid > 0)
		(void)kill(c->pid, SIGKILL);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	struct timeval again = {0, 100000};

	(void)fd;
	(void)what;
	if (c->pid > 0) {
		if (c->state == PROC_DRAINING || c->chan == NULL) {
			log_warn("%s %u did not finish in time: killed", proc_name(c->svc->role),
			    c->instance);
			child_kill(c);
		}
	} else if (M.phase != STOPPING && !c->retired) {
		/* Half-way through a reload nobody knows which configuration to give it. */
		if (reload_active())
			(void)evtimer_add(&c->timer, &again);
		else
			child_spawn(c);
	}
}

void
child_drain(struct child *c, unsigned seconds)
{
	struct drain m = {.seconds = seconds};
	struct timeval tv = {.tv_sec = seconds + 1};

	if (c->pid == 0) {
		(void)evtimer_del(&c->timer);
		return;
	}
	c->state = PROC_DRAINING;
	if (c->chan == NULL || chan_send(c->chan, M_drain, 0, &m, -1) == -1)
		child_kill(c);
	(void)evtimer_add(&c->timer, &tv);
}

void
child_retire(struct child *c)
{
	c->retired = 1;
	child_drain(c, 3600);
}

static void
describe(const struct child *c, int status, char *out, size_t outsz)
{
	if (WIFSIGNALED(status))
		(void)snprintf(
		    out, outsz, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == EXIT_NO_EXEC)
		(void)snprintf(out, outsz, "cannot execute %s/%s", M.conf->node.libexec_dir,
		    proc_name(c->svc->role));
	else if (c->fail_code != 0)
		(void)strlcpy(out, c->fail_text, outsz);
	else
		(void)snprintf(out, outsz, "exit code %d", WEXITSTATUS(status));
}

static void
remember(struct child *c, const char *why)
{
	c->restarts++;
	if (clock_ms() - c->since_ms < QUICK_MS)
		c->quick++;
	else
		c->quick = 1;
	back_off(c);
	if (c->wait_s > 0)
		(void)snprintf(c->note, sizeof c->note, "died %u times, %s; next try in %u s",
		    c->quick, why, c->wait_s);
	else
		(void)snprintf(c->note, sizeof c->note, "died, %s", why);
	log_warn("%s %u %s", proc_name(c->svc->role), c->instance, c->note);
	master_status();
}

/* A program that says itself that it cannot start will not do better the next time. */
static int
is_hopeless(const struct child *c, int status)
{
	return c->fail_code != 0 || (WIFEXITED(status) && (WEXITSTATUS(status) == EXIT_NO_EXEC ||
							      WEXITSTATUS(status) == EX_CONFIG ||
							      WEXITSTATUS(status) == EX_USAGE));
}

static void
gone(struct child *c, int status)
{
	char why[NOTE_MAX - 64], text[ERR_TEXT_MAX + 32];

	/* Its last words are in the socket. */
	if (c->chan != NULL)
		chan_poll(c->chan);
	link_forget(c);
	c->pid = 0;
	(void)evtimer_del(&c->timer);
	log_debug("%s %u ended", proc_name(c->svc->role), c->instance);
	describe(c, status, why, sizeof why);
	if (M.phase == STOPPING) {
		stop_gone();
		return;
	}
	if (c->retired) {
		c->state = PROC_STARTING;
		reload_lost(c);
		return;
	}
	if (M.phase == STARTING && is_hopeless(c, status)) {
		(void)snprintf(text, sizeof text, "%s: %s", proc_name(c->svc->role),
		    c->fail_code != 0 ? c->fail_text : why);
		stop_begin(c->fail_code != 0 ? c->fail_code : EX_CONFIG, text);
		return;
	}
	remember(c, why);
	/* Behind that: the reload may end here, and would start it a second time. */
	reload_lost(c);
}

void
child_reap(void)
{
	size_t i;
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < M.nchildren; i++)
			if (M.children[i].pid == pid) {
				gone(&M.children[i], status);
				break;
			}
}
