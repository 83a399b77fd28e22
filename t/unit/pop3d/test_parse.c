#include <stdlib.h>
#include <string.h>

#include "pop3d/parse.h"
#include "proxy/sasl.h"
#include "t/unit/unit.h"

#define N(a) (sizeof(a) / sizeof(a)[0])

START_TEST(splits_a_line_at_its_first_space)
{
	static const struct {
		const char *line;
		size_t word;
		const char *all;
	} t[] = {
	    {"", 0, ""}, {"STAT", 4, ""}, {"STAT ", 4, ""}, {"RETR 1", 4, "1"},
	    {"TOP 1 10", 3, "1 10"}, {"USER alice smith", 4, "alice smith"},
	    {"PASS  two blanks, one is its own ", 4, " two blanks, one is its own "},
	    {" RETR 1", 0, "RETR 1"}, {"RETR\t1", 6, ""}, /* only a space separates */
	};
	struct args a;
	size_t i;

	for (i = 0; i < N(t); i++) {
		memset(&a, 'x', sizeof a);
		ck_assert_uint_eq(parse_command(&a, t[i].line), t[i].word);
		ck_assert_str_eq(a.all, t[i].all);
		ck_assert_uint_eq(a.n, 0);
	}
}
END_TEST

START_TEST(takes_up_to_two_decimal_numbers)
{
	static const struct {
		const char *all;
		unsigned n;
		uint64_t v[NUMBERS_MAX];
	} t[] = {
	    {"", 0, {0, 0}},
	    {"1", 1, {1, 0}},
	    {"0", 1, {0, 0}},
	    {"007", 1, {7, 0}},
	    {"1 ", 1, {1, 0}},
	    {"1 10", 2, {1, 10}},
	    {"1   10  ", 2, {1, 10}},
	    {"4294967295 4294967296", 2, {UINT32_MAX, (uint64_t)UINT32_MAX + 1}},
	    {"42949672959", 1, {42949672959, 0}}, /* UINT32_MAX and a digit more */
	    {"00000000000000000000000000000000000001", 1, {1, 0}},
	};
	struct args a;
	size_t i, k;

	for (i = 0; i < N(t); i++) {
		memset(&a, 0, sizeof a);
		a.all = t[i].all;
		ck_assert_msg(parse_numbers(&a) == 0, "%s", t[i].all);
		ck_assert_uint_eq(a.n, t[i].n);
		for (k = 0; k < a.n; k++)
			ck_assert_uint_eq(a.v[k], t[i].v[k]);
	}
}
END_TEST

START_TEST(refuses_what_is_not_such_numbers)
{
	static const char *const bad[] = {" ", " 1", "1 2 3", "-1", "+1", "1.0", "0x1", "1a", "a",
	    "1\t2", "1,2", "1 -2", "42949672960", "99999999999999999999999999",
	    "1 99999999999999999999999999", "\xc2\xb2"};
	struct args a;
	size_t i;

	for (i = 0; i < N(bad); i++) {
		memset(&a, 0, sizeof a);
		a.all = bad[i];
		ck_assert_msg(parse_numbers(&a) == -1, "%s", bad[i]);
	}
}
END_TEST

START_TEST(notes_what_the_peer_can_do)
{
	static const struct {
		const char *lines[4];
		struct capabilities can;
	} t[] = {
	    {{NULL}, {.user = false}},
	    {{"USER", NULL}, {.user = true}},
	    {{"user", "Uidl", NULL}, {.user = true, .uidl = true}},
	    {{"USER with arguments", NULL}, {.user = true}},
	    {{"AUTH-RESP-CODE", NULL}, {.auth_codes = true}},
	    {{"SASL PLAIN", NULL}, {.mechs = 1u << SASL_PLAIN}},
	    {{"sasl CRAM-MD5   plain LOGIN", NULL}, {.mechs = 1u << SASL_PLAIN | 1u << SASL_LOGIN}},
	    {{"SASL OAUTHBEARER XOAUTH2 ", NULL},
		{.mechs = 1u << SASL_OAUTHBEARER | 1u << SASL_XOAUTH2}},
	    {{"SASL", NULL}, {.mechs = 0}},
	    {{"SASL PLAINER XPLAIN PLAIN-X", NULL}, {.mechs = 0}},
	    {{"SASL PLAIN", "SASL LOGIN", NULL}, {.mechs = 1u << SASL_LOGIN}}, /* the last holds */
	    {{"Pipelining", NULL}, {.pipelining = true}},
	    {{"PLAIN", "USERS", "USE", NULL}, {.user = false}},
	    {{"", " USER", "XSASL PLAIN", NULL}, {.user = false}},
	    {{"AUTH-RESP-CODES", "RESP-CODES", "STLS", NULL}, {.auth_codes = false}},
	};
	struct capabilities can;
	size_t i, k;

	for (i = 0; i < N(t); i++) {
		memset(&can, 0, sizeof can);
		for (k = 0; t[i].lines[k] != NULL; k++)
			parse_capability(&can, t[i].lines[k]);
		ck_assert_msg(can.user == t[i].can.user, "USER, %zu", i);
		ck_assert_msg(can.mechs == t[i].can.mechs, "SASL, %zu", i);
		ck_assert_msg(can.pipelining == t[i].can.pipelining, "PIPELINING, %zu", i);
		ck_assert_msg(can.uidl == t[i].can.uidl, "UIDL, %zu", i);
		ck_assert_msg(can.auth_codes == t[i].can.auth_codes, "AUTH-RESP-CODE, %zu", i);
	}
}
END_TEST

START_TEST(finds_a_whole_retr_only)
{
	static const struct {
		const char *in;
		size_t used;
		uint64_t number;
	} t[] = {
	    {"RETR 1\r\n", 8, 1},
	    {"retr 12 \r\nRETR 2\r\n", 10, 12},
	    {"RETR 4294967295\r\n", 17, UINT32_MAX},
	    {"", 0, 0},
	    {"RETR 1", 0, 0},
	    {"RETR 1\r", 0, 0},
	    {"RETR 1\n", 0, 0},
	    {"\n", 0, 0},
	    {"\r\nRETR 1\r\n", 0, 0},
	    {"RETR 0\r\n", 0, 0},
	    {"RETR\r\n", 0, 0},
	    {"RETR 1 2\r\n", 0, 0},
	    {"RETR 1\r\r\n", 0, 0},
	    {"RETRO 1\r\n", 0, 0},
	    {"TOP 1 0\r\n", 0, 0},
	    {"RETR 1                        \r\n", 32, 1},
	    {"RETR 1                         \r\n", 0, 0},
	};
	uint8_t *copy;
	uint64_t number;
	size_t i, n;

	for (i = 0; i < N(t); i++) {
		n = strlen(t[i].in);
		copy = malloc(n); /* so that ASan sees one octet too many */
		memcpy(copy, t[i].in, n);
		number = 0;
		ck_assert_msg(parse_retr(&number, copy, n) == t[i].used, "%s", t[i].in);
		ck_assert_uint_eq(number, t[i].number);
		free(copy);
	}
	ck_assert_uint_eq(parse_retr(&number, (const uint8_t *)"RETR 1\0\r\n", 9), 0);
}
END_TEST

Suite *parse_suite(void);

Suite *
parse_suite(void)
{
	return unit_suite(
	    "parse", (const TTest *const[]){splits_a_line_at_its_first_space,
			 takes_up_to_two_decimal_numbers, refuses_what_is_not_such_numbers,
			 finds_a_whole_retr_only, notes_what_the_peer_can_do, NULL});
}
