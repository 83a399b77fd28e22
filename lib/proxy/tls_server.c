#include "proxy/tls_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "keyprov/keyprov.h"
#include "net/tls.h"
#include "proxy/readfile.h"
#include "proxy/route.h"

#define SIGN_MS 10000 /* milliseconds for a signature: clients wait about half a minute */
#define LOCKED_MS 3000 /* for so long a locked or silent cryptod is not asked again */
#define COMPLAIN_MS 60000 /* one line for each kind of trouble in so much time */
#define SOON (14 * DAY) /* seconds before its end that a certificate is warned of */
#define DAY 86400 /* seconds between two looks at the ends of certificates */
#define SHOWN_MAX 16 /* certificates in the status */

/* A file that was read before the jail; the text stays, a reload may use it otherwise. */
struct file {
	LIST_ENTRY(file) next;
	struct buf text;
	char path[];
};

/* What some connector shows its clients, and whose certificates it wants to see. */
struct identity {
	LIST_ENTRY(identity) next;
	const struct file *cert, *ca; /* ca NULL: clients need not show one */
	struct ssl_ctx_st *ctx;
	uint8_t handle[KEYPROV_HANDLE];
};

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

static LIST_HEAD(, file) files = LIST_HEAD_INITIALIZER(files);
static LIST_HEAD(, identity) identities = LIST_HEAD_INITIALIZER(identities);
static struct ask_list fresh = TAILQ_HEAD_INITIALIZER(fresh);
static struct ask_list asked = TAILQ_HEAD_INITIALIZER(asked);
static struct event *sender; /* sends what is fresh, from the loop and its stack */
static struct event *daily;
static uint64_t refuse_until; /* clock_ms */
static uint64_t complained[CRYPTO_FAILED + 2]; /* clock_ms by status; the last: no answer */
static uint64_t total_signed, total_failed;

/* --- signatures --- */

static struct identity *
identity_of(const uint8_t handle[KEYPROV_HANDLE])
{
	struct identity *id;

	LIST_FOREACH (id, &identities, next)
		if (memcmp(id->handle, handle, KEYPROV_HANDLE) == 0)
			return id;
	return NULL;
}

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
	const struct identity *id = identity_of(a->handle);
	const char *file = id != NULL ? id->cert->path : "(unknown)";
	char hex[2 * KEYPROV_HANDLE + 1];

	if (!may_complain(status))
		return;
	(void)hex_encode(hex, a->handle, sizeof a->handle);
	switch (status) {
	case CRYPTO_LOCKED:
		log_warn("TLS towards clients: the key store is locked: keyctl unlock");
		break;
	case CRYPTO_NOKEY:
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
		refuse_until = clock_ms() + LOCKED_MS;
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

/* --- files and contexts --- */

static bool
offers_tls(const struct conf_connector *k)
{
	enum conf_service ours = proc_env()->self == P_SMTPD ? CONF_SMTP : CONF_POP3;

	return k->service == ours && k->tls != CONF_TLS_NONE;
}

static struct file *
find_file(const char *path)
{
	struct file *f;

	LIST_FOREACH (f, &files, next)
		if (strcmp(f->path, path) == 0)
			return f;
	return NULL;
}

static int
open_file(const struct conf_connector *k, const char *path, const char *what, struct err *e)
{
	size_t n = strlen(path) + 1;
	struct err why;
	struct file *f;

	if (n == 1 || find_file(path) != NULL)
		return 0;
	if ((f = calloc(1, sizeof *f + n)) == NULL)
		return err_sys(e, "memory");
	memcpy(f->path, path, n);
	buf_init(&f->text, TLS_BUNDLE_MAX + 1);
	LIST_INSERT_HEAD(&files, f, next);
	if (proxy_read_file(path, what, &f->text, &why) == -1)
		return err_set(e, why.code, "connector %s: %s", k->name, why.text);
	return 0;
}

int
tls_server_open(const struct conf *conf, struct err *e)
{
	const struct conf_connector *k;
	size_t i;

	for (i = 0; i < conf->nconnectors; i++) {
		k = &conf->connectors[i];
		if (offers_tls(k) && (open_file(k, k->certificate, "certificate", e) == -1 ||
					 open_file(k, k->client_ca, "client_ca", e) == -1))
			return -1;
	}
	return 0;
}

static struct identity *
find_identity(const struct conf_connector *k)
{
	struct identity *id;

	LIST_FOREACH (id, &identities, next)
		if (strcmp(id->cert->path, k->certificate) == 0 &&
		    strcmp(id->ca != NULL ? id->ca->path : "", k->client_ca) == 0)
			return id;
	return NULL;
}

/* In the running configuration, which a reload may have changed. */
static bool
is_used(const struct identity *id)
{
	const struct conf *conf = proc_env()->conf;
	size_t i;

	for (i = 0; i < conf->nconnectors; i++)
		if (offers_tls(&conf->connectors[i]) && find_identity(&conf->connectors[i]) == id)
			return true;
	return false;
}

static struct evp_pkey_st *
bind_key(struct x509_st *cert, void *arg, struct err *e)
{
	struct identity *id = arg;

	return keyprov_key(cert, id->handle, e);
}

/* "2026-01-31", UTC. */
static const char *
day_text(char *out, size_t outsz, int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(out, outsz, "%Y-%m-%d", &tm) == 0)
		(void)snprintf(out, outsz, "?");
	return out;
}

static void
warn_of_end(const struct identity *id)
{
	int64_t end = tls_ctx_expires(id->ctx), now = (int64_t)clock_unix();
	char day[32];

	if (end > now + SOON)
		return;
	(void)day_text(day, sizeof day, end);
	if (end <= now)
		log_warn("certificate %s has ended on %s: clients will refuse it; replace the file "
			 "and restart the gateway",
		    log_str(id->cert->path), day);
	else
		log_warn("certificate %s ends on %s: replace the file and restart the gateway "
			 "before then",
		    log_str(id->cert->path), day);
}

/* Of several processes with the same certificates one is enough to say it. */
static void
warn_of_ends(void)
{
	static const struct timeval day = {DAY, 0};
	const struct identity *id;

	if (proc_env()->instance != 0)
		return;
	LIST_FOREACH (id, &identities, next)
		if (is_used(id))
			warn_of_end(id);
	(void)event_add(daily, &day);
}

static void
on_day(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	warn_of_ends();
}

static int
make_identity(const struct conf_connector *k, struct err *e)
{
	struct file *cert = find_file(k->certificate), *ca = find_file(k->client_ca);
	struct identity *id;
	struct err why;

	if (find_identity(k) != NULL)
		return 0;
	if (cert == NULL || (ca == NULL && *k->client_ca != '\0'))
		return err_set(e, EACCES,
		    "connector %s: %s was not read when the gateway started, and the daemon cannot "
		    "reach it now: restart the gateway",
		    k->name, cert == NULL ? k->certificate : k->client_ca);
	if ((id = calloc(1, sizeof *id)) == NULL)
		return err_sys(e, "memory");
	id->cert = cert;
	id->ca = ca;
	id->ctx = tls_server_ctx(buf_ptr(&cert->text), buf_len(&cert->text), cert->path,
	    ca != NULL ? buf_ptr(&ca->text) : NULL, ca != NULL ? buf_len(&ca->text) : 0,
	    ca != NULL ? ca->path : NULL, bind_key, id, &why);
	if (id->ctx == NULL) {
		free(id);
		return err_set(e, why.code, "connector %s: %s", k->name, why.text);
	}
	LIST_INSERT_HEAD(&identities, id, next);
	return 0;
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
make_identities(const struct conf *conf, struct err *e)
{
	size_t i;

	for (i = 0; i < conf->nconnectors; i++) {
		if (!offers_tls(&conf->connectors[i]))
			continue;
		if (start_signing(e) == -1 || make_identity(&conf->connectors[i], e) == -1)
			return -1;
	}
	if (daily != NULL)
		warn_of_ends();
	return 0;
}

int
tls_server_start(struct err *e)
{
	return make_identities(proc_env()->conf, e);
}

int
tls_server_reload(const struct conf *conf, struct err *e)
{
	return make_identities(conf, e);
}

/* --- use --- */

static const struct identity *
ready(const struct conf_connector *k, const char *name, struct err *e)
{
	const struct identity *id = k != NULL ? find_identity(k) : NULL;

	if (id == NULL)
		(void)err_set(e, ENOENT, "connector %s has no certificate", name);
	else if (proc_chan(P_CRYPTOD, 0) == NULL)
		(void)err_set(e, EAGAIN, "cryptod, which has the keys, is away");
	else if (clock_ms() < refuse_until)
		(void)err_set(e, EAGAIN, "the key store is locked, or cryptod does not answer");
	else
		return id;
	return NULL;
}

int
tls_server_ready(const char *connector, struct err *e)
{
	return ready(proxy_connector(connector), connector, e) != NULL ? 0 : -1;
}

int
tls_server_accept(const char *connector, struct conn *c, struct err *e)
{
	const struct conf_connector *k = proxy_connector(connector);
	const struct identity *id = ready(k, connector, e);

	if (id == NULL)
		return -1;
	return conn_accept_tls(c, id->ctx, k->tls == CONF_TLS_STARTTLS, e);
}

void
tls_server_status(void)
{
	int64_t now = (int64_t)clock_unix(), end;
	const struct identity *id;
	unsigned n = 0;
	char day[32];

	if (LIST_EMPTY(&identities))
		return;
	proc_fact("tls.signatures", "%llu", (unsigned long long)total_signed);
	proc_fact("tls.signatures.failed", "%llu", (unsigned long long)total_failed);
	LIST_FOREACH (id, &identities, next) {
		if (!is_used(id))
			continue;
		if (n++ == SHOWN_MAX)
			break;
		end = tls_ctx_expires(id->ctx);
		proc_fact("tls.certificate", "%s: %s on %s", log_str(id->cert->path),
		    end <= now ? "ENDED" : "ends", day_text(day, sizeof day, end));
	}
}
