/* What a certificate of the other side says: in texts for people, and whose it is. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/conn_int.h"
#include "net/sni.h"

#define SEEN_MAX 4 /* names of a certificate that a message shows */
#define ALTS_MAX 100 /* names of a server's certificate that are given out */
#define ADDRS_MAX 32 /* addresses that one certificate may be good for */
#define ADDR_MAX 254 /* octets of one (RFC 5321, 4.5.3.1.3, without the brackets) */

/* Append one name that a stranger chose. */
static void
add_name(char *text, size_t textsz, unsigned nth, const void *p, int n)
{
	char safe[128];
	size_t len = strlen(text);

	(void)log_escape(safe, sizeof safe, p, n > 0 ? (size_t)n : 0);
	(void)snprintf(text + len, textsz - len, "%s%s", nth > 0 ? ", " : "", safe);
}

static unsigned
add_alt_names(char *text, size_t textsz, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	unsigned seen = 0;
	const GENERAL_NAME *g;
	char addr[INET6_ADDRSTRLEN];
	int i, n;

	for (i = 0; i < sk_GENERAL_NAME_num(names) && seen < SEEN_MAX; i++) {
		g = sk_GENERAL_NAME_value(names, i);
		if (g->type == GEN_DNS) {
			add_name(text, textsz, seen++, ASN1_STRING_get0_data(g->d.dNSName),
			    ASN1_STRING_length(g->d.dNSName));
		} else if (g->type == GEN_IPADD) {
			n = ASN1_STRING_length(g->d.iPAddress);
			if ((n == 4 || n == 16) &&
			    inet_ntop(n == 4 ? AF_INET : AF_INET6,
				ASN1_STRING_get0_data(g->d.iPAddress), addr, sizeof addr) != NULL)
				add_name(text, textsz, seen++, addr, (int)strlen(addr));
		}
	}
	if (i < sk_GENERAL_NAME_num(names)) {
		n = (int)strlen(text);
		(void)snprintf(text + n, textsz - (size_t)n, ", ...");
	}
	GENERAL_NAMES_free(names);
	return seen;
}

/* Which names a certificate is good for: "a.example, b.example". */
static void
seen_names(char *text, size_t textsz, X509 *cert)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	X509_NAME_ENTRY *entry;
	ASN1_STRING *cn;
	int at;

	text[0] = '\0';
	if (add_alt_names(text, textsz, cert) > 0)
		return;
	if ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)) >= 0 &&
	    (entry = X509_NAME_get_entry(subject, at)) != NULL &&
	    (cn = X509_NAME_ENTRY_get_data(entry)) != NULL)
		add_name(text, textsz, 0, ASN1_STRING_get0_data(cn), ASN1_STRING_length(cn));
	else
		(void)snprintf(text, textsz, "no name at all");
}

/* "2026-01-31 23:59 UTC", or "?" for what is no time. */
static const char *
time_text(char *out, size_t outsz, const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(out, outsz, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		(void)snprintf(out, outsz, "?");
	return out;
}

static void
certificate_text(struct conn_tls *t, X509 *cert, int error, int depth)
{
	char seen[200], when[32];
	const char *whose = depth > 0 ? " (of an issuer)" : "";

	switch (error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		seen_names(seen, sizeof seen, cert);
		conn_tls_say_bad(
		    t, "certificate of %s: name does not match: seen %s", t->name, seen);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		conn_tls_say_bad(t, "certificate of %s: expired on %s%s", t->name,
		    time_text(when, sizeof when, X509_get0_notAfter(cert)), whose);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		conn_tls_say_bad(t, "certificate of %s: not valid before %s%s", t->name,
		    time_text(when, sizeof when, X509_get0_notBefore(cert)), whose);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		conn_tls_say_bad(t,
		    "certificate of %s: self-signed%s, and not among the trusted ones", t->name,
		    depth > 0 ? " issuer" : "");
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		conn_tls_say_bad(
		    t, "certificate of %s: its issuer is not among the trusted ones", t->name);
		break;
	case X509_V_ERR_DANE_NO_MATCH:
		conn_tls_say_bad(
		    t, "certificate of %s: it fits none of the TLSA records in DNS", t->name);
		break;
	default:
		conn_tls_say_bad(t, "certificate of %s: %s%s", t->name,
		    X509_verify_cert_error_string(error), whose);
	}
}

int
conn_tls_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct conn_tls *t = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (ok)
		return 1;
	if (cert == NULL)
		cert = X509_STORE_CTX_get0_cert(store);
	certificate_text(
	    t, cert, X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_error_depth(store));
	return 0;
}

/* --- names of a server --- */

/* What is no host name is left out. */
static void
put_alt_name(struct buf *b, unsigned *n, const GENERAL_NAME *g)
{
	char name[SNI_NAME_MAX + 1];
	int len;

	if (g->type == GEN_DNS) {
		len = ASN1_STRING_length(g->d.dNSName);
		if (len <= 0 ||
		    sni_host_name(ASN1_STRING_get0_data(g->d.dNSName), (size_t)len, 1, name) == -1)
			return;
	} else if (g->type == GEN_IPADD) {
		len = ASN1_STRING_length(g->d.iPAddress);
		if ((len != 4 && len != 16) ||
		    inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(g->d.iPAddress),
			name, sizeof name) == NULL)
			return;
	} else {
		return;
	}
	if (buf_put(b, name, strlen(name) + 1) == 0)
		++*n;
}

char *
conn_tls_alt_names(X509 *cert)
{
	GENERAL_NAMES *names = NULL;
	unsigned n = 0;
	char *all = NULL;
	struct buf b;
	int i;

	if (cert != NULL)
		names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	buf_init(&b, ALTS_MAX * (SNI_NAME_MAX + 1) + 1);
	for (i = 0; i < sk_GENERAL_NAME_num(names) && n < ALTS_MAX; i++)
		put_alt_name(&b, &n, sk_GENERAL_NAME_value(names, i));
	if (buf_putc(&b, 0) == 0 && (all = malloc(buf_len(&b))) != NULL)
		memcpy(all, buf_ptr(&b), buf_len(&b));
	buf_free(&b);
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return all;
}

/* --- addresses of a client --- */

/* One "@" between two parts, and octets that an address without quotes can have. */
static bool
is_addr(const unsigned char *p, int n)
{
	const unsigned char *at = NULL;
	int i;

	if (n < 3 || n > ADDR_MAX)
		return false;
	for (i = 0; i < n; i++) {
		if (p[i] <= ' ' || p[i] >= 0x7f || strchr("\"(),:;<>[]\\", p[i]) != NULL)
			return false;
		if (p[i] == '@' && at != NULL)
			return false;
		if (p[i] == '@')
			at = p + i;
	}
	return at != NULL && at != p && at != p + n - 1;
}

/* The certificate that was shown and verified, or NULL. */
static X509 *
verified(const struct conn_tls *t)
{
	if ((SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER) == 0 ||
	    SSL_get_verify_result(t->ssl) != X509_V_OK)
		return NULL;
	return SSL_get0_peer_certificate(t->ssl);
}

/* Without memory there are no addresses, and whoever needs one is refused. */
void
conn_tls_note_addrs(struct conn_tls *t)
{
	X509 *cert = verified(t);
	GENERAL_NAMES *names;
	const GENERAL_NAME *g;
	struct buf b;
	int i, n, seen = 0;

	if (cert == NULL)
		return;
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	buf_init(&b, ADDRS_MAX * (ADDR_MAX + 1) + 1);
	for (i = 0; i < sk_GENERAL_NAME_num(names) && seen < ADDRS_MAX; i++) {
		g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_EMAIL)
			continue;
		n = ASN1_STRING_length(g->d.rfc822Name);
		if (!is_addr(ASN1_STRING_get0_data(g->d.rfc822Name), n))
			continue;
		if (buf_put(&b, ASN1_STRING_get0_data(g->d.rfc822Name), (size_t)n) == -1 ||
		    buf_putc(&b, 0) == -1)
			goto out;
		seen++;
	}
	if (seen > 0 && buf_putc(&b, 0) == 0 && (t->addrs = malloc(buf_len(&b))) != NULL)
		memcpy(t->addrs, buf_ptr(&b), buf_len(&b));
out:
	buf_free(&b);
	GENERAL_NAMES_free(names);
}

const char *
conn_tls_client_addr(const struct conn *c, unsigned i)
{
	const char *p = c->tls != NULL && c->tls->state == TLS_OPEN ? c->tls->addrs : NULL;

	for (; p != NULL && *p != '\0'; p += strlen(p) + 1)
		if (i-- == 0)
			return p;
	return NULL;
}

int
conn_tls_client_prints(const struct conn *c, uint8_t cert[32], uint8_t key[32])
{
	X509 *x = NULL;
	uint8_t *der = NULL;
	int n, ok;

	/* A server's certificate is judged in other ways. */
	if (c->tls != NULL && c->tls->state == TLS_OPEN && c->tls->client == NULL)
		x = verified(c->tls);
	if (x == NULL)
		return -1;
	ok = X509_digest(x, EVP_sha256(), cert, NULL) == 1;
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	ok = ok && n > 0 && EVP_Digest(der, (size_t)n, key, NULL, EVP_sha256(), NULL) == 1;
	OPENSSL_free(der);
	ERR_clear_error();
	return ok ? 0 : -1;
}
