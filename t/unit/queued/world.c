#include "t/unit/queued/world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/internal.h"

#define TOLD_MAX 20000
#define DELIVERDS 3

struct ipc smtpd, gwctl;
uint64_t world_now;
struct job jobs[JOBS_MAX];
unsigned njobs;
struct told told[TOLD_MAX];
unsigned ntold;

static struct ipc deliverd[DELIVERDS], logd;
static struct proc_env env;
static char dir[64];

/* What the daemon asks of its surroundings. */
uint64_t
wall_ms(void)
{
	return world_now;
}

static uint64_t steady; /* goes on with world_pass only */

uint64_t
steady_ms(void)
{
	return steady;
}

const struct proc_env *
proc_env(void)
{
	return &env;
}

struct chan *
proc_master(void)
{
	return NULL;
}

void
proc_fact(const char *name, const char *fmt, ...)
{
	(void)name;
	(void)fmt;
}

void
proc_log_push(void)
{
}

void
proc_drained(void)
{
}

/* ---- the daemon ---- */

static struct conf *
load(const char *queue, const char *more)
{
	char text[8000];
	struct err e = {0};
	struct conf *c;

	(void)snprintf(text, sizeof text,
	    "node { hostname = gw.test }\n"
	    "processes { deliverd = %d }\n"
	    "queue { postmaster = post@here.test\n"
	    " %s }\n"
	    "connector in { service = mx\n listen = {\"127.0.0.1:2525\"}\n tls = disabled }\n%s",
	    DELIVERDS, queue != NULL ? queue : "", more != NULL ? more : "");
	c = conf_load_mem(text, strlen(text), "unit.conf", NULL, &e);
	ck_assert_msg(c != NULL, "%s", e.text);
	return c;
}

void
world_plumb(struct ipc *c, enum proc_id peer, unsigned instance)
{
	static uint32_t serial;
	struct plumb p = {
	    .peer = (uint8_t)peer, .instance = (uint16_t)instance, .serial = ++serial};
	int fds[2];

	if (c->fd != -1)
		ipc_close(c);
	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(c, fds[1], peer, P_QUEUED);
}

void
world_deliverd(unsigned instance, int up)
{
	unsigned i;

	if (up)
		world_plumb(&deliverd[instance], P_DELIVERD, instance);
	else if (deliverd[instance].fd != -1) {
		ipc_close(&deliverd[instance]);
		for (i = 0; i < njobs; i++)
			jobs[i].answered |= jobs[i].instance == instance;
	}
	world_turn();
}

static void
start(void)
{
	struct err e = {0};
	unsigned i;

	ck_assert_msg(queued.start(&env, &e) == 0, "%s", e.text);
	neighbours_init(&env, &queued, queued.handlers);
	world_plumb(&logd, P_LOGD, 0);
	for (i = 0; i < DELIVERDS; i++)
		world_plumb(&deliverd[i], P_DELIVERD, i);
	world_plumb(&smtpd, P_SMTPD, 0);
	world_plumb(&gwctl, P_GWCTL, 0);
	world_turn();
}

void
world_begin(const char *queue, const char *more)
{
	const char *tmp = getenv("TMPDIR");
	unsigned i;

	(void)snprintf(dir, sizeof dir, "%.40s/queued.XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	world_now = 1700000000000;
	disk_empty();
	njobs = ntold = 0;
	memset(&env, 0, sizeof env);
	env.self = P_QUEUED;
	env.base = event_base_new();
	env.conf = load(queue, more);
	for (i = 0; i < DELIVERDS; i++)
		ipc_init(&deliverd[i], -1, P_DELIVERD, P_QUEUED);
	ipc_init(&smtpd, -1, P_SMTPD, P_QUEUED);
	ipc_init(&gwctl, -1, P_GWCTL, P_QUEUED);
	ipc_init(&logd, -1, P_LOGD, P_QUEUED);
	start();
}

void
world_setup(void)
{
	world_begin(NULL, NULL);
}

void
world_conf(const char *queue, const char *more)
{
	struct conf *old = (struct conf *)(uintptr_t)env.conf;
	struct err e = {0};

	env.conf = load(queue, more);
	ck_assert_int_eq(queued.reload(&env, &e), 0);
	conf_free(old);
	/* Until deliverd has its new routes nothing is handed out. */
	world_now += 1000;
	world_turn();
}

static void
close_all(void)
{
	unsigned i;

	for (i = 0; i < DELIVERDS; i++)
		if (deliverd[i].fd != -1)
			ipc_close(&deliverd[i]);
	if (smtpd.fd != -1)
		ipc_close(&smtpd);
	if (gwctl.fd != -1)
		ipc_close(&gwctl);
	if (logd.fd != -1)
		ipc_close(&logd);
	neighbours_free();
}

static void
jobs_forget(void)
{
	while (njobs > 0)
		free(jobs[--njobs].text);
}

void
world_restart(void)
{
	close_all();
	round_end();
	jobs_forget();
	ntold = 0;
	start();
}

void
world_end(void)
{
	close_all();
	round_end();
	jobs_forget();
	disk_empty();
	event_base_free(env.base);
	conf_free((struct conf *)(uintptr_t)env.conf);
	(void)chdir("/");
	(void)rmdir(dir);
}

/* ---- what comes from the daemon ---- */

static void
take_job(unsigned instance, const struct ipc_msg *m)
{
	const struct job_req *q = m->body;
	const struct envelope *e = &q->envelope.v[0];
	struct job *j = &jobs[njobs];
	size_t i;

	ck_assert_uint_lt(njobs++, JOBS_MAX);
	memset(j, 0, sizeof *j);
	j->instance = instance;
	j->id = m->id;
	(void)strlcpy(j->qid, e->qid, sizeof j->qid);
	(void)strlcpy(j->route, q->route, sizeof j->route);
	(void)strlcpy(j->domain, q->domain, sizeof j->domain);
	(void)strlcpy(j->sender, e->sender, sizeof j->sender);
	j->n = (unsigned)q->rcpts.n;
	for (i = 0; i < q->rcpts.n && i < 8; i++)
		(void)strlcpy(j->rcpts[i], q->rcpts.v[i].addr, sizeof j->rcpts[i]);
	j->priority = e->priority;
	j->smtputf8 = e->smtputf8;
	j->body = e->body;
	j->waited_in = q->waited_in;
	j->waited_queue = q->waited_queue;
	ck_assert_uint_eq(q->size, q->message.v[0].size);
	ck_assert_ptr_nonnull(j->text = calloc(1, q->size + 1));
	memcpy(j->text, q->message.v[0].data.p, q->message.v[0].data.n);
}

static void
take_event(const struct ipc_msg *m)
{
	const struct log_event *e = m->body;
	struct told *t = &told[ntold];

	if (m->def->type != M_log_event)
		return;
	ck_assert_uint_lt(ntold++, TOLD_MAX);
	t->kind = e->kind;
	t->status = e->status;
	(void)strlcpy(t->qid, e->qid, sizeof t->qid);
	(void)strlcpy(t->rcpt, e->rcpt, sizeof t->rcpt);
	(void)strlcpy(t->dsn, e->dsn, sizeof t->dsn);
	(void)strlcpy(t->text, e->text, sizeof t->text);
}

/* All that is there; 1: something was. */
static int
drain(struct ipc *c, unsigned instance)
{
	struct ipc_msg m;
	int rc, n = 0;

	if (c->fd == -1)
		return 0;
	while ((rc = ipc_fill(c)) == 1)
		for (n = 1; ipc_next(c, &m) == 1; ipc_done(c, &m))
			if (c == &logd)
				take_event(&m);
			else
				take_job(instance, &m);
	return n;
}

/* Its lines wait for company. */
static void
log_read(void)
{
	unsigned i;

	if (proc_chan(P_LOGD, 0) != NULL)
		for (i = 0; i < 100 && chan_pending(proc_chan(P_LOGD, 0)) > 0; i++) {
			chan_flush(proc_chan(P_LOGD, 0), 0);
			(void)drain(&logd, 0);
		}
	(void)drain(&logd, 0);
}

void
world_turn(void)
{
	unsigned i, quiet, n;

	for (quiet = 0; quiet < 3; quiet++) {
		disk_turn();
		(void)event_base_loop(env.base, EVLOOP_NONBLOCK);
		round_begin();
		if (wake_next() <= world_now)
			wake_run();
		for (i = 0, n = 0; i < DELIVERDS; i++)
			n += (unsigned)drain(&deliverd[i], i);
		if (wake_next() <= world_now || dests_dying() || admin_walking())
			kick();
		if (n > 0 || wake_next() <= world_now || dests_dying() || admin_walking())
			quiet = 0;
		/* Slices wait while many lines do. */
		if (dests_dying() || admin_walking())
			log_read();
	}
	log_read();
}

void
world_pass(uint64_t seconds)
{
	uint64_t end = world_now + 1000 * seconds;

	while (world_now < end) {
		steady -= world_now;
		world_now = wake_next() > world_now && wake_next() < end ? wake_next() : end;
		steady += world_now;
		world_turn();
	}
}

/* ---- smtpd ---- */

struct mail
mail(const char *qid, const char *rcpt)
{
	struct mail m = {.env = {.qid = qid,
			     .tx = qid,
			     .tenant = "default",
			     .connector = "in",
			     .sender = "a@here.test",
			     .envid = "",
			     .priority = 5,
			     .arrived = world_now,
			     .msgid = "m@here.test"},
	    .text = "From: a@here.test\r\nSubject: the merger\r\nMessage-ID: <m@here.test>\r\n"
		    "\r\nThe price is 4711.\r\n"};

	if (rcpt != NULL)
		mail_rcpt(&m, rcpt, 0);
	return m;
}

void
mail_rcpt(struct mail *m, const char *addr, unsigned notify)
{
	m->rcpts[m->n++] =
	    (struct queue_rcpt){.addr = addr, .orcpt = "", .notify = (uint8_t)notify, .hold = ""};
}

uint64_t
put(struct ipc *c, const struct mail *m, int more, uint64_t id)
{
	static uint64_t last;
	struct blob b = {.kind = BLOB_INLINE, .size = strlen(m->text)};
	struct envelope e = m->env;
	struct queue_put_req q = {.more = (uint8_t)more,
	    .envelope = {&e, 1},
	    .rcpts = {(struct queue_rcpt *)(uintptr_t)m->rcpts, m->n},
	    .message = {&b, 1}};

	b.data = (struct bytes){(const uint8_t *)m->text, strlen(m->text)};
	if (id == 0)
		id = ++last + 1000;
	ck_assert_int_eq(ipc_queue(c, M_queue_put_req, id, &q, -1), 0);
	ck_assert_int_eq(ipc_flush(c), 1);
	world_turn();
	return id;
}

int
put_status(struct ipc *c, uint64_t id)
{
	struct ipc_msg m;
	int status = -1;

	world_turn();
	while (status == -1 && ipc_fill(c) == 1)
		while (ipc_next(c, &m) == 1) {
			if (m.def->type == M_queue_put_rep && m.id == id)
				status = ((const struct queue_put_rep *)m.body)->status;
			ipc_done(c, &m);
		}
	return status;
}

void
put_ok(const struct mail *m)
{
	ck_assert_int_eq(put_status(&smtpd, put(&smtpd, m, 0, 0)), QUEUE_OK);
}

void
put_to(const char *qid, const char *rcpt)
{
	struct mail m = mail(qid, rcpt);

	put_ok(&m);
}

/* ---- deliverd ---- */

unsigned
open_jobs(void)
{
	unsigned i, n = 0;

	for (i = 0; i < njobs; i++)
		n += !jobs[i].answered && deliverd[jobs[i].instance].fd != -1;
	return n;
}

struct job *
job_of(const char *qid)
{
	unsigned i;

	for (i = njobs; i > 0; i--)
		if (!jobs[i - 1].answered && strcmp(jobs[i - 1].qid, qid) == 0)
			return &jobs[i - 1];
	return NULL;
}

void
answer_rep(struct job *j, uint64_t id, const struct job_rep *rep)
{
	j->answered = 1;
	ck_assert_int_eq(ipc_queue(&deliverd[j->instance], M_job_rep, id, rep, -1), 0);
	ck_assert_int_eq(ipc_flush(&deliverd[j->instance]), 1);
	world_turn();
}

static void
answer_as(struct job *j, enum job_status status, const char *dsn, const char *text, int site)
{
	static struct job_result results[RCPTS_MAX];
	struct job_rep rep = {.site = (uint8_t)site, .results = {results, 0}};
	unsigned i;

	ck_assert_ptr_nonnull(j);
	rep.results.n = j->n;
	for (i = 0; i < j->n; i++)
		results[i] = (struct job_result){.status = (uint8_t)status,
		    .dsn = dsn,
		    .mta = site ? "" : "mx.far.test",
		    .text = text};
	answer_rep(j, j->id, &rep);
}

void
answer(struct job *j, enum job_status status, const char *dsn, const char *text)
{
	answer_as(j, status, dsn, text, 0);
}

void
answer_site(struct job *j, const char *text)
{
	answer_as(j, JOB_DELAYED, "4.4.1", text, 1);
}

void
answer_all(enum job_status status)
{
	unsigned i;

	for (i = 0; i < njobs; i++)
		if (!jobs[i].answered && deliverd[jobs[i].instance].fd != -1)
			answer(&jobs[i], status, status <= JOB_RELAYED ? "2.0.0" : "4.0.0", "said");
}

/* ---- log ---- */

unsigned
events(unsigned kind, const char *qid, const char *text)
{
	unsigned i, n = 0;

	for (i = 0; i < ntold; i++)
		n += told[i].kind == kind && (qid == NULL || strcmp(told[i].qid, qid) == 0) &&
		     (text == NULL || strstr(told[i].text, text) != NULL ||
			 strcmp(told[i].rcpt, text) == 0);
	return n;
}
