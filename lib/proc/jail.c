/* What comes from outside is parsed in a child that can do nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
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
#define EXEC_FILES 64 /* descriptors of a child that runs programs */
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
	    (fd != OWN_FD && dup2(fd, OWN_FD) == -1) || fcntl(OWN_FD, F_SETFD, FD_CLOEXEC) == -1 ||
	    close_range(OWN_FD + 1, ~0U, 0) == -1)
		return -1;
	return OWN_FD;
}

/* The loader of shared objects, which the kernel runs with every program. */
static int
find_loader(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char **loader = arg;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*loader = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return 1; /* ours is the first */
}

static int
allow_all(const struct jail_rights *r, struct err *e)
{
	const char *loader = NULL;

	(void)dl_iterate_phdr(find_loader, &loader);
	if (loader != NULL && sandbox_allow_exec(loader, e) == -1)
		return -1;
	for (unsigned i = 0; r->exec[i] != NULL; i++)
		if (sandbox_allow_exec(r->exec[i], e) == -1)
			return -1;
	for (unsigned i = 0; r->write[i] != NULL; i++)
		if (sandbox_allow(r->write[i], 1, e) == -1)
			return -1;
	for (unsigned i = 0; r->read[i] != NULL; i++)
		if (sandbox_allow(r->read[i], 0, e) == -1 && e->code != ENOENT)
			return -1;
	return 0;
}

static int
become(const struct jail_rights *r, struct err *e)
{
	if (geteuid() != 0 || r->uid == 0)
		return 0;
	if (setgroups(0, NULL) == -1 || setresgid(r->gid, r->gid, r->gid) == -1 ||
	    setresuid(r->uid, r->uid, r->uid) == -1)
		return err_sys(e, "becoming user %u", (unsigned)r->uid);
	return 0;
}

static void __attribute__((noreturn))
child(const struct jail_rights *r, jail_fn fn, const void *arg, int fd, size_t max)
{
	const struct sandbox box = {
	    .calls = r != NULL ? SB_BASE | SB_EXEC : SB_BASE,
	    .files = r != NULL ? EXEC_FILES : 16,
	    .memory = MEMORY_LIMIT,
	};
	const rlim_t seconds = r != NULL ? r->seconds : JAIL_SECONDS;
	const struct rlimit cpu = {seconds, seconds}, none = {0, 0};
	struct err e = {0};
	struct buf out;
	ssize_t n;

	buf_init(&out, max);
	(void)setrlimit(RLIMIT_CPU, &cpu);
	(void)setrlimit(RLIMIT_CORE, &none);
	if ((fd = close_all_but(fd)) == -1) {
		log_err("cannot close what a reader must not have: %s", strerror(errno));
		_exit(2);
	}
	if (r != NULL && (become(r, &e) == -1 || allow_all(r, &e) == -1)) {
		log_err("%s", e.text);
		_exit(2);
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not before the uid changes, which clears it */
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
collect(int fd, unsigned seconds, struct buf *out)
{
	uint64_t until = clock_ms() + (uint64_t)seconds * 1000, now;
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
	return jail_run_with(NULL, fn, arg, what, out, e);
}

int
jail_run_with(const struct jail_rights *r, jail_fn fn, const void *arg, const char *what,
    struct buf *out, struct err *e)
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
		child(r, fn, arg, fds[1], out->max);
	}
	close(fds[1]);
	if ((rc = collect(fds[0], r != NULL ? r->seconds : JAIL_SECONDS, out)) == -1) {
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
