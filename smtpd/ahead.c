/*
 * Call-ahead: one connection for each route, over which recipients are asked one after the other in
 * one transaction that never comes to its text.
 */
#include "smtpd/ahead.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/proc.h"
#include "smtpd/command.h"
#include "smtpd/peer.h"

#define REMEMBERED_MS 1000 /* for anvild to say what it remembers */
#define IDLE_MS 10000 /* that a connection stays without a question */
#define RCPTS_ASKED 100 /* recipients of one transaction */
#define FAILURES_MAX 3 /* connections that ended without a single answer */
#define SERVERS_MAX 64 /* of one route that are tried */
#define COMPLAIN_MS 60000 /* between two lines about domains without servers */

struct ahead_ask {
	TAILQ_ENTRY(ahead_ask) next;
	struct pool *pool; /* NULL: anvild is asked */
	struct chan_req *known;
	char *addr;
	char route[65];
	int utf8, tries;
	uint64_t due; /* clock_ms */
	ahead_fn fn;
	void *arg;
};

struct pool {
	LIST_ENTRY(pool) next;
	char route[65];
	struct proxy_route r; /* the server that is asked */
	struct conf_server servers[SERVERS_MAX]; /* of the route, first ones first */
	size_t nservers, at;
	struct chan_req *mx;
	struct peer *peer;
	int ready; /* commands may be given */
	unsigned mailed; /* recipients asked since MAIL, and 1; 0: no transaction */
	struct ahead_ask
	    *now; /* whose answer is awaited; NULL with asking: nobody waits any more */
	int asking;
	unsigned failures; /* of connections since the last answer */
	uint64_t used; /* clock_ms of the last answer */
	unsigned n;
	TAILQ_HEAD(, ahead_ask) asks;
	struct event *timer;
};

static LIST_HEAD(, pool) pools = LIST_HEAD_INITIALIZER(pools);

static void go_on(struct pool *p);

static void
ask_free(struct ahead_ask *a)
{
	if (a->pool != NULL) {
		TAILQ_REMOVE(&a->pool->asks, a, next);
		a->pool->n--;
		if (a->pool->now == a)
			a->pool->now = NULL;
	}
	chan_cancel(a->known);
	free(a->addr);
	free(a);
}

void
ahead_cancel(struct ahead_ask *a)
{
	if (a != NULL)
		ask_free(a);
}

static void
tell(struct ahead_ask *a, enum known_rcpt known, const char *text)
{
	ahead_fn fn = a->fn;
	void *arg = a->arg;

	ask_free(a);
	fn(known, text, arg);
}

static void
remember(const struct ahead_ask *a, enum known_rcpt known, const char *text)
{
	struct known_put q = {.rcpt = a->addr, .known = (uint8_t)known, .text = text};
	struct chan *c = proc_chan(P_ANVILD, 0);

	if (c != NULL)
		(void)chan_send(c, M_known_put, 0, &q, -1);
}

/* --- the server --- */

static void
hang_up(struct pool *p)
{
	peer_close(p->peer);
	p->peer = NULL;
	p->ready = p->asking = 0;
	p->mailed = 0;
	p->now = NULL;
	chan_cancel(p->mx);
	p->mx = NULL;
}

/* Nobody can be asked now. */
static void
give_up(struct pool *p)
{
	struct ahead_ask *a;
	unsigned n = p->n;

	hang_up(p);
	p->at = 0;
	p->failures = 0;
	for (; n > 0 && (a = TAILQ_FIRST(&p->asks)) != NULL; n--)
		tell(a, KNOWN_NOT, "");
}

static void
on_rcpt(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct pool *p = arg;
	struct ahead_ask *a = p->now;
	enum known_rcpt known = r->code / 100 == 2   ? KNOWN_GOOD
				: r->code / 100 == 5 ? KNOWN_BAD
						     : KNOWN_NOT;
	char line[ANSWER_LINE_MAX + 1];
	struct answer said;

	(void)tag;
	p->asking = 0;
	p->used = clock_ms();
	p->at = 0;
	p->failures = 0;
	if (a != NULL) {
		answer_from_peer(&said, r);
		(void)answer_line(line, sizeof line, &said);
		if (known != KNOWN_NOT)
			remember(a, known, line);
		tell(a, known, line);
	}
	go_on(p);
}

static void
on_mail(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct pool *p = arg;
	char line[LOG_FIELD_MAX];
	struct answer said;

	(void)tag;
	p->asking = 0;
	if (r->code / 100 == 2) {
		p->mailed = 1;
		go_on(p);
		return;
	}
	answer_from_peer(&said, r);
	log_warn("route %s: server %s does not say who is there: %s", p->route, peer_relay(p->peer),
	    log_str(answer_line(line, sizeof line, &said)));
	give_up(p);
}

static void
on_reset(void *arg, unsigned tag, const struct smtp_reply *r)
{
	struct pool *p = arg;

	(void)tag;
	(void)r;
	p->asking = 0;
	go_on(p);
}

static void
put_question(struct pool *p)
{
	struct mail_cmd m = {.path.null = true, .smtputf8 = 1};
	unsigned has = peer_features(p->peer);
	char line[COMMAND_MAX];
	struct ahead_ask *a;
	int rc;

	if (p->mailed > RCPTS_ASKED) {
		p->mailed = 0;
		rc = peer_reset(p->peer, on_reset, p);
	} else if (p->mailed == 0) {
		command_mail_text(line, &m, has & F_SMTPUTF8, 0);
		rc = peer_command(p->peer, line, on_mail, p, 0);
	} else {
		a = TAILQ_FIRST(&p->asks);
		if (a->utf8 && (has & F_SMTPUTF8) == 0) {
			tell(a, KNOWN_NOT, "");
			go_on(p);
			return;
		}
		p->now = a;
		p->mailed++;
		(void)snprintf(line, sizeof line, "RCPT TO:<%s>", a->addr);
		rc = peer_command(p->peer, line, on_rcpt, p, 0);
	}
	p->asking = rc == 0;
	if (rc == -1)
		give_up(p);
}

static void
on_ready(void *arg)
{
	struct pool *p = arg;

	p->ready = 1;
	go_on(p);
}

/* The next server; or, after a question that may have been its end, the same once more. */
static void
on_failed(const struct answer *why, void *arg)
{
	struct pool *p = arg;
	struct ahead_ask *a = p->now;
	int was_ready = p->ready;

	(void)why; /* is in the log */
	hang_up(p);
	if (!was_ready)
		p->at++;
	else if (a != NULL && a->tries++ > 0)
		tell(a, KNOWN_NOT, "");
	if (p->at >= p->nservers || (was_ready && ++p->failures >= FAILURES_MAX))
		give_up(p);
	else
		go_on(p);
}

static const struct peer_ops peer_ops = {.ready = on_ready, .failed = on_failed};

static void
dial(struct pool *p, const char *host)
{
	const struct conf *c = proc_env()->conf;
	const struct conf_route *to = conf_route_find(c, p->route);
	struct conf_server at = p->servers[p->at];

	if (to == NULL) {
		give_up(p);
		return;
	}
	(void)strlcpy(at.host, host, sizeof at.host);
	proxy_route_server(&p->r, to, &at, c);
	if ((p->peer = peer_open(&p->r, NULL, false, &peer_ops, p)) == NULL)
		give_up(p);
}

static void
on_mx(void *arg, struct ipc_msg *m, int error)
{
	const struct dns_mx_rep *r = m != NULL ? m->body : NULL;
	struct pool *p = arg;

	(void)error;
	p->mx = NULL;
	if (r != NULL && r->status == DNS_OK && r->records.n > 0)
		dial(p, r->records.v[0].host);
	else if (++p->at < p->nservers)
		go_on(p);
	else
		give_up(p);
}

static void
connect_to(struct pool *p)
{
	struct dns_mx_req q = {.name = p->servers[p->at].host};
	struct chan *c = proc_chan(P_DNSD, 0);

	if (!p->servers[p->at].mx) {
		dial(p, p->servers[p->at].host);
		return;
	}
	if (c != NULL)
		p->mx = chan_request(c, M_dns_mx_req, &q, -1, AHEAD_MS, on_mx, p);
	if (p->mx == NULL)
		give_up(p);
}

/* What is missing next: the connection, the transaction, the answer. */
static void
go_on(struct pool *p)
{
	if (p->asking || TAILQ_EMPTY(&p->asks))
		return;
	if (p->ready)
		put_question(p);
	else if (p->peer == NULL && p->mx == NULL)
		connect_to(p);
}

static void
arm(struct pool *p)
{
	static const struct timeval soon = {1, 0};

	if (!event_pending(p->timer, EV_TIMEOUT, NULL))
		(void)event_add(p->timer, &soon);
}

/* Once a second while there are questions, or a connection. */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;
	struct ahead_ask *a;
	uint64_t now = clock_ms();
	int silent = 0;

	(void)fd;
	(void)what;
	/* The first has waited for the longest time; whoever is told may change the list. */
	while ((a = TAILQ_FIRST(&p->asks)) != NULL && a->due < now) {
		silent |= a == p->now;
		tell(a, KNOWN_NOT, "");
	}
	/* Others need not wait for this server's answer as long. */
	if (silent) {
		hang_up(p);
		if (++p->at >= p->nservers)
			p->at = 0;
		go_on(p);
	}
	if (p->n == 0 && p->ready && !p->asking && now > p->used + IDLE_MS)
		hang_up(p);
	if (p->n > 0 || p->peer != NULL)
		arm(p);
}

/* --- routes --- */

static int
by_priority(const void *a, const void *b)
{
	const struct conf_server *x = a, *y = b;

	return (x->priority > y->priority) - (x->priority < y->priority);
}

/* The servers of a route as the configuration has it now. */
static size_t
list_servers(struct pool *p, const struct conf_route *r)
{
	size_t i;

	p->nservers = p->at = 0;
	for (i = 0; i < r->servers.n && p->nservers < SERVERS_MAX; i++)
		if (conf_server_parse(r->servers.v[i], &p->servers[p->nservers]) == 0)
			p->nservers++;
	qsort(p->servers, p->nservers, sizeof p->servers[0], by_priority);
	return p->nservers;
}

static struct pool *
pool_of(const char *route)
{
	const struct conf_route *r = conf_route_find(proc_env()->conf, route);
	struct pool *p;

	if (r == NULL)
		return NULL;
	LIST_FOREACH (p, &pools, next)
		if (strcmp(p->route, route) == 0)
			break;
	if (p == NULL) {
		if ((p = calloc(1, sizeof *p)) == NULL)
			return NULL;
		if ((p->timer = evtimer_new(proc_env()->base, on_timer, p)) == NULL) {
			free(p);
			return NULL;
		}
		(void)strlcpy(p->route, route, sizeof p->route);
		TAILQ_INIT(&p->asks);
		LIST_INSERT_HEAD(&pools, p, next);
	}
	if (p->peer == NULL && p->mx == NULL && list_servers(p, r) == 0)
		return NULL;
	return p;
}

void
ahead_renew(void)
{
	struct pool *p;

	LIST_FOREACH (p, &pools, next)
		if (p->n == 0)
			hang_up(p);
}

/* --- questions --- */

/* Nobody remembers: the server has to say. */
static void
ask_server(struct ahead_ask *a)
{
	struct pool *p = pool_of(a->route);

	if (p == NULL || p->n >= AHEAD_PENDING_MAX) {
		tell(a, KNOWN_NOT, "");
		return;
	}
	a->pool = p;
	TAILQ_INSERT_TAIL(&p->asks, a, next);
	p->n++;
	arm(p);
	go_on(p);
}

static void
on_known(void *arg, struct ipc_msg *m, int error)
{
	const struct known_rep *p = m != NULL ? m->body : NULL;
	struct ahead_ask *a = arg;

	(void)error;
	a->known = NULL;
	if (p != NULL && p->known != KNOWN_NOT)
		tell(a, (enum known_rcpt)p->known, p->text);
	else
		ask_server(a);
}

static void
complain(const char *domain)
{
	static uint64_t last;
	uint64_t now = clock_ms();

	if (last != 0 && now < last + COMPLAIN_MS)
		return;
	last = now;
	log_warn("domain %s: no route names servers that could say who is there: add one, or list "
		 "the recipients (gwctl recipient add), or take all (gwctl domain add "
		 "--recipients any)",
	    log_str(domain));
}

struct ahead_ask *
ahead_ask(const char *addr, const char *domain, int utf8, ahead_fn fn, void *arg)
{
	const struct conf_route *r = conf_route_of(proc_env()->conf, domain);
	struct known_req q = {.rcpt = addr};
	struct chan *c = proc_chan(P_ANVILD, 0);
	struct ahead_ask *a;

	if (r == NULL || r->servers.n == 0) {
		complain(domain);
		errno = EHOSTUNREACH;
		return NULL;
	}
	if ((a = calloc(1, sizeof *a)) == NULL || (a->addr = strdup(addr)) == NULL) {
		free(a);
		return NULL;
	}
	(void)strlcpy(a->route, r->name, sizeof a->route);
	a->utf8 = utf8;
	a->due = clock_ms() + AHEAD_MS;
	a->fn = fn;
	a->arg = arg;
	if (c != NULL)
		a->known = chan_request(c, M_known_req, &q, -1, REMEMBERED_MS, on_known, a);
	if (a->known != NULL)
		return a;
	/* anvild is away: nothing is remembered, and fn must not be called from in here. */
	ask_free(a);
	errno = EAGAIN;
	return NULL;
}
