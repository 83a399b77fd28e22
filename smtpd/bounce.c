/*
 * The notices that are owed.  One at a time, from <> through the peer that takes such mail,
 * without a login.  A notice is removed when the peer has taken it or refused it for good: sent
 * twice after a crash between the two, never lost.
 */
#include "smtpd/bounce.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/route.h"
#include "smtpd/command.h"
#include "smtpd/out.h"

#define FIRST_RETRY 30 /* seconds; doubled each time */
#define LAST_RETRY 3600
#define GIVE_UP (5 * 86400) /* seconds since the notice was made (RFC 5321, 4.5.4.1) */
#define RESCAN 60 /* seconds between looks for what another process has left */

struct owed {
	TAILQ_ENTRY(owed) next;
	char name[JOURNAL_NAME_MAX];
	uint64_t at; /* clock_ms of the next attempt */
	uint32_t retry; /* seconds to the one behind it */
};

static TAILQ_HEAD(, owed) waiting = TAILQ_HEAD_INITIALIZER(waiting);

static struct {
	int dir, stopped;
	unsigned n;
	struct event *timer;
	uint64_t rescan;
	/* the attempt under way */
	struct owed *now;
	struct notice *notice;
	void *own;
	struct octets body;
	struct proxy_route route;
	struct peer *peer;
	struct out out;
	struct out_rcpt rcpt;
} B = {.dir = -1};

static void arm(void);

static void
add(const char *name, uint64_t at)
{
	struct owed *o;

	TAILQ_FOREACH (o, &waiting, next)
		if (strcmp(o->name, name) == 0)
			return;
	if ((o = calloc(1, sizeof *o)) == NULL) {
		log_err("no memory for a notice: it is sent after a restart");
		return;
	}
	(void)strlcpy(o->name, name, sizeof o->name);
	o->at = at;
	o->retry = FIRST_RETRY;
	TAILQ_INSERT_TAIL(&waiting, o, next);
	B.n++;
}

static void
forget(struct owed *o)
{
	TAILQ_REMOVE(&waiting, o, next);
	B.n--;
	free(o);
}

/* The attempt is over. */
static void
rest(void)
{
	out_stop(&B.out);
	free(B.rcpt.got);
	B.rcpt.got = NULL;
	peer_close(B.peer);
	B.peer = NULL;
	free(B.notice);
	free(B.own);
	B.notice = NULL;
	B.own = NULL;
	B.now = NULL;
	arm();
}

static void
log_status(const char *status, const char *dsn, const char *text)
{
	log_info("%s: to=<%s>, relay=%s, dsn=%s, status=%s (notice to the sender: %s)",
	    B.notice->qid, log_str(B.notice->to), B.peer != NULL ? peer_relay(B.peer) : "none", dsn,
	    status, log_str(text));
}

static void
later(const struct answer *why)
{
	struct owed *o = B.now;
	char dsn[12], line[LOG_FIELD_MAX];

	(void)answer_line(line, sizeof line, why);
	if (clock_unix() > B.notice->created + GIVE_UP) {
		log_status("bounced", "5.4.7", line);
		journal_remove(B.dir, o->name);
		forget(o);
	} else {
		log_status("deferred", answer_dsn(dsn, sizeof dsn, why), line);
		o->at = clock_ms() + o->retry * 1000;
		o->retry = o->retry * 2 > LAST_RETRY ? LAST_RETRY : o->retry * 2;
	}
	rest();
}

static void
on_done(void *arg)
{
	const struct answer *a = &B.out.answer;
	char dsn[12], line[LOG_FIELD_MAX];

	(void)arg;
	if (a->code / 100 == 4) {
		later(a);
		return;
	}
	(void)answer_line(line, sizeof line, a);
	log_status(a->code / 100 == 2 ? "sent" : "bounced", answer_dsn(dsn, sizeof dsn, a), line);
	journal_remove(B.dir, B.now->name);
	forget(B.now);
	rest();
}

static void
on_ready(void *arg)
{
	unsigned has = peer_features(B.peer);
	char line[COMMAND_MAX];
	struct mail_cmd m = {.path.null = true, .smtputf8 = B.notice->utf8};
	struct answer a;

	(void)arg;
	if (m.smtputf8 && (has & F_SMTPUTF8) == 0) {
		answer_set(&a, 450, "4.6.7 the mail server does not offer SMTPUTF8");
		later(&a);
		return;
	}
	m.body = m.smtputf8 ? BODY_8BITMIME : BODY_NONE;
	B.body = octets_mem(B.notice->message.p, B.notice->message.n);
	B.rcpt = (struct out_rcpt){.addr = B.notice->to, .params = ""};
	if (has & F_DSN) /* RFC 3461, 5.2.1: no notice about a notice */
		B.rcpt.params = " NOTIFY=NEVER";
	command_mail_text(line, &m, has, B.body.size);
	if (out_start(&B.out, B.peer, line, &B.rcpt, 1, &B.body, on_done, NULL) == -1) {
		answer_set(&a, 451, "4.4.2 the connection to the mail server was lost");
		later(&a);
	}
}

static void
on_failed(const struct answer *why, void *arg)
{
	(void)arg;
	later(why);
}

static void
on_drained(void *arg)
{
	(void)arg;
	out_drained(&B.out);
}

static const struct peer_ops ops = {.ready = on_ready, .failed = on_failed, .drained = on_drained};

/* Begin an attempt. */
static void
attempt(struct owed *o)
{
	const struct conf_peer *p;
	struct answer a;

	B.now = o;
	if ((B.notice = journal_read(B.dir, o->name, &B.own)) == NULL) {
		if (errno == EBADMSG) {
			log_err("journal of notices: %s is damaged, kept as %s.damaged", o->name,
			    o->name);
			journal_set_aside(B.dir, o->name);
		} else if (errno != ENOENT)
			log_err("journal of notices: %s: %s", o->name, strerror(errno));
		forget(o);
		rest();
		return;
	}
	if ((p = proxy_peer(B.notice->peer)) == NULL) {
		answer_set(&a, 450, "4.3.5 peer %s is not in the configuration", B.notice->peer);
		later(&a);
		return;
	}
	if (p->notify != NULL)
		p = p->notify;
	proxy_route_peer(&B.route, p, proc_env()->conf);
	if ((B.peer = peer_open(&B.route, NULL, false, &ops, NULL)) == NULL) {
		answer_set(&a, 450, "4.3.0 out of memory");
		later(&a);
	}
}

static void
found(const char *name, void *arg)
{
	(void)arg;
	add(name, clock_ms());
}

/* What a process that is not run any more has left; instance 0 sees to it. */
static void
rescan(void)
{
	struct err e;

	B.rescan = clock_ms() + RESCAN * 1000;
	if (journal_scan(B.dir, proc_env()->instance, (unsigned)proc_env()->conf->processes.smtpd,
		0, found, NULL, &e) == -1)
		log_err("%s", e.text);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct owed *o, *first = NULL;

	(void)fd;
	(void)what;
	(void)arg;
	if (B.stopped || B.now != NULL)
		return;
	if (clock_ms() >= B.rescan)
		rescan();
	TAILQ_FOREACH (o, &waiting, next)
		if (first == NULL || o->at < first->at)
			first = o;
	if (first != NULL && first->at <= clock_ms())
		attempt(first);
	else
		arm();
}

static void
arm(void)
{
	uint64_t now = clock_ms(), at = B.rescan;
	struct timeval tv;
	struct owed *o;

	if (B.stopped || B.now != NULL || B.timer == NULL)
		return;
	TAILQ_FOREACH (o, &waiting, next)
		if (o->at < at)
			at = o->at;
	at = at > now ? at - now : 0;
	tv = (struct timeval){(time_t)(at / 1000), (suseconds_t)(at % 1000 * 1000)};
	(void)event_add(B.timer, &tv);
}

int
bounce_start(int dir, struct err *e)
{
	B.dir = dir;
	if (journal_scan(dir, proc_env()->instance, (unsigned)proc_env()->conf->processes.smtpd, 1,
		found, NULL, e) == -1)
		return -1;
	B.rescan = clock_ms() + RESCAN * 1000;
	if ((B.timer = evtimer_new(proc_env()->base, on_timer, NULL)) == NULL)
		return err_set(e, ENOMEM, "no memory for a timer");
	if (B.n > 0)
		log_info("%u notices to senders are waiting", B.n);
	arm();
	return 0;
}

int
bounce_owe(const struct notice *n, struct err *e)
{
	char name[JOURNAL_NAME_MAX];

	if (journal_add(B.dir, proc_env()->instance, n, name, e) == -1)
		return -1;
	add(name, clock_ms());
	arm();
	return 0;
}

void
bounce_stop(void)
{
	B.stopped = 1;
	if (B.timer != NULL)
		(void)event_del(B.timer);
}

int
bounce_busy(void)
{
	return B.now != NULL;
}

unsigned
bounce_waiting(void)
{
	return B.n;
}
