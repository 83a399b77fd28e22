#include <stdlib.h>

#include "t/unit/unit.h"

Suite *intake_suite(void);
Suite *sched_suite(void);
Suite *life_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){intake_suite, sched_suite, life_suite, NULL});
}
