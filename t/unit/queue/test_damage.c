/* Damage of what was durable: told, kept aside, and nothing lost that can be read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "t/unit/queue/box.h"
#include "t/unit/unit.h"

#define N 12
#define SIZE 900

static struct box b;
static qstore_id id[N];
static char name[NAME_MAX_OCTETS]; /* the segment that they are in */
static uint32_t offset[N];
static uint32_t end;

static unsigned lines;
static char line[512];

static void
tell(void *arg, const char *text)
{
	(void)arg;
	lines++;
	(void)snprintf(line, sizeof line, "%s", text);
}

static int
check(int repair)
{
	struct err e = {0};
	int n;

	lines = 0;
	n = qstore_check(b.dir, repair, tell, NULL, &e);
	ck_assert_msg(n >= 0, "%s", e.text);
	ck_assert_int_eq(n, (int)lines);
	return n;
}

/* Messages 0 to N - 1, each in a group of its own; 3 has a state, 4 has ended. */
static void
setup(void)
{
	unsigned i;

	box_make(&b);
	box_open(&b);
	for (i = 0; i < N; i++)
		id[i] = box_put(&b, i, SIZE);
	(void)snprintf(name, sizeof name, "%s", box_segment(&b, id[0]));
	for (i = 0; i < N; i++)
		offset[i] = box_offset(&b, id[i]);
	box_set(&b, id[3], 8);
	box_drop(&b, id[4]);
	end = b.s->w.stream[0].off;
}

static void
teardown(void)
{
	box_remove(&b);
}

static void
flip(uint64_t at)
{
	uint8_t c;
	int fd = openat(b.dir, name, O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, &c, 1, (off_t)at), 1);
	c ^= 0x40;
	ck_assert_int_eq(pwrite(fd, &c, 1, (off_t)at), 1);
	close(fd);
}

static unsigned
whole(unsigned *bad)
{
	unsigned i, n = 0;
	char c[SIZE];

	*bad = 0;
	for (i = 0; i < N; i++) {
		if (box_find(&b, id[i]) == NULL)
			continue;
		n++;
		if (box_is_whole(&b, id[i], i, SIZE))
			continue;
		/* Never other octets than those that came. */
		ck_assert_int_eq(qstore_read(b.s, id[i], c, SIZE, 0), -1);
		ck_assert_int_eq(errno, EBADMSG);
		++*bad;
	}
	return n;
}

static void
expect_all_but(unsigned lost, const char *when)
{
	unsigned bad, n = whole(&bad);

	ck_assert_msg(n >= N - 1 - lost, "%s: %u there", when, n);
	ck_assert_uint_le(n, N);
	ck_assert_uint_le(bad, lost);
}

static void
flip_and_open(uint64_t at)
{
	char when[40];

	(void)snprintf(when, sizeof when, "octet %llu", (unsigned long long)at);
	flip(at);
	box_open(&b);
	expect_all_but(1, when);
	box_close(&b);
	/* What was taken over is whole now. */
	box_open(&b);
	ck_assert_msg(b.warnings == 0, "%s: %s", when, b.warning);
	expect_all_but(1, when);
	box_close(&b);
}

/* The folder as setup left it, from a copy of its one segment. */
static void
flips(uint64_t from, uint64_t to, unsigned step, int clean)
{
	size_t n;
	uint8_t *file;
	uint64_t at;

	if (clean)
		box_close(&b);
	else
		box_crash(&b);
	file = box_read_file(&b, name, &n);
	for (at = from; at < to; at += step) {
		flip_and_open(at);
		while (box_files(&b, "segment.") > 0) {
			(void)unlinkat(b.dir, "segment.0", 0);
			(void)unlinkat(b.dir, "segment.1", 0);
			(void)unlinkat(b.dir, "segment.2", 0);
		}
		(void)unlinkat(b.dir, "damaged.1", 0);
		box_write_file(&b, name, file, n, 0);
	}
	free(file);
	box_open(&b);
}

START_TEST(a_flipped_bit_in_a_segment_costs_one_message_at_most)
{
	flips(offset[2] - GROUP_HEAD, offset[3] + 600, 53, 1);
}
END_TEST

START_TEST(a_flipped_bit_after_a_crash_costs_one_message_at_most)
{
	flips(offset[2] - GROUP_HEAD, offset[3] + 600, 53, 0);
}
END_TEST

START_TEST(a_flipped_bit_in_a_header_costs_nothing)
{
	box_close(&b);
	flip(20);
	ck_assert_int_eq(check(0), 1);
	box_open(&b);
	expect_all_but(0, "header");
	box_close(&b);
	ck_assert_int_eq(check(0), 0);
	flip(SEGMENT_MIN - BLOCK + 30);
	box_open(&b);
	expect_all_but(0, "header");
	ck_assert_msg(b.warnings == 0, "%s", b.warning);
}
END_TEST

START_TEST(without_any_header_groups_are_found_all_the_same)
{
	box_close(&b);
	flip(20);
	flip(SEGMENT_MIN - BLOCK + 30);
	box_open(&b);
	expect_all_but(0, "headers");
	ck_assert(box_find(&b, id[3])->attempts == 8);
	ck_assert_ptr_null(box_find(&b, id[4]));
	ck_assert_uint_gt(b.warnings, 0);
	ck_assert_uint_eq(box_files(&b, "damaged."), 1);
	box_close(&b);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
	expect_all_but(0, "headers");
}
END_TEST

START_TEST(a_sector_of_zeros_costs_what_was_in_it)
{
	static const uint8_t zeros[4096];

	box_close(&b);
	box_write_file(&b, name, zeros, sizeof zeros, offset[6] / BLOCK * BLOCK);
	box_open(&b);
	ck_assert_uint_gt(b.warnings, 0);
	expect_all_but(1, "sector");
	ck_assert_ptr_null(box_find(&b, id[6]));
	ck_assert_uint_eq(box_files(&b, "damaged."), 1);
	/* It goes on. */
	box_put(&b, 50, SIZE);
	box_close(&b);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
	ck_assert_uint_eq(b.nfound, N - 1);
}
END_TEST

START_TEST(a_segment_without_its_end_is_told_of)
{
	static const uint8_t zeros[4096];
	qstore_id more;

	box_close(&b);
	box_open(&b);
	more = box_put(&b, 60, SIZE);
	box_close(&b);
	/* The end's mark, and the last groups: only the segment written last may lack them. */
	box_write_file(&b, name, zeros, sizeof zeros, end);
	box_write_file(&b, name, zeros, sizeof zeros, end - BLOCK);
	ck_assert_int_ge(check(0), 1);
	box_open(&b);
	ck_assert_uint_gt(b.warnings, 0);
	ck_assert_ptr_nonnull(box_find(&b, more));
	/* Its end was there. */
	ck_assert_ptr_nonnull(box_find(&b, id[4]));
}
END_TEST

START_TEST(octets_of_an_old_message_are_found_damaged_when_they_are_read)
{
	unsigned bad;

	box_close(&b);
	flip(offset[5] + 600);
	box_open(&b);
	box_close(&b);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
	ck_assert_uint_eq(whole(&bad), N - 1);
	ck_assert_uint_eq(bad, 1);
	/* It can be ended as any other. */
	box_drop(&b, id[5]);
	box_close(&b);
	ck_assert_int_eq(check(0), 0);
}
END_TEST

START_TEST(a_check_finds_damaged_octets_and_a_repair_takes_them_out)
{
	unsigned bad;

	box_close(&b);
	flip(offset[5] + 600);
	ck_assert_int_eq(check(0), 1);
	ck_assert_ptr_nonnull(strstr(line, "<a@example.org>"));
	ck_assert_ptr_nonnull(strstr(line, "<somebody@partner.example>"));
	/* Looking changes nothing. */
	ck_assert_int_eq(check(0), 1);
	ck_assert_int_eq(check(1), 1);
	ck_assert_int_eq(check(0), 0);
	ck_assert_uint_eq(box_files(&b, "damaged."), 1);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
	ck_assert_uint_eq(whole(&bad), N - 2);
	ck_assert_uint_eq(bad, 0);
	ck_assert_ptr_null(box_find(&b, id[5]));
	ck_assert_uint_eq(box_find(&b, id[3])->attempts, 8);
}
END_TEST

START_TEST(a_healthy_folder_has_no_findings_and_a_repair_changes_nothing)
{
	size_t n, m;
	uint8_t *before, *after;

	box_put(&b, 70, 400000);
	box_close(&b);
	before = box_read_file(&b, name, &n);
	ck_assert_int_eq(check(0), 0);
	ck_assert_int_eq(check(1), 0);
	after = box_read_file(&b, name, &m);
	ck_assert_uint_eq(n, m);
	ck_assert_int_eq(memcmp(before, after, n), 0);
	free(before);
	free(after);
}
END_TEST

static void
check_large(void)
{
	box_close(&b);
	ck_assert_int_eq(check(0), 1);
	ck_assert_int_eq(check(1), 1);
	ck_assert_int_eq(check(0), 0);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
	ck_assert_uint_eq(b.nfound, N - 1);
	ck_assert_uint_eq(box_files(&b, "message."), 0);
}

START_TEST(a_large_message_with_a_changed_octet_is_found_and_kept_aside)
{
	qstore_id big = box_put(&b, 80, 500000);
	char file[NAME_MAX_OCTETS];
	struct blob blob;
	int fd;

	(void)qs_big_name(file, big);
	(void)snprintf(name, sizeof name, "%s", file);
	flip(300000);
	check_large();
	ck_assert_uint_eq(box_files(&b, "damaged."), 1);
	/* One whose length is wrong is seen at once. */
	big = box_put(&b, 81, 500000);
	fd = openat(b.dir, qs_big_name(file, big), O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 499999), 0);
	close(fd);
	ck_assert_int_eq(qstore_blob(b.s, big, &blob, &fd), -1);
	ck_assert_int_eq(errno, EBADMSG);
	box_close(&b);
	box_open(&b);
	ck_assert_uint_gt(b.warnings, 0);
	check_large();
}
END_TEST

START_TEST(a_large_message_without_its_file_is_told_of)
{
	qstore_id big = box_put(&b, 80, 500000);
	char file[NAME_MAX_OCTETS], c;

	ck_assert_int_eq(unlinkat(b.dir, qs_big_name(file, big), 0), 0);
	box_close(&b);
	box_open(&b);
	ck_assert_uint_eq(b.nfound, N);
	ck_assert_uint_gt(b.warnings, 0);
	ck_assert_int_eq(qstore_read(b.s, big, &c, 1, 0), -1);
	ck_assert_int_eq(errno, EBADMSG);
	check_large();
}
END_TEST

START_TEST(files_that_no_message_needs_are_removed_and_those_of_others_are_not)
{
	box_close(&b);
	box_write_file(&b, "message.ffff", "x", 1, 0);
	box_write_file(&b, "notes", "x", 1, 0);
	box_write_file(&b, "segment.01", "x", 1, 0);
	box_write_file(&b, "segment.99999999999", "x", 1, 0);
	box_write_file(&b, "message.FFFF", "x", 1, 0);
	ck_assert_int_eq(check(0), 4);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
	ck_assert_uint_eq(box_files(&b, "message.ffff"), 0);
	ck_assert_uint_eq(box_files(&b, "message.FFFF"), 1);
	ck_assert_uint_eq(box_files(&b, "notes"), 1);
	ck_assert_uint_eq(box_files(&b, "segment."), 3);
}
END_TEST

START_TEST(a_copy_of_a_segment_doubles_nothing)
{
	size_t n;
	uint8_t *file;

	box_close(&b);
	file = box_read_file(&b, name, &n);
	box_write_file(&b, "segment.9", file, n, 0);
	free(file);
	box_open(&b);
	ck_assert_uint_gt(b.warnings, 0);
	expect_all_but(0, "copy");
	ck_assert_uint_eq(b.nfound, N - 1);
	box_close(&b);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
	ck_assert_uint_eq(b.nfound, N - 1);
	expect_all_but(0, "copy");
}
END_TEST

START_TEST(an_empty_or_unreadable_segment_file_stops_nothing)
{
	uint8_t *noise = box_body(99, SEGMENT_MIN);

	box_close(&b);
	box_write_file(&b, "segment.5", "", 0, 0);
	box_write_file(&b, "segment.6", "short", 5, 0);
	box_write_file(&b, "segment.7", noise, SEGMENT_MIN, 0);
	free(noise);
	box_open(&b);
	ck_assert_uint_gt(b.warnings, 0);
	expect_all_but(0, "files");
	/* In the first two there never was anything. */
	ck_assert_uint_eq(box_files(&b, "damaged."), 1);
	box_close(&b);
	box_open(&b);
	ck_assert_uint_eq(b.warnings, 0);
}
END_TEST

Suite *damage_suite(void);
Suite *
damage_suite(void)
{
	const TTest *const tests[] = {a_flipped_bit_in_a_segment_costs_one_message_at_most,
	    a_flipped_bit_after_a_crash_costs_one_message_at_most,
	    a_flipped_bit_in_a_header_costs_nothing,
	    without_any_header_groups_are_found_all_the_same,
	    a_sector_of_zeros_costs_what_was_in_it, a_segment_without_its_end_is_told_of,
	    octets_of_an_old_message_are_found_damaged_when_they_are_read,
	    a_check_finds_damaged_octets_and_a_repair_takes_them_out,
	    a_healthy_folder_has_no_findings_and_a_repair_changes_nothing,
	    a_large_message_with_a_changed_octet_is_found_and_kept_aside,
	    a_large_message_without_its_file_is_told_of,
	    files_that_no_message_needs_are_removed_and_those_of_others_are_not,
	    a_copy_of_a_segment_doubles_nothing, an_empty_or_unreadable_segment_file_stops_nothing,
	    NULL};

	return unit_suite_around("queue: damage", setup, teardown, tests);
}
