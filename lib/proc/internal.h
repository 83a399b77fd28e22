#ifndef PROC_INTERNAL_H
#define PROC_INTERNAL_H

#include "proc/proc.h"

/* Between the files of lib/proc. */

/* neighbours.c: the channels to other daemons and the tools. */
void neighbours_init(
    const struct proc_env *env, const struct proc *p, const struct chan_handler *handlers);
int neighbours_plumb(const struct plumb *p, int fd);
void neighbours_free(void);

/* seccomp.c: allow these sets (enum sandbox_calls) and nothing else, from now on. */
int seccomp_enter(unsigned set, struct err *e);

/* drop.c: everything that makes an unprivileged process of this one. */
struct drop {
	int privileged; /* change uid and root; else only what an ordinary user may do */
	uint32_t uid, gid;
};

/* Root becomes the current folder. Returns 0, or -1 with e; the process must exit then. */
int drop_enter(const struct drop *d, struct err *e);

#endif
