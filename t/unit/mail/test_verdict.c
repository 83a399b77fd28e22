#include <string.h>

#include "base/buf.h"
#include "mail/verdict.h"
#include "t/unit/unit.h"

Suite *verdict_suite(void);

START_TEST(every_verdict_is_as_long_as_every_other)
{
	struct mail_verdict v = {.signer = NULL};
	struct buf b;
	struct sink s = sink_buf(&b);
	int d, g;

	for (d = MAIL_DEC_NO; d <= MAIL_DEC_FAILED; d++)
		for (g = MAIL_SIG_NONE; g <= MAIL_SIG_DAMAGED; g++) {
			v.decrypted = (enum mail_decrypted)d;
			v.signature = (enum mail_signature)g;
			buf_init(&b, 1000);
			ck_assert_int_eq(mail_put_verdict(&s, &v), 0);
			ck_assert_uint_eq(buf_len(&b), MAIL_VERDICT_LEN);
			ck_assert_mem_eq(buf_ptr(&b) + MAIL_VERDICT_LEN - 2, "\r\n", 2);
			buf_free(&b);
		}
}
END_TEST

START_TEST(a_signer_is_named_only_when_the_signature_is_valid)
{
	struct mail_verdict v = {MAIL_DEC_YES, MAIL_SIG_GOOD, "alice@example.org", "0123ABCD"};
	struct buf b;
	struct sink s = sink_buf(&b);

	buf_init(&b, 2000);
	ck_assert_int_eq(mail_put_verdict(&s, &v), 0);
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	ck_assert_str_eq((const char *)buf_ptr(&b),
	    "X-Postern-Verdict: v=1; decrypted=yes   ; signature=good         ; by=postern\r\n"
	    "X-Postern-Signer: alice@example.org; key=0123ABCD\r\n");
	buf_reset(&b);
	v.signature = MAIL_SIG_BAD;
	ck_assert_int_eq(mail_put_verdict(&s, &v), 0);
	ck_assert_uint_eq(buf_len(&b), MAIL_VERDICT_LEN);
	buf_reset(&b);
	v.signature = MAIL_SIG_GOOD;
	v.signer = "a\r\nX-Evil: x@b";
	ck_assert_int_eq(mail_put_verdict(&s, &v), 0);
	ck_assert_ptr_null(memmem(buf_ptr(&b), buf_len(&b), "\nX-Evil", 7));
	buf_free(&b);
}
END_TEST

START_TEST(forged_fields_go_and_nothing_else)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"A: 1\r\nX-Postern-Verdict: x\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"},
	    {"x-pOSTERN-V \t: x\r\n fold\r\n\tmore\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
	    {"X-Postern-V\r\n : x\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
	    {"  X-Postern-V: x\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
	    {"A: 1\r\n X-Postern-V: in a fold\r\n\r\n", "A: 1\r\n X-Postern-V: in a fold\r\n\r\n"},
	    {"A: 1\rX-Postern-V: x\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"},
	    {"\rX-Postern-V: x\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
	    {"A: 1\n\rX-Postern-V: x\nB: 2\n\n", "A: 1\nB: 2\n\n"},
	    {"X-Poster: y\r\nX-Postern: z\r\nX-Posternity: q\r\n\r\n",
		"X-Poster: y\r\nX-Postern: z\r\nX-Posternity: q\r\n\r\n"},
	    {"A: 1\r\nX-Postern-no colon\r\n\r\n", "A: 1\r\n\r\n"},
	    {"A: 1\r\nX-Postern-V: x", "A: 1\r\n"},
	    {"A: 1\r\nX-Postern", "A: 1\r\nX-Postern"},
	    {"A: \r\r\n\r\n", "A: \r\r\n\r\n"},
	    {"", ""},
	};
	struct buf b;
	struct sink s = sink_buf(&b);
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct octets o = octets_mem(cases[i].in, strlen(cases[i].in));

		buf_init(&b, 1000);
		ck_assert_int_eq(mail_strip_ours(&o, 0, o.size, &s), 0);
		ck_assert_int_eq(buf_putc(&b, 0), 0);
		ck_assert_str_eq((const char *)buf_ptr(&b), cases[i].out);
		buf_free(&b);
	}
}
END_TEST

Suite *
verdict_suite(void)
{
	return unit_suite("verdict", (const TTest *const[]){every_verdict_is_as_long_as_every_other,
					 a_signer_is_named_only_when_the_signature_is_valid,
					 forged_fields_go_and_nothing_else, NULL});
}
