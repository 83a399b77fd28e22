/* Session tickets: a session of TLS 1.3 goes on in another connection without a signature. */
#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "net/tls_int.h"

#define TICKET_S 7200 /* seconds that a ticket is good for, while its key is there */

static struct {
	struct tls_ticket_key v[TLS_TICKET_KEYS_MAX];
	size_t n;
} keys;
static EVP_CIPHER *cipher; /* once, instead of looked up for each ticket */

void
tls_ticket_keys(const struct tls_ticket_key *k, size_t n)
{
	tls_init();
	if (cipher == NULL)
		cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (n > TLS_TICKET_KEYS_MAX)
		n = TLS_TICKET_KEYS_MAX;
	explicit_bzero(&keys, sizeof keys);
	if (cipher == NULL)
		return;
	if (n > 0)
		memcpy(keys.v, k, n * sizeof *k);
	keys.n = n;
}

static int
set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *k)
{
	OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, k->hmac, sizeof k->hmac),
	    OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0), OSSL_PARAM_END};

	return EVP_MAC_CTX_set_params(mac, params);
}

static struct tls_ticket_key *
find_key(const unsigned char name[16])
{
	size_t i;

	for (i = 0; i < keys.n; i++)
		if (memcmp(keys.v[i].name, name, sizeof keys.v[i].name) == 0)
			return &keys.v[i];
	return NULL;
}

/*
 * SSL_CTX_set_tlsext_ticket_key_evp_cb.  What is resumed gets a new ticket, whatever key the old
 * one was made with: a client should not show the same twice (RFC 8446, C.4).
 */
static int
on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *ctx,
    EVP_MAC_CTX *mac, int making)
{
	struct tls_ticket_key *k = making ? &keys.v[0] : find_key(name);

	if (keys.n == 0 || k == NULL || SSL_version(ssl) != TLS1_3_VERSION)
		return 0;
	if (set_mac(mac, k) != 1)
		return -1;
	if (!making)
		return EVP_DecryptInit_ex2(ctx, cipher, k->aes, iv, NULL) == 1 ? 2 : -1;
	memcpy(name, k->name, sizeof k->name);
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher)) != 1 ||
	    EVP_EncryptInit_ex2(ctx, cipher, k->aes, iv, NULL) != 1)
		return -1;
	return 1;
}

/* Whoever gets hold of a ticket's key could read what TLS 1.2 had encrypted long before. */
static int
not_resumable(SSL *ssl, int forward_secure)
{
	(void)forward_secure;
	return SSL_version(ssl) != TLS1_3_VERSION;
}

int
tls_tickets_setup(SSL_CTX *ctx, bool on, const char *context, struct err *e)
{
	uint8_t id[SHA256_DIGEST_LENGTH];
	unsigned n = sizeof id;

	if (!on) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		(void)SSL_CTX_set_num_tickets(ctx, 0);
		return 0;
	}
	if (EVP_Digest(context, strlen(context), id, &n, EVP_sha256(), NULL) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, id, n) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 1) != 1 ||
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1)
		return err_set(e, ENOMEM, "TLS cannot be set up: %s", tls_reason());
	(void)SSL_CTX_set_timeout(ctx, TICKET_S);
	SSL_CTX_set_not_resumable_session_callback(ctx, not_resumable);
	return 0;
}

void
tls_tickets_check(SSL *ssl)
{
	if (keys.n > 0)
		return;
	SSL_set_options(ssl, SSL_OP_NO_TICKET);
	(void)SSL_set_num_tickets(ssl, 0);
}
