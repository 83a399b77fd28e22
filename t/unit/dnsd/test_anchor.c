#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dnsd/dnsd.h"
#include "t/unit/unit.h"

Suite *anchor_suite(void);

#define SHA1_20 "0123456789abcdef0123456789abcdef01234567"
#define SHA2_32 "9439b8c47f32cf46c9abf0be67ccafb5c1e3217145e54e869251b31c388da8ed"
#define ECDSA_64                                                                                   \
	"8emaMSAnJKkoAe1e/h2xQ8qCYPiGq8rwdf+EWHsxH4JPxlIipl0lQr+ap1e8i9CAV+J9Cy5L/zGRFZkxsRzOEQ=="

static struct anchors anchors;
static struct err why;

static int
parse(const char *text)
{
	return anchors_parse("F", text, strlen(text), &anchors, &why);
}

START_TEST(takes_ds_and_dnskey_records_as_tools_write_them)
{
	static const char text[] =
	    "; autotrust trust anchor file\r\n"
	    ";;id: . 1\n"
	    "\n"
	    " \t \n"
	    "good.test.\tIN\tDS\t47430 13 2 " SHA2_32 "\r\n"
	    "Good.TEST 3600 in ds 1 8 1 01234567 89ABCDEF 0123456789abcdef01234567 ; two words\n"
	    ".\t86400\tIN\tDNSKEY\t257 3 13 " ECDSA_64
	    " ;{id = 47430 (ksk), size = 256b} ;;state=2 [  VALID  ] ;;count=0\n"
	    "test. IN 60 DNSKEY 256 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";
	char zone[NAME_MAX_OCTETS + 2];

	ck_assert_msg(parse(text) == 0, "%s", why.text);
	ck_assert_uint_eq(anchors.n, 4);
	ck_assert_str_eq(anchors.v[0], "good.test. IN DS 47430 13 2 " SHA2_32);
	ck_assert_str_eq(
	    anchors.v[1], "good.test. IN DS 1 8 1 0123456789ABCDEF0123456789abcdef01234567");
	ck_assert_str_eq(anchors.v[2], ". IN DNSKEY 257 3 13 " ECDSA_64);
	anchors_zone(&anchors, 1, zone);
	ck_assert_str_eq(zone, "good.test.");
	anchors_zone(&anchors, 2, zone);
	ck_assert_str_eq(zone, ".");
	anchors_free(&anchors);
}
END_TEST

START_TEST(keys_that_are_not_trusted_do_not_count)
{
	static const char good[] = "a. DS 1 13 2 " SHA2_32 "\n";
	static const char *const bad[] = {"b. DNSKEY 385 3 13 " ECDSA_64, /* revoked */
	    "b. DNSKEY 257 3 13 " ECDSA_64 " ;;state=1 [ ADDPEND ]",
	    "b. DNSKEY 257 3 13 " ECDSA_64 " ;;state=4 [ REVOKED ]",
	    "b. DS 1 13 2 " SHA2_32 " ;;state=5"};
	char text[1000];
	size_t i;

	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		(void)snprintf(text, sizeof text, "%s%s\n", good, bad[i]);
		ck_assert_msg(parse(text) == 0, "%s: %s", bad[i], why.text);
		ck_assert_uint_eq(anchors.n, 1);
		anchors_free(&anchors);
		ck_assert_int_eq(parse(bad[i]), -1);
		ck_assert_str_eq(why.text, "F: there is no DS or DNSKEY record in it");
	}
}
END_TEST

START_TEST(says_what_is_wrong_in_which_line)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
	    {"test. IN A 192.0.2.1", "must stand DS or DNSKEY"},
	    {"test. CH DS 1 13 2 " SHA2_32, "must stand DS or DNSKEY"},
	    {"test.", "not nothing"},
	    {"$ORIGIN test.", "not the name of a zone"},
	    {"@ IN DS 1 13 2 " SHA2_32, "not the name of a zone"},
	    {" IN DS 1 13 2 " SHA2_32, "begin the line"},
	    {"\tDS 1 13 2 " SHA2_32, "begin the line"},
	    {"test. DS 65536 13 2 " SHA2_32, "65536 is not a number of 0 to 65535"},
	    {"test. DS -1 13 2 " SHA2_32, "is not a number"},
	    {"test. DS 1 13 ( 2", "is not a number"},
	    {"test. DS 1 13", "ends too early"},
	    {"test. DS 1 1 2 " SHA2_32, "algorithm 1 is not known"},
	    {"test. DS 1 13 3 " SHA2_32, "digest type 3 is not known"},
	    {"test. DS 1 13 2 " SHA1_20, "not one of 32 octets"},
	    {"test. DS 1 13 1 " SHA1_20 "00", "not one of 20 octets"},
	    {"test. DS 1 13 1 0x" SHA1_20, "not one of 20 octets"},
	    {"test. DS 1 13 1", "not one of 20 octets"},
	    {"test. DNSKEY 257 3 14 " ECDSA_64, "of a key of algorithm 14"},
	    {"test. DNSKEY 257 3 13 " ECDSA_64 "!", "of a key of algorithm 13"},
	    {"test. DNSKEY 257 3 8", "of a key of algorithm 8"},
	    {"test. DNSKEY 257 2 13 " ECDSA_64, "protocol 3"},
	    {"test. DNSKEY 1 3 13 " ECDSA_64, "flags 256 or 257"},
	    {"-----BEGIN CERTIFICATE-----", "not the name of a zone"},
	};
	char text[1000];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		(void)snprintf(text, sizeof text, "a. DS 1 13 2 %s\n\n%s\nb. nonsense\n", SHA2_32,
		    cases[i].line);
		ck_assert_msg(parse(text) == -1, "%s", cases[i].line);
		ck_assert_msg(
		    strncmp(why.text, "F:3: ", 5) == 0 && strstr(why.text, cases[i].why) != NULL,
		    "%s: %s", cases[i].line, why.text);
		ck_assert_uint_eq(anchors.n, 0);
	}
}
END_TEST

START_TEST(is_bounded)
{
	static char text[200000];
	size_t n = 0;
	unsigned i;

	for (i = 0; i < ANCHORS_MAX; i++)
		n += (size_t)sprintf(text + n, "z%u. DS 1 13 2 %s\n", i, SHA2_32);
	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(anchors.n, ANCHORS_MAX);
	anchors_free(&anchors);
	(void)strcpy(text + n, "one.more. DS 1 13 2 " SHA2_32);
	ck_assert_int_eq(parse(text), -1);
	ck_assert_ptr_nonnull(strstr(why.text, "F:65: more than 64 records"));
	memset(text, 'a', sizeof text - 1);
	ck_assert_int_eq(parse(text), -1);
	/* Words without end, blanks without end, and what is no text. */
	for (i = 0; i + 2 < 8000; i += 2)
		memcpy(text + i, "1 ", 2);
	text[i] = '\0';
	ck_assert_int_eq(parse(text), -1);
	ck_assert_ptr_nonnull(strstr(why.text, "words"));
	ck_assert_int_eq(anchors_parse("F", "a. DS\0 1", 8, &anchors, &why), -1);
	ck_assert_int_eq(anchors_parse("F", "", 0, &anchors, &why), -1);
	ck_assert_int_eq(why.code, EINVAL);
}
END_TEST

START_TEST(tells_whether_two_are_the_same)
{
	struct anchors other;

	ck_assert_int_eq(parse("a. DS 1 13 2 " SHA2_32), 0);
	other = anchors;
	ck_assert_int_eq(parse("; the same\nA DS 1 13 2 " SHA2_32 "\n"), 0);
	ck_assert(anchors_same(&anchors, &other));
	anchors_free(&anchors);
	ck_assert(!anchors_same(&anchors, &other));
	ck_assert_int_eq(parse("b. DS 1 13 2 " SHA2_32), 0);
	ck_assert(!anchors_same(&anchors, &other));
	anchors_free(&anchors);
	anchors_free(&other);
}
END_TEST

Suite *
anchor_suite(void)
{
	return unit_suite(
	    "anchor", (const TTest *const[]){takes_ds_and_dnskey_records_as_tools_write_them,
			  keys_that_are_not_trusted_do_not_count, says_what_is_wrong_in_which_line,
			  is_bounded, tells_whether_two_are_the_same, NULL});
}
