#include "net/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/clock.h"
#include "net/cidr.h"

struct dial {
	struct event_base *base;
	struct event ev; /* the attempt that is running, or the next one to start */
	struct sockaddr_storage addrs[DIAL_ADDRS_MAX];
	size_t n;
	size_t at; /* the address in hand */
	int fd;
	int given; /* the socket to be used for the only address, or -1 */
	uint32_t each_ms;
	uint64_t each_at, total_at; /* clock_ms */
	dial_done done;
	void *arg;
	struct err err; /* reasons so far */
};

static void on_connect(evutil_socket_t fd, short what, void *arg);
static void on_next(evutil_socket_t fd, short what, void *arg);

static socklen_t
addr_len(const struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* Note why the address in hand is no good. */
static void
note(struct dial *d, int code, const char *why)
{
	char addr[CIDR_TEXT_MAX];
	size_t n = strlen(d->err.text);

	d->err.code = code;
	(void)snprintf(d->err.text + n, sizeof d->err.text - n, "%s%s: %s", n > 0 ? "; " : "",
	    cidr_text_port(addr, sizeof addr, (const struct sockaddr *)&d->addrs[d->at]), why);
}

/* Hand over the result; the dial is gone before the owner hears of it. */
static void
finish(struct dial *d)
{
	struct sockaddr_storage peer;
	struct err e = d->err;
	dial_done done = d->done;
	void *arg = d->arg;
	int fd = d->fd;

	if (fd != -1)
		peer = d->addrs[d->at];
	(void)event_del(&d->ev);
	free(d);
	done(fd, fd != -1 ? &peer : NULL, fd != -1 ? NULL : &e, arg);
}

static void
drop_fd(struct dial *d)
{
	(void)event_del(&d->ev);
	if (d->fd != -1)
		(void)close(d->fd);
	d->fd = -1;
}

/* Begin with the next address, from the loop, or give up. */
static void
next(struct dial *d)
{
	drop_fd(d);
	d->at++;
	if (d->at < d->n && clock_ms() < d->total_at) {
		(void)event_assign(&d->ev, d->base, -1, 0, on_next, d);
		event_active(&d->ev, EV_TIMEOUT, 1);
		return;
	}
	if (d->at < d->n)
		note(d, ETIMEDOUT, "not tried, no time left");
	finish(d);
}

/* Wait for the connection in hand until its deadline. 0, or -1 with errno. */
static int
await(struct dial *d)
{
	uint64_t now = clock_ms(), at = d->each_at < d->total_at ? d->each_at : d->total_at;
	struct timeval tv;

	at = at > now ? at - now : 0;
	tv.tv_sec = (time_t)(at / 1000);
	tv.tv_usec = (suseconds_t)(at % 1000 * 1000);
	(void)event_assign(&d->ev, d->base, d->fd, EV_WRITE, on_connect, d);
	return event_add(&d->ev, &tv);
}

static void
try(struct dial *d)
{
	const struct sockaddr_storage *ss = &d->addrs[d->at];

	d->each_at = clock_ms() + d->each_ms;
	d->fd = d->given != -1
		    ? d->given
		    : socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	d->given = -1;
	if (d->fd == -1)
		goto failed;
	if (connect(d->fd, (const struct sockaddr *)ss, addr_len(ss)) == 0) {
		finish(d);
		return;
	}
	if (errno == EINPROGRESS && await(d) == 0)
		return;
failed:
	note(d, errno, strerrordesc_np(errno));
	next(d);
}

static void
on_next(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try(arg);
}

static void
on_connect(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	char text[64];
	int code = 0;
	socklen_t len = sizeof code;

	if (what & EV_TIMEOUT) {
		(void)snprintf(text, sizeof text, "no answer in %.1f s",
		    (double)(clock_ms() - (d->each_at - d->each_ms)) / 1000);
		note(d, ETIMEDOUT, text);
		next(d);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) == -1)
		code = errno;
	if (code == 0) {
		finish(d);
		return;
	}
	note(d, code, strerrordesc_np(code));
	next(d);
}

struct dial *
dial_start(struct event_base *base, const struct sockaddr_storage *addrs, size_t n,
    uint32_t each_ms, uint32_t total_ms, dial_done done, void *arg, struct err *e)
{
	struct dial *d;
	size_t i;

	if (n == 0 || n > DIAL_ADDRS_MAX) {
		(void)err_set(e, EINVAL, "%zu addresses to connect to; 1 to %d are wanted", n,
		    DIAL_ADDRS_MAX);
		return NULL;
	}
	for (i = 0; i < n; i++)
		if (addrs[i].ss_family != AF_INET && addrs[i].ss_family != AF_INET6) {
			(void)err_set(e, EINVAL, "address %zu is neither IPv4 nor IPv6", i + 1);
			return NULL;
		}
	if ((d = calloc(1, sizeof *d)) == NULL) {
		(void)err_sys(e, "dial");
		return NULL;
	}
	d->base = base;
	memcpy(d->addrs, addrs, n * sizeof *addrs);
	d->n = n;
	d->fd = d->given = -1;
	d->each_ms = each_ms;
	d->total_at = clock_ms() + total_ms;
	d->done = done;
	d->arg = arg;
	(void)event_assign(&d->ev, base, -1, 0, on_next, d);
	event_active(&d->ev, EV_TIMEOUT, 1);
	return d;
}

struct dial *
dial_start_from(struct event_base *base, int fd, const struct sockaddr_storage *addr,
    uint32_t total_ms, dial_done done, void *arg, struct err *e)
{
	struct dial *d = dial_start(base, addr, 1, total_ms, total_ms, done, arg, e);

	if (d != NULL)
		d->given = fd;
	else
		(void)close(fd);
	return d;
}

void
dial_cancel(struct dial *d)
{
	if (d == NULL)
		return;
	drop_fd(d);
	if (d->given != -1)
		(void)close(d->given);
	free(d);
}
