#ifndef FILTERD_ZYGOTE_H
#define FILTERD_ZYGOTE_H

#include <stdint.h>

/*
 * The zygote: a child of filterd, made before the first message comes, that forks workers.  What
 * it has in memory when it forks is what filterd had at its start: nothing from outside.  It
 * shares one address layout with all workers; SECURITY.md says so.
 *
 * sock		zygote's end of a channel to the dispatcher
 * spooldir	folder for the unnamed files of workers
 * memory	octets of address space of one worker
 *
 * Never returns.
 */
void zygote_run(int sock, int spooldir, uint64_t memory) __attribute__((noreturn));

#endif
