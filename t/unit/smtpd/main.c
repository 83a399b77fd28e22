#include <stdlib.h>

#include "t/unit/unit.h"

Suite *command_suite(void);
Suite *reply_suite(void);
Suite *journal_suite(void);
Suite *notice_suite(void);

int
main(void)
{
	return unit_run(
	    (Suite *(*[])(void)){command_suite, reply_suite, journal_suite, notice_suite, NULL});
}
