/* Destinations: how many deliveries each bears, and whether it can be reached at all. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "queued/queued.h"

#define WINDOW_FIRST 5 /* deliveries to a destination that nothing is known of */
#define IDLE_MS 600000 /* what is known of one without messages is kept so long */
#define IDLE_MAX 4096 /* of so many */
#define PARK_AT_ONCE 200 /* tasks of dead destinations, in one round */
#define KEY_MAX 300 /* "route:" or "mx:", and a name or a domain */

LIST_HEAD(dest_list, dest);

static struct dest_list *buckets;
static uint32_t nbuckets, ndests, ndead;
static TAILQ_HEAD(, dest) idle = TAILQ_HEAD_INITIALIZER(idle);
static TAILQ_HEAD(, dest) dying = TAILQ_HEAD_INITIALIZER(dying);
static uint32_t nidle;
static uint32_t routes; /* reloads so far */

const char *
dest_domain(const char *addr, char *out, size_t outsz)
{
	const char *at = strrchr(addr, '@');
	size_t i;

	(void)strlcpy(out, at != NULL ? at + 1 : Q.conf->node.hostname, outsz);
	for (i = 0; out[i] != '\0'; i++)
		out[i] = (char)tolower((unsigned char)out[i]);
	if (i > 1 && out[i - 1] == '.')
		out[i - 1] = '\0';
	return out;
}

/* FNV-1a */
static uint32_t
hash(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h;
}

static int
grow(void)
{
	uint32_t n = nbuckets == 0 ? 256 : 2 * nbuckets, i;
	struct dest_list *fresh;
	struct dest *d;

	if (n < nbuckets || (fresh = calloc(n, sizeof *fresh)) == NULL)
		return -1;
	for (i = 0; i < n; i++)
		LIST_INIT(&fresh[i]);
	for (i = 0; i < nbuckets; i++)
		while ((d = LIST_FIRST(&buckets[i])) != NULL) {
			LIST_REMOVE(d, hash);
			LIST_INSERT_HEAD(&fresh[d->hashed & (n - 1)], d, hash);
		}
	free(buckets);
	buckets = fresh;
	nbuckets = n;
	return 0;
}

/* What the configuration says of it. */
static void
configure(struct dest *d, const struct conf_route *r)
{
	uint64_t limit =
	    r != NULL && r->concurrency > 0 ? r->concurrency : Q.conf->queue.concurrency;
	const char *name = r != NULL ? r->name : "";
	char *copy;

	d->lmtp = r != NULL && r->protocol == CONF_PROTO_LMTP;
	d->limit = (uint32_t)limit;
	if (d->window > d->limit)
		d->window = d->limit;
	if ((d->route == NULL || strcmp(d->route, name) != 0) && (copy = strdup(name)) != NULL) {
		free(d->route);
		d->route = copy;
	}
}

static void
destroy(struct dest *d)
{
	struct lane *l;

	if (d->is_idle) {
		TAILQ_REMOVE(&idle, d, idle);
		nidle--;
	}
	if (d->is_dying)
		TAILQ_REMOVE(&dying, d, dying);
	while ((l = d->lanes) != NULL) {
		d->lanes = l->next;
		lane_leave(l);
		free(l);
	}
	LIST_REMOVE(d, hash);
	ndests--;
	ndead -= d->state == D_DEAD;
	wake_end(&d->wake);
	diag_free(d->why);
	free(d->route);
	free(d);
}

static struct dest *
make(const char *key, uint32_t h, const struct conf_route *r)
{
	size_t n = strlen(key) + 1;
	struct dest *d;

	if ((ndests >= nbuckets && grow() == -1 && nbuckets == 0) ||
	    (d = calloc(1, sizeof *d + n)) == NULL)
		return NULL;
	if (wake_init(&d->wake, WAKE_DEST) == -1) {
		free(d);
		return NULL;
	}
	memcpy(d->key, key, n);
	d->hashed = h;
	d->home = (uint8_t)(h >> 8);
	d->window = WINDOW_FIRST;
	configure(d, r);
	if (d->route == NULL) {
		wake_end(&d->wake);
		free(d);
		return NULL;
	}
	LIST_INSERT_HEAD(&buckets[h & (nbuckets - 1)], d, hash);
	ndests++;
	return d;
}

struct dest *
dest_of(const char *addr)
{
	char domain[KEY_MAX - 4], key[KEY_MAX];
	const struct conf_route *r;
	struct dest *d = NULL;
	uint32_t h;

	r = conf_route_of(Q.conf, dest_domain(addr, domain, sizeof domain));
	if (r != NULL && r->servers.n > 0)
		(void)snprintf(key, sizeof key, "route:%s", r->name);
	else
		(void)snprintf(key, sizeof key, "mx:%s", domain);
	h = hash(key);
	if (nbuckets > 0)
		LIST_FOREACH (d, &buckets[h & (nbuckets - 1)], hash)
			if (d->hashed == h && strcmp(d->key, key) == 0)
				break;
	if (d == NULL)
		return make(key, h, r);
	configure(d, r);
	return d;
}

struct lane *
dest_lane(struct dest *d, unsigned priority)
{
	struct lane *l;

	if (priority >= PRIORITIES)
		priority = PRIORITIES - 1;
	for (l = d->lanes; l != NULL; l = l->next)
		if (l->priority == priority)
			return l;
	if ((l = calloc(1, sizeof *l)) == NULL)
		return NULL;
	TAILQ_INIT(&l->ready);
	TAILQ_INIT(&l->parked);
	l->epoch = 1;
	l->dest = d;
	l->priority = (uint8_t)priority;
	l->next = d->lanes;
	d->lanes = l;
	return l;
}

int
dest_ready(const struct dest *d)
{
	switch ((enum dest_state)d->state) {
	case D_DEAD:
		return 0;
	case D_PROBE:
		return d->busy == 0;
	default:
		return d->busy < d->limit && d->busy < d->window;
	}
}

void
dest_show(struct dest *d)
{
	int ready = dest_ready(d);
	struct lane *l;

	for (l = d->lanes; l != NULL; l = l->next)
		if (ready)
			lane_enter(l);
		else
			lane_leave(l);
}

/* ---- those without messages ---- */

static void
forget_some(void)
{
	struct dest *d;

	while ((d = TAILQ_FIRST(&idle)) != NULL &&
	       (nidle > IDLE_MAX || d->idle_since + IDLE_MS + 2 * d->backoff < Q.now))
		destroy(d);
}

void
dest_unused(struct dest *d)
{
	int is = d->ntasks == 0 && d->wanted == 0;

	if (is == d->is_idle)
		return;
	if (is) {
		forget_some();
		d->idle_since = Q.now;
		TAILQ_INSERT_TAIL(&idle, d, idle);
		nidle++;
	} else {
		TAILQ_REMOVE(&idle, d, idle);
		nidle--;
	}
	d->is_idle = (uint8_t)is;
}

/* ---- dead and alive ---- */

static void
unpark(struct dest *d)
{
	struct lane *l;

	for (l = d->lanes; l != NULL; l = l->next) {
		Q.parked -= l->nparked;
		l->nparked = 0;
		l->epoch++;
		/* Those have waited longer. */
		TAILQ_CONCAT(&l->parked, &l->ready, link);
		TAILQ_CONCAT(&l->ready, &l->parked, link);
	}
	if (d->is_dying)
		TAILQ_REMOVE(&dying, d, dying);
	d->is_dying = 0;
}

static void
die(struct dest *d, struct diag *why)
{
	uint64_t min = Q.conf->queue.retry_min * 1000, max = Q.conf->queue.retry_max * 1000;

	d->backoff = d->backoff == 0 ? min : 2 * d->backoff;
	if (d->backoff > max)
		d->backoff = max;
	d->until = Q.now + d->backoff + arc4random_uniform((uint32_t)(d->backoff / 8 + 1));
	ndead += d->state != D_DEAD;
	d->state = D_DEAD;
	d->window = 1;
	if (why != NULL)
		why->refs++;
	diag_free(d->why);
	d->why = why;
	wake_set(&d->wake, d->until);
	dest_show(d);
	if (!d->is_dying)
		TAILQ_INSERT_TAIL(&dying, d, dying);
	d->is_dying = 1;
	log_info("destination %s is suspended for %llu s: %s", log_str(d->key),
	    (unsigned long long)(d->backoff / 1000), why != NULL ? log_str(diag_text(why)) : "");
}

/* It has answered: all may go again. */
static void
live(struct dest *d)
{
	ndead -= d->state == D_DEAD;
	d->state = D_ALIVE;
	d->backoff = 0;
	wake_set(&d->wake, NEVER);
	unpark(d);
}

void
dest_wake(struct dest *d)
{
	if (d->state != D_DEAD)
		return;
	ndead--;
	d->state = D_PROBE;
	d->window = 1;
	unpark(d);
	dest_show(d);
}

void
dest_revive(struct dest *d)
{
	if (d->state != D_DEAD)
		return;
	wake_set(&d->wake, NEVER);
	dest_wake(d);
}

void
dest_result(struct dest *d, int site, struct diag *why)
{
	int full = d->busy + 1 >= d->window;

	if (site) {
		d->window -= 1;
		if (d->state == D_PROBE || (d->state == D_ALIVE && d->window < 1))
			die(d, why);
	} else {
		if (d->state != D_ALIVE)
			live(d);
		/* Only what was tried is known to be borne. */
		if (full && d->window < d->limit)
			d->window += 1 / d->window;
		if (d->window > d->limit)
			d->window = d->limit;
	}
	dest_show(d);
	kick();
}

/* A lane's first ready task; -1: there are none. */
static int
park_one(struct dest *d)
{
	struct lane *l;
	struct task *t;

	for (l = d->lanes; l != NULL; l = l->next)
		if ((t = TAILQ_FIRST(&l->ready)) != NULL) {
			TAILQ_REMOVE(&l->ready, t, link);
			task_park(t);
			return 0;
		}
	return -1;
}

void
dests_park_some(void)
{
	struct dest *d;
	unsigned n = 0;

	while (n < PARK_AT_ONCE && (d = TAILQ_FIRST(&dying)) != NULL && !round_paced()) {
		if (d->state == D_DEAD && park_one(d) == 0)
			n++;
		else {
			TAILQ_REMOVE(&dying, d, dying);
			d->is_dying = 0;
		}
	}
}

int
dests_dying(void)
{
	return !TAILQ_EMPTY(&dying);
}

/* ---- all of them ---- */

void
dest_reload(void)
{
	const struct conf_route *r;
	struct dest *d;
	uint32_t i;

	routes++;
	for (i = 0; i < nbuckets; i++)
		LIST_FOREACH (d, &buckets[i], hash) {
			r = strncmp(d->key, "mx:", 3) == 0 ? conf_route_of(Q.conf, d->key + 3)
							   : conf_route_find(Q.conf, d->key + 6);
			configure(d, r);
			/* What kept it from being reached may have been set right. */
			dest_revive(d);
			dest_show(d);
		}
}

uint32_t
dest_routes(void)
{
	return routes;
}

void
dest_set_back(uint64_t ms)
{
	struct dest *d;
	uint32_t i;

	for (i = 0; i < nbuckets; i++)
		LIST_FOREACH (d, &buckets[i], hash) {
			d->until -= d->until < ms ? d->until : ms;
			d->idle_since -= d->idle_since < ms ? d->idle_since : ms;
		}
}

unsigned
dest_count(unsigned *dead)
{
	*dead = ndead;
	return ndests - nidle;
}

void
dest_free_all(void)
{
	uint32_t i;

	for (i = 0; i < nbuckets; i++)
		while (!LIST_EMPTY(&buckets[i]))
			destroy(LIST_FIRST(&buckets[i]));
	free(buckets);
	buckets = NULL;
	nbuckets = 0;
}
