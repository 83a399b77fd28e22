#ifndef QUEUED_QUEUED_H
#define QUEUED_QUEUED_H

#include <sys/queue.h>
#include <sys/tree.h>

#include "proc/event.h"
#include "proc/proc.h"
#include "queue/qstore.h"

/*
 * The queue.  A message lives in the store (lib/queue) and, as a struct msg, in memory: envelope
 * and recipients, some hundred octets.  Recipients that are to be tried form tasks, one for each
 * destination; tasks stand in the lanes of their destinations, and a task that a deliverd works on
 * is a job.
 *
 * Things happen in rounds of the event loop: messages and answers come in, and one tick at the
 * round's end answers, writes states and hands out jobs, so that each round is one write to each
 * channel and one group for the store.
 */

extern const struct proc queued;

#define NEVER UINT64_MAX
#define INSTANCES 64 /* of one daemon */

/* ---- timer.c: one timer for everything ---- */

enum wake_kind { WAKE_MSG, WAKE_DEST, WAKE_JOBS, WAKE_DIRTY, WAKE_STALLED, WAKE_KINDS };

struct wake {
	uint64_t at; /* ms since the epoch */
	uint32_t pos; /* in the heap; 0: it is not there */
	uint8_t kind;
};

/* Room in the heap for one more: wake_set cannot fail then. 0 or -1. */
int wake_init(struct wake *w, enum wake_kind kind);
void wake_end(struct wake *w);
void wake_set(struct wake *w, uint64_t at); /* NEVER takes it out */
void wake_run(void); /* what is due; a bound for one round */
void wake_set_back(uint64_t ms); /* the clock was */
uint64_t wake_next(void); /* when the first one is due; NEVER */
void wake_free(void);

/* ---- msg.c: messages ---- */

/* Why an attempt failed; many recipients of one destination share one. */
struct diag {
	unsigned refs;
	uint16_t mta, text; /* where they begin in what follows */
	char dsn[];
};

enum rcpt_state {
	R_DONE, /* nothing is left to do */
	R_TASK, /* in a task */
	R_DEFERRED, /* waits for the message's next attempt; new ones too */
	R_HELD,
	R_FAILED, /* for ever, and the sender is to be told */
	R_DELIVERED, /* and the sender is to be told */
	R_SETTLING, /* told of in a group that is on its way to the disk */
	R_STATES
};

struct rcpt {
	struct diag *diag; /* or NULL */
	uint32_t off; /* of the address in the message's text; ORCPT stands behind it */
	uint8_t state, notify;
	uint8_t told; /* of the delay */
	uint8_t relayed : 1; /* R_DELIVERED: to a host that does not know DSN */
	uint8_t hold : 1; /* in a job, and to be held behind it */
	uint8_t was : 4; /* R_SETTLING: R_FAILED, R_DELIVERED */
};

/* DIRTY_WAITS: behind the group that settles it, which it must not come before. */
enum dirty { DIRTY_NOT, DIRTY_NOW, DIRTY_LATER, DIRTY_WAITS };

struct task;
LIST_HEAD(task_list, task);
TAILQ_HEAD(task_queue, task);

enum msg_text { MT_QID, MT_TX, MT_TENANT, MT_CONNECTOR, MT_SENDER, MT_ENVID, MT_MSGID, MT_TEXTS };

struct msg {
	RB_ENTRY(msg) tree;
	TAILQ_ENTRY(msg) dirty_link;
	struct msg *hash_next;
	struct task_list tasks;
	struct wake wake;
	qstore_id id;
	uint64_t number; /* for listings, in the order of arrival */
	uint64_t size;
	uint64_t arrived, next; /* ms since the epoch */
	uint64_t settle_at; /* failures are told of then; 0: there are none */
	uint32_t before; /* ms from its arrival to the queue */
	uint32_t attempts;
	uint32_t packed; /* octets of its text */
	uint16_t at[MT_TEXTS]; /* in text */
	uint16_t nrcpts, left; /* left: not R_DONE */
	uint16_t ntasks;
	uint8_t ret, body, priority, lost; /* lost: deliverd died over it so often */
	uint8_t smtputf8 : 1, requiretls : 1, conceal : 1;
	uint8_t dirty : 2; /* enum dirty: its state is to be written */
	uint8_t settling : 1; /* a notice is on its way to the disk */
	uint8_t ends : 1; /* and the group that it is in ends the message */
	uint8_t warned : 1; /* the delay needs no look any more */
	uint8_t tried : 1; /* attempts counts the present round of tries */
	uint8_t gone : 1; /* ended on the disk; a job still has it */
	struct rcpt rcpts[]; /* and the text */
};

/* NULL: no memory. The message is in no index yet, all its recipients are R_DEFERRED or R_HELD. */
struct msg *msg_new(const struct envelope *e, const struct queue_rcpt *rcpts, size_t n,
    uint64_t size, const struct qstore_state *state);
void msg_free(struct msg *m); /* of one that is in no index */

int msg_link(struct msg *m); /* into the indexes; 0, or -1 with errno EEXIST or ENOMEM */
void msg_unlink(struct msg *m);
void msgs_free(void); /* all, and their tasks; no jobs are left */
void msgs_set_back(uint64_t ms); /* the clock was */
struct msg *msg_find(const char *qid);
struct msg *msg_after(uint64_t number); /* the first with a larger one, or NULL */
struct msg *msg_last(void); /* or NULL */
uint64_t msg_count(void);

const char *msg_text(const struct msg *m, enum msg_text which);
const char *rcpt_addr(const struct msg *m, const struct rcpt *r);
const char *rcpt_orcpt(const struct msg *m, const struct rcpt *r);
void msg_envelope(const struct msg *m, struct envelope *e); /* strings point into m */

void rcpt_set(struct msg *m, struct rcpt *r, enum rcpt_state state); /* counts */
void rcpt_diag(struct rcpt *r, struct diag *d); /* takes a reference; NULL: none */

struct diag *diag_new(const char *dsn, const char *mta, const char *text); /* one reference */
void diag_free(struct diag *d); /* one less; NULL is allowed */
static inline const char *
diag_mta(const struct diag *d)
{
	return d->dsn + d->mta;
}
static inline const char *
diag_text(const struct diag *d)
{
	return d->dsn + d->text;
}

/* An id for a message that is made here. */
#define QID_LEN 24
void qid_new(char out[QID_LEN]);

/* ---- dest.c: destinations ---- */

#define PRIORITIES 10

enum dest_state { D_ALIVE, D_DEAD, D_PROBE };

/* The tasks of a destination with one priority. */
struct lane {
	TAILQ_ENTRY(lane) ring;
	struct lane *next;
	struct dest *dest;
	struct task_queue ready;
	struct task_queue parked; /* told of that the destination is dead */
	uint32_t nparked; /* recipients */
	uint32_t epoch; /* changes when all are unparked */
	uint8_t priority, in_ring;
};

struct dest {
	LIST_ENTRY(dest) hash;
	TAILQ_ENTRY(dest) idle;
	TAILQ_ENTRY(dest) dying; /* dead, and ready tasks are to be parked */
	struct wake wake; /* the end of being dead */
	struct lane *lanes;
	struct task *build; /* while a message is split */
	struct diag *why; /* it is dead */
	uint64_t idle_since;
	uint64_t until; /* D_DEAD */
	uint64_t backoff; /* ms it was dead for the last time; 0: it was not */
	double window; /* jobs that may be under way */
	uint32_t limit; /* of window */
	uint32_t busy;
	uint32_t ntasks; /* here or in jobs */
	uint32_t wanted; /* while a message is split: recipients to come */
	uint32_t hashed;
	uint16_t on[INSTANCES]; /* jobs at each deliverd */
	uint8_t state, home, is_idle, is_dying, lmtp;
	char *route; /* name, or "" */
	char key[]; /* "route:NAME" or "mx:DOMAIN" */
};

/* The destination of an address; made when there is none. NULL: no memory. */
struct dest *dest_of(const char *addr);
const char *dest_domain(const char *addr, char *out, size_t outsz); /* lower case */
struct lane *dest_lane(struct dest *d, unsigned priority); /* NULL: no memory */
int dest_ready(const struct dest *d); /* may one more job begin? */
void dest_show(struct dest *d); /* its lanes into the rings, or out of them */
void dest_unused(struct dest *d); /* a task less: keep it for a while, if it was the last */
void dest_wake(struct dest *d);
void dest_revive(struct dest *d); /* by hand */
void dest_result(struct dest *d, int site, struct diag *why); /* of a job */
void dest_reload(void); /* those that are dead get another try */
uint32_t dest_routes(void); /* changes with each reload */
void dest_set_back(uint64_t ms); /* the clock was */
unsigned dest_count(unsigned *dead);
void dest_free_all(void);
void dests_park_some(void); /* a slice of what is to be parked */
int dests_dying(void); /* there is more */

/* ---- task.c: what is to be tried; rings ---- */

struct task {
	LIST_ENTRY(task) of_msg;
	TAILQ_ENTRY(task) link; /* in its lane */
	struct msg *m;
	struct dest *dest;
	struct lane *lane; /* NULL: a job */
	uint32_t parked; /* the lane's epoch in which it was; 0 */
	uint32_t routes; /* that it was made for, see dest_routes */
	uint16_t n;
	uint16_t i[]; /* recipients */
};

/* Tasks for all recipients that are R_DEFERRED. 0, or -1: some stay so for lack of memory. */
int tasks_make(struct msg *m);
/* Out of its lane, its recipients R_DEFERRED. Not of one in a job. */
void task_undo(struct task *t);
void task_free(struct task *t); /* it is in no lane any more */
void task_back(struct task *t); /* a job that came to nothing: to its lane's front */
void lane_enter(struct lane *l); /* the ring, if there is something for it there */
void lane_leave(struct lane *l);
/* The next one to be tried, or NULL: out of its lane, and the lane out of the ring until dest_show.
 */
struct task *ring_take(void);
int task_is_parked(const struct task *t);
/* Do all its recipients still go there?  The routes may have changed since it was made. */
int task_fits(struct task *t);
void task_park(
    struct task *t); /* it is in no list: to the parked of its lane, with a line in the log */

/* ---- job.c: what deliverd does ---- */

int jobs_start(void);
void jobs_free(void);
void jobs_schedule(void); /* hand out what can be */
void jobs_reload(void); /* the routes have changed, and deliverd may not know it yet */
void jobs_plumbed(unsigned instance, struct chan *c);
void on_job_rep(struct chan *c, struct ipc_msg *m);
void jobs_overdue(void);
unsigned jobs_count(void);
void jobs_facts(void);

/* ---- life.c: what becomes of a message ---- */

void life_begin(struct msg *m); /* linked: it may be tried */
void life_wake(struct msg *m);
void life_rewake(struct msg *m); /* its time has changed */
/* The end of a job: results as many as t has recipients. t is freed; m may be, too. */
void life_result(struct task *t, const struct job_result *results, int site);
/* The job's deliverd died. */
void life_lost(struct task *t);
/* It cannot be tried now: all of it waits. */
void life_defer(struct task *t, const char *dsn, const char *text);
void life_hold_task(struct task *t, const char *why);
void life_try(struct msg *m); /* what waits is tried now */
int life_expired(const struct msg *m);
uint64_t life_end(const struct msg *m); /* when it is too old; ms since the epoch */
void life_set_back(struct msg *m, uint64_t ms); /* the clock was */
void life_forget(struct msg *m); /* it is ended on the disk; freed, unless a job has it */
void life_settle(struct msg *m);
void life_settled(struct msg *m, int ok); /* of notice.c */

/* For the log: one recipient's fate that was decided here. */
void log_rcpt(const struct msg *m, const struct rcpt *r, enum event_status status, const char *dsn,
    const char *text);
void log_msg(const struct msg *m, enum event_kind kind, const char *text);

/* ---- state.c: to the disk ---- */

int life_start(void);
void life_free(void);
void life_dirty(struct msg *m); /* its state is to be written, or it is to be ended */
/* A group that has its present state begins, or ends; its dirt until then. */
void life_settling(struct msg *m);
int life_unsettling(struct msg *m, int ok);
void life_write(void); /* in the tick */
int life_unwritten(void);
void life_write_now(void); /* whatever it was put off for */
void life_state(const struct msg *m, struct qstore_state *s); /* good until the next call */

/* ---- notice.c: notices to senders ---- */

enum notice_kind { NOTICE_FAILED, NOTICE_DELAYED, NOTICE_SUCCESS };

/*
 * Tell of what has become of recipients: those that are R_FAILED or R_DELIVERED (settle), or that
 * wait (delay), in one group with the message's new state; life_settled is called when that is
 * durable or was not possible.  0 it is on its way, 1 nobody is to be told, -1 not now.
 */
int notice_settle(struct msg *m);
int notice_delay(struct msg *m);
void notices_free(void);

/* ---- intake.c ---- */

void on_put(struct chan *c, struct ipc_msg *m);
void intake_plumbed(enum proc_id peer, unsigned instance, struct chan *c);
void intake_answer(void); /* in the tick */
void intake_room(void *arg); /* it has changed */
unsigned intake_waiting(void); /* groups on their way to the disk */
/* Into the indexes, under a new name if it must be. m or its successor, or NULL: freed. */
struct msg *intake_link(struct msg *m);
void intake_free(void);

/* ---- admin.c ---- */

void on_list(struct chan *c, struct ipc_msg *m);
void on_show(struct chan *c, struct ipc_msg *m);
void on_act(struct chan *c, struct ipc_msg *m);
void admin_plumbed(unsigned instance, struct chan *c);
void admin_walk(void); /* a slice, in the tick */
int admin_walking(void);
void admin_reroute(void); /* the routes have changed: look at all messages */
void admin_free(void);

/* ---- round.c: the daemon's turns ---- */

struct tally {
	uint64_t queued, sent, deferred, bounced, expired, notices, dropped, jobs, lost, refused;
};

struct queue {
	struct event_base *base;
	const struct conf *conf;
	struct qstore *store;
	uint64_t now; /* ms since the epoch: of this round */
	uint64_t states[R_STATES]; /* recipients */
	uint64_t parked; /* recipients of R_TASK whose destination is dead */
	struct tally tally;
	unsigned groups; /* notices on their way to the disk */
	int draining;
};
extern struct queue Q;

int round_start(struct event_base *base); /* 0 or -1 */
int round_paced(void); /* the log takes no slice of many lines now */
void round_begin(void); /* read the clock: first in whatever the loop calls */
void kick(void); /* there is something for the round's end */
void round_end(void); /* give up all that is in memory; the store is closed already */

/* ---- clock.c ---- */

uint64_t wall_ms(void); /* since the epoch */
uint64_t steady_ms(void); /* since some time; nobody sets it */

#endif
