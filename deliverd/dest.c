/* Destinations: what is known of where their mail goes, for as long as somebody wants it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "deliverd/pool.h"

#define BUCKETS 256

static LIST_HEAD(, dest) buckets[BUCKETS];
static TAILQ_HEAD(, dest) unused = TAILQ_HEAD_INITIALIZER(unused);
static unsigned nunused;

static unsigned
bucket(const struct route *r, const char *domain)
{
	unsigned h = (unsigned)((uintptr_t)r >> 4);

	for (; *domain != '\0'; domain++)
		h = h * 33 ^ (uint8_t)*domain;
	return h % BUCKETS;
}

static void
dest_free(struct dest *d)
{
	TAILQ_REMOVE(&unused, d, unused);
	nunused--;
	LIST_REMOVE(d, next);
	planning_cancel(d->planning);
	plan_drop(d->plan);
	route_drop(d->route);
	free(d->domain);
	free(d);
}

static struct dest *
dest_new(struct route *r, const char *domain)
{
	struct dest *d = calloc(1, sizeof *d);

	if (d == NULL || (d->domain = strdup(domain)) == NULL) {
		free(d);
		return NULL;
	}
	d->route = route_keep(r);
	d->refs = 1;
	TAILQ_INIT(&d->waits);
	TAILQ_INIT(&d->idle);
	LIST_INSERT_HEAD(&buckets[bucket(r, domain)], d, next);
	return d;
}

struct dest *
dest_get(struct route *r, const char *domain)
{
	struct dest *d;

	if (r->nservers > 0)
		domain = "";
	LIST_FOREACH (d, &buckets[bucket(r, domain)], next)
		if (d->route == r && strcmp(d->domain, domain) == 0)
			break;
	if (d == NULL)
		return dest_new(r, domain);
	if (d->refs++ == 0) {
		TAILQ_REMOVE(&unused, d, unused);
		nunused--;
	}
	return d;
}

void
dest_drop(struct dest *d)
{
	if (--d->refs > 0)
		return;
	TAILQ_INSERT_TAIL(&unused, d, unused);
	nunused++;
	if (d->route->old)
		dest_free(d);
	else if (nunused > POOL_DESTS_MAX)
		dest_free(TAILQ_FIRST(&unused));
}

/* Those of routes that are gone; or all of them. */
void
dest_forget(bool all)
{
	struct dest *d, *next;

	TAILQ_FOREACH_SAFE (d, &unused, unused, next)
		if (all || d->route->old)
			dest_free(d);
}

static void
on_plan(void *arg, struct plan *p)
{
	struct dest *d = arg;
	struct dest_wait *w;

	d->planning = NULL;
	plan_drop(d->plan);
	d->plan = p;
	d->refs++;
	while ((w = TAILQ_FIRST(&d->waits)) != NULL) {
		dest_unwait(w);
		w->fn(w->arg, d->plan);
	}
	dest_drop(d);
}

struct plan *
dest_plan(struct dest *d, struct dest_wait *w)
{
	static struct plan none = {
	    .refs = 1, .verdict = PLAN_DELAYED, .dsn = "4.3.0", .text = "out of memory"};
	struct plan *p;

	if (d->plan != NULL && clock_ms() < d->plan->until)
		return d->plan;
	if (d->planning == NULL) {
		p = plan_make(d->route, d->domain, &d->planning, on_plan, d);
		if (p == NULL && d->planning == NULL)
			return &none;
		if (p != NULL) {
			plan_drop(d->plan);
			return d->plan = p;
		}
	}
	w->dest = d;
	TAILQ_INSERT_TAIL(&d->waits, w, next);
	return NULL;
}

void
dest_unwait(struct dest_wait *w)
{
	if (w->dest != NULL)
		TAILQ_REMOVE(&w->dest->waits, w, next);
	w->dest = NULL;
}

unsigned
dest_count(void)
{
	const struct dest *d;
	unsigned i, n = 0;

	for (i = 0; i < BUCKETS; i++)
		LIST_FOREACH (d, &buckets[i], next)
			n++;
	return n;
}
