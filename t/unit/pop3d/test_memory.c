#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pop3d/memory.h"
#include "t/unit/unit.h"

#define DAY 20000

static const uint8_t id[MEMORY_ID] = "maildrop of alice";
static char folder[] = "/tmp/test_memory.XXXXXX";
static int dir;

static void
uid_of(uint8_t uid[MEMORY_UID], unsigned n)
{
	memset(uid, 0, MEMORY_UID);
	memcpy(uid + 4, &n, sizeof n); /* all in one place of the table */
}

static struct memory_entry *
put(struct memory *m, unsigned n, uint64_t size, const char *sticky)
{
	uint8_t uid[MEMORY_UID];
	struct memory_entry *x;

	uid_of(uid, n);
	ck_assert_ptr_nonnull(x = memory_put(m, uid));
	x->size = size;
	x->listed = size + 1;
	x->day = DAY;
	x->flags = MEMORY_SIZE;
	x->changed = true;
	ck_assert_int_eq(memory_stick(x, sticky, strlen(sticky)), 0);
	return x;
}

static struct memory_entry *
get(const struct memory *m, unsigned n)
{
	uint8_t uid[MEMORY_UID];

	uid_of(uid, n);
	return memory_find(m, uid);
}

static void
load(struct memory *m)
{
	struct err e;

	memory_init(m);
	ck_assert_int_eq(memory_load(m, dir, "drop", id, &e), 0);
}

static void
save(struct memory *m)
{
	struct err e;

	ck_assert_msg(memory_save(m, dir, "drop", id, DAY, &e) == 0, "%s", e.text);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_ne(dir = open(folder, O_RDONLY | O_DIRECTORY), -1);
}

static void
teardown(void)
{
	char cmd[64];

	close(dir);
	(void)snprintf(cmd, sizeof cmd, "rm -rf %s", folder);
	ck_assert_int_eq(system(cmd), 0);
	memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
}

START_TEST(finds_what_was_put_among_many)
{
	struct memory m;
	unsigned i;

	memory_init(&m);
	ck_assert_ptr_null(get(&m, 1));
	for (i = 0; i < 1000; i++)
		(void)put(&m, i, i * 10, "");
	for (i = 0; i < 1000; i++)
		ck_assert_uint_eq(get(&m, i)->size, i * 10);
	ck_assert_ptr_null(get(&m, 1000));
	get(&m, 5)->gone = true;
	ck_assert_ptr_null(get(&m, 5));
	ck_assert_uint_eq(m.n, 1000);
	memory_free(&m);
}
END_TEST

START_TEST(is_the_same_after_a_restart)
{
	struct memory m;
	struct memory_entry *x;

	load(&m); /* no file yet */
	ck_assert_uint_eq(m.n, 0);
	(void)put(&m, 1, 100, "");
	(void)put(&m, 2, UINT64_MAX, "found");
	put(&m, 3, 7, "")->gone = true;
	put(&m, 4, 7, "")->day = DAY - MEMORY_UNUSED_DAYS - 1;
	save(&m);
	memory_free(&m);
	load(&m);
	ck_assert_uint_eq(m.n, 2);
	ck_assert_uint_eq(get(&m, 1)->size, 100);
	ck_assert_uint_eq(get(&m, 1)->listed, 101);
	x = get(&m, 2);
	ck_assert_uint_eq(x->size, UINT64_MAX);
	ck_assert_uint_eq(x->nsticky, 5);
	ck_assert_mem_eq(x->sticky, "found", 5);
	ck_assert_uint_eq(x->day, DAY);
	ck_assert_uint_eq(x->flags, MEMORY_SIZE);
	memory_free(&m);
}
END_TEST

START_TEST(two_sessions_at_once_keep_both_what_they_found)
{
	struct memory a, b;

	load(&a);
	(void)put(&a, 1, 10, "");
	(void)put(&a, 2, 20, "");
	(void)put(&a, 3, 30, "");
	save(&a);
	load(&b);
	get(&b, 1)->gone = true;
	(void)put(&b, 2, 21, "b"); /* changes what a leaves alone */
	(void)put(&b, 4, 40, "");
	save(&b);
	(void)put(&a, 3, 31, "a");
	(void)put(&a, 5, 50, "");
	save(&a);
	memory_free(&a);
	memory_free(&b);
	load(&a);
	ck_assert_uint_eq(get(&a, 2)->size, 21);
	ck_assert_mem_eq(get(&a, 2)->sticky, "b", 1);
	ck_assert_uint_eq(get(&a, 3)->size, 31);
	ck_assert_uint_eq(get(&a, 4)->size, 40);
	ck_assert_uint_eq(get(&a, 5)->size, 50);
	memory_free(&a);
}
END_TEST

START_TEST(every_damage_is_seen_and_replaced)
{
	uint8_t file[4096], other[MEMORY_ID] = "maildrop of bob";
	struct memory m;
	struct err e;
	ssize_t n, i;
	int fd;

	load(&m);
	(void)put(&m, 1, 10, "sticky");
	(void)put(&m, 2, 20, "");
	save(&m);
	memory_free(&m);
	ck_assert_int_ne(fd = openat(dir, "drop", O_RDWR), -1);
	n = read(fd, file, sizeof file);
	ck_assert_int_gt(n, 0);
	for (i = 0; i < n; i++) {
		file[i] ^= 0x40;
		ck_assert_msg(
		    memory_decode(&m, id, file, (size_t)n, &e) == -1 && m.n == 0, "octet %zd", i);
		file[i] ^= 0x40;
		ck_assert_msg(memory_decode(&m, id, file, (size_t)i, &e) == -1, "length %zd", i);
	}
	ck_assert_int_eq(memory_decode(&m, other, file, (size_t)n, &e), -1);
	ck_assert_int_eq(ftruncate(fd, n - 1), 0);
	close(fd);
	ck_assert_int_eq(memory_load(&m, dir, "drop", id, &e), -1);
	ck_assert_int_eq(e.code, EBADMSG);
	(void)put(&m, 3, 30, "");
	save(&m);
	memory_free(&m);
	load(&m);
	ck_assert_uint_eq(m.n, 1);
	memory_free(&m);
}
END_TEST

START_TEST(a_maildrop_has_an_end)
{
	uint8_t uid[MEMORY_UID] = {0};
	struct memory m;
	unsigned i;

	memory_init(&m);
	for (i = 0; i < MEMORY_MESSAGES_MAX; i++) {
		uint64_t h = i * 0x9e3779b97f4a7c15u;

		memcpy(uid, &h, sizeof h);
		ck_assert_ptr_nonnull(memory_put(&m, uid));
	}
	memset(uid, 0xff, sizeof uid);
	ck_assert_ptr_null(memory_put(&m, uid));
	ck_assert_int_eq(errno, ENOSPC);
	memory_free(&m);
}
END_TEST

START_TEST(sweeps_what_nobody_needs)
{
	struct timespec old[2] = {{time(NULL) - (MEMORY_UNUSED_DAYS + 1) * 86400L, 0},
	    {time(NULL) - (MEMORY_UNUSED_DAYS + 1) * 86400L, 0}};
	static const char *const names[] = {"drop", "olddrop", "drop.new01234567", "olddrop.new0"};
	struct stat st;
	size_t i;
	int fd;

	for (i = 0; i < 4; i++) {
		ck_assert_int_ne(fd = openat(dir, names[i], O_CREAT | O_WRONLY, 0600), -1);
		if (names[i][0] == 'o')
			ck_assert_int_eq(futimens(fd, old), 0);
		close(fd);
	}
	memory_sweep(dir);
	ck_assert_int_eq(fstatat(dir, names[0], &st, 0), 0);
	ck_assert_int_eq(fstatat(dir, names[1], &st, 0), -1);
	ck_assert_int_eq(fstatat(dir, names[2], &st, 0), 0); /* somebody writes it now */
	ck_assert_int_eq(fstatat(dir, names[3], &st, 0), -1);
}
END_TEST

Suite *memory_suite(void);

Suite *
memory_suite(void)
{
	const TTest *const tests[] = {finds_what_was_put_among_many, is_the_same_after_a_restart,
	    two_sessions_at_once_keep_both_what_they_found, every_damage_is_seen_and_replaced,
	    a_maildrop_has_an_end, sweeps_what_nobody_needs, NULL};

	return unit_suite_around("memory", setup, teardown, tests);
}
