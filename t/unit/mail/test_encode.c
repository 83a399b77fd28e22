#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "mail/encode.h"
#include "t/unit/unit.h"

Suite *encode_suite(void);

#define MP "Content-Type: multipart/mixed; boundary=b\r\n"

START_TEST(only_what_needs_it_is_encoded)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
		unsigned how;
	} cases[] = {
	    {"A: b\r\n\r\nclean\r\n", "A: b\r\n\r\nclean\r\n", 0},
	    {"A: b\r\n\r\nJ\xc3\xb6rg and more text\r\n",
		"A: b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nJ=C3=B6rg and more "
		"text\r\n",
		0},
	    {"A: b\r\nContent-Transfer-Encoding: 8bit\r\nC: d\r\n\r\n\xc3\xb6\r\n",
		"A: b\r\nContent-Transfer-Encoding: quoted-printable\r\nC: d\r\n\r\n=C3=B6\r\n", 0},
	    {"Content-Transfer-Encoding: 8bit\r\n\r\nclean\r\n",
		"Content-Transfer-Encoding: 7bit\r\n\r\nclean\r\n", 0},
	    {"Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nx\r\n",
		"Content-Type: text/plain\r\n\r\nx\r\n", MAIL_ENTITY},
	    {"Subject: s\r\n\r\n\xff\r\n", "\r\n\xff\r\n", MAIL_ENTITY | MAIL_KEEP_ENCODING},
	    {"A: b\r\n\r\ntrailing \r\n",
		"A: b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ntrailing=20\r\n", 0},
	    {MP "Content-Transfer-Encoding: "
		"8bit\r\n\r\npre\r\n--b\r\n\r\none\r\n--b\r\n\r\nw\xc3\xb6rd "
		"word\r\n--b--\r\nend\r\n",
		MP "Content-Transfer-Encoding: 7bit\r\n\r\npre\r\n--b\r\n\r\none\r\n--b\r\n"
		   "Content-Transfer-Encoding: quoted-printable\r\n\r\nw=C3=B6rd "
		   "word\r\n--b--\r\nend\r\n",
		0},
	    {MP "\r\npr\xff\r\n--b x\r\n\r\none\r\n--b--\r\nend\r\n",
		MP "\r\n--b\r\n\r\none\r\n--b--\r\n", 0},
	    {MP "\r\n--b\r\nContent-Type: a/b; name=\"f\xc3\xb6 "
		"\xc3\xb6.txt\"\r\n\r\nx\r\n--b--\r\n",
		MP "\r\n--b\r\nContent-Type: a/b;"
		   " name=\"=?UTF-8?Q?f=C3=B6=20=C3=B6=2Etxt?=\"\r\n\r\nx\r\n--b--\r\n",
		0},
	    {"Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nw\xc3\xb6rd word\r\n",
		"Content-Type: message/rfc822\r\n\r\nA: b\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nw=C3=B6rd word\r\n",
		0},
	    {MP "\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx "
		"\r\n--s--\r\n--b--\r\n",
		MP "\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx "
		   "\r\n--s--\r\n--b--\r\n",
		0},
	    {MP "\r\n--b\r\nContent-Type: multipart/signed; "
		"boundary=s\r\n\r\n--s\r\n\r\n\xff\r\n--s--\r\n--b--\r\n",
		NULL, 0},
	    {"Content-Transfer-Encoding: x-uuencode\r\n\r\n\xff\r\n", NULL, 0},
	    {"Content-Type: multipart/mixed\r\n\r\n\xff\r\n", NULL, 0},
	    {MP "\r\n--b--\r\r\n", NULL, 0},
	    {"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\r\n\r\nx\r\n--b--\r\n", NULL,
		0},
	    {"To: <\xc3\xb6@b>\r\n\r\nx\r\n", NULL, 0},
	    {"Content-Transfer-Encoding: base64\r\n\r\nw7Y=\r\n\xff\r\n",
		"Content-Transfer-Encoding: base64\r\n\r\nw7Y=\r\n", 0},
	};
	struct mail_index ix;
	struct buf b;
	struct sink s = sink_buf(&b);
	size_t i;
	int rc;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct octets o = octets_mem(cases[i].in, strlen(cases[i].in));

		buf_init(&b, 10000);
		ck_assert_int_eq(mail_index_make(&ix, &o), 0);
		rc = mail_to_7bit(&o, &ix, 0, cases[i].how, &s);
		if (cases[i].out == NULL) {
			ck_assert_int_eq(rc, -1);
			ck_assert_int_eq(errno, EOPNOTSUPP);
		} else {
			ck_assert_int_eq(rc, 0);
			ck_assert_int_eq(buf_putc(&b, 0), 0);
			ck_assert_str_eq((const char *)buf_ptr(&b), cases[i].out);
		}
		mail_index_free(&ix);
		buf_free(&b);
	}
}
END_TEST

Suite *
encode_suite(void)
{
	return unit_suite("encode", (const TTest *const[]){only_what_needs_it_is_encoded, NULL});
}
