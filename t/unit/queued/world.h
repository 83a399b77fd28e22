#ifndef UNIT_QUEUED_WORLD_H
#define UNIT_QUEUED_WORLD_H

#include "queued/queued.h"
#include "t/unit/queued/fakestore.h"
#include "t/unit/unit.h"

/* queued between a store in memory, peers that a test plays, and a clock that it sets. */

extern struct ipc smtpd, gwctl;
extern uint64_t world_now; /* ms since the epoch */

/* Text in section queue, and sections behind it; NULL. */
void world_begin(const char *queue, const char *more);
void world_end(void);
void world_setup(void); /* world_begin(NULL, NULL): a fixture */
void world_conf(const char *queue, const char *more); /* reload */
void world_restart(void); /* SIGKILL and a new process; the deliverds stay */
void world_turn(void); /* the loop, until nothing happens any more */
void world_pass(uint64_t seconds); /* time goes by, in steps */
void world_plumb(struct ipc *c, enum proc_id peer, unsigned instance);
void world_deliverd(unsigned instance, int up);

/* ---- smtpd ---- */

/* A message from a@here.test at priority 5; change what is to be different. */
struct mail {
	struct envelope env;
	struct queue_rcpt rcpts[8];
	unsigned n;
	const char *text;
};
struct mail mail(const char *qid, const char *rcpt);
void mail_rcpt(struct mail *m, const char *addr, unsigned notify);

uint64_t put(struct ipc *c, const struct mail *m, int more, uint64_t id); /* the request's id */
int put_status(struct ipc *c, uint64_t id); /* enum queue_status; -1: no answer */
void put_ok(const struct mail *m); /* and it was taken */
void put_to(const char *qid, const char *rcpt); /* the same for mail(qid, rcpt) */

/* ---- deliverd ---- */

#define JOBS_MAX 4000
struct job {
	unsigned instance;
	uint64_t id;
	int answered;
	char qid[QUEUE_ID_MAX], route[65], domain[256], sender[100];
	unsigned n;
	char rcpts[8][100]; /* the first ones */
	uint8_t priority, smtputf8, body;
	uint32_t waited_in, waited_queue;
	char *text;
};
extern struct job jobs[JOBS_MAX];
extern unsigned njobs; /* all that ever came */

unsigned open_jobs(void); /* not answered */
struct job *job_of(const char *qid); /* the last one for it, not answered, or NULL */
void answer(struct job *j, enum job_status status, const char *dsn, const char *text);
void answer_site(struct job *j, const char *text); /* the destination could not be reached */
void answer_all(enum job_status status); /* of all open ones */
void answer_rep(struct job *j, uint64_t id, const struct job_rep *rep);

/* ---- log ---- */

struct told {
	unsigned kind, status;
	char qid[QUEUE_ID_MAX], rcpt[200], dsn[13], text[400];
};
extern struct told told[];
extern unsigned ntold;
/* How many events of this kind, about qid and with text in it; NULL: any. */
unsigned events(unsigned kind, const char *qid, const char *text);

#endif
