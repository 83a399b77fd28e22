/*
 * Whatever a server says, against the client that delivers to it.  The first octets of the input
 * say how it is to be used; the rest is said in pieces, each when the client has nothing left to
 * do.  Nobody may be told "sent" before the whole message was out and a 250 came behind it.
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "deliverd/client_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define HOW_OCTETS 3
#define RCPTS 3
#define ROUNDS_MAX 64 /* pieces that are said one by one; the rest comes at once */
#define MESSAGES_MAX 4

static const char *const messages[] = {
    "Subject: x\r\n\r\nhello\r\n",
    ".\r\n.\r\n\xc3\xa9\r\n",
    "Content-Type: text/plain\r\n\r\na\n.\nb\r\n",
    "",
};

static struct event_base *base;

struct run {
	struct client *c;
	int fd; /* the server's end */
	struct buf heard;
	unsigned ready, done, closed, sent;
	bool out; /* the message was out before the piece in hand was said */
	struct envelope env;
	struct job_rcpt to[RCPTS];
	struct client_rcpt rcpts[RCPTS];
	struct octets body;
	struct client_mail mail;
};

static void
must(int ok)
{
	if (!ok)
		abort();
}

static void
check_text(const char *s)
{
	must(s != NULL && strlen(s) <= DIAG_MAX && strpbrk(s, "\r\n\t") == NULL);
}

static void
check_dsn(const char *dsn, char class)
{
	must(strlen(dsn) < 12 && dsn[0] == class && dsn[1] == '.');
}

/* Has the last message's end gone out, so that an answer to it is possible? */
static bool
whole(const struct run *r)
{
	const char *p = (const char *)buf_ptr(&r->heard);
	size_t n = buf_len(&r->heard);

	if (memmem(p, n, "BDAT", 4) != NULL)
		return true;
	return n >= 5 && memmem(p, n, "DATA\r\n", 6) != NULL &&
	       memmem(p, n, "\r\n.\r\n", 5) != NULL;
}

static void
hear(struct run *r)
{
	uint8_t p[4096];
	ssize_t n;

	while ((n = recv(r->fd, p, sizeof p, MSG_DONTWAIT)) > 0)
		must(buf_put(&r->heard, p, (size_t)n) == 0);
}

static void
begin(struct run *r)
{
	buf_reset(&r->heard);
	r->out = false;
	client_send(r->c, &r->mail);
}

static void
on_done(struct client *c, struct client_mail *m, void *arg)
{
	struct run *r = arg;
	size_t i;

	(void)c;
	hear(r);
	for (i = 0; i < m->n; i++) {
		must(m->rcpts[i].to == &r->to[i] && m->rcpts[i].reply_to != NULL);
		check_text(m->rcpts[i].text);
		check_dsn(m->rcpts[i].dsn, m->rcpts[i].status <= JOB_RELAYED   ? '2'
					   : m->rcpts[i].status == JOB_DELAYED ? '4'
									       : '5');
		if (m->rcpts[i].status <= JOB_RELAYED) {
			must(r->out && m->rcpts[i].said);
			must(strncmp(m->rcpts[i].text, "25", 2) == 0);
			r->sent++;
		}
	}
	must(!m->stale || r->done > 0);
	r->done++;
	if (client_idle(r->c) && r->done < MESSAGES_MAX)
		begin(r);
}

static void
on_ready(struct client *c, void *arg)
{
	struct run *r = arg;

	(void)c;
	must(r->ready++ == 0);
	begin(r);
}

static void
on_closed(struct client *c, const struct client_failure *why, void *arg)
{
	struct run *r = arg;

	(void)c;
	must(r->closed++ == 0);
	check_text(why->text);
	check_dsn(why->dsn, why->permanent ? '5' : '4');
}

static const struct client_ops ops = {.ready = on_ready, .closed = on_closed};

static void
turn(void)
{
	int i;

	/* What is put off to the next turn of the loop has several of them. */
	for (i = 0; i < 6; i++)
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
start(struct run *r, const uint8_t *how)
{
	static const char *const to[] = {"a@x", "b@x", "\xc3\xa9@x"};
	struct sockaddr_storage ss = {.ss_family = AF_INET};
	struct client_how h = {.base = base,
	    .host = "mx.example",
	    .addrs = &ss,
	    .naddrs = 1,
	    .lmtp = (how[0] & 1) != 0,
	    .helo = "gw.example",
	    .login = how[0] & 2 ? "bob" : NULL,
	    .password = "secret",
	    .spooldir = -1,
	    .connect_ms = 1000,
	    .reply_ms = 100000};
	const char *message = messages[how[1] % 4];
	int fds[2];
	size_t i;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	r->fd = fds[0];
	buf_init(&r->heard, 1 << 24);
	r->env = (struct envelope){.sender = "s@y",
	    .envid = "E",
	    .ret = MAIL_RET_HDRS,
	    .body = how[0] & 4 ? OCTETS_BINARY : OCTETS_8BIT,
	    .smtputf8 = (how[0] & 8) != 0};
	for (i = 0; i < RCPTS; i++) {
		r->to[i] = (struct job_rcpt){.addr = to[i], .notify = RCPT_FAILURE};
		r->rcpts[i].to = &r->to[i];
	}
	r->body = octets_mem(message, strlen(message));
	r->mail = (struct client_mail){.env = &r->env,
	    .body = &r->body,
	    .rcpts = r->rcpts,
	    .n = how[1] / 4 % RCPTS + 1,
	    .done = on_done,
	    .arg = r};
	must((r->c = client_new(&h, &ops, r)) != NULL);
	/* As if it were on loopback, so that the login is said. */
	((struct sockaddr_in *)(void *)&ss)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r->c->addr = ss;
	must(client_begin(r->c, fds[1]) == 0);
	hello_connected(r->c);
}

static void
say(struct run *r, const uint8_t *p, size_t n)
{
	ssize_t put;

	while (n > 0 && r->closed == 0) {
		r->out = whole(r);
		put = send(r->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (put > 0) {
			p += put;
			n -= (size_t)put;
		}
		turn();
		hear(r);
		if (put == -1 && r->closed == 0)
			return; /* it reads no more */
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct run r = {0};
	const uint8_t *p, *end, *lf;
	unsigned rounds = 0, step;
	size_t part;

	if (n < HOW_OCTETS)
		return 0;
	if (base == NULL)
		must((base = event_base_new()) != NULL);
	start(&r, data);
	turn();
	step = data[2]; /* octets of a piece; 0: a line */
	for (p = data + HOW_OCTETS, end = data + n; p < end; rounds++) {
		lf = step == 0 ? memchr(p, '\n', (size_t)(end - p)) : NULL;
		part = step == 0 ? (lf != NULL ? (size_t)(lf + 1 - p) : (size_t)(end - p)) : step;
		if (part > (size_t)(end - p) || rounds >= ROUNDS_MAX)
			part = (size_t)(end - p);
		say(&r, p, part);
		p += part;
	}
	/* And it goes away. */
	(void)close(r.fd);
	r.fd = -1;
	turn();
	must(r.closed == 1);
	must(r.done <= MESSAGES_MAX && (r.ready > 0 || r.done == 0));
	client_close(r.c);
	turn();
	must(conn_count() == 0);
	buf_free(&r.heard);
	return 0;
}
