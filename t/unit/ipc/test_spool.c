#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ipc/blob.h"
#include "t/unit/unit.h"

Suite *spool_suite(void);

static int
temp_dir(void)
{
	int fd = open(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", O_RDONLY | O_DIRECTORY);

	ck_assert_int_ne(fd, -1);
	return fd;
}

static uint8_t
octet(uint64_t i)
{
	return (uint8_t)(i * 131 + (i >> 8) * 7 + (i >> 16));
}

static void
fill(struct spool *s, uint64_t n, size_t step)
{
	uint8_t block[70000];
	uint64_t i;
	size_t k, now;

	ck_assert_uint_le(step, sizeof block);
	for (i = 0; i < n; i += now) {
		now = n - i < step ? (size_t)(n - i) : step;
		for (k = 0; k < now; k++)
			block[k] = octet(i + k);
		ck_assert_int_eq(spool_write(s, block, now), 0);
	}
}

static void
check(const struct octets *o, uint64_t n)
{
	static const uint64_t places[] = {0, 1, 15, 16, 17, 4095, 65535, 65537, 131071};
	uint8_t got[100];
	uint64_t off;
	size_t i, k, len;

	ck_assert_uint_eq(o->size, n);
	for (i = 0; i < sizeof places / sizeof places[0]; i++) {
		off = places[i];
		if (off >= n)
			continue;
		len = n - off < sizeof got ? (size_t)(n - off) : sizeof got;
		ck_assert_int_eq(octets_read(o, got, len, off), 0);
		for (k = 0; k < len; k++)
			ck_assert_uint_eq(got[k], octet(off + k));
	}
	if (n > 0) {
		ck_assert_int_eq(octets_read(o, got, 1, n - 1), 0);
		ck_assert_uint_eq(got[0], octet(n - 1));
	}
	ck_assert_int_eq(octets_read(o, got, 1, n), -1);
}

START_TEST(every_size_comes_back_and_crosses_to_another_process)
{
	static const struct {
		uint64_t n;
		enum blob_kind kind;
	} cases[] = {
	    {0, BLOB_INLINE},
	    {1, BLOB_INLINE},
	    {BLOB_INLINE_MAX, BLOB_INLINE},
	    {BLOB_INLINE_MAX + 1, BLOB_MEMFD},
	    {BLOB_MEMFD_MAX, BLOB_MEMFD},
	    {BLOB_MEMFD_MAX + 1, BLOB_FILE},
	    {BLOB_MEMFD_MAX + 12345, BLOB_FILE},
	};
	struct spool s, r;
	struct octets o;
	struct blob b;
	size_t i;
	int fd, dir = temp_dir();

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		spool_init(&s, 1 << 30, dir);
		fill(&s, cases[i].n, 1000 + i * 9999);
		ck_assert_int_eq(s.kind, cases[i].kind);
		ck_assert_int_eq(spool_octets(&s, &o), 0);
		check(&o, cases[i].n);
		ck_assert_int_eq(spool_send(&s, &b, &fd), 0);
		ck_assert_ptr_null(rec_bad_field(&rec_blob, &b));
		ck_assert_int_eq(spool_receive(&r, &b, fd, 1 << 30), 0);
		spool_free(&s);
		ck_assert_int_eq(spool_octets(&r, &o), 0);
		check(&o, cases[i].n);
		spool_free(&r);
	}
	close(dir);
}
END_TEST

START_TEST(a_wrong_expectation_of_the_size_does_no_harm)
{
	static const uint64_t expected[] = {0, 10, 60000, BLOB_INLINE_MAX, UINT64_MAX};
	const uint8_t *first;
	struct octets o;
	struct spool s;
	size_t i;

	for (i = 0; i < sizeof expected / sizeof expected[0]; i++) {
		spool_init(&s, BLOB_INLINE_MAX, -1);
		spool_expect(&s, expected[i]);
		fill(&s, 60000, 700);
		ck_assert_int_eq(spool_octets(&s, &o), 0);
		check(&o, 60000);
		spool_free(&s);
	}
	/* A right one: nothing has to move. */
	spool_init(&s, BLOB_INLINE_MAX, -1);
	spool_expect(&s, 60000);
	first = s.mem.data;
	ck_assert_ptr_nonnull(first);
	fill(&s, 60000, 700);
	ck_assert_ptr_eq(s.mem.data, first);
	spool_free(&s);
	/* No room for more than the spool may hold. */
	spool_init(&s, 1000, -1);
	spool_expect(&s, 60000);
	ck_assert_ptr_null(s.mem.data);
	spool_free(&s);
}
END_TEST

START_TEST(what_lies_on_disk_is_not_the_message)
{
	char secret[64], *raw;
	struct spool s;
	size_t i;
	int dir = temp_dir();

	memset(secret, 'S', sizeof secret);
	spool_init(&s, 1 << 30, dir);
	for (i = 0; i < (BLOB_MEMFD_MAX + 65536) / sizeof secret; i++)
		ck_assert_int_eq(spool_write(&s, secret, sizeof secret), 0);
	ck_assert_int_eq(s.kind, BLOB_FILE);
	raw = malloc(BLOB_MEMFD_MAX);
	ck_assert_int_eq(pread(s.fd, raw, BLOB_MEMFD_MAX, 0), BLOB_MEMFD_MAX);
	ck_assert_ptr_null(memmem(raw, BLOB_MEMFD_MAX, secret, sizeof secret));
	free(raw);
	spool_free(&s);
	close(dir);
}
END_TEST

START_TEST(more_than_the_bound_is_refused)
{
	struct spool s;
	char block[100] = {0};

	spool_init(&s, 250, -1);
	ck_assert_int_eq(spool_write(&s, block, 100), 0);
	ck_assert_int_eq(spool_write(&s, block, 100), 0);
	ck_assert_int_eq(spool_write(&s, block, 100), -1);
	ck_assert_int_eq(errno, EFBIG);
	spool_free(&s);
}
END_TEST

START_TEST(without_a_folder_a_large_message_is_refused_not_kept_in_memory)
{
	struct spool s;
	char block[65536] = {0};
	int rc;

	spool_init(&s, 1 << 30, -1);
	while ((rc = spool_write(&s, block, sizeof block)) == 0)
		;
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_uint_le(s.size, BLOB_MEMFD_MAX);
	spool_free(&s);
}
END_TEST

/* A memfd of n octets with these seals. */
static int
memfd(size_t n, int seals)
{
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_eq(ftruncate(fd, (off_t)n), 0);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

START_TEST(a_descriptor_that_is_not_what_it_says_is_refused)
{
	int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, p[2], i, fd;
	uint8_t key[BLOB_KEY] = {0};
	struct blob b = {.kind = BLOB_MEMFD, .size = 5000};
	struct spool s;

	ck_assert_int_eq(pipe(p), 0);
	/* each seal is missing once */
	for (i = 0; i < 4; i++) {
		static const int one[] = {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};

		fd = memfd(5000, all & ~one[i]);
		ck_assert_int_eq(spool_receive(&s, &b, fd, 1 << 20), -1);
		ck_assert_int_eq(errno, EBADMSG);
		close(fd);
		spool_free(&s);
	}
	/* another size, no file at all, none, a key with a memfd, inline data beside it */
	fd = memfd(4999, all);
	ck_assert_int_eq(spool_receive(&s, &b, fd, 1 << 20), -1);
	close(fd);
	ck_assert_int_eq(spool_receive(&s, &b, p[0], 1 << 20), -1);
	ck_assert_int_eq(spool_receive(&s, &b, -1, 1 << 20), -1);
	fd = memfd(5000, all);
	b.key = (struct bytes){key, sizeof key};
	ck_assert_int_eq(spool_receive(&s, &b, fd, 1 << 20), -1);
	b.key.n = 0;
	b.data = (struct bytes){key, sizeof key};
	ck_assert_int_eq(spool_receive(&s, &b, fd, 1 << 20), -1);
	/* a file without its key, and one that is larger than allowed */
	b.data.n = 0;
	b.kind = BLOB_FILE;
	ck_assert_int_eq(spool_receive(&s, &b, fd, 1 << 20), -1);
	b.kind = BLOB_MEMFD;
	ck_assert_int_eq(spool_receive(&s, &b, fd, 4096), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_int_eq(spool_receive(&s, &b, fd, 1 << 20), 0);
	spool_free(&s);
	close(p[0]);
	close(p[1]);
}
END_TEST

START_TEST(a_full_disk_is_an_error_and_not_a_short_message)
{
	struct rlimit l = {BLOB_MEMFD_MAX + 65536, BLOB_MEMFD_MAX + 65536};
	char block[65536] = {0};
	struct spool s;
	int rc, dir = temp_dir();

	/* A limit on file sizes stands in for it: the write fails in the same place. */
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &l), 0);
	spool_init(&s, 1 << 30, dir);
	while ((rc = spool_write(&s, block, sizeof block)) == 0)
		ck_assert_uint_lt(s.size, 1 << 24);
	ck_assert_int_eq(errno, EFBIG);
	spool_free(&s);
	close(dir);
}
END_TEST

Suite *
spool_suite(void)
{
	return unit_suite(
	    "spool", (const TTest *const[]){every_size_comes_back_and_crosses_to_another_process,
			 a_wrong_expectation_of_the_size_does_no_harm,
			 what_lies_on_disk_is_not_the_message, more_than_the_bound_is_refused,
			 without_a_folder_a_large_message_is_refused_not_kept_in_memory,
			 a_descriptor_that_is_not_what_it_says_is_refused,
			 a_full_disk_is_an_error_and_not_a_short_message, NULL});
}
