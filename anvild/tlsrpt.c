/* When reports about TLS are sent, and what becomes of them. */
#include "anvild/tlsrpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "anvild/db.h"
#include "anvild/tlsrpt_day.h"
#include "anvild/tlsrpt_mail.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/event.h"

#define DAY 86400
#define SENDS_MAX 4 /* under way at once */
#define DNS_MS 30000
#define QUEUE_MS 60000
#define AGAIN_S 3600 /* RFC 8460, 5.4: tried again, for a day */
#define GIVE_UP_S (36 * 3600) /* behind the end of the day */
#define PRIORITY 3 /* as notices */
#define MARK 0xfe /* at the end of ids made here; those of smtpd have an instance below 64 */
#define QUIET_MS 60000 /* between complaints */

/* A report on its way; the day is out of days meanwhile. */
struct sending {
	LIST_ENTRY(sending) next;
	struct day *day;
	struct proc_req *dns; /* one of these two */
	struct chan_req *put;
	struct ruas to;
	char qid[QUEUE_ID_MAX];
	uint64_t size;
};

static struct days days = {.tree = RB_INITIALIZER(&days.tree)};
static LIST_HEAD(, sending) sends = LIST_HEAD_INITIALIZER(sends);
static unsigned nsends;
static struct store *store;
static unsigned table;
static uint64_t complained;
static struct {
	uint64_t sessions, sent, unwanted, given_up;
} tally;

static int
enabled(void)
{
	return proc_env()->conf->queue.tls_reports;
}

static const char *
sender(void)
{
	const struct conf_queue *q = &proc_env()->conf->queue;

	return q->report_from[0] != '\0' ? q->report_from : q->postmaster;
}

static void
complain(const struct err *e)
{
	const uint64_t now = clock_ms();

	if (complained == 0 || now - complained >= QUIET_MS)
		log_warn("reports about TLS: %s", e->text);
	complained = now;
}

void
tlsrpt_start(struct store *s, unsigned t)
{
	static int loaded;
	struct err e = {0};
	struct day *x;

	store = s;
	table = t;
	if (!loaded && s != NULL) {
		loaded = 1;
		if (days_load(&days, s, t, &e) == -1)
			complain(&e);
		return;
	}
	for (x = days_first(&days); x != NULL; x = days_next(x))
		x->dirty = 1;
}

void
tlsrpt_session(const struct tls_session *m)
{
	if (!enabled())
		return;
	tally.sessions++;
	days_add(&days, m, clock_unix());
}

static void
save(void)
{
	struct err e = {0};

	if (days_save(&days, store, table, &e) == -1)
		complain(&e);
}

/* ---- one report ---- */

static void start_due(void);

enum outcome { OUT_DONE, OUT_UNWANTED, OUT_AGAIN };

/* What is not done comes back, to what has been counted since. */
static void
finish(struct sending *s, enum outcome how)
{
	const uint64_t now = clock_unix();
	struct day *x = s->day;
	const uint64_t over = ((uint64_t)x->r.day + 1) * DAY;
	struct err e = {0};

	LIST_REMOVE(s, next);
	nsends--;
	tally.sent += how == OUT_DONE;
	tally.unwanted += how == OUT_UNWANTED;
	/* Of a day that goes on there will be another one, if somebody wants it then. */
	if (how == OUT_UNWANTED && now < over)
		how = OUT_AGAIN;
	else if (how == OUT_AGAIN && now > over + GIVE_UP_S) {
		log_info("tls report domain=%s: given up", log_str(x->r.domain));
		tally.given_up++;
		how = OUT_DONE;
	}
	if (how == OUT_AGAIN) {
		if (x->r.due < now + AGAIN_S)
			x->r.due = now + AGAIN_S;
		days_return(&days, x);
	} else {
		db_commit(); /* there is one transaction at a time */
		if (days_find(&days, x->r.day, x->r.domain) == NULL &&
		    days_erase(store, table, x->r.day, x->r.domain, &e) == -1)
			complain(&e);
		day_free(x);
	}
	free(s);
}

static void
done(struct sending *s, enum outcome how)
{
	finish(s, how);
	start_due();
}

/* Unlike those of smtpd, which end with a number below 64, and those of queued. */
static void
make_qid(char out[QUEUE_ID_MAX])
{
	static uint16_t serial;
	static int begun;

	if (!begun)
		serial = (uint16_t)arc4random();
	begun = 1;
	(void)snprintf(out, QUEUE_ID_MAX, "%llX%04X%02X", (unsigned long long)clock_unix(),
	    (unsigned)serial++, MARK);
}

static void
log_taken(const struct sending *s, const struct report *r)
{
	char msgid[400];
	struct log_event e = {.kind = EV_QUEUED,
	    .tx = s->qid,
	    .qid = s->qid,
	    .sender = r->from,
	    .msgid = report_id(r, msgid, sizeof msgid),
	    .size = s->size,
	    .nrcpt = (uint32_t)s->to.n};
	uint64_t good, failed, all;

	day_sum(&s->day->r, &good, &failed);
	all = good + failed;
	proc_event(&e);
	log_info("%s: tls report domain=%s, sessions=%llu, failed=%llu, to=<%s>", s->qid,
	    log_str(s->day->r.domain), (unsigned long long)all, (unsigned long long)failed,
	    log_str(s->to.v[0]));
}

static struct report
report_of(const struct sending *s)
{
	return (struct report){.day = &s->day->r,
	    .hostname = proc_env()->conf->node.hostname,
	    .from = sender(),
	    .to = &s->to,
	    .until = clock_unix(),
	    .now = clock_unix()};
}

static void
on_put(void *arg, struct ipc_msg *m, int error)
{
	const struct queue_put_rep *rep = m != NULL ? m->body : NULL;
	struct sending *s = arg;
	const struct report r = report_of(s);

	s->put = NULL;
	if (rep != NULL && rep->status == QUEUE_OK) {
		log_taken(s, &r);
		done(s, OUT_DONE);
		return;
	}
	log_warn("tls report domain=%s: not taken by the queue: %s", log_str(s->day->r.domain),
	    rep != NULL ? log_str(rep->text) : strerror(error));
	done(s, OUT_AGAIN);
}

/* 0, or -1: it cannot be asked for now. */
static int
put_message(struct sending *s, const struct report *r, struct buf *mail)
{
	char msgid[400];
	struct envelope env = {.qid = s->qid,
	    .tx = s->qid,
	    .tenant = "",
	    .connector = "",
	    .sender = r->from,
	    .envid = "",
	    .body = OCTETS_7BIT,
	    .priority = PRIORITY,
	    .arrived = r->now * 1000,
	    .msgid = report_id(r, msgid, sizeof msgid)};
	struct queue_rcpt rcpts[RUAS_MAX];
	struct blob blob = {
	    .kind = BLOB_INLINE, .size = buf_len(mail), .data = {buf_ptr(mail), buf_len(mail)}};
	struct queue_put_req q = {
	    .envelope = {&env, 1}, .rcpts = {rcpts, s->to.n}, .message = {&blob, 1}};
	struct chan *c = proc_chan(P_QUEUED, 0);
	size_t i;

	for (i = 0; i < s->to.n; i++)
		rcpts[i] = (struct queue_rcpt){
		    .addr = s->to.v[i], .orcpt = "", .notify = RCPT_NEVER, .hold = ""};
	s->size = buf_len(mail);
	if (c == NULL)
		return -1;
	s->put = chan_request(c, M_queue_put_req, &q, -1, QUEUE_MS, on_put, s);
	return s->put != NULL ? 0 : -1;
}

static void
compose_and_put(struct sending *s)
{
	const struct report r = report_of(s);
	struct buf mail;
	int rc = -1;

	make_qid(s->qid);
	buf_init(&mail, REPORT_MAX);
	if (report_mail(&r, &mail) == 0)
		rc = put_message(s, &r, &mail);
	buf_free(&mail);
	if (rc == -1) {
		log_warn("tls report domain=%s: cannot be put into the queue now",
		    log_str(s->day->r.domain));
		done(s, OUT_AGAIN);
	}
}

static void
on_txt(void *arg, struct ipc_msg *m, int error)
{
	const struct dns_txt_rep *rep = m != NULL ? m->body : NULL;
	struct sending *s = arg;
	struct err e = {0};

	s->dns = NULL;
	if (rep == NULL || rep->status == DNS_TEMPFAIL || rep->status == DNS_BOGUS) {
		log_info("tls report domain=%s: nobody knows whether it is wanted: %s",
		    log_str(s->day->r.domain), rep != NULL ? log_str(rep->text) : strerror(error));
		done(s, OUT_AGAIN);
	} else if (rep->status != DNS_OK)
		done(s, OUT_UNWANTED);
	else if (rua_parse(rep->records.v, rep->records.n, &s->to, &e) == -1) {
		log_info("tls report domain=%s: not sent: %s", log_str(s->day->r.domain), e.text);
		done(s, OUT_UNWANTED);
	} else
		compose_and_put(s);
}

/* x is taken over. 0, or -1: not now. */
static int
begin(struct day *x)
{
	char name[8 + 256 + 8];
	struct dns_txt_req q = {.name = name};
	struct sending *s = calloc(1, sizeof *s);

	days_take(&days, x);
	(void)snprintf(name, sizeof name, "_smtp._tls.%s", x->r.domain);
	if (s == NULL) {
		days_return(&days, x);
		return -1;
	}
	s->day = x;
	LIST_INSERT_HEAD(&sends, s, next);
	nsends++;
	/* A name that is too long has no records. */
	if (strlen(name) <= 255)
		s->dns = proc_request(P_DNSD, M_dns_txt_req, &q, DNS_MS, on_txt, s);
	if (s->dns == NULL) {
		finish(s, strlen(name) > 255 ? OUT_UNWANTED : OUT_AGAIN);
		return -1;
	}
	return 0;
}

static int
is_due(const struct day *x, uint64_t now)
{
	return x->forced || (now >= ((uint64_t)x->r.day + 1) * DAY && x->r.due <= now);
}

static void
start_due(void)
{
	const uint64_t now = clock_unix();
	struct day *x, *next;

	for (x = days_first(&days); x != NULL && nsends < SENDS_MAX; x = next) {
		next = days_next(x);
		if (!is_due(x, now))
			continue;
		x->forced = 0;
		(void)begin(x);
	}
}

void
tlsrpt_tick(void)
{
	save();
	if (enabled())
		start_due();
}

void
tlsrpt_stop(void)
{
	struct sending *s;

	while ((s = LIST_FIRST(&sends)) != NULL) {
		proc_cancel(s->dns);
		chan_cancel(s->put);
		LIST_REMOVE(s, next);
		nsends--;
		days_return(&days, s->day);
		free(s);
	}
	save();
	days_clear(&days);
}

void
tlsrpt_status(void)
{
	if (!enabled() && days.count == 0)
		return;
	proc_fact("tls.sessions", "%llu", (unsigned long long)tally.sessions);
	proc_fact("tls.sessions.left_out", "%llu", (unsigned long long)days.left_out);
	proc_fact("tls.reports.waiting", "%u", days.count);
	proc_fact("tls.reports.sent", "%llu", (unsigned long long)tally.sent);
	proc_fact("tls.reports.unwanted", "%llu", (unsigned long long)tally.unwanted);
	proc_fact("tls.reports.given_up", "%llu", (unsigned long long)tally.given_up);
}

/* ---- gwctl ---- */

void
tlsrpt_list(struct chan *c, uint64_t id, const struct tlsrpt_list_req *q)
{
	struct tlsrpt_info v[TLSRPT_PAGE_MAX];
	struct tlsrpt_list_rep rep = {.enabled = (uint8_t)(enabled() != 0), .days = {v, 0}};
	struct tlsrpt_info *to;
	struct day *x;

	for (x = days_after(&days, q->day, q->domain); x != NULL && rep.days.n < TLSRPT_PAGE_MAX;
	     x = days_next(x)) {
		to = &v[rep.days.n++];
		*to = (struct tlsrpt_info){.day = x->r.day, .domain = x->r.domain, .due = x->r.due};
		day_sum(&x->r, &to->good, &to->failed);
	}
	(void)chan_send(c, M_tlsrpt_list_rep, id, &rep, -1);
}

void
tlsrpt_send(struct chan *c, uint64_t id, const struct tlsrpt_send_req *q)
{
	struct tlsrpt_send_rep rep = {.count = 0};
	const uint64_t now = clock_unix();
	struct day *x;
	int over;

	for (x = days_first(&days); x != NULL && enabled(); x = days_next(x)) {
		over = now >= ((uint64_t)x->r.day + 1) * DAY;
		if (q->domain[0] == '\0' ? !over : strcasecmp(q->domain, x->r.domain) != 0)
			continue;
		x->forced = 1;
		rep.count++;
	}
	(void)chan_send(c, M_tlsrpt_send_rep, id, &rep, -1);
	if (enabled())
		start_due();
}
