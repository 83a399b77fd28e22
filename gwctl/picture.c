/* status: the picture. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "gwctl/status.h"

#define WORDS 600 /* octets of a cell that is put together here */

/* "for 3 h 4 min" since then, or "-". */
static const char *
age(uint64_t since, char out[DATE_TEXT])
{
	uint64_t now = clock_unix();

	if (since == 0)
		return "-";
	return span_text(now > since ? now - since : 0, out);
}

static void
print_head(const struct shown_status *s)
{
	char when[DATE_TEXT], span[DATE_TEXT];
	int well = strcmp(s->state, "well") == 0;

	put_tinted(well ? TINT_GOOD : TINT_BAD, s->state, strlen(s->state));
	(void)printf(": Postern %s, running for %s, since %s\n", s->version, age(s->started, span),
	    time_text(s->started, when));
	(void)printf("%-14s %s\n", "configuration", shown(s->config));
	if (!s->privileged)
		(void)printf("%-14s %s\n", "privileges",
		    "none: an ordinary user started it, whom all daemons share; "
		    "not for production");
}

/* What is wrong comes before everything else. */
static void
print_findings(const struct shown_status *s)
{
	size_t i;

	for (i = 0; i < s->findings.n; i++) {
		const struct shown_finding *f = &s->findings.v[i];
		int trouble = strcmp(f->level, "trouble") == 0;

		put_tinted(trouble ? TINT_BAD : TINT_WARN, trouble ? "!" : "*", 1);
		(void)printf(" %s: %s\n", shown(f->about), shown(f->text));
	}
}

/* From outside to the first box. */
static void
print_entry(void)
{
	(void)printf("\n%*s%s\n%*s%s\n", BOX_ARROW - 3, "", "clients", BOX_ARROW, "",
	    term_out()->utf8 ? "\u2502" : "|");
}

static int
draw_connectors(const struct shown_status *s)
{
	static const char *const heads[] = {
	    "CONNECTOR", "SERVICE", "LISTENS", "TLS", "SESSIONS", "PEER", NULL};
	char sessions[24];
	struct table table;
	size_t i;

	table_begin(&table, heads);
	for (i = 0; i < s->connectors.n; i++) {
		const struct shown_connector *c = &s->connectors.v[i];

		(void)snprintf(sessions, sizeof sessions, "%" PRIu64, c->sessions);
		table_row(&table,
		    (const char *[]){shown(c->connector), c->service, c->listen, c->client_tls,
			sessions, c->peer[0] != '\0' ? shown(c->peer) : "(transparent)"});
	}
	return table_box(&table, "connectors", BOX_IN | BOX_OUT);
}

static int
draw_daemons(const struct shown_status *s)
{
	static const char *const heads[] = {
	    "DAEMON", "STATE", "PID", "RUNNING FOR", "RESTARTS", "NOTE", NULL};
	char name[48], pid[16], restarts[16], span[DATE_TEXT];
	struct table table;
	size_t i;

	table_begin(&table, heads);
	for (i = 0; i < s->daemons.n; i++) {
		const struct shown_daemon *d = &s->daemons.v[i];
		int runs = d->pid != 0;

		(void)snprintf(name, sizeof name, "%s/%u", d->daemon, d->instance);
		(void)snprintf(pid, sizeof pid, "%" PRIu32, d->pid);
		(void)snprintf(restarts, sizeof restarts, "%" PRIu32, d->restarts);
		table_row(&table, (const char *[]){name, d->state, runs ? pid : "-",
				      runs ? age(d->since, span) : "-", restarts,
				      shown(d->trouble[0] != '\0' ? d->trouble : d->note)});
		table_tint(&table, 1,
		    strcmp(d->state, "waiting") == 0 || d->trouble[0] != '\0' ? TINT_BAD
		    : strcmp(d->state, "running") == 0                        ? TINT_GOOD
									      : TINT_WARN);
		if (d->restarts > 0)
			table_tint(&table, 4, TINT_WARN);
	}
	return table_box(&table, "daemons", s->connectors.n > 0 ? BOX_IN | BOX_OUT : 0);
}

static int
draw_peers(const struct shown_status *s)
{
	static const char *const heads[] = {"PEER", "SERVICE", "SERVER", "TLS", "STATE", NULL};
	char span[DATE_TEXT], state[WORDS];
	struct table table;
	size_t i;

	table_begin(&table, heads);
	for (i = 0; i < s->peers.n; i++) {
		const struct shown_peer *p = &s->peers.v[i];
		int up = strcmp(p->state, "up") == 0, down = strcmp(p->state, "down") == 0;

		if (up)
			(void)snprintf(state, sizeof state, "up %s ago%s%s", age(p->last_up, span),
			    p->tls_version[0] != '\0' ? ", " : "", shown(p->tls_version));
		else if (down)
			(void)snprintf(state, sizeof state, "down %s ago: %s",
			    age(p->last_down, span), shown(p->error));
		table_row(&table, (const char *[]){shown(p->peer), p->service, shown(p->server),
				      p->tls, up || down ? state : "not asked yet"});
		if (up || down)
			table_tint(&table, 4, up ? TINT_GOOD : TINT_BAD);
	}
	return table_box(&table, "peers", BOX_IN);
}

/* ---- what is kept ---- */

static void
kept_row(struct table *t, const char *what, enum tint tint, const char *text)
{
	table_row(t, (const char *[]){what, text});
	table_tint(t, 0, TINT_HEAD);
	table_tint(t, 1, tint);
}

static void
kept_keys(struct table *t, const struct shown_status *s)
{
	int open = strcmp(s->keystore_state, "unlocked") == 0;
	char text[WORDS];

	if (open)
		(void)snprintf(text, sizeof text, "unlocked, %" PRIu64 " private key%s", s->keys,
		    s->keys == 1 ? "" : "s");
	else
		(void)snprintf(text, sizeof text, "%s", shown(s->keystore_state));
	kept_row(t, "key store", open ? TINT_GOOD : TINT_BAD, text);
}

static void
kept_people(struct table *t, const struct status *st)
{
	const struct shown_status *s = &st->s;
	char text[WORDS], day[DATE_TEXT];

	(void)snprintf(text, sizeof text,
	    "%" PRIu64 " domain%s, %" PRIu64 " consumer%s, %" PRIu64 " certificate%s", s->domains,
	    s->domains == 1 ? "" : "s", s->consumers, s->consumers == 1 ? "" : "s", s->certificates,
	    s->certificates == 1 ? "" : "s");
	kept_row(t, "database", TINT_NONE, text);
	if (st->ends_trouble[0] != '\0') {
		kept_row(t, "certificates", TINT_NONE, shown(st->ends_trouble));
		return;
	}
	if (s->owners == 0)
		return;
	if (s->next_end != 0)
		(void)snprintf(text, sizeof text,
		    "%" PRIu64 " with private keys; the next ends %s (%s)", s->owners,
		    date_text(s->next_end, day), shown(s->next_end_consumer));
	else
		(void)snprintf(
		    text, sizeof text, "%" PRIu64 " with private keys; none will end", s->owners);
	kept_row(t, "consumers", TINT_NONE, text);
	if (s->owners_ended > 0) {
		(void)snprintf(text, sizeof text,
		    "%" PRIu64 " with private keys and no valid certificate", s->owners_ended);
		kept_row(t, " ", TINT_WARN, text);
	}
}

/* The certificates that clients are shown. */
static void
kept_certificates(struct table *t, const struct shown_status *s)
{
	char text[WORDS];
	size_t i;

	for (i = 0; i < s->tls_certificates.n; i++) {
		const struct shown_tls_cert *c = &s->tls_certificates.v[i];

		if (c->end[0] == '\0')
			continue;
		(void)snprintf(text, sizeof text, "%s ends %s", shown(c->file), shown(c->end));
		kept_row(t, "TLS", TINT_NONE, text);
	}
}

static int
draw_kept(const struct status *st)
{
	char text[WORDS];
	struct table table;

	table_begin_bare(&table, 2);
	(void)snprintf(text, sizeof text, "%" PRIu64, st->s.sessions);
	kept_row(&table, "sessions", TINT_NONE, text);
	kept_keys(&table, &st->s);
	kept_people(&table, st);
	kept_certificates(&table, &st->s);
	if (st->s.notices_waiting > 0) {
		(void)snprintf(text, sizeof text, "%" PRIu64 " waiting", st->s.notices_waiting);
		kept_row(&table, "notices", TINT_WARN, text);
	}
	return table_box(&table, "keys and people", 0);
}

int
status_picture(const struct status *st)
{
	const struct shown_status *s = &st->s;
	int rc = 0;

	print_head(s);
	print_findings(s);
	if (s->connectors.n > 0) {
		print_entry();
		rc = draw_connectors(s);
	} else
		(void)putchar('\n');
	if (rc == 0)
		rc = draw_daemons(s);
	if (rc == 0 && s->peers.n > 0)
		rc = draw_peers(s);
	return rc == 0 ? draw_kept(st) : rc;
}
