/* Tasks, and the rings from which the next one to be tried is taken. */
#include <stdlib.h>
#include <string.h>

#include "queued/queued.h"

#define LOW_TURN 10 /* each so many takes is one from the lowest priority: nobody starves */
#define TASK_TEXT (96 * 1024) /* octets of recipients in one job: it must fit a frame */

/* Lanes with something that may be tried now; the first one of the highest priority is next. */
static TAILQ_HEAD(ring, lane) rings[PRIORITIES];
static unsigned turn;
static int begun;

static void
begin(void)
{
	size_t i;

	if (begun)
		return;
	begun = 1;
	for (i = 0; i < PRIORITIES; i++)
		TAILQ_INIT(&rings[i]);
}

void
lane_enter(struct lane *l)
{
	begin();
	if (l->in_ring || TAILQ_EMPTY(&l->ready))
		return;
	l->in_ring = 1;
	TAILQ_INSERT_TAIL(&rings[l->priority], l, ring);
}

void
lane_leave(struct lane *l)
{
	if (!l->in_ring)
		return;
	l->in_ring = 0;
	TAILQ_REMOVE(&rings[l->priority], l, ring);
}

static struct lane *
next_lane(void)
{
	int i, low = ++turn % LOW_TURN == 0;

	for (i = 0; i < PRIORITIES; i++)
		if (!TAILQ_EMPTY(&rings[low ? i : PRIORITIES - 1 - i]))
			return TAILQ_FIRST(&rings[low ? i : PRIORITIES - 1 - i]);
	return NULL;
}

struct task *
ring_take(void)
{
	struct lane *l;
	struct task *t;

	begin();
	if ((l = next_lane()) == NULL)
		return NULL;
	t = TAILQ_FIRST(&l->ready);
	TAILQ_REMOVE(&l->ready, t, link);
	t->lane = NULL;
	/* dest_show puts it behind the other destinations, when it is known what became of t. */
	lane_leave(l);
	return t;
}

/* ---- making ---- */

int
task_is_parked(const struct task *t)
{
	/* A lane that was unparked has all its tasks among the ready ones again. */
	return t->lane != NULL && t->parked == t->lane->epoch;
}

void
task_park(struct task *t)
{
	struct dest *d = t->dest;
	char text[300];
	unsigned k;

	/* As Postfix says it. */
	(void)strlcpy(text, "delivery temporarily suspended: ", sizeof text);
	if (d->why != NULL)
		(void)strlcat(text, diag_text(d->why), sizeof text);
	for (k = 0; k < t->n; k++) {
		struct rcpt *r = &t->m->rcpts[t->i[k]];

		rcpt_diag(r, d->why);
		log_rcpt(t->m, r, ES_DEFERRED,
		    d->why != NULL && d->why->dsn[0] != '\0' ? d->why->dsn : "4.4.1", text);
	}
	Q.tally.deferred += t->n;
	Q.parked += t->n;
	t->lane->nparked += t->n;
	t->parked = t->lane->epoch;
	TAILQ_INSERT_TAIL(&t->lane->parked, t, link);
}

/* Into its lane: to be tried, or to wait until its destination is back. */
static void
enter(struct task *t)
{
	struct dest *d = t->dest;

	if (d->state == D_DEAD) {
		task_park(t);
		return;
	}
	TAILQ_INSERT_TAIL(&t->lane->ready, t, link);
	if (dest_ready(d)) {
		lane_enter(t->lane);
		kick();
	}
}

static struct task *
new_task(struct msg *m, struct dest *d, unsigned room)
{
	struct lane *l = dest_lane(d, m->priority);
	struct task *t;

	if (l == NULL || (t = malloc(sizeof *t + room * sizeof t->i[0])) == NULL)
		return NULL;
	t->m = m;
	t->dest = d;
	t->lane = l;
	t->parked = 0;
	t->routes = dest_routes();
	t->n = 0;
	LIST_INSERT_HEAD(&m->tasks, t, of_msg);
	m->ntasks++;
	d->ntasks++;
	return t;
}

/* The task of this destination that has room for one more, r. */
static struct task *
task_with_room(struct msg *m, struct dest *d, size_t *text)
{
	uint64_t most = Q.conf->queue.recipients;
	struct task *t = d->build;

	if (t != NULL && t->n < most && *text < TASK_TEXT)
		return t;
	*text = 0;
	d->build = new_task(m, d, (unsigned)(d->wanted < most ? d->wanted : most));
	if (d->build == NULL)
		d->build = t;
	else if (t != NULL)
		enter(t);
	return d->build == t ? NULL : d->build;
}

int
tasks_make(struct msg *m)
{
	static struct dest *dests[RCPTS_MAX];
	static size_t text[RCPTS_MAX]; /* octets in the task being built, by its first recipient */
	struct rcpt *r;
	struct task *t;
	size_t i, n, *used;
	int rc = 0;

	for (i = 0; i < m->nrcpts; i++) {
		dests[i] = NULL;
		r = &m->rcpts[i];
		if (r->state != R_DEFERRED)
			continue;
		if ((dests[i] = dest_of(rcpt_addr(m, r))) == NULL) {
			rc = -1;
			continue;
		}
		dests[i]->wanted++;
		dest_unused(dests[i]);
	}
	for (i = 0; i < m->nrcpts; i++) {
		if (dests[i] == NULL)
			continue;
		r = &m->rcpts[i];
		n = strlen(rcpt_addr(m, r)) + strlen(rcpt_orcpt(m, r)) + 16;
		used = &text[dests[i]->build != NULL ? dests[i]->build->i[0] : i];
		if ((t = task_with_room(m, dests[i], used)) == NULL)
			rc = -1;
		else {
			if (t->n == 0)
				text[i] = 0;
			t->i[t->n++] = (uint16_t)i;
			text[t->i[0]] += n;
			rcpt_set(m, r, R_TASK);
		}
		dests[i]->wanted--;
	}
	for (i = 0; i < m->nrcpts; i++) {
		if (dests[i] == NULL)
			continue;
		if ((t = dests[i]->build) != NULL) {
			dests[i]->build = NULL;
			enter(t);
		}
		dest_unused(dests[i]);
	}
	return rc;
}

int
task_fits(struct task *t)
{
	struct dest *d;
	unsigned k;

	for (k = 0; k < t->n && t->routes != dest_routes(); k++)
		if ((d = dest_of(rcpt_addr(t->m, &t->m->rcpts[t->i[k]]))) != t->dest) {
			if (d != NULL)
				dest_unused(d);
			return 0;
		}
	t->routes = dest_routes();
	return 1;
}

/* ---- undoing ---- */

static void
leave_lane(struct task *t)
{
	struct lane *l = t->lane;

	if (l == NULL)
		return;
	if (task_is_parked(t)) {
		TAILQ_REMOVE(&l->parked, t, link);
		l->nparked -= t->n;
		Q.parked -= t->n;
	} else {
		TAILQ_REMOVE(&l->ready, t, link);
		if (TAILQ_EMPTY(&l->ready))
			lane_leave(l);
	}
	t->lane = NULL;
}

void
task_free(struct task *t)
{
	struct dest *d = t->dest;

	LIST_REMOVE(t, of_msg);
	t->m->ntasks--;
	d->ntasks--;
	dest_unused(d);
	free(t);
}

void
task_undo(struct task *t)
{
	struct rcpt *r;
	unsigned k;

	leave_lane(t);
	for (k = 0; k < t->n; k++) {
		r = &t->m->rcpts[t->i[k]];
		if (r->state == R_TASK)
			rcpt_set(t->m, r, R_DEFERRED);
	}
	task_free(t);
}

void
task_back(struct task *t)
{
	t->lane = dest_lane(t->dest, t->m->priority);
	if (t->lane == NULL) {
		/* Only when there never was one; without it the message waits for its next time. */
		task_undo(t);
		return;
	}
	if (t->dest->state == D_DEAD) {
		task_park(t);
		return;
	}
	t->parked = 0;
	TAILQ_INSERT_HEAD(&t->lane->ready, t, link);
	if (dest_ready(t->dest))
		lane_enter(t->lane);
}
