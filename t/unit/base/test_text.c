#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/enc.h"
#include "base/log.h"
#include "t/unit/unit.h"

Suite *text_suite(void);

START_TEST(log_escape_leaves_no_way_to_forge_a_line)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"plain text", "plain text"},
	    {"a\r\nNOQUEUE: reject", "a\\x0D\\x0ANOQUEUE: reject"},
	    {"to=<x>, relay=[1.2.3.4]", "to=\\x3Cx\\x3E\\x2C relay=\\x5B1.2.3.4\\x5D"},
	    {"J\xc3\xb6rg", "J\xc3\xb6rg"},
	    {"\xc3(", "\\xC3("},
	    {"\xe2\x80\xae"
	     "gpj",
		"\\xE2\\x80\\xAEgpj"},
	    {"\xed\xa0\x80", "\\xED\\xA0\\x80"},
	    {"back\\slash\"", "back\\x5Cslash\\x22"},
	};
	char out[256];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_str_eq(
		    log_escape(out, sizeof out, cases[i].in, strlen(cases[i].in)), cases[i].out);
}
END_TEST

START_TEST(text_keeps_addresses_readable_and_makes_no_field_of_them)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"550 5.1.1 <a@b.test>: no such user", "550 5.1.1 <a@b.test>: no such user"},
	    {"host mx.test[192.0.2.1] said: 550 <>", "host mx.test[192.0.2.1] said: 550 <>"},
	    {"[2001:db8::1]", "[2001:db8::1]"},
	    {"), to=<x@y>, status=sent (ok", ")\\x2C to=\\x3Cx@y\\x3E\\x2C status=sent (ok"},
	    {"from=[192.0.2.1]", "from=\\x5B192.0.2.1\\x5D"},
	    {"<a b>", "\\x3Ca b\\x3E"},
	    {"<a@b", "\\x3Ca@b"},
	    {"a> [x <y> ]", "a\\x3E \\x5Bx <y> \\x5D"},
	    {"<a\"b>", "\\x3Ca\\x22b\\x3E"},
	    {"<a\nb>", "\\x3Ca\\x0Ab\\x3E"},
	};
	char out[256];
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_str_eq(log_escape_text(out, sizeof out, cases[i].in, strlen(cases[i].in)),
		    cases[i].out);
}
END_TEST

START_TEST(log_escape_never_writes_past_its_room)
{
	char in[300], *out;
	size_t room;

	memset(in, 1, sizeof in);
	for (room = 8; room < 64; room++) {
		out = malloc(room);
		log_escape(out, room, in, sizeof in);
		ck_assert_uint_lt(strlen(out), room);
		ck_assert_str_eq(out + strlen(out) - 3, "...");
		free(out);
	}
	memset(in, 'a', sizeof in);
	in[3] = '<';
	in[30] = '>';
	for (room = 8; room < 64; room++) {
		out = malloc(room);
		log_escape_text(out, room, in, sizeof in);
		ck_assert_uint_lt(strlen(out), room);
		ck_assert_str_eq(out + strlen(out) - 3, "...");
		free(out);
	}
}
END_TEST

START_TEST(base64_round_trips_and_refuses_what_is_not_canonical)
{
	static const char *const bad[] = {
	    "QQ", "QQ=", "QR==", "QUJ=", "Q===", "====", "QQ==QQ==", "Q Q=", NULL};
	uint8_t in[64], back[64];
	char text[B64_LEN(64) + 1];
	size_t n, i;

	for (i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)(i * 37);
	for (n = 0; n <= sizeof in; n++) {
		size_t len = b64_encode(text, in, n);

		ck_assert_int_eq(b64_decode(back, sizeof back, text, len), (ssize_t)n);
		ck_assert_mem_eq(back, in, n);
	}
	for (i = 0; bad[i] != NULL; i++)
		ck_assert_int_eq(b64_decode(back, sizeof back, bad[i], strlen(bad[i])), -1);
	ck_assert_int_eq(b64_decode(back, 1, "QUJD", 4), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
}
END_TEST

START_TEST(a_buffer_holds_its_maximum_and_no_more)
{
	struct buf b;
	char block[1000] = {0};
	int i;

	buf_init(&b, 10000);
	for (i = 0; i < 10; i++)
		ck_assert_int_eq(buf_put(&b, block, sizeof block), 0);
	ck_assert_int_eq(buf_putc(&b, 1), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	buf_drain(&b, 1);
	ck_assert_int_eq(buf_putc(&b, 1), 0);
	ck_assert_uint_eq(buf_len(&b), 10000);
	ck_assert_uint_eq(buf_ptr(&b)[9999], 1);
	buf_free(&b);
}
END_TEST

/* The sanitizer keeps what was freed for a while: it can be looked into. */
START_TEST(a_buffer_that_grows_leaves_no_secret_behind)
{
	uint8_t *old;
	struct buf b;
	size_t n;

	buf_init(&b, 10000);
	ck_assert_int_eq(buf_puts(&b, "of no interest, and a secret"), 0);
	buf_drain(&b, buf_len(&b));
	ck_assert_int_eq(buf_puts(&b, "short"), 0);
	old = b.data;
	n = b.size;
	ck_assert_ptr_nonnull(buf_reserve(&b, n));
	ck_assert_ptr_ne(b.data, old);
	ASAN_UNPOISON_MEMORY_REGION(old, n);
	ck_assert_ptr_null(memmem(old, n, "secret", 6));
	buf_free(&b);
}
END_TEST

Suite *
text_suite(void)
{
	return unit_suite("text", (const TTest *const[]){log_escape_leaves_no_way_to_forge_a_line,
				      text_keeps_addresses_readable_and_makes_no_field_of_them,
				      log_escape_never_writes_past_its_room,
				      base64_round_trips_and_refuses_what_is_not_canonical,
				      a_buffer_holds_its_maximum_and_no_more,
				      a_buffer_that_grows_leaves_no_secret_behind, NULL});
}
