/*
 * A POP3 client:
 *
 *	pop3_load PORT USER PASSWORD
 *
 * Commands (see load.h):
 *
 *	each MAX	retrieve MAX messages, each when the one before is there
 *	bulk MAX	the same, asked for ahead
 *	login COUNT	log in so often, LOGINS_AT_ONCE at a time
 *	idle COUNT	open so many sessions, log in, and hold them until told to go on
 *
 * each and bulk begin with a session that has looked at its first message already.
 */
#include <errno.h>
#include <poll.h>

#include "t/bench/load.h"

#define AHEAD 50 /* messages asked for at once */
#define LOGINS_AT_ONCE 8
#define IDLE_MAX 20000
#define STALL_MS 60000

struct side {
	int fd;
	char buf[256 * 1024];
	size_t at, end;
};

static unsigned port;
static const char *user, *password;
static size_t octets; /* of all messages */

static void
say(int fd, const char *verb, const char *arg)
{
	char line[512];
	int n = snprintf(line, sizeof line, "%s%s\r\n", verb, arg);

	if (send(fd, line, (size_t)n, MSG_NOSIGNAL) != n)
		err(1, "send");
}

/* The next line with its end. */
static char *
line(struct side *s, size_t *n)
{
	char *lf, *from;
	ssize_t got;

	for (;;) {
		from = s->buf + s->at;
		lf = memchr(from, '\n', s->end - s->at);
		if (lf != NULL) {
			*n = (size_t)(lf + 1 - from);
			s->at += *n;
			return from;
		}
		memmove(s->buf, from, s->end - s->at);
		s->end -= s->at;
		s->at = 0;
		if ((got = recv(s->fd, s->buf + s->end, sizeof s->buf - s->end, 0)) <= 0)
			errx(1, "the server has closed the connection");
		s->end += (size_t)got;
		/* Acknowledged at once, as a client elsewhere would be seen to do. */
		(void)setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
	}
}

static char *
good(struct side *s)
{
	size_t n;
	char *l = line(s, &n);

	l[n - 1] = '\0';
	if (*l != '+')
		errx(1, "%s", l);
	return l;
}

static void
skip_text(struct side *s)
{
	size_t n;
	char *l;

	do {
		l = line(s, &n);
		octets += n;
	} while (n != 3 || memcmp(l, ".\r\n", 3) != 0);
}

static void
log_in(struct side *s)
{
	s->fd = load_connect(port);
	s->at = s->end = 0;
	(void)good(s);
	say(s->fd, "USER ", user);
	(void)good(s);
	say(s->fd, "PASS ", password);
	(void)good(s);
}

static void
log_out(struct side *s)
{
	say(s->fd, "QUIT", "");
	(void)good(s);
	close(s->fd);
}

static void
retrieve(unsigned max, unsigned ahead)
{
	static struct side s;
	char ask[16 * AHEAD];
	unsigned n = 0, i, k, m;
	double start;
	size_t len;

	log_in(&s);
	say(s.fd, "STAT", "");
	if (sscanf(good(&s), "+OK %u", &n) != 1 || n == 0)
		errx(1, "the maildrop is empty");
	if (n > max)
		n = max;
	say(s.fd, "RETR ", "1");
	(void)good(&s);
	skip_text(&s);
	load_ready();
	octets = 0;
	start = load_now();
	for (i = 1; i <= n; i += m) {
		m = n - i + 1 < ahead ? n - i + 1 : ahead;
		for (k = 0, len = 0; k < m; k++)
			len += (size_t)snprintf(ask + len, sizeof ask - len, "RETR %u\r\n", i + k);
		if (send(s.fd, ask, len, MSG_NOSIGNAL) != (ssize_t)len)
			err(1, "send");
		for (k = 0; k < m; k++) {
			(void)good(&s);
			skip_text(&s);
		}
	}
	load_took(load_now() - start, n);
	log_out(&s);
}

/* Sessions that log in and out again, several at a time. */
static void
log_in_often(unsigned count)
{
	static const char *const verbs[] = {"USER ", "PASS ", "QUIT"};
	struct pollfd p[LOGINS_AT_ONCE];
	unsigned step[LOGINS_AT_ONCE], begun = 0, done = 0, i;
	char buf[1024];
	ssize_t n;

	for (i = 0; i < LOGINS_AT_ONCE; i++)
		p[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	while (done < count) {
		for (i = 0; i < LOGINS_AT_ONCE && begun < count; i++)
			if (p[i].fd == -1) {
				p[i].fd = load_connect(port);
				step[i] = 0;
				begun++;
			}
		if (poll(p, LOGINS_AT_ONCE, STALL_MS) <= 0)
			errx(1, "nothing moves");
		for (i = 0; i < LOGINS_AT_ONCE; i++) {
			if (p[i].fd == -1 || p[i].revents == 0)
				continue;
			/* One short line at a time is all that a server may say here. */
			n = recv(p[i].fd, buf, sizeof buf, 0);
			if (n <= 0 || buf[0] != '+' || buf[n - 1] != '\n')
				errx(1, "login, step %u: %.*s", step[i], n > 0 ? (int)n : 0, buf);
			if (step[i] < 3) {
				say(p[i].fd, verbs[step[i]],
				    step[i] == 0   ? user
				    : step[i] == 1 ? password
						   : "");
				step[i]++;
				continue;
			}
			close(p[i].fd);
			p[i].fd = -1;
			done++;
		}
	}
}

static void
hold(unsigned count)
{
	static struct side s;
	static int fds[IDLE_MAX];
	unsigned i;

	for (i = 0; i < count; i++) {
		log_in(&s);
		fds[i] = s.fd;
	}
	load_ready();
	for (i = 0; i < count; i++)
		close(fds[i]);
	load_took(0, count);
}

int
main(int argc, char *argv[])
{
	char command[80], verb[16];
	unsigned n;
	double start;

	if (argc != 4)
		errx(64, "usage: pop3_load PORT USER PASSWORD");
	port = load_number(argv[1], 1, 65535);
	user = argv[2];
	password = argv[3];
	while (load_command(command, sizeof command)) {
		if (sscanf(command, "%15s %u", verb, &n) != 2 || n == 0)
			errx(64, "what is \"%s\"?", command);
		if (strcmp(verb, "each") == 0)
			retrieve(n, 1);
		else if (strcmp(verb, "bulk") == 0)
			retrieve(n, AHEAD);
		else if (strcmp(verb, "idle") == 0 && n <= IDLE_MAX)
			hold(n);
		else {
			log_in_often(LOGINS_AT_ONCE);
			load_ready();
			start = load_now();
			log_in_often(n);
			load_took(load_now() - start, n);
		}
	}
	return 0;
}
