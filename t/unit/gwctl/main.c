#include <stdlib.h>

#include "t/unit/unit.h"

Suite *setup_suite(void);
Suite *verbs_suite(void);
Suite *keyread_suite(void);
Suite *log_suite(void);
Suite *route_suite(void);
Suite *term_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){
	    setup_suite, verbs_suite, keyread_suite, log_suite, term_suite, route_suite, NULL});
}
