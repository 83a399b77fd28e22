/*
 * An SMTP client of several sessions at a time, each as fast as its server answers:
 *
 *	smtp_load [-p] [-m MESSAGES] PORT SESSIONS FILE SENDER RCPT
 *
 * -p	MAIL, RCPT and DATA leave at once (RFC 2920)
 * -m	after so many messages a session begins anew
 *
 * FILE is the message.  Commands (see load.h) are numbers of messages.  Before those that count,
 * each session sends one that does not: what a server does for the first message of a session is
 * no part of the figure.  Sessions stay from one command to the next.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "t/bench/load.h"

#define SESSIONS_MAX 256
#define STALL_MS 60000
#define LINE_ROOM 4096

enum state { GREETING, HELLO, REST, MAIL, RCPT, DATA, TEXT, LEAVING };

struct session {
	int fd;
	enum state state;
	char in[LINE_ROOM];
	size_t have;
	size_t sent; /* octets of the message */
	unsigned done; /* messages of this connection */
};

static unsigned port, nsessions, left, busy;
static struct session sessions[SESSIONS_MAX];
static const char *sender, *rcpt;
static char *text; /* the message with its dots stuffed and its end */
static size_t text_len;
static int ep, pipelining;
static unsigned per_connection;

static void
load_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	int c, start = 1;

	if (f == NULL || fstat(fileno(f), &st) == -1)
		err(1, "%s", path);
	if ((text = malloc(2 * (size_t)st.st_size + 3)) == NULL)
		err(1, NULL);
	while ((c = getc(f)) != EOF) {
		if (start && c == '.')
			text[text_len++] = '.';
		text[text_len++] = (char)c;
		start = c == '\n';
	}
	if (!start)
		errx(1, "%s: the last line has no end", path);
	memcpy(text + text_len, ".\r\n", 3);
	text_len += 3;
	(void)fclose(f);
}

static void
watch(struct session *s, int op, uint32_t events)
{
	struct epoll_event e = {.events = events, .data = {.ptr = s}};

	if (epoll_ctl(ep, op, s->fd, &e) == -1)
		err(1, "epoll_ctl");
}

static void
say(struct session *s, enum state next, const char *verb, const char *arg, const char *end)
{
	char line[3 * LINE_ROOM];
	int n = snprintf(line, sizeof line, "%s%s%s\r\n", verb, arg, end);

	s->state = next;
	if (send(s->fd, line, (size_t)n, MSG_NOSIGNAL) != n)
		err(1, "send");
}

static void
send_text(struct session *s)
{
	ssize_t n;

	while (s->sent < text_len) {
		n = send(s->fd, text + s->sent, text_len - s->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN) {
			watch(s, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n == -1)
			err(1, "send");
		s->sent += (size_t)n;
	}
	watch(s, EPOLL_CTL_MOD, EPOLLIN);
}

/* The next message, if one is left. */
static void
next_message(struct session *s)
{
	char line[2 * LINE_ROOM];

	s->state = REST;
	if (left == 0) {
		busy--;
		return;
	}
	if (per_connection != 0 && s->done == per_connection) {
		say(s, LEAVING, "QUIT", "", "");
		return;
	}
	left--;
	s->done++;
	if (!pipelining) {
		say(s, MAIL, "MAIL FROM:<", sender, ">");
		return;
	}
	(void)snprintf(line, sizeof line, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA", sender, rcpt);
	say(s, MAIL, line, "", "");
}

static void
begin(struct session *s)
{
	s->fd = load_connect(port);
	s->state = GREETING;
	s->have = s->done = 0;
	watch(s, EPOLL_CTL_ADD, EPOLLIN);
}

static void
reply(struct session *s, const char *line)
{
	unsigned want = s->state == DATA ? 3 : 2;

	if ((unsigned)(line[0] - '0') != want)
		errx(1, "in state %d: %s", s->state, line);
	switch (s->state) {
	case GREETING:
		say(s, HELLO, "EHLO ", "load.test", "");
		break;
	case MAIL:
		if (pipelining)
			s->state = RCPT;
		else
			say(s, RCPT, "RCPT TO:<", rcpt, ">");
		break;
	case RCPT:
		if (pipelining)
			s->state = DATA;
		else
			say(s, DATA, "DATA", "", "");
		break;
	case LEAVING:
		close(s->fd);
		begin(s);
		break;
	case DATA:
		s->state = TEXT;
		s->sent = 0;
		send_text(s);
		break;
	default:
		next_message(s);
	}
}

static void
readable(struct session *s)
{
	ssize_t n = recv(s->fd, s->in + s->have, sizeof s->in - 1 - s->have, MSG_DONTWAIT);
	char *line = s->in, *end;

	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0)
		errx(1, "the server has closed the connection in state %d", s->state);
	s->have += (size_t)n;
	s->in[s->have] = '\0';
	while ((end = strstr(line, "\r\n")) != NULL) {
		*end = '\0';
		/* A hyphen behind the code: more lines follow. */
		if (end - line < 4 || line[3] != '-')
			reply(s, line);
		line = end + 2;
		if (s->state == GREETING)
			return; /* another connection */
	}
	s->have -= (size_t)(line - s->in);
	memmove(s->in, line, s->have);
}

/* Send count messages, in all sessions. */
static void
run(unsigned count)
{
	struct epoll_event ev[SESSIONS_MAX];
	unsigned i;
	int n, k;

	left = count;
	busy = nsessions;
	for (i = 0; i < nsessions; i++) {
		if (sessions[i].fd == -1)
			begin(&sessions[i]);
		else
			next_message(&sessions[i]);
	}
	while (busy > 0) {
		if ((n = epoll_wait(ep, ev, SESSIONS_MAX, STALL_MS)) <= 0)
			errx(1, "nothing moves");
		for (k = 0; k < n; k++) {
			if (ev[k].events & EPOLLOUT)
				send_text(ev[k].data.ptr);
			if (ev[k].events & ~(uint32_t)EPOLLOUT)
				readable(ev[k].data.ptr);
		}
	}
}

int
main(int argc, char *argv[])
{
	char line[32];
	unsigned count, i;
	double start;
	int c;

	while ((c = getopt(argc, argv, "+pm:")) != -1) {
		if (c == 'p')
			pipelining = 1;
		else if (c == 'm')
			per_connection = load_number(optarg, 1, 1000000);
		else
			exit(64);
	}
	argc -= optind - 1;
	argv += optind - 1;
	if (argc != 6)
		errx(64, "usage: smtp_load [-p] [-m MESSAGES] PORT SESSIONS FILE SENDER RCPT");
	port = load_number(argv[1], 1, 65535);
	nsessions = load_number(argv[2], 1, SESSIONS_MAX);
	load_text(argv[3]);
	sender = argv[4];
	rcpt = argv[5];
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll_create1");
	for (i = 0; i < nsessions; i++)
		sessions[i].fd = -1;
	while (load_command(line, sizeof line)) {
		count = load_number(line, 1, 100000000);
		run(nsessions);
		load_ready();
		start = load_now();
		run(count);
		load_took(load_now() - start, count);
	}
	return 0;
}
