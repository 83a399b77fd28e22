#include <stdlib.h>

#include "t/unit/unit.h"

Suite *intake_suite(void);
Suite *sched_suite(void);
Suite *life_suite(void);
Suite *notice_suite(void);
Suite *admin_suite(void);
Suite *edges_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){
	    intake_suite, sched_suite, life_suite, notice_suite, admin_suite, edges_suite, NULL});
}
