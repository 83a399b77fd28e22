#include <stdlib.h>

#include "t/unit/unit.h"

Suite *handshake_suite(void);
Suite *key_suite(void);
Suite *trouble_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){key_suite, handshake_suite, trouble_suite, NULL});
}
