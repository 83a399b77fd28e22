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
#include "net/sni.h"
#include "net/tls.h"
#include "proxy/tls_server.h"
#include "proxy/upstream_int.h"

#define LEAVES_MAX 1024 /* kept */
#define LEAVES_OCTETS_MAX (4 * 1024 * 1024) /* of DER: in memory it is some times as much */
#define LEAF_LEFT 3600 /* seconds before its end that a leaf is shown to nobody new */
#define LEAF_KEPT_MS 900000 /* milliseconds: then a new authority, or a turned-off one, counts */
#define MINT_MS 10000 /* milliseconds for cryptod */

/*
 * What tells one leaf from another: who signs it, for which name (or address, where no name was
 * asked for), like which certificate.
 */
struct leaf_key {
	uint8_t authority;
	uint8_t like[SHA256_DIGEST_LENGTH];
	char asked[HOST_MAX];
};

struct leaf {
	TAILQ_ENTRY(leaf) next; /* the one used last comes first */
	struct leaf_key key;
	struct tls_cert *cert;
	size_t octets;
	uint64_t until; /* clock_ms */
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
static size_t nleaves, noctets;
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
	noctets -= l->octets;
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
	if (clock_ms() >= l->until ||
	    tls_cert_expires(l->cert) < (int64_t)clock_unix() + LEAF_LEFT) {
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
	struct leaf *l = malloc(sizeof *l);
	size_t i, n;

	if (l == NULL)
		return;
	l->key = *key;
	l->cert = tls_cert_keep(cert);
	l->octets = 0;
	for (i = 0; tls_cert_der(cert, (unsigned)i, &n) != NULL; i++)
		l->octets += n;
	l->until = clock_ms() + LEAF_KEPT_MS;
	TAILQ_INSERT_HEAD(&leaves, l, next);
	nleaves++;
	noctets += l->octets;
	while (nleaves > LEAVES_MAX || (noctets > LEAVES_OCTETS_MAX && nleaves > 1))
		drop(TAILQ_LAST(&leaves, leaf_list));
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
			   ? "there is no proxy authority, or it has ended: keyctl ca init"
			   : "there is no untrusted authority, or it has ended: keyctl ca init";
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
	if (p->status == CRYPTO_LOCKED)
		tls_server_locked();
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

/* Names as they go into the request; each once, and none for which all would be refused. */
struct names {
	struct mint_name v[MINT_NAMES_MAX];
	char text[MINT_NAMES_MAX][HOST_MAX];
	struct mint_ip ip[MINT_IPS_MAX];
	struct netaddr addr[MINT_IPS_MAX];
	size_t n, nips, octets;
};

static bool
fits(struct names *to, size_t octets)
{
	if (to->octets + octets + 4 > MINT_OCTETS_MAX)
		return false;
	to->octets += octets + 4;
	return true;
}

static void
add_ip(struct names *to, const struct netaddr *a)
{
	size_t i, len = a->family == AF_INET ? 4 : 16;

	for (i = 0; i < to->nips; i++)
		if (to->ip[i].ip.n == len && memcmp(to->addr[i].addr, a->addr, len) == 0)
			return;
	if (to->nips == MINT_IPS_MAX || !fits(to, len))
		return;
	to->addr[to->nips] = *a;
	to->ip[to->nips].ip = (struct bytes){to->addr[to->nips].addr, len};
	to->nips++;
}

static void
add_name(struct names *to, const char *name)
{
	char host[SNI_NAME_MAX + 1];
	struct netaddr a;
	size_t i;

	if (netaddr_parse_host(name, &a) == 0) {
		add_ip(to, &a);
		return;
	}
	/* "*.org" is good for nothing anywhere. */
	if (to->n == MINT_NAMES_MAX || sni_host_name(name, strlen(name), 1, host) == -1 ||
	    (host[0] == '*' && strchr(host + 2, '.') == NULL))
		return;
	for (i = 0; i < to->n; i++)
		if (strcmp(to->text[i], host) == 0)
			return;
	if (!fits(to, strlen(host)))
		return;
	(void)strlcpy(to->text[to->n], host, sizeof to->text[0]);
	to->v[to->n].name = to->text[to->n];
	to->n++;
}

/* What was asked for comes first, name or address; then what the server's certificate has. */
static void
collect(struct names *to, struct conn *c, const char *asked)
{
	const char *name;
	unsigned i;

	to->n = to->nips = to->octets = 0;
	add_name(to, asked);
	for (i = 0; (name = conn_tls_alt_name(c, i)) != NULL; i++)
		add_name(to, name);
}

static struct mint *
ask(struct conn *c, const struct leaf_key *key)
{
	static struct names names; /* 26 KiB, used up before this returns */
	struct mint_req q = {.authority = key->authority};
	struct mint *mint;

	collect(&names, c, key->asked);
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

/* 0, or -1 with ENOMEM. */
static int
set_key(struct leaf_key *key, const struct upstream *u, struct conn *c, enum upstream_verdict v,
    const char *asked)
{
	char address[NETADDR_TEXT_MAX];
	const uint8_t *der;
	size_t n;

	if ((der = conn_tls_peer_der(c, 0, &n)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	key->authority = v == UPSTREAM_GOOD ? AUTHORITY_PROXY : AUTHORITY_UNTRUSTED;
	(void)SHA256(der, n, key->like);
	/* Without a name the address is all that a client can compare. */
	(void)strlcpy(
	    key->asked, asked[0] != '\0' ? asked : upstream_address(u, address), sizeof key->asked);
	return 0;
}

int
upstream_mint(struct upstream *u, struct conn *c, enum upstream_verdict v, const char *asked,
    upstream_minted fn, void *arg)
{
	struct leaf_wait *w;
	struct mint *m;

	if (teller == NULL && (teller = event_new(proc_env()->base, -1, 0, on_tell, NULL)) == NULL)
		return -1;
	if ((w = calloc(1, sizeof *w)) == NULL)
		return -1;
	if (set_key(&w->key, u, c, v, asked) == -1) {
		free(w);
		return -1;
	}
	w->u = u;
	w->fn = fn;
	w->arg = arg;
	LIST_FOREACH (m, &mints, next)
		if (same(&m->key, &w->key))
			break;
	if ((w->cert = recall(&w->key)) != NULL)
		event_active(teller, EV_TIMEOUT, 1);
	else if ((w->mint = m != NULL ? m : ask(c, &w->key)) == NULL) {
		(void)strlcpy(w->text, "cryptod cannot be asked", sizeof w->text);
		event_active(teller, EV_TIMEOUT, 1);
	}
	LIST_INSERT_HEAD(&waits, w, next);
	leaf_cancel(u->leaf);
	u->leaf = w;
	return 0;
}
