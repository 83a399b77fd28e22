#include "proxy/tls_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "keyprov/keyprov.h"
#include "net/tls.h"
#include "proxy/certs.h"
#include "proxy/profile.h"
#include "proxy/upstream_int.h"

#define SIGN_MS 10000 /* milliseconds for a signature: clients wait about half a minute */
#define LOCKED_MS 3000 /* for so long a locked or silent cryptod is not asked again */
#define COMPLAIN_MS 60000 /* one line for each kind of trouble in so much time */
#define DAY 86400 /* seconds between two looks at the ends of certificates */

/* What the clients of a connector see, and are asked for. */
struct identity {
	LIST_ENTRY(identity) next;
	struct ssl_ctx_st *ctx;
	uint8_t digest[32]; /* of all that it was made from */
	char connector[];
};
LIST_HEAD(identity_list, identity);

/* A signature that a handshake waits for. */
struct ask {
	TAILQ_ENTRY(ask) next;
	struct keyprov_job *job;
	struct conn *c;
	struct proc_req *req; /* NULL: to be sent */
	uint8_t handle[KEYPROV_HANDLE];
	uint16_t scheme;
	size_t n;
	uint8_t data[];
};
TAILQ_HEAD(ask_list, ask);

static struct identity_list identities = LIST_HEAD_INITIALIZER(identities);
static struct tls_file *certs;
static struct ask_list fresh = TAILQ_HEAD_INITIALIZER(fresh);
static struct ask_list asked = TAILQ_HEAD_INITIALIZER(asked);
static struct event *sender; /* sends what is fresh, from the loop and its stack */
static struct event *daily;
static uint64_t refuse_until; /* clock_ms */
static uint64_t complained[CRYPTO_FAILED + 2]; /* clock_ms by status; the last: no answer */
static uint64_t total_signed, total_failed;

/* --- signatures --- */

static bool
may_complain(size_t about)
{
	uint64_t now = clock_ms();

	if (complained[about] != 0 && now < complained[about] + COMPLAIN_MS)
		return false;
	complained[about] = now;
	return true;
}

/* Say what to do about a signature that was not made. */
static void
complain(const struct ask *a, unsigned status)
{
	const struct tls_file *of = certs_of_handle(certs, a->handle);
	const char *file = of != NULL ? of->path : "(minted)";
	char hex[2 * KEYPROV_HANDLE + 1];

	if (!may_complain(status))
		return;
	(void)hex_encode(hex, a->handle, sizeof a->handle);
	switch (status) {
	case CRYPTO_LOCKED:
		log_warn("TLS towards clients: the key store is locked: keyctl unlock");
		break;
	case CRYPTO_NOKEY:
		if (of == NULL)
			break; /* cryptod was started again, and has another key for those */
		log_err("TLS towards clients: the private key of certificate %s (handle %s) is not "
			"in the key store: keyctl import --tls KEYFILE",
		    log_str(file), hex);
		break;
	case CRYPTO_BUSY:
		log_warn("TLS towards clients: cryptod is busy: handshakes are failing");
		break;
	default:
		log_err("TLS towards clients: cryptod would not sign with the key of certificate "
			"%s (handle %s): %s",
		    log_str(file), hex,
		    status == CRYPTO_DENIED ? "not a key for TLS" : "the operation failed");
	}
}

static void
settle(struct ask *a, enum keyprov_status status, const uint8_t *value, size_t n)
{
	struct conn *c = a->c;

	if (status == KEYPROV_OK)
		total_signed++;
	else
		total_failed++;
	TAILQ_REMOVE(a->req != NULL ? &asked : &fresh, a, next);
	keyprov_finish(a->job, status, value, n);
	free(a);
	conn_tls_continue(c);
}

void
tls_server_locked(void)
{
	refuse_until = clock_ms() + LOCKED_MS;
}

static void
on_answer(void *arg, struct ipc_msg *m, int error)
{
	struct ask *a = arg;
	const struct tls_sign_rep *p;

	if (m == NULL) {
		refuse_until = clock_ms() + LOCKED_MS;
		if (may_complain(CRYPTO_FAILED + 1))
			log_warn("TLS towards clients: no answer from cryptod: %s",
			    strerrordesc_np(error));
		settle(a, KEYPROV_FAILED, NULL, 0);
		return;
	}
	p = m->body;
	if (p->status == CRYPTO_OK) {
		settle(a, KEYPROV_OK, p->value.p, p->value.n);
		return;
	}
	if (p->status == CRYPTO_LOCKED)
		tls_server_locked();
	/* Locked or started anew, cryptod has no key any more for what it has minted. */
	if (p->status == CRYPTO_LOCKED ||
	    (p->status == CRYPTO_NOKEY && certs_of_handle(certs, a->handle) == NULL))
		leaf_forget();
	complain(a, p->status);
	settle(a, KEYPROV_FAILED, NULL, 0);
}

static void
on_send(evutil_socket_t fd, short what, void *arg)
{
	struct tls_sign_req q;
	struct ask *a;

	(void)fd;
	(void)what;
	(void)arg;
	while ((a = TAILQ_FIRST(&fresh)) != NULL) {
		q.key = (struct bytes){a->handle, sizeof a->handle};
		q.scheme = a->scheme;
		q.data = (struct bytes){a->data, a->n};
		a->req = proc_request(P_CRYPTOD, M_tls_sign_req, &q, SIGN_MS, on_answer, a);
		if (a->req == NULL) {
			log_err("TLS towards clients: cryptod cannot be asked: %s",
			    strerrordesc_np(errno));
			settle(a, KEYPROV_FAILED, NULL, 0);
			continue;
		}
		TAILQ_REMOVE(&fresh, a, next);
		TAILQ_INSERT_TAIL(&asked, a, next);
	}
}

/* Within the handshake, on its small stack: only note it. */
static int
on_sign(struct keyprov_job *job, const uint8_t handle[KEYPROV_HANDLE], uint16_t scheme,
    const uint8_t *data, size_t n, int may_wait, void *arg)
{
	struct conn *c = conn_handshaking();
	struct ask *a;

	(void)arg;
	if (!may_wait || c == NULL || (a = calloc(1, sizeof *a + n)) == NULL)
		return -1;
	a->job = job;
	a->c = c;
	memcpy(a->handle, handle, sizeof a->handle);
	a->scheme = scheme;
	memcpy(a->data, data, n);
	a->n = n;
	keyprov_set_owner(job, a);
	TAILQ_INSERT_TAIL(&fresh, a, next);
	event_active(sender, EV_TIMEOUT, 1);
	return 0;
}

static void
on_cancel(struct keyprov_job *job, void *arg)
{
	struct ask *a = keyprov_owner(job);

	(void)arg;
	TAILQ_REMOVE(a->req != NULL ? &asked : &fresh, a, next);
	proc_cancel(a->req);
	free(a);
}

static const struct keyprov_ops ops = {.sign = on_sign, .cancel = on_cancel};

/* --- contexts --- */

struct evp_pkey_st *
tls_server_bind(struct x509_st *cert, void *arg, struct err *e)
{
	return keyprov_key(cert, arg, e);
}

static enum conf_service
service(void)
{
	return proc_env()->self == P_SMTPD ? CONF_SMTP : CONF_POP3;
}

/* Does the gateway speak TLS with the clients of this connector? */
static bool
offers_tls(const struct conf_connector *k)
{
	return conf_is_smtp(k->service) == conf_is_smtp(service()) &&
	       k->tls != CONF_SUPPORT_DISABLED && k->inspect == CONF_TLS_INSPECT;
}

static struct identity *
find_identity(const struct identity_list *in, const char *connector)
{
	struct identity *id;

	LIST_FOREACH (id, in, next)
		if (strcmp(id->connector, connector) == 0)
			return id;
	return NULL;
}

static void
free_identities(struct identity_list *l)
{
	struct identity *id;

	while ((id = LIST_FIRST(l)) != NULL) {
		LIST_REMOVE(id, next);
		tls_ctx_free(id->ctx);
		free(id);
	}
}

/* With its length, so that no two lists of texts look the same. */
static int
add_text(struct buf *b, const void *p, size_t n)
{
	uint64_t len = n;

	return buf_put(b, &len, sizeof len) == 0 && buf_put(b, n > 0 ? p : "", n) == 0 ? 0 : -1;
}

static int
add_string(struct buf *b, const char *s)
{
	return add_text(b, s, s != NULL ? strlen(s) : 0);
}

/* All that a context is made from: what is the same is not made again. 0, or -1 with ENOMEM. */
static int
digest_of(
    uint8_t out[32], const struct tls_server_options *o, struct tls_file *const *from, size_t n)
{
	const struct tls_options *t = &o->o;
	const int numbers[] = {
	    (int)t->min_version, t->any_kex, (int)o->auth, o->tickets, (int)t->nalpn, (int)n};
	struct buf b;
	size_t i;
	int rc;

	buf_init(&b, 2 * TLS_BUNDLE_MAX);
	rc = add_text(&b, numbers, sizeof numbers) | add_string(&b, t->ciphers) |
	     add_string(&b, t->ciphersuites) | add_string(&b, t->groups) |
	     add_string(&b, o->context) | add_text(&b, o->client_ca, o->client_ca_n);
	for (i = 0; i < t->nalpn; i++)
		rc |= add_string(&b, t->alpn[i]);
	for (i = 0; i < n; i++)
		rc |= add_string(&b, from[i]->path) |
		      add_text(&b, from[i]->digest, sizeof from[i]->digest);
	(void)SHA256(buf_ptr(&b), buf_len(&b), out);
	buf_free(&b);
	return rc == 0 ? 0 : -1;
}

static int
set_clients(struct tls_server_options *o, const struct conf_profile *p, struct err *e)
{
	static const enum tls_client_auth how[] = {
	    [CONF_CLIENT_CERT_NONE] = TLS_AUTH_NONE,
	    [CONF_CLIENT_CERT_ASK] = TLS_AUTH_ASK,
	    [CONF_CLIENT_CERT_REQUIRE] = TLS_AUTH_REQUIRE,
	};

	o->auth = how[p->client_certificate];
	if (o->auth == TLS_AUTH_NONE)
		return 0;
	o->client_ca = proc_file(p->client_ca, &o->client_ca_n);
	o->client_ca_name = p->client_ca;
	if (o->client_ca == NULL)
		return err_set(e, ENOENT, "client_ca %s is not there", p->client_ca);
	return 0;
}

/* One connector's context, the old one where nothing has changed. */
static struct identity *
make_identity(const struct conf_connector *k, struct tls_file *set, struct err *e)
{
	struct tls_cert *shown[CONF_LIST_MAX];
	struct tls_file *from[CONF_LIST_MAX];
	size_t i, len = strlen(k->name) + 1;
	struct tls_server_options o = {.certs = shown};
	struct profile_options p;
	struct identity *id, *old;

	profile_options(&p, k->profile, k->service == CONF_POP3 ? "pop3" : NULL);
	o.o = p.o;
	o.tickets = k->profile->tickets != 0;
	o.context = k->name;
	if (set_clients(&o, k->profile, e) == -1)
		return NULL;
	for (i = 0; i < k->chains.n && i < CONF_LIST_MAX; i++) {
		from[i] = certs_find(set, k->chains.v[i]);
		shown[i] = from[i]->cert;
	}
	o.ncerts = i;
	if ((id = calloc(1, sizeof *id + len)) == NULL) {
		(void)err_sys(e, "memory");
		return NULL;
	}
	memcpy(id->connector, k->name, len);
	if (digest_of(id->digest, &o, from, i) == -1) {
		(void)err_set(e, ENOMEM, "memory");
		free(id);
		return NULL;
	}
	old = find_identity(&identities, k->name);
	if (old != NULL && memcmp(old->digest, id->digest, sizeof id->digest) == 0)
		id->ctx = tls_ctx_keep(old->ctx);
	else if ((id->ctx = tls_server_ctx(&o, e)) == NULL) {
		free(id);
		return NULL;
	}
	return id;
}

/* Of several processes with the same certificates one is enough to say it. */
static void
on_day(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval day = {DAY, 0};

	(void)fd;
	(void)what;
	(void)arg;
	if (proc_env()->instance == 0)
		certs_warn(certs);
	(void)event_add(daily, &day);
}

/* Without a connector that wants it there is no provider. */
static int
start_signing(struct err *e)
{
	if (sender != NULL)
		return 0;
	if (keyprov_start(&ops, NULL, e) == -1)
		return -1;
	daily = evtimer_new(proc_env()->base, on_day, NULL);
	sender = event_new(proc_env()->base, -1, 0, on_send, NULL);
	return daily != NULL && sender != NULL ? 0 : err_set(e, ENOMEM, "memory");
}

static int
make_all(struct identity_list *to, struct tls_file **set, const struct conf *conf, struct err *e)
{
	struct identity *id;
	struct err why;
	size_t i;

	for (i = 0; i < conf->nconnectors; i++)
		if (offers_tls(&conf->connectors[i]) && start_signing(e) == -1)
			return -1;
	if (certs_make(set, certs, conf, service(), e) == -1)
		return -1;
	for (i = 0; i < conf->nconnectors; i++) {
		if (!offers_tls(&conf->connectors[i]))
			continue;
		if ((id = make_identity(&conf->connectors[i], *set, &why)) == NULL)
			return err_set(
			    e, why.code, "connector %s: %s", conf->connectors[i].name, why.text);
		LIST_INSERT_HEAD(to, id, next);
	}
	return 0;
}

/* A reload that changes nothing here costs no question to keyd either. */
static void
renew_staples(struct tls_file *set, struct tls_file *old)
{
	struct tls_file *c, *before;

	for (c = set; c != NULL; c = c->next) {
		if ((before = certs_find(old, c->path)) != NULL && before->cert == c->cert)
			staple_hand_on(before, c);
		if (c->stapled)
			staple_begin(c);
		else if (c->staple != NULL) {
			staple_end(c);
			(void)tls_cert_staple(c->cert, NULL, 0);
		}
	}
}

int
tls_server_start(const struct conf *conf, struct err *e)
{
	struct identity_list made = LIST_HEAD_INITIALIZER(made), old;
	struct tls_file *set = NULL;

	if (profile_check(conf, e) == -1 || upstream_prepare(conf, e) == -1 ||
	    make_all(&made, &set, conf, e) == -1) {
		free_identities(&made);
		certs_free(&set);
		return -1;
	}
	LIST_INIT(&old);
	LIST_SWAP(&identities, &old, identity, next);
	LIST_SWAP(&identities, &made, identity, next);
	free_identities(&old);
	renew_staples(set, certs);
	certs_free(&certs);
	certs = set;
	upstream_commit();
	if (daily != NULL)
		on_day(-1, 0, NULL);
	return 0;
}

void
tls_server_tickets(const struct ticket_keys *k)
{
	struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
	size_t i;

	for (i = 0; i < k->keys.n && i < TLS_TICKET_KEYS_MAX; i++) {
		memcpy(keys[i].name, k->keys.v[i].name.p, sizeof keys[i].name);
		memcpy(keys[i].aes, k->keys.v[i].aes.p, sizeof keys[i].aes);
		memcpy(keys[i].hmac, k->keys.v[i].hmac.p, sizeof keys[i].hmac);
	}
	tls_ticket_keys(keys, i);
	explicit_bzero(keys, sizeof keys);
}

/* --- use --- */

static const struct identity *
ready(const struct proxy_route *r, struct err *e)
{
	const struct identity *id = find_identity(&identities, r->connector);

	if (id == NULL)
		(void)err_set(e, ENOENT, "connector %s has no TLS", r->connector);
	else if (proc_chan(P_CRYPTOD, 0) == NULL)
		(void)err_set(e, EAGAIN, "cryptod, which has the keys, is away");
	else if (clock_ms() < refuse_until)
		(void)err_set(e, EAGAIN, "the key store is locked, or cryptod does not answer");
	else
		return id;
	return NULL;
}

int
tls_server_ready(const struct proxy_route *r, struct err *e)
{
	return ready(r, e) != NULL ? 0 : -1;
}

int
tls_server_accept(const struct proxy_route *r, struct conn *c, struct err *e)
{
	const struct identity *id = ready(r, e);

	if (id == NULL)
		return -1;
	return conn_accept_tls(c, id->ctx, r->client_tls == CONF_TLS_STARTTLS, e);
}

void
tls_server_status(void)
{
	if (LIST_EMPTY(&identities))
		return;
	proc_fact("tls.signatures", "%llu", (unsigned long long)total_signed);
	proc_fact("tls.signatures.failed", "%llu", (unsigned long long)total_failed);
	certs_status(certs);
}
