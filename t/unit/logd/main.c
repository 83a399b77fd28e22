#include "t/unit/unit.h"

Suite *line_suite(void);
Suite *output_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){line_suite, output_suite, NULL});
}
