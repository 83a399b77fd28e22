#include "proc/chan.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

#define REQ_BUCKETS 64 /* of a channel's open requests, by id */
#define COMPLAIN_MS 10000 /* between two warnings about the frames of one peer */
#define FRAMES_AT_ONCE 256 /* handled before the loop's other events get their turn */
#define POLL_ROUNDS 1024 /* reads of last words: somebody may hold the socket and go on talking */

struct chan_req {
	LIST_ENTRY(chan_req) next;
	struct chan *chan;
	uint64_t id;
	uint16_t want; /* type of the answer; 0: any */
	struct event timer;
	chan_reply_fn fn;
	void *arg;
};

LIST_HEAD(req_list, chan_req);

struct chan {
	struct ipc ipc;
	struct event_base *base;
	struct event rd, wr;
	struct event later; /* flush, go on reading, or close, from the loop */
	const struct chan_handler *handlers;
	void (*closed)(struct chan *c, void *arg);
	void *arg;
	unsigned instance;
	struct req_list reqs[REQ_BUCKETS];
	uint64_t last_id;
	int lost; /* errno: to be closed by the loop */
	int dead; /* freed by its owner: no callbacks any more */
	unsigned depth; /* callbacks under way that still need the memory */
	uint64_t complained; /* clock_ms of the last warning */
	unsigned refused; /* frames since then */
};

static void on_later(evutil_socket_t fd, short what, void *arg);
static void on_read(evutil_socket_t fd, short what, void *arg);
static void on_write(evutil_socket_t fd, short what, void *arg);

struct chan *
chan_adopt(struct event_base *base, struct ipc *raw, const struct chan_handler *handlers,
    void (*closed)(struct chan *c, void *arg), void *arg)
{
	struct chan *c = calloc(1, sizeof *c);
	int fd = raw->fd;
	unsigned i;

	if (c == NULL) {
		ipc_close(raw);
		errno = ENOMEM;
		return NULL;
	}
	c->ipc = *raw;
	/* A list head of libbsd's queues points into itself while the list is empty. */
	STAILQ_INIT(&c->ipc.outfds);
	STAILQ_CONCAT(&c->ipc.outfds, &raw->outfds);
	memset(raw, 0, sizeof *raw);
	raw->fd = -1;
	c->base = base;
	c->handlers = handlers;
	c->closed = closed;
	c->arg = arg;
	for (i = 0; i < REQ_BUCKETS; i++)
		LIST_INIT(&c->reqs[i]);
	if (event_assign(&c->rd, base, fd, EV_READ | EV_PERSIST, on_read, c) == -1 ||
	    event_assign(&c->wr, base, fd, EV_WRITE, on_write, c) == -1 ||
	    event_assign(&c->later, base, -1, 0, on_later, c) == -1 ||
	    event_add(&c->rd, NULL) == -1) {
		ipc_close(&c->ipc);
		free(c);
		errno = ENOMEM;
		return NULL;
	}
	if (buf_len(&c->ipc.in) > 0)
		event_active(&c->later, EV_READ, 0);
	return c;
}

struct chan *
chan_new(struct event_base *base, int fd, enum proc_id self, enum proc_id peer,
    const struct chan_handler *handlers, void (*closed)(struct chan *c, void *arg), void *arg)
{
	struct ipc raw;

	ipc_init(&raw, fd, self, peer);
	return chan_adopt(base, &raw, handlers, closed, arg);
}

static void
req_free(struct chan_req *r)
{
	event_del(&r->timer);
	LIST_REMOVE(r, next);
	free(r);
}

/* End a request: out of every list first, for the callback may do anything. */
static void
req_finish(struct chan_req *r, struct ipc_msg *m, int error)
{
	chan_reply_fn fn = r->fn;
	void *arg = r->arg;

	req_free(r);
	fn(arg, m, error);
}

static void
fail_all(struct chan *c, int error)
{
	struct chan_req *r;
	unsigned i;

	for (i = 0; i < REQ_BUCKETS; i++)
		while ((r = LIST_FIRST(&c->reqs[i])) != NULL)
			req_finish(r, NULL, error);
}

static void
release(struct chan *c)
{
	if (c->dead && c->depth == 0)
		free(c);
}

/* Close the socket and fail what is open; the memory stays until no callback needs it. */
static void
shut(struct chan *c, int error)
{
	if (c->dead)
		return;
	c->dead = 1;
	c->depth++;
	event_del(&c->rd);
	event_del(&c->wr);
	event_del(&c->later);
	/* A frame that is being handled lies in the buffer: leave() closes then. */
	if (c->depth == 1)
		ipc_close(&c->ipc);
	fail_all(c, error);
	c->depth--;
}

static void
leave(struct chan *c)
{
	if (--c->depth == 0 && c->dead)
		ipc_close(&c->ipc);
	release(c);
}

void
chan_free(struct chan *c)
{
	if (c == NULL)
		return;
	if (c->dead) {
		/* In a callback of its own end: then that is all. */
		c->closed = NULL;
		return;
	}
	shut(c, ECANCELED);
	release(c);
}

void
chan_abandon(struct chan *c)
{
	if (c == NULL || c->dead)
		return;
	shut(c, ECONNRESET);
	release(c);
}

/* The loop found the channel broken. */
static void
lose(struct chan *c, int error)
{
	if (c->dead)
		return;
	if (error != ECONNRESET && error != EPIPE)
		log_warn("channel to %s closed: %s", proc_name(c->ipc.peer), strerror(error));
	c->depth++;
	shut(c, ECONNRESET);
	if (c->closed != NULL)
		c->closed(c, c->arg);
	leave(c);
}

enum proc_id
chan_peer(const struct chan *c)
{
	return c->ipc.peer;
}

unsigned
chan_instance(const struct chan *c)
{
	return c->instance;
}

void
chan_set_instance(struct chan *c, unsigned instance)
{
	c->instance = instance;
}

void *
chan_arg(const struct chan *c)
{
	return c->arg;
}

size_t
chan_pending(const struct chan *c)
{
	return ipc_pending(&c->ipc);
}

/* Queue it; who queued it sees to it that it leaves. */
static int
queue(struct chan *c, uint16_t type, uint64_t id, const void *body, int fd)
{
	if (c->dead || c->lost) {
		if (fd != -1)
			close(fd);
		errno = EPIPE;
		return -1;
	}
	if (ipc_queue(&c->ipc, type, id, body, fd) == -1) {
		if (errno == ENOBUFS) {
			c->lost = ENOBUFS;
			event_active(&c->later, EV_TIMEOUT, 0);
			errno = ENOBUFS;
		}
		return -1;
	}
	return 0;
}

int
chan_send(struct chan *c, uint16_t type, uint64_t id, const void *body, int fd)
{
	if (queue(c, type, id, body, fd) == -1)
		return -1;
	/* Not yet: several messages of one callback leave in one write. */
	if (!event_pending(&c->wr, EV_WRITE, NULL))
		event_active(&c->later, EV_TIMEOUT, 0);
	return 0;
}

int
chan_send_later(
    struct chan *c, uint16_t type, uint64_t id, const void *body, int fd, unsigned delay)
{
	struct timeval tv = {delay / 1000, (delay % 1000) * 1000};

	if (queue(c, type, id, body, fd) == -1)
		return -1;
	/* The first that waits says how long; what goes at once takes the others with it. */
	if (!event_pending(&c->wr, EV_WRITE, NULL) && !event_pending(&c->later, EV_TIMEOUT, NULL))
		(void)event_add(&c->later, &tv);
	return 0;
}

void
chan_flush(struct chan *c, int timeout)
{
	uint64_t until = clock_ms() + (uint64_t)timeout, now;
	struct pollfd p = {.fd = c->ipc.fd, .events = POLLOUT};

	while (!c->dead && ipc_flush(&c->ipc) == 0 && (now = clock_ms()) < until)
		if (poll(&p, 1, (int)(until - now)) == -1 && errno != EINTR)
			return;
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	req_finish(arg, NULL, ETIMEDOUT);
}

/* The type that answers: session_open_rep to session_open_req.  0 when there is no such pair. */
static uint16_t
answer_type(uint16_t type)
{
	const struct ipc_msgdef *all, *d = ipc_message(type);
	size_t n, i, len;

	if (d == NULL || (len = strlen(d->name)) < 4 || strcmp(d->name + len - 4, "_req") != 0)
		return 0;
	all = ipc_messages(&n);
	/* Answers stand close behind their requests. */
	for (i = (size_t)(d - all) + 1; i < n; i++)
		if (strncmp(all[i].name, d->name, len - 3) == 0 &&
		    strcmp(all[i].name + len - 3, "rep") == 0)
			return all[i].type;
	return 0;
}

struct chan_req *
chan_request(struct chan *c, uint16_t type, const void *body, int fd, unsigned timeout,
    chan_reply_fn fn, void *arg)
{
	struct timeval tv = {timeout / 1000, (timeout % 1000) * 1000};
	struct chan_req *r;

	if ((r = calloc(1, sizeof *r)) == NULL) {
		if (fd != -1)
			close(fd);
		errno = ENOMEM;
		return NULL;
	}
	r->chan = c;
	r->id = ++c->last_id;
	r->want = answer_type(type);
	r->fn = fn;
	r->arg = arg;
	if (chan_send(c, type, r->id, body, fd) == -1) {
		free(r);
		return NULL;
	}
	LIST_INSERT_HEAD(&c->reqs[r->id % REQ_BUCKETS], r, next);
	if (evtimer_assign(&r->timer, c->base, on_timeout, r) == -1 ||
	    evtimer_add(&r->timer, &tv) == -1) {
		LIST_REMOVE(r, next);
		free(r);
		errno = ENOMEM;
		return NULL;
	}
	return r;
}

void
chan_cancel(struct chan_req *r)
{
	if (r != NULL)
		req_free(r);
}

static void
complain(struct chan *c, const char *what)
{
	uint64_t now = clock_ms();

	c->refused++;
	if (c->complained != 0 && now - c->complained < COMPLAIN_MS)
		return;
	log_warn("%s from %s dropped (%u since the last warning)", what, proc_name(c->ipc.peer),
	    c->refused);
	c->complained = now;
	c->refused = 0;
}

static void
dispatch(struct chan *c, struct ipc_msg *m)
{
	const struct chan_handler *h;
	struct chan_req *r;

	for (h = c->handlers; h != NULL && h->type != 0; h++)
		if (h->type == m->def->type) {
			h->fn(c, m);
			return;
		}
	LIST_FOREACH (r, &c->reqs[m->id % REQ_BUCKETS], next)
		if (r->id == m->id)
			break;
	if (r != NULL && (r->want == 0 || r->want == m->def->type))
		req_finish(r, m, 0);
	else if (r != NULL || m->id == 0 || m->id > c->last_id)
		complain(c, "an unexpected message");
	/* else the late answer to a request that was given up */
}

/* Handle what is complete in the buffer. 0, or an errno for lose(). */
static int
drain(struct chan *c)
{
	struct ipc_msg m;
	unsigned n;
	int rc;

	for (n = 0; !c->dead && n < FRAMES_AT_ONCE; n++) {
		rc = ipc_next(&c->ipc, &m);
		if (rc == 0)
			return 0;
		if (rc == 1) {
			dispatch(c, &m);
			ipc_done(&c->ipc, &m);
		} else if (errno == EPROTO)
			complain(c, "a refused frame");
		else
			return errno;
	}
	/* Perhaps more: the rest in the loop's next round, without another read. */
	if (!c->dead)
		event_active(&c->later, EV_READ, 0);
	return 0;
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct chan *c = arg;
	int rc = 1, error = 0;

	(void)fd;
	(void)what;
	c->depth++;
	/* A full frame's worth may still wait there after FRAMES_AT_ONCE. */
	if (buf_len(&c->ipc.in) <= IPC_FRAME_MAX)
		rc = ipc_fill(&c->ipc);
	if (rc == -1)
		error = errno;
	else if (rc == 1)
		error = drain(c);
	if (error != 0)
		lose(c, error);
	leave(c);
}

void
chan_poll(struct chan *c)
{
	int rc = 1, error = 0;
	unsigned i;

	c->depth++;
	for (i = 0; !c->dead && error == 0 && rc == 1 && i < POLL_ROUNDS; i++) {
		if (buf_len(&c->ipc.in) <= IPC_FRAME_MAX)
			rc = ipc_fill(&c->ipc);
		error = rc == -1 ? errno : drain(c);
	}
	if (error != 0)
		lose(c, error);
	leave(c);
}

void
chan_set_peer(struct chan *c, enum proc_id peer)
{
	c->ipc.peer = peer;
}

static void
flush(struct chan *c)
{
	int rc = ipc_flush(&c->ipc);

	if (rc == -1)
		lose(c, errno);
	else if (rc == 0)
		event_add(&c->wr, NULL);
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct chan *c = arg;

	(void)fd;
	(void)what;
	c->depth++;
	flush(c);
	leave(c);
}

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	struct chan *c = arg;
	int error = c->lost;

	(void)fd;
	c->depth++;
	if (error == 0 && (what & EV_READ) != 0)
		error = drain(c);
	if (error != 0)
		lose(c, error);
	else if (!c->dead)
		flush(c);
	leave(c);
}
