/* Reports about TLS: when they are sent, with dnsd, queued and gwctl at the other ends. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "anvild/tlsrpt.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/internal.h"
#include "t/unit/anvild/tlsrpt.h"

Suite *tlsrpt_sending_suite(void);

#define PATIENCE_MS 30000

static struct days days;
static struct conf conf;
static struct ipc dnsd, queued, gwctl;
static char folder[] = "/tmp/tlsrpt.XXXXXX", folder_used[sizeof folder];
static struct store *store;

static void
on_list(struct chan *c, struct ipc_msg *m)
{
	tlsrpt_list(c, m->id, m->body);
}

static void
on_send(struct chan *c, struct ipc_msg *m)
{
	tlsrpt_send(c, m->id, m->body);
}

static const struct chan_handler handlers[] = {
    {M_tlsrpt_list_req, on_list}, {M_tlsrpt_send_req, on_send}, {0, NULL}};
static const struct proc proc = {.self = P_ANVILD, .handlers = handlers};

static void
no_log(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

static void
plumb(enum proc_id peer, struct ipc *other)
{
	static uint32_t serial;
	struct plumb p = {.peer = (uint8_t)peer, .serial = ++serial};
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ck_assert_int_eq(neighbours_plumb(&p, fds[0]), 0);
	ipc_init(other, fds[1], peer, P_ANVILD);
}

static struct store *
open_store(void)
{
	static const char *const tables[] = {"other", "tlsrpt", NULL};
	struct store_options o = {.tables = tables, .map_size = 1 << 26};
	struct err e;
	struct store *s = store_open(folder_used, &o, &e);

	ck_assert_msg(s != NULL, "%s", e.text);
	return s;
}

static void
set_up(void)
{
	static char hostname[] = "gw.example.net", none[] = "", from[] = "tls@example.net";
	struct proc_env *env = (struct proc_env *)proc_env();

	log_set_sink(no_log, NULL);
	(void)strcpy(folder_used, folder);
	ck_assert_ptr_nonnull(mkdtemp(folder_used));
	conf.node.hostname = hostname;
	conf.queue.tls_reports = 1;
	conf.queue.report_from = none;
	conf.queue.postmaster = from;
	env->base = event_base_new();
	env->conf = &conf;
	env->self = P_ANVILD;
	neighbours_init(env, &proc, handlers);
	plumb(P_DNSD, &dnsd);
	plumb(P_QUEUED, &queued);
	plumb(P_GWCTL, &gwctl);
	store = open_store();
	days_init(&days);
}

static void
tear_down(void)
{
	char cmd[100];

	tlsrpt_stop();
	store_close(store);
	days_clear(&days);
	neighbours_free();
	ipc_close(&dnsd);
	ipc_close(&queued);
	ipc_close(&gwctl);
	event_base_free(proc_env()->base);
	(void)snprintf(cmd, sizeof cmd, "rm -r %s", folder_used);
	ck_assert_int_eq(system(cmd), 0);
}

/* Something that waits for its report since hours ago, in the store when anvild starts. */
static void
kept(const char *domain, unsigned hours)
{
	const uint64_t now = clock_unix();
	const uint64_t over = now / DAY * DAY - (uint64_t)hours / 24 * DAY;
	struct tls_session s = session(domain, "certificate-expired");
	struct err e;

	days_add(&days, &s, over - 1);
	days_find(&days, (uint32_t)(over / DAY - 1), domain)->r.due = over;
	ck_assert_int_eq(days_save(&days, store, 1, &e), 0);
	days_clear(&days);
}

static int64_t
stored(void)
{
	struct err e;
	struct store_txn *t = store_read(store, &e);
	int64_t n = store_count(t, 1, &e);

	store_abort(t);
	return n;
}

static int
run_until(struct ipc *who, unsigned ms)
{
	struct pollfd p = {.fd = who->fd, .events = POLLIN};
	uint64_t until = clock_ms() + ms;

	do {
		(void)event_base_loop(proc_env()->base, EVLOOP_NONBLOCK);
		if (poll(&p, 1, 2) > 0)
			return 1;
	} while (clock_ms() < until);
	return 0;
}

static void
turn(void)
{
	unsigned i;

	for (i = 0; i < 10; i++)
		(void)event_base_loop(proc_env()->base, EVLOOP_NONBLOCK);
}

/* The next message of anvild's, which may be here already. */
static void
receive(struct ipc *who, struct ipc_msg *m)
{
	int got;

	while ((got = ipc_next(who, m)) == 0) {
		ck_assert(run_until(who, PATIENCE_MS));
		ck_assert_int_eq(ipc_fill(who), 1);
	}
	ck_assert_int_eq(got, 1);
}

/* dnsd is asked for this name and answers. */
static void
resolve(const char *name, enum dns_status status, const char *text)
{
	struct dns_txt one = {{(const uint8_t *)text, text != NULL ? strlen(text) : 0}};
	struct dns_txt_rep r = {
	    .status = (uint8_t)status, .text = "", .records = {&one, text != NULL}};
	struct ipc_msg m;

	receive(&dnsd, &m);
	ck_assert_int_eq(m.def->type, M_dns_txt_req);
	ck_assert_str_eq(((const struct dns_txt_req *)m.body)->name, name);
	ck_assert_int_eq(ipc_send(&dnsd, M_dns_txt_rep, m.id, &r, -1, 1000), 0);
	ipc_done(&dnsd, &m);
}

#define WISH "v=TLSRPTv1; rua=mailto:reports@example.org"

/* queued is given a report for this address and answers. */
static void
take(const char *rcpt, enum queue_status status)
{
	struct queue_put_rep rep = {.status = (uint8_t)status, .text = ""};
	const struct queue_put_req *q;
	struct ipc_msg m;
	json_t *o;

	receive(&queued, &m);
	ck_assert_int_eq(m.def->type, M_queue_put_req);
	q = m.body;
	ck_assert_int_eq(q->more, 0);
	ck_assert_str_eq(q->envelope.v->sender, "tls@example.net");
	ck_assert_uint_eq(q->rcpts.n, 1);
	ck_assert_str_eq(q->rcpts.v[0].addr, rcpt);
	ck_assert_uint_eq(q->rcpts.v[0].notify, RCPT_NEVER);
	ck_assert_uint_eq(q->message.v->size, q->message.v->data.n);
	o = unpack((const char *)q->message.v->data.p);
	IS(o, "policies/0/failure-details/0/result-type", "certificate-expired");
	json_decref(o);
	ck_assert_int_eq(ipc_send(&queued, M_queue_put_rep, m.id, &rep, -1, 1000), 0);
	ipc_done(&queued, &m);
	turn();
}

START_TEST(a_report_is_sent_when_its_day_is_over)
{
	kept("example.org", 0);
	tlsrpt_start(store, 1);
	tlsrpt_session(&(struct tls_session){.domain = "today.example",
	    .policy_text = "",
	    .mx = "",
	    .ip = "",
	    .result = "",
	    .reason = "",
	    .our_ip = ""});
	tlsrpt_tick();
	ck_assert_int_eq(stored(), 2);
	resolve("_smtp._tls.example.org", DNS_OK, WISH);
	take("reports@example.org", QUEUE_OK);
	ck_assert_int_eq(stored(), 1);
	/* That of today waits. */
	tlsrpt_tick();
	ck_assert(!run_until(&dnsd, 50));
}
END_TEST

START_TEST(domains_that_want_no_report_get_none)
{
	kept("a.example", 0);
	kept("b.example", 0);
	tlsrpt_start(store, 1);
	tlsrpt_tick();
	resolve("_smtp._tls.a.example", DNS_NOTFOUND, NULL);
	resolve("_smtp._tls.b.example", DNS_OK, "v=spf1 -all");
	turn();
	ck_assert_int_eq(stored(), 0);
	ck_assert(!run_until(&queued, 20));
}
END_TEST

START_TEST(what_fails_is_tried_again_later_and_given_up_after_a_day)
{
	kept("a.example", 0);
	kept("b.example", 0);
	kept("old.example", 72);
	tlsrpt_start(store, 1);
	tlsrpt_tick();
	resolve("_smtp._tls.old.example", DNS_TEMPFAIL, NULL);
	resolve("_smtp._tls.a.example", DNS_TEMPFAIL, NULL);
	resolve("_smtp._tls.b.example", DNS_OK, WISH);
	take("reports@example.org", QUEUE_FULL);
	ck_assert_int_eq(stored(), 2);
	tlsrpt_tick();
	ck_assert(!run_until(&dnsd, 20));
}
END_TEST

START_TEST(many_reports_are_sent_a_few_at_a_time)
{
	struct ipc_msg m;
	char name[20];
	unsigned i;

	for (i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof name, "d%u.example", i);
		kept(name, 0);
	}
	tlsrpt_start(store, 1);
	tlsrpt_tick();
	turn();
	for (i = 0; i < 4; i++) {
		receive(&dnsd, &m);
		ipc_done(&dnsd, &m);
	}
	ck_assert(!run_until(&dnsd, 20));
	/* dnsd's successor is asked again. */
	ipc_close(&dnsd);
	plumb(P_DNSD, &dnsd);
	for (i = 0; i < 10; i++) {
		receive(&dnsd, &m);
		ck_assert_int_eq(
		    ipc_send(&dnsd, M_dns_txt_rep, m.id,
			&(struct dns_txt_rep){.status = DNS_NOTFOUND, .text = ""}, -1, 1000),
		    0);
		ipc_done(&dnsd, &m);
	}
	turn();
	ck_assert_int_eq(stored(), 0);
}
END_TEST

START_TEST(what_was_counted_survives_a_restart)
{
	struct tls_session s = session("example.org", "certificate-expired");
	struct err e;

	tlsrpt_start(store, 1);
	tlsrpt_session(&s);
	tlsrpt_session(&s);
	tlsrpt_stop();
	ck_assert_int_eq(stored(), 1);
	ck_assert_int_eq(days_load(&days, store, 1, &e), 0);
	ck_assert_uint_eq(days.count, 1);
	ck_assert_str_eq(days_first(&days)->r.domain, "example.org");
	ck_assert_uint_eq(days_first(&days)->r.policies.v[0].details.v[0].count, 2);
}
END_TEST

START_TEST(another_store_gets_what_there_is)
{
	struct tls_session s = session("example.org", "");

	tlsrpt_start(NULL, 1);
	tlsrpt_session(&s);
	tlsrpt_tick();
	tlsrpt_start(store, 1);
	tlsrpt_tick();
	ck_assert_int_eq(stored(), 1);
}
END_TEST

START_TEST(nothing_is_counted_unless_it_is_wanted)
{
	struct tls_session s = session("example.org", "");

	conf.queue.tls_reports = 0;
	tlsrpt_start(store, 1);
	tlsrpt_session(&s);
	tlsrpt_tick();
	ck_assert_int_eq(stored(), 0);
}
END_TEST

/* "domain good failed" of each of a page. */
static const char *
list(uint32_t day, const char *domain)
{
	struct tlsrpt_list_req q = {.day = day, .domain = domain};
	static char text[4000];
	const struct tlsrpt_list_rep *r;
	struct ipc_msg m;
	size_t i, n = 0;

	ck_assert_int_eq(ipc_send(&gwctl, M_tlsrpt_list_req, 1, &q, -1, 1000), 0);
	receive(&gwctl, &m);
	r = m.body;
	text[0] = '\0';
	for (i = 0; i < r->days.n; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %llu %llu",
		    i > 0 ? ", " : "", r->days.v[i].domain, (unsigned long long)r->days.v[i].good,
		    (unsigned long long)r->days.v[i].failed);
	ipc_done(&gwctl, &m);
	return text;
}

static unsigned
send_now(const char *domain)
{
	struct tlsrpt_send_req q = {.domain = domain};
	struct ipc_msg m;
	unsigned n;

	ck_assert_int_eq(ipc_send(&gwctl, M_tlsrpt_send_req, 1, &q, -1, 1000), 0);
	receive(&gwctl, &m);
	n = ((const struct tlsrpt_send_rep *)m.body)->count;
	ipc_done(&gwctl, &m);
	return n;
}

START_TEST(an_administrator_may_list_and_send_them)
{
	struct tls_session s = session("today.example", "certificate-expired");
	uint32_t yesterday = (uint32_t)(clock_unix() / DAY) - 1;
	char name[20];
	unsigned i;

	kept("b.example", 0);
	tlsrpt_start(store, 1);
	tlsrpt_session(&s);
	ck_assert_str_eq(list(0, ""), "b.example 0 1, today.example 0 1");
	ck_assert_str_eq(list(yesterday, "b.example"), "today.example 0 1");
	/* Today's only when it is asked for by its name; what comes meanwhile stays. */
	ck_assert_uint_eq(send_now(""), 1);
	resolve("_smtp._tls.b.example", DNS_OK, WISH);
	take("reports@example.org", QUEUE_OK);
	ck_assert_uint_eq(send_now("today.example"), 1);
	resolve("_smtp._tls.today.example", DNS_OK, WISH);
	tlsrpt_session(&s);
	take("reports@example.org", QUEUE_OK);
	ck_assert_str_eq(list(0, ""), "today.example 0 1");
	/* Where nobody wants it, it is kept until the day is over. */
	ck_assert_uint_eq(send_now("today.example"), 1);
	resolve("_smtp._tls.today.example", DNS_NOTFOUND, NULL);
	turn();
	ck_assert_str_eq(list(0, ""), "today.example 0 1");
	for (i = 0; i < 2 * TLSRPT_PAGE_MAX; i++) {
		(void)snprintf(name, sizeof name, "d%u.example", i);
		s.domain = name;
		tlsrpt_session(&s);
	}
	ck_assert_ptr_null(strstr(list(0, ""), "d190.example"));
}
END_TEST

Suite *
tlsrpt_sending_suite(void)
{
	return unit_suite_around("tlsrpt_sending", set_up, tear_down,
	    (const TTest *const[]){a_report_is_sent_when_its_day_is_over,
		domains_that_want_no_report_get_none,
		what_fails_is_tried_again_later_and_given_up_after_a_day,
		many_reports_are_sent_a_few_at_a_time, what_was_counted_survives_a_restart,
		another_store_gets_what_there_is, nothing_is_counted_unless_it_is_wanted,
		an_administrator_may_list_and_send_them, NULL});
}
