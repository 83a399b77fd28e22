#include "t/unit/filterd/harness.h"

Suite *secure_suite(void);
Suite *open_suite(void);
Suite *banner_suite(void);
Suite *parts_suite(void);
Suite *hostile_suite(void);
Suite *worker_suite(void);

int
main(void)
{
	people_make();
	return unit_run((Suite *(*[])(void)){secure_suite, open_suite, parts_suite, banner_suite,
	    hostile_suite, worker_suite, NULL});
}
