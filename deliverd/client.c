/* One connection to a server: its life, and what it says line by line. */
#include "deliverd/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "deliverd/client_int.h"
#include "mail/utf8.h"

#define WHOLE_FACTOR 2 /* a whole reply may take that many times as long as its next octet */
#define OPEN_FACTOR 4 /* and all until it is ready */
#define REPLY_KEEP 4096 /* octets of memory for replies that an idle connection may keep */

static const struct conn_handlers handlers;

static void
enter(struct client *c)
{
	c->busy++;
}

static void
client_free(struct client *c)
{
	if (c->busy > 0) {
		c->dead = true;
		return;
	}
	(void)event_del(&c->soon);
	dial_cancel(c->dial);
	conn_free(c->c);
	tx_drop(c);
	line_free(&c->in);
	smtp_reply_free(&c->reply);
	how_free(&c->how);
	free(c->host);
	free(c->tls_bad);
	free(c);
}

static void
leave(struct client *c)
{
	if (--c->busy == 0 && c->dead)
		client_free(c);
}

/* --- replies as text --- */

char *
reply_line(char *out, size_t outsz, const struct smtp_reply *r)
{
	const char *p = NULL;
	size_t n, i;

	n = (size_t)snprintf(out, outsz, "%u", r->code);
	while ((p = smtp_reply_text(r, p)) != NULL && n + 1 < outsz)
		n += (size_t)snprintf(out + n, outsz - n, " %s", p);
	n = strlen(out);
	while (n > 0 && out[n - 1] == ' ')
		out[--n] = '\0';
	for (i = 0; i < n; i++)
		if (out[i] == '\t')
			out[i] = ' ';
	if (!mail_utf8_valid(out, n))
		for (i = 0; i < n; i++)
			if ((uint8_t)out[i] >= 0x80)
				out[i] = '?';
	return out;
}

void
reply_dsn(char out[12], const struct smtp_reply *r, char class)
{
	if (r->enhanced[0] == class)
		(void)snprintf(out, 12, "%s", r->enhanced);
	else
		(void)snprintf(out, 12, "%c.0.0", class);
}

/* --- the end of it --- */

static void
hang_up(struct client *c)
{
	dial_cancel(c->dial);
	c->dial = NULL;
	conn_free(c->c);
	c->c = NULL;
	line_free(&c->in);
	line_init(&c->in, SMTP_REPLY_LINE_MAX);
	smtp_reply_reset(&c->reply);
}

/* Before it is ready: is there another address, that might do? */
static bool
goes_on(struct client *c, const struct client_failure *why)
{
	if (why->permanent || why->end == CLIENT_UNREACHED || why->end == CLIENT_NO_LOGIN ||
	    why->end == CLIENT_OURS || ++c->at >= c->how.naddrs)
		return false;
	c->clear = false;
	return client_dial(c) == 0;
}

static void
end(struct client *c, const struct client_failure *why)
{
	bool opening = c->phase < CP_READY;

	if (c->phase == CP_BROKEN || c->dead)
		return;
	hang_up(c);
	if (opening && goes_on(c, why))
		return;
	c->phase = CP_BROKEN;
	tx_failed(c, why);
	if (!c->dead)
		c->ops->closed(c, why, c->arg);
}

void
client_fail(struct client *c, enum client_end why, const char *dsn, const char *fmt, ...)
{
	struct client_failure f = {.end = why};
	va_list ap;

	(void)snprintf(f.dsn, sizeof f.dsn, "4.%s", dsn);
	va_start(ap, fmt);
	(void)vsnprintf(f.text, sizeof f.text, fmt, ap);
	va_end(ap);
	end(c, &f);
}

void
client_fail_reply(struct client *c, enum client_end why, const struct smtp_reply *r)
{
	struct client_failure f = {.end = why, .permanent = r->code >= 500, .said = true};

	reply_dsn(f.dsn, r, f.permanent ? '5' : '4');
	(void)reply_line(f.text, sizeof f.text, r);
	end(c, &f);
}

/* What it is at, as people know it from Postfix. */
static const char *
doing(const struct client *c)
{
	switch (c->phase) {
	case CP_GREETING:
		return "receiving the initial server greeting";
	case CP_HELLO:
	case CP_OLD_HELLO:
		return c->how.lmtp ? "performing the LHLO handshake"
				   : "performing the EHLO handshake";
	case CP_STARTTLS:
		return "sending the STARTTLS command";
	case CP_AUTH:
	case CP_AUTH_NAME:
	case CP_AUTH_WORD:
		return "performing SASL authentication";
	default:
		return tx_doing(c);
	}
}

/* --- the clock, and what the loop has to do --- */

void
client_clock(struct client *c, unsigned factor)
{
	uint64_t ms = (uint64_t)c->how.reply_ms * factor;

	c->reply_by = factor > 0 ? clock_ms() + WHOLE_FACTOR * ms : UINT64_MAX;
	conn_set_idle(c->c, ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX);
}

void
client_wake(struct client *c)
{
	static const struct timeval now = {0, 0};

	/* Made active it would come before what the sockets of others have. */
	(void)event_add(&c->soon, &now);
}

static void
on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	enter(c);
	if (c->no_memory)
		client_fail(c, CLIENT_OURS, "3.0", "out of memory");
	else if (c->phase == CP_READY)
		tx_soon(c);
	leave(c);
}

void
client_say(struct client *c, const char *line)
{
	struct iovec v[2] = {
	    {(void *)(uintptr_t)line, strlen(line)}, {(void *)(uintptr_t) "\r\n", 2}};

	/* If the connection has failed, closed tells. */
	if (conn_writev(c->c, v, 2) == -1 && errno != EPIPE) {
		c->no_memory = true;
		client_wake(c);
	}
}

/* --- input --- */

/* May a line be looked at?  Not where TLS begins. */
static bool
listens(const struct client *c)
{
	return !c->dead && c->phase != CP_BROKEN && c->phase != CP_DIALING &&
	       c->phase != CP_SECURING;
}

static void
garbled(struct client *c, const char *what)
{
	client_fail(c, CLIENT_GARBLED, "5.0", "%s %s while %s", c->relay, what, doing(c));
}

/* One line, if there is one; false: there is nothing more to do. */
static bool
read_line(struct client *c)
{
	int rc;

	switch (line_read(&c->in, c->c)) {
	case LINE_MORE:
		return false;
	case LINE_OK:
		break;
	default:
		garbled(c, "gave an endless reply");
		return false;
	}
	/* Servers that end lines with LF alone are in the field; nothing hangs on it here. */
	if ((rc = smtp_reply_line(&c->reply, c->in.text, c->in.len)) == -1) {
		garbled(c, errno == EMSGSIZE ? "gave an endless reply" : "gave a malformed reply");
		return false;
	}
	if (rc == 1) {
		if (c->phase == CP_READY)
			tx_reply(c, &c->reply);
		else
			hello_reply(c, &c->reply);
		smtp_reply_reset(&c->reply);
	}
	return listens(c);
}

/* All input was looked at; rest: but for a reply that is not whole. */
static void
settle(struct client *c, bool rest)
{
	if (rest && (c->announce || tx_settles(c)))
		garbled(c, "said more than it was asked for");
	else if (c->announce) {
		c->announce = false;
		c->ops->ready(c, c->arg);
	} else
		tx_settle(c);
}

static void
on_readable(struct conn *conn, void *arg)
{
	struct client *c = arg;
	size_t rest;

	(void)conn;
	enter(c);
	while (listens(c) && read_line(c)) /* of what is held: CLIENT_IN_MAX octets at most */
		;
	if (!listens(c))
		goto out;
	if (clock_ms() > c->reply_by) {
		garbled(c, "gave no whole reply in time");
	} else if (c->phase == CP_READY) {
		(void)conn_in(c->c, &rest);
		settle(c, rest > 0 || c->reply.lines > 0);
	}
out:
	if (!c->dead && c->reply.text.size > REPLY_KEEP)
		smtp_reply_free(&c->reply);
	leave(c);
}

static void
on_drained(struct conn *conn, void *arg)
{
	struct client *c = arg;

	(void)conn;
	enter(c);
	if (c->phase == CP_READY)
		tx_drained(c);
	leave(c);
}

static void
on_secured(struct conn *conn, void *arg)
{
	struct client *c = arg;

	(void)conn;
	enter(c);
	if (c->phase == CP_SECURING)
		hello_secured(c);
	leave(c);
}

static void
on_closed(struct conn *conn, enum conn_end why, const char *text, void *arg)
{
	struct client *c = arg;

	(void)conn;
	enter(c);
	if (c->phase == CP_SECURING)
		hello_tls_failed(c, text);
	else if (why == CONN_IDLE || why == CONN_EXPIRED) {
		c->silent = true;
		client_fail(c, CLIENT_LOST, "4.2", "conversation with %s timed out while %s",
		    c->relay, doing(c));
	} else
		client_fail(
		    c, CLIENT_LOST, "4.2", "lost connection with %s while %s", c->relay, doing(c));
	leave(c);
}

static const struct conn_handlers handlers = {
    .readable = on_readable,
    .drained = on_drained,
    .secured = on_secured,
    .closed = on_closed,
};

/* --- the beginning --- */

int
client_begin(struct client *c, int fd)
{
	const struct conn_limits limits = {
	    .in_max = CLIENT_IN_MAX, .out_max = CLIENT_OUT_MAX, .out_low = CLIENT_OUT_LOW};
	uint64_t ms = (uint64_t)c->how.reply_ms * OPEN_FACTOR;

	if ((c->c = conn_new(c->how.base, fd, &limits, &handlers, c)) == NULL) {
		(void)close(fd);
		return -1;
	}
	conn_set_total(c->c, ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX);
	return 0;
}

static void
on_dialed(int fd, const struct sockaddr_storage *peer, const struct err *e, void *arg)
{
	struct client *c = arg;
	char ip[CIDR_TEXT_MAX];

	c->dial = NULL;
	enter(c);
	if (fd == -1) {
		client_fail(c, CLIENT_UNREACHED, "4.1", "connect to %s%s", c->host, e->text);
		goto out;
	}
	while (c->at + 1 < c->how.naddrs && memcmp(peer, &c->how.addrs[c->at], sizeof *peer) != 0) {
		c->at++;
		c->clear = false; /* that was said of another address */
	}
	c->addr = *peer;
	(void)snprintf(c->relay, sizeof c->relay, "%s%s", c->host,
	    cidr_text_port(ip, sizeof ip, (const struct sockaddr *)peer));
	if (client_begin(c, fd) == -1)
		client_fail(c, CLIENT_OURS, "3.0", "out of memory");
	else
		hello_connected(c);
out:
	leave(c);
}

int
client_dial(struct client *c)
{
	size_t n = c->how.naddrs - c->at;
	uint64_t total = (uint64_t)c->how.connect_ms * n;
	struct err e;

	c->phase = CP_DIALING;
	c->silent = false;
	c->dial = dial_start(c->how.base, c->how.addrs + c->at, n, c->how.connect_ms,
	    total < UINT32_MAX ? (uint32_t)total : UINT32_MAX, on_dialed, c, &e);
	return c->dial != NULL ? 0 : -1;
}

void
client_redial(struct client *c)
{
	hang_up(c);
	if (client_dial(c) == -1)
		client_fail(c, CLIENT_OURS, "3.0", "out of memory");
}

struct client *
client_new(const struct client_how *how, const struct client_ops *ops, void *arg)
{
	struct client *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	if (how_copy(&c->how, how) == -1 || (c->host = strdup(how->host)) == NULL) {
		how_free(&c->how);
		free(c);
		return NULL;
	}
	c->ops = ops;
	c->arg = arg;
	c->reply_by = UINT64_MAX;
	(void)snprintf(c->relay, sizeof c->relay, "%s", c->host);
	smtp_reply_init(&c->reply);
	line_init(&c->in, SMTP_REPLY_LINE_MAX);
	(void)event_assign(&c->soon, how->base, -1, 0, on_soon, c);
	return c;
}

struct client *
client_open(const struct client_how *how, const struct client_ops *ops, void *arg)
{
	struct client *c = client_new(how, ops, arg);

	if (c != NULL && client_dial(c) == -1) {
		client_free(c);
		c = NULL;
	}
	return c;
}

void
client_close(struct client *c)
{
	if (c == NULL)
		return;
	if (client_idle(c) && c->reply.lines == 0 && conn_puts(c->c, "QUIT\r\n") == 0) {
		conn_finish(c->c);
		c->c = NULL;
	}
	c->phase = CP_BROKEN;
	tx_drop(c);
	conn_free(c->c);
	c->c = NULL;
	client_free(c);
}

void
client_send(struct client *c, struct client_mail *m)
{
	tx_start(c, m);
}

bool
client_idle(const struct client *c)
{
	return c->phase == CP_READY && c->tx.step == TX_NONE && !c->no_memory;
}

const char *
client_relay(const struct client *c)
{
	return c->relay;
}

const struct sockaddr_storage *
client_addr(const struct client *c)
{
	return &c->addr;
}

uint64_t
client_sent(const struct client *c)
{
	return c->sent;
}

bool
client_verified(const struct client *c)
{
	return c->c != NULL && conn_is_tls(c->c) && c->how.peer.verify != CONN_VERIFY_NONE &&
	       conn_tls_bad(c->c) == NULL;
}

const char *
client_tls_text(const struct client *c)
{
	return c->c != NULL ? conn_tls_text(c->c) : "";
}

const char *
client_tls_bad(const struct client *c)
{
	if (c->tls_bad != NULL)
		return c->tls_bad;
	return c->c != NULL ? conn_tls_bad(c->c) : NULL;
}
