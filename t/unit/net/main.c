#include <stdlib.h>

#include "t/unit/unit.h"

Suite *accept_suite(void);
Suite *conn_suite(void);
Suite *dial_suite(void);
Suite *dots_suite(void);
Suite *line_suite(void);
Suite *peers_suite(void);
Suite *reply_suite(void);
Suite *storm_suite(void);
Suite *tls_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){line_suite, dots_suite, reply_suite, peers_suite,
	    dial_suite, conn_suite, storm_suite, tls_suite, accept_suite, NULL});
}
