#include <stdlib.h>

#include "t/unit/unit.h"

Suite *import_suite(void);
Suite *text_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){import_suite, text_suite, NULL});
}
