#ifndef DELIVERD_JOB_INT_H
#define DELIVERD_JOB_INT_H

/* Inside of a job, for job*.c only. */

#include "deliverd/job.h"
#include "deliverd/pool.h"
#include "ipc/blob.h"

/* What becomes of one recipient. */
struct outcome {
	bool done;
	enum job_status status;
	char dsn[12];
	char mta[HOST_MAX];
	char *text; /* NULL: "" */
};

struct job {
	TAILQ_ENTRY(job) next;
	struct chan *from; /* NULL: nobody wants to hear of it */
	uint64_t id;
	struct buf octets; /* that req points into */
	struct job_req *req; /* without the message */
	const struct envelope *env;
	struct spool spool;
	struct octets body;
	struct route *route;
	struct dest *dest;
	struct dest_wait wait;
	struct plan *plan;
	uint8_t order[PLAN_HOSTS_MAX]; /* of the plan's hosts */
	size_t norder, at;
	unsigned tries;
	enum policy_need need;
	bool fresh; /* an idle connection was dead: a new one, please */
	bool sending;
	struct link *link; /* in use, or as it comes about */
	struct link_failure failure; /* why the servers so far were of no use; dsn "": none was */
	struct client_mail mail;
	struct client_rcpt *rcpts; /* of mail */
	uint32_t *which; /* of outcomes each of them is */
	struct outcome *outcomes;
	size_t n, left;
	bool site;
	uint64_t began, connected; /* clock_ms; connected 0: never */
};

/* The server in hand. */
static inline const struct plan_host *
job_host(const struct job *j)
{
	return &j->plan->hosts[j->order[j->at]];
}

/* job_head.c */

/*
 * Does a header say "TLS-Required: No" (RFC 8689, 5)?  Only its first JOB_HEAD_MAX octets are
 * looked at.
 */
#define JOB_HEAD_MAX (64 * 1024)
bool job_tls_optional(const struct octets *message);

/* job_result.c */

/* The same result of our own for all who have none yet; logged. */
void job_results(struct job *j, enum job_status status, const char *dsn, const char *text);

/* The same, of no server being of use. */
void job_failed(struct job *j, const struct link_failure *why);

/* What a server has said of a recipient, or what was thought of it here. */
void job_verdict(struct job *j, size_t i, const struct client_rcpt *r, const struct link *l);

/* Answer queued. */
void job_answer(struct job *j);

extern struct job_counts job_counts;

#endif
