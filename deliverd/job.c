/* Jobs from queued. */
#include "deliverd/job.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "deliverd/job_int.h"

static TAILQ_HEAD(, job) jobs = TAILQ_HEAD_INITIALIZER(jobs);
static bool draining;
static void (*drained)(void);

static void next_server(struct job *j);

static void
job_free(struct job *j)
{
	size_t i;

	TAILQ_REMOVE(&jobs, j, next);
	job_counts.open--;
	job_counts.sending -= j->sending;
	dest_unwait(&j->wait);
	link_close(j->link);
	plan_drop(j->plan);
	if (j->dest != NULL)
		dest_drop(j->dest);
	route_drop(j->route);
	for (i = 0; j->outcomes != NULL && i < j->n; i++)
		free(j->outcomes[i].text);
	free(j->outcomes);
	free(j->rcpts);
	free(j->which);
	spool_free(&j->spool);
	free(j->req);
	buf_free(&j->octets);
	free(j);
	if (draining && drained != NULL && TAILQ_EMPTY(&jobs))
		drained();
}

static void
job_end(struct job *j)
{
	job_answer(j);
	job_free(j);
}

/* ---- one server after the other ---- */

/* Of several reasons one that may pass counts more than one that will not. */
static void
note_failure(struct job *j, const struct link_failure *why)
{
	if (j->failure.dsn[0] == '\0' || j->failure.permanent || !why->permanent)
		j->failure = *why;
}

static void
give_up(struct job *j)
{
	static const struct link_failure late = {
	    .dsn = "4.4.2", .text = "no server was of use in time"};

	if (j->failure.dsn[0] == '\0')
		j->failure = late;
	/* What one message wants of a server keeps no other from it. */
	j->site = !j->failure.permanent && j->need != NEED_REQUIRETLS;
	job_failed(j, &j->failure);
	job_end(j);
}

static bool
is_over(const struct job *j)
{
	return j->tries >= JOB_TRIES_MAX || clock_ms() - j->began > JOB_LOOK_MS;
}

static bool
more_servers(const struct job *j)
{
	return j->at + 1 < j->norder && !is_over(j);
}

/* Who was delayed by a server that is of no use may be better off with another one. */
static void
take_results(struct job *j, const struct client_mail *m)
{
	bool again = m->site && more_servers(j);
	size_t i;

	for (i = 0; i < m->n; i++) {
		const struct client_rcpt *r = &m->rcpts[i];

		if (!again || r->status != JOB_DELAYED) {
			job_verdict(j, j->which[i], r, j->link);
			continue;
		}
		j->failure.permanent = false;
		(void)strlcpy(j->failure.dsn, r->dsn, sizeof j->failure.dsn);
		(void)strlcpy(
		    j->failure.mta, r->said ? job_host(j)->name : "", sizeof j->failure.mta);
		j->failure.verb = "said";
		(void)strlcpy(j->failure.text, r->text, sizeof j->failure.text);
	}
	j->site = m->site;
}

static void
on_done(struct client *c, struct client_mail *m, void *arg)
{
	struct job *j = arg;
	struct link *l = j->link;

	(void)c;
	j->sending = false;
	job_counts.sending--;
	if (!m->stale)
		take_results(j, m);
	j->link = NULL;
	link_give(l);
	if (j->left == 0) {
		job_end(j);
	} else if (j->from == NULL) {
		/* queued will ask anew. */
		job_free(j);
	} else {
		j->fresh = m->stale;
		j->at += !m->stale;
		next_server(j);
	}
}

static void
transmit(struct job *j)
{
	struct client_mail *m = &j->mail;
	size_t i;

	j->fresh = false;
	j->connected = clock_ms();
	memset(m, 0, sizeof *m);
	m->env = j->env;
	m->body = &j->body;
	m->rcpts = j->rcpts;
	m->done = on_done;
	m->arg = j;
	for (i = 0; i < j->n; i++) {
		if (j->outcomes[i].done)
			continue;
		memset(&j->rcpts[m->n], 0, sizeof *j->rcpts);
		j->rcpts[m->n].to = &j->req->rcpts.v[i];
		j->which[m->n++] = (uint32_t)i;
	}
	j->sending = true;
	job_counts.sending++;
	client_send(link_client(j->link), m);
}

static void
on_link(void *arg, struct link *l, const struct link_failure *why)
{
	struct job *j = arg;

	if (l != NULL) {
		j->link = l;
		transmit(j);
		return;
	}
	j->link = NULL;
	note_failure(j, why);
	j->at++;
	if (why->last)
		j->at = j->norder;
	next_server(j);
}

static void
next_server(struct job *j)
{
	struct link_want w = {
	    .dest = j->dest,
	    .plan = j->plan,
	    .need = j->need,
	    .qid = j->env->qid,
	    .ready = on_link,
	    .arg = j,
	};

	if (j->at >= j->norder || (j->tries > 0 && is_over(j))) {
		give_up(j);
		return;
	}
	w.host = job_host(j);
	if (!j->fresh && (j->link = link_take(j->dest, w.host, w.need)) != NULL) {
		transmit(j);
		return;
	}
	j->tries++;
	if ((j->link = link_open(&w)) != NULL)
		return;
	j->failure = (struct link_failure){.dsn = "4.3.0", .text = "out of memory"};
	give_up(j);
}

static void
on_plan(void *arg, struct plan *p)
{
	struct job *j = arg;

	if (p->verdict != PLAN_OK) {
		j->site = p->verdict == PLAN_DELAYED;
		job_results(j, j->site ? JOB_DELAYED : JOB_FAILED, p->dsn, p->text);
		job_end(j);
		return;
	}
	j->plan = plan_keep(p);
	j->norder = plan_order(p, j->order);
	next_server(j);
}

/* ---- the beginning ---- */

/* All of the request but the message. 0, or -1. */
static int
copy_request(struct job *j, const struct job_req *req)
{
	struct job_req copy = *req;
	struct blob none = {.kind = BLOB_INLINE};

	copy.message.v = &none;
	if (rec_encode(&rec_job_req, &copy, &j->octets) == -1 ||
	    (j->req = rec_decode(&rec_job_req, buf_ptr(&j->octets), buf_len(&j->octets))) == NULL)
		return -1;
	j->env = j->req->envelope.v;
	j->n = j->left = j->req->rcpts.n;
	j->outcomes = calloc(j->n, sizeof *j->outcomes);
	j->rcpts = calloc(j->n, sizeof *j->rcpts);
	j->which = calloc(j->n, sizeof *j->which);
	return j->outcomes != NULL && j->rcpts != NULL && j->which != NULL ? 0 : -1;
}

static int
take_message(struct job *j, struct ipc_msg *m)
{
	const struct job_req *req = m->body;

	if (spool_receive(&j->spool, req->message.v, m->fd, INT64_MAX) == -1)
		return -1;
	m->fd = -1;
	if (spool_octets(&j->spool, &j->body) == -1)
		return -1;
	j->need = j->env->requiretls           ? NEED_REQUIRETLS
		  : job_tls_optional(&j->body) ? NEED_NOTHING
					       : NEED_USUAL;
	return 0;
}

/* A request that nothing comes of. */
static void
refuse(struct chan *c, const struct ipc_msg *m, const char *dsn, const char *text)
{
	const struct job_req *req = m->body;
	struct job_result *v = calloc(req->rcpts.n, sizeof *v);
	struct job_rep rep = {.results = {v, req->rcpts.n}};
	size_t i;

	if (v == NULL)
		return;
	log_warn("%s: delivery put off: %s", log_str(req->envelope.v->qid), text);
	for (i = 0; i < req->rcpts.n; i++)
		v[i] =
		    (struct job_result){.status = JOB_DELAYED, .dsn = dsn, .mta = "", .text = text};
	(void)chan_send(c, M_job_rep, m->id, &rep, -1);
	free(v);
}

/* Where it goes; what is wrong with that is a result. */
static void
start(struct job *j)
{
	struct plan *p;

	if ((j->route = route_get(j->req->route)) == NULL) {
		j->site = true;
		job_results(
		    j, JOB_DELAYED, "4.3.5", "its route is not in the configuration any more");
		job_end(j);
		return;
	}
	if ((j->dest = dest_get(j->route, j->req->domain)) == NULL) {
		job_results(j, JOB_DELAYED, "4.3.0", "out of memory");
		job_end(j);
		return;
	}
	j->wait.fn = on_plan;
	j->wait.arg = j;
	if ((p = dest_plan(j->dest, &j->wait)) != NULL)
		on_plan(j, p);
}

void
job_begin(struct chan *c, struct ipc_msg *m)
{
	struct job *j;

	if (draining)
		return;
	if (job_counts.open >= JOBS_MAX) {
		refuse(c, m, "4.3.2", "too many deliveries are under way");
		return;
	}
	if ((j = calloc(1, sizeof *j)) == NULL) {
		refuse(c, m, "4.3.0", "out of memory");
		return;
	}
	TAILQ_INSERT_TAIL(&jobs, j, next);
	job_counts.open++;
	j->from = c;
	j->id = m->id;
	j->began = clock_ms();
	buf_init(&j->octets, IPC_FRAME_MAX);
	spool_init(&j->spool, 0, -1);
	if (copy_request(j, m->body) == -1 || take_message(j, m) == -1) {
		j->left = 0;
		job_free(j);
		refuse(c, m, "4.3.0", "the message could not be taken over");
	} else
		start(j);
}

void
job_orphan(const struct chan *c)
{
	struct job *j, *next;
	unsigned n = 0;

	TAILQ_FOREACH_SAFE (j, &jobs, next, next) {
		if (j->from != c)
			continue;
		j->from = NULL;
		n += j->sending;
		if (!j->sending)
			job_free(j);
	}
	if (n > 0)
		log_warn("queued is gone: it will not know of %u deliveries under way", n);
}

void
job_drain(void (*fn)(void))
{
	draining = true;
	drained = fn;
	if (TAILQ_EMPTY(&jobs) && fn != NULL)
		fn();
}

void
job_clear(void)
{
	drained = NULL;
	while (!TAILQ_EMPTY(&jobs))
		job_free(TAILQ_FIRST(&jobs));
	draining = false;
}
