/* policyd: the organisation's database, sessions, and who may use which key. */
#include "policyd/policyd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mail/address.h"
#include "policyd/factor.h"
#include "policyd/identity.h"

static const struct conf_peer *
find_peer(const char *name)
{
	const struct conf *c = proc_env()->conf;
	size_t i;

	for (i = 0; i < c->npeers; i++)
		if (strcmp(c->peers[i].name, name) == 0)
			return &c->peers[i];
	return NULL;
}

/* A connector that a reload has just taken away takes nobody's. */
static int
takes_outside(const char *connector)
{
	const struct conf_connector *k = conf_connector_find(proc_env()->conf, connector);

	return k != NULL && k->outside_senders;
}

/*
 * Logins of a connector with auth = sasl are looked up as those of a peer that has the connector's
 * name.  NULL: it is none, or the name is not its own.
 */
static const struct conf_peer *
sasl_peer(const char *connector, const char *name, struct conf_peer *out)
{
	static char master[] = "*"; /* Dovecot's usual one; without master users nobody has it */
	const struct conf_connector *k = conf_connector_find(proc_env()->conf, connector);

	if (k == NULL || k->auth != CONF_AUTH_SASL || strcmp(k->name, name) != 0)
		return NULL;
	memset(out, 0, sizeof *out);
	out->name = k->name;
	out->login_domain = k->login_domain;
	out->login_case = CONF_CASE_LOWER;
	out->master_separator = master;
	return out;
}

/*
 * Mail that comes in for this recipient is to be opened at the door, where the configuration says
 * so.  His session opens and does nothing else.
 */
static int
map_recipient(struct session *s, const struct session_open_req *q, struct held *h, struct err *e)
{
	const struct conf_connector *k = conf_connector_find(proc_env()->conf, q->connector);
	char addr[MAIL_ADDR_MAX + 1], base[MAIL_ADDR_MAX + 1];
	int rc;

	s->opens = 1;
	if (k == NULL || k->service != CONF_MX || k->inbound != CONF_INBOUND_DECRYPT ||
	    q->authcid[0] != '\0' || q->authzid[0] != '\0' ||
	    mail_addr_normalise(q->rcpt, addr, sizeof addr) == -1)
		return 0;
	rc = db_consumer_addr(q->tenant, addr, h, e);
	if (rc == 0 && whose_without_tag(addr, base, sizeof base))
		rc = db_consumer_addr(q->tenant, base, h, e);
	if (rc == 1 && ((const struct consumer *)h->rec)->kind != CONSUMER_INTERNAL) {
		held_free(h);
		return 0;
	}
	return rc;
}

/* -1: it cannot be said now, which is not the same as nobody's. */
static int
map_login(struct session *s, const struct session_open_req *q)
{
	const struct conf_peer *peer = find_peer(q->peer);
	struct conf_peer own;
	struct held h;
	struct err e;
	int rc = 0;

	if (peer == NULL)
		peer = sasl_peer(q->connector, q->peer, &own);
	if (q->rcpt[0] != '\0')
		rc = map_recipient(s, q, &h, &e);
	else if (peer != NULL && q->authcid[0] != '\0')
		rc = identity_map(peer, q->tenant, q->authzid, q->authcid, &h, &e);
	if (rc == -1) {
		log_err("%s", e.text);
		return -1;
	}
	if (rc == 1) {
		(void)strlcpy(
		    s->consumer, ((const struct consumer *)h.rec)->id, sizeof s->consumer);
		held_free(&h);
	}
	s->outside_senders = takes_outside(q->connector);
	s->by_address =
	    q->authcid[0] == '\0' && q->authzid[0] == '\0' && q->rcpt[0] == '\0' && q->by_address;
	return 0;
}

static void
on_session_open(struct chan *c, struct ipc_msg *m)
{
	const struct session_open_req *q = m->body;
	struct session_open_rep p = {.consumer = ""};
	struct session *s;
	const char *why;

	if (!factor_shown(c, q, &why)) {
		/* No answer, as below: nothing may be opened, and ciphertext must not go out. */
		log_warn("session refused: connector=%s, client=%s, login=%s: %s",
		    log_str(q->connector), log_str(q->client), log_str(q->authcid), why);
		return;
	}
	if ((s = session_new(chan_peer(c), chan_instance(c))) == NULL) {
		/* No answer: the proxy's request times out and it tells its client to try later. */
		log_err("no room for a session: %s", strerror(errno));
		return;
	}
	(void)strlcpy(s->tenant, q->tenant, sizeof s->tenant);
	if (map_login(s, q) == -1) {
		/* Not opened as nobody's: a client would keep the ciphertext for ever. */
		session_free(s);
		return;
	}
	p.session = (struct bytes){s->id, SESSION_ID};
	p.consumer = s->consumer;
	log_debug("session: connector=%s, client=%s, login=%s, consumer=%s", log_str(q->connector),
	    log_str(q->client), log_str(q->authcid), s->consumer);
	if (chan_send(c, M_session_open_rep, m->id, &p, -1) == -1)
		session_free(s);
}

static void
on_session_close(struct chan *c, struct ipc_msg *m)
{
	const struct session_close *q = m->body;
	struct session *s = session_find(q->session.p);

	/* Only the proxy that opened it. */
	if (s != NULL && s->proxy == chan_peer(c) && s->instance == chan_instance(c))
		session_free(s);
}

static void
worker_closed(struct chan *c, void *arg)
{
	struct bound *b = arg;

	(void)c;
	grants_cancel(b);
	free(b);
}

static void
on_worker_bind(struct chan *c, struct ipc_msg *m)
{
	const struct worker_bind *q = m->body;
	struct bound *b;

	(void)c;
	if (q->session.n != SESSION_ID || (b = calloc(1, sizeof *b)) == NULL)
		return;
	memcpy(b->worker, q->worker.p, WORKER_ID);
	memcpy(b->session, q->session.p, SESSION_ID);
	LIST_INIT(&b->grants);
	b->chan = chan_new(
	    proc_env()->base, m->fd, P_POLICYD, P_WORKER, worker_messages, worker_closed, b);
	m->fd = -1;
	if (b->chan == NULL)
		free(b);
}

/* Of proxies, filterd and tools; workers have their own (plan.c). */
static const struct chan_handler handlers[] = {
    {M_session_open_req, on_session_open},
    {M_session_close, on_session_close},
    {M_factor_req, on_factor},
    {M_worker_bind, on_worker_bind},
    {M_domain_put, admin_domain_put},
    {M_domain_del, admin_domain_del},
    {M_whose_req, on_whose},
    {M_screen_req, on_screen},
    {M_domain_list, admin_domain_list},
    {M_recipient_put, admin_recipient_put},
    {M_recipient_del, admin_recipient_del},
    {M_recipient_list, admin_recipient_list},
    {M_consumer_put, admin_consumer_put},
    {M_consumer_del, admin_consumer_del},
    {M_consumer_factor, admin_consumer_factor},
    {M_consumer_phrase, admin_consumer_phrase},
    {M_consumer_get, admin_consumer_get},
    {M_consumer_list, admin_consumer_list},
    {M_cert_put, admin_cert_put},
    {M_cert_del, admin_cert_del},
    {M_cert_get, admin_cert_get},
    {M_cert_list, admin_cert_list},
    {0, NULL},
};

static int
policyd_start(const struct proc_env *env, struct err *e)
{
	char name[1024];

	(void)snprintf(name, sizeof name, "%s/policy", env->conf->node.state_dir);
	return db_open(".", name, e) == -1 ? -1 : gone_reload(env->conf, e);
}

static int
policyd_reload(const struct proc_env *env, struct err *e)
{
	return gone_reload(env->conf, e);
}

static void
policyd_plumbed(enum proc_id peer, unsigned instance, struct chan *c)
{
	/* A channel that replaces another one is that of a new process just as well. */
	(void)c;
	if ((PM(peer) & PM_PROXIES) != 0) {
		session_forget(peer, instance);
		factor_forget(peer, instance);
	}
}

static void
policyd_status(void)
{
	proc_fact("sessions", "%u", session_count());
	proc_fact("domains", "%lld", (long long)db_count_domains());
	proc_fact("consumers", "%lld", (long long)db_count_consumers());
	proc_fact("certificates", "%lld", (long long)db_count_certs());
}

static int
policyd_open(const struct proc_env *env, struct err *e)
{
	(void)env;
	return sandbox_allow(".", 1, e);
}

static const struct sandbox sandbox = {
    .calls = SB_FILES | SB_MAPFILE,
    .starting = SB_FORK,
};

const struct proc policyd = {
    .self = P_POLICYD,
    .sandbox = &sandbox,
    .handlers = handlers,
    .open = policyd_open,
    .start = policyd_start,
    .reload = policyd_reload,
    .plumbed = policyd_plumbed,
    .status = policyd_status,
};
