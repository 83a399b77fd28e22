/* What becomes of a message: results, the next attempt, the end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "queued/queued.h"

#define DEFER_TEXT 300 /* octets of a reason that is only for a while */
#define SETTLE_MS 30000 /* failures wait so long for those of other recipients */
#define AGAIN_MS 10000 /* a notice that could not be made */
#define NO_MEMORY_MS 60000
#define LOOK_AGAIN_MS 60000 /* at what is overdue and cannot be ended now */

/* ---- the log ---- */

static uint32_t
ms32(uint64_t ms)
{
	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void
facts_of(const struct msg *m, struct log_event *e)
{
	e->tx = msg_text(m, MT_TX);
	e->qid = msg_text(m, MT_QID);
	e->tenant = msg_text(m, MT_TENANT);
	e->connector = msg_text(m, MT_CONNECTOR);
	e->sender = msg_text(m, MT_SENDER);
	e->msgid = msg_text(m, MT_MSGID);
	e->size = m->size;
	e->nrcpt = m->nrcpts;
}

void
log_msg(const struct msg *m, enum event_kind kind, const char *text)
{
	struct log_event e = {.kind = (uint8_t)kind, .text = text};

	facts_of(m, &e);
	proc_event(&e);
}

void
log_rcpt(const struct msg *m, const struct rcpt *r, enum event_status status, const char *dsn,
    const char *text)
{
	uint64_t age = Q.now > m->arrived ? Q.now - m->arrived : 0;
	struct log_event e = {
	    .kind = status == ES_NONE ? EV_HELD : EV_DELIVERY,
	    .rcpt = rcpt_addr(m, r),
	    .orcpt = rcpt_orcpt(m, r),
	    .relay = "none",
	    .dsn = dsn,
	    .status = (uint8_t)status,
	    .delay_a = m->before,
	    .delay_b = ms32(age > m->before ? age - m->before : 0),
	    .text = text,
	};

	facts_of(m, &e);
	proc_event(&e);
}

/* ---- times ---- */

uint64_t
life_end(const struct msg *m)
{
	const struct conf_queue *q = &Q.conf->queue;

	return m->arrived +
	       1000 * (msg_text(m, MT_SENDER)[0] != '\0' ? q->lifetime : q->bounce_lifetime);
}

int
life_expired(const struct msg *m)
{
	return Q.now >= life_end(m);
}

static uint64_t
warning_time(const struct msg *m)
{
	if (m->warned || Q.conf->queue.delay_warning == 0 || msg_text(m, MT_SENDER)[0] == '\0')
		return NEVER;
	return m->arrived + 1000 * Q.conf->queue.delay_warning;
}

static int
has(const struct msg *m, enum rcpt_state state)
{
	size_t i;

	for (i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].state == state)
			return 1;
	return 0;
}

static uint64_t
sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void
life_rewake(struct msg *m)
{
	uint64_t at = NEVER, later = Q.now + LOOK_AGAIN_MS, t;

	if (!m->gone) {
		if (m->settle_at != 0 && !m->settling)
			at = m->settle_at;
		if ((t = warning_time(m)) != NEVER && !m->settling)
			at = sooner(at, t > Q.now ? t : later);
		if (m->ntasks > 0) {
			t = life_end(m);
			at = sooner(at, t > Q.now ? t : later);
		}
		if (has(m, R_DEFERRED))
			at = sooner(at, m->next);
	}
	wake_set(&m->wake, at);
}

/* The next attempt: the pause doubles, and not all of them come at the same time. */
static void
schedule(struct msg *m)
{
	uint64_t max = Q.conf->queue.retry_max * 1000, pause = Q.conf->queue.retry_min * 1000;
	uint64_t end = life_end(m);
	uint32_t i;

	if (m->next > Q.now)
		return; /* others of its recipients wait until then */
	for (i = 1; i < m->attempts && pause < max; i++)
		pause *= 2;
	if (pause > max)
		pause = max;
	m->next = Q.now + pause + arc4random_uniform((uint32_t)(pause / 8 + 1));
	/* The last attempt is made when it gets too old. */
	if (m->next > end && end > Q.now)
		m->next = end;
}

void
life_try(struct msg *m)
{
	m->tried = 0;
	m->next = 0;
	if (tasks_make(m) == -1)
		m->next = Q.now + NO_MEMORY_MS;
	life_rewake(m);
}

void
life_begin(struct msg *m)
{
	if (m->left == 0)
		life_dirty(m);
	if (m->next <= Q.now && has(m, R_DEFERRED))
		life_try(m);
	else
		life_rewake(m);
}

/* ---- the end ---- */

void
life_forget(struct msg *m)
{
	log_msg(m, EV_REMOVED, "");
	msg_unlink(m);
	wake_set(&m->wake, NEVER);
	if (m->ntasks == 0)
		msg_free(m);
	else
		m->gone = 1;
}

/* The last that knows of an ended message is gone. 1: it was ended. */
static int
was_gone(struct msg *m)
{
	if (!m->gone)
		return 0;
	if (m->ntasks == 0)
		msg_free(m);
	return 1;
}

static void
set_reason(struct rcpt *r, const char *dsn, const char *mta, const char *text)
{
	struct diag *d = diag_new(dsn, mta, text);

	rcpt_diag(r, d);
	diag_free(d);
}

/* Too old, with what was said last. */
static void
expire(struct msg *m, struct rcpt *r)
{
	const char *last = r->diag != NULL ? diag_text(r->diag) : "";
	const char *mta = r->diag != NULL ? diag_mta(r->diag) : "";
	char text[DEFER_TEXT + 32];

	(void)strlcpy(text, "delivery expired", sizeof text);
	if (last[0] != '\0') {
		(void)strlcat(text, ": ", sizeof text);
		(void)strlcat(text, last, sizeof text);
	}
	log_rcpt(m, r, ES_BOUNCED, "5.4.7", text);
	(void)strlcpy(
	    text, last[0] != '\0' ? last : "the message was too long on its way", sizeof text);
	set_reason(r, "5.4.7", mta, text);
	rcpt_set(m, r, R_FAILED);
	Q.tally.expired++;
}

void
life_settle(struct msg *m)
{
	size_t i;
	int rc;

	if (m->settling)
		return; /* what has come meanwhile is for the next notice */
	m->settle_at = 0;
	if ((rc = notice_settle(m)) == 0)
		life_settling(m);
	else if (rc == -1) {
		m->settle_at = Q.now + AGAIN_MS;
		/* Who was delivered must not be tried again because of it. */
		if (has(m, R_DELIVERED))
			life_dirty(m);
	} else {
		for (i = 0; i < m->nrcpts; i++)
			if (m->rcpts[i].state == R_FAILED || m->rcpts[i].state == R_DELIVERED)
				rcpt_set(m, &m->rcpts[i], R_DONE);
		life_dirty(m);
	}
	life_rewake(m);
}

/* Is anything to be tried that can be tried, or being tried? */
static int
is_open(const struct msg *m)
{
	const struct task *t;

	LIST_FOREACH (t, &m->tasks, of_msg)
		if (!task_is_parked(t))
			return 1;
	return 0;
}

/* Recipients have changed: what follows from it. */
static void
consider(struct msg *m)
{
	if (has(m, R_DELIVERED))
		life_settle(m);
	else if (has(m, R_FAILED)) {
		/* One notice for all of them, unless that takes long. */
		if (!is_open(m))
			life_settle(m);
		else if (m->settle_at == 0)
			m->settle_at = Q.now + SETTLE_MS;
	}
	if (has(m, R_DEFERRED))
		schedule(m);
	life_rewake(m);
}

void
life_settled(struct msg *m, int ok)
{
	struct rcpt *r;
	size_t i;
	int changed = life_unsettling(m, ok) != DIRTY_NOT;

	for (i = 0; i < m->nrcpts; i++) {
		r = &m->rcpts[i];
		if (r->told == 2)
			r->told = (uint8_t)ok;
		if (r->state == R_SETTLING)
			rcpt_set(m, r, ok ? R_DONE : (enum rcpt_state)r->was);
	}
	if (m->left == 0) {
		/* As the group said, unless others of its recipients ended meanwhile. */
		if (ok && !changed)
			life_forget(m);
		return;
	}
	if (ok)
		consider(m);
	else {
		if (has(m, R_FAILED) || has(m, R_DELIVERED))
			m->settle_at = Q.now + AGAIN_MS;
		life_rewake(m);
	}
}

void
life_set_back(struct msg *m, uint64_t ms)
{
	if (m->arrived > Q.now)
		m->arrived = Q.now;
	m->next -= m->next < ms ? m->next : ms;
	if (m->settle_at != 0)
		m->settle_at = m->settle_at > ms ? m->settle_at - ms : 1;
}

/* ---- results ---- */

/* The reason of this result; the one before if it is the same. A reference of its own. */
static struct diag *
reason(struct diag *before, const struct job_result *p)
{
	char text[DEFER_TEXT];
	const char *s = p->text;

	if (p->status == JOB_DELAYED) {
		(void)strlcpy(text, s, sizeof text);
		s = text;
	}
	if (before != NULL && strcmp(before->dsn, p->dsn) == 0 &&
	    strcmp(diag_mta(before), p->mta) == 0 && strcmp(diag_text(before), s) == 0) {
		before->refs++;
		return before;
	}
	return diag_new(p->dsn, p->mta, s);
}

static void
take_result(struct msg *m, struct rcpt *r, const struct job_result *p, struct diag *d, int lmtp)
{
	rcpt_diag(r, d);
	switch ((enum job_status)p->status) {
	case JOB_SENT:
	case JOB_RELAYED:
		Q.tally.sent++;
		r->relayed = p->status == JOB_RELAYED && !lmtp;
		if (p->status == JOB_RELAYED && (r->notify & RCPT_SUCCESS) != 0 &&
		    msg_text(m, MT_SENDER)[0] != '\0')
			rcpt_set(m, r, R_DELIVERED);
		else
			rcpt_set(m, r, R_DONE);
		break;
	case JOB_DELAYED:
		Q.tally.deferred++;
		if (r->hold)
			rcpt_set(m, r, R_HELD);
		else if (life_expired(m))
			expire(m, r);
		else
			rcpt_set(m, r, R_DEFERRED);
		break;
	case JOB_FAILED:
		Q.tally.bounced++;
		rcpt_set(m, r, R_FAILED);
		break;
	}
	r->hold = 0;
}

void
life_result(struct task *t, const struct job_result *results, int site)
{
	struct diag *d = NULL, *next;
	struct msg *m = t->m;
	uint64_t expired = Q.tally.expired;
	int write = 0;
	unsigned k;

	for (k = 0; k < t->n; k++) {
		struct rcpt *r = &m->rcpts[t->i[k]];

		next = reason(d, &results[k]);
		diag_free(d);
		d = next;
		if (m->gone || r->state != R_TASK)
			continue; /* deleted meanwhile */
		take_result(m, r, &results[k], d, t->dest->lmtp);
		write |= r->state != R_FAILED && r->state != R_DELIVERED;
	}
	dest_result(t->dest, site, d);
	diag_free(d);
	task_free(t);
	if (was_gone(m))
		return;
	m->lost = 0;
	if (Q.tally.expired > expired)
		log_msg(m, EV_EXPIRED, "");
	if (write)
		life_dirty(m);
	consider(m);
}

/* All of a task's recipients to this state, for a reason of ours. */
static void
give_up(struct task *t, enum rcpt_state state, const char *dsn, const char *text)
{
	struct diag *d = diag_new(dsn, "", text);
	struct msg *m = t->m;
	uint64_t expired = Q.tally.expired;
	unsigned k;

	for (k = 0; k < t->n; k++) {
		struct rcpt *r = &m->rcpts[t->i[k]];

		if (m->gone || r->state != R_TASK)
			continue;
		rcpt_diag(r, d);
		if (state == R_DEFERRED && !r->hold && life_expired(m))
			expire(m, r);
		else {
			log_rcpt(m, r, state == R_DEFERRED ? ES_DEFERRED : ES_NONE, dsn, text);
			rcpt_set(m, r, r->hold ? R_HELD : state);
		}
		r->hold = 0;
	}
	Q.tally.deferred += t->n;
	diag_free(d);
	dest_show(t->dest);
	task_free(t);
	if (was_gone(m))
		return;
	if (Q.tally.expired > expired)
		log_msg(m, EV_EXPIRED, "");
	life_dirty(m);
	consider(m);
}

void
life_defer(struct task *t, const char *dsn, const char *text)
{
	give_up(t, R_DEFERRED, dsn, text);
}

void
life_hold_task(struct task *t, const char *why)
{
	give_up(t, R_HELD, "", why);
}

void
life_lost(struct task *t)
{
	struct msg *m = t->m;
	unsigned k, n = 0;

	for (k = 0; k < t->n && !m->gone; k++) {
		struct rcpt *r = &m->rcpts[t->i[k]];

		if (r->state == R_TASK && r->hold) {
			rcpt_set(m, r, R_HELD);
			life_dirty(m);
		}
		r->hold = 0;
		if (r->state == R_TASK)
			t->i[n++] = t->i[k];
	}
	dest_show(t->dest);
	if (n == 0) {
		task_free(t);
		if (!was_gone(m))
			consider(m);
		return;
	}
	t->n = (uint16_t)n;
	/* Once may be another's fault. */
	if (++m->lost > 1) {
		m->lost = 1;
		life_defer(t, "4.3.0", "deliverd ended while it was at work on it");
	} else {
		task_back(t);
		life_rewake(m);
	}
}

/* ---- times that have come ---- */

/* What waits for a destination that is dead, and is too old now. */
static void
expire_parked(struct msg *m)
{
	struct task *t, *next;
	uint64_t expired = Q.tally.expired;
	unsigned k;

	LIST_FOREACH_SAFE (t, &m->tasks, of_msg, next) {
		uint16_t i[RCPTS_MAX];
		unsigned n = t->n;

		if (!task_is_parked(t))
			continue;
		memcpy(i, t->i, n * sizeof i[0]);
		task_undo(t);
		for (k = 0; k < n; k++)
			expire(m, &m->rcpts[i[k]]);
	}
	if (Q.tally.expired > expired) {
		log_msg(m, EV_EXPIRED, "");
		consider(m);
	}
}

void
life_wake(struct msg *m)
{
	int rc;

	if (life_expired(m) && m->ntasks > 0)
		expire_parked(m);
	if (m->settle_at != 0 && m->settle_at <= Q.now)
		life_settle(m);
	if (m->next <= Q.now && has(m, R_DEFERRED)) {
		/* Perhaps there is nothing to tell of a delay in a moment. */
		life_try(m);
		return;
	}
	if (warning_time(m) <= Q.now && !m->settling) {
		if ((rc = notice_delay(m)) == 0)
			life_settling(m);
		m->warned = rc != -1;
	}
	life_rewake(m);
}
