#ifndef QUEUE_DISK_H
#define QUEUE_DISK_H

#include <stdint.h>

/*
 * A disk that can fail and lose power, under the store's system calls: queue_io goes through here.
 * What was written since a file's last sync can be taken back, sector by sector.
 */
void disk_start(uint64_t seed);
void disk_stop(void); /* the real calls again */

/* One call in so many fails with EIO (0: none); or all of them. */
void disk_fail(unsigned one_in, int all);
unsigned disk_failures(void); /* calls that failed since disk_start */

/* The power goes: each sector that was not synced has its old octets again, by chance. */
void disk_lose_power(unsigned percent);
void disk_forget(void); /* it came through after all */

/* Numbers of the test's own sequence. */
uint64_t disk_random(void);
uint64_t disk_below(uint64_t n);

#endif
