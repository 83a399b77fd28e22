#include <check.h>
#include <string.h>

#include "queue/crc32c.h"
#include "queue/record.h"
#include "t/unit/unit.h"

START_TEST(crc32c_is_the_one_of_rfc_3720)
{
	uint8_t p[32];
	int i;

	memset(p, 0, sizeof p);
	ck_assert_uint_eq(crc32c(0, p, sizeof p), 0x8a9136aa);
	memset(p, 0xff, sizeof p);
	ck_assert_uint_eq(crc32c(0, p, sizeof p), 0x62a8ab43);
	for (i = 0; i < 32; i++)
		p[i] = (uint8_t)i;
	ck_assert_uint_eq(crc32c(0, p, sizeof p), 0x46dd794e);
	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
}
END_TEST

START_TEST(table_and_instruction_agree_in_pieces_of_any_length)
{
	uint8_t p[300];
	size_t i, n;

	for (i = 0; i < sizeof p; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 3));
	for (n = 0; n <= sizeof p; n++) {
		uint32_t sum = crc32c(0, p, n);

		ck_assert_uint_eq(crc32c_table(0, p, n), sum);
		ck_assert_uint_eq(crc32c(crc32c(0, p, n / 3), p + n / 3, n - n / 3), sum);
		ck_assert_uint_eq(
		    crc32c_table(crc32c_table(0, p, n / 2), p + n / 2, n - n / 2), sum);
	}
}
END_TEST

START_TEST(header_reads_back_and_no_changed_octet_passes)
{
	static const struct seg_header h = {.kind = SEG_MOVED,
	    .no = 7,
	    .size = SEGMENT_MIN,
	    .inc = 99,
	    .mark = 0x1122334455667788,
	    .next_id = 5,
	    .next_lsn = 6,
	    .nends = 2,
	    .ends = {{3, 4096}, {4, 8192}}};
	struct seg_header back;
	uint8_t block[SECTOR] = {0};
	size_t i;

	ck_assert_int_eq(qs_header_decode(&back, block), 0);
	qs_header_encode(&h, block);
	ck_assert_int_eq(qs_header_decode(&back, block), 1);
	ck_assert_mem_eq(&h, &back, sizeof h);
	for (i = 0; i < SECTOR; i++) {
		block[i] ^= 0x10;
		ck_assert_int_eq(qs_header_decode(&back, block), -1);
		block[i] ^= 0x10;
	}
}
END_TEST

START_TEST(group_and_record_are_true_in_their_place_only)
{
	struct group_head g = {.len = GROUP_HEAD + 48, .nrec = 1, .prev = 4096, .synced = 8192}, b;
	struct record r = {.kind = RECORD_STATE, .id = 3, .lsn = 4, .meta = 5}, rb;
	uint8_t head[GROUP_HEAD], rec[RECORD_HEAD + 8] = {0};

	qs_group_encode(&g, 77, 8192, head);
	ck_assert_int_eq(qs_group_decode(&b, 77, 8192, 1 << 20, head), 0);
	ck_assert_mem_eq(&g, &b, sizeof g);
	ck_assert_int_eq(qs_group_decode(&b, 78, 8192, 1 << 20, head), -1);
	ck_assert_int_eq(qs_group_decode(&b, 77, 8200, 1 << 20, head), -1);
	ck_assert_int_eq(qs_group_decode(&b, 77, 8192, 8192 + 40, head), -1);
	qs_record_encode(&r, rec);
	memcpy(rec + RECORD_HEAD, "12345", 5);
	qs_record_seal(77, 8224, rec, r.meta);
	ck_assert_int_eq(qs_record_decode(&rb, rec, sizeof rec), 0);
	ck_assert_mem_eq(&r, &rb, sizeof r);
	ck_assert_int_eq(qs_record_decode(&rb, rec, sizeof rec - 1), -1);
	ck_assert_int_eq(qs_record_check(77, 8224, rec, r.meta), 0);
	ck_assert_int_eq(qs_record_check(77, 8216, rec, r.meta), -1);
	ck_assert_int_eq(qs_record_check(76, 8224, rec, r.meta), -1);
	rec[RECORD_HEAD] ^= 1;
	ck_assert_int_eq(qs_record_check(77, 8224, rec, r.meta), -1);
}
END_TEST

Suite *crc_suite(void);
Suite *
crc_suite(void)
{
	const TTest *const tests[] = {crc32c_is_the_one_of_rfc_3720,
	    table_and_instruction_agree_in_pieces_of_any_length,
	    header_reads_back_and_no_changed_octet_passes,
	    group_and_record_are_true_in_their_place_only, NULL};

	return unit_suite("queue: records", tests);
}
