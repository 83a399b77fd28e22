#include "t/unit/deliverd/stage.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <time.h>

#include "base/clock.h"
#include "deliverd/job.h"
#include "deliverd/pool.h"
#include "deliverd/route_test.h"
#include "proc/event.h"
#include "t/unit/unit.h"

#define FILES_MAX 8
#define KNOWN_MAX 1300
#define JOBS_N 200

#define BASE                                                                                       \
	"node { hostname = \"gateway.test\" }\n"                                                   \
	"connector r { service = relay listen = {\"127.0.0.1:8025\"} tls = disabled\n"             \
	" relay_clients = {\"127.0.0.1\"} }\n"                                                     \
	"connector m { service = mx listen = {\"0.0.0.0:8026\"} tls = disabled }\n"

struct proc_req {
	TAILQ_ENTRY(proc_req) next;
	uint16_t type;
	char name[256];
	chan_reply_fn fn;
	void *arg;
};

/* What dnsd or keyd says. */
struct known {
	uint16_t type;
	char name[256];
	int how;
	struct buf octets; /* of the answer's record */
	unsigned asked;
};

unsigned stage_answers, stage_nevents, stage_nsessions;
struct stage_event stage_events[64];
struct stage_session stage_sessions[32];
char stage_log[16384];

static struct proc_env env;
static TAILQ_HEAD(, proc_req) asked = TAILQ_HEAD_INITIALIZER(asked);
static struct known known[KNOWN_MAX];
static size_t nknown;
static struct {
	char path[64];
	char *text;
} files[FILES_MAX];
static struct event answering;
static bool held;
static struct chan *to_queued, *queued, *to_anvild, *anvild, *to_tool, *tool;
static struct stage_answer answers[JOBS_N];
static unsigned njobs;

/* --- the clock --- */

static uint64_t skipped; /* milliseconds */

static uint64_t
now(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + skipped;
}

uint64_t
clock_ms(void)
{
	return now(CLOCK_MONOTONIC);
}

uint64_t
clock_unix(void)
{
	return now(CLOCK_REALTIME) / 1000;
}

uint64_t
clock_unix_ms(void)
{
	return now(CLOCK_REALTIME);
}

void
stage_skip(unsigned seconds)
{
	skipped += (uint64_t)seconds * 1000;
}

/* --- lib/proc's part --- */

const struct proc_env *
proc_env(void)
{
	return &env;
}

struct chan *
proc_chan(enum proc_id peer, unsigned instance)
{
	(void)instance;
	return peer == P_QUEUED ? to_queued : peer == P_ANVILD ? to_anvild : NULL;
}

struct proc_req *
proc_request(enum proc_id peer, uint16_t type, const void *body, unsigned timeout, chan_reply_fn fn,
    void *arg)
{
	static const struct timeval soon = {0, 0};
	/* All four questions are a name. */
	const struct dns_mx_req *q = body;
	struct proc_req *r;

	ck_assert_uint_gt(timeout, 0);
	ck_assert_int_eq(ipc_allowed(ipc_message(type), env.self, peer), 1);
	r = calloc(1, sizeof *r);
	ck_assert_ptr_nonnull(r);
	ck_assert_uint_lt(strlcpy(r->name, q->name, sizeof r->name), sizeof r->name);
	r->type = type;
	r->fn = fn;
	r->arg = arg;
	TAILQ_INSERT_TAIL(&asked, r, next);
	(void)evtimer_add(&answering, &soon);
	return r;
}

void
proc_cancel(struct proc_req *r)
{
	if (r == NULL)
		return;
	TAILQ_REMOVE(&asked, r, next);
	free(r);
}

const uint8_t *
proc_file(const char *path, size_t *n)
{
	size_t i;

	for (i = 0; i < FILES_MAX; i++)
		if (files[i].text != NULL && strcmp(files[i].path, path) == 0) {
			*n = strlen(files[i].text);
			return (const uint8_t *)files[i].text;
		}
	*n = 0;
	return NULL;
}

void
proc_event(const struct log_event *e)
{
	struct stage_event *x = &stage_events[stage_nevents];

	ck_assert_uint_eq(e->kind, EV_DELIVERY);
	ck_assert_ptr_null(rec_bad_field(&rec_log_event, e));
	if (stage_nevents == sizeof stage_events / sizeof stage_events[0])
		return;
	stage_nevents++;
	(void)strlcpy(x->qid, e->qid, sizeof x->qid);
	(void)strlcpy(x->rcpt, e->rcpt, sizeof x->rcpt);
	(void)strlcpy(x->relay, e->relay, sizeof x->relay);
	(void)strlcpy(x->dsn, e->dsn, sizeof x->dsn);
	(void)strlcpy(x->text, e->text, sizeof x->text);
	x->status = e->status;
	x->a = e->delay_a;
	x->b = e->delay_b;
	x->c = e->delay_c;
	x->d = e->delay_d;
}

static void
on_line(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)arg;
	(void)strlcat(stage_log, line, sizeof stage_log);
	(void)strlcat(stage_log, "\n", sizeof stage_log);
}

/* --- names --- */

static struct known *
find(uint16_t type, const char *name)
{
	size_t i;

	for (i = 0; i < nknown; i++)
		if (known[i].type == type && strcasecmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

static struct known *
know(uint16_t type, const char *name)
{
	struct known *k = find(type, name);

	if (k == NULL) {
		ck_assert_uint_lt(nknown, KNOWN_MAX);
		k = &known[nknown++];
		k->type = type;
		(void)strlcpy(k->name, name, sizeof k->name);
		buf_init(&k->octets, IPC_FRAME_MAX);
	}
	buf_reset(&k->octets);
	k->how = 0;
	return k;
}

static void
learn(uint16_t type, const char *name, int how, const struct rec *r, const void *rep)
{
	struct known *k = know(type, name);

	k->how = how;
	ck_assert_int_eq(rec_encode(r, rep, &k->octets), 0);
}

void
stage_mx(const char *domain, enum dns_status status, int how, const char *records)
{
	struct dns_mx v[DNS_MXS_MAX];
	struct dns_mx_rep rep = {.status = (uint8_t)status,
	    .secure = how & SECURE,
	    .null_mx = strcmp(records, ".") == 0,
	    .text = "",
	    .records = {v, 0}};
	char *copy = strdup(records), *p = copy, *one;
	unsigned preference;
	int at;

	while (!rep.null_mx && *records != '\0' && (one = strsep(&p, ",")) != NULL) {
		ck_assert_int_eq(sscanf(one, " %u %n", &preference, &at), 1);
		v[rep.records.n++] = (struct dns_mx){(uint16_t)preference, one + at};
	}
	learn(M_dns_mx_req, domain, how, &rec_dns_mx_rep, &rep);
	free(copy);
}

void
stage_addr(
    const char *name, enum dns_status status, int how, const char *addrs, const char *canonical)
{
	struct dns_addr v[DNS_ADDRS_MAX];
	struct netaddr a[DNS_ADDRS_MAX];
	struct dns_addr_rep rep = {.status = (uint8_t)status,
	    .secure = how & SECURE,
	    .text = "",
	    .canonical = canonical,
	    .addrs = {v, 0}};
	char *copy = strdup(addrs), *p = copy, *one;
	size_t i;

	while (*addrs != '\0' && (one = strsep(&p, " ")) != NULL) {
		i = rep.addrs.n++;
		ck_assert_int_eq(netaddr_parse_host(one, &a[i]), 0);
		v[i].ip = (struct bytes){a[i].addr, a[i].family == AF_INET ? 4 : 16};
	}
	learn(M_dns_addr_req, name, how, &rec_dns_addr_rep, &rep);
	free(copy);
}

void
stage_tlsa(const char *name, enum dns_status status, int how, unsigned usage, unsigned selector,
    unsigned matching, const uint8_t *data, size_t n)
{
	struct dns_tlsa v = {(uint8_t)usage, (uint8_t)selector, (uint8_t)matching, {data, n}};
	const struct dns_tlsa_rep rep = {.status = (uint8_t)status,
	    .secure = how & SECURE,
	    .text = "",
	    .records = {&v, data != NULL}};

	learn(M_dns_tlsa_req, name, how, &rec_dns_tlsa_rep, &rep);
}

void
stage_sts(const char *domain, enum sts_mode mode, const char *mxs)
{
	struct sts_mx v[8];
	struct sts_rep rep = {.mode = (uint8_t)mode,
	    .text = "",
	    .policy = "version: STSv1",
	    .failure = mode == STS_UNKNOWN ? "sts-policy-fetch-error" : "",
	    .mxs = {v, 0}};
	char *copy = strdup(mxs), *p = copy, *one;

	while (*mxs != '\0' && (one = strsep(&p, " ")) != NULL)
		v[rep.mxs.n++].pattern = one;
	learn(M_sts_req, domain, 0, &rec_sts_rep, &rep);
	free(copy);
}

unsigned
stage_asked(uint16_t type, const char *name)
{
	const struct known *k = find(type, name);

	return k != NULL ? k->asked : 0;
}

static const struct rec *
answer_of(uint16_t type)
{
	switch (type) {
	case M_dns_mx_req:
		return &rec_dns_mx_rep;
	case M_dns_addr_req:
		return &rec_dns_addr_rep;
	case M_dns_tlsa_req:
		return &rec_dns_tlsa_rep;
	default:
		return &rec_sts_rep;
	}
}

static void
answer(struct proc_req *r)
{
	struct ipc_msgdef def = {.rec = answer_of(r->type)};
	struct ipc_msg m = {.def = &def, .fd = -1};
	chan_reply_fn fn = r->fn;
	void *arg = r->arg;
	struct known *k = find(r->type, r->name);

	if (k == NULL) {
		/* Of a name that nobody has told of there is nothing. */
		if (r->type == M_dns_mx_req)
			stage_mx(r->name, DNS_NOTFOUND, 0, "");
		else if (r->type == M_dns_addr_req)
			stage_addr(r->name, DNS_NOTFOUND, 0, "", "");
		else if (r->type == M_dns_tlsa_req)
			stage_tlsa(r->name, DNS_NOTFOUND, SECURE, 0, 0, 0, NULL, 0);
		else
			stage_sts(r->name, STS_NONE, "");
		k = find(r->type, r->name);
	}
	if (k->how & SILENT)
		return;
	k->asked++;
	m.body = rec_decode(def.rec, buf_ptr(&k->octets), buf_len(&k->octets));
	ck_assert_ptr_nonnull(m.body);
	proc_cancel(r);
	fn(arg, &m, 0);
	free(m.body);
}

static void
on_answering(evutil_socket_t fd, short what, void *arg)
{
	struct proc_req *r, *next;
	struct {
		struct proc_req *v[64];
		size_t n;
	} all = {.n = 0};
	size_t i;

	(void)fd;
	(void)what;
	(void)arg;
	if (held)
		return;
	TAILQ_FOREACH (r, &asked, next)
		if (all.n < 64)
			all.v[all.n++] = r;
	for (i = 0; i < all.n; i++) {
		/* An answer before may have cancelled it. */
		TAILQ_FOREACH (next, &asked, next)
			if (next == all.v[i])
				break;
		if (next != NULL)
			answer(next);
	}
	if (all.n == 64)
		stage_release();
}

void
stage_hold(void)
{
	held = true;
}

void
stage_release(void)
{
	static const struct timeval soon = {0, 0};

	held = false;
	(void)evtimer_add(&answering, &soon);
}

void
stage_time_out(void)
{
	struct proc_req *r;
	chan_reply_fn fn;
	unsigned n = 0;
	void *arg;

	TAILQ_FOREACH (r, &asked, next)
		n++;
	while (n-- > 0 && (r = TAILQ_FIRST(&asked)) != NULL) {
		fn = r->fn;
		arg = r->arg;
		proc_cancel(r);
		fn(arg, NULL, ETIMEDOUT);
	}
}

/* --- queued, anvild, gwctl --- */

static void
on_rep(struct chan *c, struct ipc_msg *m)
{
	const struct job_rep *rep = m->body;
	struct stage_answer *a = &answers[m->id];
	size_t i;

	(void)c;
	ck_assert_uint_lt(m->id, njobs);
	ck_assert_int_eq(a->there, false);
	a->there = true;
	a->site = rep->site;
	a->n = rep->results.n;
	for (i = 0; i < a->n && i < sizeof a->rcpts / sizeof a->rcpts[0]; i++) {
		const struct job_result *r = &rep->results.v[i];

		a->rcpts[i].status = r->status;
		(void)strlcpy(a->rcpts[i].dsn, r->dsn, sizeof a->rcpts[i].dsn);
		(void)strlcpy(a->rcpts[i].mta, r->mta, sizeof a->rcpts[i].mta);
		(void)strlcpy(a->rcpts[i].text, r->text, sizeof a->rcpts[i].text);
	}
	stage_answers++;
}

static void
on_session(struct chan *c, struct ipc_msg *m)
{
	const struct tls_session *s = m->body;
	struct stage_session *x = &stage_sessions[stage_nsessions];

	(void)c;
	if (stage_nsessions == sizeof stage_sessions / sizeof stage_sessions[0])
		return;
	stage_nsessions++;
	x->policy = s->policy;
	(void)strlcpy(x->domain, s->domain, sizeof x->domain);
	(void)strlcpy(x->mx, s->mx, sizeof x->mx);
	(void)strlcpy(x->ip, s->ip, sizeof x->ip);
	(void)strlcpy(x->result, s->result, sizeof x->result);
	(void)strlcpy(x->reason, s->reason, sizeof x->reason);
	(void)strlcpy(x->text, s->policy_text, sizeof x->text);
}

static void
pair(enum proc_id peer, const struct chan_handler *ours, const struct chan_handler *theirs,
    struct chan **us, struct chan **them)
{
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	*us = chan_new(env.base, fds[0], P_DELIVERD, peer, ours, NULL, NULL);
	*them = chan_new(env.base, fds[1], peer, P_DELIVERD, theirs, NULL, NULL);
}

unsigned
stage_job(const struct stage_job *j)
{
	static const char small[] = "Subject: x\r\n\r\nhello\r\n";
	char qid[16];
	struct envelope env_of = {.qid = qid,
	    .tx = qid,
	    .tenant = "",
	    .connector = "r",
	    .sender = j->sender != NULL ? j->sender : "a@example.com",
	    .envid = "",
	    .requiretls = j->requiretls,
	    .msgid = ""};
	static struct job_rcpt rcpts[RCPTS_MAX];
	static char names[RCPTS_MAX][24];
	struct blob blob;
	struct job_req req = {.envelope = {&env_of, 1},
	    .route = j->route != NULL ? j->route : "",
	    .domain = j->domain,
	    .waited_in = 10,
	    .waited_queue = 20,
	    .rcpts = {rcpts, 0},
	    .message = {&blob, 1}};
	struct spool s;
	size_t i;
	int fd;

	ck_assert_uint_lt(njobs, JOBS_N);
	(void)snprintf(qid, sizeof qid, "%s", j->qid != NULL ? j->qid : "ABC123");
	for (i = 0; j->rcpts[i] != NULL; i++)
		rcpts[req.rcpts.n++] = (struct job_rcpt){.addr = j->rcpts[i], .orcpt = ""};
	for (i = 0; i < j->more; i++) {
		(void)snprintf(names[i], sizeof names[i], "r%zu@example.org", i);
		rcpts[req.rcpts.n++] = (struct job_rcpt){.addr = names[i], .orcpt = ""};
	}
	spool_init(&s, 64 * 1024 * 1024, -1);
	if (j->message != NULL || j->size == 0)
		ck_assert_int_eq(spool_write(&s, j->message != NULL ? j->message : small,
				     strlen(j->message != NULL ? j->message : small)),
		    0);
	else
		for (i = 0; i < j->size; i += 20)
			ck_assert_int_eq(spool_write(&s, "a line of a message\n", 20), 0);
	ck_assert_int_eq(spool_send(&s, &blob, &fd), 0);
	req.size = blob.size;
	ck_assert_int_eq(chan_send(queued, M_job_req, njobs, &req, fd), 0);
	spool_free(&s);
	return njobs++;
}

const struct stage_answer *
stage_answer(unsigned job)
{
	ck_assert_int_eq(answers[job].there, true);
	return &answers[job];
}

const char *
stage_outcome(unsigned job)
{
	static const char *const names[] = {"sent", "relayed", "delayed", "failed"};
	static char out[1000];
	const struct stage_answer *a = &answers[job];
	size_t i;

	if (!a->there)
		return "nothing";
	out[0] = '\0';
	for (i = 0; i < a->n; i++) {
		(void)strlcat(out, i > 0 ? ", " : "", sizeof out);
		(void)strlcat(out, names[a->rcpts[i].status], sizeof out);
		(void)strlcat(out, " ", sizeof out);
		(void)strlcat(out, a->rcpts[i].dsn, sizeof out);
	}
	(void)strlcat(out, a->site ? ", site" : "", sizeof out);
	return out;
}

void
stage_queued_dies(void)
{
	struct chan *c = to_queued;

	to_queued = NULL;
	job_orphan(c);
	chan_free(c);
	chan_free(queued);
	queued = NULL;
}

static char told[8192];
static unsigned ntold;
static bool told_ok;

static void
on_told(struct chan *c, struct ipc_msg *m)
{
	const struct route_test_rep *rep = m->body;
	size_t i;

	(void)c;
	told_ok = rep->ok;
	told[0] = '\0';
	for (i = 0; i < rep->lines.n; i++) {
		(void)strlcat(told, rep->lines.v[i].text, sizeof told);
		(void)strlcat(told, "\n", sizeof told);
	}
	ntold++;
}

const char *
stage_route_test(const char *domain, bool *ok)
{
	const struct route_test_req q = {.domain = domain};
	unsigned had = ntold;

	ck_assert_int_eq(chan_send(tool, M_route_test_req, 1, &q, -1), 0);
	stage_until(&ntold, had + 1);
	*ok = told_ok;
	return told;
}

/* --- the test's --- */

static void
load(const char *sections)
{
	const struct conf *old = env.conf;
	char text[8192];
	struct err e = {0};
	int n = snprintf(text, sizeof text, "%s%s", BASE, sections);

	env.conf = conf_load_mem(text, (size_t)n, "f", NULL, &e);
	ck_assert_msg(env.conf != NULL, "%s", e.text);
	ck_assert_msg(route_prepare(env.conf, &e) == 0, "%s", e.text);
	route_commit();
	conf_free((struct conf *)(uintptr_t)old);
}

void
stage_conf(const char *sections)
{
	load(sections);
	ask_forget();
	bad_clear();
	pool_renew();
}

void
stage_begin(const char *sections)
{
	static const struct chan_handler ours[] = {
	    {M_job_req, job_begin}, {M_route_test_req, route_test_begin}, {0, NULL}};
	static const struct chan_handler of_queued[] = {{M_job_rep, on_rep}, {0, NULL}};
	static const struct chan_handler of_anvild[] = {{M_tls_session, on_session}, {0, NULL}};
	static const struct chan_handler of_tool[] = {{M_route_test_rep, on_told}, {0, NULL}};

	memset(&env, 0, sizeof env);
	env.self = P_DELIVERD;
	env.base = event_base_new();
	log_init("test", LOG_L_DEBUG);
	log_set_sink(on_line, NULL);
	(void)evtimer_assign(&answering, env.base, on_answering, NULL);
	pair(P_QUEUED, ours, of_queued, &to_queued, &queued);
	pair(P_ANVILD, ours, of_anvild, &to_anvild, &anvild);
	pair(P_GWCTL, ours, of_tool, &to_tool, &tool);
	load(sections);
}

void
stage_end(void)
{
	struct proc_req *r;
	size_t i;

	job_clear();
	route_test_forget(to_tool);
	pool_clear();
	route_clear();
	while ((r = TAILQ_FIRST(&asked)) != NULL)
		proc_cancel(r);
	for (i = 0; i < nknown; i++)
		buf_free(&known[i].octets);
	for (i = 0; i < FILES_MAX; i++)
		free(files[i].text);
	chan_free(to_queued);
	chan_free(queued);
	chan_free(to_anvild);
	chan_free(anvild);
	chan_free(to_tool);
	chan_free(tool);
	(void)event_del(&answering);
	stage_run(20);
	conf_free((struct conf *)(uintptr_t)env.conf);
	event_base_free(env.base);
	log_set_sink(NULL, NULL);
}

void
stage_file(const char *path, const char *text)
{
	size_t i;

	for (i = 0; i < FILES_MAX; i++)
		if (files[i].text == NULL || strcmp(files[i].path, path) == 0)
			break;
	ck_assert_uint_lt(i, FILES_MAX);
	free(files[i].text);
	files[i].text = text != NULL ? strdup(text) : NULL;
	(void)strlcpy(files[i].path, path, sizeof files[i].path);
}

void
stage_run(unsigned ms)
{
	struct timeval tv = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	(void)event_base_loopexit(env.base, &tv);
	(void)event_base_dispatch(env.base);
}

void
stage_until(const unsigned *n, unsigned want)
{
	uint64_t end = now(CLOCK_MONOTONIC) - skipped + 20000;

	while (*n < want && now(CLOCK_MONOTONIC) - skipped < end)
		stage_run(2);
	ck_assert_msg(*n >= want, "waited in vain; log:\n%s", stage_log);
}
