/* Which policy of MTA-STS a domain has now. */
#include <ctype.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "keyd/sts.h"
#include "net/tls.h"

#define DNS_MS 25000 /* dnsd answers after 20 seconds at the latest */
#define SAVE_S 10
#define WALK_S 600 /* between looks for policies that get old */
#define REFRESHES_MAX 16 /* begun at one look */
#define REFRESH_AGAIN_MS (3600 * 1000)
#define TOO_MANY "too many policies are being looked for"

struct waiter {
	TAILQ_ENTRY(waiter) next;
	struct chan *asker;
	uint64_t id;
};

/* The record, then perhaps the policy of a domain; several who ask wait for the one answer. */
struct lookup {
	TAILQ_ENTRY(lookup) next;
	struct kept *kept;
	struct proc_req *dns; /* one of these two is under way */
	struct fetch *fetch;
	char id[STS_ID_MAX + 1];
	uint64_t began; /* clock_ms */
	int refresh; /* a policy that is known is fetched anew: nobody waits for that */
	TAILQ_HEAD(, waiter) waiters;
};

static TAILQ_HEAD(, lookup) lookups = TAILQ_HEAD_INITIALIZER(lookups);
static struct sts_counts counts;
static unsigned nwaiters;
static struct ssl_ctx_st *ctx; /* NULL: there are no authorities */
static struct event save_timer, walk_timer;

const struct sts_counts *
sts_count(void)
{
	return &counts;
}

/* ---- answers ---- */

static void
send_rep(struct chan *c, uint64_t id, const struct sts_rep *rep)
{
	(void)chan_send(c, M_sts_rep, id, rep, -1);
}

static void
send_text(struct chan *c, uint64_t id, enum sts_mode mode, const char *text)
{
	const struct sts_rep rep = {
	    .mode = (uint8_t)mode, .text = text, .policy = "", .failure = ""};

	send_rep(c, id, &rep);
}

/* What is known now. */
static void
answer(struct chan *c, uint64_t id, struct kept *k)
{
	const struct sts_kept *p = kept_policy(k, clock_unix());
	struct sts_rep rep = {.text = k->why, .policy = "", .failure = ""};

	if (p != NULL) {
		rep.mode = p->mode;
		rep.policy = p->text;
		rep.mxs.v = p->mxs.v;
		rep.mxs.n = p->mxs.n;
	} else if (k->why[0] != '\0') {
		rep.mode = STS_UNKNOWN;
		rep.failure = k->failure;
	} else
		rep.mode = STS_NONE;
	send_rep(c, id, &rep);
}

static void
conclude(struct lookup *l)
{
	struct kept *k = l->kept;
	struct waiter *w;

	k->lookup = NULL;
	while ((w = TAILQ_FIRST(&l->waiters)) != NULL) {
		TAILQ_REMOVE(&l->waiters, w, next);
		nwaiters--;
		answer(w->asker, w->id, k);
		free(w);
	}
	TAILQ_REMOVE(&lookups, l, next);
	counts.open--;
	free(l);
}

/* ---- the policy ---- */

static void
log_end(const struct lookup *l, const char *what, const char *more)
{
	log_info("sts domain=%s, id=%s, delay=%llums, %s%s", log_str(l->kept->domain),
	    l->id[0] != '\0' ? l->id : "-", (unsigned long long)(clock_ms() - l->began), what,
	    more);
}

/* What is known from before counts on (RFC 8461, 3.3 and 5.1). */
static void
failed(struct lookup *l, const char *failure, const char *why)
{
	struct kept *k = l->kept;

	counts.failed++;
	k->failed = clock_ms();
	(void)strlcpy(k->failed_id, l->id, sizeof k->failed_id);
	(void)strlcpy(k->why, why, sizeof k->why);
	k->failure = failure;
	log_end(l, log_str(why),
	    kept_policy(k, clock_unix()) != NULL ? "; the policy before still counts" : "");
	conclude(l);
}

static void
taken(struct lookup *l, const struct sts_policy *p)
{
	static const char *const modes[] = {"none", "testing", "enforce"};
	const struct timeval soon = {.tv_sec = SAVE_S};
	struct kept *k = l->kept;
	char text[100];

	if (kept_put(k, p, l->id, clock_unix()) == -1) {
		failed(l, "", "no memory for the policy");
		return;
	}
	if (!evtimer_pending(&save_timer, NULL))
		(void)evtimer_add(&save_timer, &soon);
	k->failed = 0;
	k->why[0] = '\0';
	k->failure = "";
	(void)snprintf(text, sizeof text, "mode=%s, mx=%zu, max_age=%llu", modes[p->mode], p->nmx,
	    (unsigned long long)p->max_age);
	log_end(l, text, "");
	conclude(l);
}

static void
on_fetched(void *arg, const uint8_t *p, size_t n, const struct err *why)
{
	struct lookup *l = arg;
	struct sts_policy policy;
	struct err e = {0};

	l->fetch = NULL;
	if (p == NULL)
		failed(l,
		    why->code == EKEYREJECTED ? "sts-webpki-invalid" : "sts-policy-fetch-error",
		    why->text);
	else if (sts_parse(p, n, &policy, &e) == -1)
		failed(l, "sts-policy-invalid", e.text);
	else
		taken(l, &policy);
}

/* From where (RFC 8461, 3.3). */
static void
fetch(struct lookup *l)
{
	struct fetch_request r = {
	    .type = "text/plain", .max = STS_POLICY_OCTETS, .ms = STS_MS, .tls = ctx};

	counts.fetched++;
	if (ctx == NULL) {
		failed(l, "", "keyd.sts_ca_file has no authorities to verify anybody with");
		return;
	}
	(void)strlcpy(r.url.host, "mta-sts.", sizeof r.url.host);
	(void)strlcat(r.url.host, l->kept->domain, sizeof r.url.host);
	(void)strlcpy(r.url.path, "/.well-known/mta-sts.txt", sizeof r.url.path);
	r.url.port = (uint16_t)proc_env()->conf->keyd.sts_port;
	r.url.tls = 1;
	if ((l->fetch = fetch_start(&r, on_fetched, l)) == NULL)
		failed(l, "", "no memory");
}

/* ---- the record ---- */

static void
take_record(struct lookup *l)
{
	struct kept *k = l->kept;
	const struct sts_kept *p = kept_policy(k, clock_unix());

	if (p != NULL && strcmp(p->id, l->id) == 0) {
		k->why[0] = '\0';
		conclude(l);
	} else if (k->failed != 0 && clock_ms() - k->failed < STS_FAILED_MS &&
		   strcmp(k->failed_id, l->id) == 0)
		conclude(l);
	else
		fetch(l);
}

static void
on_record(void *arg, struct ipc_msg *m, int error)
{
	const struct dns_txt_rep *rep = m != NULL ? m->body : NULL;
	struct lookup *l = arg;
	struct kept *k = l->kept;
	struct err e = {0};

	l->dns = NULL;
	k->checked = clock_ms();
	if (rep != NULL && rep->status == DNS_OK &&
	    sts_record(rep->records.v, rep->records.n, l->id, &e) == 0) {
		take_record(l);
		return;
	}
	k->why[0] = '\0';
	k->failure = "";
	if (rep == NULL)
		(void)snprintf(k->why, sizeof k->why, "no answer from dnsd (%s)", strerror(error));
	else if (rep->status == DNS_TEMPFAIL || rep->status == DNS_BOGUS)
		(void)snprintf(k->why, sizeof k->why, "its record cannot be looked up: %s",
		    rep->text[0] != '\0' ? rep->text : "no answer");
	if (k->why[0] != '\0')
		k->checked = 0;
	conclude(l);
}

static struct lookup *
lookup_new(struct kept *k)
{
	struct lookup *l;

	if (counts.open >= STS_LOOKUPS_MAX || (l = calloc(1, sizeof *l)) == NULL)
		return NULL;
	l->kept = k;
	l->began = clock_ms();
	TAILQ_INIT(&l->waiters);
	TAILQ_INSERT_TAIL(&lookups, l, next);
	k->lookup = l;
	counts.open++;
	return l;
}

static int
wait_for(struct lookup *l, struct chan *c, uint64_t id)
{
	struct waiter *w;

	if (nwaiters >= STS_WAITERS_MAX || (w = calloc(1, sizeof *w)) == NULL)
		return -1;
	w->asker = c;
	w->id = id;
	TAILQ_INSERT_TAIL(&l->waiters, w, next);
	nwaiters++;
	return 0;
}

/* NULL: there are too many. */
static struct lookup *
look(struct kept *k)
{
	char name[HOST_MAX + 16];
	struct dns_txt_req q = {.name = name};
	struct lookup *l = lookup_new(k);

	if (l == NULL)
		return NULL;
	(void)snprintf(name, sizeof name, "_mta-sts.%s", k->domain);
	if ((l->dns = proc_request(P_DNSD, M_dns_txt_req, &q, DNS_MS, on_record, l)) == NULL) {
		conclude(l);
		return NULL;
	}
	return l;
}

/* In lower case, without the final dot; -1: no domain that can have a policy. */
static int
normalise(const char *s, char out[HOST_MAX])
{
	static const char longest[] = "_mta-sts."; /* that is put before it */
	size_t n = strlen(s), i;

	if (n > 0 && s[n - 1] == '.')
		n--;
	if (n == 0 || n + sizeof longest > HOST_MAX)
		return -1;
	for (i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)s[i]);
	out[n] = '\0';
	return host_valid(out) ? 0 : -1;
}

void
sts_new(struct chan *c, uint64_t id, const struct sts_req *q)
{
	char domain[HOST_MAX];
	struct lookup *l;
	struct kept *k;

	counts.asked++;
	if (normalise(q->domain, domain) == -1) {
		send_text(c, id, STS_NONE, "this is no domain that can have a policy");
		return;
	}
	if ((k = kept_find(domain, 1)) == NULL) {
		send_text(c, id, STS_UNKNOWN, "no memory");
		return;
	}
	kept_use(k, clock_unix());
	l = k->lookup;
	if ((l != NULL && l->refresh) ||
	    (l == NULL && k->checked != 0 && clock_ms() - k->checked < STS_CHECK_MS)) {
		answer(c, id, k);
		return;
	}
	if ((l == NULL && (l = look(k)) == NULL) || wait_for(l, c, id) == -1) {
		if (kept_policy(k, clock_unix()) != NULL)
			answer(c, id, k);
		else
			send_text(c, id, STS_UNKNOWN, TOO_MANY);
	}
}

void
sts_forget(const struct chan *c)
{
	struct waiter *w, *next;
	struct lookup *l;

	TAILQ_FOREACH (l, &lookups, next)
		TAILQ_FOREACH_SAFE (w, &l->waiters, next, next)
			if (w->asker == c) {
				TAILQ_REMOVE(&l->waiters, w, next);
				nwaiters--;
				free(w);
			}
}

/* ---- what is done without being asked ---- */

static void
on_save(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	kept_save();
}

/* 1: begun. */
static int
refresh(struct kept *k, uint64_t now)
{
	const struct sts_kept *p = kept_policy(k, now);
	struct lookup *l;

	if (p == NULL || k->lookup != NULL || ctx == NULL || now < p->fetched + STS_REFRESH_S ||
	    now > k->used + STS_USED_S ||
	    (k->failed != 0 && clock_ms() - k->failed < REFRESH_AGAIN_MS) ||
	    (l = lookup_new(k)) == NULL)
		return 0;
	l->refresh = 1;
	(void)strlcpy(l->id, p->id, sizeof l->id);
	fetch(l);
	return 1;
}

/* A policy is renewed long before it runs out, so that nobody can keep us from doing that. */
static void
on_walk(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval again = {.tv_sec = WALK_S};
	struct kept *k, *next;
	int n = 0;

	(void)fd;
	(void)what;
	(void)arg;
	for (k = kept_first(); k != NULL && n < REFRESHES_MAX; k = next) {
		next = kept_next(k);
		n += refresh(k, clock_unix());
	}
	kept_save();
	(void)evtimer_add(&walk_timer, &again);
}

/* 0, or -1 with e. */
static int
make_ctx(const struct conf *c, struct ssl_ctx_st **out, struct err *e)
{
	static const char *const alpn[] = {"http/1.1"};
	const struct tls_options o = {.min_version = TLS_V12, .alpn = alpn, .nalpn = 1};
	const uint8_t *pem;
	size_t n;

	*out = NULL;
	if (!conf_has_queue(c) || (pem = proc_file(c->keyd.sts_ca_file, &n)) == NULL || n == 0)
		return 0;
	*out = tls_client_ctx(&o, pem, n, c->keyd.sts_ca_file, e);
	return *out != NULL ? 0 : -1;
}

int
sts_start(const struct proc_env *env, struct err *e)
{
	const struct timeval first = {.tv_sec = WALK_S / 10};
	struct err why = {0};
	char name[1024];

	if (evtimer_assign(&save_timer, env->base, on_save, NULL) == -1 ||
	    evtimer_assign(&walk_timer, env->base, on_walk, NULL) == -1 ||
	    evtimer_add(&walk_timer, &first) == -1)
		return err_set(e, ENOMEM, "no memory for a timer");
	if (make_ctx(env->conf, &ctx, &why) == -1)
		log_warn("no policies of MTA-STS are fetched: %s", why.text);
	(void)snprintf(name, sizeof name, "%s/keyd", env->conf->node.state_dir);
	kept_open(".", name, clock_unix());
	return 0;
}

int
sts_reload(const struct proc_env *env, struct err *e)
{
	struct ssl_ctx_st *fresh;

	if (make_ctx(env->conf, &fresh, e) == -1)
		return -1;
	tls_ctx_free(ctx);
	ctx = fresh;
	kept_forget_failures();
	return 0;
}

void
sts_stop(void)
{
	struct lookup *l;

	while ((l = TAILQ_FIRST(&lookups)) != NULL) {
		proc_cancel(l->dns);
		fetch_cancel(l->fetch);
		conclude(l);
	}
	(void)evtimer_del(&save_timer);
	(void)evtimer_del(&walk_timer);
	kept_close();
	tls_ctx_free(ctx);
	ctx = NULL;
}
