/* A whole daemon, as proc_main makes it, in a child; this test is its master. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/version.h"
#include "proc/proc.h"
#include "t/unit/unit.h"

Suite *daemon_suite(void);

#define MASTER_FD 3
#define WAIT_MS 20000
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define CONF                                                                                       \
	"node { hostname = gw.example.org }\n"                                                     \
	"peer p { service = smtp host = 127.0.0.1 port = 2525 tls = none }\n"                      \
	"connector c { service = smtp listen = {\"127.0.0.1:2500\"} peer = p tls = disabled }\n"

/* --- in the child: what it knows goes into its note, for libcheck's own descriptor is gone --- */

static char known[64] = "no keys";
static struct proc_source *source;

static const char *
contents(const char *path)
{
	const uint8_t *p;
	size_t n;

	p = proc_file(path, &n);
	return p != NULL ? (const char *)p : "nothing";
}

static void
tell(const char *when)
{
	char text[256];

	(void)snprintf(
	    text, sizeof text, "%s: %s, %s, %s", when, contents("/a"), contents("/b"), known);
	proc_note(text);
}

static int
on_start(const struct proc_env *env, struct err *e)
{
	(void)env;
	(void)e;
	tell("start");
	return 0;
}

static int
on_reload(const struct proc_env *env, struct err *e)
{
	(void)env;
	if (strcmp(contents("/a"), "bad") == 0)
		return err_set(e, EINVAL, "/a is bad");
	return 0;
}

static void
on_keys(const struct ticket_keys *k)
{
	(void)snprintf(known, sizeof known, "%zu keys from %d", k->keys.n, k->keys.v[0].name.p[0]);
	tell("keys");
}

static void
on_source(int fd, const char *why, void *arg)
{
	char text[256];
	int domain = 0;
	socklen_t n = sizeof domain;

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n);
	(void)snprintf(text, sizeof text, "%s: %s",
	    fd == -1            ? "none"
	    : domain == AF_INET ? "socket"
				: "?",
	    why);
	if (fd != -1)
		close(fd);
	source = NULL;
	proc_note(arg == known ? text : "a wrong argument");
}

/* Nothing else comes with a start once it runs: here it means "ask, or take back what was asked".
 */
static void
on_order(struct chan *c, struct ipc_msg *m)
{
	static const uint8_t ip[4] = {192, 0, 2, 7};

	(void)c;
	(void)m;
	if (source != NULL) {
		proc_source_cancel(source);
		source = NULL;
		proc_note("cancelled");
	} else if ((source = proc_source("c", ip, sizeof ip, on_source, known)) == NULL)
		proc_note(strerror(errno));
}

static const struct chan_handler handlers[] = {{M_start, on_order}, {0, NULL}};

static const struct proc table = {
    .self = P_SMTPD,
    .start = on_start,
    .reload = on_reload,
    .ticket_keys = on_keys,
    .handlers = handlers,
};

/* --- this process --- */

static struct ipc ipc;
static pid_t child;

static int
sealed(const char *text)
{
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	return fd;
}

static void
give(uint16_t type, const void *body, int fd)
{
	ck_assert_int_eq(ipc_send(&ipc, type, 0, body, fd, WAIT_MS), 0);
}

static void
give_file(const char *path, const char *text)
{
	const struct config_file m = {.path = path};

	give(M_config_file, &m, sealed(text));
}

static void
give_keys(size_t n, uint8_t first)
{
	uint8_t octets[TICKET_KEYS_MAX][32];
	struct ticket_key v[TICKET_KEYS_MAX];
	struct ticket_keys m = {{v, n}};
	size_t i;

	for (i = 0; i < n; i++) {
		memset(octets[i], first, sizeof octets[i]);
		v[i] = (struct ticket_key){{octets[i], 16}, {octets[i], 32}, {octets[i], 32}};
	}
	give(M_ticket_keys, &m, -1);
}

static void
reload(uint32_t serial)
{
	const struct reload m = {.serial = serial};

	give(M_reload, &m, sealed(CONF));
}

/* The next message of this type; others may come before. */
static void
await(uint16_t type, struct ipc_msg *m)
{
	for (;;) {
		if (ipc_recv(&ipc, m, WAIT_MS) == -1)
			ck_abort_msg("%s", strerror(errno));
		if (m->def->type == type)
			return;
		ipc_done(&ipc, m);
	}
}

static void
expect_note(const char *want)
{
	struct ipc_msg m;

	await(M_ready, &m);
	ck_assert_str_eq(((const struct ready *)m.body)->note, want);
	ipc_done(&ipc, &m);
}

static void
expect_reloaded(int ok, const char *text)
{
	const struct reload_done *d;
	struct ipc_msg m;

	await(M_reload_done, &m);
	d = m.body;
	ck_assert_int_eq(d->ok, ok);
	ck_assert_msg(strstr(d->text, text) != NULL, "%s", d->text);
	ipc_done(&ipc, &m);
}

static void
set_up(void)
{
	char name[] = "smtpd", *argv[] = {name, NULL};
	struct boot b = {.role = P_SMTPD, .jail = "/", .version = POSTERN_VERSION};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	if ((child = fork()) == 0) {
		if (dup2(fds[1], MASTER_FD) == -1)
			_exit(EX_OSERR);
		(void)close_range(MASTER_FD + 1, ~0U, 0);
		_exit(proc_main(&table, 1, argv));
	}
	close(fds[1]);
	ipc_init(&ipc, fds[0], P_MASTER, P_SMTPD);
	give(M_boot, &b, sealed(CONF));
}

static void
tear_down(void)
{
	int status;

	ipc_close(&ipc);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFEXITED(status), "status %d", status);
}

static void
start(void)
{
	const struct start s = {0};

	give(M_start, &s, -1);
}

START_TEST(files_and_ticket_keys_are_there_at_start)
{
	give_file("/a", "one");
	give_keys(1, 7);
	start();
	expect_note("start: one, nothing, 1 keys from 7");
	give_keys(3, 9);
	expect_note("keys: one, nothing, 3 keys from 9");
}
END_TEST

START_TEST(a_reload_replaces_all_files)
{
	give_file("/a", "one");
	give_file("/b", "two");
	start();
	expect_note("start: one, two, no keys");
	give_file("/a", "three");
	reload(1);
	expect_reloaded(1, "");
	give_keys(1, 1);
	expect_note("keys: three, nothing, 1 keys from 1");
}
END_TEST

START_TEST(a_daemon_that_refuses_a_reload_has_its_old_files)
{
	const struct config_file open_file = {.path = "/b"};
	int fd;

	give_file("/a", "one");
	start();
	expect_note("start: one, nothing, no keys");
	give_file("/a", "bad");
	give_file("/b", "two");
	reload(1);
	expect_reloaded(0, "/a is bad");
	give_keys(1, 1);
	expect_note("keys: one, nothing, 1 keys from 1");
	/* One that anybody could still change makes the whole reload void. */
	give_file("/a", "three");
	fd = memfd_create("t", MFD_CLOEXEC);
	give(M_config_file, &open_file, fd);
	reload(2);
	expect_reloaded(0, "/b");
	give_keys(1, 2);
	expect_note("keys: one, nothing, 1 keys from 2");
	/* The reload after that is as good as any. */
	give_file("/a", "four");
	reload(3);
	expect_reloaded(1, "");
	give_keys(1, 3);
	expect_note("keys: four, nothing, 1 keys from 3");
}
END_TEST

/* Have the daemon ask for a socket; the request is m, to be answered under its id. */
static uint64_t
asked(void)
{
	const struct source_req *q;
	struct ipc_msg m;
	uint64_t id;

	start();
	await(M_source_req, &m);
	q = m.body;
	ck_assert_str_eq(q->connector, "c");
	ck_assert_uint_eq(q->ip.n, 4);
	ck_assert_int_eq(memcmp(q->ip.p, "\300\0\2\7", 4), 0);
	id = m.id;
	ipc_done(&ipc, &m);
	return id;
}

static void
answer(uint64_t id, int ok, const char *text, int fd)
{
	const struct source_rep r = {.ok = (uint8_t)ok, .text = text};

	ck_assert_int_eq(ipc_send(&ipc, M_source_rep, id, &r, fd, WAIT_MS), 0);
}

START_TEST(a_socket_of_a_source_comes_or_the_reason_why_not)
{
	uint64_t id;

	start();
	expect_note("start: nothing, nothing, no keys");
	id = asked();
	answer(id, 1, "", socket(AF_INET, SOCK_STREAM, 0));
	expect_note("socket: ");
	id = asked();
	answer(id, 0, "not for you", -1);
	expect_note("none: not for you");
	id = asked();
	answer(id, 1, "", -1);
	expect_note("none: master sent no socket");
	/* An answer that comes after all is nobody's. */
	id = asked();
	start();
	expect_note("cancelled");
	answer(id, 1, "", socket(AF_INET, SOCK_STREAM, 0));
	id = asked();
	answer(id, 0, "again", -1);
	expect_note("none: again");
}
END_TEST

Suite *
daemon_suite(void)
{
	return unit_suite_around("daemon", set_up, tear_down,
	    (const TTest *const[]){files_and_ticket_keys_are_there_at_start,
		a_reload_replaces_all_files, a_daemon_that_refuses_a_reload_has_its_old_files,
		a_socket_of_a_source_comes_or_the_reason_why_not, NULL});
}
