#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "proxy/route.h"

/*
 * A session's worker: found when the first message needs one, given back when none came for a
 * while.  Behind it stands the session at policyd, opened with what the peer accepted and opened
 * again when policyd was restarted.
 */
#define PROXY_WORKER_IDLE 5000 /* milliseconds without a message, then the worker is let go */

struct proxy_worker;

struct proxy_worker_ops {
	/*
	 * A worker is there: send the request on c with chan_send and the id given.  May be called
	 * a second time if the first worker died before it had answered; forget then what the first
	 * one sent.  0, or -1 to give up (failed is not called).
	 */
	int (*ready)(struct chan *c, uint64_t id, void *arg);
	/* A message of the worker for this request. Return 1 when it was the last one. */
	int (*message)(struct ipc_msg *m, void *arg);
	/* It could not be done; why is for the log. The client may try again later. */
	void (*failed)(const char *why, void *arg);
};

/* Who is it? Strings are copied, r must stay until the worker is freed. authcid "": no login. */
struct proxy_worker *proxy_worker_new(const struct proxy_route *r, const char *authzid,
    const char *authcid, int by_address, const char *client);

/*
 * At the door of a connector of service mx: for a recipient whose mail it opens (open_req).
 *
 * tenant	the recipient's
 */
struct proxy_worker *proxy_worker_for(
    const struct proxy_route *r, const char *tenant, const char *rcpt, const char *client);

/*
 * Mail that goes out: has a worker anything to do with a message from this sender to these
 * recipients, as far as keys and people go (screen_req)?  done is called once, from the loop,
 * never from within; worker is 1 too when policyd cannot say.  One request at a time, of this or
 * the other kind; not from within a callback of ops.
 *
 * q	its session is filled in; it and what it points to must stay until then
 *
 * Returns 0, or -1 with errno EBUSY, ENOMEM.
 */
typedef void (*proxy_worker_screened)(int worker, void *arg);
int proxy_worker_screen(
    struct proxy_worker *w, struct screen_req *q, proxy_worker_screened done, void *arg);

/* Ends the session at policyd and the worker; no callback any more. NULL is allowed. */
void proxy_worker_free(struct proxy_worker *w);

/*
 * Ask: one request at a time; not from within one of the callbacks but failed.  Callbacks come
 * from the loop, never from within this call, and may free w.
 *
 * Returns 0, or -1 with errno EBUSY, ENOMEM.
 */
int proxy_worker_ask(struct proxy_worker *w, const struct proxy_worker_ops *ops, void *arg);

/* Forget the request; its worker is let go. */
void proxy_worker_cancel(struct proxy_worker *w);

/* Call from struct proc's plumbed: sessions at a policyd that died are opened anew. */
void proxy_worker_plumbed(enum proc_id peer, struct chan *c);

#endif
