#include "proxy/readfile.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define STEP (64 * 1024)

int
proxy_read_file(const char *path, const char *what, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = -1;
	size_t room;
	uint8_t *p;
	ssize_t n;

	if (fd == -1)
		return err_sys(e, "%s (%s)", path, what);
	do {
		room = out->max - buf_len(out);
		if (room == 0) {
			(void)err_set(
			    e, EFBIG, "%s (%s): %zu octets or more", path, what, out->max);
			goto out;
		}
		if (room > STEP)
			room = STEP;
		if ((p = buf_reserve(out, room)) == NULL || (n = read(fd, p, room)) == -1) {
			(void)err_sys(e, "%s (%s)", path, what);
			goto out;
		}
		buf_added(out, (size_t)n);
	} while (n > 0);
	rc = 0;
out:
	close(fd);
	return rc;
}
