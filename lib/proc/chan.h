#ifndef PROC_CHAN_H
#define PROC_CHAN_H

#include <event2/event.h>
#include <stdint.h>

#include "ipc/ipc.h"

/* IPC channels on the event loop. */

struct chan;
struct chan_req;

/*
 * What to do with a message of this type.  fn may take m->fd (set it to -1).  A handler comes
 * before open requests, so that a peer may send parts under a request's id before its answer.
 */
struct chan_handler {
	uint16_t type; /* M_*; 0 ends a table */
	void (*fn)(struct chan *c, struct ipc_msg *m);
};

/*
 * A channel over the socket fd (taken over).
 *
 * handlers	table that ends with type 0; must outlive the channel
 * closed	called once when the other side is gone or broke the framing; after it returns
 *		the channel is freed; may be NULL.  Open requests have failed before.
 *
 * Returns NULL with errno ENOMEM; fd is closed then.
 */
struct chan *chan_new(struct event_base *base, int fd, enum proc_id self, enum proc_id peer,
    const struct chan_handler *handlers, void (*closed)(struct chan *c, void *arg), void *arg);

/* The same from a channel used without a loop until now, with what it has buffered; raw->fd is -1
 * afterwards, on success and failure. */
struct chan *chan_adopt(struct event_base *base, struct ipc *raw,
    const struct chan_handler *handlers, void (*closed)(struct chan *c, void *arg), void *arg);

/* Close and free; requests under way get their callback with ECANCELED; closed is not called.
 * May be called from a handler or callback of the channel itself. */
void chan_free(struct chan *c);

enum proc_id chan_peer(const struct chan *c);
unsigned chan_instance(const struct chan *c);
void chan_set_instance(struct chan *c, unsigned instance);
void *chan_arg(const struct chan *c);

/*
 * Queue a message (fd is taken over); as ipc_queue.  The loop writes it.  A peer that left
 * IPC_OUT_MAX octets unread is given up: ENOBUFS, and the loop closes the channel.
 */
int chan_send(struct chan *c, uint16_t type, uint64_t id, const void *body, int fd);

/* The same for what can wait for company: it leaves within delay ms, in its order among all. */
int chan_send_later(
    struct chan *c, uint16_t type, uint64_t id, const void *body, int fd, unsigned delay);

/* Octets queued and not yet taken by the peer's socket. */
size_t chan_pending(const struct chan *c);

/* Write what is queued, waiting at most timeout ms (0: what the socket takes now). */
void chan_flush(struct chan *c, int timeout);

/*
 * Handle what has arrived already, without waiting for the loop: the last words of a peer that
 * has just died.  May call handlers and, at the end of the stream, closed: c may be gone then.
 */
void chan_poll(struct chan *c);

/* Who the peer is, once it has said so: master's control socket. */
void chan_set_peer(struct chan *c, enum proc_id peer);

/*
 * As chan_free, but for a peer that is known to have died or to be replaced: requests under way
 * fail with ECONNRESET.
 */
void chan_abandon(struct chan *c);

/*
 * The answer to a request, or m NULL and error: ETIMEDOUT, ECONNRESET (the peer died),
 * ECANCELED.  fn may take m->fd.  It is never called from within chan_request itself.
 *
 * The answer to X_req is X_rep with the request's id; another message under that id is dropped,
 * so that fn may rely on the type of m->body.  The answer to a request of another name is any
 * message that has no handler.
 */
typedef void (*chan_reply_fn)(void *arg, struct ipc_msg *m, int error);

/*
 * Send a request and call fn with the answer, once.  timeout in milliseconds.
 *
 * Returns a handle for chan_cancel, valid until fn is called; or NULL with errno as ipc_queue.
 */
struct chan_req *chan_request(struct chan *c, uint16_t type, const void *body, int fd,
    unsigned timeout, chan_reply_fn fn, void *arg);

/* Forget the request; fn will not be called, a late answer is dropped. NULL is ignored. */
void chan_cancel(struct chan_req *r);

#endif
