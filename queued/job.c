/* Jobs: which deliverd gets a task, what it answers, and what happens when it dies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "queued/queued.h"

#define SPREAD 8 /* jobs for one destination at one deliverd, before the next one helps */
#define PENDING_MAX (2 * 1024 * 1024) /* octets that a deliverd's socket has not taken yet */
#define STALL_MS 5 /* until they are looked at again */
#define JOB_MS (3 * 3600 * 1000ULL) /* a deliverd that lives and never answers */
#define NO_MEMORY_MS 1000
#define RELOAD_MS 300 /* until each deliverd has the new routes, too */
#define SLOT_BITS 20

struct job {
	TAILQ_ENTRY(job) next; /* under way, in the order of their beginning */
	struct task *task; /* NULL: the slot is free */
	uint64_t started; /* steady_ms */
	uint32_t generation; /* of the slot: an old answer fits no new job */
	uint32_t free_next;
	uint8_t instance;
};

static struct {
	struct job **v; /* each allocated by itself: lists point at them */
	uint32_t n, free, busy; /* free: a slot + 1 */
	struct chan *chan[INSTANCES];
	uint32_t at[INSTANCES]; /* under way */
	uint64_t total[INSTANCES];
	struct wake overdue, stalled;
	uint64_t pause; /* nothing is handed out before; ms since the epoch */
} J;
static TAILQ_HEAD(, job) jobs = TAILQ_HEAD_INITIALIZER(jobs);

int
jobs_start(void)
{
	if (wake_init(&J.overdue, WAKE_JOBS) == -1)
		return -1;
	if (wake_init(&J.stalled, WAKE_STALLED) == -1) {
		wake_end(&J.overdue);
		return -1;
	}
	return 0;
}

void
jobs_free(void)
{
	struct msg *m;
	uint32_t i;

	for (i = 0; i < J.n; i++) {
		if (J.v[i]->task != NULL) {
			m = J.v[i]->task->m;
			task_free(J.v[i]->task);
			if (m->gone && m->ntasks == 0)
				msg_free(m);
		}
		free(J.v[i]);
	}
	free(J.v);
	wake_end(&J.overdue);
	wake_end(&J.stalled);
	memset(&J, 0, sizeof J);
	TAILQ_INIT(&jobs);
}

unsigned
jobs_count(void)
{
	return J.busy;
}

/* ---- slots ---- */

static struct job *
slot_new(void)
{
	uint32_t room = J.n == 0 ? 64 : 2 * J.n, i;
	struct job *j;
	void *p;

	if (J.free == 0) {
		if (room >= 1u << SLOT_BITS ||
		    (p = reallocarray(J.v, room, sizeof(struct job *))) == NULL)
			return NULL;
		J.v = p;
		for (i = J.n; i < room; i++) {
			if ((j = calloc(1, sizeof *j)) == NULL)
				break;
			j->free_next = J.free;
			J.free = i + 1;
			J.v[J.n++] = j;
		}
		if (J.free == 0)
			return NULL;
	}
	return J.v[J.free - 1];
}

static uint64_t
id_of(const struct job *j, uint32_t slot)
{
	return (uint64_t)j->generation << SLOT_BITS | (slot + 1);
}

static struct job *
find(uint64_t id, uint32_t *slot)
{
	*slot = (uint32_t)(id & ((1u << SLOT_BITS) - 1));
	if (*slot == 0 || --*slot >= J.n)
		return NULL;
	return J.v[*slot]->task != NULL && id_of(J.v[*slot], *slot) == id ? J.v[*slot] : NULL;
}

static void
watch(void)
{
	struct job *j = TAILQ_FIRST(&jobs);
	uint64_t at = j != NULL ? j->started + JOB_MS : NEVER, now = steady_ms();

	/* The one whose clock is set: it may ring too early, which is looked at. */
	wake_set(&J.overdue, j != NULL ? Q.now + (at > now ? at - now : 0) : NEVER);
}

static void
begin(struct job *j, struct task *t, unsigned instance)
{
	int first = TAILQ_EMPTY(&jobs);

	J.free = j->free_next;
	j->task = t;
	j->started = steady_ms();
	j->instance = (uint8_t)instance;
	TAILQ_INSERT_TAIL(&jobs, j, next);
	J.busy++;
	J.at[instance]++;
	J.total[instance]++;
	t->dest->busy++;
	t->dest->on[instance]++;
	if (first)
		watch();
}

/* Its task, which belongs to the caller now. */
static struct task *
end(struct job *j, uint32_t slot)
{
	struct task *t = j->task;
	int first = TAILQ_FIRST(&jobs) == j;

	TAILQ_REMOVE(&jobs, j, next);
	j->task = NULL;
	j->generation++;
	j->free_next = J.free;
	J.free = slot + 1;
	J.busy--;
	J.at[j->instance]--;
	t->dest->busy--;
	t->dest->on[j->instance]--;
	if (first)
		watch();
	kick();
	return t;
}

/* ---- handing out ---- */

static int
takes(unsigned i)
{
	return J.chan[i] != NULL && chan_pending(J.chan[i]) <= PENDING_MAX;
}

/* With none of them it goes on when one comes. */
static int
is_up(void)
{
	unsigned i;

	for (i = 0; i < INSTANCES; i++)
		if (J.chan[i] != NULL)
			return 1;
	return 0;
}

/*
 * A destination stays with one deliverd, whose connections are used again, and with the next ones
 * in addition when there is much for it.  -1: none of them takes one now.
 */
static int
choose(const struct dest *d)
{
	unsigned n = (unsigned)Q.conf->processes.deliverd, k, i;
	int best = -1;

	if (n > INSTANCES)
		n = INSTANCES;
	for (k = 0; k < n; k++) {
		i = (d->home + k) % n;
		if (!takes(i))
			continue;
		if (d->on[i] < SPREAD)
			return (int)i;
		if (best == -1 || d->on[i] < d->on[best])
			best = (int)i;
	}
	return best;
}

static uint32_t
ms32(uint64_t ms)
{
	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

/* 0; -1 with errno: that of the store, or of the channel. */
static int
send_job(struct job *j, uint32_t slot, struct task *t, struct chan *c)
{
	static struct job_rcpt rcpts[RCPTS_MAX];
	char domain[256];
	struct blob b = {.kind = BLOB_INLINE};
	struct msg *m = t->m;
	struct envelope e;
	uint64_t age = Q.now > m->arrived ? Q.now - m->arrived : 0;
	struct job_req q = {
	    .envelope = {&e, 1},
	    .route = t->dest->route,
	    .domain = dest_domain(rcpt_addr(m, &m->rcpts[t->i[0]]), domain, sizeof domain),
	    .size = m->size,
	    .waited_in = m->before,
	    .waited_queue = ms32(age > m->before ? age - m->before : 0),
	    .rcpts = {rcpts, t->n},
	    .message = {&b, 1},
	};
	unsigned k;
	int fd = -1;

	msg_envelope(m, &e);
	for (k = 0; k < t->n; k++) {
		struct rcpt *r = &m->rcpts[t->i[k]];

		rcpts[k] = (struct job_rcpt){rcpt_addr(m, r), rcpt_orcpt(m, r), r->notify};
	}
	if (qstore_blob(Q.store, m->id, &b, &fd) == -1)
		return -1;
	return chan_send(c, M_job_req, id_of(j, slot), &q, fd);
}

/* Hand one out. -1: it is no use to go on now. */
static int
start(struct task *t, unsigned instance)
{
	struct msg *m = t->m;
	struct job *j = slot_new();
	uint32_t slot = J.free - 1;

	if (j == NULL) {
		task_back(t);
		wake_set(&J.stalled, Q.now + NO_MEMORY_MS);
		return -1;
	}
	if (send_job(j, slot, t, J.chan[instance]) == 0) {
		begin(j, t, instance);
		dest_show(t->dest);
		if (!m->tried) {
			m->tried = 1;
			m->attempts += m->attempts < UINT32_MAX;
		}
		Q.tally.jobs++;
		return 0;
	}
	switch (errno) {
	case EPIPE:
	case ENOBUFS:
		/* The channel is lost, and that will be told. */
		task_back(t);
		return -1;
	case EBADMSG:
	case EINVAL:
	case EMSGSIZE:
		log_err("%s cannot be delivered: %s; it is on hold", msg_text(m, MT_QID),
		    errno == EBADMSG ? "its octets are damaged on the disk" : strerror(errno));
		life_hold_task(t, errno == EBADMSG ? "its octets are damaged on the disk"
						   : "no job can be made of it");
		return 0;
	default:
		log_warn("%s cannot be read: %s", msg_text(m, MT_QID), strerror(errno));
		life_defer(t, "4.3.0", strerror(errno));
		return 0;
	}
}

void
jobs_reload(void)
{
	J.pause = Q.now + RELOAD_MS;
	kick();
}

/* Its recipients go elsewhere now. */
static void
again(struct task *t)
{
	struct msg *m = t->m;
	struct dest *d = t->dest;

	dest_show(d);
	task_undo(t);
	life_try(m);
}

void
jobs_schedule(void)
{
	struct task *t;
	int i;

	if (Q.now < J.pause && J.pause - Q.now <= RELOAD_MS) {
		wake_set(&J.stalled, J.pause);
		return;
	}
	while (!Q.draining && J.busy < Q.conf->queue.active && (t = ring_take()) != NULL) {
		if (!task_fits(t)) {
			again(t);
			continue;
		}
		if ((i = choose(t->dest)) == -1) {
			task_back(t);
			if (is_up())
				wake_set(&J.stalled, Q.now + STALL_MS);
			return;
		}
		if (start(t, (unsigned)i) == -1)
			return;
	}
}

/* ---- answers ---- */

static int
digits(const char **s)
{
	size_t n = strspn(*s, "0123456789");

	*s += n;
	return n >= 1 && n <= 3;
}

/* RFC 3463, 2, of the class that belongs to the status. */
static int
dsn_fits(const char *s, unsigned status)
{
	const char *p = s + 1;

	if (s[0] != (status == JOB_FAILED ? '5' : status == JOB_DELAYED ? '4' : '2'))
		return 0;
	return *p++ == '.' && digits(&p) && *p++ == '.' && digits(&p) && *p == '\0';
}

static void
check_result(struct job_result *r)
{
	static const char *const usual[] = {
	    [JOB_SENT] = "2.0.0", [JOB_RELAYED] = "2.0.0", [JOB_DELAYED] = "4.0.0", "5.0.0"};

	if (!dsn_fits(r->dsn, r->status))
		r->dsn = usual[r->status];
}

void
on_job_rep(struct chan *c, struct ipc_msg *m)
{
	struct job_rep *p = m->body;
	struct task *t;
	struct job *j;
	uint32_t slot;
	size_t i;

	if (Q.store == NULL)
		return;
	round_begin();
	/* Late ones come from a job that was given up, or from a liar. */
	if ((j = find(m->id, &slot)) == NULL || j->instance != chan_instance(c))
		return;
	if (p->results.n != j->task->n) {
		log_warn("deliverd %u: %zu results for %u recipients of %s", chan_instance(c),
		    p->results.n, j->task->n, msg_text(j->task->m, MT_QID));
		life_defer(end(j, slot), "4.3.0", "deliverd gave a wrong answer");
		return;
	}
	t = end(j, slot);
	for (i = 0; i < p->results.n; i++)
		check_result(&p->results.v[i]);
	life_result(t, p->results.v, p->site);
}

void
jobs_overdue(void)
{
	struct job *j;
	uint64_t now = steady_ms();
	uint32_t slot;

	while ((j = TAILQ_FIRST(&jobs)) != NULL && j->started + JOB_MS <= now) {
		for (slot = 0; J.v[slot] != j; slot++)
			continue;
		log_warn(
		    "deliverd %u has not answered about %s for %llu s: it is tried again later",
		    j->instance, msg_text(j->task->m, MT_QID), JOB_MS / 1000);
		life_defer(end(j, slot), "4.3.0", "deliverd did not answer");
	}
	watch();
}

void
jobs_plumbed(unsigned instance, struct chan *c)
{
	struct job *j;
	uint32_t slot;

	if (instance >= INSTANCES)
		return;
	J.chan[instance] = c;
	for (slot = 0; slot < J.n && J.at[instance] > 0; slot++) {
		j = J.v[slot];
		if (j->task != NULL && j->instance == instance) {
			Q.tally.lost++;
			life_lost(end(j, slot));
		}
	}
	kick();
}

void
jobs_facts(void)
{
	unsigned i;

	for (i = 0; i < INSTANCES && i < Q.conf->processes.deliverd; i++)
		proc_fact("deliverd", "%u jobs=%u total=%llu", i, J.at[i],
		    (unsigned long long)J.total[i]);
}
