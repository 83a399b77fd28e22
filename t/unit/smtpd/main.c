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
Suite *relay_suite(void);
Suite *chunk_suite(void);
Suite *trace_suite(void);
Suite *head_suite(void);
Suite *dovecot_suite(void);
Suite *whose_suite(void);
Suite *session_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){command_suite, reply_suite, journal_suite,
	    notice_suite, dnsbl_suite, gate_suite, gate_rcpt_suite, proxyproto_suite, xclient_suite,
	    relay_suite, chunk_suite, trace_suite, head_suite, dovecot_suite, whose_suite,
	    session_suite, NULL});
}
