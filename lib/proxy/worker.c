#include "proxy/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"

#define SESSION_MS 10000 /* milliseconds for policyd to answer, its restart included */
#define WORKER_MS 15000 /* milliseconds for filterd to find a worker, its restart included */
#define ANSWER_MARGIN 15000 /* milliseconds beyond the worker's own deadline */
#define TRIES 2 /* a worker that dies over a message gets one successor */

#define SCREEN_MS 5000 /* milliseconds for policyd to say whether a worker is needed */

enum step { IDLE, OPENING, FINDING, WAITING, SCREENING };

struct proxy_worker {
	LIST_ENTRY(proxy_worker) next;
	const struct proxy_route *route;
	char authzid[ADDR_MAX + 1], authcid[ADDR_MAX + 1], client[65];
	char tenant[65], *rcpt; /* rcpt NULL: a session of somebody who sends, or fetches */
	int by_address;
	/* the session at policyd */
	int open;
	uint8_t session[SESSION_ID];
	/* the request under way */
	enum step step;
	const struct proxy_worker_ops *ops;
	void *arg;
	unsigned tries;
	uint64_t id;
	struct proc_req *req;
	struct screen_req *screen;
	proxy_worker_screened screened; /* the request is this one; ops is NULL */
	struct chan_req *asked;
	struct event *timer; /* runs the steps; while waiting, their deadline */
	/* the worker */
	struct chan *chan;
	int calling; /* one of ops is being called */
	int freed; /* and has freed this: the memory goes when it returns */
};

static LIST_HEAD(, proxy_worker) all = LIST_HEAD_INITIALIZER(all);

static void step(struct proxy_worker *w);

static void
after(struct proxy_worker *w, uint64_t ms)
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	(void)event_del(w->timer);
	(void)event_add(w->timer, &tv);
}

static void
drop_chan(struct proxy_worker *w)
{
	if (w->chan != NULL)
		chan_free(w->chan);
	w->chan = NULL;
}

/* The request is over, one way or the other. */
static void
rest(struct proxy_worker *w)
{
	w->step = IDLE;
	w->ops = NULL;
	w->screened = NULL;
	proc_cancel(w->req);
	w->req = NULL;
	chan_cancel(w->asked);
	w->asked = NULL;
	(void)event_del(w->timer);
	if (w->chan != NULL)
		after(w, PROXY_WORKER_IDLE);
}

/* A callback has returned: 1 if it freed w. */
static int
called(struct proxy_worker *w)
{
	int gone = w->freed;

	w->calling = 0;
	if (gone)
		free(w);
	return gone;
}

static void
screened(struct proxy_worker *w, int worker)
{
	proxy_worker_screened done = w->screened;
	void *arg = w->arg;

	rest(w);
	done(worker, arg);
}

static void
fail(struct proxy_worker *w, const char *why)
{
	const struct proxy_worker_ops *ops = w->ops;
	void *arg = w->arg;

	/* Who asks for a worker then is told why there is none. */
	if (w->screened != NULL) {
		screened(w, 1);
		return;
	}
	drop_chan(w);
	rest(w);
	ops->failed(why, arg);
}

/* Begin again with another worker, if one may. */
static void
again(struct proxy_worker *w, const char *why)
{
	drop_chan(w);
	if (w->tries >= TRIES) {
		fail(w, why);
		return;
	}
	step(w);
}

static void
on_message(struct chan *c, struct ipc_msg *m)
{
	struct proxy_worker *w = chan_arg(c);
	int last;

	if (w->step != WAITING || m->id != w->id)
		return;
	w->calling = 1;
	last = w->ops->message(m, w->arg) == 1;
	if (!called(w) && last)
		rest(w);
}

static void
on_closed(struct chan *c, void *arg)
{
	struct proxy_worker *w = arg;

	(void)c;
	w->chan = NULL;
	if (w->step == WAITING)
		again(w, "the worker died");
	else if (w->step == IDLE)
		(void)event_del(w->timer);
}

static const struct chan_handler from_worker[] = {
    {M_secure_out, on_message},
    {M_secure_rep, on_message},
    {M_open_rep, on_message},
    {0, NULL},
};

static void
send_request(struct proxy_worker *w)
{
	static uint64_t last;
	int sent;

	w->step = WAITING;
	w->tries++;
	w->id = ++last;
	after(w, proc_env()->conf->workers.deadline * 1000 + ANSWER_MARGIN);
	w->calling = 1;
	sent = w->ops->ready(w->chan, w->id, w->arg) == 0;
	if (!called(w) && !sent) {
		drop_chan(w);
		rest(w);
	}
}

static void
on_worker(void *arg, struct ipc_msg *m, int error)
{
	struct proxy_worker *w = arg;
	const struct worker_rep *p = m != NULL ? m->body : NULL;

	w->req = NULL;
	if (p == NULL) {
		fail(w, error == ETIMEDOUT ? "no worker was to be had in time" : "filterd is gone");
		return;
	}
	if (!p->ok || m->fd == -1) {
		fail(w, p->text[0] != '\0' ? p->text : "no worker was to be had");
		return;
	}
	w->chan = chan_new(
	    proc_env()->base, m->fd, proc_env()->self, P_WORKER, from_worker, on_closed, w);
	m->fd = -1;
	if (w->chan == NULL)
		fail(w, "out of memory");
	else
		send_request(w);
}

static void
on_session(void *arg, struct ipc_msg *m, int error)
{
	struct proxy_worker *w = arg;
	const struct session_open_rep *p;

	w->req = NULL;
	if (m == NULL) {
		fail(w, error == ETIMEDOUT ? "policyd does not answer" : "policyd is gone");
		return;
	}
	p = m->body;
	memcpy(w->session, p->session.p, SESSION_ID);
	w->open = 1;
	step(w);
}

static void
open_session(struct proxy_worker *w)
{
	struct session_open_req q = {
	    .tenant = w->rcpt != NULL ? w->tenant : w->route->tenant,
	    .rcpt = w->rcpt,
	    .connector = w->route->connector,
	    .peer = w->route->peer,
	    .authzid = w->authzid,
	    .authcid = w->authcid,
	    .by_address = (uint8_t)w->by_address,
	    .client = w->client,
	};

	/* A worker is bound to one session; the one that served the last is of no use now. */
	drop_chan(w);
	w->step = OPENING;
	w->req = proc_request(P_POLICYD, M_session_open_req, &q, SESSION_MS, on_session, w);
	if (w->req == NULL)
		fail(w, "policyd cannot be asked");
}

static void
find_worker(struct proxy_worker *w)
{
	struct worker_req q = {.session = {w->session, SESSION_ID}};

	w->step = FINDING;
	w->req = proc_request(P_FILTERD, M_worker_req, &q, WORKER_MS, on_worker, w);
	if (w->req == NULL)
		fail(w, "filterd cannot be asked");
}

static void
on_screened(void *arg, struct ipc_msg *m, int error)
{
	struct proxy_worker *w = arg;

	(void)error;
	w->asked = NULL;
	screened(w, m == NULL || ((const struct screen_rep *)m->body)->worker);
}

/* A message waits for it: asked once, of the policyd that is there. */
static void
screen(struct proxy_worker *w)
{
	struct chan *c = proc_chan(P_POLICYD, 0);

	w->step = SCREENING;
	w->screen->session = (struct bytes){w->session, SESSION_ID};
	if (c != NULL)
		w->asked = chan_request(c, M_screen_req, w->screen, -1, SCREEN_MS, on_screened, w);
	if (w->asked == NULL)
		after(w, 0);
}

/* What is missing next: the session, the worker, the answer. */
static void
step(struct proxy_worker *w)
{
	if (!w->open)
		open_session(w);
	else if (w->screened != NULL)
		screen(w);
	else if (w->chan == NULL)
		find_worker(w);
	else
		send_request(w);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct proxy_worker *w = arg;

	(void)fd;
	(void)what;
	if (w->step == WAITING)
		fail(w, "the worker did not answer in time");
	else if (w->step == SCREENING)
		screened(w, 1);
	else if (w->ops != NULL || w->screened != NULL)
		step(w);
	else
		drop_chan(w);
}

struct proxy_worker *
proxy_worker_new(const struct proxy_route *r, const char *authzid, const char *authcid,
    int by_address, const char *client)
{
	struct proxy_worker *w = calloc(1, sizeof *w);

	if (w == NULL)
		return NULL;
	w->route = r;
	/* A name that is too long to be one of ours must not become one by being cut. */
	if (strlcpy(w->authzid, authzid, sizeof w->authzid) >= sizeof w->authzid ||
	    strlcpy(w->authcid, authcid, sizeof w->authcid) >= sizeof w->authcid) {
		w->authzid[0] = w->authcid[0] = '\0';
		by_address = 0;
	}
	w->by_address = by_address;
	(void)strlcpy(w->client, client, sizeof w->client);
	if ((w->timer = evtimer_new(proc_env()->base, on_timer, w)) == NULL) {
		free(w);
		return NULL;
	}
	LIST_INSERT_HEAD(&all, w, next);
	return w;
}

struct proxy_worker *
proxy_worker_for(
    const struct proxy_route *r, const char *tenant, const char *rcpt, const char *client)
{
	struct proxy_worker *w = proxy_worker_new(r, "", "", 0, client);

	if (w == NULL)
		return NULL;
	(void)strlcpy(w->tenant, tenant, sizeof w->tenant);
	if (strlen(rcpt) > ADDR_MAX || (w->rcpt = strdup(rcpt)) == NULL) {
		proxy_worker_free(w);
		return NULL;
	}
	return w;
}

void
proxy_worker_free(struct proxy_worker *w)
{
	struct session_close q;
	struct chan *c = proc_chan(P_POLICYD, 0);

	if (w == NULL)
		return;
	drop_chan(w);
	rest(w);
	if (w->open && c != NULL) {
		q.session = (struct bytes){w->session, SESSION_ID};
		(void)chan_send(c, M_session_close, 0, &q, -1);
	}
	event_free(w->timer);
	LIST_REMOVE(w, next);
	free(w->rcpt);
	if (w->calling)
		w->freed = 1;
	else
		free(w);
}

int
proxy_worker_ask(struct proxy_worker *w, const struct proxy_worker_ops *ops, void *arg)
{
	if (w->ops != NULL || w->screened != NULL) {
		errno = EBUSY;
		return -1;
	}
	w->ops = ops;
	w->arg = arg;
	w->tries = 0;
	w->step = IDLE;
	after(w, 0);
	return 0;
}

int
proxy_worker_screen(
    struct proxy_worker *w, struct screen_req *q, proxy_worker_screened done, void *arg)
{
	if (w->ops != NULL || w->screened != NULL) {
		errno = EBUSY;
		return -1;
	}
	w->screened = done;
	w->screen = q;
	w->arg = arg;
	/* A worker that waits for its next message does not go meanwhile. */
	(void)event_del(w->timer);
	if (w->open)
		screen(w);
	else
		after(w, 0);
	return 0;
}

void
proxy_worker_cancel(struct proxy_worker *w)
{
	drop_chan(w);
	rest(w);
}

void
proxy_worker_plumbed(enum proc_id peer, struct chan *c)
{
	struct proxy_worker *w;

	/* What policyd knew of sessions died with it, or with the channel that c replaces.
	 * Workers bound to the old one end by themselves when they next ask; those that are
	 * idle go now. */
	(void)c;
	if (peer != P_POLICYD)
		return;
	LIST_FOREACH (w, &all, next) {
		w->open = 0;
		if ((w->step == IDLE || w->step == SCREENING) && w->chan != NULL)
			drop_chan(w);
	}
}
