#include "t/unit/unit.h"

Suite *names_suite(void);
Suite *answer_suite(void);
Suite *anchor_suite(void);
Suite *daemon_suite(void);
Suite *questions_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){
	    names_suite, answer_suite, anchor_suite, daemon_suite, questions_suite, NULL});
}
