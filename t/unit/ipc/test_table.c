#include <stdlib.h>
#include <string.h>

#include "ipc/messages.h"
#include "t/unit/unit.h"

Suite *table_suite(void);

START_TEST(numbers_ascend_and_lead_back_to_their_rows)
{
	const struct ipc_msgdef *d;
	size_t n, i;

	d = ipc_messages(&n);
	for (i = 0; i < n; i++) {
		if (i > 0)
			ck_assert_uint_lt(d[i - 1].type, d[i].type);
		ck_assert_ptr_eq(ipc_message(d[i].type), &d[i]);
	}
	ck_assert_ptr_null(ipc_message(0));
	ck_assert_ptr_null(ipc_message(0xffff));
}
END_TEST

START_TEST(nobody_talks_to_himself_and_every_message_has_two_ends)
{
	const struct ipc_msgdef *d;
	size_t n, i;

	d = ipc_messages(&n);
	for (i = 0; i < n; i++) {
		ck_assert_msg(d[i].from != 0 && d[i].to != 0, "%s", d[i].name);
		ck_assert_msg((d[i].from & PM(P_NONE)) == 0, "%s", d[i].name);
		ck_assert_msg(d[i].from < PM(P_MAX) && d[i].to < PM(P_MAX), "%s", d[i].name);
	}
}
END_TEST

START_TEST(only_cryptod_answers_with_secrets_and_only_those_who_may_ask)
{
	static const uint16_t secret[] = {M_sign_req, M_unwrap_req};
	size_t i;
	int p;

	for (i = 0; i < sizeof secret / sizeof secret[0]; i++)
		for (p = 1; p < P_MAX; p++)
			if (ipc_allowed(ipc_message(secret[i]), p, P_CRYPTOD))
				ck_assert_int_eq(p, P_WORKER);
	for (p = 1; p < P_MAX; p++)
		if (ipc_allowed(ipc_message(M_grant_req), p, P_CRYPTOD))
			ck_assert_int_eq(p, P_POLICYD);
}
END_TEST

START_TEST(every_process_has_a_name)
{
	int p;

	for (p = 1; p < P_MAX; p++)
		ck_assert_str_ne(proc_name(p), "?");
	ck_assert_str_eq(proc_name(P_MAX), "?");
}
END_TEST

Suite *
table_suite(void)
{
	return unit_suite(
	    "table", (const TTest *const[]){numbers_ascend_and_lead_back_to_their_rows,
			 nobody_talks_to_himself_and_every_message_has_two_ends,
			 only_cryptod_answers_with_secrets_and_only_those_who_may_ask,
			 every_process_has_a_name, NULL});
}
