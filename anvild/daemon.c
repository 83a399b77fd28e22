/* anvild: what is counted and remembered of clients, for all smtpd together. */
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <string.h>

#include "anvild/anvild.h"
#include "anvild/counts.h"
#include "anvild/db.h"
#include "anvild/grey.h"
#include "anvild/tlsrpt.h"
#include "base/clock.h"
#include "base/log.h"

/* What is written together: LMDB's pages cost more than the records in them. */
static const struct timeval commit_after = {1, 0};
static const struct timeval sweep_every = {60, 0};

static struct counts *counts;
static struct event commit_timer, sweep_timer;
static struct {
	uint64_t clients, greylisted, passed;
} tally;

/* Behind each request that may have written. */
static void
written(void)
{
	if (db_dirty() && !evtimer_pending(&commit_timer, NULL))
		(void)evtimer_add(&commit_timer, &commit_after);
}

static void
on_commit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	db_commit();
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	counts_sweep(counts, clock_ms());
	db_sweep(clock_unix());
	db_commit();
	tlsrpt_tick();
	(void)evtimer_add(&sweep_timer, &sweep_every);
}

static const struct conf_gate *
gate_of(const char *name)
{
	return conf_gate_find(proc_env()->conf, name);
}

static int
is_address(struct bytes ip)
{
	return ip.n == 4 || ip.n == 16;
}

static void
on_client(struct chan *c, struct ipc_msg *m)
{
	const struct client_req *q = m->body;
	const struct conf_gate *g = gate_of(q->gate);
	struct client_rep r = {.verdict = CLIENT_OK, .text = ""};
	char text[COUNTS_TEXT_MAX];

	tally.clients++;
	if (g != NULL && is_address(q->ip)) {
		r.verdict =
		    (uint8_t)counts_enter(counts, g, chan_instance(c), q->ip, clock_ms(), text);
		r.text = text;
		if (g->greet_wait > 0)
			r.passed = (uint8_t)passed_is(q->ip, clock_unix());
	}
	(void)chan_send(c, M_client_rep, m->id, &r, -1);
}

static void
on_client_left(struct chan *c, struct ipc_msg *m)
{
	const struct client_left *q = m->body;
	const struct conf_gate *g = gate_of(q->gate);

	if (!is_address(q->ip))
		return;
	counts_leave(counts, q->gate, chan_instance(c), q->ip, q->errors, clock_ms());
	if (q->passed && g != NULL)
		passed_put(g, q->ip, clock_unix());
	written();
}

static void
on_rate(struct chan *c, struct ipc_msg *m)
{
	const struct rate_req *q = m->body;
	const struct conf_gate *g = gate_of(q->gate);
	struct rate_rep r = {.ok = 1, .text = ""};
	char text[COUNTS_TEXT_MAX];

	if (g != NULL && is_address(q->ip)) {
		r.ok = (uint8_t)counts_rate(
		    counts, g, q->ip, q->messages, q->recipients, clock_ms(), text);
		r.text = text;
	}
	(void)chan_send(c, M_rate_rep, m->id, &r, -1);
}

static void
on_grey(struct chan *c, struct ipc_msg *m)
{
	const struct grey_req *q = m->body;
	const struct conf_gate *g = gate_of(q->gate);
	struct grey_rep r = {.pass = 1};

	if (g != NULL && is_address(q->ip))
		r.pass = (uint8_t)grey_ask(g, q->ip, q->sender, q->rcpt, clock_unix(), &r.wait);
	if (r.pass)
		tally.passed++;
	else
		tally.greylisted++;
	(void)chan_send(c, M_grey_rep, m->id, &r, -1);
	written();
}

static void
on_known(struct chan *c, struct ipc_msg *m)
{
	const struct known_req *q = m->body;
	char text[KNOWN_TEXT_MAX];
	struct known_rep r = {.text = text};

	r.known = (uint8_t)known_get(q->rcpt, clock_unix(), text);
	(void)chan_send(c, M_known_rep, m->id, &r, -1);
}

static void
on_known_put(struct chan *c, struct ipc_msg *m)
{
	const struct known_put *q = m->body;

	(void)c;
	known_put(q->rcpt, q->known, q->text, clock_unix());
	written();
}

static void
on_tls_session(struct chan *c, struct ipc_msg *m)
{
	(void)c;
	tlsrpt_session(m->body);
}

static void
on_tlsrpt_list(struct chan *c, struct ipc_msg *m)
{
	tlsrpt_list(c, m->id, m->body);
}

static void
on_tlsrpt_send(struct chan *c, struct ipc_msg *m)
{
	tlsrpt_send(c, m->id, m->body);
}

static void
store_changed(struct store *s)
{
	tlsrpt_start(s, T_TLSRPT);
}

static const struct chan_handler handlers[] = {
    {M_client_req, on_client},
    {M_client_left, on_client_left},
    {M_rate_req, on_rate},
    {M_grey_req, on_grey},
    {M_known_req, on_known},
    {M_known_put, on_known_put},
    {M_tls_session, on_tls_session},
    {M_tlsrpt_list_req, on_tlsrpt_list},
    {M_tlsrpt_send_req, on_tlsrpt_send},
    {0, NULL},
};

static int
anvild_open(const struct proc_env *env, struct err *e)
{
	(void)env;
	return sandbox_allow(".", 1, e);
}

static int
anvild_start(const struct proc_env *env, struct err *e)
{
	char name[1024];

	if ((counts = counts_new()) == NULL)
		return err_sys(e, "memory");
	(void)snprintf(name, sizeof name, "%s/anvil", env->conf->node.state_dir);
	if (db_open(".", name, e) == -1)
		return -1;
	if (evtimer_assign(&commit_timer, env->base, on_commit, NULL) == -1 ||
	    evtimer_assign(&sweep_timer, env->base, on_sweep, NULL) == -1 ||
	    evtimer_add(&sweep_timer, &sweep_every) == -1)
		return err_set(e, ENOMEM, "no timer");
	store_changed(db_store());
	db_watch(store_changed);
	return 0;
}

static void
anvild_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	/* A channel that replaces another one is that of a new process just as well. */
	(void)c;
	if (peer == P_SMTPD)
		counts_forget(counts, instance, clock_ms());
}

static void
anvild_drain(unsigned seconds)
{
	(void)seconds;
	db_commit();
	tlsrpt_stop();
	db_close();
	proc_drained();
}

static void
anvild_status(void)
{
	static const char *const refused[] = {
	    [CLIENT_CONNECTIONS] = "clients.refused.connections",
	    [CLIENT_NETWORK] = "clients.refused.network",
	    [CLIENT_RATE] = "clients.refused.rate",
	    [CLIENT_ERRORS] = "clients.refused.errors",
	};
	struct counts_facts f;
	int i;

	counts_facts(counts, &f);
	proc_fact("clients", "%llu", (unsigned long long)tally.clients);
	proc_fact("clients.connected", "%u", f.connections);
	proc_fact("clients.remembered", "%u", f.clients);
	for (i = CLIENT_CONNECTIONS; i <= CLIENT_ERRORS; i++)
		proc_fact(refused[i], "%llu", (unsigned long long)f.refused[i]);
	proc_fact("rates.exceeded", "%llu", (unsigned long long)f.slowed);
	proc_fact("greylist", "%lld", (long long)db_count(T_GREY));
	proc_fact("greylist.deferred", "%llu", (unsigned long long)tally.greylisted);
	proc_fact("greylist.passed", "%llu", (unsigned long long)tally.passed);
	proc_fact("known.clients", "%lld", (long long)db_count(T_PASSED));
	proc_fact("known.recipients", "%lld", (long long)db_count(T_KNOWN));
	tlsrpt_status();
}

static const struct sandbox sandbox = {
    .calls = SB_FILES | SB_MAPFILE,
    .starting = SB_FORK,
};

const struct proc anvild = {
    .self = P_ANVILD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = anvild_open,
    .start = anvild_start,
    .plumbed = anvild_plumbed,
    .drain = anvild_drain,
    .status = anvild_status,
};
