/* status: what master says of its daemons, and what they say of themselves. */
#include <inttypes.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/version.h"
#include "gwctl/gwctl.h"

#define FACTS_TIMEOUT 3000 /* milliseconds for one daemon: status must not hang on a stuck one */
#define DAEMONS_MAX 128 /* as in ctl_status_rep */
#define CONNECTORS_MAX (CONF_SECTIONS_MAX * 64) /* each address is one */

#define REC_SHOWN_DAEMON(F, L)                                                                     \
	F(STR, daemon, 0, 32)                                                                      \
	F(U16, instance, 0, 63)                                                                    \
	F(U32, pid, 0, UINT32_MAX)                                                                 \
	F(STR, state, 0, 16)                                                                       \
	F(U32, restarts, 0, UINT32_MAX)                                                            \
	F(U64, since, 0, UINT64_MAX)                                                               \
	F(STR, note, 0, 255)                                                                       \
	F(STR, trouble, 0, 511) /* why there are no facts */                                       \
	L(fact, facts, 0, 64)
#define REC_SHOWN_CONNECTOR(F, L)                                                                  \
	F(STR, connector, 0, 64)                                                                   \
	F(STR, service, 0, 16)                                                                     \
	F(STR, listen, 0, 64)                                                                      \
	F(STR, peer, 0, 64)                                                                        \
	F(STR, server, 0, 270)                                                                     \
	F(STR, tls, 0, 16)
#define REC_SHOWN_STATUS(F, L)                                                                     \
	F(STR, version, 0, 32)                                                                     \
	F(U64, started, 0, UINT64_MAX)                                                             \
	F(STR, config, 0, 1024)                                                                    \
	F(U8, privileged, 0, 1)                                                                    \
	F(STR, keystore, 0, 511)                                                                   \
	F(U64, sessions, 0, UINT64_MAX)                                                            \
	L(shown_daemon, daemons, 0, DAEMONS_MAX)                                                   \
	L(shown_connector, connectors, 0, CONNECTORS_MAX)

REC_DECLARE(shown_daemon, REC_SHOWN_DAEMON)
REC_DECLARE(shown_connector, REC_SHOWN_CONNECTOR)
REC_DECLARE(shown_status, REC_SHOWN_STATUS)
REC_DEFINE(shown_daemon, REC_SHOWN_DAEMON)
REC_DEFINE(shown_connector, REC_SHOWN_CONNECTOR)
REC_DEFINE(shown_status, REC_SHOWN_STATUS)

/* The status with what it points into. */
struct status {
	struct shown_status s;
	struct ipc_msg master; /* answer of master: names, notes */
	struct shown_daemon daemons[DAEMONS_MAX];
	struct {
		struct status_rep *rep; /* the facts of a daemon, in mem */
		struct buf mem;
		char trouble[ERR_TEXT_MAX];
	} own[DAEMONS_MAX];
	struct shown_connector *connectors;
	char (*texts)[2][HOSTPORT_TEXT_MAX]; /* of the connectors */
};

static void
status_free(struct gwctl *t, struct status *st)
{
	size_t i;

	for (i = 0; i < DAEMONS_MAX; i++) {
		free(st->own[i].rep);
		buf_free(&st->own[i].mem);
	}
	if (st->master.def != NULL)
		ipc_done(&t->master, &st->master);
	free(st->connectors);
	free(st->texts);
	free(st);
}

static const char *
state_name(unsigned s)
{
	static const char *const names[] = {
	    [PROC_STARTING] = "starting",
	    [PROC_RUNNING] = "running",
	    [PROC_BACKOFF] = "waiting",
	    [PROC_DRAINING] = "draining",
	};

	return s < sizeof names / sizeof names[0] ? names[s] : "?";
}

/* Ask one daemon.  A daemon that does not answer is a line of the status, no failure. */
static void
ask_facts(struct ipc *master, struct status *st, size_t i)
{
	struct shown_daemon *d = &st->daemons[i];
	const struct ctl_status_rep *rep = st->master.body;
	struct status_req q = {.unused = 0};
	struct err e = {0};
	struct ipc_msg m;
	struct ipc c;

	buf_init(&st->own[i].mem, IPC_FRAME_MAX);
	d->trouble = st->own[i].trouble;
	if (rep->procs.v[i].state != PROC_RUNNING)
		return;
	if (control_channel(master, rep->procs.v[i].role, rep->procs.v[i].instance, &c, &e) == -1) {
		(void)strlcpy(st->own[i].trouble, e.text, sizeof st->own[i].trouble);
		return;
	}
	if (control_call(&c, M_status_req, &q, M_status_rep, &m, FACTS_TIMEOUT, &e) == -1) {
		(void)strlcpy(st->own[i].trouble, e.text, sizeof st->own[i].trouble);
	} else {
		if (rec_encode(&rec_status_rep, m.body, &st->own[i].mem) == 0)
			st->own[i].rep = rec_decode(
			    &rec_status_rep, buf_ptr(&st->own[i].mem), buf_len(&st->own[i].mem));
		ipc_done(&c, &m);
	}
	if (st->own[i].rep != NULL) {
		d->facts.v = st->own[i].rep->facts.v;
		d->facts.n = st->own[i].rep->facts.n;
	}
	ipc_close(&c);
}

static const char *
fact(const struct shown_daemon *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->facts.n; i++)
		if (strcmp(d->facts.v[i].name, name) == 0)
			return d->facts.v[i].value;
	return NULL;
}

/* Sums of what the single daemons say. */
static void
sum_up(struct shown_status *s)
{
	const struct shown_daemon *d;
	const char *v;
	size_t i;

	s->keystore = "not known: cryptod does not run";
	for (i = 0; i < s->daemons.n; i++) {
		d = &s->daemons.v[i];
		if (strcmp(d->daemon, "cryptod") == 0 && d->facts.n > 0)
			s->keystore = d->note[0] != '\0'                  ? d->note
				      : (v = fact(d, "keystore")) != NULL ? v
									  : "?";
		/* Those of proxies: policyd counts the same ones. */
		if ((strcmp(d->daemon, "smtpd") == 0 || strcmp(d->daemon, "pop3d") == 0) &&
		    (v = fact(d, "sessions")) != NULL)
			s->sessions += strtoull(v, NULL, 10);
	}
}

static int
ask_all(struct gwctl *t, struct status *st)
{
	const struct ctl_status_rep *rep;
	struct ipc aside = {.fd = -1};
	struct err e = {0};
	size_t i;
	int rc;

	if ((rc = gwctl_master(t)) != 0)
		return rc;
	if (control_status(&t->master, &st->master, CONTROL_TIMEOUT, &e) == -1) {
		st->master.def = NULL;
		return complain_err(&e);
	}
	rep = st->master.body;
	st->s.version = POSTERN_VERSION;
	st->s.started = rep->started;
	st->s.config = rep->config;
	st->s.privileged = rep->privileged;
	st->s.daemons.v = st->daemons;
	/* rep stays in the first connection's buffer: channels are asked for on another one. */
	if (control_open(&aside, t->run_dir, P_GWCTL, &e) == -1)
		return complain_err(&e);
	for (i = 0; i < rep->procs.n && i < DAEMONS_MAX; i++) {
		const struct ctl_proc *p = &rep->procs.v[i];

		st->daemons[i] = (struct shown_daemon){.daemon = proc_name(p->role),
		    .instance = p->instance,
		    .pid = p->pid,
		    .state = state_name(p->state),
		    .restarts = p->restarts,
		    .since = p->since,
		    .note = p->note,
		    .trouble = ""};
		st->s.daemons.n++;
		ask_facts(&aside, st, i);
	}
	ipc_close(&aside);
	sum_up(&st->s);
	return 0;
}

/* The configuration's connectors; what is running may be older, until a reload. */
static int
add_connectors(struct gwctl *t, struct status *st)
{
	static const char *const services[] = {[CONF_SMTP] = "smtp", [CONF_POP3] = "pop3"};
	static const char *const modes[] = {[CONF_TLS_NONE] = "none",
	    [CONF_TLS_STARTTLS] = "starttls",
	    [CONF_TLS_IMPLICIT] = "implicit"};
	const struct conf *c = t->conf;
	struct hostport hp;
	size_t i, k, n = 0;

	if (c == NULL) /* -r was given instead */
		return 0;
	for (i = 0; i < c->nconnectors; i++)
		n += c->connectors[i].listen.n;
	st->connectors = calloc(n, sizeof *st->connectors);
	st->texts = calloc(n, sizeof *st->texts);
	if (st->connectors == NULL || st->texts == NULL)
		return complain(EX_OSERR, "out of memory");
	st->s.connectors.v = st->connectors;
	for (i = 0; i < c->nconnectors; i++)
		for (k = 0; k < c->connectors[i].listen.n; k++) {
			const struct conf_connector *x = &c->connectors[i];
			size_t at = st->s.connectors.n++;

			(void)strlcpy(hp.host, x->peer->host, sizeof hp.host);
			hp.port = (uint16_t)x->peer->port;
			st->connectors[at] = (struct shown_connector){
			    .connector = x->name,
			    .service = services[x->service],
			    .listen = netaddr_format(
				st->texts[at][0], HOSTPORT_TEXT_MAX, ':', &x->listen.v[k]),
			    .peer = x->peer->name,
			    .server = hostport_format(st->texts[at][1], HOSTPORT_TEXT_MAX, &hp),
			    .tls = modes[x->peer->tls],
			};
		}
	return 0;
}

static void
print_head(const struct shown_status *s)
{
	char when[DATE_TEXT], span[DATE_TEXT];
	uint64_t now = clock_unix();

	(void)printf("Postern %s, running for %s, since %s\n", s->version,
	    span_text(now > s->started ? now - s->started : 0, span), time_text(s->started, when));
	(void)printf("%-14s %s\n", "configuration", shown(s->config));
	(void)printf("%-14s %s\n", "privileges",
	    s->privileged ? "started by root: every daemon is confined under a user of its own"
			  : "started by an ordinary user: daemons share that user and have no "
			    "root folder of their own; not for production");
	(void)printf("%-14s %s\n", "key store", shown(s->keystore));
	(void)printf("%-14s %" PRIu64 "\n\n", "sessions", s->sessions);
}

static int
print_daemons(const struct shown_status *s)
{
	static const char *const heads[] = {
	    "DAEMON", "PID", "STATE", "RESTARTS", "SINCE", "NOTE", NULL};
	char name[48], pid[16], restarts[16], when[DATE_TEXT];
	struct table table;
	size_t i;

	table_begin(&table, heads);
	for (i = 0; i < s->daemons.n; i++) {
		const struct shown_daemon *d = &s->daemons.v[i];

		(void)snprintf(name, sizeof name, "%s/%u", d->daemon, d->instance);
		(void)snprintf(pid, sizeof pid, "%" PRIu32, d->pid);
		(void)snprintf(restarts, sizeof restarts, "%" PRIu32, d->restarts);
		table_row(&table, (const char *[]){name, d->pid != 0 ? pid : "-", d->state,
				      restarts, time_text(d->since, when),
				      shown(d->trouble[0] != '\0' ? d->trouble : d->note)});
	}
	return table_end(&table);
}

static int
print_connectors(const struct shown_status *s)
{
	static const char *const heads[] = {
	    "CONNECTOR", "SERVICE", "LISTENS", "PEER", "SERVER", "TLS", NULL};
	struct table table;
	size_t i;

	if (s->connectors.n == 0)
		return 0;
	(void)putchar('\n');
	table_begin(&table, heads);
	for (i = 0; i < s->connectors.n; i++) {
		const struct shown_connector *c = &s->connectors.v[i];

		table_row(&table, (const char *[]){c->connector, c->service, c->listen, c->peer,
				      c->server, c->tls});
	}
	return table_end(&table);
}

static void
print_facts(const struct shown_status *s)
{
	size_t i, k;

	for (i = 0; i < s->daemons.n; i++) {
		const struct shown_daemon *d = &s->daemons.v[i];

		if (d->facts.n > 0)
			(void)printf("\n%s/%u\n", d->daemon, d->instance);
		for (k = 0; k < d->facts.n; k++)
			(void)printf(
			    "  %-24s %s\n", shown(d->facts.v[k].name), shown(d->facts.v[k].value));
	}
}

int
verb_status(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"verbose", no_argument, NULL, 'v'},
	    {NULL, 0, NULL, 0},
	};
	struct status *st;
	int o, rc, json = 0, verbose = 0;

	while ((o = getopt_long(argc, argv, "v", longs, NULL)) != -1)
		switch (o) {
		case 'j':
			json = 1;
			break;
		case 'v':
			verbose = 1;
			break;
		default:
			return complain_usage();
		}
	if (optind != argc)
		return complain_usage();
	if ((st = calloc(1, sizeof *st)) == NULL)
		return complain(EX_OSERR, "out of memory");
	if ((rc = ask_all(t, st)) == 0 && (rc = add_connectors(t, st)) == 0) {
		if (json)
			rc = json_print(&rec_shown_status, &st->s);
		else {
			print_head(&st->s);
			if ((rc = print_daemons(&st->s)) == 0)
				rc = print_connectors(&st->s);
			if (verbose)
				print_facts(&st->s);
		}
	}
	status_free(t, st);
	return rc;
}
