#include <stdlib.h>

#include "t/unit/unit.h"

Suite *accept_suite(void);
Suite *cert_suite(void);
Suite *choice_suite(void);
Suite *conn_suite(void);
Suite *dial_suite(void);
Suite *dots_suite(void);
Suite *line_suite(void);
Suite *options_suite(void);
Suite *peers_suite(void);
Suite *reply_suite(void);
Suite *sni_suite(void);
Suite *storm_suite(void);
Suite *tickets_suite(void);
Suite *tls_suite(void);
Suite *tunnel_suite(void);
Suite *verify_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){line_suite, dots_suite, reply_suite, peers_suite,
	    dial_suite, conn_suite, storm_suite, sni_suite, options_suite, cert_suite, choice_suite,
	    tickets_suite, verify_suite, tls_suite, accept_suite, tunnel_suite, NULL});
}
