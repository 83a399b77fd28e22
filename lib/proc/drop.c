#include "proc/internal.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* An id that came back would make everything below worthless. */
static int
verify_ids(const struct drop *d, struct err *e)
{
	uid_t r, f, s;
	gid_t gr, gf, gs;

	if (getresuid(&r, &f, &s) == -1 || getresgid(&gr, &gf, &gs) == -1)
		return err_sys(e, "cannot read the user and group ids");
	if (r != d->uid || f != d->uid || s != d->uid || gr != d->gid || gf != d->gid ||
	    gs != d->gid || getgroups(0, NULL) != 0)
		return err_set(e, EPERM, "user and group ids are not those that were set");
	if (setuid(0) != -1 || seteuid(0) != -1 || setgid(0) != -1 || setegid(0) != -1)
		return err_set(e, EPERM, "root could be regained after leaving it");
	return 0;
}

static int
drop_ids(const struct drop *d, struct err *e)
{
	if (d->uid == 0 || d->gid == 0)
		return err_set(e, EINVAL, "a daemon must have a user and group of its own");
	if (chroot(".") == -1)
		return err_sys(e, "chroot");
	if (chdir("/") == -1)
		return err_sys(e, "chdir to the new root");
	if (setgroups(0, NULL) == -1)
		return err_sys(e, "setgroups");
	if (setresgid(d->gid, d->gid, d->gid) == -1)
		return err_sys(e, "setresgid %u", d->gid);
	if (setresuid(d->uid, d->uid, d->uid) == -1)
		return err_sys(e, "setresuid %u", d->uid);
	return verify_ids(d, e);
}

int
drop_enter(const struct drop *d, struct err *e)
{
	const struct rlimit none = {0, 0};

	if (d->privileged && drop_ids(d, e) == -1)
		return -1;
	/* No core file and no debugger: memory holds passwords, mail and keys. */
	if (setrlimit(RLIMIT_CORE, &none) == -1)
		return err_sys(e, "setrlimit core");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return err_sys(e, "prctl dumpable");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return err_sys(e, "prctl no_new_privs");
	/* The kernel forgets this when the uid changes, so it comes last. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return err_sys(e, "prctl pdeathsig");
	return 0;
}
