#include <stdlib.h>

#include "t/unit/unit.h"

Suite *client_suite(void);
Suite *client_tls_suite(void);
Suite *downgrade_suite(void);
Suite *dest_suite(void);
Suite *hostile_suite(void);
Suite *job_suite(void);
Suite *policy_suite(void);
Suite *pool_suite(void);
Suite *transaction_suite(void);

int
main(void)
{
	return unit_run(
	    (Suite *(*[])(void)){downgrade_suite, client_suite, client_tls_suite, transaction_suite,
		hostile_suite, dest_suite, policy_suite, job_suite, pool_suite, NULL});
}
