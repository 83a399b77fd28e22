/* Contexts for connections that clients make to us, and which certificate each is shown. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "net/tls_int.h"

#define CLIENT_DEPTH 5 /* authorities between a client's certificate and a trusted one */
#define CLIENT_CHAIN_MAX (32 * 1024) /* octets of certificates that a client may send */
#define CLIENT_NAMES_MAX 32 /* authorities that a client is told; of more, it guesses */
#define SIGNATURES_MAX 256 /* octets of a list of them */

#define CLIENT_SIGNATURES                                                                          \
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:"  \
	"rsa_pss_rsae_sha512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"            \
	"RSA+SHA256:RSA+SHA384:RSA+SHA512"

/*
 * The certificates for some name, one of each kind at most, in a context of their own: OpenSSL
 * chooses among them, and a connection changes over to that context when the name is known.
 */
struct slots {
	unsigned v[TLS_SLOTS]; /* which of the site's certificates, or NONE */
};
#define NONE UINT_MAX
static const struct slots no_slots = {{NONE, NONE, NONE}};

struct group {
	struct slots slots;
	SSL_CTX *ctx; /* NULL: the context that all begin with */
};

/* A name, or "*." and what is behind the first label, and the certificates that are for it. */
struct entry {
	const char *name; /* of one of them */
	struct slots slots;
	unsigned group;
};

struct site {
	struct tls_cert **certs;
	size_t ncerts;
	struct group *groups; /* the first: whoever asks for none of the names */
	unsigned ngroups;
	struct entry *entries; /* sorted by name */
	size_t nentries;
};

static void
site_free(struct site *s)
{
	size_t i;

	if (s == NULL)
		return;
	for (i = 0; i < s->ngroups; i++)
		SSL_CTX_free(s->groups[i].ctx);
	for (i = 0; i < s->ncerts; i++)
		tls_cert_free(s->certs[i]);
	free(s->groups);
	free(s->entries);
	free(s->certs);
	free(s);
}

static void
free_site(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	site_free(p);
}

static int
site_index(void)
{
	static int idx = -1;

	if (idx == -1)
		idx = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_site);
	return idx;
}

/* --- which certificates are for which names --- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static const struct entry *
find(const struct site *s, const char *name)
{
	struct entry key = {.name = name};

	return bsearch(&key, s->entries, s->nentries, sizeof key, by_name);
}

/* A wildcard stands for one label (RFC 6125, 6.4.3). */
static const struct entry *
find_wildcard(const struct site *s, const char *name)
{
	const char *rest = strchr(name, '.');
	char wild[SNI_NAME_MAX + 1] = "*";

	if (rest == NULL || strlcat(wild, rest, sizeof wild) >= sizeof wild)
		return NULL;
	return find(s, wild);
}

/* Of each kind the one that was given first. */
static void
add_slots(struct slots *to, const struct slots *from)
{
	size_t i;

	for (i = 0; i < TLS_SLOTS; i++)
		if (to->v[i] == NONE || (from->v[i] != NONE && from->v[i] < to->v[i]))
			to->v[i] = from->v[i];
}

static size_t
count_names(const struct site *s)
{
	size_t i, n = 0;
	const char *p;

	for (i = 0; i < s->ncerts; i++)
		for (p = s->certs[i]->names; *p != '\0'; p += strlen(p) + 1)
			n++;
	return n;
}

/* All names, sorted, each with the certificates that say just this. */
static void
list_names(struct site *s)
{
	size_t i, n = 0;
	struct entry *t;
	const char *p;

	for (i = 0; i < s->ncerts; i++)
		for (p = s->certs[i]->names; *p != '\0'; p += strlen(p) + 1) {
			t = &s->entries[n++];
			t->name = p;
			t->slots = no_slots;
			t->slots.v[s->certs[i]->slot] = (unsigned)i;
		}
	qsort(s->entries, n, sizeof *s->entries, by_name);
	for (i = 0; i < n; i++) {
		t = s->nentries > 0 ? &s->entries[s->nentries - 1] : NULL;
		if (t != NULL && strcmp(t->name, s->entries[i].name) == 0)
			add_slots(&t->slots, &s->entries[i].slots);
		else
			s->entries[s->nentries++] = s->entries[i];
	}
}

/* The one with these certificates, made if there was none. */
static unsigned
group_of(struct site *s, const struct slots *slots)
{
	unsigned i;

	for (i = 0; i < s->ngroups; i++)
		if (memcmp(&s->groups[i].slots, slots, sizeof *slots) == 0)
			return i;
	s->groups[i].slots = *slots;
	s->ngroups++;
	return i;
}

static bool
has_name(const struct tls_cert *c, const char *name)
{
	const char *p;

	for (p = c->names; *p != '\0'; p += strlen(p) + 1)
		if (strcmp(p, name) == 0)
			return true;
	return false;
}

/* Is this certificate for all names of the first one too? */
static bool
stands_in(const struct site *s, unsigned i)
{
	const char *name = s->certs[0]->names, *rest;
	char wild[SNI_NAME_MAX + 2];

	if (i == 0)
		return true;
	if (*name == '\0')
		return false;
	for (; *name != '\0'; name += strlen(name) + 1) {
		rest = strchr(name, '.');
		(void)snprintf(wild, sizeof wild, "*%s", rest != NULL ? rest : "");
		if (!has_name(s->certs[i], name) && !has_name(s->certs[i], wild))
			return false;
	}
	return true;
}

/*
 * Any name that a client can ask for is one of those that are listed here, or fits wildcards
 * only: so all sets of certificates that can come up are known now.
 */
static int
site_fill(struct site *s)
{
	size_t n = count_names(s);
	struct slots first = no_slots, one;
	const struct entry *w;
	unsigned i;

	if ((s->entries = calloc(n + 1, sizeof *s->entries)) == NULL ||
	    (s->groups = calloc(n + 1, sizeof *s->groups)) == NULL)
		return -1;
	list_names(s);
	for (i = 0; i < s->ncerts; i++) {
		one = no_slots;
		one.v[s->certs[i]->slot] = i;
		if (stands_in(s, i))
			add_slots(&first, &one);
	}
	for (i = 0; i < s->nentries; i++)
		if ((w = find_wildcard(s, s->entries[i].name)) != NULL)
			add_slots(&s->entries[i].slots, &w->slots);
	(void)group_of(s, &first);
	for (i = 0; i < s->nentries; i++)
		s->entries[i].group = group_of(s, &s->entries[i].slots);
	return 0;
}

static struct site *
site_new(struct tls_cert *const *certs, size_t n)
{
	struct site *s = calloc(1, sizeof *s);

	if (s == NULL || (s->certs = calloc(n, sizeof(struct tls_cert *))) == NULL)
		goto fail;
	for (; s->ncerts < n; s->ncerts++)
		s->certs[s->ncerts] = tls_cert_keep(certs[s->ncerts]);
	if (site_fill(s) == 0)
		return s;
fail:
	site_free(s);
	return NULL;
}

/* --- the choice --- */

void
tls_hello_name(SSL *ssl, char out[SNI_NAME_MAX + 1])
{
	const unsigned char *ext;
	size_t n;

	out[0] = '\0';
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &n) == 1)
		(void)sni_parse(ext, n, out);
}

static unsigned
lookup(const struct site *s, const char *name)
{
	const struct entry *t = find(s, name);

	if (t == NULL)
		t = find_wildcard(s, name);
	return t != NULL ? t->group : 0;
}

/* client_hello_cb, where there is a choice by name. */
static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	const struct site *s = arg;
	char name[SNI_NAME_MAX + 1];
	SSL_CTX *ctx;

	tls_hello_name(ssl, name);
	ctx = s->groups[lookup(s, name)].ctx;
	if (ctx != NULL && SSL_set_SSL_CTX(ssl, ctx) == NULL) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* The server says that the name counted (RFC 6066, 3). */
static int
on_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

/* --- contexts --- */

static int
trust_clients(void *arg, X509 *cert, int i)
{
	return tls_trust(arg, cert, i) == 1 &&
	       (i >= CLIENT_NAMES_MAX || SSL_CTX_add_client_CA(arg, cert) == 1);
}

static int
ask_for_certificates(SSL_CTX *ctx, const struct tls_server_options *o, struct err *e)
{
	int sum, mode = SSL_VERIFY_PEER;

	if (o->auth == TLS_AUTH_NONE)
		return 0;
	sum = tls_each_cert(
	    o->client_ca, o->client_ca_n, false, o->client_ca_name, trust_clients, ctx, e);
	if (sum == -1)
		return -1;
	if (sum > CLIENT_NAMES_MAX)
		SSL_CTX_set_client_CA_list(ctx, NULL);
	if (o->auth == TLS_AUTH_REQUIRE)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	SSL_CTX_set_verify_depth(ctx, CLIENT_DEPTH);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX);
	if (SSL_CTX_set1_client_sigalgs_list(ctx, CLIENT_SIGNATURES) != 1)
		return err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
	return 0;
}

/* The certificates of a group, and the signatures that their keys can make, in our order. */
static int
show(SSL_CTX *ctx, const struct site *s, const struct slots *slots, struct err *e)
{
	char list[SIGNATURES_MAX] = "";
	const struct tls_cert *c;
	size_t i;

	for (i = 0; i < TLS_SLOTS; i++) {
		if (slots->v[i] == NONE)
			continue;
		c = s->certs[slots->v[i]];
		if (SSL_CTX_use_cert_and_key(ctx, c->x, c->key, c->chain, 1) != 1)
			return err_set(e, EINVAL, "TLS cannot be set up: %s", tls_reason());
		(void)strlcat(list, *list != '\0' ? ":" : "", sizeof list);
		(void)strlcat(list, tls_cert_signatures(c), sizeof list);
	}
	if (*list != '\0' && SSL_CTX_set1_sigalgs_list(ctx, list) != 1)
		return err_set(e, EINVAL, "TLS cannot be set up: %s", tls_reason());
	return 0;
}

static SSL_CTX *
one_ctx(const struct tls_server_options *o, const struct site *s, const struct slots *slots,
    struct err *e)
{
	bool tickets = o->tickets && o->auth == TLS_AUTH_NONE && o->ncerts > 0;
	SSL_CTX *ctx = tls_new_ctx(true, &o->o, e);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* The file is the whole chain: nothing is added from the authorities of the clients. */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	(void)SSL_CTX_set_tlsext_status_cb(ctx, tls_cert_on_status);
	if (show(ctx, s, slots, e) == 0 && ask_for_certificates(ctx, o, e) == 0 &&
	    tls_tickets_setup(ctx, tickets, o->context, e) == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* ctx becomes the owner of s, which it has certificates from. */
static int
settle(SSL_CTX *ctx, struct site *s, const struct tls_server_options *o, struct err *e)
{
	unsigned i;

	if (SSL_CTX_set_ex_data(ctx, site_index(), s) != 1) {
		site_free(s);
		return err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
	}
	for (i = 1; i < s->ngroups; i++)
		if ((s->groups[i].ctx = one_ctx(o, s, &s->groups[i].slots, e)) == NULL)
			return -1;
	if (s->ngroups > 1) {
		SSL_CTX_set_client_hello_cb(ctx, on_hello, s);
		(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	}
	return 0;
}

SSL_CTX *
tls_server_ctx(const struct tls_server_options *o, struct err *e)
{
	struct site *s;
	SSL_CTX *ctx;

	if (o->ncerts == 0) {
		if ((ctx = one_ctx(o, NULL, &no_slots, e)) == NULL)
			return NULL;
		SSL_CTX_set_client_hello_cb(ctx, conn_tls_on_hello, NULL);
		(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
		return ctx;
	}
	if ((s = site_new(o->certs, o->ncerts)) == NULL) {
		(void)err_set(e, ENOMEM, "no memory for certificates");
		return NULL;
	}
	if ((ctx = one_ctx(o, s, &s->groups[0].slots, e)) == NULL) {
		site_free(s);
		return NULL;
	}
	if (settle(ctx, s, o, e) == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}
