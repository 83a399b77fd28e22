#include <stdlib.h>

#include "t/unit/unit.h"

Suite *damage_suite(void);
Suite *records_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){records_suite, damage_suite, NULL});
}
