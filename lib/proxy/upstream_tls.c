/* TLS with a mail server: contexts, what is wanted of its certificate, and what it turned out to
 * be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "net/tls.h"
#include "proxy/profile.h"
#include "proxy/upstream_int.h"

#define OCSP_MS 15000 /* milliseconds for keyd to find out */

/* How a profile speaks to servers that these authorities vouch for. */
struct context {
	LIST_ENTRY(context) next;
	struct ssl_ctx_st *ctx;
	const char *ca_file;
	char profile[65];
	char path[]; /* ca_file's */
};
LIST_HEAD(context_list, context);

static struct context_list contexts = LIST_HEAD_INITIALIZER(contexts);
static struct context_list prepared = LIST_HEAD_INITIALIZER(prepared);

static struct context *
find(const struct context_list *in, const char *profile, const char *ca_file)
{
	struct context *x;

	LIST_FOREACH (x, in, next)
		if (strcmp(x->profile, profile) == 0 && strcmp(x->ca_file, ca_file) == 0)
			return x;
	return NULL;
}

static void
free_all(struct context_list *l)
{
	struct context *x;

	while ((x = LIST_FIRST(l)) != NULL) {
		LIST_REMOVE(x, next);
		tls_ctx_free(x->ctx);
		free(x);
	}
}

/* who: section and name, for messages. */
static int
make(struct context_list *l, const struct conf_profile *p, const char *ca_file, bool need,
    const char *who, struct err *e)
{
	size_t n = 0, len = strlen(ca_file) + 1;
	struct profile_options o;
	const uint8_t *pem;
	struct context *x;
	struct err why;

	if ((pem = proc_file(ca_file, &n)) == NULL && need)
		return err_set(e, ENOENT, "%s: ca_file: %s is not there", who, ca_file);
	if (find(l, p->name, ca_file) != NULL)
		return 0;
	if ((x = calloc(1, sizeof *x + len)) == NULL)
		return err_sys(e, "memory");
	memcpy(x->path, ca_file, len);
	x->ca_file = x->path;
	(void)strlcpy(x->profile, p->name, sizeof x->profile);
	profile_options(&o, p, NULL);
	if ((x->ctx = tls_client_ctx(&o.o, pem, n, ca_file, &why)) == NULL) {
		free(x);
		return err_set(e, why.code, "%s: %s", who, why.text);
	}
	LIST_INSERT_HEAD(l, x, next);
	return 0;
}

static int
make_all(struct context_list *l, const struct conf *c, struct err *e)
{
	char who[100];
	size_t i;

	for (i = 0; i < c->npeers; i++) {
		const struct conf_peer *p = &c->peers[i];

		(void)snprintf(who, sizeof who, "peer %s", p->name);
		if (p->tls != CONF_TLS_NONE &&
		    make(l, p->profile, p->ca_file, p->verify == CONF_VERIFY_CA, who, e) == -1)
			return -1;
	}
	/* Servers of routes are asked about recipients. */
	for (i = 0; i < c->nroutes; i++) {
		const struct conf_route *r = &c->routes[i];

		(void)snprintf(who, sizeof who, "route %s", r->name);
		if (proc_env()->self == P_SMTPD && r->tls != CONF_ROUTE_TLS_NONE &&
		    make(l, r->profile, r->profile->ca_file, false, who, e) == -1)
			return -1;
	}
	for (i = 0; i < c->nconnectors; i++) {
		const struct conf_connector *k = &c->connectors[i];

		(void)snprintf(who, sizeof who, "connector %s", k->name);
		if (k->transparent != CONF_TRANSPARENT_NO && k->inspect == CONF_TLS_INSPECT &&
		    k->tls != CONF_SUPPORT_DISABLED &&
		    make(l, k->profile, k->profile->ca_file, k->profile->verify == CONF_VERIFY_CA,
			who, e) == -1)
			return -1;
	}
	return 0;
}

int
upstream_prepare(const struct conf *conf, struct err *e)
{
	free_all(&prepared);
	if (make_all(&prepared, conf, e) == 0)
		return 0;
	free_all(&prepared);
	return -1;
}

void
upstream_commit(void)
{
	struct context_list old;

	/* Connections keep the context they began with. */
	LIST_INIT(&old);
	LIST_SWAP(&contexts, &old, context, next);
	LIST_SWAP(&contexts, &prepared, context, next);
	free_all(&old);
}

const char *
upstream_address(const struct upstream *u, char out[NETADDR_TEXT_MAX])
{
	struct netaddr a;

	if (netaddr_from_sockaddr(&a, (const struct sockaddr *)&u->target.to) == -1)
		return "";
	a.port = 0;
	return netaddr_format(out, NETADDR_TEXT_MAX, ':', &a);
}

/* A foreign server's certificate is judged, and a bad one told of, not refused on the spot. */
static int
want(struct upstream *u, struct conn_peer *w, struct err *e)
{
	static const enum conn_verify how[] = {
	    [CONF_VERIFY_NONE] = CONN_VERIFY_NONE,
	    [CONF_VERIFY_CA] = CONN_VERIFY_CA,
	    [CONF_VERIFY_FINGERPRINT] = CONN_VERIFY_FINGERPRINT,
	    [CONF_VERIFY_DANE] = CONN_VERIFY_DANE,
	};
	const struct proxy_route *r = u->r;

	w->verify = how[r->verify];
	w->report = u->foreign;
	w->staple = r->ocsp != CONF_OCSP_OFF;
	w->prints = (const uint8_t(*)[32])r->prints;
	w->nprints = r->nprints;
	if (r->verify != CONF_VERIFY_DANE)
		return 0;
	if (u->dane == DANE_SECURE) {
		w->tlsa = u->records;
		w->ntlsa = u->nrecords;
		return 0;
	}
	return err_set(e, u->dane == DANE_ABSENT ? ENOTSUP : EAGAIN, "%s",
	    u->dane_text[0] != '\0' ? u->dane_text : "DANE cannot be had for a foreign server");
}

int
upstream_start_tls(struct upstream *u, struct conn *c, const char *asked, struct err *e)
{
	const struct context *x = find(&contexts, u->r->profile, u->r->ca_file);
	const struct conf_profile *p = conf_profile_find(proc_env()->conf, u->r->profile);
	char address[NETADDR_TEXT_MAX];
	struct conn_peer w = {.name = asked};

	if (x == NULL || p == NULL)
		return err_set(e, ENOENT,
		    "TLS profile %s and its authorities are not in the "
		    "configuration any more",
		    u->r->profile);
	if (asked == NULL)
		w.name = u->r->server_name;
	else if (asked[0] == '\0')
		w.name = upstream_address(u, address);
	w.expected = conf_profile_expects(p, w.name);
	if (want(u, &w, e) == -1)
		return -1;
	return conn_start_tls(c, x->ctx, &w, e);
}

/* --- what it turned out to be --- */

void
upstream_judge_free(struct upstream *u)
{
	proc_cancel(u->ocsp);
}

void
upstream_tell_verdict(struct upstream *u)
{
	upstream_judged fn = u->judged;
	char text[UPSTREAM_TEXT_MAX];

	if (fn == NULL)
		return;
	u->judged = NULL;
	conn_resume(u->judge_conn);
	(void)log_clean(text, sizeof text, u->text, strlen(u->text));
	fn(u->verdict, text, u->judge_arg);
}

static void
conclude(struct upstream *u, enum upstream_verdict v, const char *text)
{
	static const struct timeval now = {0, 0};

	/* Of a foreign server the client may be told, by a certificate that nobody trusts. */
	if (v == UPSTREAM_BAD && u->foreign && u->r->bad_certificate == CONF_BAD_CERT_UNTRUSTED)
		v = UPSTREAM_UNVERIFIED;
	u->verdict = v;
	(void)strlcpy(u->text, text, sizeof u->text);
	(void)event_add(u->later, &now);
}

/* keyd has asked, or not. */
static void
weigh(struct upstream *u, unsigned status, const char *why)
{
	bool strict = u->r->ocsp == CONF_OCSP_STRICT;
	char text[UPSTREAM_TEXT_MAX];

	(void)snprintf(text, sizeof text, "certificate of %s: OCSP: %s", u->name, why);
	if (status == OCSP_GOOD)
		conclude(u, UPSTREAM_GOOD, "");
	else if (status == OCSP_REVOKED)
		conclude(u, UPSTREAM_BAD, text);
	else if (!strict) {
		log_debug("%s", text);
		conclude(u, UPSTREAM_GOOD, "");
	} else
		conclude(u, status == OCSP_UNREACHABLE ? UPSTREAM_UNKNOWN : UPSTREAM_BAD, text);
}

static void
on_ocsp(void *arg, struct ipc_msg *m, int error)
{
	struct upstream *u = arg;
	const struct ocsp_rep *p;

	u->ocsp = NULL;
	if (m == NULL) {
		weigh(u, OCSP_UNREACHABLE, strerrordesc_np(error));
		return;
	}
	p = m->body;
	weigh(u, p->status, p->text);
}

static void
ask_ocsp(struct upstream *u, struct conn *c)
{
	struct ocsp_req q = {0};

	q.cert.p = conn_tls_peer_der(c, 0, &q.cert.n);
	q.issuer.p = conn_tls_peer_der(c, 1, &q.issuer.n);
	q.stapled.p = conn_tls_stapled(c, &q.stapled.n);
	if (q.stapled.p == NULL || q.stapled.n > OCSP_DER_MAX)
		q.stapled = (struct bytes){NULL, 0};
	if (q.cert.p == NULL || q.issuer.p == NULL || q.cert.n > CERT_DER_MAX ||
	    q.issuer.n > CERT_DER_MAX) {
		weigh(u, OCSP_NONE, "the issuer's certificate is not there");
		return;
	}
	u->ocsp = proc_request(P_KEYD, M_ocsp_req, &q, OCSP_MS, on_ocsp, u);
	if (u->ocsp == NULL)
		weigh(u, OCSP_UNREACHABLE, "keyd cannot be asked");
}

void
upstream_judge(struct upstream *u, struct conn *c, upstream_judged fn, void *arg)
{
	const char *bad = conn_tls_bad(c);

	u->judged = fn;
	u->judge_arg = arg;
	u->judge_conn = c;
	/* With implicit TLS the server greets at once. */
	conn_pause(c);
	if (bad != NULL)
		conclude(u, UPSTREAM_BAD, bad);
	else if (u->foreign && u->r->verify == CONF_VERIFY_NONE)
		conclude(u, UPSTREAM_BAD,
		    "its certificate is not verified: profile with "
		    "verify = none");
	else if (u->r->ocsp == CONF_OCSP_OFF)
		conclude(u, UPSTREAM_GOOD, "");
	else
		ask_ocsp(u, c);
}
