#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "logd/logd.h"
#include "proc/logfile.h"
#include "t/unit/unit.h"

Suite *output_suite(void);

static char dir[64], path[96];

static struct output *
set_up(struct err *e)
{
	struct conf c = {
	    .log = {.destination = CONF_LOG_FILE, .file = path},
	    .node = {.hostname = path + 1},
	};

	if (dir[0] == '\0') {
		(void)snprintf(dir, sizeof dir, "/tmp/logd.XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(dir));
		(void)snprintf(path, sizeof path, "%s/log", dir);
	}
	return output_open(&c, getuid(), getgid(), e);
}

static void
tear_down(struct output *o)
{
	output_close(o);
	(void)unlink(path);
	(void)rmdir(dir);
	dir[0] = '\0';
}

static void
put(struct output *o, const char *text)
{
	struct line l = {.level = LOG_L_INFO,
	    .tag = "postern",
	    .who = "smtpd",
	    .pid = 1,
	    .text = text,
	    .stamp = "Nov  2 03:04:00"};

	output_line(o, &l);
}

static const char *
contents(void)
{
	static char text[65536];
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return text;
}

START_TEST(goes_on_with_a_new_file_after_rotation)
{
	char old[128];
	struct err e = {0};
	struct output *o = set_up(&e);
	struct stat st;

	ck_assert_msg(o != NULL, "%s", e.text);
	put(o, "before");
	output_flush(o);
	(void)snprintf(old, sizeof old, "%s.1", path);
	ck_assert_int_eq(rename(path, old), 0);
	put(o, "between");
	output_reopen(o, log_file_open(path, getuid(), getgid()));
	put(o, "after");
	output_flush(o);
	ck_assert_ptr_nonnull(strstr(contents(), "after\n"));
	ck_assert_ptr_null(strstr(contents(), "between"));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0077 & ~0040, 0);
	(void)unlink(old);
	tear_down(o);
}
END_TEST

START_TEST(survives_a_full_disk_and_says_what_is_missing)
{
	const struct rlimit small = {200, RLIM_INFINITY}, large = {RLIM_INFINITY, RLIM_INFINITY};
	struct err e = {0};
	struct output *o = set_up(&e);
	struct output_counts n;
	int i;

	ck_assert_ptr_nonnull(o);
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Without assertions in between: they are written to a file, too. */
	(void)setrlimit(RLIMIT_FSIZE, &small);
	for (i = 0; i < 20; i++) {
		put(o, "a line of text");
		if (i % 7 == 0)
			output_flush(o);
	}
	output_flush(o);
	output_count(o, &n);
	(void)setrlimit(RLIMIT_FSIZE, &large);
	ck_assert_uint_gt(n.lost, 0);
	ck_assert_uint_eq(n.lost + n.written, 20);
	ck_assert_str_ne(n.trouble, "");
	put(o, "room again");
	output_flush(o);
	ck_assert_ptr_nonnull(strstr(contents(), "log lines lost: "));
	/* The torn line has an end of its own. */
	ck_assert_ptr_nonnull(strstr(contents(), "]: room again\n"));
	output_count(o, &n);
	ck_assert_str_eq(n.trouble, "");
	tear_down(o);
}
END_TEST

START_TEST(lines_of_a_round_are_one_write)
{
	struct err e = {0};
	struct output *o = set_up(&e);
	struct output_counts n;
	char one[24];
	int i;

	ck_assert_ptr_nonnull(o);
	for (i = 0; i < 100; i++) {
		(void)snprintf(one, sizeof one, "line %03d", i);
		put(o, one);
	}
	ck_assert_str_eq(contents(), "");
	output_flush(o);
	ck_assert_ptr_nonnull(strstr(contents(), "]: line 000\n"));
	ck_assert_ptr_nonnull(strstr(contents(), "]: line 099\n"));
	output_count(o, &n);
	ck_assert_uint_eq(n.written, 100);
	/* More than are held at once leave by themselves, in their order. */
	for (i = 0; i < 3 * OUTPUT_LINES; i++)
		put(o, "x");
	output_count(o, &n);
	ck_assert_uint_ge(n.written, 100 + 2 * OUTPUT_LINES);
	tear_down(o);
}
END_TEST

START_TEST(refuses_a_link_and_what_is_no_file)
{
	struct err e = {0};
	struct output *o = set_up(&e);

	ck_assert_ptr_nonnull(o);
	output_close(o);
	(void)unlink(path);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_ptr_null(set_up(&e));
	ck_assert_ptr_nonnull(strstr(e.text, path));
	(void)unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_ptr_null(set_up(&e));
	ck_assert_ptr_nonnull(strstr(e.text, path));
	tear_down(NULL);
}
END_TEST

Suite *
output_suite(void)
{
	return unit_suite("output",
	    (const TTest *const[]){goes_on_with_a_new_file_after_rotation,
		survives_a_full_disk_and_says_what_is_missing, lines_of_a_round_are_one_write,
		refuses_a_link_and_what_is_no_file, NULL});
}
