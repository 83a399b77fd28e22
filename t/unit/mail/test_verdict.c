#include <string.h>

#include "base/buf.h"
#include "mail/address.h"
#include "mail/verdict.h"
#include "t/unit/unit.h"

Suite *verdict_suite(void);

START_TEST(every_verdict_is_as_long_as_every_other)
{
	struct mail_verdict v = {.signer = NULL};
	struct buf b;
	struct sink s = sink_buf(&b);
	int d, g;

	for (d = MAIL_DEC_NO; d <= MAIL_DEC_NO_INTEGRITY; d++)
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
	struct mail_verdict v = {.decrypted = MAIL_DEC_YES,
	    .signature = MAIL_SIG_GOOD,
	    .signer = "alice@example.org",
	    .fingerprint = "0123ABCD"};
	struct buf b;
	struct sink s = sink_buf(&b);

	buf_init(&b, 2000);
	ck_assert_int_eq(mail_put_verdict(&s, &v), 0);
	ck_assert_int_eq(buf_putc(&b, 0), 0);
	ck_assert_str_eq((const char *)buf_ptr(&b),
	    "X-Postern-Verdict: v=1; decrypted=yes   ; signature=good         ; "
	    "by=postern\r\n"
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

START_TEST(a_signers_field_takes_the_room_that_is_asked_for)
{
	static const uint16_t rooms[] = {0, 21, 30, 53, 54, 60, 400, 998};
	struct mail_verdict v = {.decrypted = MAIL_DEC_YES,
	    .signature = MAIL_SIG_GOOD,
	    .signer = "alice@example.org",
	    .fingerprint = "0123ABCD"};
	static const enum mail_signature sigs[] = {MAIL_SIG_GOOD, MAIL_SIG_NO_KEY, MAIL_SIG_NONE};
	struct buf b;
	struct sink s = sink_buf(&b);
	uint16_t bad[] = {1, 20, 999};
	char address[MAIL_ADDR_MAX + 1];
	size_t i, k;
	ssize_t len;

	for (i = 0; i < sizeof rooms / sizeof rooms[0]; i++)
		for (k = 0; k < 3; k++) {
			v.signature = sigs[k];
			v.signer_len = &rooms[i];
			buf_init(&b, 2000);
			ck_assert_int_eq(mail_put_verdict(&s, &v), 0);
			ck_assert_uint_eq(buf_len(&b), MAIL_VERDICT_LEN + rooms[i]);
			ck_assert_mem_eq(buf_ptr(&b) + buf_len(&b) - 2, "\r\n", 2);
			ck_assert_int_eq(memmem(buf_ptr(&b), buf_len(&b), "alice@", 6) != NULL,
			    k == 0 && rooms[i] >= 51);
			buf_free(&b);
		}
	v.signature = MAIL_SIG_GOOD;
	buf_init(&b, 4000);
	for (i = 0; i < 3; i++) {
		v.signer_len = &bad[i];
		ck_assert_int_eq(mail_put_verdict(&s, &v), -1);
	}
	/* The longest address, all of it to be encoded. */
	memset(address, 0xc3, sizeof address - 1);
	address[sizeof address - 1] = '\0';
	v.signer = address;
	v.signer_len = NULL;
	len = mail_signer_len(&v);
	ck_assert_int_gt(len, 0);
	ck_assert_int_le(len, MAIL_SIGNER_MAX);
	buf_reset(&b);
	ck_assert_int_eq(mail_put_verdict(&s, &v), 0);
	ck_assert_uint_eq(buf_len(&b), MAIL_VERDICT_LEN + (size_t)len);
	buf_free(&b);
}
END_TEST

START_TEST(of_two_verdicts_the_worse_wins_either_way_round)
{
	static const enum mail_signature order[] = {MAIL_SIG_GOOD, MAIL_SIG_PART,
	    MAIL_SIG_NOT_SENDER, MAIL_SIG_EXPIRED, MAIL_SIG_UNTRUSTED, MAIL_SIG_NO_KEY,
	    MAIL_SIG_NONE, MAIL_SIG_DAMAGED, MAIL_SIG_REVOKED, MAIL_SIG_BAD};
	size_t i, k, n = sizeof order / sizeof order[0];

	ck_assert_uint_eq(n, MAIL_SIG_DAMAGED + 1);
	for (i = 0; i < n; i++)
		for (k = 0; k < n; k++)
			ck_assert_int_eq(
			    mail_signature_worse(order[i], order[k]), order[i > k ? i : k]);
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
	    /* behind a field of ours it would be that one's */
	    {"  ; signature=good\r\nB: 2\r\n\r\n", "; signature=good\r\nB: 2\r\n\r\n"},
	    {"\t \r\n \n\t; signature=good\r\n\r\n", "; signature=good\r\n\r\n"},
	    {" \r\n\r\n", "\r\n"},
	    {" \n X-Postern-V: x\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
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
					 a_signers_field_takes_the_room_that_is_asked_for,
					 of_two_verdicts_the_worse_wins_either_way_round,
					 forged_fields_go_and_nothing_else, NULL});
}
