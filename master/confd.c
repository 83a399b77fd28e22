#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "master/master.h"

static int
write_fd(void *ctx, const void *p, size_t n)
{
	const char *at = p;
	ssize_t w;

	while (n > 0) {
		if ((w = write(*(int *)ctx, at, n)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		at += w;
		n -= (size_t)w;
	}
	return 0;
}

/* The canonical text of c in a memfd that nobody can change. The descriptor, or -1 with e. */
int
confd_seal(const struct conf *c, struct err *e)
{
	int fd = memfd_create("postern.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const struct sink out = {write_fd, &fd};

	if (fd == -1)
		return err_sys(e, "memfd_create");
	if (conf_dump(c, &out) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ==
		-1) {
		err_sys(e, "the configuration cannot be handed to the daemons");
		close(fd);
		return -1;
	}
	return fd;
}
