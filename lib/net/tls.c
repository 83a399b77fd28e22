/* What contexts of both directions have in common: options, and texts with certificates. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/buf.h"
#include "net/tls_int.h"

#define LIST_MAX 4096 /* octets of a list of ciphers or groups */
#define ITEM_MAX 128 /* octets of one of its items */
#define ALPN_MAX 1024 /* octets of all protocol names */
#define SECURITY_LEVEL 2 /* 112 bits: RSA of 2,048 bit, no SHA-1; Debian's default */

#define SERVER_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CLIENT_CIPHERS "HIGH"
#define NEVER ":!aNULL:!eNULL:!PSK:!SRP"

const char *
tls_reason(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return s != NULL ? s : "unknown reason";
}

/* In a jail there is no openssl.cnf, so it must not matter whether there is one outside. */
void
tls_init(void)
{
	(void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	ERR_clear_error();
}

SSL_CTX *
tls_ctx_keep(SSL_CTX *ctx)
{
	(void)SSL_CTX_up_ref(ctx);
	return ctx;
}

void
tls_ctx_free(SSL_CTX *ctx)
{
	SSL_CTX_free(ctx);
}

/* --- texts with certificates --- */

/* A certificate needs no passphrase; without this, OpenSSL would ask the terminal for one. */
static int
no_passphrase(char *p, int n, int rw, void *arg)
{
	(void)p;
	(void)n;
	(void)rw;
	(void)arg;
	return -1;
}

/* A text that is read, as far as it has been. */
struct reader {
	BIO *pem; /* or */
	const unsigned char *der;
	size_t left;
};

static bool
at_the_end(const struct reader *r)
{
	unsigned long why = ERR_peek_last_error();

	if (r->pem == NULL)
		return r->left == 0;
	return ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
}

static X509 *
next_cert(struct reader *r)
{
	const unsigned char *from = r->der;
	X509 *cert;

	ERR_clear_error();
	if (r->pem != NULL)
		return PEM_read_bio_X509(r->pem, NULL, no_passphrase, NULL);
	if (r->left == 0 || (cert = d2i_X509(NULL, &r->der, (long)r->left)) == NULL)
		return NULL;
	r->left -= (size_t)(r->der - from);
	return cert;
}

int
tls_each_cert(
    const void *text, size_t n, bool der, const char *name, tls_take take, void *arg, struct err *e)
{
	struct reader r = {.der = text, .left = n};
	X509 *cert;
	int i, ok = 1, end;

	if (n > TLS_BUNDLE_MAX)
		return err_set(
		    e, EFBIG, "%s: %zu octets; a bundle has at most %d", name, n, TLS_BUNDLE_MAX);
	if (!der && (r.pem = BIO_new_mem_buf(n > 0 ? text : "", (int)n)) == NULL)
		return err_set(e, ENOMEM, "%s: %s", name, tls_reason());
	for (i = 0; ok; i += ok) {
		if ((cert = next_cert(&r)) == NULL)
			break;
		ok = take(arg, cert, i) == 1;
		X509_free(cert);
	}
	end = at_the_end(&r);
	BIO_free(r.pem);
	if (!ok)
		return err_set(e, EINVAL, "%s: certificate %d: %s", name, i + 1, tls_reason());
	if (!end)
		return err_set(
		    e, EINVAL, "%s: certificate %d cannot be read: %s", name, i + 1, tls_reason());
	ERR_clear_error();
	if (i == 0)
		return err_set(e, EINVAL, "%s: there is no certificate in it%s", name,
		    der ? "" : " (PEM is wanted)");
	return i;
}

int
tls_trust(void *arg, X509 *cert, int i)
{
	(void)i;
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(arg), cert);
}

/* --- options --- */

static bool
given(const char *s)
{
	return s != NULL && *s != '\0';
}

/* Call fn for each item of a list; -1 when it says so, or one is too long. */
static int
each_item(const char *list, const char *separators, const char *what,
    int (*fn)(SSL_CTX *ctx, const char *item, struct err *e), SSL_CTX *ctx, struct err *e)
{
	char item[ITEM_MAX];
	const char *p = list;
	size_t n;

	if (strlen(list) > LIST_MAX)
		return err_set(e, EINVAL, "%s: a list of more than %d octets", what, LIST_MAX);
	while (*(p += strspn(p, separators)) != '\0') {
		n = strcspn(p, separators);
		if (n >= sizeof item)
			return err_set(e, EINVAL, "%s: \"%.40s...\" is too long", what, p);
		memcpy(item, p, n);
		item[n] = '\0';
		if (fn(ctx, item, e) == -1)
			return -1;
		p += n;
	}
	return 0;
}

/* Words for what OpenSSL has no more: it may be left out, and nothing is lost. */
static bool
is_gone(const char *word)
{
	static const char *const gone[] = {"RC2", "RC4", "DES", "3DES", "IDEA", "SEED", "MD5",
	    "EXP", "EXPORT", "EXPORT40", "EXPORT56", "LOW", "SSLv2", "SSLv3", "ADH", "AECDH", "DSS",
	    "aDSS", "ECDH", "kECDH", "aECDH", "KRB5", "CAMELLIA", "ARIA", "GOST"};
	size_t i;

	for (i = 0; i < sizeof gone / sizeof gone[0]; i++)
		if (strcmp(word, gone[i]) == 0)
			return true;
	return false;
}

static int
check_cipher(SSL_CTX *ctx, const char *item, struct err *e)
{
	const char *word = item + strspn(item, "!-+");
	bool out = *item == '!' || *item == '-';
	int known;

	if (*item == '@' && strcmp(item, "@STRENGTH") != 0)
		return err_set(e, EINVAL,
		    "ciphers: \"%s\": the security level is %d and cannot be set", item,
		    SECURITY_LEVEL);
	known = *item == '@' || SSL_CTX_set_cipher_list(ctx, word) == 1;
	ERR_clear_error();
	if (known || (out && is_gone(word)))
		return 0;
	if (strncmp(word, "TLS_", 4) == 0)
		return err_set(
		    e, EINVAL, "ciphers: \"%s\" is of TLS 1.3: it belongs in ciphersuites", item);
	return err_set(e, EINVAL, "ciphers: \"%s\": OpenSSL knows no such cipher", item);
}

static int
check_suite(SSL_CTX *ctx, const char *item, struct err *e)
{
	STACK_OF(SSL_CIPHER) * all;
	int i, ok = SSL_CTX_set_ciphersuites(ctx, item) == 1;

	ERR_clear_error();
	all = SSL_CTX_get_ciphers(ctx);
	for (i = 0; ok && i < sk_SSL_CIPHER_num(all); i++)
		if (strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i)), item) == 0)
			return 0;
	return err_set(
	    e, EINVAL, "ciphersuites: \"%s\": OpenSSL knows no such cipher of TLS 1.3", item);
}

static int
check_group(SSL_CTX *ctx, const char *item, struct err *e)
{
	int ok = SSL_CTX_set1_groups_list(ctx, item) == 1;

	ERR_clear_error();
	return ok ? 0 : err_set(e, EINVAL, "groups: \"%s\": OpenSSL knows no such group", item);
}

/* The items one by one: a list of them is taken if it has one that is known. */
static int
check_items(const struct tls_options *o, struct err *e)
{
	SSL_CTX *ctx;
	int ret;

	if (!given(o->ciphers) && !given(o->ciphersuites) && !given(o->groups))
		return 0;
	if ((ctx = SSL_CTX_new(TLS_method())) == NULL)
		return err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
	ret =
	    given(o->ciphers) ? each_item(o->ciphers, ":,; ", "ciphers", check_cipher, ctx, e) : 0;
	if (ret == 0 && given(o->ciphersuites))
		ret = each_item(o->ciphersuites, ":", "ciphersuites", check_suite, ctx, e);
	if (ret == 0 && given(o->groups))
		ret = each_item(o->groups, ":", "groups", check_group, ctx, e);
	SSL_CTX_free(ctx);
	return ret;
}

/* Ciphers that can be used: of TLS 1.3, or of TLS 1.2; with forward secrecy. */
static int
usable(SSL_CTX *ctx, bool tls13)
{
	SSL *ssl = SSL_new(ctx);
	STACK_OF(SSL_CIPHER) *all = ssl != NULL ? SSL_get1_supported_ciphers(ssl) : NULL;
	const SSL_CIPHER *c;
	int i, n = 0;

	for (i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		c = sk_SSL_CIPHER_value(all, i);
		if (tls13 == (SSL_CIPHER_get_kx_nid(c) == NID_kx_any) &&
		    SSL_CIPHER_get_kx_nid(c) != NID_kx_rsa)
			n++;
	}
	sk_SSL_CIPHER_free(all);
	SSL_free(ssl);
	ERR_clear_error();
	return n;
}

static int
set_ciphers(SSL_CTX *ctx, bool server, const struct tls_options *o, struct err *e)
{
	/* What has our keys only signs. */
	bool rsa = o->any_kex && !server;
	char list[LIST_MAX + 64];

	(void)snprintf(list, sizeof list, "%s" NEVER "%s",
	    given(o->ciphers) ? o->ciphers
	    : server          ? SERVER_CIPHERS
			      : CLIENT_CIPHERS,
	    rsa ? "" : ":!kRSA");
	if (SSL_CTX_set_cipher_list(ctx, list) != 1 ||
	    (o->min_version == TLS_V12 && given(o->ciphers) && usable(ctx, false) == 0))
		return err_set(e, EINVAL,
		    "ciphers: nothing of \"%s\" can be used: forward secrecy and a strength of 112 "
		    "bits are wanted",
		    o->ciphers);
	if (!given(o->ciphersuites))
		return 0;
	if (SSL_CTX_set_ciphersuites(ctx, o->ciphersuites) != 1 || usable(ctx, true) == 0)
		return err_set(
		    e, EINVAL, "ciphersuites: nothing of \"%s\" can be used", o->ciphersuites);
	return 0;
}

static int
set_groups(SSL_CTX *ctx, bool server, const struct tls_options *o, struct err *e)
{
	if (given(o->groups)) {
		if (SSL_CTX_set1_groups_list(ctx, o->groups) != 1)
			return err_set(e, EINVAL, "groups: \"%s\": %s", o->groups, tls_reason());
	} else if (server && SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384:P-521") != 1) {
		return err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
	}
	/* For DHE, which is used where somebody asks for it only. */
	if (server && given(o->ciphers))
		(void)SSL_CTX_set_dh_auto(ctx, 1);
	return 0;
}

/* --- ALPN (RFC 7301) --- */

struct alpn {
	size_t n;
	uint8_t wire[]; /* each with its length in front */
};

static void
free_alpn(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	free(p);
}

static int
alpn_index(void)
{
	static int idx = -1;

	if (idx == -1)
		idx = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_alpn);
	return idx;
}

static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *theirs, unsigned n, void *arg)
{
	const struct alpn *a = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, outlen, a->wire, (unsigned)a->n, theirs, n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol (3.2) */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

bool
tls_speaks(const SSL_CTX *ctx, const uint8_t *protocol, size_t n)
{
	const struct alpn *a = SSL_CTX_get_ex_data(ctx, alpn_index());
	size_t at;

	if (a == NULL)
		return false;
	for (at = 0; at < a->n; at += 1 + (size_t)a->wire[at])
		if (a->wire[at] == n && memcmp(a->wire + at + 1, protocol, n) == 0)
			return true;
	return false;
}

static int
put_alpn(struct buf *b, const struct tls_options *o, struct err *e)
{
	size_t i, n;

	for (i = 0; i < o->nalpn; i++) {
		n = strlen(o->alpn[i]);
		if (n == 0 || n > 255)
			return err_set(e, EINVAL, "alpn: \"%.40s\": a protocol has 1 to 255 octets",
			    o->alpn[i]);
		if (buf_putc(b, (uint8_t)n) == -1 || buf_put(b, o->alpn[i], n) == -1)
			return err_set(
			    e, EINVAL, "alpn: more than %d octets of protocols", ALPN_MAX);
	}
	return 0;
}

static int
set_alpn(SSL_CTX *ctx, bool server, const struct tls_options *o, struct err *e)
{
	struct alpn *a = NULL;
	struct buf b;
	int ret = -1;

	if (o->nalpn == 0)
		return 0;
	buf_init(&b, ALPN_MAX);
	if (put_alpn(&b, o, e) == -1)
		goto out;
	if ((a = malloc(sizeof *a + buf_len(&b))) == NULL) {
		(void)err_sys(e, "memory");
		goto out;
	}
	a->n = buf_len(&b);
	memcpy(a->wire, buf_ptr(&b), a->n);
	if (SSL_CTX_set_ex_data(ctx, alpn_index(), a) != 1) {
		free(a);
		(void)err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
		goto out;
	}
	if (server)
		SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, a);
	else if (SSL_CTX_set_alpn_protos(ctx, a->wire, (unsigned)a->n) != 0) {
		(void)err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
		goto out;
	}
	ret = 0;
out:
	buf_free(&b);
	return ret;
}

/* --- contexts --- */

SSL_CTX *
tls_new_ctx(bool server, const struct tls_options *o, struct err *e)
{
	SSL_CTX *ctx;

	tls_init();
	if (check_items(o, e) == -1)
		return NULL;
	ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx,
			       o->min_version == TLS_V13 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1) {
		(void)err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
		goto fail;
	}
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (set_ciphers(ctx, server, o, e) == 0 && set_groups(ctx, server, o, e) == 0 &&
	    set_alpn(ctx, server, o, e) == 0)
		return ctx;
fail:
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return NULL;
}

int
tls_options_check(const struct tls_options *o, struct err *e)
{
	SSL_CTX *ctx = tls_new_ctx(true, o, e);

	if (ctx == NULL)
		return -1;
	SSL_CTX_free(ctx);
	return 0;
}
