#include "proc/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/internal.h"

struct allowed {
	int fd; /* O_PATH, or open for reading */
	int writable, run, dir;
};

static struct allowed paths[SB_PATHS_MAX];
static size_t npaths;

/* fd is taken over. */
static int
allow(int fd, const char *name, int writable, struct err *e)
{
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		err_sys(e, "%s", name);
	else if (npaths == SB_PATHS_MAX)
		err_set(
		    e, EMSGSIZE, "%s: more than %d folders for one sandbox", name, SB_PATHS_MAX);
	else {
		paths[npaths].fd = fd;
		paths[npaths].writable = writable;
		paths[npaths].run = 0;
		paths[npaths].dir = S_ISDIR(st.st_mode);
		npaths++;
		return 0;
	}
	if (fd != -1)
		close(fd);
	return -1;
}

int
sandbox_allow(const char *path, int writable, struct err *e)
{
	return allow(open(path, O_PATH | O_CLOEXEC), path, writable, e);
}

int
sandbox_allow_exec(const char *path, struct err *e)
{
	if (sandbox_allow(path, 0, e) == -1)
		return -1;
	paths[npaths - 1].run = 1;
	return 0;
}

int
sandbox_allow_fd(int fd, int writable, struct err *e)
{
	return allow(fcntl(fd, F_DUPFD_CLOEXEC, 0), "an open folder", writable, e);
}

/* Even O_PATH of a folder outside the jail is a way out of it. */
static void
forget_paths(void)
{
	while (npaths > 0)
		close(paths[--npaths].fd);
}

static int
limit(int what, uint64_t value, const char *name, struct err *e)
{
	struct rlimit r, had;

	if (value == 0)
		return 0;
	if (getrlimit(what, &had) == -1)
		return err_sys(e, "getrlimit %s", name);
	r.rlim_cur = r.rlim_max = value < had.rlim_max ? value : had.rlim_max;
	if (setrlimit(what, &r) == -1)
		return err_sys(e, "setrlimit %s %llu", name, (unsigned long long)value);
	return 0;
}

#ifdef POSTERN_NO_SANDBOX

int
sandbox_enter(const struct sandbox *s, struct err *e)
{
	forget_paths();
	log_warn("this is a test build WITHOUT SANDBOX: not for real mail");
	return limit(RLIMIT_NOFILE, s->files, "nofile", e);
}

int
sandbox_narrow(unsigned calls, struct err *e)
{
	(void)calls;
	(void)e;
	return 0;
}

#else

/*
 * Landlock by number: Debian 12 has a newer kernel than its headers.  What a kernel does not know
 * is left out by its ABI version.
 */
#define LL_EXECUTE (1ULL << 0)
#define LL_WRITE_FILE (1ULL << 1)
#define LL_READ_FILE (1ULL << 2)
#define LL_READ_DIR (1ULL << 3)
#define LL_REMOVE_DIR (1ULL << 4)
#define LL_REMOVE_FILE (1ULL << 5)
#define LL_MAKE_DIR (1ULL << 7)
#define LL_MAKE_REG (1ULL << 8)
#define LL_MAKE_SOCK (1ULL << 9)
#define LL_REFER (1ULL << 13)
#define LL_TRUNCATE (1ULL << 14)
#define LL_ALL(abi) ((1ULL << ((abi) >= 5 ? 16 : (abi) >= 3 ? 15 : (abi) >= 2 ? 14 : 13)) - 1)
#define LL_OF_FILE (LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE)
#define LL_BIND_TCP (1ULL << 0)
#define LL_CONNECT_TCP (1ULL << 1)
#define LL_SCOPE_ABSTRACT (1ULL << 0)
#define LL_SCOPE_SIGNAL (1ULL << 1)
#define LL_GET_VERSION 1U
#define LL_PATH_BENEATH 1

struct ll_ruleset {
	uint64_t fs, net, scoped;
};

struct ll_path {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

static size_t
ruleset_size(long abi)
{
	return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

static int
add_path(int rules, const struct allowed *a, unsigned calls, long abi, struct err *e)
{
	struct ll_path p = {.access = LL_READ_FILE | LL_READ_DIR, .fd = a->fd};

	if (a->writable)
		p.access |= LL_WRITE_FILE | LL_TRUNCATE | LL_MAKE_REG | LL_MAKE_DIR |
			    LL_REMOVE_FILE | LL_REMOVE_DIR | LL_REFER;
	if (a->writable && (calls & SB_EXEC) != 0)
		p.access |= LL_MAKE_SOCK;
	if (a->run)
		p.access |= LL_EXECUTE;
	if (!a->dir)
		p.access &= LL_OF_FILE;
	p.access &= LL_ALL(abi);
	if (syscall(SYS_landlock_add_rule, rules, LL_PATH_BENEATH, &p, 0) == -1)
		return err_sys(e, "landlock_add_rule");
	return 0;
}

static int
landlock_enter(unsigned calls, struct err *e)
{
	struct ll_ruleset r = {0};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_GET_VERSION);
	size_t i;
	int rules, rc = -1;

	if (abi < 1) {
		log_warn("this kernel has no Landlock: files are protected by uid, chroot and "
			 "seccomp only");
		return 0;
	}
	r.fs = LL_ALL(abi);
	r.net = LL_BIND_TCP | ((calls & SB_NET) == 0 ? LL_CONNECT_TCP : 0);
	r.scoped = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL;
	rules = (int)syscall(SYS_landlock_create_ruleset, &r, ruleset_size(abi), 0);
	if (rules == -1)
		return err_sys(e, "landlock_create_ruleset");
	for (i = 0; i < npaths; i++)
		if (add_path(rules, &paths[i], calls, abi, e) == -1)
			goto out;
	if (syscall(SYS_landlock_restrict_self, rules, 0) == -1) {
		err_sys(e, "landlock_restrict_self");
		goto out;
	}
	rc = 0;
out:
	close(rules);
	return rc;
}

int
sandbox_enter(const struct sandbox *s, struct err *e)
{
	int rc = -1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
		err_sys(e, "prctl no_new_privs");
		goto out;
	}
	if (limit(RLIMIT_NOFILE, s->files, "nofile", e) == -1 ||
	    limit(RLIMIT_AS, s->memory, "as", e) == -1 ||
	    limit(RLIMIT_FSIZE, s->file_size, "fsize", e) == -1 ||
	    landlock_enter(s->calls, e) == -1)
		goto out;
	rc = 0;
out:
	forget_paths();
	return rc == 0 ? seccomp_enter(s->calls, e) : -1;
}

int
sandbox_narrow(unsigned calls, struct err *e)
{
	return seccomp_enter(calls, e);
}

#endif
