#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/store/folder.h"
#include "t/unit/unit.h"

Suite *records_suite(void);

START_TEST(what_is_stored_comes_back)
{
	struct folder f;
	struct err e;
	int sealed;

	for (sealed = 0; sealed < 2; sealed++) {
		folder_make(&f, sealed);
		folder_fill(&f, 300);
		ck_assert_msg(folder_verify(&f, 300, &e) == 0, "%s", e.text);
		folder_remove(&f);
	}
}
END_TEST

START_TEST(get_put_and_del_say_what_they_did)
{
	struct folder f;
	struct store *s;
	struct store_txn *t;
	struct bytes v;
	struct err e;

	folder_make(&f, 1);
	s = folder_open(&f);
	t = store_write(s, &e);
	ck_assert_int_eq(store_get(t, FIRST, "k", 1, &v, &e), 0);
	ck_assert_int_eq(store_del(t, FIRST, "k", 1, &e), 0);
	ck_assert_int_eq(store_put(t, FIRST, "k", 1, "two", 3, &e), 0);
	ck_assert_int_eq(store_put(t, FIRST, "k", 1, "one", 3, &e), 0);
	ck_assert_int_eq(store_get(t, FIRST, "k", 1, &v, &e), 1);
	ck_assert_mem_eq(v.p, "one", 3);
	ck_assert_int_eq(store_put(t, FIRST, "k", 1, "", 0, &e), 0);
	ck_assert_int_eq(store_get(t, FIRST, "k", 1, &v, &e), 1);
	ck_assert_uint_eq(v.n, 0);
	ck_assert_int_eq(store_get(t, SECOND, "k", 1, &v, &e), 0);
	ck_assert_int_eq(store_count(t, FIRST, &e), 1);
	ck_assert_int_eq(store_del(t, FIRST, "k", 1, &e), 1);
	ck_assert_int_eq(store_count(t, FIRST, &e), 0);
	ck_assert_int_eq(store_commit(t, &e), 0);
	store_close(s);
	folder_remove(&f);
}
END_TEST

START_TEST(a_walk_goes_on_over_changes_and_transactions)
{
	struct folder f;
	struct store *s;
	struct store_txn *t;
	struct store_pos pos = {{0}, 0};
	struct bytes v;
	struct err e;
	char got[32] = "";
	const char *k;

	folder_make(&f, 0);
	s = folder_open(&f);
	t = store_write(s, &e);
	for (k = "acegi"; *k; k++)
		ck_assert_int_eq(store_put(t, FIRST, k, 1, k, 1, &e), 0);
	while (store_next(t, FIRST, &pos, &v, &e) == 1) {
		strncat(got, (const char *)v.p, 1);
		if (pos.key[0] == 'c')
			ck_assert_int_eq(store_del(t, FIRST, "c", 1, &e), 1);
		if (pos.key[0] == 'e') {
			ck_assert_int_eq(store_put(t, FIRST, "f", 1, "f", 1, &e), 0);
			ck_assert_int_eq(store_commit(t, &e), 0);
			ck_assert_ptr_nonnull(t = store_write(s, &e));
		}
	}
	ck_assert_str_eq(got, "acefgi");
	store_abort(t);
	store_close(s);
	folder_remove(&f);
}
END_TEST

START_TEST(what_is_not_committed_is_not_there)
{
	struct folder f;
	struct store *s;
	struct store_txn *t;
	struct bytes v;
	struct err e;

	folder_make(&f, 0);
	s = folder_open(&f);
	t = store_write(s, &e);
	ck_assert_int_eq(store_put(t, FIRST, "k", 1, "v", 1, &e), 0);
	store_abort(t);
	t = store_write(s, &e);
	ck_assert_int_eq(store_put(t, FIRST, "k", 1, "v", 1, &e), 0);
	ck_assert_int_eq(store_put(t, FIRST, "", 0, "v", 1, &e), -1);
	ck_assert_int_eq(store_commit(t, &e), -1);
	t = store_read(s, &e);
	ck_assert_int_eq(store_get(t, FIRST, "k", 1, &v, &e), 0);
	ck_assert_int_eq(store_put(t, FIRST, "k", 1, "v", 1, &e), -1);
	ck_assert_int_eq(store_commit(t, &e), -1);
	store_close(s);
	folder_remove(&f);
}
END_TEST

START_TEST(what_the_caller_does_wrong_is_refused)
{
	struct folder f;
	struct store *s;
	struct store_txn *r, *r2, *w;
	struct err e;
	pid_t pid;
	int status;

	folder_make(&f, 0);
	s = folder_open(&f);
	ck_assert_ptr_nonnull(r = store_read(s, &e));
	ck_assert_ptr_nonnull(r2 = store_read(s, &e));
	ck_assert_ptr_null(store_write(s, &e));
	ck_assert_int_eq(e.code, EBUSY);
	store_abort(r);
	store_abort(r2);
	ck_assert_ptr_nonnull(w = store_write(s, &e));
	ck_assert_ptr_null(store_read(s, &e));
	ck_assert_int_eq(store_put(w, 2, "k", 1, "v", 1, &e), -1);
	store_abort(w);
	/* a second owner, in this process or after a fork */
	ck_assert_ptr_null(store_open(f.dir, &f.o, &e));
	ck_assert_int_eq(e.code, EBUSY);
	if ((pid = fork()) == 0)
		_exit(store_read(s, &e) == NULL && e.code == EBUSY ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	store_close(s);
	folder_remove(&f);
}
END_TEST

START_TEST(only_the_right_key_opens)
{
	static const uint8_t other[STORE_SECRET_LEN] = {9};
	struct folder f;
	struct err e;
	uint8_t *text = malloc(1 << 20);
	size_t n;
	FILE *fp;
	struct store *s;
	struct store_txn *t;

	folder_make(&f, 1);
	s = folder_open(&f);
	t = store_write(s, &e);
	ck_assert_int_eq(store_put(t, FIRST, "k", 1, "very secret value", 17, &e), 0);
	ck_assert_int_eq(store_commit(t, &e), 0);
	store_close(s);
	fp = fopen(folder_file(&f, "data.mdb"), "r");
	n = fread(text, 1, 1 << 20, fp);
	(void)fclose(fp);
	ck_assert_ptr_null(memmem(text, n, "very secret", 11));
	free(text);
	f.o.secret = other;
	ck_assert_ptr_null(store_open(f.dir, &f.o, &e));
	ck_assert_int_eq(e.code, EACCES);
	f.o.secret = NULL;
	ck_assert_ptr_null(store_open(f.dir, &f.o, &e));
	ck_assert_int_eq(e.code, EACCES);
	folder_remove(&f);
	folder_make(&f, 0);
	folder_fill(&f, 10);
	f.o.secret = folder_secret;
	ck_assert_ptr_null(store_open(f.dir, &f.o, &e));
	ck_assert_int_eq(e.code, EACCES);
	folder_remove(&f);
}
END_TEST

START_TEST(it_works_from_the_working_directory_and_reading_makes_nothing)
{
	struct folder f;
	struct store *s;
	struct err e;
	struct stat st;

	folder_make(&f, 0);
	ck_assert_int_eq(chdir(f.dir), 0);
	f.o.readonly = 1;
	ck_assert_ptr_null(store_open(".", &f.o, &e));
	ck_assert_int_eq(stat("data.mdb", &st), -1);
	ck_assert_int_eq(store_check(".", &f.o, &e), 0);
	f.o.readonly = 0;
	f.o.name = "/var/lib/x";
	ck_assert_ptr_nonnull(s = store_open(".", &f.o, &e));
	ck_assert_int_eq(stat("data.mdb", &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	store_close(s);
	f.o.readonly = 1;
	ck_assert_ptr_nonnull(s = store_open(".", &f.o, &e));
	ck_assert_ptr_null(store_write(s, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "/var/lib/x"));
	store_close(s);
	ck_assert_int_eq(chdir("/"), 0);
	folder_remove(&f);
}
END_TEST

START_TEST(a_table_may_be_added_later)
{
	static const char *const more[] = {"first", "second", "third", NULL};
	struct folder f;
	struct store *s;
	struct store_txn *t;
	struct err e;

	folder_make(&f, 0);
	folder_fill(&f, 20);
	f.o.tables = more;
	s = folder_open(&f);
	t = store_write(s, &e);
	ck_assert_int_eq(store_count(t, 2, &e), 0);
	ck_assert_int_eq(store_put(t, 2, "k", 1, "v", 1, &e), 0);
	ck_assert_int_eq(store_commit(t, &e), 0);
	store_close(s);
	ck_assert_int_eq(folder_verify(&f, 20, &e) == 0 ? 0 : -1, 0);
	folder_remove(&f);
}
END_TEST

/* Put blocks until it fails; the number of those that were committed. */
static unsigned
fill_up(struct store *s, struct err *e)
{
	static uint8_t block[30000];
	struct store_txn *t;
	unsigned i;

	for (i = 0; i < 10000; i++) {
		memset(block, (int)i, sizeof block);
		ck_assert_ptr_nonnull(t = store_write(s, e));
		if (store_put(t, FIRST, &i, sizeof i, block, sizeof block, e) == -1) {
			store_abort(t);
			break;
		}
		if (store_commit(t, e) == -1)
			break;
	}
	return i;
}

static void
check_full(struct folder *f, unsigned n, struct store *s)
{
	struct store_txn *t;
	struct bytes v;
	struct err e;
	unsigned i;

	ck_assert_ptr_nonnull(t = store_read(s, &e));
	ck_assert_int_eq(store_count(t, FIRST, &e), n);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(store_get(t, FIRST, &i, sizeof i, &v, &e), 1);
		ck_assert_uint_eq(v.n, 30000);
		ck_assert_uint_eq(v.p[29999], i & 0xff);
	}
	store_abort(t);
	store_close(s);
	ck_assert_msg(store_check(f->dir, &f->o, &e) == 0, "%s", e.text);
}

START_TEST(a_full_map_is_an_error_and_nothing_is_lost)
{
	struct folder f;
	struct store *s;
	struct err e;
	unsigned n;

	folder_make(&f, 0);
	f.o.map_size = 4 << 20;
	s = folder_open(&f);
	n = fill_up(s, &e);
	ck_assert_int_eq(e.code, ENOSPC);
	ck_assert_uint_gt(n, 50);
	check_full(&f, n, s);
	folder_remove(&f);
}
END_TEST

START_TEST(a_file_that_cannot_grow_is_an_error_and_nothing_is_lost)
{
	struct rlimit small = {1 << 20, RLIM_INFINITY}, old;
	struct folder f;
	struct store *s;
	struct err e;
	unsigned n;

	folder_make(&f, 0);
	s = folder_open(&f);
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	n = fill_up(s, &e);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_int_ne(e.code, 0);
	ck_assert_ptr_nonnull(strstr(e.text, "data.mdb"));
	ck_assert_uint_gt(n, 10);
	check_full(&f, n, s);
	folder_remove(&f);
}
END_TEST

/* On a file system of 1 MiB; needs a mount namespace, so that it says when it cannot run. */
START_TEST(a_full_disk_is_an_error_and_nothing_is_lost)
{
	struct folder f;
	struct store *s;
	struct err e;
	unsigned n;

	folder_make(&f, 1);
	if (unshare(CLONE_NEWNS) == -1 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("none", f.dir, "tmpfs", 0, "size=1m") == -1) {
		(void)fprintf(stderr, "skipped, no mount here: a_full_disk\n");
		folder_remove(&f);
		return;
	}
	s = folder_open(&f);
	n = fill_up(s, &e);
	ck_assert_msg(e.code == ENOSPC, "%s", e.text);
	ck_assert_uint_gt(n, 10);
	/* with room again, the same open store goes on */
	ck_assert_int_eq(mount("none", f.dir, "tmpfs", MS_REMOUNT, "size=4m"), 0);
	ck_assert_uint_gt(fill_up(s, &e), n);
	store_close(s);
	ck_assert_msg(store_check(f.dir, &f.o, &e) == 0, "%s", e.text);
	(void)umount(f.dir);
	folder_remove(&f);
}
END_TEST

/* Many random changes, with the pages checked again and again: no healthy file is refused. */
START_TEST(a_healthy_store_is_never_refused)
{
	static uint8_t value[20000];
	struct folder f;
	struct store *s;
	struct store_txn *t;
	struct err e;
	unsigned seed = 1, round, i, key;

	folder_make(&f, 0);
	for (round = 0; round < 60; round++) {
		s = folder_open(&f);
		for (i = 0; i < 5; i++) {
			int k, ops = 1 + rand_r(&seed) % 60;

			ck_assert_ptr_nonnull(t = store_write(s, &e));
			for (k = 0; k < ops; k++) {
				key = (unsigned)rand_r(&seed) % 400;
				if (rand_r(&seed) % 5 < (round % 20 < 10 ? 1 : 3))
					ck_assert_int_ne(store_del(t, key & 1, &key, 4, &e), -1);
				else
					ck_assert_int_eq(store_put(t, key & 1, &key, 4, value,
							     (size_t)rand_r(&seed) %
								 (key % 9 ? 300 : sizeof value),
							     &e),
					    0);
			}
			if (rand_r(&seed) % 6 == 0)
				store_abort(t);
			else
				ck_assert_msg(store_commit(t, &e) == 0, "%s", e.text);
		}
		store_close(s);
	}
	folder_remove(&f);
}
END_TEST

Suite *
records_suite(void)
{
	return unit_suite("records",
	    (const TTest *const[]){what_is_stored_comes_back, get_put_and_del_say_what_they_did,
		a_walk_goes_on_over_changes_and_transactions, what_is_not_committed_is_not_there,
		what_the_caller_does_wrong_is_refused, only_the_right_key_opens,
		it_works_from_the_working_directory_and_reading_makes_nothing,
		a_table_may_be_added_later, a_full_map_is_an_error_and_nothing_is_lost,
		a_file_that_cannot_grow_is_an_error_and_nothing_is_lost,
		a_full_disk_is_an_error_and_nothing_is_lost, a_healthy_store_is_never_refused,
		NULL});
}
