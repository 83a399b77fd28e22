/* What became of a message: for the log and for queued. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "deliverd/job_int.h"
#include "proc/event.h"

#define RESULT_FIXED 32 /* octets of a result in a frame beside its strings */

struct job_counts job_counts;

const struct job_counts *
job_count(void)
{
	return &job_counts;
}

static uint32_t
span(uint64_t from, uint64_t to)
{
	return to > from ? (uint32_t)(to - from < UINT32_MAX ? to - from : UINT32_MAX) : 0;
}

static void
log_result(
    const struct job *j, size_t i, enum event_status status, const char *relay, const char *text)
{
	const struct job_rcpt *r = &j->req->rcpts.v[i];
	uint64_t now = clock_ms();
	const struct log_event e = {
	    .kind = EV_DELIVERY,
	    .tx = j->env->tx,
	    .qid = j->env->qid,
	    .tenant = j->env->tenant,
	    .connector = j->env->connector,
	    .sender = j->env->sender,
	    .rcpt = r->addr,
	    .orcpt = r->orcpt,
	    .msgid = j->env->msgid,
	    .relay = relay != NULL ? relay : "none",
	    .dsn = j->outcomes[i].dsn,
	    .status = (uint8_t)status,
	    .size = j->req->size,
	    .delay_a = j->req->waited_in,
	    .delay_b = j->req->waited_queue,
	    .delay_c = span(j->began, j->connected != 0 ? j->connected : now),
	    .delay_d = j->connected != 0 ? span(j->connected, now) : 0,
	    .text = text,
	};

	proc_event(&e);
}

/*
 * What queued is told: who said it (mta "": we), and what.  The log has it in more words; relay
 * NULL: none.
 */
static void
conclude(struct job *j, size_t i, enum job_status status, const char *dsn, const char *mta,
    const char *text, const char *relay, const char *words)
{
	struct outcome *o = &j->outcomes[i];
	enum event_status s = ES_SENT;

	o->done = true;
	o->status = status;
	(void)strlcpy(o->dsn, dsn, sizeof o->dsn);
	(void)strlcpy(o->mta, mta, sizeof o->mta);
	o->text = strndup(text, DIAG_MAX);
	j->left--;
	if (status == JOB_DELAYED) {
		job_counts.delayed++;
		s = ES_DEFERRED;
	} else if (status == JOB_FAILED) {
		job_counts.failed++;
		s = ES_BOUNCED;
	} else
		job_counts.sent++;
	log_result(j, i, s, relay, words);
}

void
job_results(struct job *j, enum job_status status, const char *dsn, const char *text)
{
	size_t i;

	for (i = 0; i < j->n; i++)
		if (!j->outcomes[i].done)
			conclude(j, i, status, dsn, "", text, NULL, text);
}

void
job_failed(struct job *j, const struct link_failure *why)
{
	enum job_status status = why->permanent ? JOB_FAILED : JOB_DELAYED;
	char words[DIAG_MAX + 1];
	size_t i;

	(void)strlcpy(words, why->text, sizeof words);
	if (why->mta[0] != '\0')
		(void)snprintf(words, sizeof words, "host %s %s: %.*s", why->mta, why->verb,
		    DIAG_MAX - 300, why->text);
	for (i = 0; i < j->n; i++)
		if (!j->outcomes[i].done)
			conclude(j, i, status, why->dsn, why->mta, why->text, NULL, words);
}

/* "host mx.example.org[192.0.2.1] said: 550 5.1.1 No (in reply to RCPT TO command)" */
static void
quote(char *out, size_t outsz, const struct client_rcpt *r, const char *relay)
{
	const char *end = strchr(relay, ']');
	int n = end != NULL ? (int)(end - relay) + 1 : (int)strlen(relay);

	if (r->reply_to != NULL && r->reply_to[0] != '\0')
		(void)snprintf(out, outsz, "host %.*s said: %.*s (in reply to %s)", n, relay,
		    DIAG_MAX - 200, r->text, r->reply_to);
	else
		(void)snprintf(out, outsz, "host %.*s said: %s", n, relay, r->text);
}

void
job_verdict(struct job *j, size_t i, const struct client_rcpt *r, const struct link *l)
{
	char words[DIAG_MAX + 1];
	const char *relay = client_relay(link_client(l));
	bool good = r->status == JOB_SENT || r->status == JOB_RELAYED;

	if (r->said && !good)
		quote(words, sizeof words, r, relay);
	else
		(void)strlcpy(words, r->text, sizeof words);
	conclude(j, i, r->status, r->dsn, r->said ? job_host(j)->name : "", r->text, relay, words);
}

/* A reply must fit a frame whatever the servers have said: so much of each text. */
static struct job_result
brief(struct outcome *o, size_t room)
{
	struct job_result r = {
	    .status = (uint8_t)o->status, .dsn = o->dsn, .mta = o->mta, .text = ""};
	size_t n = RESULT_FIXED + strlen(o->dsn) + strlen(o->mta);

	if (n > room) {
		r.mta = "";
		n -= strlen(o->mta);
	}
	if (o->text == NULL || n >= room)
		return r;
	if (strlen(o->text) > room - n)
		o->text[room - n] = '\0';
	r.text = o->text;
	return r;
}

void
job_answer(struct job *j)
{
	struct job_result one, *v = &one;
	struct job_rep rep = {.site = j->site};
	size_t i, room = (IPC_FRAME_MAX - 1024) / j->n;

	if (j->from == NULL)
		return;
	/* Without memory nobody is told: queued tries again when this process is gone. */
	if (j->n > 1 && (v = calloc(j->n, sizeof *v)) == NULL)
		return;
	for (i = 0; i < j->n; i++)
		v[i] = brief(&j->outcomes[i], room);
	rep.results.v = v;
	rep.results.n = j->n;
	(void)chan_send(j->from, M_job_rep, j->id, &rep, -1);
	if (v != &one)
		free(v);
}
