#include <errno.h>
#include <string.h>
#include <time.h>

#include "mail/address.h"
#include "mail/mime.h"
#include "t/unit/unit.h"

Suite *address_suite(void);

START_TEST(lists_parse_to_display_and_address)
{
	static const struct {
		const char *in;
		size_t n, bad, groups;
		const char *addr, *display; /* of the last one */
	} cases[] = {
	    {"a@b.example", 1, 0, 0, "a@b.example", ""},
	    {"A.B@EXAMPLE.Org", 1, 0, 0, "A.B@example.org", ""},
	    {"Alice <a@b>", 1, 0, 0, "a@b", "Alice"},
	    {"J. Q. Public <a@b>", 1, 0, 0, "a@b", "J. Q. Public"},
	    {"\"Doe, J\" <a@b>, c@d", 2, 0, 0, "c@d", ""},
	    {"c@d, \"Doe, \\\"J\\\"\" <a@b>", 2, 0, 0, "a@b", "Doe, \"J\""},
	    {"a@b (Alice (x))", 1, 0, 0, "a@b", "Alice (x)"},
	    {"=?utf-8?q?J=C3=B6rg?= <j@b>", 1, 0, 0, "j@b", "J\xc3\xb6rg"},
	    {"\"a b\"@c", 1, 0, 0, "\"a b\"@c", ""},
	    {"\"ab\"@c", 1, 0, 0, "ab@c", ""},
	    {"<a . b @ c . d>", 1, 0, 0, "a.b@c.d", ""},
	    {"a . b@c", 0, 1, 0, NULL, NULL},
	    {"<@x,@y:a@b>", 1, 0, 0, "a@b", ""},
	    {"Team: a@b, c@d;", 2, 0, 1, "c@d", ""},
	    {"undisclosed-recipients:;", 0, 0, 1, NULL, NULL},
	    {"a@[192.0.2.1]", 1, 0, 0, "a@[192.0.2.1]", ""},
	    {", ,a@b,,", 1, 0, 0, "a@b", ""},
	    {"j\xc3\xb6rg@b\xc3\xbc.de", 1, 0, 0, "j\xc3\xb6rg@b\xc3\xbc.de", ""},
	    {"alice", 1, 0, 0, "alice", ""},
	    {"a@b c@d", 0, 1, 0, NULL, NULL},
	    {"<a@b> junk", 0, 1, 0, NULL, NULL},
	    {"<a@b><c@d>", 0, 1, 0, NULL, NULL},
	    {"a@b@c", 0, 1, 0, NULL, NULL},
	    {"a..b@c", 0, 1, 0, NULL, NULL},
	    {".a@c", 0, 1, 0, NULL, NULL},
	    {"a.@c", 0, 1, 0, NULL, NULL},
	    {"a@.c", 0, 1, 0, NULL, NULL},
	    {"a@c.", 0, 1, 0, NULL, NULL},
	    {"\"a@b", 0, 1, 0, NULL, NULL},
	    {"(a@b", 0, 1, 0, NULL, NULL},
	    {"<a@b", 0, 1, 0, NULL, NULL},
	    {"a\xff@b", 0, 1, 0, NULL, NULL},
	    {"a@b_c.d, x y@z", 1, 1, 0, "a@b_c.d", ""},
	    {"", 0, 0, 0, NULL, NULL},
	};
	struct mail_addrs a;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(mail_addrs_parse(&a, (struct bytes){(const uint8_t *)cases[i].in,
							  strlen(cases[i].in)}),
		    0);
		ck_assert_msg(
		    a.n == cases[i].n && a.bad == cases[i].bad && a.groups == cases[i].groups,
		    "%s: %zu, %zu bad, %zu groups", cases[i].in, a.n, a.bad, a.groups);
		if (cases[i].addr != NULL) {
			ck_assert_str_eq(a.v[a.n - 1].addr, cases[i].addr);
			ck_assert_str_eq(a.v[a.n - 1].display, cases[i].display);
		}
		mail_addrs_free(&a);
	}
}
END_TEST

START_TEST(the_one_from_address_or_an_error)
{
	static const struct {
		const char *header, *addr; /* NULL: refused */
	} cases[] = {
	    {"From: Alice <alice@Example.org>\r\n\r\n", "alice@example.org"},
	    {"from :\r\n alice@example.org (x)\r\n\r\n", "alice@example.org"},
	    {"To: x@y\r\n\r\n", NULL},
	    {"From: a@b\r\nFROM : c@d\r\n\r\n", NULL},
	    {"From: a@b\r\nFrom\r\n : c@d\r\n\r\n", NULL},
	    {"From: a@b, c@d\r\n\r\n", NULL},
	    {"From: Team: a@b;\r\n\r\n", NULL},
	    {"From:\r\n\r\n", NULL},
	    {"From: alice\r\n\r\n", NULL},
	    {"From: \"chief@b\" <a@b>\r\n\r\n", "a@b"},
	    {"From: chief@b <a@b>\r\n\r\n", NULL},
	    {"From: a@b\r\nSubject: x\rFrom: c@d\r\n\r\n", NULL},
	    {"From: a@b\r\nSubject: x\nTo: c@d\r\n\r\n", NULL},
	    {"From: a@b\nTo: c@d\n\n", "a@b"},
	    {"From: a@b, ,\r\n\r\n", "a@b"},
	    {"From: a@b; c@d\r\n\r\n", NULL},
	};
	struct mail_header h;
	struct err e;
	char out[MAIL_ADDR_MAX + 1];
	size_t i;
	int rc;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct octets o = octets_mem(cases[i].header, strlen(cases[i].header));

		ck_assert_int_eq(mail_header_load(&h, &o, 0, o.size), 0);
		e.text[0] = '\0';
		rc = mail_from_single(&h, out, sizeof out, &e);
		ck_assert_msg((rc == 0) == (cases[i].addr != NULL), "case %zu: %s", i, e.text);
		if (rc == 0)
			ck_assert_str_eq(out, cases[i].addr);
		else
			ck_assert_int_ne(e.text[0], '\0');
		mail_header_free(&h);
	}
}
END_TEST

START_TEST(a_header_of_many_lines_is_judged_in_linear_time)
{
	static char text[MAIL_HEADER_MAX];
	struct octets o = octets_mem(text, sizeof text);
	struct mail_header h;
	char out[MAIL_ADDR_MAX + 1];
	struct err e;
	clock_t t;
	size_t i;
	int n;

	memset(text, 'a', sizeof text);
	for (i = 1; i < sizeof text; i += 2)
		text[i] = '\n';
	t = clock();
	for (n = 0; n < 20; n++) {
		ck_assert_int_eq(mail_header_load(&h, &o, 0, sizeof text), 0);
		ck_assert_int_eq(mail_from_single(&h, out, sizeof out, &e), -1);
		mail_header_free(&h);
	}
	ck_assert_msg(clock() - t < 4 * CLOCKS_PER_SEC, "%ld", (long)(clock() - t));
}
END_TEST

START_TEST(paths_of_the_envelope)
{
	static const struct {
		const char *in, *addr; /* NULL: refused */
		size_t used;
	} cases[] = {
	    {"<>", "", 2},
	    {"<a@B.c> SIZE=1", "a@b.c", 7},
	    {"<@x.y,@z:a@b>", "a@b", 13},
	    {"<\"a b\"@c>", "\"a b\"@c", 9},
	    {"<\"a>b\"@c>", "\"a>b\"@c", 9},
	    {"<\"ab\"@c>", "ab@c", 8},
	    {"<Postmaster>", "Postmaster", 12},
	    {"<j\xc3\xb6@b>", "j\xc3\xb6@b", 7},
	    {"<a@[IPv6:::1]>", "a@[ipv6:::1]", 14},
	    {"<alice>", NULL, 0},
	    {"a@b", NULL, 0},
	    {"<a@b", NULL, 0},
	    {"<a@>", NULL, 0},
	    {"<@b>", NULL, 0},
	    {"<a@b>c", "a@b", 5},
	    {"<a b@c>", NULL, 0},
	    {"<a@b c>", NULL, 0},
	    {"<a..b@c>", NULL, 0},
	    {"<@x:>", NULL, 0},
	    {"<a@b\r\nDATA>", NULL, 0},
	};
	struct mail_path p;
	size_t i, used;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int rc = mail_path_parse(&p, cases[i].in, strlen(cases[i].in), &used);

		ck_assert_msg((rc == 0) == (cases[i].addr != NULL), "%s", cases[i].in);
		if (rc == -1)
			continue;
		ck_assert_str_eq(p.addr, cases[i].addr);
		ck_assert_uint_eq(used, cases[i].used);
		ck_assert_int_eq(p.null, i == 0);
	}
}
END_TEST

START_TEST(bounds_of_local_part_and_domain_hold)
{
	char in[1000], out[MAIL_ADDR_MAX + 1];

	memset(in, 'a', sizeof in);
	strlcpy(in + MAIL_LOCAL_MAX, "@b", 3);
	ck_assert_int_eq(mail_addr_normalise(in, out, sizeof out), 0);
	memset(in, 'a', sizeof in);
	strlcpy(in + MAIL_LOCAL_MAX + 1, "@b", 3);
	ck_assert_int_eq(mail_addr_normalise(in, out, sizeof out), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	memset(in, 'a', sizeof in);
	in[1] = '@';
	in[2 + MAIL_DOMAIN_MAX + 1] = '\0';
	ck_assert_int_eq(mail_addr_normalise(in, out, sizeof out), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(mail_addr_normalise("\"a\"@B.", out, sizeof out), 0);
	ck_assert_str_eq(out, "a@b");
	ck_assert_int_eq(mail_addr_normalise("A@b", out, sizeof out), 0);
	ck_assert_str_eq(out, "A@b");
	ck_assert_int_eq(mail_addr_normalise("a", out, sizeof out), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_str_eq(mail_addr_domain("\"x@y\"@z"), "z");
}
END_TEST

Suite *
address_suite(void)
{
	return unit_suite("address", (const TTest *const[]){lists_parse_to_display_and_address,
					 the_one_from_address_or_an_error, paths_of_the_envelope,
					 bounds_of_local_part_and_domain_hold,
					 a_header_of_many_lines_is_judged_in_linear_time, NULL});
}
