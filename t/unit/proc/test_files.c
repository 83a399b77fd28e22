#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proc/internal.h"
#include "t/unit/unit.h"

Suite *files_suite(void);

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int
memfd(const char *text, int seals)
{
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int
stage(const char *path, const char *text, int seals)
{
	const struct config_file m = {.path = path};
	int fd = memfd(text, seals), rc = files_stage(&m, fd, NULL);

	close(fd);
	return rc;
}

static void
have(const char *path, const char *text)
{
	const uint8_t *p;
	size_t n = 77;

	p = proc_file(path, &n);
	if (text == NULL) {
		ck_assert_ptr_null(p);
		return;
	}
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(n, strlen(text));
	ck_assert_str_eq((const char *)p, text);
}

START_TEST(files_count_from_the_switch_on_and_as_a_whole)
{
	struct err e;

	ck_assert_int_eq(stage("/a", "one", SEALS), 0);
	ck_assert_int_eq(stage("/b", "", SEALS), 0);
	have("/a", NULL);
	ck_assert_int_eq(files_switch(&e), 0);
	files_settle(1);
	have("/a", "one");
	have("/b", "");
	ck_assert_int_eq(stage("/a", "two", SEALS), 0);
	have("/a", "one");
	ck_assert_int_eq(files_switch(&e), 0);
	have("/a", "two");
	have("/b", NULL);
	files_settle(1);
	have("/a", "two");
	files_free();
	have("/a", NULL);
}
END_TEST

START_TEST(a_refused_change_brings_the_old_files_back)
{
	const uint8_t *p;
	struct err e;
	size_t n;

	ck_assert_int_eq(stage("/a", "one", SEALS), 0);
	ck_assert_int_eq(files_switch(&e), 0);
	files_settle(1);
	p = proc_file("/a", &n);
	ck_assert_int_eq(stage("/a", "two", SEALS), 0);
	ck_assert_int_eq(stage("/c", "three", SEALS), 0);
	ck_assert_int_eq(files_switch(&e), 0);
	have("/c", "three");
	files_settle(0);
	have("/a", "one");
	have("/c", NULL);
	ck_assert_ptr_eq(proc_file("/a", &n), p);
	/* What was staged for it is not there a second time. */
	ck_assert_int_eq(files_switch(&e), 0);
	files_settle(1);
	have("/a", NULL);
	files_free();
}
END_TEST

START_TEST(a_file_that_came_in_vain_is_replaced_by_the_next)
{
	struct err e;

	ck_assert_int_eq(stage("/a", "stale", SEALS), 0);
	ck_assert_int_eq(stage("/a", "fresh", SEALS), 0);
	ck_assert_int_eq(files_switch(&e), 0);
	files_settle(1);
	have("/a", "fresh");
	ck_assert_int_eq(stage("/a", "stale", SEALS), 0);
	files_unstage();
	ck_assert_int_eq(files_switch(&e), 0);
	files_settle(1);
	have("/a", NULL);
	files_free();
}
END_TEST

START_TEST(what_could_still_change_or_is_too_large_spoils_the_whole_set)
{
	const struct config_file m = {.path = "/large"};
	struct err e = {0};
	int fd;

	ck_assert_int_eq(stage("/a", "one", SEALS), 0);
	ck_assert_int_eq(files_switch(&e), 0);
	files_settle(1);
	ck_assert_int_eq(stage("/b", "good", SEALS), 0);
	ck_assert_int_eq(stage("/c", "open", F_SEAL_SEAL | F_SEAL_SHRINK), -1);
	ck_assert_int_eq(files_switch(&e), -1);
	ck_assert_msg(strstr(e.text, "/c") != NULL, "%s", e.text);
	have("/a", "one");
	have("/b", NULL);
	fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(ftruncate(fd, CONFIG_FILE_MAX + 1), 0);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
	ck_assert_int_eq(files_stage(&m, fd, &e), -1);
	close(fd);
	ck_assert_int_eq(files_switch(&e), -1);
	/* That is over with it. */
	ck_assert_int_eq(stage("/d", "next", SEALS), 0);
	ck_assert_int_eq(files_switch(&e), 0);
	files_settle(1);
	have("/d", "next");
	files_free();
}
END_TEST

START_TEST(no_more_files_than_are_allowed)
{
	char path[32];
	struct err e;
	unsigned i;

	for (i = 0; i < CONFIG_FILES_MAX; i++) {
		(void)snprintf(path, sizeof path, "/%u", i);
		ck_assert_int_eq(stage(path, path, SEALS), 0);
	}
	ck_assert_int_eq(stage("/one-more", "", SEALS), -1);
	ck_assert_int_eq(files_switch(&e), -1);
	ck_assert_int_eq(e.code, EMSGSIZE);
	files_free();
}
END_TEST

Suite *
files_suite(void)
{
	return unit_suite(
	    "files", (const TTest *const[]){files_count_from_the_switch_on_and_as_a_whole,
			 a_refused_change_brings_the_old_files_back,
			 a_file_that_came_in_vain_is_replaced_by_the_next,
			 what_could_still_change_or_is_too_large_spoils_the_whole_set,
			 no_more_files_than_are_allowed, NULL});
}
