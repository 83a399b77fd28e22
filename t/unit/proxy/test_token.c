/* LOGIN, the tokens, and the way from credentials to a response. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "proxy/factor.h"
#include "proxy/sasl.h"
#include "t/unit/unit.h"

#define N(a) (sizeof(a) / sizeof(a)[0])
#define RAW(s) s, sizeof(s) - 1

static const struct credentials none;

struct row {
	const char *raw;
	size_t n;
	const char *name; /* NULL: refused */
};

static void
check_rows(const struct row *t, size_t n, int (*parse)(struct credentials *c, const char *b64))
{
	char b64[B64_LEN(1024) + 1];
	struct credentials c;
	size_t i;

	for (i = 0; i < n; i++) {
		(void)b64_encode(b64, t[i].raw, t[i].n);
		memset(&c, 'x', sizeof c);
		errno = 0;
		if (t[i].name != NULL) {
			ck_assert_msg(parse(&c, b64) == 0, "%zu", i);
			ck_assert_str_eq(c.authcid, t[i].name);
			ck_assert_str_eq(c.authzid, "");
			ck_assert_str_eq(c.password, "");
		} else {
			ck_assert_msg(parse(&c, b64) == -1, "%zu", i);
			ck_assert_int_eq(errno, EINVAL);
			ck_assert_msg(memcmp(&c, &none, sizeof c) == 0, "%zu", i);
		}
	}
}

START_TEST(takes_the_name_of_xoauth2)
{
	static const struct row t[] = {
	    {RAW("user=a@b.test\1auth=Bearer tok\1\1"), "a@b.test"},
	    {RAW("user=a\1auth=bearer x.y-z_~+/=\1\1"), "a"},
	    {RAW("user=\xc3\xa4\1auth=Bearer t\1\1"), "\xc3\xa4"},
	    {RAW(""), NULL},
	    {RAW("user=a\1auth=Bearer tok\1"), NULL}, /* its end is missing */
	    {RAW("user=a\1auth=Bearer tok\1\1\1"), NULL},
	    {RAW("user=a\1auth=Bearer tok\1x\1\1"), NULL},
	    {RAW("user=a\1user=b\1auth=Bearer tok\1\1"), NULL}, /* two names */
	    {RAW("user=a\1auth=Bearer tok\1user=b\1\1"), NULL},
	    {RAW("auth=Bearer tok\1user=a\1\1"), NULL},
	    {RAW("user=\1auth=Bearer tok\1\1"), NULL},
	    {RAW("user=a\nb\1auth=Bearer tok\1\1"), NULL},
	    {RAW("user=a\0b\1auth=Bearer tok\1\1"), NULL},
	    {RAW("user=a\1auth=Bearer \1\1"), NULL},
	    {RAW("user=a\1auth=Bearer to k\1\1"), NULL},
	    {RAW("user=a\1auth=Basic tok\1\1"), NULL},
	    {RAW("User=a\1auth=Bearer tok\1\1"), NULL},
	};

	check_rows(t, N(t), sasl_xoauth2_parse);
}
END_TEST

START_TEST(takes_the_name_of_oauthbearer)
{
	static const struct row t[] = {
	    {RAW("n,a=a@b.test,\1auth=Bearer tok\1\1"), "a@b.test"},
	    {RAW("n,a=a@b.test,\1host=gw.test\1port=995\1auth=Bearer tok\1\1"), "a@b.test"},
	    {RAW("y,a=a,\1auth=Bearer tok\1host=gw.test\1\1"), "a"},
	    {RAW("n,a=a=2Cb=3Dc,\1auth=Bearer tok\1\1"), "a,b=c"}, /* RFC 5801, 4 */
	    {RAW("n,,\1auth=Bearer tok\1\1"), NULL}, /* no name */
	    {RAW("n,a=,\1auth=Bearer tok\1\1"), NULL},
	    {RAW("n,a=a\1auth=Bearer tok\1\1"), NULL},
	    {RAW("n,a=a,b,\1auth=Bearer tok\1\1"), NULL},
	    {RAW("n,a=a=2,\1auth=Bearer tok\1\1"), NULL},
	    {RAW("n,a=a=2c,\1auth=Bearer tok\1\1"), NULL},
	    {RAW("p=tls-unique,a=a,\1auth=Bearer tok\1\1"), NULL},
	    {RAW("n,a=a,\1\1"), NULL},
	    {RAW("n,a=a,\1host=gw.test\1\1"), NULL},
	    {RAW("n,a=a,\1auth=Bearer tok\1auth=Bearer tik\1\1"), NULL},
	    {RAW("n,a=a,\1auth=Bearer tok\1user=b\1\1"), NULL},
	    {RAW("n,a=a,\1host=\1auth=Bearer tok\1\1"), NULL},
	    {RAW("n,a=a,\1host=a b\1auth=Bearer tok\1\1"), NULL},
	    {RAW("n,a=a,\1auth=Bearer tok\1"), NULL},
	    {RAW("n,a=a,\1auth=Bearer tok"), NULL},
	    {RAW("n,a=a,"), NULL},
	    {RAW("n,a=\xff,\1auth=Bearer tok\1\1"), NULL},
	};

	check_rows(t, N(t), sasl_oauthbearer_parse);
}
END_TEST

START_TEST(takes_a_long_token_and_no_longer_one)
{
	char *raw = malloc(SASL_RESPONSE_MAX + 64), *b64 = malloc(B64_LEN(SASL_RESPONSE_MAX) + 64);
	size_t most = SASL_RESPONSE_MAX / 4 * 3, head = strlen("user=a\1auth=Bearer ");
	struct credentials c;

	memset(raw, 't', most + 3);
	memcpy(raw, "user=a\1auth=Bearer ", head);
	memcpy(raw + most - 2, "\1\1", 2);
	ck_assert_uint_eq(b64_encode(b64, raw, most), SASL_RESPONSE_MAX);
	ck_assert_int_eq(sasl_xoauth2_parse(&c, b64), 0);
	memset(raw + head, 't', most + 3 - head);
	memcpy(raw + most + 1, "\1\1", 2);
	(void)b64_encode(b64, raw, most + 3);
	ck_assert_int_eq(sasl_xoauth2_parse(&c, b64), -1);
	free(raw);
	free(b64);
}
END_TEST

START_TEST(takes_answers_of_login)
{
	static const char *const bad[] = {
	    "", "=", "YWxpY2U", "YWxpY2U==", "YWxpY2U= ", "*", "YQBi", "/w=="};
	char name[LOGIN_MAX + 1];
	size_t i;

	for (i = 0; i < N(bad); i++) {
		memset(name, 'x', sizeof name);
		ck_assert_msg(sasl_login_parse(name, sizeof name, bad[i], 0) == -1, "%s", bad[i]);
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_uint_eq(strlen(name), 0);
	}
	ck_assert_int_eq(sasl_login_parse(name, sizeof name, "YWxpY2U=", 0), 0);
	ck_assert_str_eq(name, "alice");
	ck_assert_int_eq(sasl_login_parse(name, 5, "YWxpY2U=", 0), -1);
	ck_assert_int_eq(sasl_login_parse(name, sizeof name, "YQBi", 1), -1); /* a NUL b */
	ck_assert_int_eq(sasl_login_parse(name, sizeof name, "YQpi", 0), -1); /* a LF b */
	ck_assert_int_eq(sasl_login_parse(name, sizeof name, "YQpi", 1), 0);
}
END_TEST

START_TEST(knows_mechanisms_in_any_case)
{
	ck_assert_int_eq(sasl_mech_find("plain", 5), SASL_PLAIN);
	ck_assert_int_eq(sasl_mech_find("LOGIN x", 5), SASL_LOGIN);
	ck_assert_int_eq(sasl_mech_find("XOauth2", 7), SASL_XOAUTH2);
	ck_assert_int_eq(sasl_mech_find("OAUTHBEARER", 11), SASL_OAUTHBEARER);
	ck_assert_int_eq(sasl_mech_find("PLAIN", 4), -1);
	ck_assert_int_eq(sasl_mech_find("PLAINER", 7), -1);
	ck_assert_int_eq(sasl_mech_find("", 0), -1);
	ck_assert_str_eq(sasl_mech_name(SASL_OAUTHBEARER), "OAUTHBEARER");
}
END_TEST

START_TEST(makes_the_response_that_was_taken_apart)
{
	char raw[] = "bob\0alice\0p:w", b64[64], again[SASL_RESPONSE_MAX];
	struct credentials c;

	(void)b64_encode(b64, raw, sizeof raw - 1);
	ck_assert_int_eq(sasl_plain_parse(&c, b64), 0);
	ck_assert_int_eq(sasl_plain_make(again, sizeof again, &c), 0);
	ck_assert_str_eq(again, b64);
	ck_assert_int_eq(sasl_plain_make(again, strlen(b64), &c), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	/* The longest fit. */
	memset(c.authzid, 'z', LOGIN_MAX);
	memset(c.authcid, 'c', LOGIN_MAX);
	memset(c.password, 'p', PASSWORD_MAX);
	c.authzid[LOGIN_MAX] = c.authcid[LOGIN_MAX] = c.password[PASSWORD_MAX] = '\0';
	ck_assert_int_eq(sasl_plain_make(again, sizeof again, &c), 0);
}
END_TEST

START_TEST(splits_the_gateway_password_off)
{
	static const struct {
		const char *given, *secret, *left; /* secret NULL: refused */
	} t[] = {
	    {"gw:pw", "gw", "pw"},
	    {"gw:p:w:", "gw", "p:w:"}, /* the first colon counts */
	    {"pw", NULL, NULL},
	    {":pw", NULL, NULL},
	    {"gw:", NULL, NULL},
	    {"0123456789012345678901234567890123456789012345678901234567890123:pw",
		"0123456789012345678901234567890123456789012345678901234567890123", "pw"},
	    {"01234567890123456789012345678901234567890123456789012345678901234:pw", NULL, NULL},
	};
	static struct proxy_route r = {.second_factor = CONF_FACTOR_PASSWORD};
	char secret[FACTOR_SECRET_MAX + 1];
	struct credentials c;
	size_t i, n;

	for (i = 0; i < N(t); i++) {
		memset(&c, 0, sizeof c);
		(void)strlcpy(c.password, t[i].given, sizeof c.password);
		memset(secret, 'x', sizeof secret);
		ck_assert_msg(
		    factor_split(&r, &c, secret) == (t[i].secret != NULL ? 0 : -1), "%zu", i);
		ck_assert_str_eq(secret, t[i].secret != NULL ? t[i].secret : "");
		if (t[i].secret == NULL)
			continue;
		ck_assert_str_eq(c.password, t[i].left);
		for (n = strlen(c.password); n < sizeof c.password; n++)
			ck_assert_int_eq(c.password[n], 0);
	}
}
END_TEST

START_TEST(leaves_passwords_alone_without_a_second_factor)
{
	static const enum conf_factor without[] = {CONF_FACTOR_NONE, CONF_FACTOR_CERTIFICATE};
	static struct proxy_route r;
	char secret[FACTOR_SECRET_MAX + 1];
	struct credentials c = {.password = "gw:pw"};
	size_t i;

	for (i = 0; i < N(without); i++) {
		r.second_factor = without[i];
		ck_assert_int_eq(factor_split(&r, &c, secret), 0);
		ck_assert_str_eq(secret, "");
		ck_assert_str_eq(c.password, "gw:pw");
	}
}
END_TEST

Suite *token_suite(void);

Suite *
token_suite(void)
{
	return unit_suite(
	    "token", (const TTest *const[]){takes_the_name_of_xoauth2,
			 takes_the_name_of_oauthbearer, takes_a_long_token_and_no_longer_one,
			 takes_answers_of_login, knows_mechanisms_in_any_case,
			 makes_the_response_that_was_taken_apart, splits_the_gateway_password_off,
			 leaves_passwords_alone_without_a_second_factor, NULL});
}
