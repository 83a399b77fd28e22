/* MAIL and RCPT of a message for the queue: whose they are, and whether they may. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "smtpd/put.h"
#include "smtpd/queue.h"

#define PATIENCE 5 /* seconds that MAIL waits for a queued that is being started */

static LIST_HEAD(, intake) waiters = LIST_HEAD_INITIALIZER(waiters);

static void mail_on(struct session *s);
static void rcpt_on(struct session *s);

/* --- waiting --- */

static void
stop_waiting(struct intake *in)
{
	if (in->waits == NULL)
		return;
	LIST_REMOVE(in, next);
	in->waits = NULL;
	(void)event_del(in->patience);
}

void
queue_stop(struct session *s)
{
	struct intake *in = s->intake;

	whose_cancel(in->asked);
	in->asked = NULL;
	ahead_cancel(in->ahead);
	in->ahead = NULL;
	stop_waiting(in);
	free(in->rcpt);
	in->rcpt = NULL;
	in->step = Q_REST;
}

void
queue_go_on(struct session *s)
{
	s->waiting = 0;
	if (s->ended || s->c == NULL)
		return;
	if (s->intake->rcpt != NULL)
		rcpt_on(s);
	else
		mail_on(s);
	if (!s->waiting)
		session_process(s);
}

/* Nothing to be waited for in this step. */
static void
next(struct session *s, enum step step)
{
	s->intake->step = step;
}

static void
refuse(struct session *s, const char *what, unsigned code, const char *text, const char *rcpt)
{
	struct answer a;

	answer_set(&a, code, "%s", text);
	session_log_reject(s, what, &a, rcpt);
	session_answer(s, &a);
}

static void
on_patience(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	stop_waiting(s->intake);
	s->waiting = 0;
	refuse(s, "MAIL", 451, "4.3.0 the queue is not there now, try again later", NULL);
	session_process(s);
}

/* queued is away, most likely for a moment. */
static int
wait_for_queued(struct session *s)
{
	static const struct timeval most = {PATIENCE, 0};
	struct intake *in = s->intake;

	if (in->patience == NULL &&
	    (in->patience = evtimer_new(proc_env()->base, on_patience, s)) == NULL)
		return -1;
	if (event_add(in->patience, &most) == -1)
		return -1;
	in->waits = s;
	LIST_INSERT_HEAD(&waiters, in, next);
	s->waiting = 1;
	return 0;
}

void
queue_came(void)
{
	struct intake *in;
	struct session *s;

	while ((in = LIST_FIRST(&waiters)) != NULL) {
		s = in->waits;
		stop_waiting(in);
		queue_go_on(s);
	}
}

/* --- MAIL --- */

static void
on_sender(const struct whose *w, void *arg)
{
	struct session *s = arg;

	s->intake->asked = NULL;
	s->intake->whose = *w;
	next(s, Q_MAIL_OK);
	queue_go_on(s);
}

/* Only what is sent out has to be from us; 1: it is known. */
static int
ask_sender(struct session *s)
{
	struct intake *in = s->intake;
	const char *addr = s->mail.path.addr;

	next(s, Q_MAIL_OK);
	memset(&in->whose, 0, sizeof in->whose);
	in->whose.whose = WHOSE_OURS;
	(void)strlcpy(in->whose.tenant, s->route->tenant, sizeof in->whose.tenant);
	if (s->route->service == CONF_MX || s->route->outside_senders || s->mail.path.null ||
	    !queue_trusts(s) || whose_find(addr, 1, &in->whose))
		return 1;
	next(s, Q_SENDER);
	if ((in->asked = whose_ask(addr, 1, on_sender, s)) == NULL) {
		in->whose.defer = 1;
		next(s, Q_MAIL_OK);
		return 1;
	}
	s->waiting = 1;
	return 0;
}

static void
begin(struct session *s)
{
	struct intake *in = s->intake;
	struct timespec t;

	next(s, Q_REST);
	if (in->whose.defer) {
		refuse(s, "MAIL", 451, "4.3.0 the gateway cannot look up the sender now", NULL);
		return;
	}
	if (in->whose.whose == WHOSE_FOREIGN || strcmp(in->whose.tenant, s->route->tenant) != 0) {
		refuse(s, "MAIL", 550,
		    "5.7.1 the sender's address is of no domain that this gateway sends for", NULL);
		return;
	}
	(void)clock_gettime(CLOCK_REALTIME, &t);
	in->arrived = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
	envelope_begin(s);
	s->state = ST_MAIL;
	session_say(s, 250, "2.1.0 Ok");
}

static int
has_room(struct session *s)
{
	if (put_full()) {
		refuse(s, "MAIL", 452, "4.3.1 Insufficient system storage", NULL);
		return 0;
	}
	if (proc_chan(P_QUEUED, 0) != NULL)
		return 1;
	if (wait_for_queued(s) == -1)
		refuse(s, "MAIL", 451, "4.3.0 the queue is not there now, try again later", NULL);
	return 0;
}

/* 1: go on. */
static int
may_mail(struct session *s)
{
	switch (gate_mail(s->gate)) {
	case GATE_OK:
		return 1;
	case GATE_WAIT:
		s->gated = GATED_MAIL;
		s->waiting = 1;
		return 0;
	default:
		session_log_reject(s, "MAIL", gate_answer(s->gate), NULL);
		session_refused(s);
		return 0;
	}
}

static void
mail_on(struct session *s)
{
	switch (s->intake->step) {
	case Q_NAME:
		session_gate_names(s);
		/* FALLTHROUGH */
	case Q_ROOM:
		next(s, Q_ROOM);
		if (!has_room(s))
			return;
		next(s, Q_RATE);
		if (!may_mail(s))
			return;
		/* FALLTHROUGH */
	case Q_RATE:
		if (!ask_sender(s))
			return;
		/* FALLTHROUGH */
	case Q_MAIL_OK:
		begin(s);
		break;
	default:
		break;
	}
}

int
queue_mail(struct session *s)
{
	next(s, Q_NAME);
	if (s->intake->ptr != NULL)
		s->waiting = 1;
	else
		mail_on(s);
	return 0;
}

void
queue_gated(struct session *s, int was, enum gate_verdict v)
{
	const struct rcpt_cmd *c = s->intake->rcpt;

	if (v == GATE_OK) {
		queue_go_on(s);
		return;
	}
	s->waiting = 0;
	session_log_reject(s, was == GATED_MAIL ? "MAIL" : "RCPT", gate_answer(s->gate),
	    c != NULL ? c->path.addr : NULL);
	session_refused(s);
	queue_stop(s);
	session_process(s);
}

/* --- RCPT --- */

/* RFC 5321, 4.1.1.3: <postmaster> is ours, whoever that is. */
static int
name_postmaster(struct rcpt_cmd *c)
{
	const struct conf *conf = proc_env()->conf;
	const char *dot = strchr(conf->node.hostname, '.');
	char path[MAIL_ADDR_MAX + 3];
	size_t used;

	if (conf->queue.postmaster[0] != '\0')
		(void)snprintf(path, sizeof path, "<%s>", conf->queue.postmaster);
	else /* of the domain that this host is of */
		(void)snprintf(path, sizeof path, "<postmaster@%s>",
		    dot != NULL ? dot + 1 : conf->node.hostname);
	return mail_path_parse(&c->path, path, strlen(path), &used);
}

static void
end_rcpt(struct session *s)
{
	free(s->intake->rcpt);
	s->intake->rcpt = NULL;
	next(s, Q_REST);
}

static void
deny(struct session *s, unsigned code, const char *dsn, const char *why)
{
	const char *addr = s->intake->rcpt->path.addr;
	struct answer a;

	answer_set(&a, code, "%s <%s>: %s", dsn, addr, why);
	session_log_reject(s, "RCPT", &a, addr);
	session_answer(s, &a);
	end_rcpt(s);
}

static int
is_there_already(const struct session *s, const char *addr)
{
	size_t i;

	for (i = 0; i < s->nrcpts; i++)
		if (strcmp(s->rcpts[i].addr, addr) == 0)
			return 1;
	return 0;
}

static void
take(struct session *s)
{
	struct intake *in = s->intake;
	struct rcpt *r;

	/* Said twice, sent once. */
	if (!is_there_already(s, in->rcpt->path.addr)) {
		if (envelope_remember(s, in->rcpt, "") == -1) {
			deny(s, 452, "4.3.1", "out of memory");
			return;
		}
		r = &s->rcpts[s->nrcpts - 1];
		r->accepted = 1;
		r->reads = in->whose.reads && s->route->service == CONF_MX &&
			   s->route->inbound == CONF_INBOUND_DECRYPT;
		s->naccepted++;
	}
	if (s->route->service == CONF_MX)
		(void)strlcpy(s->tenant, in->whose.tenant, sizeof s->tenant);
	if (!in->logged) {
		in->logged = 1;
		session_log_client(s, s->qid);
		xforward_log(s, s->qid);
	}
	session_say(s, 250, "2.1.5 Ok");
	end_rcpt(s);
}

static void
on_ahead(enum known_rcpt known, const char *text, void *arg)
{
	struct session *s = arg;
	char why[DIAG_MAX];

	s->intake->ahead = NULL;
	if (known == KNOWN_GOOD) {
		next(s, Q_GATE);
		queue_go_on(s);
		return;
	}
	s->waiting = 0;
	if (known == KNOWN_BAD) {
		(void)snprintf(why, sizeof why,
		    "Recipient address rejected: User unknown (the server said: %s)", text);
		deny(s, 550, "5.1.1", why);
	} else
		deny(s, 450, "4.1.1", "Recipient address rejected: it cannot be verified now");
	session_process(s);
}

static void
judge(struct session *s)
{
	struct intake *in = s->intake;
	const struct relay_facts f = {.service = s->route->service,
	    .trusted = queue_trusts(s),
	    .to = &in->rcpt->path,
	    .whose = &in->whose,
	    .tenant = s->tenant};

	switch (relay_judge(&f)) {
	case RELAY_TAKE:
		next(s, Q_GATE);
		break;
	case RELAY_ASK:
		next(s, Q_AHEAD);
		in->ahead = ahead_ask(
		    in->rcpt->path.addr, in->rcpt->path.domain, in->rcpt->path.utf8, on_ahead, s);
		if (in->ahead != NULL)
			s->waiting = 1;
		else
			deny(s, 450, "4.1.1",
			    "Recipient address rejected: it cannot be verified now");
		break;
	case RELAY_DENIED:
		deny(s, 554, "5.7.1", "Relay access denied");
		break;
	case RELAY_UNKNOWN:
		deny(s, 550, "5.1.1", "Recipient address rejected: User unknown");
		break;
	case RELAY_OTHER:
		deny(s, 452, "4.5.3", "one customer at a time");
		break;
	case RELAY_LATER:
		deny(s, 451, "4.3.0", "the gateway cannot look it up now");
		break;
	}
}

static void
pass_gate(struct session *s)
{
	const char *addr = s->intake->rcpt->path.addr;

	next(s, Q_RCPT_OK);
	switch (gate_rcpt(s->gate, s->mail.path.addr, addr, queue_trusts(s))) {
	case GATE_OK:
		break;
	case GATE_WAIT:
		s->gated = GATED_RCPT;
		s->waiting = 1;
		break;
	default:
		session_log_reject(s, "RCPT", gate_answer(s->gate), addr);
		session_refused(s);
		end_rcpt(s);
	}
}

static void
rcpt_on(struct session *s)
{
	struct intake *in = s->intake;

	if (in->step == Q_WHOSE)
		judge(s);
	if (in->rcpt != NULL && !s->waiting && in->step == Q_GATE)
		pass_gate(s);
	if (in->rcpt != NULL && !s->waiting && in->step == Q_RCPT_OK)
		take(s);
}

static void
on_whose(const struct whose *w, void *arg)
{
	struct session *s = arg;

	s->intake->asked = NULL;
	s->intake->whose = *w;
	queue_go_on(s);
}

int
queue_rcpt(struct session *s, const struct rcpt_cmd *c)
{
	struct intake *in = s->intake;

	if ((in->rcpt = malloc(sizeof *in->rcpt)) == NULL) {
		session_say(s, 452, "4.3.1 out of memory");
		return 0;
	}
	*in->rcpt = *c;
	next(s, Q_WHOSE);
	memset(&in->whose, 0, sizeof in->whose);
	if (c->path.domain[0] == '\0' && name_postmaster(in->rcpt) == -1) {
		deny(s, 550, "5.1.1", "Recipient address rejected: there is none here");
		return 0;
	}
	/* Who may not send anywhere need not be told who is there. */
	if ((s->route->service != CONF_MX && !queue_trusts(s)) ||
	    whose_find(in->rcpt->path.addr, 0, &in->whose)) {
		rcpt_on(s);
		return 0;
	}
	if ((in->asked = whose_ask(in->rcpt->path.addr, 0, on_whose, s)) == NULL) {
		in->whose.defer = 1;
		rcpt_on(s);
	} else
		s->waiting = 1;
	return 0;
}
