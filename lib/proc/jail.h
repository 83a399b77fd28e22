#ifndef PROC_JAIL_H
#define PROC_JAIL_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * For tools: what comes from outside is parsed in a forked child that has no files, no network and
 * nothing but what it inherited in memory.
 *
 * fn appends its result to out and returns 0, or -1 when it can say nothing.
 */
typedef int (*jail_fn)(const void *arg, struct buf *out);

#define JAIL_SECONDS 60

/*
 * what	for messages, e.g. the file's name
 * out	receives what fn appended, at most its maximum
 *
 * Returns 0, or -1 with e: fn failed, was killed, or took longer than JAIL_SECONDS (ETIMEDOUT).
 */
int jail_run(jail_fn fn, const void *arg, const char *what, struct buf *out, struct err *e);

/*
 * The same for a parser that is another program: the child may run some programs and reach some
 * folders.  It is not protected from its own uid.
 */
struct jail_rights {
	const char *const *exec; /* programs that may be run, NULL at the end */
	const char *const *read; /* folders and files, NULL at the end; what is not there is left
				  * out */
	const char *const *write;
	uid_t uid; /* to become, when root and it is another */
	gid_t gid;
	unsigned seconds; /* that it may take, instead of JAIL_SECONDS */
};

int jail_run_with(const struct jail_rights *r, jail_fn fn, const void *arg, const char *what,
    struct buf *out, struct err *e);

#endif
