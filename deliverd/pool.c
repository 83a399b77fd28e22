/* Connections: idle ones, and new ones as they come about. */
#include "deliverd/pool.h"

#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "deliverd/pool_int.h"
#include "proc/proc.h"

#define SWEEP_MS 500 /* between two looks at idle connections */

#define PASSED_MAX 32 /* times that who waits is passed over for what a connection fits */

TAILQ_HEAD(link_list, link);

static struct link_list waiting = TAILQ_HEAD_INITIALIZER(waiting); /* for room */
static struct link_list ended = TAILQ_HEAD_INITIALIZER(ended); /* their owners are to be told */
static struct link_list lru = TAILQ_HEAD_INITIALIZER(lru); /* idle, the oldest first */
static struct event later, sweep;
static bool set_up, draining;
static unsigned most = POOL_LINKS_MAX;
static struct pool_counts counts;

const struct pool_counts *
pool_count(void)
{
	return &counts;
}

void
pool_limit(unsigned links)
{
	most = links < 1 ? 1 : links < POOL_LINKS_MAX ? links : POOL_LINKS_MAX;
}

struct client *
link_client(const struct link *l)
{
	return l->client;
}

static void
link_free(struct link *l)
{
	LIST_REMOVE(l, of_dest);
	link_way_free(l);
	client_close(l->client);
	policy_free(l->policy);
	plan_drop(l->plan);
	dest_drop(l->dest);
	free(l->why);
	free(l);
}

static void
unidle(struct link *l)
{
	TAILQ_REMOVE(&l->dest->idle, l, next);
	TAILQ_REMOVE(&lru, l, lru);
	counts.idle--;
	l->state = LINK_USED;
}

void
link_close(struct link *l)
{
	if (l == NULL)
		return;
	if (l->state == LINK_IDLE)
		unidle(l);
	if (l->state == LINK_WAITING) {
		TAILQ_REMOVE(&waiting, l, next);
		counts.waiting--;
	} else if (l->state == LINK_ENDED)
		TAILQ_REMOVE(&ended, l, next);
	if (l->state != LINK_WAITING && --counts.links < most && counts.waiting > 0)
		event_active(&later, EV_TIMEOUT, 1);
	link_free(l);
}

/* ---- idle ones ---- */

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval tv = {0, SWEEP_MS * 1000};
	uint64_t now = clock_ms();
	struct link *l, *next;

	(void)fd;
	(void)what;
	(void)arg;
	TAILQ_FOREACH_SAFE (l, &lru, lru, next)
		if (l->idle_until <= now || l->dest->route->old)
			link_close(l);
	if (counts.idle > 0)
		(void)evtimer_add(&sweep, &tv);
}

static bool
leads_to(const struct link *l, const struct plan_host *h)
{
	return l->host->port == h->port && strcmp(l->host->name, h->name) == 0;
}

static bool
fits(const struct link *l, enum policy_need need)
{
	switch (need) {
	case NEED_REQUIRETLS:
		return l->want.need != NEED_NOTHING && l->policy->authentic &&
		       client_verified(l->client);
	case NEED_NOTHING:
		return true;
	default:
		return l->want.need != NEED_NOTHING;
	}
}

struct link *
link_take(struct dest *d, const struct plan_host *h, enum policy_need need)
{
	uint64_t now = clock_ms();
	struct link *l;

	TAILQ_FOREACH (l, &d->idle, next)
		if (l->idle_until > now && leads_to(l, h) && fits(l, need))
			break;
	if (l == NULL)
		return NULL;
	unidle(l);
	counts.reused++;
	return l;
}

/* Does somebody wait for room who can have this very one? */
static bool
hand_over(struct link *l)
{
	static unsigned passed; /* since the first one was not passed over */
	struct link_want want;
	struct link *w;

	TAILQ_FOREACH (w, &waiting, next)
		if (w->dest == l->dest && leads_to(l, w->host) && fits(l, w->want.need))
			break;
	passed = w == TAILQ_FIRST(&waiting) ? 0 : passed + 1;
	if (w == NULL || passed > PASSED_MAX) {
		passed = 0;
		return false;
	}
	want = w->want;
	link_close(w);
	counts.reused++;
	want.ready(want.arg, l, NULL);
	return true;
}

void
link_give(struct link *l)
{
	static const struct timeval tv = {0, SWEEP_MS * 1000};
	const struct route *r = l->dest->route;
	uint64_t now = clock_ms();

	l->idle_until = l->opened + POOL_AGE_MS;
	if (l->idle_until > now + r->reuse_ms)
		l->idle_until = now + r->reuse_ms;
	if (draining || r->old || r->reuse_ms == 0 || l->idle_until <= now ||
	    !client_idle(l->client)) {
		link_close(l);
		return;
	}
	if (counts.waiting > 0) {
		if (!hand_over(l))
			link_close(l);
		return;
	}
	l->state = LINK_IDLE;
	/* The warm one goes first, so that those that are too many get old. */
	TAILQ_INSERT_HEAD(&l->dest->idle, l, next);
	TAILQ_INSERT_TAIL(&lru, l, lru);
	if (counts.idle++ == 0 && !evtimer_pending(&sweep, NULL))
		(void)evtimer_add(&sweep, &tv);
}

void
pool_renew(void)
{
	struct link *l, *next;

	TAILQ_FOREACH_SAFE (l, &lru, lru, next)
		if (l->dest->route->old)
			link_close(l);
	dest_forget(false);
}

void
pool_drain(void)
{
	draining = true;
	while (!TAILQ_EMPTY(&lru))
		link_close(TAILQ_FIRST(&lru));
}

/* ---- new ones ---- */

void
link_fail(struct link *l, const struct link_failure *why)
{
	counts.failed++;
	/* Without memory for the text the owner is told without. */
	if ((l->why = malloc(sizeof *l->why)) != NULL)
		*l->why = *why;
	l->state = LINK_ENDED;
	TAILQ_INSERT_TAIL(&ended, l, next);
	event_active(&later, EV_TIMEOUT, 1);
}

void
link_ready(struct link *l)
{
	counts.opened++;
	l->state = LINK_USED;
	l->opened = clock_ms();
	l->want.ready(l->want.arg, l, NULL);
}

/* It is closed by the other side while nobody uses it. */
void
link_lost(struct link *l)
{
	if (l->state == LINK_IDLE)
		link_close(l);
}

static void
tell(struct link *l)
{
	static const struct link_failure unknown = {.dsn = "4.3.0", .text = "out of memory"};
	struct link_failure why = l->why != NULL ? *l->why : unknown;
	struct link_want w = l->want;

	link_close(l);
	w.ready(w.arg, NULL, &why);
}

static bool
room(void)
{
	if (counts.links >= most && !TAILQ_EMPTY(&lru))
		link_close(TAILQ_FIRST(&lru));
	return counts.links < most;
}

static void
on_later(evutil_socket_t fd, short what, void *arg)
{
	struct link *l;

	(void)fd;
	(void)what;
	(void)arg;
	while ((l = TAILQ_FIRST(&ended)) != NULL)
		tell(l);
	while ((l = TAILQ_FIRST(&waiting)) != NULL && room()) {
		TAILQ_REMOVE(&waiting, l, next);
		counts.waiting--;
		counts.links++;
		link_begin(l);
	}
}

static void
prepare(void)
{
	if (set_up)
		return;
	set_up = true;
	(void)evtimer_assign(&later, proc_env()->base, on_later, NULL);
	(void)evtimer_assign(&sweep, proc_env()->base, on_sweep, NULL);
}

struct link *
link_open(const struct link_want *w)
{
	struct link *l = calloc(1, sizeof *l);

	if (l == NULL)
		return NULL;
	prepare();
	l->want = *w;
	(void)strlcpy(l->qid, w->qid, sizeof l->qid);
	l->want.qid = l->qid;
	l->dest = w->dest;
	l->dest->refs++;
	LIST_INSERT_HEAD(&l->dest->links, l, of_dest);
	l->plan = plan_keep(w->plan);
	l->host = w->host;
	if (!TAILQ_EMPTY(&waiting) || !room()) {
		l->state = LINK_WAITING;
		TAILQ_INSERT_TAIL(&waiting, l, next);
		counts.waiting++;
		return l;
	}
	counts.links++;
	link_begin(l);
	return l;
}

void
pool_clear(void)
{
	pool_drain();
	draining = false;
	dest_forget(true);
	ask_forget();
	bad_clear();
	if (set_up) {
		(void)event_del(&later);
		(void)event_del(&sweep);
	}
	set_up = false;
}
