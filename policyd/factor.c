#include "policyd/factor.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/factor.h"
#include "policyd/identity.h"
#include "policyd/policyd.h"

/* A login that has shown it, as the proxy named it. */
struct pass {
	RB_ENTRY(pass) node;
	uint8_t id[32]; /* digest of what names connector and login */
	enum proc_id proxy;
	unsigned instance;
	uint64_t until; /* clock_ms: no session of a proxy lasts longer */
};
RB_HEAD(pass_tree, pass);

static int
by_login(struct pass *a, struct pass *b)
{
	if (a->proxy != b->proxy)
		return a->proxy < b->proxy ? -1 : 1;
	if (a->instance != b->instance)
		return a->instance < b->instance ? -1 : 1;
	return memcmp(a->id, b->id, sizeof a->id);
}

RB_PROTOTYPE(pass_tree, pass, node, by_login)
RB_GENERATE(pass_tree, pass, node, by_login)

static struct pass_tree passes = RB_INITIALIZER(&passes);
static unsigned npasses;

/* A consumer who fails. */
static struct failing {
	char consumer[65];
	unsigned n;
	uint64_t since; /* clock_ms of the first; 0: a free place */
} failing[FACTOR_FAILING_MAX];

static void
pass_free(struct pass *p)
{
	RB_REMOVE(pass_tree, &passes, p);
	npasses--;
	free(p);
}

/*
 * Fill in what a pass is found by; false when out of memory.  The login is taken as it is mapped:
 * who spells his own in a thousand ways shall not have as many passes.
 */
static bool
pass_name(struct pass *p, struct chan *c, const struct conf_connector *k, const char *authzid,
    const char *authcid)
{
	char as[ADDR_MAX_LOGIN] = "", who[ADDR_MAX_LOGIN];
	const char *const parts[] = {k->tenant, k->name, k->peer->name, as, who};
	EVP_MD_CTX *md;
	bool ok;
	size_t i;

	if (identity_normalise(k->peer, authcid, who, sizeof who) == -1 ||
	    (authzid[0] != '\0' && identity_normalise(k->peer, authzid, as, sizeof as) == -1))
		return false;
	md = EVP_MD_CTX_new();
	ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	/* With the NUL of each, so that none runs into the next. */
	for (i = 0; ok && i < sizeof parts / sizeof parts[0]; i++)
		ok = EVP_DigestUpdate(md, parts[i], strlen(parts[i]) + 1) == 1;
	ok = ok && EVP_DigestFinal_ex(md, p->id, NULL) == 1;
	EVP_MD_CTX_free(md);
	p->proxy = chan_peer(c);
	p->instance = chan_instance(c);
	return ok;
}

/* Is a connector of this service this proxy's? */
static bool
serves(struct chan *c, enum conf_service s)
{
	return (chan_peer(c) == P_SMTPD) == conf_is_smtp(s);
}

/*
 * Behind a transparent connector may stand nobody's server, or one that has shown the name of a
 * peer (proxy_route_named).
 */
static bool
leads_to(const struct conf_connector *k, const char *peer)
{
	const struct conf_peer *p;

	if (conf_queues(k)) {
		if (k->auth == CONF_AUTH_SASL && strcmp(k->name, peer) == 0)
			return true;
		/* Most have no login: the mail of the world, and of hosts that may relay. */
		return peer[0] == '\0' || (k->auth == CONF_AUTH_PEER && k->peer != NULL &&
					      strcmp(k->peer->name, peer) == 0);
	}
	if (k->peer != NULL)
		return strcmp(k->peer->name, peer) == 0;
	if (k->second_factor != CONF_FACTOR_NONE)
		return false;
	p = conf_peer_find(proc_env()->conf, peer);
	return peer[0] == '\0' ||
	       (p != NULL && p->service == k->service && p->verify == CONF_VERIFY_CA &&
		   conf_peer_vouches(proc_env()->conf, p, k->tenant));
}

/* To an mx mail comes for all tenants. */
static bool
of_tenant(const struct conf_connector *k, const char *tenant)
{
	return k->service == CONF_MX || strcmp(k->tenant, tenant) == 0;
}

/*
 * The connector that this proxy names, when it is one of its own as configured; else NULL.  A proxy
 * that was broken into must not get round the second factor by naming another one.
 */
static const struct conf_connector *
find_connector(struct chan *c, const char *name, const char *tenant, const char *peer)
{
	const struct conf_connector *k = conf_connector_find(proc_env()->conf, name);

	if (k == NULL || !serves(c, k->service) || !of_tenant(k, tenant) || !leads_to(k, peer))
		return NULL;
	return k;
}

static void
passes_expire(uint64_t now)
{
	struct pass *p, *next;

	RB_FOREACH_SAFE(p, pass_tree, &passes, next)
	if (p->until <= now)
		pass_free(p);
}

/* Remember that it was shown; -1: no room. */
static int
pass_enter(struct chan *c, const struct conf_connector *k, const struct factor_req *q)
{
	uint64_t now = clock_ms();
	struct pass *p = calloc(1, sizeof *p), *there;

	if (npasses >= FACTOR_PASSES_MAX)
		passes_expire(now);
	if (p == NULL || npasses >= FACTOR_PASSES_MAX ||
	    !pass_name(p, c, k, q->authzid, q->authcid)) {
		free(p);
		return -1;
	}
	p->until = now + 1000 * (proc_env()->conf->limits.session_timeout + 60);
	if ((there = RB_INSERT(pass_tree, &passes, p)) != NULL) {
		there->until = p->until;
		free(p);
	} else
		npasses++;
	return 0;
}

void
factor_forget(enum proc_id proxy, unsigned instance)
{
	struct pass *p, *next;

	RB_FOREACH_SAFE(p, pass_tree, &passes, next)
	if (p->proxy == proxy && p->instance == instance)
		pass_free(p);
}

bool
factor_shown(struct chan *c, const struct session_open_req *q, const char **why)
{
	const struct conf_connector *k = find_connector(c, q->connector, q->tenant, q->peer);
	struct pass key, *p;

	*why = "the connector is not the one of the configuration";
	if (k == NULL)
		return conf_connector_find(proc_env()->conf, q->connector) == NULL &&
		       gone_has(chan_peer(c) == P_SMTPD, q->connector, q->tenant, q->peer);
	*why = "the second factor was not shown";
	if (k->second_factor == CONF_FACTOR_NONE)
		return true;
	if (q->authcid[0] == '\0' && q->authzid[0] == '\0')
		return !q->by_address || k->sign_by_address.n > 0;
	if (!pass_name(&key, c, k, q->authzid, q->authcid))
		return false;
	p = RB_FIND(pass_tree, &passes, &key);
	return p != NULL && p->until > clock_ms();
}

/* ---- failures ---- */

static struct failing *
failing_find(const char *consumer, uint64_t now)
{
	struct failing *f;

	for (f = failing; f < failing + FACTOR_FAILING_MAX; f++)
		if (f->since != 0 && strcmp(f->consumer, consumer) == 0) {
			if (now - f->since < FACTOR_WINDOW)
				return f;
			memset(f, 0, sizeof *f);
			return NULL;
		}
	return NULL;
}

static void
failing_note(const char *consumer, uint64_t now)
{
	struct failing *f = failing_find(consumer, now), *x;

	if (f == NULL) {
		for (f = x = failing; x < failing + FACTOR_FAILING_MAX; x++)
			if (x->since < f->since)
				f = x;
		memset(f, 0, sizeof *f);
		(void)strlcpy(f->consumer, consumer, sizeof f->consumer);
		f->since = now;
	}
	f->n++;
}

/* ---- judging ---- */

static enum factor_result
judge_certificate(const struct consumer *who, const struct factor_req *q, const char **why)
{
	size_t i;

	for (i = 0; who != NULL && i < q->addrs.n; i++)
		if (consumer_has(who, q->addrs.v[i].addr))
			return FACTOR_OK;
	*why = q->addrs.n == 0 ? "no client certificate with an e-mail address"
			       : "no address of the client certificate is the consumer's";
	return FACTOR_DENIED;
}

static enum factor_result
judge_password(const struct consumer *who, const struct factor_req *q, const char **why)
{
	uint64_t now = clock_ms();
	struct bytes stored = who != NULL ? who->factor : (struct bytes){NULL, 0};
	struct failing *f = who != NULL ? failing_find(who->id, now) : NULL;
	/* Judged in any case: the time tells nothing of who has one. */
	int match = factor_match(stored, q->secret);

	if (f != NULL && f->n >= FACTOR_TRIES) {
		/* As a wrong one: else he knows that the mail server took his login. */
		*why = "too many wrong gateway passwords: none counts until ten minutes are over";
		return FACTOR_DENIED;
	}
	if (match)
		return FACTOR_OK;
	if (stored.n == 0)
		*why = "the consumer has no gateway password: gwctl consumer password";
	else {
		failing_note(who->id, now);
		*why = "wrong gateway password";
	}
	return FACTOR_DENIED;
}

/* Who is it, and has he shown what the connector asks for? */
static enum factor_result
judge(const struct conf_connector *k, const struct factor_req *q, struct held *h, const char **why)
{
	const struct consumer *who = NULL;
	enum factor_result r;
	struct err e;
	int rc = 0;

	if (q->authcid[0] != '\0')
		rc = identity_map(k->peer, q->tenant, q->authzid, q->authcid, h, &e);
	if (rc == -1) {
		log_err("%s", e.text);
		*why = "the database cannot be read now";
		return FACTOR_DEFER;
	}
	if (rc == 1)
		who = h->rec;
	if (k->second_factor == CONF_FACTOR_PASSWORD)
		r = judge_password(who, q, why);
	else
		r = judge_certificate(who, q, why);
	if (who == NULL)
		*why = "the login belongs to no consumer";
	return r;
}

void
on_factor(struct chan *c, struct ipc_msg *m)
{
	const struct factor_req *q = m->body;
	const struct conf_connector *k = find_connector(c, q->connector, q->tenant, q->peer);
	struct held h = {NULL, {0}};
	struct factor_rep p = {.result = FACTOR_DENIED};
	const char *why = "";

	if (k == NULL) {
		/* A reload is under way, for the proxy knows one that we do not. */
		p.result = FACTOR_DEFER;
		why = "the connector is not the one of the configuration";
	} else if (k->second_factor == CONF_FACTOR_NONE)
		p.result = FACTOR_OK; /* there is nothing to remember */
	else {
		p.result = (uint8_t)judge(k, q, &h, &why);
		if (p.result == FACTOR_OK && pass_enter(c, k, q) == -1) {
			p.result = FACTOR_DEFER;
			why = "too many logins at once";
		}
	}
	p.why = why;
	if (p.result != FACTOR_OK)
		log_warn("second factor %s: connector=%s, login=%s, consumer=%s: %s",
		    p.result == FACTOR_DENIED ? "refused" : "deferred", log_str(q->connector),
		    log_str(q->authcid), h.rec != NULL ? ((const struct consumer *)h.rec)->id : "",
		    why);
	if (chan_send(c, M_factor_rep, m->id, &p, -1) == -1)
		log_warn("cannot answer %s: %s", proc_name(chan_peer(c)), strerror(errno));
	held_free(&h);
}
