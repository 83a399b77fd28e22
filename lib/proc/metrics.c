#include "proc/metrics.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

void
metrics_head(struct buf *b, const char *name, const char *type, const char *help)
{
	(void)buf_printf(b, "# HELP postern_%s %s\n# TYPE postern_%s %s\n", name, help, name, type);
}

const char *
metrics_label(char out[METRICS_LABEL_MAX], const char *s)
{
	char text[METRICS_LABEL_MAX / 2];
	const char *p = log_clean(text, sizeof text, s, strlen(s));
	size_t n = 0;

	for (; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			out[n++] = '\\';
		out[n++] = *p;
	}
	out[n] = '\0';
	return out;
}

const struct fact *
metrics_fact(const struct metrics_daemon *d, const char *name, const struct fact *prev)
{
	size_t i = prev != NULL ? (size_t)(prev - d->facts) + 1 : 0;

	for (; i < d->nfacts; i++)
		if (strcmp(d->facts[i].name, name) == 0)
			return &d->facts[i];
	return NULL;
}

static int
is_number(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n < 21 && s[n] == '\0';
}

/* Did one before v[i] have this figure? */
static int
told(const struct metrics_daemon *v, size_t i, const struct fact *f)
{
	size_t j;

	if (metrics_fact(&v[i], f->name, NULL) != f)
		return 1;
	for (j = 0; j < i; j++)
		if (strcmp(v[j].daemon, v[i].daemon) == 0 &&
		    metrics_fact(&v[j], f->name, NULL) != NULL)
			return 1;
	return 0;
}

/* The figure of this name from v[i] and those behind it. */
static void
put_fact(struct buf *b, const struct metrics_daemon *v, size_t n, size_t i, const char *fact)
{
	const char *daemon = v[i].daemon;
	const struct fact *f;
	char name[112], *p;

	(void)snprintf(name, sizeof name, "%s_%s", daemon, fact);
	for (p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	(void)buf_printf(b, "# TYPE postern_%s untyped\n", name);
	for (; i < n; i++)
		if (strcmp(v[i].daemon, daemon) == 0 &&
		    (f = metrics_fact(&v[i], fact, NULL)) != NULL && is_number(f->value))
			(void)buf_printf(
			    b, "postern_%s{instance=\"%u\"} %s\n", name, v[i].instance, f->value);
}

void
metrics_facts(struct buf *b, const struct metrics_daemon *v, size_t n)
{
	const struct fact *f;
	size_t i;

	for (i = 0; i < n; i++)
		for (f = v[i].facts; f < v[i].facts + v[i].nfacts; f++)
			if (is_number(f->value) && !told(v, i, f))
				put_fact(b, v, n, i, f->name);
}

/* Is this fact about name?  Then what follows behind the name and a blank. */
static const char *
about(const struct fact *f, const char *name)
{
	size_t n = strlen(name);

	return strncmp(f->value, name, n) == 0 && f->value[n] == ' ' ? f->value + n + 1 : NULL;
}

/* A number behind KEY in the text. */
static uint64_t
number_at(const char *s, const char *key)
{
	const char *p = strstr(s, key);

	return p != NULL ? strtoull(p + strlen(key), NULL, 10) : 0;
}

/* "NAME sessions=N" of all proxies. */
static uint64_t
sessions_of(const struct metrics_daemon *v, size_t n, const char *connector)
{
	const struct fact *f;
	const char *p;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		for (f = NULL; (f = metrics_fact(&v[i], "connector", f)) != NULL;)
			if ((p = about(f, connector)) != NULL && strncmp(p, "sessions=", 9) == 0)
				sum += strtoull(p + 9, NULL, 10);
	return sum;
}

/* "NAME up=MS down=MS ...": the newest of what several processes say; -1: none was asked. */
static int
peer_up(const struct metrics_daemon *v, size_t n, const char *peer)
{
	uint64_t up = 0, down = 0, ms;
	const struct fact *f;
	const char *p;
	size_t i;

	for (i = 0; i < n; i++)
		for (f = NULL; (f = metrics_fact(&v[i], "peer", f)) != NULL;) {
			if ((p = about(f, peer)) == NULL)
				continue;
			if ((ms = number_at(p, "up=")) > up)
				up = ms;
			if ((ms = number_at(p, " down=")) > down)
				down = ms;
		}
	return up == 0 && down == 0 ? -1 : up >= down;
}

/* "PATH: ends on 2027-01-31", or "ENDED on ...". -1: nobody says. */
static long long
end_of(const struct metrics_daemon *v, size_t n, const char *path)
{
	size_t len = strlen(path), i;
	const struct fact *f;
	const char *p;
	struct tm tm;

	for (i = 0; i < n; i++)
		for (f = NULL; (f = metrics_fact(&v[i], "tls.certificate", f)) != NULL;) {
			memset(&tm, 0, sizeof tm);
			if (strncmp(f->value, path, len) == 0 && f->value[len] == ':' &&
			    (p = strrchr(f->value, ' ')) != NULL &&
			    strptime(p + 1, "%Y-%m-%d", &tm) != NULL)
				return (long long)timegm(&tm);
		}
	return -1;
}

/* Was this chain named by a connector before? */
static int
chain_told(const struct conf *c, size_t connector, size_t chain)
{
	const char *path = c->connectors[connector].chains.v[chain];
	size_t i, j;

	for (i = 0; i <= connector; i++)
		for (j = 0; j < (i < connector ? c->connectors[i].chains.n : chain); j++)
			if (strcmp(c->connectors[i].chains.v[j], path) == 0)
				return 1;
	return 0;
}

static void
put_certificates(struct buf *b, const struct conf *c, const struct metrics_daemon *v, size_t n)
{
	char label[METRICS_LABEL_MAX];
	const struct conf_strings *l;
	long long end;
	size_t i, j;

	metrics_head(b, "certificate_end_timestamp_seconds", "gauge",
	    "first second of the day on which a certificate for clients ends");
	for (i = 0; i < c->nconnectors; i++) {
		l = &c->connectors[i].chains;
		for (j = 0; j < l->n; j++)
			if (!chain_told(c, i, j) && (end = end_of(v, n, l->v[j])) != -1)
				(void)buf_printf(b,
				    "postern_certificate_end_timestamp_seconds{file=\"%s\"} "
				    "%lld\n",
				    metrics_label(label, l->v[j]), end);
	}
}

void
metrics_places(struct buf *b, const struct conf *c, const struct metrics_daemon *v, size_t n)
{
	char label[METRICS_LABEL_MAX];
	size_t i;
	int up;

	metrics_head(b, "connector_sessions", "gauge", "sessions of a connector");
	for (i = 0; i < c->nconnectors; i++)
		(void)buf_printf(b, "postern_connector_sessions{connector=\"%s\"} %llu\n",
		    metrics_label(label, c->connectors[i].name),
		    (unsigned long long)sessions_of(v, n, c->connectors[i].name));
	metrics_head(
	    b, "peer_up", "gauge", "1: the mail server was reached last time, 0: it was not");
	for (i = 0; i < c->npeers; i++)
		if ((up = peer_up(v, n, c->peers[i].name)) != -1)
			(void)buf_printf(b, "postern_peer_up{peer=\"%s\"} %d\n",
			    metrics_label(label, c->peers[i].name), up);
	put_certificates(b, c, v, n);
}
