/* gwctl queue: lists, single messages, and what is done to many of them. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "queued/queued.h"

#define LOOK_AT 5000 /* messages for one page */
#define WALK_AT_ONCE 1000 /* messages of a change, in one round */
#define PAGE_OCTETS (96 * 1024) /* of recipients and reasons in a page: it must fit a frame */
#define RCPTS_LISTED 50 /* of one message in a listing */

/* Something that is done to all messages, some of them each round. */
struct walk {
	TAILQ_ENTRY(walk) next;
	uint64_t after; /* number of the last one */
	uint64_t last; /* those that come later are not meant */
	uint64_t count;
	struct queue_act_req *q; /* NULL: the routes have changed */
	struct buf mem; /* what q points into */
	struct chan *chan; /* NULL: nobody waits */
	unsigned instance;
	uint64_t id;
};

static TAILQ_HEAD(, walk) walks = TAILQ_HEAD_INITIALIZER(walks);

/* ---- which ones ---- */

static int
fits(const char *pattern, const char *s)
{
	return pattern[0] == '\0' || fnmatch(pattern, s, FNM_CASEFOLD) == 0;
}

/* What gwctl calls a recipient's state. */
static enum queue_state
shown_state(const struct msg *m, size_t i)
{
	const struct task *t;
	unsigned k;

	switch ((enum rcpt_state)m->rcpts[i].state) {
	case R_DEFERRED:
		return QS_DEFERRED;
	case R_HELD:
		return QS_HELD;
	case R_TASK:
		break;
	default:
		return QS_WAITING;
	}
	LIST_FOREACH (t, &m->tasks, of_msg)
		for (k = 0; k < t->n; k++)
			if (t->i[k] == i)
				return t->lane == NULL            ? QS_ACTIVE
				       : t->dest->state == D_DEAD ? QS_DEFERRED
								  : QS_WAITING;
	return QS_WAITING;
}

/* As a destination is called, or as its domain. */
static int
goes_to(const char *pattern, const char *addr)
{
	const struct conf_route *r;
	char domain[256], key[300];

	(void)dest_domain(addr, domain, sizeof domain);
	if (fits(pattern, domain))
		return 1;
	r = conf_route_of(Q.conf, domain);
	if (r != NULL && r->servers.n > 0)
		(void)snprintf(key, sizeof key, "route:%s", r->name);
	else
		(void)snprintf(key, sizeof key, "mx:%s", domain);
	return fits(pattern, key);
}

static int
is_meant(const struct queue_filter *f, const struct msg *m)
{
	const struct rcpt *r;
	size_t i;

	if (!fits(f->qid, msg_text(m, MT_QID)) || !fits(f->tenant, msg_text(m, MT_TENANT)) ||
	    (f->older > 0 && m->arrived + 1000 * f->older > Q.now))
		return 0;
	/* <> is a sender, too. */
	if (f->sender[0] != '\0' && !(strcmp(f->sender, "<>") == 0 && !msg_text(m, MT_SENDER)[0]) &&
	    (!msg_text(m, MT_SENDER)[0] || !fits(f->sender, msg_text(m, MT_SENDER))))
		return 0;
	if (f->rcpt[0] == '\0' && f->destination[0] == '\0' && f->states == 0)
		return 1;
	for (i = 0; i < m->nrcpts; i++) {
		r = &m->rcpts[i];
		if (r->state != R_DONE && fits(f->rcpt, rcpt_addr(m, r)) &&
		    (f->destination[0] == '\0' || goes_to(f->destination, rcpt_addr(m, r))) &&
		    (f->states == 0 || (f->states >> shown_state(m, i) & 1) != 0))
			return 1;
	}
	return 0;
}

/* ---- listing ---- */

/* When it is tried next; 0: now, or not by itself. */
static uint64_t
next_time(const struct msg *m)
{
	const struct task *t;
	uint64_t at = 0;
	size_t i;

	LIST_FOREACH (t, &m->tasks, of_msg) {
		if (t->lane == NULL || t->dest->state != D_DEAD)
			return 0;
		if (at == 0 || t->dest->until < at)
			at = t->dest->until;
	}
	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].state == R_DEFERRED)
			return at == 0 || m->next < at ? m->next : at;
	return at;
}

/* Fills in all that is left of its recipients; how many octets that is. */
static size_t
describe(const struct msg *m, struct queue_info *info, struct envelope *e,
    struct queue_rcpt_info *rcpts, size_t max)
{
	const struct rcpt *r;
	size_t i, n = 0, octets = 500;

	msg_envelope(m, e);
	*info = (struct queue_info){
	    .number = m->number,
	    .envelope = {e, 1},
	    .size = m->size,
	    .next = next_time(m),
	    .attempts = m->attempts,
	    .nrcpts = m->left,
	    .rcpts = {rcpts, 0},
	};
	for (i = 0; i < m->nrcpts && n < max && octets < PAGE_OCTETS; i++) {
		r = &m->rcpts[i];
		if (r->state == R_DONE)
			continue;
		rcpts[n++] = (struct queue_rcpt_info){.addr = rcpt_addr(m, r),
		    .state = (uint8_t)shown_state(m, i),
		    .text = r->diag != NULL ? diag_text(r->diag) : ""};
		octets += strlen(rcpts[n - 1].addr) + strlen(rcpts[n - 1].text) + 20;
	}
	info->rcpts.n = n;
	return octets + strlen(e->sender) + strlen(e->msgid);
}

void
on_list(struct chan *c, struct ipc_msg *m)
{
	static struct queue_rcpt_info rcpts[QUEUE_PAGE_MAX][RCPTS_LISTED];
	static struct queue_info infos[QUEUE_PAGE_MAX];
	static struct envelope envelopes[QUEUE_PAGE_MAX];
	const struct queue_list_req *q = m->body;
	struct queue_list_rep p = {.after = q->after, .total = msg_count(), .messages = {infos, 0}};
	size_t octets = 0, n;
	struct msg *x = NULL;
	unsigned i;

	round_begin();
	for (i = 0; i < LOOK_AT && p.messages.n < QUEUE_PAGE_MAX && octets < PAGE_OCTETS; i++) {
		if ((x = msg_after(p.after)) == NULL)
			break;
		p.after = x->number;
		n = p.messages.n;
		if (!is_meant(&q->filter.v[0], x))
			continue;
		octets += describe(x, &infos[n], &envelopes[n], rcpts[n], RCPTS_LISTED);
		p.messages.n++;
	}
	p.end = x == NULL;
	(void)chan_send(c, M_queue_list_rep, m->id, &p, -1);
}

void
on_show(struct chan *c, struct ipc_msg *m)
{
	static struct queue_rcpt_info rcpts[RCPTS_MAX];
	static uint8_t piece[QUEUE_PIECE_MAX];
	const struct queue_show_req *q = m->body;
	struct queue_show_rep p = {.text = ""};
	struct queue_info info;
	struct envelope e;
	struct msg *x = Q.store != NULL ? msg_find(q->qid) : NULL;
	size_t n;

	round_begin();
	if (x != NULL) {
		p.found = 1;
		(void)describe(x, &info, &e, rcpts, RCPTS_MAX);
		p.message.v = &info;
		p.message.n = q->offset == 0;
		n = q->offset < x->size
			? (size_t)(x->size - q->offset < sizeof piece ? x->size - q->offset
								      : sizeof piece)
			: 0;
		if (n > 0 && qstore_read(Q.store, x->id, piece, n, q->offset) == -1) {
			p.text = strerror(errno);
			n = 0;
		}
		p.piece = (struct bytes){piece, n};
	}
	(void)chan_send(c, M_queue_show_rep, m->id, &p, -1);
}

/* ---- changes ---- */

/* Tasks that no deliverd has, undone: their recipients wait. */
static void
undo_tasks(struct msg *m)
{
	struct task *t, *next;

	LIST_FOREACH_SAFE (t, &m->tasks, of_msg, next)
		if (t->lane != NULL)
			task_undo(t);
}

static void
hold(struct msg *m, const char *reason)
{
	struct diag *d = diag_new("", "", reason);
	struct rcpt *r;
	size_t i;

	undo_tasks(m);
	for (i = 0; i < m->nrcpts; i++) {
		r = &m->rcpts[i];
		if (r->state == R_DEFERRED) {
			rcpt_diag(r, d);
			rcpt_set(m, r, R_HELD);
		} else if (r->state == R_TASK)
			r->hold = 1; /* if this attempt fails */
	}
	diag_free(d);
	life_dirty(m);
	life_rewake(m);
}

/* Whatever waits, or is held, is tried now. */
static int
release(struct msg *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->nrcpts; i++) {
		n += m->rcpts[i].hold;
		m->rcpts[i].hold = 0;
		if (m->rcpts[i].state != R_HELD)
			continue;
		n++;
		rcpt_diag(&m->rcpts[i], NULL);
		rcpt_set(m, &m->rcpts[i], R_DEFERRED);
	}
	if (n == 0)
		return 0;
	life_try(m);
	life_dirty(m);
	return 1;
}

static void
requeue(struct msg *m)
{
	undo_tasks(m);
	m->attempts = 0;
	m->lost = 0;
	life_try(m);
	life_dirty(m);
}

static void
flush(struct msg *m)
{
	struct task *t, *next;

	LIST_FOREACH_SAFE (t, &m->tasks, of_msg, next)
		dest_revive(t->dest);
	life_try(m);
}

static void delete (struct msg *m)
{
	size_t i;

	undo_tasks(m);
	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].state != R_DONE && m->rcpts[i].state != R_SETTLING)
			rcpt_set(m, &m->rcpts[i], R_DONE);
	m->settle_at = 0;
	life_dirty(m);
	life_rewake(m);
}

static int
act(const struct queue_act_req *q, struct msg *m)
{
	char text[300] = "";

	switch ((enum queue_verb)q->verb) {
	case QV_FLUSH:
		flush(m);
		return 1;
	case QV_HOLD:
		(void)snprintf(text, sizeof text, "held by gwctl: %s", q->reason);
		text[255] = '\0';
		hold(m, text);
		break;
	case QV_RELEASE:
		if (!release(m))
			return 0;
		(void)strlcpy(text, "released by gwctl", sizeof text);
		break;
	case QV_REQUEUE:
		requeue(m);
		(void)strlcpy(text, "requeued by gwctl", sizeof text);
		break;
	case QV_DELETE:
		delete (m);
		(void)strlcpy(text, "deleted by gwctl", sizeof text);
		break;
	}
	log_msg(m, EV_ADMIN, text);
	return 1;
}

/* The routes have changed: does it still go where its tasks stand? */
static void
reroute(struct msg *m)
{
	const struct task *t;
	struct dest *d;
	unsigned k;

	LIST_FOREACH (t, &m->tasks, of_msg) {
		if (t->lane == NULL)
			continue;
		for (k = 0; k < t->n; k++) {
			d = dest_of(rcpt_addr(m, &m->rcpts[t->i[k]]));
			if (d == t->dest)
				continue;
			if (d != NULL)
				dest_unused(d);
			undo_tasks(m);
			life_try(m);
			return;
		}
	}
}

static int
is_empty(const struct queue_filter *f)
{
	return f->qid[0] == '\0' && f->sender[0] == '\0' && f->rcpt[0] == '\0' &&
	       f->destination[0] == '\0' && f->tenant[0] == '\0' && f->states == 0 && f->older == 0;
}

static void
finish(struct walk *w)
{
	struct queue_act_rep p = {.ok = 1, .text = "", .count = w->count};

	TAILQ_REMOVE(&walks, w, next);
	if (w->chan != NULL)
		(void)chan_send(w->chan, M_queue_act_rep, w->id, &p, -1);
	free(w->q);
	buf_free(&w->mem);
	free(w);
}

void
admin_walk(void)
{
	struct walk *w = TAILQ_FIRST(&walks);
	struct msg *m;
	unsigned i;

	if (w == NULL)
		return;
	for (i = 0; i < WALK_AT_ONCE && !round_paced(); i++) {
		if ((m = msg_after(w->after)) == NULL || m->number > w->last) {
			finish(w);
			return;
		}
		w->after = m->number;
		if (w->q == NULL)
			reroute(m);
		else if (is_meant(&w->q->filter.v[0], m) && m->left > 0)
			w->count += (uint64_t)act(w->q, m);
	}
}

int
admin_walking(void)
{
	return !TAILQ_EMPTY(&walks);
}

static struct walk *
walk_new(void)
{
	struct walk *w = calloc(1, sizeof *w);

	if (w == NULL)
		return NULL;
	buf_init(&w->mem, IPC_FRAME_MAX);
	w->last = NEVER;
	TAILQ_INSERT_TAIL(&walks, w, next);
	kick();
	return w;
}

void
on_act(struct chan *c, struct ipc_msg *m)
{
	const struct queue_act_req *q = m->body;
	const struct queue_filter *f = &q->filter.v[0];
	struct queue_act_rep p = {.ok = 1, .text = ""};
	struct msg *x;
	struct walk *w;

	round_begin();
	if (Q.store == NULL)
		return;
	/* One that is named needs no look at the others. */
	if (f->qid[0] != '\0' && strpbrk(f->qid, "*?[\\") == NULL) {
		x = msg_find(f->qid);
		if (x != NULL && is_meant(f, x) && x->left > 0)
			p.count = (uint64_t)act(q, x);
		(void)chan_send(c, M_queue_act_rep, m->id, &p, -1);
		return;
	}
	if (is_empty(f))
		log_info("gwctl: the whole queue is %s", q->verb == QV_FLUSH     ? "tried now"
							 : q->verb == QV_HOLD    ? "put on hold"
							 : q->verb == QV_RELEASE ? "released"
							 : q->verb == QV_REQUEUE ? "requeued"
										 : "deleted");
	if ((w = walk_new()) == NULL || rec_encode(&rec_queue_act_req, q, &w->mem) == -1 ||
	    (w->q = rec_decode(&rec_queue_act_req, buf_ptr(&w->mem), buf_len(&w->mem))) == NULL) {
		p = (struct queue_act_rep){.ok = 0, .text = "no memory"};
		(void)chan_send(c, M_queue_act_rep, m->id, &p, -1);
		if (w != NULL)
			finish(w);
		return;
	}
	w->chan = c;
	w->instance = chan_instance(c);
	w->id = m->id;
	x = msg_last();
	w->last = x != NULL ? x->number : 0;
}

void
admin_reroute(void)
{
	if (walk_new() == NULL)
		log_warn(
		    "no memory: what is in the queue keeps its old routes until it is tried again");
}

void
admin_plumbed(unsigned instance, struct chan *c)
{
	struct walk *w;

	/* What it has begun is done to its end, and nobody hears of it. */
	TAILQ_FOREACH (w, &walks, next)
		if (w->chan != NULL && w->instance == instance && w->chan != c)
			w->chan = NULL;
}

void
admin_free(void)
{
	struct walk *w;

	while ((w = TAILQ_FIRST(&walks)) != NULL) {
		w->chan = NULL;
		finish(w);
	}
}
