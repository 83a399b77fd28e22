#include "t/unit/unit.h"

Suite *archive_suite(void);
Suite *http_suite(void);
Suite *line_suite(void);
Suite *order_suite(void);
Suite *output_suite(void);
Suite *pack_suite(void);
Suite *records_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){archive_suite, http_suite, line_suite, order_suite,
	    output_suite, pack_suite, records_suite, NULL});
}
