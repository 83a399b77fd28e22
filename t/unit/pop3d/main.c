#include <stdlib.h>

#include "t/unit/unit.h"

Suite *parse_suite(void);
Suite *memory_suite(void);
Suite *maildrop_suite(void);
Suite *foreign_suite(void);

int
main(void)
{
	return unit_run(
	    (Suite *(*[])(void)){parse_suite, memory_suite, maildrop_suite, foreign_suite, NULL});
}
