#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "proc/sink.h"

#define FILES_WANTED 65536 /* RLIMIT_NOFILE, of which each daemon takes what it needs */
#define LOCKED_WANTED RLIM_INFINITY /* RLIMIT_MEMLOCK: cryptod keeps keys out of the swap */

struct master M = {.seal_fd = -1, .ready_fd = -1, .conf_fd = -1};

static char conf_real[PATH_MAX];

static void
print_line(void *arg, const char *line)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", line);
}

static void
warn_line(void *arg, const char *line)
{
	(void)arg;
	log_warn("%s", line);
}

static struct conf *
load_conf(const char *path)
{
	const struct conf_report report = {.line = print_line, .warn = print_line};
	struct conf *c;
	struct err e = {0};

	/* HUP must find it from any folder. */
	if (realpath(path, conf_real) == NULL) {
		(void)fprintf(stderr, "postern: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	M.conf_path = conf_real;
	if ((c = conf_load(conf_real, &report, &e)) == NULL && e.code != EINVAL)
		(void)fprintf(stderr, "postern: %s\n", e.text);
	return c;
}

void
master_status(void)
{
	static char last[256];
	char text[256] = "";
	size_t i, up = 0, bad = 0;

	for (i = 0; i < M.nchildren; i++) {
		up += M.children[i].state == PROC_RUNNING;
		bad += M.children[i].state == PROC_BACKOFF;
	}
	if (bad > 0)
		(void)snprintf(text, sizeof text,
		    "STATUS=%zu processes, %zu of them die again and again: see gwctl status", up,
		    bad);
	else
		(void)snprintf(text, sizeof text, "STATUS=%zu processes", up);
	if (strcmp(text, last) == 0)
		return;
	memcpy(last, text, sizeof last);
	notify_send(text);
}

/* A start in the background ends, for whoever waits for it. */
static void
tell_parent(int code)
{
	unsigned char c = (unsigned char)code;
	int null;

	if (M.ready_fd == -1)
		return;
	if (write(M.ready_fd, &c, 1) == -1)
		log_warn("nobody waits for the start");
	close(M.ready_fd);
	M.ready_fd = -1;
	if (code == 0 && (null = open("/dev/null", O_RDWR | O_CLOEXEC)) != -1) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
}

void
master_check_started(void)
{
	size_t i, running = 0;

	for (i = 0; i < M.nchildren; i++) {
		link_start(&M.children[i]);
		running += M.children[i].state == PROC_RUNNING;
	}
	if (M.phase == STARTING && running == M.nchildren) {
		M.phase = RUNNING;
		log_info("version %s started, %zu processes, configuration %s", POSTERN_VERSION,
		    M.nchildren, M.conf_path);
		if (!M.privileged)
			log_warn("started by an ordinary user (uid %u): all daemons share it and "
				 "have no chroot",
			    (unsigned)geteuid());
		notify_send("READY=1");
		tell_parent(0);
	}
	if (M.phase == RUNNING)
		master_status();
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct err e = {0};

	(void)what;
	(void)arg;
	switch (sig) {
	case SIGCHLD:
		child_reap();
		break;
	case SIGHUP:
		reload_begin(NULL, NULL);
		break;
	case SIGUSR1:
		if (link_reopen(&e) == -1)
			log_err("the log cannot be opened again: %s", e.text);
		break;
	default:
		stop_begin(0, sig == SIGTERM ? "SIGTERM" : "SIGINT");
	}
}

static int
catch_signals(struct err *e)
{
	static const int caught[] = {SIGCHLD, SIGHUP, SIGUSR1, SIGTERM, SIGINT};
	static struct event events[sizeof caught / sizeof caught[0]];
	size_t i;

	(void)signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < sizeof caught / sizeof caught[0]; i++)
		if (evsignal_assign(&events[i], M.base, caught[i], on_signal, NULL) == -1 ||
		    evsignal_add(&events[i], NULL) == -1)
			return err_set(e, ENOMEM, "no memory for signals");
	return 0;
}

/* As far as root may, and up to the hard limit in any case. */
static void
raise_limit(int what, rlim_t wanted)
{
	struct rlimit r;

	if (getrlimit(what, &r) == -1)
		return;
	if (M.privileged && r.rlim_max < wanted)
		r.rlim_max = wanted;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(what, &r);
}

/* Everything that can fail and is better known before a process runs. */
static int
set_up(struct err *e)
{
	const struct conf_report warnings = {.warn = warn_line};

	if (folders_check(M.conf, e) == -1 || folders_make(e) == -1 || folders_lock(e) == -1 ||
	    (M.files = files_load(M.conf, &warnings, e)) == NULL)
		return -1;
	if ((M.base = event_base_new()) == NULL)
		return err_set(e, ENOMEM, "no memory for the event loop");
	if ((M.conf_fd = confd_seal(M.conf, e)) == -1 ||
	    listen_bind(&M.listeners, M.conf, e) == -1 || catch_signals(e) == -1 ||
	    tickets_init(e) == -1 || control_listen(e) == -1)
		return -1;
	listen_settle(&M.listeners, M.conf);
	return child_add_all(e);
}

static int
serve(void)
{
	size_t i;

	for (i = 0; i < M.nchildren && M.phase != STOPPING; i++)
		child_spawn(&M.children[i]);
	(void)event_base_dispatch(M.base);
	control_close();
	tickets_wipe();
	sink_flush();
	if (M.exit_code == 0)
		(void)fprintf(stderr, "postern: stopped\n");
	return M.exit_code;
}

/*
 * The start of a daemon in the background: the caller waits until the gateway runs or has said why
 * not.  Returns 0 in the process that goes on; the other one does not return.
 */
static int
detach(struct err *e)
{
	unsigned char code = EX_OSERR;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1 || (pid = fork()) == -1)
		return err_sys(e, "cannot go into the background");
	if (pid > 0) {
		close(fds[1]);
		while (read(fds[0], &code, 1) == -1 && errno == EINTR)
			;
		_exit(code);
	}
	close(fds[0]);
	M.ready_fd = fds[1];
	(void)setsid();
	return 0;
}

/* Started with one of them closed, the next socket would be what children write their errors to. */
static int
open_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

/* Could the files be read? What is wrong is told, as by the configuration itself. */
static int
check_files(void)
{
	const struct conf_report report = {.line = print_line, .warn = print_line};
	struct files *f = files_load(M.conf, &report, NULL);
	int code = f != NULL ? EX_OK : EX_CONFIG;

	files_free(f);
	conf_free(M.conf);
	return code;
}

int
master_run(const struct master_options *o)
{
	struct err e = {0};
	int code;

	if (open_streams() == -1)
		return EX_OSERR;
	(void)umask(027);
	if ((M.conf = load_conf(o->conf_path)) == NULL)
		return EX_CONFIG;
	if (o->check)
		return check_files();
	M.debug = o->debug;
	M.background = !o->foreground;
	M.privileged = geteuid() == 0;
	M.started = clock_unix();
	log_init("postern", o->debug ? LOG_L_DEBUG : M.conf->log.level);
	/* It holds the sealing key and is root: no core, no debugger of its user. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	raise_limit(RLIMIT_NOFILE, FILES_WANTED);
	raise_limit(RLIMIT_MEMLOCK, LOCKED_WANTED);
	if ((!o->foreground && detach(&e) == -1) || chdir("/") == -1) {
		(void)fprintf(stderr, "postern: %s\n", e.text);
		return EX_OSERR;
	}
	notify_init();
	sink_start(0);
	if (set_up(&e) == -1) {
		(void)fprintf(stderr, "postern: %s\n", e.text);
		control_close();
		code = EX_CONFIG;
	} else
		code = serve();
	tell_parent(code);
	return code;
}
