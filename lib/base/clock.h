#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds of the monotonic clock, for deadlines and latencies. */
uint64_t clock_ms(void);

/* Seconds since the epoch, for key validity and log records. */
uint64_t clock_unix(void);

/* Milliseconds since the epoch, for when something happened. */
uint64_t clock_unix_ms(void);

#endif
