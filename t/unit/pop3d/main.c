#include <stdlib.h>

#include "t/unit/unit.h"

Suite *parse_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){parse_suite, NULL});
}
