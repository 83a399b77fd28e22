#include "t/unit/unit.h"

Suite *chan_suite(void);
Suite *daemon_suite(void);
Suite *event_suite(void);
Suite *files_suite(void);
Suite *metrics_suite(void);
Suite *neighbours_suite(void);
Suite *sink_suite(void);

int
main(void)
{
	return unit_run((Suite *(*[])(void)){chan_suite, daemon_suite, event_suite, files_suite,
	    metrics_suite, neighbours_suite, sink_suite, NULL});
}
