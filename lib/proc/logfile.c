#include "proc/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int
log_file_open(const char *path, uint32_t uid, uint32_t gid)
{
	struct stat st;
	mode_t mask;
	int fd, saved;

	/* O_NONBLOCK: a pipe that nobody reads must not stop the start. */
	mask = umask(027); /* the group reads it, whoever opens it first */
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
	(void)umask(mask);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1)
		goto fail;
	/* A further name: the file's owner may have meant another one for root to give away. */
	if (!S_ISREG(st.st_mode) || st.st_nlink > 1) {
		errno = EINVAL;
		goto fail;
	}
	if (geteuid() == 0 && st.st_uid != uid &&
	    fchown(fd, uid, st.st_gid == 0 ? gid : st.st_gid) == -1)
		goto fail;
	return fd;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}
