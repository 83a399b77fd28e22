#include "smtpd/gate.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/cidr.h"
#include "proc/proc.h"
#include "smtpd/gate_int.h"

#define ANVIL_MS 1000 /* then anvild counts as away */
#define NAME_WAIT_MS 200 /* that a greeting waits for the client's name */
#define NAME_MS 10000
#define LIST_MS 5000 /* a zone that has not answered by then has not listed anybody */
#define EARLY_LOGGED 64 /* octets of what came too early */
#define TARPIT_FROM 3 /* errors of a session */
#define COMPLAIN_MS 3600000 /* between lines about lists that refuse to be asked */

enum hook { NOTHING, COUNTING, SILENCE, NAMING, MAILING, LISTING, RECEIVING };

/* A question about one zone. */
struct asked {
	struct gate *g;
	struct chan_req *req;
};

struct gate {
	struct gate_rules *rules;
	const struct gate_ops *ops;
	void *arg;
	enum hook hook; /* whose answer is awaited */
	struct event timer; /* of SILENCE and NAMING */
	uint64_t began; /* clock_ms */
	/* the client */
	struct netaddr addr; /* IPv4 mapped into IPv6 is IPv4 */
	char ip[CIDR_TEXT_MAX], ip_port[CIDR_TEXT_MAX]; /* "[192.0.2.1]", "[192.0.2.1]:4711" */
	char connector[65];
	char name[256];
	enum helo_fault helo_fault;
	char helo[256];
	unsigned errors;
	int shy, named, mx;
	size_t early; /* octets that came before anybody looked for them */
	uint8_t early_text[EARLY_LOGGED];
	/* what is asked */
	struct chan_req *client, *ptr, *rate, *grey;
	struct asked *lists; /* one for each zone */
	size_t nlists; /* that have not answered */
	int listing; /* they were asked */
	struct dnsbl_score score;
	/* what was answered */
	unsigned epoch; /* of the anvild that has counted it; 0: none has */
	int passed; /* it has waited another time */
	int waited; /* it has now */
	int slow; /* the rate of this recipient */
	int closed; /* the session is gone, and anvild's answer is awaited still */
	/* the recipient in hand, while it waits for lists */
	char *sender, *rcpt;
	uint32_t grey_wait;
	struct answer answer;
};

static unsigned epoch = 1; /* changes with each anvild */
static int anvil_missed, dns_missed; /* which was logged */

static struct {
	uint64_t early, hasty, listed, helo, greylisted, limited;
} tally;

void
gate_renew(void)
{
	gate_rules_renew();
}

void
gate_plumbed(enum proc_id peer, struct chan *c)
{
	if (peer == P_ANVILD) {
		if (++epoch == 0)
			epoch = 1;
		anvil_missed = anvil_missed && c == NULL;
	} else if (peer == P_DNSD)
		dns_missed = dns_missed && c == NULL;
}

void
gate_status(void)
{
	proc_fact("gate.early", "%llu", (unsigned long long)tally.early);
	proc_fact("gate.hasty", "%llu", (unsigned long long)tally.hasty);
	proc_fact("gate.limited", "%llu", (unsigned long long)tally.limited);
	proc_fact("gate.listed", "%llu", (unsigned long long)tally.listed);
	proc_fact("gate.helo", "%llu", (unsigned long long)tally.helo);
	proc_fact("gate.greylisted", "%llu", (unsigned long long)tally.greylisted);
}

/* "192.0.2.1" */
static const char *
bare_ip(const struct gate *g, char out[CIDR_TEXT_MAX])
{
	(void)snprintf(out, CIDR_TEXT_MAX, "%.*s", (int)strcspn(g->ip + 1, "]"), g->ip + 1);
	return out;
}

static struct bytes
octets(const struct gate *g)
{
	return (struct bytes){g->addr.addr, g->addr.family == AF_INET ? 4 : 16};
}

static void
anvil_missing(void)
{
	if (!anvil_missed)
		log_warn("anvild does not answer: clients are let in, and not counted");
	anvil_missed = 1;
}

/* NULL: nobody to ask, or no memory; then it counts as answered. */
static struct chan_req *
ask(enum proc_id whom, uint16_t type, const void *body, unsigned ms, chan_reply_fn fn, void *arg)
{
	struct chan *c = proc_chan(whom, 0);
	struct chan_req *r = c != NULL ? chan_request(c, type, body, -1, ms, fn, arg) : NULL;

	if (r == NULL && whom == P_ANVILD)
		anvil_missing();
	if (r == NULL && whom == P_DNSD && !dns_missed) {
		log_warn("dnsd does not answer: clients have no names, and are on no list");
		dns_missed = 1;
	}
	return r;
}

static void
gate_free(struct gate *g)
{
	size_t i;

	if (event_initialized(&g->timer))
		(void)event_del(&g->timer);
	chan_cancel(g->client);
	chan_cancel(g->ptr);
	chan_cancel(g->rate);
	chan_cancel(g->grey);
	for (i = 0; g->lists != NULL && i < g->rules->dnsbl.nzones; i++)
		chan_cancel(g->lists[i].req);
	free(g->lists);
	free(g->sender);
	free(g->rcpt);
	gate_rules_drop(g->rules);
	free(g);
}

/* The answer to a hook that was waiting; the gate may be gone behind it. */
static void
tell(struct gate *g, enum gate_verdict v)
{
	g->hook = NOTHING;
	if (event_initialized(&g->timer))
		(void)event_del(&g->timer);
	g->ops->done(v, g->arg);
}

/* --- the beginning --- */

static void
on_name(void *arg, struct ipc_msg *m, int error)
{
	const struct dns_ptr_rep *p = m != NULL ? m->body : NULL;
	struct gate *g = arg;

	(void)error;
	g->ptr = NULL;
	if (p != NULL && p->status == DNS_OK && host_valid(p->name))
		(void)strlcpy(g->name, p->name, sizeof g->name);
	if (g->hook == NAMING)
		tell(g, GATE_OK);
}

static void on_list(void *arg, struct ipc_msg *m, int error);

/* A list does not want to be asked from here. */
static void
complain(const char *zone)
{
	static uint64_t last;
	uint64_t now = clock_ms();

	if (last != 0 && now - last < COMPLAIN_MS)
		return;
	last = now;
	log_warn("dnsbl %s refuses to be asked by this resolver; its answers do not count", zone);
}

/* One request for each zone; what cannot be asked has not listed anybody. */
static void
ask_lists(struct gate *g)
{
	const struct dnsbl *d = &g->rules->dnsbl;
	struct dns_list_req q = {.ip = octets(g)};
	size_t i;

	if (g->listing)
		return;
	g->listing = 1;
	if (d->nzones == 0 || (g->lists = calloc(d->nzones, sizeof *g->lists)) == NULL)
		return;
	for (i = 0; i < d->nzones; i++) {
		q.zone = d->zones[i];
		g->lists[i].g = g;
		g->lists[i].req = ask(P_DNSD, M_dns_list_req, &q, LIST_MS, on_list, &g->lists[i]);
		g->nlists += g->lists[i].req != NULL;
	}
}

static enum gate_verdict
refuse_early(struct gate *g, const void *p, size_t n)
{
	uint64_t ms = clock_ms() - g->began;
	char text[4 * EARLY_LOGGED + 8];

	tally.early++;
	g->errors++;
	log_info("PREGREET %zu after %llu.%02llu from %s: %s", n, (unsigned long long)(ms / 1000),
	    (unsigned long long)(ms % 1000 / 10), g->ip_port,
	    log_escape(text, sizeof text, p, n < EARLY_LOGGED ? n : EARLY_LOGGED));
	answer_set(
	    &g->answer, 521, "5.7.1 %s you did not wait for the greeting", g->rules->hostname);
	g->hook = NOTHING;
	if (event_initialized(&g->timer))
		(void)event_del(&g->timer);
	return GATE_CLOSE;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;

	(void)fd;
	(void)what;
	if (g->hook == SILENCE)
		g->waited = 1;
	tell(g, GATE_OK);
}

/* Without a timer nobody waits. */
static enum gate_verdict
wait_for(struct gate *g, enum hook hook, uint64_t ms)
{
	struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	if (evtimer_assign(&g->timer, proc_env()->base, on_timer, g) == -1 ||
	    evtimer_add(&g->timer, &tv) == -1)
		return GATE_OK;
	g->hook = hook;
	return GATE_WAIT;
}

/* It may stay: what else is to be known before it is greeted, and soon after? */
static enum gate_verdict
let_in(struct gate *g)
{
	struct dns_ptr_req q = {.ip = octets(g)};

	if (g->mx && !g->named)
		g->ptr = ask(P_DNSD, M_dns_ptr_req, &q, NAME_MS, on_name, g);
	/* Others log in, most of them. */
	if (g->mx)
		ask_lists(g);
	if (g->shy && g->rules->greet_wait > 0 && !g->passed) {
		if (g->early > 0)
			return refuse_early(g, g->early_text, g->early);
		return wait_for(g, SILENCE, g->rules->greet_wait * 1000);
	}
	/* Who is known here is not kept waiting for the sake of the log. */
	if (g->ptr != NULL && !g->passed)
		return wait_for(g, NAMING, NAME_WAIT_MS);
	return GATE_OK;
}

/* What tools for Postfix look for in the log, and what the client is told. */
static void
limit_answer(struct gate *g, enum client_verdict v, const char *text)
{
	static const char *const what[] = {
	    [CLIENT_CONNECTIONS] = "Connection concurrency limit exceeded",
	    [CLIENT_NETWORK] = "Connection concurrency limit of the network exceeded",
	    [CLIENT_RATE] = "Connection rate limit exceeded",
	    [CLIENT_ERRORS] = "Error rate limit exceeded",
	};
	char ip[CIDR_TEXT_MAX];

	tally.limited++;
	log_warn(
	    "%s: %s from %s%s for service %s", what[v], text, gate_name(g), g->ip, g->connector);
	answer_set(&g->answer, 421, "4.7.0 %s Error: too many %s from %s", g->rules->hostname,
	    v == CLIENT_ERRORS ? "errors" : "connections", bare_ip(g, ip));
}

static enum gate_verdict
judge_client(struct gate *g, const struct client_rep *r)
{
	if (r == NULL)
		return let_in(g);
	g->passed = r->passed;
	if (r->verdict == CLIENT_OK)
		return let_in(g);
	limit_answer(g, (enum client_verdict)r->verdict, r->text);
	return GATE_CLOSE;
}

static void send_left(const struct gate *g);

static void
on_client(void *arg, struct ipc_msg *m, int error)
{
	const struct client_rep *r = m != NULL ? m->body : NULL;
	struct gate *g = arg;
	enum gate_verdict v;

	g->client = NULL;
	if (r == NULL && error != ECANCELED)
		anvil_missing();
	/* A new anvild has not counted it; one that is only slow has. */
	if (r == NULL ? error != ETIMEDOUT : r->verdict != CLIENT_OK)
		g->epoch = 0;
	if (g->closed) {
		send_left(g);
		gate_free(g);
		return;
	}
	if ((v = judge_client(g, r)) != GATE_WAIT)
		tell(g, v);
}

static int
set_client(struct gate *g, const struct sockaddr_storage *from)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const struct sockaddr *sa = (const struct sockaddr *)from;

	if (netaddr_from_sockaddr(&g->addr, sa) == -1)
		return -1;
	if (g->addr.family == AF_INET6 && memcmp(g->addr.addr, mapped, sizeof mapped) == 0) {
		g->addr.family = AF_INET;
		memmove(g->addr.addr, g->addr.addr + 12, 4);
	}
	(void)cidr_text(g->ip, sizeof g->ip, sa);
	(void)cidr_text_port(g->ip_port, sizeof g->ip_port, sa);
	return 0;
}

struct gate *
gate_open(const struct conf_connector *k, const struct sockaddr_storage *from, const char *name,
    int shy, const struct gate_ops *ops, void *arg, enum gate_verdict *v)
{
	struct client_req q = {.gate = NULL};
	struct gate *g;

	*v = GATE_OK;
	if (k->gate == NULL ||
	    cidr_match(k->gate->exempt.v, k->gate->exempt.n, (const struct sockaddr *)from) ||
	    (g = calloc(1, sizeof *g)) == NULL)
		return NULL;
	if (set_client(g, from) == -1 || (g->rules = gate_rules_get(k->gate)) == NULL) {
		free(g);
		return NULL;
	}
	g->ops = ops;
	g->arg = arg;
	g->shy = shy;
	g->mx = k->service == CONF_MX;
	g->began = clock_ms();
	(void)strlcpy(g->connector, k->name, sizeof g->connector);
	(void)strlcpy(g->name, "unknown", sizeof g->name);
	if ((g->named = name != NULL) != 0)
		(void)strlcpy(g->name, name, sizeof g->name);
	if (g->rules->counted) {
		q.gate = g->rules->name;
		q.ip = octets(g);
		g->client = ask(P_ANVILD, M_client_req, &q, ANVIL_MS, on_client, g);
	}
	if (g->client != NULL) {
		g->epoch = epoch;
		g->hook = COUNTING;
		*v = GATE_WAIT;
	} else
		*v = let_in(g);
	return g;
}

/* --- the end --- */

static void
send_left(const struct gate *g)
{
	struct client_left q = {.gate = g->rules->name,
	    .ip = octets(g),
	    .passed = (uint8_t)g->waited,
	    .errors = g->errors};
	struct chan *c = proc_chan(P_ANVILD, 0);

	if (c != NULL && g->epoch == epoch)
		(void)chan_send(c, M_client_left, 0, &q, -1);
}

void
gate_close(struct gate *g)
{
	if (g == NULL)
		return;
	if (g->client != NULL) {
		/* Whether it was counted is not known yet. */
		g->closed = 1;
		return;
	}
	send_left(g);
	gate_free(g);
}

const struct answer *
gate_answer(const struct gate *g)
{
	return &g->answer;
}

const char *
gate_name(const struct gate *g)
{
	return g != NULL ? g->name : "unknown";
}

/* --- manners --- */

enum gate_verdict
gate_early(struct gate *g, const void *p, size_t n)
{
	if (g == NULL || n == 0)
		return GATE_OK;
	if (g->hook == SILENCE)
		return refuse_early(g, p, n);
	if (g->hook == COUNTING && g->early == 0) {
		g->early = n;
		memcpy(g->early_text, p, n < sizeof g->early_text ? n : sizeof g->early_text);
	}
	return GATE_OK;
}

enum gate_verdict
gate_hasty(struct gate *g, const char *where, const void *p, size_t n)
{
	char text[4 * EARLY_LOGGED + 8];

	if (g == NULL || n == 0)
		return GATE_OK;
	tally.hasty++;
	g->errors++;
	g->waited = 0; /* not one to be remembered */
	log_info("improper command pipelining after %s from %s%s: %s", where, g->name, g->ip,
	    log_escape(text, sizeof text, p, n < EARLY_LOGGED ? n : EARLY_LOGGED));
	answer_set(&g->answer, 503, "5.5.0 Improper use of SMTP command pipelining");
	return GATE_CLOSE;
}

unsigned
gate_error(struct gate *g)
{
	if (g == NULL)
		return 0;
	if (g->errors < UINT32_MAX)
		g->errors++;
	return g->errors >= TARPIT_FROM ? (unsigned)g->rules->tarpit * 1000 : 0;
}

int
gate_helo_required(const struct gate *g)
{
	return g == NULL || g->rules->helo_required;
}

void
gate_helo(struct gate *g, const char *helo)
{
	if (g == NULL || !g->rules->helo_check)
		return;
	(void)strlcpy(g->helo, helo, sizeof g->helo);
	g->helo_fault = gate_helo_judge(helo, g->rules->hostname, &g->addr);
}

/* --- messages and recipients --- */

static void on_rate(void *arg, struct ipc_msg *m, int error);

/* 1: the answer is awaited. */
static int
ask_rate(struct gate *g, uint32_t messages, uint32_t recipients)
{
	struct rate_req q = {.gate = g->rules->name,
	    .ip = octets(g),
	    .messages = messages,
	    .recipients = recipients};

	g->slow = 0;
	g->rate = ask(P_ANVILD, M_rate_req, &q, ANVIL_MS, on_rate, g);
	return g->rate != NULL;
}

static enum gate_verdict
refuse_slow(struct gate *g, const char *text, int mailing)
{
	char ip[CIDR_TEXT_MAX];

	tally.limited++;
	log_warn("%s rate limit exceeded: %s from %s%s for service %s",
	    mailing ? "Message delivery request" : "Recipient address", text, g->name, g->ip,
	    g->connector);
	answer_set(&g->answer, 450, "4.7.1 Error: too %s from %s",
	    mailing ? "much mail" : "many recipients", bare_ip(g, ip));
	return GATE_REFUSE;
}

/* The recipient in hand: are all answers there? */
static void
rcpt_answered(struct gate *g)
{
	enum gate_verdict v = GATE_OK;

	if (g->hook != RECEIVING || g->rate != NULL || g->grey != NULL)
		return;
	if (g->slow)
		v = GATE_REFUSE;
	else if (g->grey_wait > 0) {
		tally.greylisted++;
		answer_set(&g->answer, 450,
		    "4.2.0 <%s>: Recipient address rejected: Greylisted for %u seconds", g->rcpt,
		    g->grey_wait);
		v = GATE_REFUSE;
	}
	tell(g, v);
}

static void
on_rate(void *arg, struct ipc_msg *m, int error)
{
	const struct rate_rep *r = m != NULL ? m->body : NULL;
	struct gate *g = arg;
	int mailing = g->hook == MAILING;

	g->rate = NULL;
	if (r == NULL && error != ECANCELED)
		anvil_missing();
	g->slow = r != NULL && !r->ok;
	if (g->slow)
		(void)refuse_slow(g, r->text, mailing);
	if (mailing)
		tell(g, g->slow ? GATE_REFUSE : GATE_OK);
	else
		rcpt_answered(g);
}

static void
on_grey(void *arg, struct ipc_msg *m, int error)
{
	const struct grey_rep *r = m != NULL ? m->body : NULL;
	struct gate *g = arg;

	g->grey = NULL;
	if (r == NULL && error != ECANCELED)
		anvil_missing();
	if (r != NULL && !r->pass)
		g->grey_wait = r->wait > 0 ? r->wait : 1;
	rcpt_answered(g);
}

enum gate_verdict
gate_mail(struct gate *g)
{
	if (g == NULL || !g->rules->messages || !ask_rate(g, 1, 0))
		return GATE_OK;
	g->hook = MAILING;
	return GATE_WAIT;
}

static int
refuse_helo(struct gate *g)
{
	switch (g->helo_fault) {
	case HELO_GOOD:
		return 0;
	case HELO_SYNTAX:
		answer_set(
		    &g->answer, 554, "5.7.1 <%s>: Helo command rejected: Invalid name", g->helo);
		break;
	case HELO_OURS:
		answer_set(
		    &g->answer, 554, "5.7.1 <%s>: Helo command rejected: That is my name", g->helo);
		break;
	case HELO_LITERAL:
		answer_set(&g->answer, 554,
		    "5.7.1 <%s>: Helo command rejected: That is not your address", g->helo);
		break;
	}
	tally.helo++;
	g->errors++;
	return 1;
}

static int
refuse_listed(struct gate *g)
{
	const struct dnsbl_score *s = &g->score;

	if (!dnsbl_refuses(&g->rules->dnsbl, s))
		return 0;
	answer_set(&g->answer, 554,
	    "5.7.1 Service unavailable; Client host %s blocked using %s%s%s", g->ip, s->zone,
	    s->text[0] != '\0' ? "; " : "", s->text);
	tally.listed++;
	g->errors++;
	return 1;
}

/* What depends on the recipient. */
static enum gate_verdict
ask_rcpt(struct gate *g, const char *sender, const char *rcpt, int trusted)
{
	struct grey_req q = {
	    .gate = g->rules->name, .ip = octets(g), .sender = sender, .rcpt = rcpt};
	int waits = 0;

	g->slow = 0;
	g->grey_wait = 0;
	if (g->rules->recipients)
		waits = ask_rate(g, 0, 1);
	/* A list that speaks for the client is worth more than waiting. */
	if (g->rules->greylist && !trusted && g->score.sum >= 0) {
		g->grey = ask(P_ANVILD, M_grey_req, &q, ANVIL_MS, on_grey, g);
		waits |= g->grey != NULL;
	}
	if (!waits)
		return GATE_OK;
	g->hook = RECEIVING;
	return GATE_WAIT;
}

static void
forget_rcpt(struct gate *g)
{
	free(g->sender);
	free(g->rcpt);
	g->sender = g->rcpt = NULL;
}

/* The client is what it says, and on no list. */
static enum gate_verdict
judge_listed(struct gate *g)
{
	return refuse_listed(g) ? GATE_REFUSE : ask_rcpt(g, g->sender, g->rcpt, 0);
}

static void
on_list(void *arg, struct ipc_msg *m, int error)
{
	struct asked *a = arg;
	struct gate *g = a->g;
	size_t zone = (size_t)(a - g->lists);
	enum gate_verdict v;

	(void)error;
	a->req = NULL;
	if (m != NULL && dnsbl_add(&g->rules->dnsbl, zone, m->body, &g->score))
		complain(g->rules->dnsbl.zones[zone]);
	if (--g->nlists > 0 || g->hook != LISTING)
		return;
	if ((v = judge_listed(g)) != GATE_WAIT)
		tell(g, v);
}

/* For who has to wait. */
static int
keep_rcpt(struct gate *g, const char *sender, const char *rcpt)
{
	forget_rcpt(g);
	return (g->sender = strdup(sender)) != NULL && (g->rcpt = strdup(rcpt)) != NULL ? 0 : -1;
}

enum gate_verdict
gate_rcpt(struct gate *g, const char *sender, const char *rcpt, int trusted)
{
	if (g == NULL)
		return GATE_OK;
	if (trusted)
		return ask_rcpt(g, sender, rcpt, 1);
	if (refuse_helo(g))
		return GATE_REFUSE;
	ask_lists(g);
	if ((g->nlists > 0 || g->rules->greylist) && keep_rcpt(g, sender, rcpt) == -1)
		return GATE_OK;
	if (g->nlists > 0) {
		g->hook = LISTING;
		return GATE_WAIT;
	}
	return refuse_listed(g) ? GATE_REFUSE : ask_rcpt(g, sender, rcpt, 0);
}
