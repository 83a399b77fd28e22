#include <stdio.h>
#include <string.h>

#include "keyd/sts.h"
#include "t/unit/unit.h"

Suite *sts_policy_suite(void);

static int
record(const char *const *texts, char *id, struct err *e)
{
	struct dns_txt v[8];
	size_t n;

	for (n = 0; texts[n] != NULL; n++)
		v[n].text = (struct bytes){(const uint8_t *)texts[n], strlen(texts[n])};
	return sts_record(v, n, id, e);
}

/* RFC 8461, 3.1 */
START_TEST(takes_the_id_of_the_record)
{
	static const struct {
		const char *text, *id; /* NULL: refused */
	} cases[] = {
	    {"v=STSv1; id=20160831085700Z;", "20160831085700Z"},
	    {"v=STSv1;id=1", "1"},
	    {"v=STSv1 ;\tid=a ; x=y", "a"},
	    {"v=STSv1; x=y; id=Z9;", "Z9"},
	    {"v=STSv1; id=12345678901234567890123456789012", "12345678901234567890123456789012"},
	    {"v=STSv1; id=123456789012345678901234567890123", NULL},
	    {"v=STSv1; id=a-b", NULL},
	    {"v=STSv1; id=", NULL},
	    {"v=STSv1; id= 1", NULL},
	    {"v=STSv1;", NULL},
	    {"v=STSv1", NULL},
	    {" v=STSv1; id=1", NULL},
	    {"v=STSv2; id=1", NULL},
	    {"V=stsv1; id=1", NULL},
	    {"id=1; v=STSv1", NULL},
	    {"", NULL},
	};
	char id[STS_ID_MAX + 1];
	struct err e;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_msg(record((const char *const[]){"other", cases[i].text, NULL}, id, &e) ==
				  (cases[i].id != NULL ? 0 : -1),
		    "%s", cases[i].text);
		if (cases[i].id != NULL)
			ck_assert_str_eq(id, cases[i].id);
	}
	ck_assert_int_eq(
	    record((const char *const[]){"v=STSv1; id=1", "v=STSv1; id=2", NULL}, id, &e), -1);
	ck_assert_int_eq(record((const char *const[]){NULL}, id, &e), -1);
}
END_TEST

static struct sts_policy policy;

static int
parse(const char *text)
{
	struct err e = {0};
	int rc = sts_parse((const uint8_t *)text, strlen(text), &policy, &e);

	ck_assert(rc == 0 || (rc == -1 && e.code != 0 && e.text[0] != '\0'));
	return rc;
}

#define HEAD "version: STSv1\nmode: enforce\nmax_age: 86400\n"

START_TEST(takes_a_policy)
{
	ck_assert_int_eq(parse("version: STSv1\r\n"
			       "mode: enforce\r\n"
			       "mx: Mail.Example.com\r\n"
			       "mx:*.example.net \r\n"
			       "x-other: \xc3\xbc\r\n"
			       "mx:\tbackupmx.example.com\r\n"
			       "max_age: 604800\r\n"),
	    0);
	ck_assert_int_eq(policy.mode, STS_ENFORCE);
	ck_assert_uint_eq(policy.max_age, 604800);
	ck_assert_uint_eq(policy.nmx, 3);
	ck_assert_str_eq(policy.mx[0], "mail.example.com");
	ck_assert_str_eq(policy.mx[1], "*.example.net");
	ck_assert_str_eq(policy.mx[2], "backupmx.example.com");
	ck_assert_str_eq(policy.text, "version: STSv1\nmode: enforce\nmx: Mail.Example.com\n"
				      "mx: *.example.net\nmx: backupmx.example.com\n"
				      "max_age: 604800");
	ck_assert_int_eq(parse("max_age: 1\nmode: testing\nmx: a.example\nversion: STSv1"), 0);
	ck_assert_int_eq(policy.mode, STS_TESTING);
	ck_assert_int_eq(parse("version: STSv1\nmode: none\nmax_age: 0\n\n \n"), 0);
	ck_assert_int_eq(policy.mode, STS_NONE);
	ck_assert_uint_eq(policy.nmx, 0);
}
END_TEST

START_TEST(the_first_of_several_counts)
{
	ck_assert_int_eq(parse(HEAD "mx: a.example\nmode: none\nmax_age: 1\nversion: 2\n"), 0);
	ck_assert_int_eq(policy.mode, STS_ENFORCE);
	ck_assert_uint_eq(policy.max_age, 86400);
}
END_TEST

START_TEST(a_policy_lives_for_a_year_at_most)
{
	ck_assert_int_eq(parse("version: STSv1\nmode: none\nmax_age: 9999999999"), 0);
	ck_assert_uint_eq(policy.max_age, STS_AGE_MAX);
	ck_assert_int_eq(parse("version: STSv1\nmode: none\nmax_age: 31557600"), 0);
	ck_assert_uint_eq(policy.max_age, 31557600);
}
END_TEST

START_TEST(refuses_what_is_no_policy)
{
	static const char *const cases[] = {"", "version: STSv1\nmode: enforce\nmax_age: 1\n",
	    "mode: enforce\nmax_age: 1\nmx: a.example", "version: STSv1\nmax_age: 1\nmx: a.example",
	    "version: STSv1\nmode: enforce\nmx: a.example",
	    "version: STSv2\nmode: enforce\nmax_age: 1\nmx: a.example",
	    "version: STSv1\nmode: Enforce\nmax_age: 1\nmx: a.example",
	    "Version: STSv1\nmode: enforce\nmax_age: 1\nmx: a.example",
	    "version: STSv1\nmode: enforce\nmax_age: -1\nmx: a.example",
	    "version: STSv1\nmode: enforce\nmax_age: 1s\nmx: a.example",
	    "version: STSv1\nmode: enforce\nmax_age:\nmx: a.example",
	    "version: STSv1\nmode: enforce\nmax_age: 12345678901\nmx: a.example",
	    HEAD "mx:", HEAD "mx: *", HEAD "mx: *.", HEAD "mx: a.*.example", HEAD "mx: *a.example",
	    HEAD "mx: .example", HEAD "mx: 192.0.2.1", HEAD "mx: m\xc3\xbcller.example",
	    HEAD "mx: a.example b.example", HEAD "mx: a.example\nno colon\n",
	    HEAD "mx: a.example\n: x\n", HEAD " mx: a.example\n",
	    "<html><body>not found</body></html>",
	    "version: STSv1\rmode: enforce\rmax_age: 1\rmx: a.example\r"};
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_msg(parse(cases[i]) == -1, "%s", cases[i]);
}
END_TEST

START_TEST(policies_are_bounded)
{
	static char text[STS_POLICY_OCTETS + 2];
	struct err e;
	size_t n = 0;
	unsigned i;

	n = (size_t)sprintf(text, HEAD);
	for (i = 0; i < STS_MXS_MAX; i++)
		n += (size_t)sprintf(text + n, "mx: a-rather-long-name-of-a-host-%u.example\n", i);
	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(policy.nmx, STS_MXS_MAX);
	/* What stands in reports is cut between lines. */
	ck_assert_uint_le(strlen(policy.text), STS_TEXT_MAX);
	ck_assert_uint_ge(strlen(policy.text), STS_TEXT_MAX - 60);
	ck_assert_str_eq(policy.text + strlen(policy.text) - 8, ".example");
	(void)sprintf(text + n, "mx: more.example");
	ck_assert_int_eq(parse(text), -1);
	n = (size_t)sprintf(text, HEAD "mx: a.example\nx: ");
	memset(text + n, 'x', STS_POLICY_OCTETS - n);
	ck_assert_int_eq(sts_parse((const uint8_t *)text, STS_POLICY_OCTETS, &policy, &e), 0);
	text[STS_POLICY_OCTETS] = 'x';
	ck_assert_int_eq(sts_parse((const uint8_t *)text, STS_POLICY_OCTETS + 1, &policy, &e), -1);
}
END_TEST

Suite *
sts_policy_suite(void)
{
	return unit_suite(
	    "sts_policy", (const TTest *const[]){takes_the_id_of_the_record, takes_a_policy,
			      the_first_of_several_counts, a_policy_lives_for_a_year_at_most,
			      refuses_what_is_no_policy, policies_are_bounded, NULL});
}
