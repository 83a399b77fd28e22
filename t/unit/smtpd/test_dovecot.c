#include <errno.h>
#include <string.h>

#include "smtpd/dovecot.h"
#include "t/unit/unit.h"

static int
parse(const char *text, struct dovecot_line *l)
{
	static char line[512];

	(void)strlcpy(line, text, sizeof line);
	return dovecot_parse(line, l);
}

START_TEST(reads_what_a_server_says)
{
	struct dovecot_line l;

	ck_assert_int_eq(parse("VERSION\t1\t2", &l), 0);
	ck_assert_int_eq(l.verb, DOVECOT_VERSION);
	ck_assert_uint_eq(l.major, 1);
	ck_assert_int_eq(parse("MECH\tPLAIN\tplaintext", &l), 0);
	ck_assert_int_eq(l.verb, DOVECOT_MECH);
	ck_assert_str_eq(l.word, "PLAIN");
	ck_assert_int_eq(parse("DONE", &l), 0);
	ck_assert_int_eq(l.verb, DOVECOT_DONE);
	ck_assert_int_eq(parse("OK\t7\tuser=alice\tresp=\tnologin", &l), 0);
	ck_assert_int_eq(l.verb, DOVECOT_OK);
	ck_assert_uint_eq(l.id, 7);
	ck_assert_str_eq(l.user, "alice");
	ck_assert_int_eq(parse("OK\t7\tuser=alice", &l), 0);
	ck_assert_int_eq(l.barred, 0);
	ck_assert_int_eq(parse("OK\t7\tuser=nologin\treason=nologin", &l), 0);
	ck_assert_int_eq(l.barred, 0);
	ck_assert_int_eq(parse("OK\t7\tuser=alice\tnologin\treason=closed", &l), 0);
	ck_assert_int_eq(l.barred, 1);
	ck_assert_str_eq(l.reason, "closed");
	/* A mailbox that is at another host. */
	ck_assert_int_eq(parse("OK\t7\tuser=alice\tproxy\tnologin\thost=10.0.0.1", &l), 0);
	ck_assert_int_eq(l.barred, 0);
	ck_assert_int_eq(parse("OK\t4294967295", &l), 0);
	ck_assert_uint_eq(l.id, UINT32_MAX);
	ck_assert_str_eq(l.user, "");
	ck_assert_int_eq(parse("FAIL\t8\tuser=x\treason=no\001tway\ttemp", &l), 0);
	ck_assert_int_eq(l.verb, DOVECOT_FAIL);
	ck_assert_str_eq(l.reason, "no\tway");
	ck_assert_int_eq(l.temporary, 1);
	ck_assert_int_eq(parse("FAIL\t8\tcode=temp_fail", &l), 0);
	ck_assert_int_eq(l.temporary, 1);
	ck_assert_int_eq(parse("FAIL\t8\tuser=temp", &l), 0);
	ck_assert_int_eq(l.temporary, 0);
	ck_assert_int_eq(parse("CONT\t9\tUGFzc3dvcmQ6", &l), 0);
	ck_assert_int_eq(l.verb, DOVECOT_CONT);
	ck_assert_str_eq(l.word, "UGFzc3dvcmQ6");
	ck_assert_int_eq(parse("CONT\t9", &l), 0);
	ck_assert_str_eq(l.word, "");
}
END_TEST

START_TEST(does_not_mind_what_is_not_for_us)
{
	static const char *const lines[] = {
	    "SPID\t4711", "CUID\t1", "COOKIE\tdeadbeef", "", "\t", "ok\t1", "OKAY\t1", "DONE\tx"};
	struct dovecot_line l;
	size_t i;

	for (i = 0; i < sizeof lines / sizeof lines[0]; i++)
		ck_assert_int_eq(parse(lines[i], &l), 0);
	ck_assert_int_eq(parse("ok\t1", &l), 0);
	ck_assert_int_eq(l.verb, DOVECOT_OTHER);
}
END_TEST

START_TEST(refuses_lines_without_what_belongs_there)
{
	static const char *const lines[] = {"VERSION", "VERSION\t", "VERSION\tx", "MECH", "MECH\t",
	    "OK", "OK\t", "OK\tx", "OK\t-1", "OK\t1x", "OK\t4294967296", "OK\t99999999999", "FAIL",
	    "CONT\t\tx"};
	struct dovecot_line l;
	size_t i;

	for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		errno = 0;
		ck_assert_msg(parse(lines[i], &l) == -1, "%s", lines[i]);
		ck_assert_int_eq(errno, EBADMSG);
	}
}
END_TEST

START_TEST(undoes_escapes_in_place)
{
	struct dovecot_line l;

	ck_assert_int_eq(parse("OK\t1\tuser=a\0011b\001nc\001rd\001te\0010f\001", &l), 0);
	ck_assert_str_eq(l.user, "a\001b\nc\rd\te?f\001");
}
END_TEST

START_TEST(requests_are_one_line_each)
{
	static const char *const bad[] = {"a\tb", "a\nb", "a\rb", "a\001b"};
	struct buf b;
	size_t i;

	buf_init(&b, 1024);
	ck_assert_int_eq(dovecot_hello(&b, 42), 0);
	ck_assert_int_eq(dovecot_auth(&b, 1, "PLAIN", 1, "192.0.2.1", "::1", "AGEAYg=="), 0);
	ck_assert_int_eq(dovecot_auth(&b, 2, "LOGIN", 0, "", "", NULL), 0);
	ck_assert_int_eq(dovecot_cont(&b, 2, "YQ=="), 0);
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	ck_assert_str_eq((const char *)buf_ptr(&b),
	    "VERSION\t1\t2\nCPID\t42\n"
	    "AUTH\t1\tPLAIN\tservice=smtp\tnologin\tsecured\tlip=192.0.2.1\trip=::1\tresp=AGEAYg=="
	    "\n"
	    "AUTH\t2\tLOGIN\tservice=smtp\tnologin\n"
	    "CONT\t2\tYQ==\n");
	buf_reset(&b);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_int_eq(dovecot_auth(&b, 1, "PLAIN", 0, "", bad[i], "x"), -1);
		ck_assert_int_eq(dovecot_auth(&b, 1, "PLAIN", 0, bad[i], "", "x"), -1);
		ck_assert_int_eq(dovecot_auth(&b, 1, "PLAIN", 0, "", "", bad[i]), -1);
		ck_assert_int_eq(dovecot_cont(&b, 1, bad[i]), -1);
		ck_assert_int_eq(errno, EINVAL);
	}
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_free(&b);
	/* All of it, or nothing. */
	buf_init(&b, 20);
	ck_assert_int_eq(dovecot_auth(&b, 1, "PLAIN", 0, "", "", "AGEAYg=="), -1);
	ck_assert_uint_eq(buf_len(&b), 0);
	buf_free(&b);
}
END_TEST

Suite *dovecot_suite(void);
Suite *
dovecot_suite(void)
{
	const TTest *const tests[] = {reads_what_a_server_says, does_not_mind_what_is_not_for_us,
	    refuses_lines_without_what_belongs_there, undoes_escapes_in_place,
	    requests_are_one_line_each, NULL};

	return unit_suite("dovecot", tests);
}
