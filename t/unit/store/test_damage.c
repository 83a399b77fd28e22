#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t/unit/store/folder.h"
#include "t/unit/unit.h"

Suite *damage_suite(void);

#define RECORDS 40
#define MOST (4 << 20)

/* A file of the folder as it was when healthy. */
struct image {
	uint8_t *p;
	size_t n;
};

static struct image
take(const struct folder *f, const char *file)
{
	struct image m = {malloc(MOST), 0};
	int fd = open(folder_file(f, file), O_RDONLY);
	ssize_t got = read(fd, m.p, MOST);

	ck_assert_int_gt(got, 0);
	m.n = (size_t)got;
	(void)close(fd);
	return m;
}

static void
give(const struct folder *f, const char *file, const uint8_t *p, size_t n)
{
	int fd = open(folder_file(f, file), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	(void)close(fd);
}

/* 1 when refused with the name of a file, 0 when everything is there; fails the test otherwise. */
static int
refused(struct folder *f, const char *how, size_t at)
{
	struct err e = {0};

	if (folder_verify(f, RECORDS, &e) == 0)
		return 0;
	ck_assert_msg(strstr(e.text, f->dir) != NULL && strstr(e.text, "data.") != NULL,
	    "%s at %zu: %s", how, at, e.text);
	ck_assert_msg(e.code == EUCLEAN || e.code == EACCES, "%s at %zu: %s", how, at, e.text);
	return 1;
}

START_TEST(a_truncated_store_is_refused)
{
	struct folder f;
	struct image data, seq;
	size_t n;

	folder_make(&f, 0);
	folder_fill(&f, RECORDS);
	data = take(&f, "data.mdb");
	seq = take(&f, "data.seq");
	for (n = 0; n < data.n; n += n % 4096 == 0 ? 1 : (n % 4096 == 1 ? 2000 : 4096 - n % 4096)) {
		give(&f, "data.mdb", data.p, n);
		ck_assert_msg(refused(&f, "cut", n), "cut at %zu of %zu", n, data.n);
		give(&f, "data.seq", seq.p, seq.n);
	}
	/* without data.seq only what is missing can be seen */
	for (n = 4096; n < data.n; n += 4096) {
		give(&f, "data.mdb", data.p, n);
		(void)unlink(folder_file(&f, "data.seq"));
		(void)refused(&f, "cut without data.seq", n);
	}
	(void)unlink(folder_file(&f, "data.mdb"));
	give(&f, "data.seq", seq.p, seq.n);
	ck_assert(refused(&f, "removed", 0));
	free(data.p);
	free(seq.p);
	folder_remove(&f);
}
END_TEST

START_TEST(overwritten_blocks_are_refused)
{
	static const struct {
		size_t len;
		int fill; /* -1: the block that stands elsewhere */
	} cases[] = {{4096, 0}, {4096, 0xff}, {4096, -1}, {512, 0}, {512, -1}, {16, 0xff}, {64, 0}};
	struct folder f;
	struct image data, seq;
	size_t i, at, hit = 0, all = 0;

	folder_make(&f, 0);
	folder_fill(&f, RECORDS);
	data = take(&f, "data.mdb");
	seq = take(&f, "data.seq");
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (at = 0; at + 8192 < data.n; at += cases[i].len >= 4096 ? 4096 : 4096 + 1536) {
			uint8_t *bad = malloc(data.n);

			memcpy(bad, data.p, data.n);
			if (cases[i].fill == -1)
				memcpy(bad + at, data.p + at + 4096, cases[i].len);
			else
				memset(bad + at, cases[i].fill, cases[i].len);
			give(&f, "data.mdb", bad, data.n);
			give(&f, "data.seq", seq.p, seq.n);
			hit += (size_t)refused(&f, "block", at);
			all++;
			free(bad);
		}
	ck_assert_uint_gt(hit * 4, all); /* the others hit free pages and unused room */
	free(data.p);
	free(seq.p);
	folder_remove(&f);
}
END_TEST

/*
 * A store that was taken for whole must stay whole: damage in its list of free pages would let
 * later transactions overwrite live ones.
 */
static void
use_on(struct folder *f, size_t at)
{
	static uint8_t value[5000];
	struct err e = {0};
	struct store *s = folder_open(f);
	struct store_txn *t;
	unsigned round, i, key;

	for (round = 0; round < 6; round++) {
		ck_assert_ptr_nonnull(t = store_write(s, &e));
		for (i = 0; i < 12; i++) {
			key = i | 0x80000000U;
			ck_assert_int_ne(round % 3 == 2 ? store_del(t, FIRST, &key, 4, &e)
							: store_put(t, FIRST, &key, 4, value,
							      i % 3 ? 200 : sizeof value, &e),
			    -1);
		}
		ck_assert_msg(store_commit(t, &e) == 0, "after bit at %zu: %s", at, e.text);
	}
	store_close(s);
	ck_assert_msg(folder_verify(f, RECORDS, &e) == 0, "after bit at %zu: %s", at, e.text);
}

/*
 * Flip one bit at `count` places, with the same random numbers each time.  STORE_FLIPS=n in the
 * environment makes it n times as many, other ones.
 */
static void
flip(int sealed, unsigned seed, unsigned count)
{
	struct folder f;
	struct image data, seq;
	const char *more = getenv("STORE_FLIPS");
	unsigned i, hit = 0;
	size_t at;
	uint8_t bit;

	if (more != NULL)
		seed += count *= (unsigned)atoi(more);
	folder_make(&f, sealed);
	folder_fill(&f, RECORDS);
	data = take(&f, "data.mdb");
	seq = take(&f, "data.seq");
	for (i = 0; i < count; i++) {
		/* every other one in the heads of the pages, where it hurts LMDB */
		at = (size_t)rand_r(&seed) % data.n;
		if (i % 2 == 0)
			at = at / 4096 * 4096 + at % 192;
		bit = (uint8_t)(1U << rand_r(&seed) % 8);
		data.p[at] ^= bit;
		give(&f, "data.mdb", data.p, data.n);
		give(&f, "data.seq", seq.p, seq.n);
		if (refused(&f, "bit", at))
			hit++;
		else if (i % 4 == 0)
			use_on(&f, at);
		data.p[at] ^= bit;
	}
	ck_assert_uint_gt(hit * 6, count);
	give(&f, "data.mdb", data.p, data.n);
	give(&f, "data.seq", seq.p, seq.n);
	ck_assert(!refused(&f, "healthy", 0));
	free(data.p);
	free(seq.p);
	folder_remove(&f);
}

START_TEST(a_flipped_bit_is_refused_or_harmless)
{
	flip(0, 7, 600);
}
END_TEST

START_TEST(a_flipped_bit_in_a_sealed_store_is_refused_or_harmless)
{
	flip(1, 11, 300);
}
END_TEST

START_TEST(every_bit_of_both_heads_may_flip)
{
	struct folder f;
	struct image data, seq;
	size_t page, at;
	int bit;

	folder_make(&f, 0);
	folder_fill(&f, RECORDS);
	data = take(&f, "data.mdb");
	seq = take(&f, "data.seq");
	for (page = 0; page < 2; page++)
		for (at = page * 4096; at < page * 4096 + 152; at++) {
			bit = (int)(at * 5 % 8);
			data.p[at] ^= (uint8_t)(1U << bit);
			give(&f, "data.mdb", data.p, data.n);
			give(&f, "data.seq", seq.p, seq.n);
			(void)refused(&f, "head", at);
			data.p[at] ^= (uint8_t)(1U << bit);
		}
	for (at = 0; at < seq.n; at++) {
		seq.p[at] ^= 0x10;
		give(&f, "data.mdb", data.p, data.n);
		give(&f, "data.seq", seq.p, seq.n);
		ck_assert(refused(&f, "seq", at));
		seq.p[at] ^= 0x10;
	}
	free(data.p);
	free(seq.p);
	folder_remove(&f);
}
END_TEST

START_TEST(an_older_state_is_refused)
{
	struct folder f;
	struct image old, data, seq;
	uint8_t *newer;
	struct err e = {0};
	struct store *s;
	struct store_txn *t;

	folder_make(&f, 0);
	folder_fill(&f, RECORDS);
	old = take(&f, "data.mdb");
	s = folder_open(&f);
	t = store_write(s, &e);
	ck_assert_int_eq(store_put(t, FIRST, "new", 3, "new", 3, &e), 0);
	ck_assert_int_eq(store_commit(t, &e), 0);
	store_close(s);
	data = take(&f, "data.mdb");
	seq = take(&f, "data.seq");
	/* the whole file as it was before */
	give(&f, "data.mdb", old.p, old.n);
	ck_assert_ptr_null(store_open(f.dir, &f.o, &e));
	ck_assert_int_eq(e.code, EUCLEAN);
	/* the newer of the two heads lost: its transaction number becomes 0 */
	newer = data.p + 16 + 128;
	if (memcmp(newer, newer + 4096, 8) < 0)
		newer += 4096;
	memset(newer, 0, 8);
	give(&f, "data.mdb", data.p, data.n);
	give(&f, "data.seq", seq.p, seq.n);
	ck_assert_ptr_null(store_open(f.dir, &f.o, &e));
	ck_assert_msg(
	    strstr(e.text, "older") != NULL || strstr(e.text, "damaged") != NULL, "%s", e.text);
	free(old.p);
	free(data.p);
	free(seq.p);
	folder_remove(&f);
}
END_TEST

Suite *
damage_suite(void)
{
	return unit_suite(
	    "damage", (const TTest *const[]){a_truncated_store_is_refused,
			  overwritten_blocks_are_refused, a_flipped_bit_is_refused_or_harmless,
			  a_flipped_bit_in_a_sealed_store_is_refused_or_harmless,
			  every_bit_of_both_heads_may_flip, an_older_state_is_refused, NULL});
}
