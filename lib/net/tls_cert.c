/* Certificates of ours. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "net/tls_int.h"

#define NAMES_MAX 1000 /* DNS names of one certificate that count in the choice */

/* From what OpenSSL has of a certificate to ours. */
static int
cert_index(void)
{
	static int idx = -1;

	if (idx == -1)
		idx = X509_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return idx;
}

struct tls_cert *
tls_cert_of(const X509 *x)
{
	return x != NULL ? X509_get_ex_data(x, cert_index()) : NULL;
}

/* --- what it is --- */

static int
slot_of(const EVP_PKEY *key)
{
	char curve[32];

	if (EVP_PKEY_is_a(key, "RSA"))
		return TLS_SLOT_RSA;
	if (EVP_PKEY_is_a(key, "ED25519"))
		return TLS_SLOT_ED25519;
	if (EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL) == 1 &&
	    (strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0 ||
		strcmp(curve, "secp521r1") == 0))
		return TLS_SLOT_EC;
	return -1;
}

const char *
tls_cert_kind(const struct tls_cert *c)
{
	static const char *const kinds[TLS_SLOTS] = {
	    [TLS_SLOT_EC] = "ecdsa", [TLS_SLOT_ED25519] = "ed25519", [TLS_SLOT_RSA] = "rsa"};

	return kinds[c->slot];
}

const char *
tls_cert_signatures(const struct tls_cert *c)
{
	if (c->slot == TLS_SLOT_ED25519)
		return "ed25519";
	if (c->slot == TLS_SLOT_RSA)
		return "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
		       "RSA+SHA256:RSA+SHA384:RSA+SHA512";
	switch (EVP_PKEY_get_bits(c->key)) {
	case 256:
		return "ECDSA+SHA256";
	case 384:
		return "ECDSA+SHA384";
	default:
		return "ECDSA+SHA512";
	}
}

/* --- its names --- */

static void
put_name(struct buf *b, unsigned *n, const ASN1_STRING *s)
{
	char name[SNI_NAME_MAX + 1];

	if (*n == NAMES_MAX || ASN1_STRING_length(s) <= 0 ||
	    sni_host_name(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s), 1, name) == -1)
		return;
	if (buf_put(b, name, strlen(name) + 1) == 0)
		++*n;
}

/* As RFC 6125, 6.4.4: the common name counts where there is no DNS name. */
static int
note_names(struct tls_cert *c)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c->x, NID_subject_alt_name, NULL, NULL);
	const X509_NAME *subject = X509_get_subject_name(c->x);
	const GENERAL_NAME *g;
	bool dns = false;
	unsigned n = 0;
	struct buf b;
	int i;

	buf_init(&b, NAMES_MAX * (SNI_NAME_MAX + 1) + 1);
	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_DNS)
			continue;
		dns = true;
		put_name(&b, &n, g->d.dNSName);
	}
	GENERAL_NAMES_free(names);
	if (!dns && (i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)) >= 0)
		put_name(&b, &n, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
	ERR_clear_error();
	if (buf_putc(&b, 0) == 0 && (c->names = malloc(buf_len(&b))) != NULL)
		memcpy(c->names, buf_ptr(&b), buf_len(&b));
	buf_free(&b);
	return c->names != NULL ? 0 : -1;
}

bool
tls_cert_is_for(const struct tls_cert *c, const char *name)
{
	struct netaddr addr;
	size_t n = strlen(name);
	bool ok;

	if (n == 0)
		return false;
	if (netaddr_parse_host(name, &addr) == 0)
		ok = X509_check_ip_asc(c->x, name, 0) == 1;
	else
		ok = X509_check_host(c->x, name, name[n - 1] == '.' ? n - 1 : n,
			 X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
	ERR_clear_error();
	return ok;
}

int64_t
tls_cert_expires(const struct tls_cert *c)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(c->x), &tm) != 1)
		return 0;
	return timegm(&tm);
}

const uint8_t *
tls_cert_der(const struct tls_cert *c, unsigned i, size_t *n)
{
	if (i >= TLS_CHAIN_MAX || c->ders[i].p == NULL)
		return NULL;
	*n = c->ders[i].n;
	return c->ders[i].p;
}

/* --- making one --- */

struct making {
	struct tls_cert *c;
	SSL *judge;
};

/* Connections of this context, which never connect, say what is too weak and what does not fit. */
static SSL *
judge_new(void)
{
	static SSL_CTX *ctx;
	static const struct tls_options usual;

	if (ctx == NULL)
		ctx = tls_new_ctx(true, &usual, NULL);
	return ctx != NULL ? SSL_new(ctx) : NULL;
}

static int
add_ours(void *arg, X509 *cert, int i)
{
	struct making *m = arg;
	struct tls_cert *c = m->c;
	int n;

	if (i == TLS_CHAIN_MAX) {
		ERR_raise(ERR_LIB_SSL, SSL_R_EXCESSIVE_MESSAGE_SIZE);
		return 0;
	}
	if ((n = i2d_X509(cert, &c->ders[i].p)) <= 0)
		return 0;
	c->ders[i].n = (size_t)n;
	if (i == 0) {
		c->x = cert;
		return X509_up_ref(cert) == 1 && X509_set_ex_data(cert, cert_index(), c) == 1 &&
		       SSL_use_certificate(m->judge, cert) == 1;
	}
	if (SSL_add1_chain_cert(m->judge, cert) != 1)
		return 0;
	if (c->chain == NULL && (c->chain = sk_X509_new_null()) == NULL)
		return 0;
	return X509_up_ref(cert) == 1 && sk_X509_push(c->chain, cert) > 0;
}

static int
bind_key(struct making *m, const char *name, tls_bind bind, void *arg, struct err *e)
{
	struct tls_cert *c = m->c;
	struct err why;
	int slot;

	if ((c->key = bind(c->x, arg, &why)) == NULL)
		return err_set(e, why.code, "%s: certificate 1: %s", name, why.text);
	if ((slot = slot_of(c->key)) == -1)
		return err_set(e, ENOTSUP,
		    "%s: certificate 1: RSA keys are possible, Ed25519 and those on P-256, P-384 "
		    "and P-521",
		    name);
	c->slot = (enum tls_slot)slot;
	if (SSL_use_PrivateKey(m->judge, c->key) != 1)
		return err_set(e, EINVAL, "%s: certificate 1: %s", name, tls_reason());
	return 0;
}

struct tls_cert *
tls_cert_new(const void *chain, size_t n, bool der, const char *name, tls_bind bind, void *arg,
    struct err *e)
{
	struct making m = {.c = calloc(1, sizeof *m.c)};
	int ret = -1;

	tls_init();
	if (m.c == NULL)
		goto no_memory;
	m.c->refs = 1;
	if ((m.judge = judge_new()) == NULL)
		goto no_memory;
	if (tls_each_cert(chain, n, der, name, add_ours, &m, e) == -1 ||
	    bind_key(&m, name, bind, arg, e) == -1)
		goto out;
	if ((ret = note_names(m.c)) == 0)
		goto out;
no_memory:
	(void)err_set(e, ENOMEM, "%s: no memory for a certificate", name);
out:
	SSL_free(m.judge);
	ERR_clear_error();
	if (ret == 0)
		return m.c;
	tls_cert_free(m.c);
	return NULL;
}

struct tls_cert *
tls_cert_keep(struct tls_cert *c)
{
	c->refs++;
	return c;
}

void
tls_cert_free(struct tls_cert *c)
{
	unsigned i;

	if (c == NULL || --c->refs > 0)
		return;
	/* Whoever else has it must not come back to us. */
	if (c->x != NULL)
		(void)X509_set_ex_data(c->x, cert_index(), NULL);
	X509_free(c->x);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	for (i = 0; i < TLS_CHAIN_MAX; i++)
		OPENSSL_free(c->ders[i].p);
	free(c->staple.p);
	free(c->names);
	free(c);
}

/* --- use --- */

int
tls_cert_show(SSL *ssl, struct tls_cert *c)
{
	int ok;

	ERR_clear_error();
	ok = SSL_use_cert_and_key(ssl, c->x, c->key, c->chain, 1) == 1 &&
	     SSL_set1_sigalgs_list(ssl, tls_cert_signatures(c)) == 1;
	ERR_clear_error();
	if (ok)
		return 0;
	errno = ENOMEM;
	return -1;
}

int
tls_cert_staple(struct tls_cert *c, const void *der, size_t n)
{
	uint8_t *p = NULL;

	if (n > TLS_STAPLE_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (n > 0) {
		if ((p = malloc(n)) == NULL)
			return -1;
		memcpy(p, der, n);
	}
	free(c->staple.p);
	c->staple = (struct tls_der){p, n};
	return 0;
}

int
tls_cert_on_status(SSL *ssl, void *arg)
{
	const struct tls_cert *c = tls_cert_of(SSL_get_certificate(ssl));
	uint8_t *copy;

	(void)arg;
	if (c == NULL || c->staple.n == 0)
		return SSL_TLSEXT_ERR_NOACK;
	if ((copy = OPENSSL_memdup(c->staple.p, c->staple.n)) == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)c->staple.n);
	return SSL_TLSEXT_ERR_OK;
}
