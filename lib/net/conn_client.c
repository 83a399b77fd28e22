/* TLS of a connection as the client: what is wanted of the server's certificate, and what it is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include "base/netaddr.h"
#include "net/conn_int.h"
#include "net/tls_int.h"

#define PEER_NAME_MAX 255 /* octets of a name */
#define PRINTS_MAX 1024 /* fingerprints of one server */
#define TLSA_MAX 64 /* TLSA records of one server */
#define PEER_CERTS_MAX 12 /* certificates of a server that are given out */

struct conn_tls_client {
	enum conn_verify verify;
	bool report;
	int error; /* X509_V_ERR_* of the first thing that is wrong with the certificate */
	struct tls_der ders[PEER_CERTS_MAX]; /* once asked for */
	size_t nprints;
	uint8_t prints[][SHA256_DIGEST_LENGTH];
};

void
conn_tls_client_free(struct conn_tls_client *w)
{
	size_t i;

	if (w == NULL)
		return;
	for (i = 0; i < PEER_CERTS_MAX; i++)
		OPENSSL_free(w->ders[i].p);
	free(w);
}

/* --- judging the certificate --- */

/* All are compared, and each as a whole, whatever the outcome. */
static unsigned
is_one_of(const struct conn_tls_client *w, const uint8_t *p, size_t n)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	unsigned found = 0;
	size_t i;

	if (EVP_Digest(p, n, hash, NULL, EVP_sha256(), NULL) != 1)
		return 0;
	for (i = 0; i < w->nprints; i++)
		found |= CRYPTO_memcmp(hash, w->prints[i], sizeof hash) == 0;
	return found;
}

static int
has_print(const struct conn_tls_client *w, X509 *cert)
{
	uint8_t *der = NULL;
	unsigned found = 0;
	int n;

	if ((n = i2d_X509(cert, &der)) > 0)
		found |= is_one_of(w, der, (size_t)n);
	OPENSSL_free(der);
	der = NULL;
	if ((n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der)) > 0)
		found |= is_one_of(w, der, (size_t)n);
	OPENSSL_free(der);
	return found != 0;
}

int
conn_tls_judge(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct conn_tls *t = SSL_get_app_data(ssl);
	struct conn_tls_client *w = t->client;
	int error = X509_V_OK;

	(void)arg;
	switch (w->verify) {
	case CONN_VERIFY_NONE:
		break;
	case CONN_VERIFY_FINGERPRINT:
		if (has_print(w, X509_STORE_CTX_get0_cert(store)))
			break;
		error = X509_V_ERR_CERT_REJECTED;
		conn_tls_say_bad(t,
		    "certificate of %s: neither its fingerprint nor that of its key is one of the "
		    "configured ones",
		    t->name);
		break;
	case CONN_VERIFY_CA:
	case CONN_VERIFY_DANE:
		if (X509_verify_cert(store) == 1)
			break;
		error = X509_STORE_CTX_get_error(store);
		if (error == X509_V_OK)
			error = X509_V_ERR_UNSPECIFIED;
		conn_tls_say_bad(
		    t, "certificate of %s: %s", t->name, X509_verify_cert_error_string(error));
		break;
	}
	X509_STORE_CTX_set_error(store, error);
	w->error = error;
	return error == X509_V_OK || w->report;
}

int
conn_tls_client_done(struct conn_tls *t)
{
	const unsigned char *protocol;
	unsigned n;

	SSL_get0_alpn_selected(t->ssl, &protocol, &n);
	if (n == 0 || tls_speaks(SSL_get_SSL_CTX(t->ssl), protocol, n))
		return 0;
	conn_tls_say(t, "TLS handshake with %s: it chose a protocol that was not offered", t->name);
	return -1;
}

/* --- the beginning --- */

/* One more name that the certificate may have. */
static int
expect(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct netaddr addr;

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (netaddr_parse_host(name, &addr) == 0)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 ? 0 : -1;
	return X509_VERIFY_PARAM_add1_host(param, name, 0) == 1 ? 0 : -1;
}

/*
 * Usages 0 and 1 say nothing to mail servers (RFC 7672, 3.1.3).  With usage 3 neither name nor
 * dates count (3.1.1).  Returns how many records can be used, or -1.
 */
static int
add_records(SSL *ssl, const char *host, const struct conn_peer *peer)
{
	const struct conn_tlsa *r = peer->tlsa;
	size_t i;
	int n = 0;

	if (SSL_dane_enable(ssl, host) <= 0)
		return -1;
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (i = 0; i < peer->ntlsa && i < TLSA_MAX; i++, r++)
		if ((r->usage == 2 || r->usage == 3) &&
		    SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, r->data, r->n) > 0)
			n++;
	ERR_clear_error();
	return n;
}

static struct conn_tls_client *
wanted(const struct conn_peer *peer)
{
	size_t n = peer->verify == CONN_VERIFY_FINGERPRINT ? peer->nprints : 0;
	struct conn_tls_client *w = calloc(1, sizeof *w + n * sizeof *w->prints);

	if (w == NULL)
		return NULL;
	w->verify = peer->verify;
	w->report = peer->report;
	w->nprints = n;
	if (n > 0)
		memcpy(w->prints, peer->prints, n * sizeof *w->prints);
	return w;
}

/* 0, or -1 with e. */
static int
set_up(struct conn_tls *t, const struct conn_peer *peer, struct err *e)
{
	const char *expected = peer->expected != NULL ? peer->expected : t->name;
	struct netaddr addr;
	bool numeric = netaddr_parse_host(t->name, &addr) == 0;
	int records = 1;

	if ((t->client = wanted(peer)) == NULL)
		goto no_memory;
	if (!numeric && SSL_set_tlsext_host_name(t->ssl, t->name) != 1)
		goto no_memory;
	if (peer->verify == CONN_VERIFY_DANE && numeric)
		return err_set(e, EINVAL, "%s: an address has no TLSA records", t->name);
	if (peer->verify == CONN_VERIFY_DANE)
		records = add_records(t->ssl, t->name, peer);
	if (records == 0)
		return err_set(e, EINVAL, "%s: no TLSA record that can be used", t->name);
	if (records == -1)
		goto no_memory;
	if ((peer->verify == CONN_VERIFY_CA || peer->verify == CONN_VERIFY_DANE) &&
	    (expect(t->ssl, expected) == -1 ||
		(peer->also != NULL && expect(t->ssl, peer->also) == -1)))
		goto no_memory;
	if (peer->staple && SSL_set_tlsext_status_type(t->ssl, TLSEXT_STATUSTYPE_ocsp) != 1)
		goto no_memory;
	SSL_set_verify(t->ssl, peer->verify == CONN_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
	    conn_tls_verify);
	return 0;
no_memory:
	return err_set(e, ENOMEM, "TLS with %s cannot be set up", t->name);
}

/* Of those that need not be given. */
static bool
bad_name(const char *name)
{
	return name != NULL && (*name == '\0' || strlen(name) > PEER_NAME_MAX);
}

static int
check(const struct conn_peer *peer, size_t n, struct err *e)
{
	if (n == 0 || n > PEER_NAME_MAX || bad_name(peer->expected) || bad_name(peer->also))
		return err_set(e, EINVAL, "TLS needs a name of 1 to 255 octets to look for");
	if (peer->verify == CONN_VERIFY_FINGERPRINT &&
	    (peer->nprints == 0 || peer->nprints > PRINTS_MAX))
		return err_set(e, EINVAL, "%s: %zu fingerprints: 1 to %d are possible", peer->name,
		    peer->nprints, PRINTS_MAX);
	return 0;
}

int
conn_start_tls(struct conn *c, SSL_CTX *ctx, const struct conn_peer *peer, struct err *e)
{
	size_t n = strlen(peer->name);
	char host[PEER_NAME_MAX + 1];
	struct conn_tls *t;

	if (c->tls != NULL)
		return err_set(e, EALREADY, "TLS was started before");
	if (n > 0 && n <= PEER_NAME_MAX && peer->name[n - 1] == '.')
		n--; /* the root's dot is in no certificate */
	if (check(peer, n, e) == -1)
		return -1;
	(void)snprintf(host, sizeof host, "%.*s", (int)n, peer->name);
	if (buf_len(&c->in) > 0)
		return err_set(e, EPROTO,
		    "%s sent %zu octets in clear where TLS had to begin: somebody may have put "
		    "them in",
		    host, buf_len(&c->in));
	if (c->ended)
		return err_set(e, EPIPE, "connection closed before TLS began");
	if ((t = conn_tls_new(c, ctx, host)) == NULL) {
		ERR_clear_error();
		return err_set(e, ENOMEM, "TLS with %s cannot be set up", host);
	}
	if (set_up(t, peer, e) == -1) {
		conn_tls_free(t);
		ERR_clear_error();
		return -1;
	}
	SSL_set_connect_state(t->ssl);
	conn_tls_begin(c, t);
	return 0;
}

/* --- what the server showed --- */

static struct conn_tls *
open_client(const struct conn *c)
{
	return c->tls != NULL && c->tls->client != NULL && c->tls->info[0] != '\0' ? c->tls : NULL;
}

const char *
conn_tls_bad(const struct conn *c)
{
	const struct conn_tls *t = open_client(c);

	if (t == NULL)
		return NULL;
	/* The text may have found no memory. */
	if (t->bad == NULL && SSL_get_verify_result(t->ssl) != X509_V_OK)
		return "its certificate is bad";
	return t->bad;
}

int
conn_tls_error(const struct conn *c)
{
	return c->tls != NULL && c->tls->client != NULL ? c->tls->client->error : 0;
}

const uint8_t *
conn_tls_peer_der(const struct conn *c, unsigned i, size_t *n)
{
	struct conn_tls *t = open_client(c);
	STACK_OF(X509) *chain = NULL;
	struct tls_der *d;
	int len;

	if (t == NULL || i >= PEER_CERTS_MAX)
		return NULL;
	d = &t->client->ders[i];
	if (d->p == NULL) {
		if (t->bad == NULL)
			chain = SSL_get0_verified_chain(t->ssl);
		if (chain == NULL)
			chain = SSL_get_peer_cert_chain(t->ssl);
		if ((int)i >= sk_X509_num(chain) ||
		    (len = i2d_X509(sk_X509_value(chain, (int)i), &d->p)) <= 0)
			return NULL;
		d->n = (size_t)len;
	}
	*n = d->n;
	return d->p;
}

const uint8_t *
conn_tls_stapled(const struct conn *c, size_t *n)
{
	struct conn_tls *t = open_client(c);
	const unsigned char *p;
	long len;

	if (t == NULL || (len = SSL_get_tlsext_status_ocsp_resp(t->ssl, &p)) <= 0 || p == NULL ||
	    len > TLS_STAPLE_MAX)
		return NULL;
	*n = (size_t)len;
	return p;
}

const char *
conn_tls_alt_name(const struct conn *c, unsigned i)
{
	struct conn_tls *t = open_client(c);
	const char *p;

	if (t == NULL)
		return NULL;
	if (t->alts == NULL)
		t->alts = conn_tls_alt_names(SSL_get0_peer_certificate(t->ssl));
	for (p = t->alts; p != NULL && *p != '\0'; p += strlen(p) + 1)
		if (i-- == 0)
			return p;
	return NULL;
}
