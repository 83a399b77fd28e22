#include <time.h>

#include "base/clock.h"
#include "queued/queued.h"

uint64_t
wall_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t
steady_ms(void)
{
	return clock_ms();
}
