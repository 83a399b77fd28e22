#include "t/unit/unit.h"

Suite *channel_suite(void);
Suite *spool_suite(void);
Suite *table_suite(void);

int
main(void)
{
	return unit_run((Suite *(*const[])(void)){channel_suite, spool_suite, table_suite, NULL});
}
