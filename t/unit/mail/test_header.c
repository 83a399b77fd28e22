#include <string.h>

#include "mail/header.h"
#include "mail/mime.h"
#include "t/unit/unit.h"

Suite *header_suite(void);

static struct mail_header
load(const char *text)
{
	struct octets o = octets_mem(text, strlen(text));
	struct mail_header h;

	ck_assert_int_eq(mail_header_load(&h, &o, 0, o.size), 0);
	return h;
}

START_TEST(fields_have_names_offsets_and_bodies)
{
	static const char text[] =
	    "From jim Mon\r\nSubject: a\r\n b\r\nNo colon here\r\n: empty\r\n"
	    "X \t: y\nFolded\r\n : z\r\nBad name: q\r\nLast:\r\n\r\nbody: x\r\n";
	static const struct {
		const char *name, *body;
	} want[] = {{"", "From jim Mon"}, {"Subject", " a\r\n b"}, {"", "No colon here"},
	    {"", ": empty"}, {"X", " y"}, {"Folded", " z"}, {"", "Bad name: q"}, {"Last", ""}};
	struct mail_header h = load(text);
	struct mail_field f;
	size_t pos = 0, i = 0, end = 0;

	for (; mail_field_next(&h, &pos, &f); i++, end = pos) {
		ck_assert_uint_lt(i, sizeof want / sizeof want[0]);
		ck_assert_uint_eq(f.off, end);
		ck_assert_uint_eq(f.name.n, strlen(want[i].name));
		ck_assert_mem_eq(f.name.p, want[i].name, f.name.n);
		ck_assert_uint_eq(f.body.n, strlen(want[i].body));
		ck_assert_mem_eq(f.body.p, want[i].body, f.body.n);
	}
	ck_assert_uint_eq(i, sizeof want / sizeof want[0]);
	mail_header_free(&h);
}
END_TEST

START_TEST(duplicates_are_counted_and_found_in_order)
{
	struct mail_header h = load("To: 1\nto : 2\nTO: 3");
	struct mail_field f;

	ck_assert_uint_eq(mail_header_count(&h, "To"), 3);
	ck_assert(mail_header_get(&h, "tO", 2, &f));
	ck_assert_mem_eq(f.body.p, " 3", 2);
	ck_assert(!mail_header_get(&h, "To", 3, &f));
	mail_header_free(&h);
}
END_TEST

START_TEST(text_decodes_to_one_line_of_utf8)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {" plain \r\n text ", "plain  text"},
	    {"=?utf-8?q?J=C3=B6rg_B?=", "J\xc3\xb6rg B"},
	    {"=?ISO-8859-1*de?Q?J=F6rg?= x", "J\xc3\xb6rg x"},
	    {"=?utf-8?B?SsO2?=\r\n =?utf-8?B?cmc=?=", "J\xc3\xb6rg"},
	    {"=?utf-8?Q?a=C3?= =?UTF-8?q?=B6b?=", "a\xc3\xb6"
						  "b"},
	    {"a =?utf-8?q?b?= c", "a b c"},
	    {"=?x-nobody?q?b?= c", "=?x-nobody?q?b?= c"},
	    {"=?utf-8?b?!!!?=", "=?utf-8?b?!!!?="},
	    {"=?utf-8?q?=ZZ?=", "=?utf-8?q?=ZZ?="},
	    {"=?utf-8?q?=0d=0aBcc:_x?=", "  Bcc: x"},
	    {"=?utf-8?q?=ff?=", "\xef\xbf\xbd"},
	    {"raw \xc3\xb6 and \xf6", "raw \xc3\xb6 and \xc3\xb6"},
	    {"=?windows-1252?Q?=93x=94?=", "\xe2\x80\x9cx\xe2\x80\x9d"},
	    {"=?koi8-r?B?8NLJ18XU?=", "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82"},
	    {"=?utf-8?q?unclosed", "=?utf-8?q?unclosed"},
	    {"=?=?=?=?", "=?=?=?=?"},
	};
	struct buf out;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buf_init(&out, 1000);
		ck_assert_int_eq(
		    mail_decode_text(
			(struct bytes){(const uint8_t *)cases[i].in, strlen(cases[i].in)}, &out),
		    0);
		ck_assert_int_eq(buf_putc(&out, 0), 0);
		ck_assert_str_eq((const char *)buf_ptr(&out), cases[i].out);
		buf_free(&out);
	}
}
END_TEST

START_TEST(parameters_parse_the_same_way_always)
{
	static const struct {
		const char *in, *value, *name, *param;
	} cases[] = {
	    {"Text/Plain; Charset=UTF-8", "text/plain", "charset", "UTF-8"},
	    {"text/plain; charset=us-ascii (Plain text)", "text/plain", "charset", "us-ascii"},
	    {"multipart/mixed; boundary=\"a;b\\\"c\"", "multipart/mixed", "boundary", "a;b\"c"},
	    {"a/b; x; name=file(1).txt; y=2", "a/b", "name", "file(1).txt"},
	    {"a/b; name=my file.txt ;y=2", "a/b", "name", "my file.txt"},
	    {"a/b; name=\"one\"junk; y=2", "a/b", "y", "2"},
	    {"a/b; n=1; n=2", "a/b", "n", "1"},
	    {"a/b; name=\"never closed", "a/b", "name", "never closed"},
	    {"attachment;\r\n filename*0=\"a\";\r\n filename*1=b; filename*2*=%20c", "attachment",
		"filename", "ab c"},
	    {"a; f*=iso-8859-1'de'J%F6rg; f=plain", "a", "f", "J\xc3\xb6rg"},
	    {"a; f*0*=utf-8''J%C3; f*1*=%B6rg; f*3=lost", "a", "f", "J\xc3\xb6rg"},
	    {"a; f*1=b; f=plain", "a", "f", "plain"},
	    {"a;;;b=c;", "a", "b", "c"},
	    {"a; b=", "a", "b", ""},
	    {"", "", "b", NULL},
	};
	struct mail_params p;
	const char *v;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_int_eq(mail_params_parse(&p, (struct bytes){(const uint8_t *)cases[i].in,
							   strlen(cases[i].in)}),
		    0);
		ck_assert_str_eq(p.value, cases[i].value);
		v = mail_param_get(&p, cases[i].name);
		if (cases[i].param == NULL)
			ck_assert_ptr_null(v);
		else {
			ck_assert_msg(v != NULL, "case %zu", i);
			ck_assert_str_eq(v, cases[i].param);
		}
		mail_params_free(&p);
	}
}
END_TEST

START_TEST(more_parameters_than_the_bound_are_cut)
{
	struct mail_params p;
	struct buf b;
	int i;

	buf_init(&b, 100000);
	buf_puts(&b, "a/b");
	for (i = 0; i < 200; i++)
		buf_printf(&b, "; n%d=v", i);
	ck_assert_int_eq(mail_params_parse(&p, (struct bytes){buf_ptr(&b), buf_len(&b)}), 0);
	ck_assert(p.cut);
	ck_assert_uint_eq(p.n, MAIL_PARAMS_MAX);
	mail_params_free(&p);
	buf_free(&b);
}
END_TEST

START_TEST(copies_keep_or_drop_whole_fields)
{
	static const char text[] =
	    "A: 1\r\nContent-Type: x;\r\n y\r\nMIME-Version: 1.0\r\nB\r\n\r\n";
	struct octets o = octets_mem(text, sizeof text - 1);
	struct buf b;
	struct sink s = sink_buf(&b);

	buf_init(&b, 1000);
	ck_assert_int_eq(mail_header_copy(&o, 0, o.size, mail_keep_content, NULL, false, &s), 0);
	ck_assert_uint_eq(buf_len(&b), 22);
	ck_assert_mem_eq(buf_ptr(&b), "Content-Type: x;\r\n y\r\n", 22);
	buf_reset(&b);
	ck_assert_int_eq(mail_header_copy(&o, 0, o.size, mail_keep_envelope, NULL, true, &s), 0);
	ck_assert_uint_eq(buf_len(&b), 11);
	ck_assert_mem_eq(buf_ptr(&b), "A: 1\r\nB\r\n\r\n", 11);
	buf_free(&b);
}
END_TEST

START_TEST(copies_hide_no_field_behind_a_bare_cr)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"Content-Type: x\rX-Postern-Verdict: y\r\nA: 1\r\n",
		"Content-Type: x X-Postern-Verdict: y\r\n"},
	    {"Content-Type: x\r\r\nA: \r1\r\n", "Content-Type: x \r\n"},
	    {"Content-Type: x\n\rContent-A: 1\n", "Content-Type: x\n"},
	    {"Content-Type: x\r", "Content-Type: x "},
	    {"Content-Type: x\r\n y\r", "Content-Type: x\r\n y "},
	    {"Content-Type: x\r\n\rA: y\r\n", "Content-Type: x\r\n"},
	    {"\rContent-Type: x\r\n", ""},
	};
	struct octets o;
	struct buf b;
	struct sink s = sink_buf(&b);
	size_t i;

	buf_init(&b, 1000);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		o = octets_mem(cases[i].in, strlen(cases[i].in));
		buf_reset(&b);
		ck_assert_int_eq(
		    mail_header_copy(&o, 0, o.size, mail_keep_content, NULL, false, &s), 0);
		ck_assert_msg(buf_len(&b) == strlen(cases[i].out) &&
				  memcmp(buf_ptr(&b), cases[i].out, buf_len(&b)) == 0,
		    "case %zu: %.*s", i, (int)buf_len(&b), (const char *)buf_ptr(&b));
	}
	buf_free(&b);
}
END_TEST

START_TEST(copies_make_no_fold_of_a_line_that_begins_with_a_cr)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"From: a@b\r\n\r <c@d>\r\n\r\n", "From: a@b\r\n? <c@d>\r\n"},
	    {"From: a@b\n\r\r <c@d>\n\n", "From: a@b\n?  <c@d>\n"},
	    {"\rFrom: a@b\r\n\r\n", "?From: a@b\r\n"},
	    {"From: a@b\r\n\r", "From: a@b\r\n?"},
	};
	struct octets o;
	struct buf b;
	struct sink s = sink_buf(&b);
	size_t i;

	buf_init(&b, 1000);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		o = octets_mem(cases[i].in, strlen(cases[i].in));
		buf_reset(&b);
		ck_assert_int_eq(
		    mail_header_copy(&o, 0, o.size, mail_keep_envelope, NULL, false, &s), 0);
		ck_assert_int_eq(buf_putc(&b, 0), 0);
		ck_assert_str_eq((const char *)buf_ptr(&b), cases[i].out);
	}
	buf_free(&b);
}
END_TEST

Suite *
header_suite(void)
{
	return unit_suite("header",
	    (const TTest *const[]){fields_have_names_offsets_and_bodies,
		duplicates_are_counted_and_found_in_order, text_decodes_to_one_line_of_utf8,
		parameters_parse_the_same_way_always, more_parameters_than_the_bound_are_cut,
		copies_keep_or_drop_whole_fields, copies_hide_no_field_behind_a_bare_cr,
		copies_make_no_fold_of_a_line_that_begins_with_a_cr, NULL});
}
