#include <stdlib.h>

#include "t/unit/keyprov/holder.h"
#include "t/unit/unit.h"

Suite *handshake_suite(void);
Suite *key_suite(void);
Suite *trouble_suite(void);

int
main(void)
{
	holder_prepare();
	return unit_run((Suite *(*[])(void)){key_suite, handshake_suite, trouble_suite, NULL});
}
