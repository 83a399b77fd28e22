#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
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
	uint64_t saying; /* of them, told by the first line that is held; 0: it is no such line */
	char trouble[128];
	unsigned nlines; /* held */
	uint32_t end[OUTPUT_LINES]; /* of each in text, behind text[0] */
	char text[1 + OUTPUT_BATCH + LINE_OUT_MAX]; /* text[0]: the end of a torn line */
};

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

static uint32_t
begin_of(const struct output *o, unsigned i)
{
	return i == 0 ? 1 : o->end[i - 1];
}

static void
took(struct output *o, unsigned i)
{
	if (i > 0 || o->saying == 0) {
		o->written++;
		return;
	}
	o->unsaid -= o->saying;
	if (o->unsaid == 0)
		o->trouble[0] = '\0';
}

static void
refused(struct output *o, unsigned i, int error)
{
	(void)snprintf(o->trouble, sizeof o->trouble, "%s", strerror(error));
	if (i == 0 && o->saying > 0)
		return;
	o->lost++;
	o->unsaid++;
}

static void
flush_file(struct output *o)
{
	/* A disk that filled up in the middle of a line must not join two of them. */
	size_t from = o->torn ? 0 : 1, to;
	int error = ENOSPC;
	unsigned i;
	ssize_t w;

	o->text[0] = '\n';
	do
		w = write(o->fd, o->text + from, o->end[o->nlines - 1] - from);
	while (w == -1 && errno == EINTR);
	if (w == -1)
		error = errno;
	to = from + (w > 0 ? (size_t)w : 0);
	if (w > 0)
		o->torn = 0;
	for (i = 0; i < o->nlines; i++) {
		if (o->end[i] <= to) {
			took(o, i);
			continue;
		}
		o->torn |= to > begin_of(o, i);
		refused(o, i, error);
	}
}

/* Better there than nowhere; a service manager keeps it. */
static void
to_stderr(const struct output *o, unsigned i)
{
	const char *p = memchr(o->text + begin_of(o, i), '>', 8);
	const int stamp = 16; /* with its blank: the host comes behind it, in a file */
	int n = p == NULL ? 0 : (int)(o->text + o->end[i] - ++p);

	if (n > stamp)
		(void)fprintf(stderr, "%.*s%.*s %.*s\n", stamp, p, (int)strcspn(o->host, "."),
		    o->host, n - stamp, p + stamp);
}

#define SEND_AT_ONCE 64

/* Send lines from i on. Returns how many the syslog daemon took, or -1 with errno: none. */
static int
send_some(struct output *o, unsigned i)
{
	struct mmsghdr m[SEND_AT_ONCE];
	struct iovec v[SEND_AT_ONCE];
	unsigned n;

	memset(m, 0, sizeof m);
	for (n = 0; n < SEND_AT_ONCE && i + n < o->nlines; n++) {
		v[n].iov_base = o->text + begin_of(o, i + n);
		v[n].iov_len = o->end[i + n] - begin_of(o, i + n);
		m[n].msg_hdr.msg_iov = &v[n];
		m[n].msg_hdr.msg_iovlen = 1;
	}
	return sendmmsg(o->fd, m, n, MSG_NOSIGNAL | (o->slow ? MSG_DONTWAIT : 0));
}

/*
 * The queue of a Unix datagram socket may be as short as 10: a burst waits a little for the syslog
 * daemon (nobody waits for us), one that hangs is waited for once.
 */
static void
flush_syslog(struct output *o)
{
	unsigned i = 0, again = 0;
	int n;

	while (i < o->nlines) {
		if (o->fd != -1 && (n = send_some(o, i)) > 0) {
			o->slow = 0;
			again = 0;
			while (n-- > 0)
				took(o, i++);
			continue;
		}
		if (o->fd != -1 && (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE)) {
			o->slow = errno == EAGAIN;
			refused(o, i++, errno);
			continue;
		}
		/* It was restarted, or is not there. */
		if (again++ > 0 || (o->fd == -1 && clock_ms() - o->tried < CONNECT_MS))
			break;
		connect_syslog(o);
	}
	if (i == o->nlines)
		return;
	if (o->fd != -1)
		close(o->fd);
	o->fd = -1;
	for (; i < o->nlines; i++) {
		to_stderr(o, i);
		refused(o, i, ENOTCONN);
	}
}

void
output_flush(struct output *o)
{
	if (o->nlines == 0)
		return;
	if (o->to == CONF_LOG_FILE)
		flush_file(o);
	else
		flush_syslog(o);
	o->nlines = 0;
	o->saying = 0;
}

static void
hold(struct output *o, const struct line *l)
{
	uint32_t at = o->nlines == 0 ? 1 : o->end[o->nlines - 1];
	size_t n = o->to == CONF_LOG_FILE ? line_for_file(o->text + at, l, o->host)
					  : line_for_syslog(o->text + at, l, o->facility);

	o->end[o->nlines++] = at + (uint32_t)n;
}

/* Before the first line that is held: tell how many before it are missing. */
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
	l.escaped = 0;
	o->saying = o->unsaid;
	hold(o, &l);
}

void
output_line(struct output *o, const struct line *l)
{
	if (o->nlines == 0 && o->unsaid > 0)
		confess(o, l);
	hold(o, l);
	if (o->nlines == OUTPUT_LINES || o->end[o->nlines - 1] > OUTPUT_BATCH)
		output_flush(o);
}

void
output_reopen(struct output *o, int fd)
{
	output_flush(o);
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
