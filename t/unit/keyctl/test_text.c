#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keyctl/keyctl.h"
#include "t/unit/unit.h"

Suite *text_suite(void);

START_TEST(reads_fingerprints_as_people_write_them)
{
	static const struct {
		const char *text;
		int ok;
	} t[] = {
	    {"0123456789ABCDEF0123456789ABCDEF01234567", 1},
	    {"0123456789abcdef0123456789abcdef01234567", 1},
	    {"0x0123456789ABCDEF0123456789ABCDEF01234567", 1},
	    {"0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567", 1},
	    {"01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67", 1},
	    {"0123456789ABCDEF0123456789ABCDEF0123456", 0},
	    {"0123456789ABCDEF0123456789ABCDEF012345678", 0},
	    {"0123456789ABCDEF0123456789ABCDEF0123456G", 0},
	    {"01234567", 0},
	    {"", 0},
	    {"0x", 0},
	};
	static const uint8_t want[KEY_FPR] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01,
	    0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67};
	uint8_t fpr[KEY_FPR];

	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		ck_assert_msg((parse_fpr(t[i].text, fpr) == 0) == t[i].ok, "%s", t[i].text);
		if (t[i].ok)
			ck_assert_mem_eq(fpr, want, KEY_FPR);
	}
}
END_TEST

START_TEST(reads_spans)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t days;
	} t[] = {
	    {"2y", 0, 730},
	    {"18m", 0, 540},
	    {"4w", 0, 28},
	    {"90d", 0, 90},
	    {"never", 0, 0},
	    {"0", 0, 0},
	    {"100y", 0, 36500},
	    {"101y", -1, 0},
	    {"0d", -1, 0},
	    {"-1d", -1, 0},
	    {"5", -1, 0},
	    {"y", -1, 0},
	    {"5yy", -1, 0},
	    {"99999999999999999999d", -1, 0},
	    {"", -1, 0},
	};
	uint64_t s;

	for (unsigned i = 0; i < sizeof t / sizeof t[0]; i++) {
		ck_assert_msg(parse_span(t[i].text, &s) == t[i].rc, "%s", t[i].text);
		if (t[i].rc == 0)
			ck_assert_uint_eq(s, t[i].days * 86400);
	}
}
END_TEST

START_TEST(shows_nothing_that_a_terminal_obeys)
{
	char out[SHOWN_MAX], longer[2 * SHOWN_MAX];

	ck_assert_str_eq(shown("J\xc3\xbcrg <j@a.example>", out), "J\xc3\xbcrg <j@a.example>");
	ck_assert_str_eq(shown("a\033[2Jb\nc\x7f", out), "a\\x1B[2Jb\\x0Ac\\x7F");
	ck_assert_str_eq(shown("a\xc2\x9b"
			       "2Jb",
			     out),
	    "a\\xC2\\x9B2Jb");
	/* The same control where the terminal has no UTF-8, and text that would be drawn backwards.
	 */
	ck_assert_str_eq(shown("a\x9b"
			       "2Jb",
			     out),
	    "a\\x9B2Jb");
	ck_assert_str_eq(shown("a\u202eb", out), "a\\xE2\\x80\\xAEb");
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	ck_assert_uint_lt(strlen(shown(longer, out)), SHOWN_MAX);
	ck_assert_ptr_nonnull(strstr(out, "x..."));
}
END_TEST

static int
jail_ok(const void *arg, struct buf *out)
{
	return buf_puts(out, arg);
}

static int
jail_fails(const void *arg, struct buf *out)
{
	(void)arg;
	(void)out;
	return -1;
}

static int
jail_dies(const void *arg, struct buf *out)
{
	(void)arg;
	(void)out;
	abort();
}

static int
jail_writes_much(const void *arg, struct buf *out)
{
	static char text[4096];

	(void)arg;
	while (buf_put(out, text, sizeof text) == 0)
		;
	return 0;
}

static int
jail_looks_around(const void *arg, struct buf *out)
{
	const int *fds = arg;

	return buf_puts(out,
	    fcntl(fds[0], F_GETFD) == -1 && fcntl(fds[1], F_GETFD) == -1 && read(0, out, 1) == 0
		? "nothing"
		: "something");
}

/* A reader that was taken over could talk to the daemons through them. */
START_TEST(a_jail_has_none_of_the_descriptors_of_its_tool)
{
	struct err e = {0};
	struct buf b;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	if (fds[0] == 3) { /* where the jail keeps its own */
		fds[0] = dup(fds[0]);
		close(3);
	}
	buf_init(&b, 1000);
	ck_assert_int_eq(jail_run(jail_looks_around, fds, "file", &b, &e), 0);
	ck_assert_mem_eq(buf_ptr(&b), "nothing", 7);
	buf_free(&b);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(a_jail_answers_or_tells_how_it_ended)
{
	struct err e = {0};
	struct buf b;

	buf_init(&b, 100000);
	ck_assert_int_eq(jail_run(jail_ok, "answer", "file", &b, &e), 0);
	ck_assert_uint_eq(buf_len(&b), 6);
	ck_assert_mem_eq(buf_ptr(&b), "answer", 6);
	buf_reset(&b);
	ck_assert_int_eq(jail_run(jail_fails, NULL, "file", &b, &e), -1);
	ck_assert_str_eq(e.text, "file: cannot be read");
	ck_assert_int_eq(jail_run(jail_dies, NULL, "file", &b, &e), -1);
	ck_assert_int_eq(e.code, EBADMSG);
	ck_assert_int_eq(jail_run(jail_writes_much, NULL, "file", &b, &e), 0);
	ck_assert_uint_le(buf_len(&b), 100000);
	buf_free(&b);
}
END_TEST

START_TEST(takes_a_passphrase_from_a_private_file)
{
	char name[] = "/tmp/keyctl-unit-XXXXXX", pass[PASS_MAX];
	struct err e = {0};
	int fd = mkstemp(name);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(write(fd, "correct horse\n", 14), 14);
	ck_assert_int_eq(ask_passphrase(name, "pass", 1, pass, &e), 0);
	ck_assert_str_eq(pass, "correct horse");
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	ck_assert_int_eq(ask_passphrase(name, "pass", 0, pass, &e), -1);
	ck_assert_int_eq(e.code, EACCES);
	ck_assert_int_eq(fchmod(fd, 0600), 0);
	ck_assert_int_eq(pwrite(fd, "\0", 1, 3), 1);
	ck_assert_int_eq(ask_passphrase(name, "pass", 0, pass, &e), -1);
	close(fd);
	(void)unlink(name);
	ck_assert_int_eq(ask_passphrase(name, "pass", 0, pass, &e), -1);
	ck_assert_int_eq(e.code, ENOENT);
}
END_TEST

Suite *
text_suite(void)
{
	const TTest *const tests[] = {
	    a_jail_has_none_of_the_descriptors_of_its_tool,
	    reads_fingerprints_as_people_write_them,
	    reads_spans,
	    shows_nothing_that_a_terminal_obeys,
	    a_jail_answers_or_tells_how_it_ended,
	    takes_a_passphrase_from_a_private_file,
	    NULL,
	};

	return unit_suite("keyctl text", tests);
}
