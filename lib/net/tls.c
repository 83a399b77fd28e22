#include "net/tls.h"

#include <errno.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Why OpenSSL failed last, and forget it. */
static const char *
reason(void)
{
	const char *s = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return s != NULL ? s : "unknown reason";
}

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

/*
 * Give every certificate of a PEM text to take, which returns 0 when OpenSSL would not have it.
 * Returns how many there were, or -1.
 */
static int
each_cert(const void *pem, size_t n, const char *name, int (*take)(SSL_CTX *ctx, X509 *cert, int i),
    SSL_CTX *ctx, struct err *e)
{
	BIO *in = NULL;
	unsigned long why;
	X509 *cert;
	int i, ok = 1;

	if (n > TLS_BUNDLE_MAX)
		return err_set(
		    e, EFBIG, "%s: %zu octets; a bundle has at most %d", name, n, TLS_BUNDLE_MAX);
	if ((in = BIO_new_mem_buf(pem, (int)n)) == NULL)
		return err_set(e, ENOMEM, "%s: %s", name, reason());
	for (i = 0; ok; i += ok) {
		ERR_clear_error();
		if ((cert = PEM_read_bio_X509(in, NULL, no_passphrase, NULL)) == NULL)
			break;
		ok = take(ctx, cert, i) == 1;
		X509_free(cert);
	}
	BIO_free(in);
	if (!ok)
		return err_set(e, EINVAL, "%s: certificate %d: %s", name, i + 1, reason());
	why = ERR_peek_last_error();
	if (ERR_GET_LIB(why) != ERR_LIB_PEM || ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
		return err_set(
		    e, EINVAL, "%s: certificate %d cannot be read: %s", name, i + 1, reason());
	ERR_clear_error();
	if (i == 0)
		return err_set(
		    e, EINVAL, "%s: there is no certificate in it (PEM is wanted)", name);
	return i;
}

static int
trust(SSL_CTX *ctx, X509 *cert, int i)
{
	(void)i;
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert);
}

/* What is the same in both directions. */
static SSL_CTX *
new_ctx(const SSL_METHOD *method, const char *ciphers)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, ciphers) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

/* In a jail there is no openssl.cnf, so it must not matter whether there is one outside. */
static void
init(void)
{
	(void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	ERR_clear_error();
}

SSL_CTX *
tls_client_ctx(const void *pem, size_t n, const char *name, struct err *e)
{
	SSL_CTX *ctx;

	init();
	if ((ctx = new_ctx(TLS_client_method(), "HIGH:!aNULL:!eNULL:!kRSA:!PSK:!SRP")) == NULL) {
		(void)err_set(e, ENOMEM, "TLS cannot be set up: %s", reason());
		return NULL;
	}
	if (n > 0 && each_cert(pem, n, name, trust, ctx, e) == -1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* --- as the server --- */

#define CHAIN_MAX 10 /* certificates of ours that are sent to every client */
#define CLIENT_DEPTH 5 /* authorities between a client's certificate and a trusted one */
#define CLIENT_CHAIN_MAX (32 * 1024) /* octets of certificates that a client may send */
#define CLIENT_NAMES_MAX 32 /* authorities that a client is told; of more, it guesses */

static int
add_ours(SSL_CTX *ctx, X509 *cert, int i)
{
	if (i == CHAIN_MAX) {
		ERR_raise(ERR_LIB_SSL, SSL_R_EXCESSIVE_MESSAGE_SIZE);
		return 0;
	}
	return i == 0 ? SSL_CTX_use_certificate(ctx, cert)
		      : (int)SSL_CTX_add1_chain_cert(ctx, cert);
}

static int
trust_clients(SSL_CTX *ctx, X509 *cert, int i)
{
	return trust(ctx, cert, i) == 1 &&
	       (i >= CLIENT_NAMES_MAX || SSL_CTX_add_client_CA(ctx, cert) == 1);
}

static int
ask_for_certificates(SSL_CTX *ctx, const void *ca, size_t n, const char *name, struct err *e)
{
	int sum = each_cert(ca, n, name, trust_clients, ctx, e);

	if (sum == -1)
		return -1;
	if (sum > CLIENT_NAMES_MAX)
		SSL_CTX_set_client_CA_list(ctx, NULL);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(ctx, CLIENT_DEPTH);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX);
	return 0;
}

/*
 * Which signatures the key can make.  In TLS 1.2 an ECDSA key of any curve goes with any hash, but
 * whoever has the key makes those of TLS 1.3 only.  What clients may sign with is not changed.
 */
static const char *
signatures(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "ED25519"))
		return "ed25519";
	if (!EVP_PKEY_is_a(key, "EC"))
		return "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
		       "RSA+SHA256:RSA+SHA384:RSA+SHA512";
	switch (EVP_PKEY_get_bits(key)) {
	case 256:
		return "ECDSA+SHA256";
	case 384:
		return "ECDSA+SHA384";
	default:
		return "ECDSA+SHA512";
	}
}

#define CLIENT_SIGNATURES                                                                          \
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:"  \
	"rsa_pss_rsae_sha512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"            \
	"RSA+SHA256:RSA+SHA384:RSA+SHA512"

static int
bind_key(SSL_CTX *ctx, const char *name, tls_bind bind, void *arg, struct err *e)
{
	struct err why;
	EVP_PKEY *key = bind(SSL_CTX_get0_certificate(ctx), arg, &why);
	int ok;

	if (key == NULL)
		return err_set(e, why.code, "%s: certificate 1: %s", name, why.text);
	ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
	     SSL_CTX_set1_sigalgs_list(ctx, signatures(key)) == 1 &&
	     SSL_CTX_set1_client_sigalgs_list(ctx, CLIENT_SIGNATURES) == 1;
	EVP_PKEY_free(key);
	if (!ok)
		return err_set(e, EINVAL, "%s: certificate 1: %s", name, reason());
	return 0;
}

SSL_CTX *
tls_server_ctx(const void *chain, size_t n, const char *name, const void *client_ca, size_t ca_n,
    const char *ca_name, tls_bind bind, void *arg, struct err *e)
{
	SSL_CTX *ctx;

	init();
	if ((ctx = new_ctx(TLS_server_method(), "ECDHE+AESGCM:ECDHE+CHACHA20:!PSK")) == NULL ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384:P-521") != 1) {
		(void)err_set(e, ENOMEM, "TLS cannot be set up: %s", reason());
		goto fail;
	}
	SSL_CTX_set_security_level(ctx, 2); /* RSA of 2,048 bit, no SHA-1; Debian's default */
	SSL_CTX_set_options(
	    ctx, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* The file is the whole chain: nothing is added from the authorities of the clients. */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
	if (each_cert(chain, n, name, add_ours, ctx, e) == -1 ||
	    bind_key(ctx, name, bind, arg, e) == -1)
		goto fail;
	if (client_ca != NULL && ask_for_certificates(ctx, client_ca, ca_n, ca_name, e) == -1)
		goto fail;
	return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

int64_t
tls_ctx_expires(const SSL_CTX *ctx)
{
	X509 *cert = SSL_CTX_get0_certificate(ctx);
	struct tm tm;

	if (cert == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return 0;
	return timegm(&tm);
}

void
tls_ctx_free(SSL_CTX *ctx)
{
	SSL_CTX_free(ctx);
}
