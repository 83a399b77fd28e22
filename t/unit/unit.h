#ifndef UNIT_H
#define UNIT_H

#include <check.h>
#include <stdlib.h>

/* Run the suites (NULL at the end) in this process's children; the exit code for main. */
static inline int
unit_run(Suite *(*const suites[])(void))
{
	SRunner *sr = srunner_create(NULL);
	int failed;

	for (; *suites != NULL; suites++)
		srunner_add_suite(sr, (*suites)());
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * One suite of one case from a list of tests (NULL at the end).  setup, teardown: what each of them
 * begins and ends with.
 */
static inline Suite *
unit_suite_around(
    const char *name, void (*setup)(void), void (*teardown)(void), const TTest *const tests[])
{
	Suite *s = suite_create(name);
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 60);
	if (setup != NULL)
		tcase_add_checked_fixture(c, setup, teardown);
	for (; *tests != NULL; tests++)
		tcase_add_test(c, *tests);
	suite_add_tcase(s, c);
	return s;
}

static inline Suite *
unit_suite(const char *name, const TTest *const tests[])
{
	return unit_suite_around(name, NULL, NULL, tests);
}

#endif
