#include <errno.h>
#include <string.h>

#include "base/enc.h"
#include "proxy/sasl.h"
#include "smtpd/command.h"
#include "t/unit/unit.h"

/* A response of n octets, which may have NULs. */
static int
plain(struct credentials *c, const void *p, size_t n)
{
	char b64[B64_LEN(4096) + 1];

	(void)b64_encode(b64, p, n);
	return sasl_plain_parse(c, b64);
}

#define PLAIN(c, s) plain(c, s, sizeof(s) - 1)

START_TEST(takes_plain_apart)
{
	struct credentials c;

	ck_assert_int_eq(PLAIN(&c, "\0alice\0pw"), 0);
	ck_assert_str_eq(c.authzid, "");
	ck_assert_str_eq(c.authcid, "alice");
	ck_assert_str_eq(c.password, "pw");
	ck_assert_int_eq(PLAIN(&c, "bob\0alice\0p w\xff"), 0);
	ck_assert_str_eq(c.authzid, "bob");
	ck_assert_str_eq(c.password, "p w\xff");
}
END_TEST

START_TEST(refuses_what_is_not_three_fields)
{
	static const struct credentials none;
	struct credentials c;
	char big[3000];

	ck_assert_int_eq(PLAIN(&c, ""), -1);
	ck_assert_int_eq(PLAIN(&c, "alice"), -1);
	ck_assert_int_eq(PLAIN(&c, "\0alice"), -1);
	ck_assert_int_eq(PLAIN(&c, "\0alice\0"), -1);
	ck_assert_int_eq(PLAIN(&c, "\0\0pw"), -1);
	ck_assert_int_eq(PLAIN(&c, "\0alice\0pw\0"), -1);
	ck_assert_int_eq(PLAIN(&c, "\0alice\0pw\0x"), -1);
	ck_assert_int_eq(PLAIN(&c, "\0al\nice\0pw"), -1);
	ck_assert_int_eq(PLAIN(&c, "\x7f\0alice\0pw"), -1);
	ck_assert_int_eq(PLAIN(&c, "\0al\xffice\0pw"), -1);
	memset(big, 'a', sizeof big);
	big[0] = big[400] = '\0';
	ck_assert_int_eq(plain(&c, big, 410), -1); /* a name over LOGIN_MAX */
	big[400] = 'a';
	big[10] = '\0';
	ck_assert_int_eq(plain(&c, big, 1500), -1); /* a password over PASSWORD_MAX */
	ck_assert_int_eq(plain(&c, big, sizeof big), -1);
	ck_assert_int_eq(memcmp(&c, &none, sizeof c), 0);
}
END_TEST

START_TEST(takes_strict_base64_only)
{
	static const char *const bad[] = {
	    "", "=", "AGE", "AGEAYg", "AGEAYg==x", "AGEA Yg==", "AGEAYh==", "AGEAYg==\n", "-_-_"};
	struct credentials c;
	char name[64];
	size_t i;

	ck_assert_int_eq(sasl_plain_parse(&c, "AGEAYg=="), 0);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_msg(sasl_plain_parse(&c, bad[i]) == -1, "%s", bad[i]);
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_msg(login_from_base64(name, sizeof name, bad[i], 0) == -1, "%s", bad[i]);
	}
	ck_assert_int_eq(login_from_base64(name, sizeof name, "YWxpY2U=", 0), 0);
	ck_assert_str_eq(name, "alice");
	ck_assert_int_eq(login_from_base64(name, 5, "YWxpY2U=", 0), -1);
	ck_assert_int_eq(login_from_base64(name, sizeof name, "YQBi", 1), -1); /* a NUL b */
	ck_assert_int_eq(login_from_base64(name, sizeof name, "YQpi", 0), -1); /* a LF b */
	ck_assert_int_eq(login_from_base64(name, sizeof name, "YQpi", 1), 0);
}
END_TEST

Suite *login_suite(void);

Suite *
login_suite(void)
{
	return unit_suite(
	    "login", (const TTest *const[]){takes_plain_apart, refuses_what_is_not_three_fields,
			 takes_strict_base64_only, NULL});
}
