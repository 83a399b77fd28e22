/* Input of a connection: read, shown to its owner, and kept as far as he leaves it. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/conn_int.h"

#define WINDOW (128 * 1024) /* octets */
#define READ_MAX (64 * 1024) /* octets read at a time; more saves nothing that was measurable */
#define LEFT_MAX (4 * 1024) /* octets of left-over input that are worth moving into the window */
#define HELD_STEP (16 * 1024) /* octets read at once behind more than that */

/*
 * Input is read here and shown to its owner here; only what he leaves is kept in the connection.
 * So a session at rest has no input buffer, and a long message needs none that grows.  Much of it
 * stays in the window until another connection reads: one that has a fast peer mostly is the next
 * to read itself, and its messages need not be put together elsewhere.
 */
static uint8_t window[WINDOW];
static struct conn *window_of; /* whose input lies in it */
static bool window_busy; /* and is being read or looked at now */
static size_t window_used; /* octets from its front that are to be wiped */

const uint8_t *
conn_in(const struct conn *c, size_t *n)
{
	*n = buf_len(&c->in);
	return *n > 0 ? buf_ptr(&c->in) : (const uint8_t *)"";
}

void
conn_drop(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	explicit_bzero(b->data + b->off, n);
	buf_drain(b, n);
}

static void
window_clear(void)
{
	explicit_bzero(window, window_used);
	window_used = 0;
	window_of = NULL;
}

void
conn_in_free(struct conn *c)
{
	if (c != window_of) {
		buf_wipe_free(&c->in);
		return;
	}
	window_clear();
	buf_init(&c->in, c->in.max);
}

/* What is left in the window is kept elsewhere. */
static void
window_leave(void)
{
	struct conn *c = window_of;
	struct buf kept;

	if (c == NULL)
		return;
	buf_init(&kept, c->in.max);
	if (buf_put(&kept, buf_ptr(&c->in), buf_len(&c->in)) == -1) {
		conn_ended(c, CONN_LOST, "out of memory");
		conn_kick(c);
	}
	window_clear();
	c->in = kept;
}

void
conn_consume(struct conn *c, size_t n)
{
	bool full = buf_len(&c->in) == c->in.max;

	if (n == 0)
		return;
	if (c == window_of) {
		/* Wiped as a whole, and while it is read there is nobody to wake. */
		c->in.off += n;
		if (window_busy)
			return;
		if (buf_len(&c->in) <= LEFT_MAX)
			window_leave();
	} else {
		conn_drop(&c->in, n);
		if (buf_len(&c->in) == 0)
			buf_free(&c->in);
	}
	/* Reading stopped when the buffer was full; what TLS holds already makes no event. */
	if (full || tls_held(c))
		conn_kick_later(c);
}

/* Read into the window from now on, behind the input that was left over. */
static void
window_take(struct conn *c)
{
	size_t n = buf_len(&c->in), max = c->in.max;

	if (c == window_of) {
		/* Moved where there is little room behind it. */
		if (c->in.off > 0 && WINDOW - c->in.end < READ_MAX) {
			memmove(window, buf_ptr(&c->in), n);
			c->in.off = 0;
			c->in.end = n;
		}
		return;
	}
	window_leave();
	memcpy(window, buf_ptr(&c->in), n);
	buf_wipe_free(&c->in);
	window_of = c;
	window_used = n;
	c->in = (struct buf){.data = window, .end = n, .size = sizeof window, .max = max};
}

ssize_t
conn_raw_read(struct conn *c, uint8_t *p, size_t n)
{
	ssize_t got;

	while ((got = recv(c->fd, p, n, MSG_DONTWAIT)) == -1 && errno == EINTR)
		;
	if (got > 0)
		return got;
	if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return IO_AGAIN;
	if (got == 0)
		conn_ended(c, CONN_EOF, "connection closed by the peer");
	else
		conn_ended(c, CONN_LOST, strerrordesc_np(errno));
	return IO_END;
}

/* Room for the next octets of input, or NULL without memory. */
static uint8_t *
read_room(struct conn *c, size_t *room)
{
	size_t have = buf_len(&c->in);

	*room = c->in.max - have;
	if (c == window_of) {
		if (*room > sizeof window - c->in.end)
			*room = sizeof window - c->in.end;
		return window + c->in.end;
	}
	if (*room > HELD_STEP)
		*room = HELD_STEP;
	return buf_reserve(&c->in, *room);
}

/*
 * Read until the socket is empty, or the buffer or the window full.  Returns the octets read; dry
 * says that there is nothing more for now.
 */
static size_t
fill(struct conn *c, bool *dry)
{
	size_t room, sum = 0;
	ssize_t got;
	uint8_t *to;

	while (sum < READ_MAX && may_read(c)) {
		if ((to = read_room(c, &room)) == NULL) {
			conn_ended(c, CONN_LOST, "out of memory");
			break;
		}
		if (room == 0)
			break;
		got = tls_open(c) ? conn_tls_read(c, to, room) : conn_raw_read(c, to, room);
		if (got < 0)
			break;
		buf_added(&c->in, (size_t)got);
		sum += (size_t)got;
		if (c == window_of && window_used < c->in.end)
			window_used = c->in.end;
		*dry = (size_t)got < room && !tls_open(c); /* the socket is most likely empty */
		if (*dry)
			break;
	}
	return sum;
}

void
conn_read(struct conn *c)
{
	size_t turn = 0, got;
	bool dry = false, mine = false;

	do {
		if (!may_read(c))
			return;
		/* What the owner has left alone for long stays where it is. */
		mine = false;
		if (!window_busy && (c == window_of || buf_len(&c->in) <= LEFT_MAX)) {
			window_take(c);
			window_busy = mine = true;
		}
		if ((got = fill(c, &dry)) > 0) {
			c->moved = clock_ms();
			c->offer = false;
			turn += got;
			c->handlers->readable(c, c->arg);
		}
		if (mine)
			window_busy = false;
		if (mine && c == window_of && buf_len(&c->in) <= LEFT_MAX)
			window_leave();
	} while (got > 0 && !dry && turn < CONN_TURN_MAX && !c->dead && !c->finishing);
}
