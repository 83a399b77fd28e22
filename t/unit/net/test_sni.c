#include <errno.h>
#include <string.h>

#include "net/sni.h"
#include "t/unit/unit.h"

Suite *sni_suite(void);

START_TEST(host_names_are_told_from_what_is_none)
{
	static const char *const good[][2] = {
	    {"mail.example.org", "mail.example.org"},
	    {"MAIL.Example.ORG", "mail.example.org"},
	    {"mail.example.org.", "mail.example.org"},
	    {"localhost", "localhost"},
	    {"1and1.example", "1and1.example"},
	    {"192.0.2.1.in-addr.arpa", "192.0.2.1.in-addr.arpa"},
	    {"a.b.c.d.e.f", "a.b.c.d.e.f"},
	    {"xn--nxasmq6b.example", "xn--nxasmq6b.example"},
	};
	static const char *const bad[] = {"", ".", "..", "a..b", ".a", "a b", "a_b.example",
	    "-a.example", "a-.example", "a.example-", "192.0.2.1", "7", "::1", "[::1]",
	    "*.example.org", "*", "a.*.b", "a/../b", "a\r\nb", "b\xc3\xbc\x63her.example",
	    "a.example..", "a%00.example", "a,b"};
	char out[SNI_NAME_MAX + 1];
	size_t i;

	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		ck_assert_int_eq(sni_host_name(good[i][0], strlen(good[i][0]), 0, out), 0);
		ck_assert_str_eq(out, good[i][1]);
	}
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		errno = 0;
		ck_assert_msg(sni_host_name(bad[i], strlen(bad[i]), 0, out) == -1, "%s", bad[i]);
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_str_eq(out, "");
	}
	ck_assert_int_eq(sni_host_name("a\0b.example", 11, 0, out), -1);
}
END_TEST

START_TEST(a_wildcard_is_the_whole_first_label)
{
	static const char *const bad[] = {
	    "*", "*.", "*example.org", "m*.example.org", "a.*.org", "*.*.org", "**.org", "*.192"};
	char out[SNI_NAME_MAX + 1];
	size_t i;

	ck_assert_int_eq(sni_host_name("*.Example.org", 13, 1, out), 0);
	ck_assert_str_eq(out, "*.example.org");
	ck_assert_int_eq(sni_host_name("example.org", 11, 1, out), 0);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(sni_host_name(bad[i], strlen(bad[i]), 1, out) == -1, "%s", bad[i]);
}
END_TEST

START_TEST(names_and_labels_are_bounded)
{
	char name[300], out[SNI_NAME_MAX + 1];
	size_t n;

	memset(name, 'a', sizeof name);
	ck_assert_int_eq(sni_host_name(name, 63, 0, out), 0);
	ck_assert_int_eq(sni_host_name(name, 64, 0, out), -1);
	for (n = 3; n < sizeof name; n += 4)
		name[n] = '.';
	ck_assert_int_eq(sni_host_name(name, SNI_NAME_MAX, 0, out), 0);
	ck_assert_uint_eq(strlen(out), SNI_NAME_MAX);
	ck_assert_int_eq(sni_host_name(name, SNI_NAME_MAX + 1, 0, out), -1);
	ck_assert_int_eq(sni_host_name(name, sizeof name, 0, out), -1);
}
END_TEST

START_TEST(reads_the_extension_and_nothing_beside_it)
{
	static const struct {
		const char *ext;
		size_t n;
		const char *want; /* NULL: malformed */
	} t[] = {
	    {"\0\6\0\0\3a.B", 8, "a.b"},
	    {"\0\5\0\0\3a.B", 8, NULL}, /* the list ends within the name */
	    {"\0\7\0\0\3a.B", 8, NULL}, /* or behind the extension */
	    {"\0\6\0\0\2a.B", 8, NULL}, /* a second, short entry */
	    {"\0\6\0\0\4a.B", 8, NULL},
	    {"\0\6\1\0\3a.B", 8, NULL}, /* no host name */
	    {"\0\3\0\0\0", 5, NULL},
	    {"\0\0", 2, NULL},
	    {"\0", 1, NULL},
	    {"", 0, NULL},
	    {"\0\14\0\0\3a.b\0\0\3c.d", 14, NULL},
	    {"\0\6\0\0\3a\0b", 8, NULL},
	};
	char out[SNI_NAME_MAX + 1];
	size_t i;
	int ret;

	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		uint8_t *copy = malloc(t[i].n);

		memcpy(copy, t[i].ext, t[i].n);
		ret = sni_parse(copy, t[i].n, out);
		ck_assert_msg(ret == (t[i].want != NULL ? 0 : -1), "%zu: %s", i, out);
		ck_assert_str_eq(out, t[i].want != NULL ? t[i].want : "");
		free(copy);
	}
}
END_TEST

Suite *
sni_suite(void)
{
	return unit_suite(
	    "sni", (const TTest *const[]){host_names_are_told_from_what_is_none,
		       a_wildcard_is_the_whole_first_label, names_and_labels_are_bounded,
		       reads_the_extension_and_nothing_beside_it, NULL});
}
