#include "t/unit/unit.h"

Suite *crc_suite(void);
Suite *store_suite(void);
Suite *loop_suite(void);
Suite *crash_suite(void);
Suite *damage_suite(void);
Suite *errors_suite(void);
Suite *moving_suite(void);
Suite *model_suite(void);

int
main(void)
{
	Suite *(*const suites[])(void) = {crc_suite, store_suite, loop_suite, crash_suite,
	    damage_suite, errors_suite, moving_suite, model_suite, NULL};

	return unit_run(suites);
}
