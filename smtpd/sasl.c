/* The client of a Dovecot auth server. */
#include "smtpd/sasl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/line.h"
#include "proc/proc.h"
#include "smtpd/dovecot.h"

#define OUT_MAX (256 * 1024) /* octets queued for the server */
#define HELLO_MS 10000 /* for its socket, and for its words until DONE */
#define REQUEST_MAX (DOVECOT_LINE_MAX * 2)

enum phase { AWAY, ASKED, HELLO, READY };

struct sasl_ask {
	TAILQ_ENTRY(sasl_ask) next;
	struct server *server;
	uint32_t id; /* 0: not sent so far */
	unsigned step; /* LOGIN: what the server is to ask for next */
	int secured;
	char lip[64], rip[64];
	struct credentials who;
	uint64_t due; /* clock_ms */
	sasl_done done;
	void *arg;
};

struct server {
	LIST_ENTRY(server) next;
	char connector[65];
	enum phase phase;
	struct proc_source *source;
	struct conn *c;
	struct line_reader in;
	int busy, dead; /* inside a callback; its connection is to go behind it */
	int old; /* of a configuration before */
	int plain, login; /* what the server knows */
	uint32_t last;
	uint64_t began; /* clock_ms: the connection, until it is READY */
	unsigned n;
	TAILQ_HEAD(, sasl_ask) asks;
	struct event *timer;
};

static LIST_HEAD(, server) servers = LIST_HEAD_INITIALIZER(servers);

static void connect_to(struct server *v);

static void
ask_free(struct sasl_ask *a)
{
	TAILQ_REMOVE(&a->server->asks, a, next);
	a->server->n--;
	explicit_bzero(&a->who, sizeof a->who);
	free(a);
}

static void
tell(struct sasl_ask *a, enum sasl_result r, const char *user, const char *why)
{
	sasl_done done = a->done;
	void *arg = a->arg;

	ask_free(a);
	done(r, user, why, arg);
}

/* The connection goes; the next question makes another. */
static void
leave(struct server *v)
{
	proc_source_cancel(v->source);
	v->source = NULL;
	v->phase = AWAY;
	if (v->busy) {
		v->dead = 1;
		return;
	}
	conn_free(v->c);
	v->c = NULL;
	line_free(&v->in);
	v->dead = 0;
}

/* All who wait hear that it cannot be said; those who ask from within wait for a new one. */
static void
fail(struct server *v, const char *why)
{
	struct sasl_ask *a;
	unsigned n = v->n;

	/* A server may end a connection at rest. */
	if (v->n > 0)
		log_warn("connector %s: sasl_socket: %s", v->connector, log_str(why));
	leave(v);
	for (; n > 0 && (a = TAILQ_FIRST(&v->asks)) != NULL; n--)
		tell(a, SASL_UNKNOWN, "", why);
}

static int
send_ask(struct server *v, struct sasl_ask *a)
{
	char resp[SASL_RESPONSE_MAX + 1];
	struct buf b;
	int rc;

	buf_init(&b, REQUEST_MAX);
	a->id = ++v->last;
	a->step = 0;
	if (v->plain) {
		rc = sasl_plain_make(resp, sizeof resp, &a->who);
		if (rc == 0)
			rc = dovecot_auth(&b, a->id, "PLAIN", a->secured, a->lip, a->rip, resp);
	} else
		rc = dovecot_auth(&b, a->id, "LOGIN", a->secured, a->lip, a->rip, NULL);
	if (rc == 0)
		rc = conn_write(v->c, buf_ptr(&b), buf_len(&b));
	explicit_bzero(resp, sizeof resp);
	buf_wipe_free(&b);
	return rc;
}

/* LOGIN asks for the name, then for the password. */
static int
go_on(struct server *v, struct sasl_ask *a)
{
	const char *what = a->step == 0 ? a->who.authcid : a->who.password;
	char resp[B64_LEN(PASSWORD_MAX) + 1];
	struct buf b;
	int rc;

	if (v->plain || a->step++ > 1)
		return -1;
	buf_init(&b, REQUEST_MAX);
	(void)b64_encode(resp, what, strlen(what));
	rc = dovecot_cont(&b, a->id, resp);
	if (rc == 0)
		rc = conn_write(v->c, buf_ptr(&b), buf_len(&b));
	explicit_bzero(resp, sizeof resp);
	buf_wipe_free(&b);
	return rc;
}

/* Put the questions that wait. */
static void
send_all(struct server *v)
{
	struct sasl_ask *a, *next;

	TAILQ_FOREACH_SAFE (a, &v->asks, next, next)
		if (a->id == 0 && send_ask(v, a) == -1)
			tell(a, SASL_UNKNOWN, "", strerrordesc_np(errno));
}

static void
on_hello(struct server *v, const struct dovecot_line *l)
{
	if (l->verb == DOVECOT_VERSION && l->major != 1)
		fail(v, "it speaks another version of the protocol");
	else if (l->verb == DOVECOT_MECH) {
		v->plain |= strcasecmp(l->word, "PLAIN") == 0;
		v->login |= strcasecmp(l->word, "LOGIN") == 0;
	} else if (l->verb == DOVECOT_DONE) {
		if (!v->plain && !v->login) {
			fail(v, "it knows neither PLAIN nor LOGIN");
			return;
		}
		v->phase = READY;
		send_all(v);
	}
}

static void
on_answer(struct server *v, const struct dovecot_line *l)
{
	struct sasl_ask *a;

	TAILQ_FOREACH (a, &v->asks, next)
		if (a->id == l->id && a->id != 0)
			break;
	if (a == NULL) /* cancelled meanwhile */
		return;
	if (l->verb == DOVECOT_OK && l->barred)
		tell(a, SASL_WRONG, "",
		    l->reason[0] != '\0' ? l->reason : "the auth server lets him not log in");
	else if (l->verb == DOVECOT_OK)
		tell(a, SASL_RIGHT, l->user, "");
	else if (l->verb == DOVECOT_FAIL)
		tell(a, l->temporary ? SASL_UNKNOWN : SASL_WRONG, "",
		    l->reason[0] != '\0' ? l->reason : "the auth server says no");
	else if (go_on(v, a) == -1)
		tell(a, SASL_UNKNOWN, "", "the auth server asks for more");
}

/* One line of the server. 0 when there is none. */
static int
line(struct server *v)
{
	struct dovecot_line l;

	switch (line_read(&v->in, v->c)) {
	case LINE_MORE:
		return 0;
	case LINE_OK:
		break;
	default:
		fail(v, "an endless line");
		return 0;
	}
	if (dovecot_parse(v->in.text, &l) == -1)
		fail(v, "what it says is not the protocol");
	else if (l.verb == DOVECOT_OK || l.verb == DOVECOT_FAIL || l.verb == DOVECOT_CONT)
		on_answer(v, &l);
	else if (v->phase == HELLO)
		on_hello(v, &l);
	return !v->dead;
}

static void
on_readable(struct conn *c, void *arg)
{
	struct server *v = arg;

	(void)c;
	v->busy = 1;
	while (line(v))
		;
	v->busy = 0;
	if (v->dead) {
		leave(v);
		if (v->n > 0)
			connect_to(v);
	}
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	(void)c;
	(void)why;
	fail(arg, text);
}

static const struct conn_handlers handlers = {.readable = on_readable, .closed = on_closed};

static void
on_socket(int fd, const char *why, void *arg)
{
	const struct conn_limits limits = {
	    .in_max = DOVECOT_LINE_MAX + 2, .out_max = OUT_MAX, .out_low = OUT_MAX / 2};
	struct server *v = arg;
	struct buf b;

	v->source = NULL;
	if (fd == -1) {
		fail(v, why);
		return;
	}
	line_init(&v->in, DOVECOT_LINE_MAX);
	v->plain = v->login = v->old = 0;
	if ((v->c = conn_new(proc_env()->base, fd, &limits, &handlers, v)) == NULL) {
		close(fd);
		fail(v, "out of memory");
		return;
	}
	v->phase = HELLO;
	buf_init(&b, 256);
	/* Two connections of this process, too, must not have the same number. */
	if (dovecot_hello(&b, arc4random_uniform(INT32_MAX) + 1) == -1 ||
	    conn_write(v->c, buf_ptr(&b), buf_len(&b)) == -1)
		fail(v, "out of memory");
	buf_free(&b);
}

static void
connect_to(struct server *v)
{
	v->phase = ASKED;
	v->began = clock_ms();
	if ((v->source = proc_sasl(v->connector, on_socket, v)) == NULL)
		v->phase = AWAY;
}

static void
arm(struct server *v)
{
	static const struct timeval soon = {1, 0};

	if (v->n > 0 && !event_pending(v->timer, EV_TIMEOUT, NULL))
		(void)event_add(v->timer, &soon);
}

/* Once a second while anybody waits. */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct server *v = arg;
	struct sasl_ask *a;
	uint64_t now = clock_ms();

	(void)fd;
	(void)what;
	if (v->n == 0)
		return;
	if (v->phase == AWAY)
		connect_to(v);
	if (v->phase == AWAY)
		fail(v, "master cannot be asked for it");
	else if (v->phase != READY && now > v->began + HELLO_MS)
		fail(v, "no words of welcome in time");
	while ((a = TAILQ_FIRST(&v->asks)) != NULL && a->due < now)
		tell(a, SASL_UNKNOWN, "", "no answer in time");
	arm(v);
}

static struct server *
find(const char *connector)
{
	struct server *v;

	LIST_FOREACH (v, &servers, next)
		if (strcmp(v->connector, connector) == 0)
			return v;
	if ((v = calloc(1, sizeof *v)) == NULL)
		return NULL;
	if ((v->timer = evtimer_new(proc_env()->base, on_timer, v)) == NULL) {
		free(v);
		return NULL;
	}
	(void)strlcpy(v->connector, connector, sizeof v->connector);
	TAILQ_INIT(&v->asks);
	LIST_INSERT_HEAD(&servers, v, next);
	return v;
}

struct sasl_ask *
sasl_ask(const char *connector, const struct credentials *c, int secured, const char *lip,
    const char *rip, sasl_done done, void *arg)
{
	struct server *v = find(connector);
	struct sasl_ask *a;

	if (v == NULL)
		return NULL;
	if (v->n >= SASL_PENDING_MAX) {
		errno = EAGAIN;
		return NULL;
	}
	if ((a = calloc(1, sizeof *a)) == NULL)
		return NULL;
	a->server = v;
	a->who = *c;
	a->secured = secured;
	(void)strlcpy(a->lip, lip, sizeof a->lip);
	(void)strlcpy(a->rip, rip, sizeof a->rip);
	a->due = clock_ms() + SASL_MS;
	a->done = done;
	a->arg = arg;
	if (v->old && v->n == 0 && !v->busy)
		leave(v);
	TAILQ_INSERT_TAIL(&v->asks, a, next);
	v->n++;
	if (v->phase == READY && !v->dead && send_ask(v, a) == -1) {
		ask_free(a);
		errno = EMSGSIZE;
		return NULL;
	}
	if (v->phase == AWAY && !v->busy)
		connect_to(v);
	arm(v);
	return a;
}

void
sasl_cancel(struct sasl_ask *a)
{
	if (a != NULL)
		ask_free(a);
}

void
sasl_renew(void)
{
	struct server *v;

	LIST_FOREACH (v, &servers, next)
		v->old = 1;
}
