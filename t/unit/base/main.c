#include <stdlib.h>

#include "t/unit/unit.h"

Suite *rec_suite(void);
Suite *text_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){rec_suite, text_suite, NULL});
}
