/* What comes from outside is parsed in a child that can do nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/jail.h"
#include "proc/sandbox.h"

#define JAIL_MEMORY (UINT64_C(512) << 20) /* octets of address space */

#define STEP 65536 /* octets read at a time */
#define OWN_FD 3 /* the pipe of a child */
#define END_MS 2000 /* from the end of its answer to its own */

#ifdef POSTERN_NO_SANDBOX
#define MEMORY_LIMIT 0 /* the sanitizers reserve terabytes */
#else
#define MEMORY_LIMIT JAIL_MEMORY
#endif

/*
 * Nothing that the tool has open may be of use to whoever takes the reader over: not its channels
 * to the daemons, not the terminal.  Returns the pipe's new number, or -1.
 */
static int
close_all_but(int fd)
{
	int null = open("/dev/null", O_RDWR);

	if (null == -1 || dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1 ||
	    (fd != OWN_FD && dup2(fd, OWN_FD) == -1) || close_range(OWN_FD + 1, ~0U, 0) == -1)
		return -1;
	return OWN_FD;
}

static void __attribute__((noreturn)) child(jail_fn fn, const void *arg, int fd, size_t max)
{
	static const struct sandbox box = {.calls = SB_BASE, .files = 16, .memory = MEMORY_LIMIT};
	const struct rlimit cpu = {JAIL_SECONDS, JAIL_SECONDS}, none = {0, 0};
	struct err e = {0};
	struct buf out;
	ssize_t n;

	buf_init(&out, max);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setrlimit(RLIMIT_CPU, &cpu);
	(void)setrlimit(RLIMIT_CORE, &none);
	if ((fd = close_all_but(fd)) == -1) {
		log_err("cannot close what a reader must not have: %s", strerror(errno));
		_exit(2);
	}
	if (sandbox_enter(&box, &e) == -1) {
		log_err("%s", e.text);
		_exit(2);
	}
#ifndef POSTERN_NO_SANDBOX
	/* Last, for the errors above; the sanitizers need it to the end. */
	if (dup2(STDOUT_FILENO, STDERR_FILENO) == -1)
		_exit(2);
#endif
	if (fn(arg, &out) == -1)
		_exit(1);
	while (buf_len(&out) > 0) {
		if ((n = write(fd, buf_ptr(&out), buf_len(&out))) == -1 && errno != EINTR)
			_exit(3);
		if (n > 0)
			buf_drain(&out, (size_t)n);
	}
	buf_wipe_free(&out);
	_exit(0);
}

/* Read until the other end closes; 0, or -1 with errno ETIMEDOUT, EMSGSIZE... */
static int
collect(int fd, struct buf *out)
{
	uint64_t until = clock_ms() + JAIL_SECONDS * 1000, now;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t *to, more;
	ssize_t n;
	size_t room;

	for (;;) {
		if ((now = clock_ms()) >= until) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(&p, 1, (int)(until - now)) <= 0)
			continue;
		room = out->max - buf_len(out);
		if (room > STEP)
			room = STEP;
		if ((to = room > 0 ? buf_reserve(out, room) : &more) == NULL)
			return -1;
		if ((n = read(fd, to, room > 0 ? room : 1)) == 0)
			return 0;
		if (n > 0 && room == 0) {
			errno = EMSGSIZE;
			return -1;
		}
		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0)
			buf_added(out, (size_t)n);
	}
}

/* Its end comes with that of its answer; one that lingers is ended. */
static void
reap(pid_t pid, int *status)
{
	const struct timespec moment = {0, 1000000};
	uint64_t until = clock_ms() + END_MS;
	pid_t got;

	while ((got = waitpid(pid, status, WNOHANG)) == 0 && clock_ms() < until)
		(void)nanosleep(&moment, NULL);
	if (got == pid)
		return;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) == -1 && errno == EINTR)
		;
}

int
jail_run(jail_fn fn, const void *arg, const char *what, struct buf *out, struct err *e)
{
	int fds[2], status = 0, rc;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_sys(e, "pipe");
	if ((pid = fork()) == -1) {
		err_sys(e, "fork");
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (pid == 0) {
		close(fds[0]);
		child(fn, arg, fds[1], out->max);
	}
	close(fds[1]);
	if ((rc = collect(fds[0], out)) == -1) {
		err_sys(e, "%s", what);
		(void)kill(pid, SIGKILL);
	}
	close(fds[0]);
	reap(pid, &status);
	if (rc == -1)
		return -1;
	if (WIFSIGNALED(status))
		return err_set(e, EBADMSG, "%s: reading it was stopped by signal %d (%s)", what,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) != 0)
		return err_set(e, EBADMSG, "%s: cannot be read", what);
	return 0;
}
