#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "dnsd/dnsd.h"
#include "t/unit/unit.h"

Suite *answer_suite(void);

/* example.org: an alias and two addresses of it. */
static const uint8_t good[] = {0, 1, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0, /* header */
    7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'o', 'r', 'g', 0, 0, 1, 0, 1, /* question */
    0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, 'a', 0xc0, 12, /* CNAME a.example.org */
    0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1, /* A */
    0xc0, 41, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 2}; /* A */

START_TEST(takes_the_addresses)
{
	struct addrs a = {.n = 0};

	ck_assert_int_eq(answer_parse(good, sizeof good, TYPE_A, &a), 0);
	ck_assert_uint_eq(a.n, 2);
	ck_assert_int_eq(a.v[1].ip[3], 2);
	/* Not those of another type, and none twice. */
	ck_assert_int_eq(answer_parse(good, sizeof good, TYPE_AAAA, &a), 0);
	ck_assert_int_eq(answer_parse(good, sizeof good, TYPE_A, &a), 0);
	ck_assert_uint_eq(a.n, 2);
}
END_TEST

START_TEST(refuses_every_truncation)
{
	struct addrs a;
	uint8_t *copy;
	size_t n;

	for (n = 0; n < sizeof good; n++) {
		/* Exactly as long as it is, so that reading beyond is noticed. */
		copy = malloc(n + (n == 0));
		memcpy(copy, good, n);
		a.n = 0;
		ck_assert_int_eq(answer_parse(copy, n, TYPE_A, &a), -1);
		ck_assert_int_eq(errno, EBADMSG);
		free(copy);
	}
}
END_TEST

START_TEST(ends_on_any_octets)
{
	uint8_t copy[sizeof good];
	struct addrs a;
	size_t i;
	unsigned v;

	for (i = 0; i < sizeof good; i++)
		for (v = 0; v < 256; v++) {
			memcpy(copy, good, sizeof good);
			copy[i] = (uint8_t)v;
			a.n = 0;
			(void)answer_parse(copy, sizeof copy, TYPE_A, &a);
			ck_assert_uint_le(a.n, DNS_ADDRS_MAX);
		}
}
END_TEST

START_TEST(refuses_an_address_of_a_wrong_length)
{
	uint8_t copy[sizeof good + 1];
	struct addrs a = {.n = 0};

	memcpy(copy, good, sizeof good);
	copy[sizeof good] = 0;
	copy[sizeof good - 5] = 5;
	ck_assert_int_eq(answer_parse(copy, sizeof copy, TYPE_A, &a), -1);
}
END_TEST

/* The records of a name with all that names can be in a message. */
static const uint8_t names[] = {0, 1, 0x81, 0x80, 0, 1, 0, 4, 0, 0, 0, 0, /* header */
    7, 'E', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'o', 'r', 'g', 0, 0, 15, 0, 1, /* question, at 12 */
    0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 60, 0, 6, 0, 10, 1, 'A', 0xc0, 12, /* MX 10 a.example.org */
    0xc0, 12, 0, 15, 0, 1, 0, 0, 0, 60, 0, 4, 0, 5, 0xc0, 43, /* MX 5 a.example.org, at 43 */
    0xc0, 43, 0, 12, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12, /* PTR example.org */
    0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, 6, 3, 'a', 'b', 'c', 1, 'd'}; /* TXT */

START_TEST(takes_compressed_names)
{
	char owner[NAME_MAX_OCTETS + 1];
	struct ptrs ptrs;
	struct mxs mxs;
	struct txts txts;

	ck_assert_int_eq(answer_mxs(names, sizeof names, &mxs), 0);
	ck_assert_uint_eq(mxs.n, 1);
	ck_assert_str_eq(mxs.v[0].host, "a.example.org");
	ck_assert_uint_eq(mxs.v[0].preference, 5);
	ck_assert_int_eq(answer_ptrs(names, sizeof names, &ptrs), 0);
	ck_assert_uint_eq(ptrs.n, 1);
	ck_assert_str_eq(ptrs.v[0], "example.org");
	ck_assert_int_eq(answer_owner(names, sizeof names, TYPE_PTR, owner), 0);
	ck_assert_str_eq(owner, "a.example.org");
	ck_assert_int_eq(answer_owner(names, sizeof names, TYPE_A, owner), 0);
	ck_assert_str_eq(owner, "");
	ck_assert_int_eq(answer_txts(names, sizeof names, &txts), 0);
	ck_assert_uint_eq(txts.n, 1);
	ck_assert_uint_eq(txts.v[0].text.n, 4);
	ck_assert_int_eq(memcmp(txts.v[0].text.p, "abcd", 4), 0);
	txts_free(&txts);
}
END_TEST

/* Every reader of the message that needs no more than its octets. */
static void
read_all(const uint8_t *p, size_t n)
{
	char owner[NAME_MAX_OCTETS + 1];
	struct addrs a = {.n = 0};
	struct ptrs ptrs;
	struct mxs mxs;
	struct txts txts;

	(void)answer_parse(p, n, TYPE_A, &a);
	if (answer_mxs(p, n, &mxs) == 0)
		ck_assert_uint_le(mxs.n, MXS_MAX);
	(void)answer_ptrs(p, n, &ptrs);
	(void)answer_owner(p, n, TYPE_MX, owner);
	if (answer_txts(p, n, &txts) == 0)
		txts_free(&txts);
}

START_TEST(names_of_any_octets_come_to_an_end)
{
	uint8_t *copy = malloc(sizeof names);
	size_t i;
	unsigned v;

	for (i = 0; i < sizeof names; i++)
		for (v = 0; v < 256; v++) {
			memcpy(copy, names, sizeof names);
			copy[i] = (uint8_t)v;
			read_all(copy, sizeof names);
		}
	free(copy);
	for (i = 0; i < sizeof names; i++) {
		copy = malloc(i + (i == 0));
		memcpy(copy, names, i);
		read_all(copy, i);
		free(copy);
	}
}
END_TEST

/* One record whose data is a name that begins with these octets. */
static int
name_of(const uint8_t *data, size_t n, struct ptrs *out)
{
	static const uint8_t head[] = {
	    0, 1, 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 12, 0, 1, 0, 0, 0, 60};
	uint8_t *p = malloc(sizeof head + 2 + n);
	int rc;

	memcpy(p, head, sizeof head);
	put_be16(p + sizeof head, (uint16_t)n);
	memcpy(p + sizeof head + 2, data, n);
	rc = answer_ptrs(p, sizeof head + 2 + n, out);
	free(p);
	return rc;
}

START_TEST(pointers_lead_back_only)
{
	static const struct {
		uint8_t data[8];
		size_t n;
		int rc;
		const char *name;
	} cases[] = {
	    {{1, 'a', 0}, 3, 0, "a"}, {{1, 'a', 0xc0, 12}, 4, 0, "a"}, /* the root, at 12 */
	    {{0xc0, 12}, 2, 0, NULL}, /* the root itself is no host */
	    {{1, 'a', 0xc0, 23}, 4, -1, NULL}, /* to itself */
	    {{0xc0, 23}, 2, -1, NULL}, {{0xc0, 25}, 2, -1, NULL}, /* onward */
	    {{0xff, 0xff}, 2, -1, NULL},
	    {{0x40, 0}, 2, -1, NULL}, /* a kind of label that is not known */
	    {{1, 'a', 0, 0}, 4, -1, NULL}, /* too long for the name */
	    {{1, 'a'}, 2, -1, NULL}, {{3, 'a', '.', 'b', 0}, 5, 0, NULL}, /* a dot that is none */
	    {{2, 'a', 0, 0}, 4, 0, NULL}, /* NUL */
	};
	struct ptrs ptrs;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(name_of(cases[i].data, cases[i].n, &ptrs) == cases[i].rc, "%zu", i);
		if (cases[i].rc == -1)
			ck_assert_int_eq(errno, EBADMSG);
		else if (cases[i].name == NULL)
			ck_assert_uint_eq(ptrs.n, 0);
		else
			ck_assert_str_eq(ptrs.v[0], cases[i].name);
	}
}
END_TEST

START_TEST(names_are_as_long_as_names_may_be)
{
	uint8_t data[260];
	struct ptrs ptrs;
	size_t i, n;

	/* 253 octets as text are 255 here: labels of 63, 63, 63 and 61. */
	for (n = 61; n <= 62; n++) {
		memset(data, 'x', sizeof data);
		for (i = 0; i < 3; i++)
			data[i * 64] = 63;
		data[192] = (uint8_t)n;
		data[193 + n] = 0;
		ck_assert_int_eq(name_of(data, 194 + n, &ptrs), n == 61 ? 0 : -1);
		if (n == 61)
			ck_assert_uint_eq(strlen(ptrs.v[0]), NAME_MAX_OCTETS);
	}
}
END_TEST

/* An answer with these records, and its length; "." is the name of all. */
static size_t
make(uint8_t *out, const unsigned *types, const uint8_t *const *data, const size_t *n, size_t count)
{
	size_t i, off = 12;

	memset(out, 0, 12);
	put_be16(out + 6, (uint16_t)count);
	for (i = 0; i < count; i++) {
		memset(out + off, 0, 11);
		put_be16(out + off + 1, (uint16_t)types[i]);
		put_be16(out + off + 3, 1);
		put_be16(out + off + 9, (uint16_t)n[i]);
		memcpy(out + off + 11, data[i], n[i]);
		off += 11 + n[i];
	}
	return off;
}

START_TEST(takes_tlsa_records_and_leaves_malformed_ones_out)
{
	static uint8_t packet[20000], longest[DNS_TLSA_DATA_MAX + 4] = {2, 0, 0, 'x'};
	static const uint8_t sound[] = {3, 1, 1, 'k', 'e', 'y'};
	const unsigned types[] = {TYPE_TLSA, 5, TYPE_TLSA, TYPE_TLSA, TYPE_TLSA, TYPE_TLSA};
	const uint8_t *const data[] = {sound, sound, sound, sound, longest, longest};
	const size_t sizes[] = {6, 6, 3, 0, sizeof longest - 1, sizeof longest};
	size_t n = make(packet, types, data, sizes, 6);
	struct tlsas t;

	ck_assert_int_eq(answer_tlsas(packet, n, &t), 0);
	ck_assert_uint_eq(t.n, 2);
	ck_assert_uint_eq(t.left_out, 3);
	ck_assert_uint_eq(t.v[0].usage, 3);
	ck_assert_uint_eq(t.v[0].selector, 1);
	ck_assert_uint_eq(t.v[0].matching, 1);
	ck_assert_uint_eq(t.v[0].data.n, 3);
	ck_assert_int_eq(memcmp(t.v[0].data.p, "key", 3), 0);
	ck_assert_uint_eq(t.v[1].usage, 2);
	ck_assert_uint_eq(t.v[1].data.n, DNS_TLSA_DATA_MAX);
	ck_assert_int_eq(answer_tlsas(packet, n - 1, &t), -1);
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

START_TEST(takes_so_many_tlsa_records_and_no_more)
{
	static uint8_t packet[4000];
	static const uint8_t sound[] = {3, 1, 1, 'k'};
	unsigned types[DNS_TLSAS_MAX + 5];
	const uint8_t *data[DNS_TLSAS_MAX + 5];
	size_t sizes[DNS_TLSAS_MAX + 5], i;
	struct tlsas t;

	for (i = 0; i < DNS_TLSAS_MAX + 5; i++) {
		types[i] = TYPE_TLSA;
		data[i] = sound;
		sizes[i] = sizeof sound;
	}
	ck_assert_int_eq(
	    answer_tlsas(packet, make(packet, types, data, sizes, DNS_TLSAS_MAX + 5), &t), 0);
	ck_assert_uint_eq(t.n, DNS_TLSAS_MAX);
	ck_assert_uint_eq(t.left_out, 5);
}
END_TEST

Suite *
answer_suite(void)
{
	return unit_suite("answer",
	    (const TTest *const[]){takes_the_addresses, refuses_every_truncation,
		ends_on_any_octets, refuses_an_address_of_a_wrong_length, takes_compressed_names,
		names_of_any_octets_come_to_an_end, pointers_lead_back_only,
		names_are_as_long_as_names_may_be, takes_tlsa_records_and_leaves_malformed_ones_out,
		takes_so_many_tlsa_records_and_no_more, NULL});
}
