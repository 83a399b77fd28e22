#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "mail/header.h"
#include "mail/write.h"
#include "t/unit/unit.h"

Suite *write_suite(void);

static const char *
field(struct buf *b, const char *name, const char *value)
{
	struct sink s = sink_buf(b);

	buf_init(b, 100000);
	ck_assert_int_eq(mail_put_field(&s, name, value), 0);
	ck_assert_int_eq(buf_putc(b, 0), 0);
	return (const char *)buf_ptr(b);
}

START_TEST(fields_fold_and_encode)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"plain", "Subject: plain\r\n"},
	    {"", "Subject: \r\n"},
	    {"  a  b ", "Subject: a  b\r\n"},
	    {"J\xc3\xb6rg", "Subject: =?UTF-8?Q?J=C3=B6rg?=\r\n"},
	    {"a \xc3\xb6 \xc3\xb6 b", "Subject: a =?UTF-8?Q?=C3=B6_=C3=B6?= b\r\n"},
	    {"a\r\nBcc: x", "Subject: =?UTF-8?Q?a=EF=BF=BD=EF=BF=BDBcc=3A?= x\r\n"},
	    {"=?utf-8?q?x?=", "Subject: =?UTF-8?Q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=\r\n"},
	};
	struct buf b;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		ck_assert_str_eq(field(&b, "Subject", cases[i].in), cases[i].out);
		buf_free(&b);
	}
}
END_TEST

START_TEST(long_values_come_back_from_lines_of_78)
{
	char in[3000], want[3000];
	struct buf b, back;
	const char *p, *lf;
	int i, round;

	for (round = 0; round < 3; round++) {
		in[0] = '\0';
		for (i = 0; i < 150; i++)
			strlcat(in,
			    round == 0   ? "word "
			    : round == 1 ? "w\xc3\xb6rd"
					 : "w\xe2\x82\xac x ",
			    sizeof in);
		p = field(&b, "Subject", in);
		for (; (lf = strstr(p, "\r\n")) != NULL; p = lf + 2)
			ck_assert_int_le(lf - p, 78);
		buf_init(&back, 10000);
		ck_assert_int_eq(
		    mail_decode_text((struct bytes){buf_ptr(&b) + 8, buf_len(&b) - 9}, &back), 0);
		strlcpy(want, in, sizeof want);
		while (want[0] != '\0' && want[strlen(want) - 1] == ' ')
			want[strlen(want) - 1] = '\0';
		ck_assert_uint_eq(buf_len(&back), strlen(want));
		ck_assert_mem_eq(buf_ptr(&back), want, strlen(want));
		buf_free(&back);
		buf_free(&b);
	}
}
END_TEST

START_TEST(a_bad_field_name_is_refused)
{
	struct buf b;
	struct sink s = sink_buf(&b);

	buf_init(&b, 1000);
	ck_assert_int_eq(mail_put_field(&s, "Sub ject", "x"), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(mail_put_field(&s, "A:\r\nB", "x"), -1);
	ck_assert_int_eq(mail_put_field(&s, "", "x"), -1);
	buf_free(&b);
}
END_TEST

START_TEST(boundaries_are_all_different)
{
	char a[MAIL_BOUNDARY_LEN + 1], b[MAIL_BOUNDARY_LEN + 1];

	mail_boundary_random(a);
	mail_boundary_random(b);
	ck_assert_uint_eq(strlen(a), MAIL_BOUNDARY_LEN);
	ck_assert_mem_eq(a, "=_", 2);
	ck_assert_str_ne(a, b);
}
END_TEST

static void
filter(enum mail_filter_kind kind, const void *in, size_t n, size_t chunk, struct buf *out)
{
	struct mail_filter f;
	struct sink s = sink_buf(out);
	const uint8_t *p = in;
	size_t k;

	buf_init(out, 1 << 20);
	mail_filter_init(&f, kind, &s);
	for (; n > 0; p += k, n -= k) {
		k = n < chunk ? n : chunk;
		ck_assert_int_eq(mail_filter_write(&f, p, k), 0);
	}
	ck_assert_int_eq(mail_filter_end(&f), 0);
}

START_TEST(filters_give_the_same_for_any_chunks)
{
	static const struct {
		enum mail_filter_kind kind;
		const char *in, *out;
	} cases[] = {
	    {MAIL_B64_ENCODE, "", ""},
	    {MAIL_B64_ENCODE, "a", "YQ==\r\n"},
	    {MAIL_B64_ENCODE, "ab", "YWI=\r\n"},
	    {MAIL_B64_ENCODE, "abc", "YWJj\r\n"},
	    {MAIL_B64_DECODE, "YW\r\nJ j!YQ==YWJj", "abca"},
	    {MAIL_B64_DECODE, "YWJjY", "abc"},
	    {MAIL_QP_ENCODE, "a=b \r\n\tc\t", "a=3Db=20\r\n\tc=09"},
	    {MAIL_QP_ENCODE, "a\rb\nc\r\n\r", "a=0Db=0Ac\r\n=0D"},
	    {MAIL_QP_ENCODE, "-- \r\nFrom x\r\nFrog\xc3\xb6", "=2D-=20\r\nFrom=20x\r\nFrog=C3=B6"},
	    {MAIL_QP_DECODE, "a=3Db=20 \r\nc=\r\nd=  \ne", "a=b \r\ncde"},
	    {MAIL_QP_DECODE, "a=zz=4 =\r x=", "a=zz=4 =\r x"},
	    {MAIL_QP_DECODE, "a \t\rb  ", "a \t\rb"},
	    {MAIL_CRLF, "a\nb\r\nc\rd\n", "a\r\nb\r\nc\rd\r\n"},
	};
	struct buf b;
	size_t i, chunk;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (chunk = 1; chunk < 12; chunk++) {
			filter(cases[i].kind, cases[i].in, strlen(cases[i].in), chunk, &b);
			ck_assert_int_eq(buf_putc(&b, 0), 0);
			ck_assert_str_eq((const char *)buf_ptr(&b), cases[i].out);
			buf_free(&b);
		}
}
END_TEST

/* Lines of at most 76 octets that no transport changes: what MAIL_7BIT_HARD and _SOFT name. */
static void
check_lines(const struct buf *b)
{
	const char *p = (const char *)buf_ptr(b), *end = p + buf_len(b), *lf;
	size_t i, n;

	for (; p < end; p = lf + 1) {
		if ((lf = memchr(p, '\n', (size_t)(end - p))) == NULL)
			lf = end;
		n = (size_t)(lf - p);
		if (lf < end) {
			ck_assert_uint_ge(n, 1);
			ck_assert_int_eq(p[--n], '\r');
		}
		ck_assert_uint_le(n, 76);
		for (i = 0; i < n; i++)
			ck_assert(p[i] == '\t' || (p[i] >= ' ' && p[i] <= '~'));
		ck_assert(n == 0 || (p[n - 1] != ' ' && p[n - 1] != '\t'));
		ck_assert(n < 5 || memcmp(p, "From ", 5) != 0);
		if (lf == end)
			break;
	}
}

START_TEST(what_is_encoded_is_short_lines_and_comes_back)
{
	uint8_t in[5000];
	struct buf a, b;
	size_t n, i;
	int kind;

	for (n = 0; n < sizeof in; n += 311)
		for (kind = 0; kind < 2; kind++) {
			for (i = 0; i < n; i++)
				in[i] = (uint8_t)(i * i >> 3);
			filter(kind ? MAIL_B64_ENCODE : MAIL_QP_ENCODE, in, n, 17, &a);
			check_lines(&a);
			filter(kind ? MAIL_B64_DECODE : MAIL_QP_DECODE, buf_ptr(&a), buf_len(&a), 5,
			    &b);
			ck_assert_uint_eq(buf_len(&b), n);
			ck_assert_mem_eq(buf_ptr(&b), in, n);
			buf_free(&a);
			buf_free(&b);
		}
}
END_TEST

Suite *
write_suite(void)
{
	return unit_suite(
	    "write", (const TTest *const[]){fields_fold_and_encode,
			 long_values_come_back_from_lines_of_78, a_bad_field_name_is_refused,
			 boundaries_are_all_different, filters_give_the_same_for_any_chunks,
			 what_is_encoded_is_short_lines_and_comes_back, NULL});
}
