#include <stdlib.h>

#include "t/unit/unit.h"

Suite *grants_suite(void);
Suite *store_suite(void);
Suite *service_suite(void);
Suite *pool_suite(void);
Suite *slow_suite(void);
Suite *tls_suite(void);
Suite *ca_suite(void);
Suite *mint_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){grants_suite, store_suite, service_suite, pool_suite,
	    slow_suite, tls_suite, ca_suite, mint_suite, NULL});
}
