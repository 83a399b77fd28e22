#include <errno.h>
#include <string.h>

#include "base/enc.h"
#include "proxy/sasl.h"
#include "t/unit/unit.h"

#define N(a) (sizeof(a) / sizeof(a)[0])
/* A string that may have NULs, and its octets. */
#define RAW(s) s, sizeof(s) - 1

static const struct credentials none;

/* Parse n octets, not encoded yet, into c, which is full of something else before. */
static int
plain(struct credentials *c, const void *p, size_t n)
{
	char b64[B64_LEN(4096) + 1];

	ck_assert_uint_le(n, 4096);
	memset(c, 'x', sizeof *c);
	errno = 0;
	(void)b64_encode(b64, p, n);
	return sasl_plain_parse(c, b64);
}

START_TEST(takes_plain_apart)
{
	static const struct {
		const char *raw;
		size_t n;
		const char *authzid, *authcid, *password;
	} good[] = {
	    {RAW("\0alice\0pw"), "", "alice", "pw"},
	    {RAW("bob\0alice\0pw"), "bob", "alice", "pw"},
	    {RAW("\0a\0b"), "", "a", "b"},
	    {RAW("\0al ice@x.test\0 p w "), "", "al ice@x.test", " p w "},
	    {RAW("\0\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91\0p"), "",
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91", "p"},
	    {RAW("\0\xc2\xa0\0p"), "", "\xc2\xa0", "p"}, /* the first behind the controls */
	    {RAW("\0alice\0\r\n\t\x7f\xff\xc3"), "", "alice", "\r\n\t\x7f\xff\xc3"},
	};
	struct credentials c;
	size_t i;

	for (i = 0; i < N(good); i++) {
		ck_assert_msg(plain(&c, good[i].raw, good[i].n) == 0, "%zu", i);
		ck_assert_str_eq(c.authzid, good[i].authzid);
		ck_assert_str_eq(c.authcid, good[i].authcid);
		ck_assert_str_eq(c.password, good[i].password);
	}
}
END_TEST

START_TEST(refuses_and_wipes_what_is_not_three_good_fields)
{
	static const struct {
		const char *raw;
		size_t n;
	} bad[] = {
	    {RAW("")},
	    {RAW("\0")},
	    {RAW("\0\0")},
	    {RAW("alice")},
	    {RAW("\0alice")},
	    {RAW("\0alice\0")}, /* no password */
	    {RAW("\0\0pw")}, /* no authcid */
	    {RAW("bob\0\0pw")},
	    {RAW("\0alice\0pw\0")}, /* a fourth field */
	    {RAW("\0alice\0pw\0x")},
	    {RAW("\0alice\0\0pw")},
	    {RAW("\0al\nice\0pw")}, /* controls in names */
	    {RAW("\0al\rice\0pw")},
	    {RAW("\0al\tice\0pw")},
	    {RAW("\0\x01\0pw")},
	    {RAW("\0alice\x1f\0pw")},
	    {RAW("\0alice\x7f\0pw")},
	    {RAW("\x7f\0alice\0pw")},
	    {RAW("b\nb\0alice\0pw")},
	    {RAW("\0al\xc2\x80ice\0pw")}, /* U+0080 to U+009F */
	    {RAW("\0al\xc2\x9fice\0pw")},
	    {RAW("\0al\xffice\0pw")}, /* not UTF-8 */
	    {RAW("\0alice\xc3\0pw")},
	    {RAW("\0al\xc0\xafice\0pw")}, /* overlong */
	    {RAW("\0al\xe0\x80\xafice\0pw")},
	    {RAW("\0al\xed\xa0\x80ice\0pw")}, /* a surrogate */
	    {RAW("\0al\xf4\x90\x80\x80ice\0pw")}, /* over U+10FFFF */
	    {RAW("bo\xff\0alice\0pw")},
	};
	struct credentials c;
	size_t i;

	for (i = 0; i < N(bad); i++) {
		ck_assert_msg(plain(&c, bad[i].raw, bad[i].n) == -1, "%zu", i);
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_msg(memcmp(&c, &none, sizeof c) == 0, "%zu", i);
	}
}
END_TEST

START_TEST(bounds_each_field)
{
	static const struct {
		size_t authzid, authcid, password;
		int rc;
	} t[] = {
	    {LOGIN_MAX, LOGIN_MAX, PASSWORD_MAX, 0},
	    {LOGIN_MAX + 1, 1, 1, -1},
	    {0, LOGIN_MAX + 1, 1, -1},
	    {0, 1, PASSWORD_MAX + 1, -1},
	    {LOGIN_MAX + 1, LOGIN_MAX, PASSWORD_MAX, -1}, /* over what all three may have */
	    {1024, 1024, 2000, -1},
	};
	struct credentials c;
	char raw[4096];
	size_t i, n;

	for (i = 0; i < N(t); i++) {
		memset(raw, 'a', sizeof raw);
		raw[t[i].authzid] = raw[t[i].authzid + 1 + t[i].authcid] = '\0';
		n = t[i].authzid + 1 + t[i].authcid + 1 + t[i].password;
		ck_assert_msg(plain(&c, raw, n) == t[i].rc, "%zu", i);
		if (t[i].rc == -1) {
			ck_assert_int_eq(errno, EINVAL);
			ck_assert_int_eq(memcmp(&c, &none, sizeof c), 0);
			continue;
		}
		ck_assert_uint_eq(strlen(c.authzid), t[i].authzid);
		ck_assert_uint_eq(strlen(c.authcid), t[i].authcid);
		ck_assert_uint_eq(strlen(c.password), t[i].password);
	}
}
END_TEST

START_TEST(takes_one_spelling_of_base64_only)
{
	/* AGEAYg== is NUL a NUL b, AGEAYmM= is NUL a NUL bc. */
	static const struct {
		const char *b64;
		int rc;
	} t[] = {
	    {"AGEAYg==", 0},
	    {"AGEAYmM=", 0},
	    {"", -1},
	    {"=", -1},
	    {"====", -1},
	    {"*", -1},
	    {"AGEAYg", -1}, /* padding left out, too much of it, inside */
	    {"AGEAYg=", -1},
	    {"AGEAYg===", -1},
	    {"AGEAYg======", -1},
	    {"AGEAYmM==", -1},
	    {"AGE=AYg=", -1},
	    {"AGEAYh==", -1}, /* trailing bits that are not zero */
	    {"AGEAYmN=", -1},
	    {"AGEAYg==x", -1}, /* more behind it */
	    {"AGEAYg==AGEAYg==", -1},
	    {"AGEA Yg==", -1}, /* white space */
	    {" AGEAYg==", -1},
	    {"AGEAYg== ", -1},
	    {"AGEAYg==\n", -1},
	    {"AGEAYg\t==", -1},
	    {"AGEA-_==", -1}, /* base64url */
	    {"AGEA\xff\xff==", -1},
	};
	struct credentials c;
	size_t i;

	for (i = 0; i < N(t); i++) {
		memset(&c, 'x', sizeof c);
		errno = 0;
		ck_assert_msg(sasl_plain_parse(&c, t[i].b64) == t[i].rc, "%s", t[i].b64);
		if (t[i].rc == -1) {
			ck_assert_int_eq(errno, EINVAL);
			ck_assert_msg(memcmp(&c, &none, sizeof c) == 0, "%s", t[i].b64);
		} else
			ck_assert_str_eq(c.authcid, "a");
	}
}
END_TEST

Suite *sasl_suite(void);

Suite *
sasl_suite(void)
{
	return unit_suite("sasl", (const TTest *const[]){takes_plain_apart,
				      refuses_and_wipes_what_is_not_three_good_fields,
				      bounds_each_field, takes_one_spelling_of_base64_only, NULL});
}
