#include <stdlib.h>

#include "t/unit/unit.h"

Suite *identity_suite(void);
Suite *plan_suite(void);
Suite *opening_suite(void);
Suite *database_suite(void);
Suite *factor_suite(void);
Suite *whose_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){identity_suite, factor_suite, plan_suite, whose_suite,
	    opening_suite, database_suite, NULL});
}
