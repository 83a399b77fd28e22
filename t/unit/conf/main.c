#include <stdlib.h>

#include "t/unit/unit.h"

Suite *load_suite(void);
Suite *netaddr_suite(void);
Suite *queue_suite(void);
Suite *tls_suite(void);
Suite *ports_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){
	    load_suite, netaddr_suite, ports_suite, queue_suite, tls_suite, NULL});
}
