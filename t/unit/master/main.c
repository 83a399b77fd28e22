#include "t/unit/unit.h"

Suite *services_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){services_suite, NULL});
}
