#include "proc/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * System calls by set.  Whatever is not listed answers ENOSYS, as an older kernel would: libraries
 * have a way round that, and clone3, whose arguments a filter cannot see, falls back to clone.
 */
#define ARGS_MAX 3

struct call {
	int nr;
	unsigned set; /* bit of enum sandbox_calls; 0: always */
	unsigned nargs;
	struct scmp_arg_cmp args[ARGS_MAX];
};

#define CALL(name, set)                                                                            \
	{                                                                                          \
		SCMP_SYS(name), set, 0,                                                            \
		{                                                                                  \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
#define IS(n, v)                                                                                   \
	{                                                                                          \
		n, SCMP_CMP_EQ, v, 0                                                               \
	}
#define MASKED(n, mask, v)                                                                         \
	{                                                                                          \
		n, SCMP_CMP_MASKED_EQ, mask, v                                                     \
	}
#define CALL1(name, set, a)                                                                        \
	{                                                                                          \
		SCMP_SYS(name), set, 1,                                                            \
		{                                                                                  \
			a                                                                          \
		}                                                                                  \
	}
#define CALL2(name, set, a, b)                                                                     \
	{                                                                                          \
		SCMP_SYS(name), set, 2,                                                            \
		{                                                                                  \
			a, b                                                                       \
		}                                                                                  \
	}

#define NEW_SPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	    CLONE_NEWPID | CLONE_NEWNET)
#define TYPE_MASK 0xf /* of socket(2), without SOCK_CLOEXEC and SOCK_NONBLOCK */

static const struct call calls[] = {
    /* Octets and descriptors that are there already. */
    CALL(read, 0),
    CALL(readv, 0),
    CALL(write, 0),
    CALL(writev, 0),
    CALL(pread64, 0),
    CALL(pwrite64, 0),
    CALL(lseek, 0),
    CALL(close, 0),
    CALL(close_range, 0),
    CALL(dup, 0),
    CALL(dup2, 0),
    CALL(dup3, 0),
    CALL(pipe, 0),
    CALL(pipe2, 0),
    CALL(fstat, 0),
    CALL1(newfstatat, 0, MASKED(3, AT_EMPTY_PATH, AT_EMPTY_PATH)), /* fstat(3) */
    CALL1(ioctl, 0, IS(1, FIONREAD)),
    CALL1(ioctl, 0, IS(1, FIONBIO)),
    CALL1(fcntl, 0, IS(1, F_DUPFD)),
    CALL1(fcntl, 0, IS(1, F_DUPFD_CLOEXEC)),
    CALL1(fcntl, 0, IS(1, F_GETFD)),
    CALL1(fcntl, 0, IS(1, F_SETFD)),
    CALL1(fcntl, 0, IS(1, F_GETFL)),
    CALL1(fcntl, 0, IS(1, F_SETFL)),
    CALL1(fcntl, 0, IS(1, F_GET_SEALS)),
    CALL1(fcntl, 0, IS(1, F_ADD_SEALS)),
    CALL(recvmsg, 0),
    CALL(sendmsg, 0),
    CALL(recvfrom, 0),
    CALL(sendto, 0),
    CALL(shutdown, 0),
    CALL(getsockopt, 0),
    CALL(getsockname, 0),
    CALL(getpeername, 0),
    /* Never datagrams: such a socket could be sent to any other by its name. */
    CALL2(socketpair, 0, IS(0, AF_UNIX), MASKED(1, TYPE_MASK, SOCK_STREAM)),
    CALL(poll, 0),
    CALL(ppoll, 0),
    CALL(select, 0),
    CALL(pselect6, 0),
    CALL(epoll_create1, 0),
    CALL(epoll_ctl, 0),
    CALL(epoll_wait, 0),
    CALL(epoll_pwait, 0),
    CALL(epoll_pwait2, 0),
    CALL(eventfd2, 0),
    CALL(timerfd_create, 0),
    CALL(timerfd_settime, 0),

    /* Memory; never executable, and of files only with SB_MAPFILE or SB_MEMFD. */
    CALL(brk, 0),
    CALL(munmap, 0),
    CALL(mremap, 0),
    CALL(madvise, 0),
    CALL(mlock, 0),
    CALL(mlock2, 0),
    CALL(munlock, 0),
    CALL(mlockall, 0),
    CALL1(mprotect, 0, MASKED(2, PROT_EXEC, 0)),
    CALL2(mmap, 0, MASKED(2, PROT_EXEC, 0), MASKED(3, MAP_ANONYMOUS, MAP_ANONYMOUS)),
    CALL1(mmap, SB_MAPFILE | SB_MEMFD, MASKED(2, PROT_EXEC, 0)),

    /* Time, signals, the process itself. */
    CALL(alarm, 0), /* of a worker: its deadline */
    CALL(clock_gettime, 0),
    CALL(clock_getres, 0),
    CALL(clock_nanosleep, 0),
    CALL(nanosleep, 0),
    CALL(gettimeofday, 0),
    CALL(time, 0),
    CALL(times, 0),
    CALL(getrusage, 0),
    CALL(rt_sigaction, 0),
    CALL(rt_sigprocmask, 0),
    CALL(rt_sigreturn, 0),
    CALL(sigaltstack, 0),
    CALL(restart_syscall, 0),
    CALL(getpid, 0),
    CALL(getppid, 0),
    CALL(gettid, 0),
    CALL(getuid, 0),
    CALL(geteuid, 0),
    CALL(getgid, 0),
    CALL(getegid, 0),
    CALL(umask, 0),
    CALL(uname, 0),
    CALL(sysinfo, 0),
    CALL(getcpu, 0),
    CALL(sched_yield, 0),
    CALL(sched_getaffinity, 0),
    CALL(getrandom, 0),
    CALL(futex, 0),
    CALL(set_robust_list, 0),
    CALL(set_tid_address, 0),
    CALL(rseq, 0),
    CALL(membarrier, 0),
    CALL(getrlimit, 0),
    CALL1(prlimit64, 0, IS(2, 0)),
    CALL1(prctl, 0, IS(0, PR_SET_NAME)),
    CALL1(prctl, 0, IS(0, PR_SET_PDEATHSIG)),
    CALL2(prctl, 0, IS(0, PR_SET_DUMPABLE), IS(1, 0)),
    CALL(exit, 0),
    CALL(exit_group, 0),

    /* Sockets. Of TCP only master binds any: Landlock refuses that where it can, and whoever has
     * transparent sockets must not even try (bind takes any address there). */
    CALL1(socket, SB_NET, IS(0, AF_INET)),
    CALL1(socket, SB_NET, IS(0, AF_INET6)),
    CALL2(socket, SB_UNIX, IS(0, AF_UNIX), MASKED(1, TYPE_MASK, SOCK_DGRAM)),
    CALL(connect, SB_NET | SB_UNIX),
    CALL(fchdir, SB_UNIX), /* to a socket's folder, outside the jail, and back */
    CALL(chdir, SB_UNIX),
    CALL(accept4, SB_NET | SB_ACCEPT),
    CALL(accept, SB_NET),
    CALL(bind, SB_BIND),
    CALL(setsockopt, SB_NET | SB_UNIX),
    CALL(sendmmsg, SB_NET | SB_UNIX),
    CALL(recvmmsg, SB_NET),
    CALL(splice, SB_NET), /* a tunnel's octets */

    /* Files: Landlock and the chroot say which. */
    CALL(openat, SB_FILES | SB_EXEC),
    CALL(open, SB_FILES | SB_EXEC),
    CALL(newfstatat, SB_FILES | SB_MAPFILE | SB_EXEC),
    CALL(stat, SB_FILES | SB_MAPFILE | SB_EXEC),
    CALL(lstat, SB_FILES | SB_MAPFILE | SB_EXEC),
    CALL(statx, SB_FILES | SB_EXEC),
    CALL(access, SB_FILES | SB_EXEC),
    CALL(faccessat, SB_FILES | SB_EXEC),
    CALL(faccessat2, SB_FILES | SB_EXEC),
    CALL(getdents64, SB_FILES | SB_EXEC),
    CALL(getcwd, SB_FILES | SB_EXEC),
    CALL(mkdirat, SB_FILES | SB_EXEC),
    CALL(mkdir, SB_FILES | SB_EXEC),
    CALL(unlinkat, SB_FILES | SB_EXEC),
    CALL(unlink, SB_FILES | SB_EXEC),
    CALL(rename, SB_FILES | SB_EXEC),
    CALL(renameat, SB_FILES | SB_EXEC),
    CALL(renameat2, SB_FILES | SB_EXEC),
    CALL(fchmod, SB_FILES | SB_EXEC),
    CALL(flock, SB_FILES | SB_MAPFILE | SB_EXEC),
    CALL(fstatfs, SB_FILES | SB_MAPFILE | SB_TMPFILE | SB_EXEC),
    CALL(ftruncate, SB_FILES | SB_MAPFILE | SB_MEMFD | SB_TMPFILE | SB_EXEC),
    CALL(fallocate, SB_FILES | SB_MAPFILE | SB_MEMFD | SB_TMPFILE),
    CALL(fadvise64, SB_FILES | SB_MAPFILE | SB_TMPFILE),
    CALL(fdatasync, SB_FILES | SB_MAPFILE | SB_EXEC),
    CALL(fsync, SB_FILES | SB_MAPFILE | SB_EXEC),
    CALL(pwritev, SB_FILES | SB_MAPFILE),
    CALL(preadv, SB_FILES | SB_MAPFILE),
    CALL(msync, SB_MAPFILE),
    CALL1(fcntl, SB_FILES | SB_MAPFILE, IS(1, F_GETLK)),
    CALL1(fcntl, SB_FILES | SB_MAPFILE, IS(1, F_SETLK)),
    CALL1(fcntl, SB_FILES | SB_MAPFILE, IS(1, F_SETLKW)),
    CALL1(fcntl, SB_FILES | SB_MAPFILE, IS(1, F_OFD_SETLK)),
    CALL1(fcntl, SB_FILES | SB_MAPFILE, IS(1, F_OFD_SETLKW)),
    CALL1(openat, SB_TMPFILE, MASKED(2, O_TMPFILE, O_TMPFILE)),
    CALL(memfd_create, SB_MEMFD),

    /* Children, without exec; each may narrow its own sandbox. */
    CALL1(clone, SB_FORK | SB_EXEC, MASKED(0, CLONE_VM | CLONE_THREAD | NEW_SPACES, 0)),
    CALL(wait4, SB_FORK | SB_EXEC),
    CALL(waitid, SB_FORK | SB_EXEC),
    CALL(kill, SB_FORK),
    CALL(tgkill, SB_FORK),
    CALL(pidfd_open, SB_FORK),
    CALL(pidfd_send_signal, SB_FORK),
    CALL(seccomp, SB_FORK),
    CALL(landlock_create_ruleset, SB_FORK),
    CALL(landlock_add_rule, SB_FORK),
    CALL(landlock_restrict_self, SB_FORK),
    CALL(prlimit64, SB_FORK),
    CALL(setrlimit, SB_FORK | SB_EXEC),
    CALL(setpriority, SB_FORK),
    CALL1(prctl, SB_FORK, IS(0, PR_SET_NO_NEW_PRIVS)),
    CALL1(prctl, SB_FORK, IS(0, PR_GET_NO_NEW_PRIVS)),
    CALL1(prctl, SB_FORK, IS(0, PR_SET_SECCOMP)),
    CALL1(prctl, SB_FORK, IS(0, PR_GET_SECCOMP)),

    /* Programs: what the loader and gpg's servers need more. */
    CALL(execve, SB_EXEC),
    CALL1(kill, SB_EXEC, IS(1, 0)), /* does the holder of a lock live? */
    CALL1(tgkill, SB_EXEC, IS(2, SIGABRT)), /* abort(3) */
    CALL(mmap, SB_EXEC),
    CALL(mprotect, SB_EXEC),
    CALL(arch_prctl, SB_EXEC),
    CALL(prlimit64, SB_EXEC),
    CALL(prctl, SB_EXEC),
    CALL(fcntl, SB_EXEC),
    CALL(ioctl, SB_EXEC),
    CALL2(socket, SB_EXEC, IS(0, AF_UNIX), MASKED(1, TYPE_MASK, SOCK_STREAM)),
    CALL(connect, SB_EXEC),
    CALL(bind, SB_EXEC),
    CALL(listen, SB_EXEC),
    CALL(accept, SB_EXEC),
    CALL(accept4, SB_EXEC),
    CALL(setsockopt, SB_EXEC),
    CALL(inotify_init, SB_EXEC),
    CALL(inotify_init1, SB_EXEC),
    CALL(inotify_add_watch, SB_EXEC),
    CALL(inotify_rm_watch, SB_EXEC),
    CALL(setsid, SB_EXEC),
    CALL(getpgrp, SB_EXEC),
    CALL(chdir, SB_EXEC),
    CALL(fchdir, SB_EXEC),
    CALL(link, SB_EXEC),
    CALL(linkat, SB_EXEC),
    CALL(chmod, SB_EXEC),
    CALL(fchmodat, SB_EXEC),
    CALL(rmdir, SB_EXEC),
    CALL(readlink, SB_EXEC),
    CALL(readlinkat, SB_EXEC),
    CALL(utime, SB_EXEC),
    CALL(utimensat, SB_EXEC),
    CALL(fadvise64, SB_EXEC),
    CALL(getresuid, SB_EXEC),
    CALL(getresgid, SB_EXEC),
    CALL1(clone, SB_THREADS | SB_EXEC,
	MASKED(0, CLONE_THREAD | CLONE_VM | NEW_SPACES, CLONE_THREAD | CLONE_VM)),
};

static int
add(scmp_filter_ctx ctx, const struct call *c)
{
	int rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, c->nr, c->nargs, c->args);

	/* Not a call of this architecture. */
	return rc == -EDOM || rc == -EEXIST ? 0 : rc;
}

static int
add_all(scmp_filter_ctx ctx, unsigned set)
{
	const struct call own_signal = {SCMP_SYS(tgkill), 0, 1, {IS(0, (scmp_datum_t)getpid())}};
	size_t i;
	int rc;

	for (i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		if (calls[i].set != 0 && (calls[i].set & set) == 0)
			continue;
		if ((rc = add(ctx, &calls[i])) < 0)
			return rc;
	}
	/* abort(3) */
	return (set & (SB_FORK | SB_EXEC)) != 0 ? 0 : add(ctx, &own_signal);
}

int
seccomp_enter(unsigned set, struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int rc;

	if (ctx == NULL)
		return err_set(e, ENOMEM, "no memory for the system call filter");
	/* A binary tree instead of a list: some hundred nanoseconds less for each call. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if ((rc = add_all(ctx, set)) == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc < 0)
		return err_set(e, -rc, "the system call filter was refused: %s", strerror(-rc));
	return 0;
}
