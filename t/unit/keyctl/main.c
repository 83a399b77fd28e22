#include <stdlib.h>

#include "t/unit/unit.h"

Suite *cacert_suite(void);
Suite *control_suite(void);
Suite *gpghome_suite(void);
Suite *import_suite(void);
Suite *text_suite(void);
Suite *tlskey_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){cacert_suite, control_suite, gpghome_suite,
	    import_suite, text_suite, tlskey_suite, NULL});
}
