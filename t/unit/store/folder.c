#include "t/unit/store/folder.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const tables[] = {"first", "second", NULL};
const uint8_t folder_secret[STORE_SECRET_LEN] = {1, 2, 3, 4, 5};

void
folder_make(struct folder *f, int sealed)
{
	const char *tmp = getenv("TMPDIR");

	memset(f, 0, sizeof *f);
	(void)snprintf(f->dir, sizeof f->dir, "%.40s/store.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	f->o.tables = tables;
	f->o.map_size = 64 << 20;
	f->o.secret = sealed ? folder_secret : NULL;
}

char *
folder_file(const struct folder *f, const char *file)
{
	static char path[128];

	(void)snprintf(path, sizeof path, "%s/%s", f->dir, file);
	return path;
}

void
folder_remove(struct folder *f)
{
	(void)unlink(folder_file(f, "data.mdb"));
	(void)unlink(folder_file(f, "data.seq"));
	(void)rmdir(f->dir);
}

struct store *
folder_open(struct folder *f)
{
	struct err e;
	struct store *s = store_open(f->dir, &f->o, &e);

	ck_assert_msg(s != NULL, "%s", e.text);
	return s;
}

size_t
folder_value(unsigned table, unsigned i, uint8_t *out)
{
	size_t n = i % 17 == 0 ? 3000 + i % 3000 : i % 200, k;

	for (k = 0; k < n; k++)
		out[k] = (uint8_t)(i * 31 + k * 7 + table);
	return n;
}

static size_t
key_of(unsigned i, char *out)
{
	return (size_t)sprintf(out, "key-%u-%u", i * 7919 % 1000, i);
}

void
folder_fill(struct folder *f, unsigned n)
{
	struct store *s = folder_open(f);
	struct store_txn *t = NULL;
	uint8_t value[8192];
	struct err e;
	char key[40];
	unsigned i, table, round;

	for (round = 0; round < 2; round++)
		for (i = 0; i < n; i++) {
			if (t == NULL)
				ck_assert_ptr_nonnull(t = store_write(s, &e));
			for (table = FIRST; table <= SECOND; table++) {
				size_t len = folder_value(table, round ? i : i + 1, value);

				ck_assert_int_eq(
				    store_put(t, table, key, key_of(i, key), value, len, &e), 0);
				if (round == 0)
					ck_assert_int_eq(store_put(t, table, key,
							     key_of(i + n, key), "x", 1, &e),
					    0);
				else
					ck_assert_int_eq(
					    store_del(t, table, key, key_of(i + n, key), &e), 1);
			}
			if (i % 50 == 49 || i + 1 == n) {
				ck_assert_msg(store_commit(t, &e) == 0, "%s", e.text);
				t = NULL;
			}
		}
	store_close(s);
}

int
folder_verify(struct folder *f, unsigned n, struct err *e)
{
	struct store *s = store_open(f->dir, &f->o, e);
	struct store_txn *t;
	struct store_pos pos;
	struct bytes v;
	uint8_t value[8192];
	char key[40];
	unsigned i, table, seen;

	if (s == NULL)
		return 1;
	ck_assert_ptr_nonnull(t = store_read(s, e));
	for (table = FIRST; table <= SECOND; table++) {
		ck_assert_int_eq(store_count(t, table, e), n);
		for (i = 0; i < n; i++) {
			size_t len = folder_value(table, i, value);

			ck_assert_int_eq(store_get(t, table, key, key_of(i, key), &v, e), 1);
			ck_assert_uint_eq(v.n, len);
			ck_assert(len == 0 || memcmp(v.p, value, len) == 0);
		}
		memset(&pos, 0, sizeof pos);
		for (seen = 0; store_next(t, table, &pos, &v, e) == 1; seen++)
			continue;
		ck_assert_uint_eq(seen, n);
	}
	store_abort(t);
	store_close(s);
	return 0;
}
