#include "t/unit/unit.h"

Suite *url_suite(void);
Suite *http_suite(void);
Suite *cache_suite(void);
Suite *response_suite(void);
Suite *question_suite(void);
Suite *sts_policy_suite(void);
Suite *sts_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){url_suite, http_suite, cache_suite, response_suite,
	    question_suite, sts_policy_suite, sts_suite, NULL});
}
