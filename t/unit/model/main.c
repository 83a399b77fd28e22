#include <stdlib.h>

#include "t/unit/unit.h"

Suite *json_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){json_suite, NULL});
}
