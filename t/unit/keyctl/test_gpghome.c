/* GnuPG homes of somebody who means ill: the end of gpg's agent and folder, what gpg says. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keyctl/gpghome.h"
#include "t/unit/unit.h"

Suite *gpghome_suite(void);

#define OTHER 65534 /* a uid that is not ours */

static char top[64];
static struct gpg_home home;

static void
at(char *path, size_t n, const char *name)
{
	ck_assert_int_lt(snprintf(path, n, "%s/%s", top, name), (int)n);
}

/* A home with nothing in its files; they are owner's. */
static void
open_home(uid_t owner)
{
	char path[128];
	struct err e;
	int fd;

	(void)strlcpy(top, "/tmp/gpghome.XXXXXX", sizeof top);
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(setenv("TMPDIR", top, 1), 0);
	at(path, sizeof path, "home");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	at(path, sizeof path, "home/private-keys-v1.d");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	at(path, sizeof path, "home/pubring.kbx");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ck_assert_int_ne(fd, -1);
	close(fd);
	at(path, sizeof path, "home");
	if (owner != getuid())
		ck_assert_int_eq(chown(path, owner, (gid_t)owner), 0);
	ck_assert_msg(home_open(&home, path, 0, &e) == 0, "%s", e.text);
}

/* Nothing is left but the home and what the test put beside it. */
static void
close_home(const char *beside)
{
	static const char *const mine[] = {
	    "home/pubring.kbx", "home/private-keys-v1.d", "home", NULL};
	char path[128];

	home_close(&home);
	at(path, sizeof path, beside);
	if (beside[0] != '\0')
		(void)unlink(path);
	for (unsigned i = 0; mine[i] != NULL; i++) {
		at(path, sizeof path, mine[i]);
		ck_assert_int_eq(remove(path), 0);
	}
	ck_assert_int_eq(rmdir(top), 0);
}

/* A process that listens at a socket, where it ends when asked as agents are; we have a line to it.
 */
static int line;

static void
serve(int s, int end)
{
	struct pollfd p[2] = {{s, POLLIN, 0}, {end, POLLIN, 0}};
	char c, words[16] = "";
	int from;

	while (poll(p, 2, -1) > 0) {
		if (p[0].revents != 0) {
			from = accept(s, NULL, NULL);
			if (read(from, words, sizeof words - 1) > 0 &&
			    strcmp(words, "KILLAGENT\n") == 0)
				return;
			close(from);
		}
		if (p[1].revents != 0 && (read(end, &c, 1) != 1 || write(end, &c, 1) != 1))
			return;
	}
}

static pid_t
listener(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];
	pid_t pid;
	char c = 'l';

	(void)strlcpy(sun.sun_path, path, sizeof sun.sun_path);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	if ((pid = fork()) == 0) {
		close(home.cleaner); /* it is to see our end */
		close(ends[0]);
		if (bind(s, (struct sockaddr *)&sun, sizeof sun) == -1 || listen(s, 4) == -1)
			_exit(1);
		(void)!write(ends[1], &c, 1);
		serve(s, ends[1]);
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	close(s);
	close(ends[1]);
	line = ends[0];
	ck_assert_int_eq(read(line, &c, 1), 1);
	return pid;
}

/* Does it still answer us?  It does not afterwards. */
static int
lives(pid_t pid)
{
	char c = '?';
	int yes = send(line, &c, 1, MSG_NOSIGNAL) == 1 && read(line, &c, 1) == 1;

	close(line);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	return yes;
}

START_TEST(the_agent_is_asked_to_end)
{
	char path[128];
	pid_t agent;

	open_home(getuid());
	(void)snprintf(path, sizeof path, "%s/S.gpg-agent", home.tmp);
	agent = listener(path);
	close_home("");
	ck_assert(!lives(agent));
}
END_TEST

START_TEST(a_link_leads_to_nobody_elses_process)
{
	char other[128], link[128];
	pid_t daemon;

	open_home(getuid());
	at(other, sizeof other, "daemon");
	daemon = listener(other);
	(void)snprintf(link, sizeof link, "%s/S.gpg-agent", home.tmp);
	ck_assert_int_eq(symlink(other, link), 0);
	close_home("daemon");
	ck_assert(lives(daemon));
}
END_TEST

START_TEST(only_the_owners_process_is_asked)
{
	char path[128];
	pid_t daemon;

	if (geteuid() != 0)
		return;
	open_home(OTHER);
	(void)snprintf(path, sizeof path, "%s/S.gpg-agent", home.tmp);
	daemon = listener(path); /* as we are */
	close_home("");
	ck_assert(lives(daemon));
}
END_TEST

/* Root does not remove for him what he may have moved there from a folder of his. */
START_TEST(what_its_owner_could_not_remove_stays)
{
	char end[128], sub[160], file[200];
	int fd;

	if (geteuid() != 0)
		return;
	open_home(OTHER);
	(void)snprintf(sub, sizeof sub, "%s/sub", home.tmp);
	(void)snprintf(file, sizeof file, "%s/file", sub);
	ck_assert_int_eq(mkdir(sub, 0755), 0);
	ck_assert_int_ne(fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0644), -1);
	close(fd);
	home_close(&home);
	(void)snprintf(end, sizeof end, "%s.end", home.tmp);
	(void)snprintf(file, sizeof file, "%s/gpg.conf", end);
	ck_assert_int_eq(access(file, F_OK), -1);
	(void)snprintf(sub, sizeof sub, "%s/sub", end);
	(void)snprintf(file, sizeof file, "%s/file", sub);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(rmdir(sub), 0);
	ck_assert_int_eq(rmdir(end), 0);
	close_home("");
}
END_TEST

/* A gpg that was taken over. */
START_TEST(names_of_keys_are_digits)
{
	static const char script[] =
	    "#!/bin/sh\n"
	    "case \"$*\" in\n"
	    "*--version*) echo 'gpg (GnuPG) 2.2.40' ;;\n"
	    "*) printf 'sec:u:255:22:0123456789ABCDEF:1700000000:::u:::scESC:::+:::23::0:\\n'\n"
	    "   printf 'fpr:::::::::%b01234567:\\n' \"$(cat \"${0%/*}/what\")\" ;;\n"
	    "esac\n";
	static const char *const what[] = {"89ABCDEF", "\\033[2J"};
	char path[128], name[128];
	struct home_ask ask = {.op = HOME_LIST};
	struct home_reply r = {.rec = NULL};
	struct err e;
	FILE *f;

	open_home(getuid());
	at(path, sizeof path, "gpg");
	at(name, sizeof name, "what");
	ck_assert_ptr_nonnull(f = fopen(path, "w"));
	ck_assert_int_eq(fputs(script, f) < 0 || fclose(f) != 0 || chmod(path, 0700) != 0, 0);
	home.gpg = path;
	buf_init(&r.mem, 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_ptr_nonnull(f = fopen(name, "w"));
		ck_assert_int_eq(fputs(what[i], f) < 0 || fclose(f) != 0, 0);
		e = (struct err){0};
		ck_assert_msg(
		    home_request(&home, &ask, &r, &e) == (i == 0 ? 0 : -1), "%u: %s", i, e.text);
		ck_assert_int_eq(e.code, i == 0 ? 0 : EBADMSG);
	}
	home_reply_free(&r);
	ck_assert_int_eq(unlink(path), 0);
	close_home("what");
}
END_TEST

/* Whoever owns the folder must not make keyctl wait for ever. */
START_TEST(a_socket_that_nobody_accepts_from_holds_nothing_up)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int s, c, full = 0;

	open_home(getuid());
	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s/S.gpg-agent", home.tmp);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(s, (struct sockaddr *)&sun, sizeof sun), 0);
	ck_assert_int_eq(listen(s, 0), 0);
	while (!full) {
		c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		ck_assert_int_ne(c, -1);
		full = connect(c, (struct sockaddr *)&sun, sizeof sun) == -1;
		ck_assert(!full || errno == EAGAIN);
	}
	close_home("");
}
END_TEST

Suite *
gpghome_suite(void)
{
	const TTest *const tests[] = {the_agent_is_asked_to_end,
	    a_link_leads_to_nobody_elses_process, only_the_owners_process_is_asked,
	    what_its_owner_could_not_remove_stays, names_of_keys_are_digits,
	    a_socket_that_nobody_accepts_from_holds_nothing_up, NULL};

	return unit_suite("gpghome", tests);
}
