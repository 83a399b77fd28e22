#include "t/unit/gwctl/tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/version.h"

char tool_dir[64];
char tool_out[TOOL_TEXT], tool_err[TOOL_TEXT];

static pid_t gateway;

void
tool_begin(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(tool_dir, sizeof tool_dir, "%.40s/gwctl.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(tool_dir));
	ck_assert_int_eq(chdir(tool_dir), 0);
	ck_assert_int_eq(mkdir("run", 0700), 0);
	setprogname("gwctl");
}

static void
empty(const char *name)
{
	char path[400];
	struct dirent *d;
	DIR *h = opendir(name);

	while (h != NULL && (d = readdir(h)) != NULL) {
		(void)snprintf(path, sizeof path, "%s/%s", name, d->d_name);
		(void)unlink(path);
	}
	if (h != NULL)
		closedir(h);
}

void
tool_end(void)
{
	empty("run");
	(void)rmdir("run");
	empty(".");
	(void)rmdir(tool_dir);
}

const char *
tool_read(const char *name)
{
	static char text[TOOL_TEXT];
	int fd = open(name, O_RDONLY);
	ssize_t n;

	ck_assert_msg(fd != -1, "%s: %s", name, strerror(errno));
	n = read(fd, text, sizeof text - 1);
	close(fd);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	return text;
}

void
tool_write(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* In a child, so that its output can be taken and its state ends with it. */
int
tool(const char *first, ...)
{
	char *words[TOOL_WORDS + 2] = {(char *)(uintptr_t) "gwctl"};
	int n = 1, status, out, e;
	const char *w;
	va_list ap;
	pid_t pid;

	va_start(ap, first);
	for (w = first; w != NULL && n <= TOOL_WORDS; w = va_arg(ap, const char *))
		words[n++] = (char *)(uintptr_t)w;
	va_end(ap);
	ck_assert_int_ge(pid = fork(), 0);
	if (pid == 0) {
		out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		e = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (dup2(out, 1) == -1 || dup2(e, 2) == -1)
			_exit(99);
		exit(gwctl_main(n, words));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	(void)strlcpy(tool_out, tool_read("out"), sizeof tool_out);
	(void)strlcpy(tool_err, tool_read("err"), sizeof tool_err);
	ck_assert_msg(WIFEXITED(status), "gwctl %s ended by signal\n%s", first, tool_err);
	return WEXITSTATUS(status);
}

/* ---- the other side ---- */

static void
serve_daemon(int fd, enum proc_id self, gateway_fn answer)
{
	struct ipc c;
	struct ipc_msg m;

	ipc_init(&c, fd, self, P_GWCTL);
	while (ipc_recv(&c, &m, 10000) == 0) {
		answer(&c, &m);
		ipc_done(&c, &m);
	}
	ipc_close(&c);
}

static void
serve_master(int fd, gateway_fn answer)
{
	struct ctl_reply ok = {.ok = 1, .text = ""};
	struct ctl_channel give = {.peer = P_POLICYD};
	int fds[2] = {-1, -1};
	struct ipc c;
	struct ipc_msg m;

	ipc_init(&c, fd, P_MASTER, P_GWCTL);
	while (fds[0] == -1 && ipc_recv(&c, &m, 10000) == 0) {
		if (m.def->type == M_ctl_hello)
			(void)ipc_send(&c, M_ctl_reply, m.id, &ok, -1, 1000);
		else if (m.def->type == M_ctl_connect && ipc_pair(fds) == 0) {
			give.peer = ((const struct ctl_connect *)m.body)->peer;
			(void)ipc_send(&c, M_ctl_channel, m.id, &give, fds[1], 1000);
		} else
			(void)ipc_send(&c, M_ctl_reply, m.id, &ok, -1, 1000);
		ipc_done(&c, &m);
	}
	if (fds[0] != -1)
		serve_daemon(fds[0], give.peer, answer);
	ipc_close(&c);
}

void
gateway_begin(gateway_fn answer, unsigned runs)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "run/control"};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	unsigned i;

	(void)unlink(sun.sun_path);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(listen(s, 4), 0);
	ck_assert_int_ge(gateway = fork(), 0);
	if (gateway == 0) {
		for (i = 0; i < runs && (fd = accept(s, NULL, NULL)) != -1; i++)
			serve_master(fd, answer);
		close(s);
		_exit(0);
	}
	close(s);
}

void
gateway_end(void)
{
	int status;

	ck_assert_int_eq(waitpid(gateway, &status, 0), gateway);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	(void)unlink("run/control");
}
