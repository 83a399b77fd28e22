/* status --metrics: the same for Prometheus (text exposition format, version 0.0.4). */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gwctl/status.h"

/* The value of a label: quote, backslash and newline escaped, what is no text made visible. */
static const char *
label(char *out, size_t outsz, const char *s)
{
	const char *p = shown(s);
	size_t n = 0;

	for (; *p != '\0' && n + 3 < outsz; p++) {
		if (*p == '"' || *p == '\\')
			out[n++] = '\\';
		out[n++] = *p;
	}
	out[n] = '\0';
	return out;
}

static void
head(const char *name, const char *type, const char *help)
{
	(void)printf("# HELP postern_%s %s\n# TYPE postern_%s %s\n", name, help, name, type);
}

static void
daemons(const struct shown_status *s)
{
	size_t i;

	head("daemon_up", "gauge", "1 while the process runs");
	for (i = 0; i < s->daemons.n; i++)
		(void)printf("postern_daemon_up{daemon=\"%s\",instance=\"%u\"} %d\n",
		    s->daemons.v[i].daemon, s->daemons.v[i].instance,
		    strcmp(s->daemons.v[i].state, "running") == 0);
	head("daemon_restarts_total", "counter", "times that it had to be started again");
	for (i = 0; i < s->daemons.n; i++)
		(void)printf("postern_daemon_restarts_total{daemon=\"%s\",instance=\"%u\"} %" PRIu32
			     "\n",
		    s->daemons.v[i].daemon, s->daemons.v[i].instance, s->daemons.v[i].restarts);
}

static int
is_number(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n < 21 && s[n] == '\0';
}

/* What daemons count: postern_smtpd_messages_in{instance="0"}.  Equal names stand together. */
static void
facts(const struct shown_status *s)
{
	const struct shown_daemon *d;
	char name[80], *p;
	size_t i, j, k;

	for (i = 0; i < s->daemons.n; i++) {
		d = &s->daemons.v[i];
		for (k = 0; d->instance == 0 && k < d->facts.n; k++) {
			if (!is_number(d->facts.v[k].value) ||
			    status_fact(d, d->facts.v[k].name, NULL) != &d->facts.v[k])
				continue;
			(void)snprintf(name, sizeof name, "%s_%s", d->daemon, d->facts.v[k].name);
			for (p = name; *p != '\0'; p++)
				if (!isalnum((unsigned char)*p))
					*p = '_';
			(void)printf("# TYPE postern_%s untyped\n", name);
			for (j = 0; j < s->daemons.n; j++) {
				const struct fact *f =
				    strcmp(s->daemons.v[j].daemon, d->daemon) == 0
					? status_fact(&s->daemons.v[j], d->facts.v[k].name, NULL)
					: NULL;

				if (f != NULL && is_number(f->value))
					(void)printf("postern_%s{instance=\"%u\"} %s\n", name,
					    s->daemons.v[j].instance, f->value);
			}
		}
	}
}

static void
places(const struct shown_status *s)
{
	char a[SHOWN_MAX];
	size_t i;

	head("connector_sessions", "gauge", "sessions of a connector");
	for (i = 0; i < s->connectors.n; i++)
		if (i == 0 ||
		    strcmp(s->connectors.v[i].connector, s->connectors.v[i - 1].connector) != 0)
			(void)printf("postern_connector_sessions{connector=\"%s\"} %" PRIu64 "\n",
			    label(a, sizeof a, s->connectors.v[i].connector),
			    s->connectors.v[i].sessions);
	head("peer_up", "gauge", "1: the mail server was reached last time, 0: it was not");
	for (i = 0; i < s->peers.n; i++)
		if (strcmp(s->peers.v[i].state, "unknown") != 0)
			(void)printf("postern_peer_up{peer=\"%s\"} %d\n",
			    label(a, sizeof a, s->peers.v[i].peer),
			    strcmp(s->peers.v[i].state, "up") == 0);
}

static void
certificates(const struct shown_status *s)
{
	char a[SHOWN_MAX];
	struct tm tm;
	size_t i;

	head("certificate_end_timestamp_seconds", "gauge",
	    "first second of the day on which a certificate for clients ends");
	for (i = 0; i < s->tls_certificates.n; i++) {
		memset(&tm, 0, sizeof tm);
		if (strptime(s->tls_certificates.v[i].end, "%Y-%m-%d", &tm) != NULL)
			(void)printf(
			    "postern_certificate_end_timestamp_seconds{file=\"%s\"} %lld\n",
			    label(a, sizeof a, s->tls_certificates.v[i].file),
			    (long long)timegm(&tm));
	}
}

int
status_metrics(const struct status *st)
{
	const struct shown_status *s = &st->s;
	char version[SHOWN_MAX];

	head("info", "gauge", "the running gateway");
	(void)printf(
	    "postern_info{version=\"%s\"} 1\n", label(version, sizeof version, s->version));
	head("start_timestamp_seconds", "gauge", "when it was started");
	(void)printf("postern_start_timestamp_seconds %" PRIu64 "\n", s->started);
	head("troubles", "gauge", "findings of gwctl status -q that mean trouble");
	(void)printf("postern_troubles %u\n", st->troubles);
	head("keystore_unlocked", "gauge", "1 while private keys can be used");
	(void)printf("postern_keystore_unlocked %d\n", strcmp(s->keystore_state, "unlocked") == 0);
	head("sessions", "gauge", "sessions of all proxies");
	(void)printf("postern_sessions %" PRIu64 "\n", s->sessions);
	daemons(s);
	places(s);
	certificates(s);
	facts(s);
	return 0;
}
