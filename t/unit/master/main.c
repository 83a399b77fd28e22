#include "t/unit/unit.h"

Suite *files_suite(void);
Suite *listen_suite(void);
Suite *services_suite(void);
Suite *source_suite(void);
Suite *tickets_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){
	    files_suite, listen_suite, services_suite, source_suite, tickets_suite, NULL});
}
