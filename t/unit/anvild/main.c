#include "t/unit/unit.h"

Suite *counts_suite(void);
Suite *grey_suite(void);
Suite *table_suite(void);
Suite *tlsrpt_suite(void);
Suite *tlsrpt_sending_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){
	    table_suite, counts_suite, grey_suite, tlsrpt_suite, tlsrpt_sending_suite, NULL});
}
