#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "t/unit/unit.h"

START_TEST(stock_policy)
{
	static const struct {
		const char *subject, *sensitivity;
		enum policy_want encrypt;
	} cases[] = {
	    {"", "", POLICY_OPPORTUNISTIC},
	    {"Minutes", "", POLICY_OPPORTUNISTIC},
	    {"[encrypt] Minutes", "", POLICY_REQUIRED},
	    {"[ENCRYPT] Minutes", "", POLICY_REQUIRED},
	    {"Minutes [Secure]", "", POLICY_REQUIRED},
	    {"Re: [PGP] Minutes", "", POLICY_REQUIRED},
	    {"Re: Fwd:[pgp]", "", POLICY_REQUIRED},
	    {"encrypt", "", POLICY_OPPORTUNISTIC},
	    {"[encrypted] Minutes", "", POLICY_OPPORTUNISTIC},
	    {"[ encrypt ]", "", POLICY_OPPORTUNISTIC},
	    {"(secure)", "", POLICY_OPPORTUNISTIC},
	    {"Minutes", "Company-Confidential", POLICY_REQUIRED},
	    {"Minutes", "company-confidential", POLICY_REQUIRED},
	    {"Minutes", " COMPANY-CONFIDENTIAL (really) ", POLICY_REQUIRED},
	    {"Minutes", "Private", POLICY_OPPORTUNISTIC},
	    {"Minutes", "Personal", POLICY_OPPORTUNISTIC},
	    {"company-confidential", "", POLICY_OPPORTUNISTIC},
	    {"[encrypt]", "Company-Confidential", POLICY_REQUIRED},
	};
	size_t i;
	int who;

	/* Neither sender, recipient nor consumer can make it less. */
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (who = 0; who < 2; who++) {
			struct policy_facts f = {
			    .sender = who ? "alice@acme.test" : "",
			    .recipient = "bob@out.test",
			    .subject = cases[i].subject,
			    .sensitivity = cases[i].sensitivity,
			    .consumer = who,
			};
			struct policy_outcome out = {POLICY_NO, POLICY_NO, NULL};
			struct err e = {0};

			ck_assert_int_eq(policy_evaluate(&f, &out, &e), 0);
			ck_assert_msg(out.encrypt == cases[i].encrypt, "case %zu: %d (%s)", i,
			    out.encrypt, out.reason);
			ck_assert_int_eq(out.sign, true);
			ck_assert_ptr_nonnull(out.reason);
			ck_assert(out.reason[0] != '\0');
		}
}
END_TEST

static Suite *
stock_suite(void)
{
	const TTest *const tests[] = {stock_policy, NULL};

	return unit_suite("stock", tests);
}

int
main(void)
{
	return unit_run((Suite *(*[])(void)){stock_suite, NULL});
}
