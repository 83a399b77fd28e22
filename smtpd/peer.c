/* The client's side of SMTP: one connection to a peer. */
#include "smtpd/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/cidr.h"
#include "net/line.h"
#include "smtpd/command.h"

#define IN_MAX (8 * 1024) /* octets of replies held */
#define OUT_LOW (64 * 1024) /* octets */
#define END_FACTOR 5 /* the reply to the final dot takes that many times longer */
#define WHOLE_FACTOR 2 /* a whole reply may take that many times as long as its next octet */

enum phase {
	CONNECTING,
	GREETING,
	HELLO,
	STARTTLS,
	CLEARED, /* TLS may begin: the owner says when */
	SECURING,
	JUDGED, /* TLS is there: the same */
	READY,
	BROKEN
};

struct expected {
	peer_reply_fn fn;
	void *arg;
	unsigned tag;
	int must; /* anything but success is the end */
	int tls; /* with success TLS begins */
};

struct peer {
	const struct proxy_route *r;
	const struct peer_ops *ops;
	void *arg;
	enum phase phase;
	struct upstream *up;
	struct conn *c;
	struct line_reader in;
	struct smtp_reply reply;
	unsigned features;
	uint64_t size;
	char relay[HOST_MAX + CIDR_TEXT_MAX + 8];
	struct expected q[PEER_PENDING_MAX]; /* ring: the oldest at head */
	unsigned head, n;
	int old; /* EHLO was refused, HELO is tried */
	bool foreign; /* a server that a client wanted */
	bool in_clear; /* TLS is not ours to begin */
	int streaming; /* message text is on its way: nothing else may go */
	uint64_t reply_by; /* clock_ms: one that comes octet by octet ends there */
	int busy, dead; /* inside a callback; closed there */
};

static void
peer_free(struct peer *p)
{
	if (p->busy) {
		p->dead = 1;
		return;
	}
	upstream_free(p->up);
	conn_free(p->c);
	line_free(&p->in);
	smtp_reply_free(&p->reply);
	free(p);
}

/* The end of it: the connection goes, the owner hears of it once. */
static void
fail(struct peer *p, const struct answer *why)
{
	if (p->phase == BROKEN || p->dead)
		return;
	p->phase = BROKEN;
	p->n = 0;
	upstream_free(p->up); /* it may be judging the connection */
	p->up = NULL;
	conn_free(p->c);
	p->c = NULL;
	p->ops->failed(why, p->arg);
}

static void
fail_text(struct peer *p, const char *text)
{
	char line[LOG_FIELD_MAX];
	struct answer a;

	/* What the peer gave has been escaped where the text was made. */
	(void)log_clean(line, sizeof line, text, strlen(text));
	if (p->foreign)
		log_warn("connector %s: server %s: %s", p->r->connector, p->relay, line);
	else if (p->r->peer[0] == '\0')
		log_warn(
		    "route %s: server %s:%u: %s", p->r->connector, p->r->host, p->r->port, line);
	else
		log_warn("peer %s (%s:%u): %s", p->r->peer, p->r->host, p->r->port, line);
	if (p->phase < READY) {
		upstream_failed(p->r, line);
		answer_set(&a, 421, "4.4.1 the mail server cannot be used now");
	} else
		answer_set(&a, 451, "4.4.2 the connection to the mail server was lost");
	fail(p, &a);
}

/* The peer refuses to talk to us: what it said is the client's answer. */
static void
fail_reply(struct peer *p, const struct smtp_reply *r)
{
	struct answer a;
	char line[LOG_FIELD_MAX];

	answer_from_peer(&a, r);
	log_warn("%s%s %s said: %s", p->foreign ? "server" : "peer ", p->foreign ? "" : p->r->peer,
	    p->relay, log_str(answer_line(line, sizeof line, &a)));
	if (p->phase < READY)
		upstream_failed(p->r, log_str(line));
	if (a.code < 400 || p->phase >= READY)
		a.code = 421;
	else if (a.code != 421)
		a.code = a.code >= 500 ? 554 : 421;
	fail(p, &a);
}

/* Only while we wait for a reply does the peer's silence count. */
static void
set_clock(struct peer *p, unsigned factor)
{
	uint64_t ms = p->r->limits.peer_timeout * 1000 * factor;

	p->reply_by = clock_ms() + WHOLE_FACTOR * ms;
	conn_set_idle(p->c, p->phase == READY && p->n == 0 ? 0 : (uint32_t)ms);
}

static void
hello(struct peer *p)
{
	const char *verb = p->r->lmtp ? "LHLO" : p->old ? "HELO" : "EHLO";

	p->phase = HELLO;
	smtp_reply_reset(&p->reply);
	if (conn_printf(p->c, "%s %s\r\n", verb, p->r->hostname) == -1)
		fail_text(p, "cannot write");
}

static void
start_tls(struct peer *p, const char *asked)
{
	struct err e;

	p->phase = SECURING;
	set_clock(p, 1);
	/* Clear text behind the answer to STARTTLS is an injection: refused in there. */
	if (upstream_start_tls(p->up, p->c, asked, &e) == -1)
		fail_text(p, e.text);
}

static void
on_greeting(struct peer *p, const struct smtp_reply *r)
{
	if (r->code != 220) /* no other one is a beginning (RFC 5321, 4.3.2) */
		fail_reply(p, r);
	else
		hello(p);
}

/* A foreign server's TLS begins when the client asks for it. */
static bool
may_yet_secure(const struct peer *p)
{
	return p->foreign && p->r->tls == CONF_TLS_STARTTLS && p->r->inspect == CONF_TLS_INSPECT &&
	       !conn_is_tls(p->c);
}

static void
on_hello(struct peer *p, const struct smtp_reply *r)
{
	if (r->code / 100 == 5 && !p->old && !p->r->lmtp) {
		/* An old server: no extensions, and no TLS either. */
		p->old = 1;
		hello(p);
		return;
	}
	if (r->code / 100 != 2) {
		fail_reply(p, r);
		return;
	}
	p->features = p->old ? 0 : features_of(r, &p->size);
	if (p->r->tls == CONF_TLS_STARTTLS && !p->foreign && !p->in_clear && !conn_is_tls(p->c) &&
	    (!p->r->tls_may || (p->features & F_STARTTLS) != 0)) {
		if ((p->features & F_STARTTLS) == 0) {
			fail_text(p, "it does not offer STARTTLS, which the configuration demands");
			return;
		}
		p->phase = STARTTLS;
		smtp_reply_reset(&p->reply);
		if (conn_puts(p->c, "STARTTLS\r\n") == -1)
			fail_text(p, "cannot write");
		return;
	}
	p->phase = READY;
	upstream_reached(p->r, p->c);
	set_clock(p, 1);
	if (!may_yet_secure(p)) {
		upstream_free(p->up);
		p->up = NULL;
	}
	p->ops->ready(p->arg);
}

/* The reply to the oldest command. */
static void
on_answer(struct peer *p, const struct smtp_reply *r)
{
	struct expected x;
	struct answer a;

	if (p->streaming && r->code >= 400 && r->code != 421) {
		/* Refused before all of it was there: that is the message's fate. */
		answer_from_peer(&a, r);
		fail(p, &a);
		return;
	}
	if (p->n == 0 || r->code == 421) {
		/* Said unasked, or a good-bye (RFC 5321, 3.8). */
		fail_reply(p, r);
		return;
	}
	x = p->q[p->head];
	p->head = (p->head + 1) % PEER_PENDING_MAX;
	p->n--;
	set_clock(p, 1);
	if (x.tls && r->code == 220)
		p->phase = CLEARED;
	if (x.must && r->code / 100 != 2)
		fail_text(p, "it does not take a transaction back");
	else if (x.fn != NULL)
		x.fn(x.arg, x.tag, r);
}

static void
on_reply(struct peer *p, const struct smtp_reply *r)
{
	switch (p->phase) {
	case GREETING:
		on_greeting(p, r);
		break;
	case HELLO:
		on_hello(p, r);
		break;
	case STARTTLS:
		if (r->code == 220)
			start_tls(p, NULL);
		else
			fail_reply(p, r);
		break;
	case READY:
		on_answer(p, r);
		break;
	default:
		break;
	}
}

/* May a line be looked at?  Not where TLS begins, or nobody has said whether to go on. */
static int
listens(const struct peer *p)
{
	return !p->dead && p->phase != BROKEN && p->phase != CLEARED && p->phase != SECURING &&
	       p->phase != JUDGED;
}

/* One line, if there is one. Returns 0 when there is nothing more to do. */
static int
read_line(struct peer *p)
{
	int rc;

	switch (line_read(&p->in, p->c)) {
	case LINE_MORE:
		return 0;
	case LINE_OK:
		break;
	default:
		fail_text(p, "an endless reply");
		return 0;
	}
	/* Servers that end lines with LF alone are in the field; nothing hangs on it here. */
	if (p->phase == READY && p->n == 0 && p->reply.lines == 0)
		smtp_reply_reset(&p->reply);
	if ((rc = smtp_reply_line(&p->reply, p->in.text, p->in.len)) == -1) {
		fail_text(p, errno == EMSGSIZE ? "an endless reply" : "what it says is not SMTP");
		return 0;
	}
	if (rc == 1) {
		on_reply(p, &p->reply);
		if (p->phase != BROKEN && !p->dead)
			smtp_reply_reset(&p->reply);
	}
	return listens(p);
}

static void
enter(struct peer *p)
{
	p->busy++;
}

static void
leave(struct peer *p)
{
	p->busy--;
	if (p->dead)
		peer_free(p);
}

static void
on_readable(struct conn *c, void *arg)
{
	struct peer *p = arg;

	(void)c;
	enter(p);
	if (p->phase == CLEARED)
		fail_text(p, "it talks on in clear where TLS had to begin");
	while (listens(p) && read_line(p)) /* of what is held: IN_MAX octets at most */
		;
	if (p->phase != BROKEN && !p->dead && (p->phase != READY || p->n > 0) &&
	    clock_ms() > p->reply_by)
		fail_text(p, "no whole reply in time");
	leave(p);
}

static void
on_drained(struct conn *c, void *arg)
{
	struct peer *p = arg;

	(void)c;
	enter(p);
	if (p->phase == READY && p->ops->drained != NULL)
		p->ops->drained(p->arg);
	leave(p);
}

/* Nothing is said to the server before its certificate was judged. */
static void
on_judged(enum upstream_verdict v, const char *text, void *arg)
{
	struct peer *p = arg;

	enter(p);
	if (v != UPSTREAM_BAD && v != UPSTREAM_UNKNOWN)
		log_info("%s TLS connection established to %s: %s",
		    v == UPSTREAM_GOOD && p->r->verify != CONF_VERIFY_NONE ? "Verified"
									   : "Untrusted",
		    p->relay, conn_tls_text(p->c));
	if (p->foreign) {
		p->phase = JUDGED;
		conn_pause(p->c); /* its greeting has to wait for the client */
		p->ops->judged(v, text, p->arg);
	} else if (v == UPSTREAM_GOOD)
		peer_go_on(p);
	else
		fail_text(p, text);
	leave(p);
}

static void
on_secured(struct conn *c, void *arg)
{
	struct peer *p = arg;

	enter(p);
	upstream_judge(p->up, c, on_judged, p);
	leave(p);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct peer *p = arg;

	(void)c;
	enter(p);
	fail_text(p, why == CONN_IDLE      ? "no reply in time"
		     : why == CONN_EXPIRED ? "it takes the text of a message too slowly"
					   : text);
	leave(p);
}

static const struct conn_handlers handlers = {
    .readable = on_readable,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_closed,
};

static void
name_relay(struct peer *p, int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof ss;
	char ip[CIDR_TEXT_MAX];

	if (p->foreign) /* known by its address only, and named already */
		return;
	if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
		(void)snprintf(p->relay, sizeof p->relay, "%s%s", p->r->host,
		    cidr_text_port(ip, sizeof ip, (struct sockaddr *)&ss));
}

static void
on_connected(int fd, const char *text, void *arg)
{
	const struct conn_limits limits = {
	    .in_max = IN_MAX, .out_max = PEER_OUT_MAX, .out_low = OUT_LOW};
	struct peer *p = arg;

	enter(p);
	if (fd == -1) {
		fail_text(p, text);
		goto out;
	}
	name_relay(p, fd);
	if ((p->c = conn_new(proc_env()->base, fd, &limits, &handlers, p)) == NULL) {
		(void)shutdown(fd, SHUT_RDWR);
		close(fd);
		fail_text(p, "out of memory");
		goto out;
	}
	p->phase = GREETING;
	set_clock(p, 1);
	if (p->r->tls == CONF_TLS_IMPLICIT && !p->in_clear) {
		if (p->foreign)
			p->ops->connected(p->arg);
		else
			start_tls(p, NULL);
	}
out:
	leave(p);
}

struct peer *
peer_open(const struct proxy_route *r, const struct proxy_target *to, bool in_clear,
    const struct peer_ops *ops, void *arg)
{
	struct peer *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->r = r;
	p->ops = ops;
	p->arg = arg;
	p->foreign = to != NULL;
	p->in_clear = in_clear;
	(void)strlcpy(p->relay, "none", sizeof p->relay);
	smtp_reply_init(&p->reply);
	line_init(&p->in, SMTP_REPLY_LINE_MAX);
	if ((p->up = upstream_connect(r, to, false, on_connected, p)) == NULL) {
		free(p);
		errno = ENOMEM;
		return NULL;
	}
	if (p->foreign)
		(void)strlcpy(p->relay, upstream_name(p->up), sizeof p->relay);
	return p;
}

void
peer_close(struct peer *p)
{
	if (p == NULL)
		return;
	if (p->phase == READY && p->n == 0 && !p->streaming && conn_puts(p->c, "QUIT\r\n") == 0) {
		conn_finish(p->c);
		p->c = NULL;
	}
	p->phase = BROKEN;
	peer_free(p);
}

unsigned
peer_features(const struct peer *p)
{
	return p->features;
}

uint64_t
peer_size(const struct peer *p)
{
	return p->size;
}

const char *
peer_relay(const struct peer *p)
{
	return p->relay;
}

static int
expect(struct peer *p, peer_reply_fn fn, void *arg, unsigned tag)
{
	struct expected *x;

	if (p->n == PEER_PENDING_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	x = &p->q[(p->head + p->n++) % PEER_PENDING_MAX];
	*x = (struct expected){.fn = fn, .arg = arg, .tag = tag};
	return 0;
}

int
peer_command(struct peer *p, const char *line, peer_reply_fn fn, void *arg, unsigned tag)
{
	size_t n = strlen(line);

	if (p->phase != READY || p->streaming) {
		errno = EPIPE;
		return -1;
	}
	if (strpbrk(line, "\r\n") != NULL) {
		errno = EINVAL;
		return -1;
	}
	if (n + 2 > conn_room(p->c)) {
		errno = EMSGSIZE;
		return -1;
	}
	if (expect(p, fn, arg, tag) == -1)
		return -1;
	set_clock(p, 1);
	/* Both fit; if the connection has failed, closed tells. */
	(void)conn_write(p->c, line, n);
	(void)conn_write(p->c, "\r\n", 2);
	return 0;
}

int
peer_reset(struct peer *p, peer_reply_fn fn, void *arg)
{
	if (peer_command(p, "RSET", fn, arg, 0) == -1)
		return -1;
	p->q[(p->head + p->n - 1) % PEER_PENDING_MAX].must = 1;
	return 0;
}

int
peer_starttls(struct peer *p, peer_reply_fn fn, void *arg)
{
	if (p->n > 0) {
		errno = EINVAL;
		return -1;
	}
	if (peer_command(p, "STARTTLS", fn, arg, 0) == -1)
		return -1;
	p->q[p->head].tls = 1;
	return 0;
}

void
peer_begin_tls(struct peer *p, const char *asked)
{
	enter(p);
	start_tls(p, asked);
	leave(p);
}

int
peer_mint(struct peer *p, enum upstream_verdict v, const char *asked, upstream_minted fn, void *arg)
{
	return upstream_mint(p->up, p->c, v, asked, fn, arg);
}

void
peer_go_on(struct peer *p)
{
	enter(p);
	set_clock(p, 1);
	smtp_reply_reset(&p->reply);
	p->old = 0;
	conn_resume(p->c);
	if (p->r->tls == CONF_TLS_IMPLICIT)
		p->phase = GREETING;
	else
		hello(p);
	leave(p);
}

struct conn *
peer_release(struct peer *p)
{
	struct conn *c = p->c;

	p->c = NULL;
	p->phase = BROKEN;
	return c;
}

unsigned
peer_pending(const struct peer *p)
{
	return p->n;
}

int
peer_may_pipeline(const struct peer *p)
{
	if (p->phase != READY || conn_room(p->c) < COMMAND_MAX)
		return 0;
	return p->n == 0 || ((p->features & F_PIPELINING) != 0 && p->n < PEER_PENDING_MAX);
}

struct conn *
peer_conn(struct peer *p)
{
	return p->c;
}

void
peer_stream(struct peer *p)
{
	p->streaming = 1;
	conn_set_idle(p->c, (uint32_t)(p->r->limits.peer_timeout * 1000));
	conn_set_total(p->c, (uint32_t)(p->r->limits.data_timeout * 1000));
}

int
peer_expect_end(struct peer *p, peer_reply_fn fn, void *arg)
{
	if (p->phase != READY || expect(p, fn, arg, 0) == -1) {
		errno = EPIPE;
		return -1;
	}
	p->streaming = 0;
	conn_set_total(p->c, 0);
	set_clock(p, END_FACTOR);
	return 0;
}
