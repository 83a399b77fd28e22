#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "master/master.h"

#define PATH_LEN 256 /* as the jail in struct boot */

/* mkdir -p, mode 0755 whatever the umask is. */
static int
make_parents(const char *path, struct err *e)
{
	char part[PATH_LEN];
	size_t i;

	if (strlcpy(part, path, sizeof part) >= sizeof part)
		return err_set(e, ENAMETOOLONG, "%s: longer than %zu octets", path, sizeof part);
	for (i = 1; i <= strlen(path); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0755) == 0)
			(void)chmod(part, 0755);
		else if (errno != EEXIST)
			return err_sys(e, "cannot make the folder %s", part);
		part[i] = path[i];
	}
	return 0;
}

/* A folder of one user alone. What is inside is left as it is. */
static int
make_own(const char *path, uid_t uid, gid_t gid, mode_t mode, struct err *e)
{
	struct stat st;
	int fd, rc = -1;

	if (mkdir(path, mode) == -1 && errno != EEXIST)
		return err_sys(e, "cannot make the folder %s", path);
	if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", path);
	if (fstat(fd, &st) == -1 ||
	    ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) == -1) ||
	    ((st.st_mode & 07777) != mode && fchmod(fd, mode) == -1)) {
		err_sys(e, "cannot give %s to its user", path);
		goto out;
	}
	rc = 0;
out:
	close(fd);
	return rc;
}

int
folders_user(const char *user, uid_t *uid, gid_t *gid, struct err *e)
{
	const struct passwd *pw;

	if (!M.privileged) {
		*uid = geteuid();
		*gid = getegid();
		return 0;
	}
	if ((pw = getpwnam(user)) == NULL)
		return err_set(e, ENOENT,
		    "there is no user %s: run systemd-sysusers, or useradd --system %s", user,
		    user);
	if (pw->pw_uid == 0 || pw->pw_gid == 0)
		return err_set(e, EINVAL, "user %s must not be root", user);
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static int
make_of_service(const struct service *s, struct err *e)
{
	char path[PATH_LEN];
	uid_t uid = 0;
	gid_t gid = 0;
	size_t i;

	if (!s->shared_jail && folders_user(s->user, &uid, &gid, e) == -1)
		return -1;
	for (i = 0; s->dirs[i].name != NULL; i++) {
		if (service_path(path, sizeof path, &s->dirs[i], M.conf) == -1)
			return err_sys(e, "folder of %s", proc_name(s->role));
		if (s->shared_jail ? make_own(path, geteuid(), getegid(), 0755, e) == -1
				   : make_own(path, uid, gid, 0700, e) == -1)
			return -1;
	}
	return 0;
}

int
folders_check(const struct conf *c, struct err *e)
{
	const struct service *s;
	char path[PATH_MAX];
	size_t i, n;
	uid_t uid;
	gid_t gid;

	s = services(&n);
	for (i = 0; i < n; i++) {
		if (service_instances(&s[i], c) == 0)
			continue;
		(void)snprintf(
		    path, sizeof path, "%s/%s", c->node.libexec_dir, proc_name(s[i].role));
		if (access(path, X_OK) == -1)
			return err_sys(
			    e, "%s: is libexec_dir the folder with the programs of Postern?", path);
		if (folders_user(s[i].user, &uid, &gid, e) == -1)
			return -1;
	}
	return 0;
}

int
folders_make(struct err *e)
{
	const struct service *s;
	size_t i, n;

	if (make_parents(M.conf->node.state_dir, e) == -1 ||
	    make_parents(M.conf->node.spool_dir, e) == -1 ||
	    make_parents(M.conf->node.run_dir, e) == -1)
		return -1;
	s = services(&n);
	for (i = 0; i < n; i++)
		if (make_of_service(&s[i], e) == -1)
			return -1;
	return 0;
}

/* One master for one run_dir. The descriptor stays open, and with it the lock. */
int
folders_lock(struct err *e)
{
	char path[PATH_LEN], pid[16];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof path, "%s/master.pid", M.conf->node.run_dir);
	if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) == -1)
		return err_sys(e, "%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		n = read(fd, pid, sizeof pid - 1);
		pid[n < 0 ? 0 : n] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		close(fd);
		return err_set(e, EBUSY, "a master (pid %s) already runs with %s: stop it first",
		    pid[0] != '\0' ? pid : "?", M.conf->node.run_dir);
	}
	(void)snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) == -1 || pwrite(fd, pid, strlen(pid), 0) == -1) {
		err_sys(e, "%s", path);
		close(fd);
		return -1;
	}
	return 0;
}
