#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/version.h"
#include "ipc/control.h"
#include "ipc/messages.h"
#include "t/unit/unit.h"

Suite *control_suite(void);

static char dir[64];
static pid_t pid;

/* How the other end behaves. */
enum manner { CONNECTS, REFUSES_HELLO, REFUSES_CONNECT, WRONG_ANSWER, HANGS_UP };

static void
answer_connect(struct ipc *c, enum manner how, const struct ipc_msg *m)
{
	struct ctl_reply no = {.text = "cryptod is not running"}, yes = {.ok = 1, .text = "hello"};
	struct keys_state_rep state = {.locked = 1};
	struct ctl_channel ch = {.peer = P_CRYPTOD};
	struct ipc_msg q;
	struct ipc d;
	int fds[2];

	switch (how) {
	case REFUSES_HELLO:
	case REFUSES_CONNECT:
		(void)ipc_send(c, M_ctl_reply, how == REFUSES_HELLO ? 0 : m->id, &no, -1, 1000);
		break;
	case WRONG_ANSWER:
		(void)ipc_send(c, M_ctl_reply, m->id, &yes, -1, 1000);
		break;
	case CONNECTS:
		(void)ipc_send(c, M_ctl_reply, 0, &yes, -1, 1000);
		(void)ipc_pair(fds);
		(void)ipc_send(c, M_ctl_channel, m->id, &ch, fds[1], 1000);
		ipc_init(&d, fds[0], P_CRYPTOD, P_KEYCTL);
		if (ipc_recv(&d, &q, 5000) == 0)
			(void)ipc_send(&d, M_keys_state_rep, q.id, &state, -1, 1000);
		ipc_done(&d, &q);
		ipc_close(&d);
		break;
	case HANGS_UP:
		break;
	}
}

static void __attribute__((noreturn)) master(int s, enum manner how)
{
	struct ipc_msg m;
	struct ipc c;

	ipc_init(&c, accept(s, NULL, NULL), P_MASTER, P_KEYCTL);
	if (ipc_recv(&c, &m, 5000) == -1 || m.def->type != M_ctl_hello ||
	    strcmp(((struct ctl_hello *)m.body)->version, POSTERN_VERSION) != 0)
		_exit(1);
	ipc_done(&c, &m);
	if (ipc_recv(&c, &m, 5000) == -1 || m.def->type != M_ctl_connect)
		_exit(1);
	answer_connect(&c, how, &m);
	_exit(0);
}

static void
begin(enum manner how)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(dir, sizeof dir, "/tmp/control-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s/" CONTROL_NAME, dir);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(listen(s, 1), 0);
	if ((pid = fork()) == 0)
		master(s, how);
	close(s);
}

static void
end(void)
{
	char name[128];

	(void)waitpid(pid, NULL, 0);
	(void)snprintf(name, sizeof name, "%s/" CONTROL_NAME, dir);
	(void)unlink(name);
	(void)rmdir(dir);
}

START_TEST(asks_a_daemon_through_master)
{
	struct keys_state_req req = {0};
	struct ipc m, keys;
	struct err e = {0};
	struct ipc_msg msg;

	begin(CONNECTS);
	ck_assert_msg(control_open(&m, dir, P_KEYCTL, &e) == 0, "%s", e.text);
	ck_assert_msg(control_channel(&m, P_CRYPTOD, 0, &keys, &e) == 0, "%s", e.text);
	ck_assert_int_eq(
	    control_call(&keys, M_keys_state_req, &req, M_keys_state_rep, &msg, 5000, &e), 0);
	ck_assert_uint_eq(((struct keys_state_rep *)msg.body)->locked, 1);
	ipc_done(&keys, &msg);
	ck_assert_int_eq(
	    control_call(&keys, M_keys_state_req, &req, M_keys_state_rep, &msg, 5000, &e), -1);
	ck_assert_int_eq(e.code, ECONNRESET);
	ck_assert_str_eq(e.text, "cryptod closed the connection; see its log");
	ipc_close(&keys);
	ipc_close(&m);
	end();
}
END_TEST

START_TEST(gives_masters_words_when_it_refuses)
{
	static const struct {
		enum manner how;
		int code;
		const char *text;
	} t[] = {
	    {REFUSES_HELLO, EHOSTDOWN, "cryptod is not running"},
	    {REFUSES_CONNECT, EHOSTDOWN, "cryptod is not running"},
	    {WRONG_ANSWER, EBADMSG, "master gave no channel to cryptod"},
	    {HANGS_UP, ECONNRESET, "no answer from master"},
	};
	struct ipc m, keys;
	struct err e;

	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		begin(t[i].how);
		ck_assert_int_eq(control_open(&m, dir, P_KEYCTL, &e), 0);
		ck_assert_int_eq(control_channel(&m, P_CRYPTOD, 0, &keys, &e), -1);
		ck_assert_int_eq(e.code, t[i].code);
		ck_assert_ptr_nonnull(strstr(e.text, t[i].text));
		ck_assert_int_eq(keys.fd, -1);
		ipc_close(&m);
		end();
	}
}
END_TEST

START_TEST(tells_when_nothing_runs)
{
	char longer[300];
	struct err e;
	struct ipc m;

	ck_assert_int_eq(control_open(&m, "/tmp/there-is-no-such-folder", P_KEYCTL, &e), -1);
	ck_assert_int_eq(e.code, ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "not running"));
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	ck_assert_int_eq(control_open(&m, longer, P_KEYCTL, &e), -1);
	ck_assert_int_eq(e.code, ENAMETOOLONG);
}
END_TEST

Suite *
control_suite(void)
{
	const TTest *const tests[] = {
	    asks_a_daemon_through_master,
	    gives_masters_words_when_it_refuses,
	    tells_when_nothing_runs,
	    NULL,
	};

	return unit_suite("control socket", tests);
}
