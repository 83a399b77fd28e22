#include "filterd/zygote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "filterd/warm.h"
#include "filterd/worker.h"
#include "ipc/messages.h"
#include "proc/sandbox.h"

/* What is left to a worker: its sockets, memory, unnamed files. */
static const struct sandbox worker_sandbox = {
    .calls = SB_MEMFD | SB_TMPFILE,
    .files = 64,
};

static void
on_child(int sig)
{
	(void)sig; /* only to end the poll */
}

static void __attribute__((noreturn))
become_worker(struct ipc *dispatcher, int sock, int spooldir, uint64_t memory, sigset_t *mask)
{
	struct sandbox sb = worker_sandbox;
	struct err e;

	ipc_close(dispatcher);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	sb.memory = memory;
	/* Landlock of a child forgets what its parent was allowed. */
	if (sandbox_allow_fd(spooldir, 1, &e) == -1 || sandbox_enter(&sb, &e) == -1) {
		log_err("worker: %s", e.text);
		_exit(EX_OSERR);
	}
	_exit(worker_run(sock, spooldir));
}

static int
fork_worker(struct ipc *c, uint64_t id, int spooldir, uint64_t memory, sigset_t *mask)
{
	struct zygote_child r;
	int fds[2];
	pid_t pid;

	if (ipc_pair(fds) == -1)
		return -1;
	if ((pid = fork()) == -1) {
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (pid == 0) {
		close(fds[0]);
		become_worker(c, fds[1], spooldir, memory, mask);
	}
	close(fds[1]);
	r.pid = (uint32_t)pid;
	return ipc_send(c, M_zygote_child, id, &r, fds[0], -1);
}

static int
reap(struct ipc *c)
{
	struct zygote_exit r;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		r.pid = (uint32_t)pid;
		r.status = (uint32_t)status;
		if (ipc_send(c, M_zygote_exit, 0, &r, -1, -1) == -1)
			return -1;
	}
	return 0;
}

static int
serve(struct ipc *c, int spooldir, uint64_t memory, sigset_t *unblocked)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	struct ipc_msg m;
	uint64_t id;
	int rc;

	for (;;) {
		if (reap(c) == -1)
			return -1;
		while ((rc = ipc_next(c, &m)) == 1) {
			id = m.id;
			ipc_done(c, &m);
			if (fork_worker(c, id, spooldir, memory, unblocked) == -1)
				log_warn("cannot fork a worker: %s", strerror(errno));
		}
		if (rc == -1)
			return -1;
		/* SIGCHLD is blocked but for here, so that none comes between reap and poll. */
		if (ppoll(&p, 1, NULL, unblocked) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (ipc_fill(c) == -1)
			return -1;
	}
}

void
zygote_run(int sock, int spooldir, uint64_t memory)
{
	struct sigaction sa = {.sa_handler = on_child};
	sigset_t block, unblocked;
	struct ipc c;
	struct err e;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_set_sink(NULL, NULL);
	log_init("zygote", LOG_L_INFO);
	if (warm_up(&e) == -1) {
		log_err("self-test: %s", e.text);
		_exit(EX_SOFTWARE);
	}
	(void)sigaction(SIGCHLD, &sa, NULL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGUSR1, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &block, &unblocked);
	(void)sigdelset(&unblocked, SIGCHLD);
	ipc_init(&c, sock, P_ZYGOTE, P_FILTERD);
	(void)serve(&c, spooldir, memory, &unblocked);
	/* The dispatcher is gone: workers end by their parent-death signal. */
	_exit(EX_OK);
}
