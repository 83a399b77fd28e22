#include <errno.h>
#include <string.h>

#include "openpgp/packet.h"
#include "openpgp/stream.h"
#include "t/unit/unit.h"

START_TEST(takes_old_and_new_lengths)
{
	static const struct {
		const char *octets;
		size_t n, head, body;
		uint8_t tag;
	} cases[] = {
	    {"\x88\x01"
	     "a",
		3, 2, 1, 2},
	    {"\x99\x00\x02"
	     "ab",
		5, 3, 2, 6},
	    {"\x8a\x00\x00\x00\x01"
	     "a",
		6, 5, 1, 2},
	    {"\xc2\x03"
	     "abc",
		5, 2, 3, 2},
	    {"\xcd\xff\x00\x00\x00\x02"
	     "ab",
		8, 6, 2, 13},
	    {"\xca\x00", 2, 2, 0, 10},
	};
	struct pgp_packet pkt;
	struct bytes in;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		in = (struct bytes){(const uint8_t *)cases[i].octets, cases[i].n};
		ck_assert_int_eq(pgp_packet_next(&in, &pkt), 1);
		ck_assert_uint_eq(pkt.tag, cases[i].tag);
		ck_assert_uint_eq(pkt.body.n, cases[i].body);
		ck_assert_ptr_eq(pkt.body.p, cases[i].octets + cases[i].head);
		ck_assert_uint_eq(in.n, 0);
		ck_assert_int_eq(pgp_packet_next(&in, &pkt), 0);
	}
}
END_TEST

START_TEST(refuses_malformed_packets)
{
	static const struct {
		const char *octets;
		size_t n;
	} cases[] = {
	    {"\xc2", 1}, /* no length */
	    {"\x42\x01"
	     "a",
		3}, /* top bit clear */
	    {"\xc0\x01"
	     "a",
		3}, /* tag 0 */
	    {"\xc2\x02"
	     "a",
		3}, /* short */
	    {"\xc2\xc0", 2}, /* second octet of the length missing */
	    {"\xc2\xff\x00\x00\x00", 5},
	    {"\xc2\xff\xff\xff\xff\xff"
	     "a",
		7},
	    {"\xc2\xe1"
	     "ab\x00",
		5}, /* partial */
	    {"\x8b"
	     "a",
		2}, /* indeterminate */
	};
	struct pgp_packet pkt;
	struct bytes in;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		in = (struct bytes){(const uint8_t *)cases[i].octets, cases[i].n};
		ck_assert_int_eq(pgp_packet_next(&in, &pkt), -1);
		ck_assert_int_eq(errno, EBADMSG);
		ck_assert_uint_eq(in.n, cases[i].n);
	}
}
END_TEST

START_TEST(writes_what_it_reads)
{
	static const uint32_t sizes[] = {0, 1, 191, 192, 193, 8383, 8384, 8385, 70000};
	static uint8_t packet[PGP_HEAD_MAX + 70000];
	struct pgp_packet pkt;
	struct bytes in;
	size_t i, head;

	for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		head = pgp_packet_head(packet, PGP_TAG_SIG, sizes[i]);
		in = (struct bytes){packet, head + sizes[i]};
		ck_assert_int_eq(pgp_packet_next(&in, &pkt), 1);
		ck_assert_uint_eq(pkt.body.n, sizes[i]);
		ck_assert_ptr_eq(pkt.body.p, packet + head);
	}
}
END_TEST

/* Octets of the body of the first packet, or -1. */
static ssize_t
body_of(const uint8_t *p, size_t n, uint8_t *out, size_t max)
{
	struct octets in = octets_mem(p, n);
	struct pgp_input input;
	struct pgp_body body;

	ck_assert_int_eq(pgp_input_open(&input, &in, 0, n), 0);
	if (pgp_body_open(&body, &input.src) != 1)
		return -1;
	return pgp_src_all(&body.src, out, max);
}

START_TEST(joins_partial_lengths)
{
	static uint8_t p[2 + 512 + 1 + 2 + 1 + 5 + 3], out[1024];

	memset(p, 'x', sizeof p);
	p[0] = 0xcb;
	p[1] = 0xe9; /* 512 */
	p[514] = 0xe1; /* 2 */
	p[517] = 5;
	memcpy(p + 518, "abcde", 5);
	ck_assert_int_eq(body_of(p, sizeof p, out, sizeof out), 512 + 2 + 5);
	ck_assert_mem_eq(out + 514, "abcde", 5);
	ck_assert_int_eq(body_of(p, 520, out, sizeof out), -1); /* cut in the last part */
	ck_assert_int_eq(body_of(p, 514, out, sizeof out), -1); /* no last part */
	ck_assert_int_eq(body_of(p, sizeof p, out, 100), -1); /* over the caller's bound */
	ck_assert_int_eq(errno, EMSGSIZE);
}
END_TEST

START_TEST(refuses_partial_lengths_where_they_may_not_be)
{
	static uint8_t p[2 + 512 + 1], out[1024];

	p[0] = 0xcb;
	p[1] = 0xe9;
	ck_assert_int_eq(body_of(p, sizeof p, out, sizeof out), 512);
	p[0] = 0xc2; /* a signature */
	ck_assert_int_eq(body_of(p, sizeof p, out, sizeof out), -1);
	p[0] = 0xcb;
	p[1] = 0xe8; /* 256: too short for the first */
	ck_assert_int_eq(body_of(p, sizeof p, out, sizeof out), -1);
}
END_TEST

START_TEST(reads_indeterminate_lengths_of_data_only)
{
	uint8_t out[16];

	ck_assert_int_eq(body_of((const uint8_t *)"\xaf"
						  "abc",
			     4, out, sizeof out),
	    3);
	ck_assert_int_eq(body_of((const uint8_t *)"\x8b"
						  "abc",
			     4, out, sizeof out),
	    -1);
}
END_TEST

Suite *packet_suite(void);

Suite *
packet_suite(void)
{
	return unit_suite(
	    "packet", (const TTest *const[]){takes_old_and_new_lengths, refuses_malformed_packets,
			  writes_what_it_reads, joins_partial_lengths,
			  refuses_partial_lengths_where_they_may_not_be,
			  reads_indeterminate_lengths_of_data_only, NULL});
}
