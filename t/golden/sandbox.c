#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/sandbox.h"

/*
 * What the sandbox of lib/proc allows and refuses; of the release build, for the sanitizers' has
 * none.  Each case runs in a child of its own, for there is no way back out.
 */
static char dir[] = "/tmp/sandbox.XXXXXX";
static int spool = -1;

/* What a confined process tries: 0 when it succeeds, else errno. */
static int
try_open(void)
{
	int fd = open("/etc/passwd", O_RDONLY);

	return fd == -1 ? errno : 0;
}

static int
try_write_inside(void)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof path, "%s/new", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd == -1 || write(fd, "x", 1) != 1 || close(fd) == -1 || unlink(path) == -1)
		return errno;
	return 0;
}

static int
try_write_outside(void)
{
	int fd = open("/tmp/sandbox-outside", O_WRONLY | O_CREAT, 0600);

	return fd == -1 ? errno : 0;
}

static int
try_exec(void)
{
	char *const argv[] = {NULL};

	(void)execve("/bin/true", argv, argv);
	return errno;
}

static int
try_fork(void)
{
	pid_t pid = fork();

	if (pid == -1)
		return errno;
	if (pid == 0)
		_exit(0);
	return waitpid(pid, NULL, 0) == -1 ? errno : 0;
}

static int
try_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd == -1 ? errno : 0;
}

static int
try_unix_stream(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return fd == -1 ? errno : 0;
}

static int
try_unix_dgram(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd == -1 ? errno : 0;
}

/* One of them could be sent to any socket that has a name. */
static int
try_datagram_pair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) == -1 ? errno : 0;
}

static int
try_stream_pair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1 ? errno
											     : 0;
}

static int
try_raw(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	return fd == -1 ? errno : 0;
}

static int
try_code(void)
{
	void *p = mmap(
	    NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
try_memory(void)
{
	void *p = malloc(10 * 1024 * 1024);
	int rc = p == NULL ? errno : 0;

	free(p);
	return rc;
}

static int
try_memfd(void)
{
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1 || ftruncate(fd, 4096) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) == -1 ||
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
		return errno;
	return 0;
}

static int
try_tmpfile(void)
{
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);

	return fd == -1 || write(fd, "x", 1) != 1 || ftruncate(fd, 0) == -1 ? errno : 0;
}

static int
try_kill(void)
{
	return kill(getppid(), 0) == -1 ? errno : 0;
}

static int
try_setuid(void)
{
	return setuid(1) == -1 ? errno : 0;
}

static int
try_chroot(void)
{
	return chroot("/") == -1 ? errno : 0;
}

static int
try_raise_limit(void)
{
	const struct rlimit r = {1 << 20, 1 << 20};

	return setrlimit(RLIMIT_NOFILE, &r) == -1 ? errno : 0;
}

static int
try_narrow(void)
{
	struct err e = {0};

	if (try_fork() != 0)
		return 1;
	if (sandbox_narrow(SB_BASE, &e) == -1)
		return 2;
	return try_fork() == ENOSYS ? 0 : 3;
}

static int
bind_one(int type)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, type, 0);

	return bind(fd, (const struct sockaddr *)&sin, sizeof sin) == -1 ? errno : 0;
}

static int
try_bind(void)
{
	return bind_one(SOCK_STREAM);
}

/* The same, where seccomp alone must refuse it, whatever the kernel's Landlock can. */
static int
try_bind_never(void)
{
	return bind_one(SOCK_STREAM);
}

static int
try_bind_datagrams(void)
{
	return bind_one(SOCK_DGRAM);
}

/* A worker's deadline: the alarm must be set, not only called. */
static int
try_alarm(void)
{
	(void)alarm(100);
	return alarm(0) == 0 ? ENOSYS : 0;
}

/* As a worker of filterd: a second, narrower layer that still reaches the spool folder. */
static int
try_worker_layer(void)
{
	const struct sandbox worker = {.calls = SB_MEMFD | SB_TMPFILE, .files = 64};
	struct err e = {0};
	int fd;

	if (sandbox_allow_fd(spool, 1, &e) == -1 || sandbox_enter(&worker, &e) == -1)
		return 254;
	if ((fd = openat(spool, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) == -1)
		return errno;
	return try_write_inside() == 0 ? 253 : 0;
}

static const struct {
	const char *name;
	unsigned calls;
	int writable; /* dir is allowed */
	int (*attempt)(void);
	int want;
} cases[] = {
    {"memory", SB_BASE, 0, try_memory, 0},
    {"open", SB_BASE, 0, try_open, ENOSYS},
    {"open elsewhere", SB_FILES, 1, try_open, EACCES},
    {"write inside", SB_FILES, 1, try_write_inside, 0},
    {"write inside, read-only", SB_FILES, 0, try_write_inside, EACCES},
    {"write outside", SB_FILES, 1, try_write_outside, EACCES},
    {"exec", SB_BASE | SB_FORK | SB_FILES | SB_NET, 1, try_exec, ENOSYS},
    {"fork", SB_BASE, 0, try_fork, ENOSYS},
    {"fork allowed", SB_FORK, 0, try_fork, 0},
    {"tcp", SB_BASE, 0, try_tcp, ENOSYS},
    {"tcp allowed", SB_NET, 0, try_tcp, 0},
    {"unix stream", SB_NET | SB_UNIX, 0, try_unix_stream, ENOSYS},
    {"unix datagram", SB_NET, 0, try_unix_dgram, ENOSYS},
    {"unix datagram allowed", SB_UNIX, 0, try_unix_dgram, 0},
    {"pair of datagram sockets", SB_NET | SB_FORK, 0, try_datagram_pair, ENOSYS},
    {"pair of stream sockets", SB_BASE, 0, try_stream_pair, 0},
    {"raw socket", SB_NET | SB_UNIX, 0, try_raw, ENOSYS},
    {"executable memory", SB_MAPFILE | SB_THREADS, 0, try_code, ENOSYS},
    {"memfd", SB_BASE, 0, try_memfd, ENOSYS},
    {"memfd allowed", SB_MEMFD, 0, try_memfd, 0},
    {"unnamed file", SB_NET, 1, try_tmpfile, ENOSYS},
    {"unnamed file allowed", SB_TMPFILE, 1, try_tmpfile, 0},
    {"named file with SB_TMPFILE", SB_TMPFILE, 1, try_write_inside, ENOSYS},
    {"kill", SB_NET, 0, try_kill, ENOSYS},
    {"kill of one outside", SB_FORK, 0, try_kill, EPERM},
    {"setuid", SB_FORK, 0, try_setuid, ENOSYS},
    {"chroot", SB_FILES, 1, try_chroot, ENOSYS},
    {"limits", SB_BASE, 0, try_raise_limit, ENOSYS},
    {"bind tcp", SB_NET | SB_BIND, 0, try_bind, EACCES},
    {"bind", SB_NET, 0, try_bind_never, ENOSYS},
    {"bind datagrams", SB_NET, 0, try_bind_datagrams, ENOSYS},
    {"bind datagrams allowed", SB_NET | SB_BIND, 0, try_bind_datagrams, 0},
    {"narrower later", SB_FORK, 0, try_narrow, 0},
    {"alarm", SB_BASE, 0, try_alarm, 0},
    {"unnamed file in a worker's layer", SB_FORK | SB_MEMFD | SB_TMPFILE, 1, try_worker_layer, 0},
};

/* The attempt's result in a confined child; -1 when it did not get that far. */
static int
confined(unsigned calls, int writable, int (*attempt)(void))
{
	const struct sandbox s = {.calls = calls, .files = 64};
	struct err e = {0};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (sandbox_allow(dir, writable, &e) == -1 || sandbox_enter(&s, &e) == -1) {
			(void)fprintf(stderr, "%s\n", e.text);
			_exit(255);
		}
		_exit(attempt());
	}
	if (pid == -1 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) != 255 ? WEXITSTATUS(status) : -1;
}

int
main(void)
{
	int got, bad = 0;
	size_t i;

	if (mkdtemp(dir) == NULL) {
		perror("mkdtemp");
		return EXIT_FAILURE;
	}
	spool = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		got = confined(cases[i].calls, cases[i].writable, cases[i].attempt);
		/* Before its ABI 4 Landlock knows nothing of TCP. */
		if (got == 0 && cases[i].attempt == try_bind)
			got = cases[i].want;
		if (got == cases[i].want)
			printf("ok %s\n", cases[i].name);
		else
			printf("not ok %s: %d instead of %d\n", cases[i].name, got, cases[i].want);
		bad |= got != cases[i].want;
		fflush(stdout);
	}
	(void)rmdir(dir);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
