/* status: what needs attention. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/clock.h"
#include "gwctl/keys.h"
#include "gwctl/status.h"
#include "openpgp/cert.h"

#define DAY 86400
#define SOON (14 * DAY) /* seconds before its end that a certificate is told of; as in the log */

__attribute__((format(printf, 4, 5))) static void
find(struct status *st, int trouble, const char *about, const char *fmt, ...)
{
	size_t i = st->s.findings.n;
	va_list ap;

	st->troubles += trouble != 0;
	if (i == STATUS_FINDINGS_MAX) {
		st->untold++;
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(st->finding_texts[i], sizeof st->finding_texts[i], fmt, ap);
	va_end(ap);
	st->findings[i] =
	    (struct shown_finding){trouble ? "trouble" : "note", about, st->finding_texts[i]};
	st->s.findings.n++;
}

static void
judge_daemons(struct status *st)
{
	size_t i;

	for (i = 0; i < st->s.daemons.n; i++) {
		const struct shown_daemon *d = &st->daemons[i];
		const struct fact *f;

		if (strcmp(d->state, "waiting") == 0)
			find(st, 1, d->daemon, "instance %u does not run: %s", d->instance,
			    d->note[0] != '\0' ? d->note : "it died again and again");
		else if (d->trouble[0] != '\0')
			find(st, 1, d->daemon, "instance %u (pid %" PRIu32 ") does not answer: %s",
			    d->instance, d->pid, d->trouble);
		for (f = NULL; (f = status_fact(d, "trouble", f)) != NULL;)
			if (f->value[0] != '\0')
				find(st, 1, d->daemon, "%s", f->value);
	}
}

static void
judge_keystore(struct status *st)
{
	static const struct {
		const char *state, *text;
	} known[] = {
	    {"locked", "locked: nothing is signed or opened until keyctl unlock"},
	    {"not initialised", "not initialised: run keyctl init"},
	};
	const char *text = st->s.keystore;
	size_t i;

	if (strcmp(st->s.keystore_state, "unlocked") == 0)
		return;
	for (i = 0; i < sizeof known / sizeof known[0]; i++)
		if (strcmp(st->s.keystore_state, known[i].state) == 0)
			text = known[i].text;
	find(st, 1, "key store", "%s", text);
}

static void
judge_peers(struct status *st)
{
	char when[DATE_TEXT];
	size_t i;

	for (i = 0; i < st->s.peers.n; i++) {
		const struct shown_peer *p = &st->s.peers.v[i];

		if (strcmp(p->state, "down") == 0)
			find(st, 1, p->peer, "%s could not be used at %s: %s", p->server,
			    time_text(p->last_down, when), p->error);
	}
}

/* "2027-01-31": the first second of that day; 0 when it is no day. */
static uint64_t
day_value(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%d", &tm);
	time_t t;

	return end != NULL && *end == '\0' && (t = timegm(&tm)) > 0 ? (uint64_t)t : 0;
}

/* Those of connectors. */
static void
judge_certificates(struct status *st)
{
	uint64_t now = clock_unix(), end;
	size_t i;

	for (i = 0; i < st->s.tls_certificates.n; i++) {
		const struct shown_tls_cert *c = &st->certificates[i];

		if ((end = day_value(c->end)) == 0 || end > now + SOON)
			continue;
		if (c->ended)
			find(st, 1, c->file, "has ended on %s: clients refuse it", c->end);
		else
			find(st, 0, c->file, "ends on %s: renew it, then gwctl reload", c->end);
	}
}

/* cryptod tells of its end; that there is none is no trouble where nobody needs it. */
static void
judge_authority(struct status *st)
{
	size_t i;

	if (st->minting == NULL || strcmp(st->s.keystore_state, "unlocked") != 0)
		return;
	for (i = 0; i < st->s.daemons.n; i++)
		if (status_fact(&st->daemons[i], "proxy_authority", NULL) != NULL)
			return;
	find(st, 1, st->minting,
	    "there is no authority for the certificates that its clients are to see: keyctl ca "
	    "init");
}

static void
judge_people(struct status *st)
{
	const struct cert_ends *x = &st->ends;
	char day[DATE_TEXT];

	if (x->ended > 0)
		find(st, 0, x->ended_consumer,
		    "has private keys and no valid certificate%s: gwctl key list",
		    x->ended > 1 ? ", and is not alone in that" : "");
	if (x->next != 0 && x->next <= clock_unix() + SOON)
		find(st, 0, x->consumer, "the certificate ends on %s: keyctl generate",
		    date_text(x->next, day));
}

int
status_judge(struct status *st)
{
	static char more[64];

	st->finding_texts = calloc(STATUS_FINDINGS_MAX, sizeof *st->finding_texts);
	st->s.findings.v = st->findings;
	if (st->finding_texts == NULL)
		return complain(EX_OSERR, "out of memory");
	judge_keystore(st);
	judge_daemons(st);
	judge_peers(st);
	judge_certificates(st);
	judge_authority(st);
	judge_people(st);
	if (st->untold > 0) {
		(void)snprintf(more, sizeof more, "%u findings more", st->untold);
		st->findings[st->s.findings.n++] = (struct shown_finding){"note", "status", more};
	}
	st->s.state = st->troubles > 0 ? "degraded" : "well";
	return 0;
}

/* ---- certificates of consumers ---- */

struct owner {
	char consumer[65];
	uint64_t end; /* UINT64_MAX: never; 0: not valid now */
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct owner *)a)->consumer, ((const struct owner *)b)->consumer);
}

/* When nothing can be encrypted to it any more: as struct owner's end. */
static uint64_t
end_of_cert(const struct cert *c, uint64_t now)
{
	const struct cert_key *keys[CERT_KEYS_MAX];
	uint64_t end = 0, e, primary = c->keys.v[0].expires;
	struct err err;
	int i, n = pgp_cert_encryption_keys(c, now, keys, CERT_KEYS_MAX, &err);

	for (i = 0; i < n; i++) {
		e = keys[i]->expires == 0 ? UINT64_MAX : keys[i]->expires;
		if (primary != 0 && primary < e)
			e = primary;
		if (e > end)
			end = e;
	}
	return end;
}

static void
evaluate(struct owner *v, size_t n, struct cert_ends *out)
{
	uint64_t end;
	size_t i;

	memset(out, 0, sizeof *out);
	qsort(v, n, sizeof *v, by_name);
	for (i = 0; i < n; i++) {
		for (end = v[i].end; i + 1 < n && by_name(&v[i], &v[i + 1]) == 0; i++)
			if (v[i + 1].end > end)
				end = v[i + 1].end;
		out->owners++;
		if (end == 0) {
			if (out->ended++ == 0)
				(void)strlcpy(out->ended_consumer, v[i].consumer, 65);
		} else if (end != UINT64_MAX && (out->next == 0 || end < out->next)) {
			out->next = end;
			(void)strlcpy(out->consumer, v[i].consumer, 65);
		}
	}
}

int
status_ends(struct ipc *policy, struct cert_ends *out, struct err *e)
{
	struct owner *v = calloc(ENDS_MAX, sizeof *v);
	struct cert_list q = {.consumer = ""};
	const struct cert_page *p;
	uint64_t now = clock_unix();
	size_t i, got = 0, seen = 0, n = 0;
	uint8_t after[32];
	struct ipc_msg m;
	int rc = 0;

	if (v == NULL)
		return err_sys(e, "memory");
	do {
		if ((rc = control_admin(
			 policy, M_cert_list, &q, M_cert_page, &m, CONTROL_TIMEOUT, e)) == -1)
			break;
		p = m.body;
		for (i = 0, got = p->certs.n; i < got && seen < ENDS_MAX; i++, seen++) {
			const struct stored_cert *sc = &p->certs.v[i];
			struct bytes last = sc->cert.v->keys.v[0].fpr;

			memcpy(after, last.p, last.n);
			q.after = (struct bytes){after, last.n};
			if (!sc->secret)
				continue;
			(void)strlcpy(v[n].consumer, sc->consumer, sizeof v[n].consumer);
			v[n++].end = end_of_cert(sc->cert.v, now);
		}
		ipc_done(policy, &m);
	} while (got > 0 && seen < ENDS_MAX);
	if (rc == 0)
		evaluate(v, n, out);
	free(v);
	return rc;
}
