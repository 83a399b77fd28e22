#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "master/master.h"

#define WAIT_S 2

static struct sockaddr_un to;
static socklen_t to_len;

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n;

	/* A path, or an abstract name written with @. */
	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n < 2 || n >= sizeof to.sun_path)
		return;
	to.sun_family = AF_UNIX;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	(void)unsetenv("NOTIFY_SOCKET");
}

/*
 * What the service manager waits for must not get lost in a full queue, so these block, but not for
 * ever: systemd may be slow or gone, and that is no reason to stop.
 */
void
notify_send(const char *text)
{
	const struct timeval patience = {.tv_sec = WAIT_S};
	int fd, flags = MSG_NOSIGNAL;

	if (to_len == 0 || (fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return;
	if (strncmp(text, "STATUS=", 7) == 0)
		flags |= MSG_DONTWAIT;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	(void)sendto(fd, text, strlen(text), flags, (const struct sockaddr *)&to, to_len);
	close(fd);
}
