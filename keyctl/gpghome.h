#ifndef KEYCTL_GPGHOME_H
#define KEYCTL_GPGHOME_H

#include <limits.h>
#include <sys/types.h>

#include "base/err.h"
#include "keyctl/gpgkeys.h"

/*
 * A GnuPG home that is read or written.  gpg works in a folder of its own, with an agent of its
 * own, and reaches the keys through links; its configuration and its agent, if one runs, are left
 * alone.
 */
struct gpg_home {
	char dir[PATH_MAX]; /* the home */
	char tmp[80]; /* gpg's own folder */
	int writable;
	uid_t uid; /* whom the home belongs to */
	gid_t gid;
	const char *gpg, *agent;
	int cleaner; /* closed, even by our death: a process of its own cleans up; -1: none */
	pid_t cleaner_pid;
};

/*
 * writable	keys will be written; the folder is made when it is not there
 *
 * Returns 0 (for home_close), or -1 with e: ENOENT (no such folder, no keys in it), ENOTSUP (of
 * another GnuPG: what to do is said)...
 */
int home_open(struct gpg_home *h, const char *dir, int writable, struct err *e);
void home_close(struct gpg_home *h); /* ends the agent, removes gpg's folder */

/* An answer: rec points into mem. */
struct home_reply {
	struct home_answer *rec;
	struct buf mem;
};
void home_reply_free(struct home_reply *r); /* wipes */

/* Run a request in its jail; gpg and home of ask are filled in.  0 and r, or -1 with e. */
int home_request(struct gpg_home *h, struct home_ask *ask, struct home_reply *r, struct err *e);

#endif
