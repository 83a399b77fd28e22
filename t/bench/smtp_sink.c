/*
 * An SMTP server that takes everything and keeps nothing:
 *
 *	smtp_sink [-f PERMILLE] [-s PERMILLE] PORT
 *
 * -f	so many messages are refused for the time being
 * -s	so many are answered after two seconds only
 *
 * The verb COUNT gives how many came, "250 NUMBER".  The verb LAST gives the message that came
 *last, "250 SIZE" and as many octets, for whoever wants to know what is being measured.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "t/bench/load.h"

#define EVENTS 64
#define LINE_ROOM 2048
#define OUT_ROOM 4096
#define KEEP_MAX (512 * 1024) /* octets of the last message */
#define STALL_S 2.0 /* seconds */

struct session {
	int fd;
	int in_text;
	char line[LINE_ROOM];
	size_t have;
	char out[OUT_ROOM];
	size_t queued;
	char tail[5]; /* what the text ends with so far */
	double stalled; /* when it will be answered; 0: it is not waiting */
	int over; /* the client has gone meanwhile */
	struct session *next;
};

static struct session *waiting, **behind = &waiting; /* stalled, the first to be answered first */
static unsigned fail, stall; /* of a thousand */

static char window[256 * 1024];
static char last[KEEP_MAX];
static size_t last_len;
static unsigned long taken;
static int ep;

static void
reply(struct session *s, const char *text)
{
	size_t n = strlen(text);

	if (s->queued + n <= sizeof s->out) {
		memcpy(s->out + s->queued, text, n);
		s->queued += n;
	}
}

static void
send_last(struct session *s)
{
	char line[32];
	size_t off;
	ssize_t n;

	(void)snprintf(line, sizeof line, "250 %zu\r\n", last_len);
	if (send(s->fd, line, strlen(line), MSG_NOSIGNAL) == -1)
		return;
	for (off = 0; off < last_len; off += (size_t)n)
		if ((n = send(s->fd, last + off, last_len - off, MSG_NOSIGNAL)) == -1)
			return;
}

/* Returns 1 when the session is over. */
static int
command(struct session *s)
{
	if (strncasecmp(s->line, "EHLO", 4) == 0)
		reply(s, "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
			 "250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n");
	else if (strncasecmp(s->line, "DATA", 4) == 0) {
		reply(s, "354 go\r\n");
		s->in_text = 1;
		memcpy(s->tail, "   \r\n", sizeof s->tail);
		last_len = 0;
	} else if (strncasecmp(s->line, "LAST", 4) == 0)
		send_last(s);
	else if (strncasecmp(s->line, "COUNT", 5) == 0) {
		char text[32];

		(void)snprintf(text, sizeof text, "250 %lu\r\n", taken);
		reply(s, text);
	} else if (strncasecmp(s->line, "QUIT", 4) == 0) {
		reply(s, "221 2.0.0 Bye\r\n");
		return 1;
	} else
		reply(s, "250 2.0.0 Ok\r\n");
	return 0;
}

/* A message is here. */
static void
answer(struct session *s)
{
	if ((unsigned)(random() % 1000) < fail) {
		reply(s, "451 4.3.0 not now\r\n");
		return;
	}
	taken++;
	reply(s, "250 2.0.0 Ok\r\n");
	if ((unsigned)(random() % 1000) >= stall)
		return;
	s->stalled = load_now() + STALL_S;
	s->next = NULL;
	*behind = s;
	behind = &s->next;
}

/* Take text; the octet behind it. */
static const char *
take_text(struct session *s, const char *p, const char *end)
{
	const char *at = p, *lf;
	size_t n;

	while ((lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		size_t i, k = (size_t)(lf - p) + 1;
		char w[5];

		for (i = 0; i < 5; i++)
			w[i] = k + i >= 5 ? p[k + i - 5] : s->tail[k + i];
		at = lf + 1;
		if (memcmp(w, "\r\n.\r\n", 5) == 0) {
			s->in_text = 0;
			break;
		}
	}
	if (s->in_text)
		at = end;
	n = (size_t)(at - p);
	if (last_len + n <= sizeof last) {
		memcpy(last + last_len, p, n);
		last_len += n;
	}
	if (n >= 5)
		memcpy(s->tail, at - 5, 5);
	else {
		memmove(s->tail, s->tail + n, 5 - n);
		memcpy(s->tail + 5 - n, p, n);
	}
	if (!s->in_text)
		answer(s);
	return at;
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
readable(struct session *s)
{
	ssize_t n = recv(s->fd, window, sizeof window, MSG_DONTWAIT);
	int over;

	if (n == -1 && errno == EAGAIN)
		return;
	/* Acknowledged at once: not every proxy has switched Nagle's algorithm off. */
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
	over = n <= 0 || take(s, window, window + n);
	if (s->stalled != 0) {
		s->over |= over;
		return;
	}
	if (s->queued > 0)
		(void)send(s->fd, s->out, s->queued, MSG_NOSIGNAL);
	s->queued = 0;
	if (over) {
		close(s->fd);
		free(s);
	}
}

/* Answer those whose time has come; milliseconds until the next, -1: nobody waits. */
static int
wake(void)
{
	struct session *s;
	double now = load_now();

	while ((s = waiting) != NULL && s->stalled <= now) {
		if ((waiting = s->next) == NULL)
			behind = &waiting;
		s->stalled = 0;
		if (s->queued > 0)
			(void)send(s->fd, s->out, s->queued, MSG_NOSIGNAL);
		s->queued = 0;
		if (s->over) {
			close(s->fd);
			free(s);
		}
	}
	return waiting != NULL ? (int)((waiting->stalled - now) * 1000) + 1 : -1;
}

static void
accept_one(int listener)
{
	static const char greeting[] = "220 sink.test ESMTP\r\n";
	struct session *s = calloc(1, sizeof *s);
	struct epoll_event e = {.events = EPOLLIN, .data = {.ptr = s}};

	if (s == NULL)
		err(1, NULL);
	if ((s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) == -1) {
		free(s);
		return;
	}
	load_no_delay(s->fd);
	(void)send(s->fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e) == -1)
		err(1, "epoll_ctl");
}

int
main(int argc, char *argv[])
{
	struct epoll_event ev[EVENTS], e = {.events = EPOLLIN};
	int listener, n, i, c;

	while ((c = getopt(argc, argv, "f:s:")) != -1) {
		if (c == 'f')
			fail = load_number(optarg, 0, 1000);
		else if (c == 's')
			stall = load_number(optarg, 0, 1000);
		else
			exit(64);
	}
	if (argc != optind + 1)
		errx(64, "usage: smtp_sink [-f PERMILLE] [-s PERMILLE] PORT");
	listener = load_listen(load_number(argv[optind], 1, 65535));
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) == -1)
		err(1, "epoll");
	for (;;) {
		n = epoll_wait(ep, ev, EVENTS, wake());
		for (i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				accept_one(listener);
			else
				readable(ev[i].data.ptr);
		}
	}
}
