#include <stdlib.h>

#include "t/unit/unit.h"

Suite *packet_suite(void);
Suite *armor_suite(void);
Suite *message_suite(void);
Suite *signed_suite(void);
Suite *key_suite(void);
Suite *sig_suite(void);
Suite *cert_suite(void);
Suite *curve_suite(void);
Suite *recipients_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){packet_suite, armor_suite, message_suite, signed_suite,
	    key_suite, sig_suite, cert_suite, curve_suite, recipients_suite, NULL});
}
