#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/logfile.h"
#include "logd/logd.h"

#define SYSLOG_PATH "/dev/log"
#define PATIENCE_MS 200 /* for a syslog daemon whose queue is full */
#define CONNECT_MS 1000 /* between two attempts to reach the syslog daemon */

struct output {
	enum conf_log_to to;
	char *path; /* as configured, for messages */
	char *host;
	int facility;
	int dir; /* folder of the socket, outside the jail */
	char name[NAME_MAX + 1]; /* in it */
	int fd; /* -1: not there now */
	int slow; /* the syslog daemon kept us waiting: not again before it took a line */
	int torn; /* the last line lacks its end */
	uint64_t tried; /* clock_ms of the last connect */
	uint64_t written, lost, unsaid; /* unsaid: lost and not yet told in the log */
	char trouble[128];
};

static void
give_up(struct output *o, int error)
{
	o->lost++;
	o->unsaid++;
	(void)snprintf(o->trouble, sizeof o->trouble, "%s", strerror(error));
}

/* Split the path of the syslog socket into the folder, opened, and the name in it. */
static int
open_dir(struct output *o, const char *path, struct err *e)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash == NULL || strlcpy(dir, path, sizeof dir) >= sizeof dir ||
	    strlcpy(o->name, slash + 1, sizeof o->name) >= sizeof o->name || o->name[0] == '\0')
		return err_set(e, EINVAL, "%s is not the path of a file", path);
	dir[slash == path ? 1 : slash - path] = '\0';
	if ((o->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) == -1)
		return err_sys(e, "%s", dir);
	return 0;
}

/* After this one, master opens it; see output_reopen. */
static int
open_log_file(struct output *o, uint32_t uid, uint32_t gid, struct err *e)
{
	o->fd = log_file_open(o->path, uid, gid);
	return o->fd == -1 ? err_sys(e, "cannot write the log %s", o->path) : 0;
}

/*
 * A relative name from the socket's folder, because the jail hides the rest; the socket is not of
 * the kind that can be reached by descriptor.
 */
static void
connect_syslog(struct output *o)
{
	const struct timeval patience = {0, PATIENCE_MS * 1000};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, rc;

	o->tried = clock_ms();
	if (strlcpy(sun.sun_path, o->name, sizeof sun.sun_path) >= sizeof sun.sun_path)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	rc = fchdir(o->dir);
	if (rc == 0)
		rc = connect(fd, (const struct sockaddr *)&sun, sizeof sun);
	if (chdir("/") == -1 || rc == -1) {
		close(fd);
		return;
	}
	if (o->fd != -1)
		close(o->fd);
	o->fd = fd;
}

static int
open_syslog(struct output *o, struct err *e)
{
	char real[PATH_MAX];

	/* With systemd it is a link to another folder. */
	if (open_dir(o, realpath(SYSLOG_PATH, real) != NULL ? real : SYSLOG_PATH, e) == -1)
		return -1;
	connect_syslog(o);
	if (o->fd == -1)
		log_warn("%s: no syslog daemon: lines go to standard error until there is one",
		    SYSLOG_PATH);
	return 0;
}

struct output *
output_open(const struct conf *c, uint32_t uid, uint32_t gid, struct err *e)
{
	struct output *o = calloc(1, sizeof *o);
	int rc;

	if (o == NULL) {
		err_set(e, ENOMEM, "no memory");
		return NULL;
	}
	o->to = c->log.destination;
	o->facility = c->log.facility;
	o->dir = o->fd = -1;
	o->path = strdup(o->to == CONF_LOG_FILE ? c->log.file : SYSLOG_PATH);
	o->host = strdup(c->node.hostname);
	if (o->path == NULL || o->host == NULL)
		rc = err_set(e, ENOMEM, "no memory");
	else
		rc = o->to == CONF_LOG_FILE ? open_log_file(o, uid, gid, e) : open_syslog(o, e);
	if (rc == -1) {
		output_close(o);
		return NULL;
	}
	return o;
}

void
output_close(struct output *o)
{
	if (o == NULL)
		return;
	if (o->fd != -1)
		close(o->fd);
	if (o->dir != -1)
		close(o->dir);
	free(o->path);
	free(o->host);
	free(o);
}

/* 0, or -1 and errno. */
static int
write_file(struct output *o, const char *line, size_t n)
{
	ssize_t w;

	/* A disk that filled up in the middle of a line must not join two of them. */
	if (o->torn) {
		if (write(o->fd, "\n", 1) != 1)
			return -1;
		o->torn = 0;
	}
	do
		w = write(o->fd, line, n);
	while (w == -1 && errno == EINTR);
	if (w == (ssize_t)n)
		return 0;
	if (w > 0) {
		o->torn = 1;
		errno = ENOSPC;
	}
	return -1;
}

/*
 * The queue of a Unix datagram socket may be as short as 10: a burst waits a little for the syslog
 * daemon (nobody waits for us), one that hangs is waited for once.
 */
static int
send_syslog(struct output *o, const char *line, size_t n)
{
	int again;

	for (again = 0; again < 2; again++) {
		if (o->fd != -1 && send(o->fd, line, n,
				       MSG_NOSIGNAL | (o->slow ? MSG_DONTWAIT : 0)) == (ssize_t)n) {
			o->slow = 0;
			return 0;
		}
		if (o->fd != -1 && (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE)) {
			o->slow = errno == EAGAIN;
			return -1;
		}
		/* It was restarted, or is not there. */
		if (o->fd == -1 && clock_ms() - o->tried < CONNECT_MS)
			break;
		connect_syslog(o);
	}
	if (o->fd != -1)
		close(o->fd);
	o->fd = -1;
	errno = ENOTCONN;
	return -1;
}

static int
put(struct output *o, const struct line *l)
{
	char text[LINE_OUT_MAX];
	size_t n;

	if (o->to == CONF_LOG_FILE) {
		n = line_for_file(text, l, o->host);
		return write_file(o, text, n);
	}
	n = line_for_syslog(text, l, o->facility);
	if (send_syslog(o, text, n) == 0)
		return 0;
	if (o->fd == -1) {
		/* Better there than nowhere; a service manager keeps it. */
		n = line_for_file(text, l, o->host);
		(void)fwrite(text, 1, n, stderr);
		errno = ENOTCONN;
	}
	return -1;
}

static void
confess(struct output *o, const struct line *like)
{
	char text[192];
	struct line l = *like;

	/* While there is nobody to tell, standard error has the lines themselves. */
	if (o->to == CONF_LOG_SYSLOG && o->fd == -1) {
		if (clock_ms() - o->tried >= CONNECT_MS)
			connect_syslog(o);
		if (o->fd == -1)
			return;
	}
	(void)snprintf(text, sizeof text, "%llu log lines lost: %s", (unsigned long long)o->unsaid,
	    o->trouble);
	l.level = LOG_L_WARN;
	l.who = "logd";
	l.pid = (uint32_t)getpid();
	l.text = text;
	if (put(o, &l) == 0) {
		o->unsaid = 0;
		o->trouble[0] = '\0';
	}
}

void
output_line(struct output *o, const struct line *l)
{
	if (o->unsaid > 0)
		confess(o, l);
	if (put(o, l) == -1)
		give_up(o, errno);
	else
		o->written++;
}

void
output_reopen(struct output *o, int fd)
{
	if (o->to != CONF_LOG_FILE) {
		if (fd != -1)
			close(fd);
		connect_syslog(o);
		return;
	}
	/* The old file is better than none. */
	if (fd == -1)
		return;
	close(o->fd);
	o->fd = fd;
	o->torn = 0;
	log_info("log file opened again");
}

int
output_reload(struct output *o, const struct conf *c, struct err *e)
{
	char *host;

	if (c->log.destination != o->to ||
	    (o->to == CONF_LOG_FILE && strcmp(c->log.file, o->path) != 0))
		return err_set(e, EINVAL, "the log's destination changed: that needs a restart");
	if ((host = strdup(c->node.hostname)) == NULL)
		return err_set(e, ENOMEM, "no memory");
	free(o->host);
	o->host = host;
	o->facility = c->log.facility;
	return 0;
}

void
output_count(const struct output *o, struct output_counts *n)
{
	n->written = o->written;
	n->lost = o->lost;
	(void)strlcpy(n->trouble, o->trouble, sizeof n->trouble);
}
