#include "net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/conn_int.h"

#define THROUGH_MIN                                                                                \
	(16 * 1024) /* octets of one write that are worth a system call of their own               \
		     */
#define PRINTF_SHORT 256 /* octets of a reply that needs no memory of its own */
#define DROP_MAX (256 * 1024) /* octets of a finished connection that are worth reading */

/* Connections with deferred work, and the one event that does it for all of them. */
struct conn_queue {
	TAILQ_HEAD(, conn) list;
	struct event ev;
};

static unsigned count;
static struct conn_queue soon; /* in this round of the loop */
static struct conn_queue later; /* when others had their turn: one fast sender must not hold it */

static void on_read(evutil_socket_t fd, short what, void *arg);
static void on_write(evutil_socket_t fd, short what, void *arg);
static void on_queue(evutil_socket_t fd, short what, void *arg);
static void on_timer(evutil_socket_t fd, short what, void *arg);
static void arm(struct conn *c);

unsigned
conn_count(void)
{
	return count;
}

int
conn_fd(const struct conn *c)
{
	return c->fd;
}

static void
queue_init(struct conn_queue *q, struct event_base *base)
{
	TAILQ_INIT(&q->list);
	(void)event_assign(&q->ev, base, -1, 0, on_queue, q);
}

static void
unqueue(struct conn *c)
{
	if (c->queue != NULL)
		TAILQ_REMOVE(&c->queue->list, c, next);
	c->queue = NULL;
}

static void
enqueue(struct conn *c, struct conn_queue *q)
{
	unqueue(c);
	TAILQ_INSERT_TAIL(&q->list, c, next);
	c->queue = q;
}

struct conn *
conn_new(struct event_base *base, int fd, const struct conn_limits *limits,
    const struct conn_handlers *handlers, void *arg)
{
	struct conn *c;
	int one = 1;

	if (count == 0) {
		queue_init(&soon, base);
		queue_init(&later, base);
	}
	/* Replies are small and somebody waits for each; on a Unix socket there is no such thing.
	 */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if ((c = calloc(1, sizeof *c)) == NULL)
		return NULL;
	c->base = base;
	c->fd = fd;
	c->handlers = handlers;
	c->arg = arg;
	c->out_low = limits->out_low;
	buf_init(&c->in, limits->in_max);
	buf_init(&c->out, limits->out_max);
	if (event_assign(&c->rd, base, fd, EV_READ | EV_PERSIST, on_read, c) == -1 ||
	    event_assign(&c->wr, base, fd, EV_WRITE | EV_PERSIST, on_write, c) == -1 ||
	    event_assign(&c->timer, base, -1, 0, on_timer, c) == -1 ||
	    event_add(&c->rd, NULL) == -1) {
		free(c);
		errno = ENOMEM;
		return NULL;
	}
	c->rd_on = true;
	count++;
	conn_set_idle(c, limits->idle_ms);
	conn_set_total(c, limits->total_ms);
	return c;
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	if (!c->dead) {
		c->dead = true;
		count--;
		unqueue(c);
		(void)event_del(&c->rd);
		(void)event_del(&c->wr);
		(void)event_del(&c->timer);
		if (count == 0) {
			(void)event_del(&soon.ev);
			(void)event_del(&later.ev);
		}
		conn_tls_free(c->tls);
		c->tls = NULL;
		if (c->fd != -1)
			(void)close(c->fd);
		conn_in_free(c);
		buf_wipe_free(&c->out);
	}
	if (!c->busy)
		free(c);
}

int
conn_release(struct conn *c, struct buf *in, struct buf *out)
{
	size_t had = in != NULL ? buf_len(in) : 0;
	int fd = c->fd;

	if (c->dead || c->finishing || c->tls != NULL) {
		errno = EBUSY;
		return -1;
	}
	if (c->failed) {
		errno = EPIPE;
		return -1;
	}
	if (in != NULL && buf_put(in, buf_ptr(&c->in), buf_len(&c->in)) == -1)
		return -1;
	if (out != NULL && buf_put(out, buf_ptr(&c->out), buf_len(&c->out)) == -1) {
		if (in != NULL)
			in->end = in->off + had;
		return -1;
	}
	c->fd = -1;
	conn_free(c);
	return fd;
}

/* Between enter and leave handlers may free c; false: they did. */
static void
enter(struct conn *c)
{
	c->busy = true;
}

static bool
leave(struct conn *c)
{
	c->busy = false;
	if (!c->dead)
		return true;
	free(c);
	return false;
}

void
conn_kick(struct conn *c)
{
	if (c->queue == &soon)
		return;
	enqueue(c, &soon);
	event_active(&soon.ev, EV_TIMEOUT, 1);
}

void
conn_kick_later(struct conn *c)
{
	static const struct timeval now = {0, 0};

	if (c->queue != NULL)
		return;
	enqueue(c, &later);
	if (!event_pending(&later.ev, EV_TIMEOUT, NULL))
		(void)event_add(&later.ev, &now);
}

void
conn_ended(struct conn *c, enum conn_end why, const char *text)
{
	bool hard = why != CONN_EOF && why != CONN_TRUNCATED;

	/* A hard failure replaces an end of file that was not reported yet. */
	if (!c->ended || (hard && !c->failed)) {
		c->why = why;
		c->text = text;
	}
	c->ended = true;
	if (hard) {
		c->failed = true;
		buf_wipe_free(&c->out);
	}
}

/* --- pauses --- */

void
conn_pause(struct conn *c)
{
	/* The read event stays: most pauses are over before there is anything to read. */
	c->paused = true;
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	c->moved = clock_ms();
	c->offer = buf_len(&c->in) > 0;
	conn_kick(c);
}

bool
conn_paused(const struct conn *c)
{
	return c->paused;
}

/* --- output --- */

/*
 * A long write of n octets goes to the socket at once, behind what is queued, so that it need not
 * be copied.  Returns the octets of it that were taken, or -1 when the connection has failed.
 */
static ssize_t
write_through(struct conn *c, const struct iovec *v, unsigned pieces, size_t n)
{
	size_t queued = buf_len(&c->out);
	struct iovec iov[CONN_PIECES_MAX + 1];
	struct msghdr m = {0};
	ssize_t put;

	if (n < THROUGH_MIN || c->tls != NULL || c->wr_on || c->through >= CONN_TURN_MAX)
		return 0;
	iov[0] = (struct iovec){(void *)(uintptr_t)buf_ptr(&c->out), queued};
	memcpy(iov + 1, v, pieces * sizeof *v);
	m.msg_iov = queued > 0 ? iov : iov + 1;
	m.msg_iovlen = pieces + (queued > 0);
	while ((put = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT)) == -1 && errno == EINTR)
		;
	if (put == -1) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
			return 0;
		conn_ended(c, CONN_LOST, strerrordesc_np(errno));
		conn_kick(c);
		errno = EPIPE;
		return -1;
	}
	c->moved = clock_ms();
	c->through += (size_t)put;
	if ((size_t)put < queued)
		queued = (size_t)put;
	conn_drop(&c->out, queued);
	return put - (ssize_t)queued;
}

/* Queue what stands behind the first skip octets; n is all that is left. */
static int
queue_pieces(struct conn *c, const struct iovec *v, unsigned pieces, size_t skip, size_t n)
{
	uint8_t *to;
	size_t part;

	if (n == 0)
		return 0;
	if ((to = buf_reserve(&c->out, n)) == NULL)
		return -1;
	buf_added(&c->out, n);
	for (; pieces > 0; pieces--, v++) {
		if (skip >= v->iov_len) {
			skip -= v->iov_len;
			continue;
		}
		part = v->iov_len - skip;
		memcpy(to, (const uint8_t *)v->iov_base + skip, part);
		to += part;
		skip = 0;
	}
	return 0;
}

int
conn_writev(struct conn *c, const struct iovec *v, unsigned pieces)
{
	size_t n = 0;
	ssize_t gone;
	unsigned i;
	bool empty;

	for (i = 0; i < pieces; i++)
		n += v[i].iov_len;
	if (c->failed) {
		errno = EPIPE;
		return -1;
	}
	if (n > conn_room(c) || pieces > CONN_PIECES_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if ((gone = write_through(c, v, pieces, n)) == -1)
		return -1;
	empty = buf_len(&c->out) == 0;
	n -= (size_t)gone;
	if (queue_pieces(c, v, pieces, (size_t)gone, n) == -1) {
		if (gone == 0)
			return -1;
		/* Half of it is gone. */
		conn_ended(c, CONN_LOST, "out of memory");
		conn_kick(c);
		errno = EPIPE;
		return -1;
	}
	if (buf_len(&c->out) > c->out_low)
		c->above = true;
	if (empty && n > 0) {
		c->moved = clock_ms();
		conn_kick(c);
	}
	return 0;
}

int
conn_write(struct conn *c, const void *p, size_t n)
{
	struct iovec v = {(void *)(uintptr_t)p, n};

	return conn_writev(c, &v, 1);
}

int
conn_puts(struct conn *c, const char *s)
{
	return conn_write(c, s, strlen(s));
}

int
conn_printf(struct conn *c, const char *fmt, ...)
{
	char text[PRINTF_SHORT], *s = text;
	va_list ap;
	int n, ret;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof text) {
		explicit_bzero(text, sizeof text);
		va_start(ap, fmt);
		n = vasprintf(&s, fmt, ap);
		va_end(ap);
	}
	if (n < 0)
		return -1;
	ret = conn_write(c, s, (size_t)n);
	explicit_bzero(s, (size_t)n);
	if (s != text)
		free(s);
	return ret;
}

static int
conn_sink_write(void *ctx, const void *p, size_t n)
{
	return conn_write(ctx, p, n);
}

struct sink
conn_sink(struct conn *c)
{
	return (struct sink){conn_sink_write, c};
}

size_t
conn_room(const struct conn *c)
{
	return c->out.max - buf_len(&c->out);
}

static ssize_t
raw_write(struct conn *c, const uint8_t *p, size_t n)
{
	ssize_t put;

	while ((put = send(c->fd, p, n, send_flags(c))) == -1 && errno == EINTR)
		;
	if (put >= 0)
		return put;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
		return IO_AGAIN;
	conn_ended(c, CONN_LOST, strerrordesc_np(errno));
	return IO_END;
}

/* Octets that may go out now: before the handshake those in clear, during it none. */
static size_t
sendable(const struct conn *c)
{
	return tls_pending(c) ? c->tls->clear : buf_len(&c->out);
}

/* Send what is queued, as far as it goes. Returns true when it waits for the socket. */
static bool
write_output(struct conn *c)
{
	size_t n, turn = 0;
	ssize_t put;

	while ((n = sendable(c)) > 0 && !c->failed) {
		if (turn >= CONN_TURN_MAX)
			return true;
		put = tls_open(c) ? conn_tls_write(c, buf_ptr(&c->out), n)
				  : raw_write(c, buf_ptr(&c->out), n);
		if (put < 0)
			return put == IO_AGAIN;
		conn_drop(&c->out, (size_t)put);
		if (tls_pending(c))
			c->tls->clear -= (size_t)put;
		c->moved = clock_ms();
		turn += (size_t)put;
	}
	if (buf_len(&c->out) == 0)
		buf_wipe_free(&c->out);
	return false;
}

/* --- the work of one turn of the loop --- */

/* The handshake as far as it goes, behind the clear text that was queued before it. */
static void
step_tls(struct conn *c)
{
	if (c->tls->state == TLS_QUEUED)
		c->tls->state = TLS_HANDSHAKE;
	if (conn_tls_handshake(c) != 1) {
		if (c->tls->hello == HELLO_CAME)
			conn_tls_tell_hello(c);
		return;
	}
	c->moved = clock_ms();
	if (buf_len(&c->out) > 0)
		conn_kick(c);
	if (c->handlers->secured != NULL)
		c->handlers->secured(c, c->arg);
}

/* What conn_finish started. Frees c when it is over. */
static void
step_finish(struct conn *c)
{
	uint8_t scrap[4096];
	ssize_t got = 0;

	if (c->failed)
		goto over;
	if (!c->shut && buf_len(&c->out) == 0 &&
	    (c->tls == NULL || conn_tls_shutdown(c) != IO_AGAIN)) {
		(void)shutdown(c->fd, SHUT_WR);
		c->shut = true;
	}
	while (
	    !c->ended && c->dropped < DROP_MAX && (got = conn_raw_read(c, scrap, sizeof scrap)) > 0)
		c->dropped += (size_t)got;
	if (!c->shut || (!c->ended && c->dropped < DROP_MAX))
		return;
over:
	conn_free(c);
}

/* One that waits for a private key takes nothing in meanwhile. */
static bool
handshake_reads(const struct conn *c)
{
	return tls_pending(c) && c->tls->state == TLS_HANDSHAKE && !c->tls->wants_write &&
	       !c->tls->waits;
}

static void
set_events(struct conn *c, bool blocked)
{
	bool wr, rd;

	if (c->finishing) {
		rd = !c->ended && c->dropped < DROP_MAX;
		wr = !c->shut;
	} else {
		/* A pause alone does not take the event away: see conn_pause. */
		rd = !c->ended && !c->failed &&
		     (handshake_reads(c) || (c->paused && c->rd_on && !tls_pending(c)) ||
			 may_read(c));
		wr = blocked;
		if (c->tls != NULL && !c->failed)
			wr = wr || c->tls->wants_write || c->tls->read_wants_write;
	}
	if (rd != c->rd_on && (rd ? event_add(&c->rd, NULL) : event_del(&c->rd)) == 0)
		c->rd_on = rd;
	if (wr != c->wr_on && (wr ? event_add(&c->wr, NULL) : event_del(&c->wr)) == 0)
		c->wr_on = wr;
}

/* Tell the owner what is new. Any call may free c. */
static void
report(struct conn *c)
{
	if (c->above && buf_len(&c->out) <= c->out_low && !c->failed) {
		c->above = false;
		if (c->handlers->drained != NULL)
			c->handlers->drained(c, c->arg);
	}
	if (!c->dead && !c->finishing && c->offer && !c->paused) {
		c->offer = false;
		if (buf_len(&c->in) > 0)
			c->handlers->readable(c, c->arg);
	}
	if (c->dead || c->finishing)
		return;
	if (buf_len(&c->in) == 0)
		conn_in_free(c);
	if (c->ended && !c->reported && (!c->paused || c->failed)) {
		c->reported = true;
		c->handlers->closed(c, c->why, c->text, c->arg);
	}
}

/* Everything that can be done now; read: the socket has or may have something. */
static void
turn_conn(struct conn *c, bool readable)
{
	bool blocked = false;

	enter(c);
	c->through = 0;
	blocked = write_output(c);
	if (tls_pending(c) && !c->tls->waits && !blocked && !c->failed && !c->finishing)
		step_tls(c);
	if (!c->dead && !c->finishing && readable)
		conn_read(c);
	if (!c->dead && !c->finishing)
		report(c);
	if (!c->dead && c->finishing)
		step_finish(c);
	if (!leave(c))
		return;
	set_events(c, blocked);
	arm(c);
	if (tls_held(c) && may_read(c))
		conn_kick_later(c);
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (!c->finishing && !tls_pending(c) && !may_read(c)) {
		/* Paused or full: now the event has to go, it would come again at once. */
		if (event_del(&c->rd) == 0)
			c->rd_on = false;
		return;
	}
	turn_conn(c, true);
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	turn_conn(c, c->tls != NULL && c->tls->read_wants_write);
}

static void
on_queue(evutil_socket_t fd, short what, void *arg)
{
	struct conn_queue *q = arg;
	struct conn *c;
	unsigned n = 0;

	(void)fd;
	(void)what;
	/* Those that come back to it meanwhile wait for the next call. */
	TAILQ_FOREACH (c, &q->list, next)
		n++;
	for (; n > 0 && (c = TAILQ_FIRST(&q->list)) != NULL; n--) {
		unqueue(c);
		turn_conn(c, tls_held(c));
	}
}

/* --- deadlines --- */

/* The idle clock runs while we wait for the peer, not while the peer waits for us. */
static bool
idle_runs(const struct conn *c)
{
	return c->idle_ms > 0 && !c->finishing && !c->reported &&
	       (!c->paused || buf_len(&c->out) > 0 || tls_pending(c));
}

/*
 * See to it that the timer fires no later than the next deadline.  It may fire earlier: moving
 * it with every octet would cost more than an empty call now and then.
 */
static void
arm(struct conn *c)
{
	uint64_t at = c->total_at, now;
	struct timeval tv;

	if (c->idle_ms > 0 && !c->finishing && !c->reported &&
	    (at == 0 || c->moved + c->idle_ms < at))
		at = c->moved + c->idle_ms;
	if (at == 0 || (c->timer_at != 0 && c->timer_at <= at))
		return;
	now = clock_ms();
	tv.tv_sec = at > now ? (time_t)((at - now) / 1000) : 0;
	tv.tv_usec = at > now ? (suseconds_t)((at - now) % 1000 * 1000) : 0;
	if (event_add(&c->timer, &tv) == 0)
		c->timer_at = at;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	uint64_t now = clock_ms();

	(void)fd;
	(void)what;
	c->timer_at = 0;
	if (c->total_at != 0 && now >= c->total_at) {
		c->total_at = 0;
		conn_ended(c, CONN_EXPIRED, "session took too long");
	} else if (c->idle_ms > 0 && !idle_runs(c)) {
		c->moved = now;
	} else if (c->idle_ms > 0 && now >= c->moved + c->idle_ms) {
		conn_ended(c, CONN_IDLE, "nothing heard for too long");
	}
	turn_conn(c, false);
}

void
conn_set_idle(struct conn *c, uint32_t ms)
{
	c->idle_ms = ms;
	c->moved = clock_ms();
	arm(c);
}

void
conn_set_total(struct conn *c, uint32_t ms)
{
	c->total_at = ms > 0 ? clock_ms() + ms : 0;
	arm(c);
}

void
conn_finish(struct conn *c)
{
	if (c->failed || tls_pending(c)) {
		/* A handshake that is not done carries nothing that could still be said. */
		conn_free(c);
		return;
	}
	c->finishing = true;
	conn_in_free(c);
	conn_set_total(c, CONN_FINISH_MS);
	conn_kick(c);
}
