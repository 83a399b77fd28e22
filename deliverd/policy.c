/* TLS with a server: what it must be like. */
#include "deliverd/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "base/log.h"
#include "proc/proc.h"

#define REPORT_MS 1000 /* a report can wait for company */

struct policing {
	struct policy_ask q;
	char canonical[256];
	bool sts_asked, tlsa_asked; /* already */
	bool at_canonical; /* the records in question are those of the name behind an alias */
	bool dane; /* there are records that count */
	bool encrypt; /* there are records, and none can be used: TLS is wanted, whoever it is */
	enum sts_mode sts;
	bool sts_match;
	bool sts_silent; /* keyd has not said whether there is a policy */
	struct ask *ask;
	struct policy *p;
	policy_fn fn;
	void *arg;
};

void
policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	free(p->tlsa);
	free(p->kind_text);
	free(p);
}

static void
policing_free(struct policing *m)
{
	ask_cancel(m->ask);
	policy_free(m->p);
	route_drop(m->q.route);
	free(m);
}

void
policing_cancel(struct policing *m)
{
	if (m != NULL)
		policing_free(m);
}

static void __attribute__((format(printf, 4, 5)))
avoid(struct policy *p, enum policy_verdict v, const char *dsn, const char *fmt, ...)
{
	char text[POLICY_TEXT_MAX];
	va_list ap;

	if (p->verdict != POLICY_GO)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	p->verdict = v;
	(void)strlcpy(p->dsn, dsn, sizeof p->dsn);
	(void)log_clean(p->text, sizeof p->text, text, strlen(text));
}

/* ---- MTA-STS ---- */

bool
policy_sts_match(const struct sts_rep *sts, const char *host)
{
	const char *pattern, *rest = strchr(host, '.');
	size_t i;

	for (i = 0; i < sts->mxs.n; i++) {
		pattern = sts->mxs.v[i].pattern;
		if (strncmp(pattern, "*.", 2) != 0) {
			if (strcasecmp(pattern, host) == 0)
				return true;
		} else if (pattern[2] != '\0' && rest != NULL && rest != host &&
			   strcasecmp(pattern + 1, rest) == 0)
			return true;
	}
	return false;
}

static void
take_sts(struct policing *m, const struct sts_rep *rep)
{
	struct policy *p = m->p;

	m->sts = rep->mode;
	m->sts_silent = ask_silence(rep);
	m->sts_match = policy_sts_match(rep, m->q.host->name);
	if (rep->mode == STS_UNKNOWN)
		(void)strlcpy(p->result, rep->failure, sizeof p->result);
	if (rep->mode != STS_TESTING && rep->mode != STS_ENFORCE)
		return;
	p->kind = TLSPOL_STS;
	free(p->kind_text);
	p->kind_text = strdup(rep->policy);
}

/* ---- DANE ---- */

bool
policy_tlsa_usable(const struct dns_tlsa *t)
{
	static const size_t lengths[] = {0, 32, 64};

	/* Usages 0 and 1 are of no use to mail servers (RFC 7672, 3.1.3). */
	if ((t->usage != 2 && t->usage != 3) || t->selector > 1 || t->matching > 2)
		return false;
	return t->matching == 0 ? t->data.n > 0 : t->data.n == lengths[t->matching];
}

/* The records as reports want them: "3 1 1 0B9F..." a line (RFC 8460, 4.4). */
static void
note_records(struct policy *p, const struct dns_tlsa_rep *rep)
{
	char hex[2 * 64 + 1];
	struct buf b;
	size_t i, n;

	buf_init(&b, 2000);
	for (i = 0; i < rep->records.n; i++) {
		const struct dns_tlsa *t = &rep->records.v[i];

		n = t->data.n < 64 ? t->data.n : 64;
		if (buf_printf(&b, "%s%u %u %u %s%s", i > 0 ? "\n" : "", t->usage, t->selector,
			t->matching, hex_encode(hex, t->data.p, n),
			n < t->data.n ? "..." : "") == -1)
			break;
	}
	p->kind = TLSPOL_TLSA;
	free(p->kind_text);
	p->kind_text = strndup((const char *)buf_ptr(&b), buf_len(&b));
	buf_free(&b);
}

/* 0, or -1: no memory. */
static int
keep_records(struct policy *p, const struct dns_tlsa_rep *rep)
{
	size_t i, n = 0;
	uint8_t *octets;

	for (i = 0; i < rep->records.n; i++)
		n += rep->records.v[i].data.n;
	if ((p->tlsa = malloc(rep->records.n * sizeof *p->tlsa + n)) == NULL)
		return -1;
	octets = (uint8_t *)(p->tlsa + rep->records.n);
	for (i = 0; i < rep->records.n; i++) {
		const struct dns_tlsa *t = &rep->records.v[i];

		if (!policy_tlsa_usable(t))
			continue;
		memcpy(octets, t->data.p, t->data.n);
		p->tlsa[p->ntlsa++] =
		    (struct conn_tlsa){t->usage, t->selector, t->matching, octets, t->data.n};
		octets += t->data.n;
	}
	return 0;
}

static const char *
tlsa_base(const struct policing *m)
{
	return m->at_canonical ? m->canonical : m->q.host->name;
}

static void
take_tlsa(struct policing *m, const struct dns_tlsa_rep *rep)
{
	const struct plan_host *h = m->q.host;
	struct policy *p = m->p;

	if (rep->status == DNS_TEMPFAIL || rep->status == DNS_BOGUS) {
		/* RFC 7672, 2.1.2: somebody may keep them from us. */
		(void)strlcpy(p->result, "dnssec-invalid", sizeof p->result);
		p->kind = TLSPOL_TLSA;
		avoid(p, POLICY_WAIT, "4.7.5", "TLSA lookup error for %s:%u: %s", tlsa_base(m),
		    h->port, rep->text[0] != '\0' ? rep->text : "no answer");
		return;
	}
	if (rep->status != DNS_OK || !rep->secure || rep->records.n == 0)
		return;
	note_records(p, rep);
	if (keep_records(p, rep) == -1)
		avoid(p, POLICY_WAIT, "4.3.0", "no memory for the TLSA records of %s", h->name);
	m->dane = p->ntlsa > 0;
	m->encrypt = p->ntlsa == 0;
	if (m->encrypt)
		(void)strlcpy(p->result, "tlsa-invalid", sizeof p->result);
	(void)strlcpy(p->name, tlsa_base(m), sizeof p->name);
}

/* ---- together ---- */

static bool
wants_sts(const struct policing *m)
{
	const struct route *r = m->q.route;

	return r->mta_sts && m->q.need != NEED_NOTHING && m->q.host->mx && !m->q.host->numeric &&
	       (r->tls == CONF_ROUTE_TLS_MAY || r->tls == CONF_ROUTE_TLS_ENCRYPT);
}

/* RFC 7672, 2.2: only where everything on the way there is signed. */
static bool
wants_dane(const struct policing *m)
{
	const struct route *r = m->q.route;

	if (r->tls == CONF_ROUTE_TLS_NONE || r->nprints > 0)
		return false;
	if (r->tls != CONF_ROUTE_TLS_DANE && (!r->dane || m->q.need == NEED_NOTHING))
		return false;
	return m->q.host->secure && m->q.secure && !m->q.host->numeric;
}

static void
by_ca(struct policy *p, const struct policing *m, const char *by)
{
	const struct route *r = m->q.route;
	const char *expected;

	p->tls = CLIENT_TLS_VERIFY;
	p->verify = CONN_VERIFY_CA;
	p->by = by;
	if (r->nprints > 0) {
		p->verify = CONN_VERIFY_FINGERPRINT;
		p->by = "fingerprint";
	} else if ((expected = route_expects(r, p->name)) != NULL)
		(void)strlcpy(p->expected, expected, sizeof p->expected);
}

static void
by_dane(struct policy *p, const struct policing *m)
{
	const struct plan_host *h = m->q.host;

	p->tls = CLIENT_TLS_VERIFY;
	p->verify = CONN_VERIFY_DANE;
	p->by = "dane";
	p->authentic = true;
	/* RFC 7672, 3.2.2: with usage 2 a certificate of the domain itself is as good. */
	if (h->mx && !dest_is_literal(h->domain))
		(void)strlcpy(p->also, h->domain, sizeof p->also);
	else if (strcmp(p->name, h->name) != 0)
		(void)strlcpy(p->also, h->name, sizeof p->also);
}

/* What the route itself says. */
static void
by_route(struct policy *p, const struct policing *m)
{
	const struct route *r = m->q.route;

	switch (r->tls) {
	case CONF_ROUTE_TLS_NONE:
		p->tls = CLIENT_TLS_NONE;
		break;
	case CONF_ROUTE_TLS_MAY:
		p->tls = r->implicit || m->encrypt ? CLIENT_TLS_ENCRYPT : CLIENT_TLS_MAY;
		break;
	case CONF_ROUTE_TLS_ENCRYPT:
		p->tls = CLIENT_TLS_ENCRYPT;
		break;
	case CONF_ROUTE_TLS_VERIFY:
		by_ca(p, m, "ca");
		break;
	case CONF_ROUTE_TLS_DANE:
		p->tls = CLIENT_TLS_ENCRYPT;
		if (!m->dane)
			avoid(p, POLICY_WAIT, "4.7.4",
			    "%s:%u has no TLSA records that DNSSEC vouches for and that can be "
			    "used: "
			    "tls = dane",
			    m->q.host->name, m->q.host->port);
		break;
	}
}

static void
by_sts(struct policy *p, const struct policing *m)
{
	const struct plan_host *h = m->q.host;

	if (!m->sts_match) {
		(void)strlcpy(p->result, "validation-failure", sizeof p->result);
		if (m->sts == STS_ENFORCE)
			avoid(p, POLICY_WAIT, "4.7.5",
			    "%s is none of the servers in the MTA-STS policy of %s", h->name,
			    h->domain);
	} else if (m->sts == STS_ENFORCE) {
		by_ca(p, m, "sts");
		p->authentic = true;
	} else {
		/* Looked at, and told of in reports only (RFC 8461, 5). */
		p->verify = CONN_VERIFY_CA;
	}
}

/* RFC 8689, 4.2.1: a server whose name can be trusted, and that has a certificate for it. */
static void
by_message(struct policy *p, const struct policing *m)
{
	const struct plan_host *h = m->q.host;

	if (p->tls == CLIENT_TLS_VERIFY && p->authentic)
		return;
	if (!p->authentic || p->tls == CLIENT_TLS_NONE)
		avoid(p, POLICY_NEVER, "5.7.30", "REQUIRETLS: %s: %s", h->name,
		    p->tls == CLIENT_TLS_NONE ? "the route does without TLS"
					      : "neither DNSSEC nor MTA-STS vouches for its name");
	else
		by_ca(p, m, "ca");
}

static struct policy *
decide(struct policing *m)
{
	struct policy *p = m->p;

	p->authentic = m->q.host->secure;
	by_route(p, m);
	if (m->dane)
		by_dane(p, m);
	else if (m->sts == STS_ENFORCE || m->sts == STS_TESTING)
		by_sts(p, m);
	else if (m->sts_silent)
		/* There may be one that is kept. */
		avoid(p, POLICY_WAIT, "4.3.0",
		    "whether %s has an MTA-STS policy is not known: keyd does not answer",
		    m->q.host->domain);
	if (m->q.need == NEED_REQUIRETLS)
		by_message(p, m);
	m->p = NULL;
	policing_free(m);
	return p;
}

static void on_sts(void *arg, const void *rep);
static void on_tlsa(void *arg, const void *rep);

/* Is the answer there?  Else on_tlsa goes on. */
static bool
ask_tlsa(struct policing *m)
{
	char name[HOST_MAX + 16];
	const void *known;

	(void)snprintf(name, sizeof name, "_%u._tcp.%s", m->q.host->port, tlsa_base(m));
	m->ask = ask_start(M_dns_tlsa_req, name, &known, on_tlsa, m);
	if (m->ask != NULL)
		return false;
	take_tlsa(m, known);
	return true;
}

/* The policy when all is known, else NULL. */
static struct policy *
go_on(struct policing *m)
{
	const void *known;

	if (!m->sts_asked) {
		m->sts_asked = true;
		if (wants_sts(m)) {
			m->ask = ask_start(M_sts_req, m->q.host->domain, &known, on_sts, m);
			if (m->ask != NULL)
				return NULL;
			take_sts(m, known);
		}
	}
	while (wants_dane(m) && !m->dane && !m->encrypt && m->p->verdict == POLICY_GO &&
	       (!m->tlsa_asked || m->at_canonical)) {
		/* Behind an alias the records of both names count, the one at its end first. */
		m->at_canonical = !m->tlsa_asked && m->canonical[0] != '\0';
		m->tlsa_asked = true;
		if (!ask_tlsa(m))
			return NULL;
	}
	return decide(m);
}

static void
resume(struct policing *m)
{
	policy_fn fn = m->fn;
	void *arg = m->arg;
	struct policy *p = go_on(m);

	if (p != NULL)
		fn(arg, p);
}

static void
on_sts(void *arg, const void *rep)
{
	struct policing *m = arg;

	m->ask = NULL;
	take_sts(m, rep);
	resume(m);
}

static void
on_tlsa(void *arg, const void *rep)
{
	struct policing *m = arg;

	m->ask = NULL;
	take_tlsa(m, rep);
	resume(m);
}

struct policy *
policy_make(const struct policy_ask *q, struct policing **later, policy_fn fn, void *arg)
{
	struct policing *m = calloc(1, sizeof *m);
	struct policy *p;

	*later = NULL;
	if (m == NULL || (m->p = calloc(1, sizeof *m->p)) == NULL) {
		free(m);
		return NULL;
	}
	m->q = *q;
	(void)route_keep(q->route);
	if (q->canonical != NULL && strcasecmp(q->canonical, q->host->name) != 0)
		(void)strlcpy(m->canonical, q->canonical, sizeof m->canonical);
	m->fn = fn;
	m->arg = arg;
	m->p->by = "no";
	(void)strlcpy(m->p->name, q->host->name, sizeof m->p->name);
	/* A report about TLS must arrive whatever is wrong with TLS, and is not reported itself. */
	if (q->host->mx && q->need != NEED_NOTHING)
		(void)strlcpy(m->p->domain, q->host->domain, sizeof m->p->domain);
	if ((p = go_on(m)) == NULL)
		*later = m;
	return p;
}

/* ---- told of ---- */

void
policy_report(const struct policy *p, const char *host, const struct client_tls_try *t)
{
	struct chan *c = proc_chan(P_ANVILD, 0);
	struct tls_session s = {
	    .domain = p->domain,
	    .policy = (uint8_t)p->kind,
	    .policy_text = p->kind_text != NULL ? p->kind_text : "",
	    .mx = host,
	    .ip = t->ip,
	    .result = t->result[0] != '\0' ? t->result : p->result,
	    .our_ip = t->our_ip,
	};
	char reason[256];

	if (!proc_env()->conf->queue.tls_reports || p->domain[0] == '\0' || c == NULL)
		return;
	(void)strlcpy(reason, t->reason, sizeof reason);
	s.reason = reason;
	(void)chan_send_later(c, M_tls_session, 0, &s, -1, REPORT_MS);
}

const char *
policy_words(const struct policy *p)
{
	if (p->verdict != POLICY_GO)
		return p->text;
	switch (p->tls) {
	case CLIENT_TLS_NONE:
		return "no TLS";
	case CLIENT_TLS_MAY:
		return "TLS if it is offered";
	case CLIENT_TLS_ENCRYPT:
		return "TLS always, its certificate does not count";
	case CLIENT_TLS_VERIFY:
		break;
	}
	if (p->verify == CONN_VERIFY_DANE)
		return "TLS always, verified by its TLSA records (DANE)";
	if (p->verify == CONN_VERIFY_FINGERPRINT)
		return "TLS always, verified by fingerprint";
	return strcmp(p->by, "sts") == 0
		   ? "TLS always, verified by authorities, as its MTA-STS policy wants"
		   : "TLS always, verified by authorities";
}
