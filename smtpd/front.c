/*
 * Who the client is: what a balancer says of it in front of everything else, what a trusted host
 * says in XCLIENT, and the gate that it has to pass.
 */
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/event.h"
#include "smtpd/proxyproto.h"
#include "smtpd/session.h"
#include "smtpd/xclient.h"

/* --- balancers --- */

/* A connection whose client is not known yet. */
struct arrival {
	LIST_ENTRY(arrival) next;
	char connector[65];
	struct conf_listener at;
	int fd;
	struct sockaddr_storage from; /* the balancer */
	uint64_t until; /* clock_ms */
	int had; /* octets that were there the last time */
	struct event ev;
};

static LIST_HEAD(, arrival) arrivals = LIST_HEAD_INITIALIZER(arrivals);
static unsigned narrivals;
static const struct sockaddr_storage nobody; /* AF_UNSPEC: how such a one is counted */

void
front_refuse(enum proxy_refusal why, int fd, const struct sockaddr_storage *from)
{
	static const char *const texts[] = {
	    [PROXY_NOT_ALLOWED] = "554 5.7.1 your address is not allowed here\r\n",
	    [PROXY_TOO_MANY] = "421 4.3.2 too many connections, try again later\r\n",
	    [PROXY_TOO_MANY_HERE] =
		"421 4.7.0 too many connections from your address, try again later\r\n",
	};
	struct log_event e = {.kind = EV_REJECT, .what = "CONNECT from", .proto = "SMTP"};
	char ip[CIDR_TEXT_MAX], who[CIDR_TEXT_MAX + 8], text[128];

	/* A fresh socket takes one line; nothing waits for a client that is not wanted. */
	(void)send(fd, texts[why], strlen(texts[why]), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	(void)snprintf(
	    who, sizeof who, "unknown%s", cidr_text(ip, sizeof ip, (const struct sockaddr *)from));
	(void)snprintf(text, sizeof text, "%.*s", (int)strlen(texts[why]) - 2, texts[why]);
	e.client = who;
	e.text = text;
	proc_event(&e);
}

static void
forget(struct arrival *a)
{
	LIST_REMOVE(a, next);
	narrivals--;
	(void)event_del(&a->ev);
	free(a);
}

static void
drop(struct arrival *a)
{
	close(a->fd);
	proxy_left(&nobody);
	forget(a);
}

/* The client is known. */
static void
arrived(struct arrival *a, const struct proxyproto *h)
{
	const struct conf_connector *k = proxy_connector(a->connector);
	const struct sockaddr_storage *from = h->local ? &a->from : &h->from;
	enum proxy_refusal why;

	if (k == NULL) { /* a reload has just taken it away */
		drop(a);
		return;
	}
	if (proxy_readmit(k, &nobody, from, &why) == -1)
		front_refuse(why, a->fd, from);
	else
		session_begin(k, &a->at, a->fd, from, from);
	forget(a);
}

/*
 * The header is looked at where it lies, and then taken: what is behind it is the client's, and may
 * be the first octets of its TLS.
 */
static void
on_header(evutil_socket_t fd, short what, void *arg)
{
	uint8_t text[PROXYPROTO_MAX];
	struct arrival *a = arg;
	struct proxyproto h;
	ssize_t n, used = -1;
	char ip[CIDR_TEXT_MAX];
	int low = 1;

	(void)what;
	n = recv(fd, text, sizeof text, MSG_PEEK | MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR) && clock_ms() < a->until)
		return;
	if (n > 0)
		used = proxyproto_parse(text, (size_t)n, &h);
	if (used > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low) == 0 &&
	    recv(fd, text, (size_t)used, MSG_DONTWAIT) == used) {
		arrived(a, &h);
		return;
	}
	/* Wake us when there is more of it than now; if there is not, it has ended. */
	low = (int)n + 1;
	if (used == 0 && n > a->had && clock_ms() < a->until && (size_t)n < sizeof text &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low) == 0) {
		a->had = (int)n;
		return;
	}
	if (n != 0) /* a balancer that looks whether we are there says nothing */
		log_warn("connector %s: %s sent no good PROXY header", a->connector,
		    cidr_text(ip, sizeof ip, (const struct sockaddr *)&a->from));
	drop(a);
}

void
front_accept(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from)
{
	static const struct timeval most = {PROXYPROTO_MS / 1000, PROXYPROTO_MS % 1000 * 1000};
	struct arrival *a;

	if (!proxyproto_wanted(k, from)) {
		session_begin(k, l, fd, from, from);
		return;
	}
	if ((a = calloc(1, sizeof *a)) == NULL ||
	    event_assign(&a->ev, proc_env()->base, fd, EV_READ | EV_PERSIST, on_header, a) == -1 ||
	    event_add(&a->ev, &most) == -1) {
		log_err("no memory for a session");
		free(a);
		close(fd);
		proxy_left(&nobody);
		return;
	}
	(void)strlcpy(a->connector, k->name, sizeof a->connector);
	a->at = *l;
	a->fd = fd;
	a->from = *from;
	a->until = clock_ms() + PROXYPROTO_MS;
	LIST_INSERT_HEAD(&arrivals, a, next);
	narrivals++;
}

void
front_drain(void)
{
	struct arrival *a;

	while ((a = LIST_FIRST(&arrivals)) != NULL)
		drop(a);
}

unsigned
front_count(void)
{
	return narrivals;
}

const struct proxy_service smtp_service = {.accept = front_accept, .refuse = front_refuse};

/* --- the gate --- */

void
session_gate_closes(struct session *s)
{
	const struct answer *a = gate_answer(s->gate);

	session_log_reject(s, s->state == ST_OPENING ? "CONNECT" : s->where, a, NULL);
	s->gated = GATED_NOT;
	session_refused(s);
	session_end(s);
}

void
session_gate_names(struct session *s)
{
	const char *name = gate_name(s->gate);

	if (s->gate != NULL && strcmp(name, "unknown") != 0)
		session_named(s, name);
}

/* The way is free, as far as it depends on the gate. */
static void
passed(struct session *s)
{
	if (s->route->client_tls != CONF_TLS_IMPLICIT || conn_is_tls(s->c))
		session_opened(s);
}

static void
on_gate(enum gate_verdict v, void *arg)
{
	struct session *s = arg;
	int was = s->gated;

	s->gated = GATED_NOT;
	if (s->ended || s->ending)
		return;
	session_gate_names(s);
	if (v == GATE_CLOSE)
		session_gate_closes(s);
	else if (was == GATED_OPEN) {
		if (s->c != NULL)
			passed(s);
	} else
		queue_gated(s, was, v);
}

static const struct gate_ops gate_ops = {.done = on_gate};

void
session_gate_open(struct session *s, const char *name, int shy)
{
	const struct conf_connector *k = proxy_connector(s->route->connector);
	enum gate_verdict v = GATE_OK;

	if (k != NULL)
		s->gate = gate_open(k, &s->from, name, shy, &gate_ops, s, &v);
	if (name != NULL)
		session_named(s, name);
	else
		session_gate_names(s);
	if (v == GATE_WAIT)
		s->gated = GATED_OPEN;
	else if (v != GATE_OK)
		session_gate_closes(s);
}

/* --- XCLIENT, XFORWARD --- */

/* May it say so?  What PROXY told counts, what XCLIENT told does not. */
static int
trusted(const struct session *s)
{
	const struct conf_connector *k = proxy_connector(s->route->connector);

	return k != NULL && s->backend == &queue_backend &&
	       xclient_allowed(k, s->teller_set ? &s->teller : &s->from);
}

int
xclient_offered(const struct session *s)
{
	return trusted(s);
}

static int
refused(struct session *s)
{
	if (s->backend != &queue_backend)
		session_error(s, 502, "5.5.1 command not implemented");
	else if (!trusted(s))
		session_error(s, 550, "5.7.0 you may not say so");
	else if (s->state == ST_MAIL)
		session_error(s, 503, "5.5.1 not within a transaction");
	else
		return 0;
	return 1;
}

/* The address; one that is not known is in no network, and not that of who told so. */
static void
new_address(struct session *s, const struct xclient *x)
{
	struct sockaddr_storage to = {.ss_family = AF_UNSPEC};
	struct netaddr a = x->addr;

	if ((x->set & X_PORT) == 0)
		a.port = 0;
	if (x->set & X_ADDR)
		(void)netaddr_to_sockaddr(&a, &to);
	session_is(s, &to);
}

static void
new_login(struct session *s, const struct xclient *x)
{
	proxy_worker_free(s->worker);
	s->worker = NULL;
	s->authed = (x->set & X_LOGIN) != 0;
	s->mechanism = s->authed ? "XCLIENT" : NULL;
	s->user[0] = '\0';
	if (!s->authed)
		return;
	(void)strlcpy(s->user, x->login, sizeof s->user);
	s->worker = proxy_worker_new(s->route, "", s->user, 0, s->client);
	if (s->worker == NULL)
		session_say(s, 421, "4.3.0 out of memory");
}

/* Another client begins, as if it had just connected. */
int
xclient_command(struct session *s, const char *args)
{
	struct xclient x = {.given = 0};
	struct answer why;

	if (refused(s))
		return 0;
	if (xclient_parse(args, &x, &why) == -1) {
		session_mistake(s, &why);
		return 0;
	}
	if (!s->teller_set) {
		s->teller = s->from;
		s->teller_set = 1;
	}
	envelope_reset(s);
	gate_close(s->gate);
	s->gate = NULL;
	if (x.given & X_ADDR)
		new_address(s, &x);
	/* Nor is it the login of the one before. */
	new_login(s, &x);
	intake_forget(s);
	free(s->forward);
	s->forward = NULL;
	(void)strlcpy(s->helo, x.set & X_HELO ? x.helo : "", sizeof s->helo);
	s->esmtp = x.set & X_PROTO ? x.esmtp : s->esmtp;
	s->features = 0;
	s->state = ST_OPENING;
	session_gate_open(s, x.set & X_NAME ? x.name : x.given & X_NAME ? "unknown" : NULL, 0);
	if (!s->ended && !s->ending)
		session_opened(s);
	return 0;
}

int
xforward_command(struct session *s, const char *args)
{
	struct answer why;

	if (refused(s))
		return 0;
	if (s->forward == NULL && (s->forward = calloc(1, sizeof *s->forward)) == NULL)
		session_say(s, 451, "4.3.0 out of memory");
	else if (xforward_parse(args, s->forward, &why) == -1)
		session_mistake(s, &why);
	else
		session_say(s, 250, "2.0.0 Ok");
	return 0;
}

void
xforward_log(const struct session *s, const char *qid)
{
	const struct xclient *x = s->forward;
	char ip[NETADDR_TEXT_MAX] = "unknown";
	struct netaddr a;

	if (x == NULL || x->set == 0)
		return;
	if (x->set & X_ADDR) {
		a = x->addr;
		a.port = 0;
		(void)netaddr_format(ip, sizeof ip, ':', &a);
	}
	log_info("%s: orig_client=%s[%s], orig_helo=<%s>, orig_id=%s", qid,
	    x->set & X_NAME ? log_str(x->name) : "unknown", ip,
	    log_str(x->set & X_HELO ? x->helo : ""), log_str(x->set & X_IDENT ? x->ident : ""));
}
