#ifndef PROC_INTERNAL_H
#define PROC_INTERNAL_H

#include "proc/proc.h"

/* Between the files of lib/proc. */

/* neighbours.c: the channels to other daemons and the tools. */
void neighbours_init(
    const struct proc_env *env, const struct proc *p, const struct chan_handler *handlers);
int neighbours_plumb(const struct plumb *p, int fd);
void neighbours_free(void);

/*
 * files.c: the table behind proc_file.  Files are staged as they come; the next start or reload
 * makes them the table, as a whole, and settles whether it stays so (ok) or the one before comes
 * back.
 */
int files_stage(const struct config_file *m, int fd, struct err *e); /* fd stays the caller's */
void files_unstage(void);
int files_switch(struct err *e); /* -1: a file could not be staged; nothing has changed */
void files_settle(int ok);
void files_free(void);

/*
 * All of a memfd that nobody can change; *p is to be freed, and has a NUL behind its *n octets.
 * -1 with e: not such a memfd, more than max octets, no memory.
 */
int sealed_read(int fd, size_t max, uint8_t **p, size_t *n, struct err *e);

/* source.c */
void sources_free(void);

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
