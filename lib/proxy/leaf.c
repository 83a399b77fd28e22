/* Certificates for the clients of inspected foreign servers: minted by cryptod, kept for a while.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/sha.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/tls.h"
#include "proxy/tls_server.h"
#include "proxy/upstream_int.h"

#define LEAVES_MAX 1024 /* kept */
#define LEAF_LEFT 3600 /* seconds before its end that a leaf is shown to nobody new */
#define MINT_MS 10000 /* milliseconds for cryptod */

/* What tells one leaf from another: who signs it, for which name, like which certificate. */
struct leaf_key {
	uint8_t authority;
	uint8_t like[SHA256_DIGEST_LENGTH];
	char asked[HOST_MAX];
};

struct leaf {
	TAILQ_ENTRY(leaf) next; /* the one used last comes first */
	struct leaf_key key;
	struct tls_cert *cert;
};
TAILQ_HEAD(leaf_list, leaf);

/* Somebody who waits for one; those who want the same wait for one answer. */
struct leaf_wait {
	LIST_ENTRY(leaf_wait) next;
	struct upstream *u;
	upstream_minted fn;
	void *arg;
	struct leaf_key key;
	struct mint *mint; /* NULL: it is there */
	struct tls_cert *cert;
	char text[UPSTREAM_TEXT_MAX];
};
LIST_HEAD(wait_list, leaf_wait);

/* A question to cryptod. */
struct mint {
	LIST_ENTRY(mint) next;
	struct leaf_key key;
	struct proc_req *req;
};

static struct leaf_list leaves = TAILQ_HEAD_INITIALIZER(leaves);
static size_t nleaves;
static struct wait_list waits = LIST_HEAD_INITIALIZER(waits);
static LIST_HEAD(, mint) mints = LIST_HEAD_INITIALIZER(mints);
static struct event *teller;

static bool
same(const struct leaf_key *a, const struct leaf_key *b)
{
	return a->authority == b->authority && memcmp(a->like, b->like, sizeof a->like) == 0 &&
	       strcmp(a->asked, b->asked) == 0;
}

static void
drop(struct leaf *l)
{
	TAILQ_REMOVE(&leaves, l, next);
	nleaves--;
	tls_cert_free(l->cert);
	free(l);
}

void
leaf_forget(void)
{
	struct leaf *l;

	while ((l = TAILQ_FIRST(&leaves)) != NULL)
		drop(l);
}

static struct tls_cert *
recall(const struct leaf_key *key)
{
	struct leaf *l;

	TAILQ_FOREACH (l, &leaves, next)
		if (same(&l->key, key))
			break;
	if (l == NULL)
		return NULL;
	if (tls_cert_expires(l->cert) < (int64_t)clock_unix() + LEAF_LEFT) {
		drop(l);
		return NULL;
	}
	TAILQ_REMOVE(&leaves, l, next);
	TAILQ_INSERT_HEAD(&leaves, l, next);
	return tls_cert_keep(l->cert);
}

/* Without memory it is not remembered. */
static void
remember(const struct leaf_key *key, struct tls_cert *cert)
{
	struct leaf *l;

	if (nleaves >= LEAVES_MAX)
		drop(TAILQ_LAST(&leaves, leaf_list));
	if ((l = malloc(sizeof *l)) == NULL)
		return;
	l->key = *key;
	l->cert = tls_cert_keep(cert);
	TAILQ_INSERT_HEAD(&leaves, l, next);
	nleaves++;
}

/* --- telling those who wait --- */

static void
on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct leaf_wait *w;
	struct tls_cert *cert;
	upstream_minted fn;
	char text[UPSTREAM_TEXT_MAX];
	void *to;

	(void)fd;
	(void)what;
	(void)arg;
	/* A callback may end others: begin anew after each. */
	for (;;) {
		LIST_FOREACH (w, &waits, next)
			if (w->mint == NULL)
				break;
		if (w == NULL)
			return;
		cert = w->cert;
		fn = w->fn;
		to = w->arg;
		(void)strlcpy(text, w->text, sizeof text);
		LIST_REMOVE(w, next);
		w->u->leaf = NULL;
		free(w);
		fn(cert, text, to);
	}
}

static void
settle(struct mint *mint, struct tls_cert *cert, const char *text)
{
	struct leaf_wait *w;

	LIST_FOREACH (w, &waits, next) {
		if (w->mint != mint)
			continue;
		w->mint = NULL;
		w->cert = cert != NULL ? tls_cert_keep(cert) : NULL;
		(void)strlcpy(w->text, text, sizeof w->text);
	}
	LIST_REMOVE(mint, next);
	free(mint);
	event_active(teller, EV_TIMEOUT, 1);
}

void
leaf_cancel(struct leaf_wait *w)
{
	if (w == NULL)
		return;
	LIST_REMOVE(w, next);
	tls_cert_free(w->cert);
	free(w);
}

/* --- asking --- */

static const char *
refusal(unsigned status, unsigned authority)
{
	switch (status) {
	case CRYPTO_LOCKED:
		return "the key store is locked: keyctl unlock";
	case CRYPTO_NOKEY:
		return authority == AUTHORITY_PROXY
			   ? "there is no proxy authority: keyctl ca init"
			   : "there is no untrusted authority: keyctl ca init";
	case CRYPTO_BUSY:
		return "cryptod is busy";
	default:
		return "cryptod would not sign it";
	}
}

static struct tls_cert *
take(const struct mint_rep *p, struct err *e)
{
	struct tls_cert *cert = NULL;
	struct buf der;

	buf_init(&der, 2 * CERT_DER_MAX);
	if (buf_put(&der, p->cert.p, p->cert.n) == 0 &&
	    buf_put(&der, p->issuer.p, p->issuer.n) == 0)
		cert = tls_cert_new(buf_ptr(&der), buf_len(&der), true, "minted certificate",
		    tls_server_bind, NULL, e);
	else
		(void)err_set(e, ENOMEM, "memory");
	buf_free(&der);
	return cert;
}

static void
on_minted(void *arg, struct ipc_msg *m, int error)
{
	struct mint *mint = arg;
	const struct mint_rep *p;
	struct tls_cert *cert;
	struct err e;

	mint->req = NULL;
	if (m == NULL) {
		settle(mint, NULL, strerrordesc_np(error));
		return;
	}
	p = m->body;
	if (p->status != CRYPTO_OK) {
		settle(mint, NULL, refusal(p->status, mint->key.authority));
		return;
	}
	if ((cert = take(p, &e)) == NULL) {
		settle(mint, NULL, e.text);
		return;
	}
	remember(&mint->key, cert);
	settle(mint, cert, "");
	tls_cert_free(cert);
}

/* Names as they go into the request; each once. */
struct names {
	struct mint_name v[MINT_NAMES_MAX];
	char text[MINT_NAMES_MAX][HOST_MAX];
	struct mint_ip ip[MINT_IPS_MAX];
	struct netaddr addr[MINT_IPS_MAX];
	size_t n, nips;
};

static void
add_ip(struct names *to, const struct netaddr *a)
{
	size_t i, len = a->family == AF_INET ? 4 : 16;

	for (i = 0; i < to->nips; i++)
		if (to->ip[i].ip.n == len && memcmp(to->addr[i].addr, a->addr, len) == 0)
			return;
	if (to->nips == MINT_IPS_MAX)
		return;
	to->addr[to->nips] = *a;
	to->ip[to->nips].ip = (struct bytes){to->addr[to->nips].addr, len};
	to->nips++;
}

static void
add_name(struct names *to, const char *name)
{
	struct netaddr a;
	size_t i;

	if (netaddr_parse_host(name, &a) == 0) {
		add_ip(to, &a);
		return;
	}
	if (to->n == MINT_NAMES_MAX || strlen(name) >= sizeof to->text[0])
		return;
	for (i = 0; i < to->n; i++)
		if (strcasecmp(to->text[i], name) == 0)
			return;
	(void)strlcpy(to->text[to->n], name, sizeof to->text[0]);
	to->v[to->n].name = to->text[to->n];
	to->n++;
}

/*
 * The name asked for comes first; where none was, the server's own and its address, which is all
 * that a client can compare then.
 */
static void
collect(struct names *to, const struct upstream *u, struct conn *c, const char *asked)
{
	struct netaddr a;
	const char *name;
	unsigned i;

	to->n = to->nips = 0;
	if (asked[0] != '\0')
		add_name(to, asked);
	for (i = 0; (name = conn_tls_alt_name(c, i)) != NULL; i++)
		add_name(to, name);
	if (asked[0] == '\0' &&
	    netaddr_from_sockaddr(&a, (const struct sockaddr *)&u->target.to) == 0)
		add_ip(to, &a);
}

static struct mint *
ask(const struct upstream *u, struct conn *c, const struct leaf_key *key)
{
	static struct names names; /* 26 KiB, used up before this returns */
	struct mint_req q = {.authority = key->authority};
	struct mint *mint;

	collect(&names, u, c, key->asked);
	q.names.v = names.v;
	q.names.n = names.n;
	q.ips.v = names.ip;
	q.ips.n = names.nips;
	if ((mint = calloc(1, sizeof *mint)) == NULL)
		return NULL;
	mint->key = *key;
	mint->req = proc_request(P_CRYPTOD, M_mint_req, &q, MINT_MS, on_minted, mint);
	if (mint->req == NULL) {
		free(mint);
		return NULL;
	}
	LIST_INSERT_HEAD(&mints, mint, next);
	return mint;
}

int
upstream_mint(struct upstream *u, struct conn *c, enum upstream_verdict v, const char *asked,
    upstream_minted fn, void *arg)
{
	struct leaf_wait *w;
	const uint8_t *der;
	struct mint *m;
	size_t n;

	if (teller == NULL && (teller = event_new(proc_env()->base, -1, 0, on_tell, NULL)) == NULL)
		return -1;
	if ((w = calloc(1, sizeof *w)) == NULL)
		return -1;
	w->u = u;
	w->fn = fn;
	w->arg = arg;
	w->key.authority = v == UPSTREAM_GOOD ? AUTHORITY_PROXY : AUTHORITY_UNTRUSTED;
	if ((der = conn_tls_peer_der(c, 0, &n)) != NULL)
		(void)SHA256(der, n, w->key.like);
	(void)strlcpy(w->key.asked, asked, sizeof w->key.asked);
	LIST_FOREACH (m, &mints, next)
		if (same(&m->key, &w->key))
			break;
	if ((w->cert = recall(&w->key)) != NULL)
		event_active(teller, EV_TIMEOUT, 1);
	else if ((w->mint = m != NULL ? m : ask(u, c, &w->key)) == NULL) {
		(void)strlcpy(w->text, "cryptod cannot be asked", sizeof w->text);
		event_active(teller, EV_TIMEOUT, 1);
	}
	LIST_INSERT_HEAD(&waits, w, next);
	u->leaf = w;
	return 0;
}
