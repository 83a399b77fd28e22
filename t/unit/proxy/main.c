#include <stdlib.h>

#include "t/unit/unit.h"

Suite *sasl_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){sasl_suite, NULL});
}
