/* status: what master says of its daemons, and what they say of themselves. */
#include "gwctl/status.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/version.h"

#define FACTS_TIMEOUT 3000 /* milliseconds for one daemon: status must not hang on a stuck one */
#define EX_DEGRADED 1 /* none of sysexits.h: it runs, and something needs attention */

REC_DEFINE(shown_finding, REC_SHOWN_FINDING)
REC_DEFINE(shown_daemon, REC_SHOWN_DAEMON)
REC_DEFINE(shown_connector, REC_SHOWN_CONNECTOR)
REC_DEFINE(shown_tls_cert, REC_SHOWN_TLS_CERT)
REC_DEFINE(shown_peer, REC_SHOWN_PEER)
REC_DEFINE(shown_status, REC_SHOWN_STATUS)

static void
status_free(struct gwctl *t, struct status *st)
{
	size_t i;

	for (i = 0; i < STATUS_DAEMONS_MAX; i++) {
		free(st->own[i].rep);
		buf_free(&st->own[i].mem);
	}
	if (st->master.def != NULL)
		ipc_done(&t->master, &st->master);
	free(st->connectors);
	free(st->certificates);
	free(st->certificate_ends);
	free(st->peers);
	free(st->texts);
	free(st->finding_texts);
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

/* ---- asking ---- */

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

const struct fact *
status_fact(const struct shown_daemon *d, const char *name, const struct fact *prev)
{
	size_t i = prev != NULL ? (size_t)(prev - d->facts.v) + 1 : 0;

	for (; i < d->facts.n; i++)
		if (strcmp(d->facts.v[i].name, name) == 0)
			return &d->facts.v[i];
	return NULL;
}

int
status_is_proxy(const struct shown_daemon *d)
{
	return strcmp(d->daemon, "smtpd") == 0 || strcmp(d->daemon, "pop3d") == 0;
}

/* A fact that is a number; 0 when it is none, or unknown. */
static uint64_t
number(const struct shown_daemon *d, const char *name)
{
	const struct fact *f = status_fact(d, name, NULL);

	return f != NULL && f->value[0] != '-' ? strtoull(f->value, NULL, 10) : 0;
}

/* Sums of what the single daemons say. */
static void
sum_up(struct shown_status *s)
{
	const struct shown_daemon *d;
	const struct fact *f;
	size_t i;

	s->keystore = "not known: cryptod does not run";
	s->keystore_state = "unknown";
	for (i = 0; i < s->daemons.n; i++) {
		d = &s->daemons.v[i];
		if (strcmp(d->daemon, "cryptod") == 0 && d->facts.n > 0) {
			f = status_fact(d, "keystore", NULL);
			s->keystore_state = f != NULL ? f->value : "unknown";
			s->keystore = d->note[0] != '\0' ? d->note : s->keystore_state;
			s->keys = number(d, "keys");
		}
		if (strcmp(d->daemon, "policyd") == 0) {
			s->domains = number(d, "domains");
			s->consumers = number(d, "consumers");
			s->certificates = number(d, "certificates");
		}
		/* Those of proxies: policyd counts the same ones. */
		if (status_is_proxy(d)) {
			s->sessions += number(d, "sessions");
			s->notices_waiting += number(d, "notices.waiting");
		}
	}
}

/* Whose certificates end, and when: policyd is asked once more. */
static void
ask_ends(struct ipc *master, struct status *st)
{
	struct shown_status *s = &st->s;
	struct err e = {0};
	struct ipc policy;
	int rc;

	if (s->certificates == 0)
		return;
	if (s->certificates > ENDS_MAX) {
		(void)snprintf(st->ends_trouble, sizeof st->ends_trouble,
		    "not looked at, being more than %d: gwctl key list", ENDS_MAX);
		return;
	}
	if (control_channel(master, P_POLICYD, 0, &policy, &e) == -1)
		rc = -1;
	else {
		rc = status_ends(&policy, &st->ends, &e);
		ipc_close(&policy);
	}
	if (rc == -1) {
		(void)strlcpy(st->ends_trouble, e.text, sizeof st->ends_trouble);
		return;
	}
	s->owners = st->ends.owners;
	s->owners_ended = st->ends.ended;
	s->next_end = st->ends.next;
	s->next_end_consumer = st->ends.consumer;
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
	for (i = 0; i < rep->procs.n && i < STATUS_DAEMONS_MAX; i++) {
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
	sum_up(&st->s);
	ask_ends(&aside, st);
	ipc_close(&aside);
	return 0;
}

/* ---- telling ---- */

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

/* For a monitor: nothing when all is well. */
static void
print_findings(const struct shown_status *s)
{
	size_t i;

	for (i = 0; i < s->findings.n; i++)
		(void)printf("%s: %s: %s\n", s->findings.v[i].level, shown(s->findings.v[i].about),
		    shown(s->findings.v[i].text));
}

static int
tell(const struct status *st, const struct conf *c, int how)
{
	int rc = 0;

	if (how == 'j')
		rc = json_print(&rec_shown_status, &st->s);
	else if (how == 'm')
		return status_metrics(st, c); /* a scraper wants no exit status of ours */
	else if (how == 'q')
		print_findings(&st->s);
	else if ((rc = status_picture(st)) == 0 && how == 'v')
		print_facts(&st->s);
	if (rc == 0 && st->troubles > 0)
		rc = EX_DEGRADED;
	return rc;
}

int
verb_status(struct gwctl *t, int argc, char *argv[])
{
	static const struct option longs[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"metrics", no_argument, NULL, 'm'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"verbose", no_argument, NULL, 'v'},
	    {NULL, 0, NULL, 0},
	};
	struct status *st;
	int o, rc, how = 0;

	while ((o = getopt_long(argc, argv, "qv", longs, NULL)) != -1) {
		if (o == '?' || (how != 0 && how != o))
			return complain_usage();
		how = o;
	}
	if (optind != argc)
		return complain_usage();
	if ((st = calloc(1, sizeof *st)) == NULL)
		return complain(EX_OSERR, "out of memory");
	if ((rc = ask_all(t, st)) == 0 && (rc = status_places(st, t->conf)) == 0 &&
	    (rc = status_judge(st)) == 0)
		rc = tell(st, t->conf, how);
	status_free(t, st);
	return rc;
}
