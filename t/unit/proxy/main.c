#include <stdlib.h>

#include "t/unit/unit.h"

Suite *sasl_suite(void);
Suite *token_suite(void);
Suite *route_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){sasl_suite, token_suite, route_suite, NULL});
}
