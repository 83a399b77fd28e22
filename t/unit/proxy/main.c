#include <stdlib.h>

#include "t/unit/unit.h"

Suite *sasl_suite(void);
Suite *token_suite(void);
Suite *route_suite(void);
Suite *connect_suite(void);
Suite *judge_suite(void);
Suite *named_suite(void);
Suite *through_suite(void);
Suite *through_port_suite(void);
Suite *certs_suite(void);
Suite *leaf_suite(void);
Suite *leaf_odd_suite(void);
Suite *leaf_many_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){sasl_suite, token_suite, route_suite, named_suite,
	    through_suite, through_port_suite, connect_suite, judge_suite, certs_suite, leaf_suite,
	    leaf_odd_suite, leaf_many_suite, NULL});
}
