/*
 * The least that taking mail durably costs: an SMTP server that appends each message to a file
 * allocated ahead, with one fdatasync for all that came in one round of its loop, and then says
 *250.
 *
 *	smtp_floor PORT FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "t/bench/load.h"

#define EVENTS 256
#define LINE_ROOM 2048
#define OUT_ROOM 4096
#define CAPACITY (512L * 1024 * 1024) /* octets of the file, which is used in a ring */

struct session {
	int fd;
	int in_text, waiting; /* for the disk */
	char line[LINE_ROOM];
	size_t have;
	char out[OUT_ROOM];
	size_t queued;
	char *text;
	size_t len, size;
};

static char window[256 * 1024];
static struct session *round_of[EVENTS];
static int nround, ep, file;
static off_t offset;

static void
reply(struct session *s, const char *text)
{
	size_t n = strlen(text);

	if (s->queued + n <= sizeof s->out) {
		memcpy(s->out + s->queued, text, n);
		s->queued += n;
	}
}

/* Returns 1 when the session is over. */
static int
command(struct session *s)
{
	if (strncasecmp(s->line, "EHLO", 4) == 0)
		reply(s, "250-floor.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
			 "250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n");
	else if (strncasecmp(s->line, "DATA", 4) == 0) {
		reply(s, "354 go\r\n");
		s->in_text = 1;
		s->len = 0;
	} else if (strncasecmp(s->line, "QUIT", 4) == 0) {
		reply(s, "221 2.0.0 Bye\r\n");
		return 1;
	} else
		reply(s, "250 2.0.0 Ok\r\n");
	return 0;
}

/* Take text; the octet behind it. */
static const char *
take_text(struct session *s, const char *p, const char *end)
{
	size_t n = (size_t)(end - p), from = s->len > 4 ? s->len - 4 : 0;
	const char *found;

	if (s->len + n > s->size) {
		s->size = 2 * (s->len + n);
		if ((s->text = realloc(s->text, s->size)) == NULL)
			err(1, NULL);
	}
	memcpy(s->text + s->len, p, n);
	found = memmem(s->text + from, s->len + n - from, "\r\n.\r\n", 5);
	if (found == NULL) {
		s->len += n;
		return end;
	}
	n = (size_t)(found + 5 - s->text) - s->len;
	s->len += n;
	s->in_text = 0;
	s->waiting = 1;
	round_of[nround++] = s;
	reply(s, "250 2.0.0 Ok\r\n");
	return p + n;
}

static int
take(struct session *s, const char *p, const char *end)
{
	const char *lf;
	size_t n;

	while (p < end) {
		if (s->in_text) {
			p = take_text(s, p, end);
			continue;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		n = (size_t)((lf != NULL ? lf + 1 : end) - p);
		if (s->have + n >= sizeof s->line)
			return 1;
		memcpy(s->line + s->have, p, n);
		s->have += n;
		p += n;
		if (lf == NULL)
			break;
		s->line[s->have] = '\0';
		s->have = 0;
		if (command(s))
			return 1;
	}
	return 0;
}

static void
flush(struct session *s)
{
	if (s->queued > 0)
		(void)send(s->fd, s->out, s->queued, MSG_NOSIGNAL);
	s->queued = 0;
}

static void
readable(struct session *s)
{
	ssize_t n = recv(s->fd, window, sizeof window, MSG_DONTWAIT);
	int over;

	if (n == -1 && errno == EAGAIN)
		return;
	over = n <= 0 || take(s, window, window + n);
	if (!s->waiting)
		flush(s);
	if (over) {
		close(s->fd);
		free(s->text);
		free(s);
	}
}

static void
accept_one(int listener)
{
	struct session *s = calloc(1, sizeof *s);
	struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = s}};

	if (s == NULL)
		err(1, NULL);
	if ((s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) == -1) {
		free(s);
		return;
	}
	load_no_delay(s->fd);
	reply(s, "220 floor.test ESMTP\r\n");
	flush(s);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e) == -1)
		err(1, "epoll_ctl");
}

/* On the disk with all of them, then tell them. */
static void
settle(void)
{
	struct iovec v[EVENTS];
	size_t all = 0;
	int i;

	for (i = 0; i < nround; i++) {
		v[i] = (struct iovec){round_of[i]->text, round_of[i]->len};
		all += round_of[i]->len;
	}
	if (offset + (off_t)all > CAPACITY)
		offset = 0;
	if (pwritev(file, v, nround, offset) != (ssize_t)all || fdatasync(file) == -1)
		err(1, "write");
	offset += (off_t)((all + 4095) & ~(size_t)4095);
	for (i = 0; i < nround; i++) {
		round_of[i]->waiting = 0;
		flush(round_of[i]);
	}
	nround = 0;
}

int
main(int argc, char *argv[])
{
	struct epoll_event ev[EVENTS], e = {.events = EPOLLIN};
	int listener, n, i;
	off_t at;

	if (argc != 3)
		errx(64, "usage: smtp_floor PORT FILE");
	if ((file = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600)) == -1)
		err(1, "%s", argv[2]);
	for (at = 0; at < CAPACITY; at += sizeof window)
		if (pwrite(file, window, sizeof window, at) != sizeof window)
			err(1, "%s", argv[2]);
	if (fsync(file) == -1)
		err(1, "%s", argv[2]);
	listener = load_listen(load_number(argv[1], 1, 65535));
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) == -1)
		err(1, "epoll");
	for (;;) {
		n = epoll_wait(ep, ev, EVENTS, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				accept_one(listener);
			else
				readable(ev[i].data.ptr);
		}
		if (nround > 0)
			settle();
	}
}
