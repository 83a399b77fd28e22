#include <stdlib.h>

#include "t/unit/unit.h"

Suite *command_suite(void);
Suite *reply_suite(void);
Suite *journal_suite(void);
Suite *notice_suite(void);
Suite *dnsbl_suite(void);
Suite *gate_suite(void);
Suite *gate_rcpt_suite(void);
Suite *proxyproto_suite(void);
Suite *xclient_suite(void);

int
main(void)
{
	return unit_run(
	    (Suite *(*[])(void)){command_suite, reply_suite, journal_suite, notice_suite,
		dnsbl_suite, gate_suite, gate_rcpt_suite, proxyproto_suite, xclient_suite, NULL});
}
