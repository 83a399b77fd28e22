#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "smtpd/journal.h"
#include "t/unit/unit.h"

static char folder[64];
static int dir;

static void
make_folder(void)
{
	(void)strlcpy(folder, "/tmp/postern-journal.XXXXXX", sizeof folder);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_ne(dir = open(folder, O_RDONLY | O_DIRECTORY), -1);
}

/* Names that end so; all are removed when clean. */
static unsigned
names(const char *suffix, char last[JOURNAL_NAME_MAX], int clean)
{
	struct dirent *d;
	DIR *list = opendir(folder);
	unsigned n = 0;
	size_t len;

	ck_assert_ptr_nonnull(list);
	while ((d = readdir(list)) != NULL) {
		len = strlen(d->d_name);
		if (d->d_name[0] == '.' || len < strlen(suffix) ||
		    strcmp(d->d_name + len - strlen(suffix), suffix) != 0)
			continue;
		n++;
		if (last != NULL)
			(void)strlcpy(last, d->d_name, JOURNAL_NAME_MAX);
		if (clean)
			(void)unlinkat(dir, d->d_name, 0);
	}
	closedir(list);
	return n;
}

static void
remove_folder(void)
{
	(void)names("", NULL, 1);
	close(dir);
	ck_assert_int_eq(rmdir(folder), 0);
}

static const char text[] = "Subject: x\r\n\r\nnot delivered\r\n";

static struct notice
example(void)
{
	return (struct notice){.created = 1700000000,
	    .peer = "office",
	    .qid = "ABC",
	    .to = "alice@example.test",
	    .message = {(const uint8_t *)text, sizeof text - 1}};
}

static void
check_whole(const char *name)
{
	struct notice *n;
	void *own;

	ck_assert_ptr_nonnull(n = journal_read(dir, name, &own));
	ck_assert_str_eq(n->to, "alice@example.test");
	ck_assert_str_eq(n->peer, "office");
	ck_assert_uint_eq(n->message.n, sizeof text - 1);
	ck_assert_int_eq(memcmp(n->message.p, text, sizeof text - 1), 0);
	free(n);
	free(own);
}

START_TEST(gives_back_what_was_written)
{
	char name[JOURNAL_NAME_MAX];
	struct notice n = example();
	struct err e;
	void *own;

	make_folder();
	ck_assert_int_eq(journal_add(dir, 3, &n, name, &e), 0);
	ck_assert_int_eq(strncmp(name, "3.1700000000.", 13), 0);
	check_whole(name);
	journal_remove(dir, name);
	ck_assert_ptr_null(journal_read(dir, name, &own));
	ck_assert_int_eq(errno, ENOENT);
	n.to = "";
	ck_assert_int_eq(journal_add(dir, 3, &n, name, &e), -1);
	ck_assert_uint_eq(names("", NULL, 0), 0);
	remove_folder();
}
END_TEST

START_TEST(refuses_damage_of_every_octet)
{
	char name[JOURNAL_NAME_MAX];
	struct notice n = example(), *got;
	uint8_t file[1024], copy[1024];
	struct err e;
	ssize_t len, i;
	int fd;

	make_folder();
	ck_assert_int_eq(journal_add(dir, 0, &n, name, &e), 0);
	ck_assert_int_ne(fd = openat(dir, name, O_RDONLY), -1);
	len = read(fd, file, sizeof file);
	close(fd);
	ck_assert_int_gt(len, 0);
	for (i = 0; i < len; i++) {
		memcpy(copy, file, (size_t)len);
		copy[i] ^= 0x10;
		ck_assert_ptr_null(journal_parse(copy, (size_t)len));
		ck_assert_ptr_null(journal_parse(file, (size_t)i));
	}
	copy[len] = 0;
	ck_assert_ptr_null(journal_parse(copy, (size_t)len + 1));
	ck_assert_ptr_nonnull(got = journal_parse(file, (size_t)len));
	free(got);
	remove_folder();
}
END_TEST

/* In a child, journal_add with a system call that kills, or fails with error. */
static int
add_with(int call, uint32_t action)
{
	char name[JOURNAL_NAME_MAX];
	struct notice n = example();
	scmp_filter_ctx ctx;
	struct err e;
	int status, rc;
	pid_t pid;

	ck_assert_int_ne(pid = fork(), -1);
	if (pid == 0) {
		if ((ctx = seccomp_init(SCMP_ACT_ALLOW)) == NULL ||
		    seccomp_rule_add(ctx, action, call, 0) != 0 || seccomp_load(ctx) != 0)
			_exit(99);
		rc = journal_add(dir, 0, &n, name, &e);
		_exit(rc == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -1 : WEXITSTATUS(status);
}

static const struct {
	int call;
	unsigned notices, unfinished; /* files left by a crash right before it */
} steps[] = {
    {SCMP_SYS(openat), 0, 0},
    {SCMP_SYS(write), 0, 1},
    {SCMP_SYS(fdatasync), 0, 1},
    {SCMP_SYS(renameat), 0, 1},
    {SCMP_SYS(fsync), 1, 0},
};

static void
count(const char *name, void *arg)
{
	(void)name;
	++*(unsigned *)arg;
}

START_TEST(is_whole_or_absent_after_a_crash_at_any_step)
{
	char name[JOURNAL_NAME_MAX];
	unsigned found;
	struct err e;
	size_t i;

	make_folder();
	for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		ck_assert_int_eq(add_with(steps[i].call, SCMP_ACT_KILL_PROCESS), -1);
		ck_assert_msg(
		    names(".notice", name, 0) == steps[i].notices, "crash before step %zu", i);
		ck_assert_msg(names(".tmp", NULL, 0) == steps[i].unfinished, "step %zu", i);
		if (steps[i].notices > 0)
			check_whole(name);
		/* The next start finds what is whole and removes what is not. */
		found = 0;
		ck_assert_int_eq(
		    journal_scan(dir, 0, 1, 1, count, &found, &e), (int)steps[i].notices);
		ck_assert_uint_eq(found, steps[i].notices);
		ck_assert_uint_eq(names(".tmp", NULL, 0), 0);
		(void)names("", NULL, 1);
	}
	remove_folder();
}
END_TEST

START_TEST(leaves_nothing_behind_when_a_step_fails)
{
	size_t i;

	make_folder();
	for (i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		ck_assert_int_eq(add_with(steps[i].call, SCMP_ACT_ERRNO(ENOSPC)), 1);
		ck_assert_msg(names("", NULL, 0) == 0, "failure of step %zu", i);
	}
	remove_folder();
}
END_TEST

static void
put(const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ne(fd, -1);
	close(fd);
}

START_TEST(finds_its_own_and_adopts_orphans)
{
	char name[JOURNAL_NAME_MAX];
	unsigned found = 0;
	struct err e;

	make_folder();
	put("0.1.aa.notice");
	put("1.1.bb.notice");
	put("5.1.cc.notice");
	put("1.1.dd.tmp");
	put("x.notice");
	put("0.1.aa.notice.damaged");
	put("notice");
	ck_assert_int_eq(journal_scan(dir, 1, 2, 1, count, &found, &e), 1);
	ck_assert_uint_eq(names(".tmp", NULL, 0), 0);
	ck_assert_int_ge(journal_scan(dir, 0, 2, 1, count, &found, &e), 2);
	ck_assert_int_eq(faccessat(dir, "05.1.cc.notice", F_OK, 0), -1);
	ck_assert_int_eq(faccessat(dir, "0.1.cc.notice", F_OK, 0), 0);
	ck_assert_int_eq(faccessat(dir, "1.1.bb.notice", F_OK, 0), 0);
	journal_set_aside(dir, "0.1.aa.notice");
	ck_assert_uint_eq(names(".damaged", name, 0), 1);
	remove_folder();
}
END_TEST

Suite *journal_suite(void);

Suite *
journal_suite(void)
{
	return unit_suite("journal",
	    (const TTest *const[]){gives_back_what_was_written, refuses_damage_of_every_octet,
		is_whole_or_absent_after_a_crash_at_any_step,
		leaves_nothing_behind_when_a_step_fails, finds_its_own_and_adopts_orphans, NULL});
}
