#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "base/netaddr.h"
#include "net/conn_int.h"

/*
 * TLS of a connection.  The handshake is a step that is repeated until it is done, so that it can
 * wait for more than the socket: an acceptor whose private key is elsewhere (SSL_MODE_ASYNC) adds
 * one more way to wait.  ERR_clear_error stands before every SSL call, because the error queue is
 * the thread's and not the connection's.
 */

#define SEEN_MAX 4 /* names of a certificate that a message shows */

/* --- the socket under OpenSSL: send without SIGPIPE, and the end of file noted --- */

static int
sock_read(BIO *b, char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	while ((got = recv(c->fd, p, (size_t)n, 0)) == -1 && errno == EINTR)
		;
	if (got == 0)
		c->tls->raw_eof = true;
	if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(b);
	return (int)got;
}

static int
sock_write(BIO *b, const char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t put;

	BIO_clear_retry_flags(b);
	while ((put = send(c->fd, p, (size_t)n, MSG_NOSIGNAL)) == -1 && errno == EINTR)
		;
	if (put == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
		BIO_set_retry_write(b);
	return (int)put;
}

static long
sock_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	struct conn *c = BIO_get_data(b);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_FLUSH)
		return 1;
	if (cmd == BIO_CTRL_EOF)
		return c->tls->raw_eof;
	return 0;
}

static BIO *
sock_bio(struct conn *c)
{
	static BIO_METHOD *m; /* one per process, kept */
	BIO *b;

	if (m == NULL) {
		m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
		if (m == NULL || !BIO_meth_set_read(m, sock_read) ||
		    !BIO_meth_set_write(m, sock_write) || !BIO_meth_set_ctrl(m, sock_ctrl))
			return NULL;
	}
	if ((b = BIO_new(m)) == NULL)
		return NULL;
	BIO_set_data(b, c);
	BIO_set_init(b, 1);
	return b;
}

/* --- texts for people --- */

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
		(void)snprintf(t->text, sizeof t->text,
		    "certificate of %s: name does not match: seen %s", t->name, seen);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		(void)snprintf(t->text, sizeof t->text, "certificate of %s: expired on %s%s",
		    t->name, time_text(when, sizeof when, X509_get0_notAfter(cert)), whose);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		(void)snprintf(t->text, sizeof t->text, "certificate of %s: not valid before %s%s",
		    t->name, time_text(when, sizeof when, X509_get0_notBefore(cert)), whose);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		(void)snprintf(t->text, sizeof t->text,
		    "certificate of %s: self-signed%s, and not among the trusted ones", t->name,
		    depth > 0 ? " issuer" : "");
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		(void)snprintf(t->text, sizeof t->text,
		    "certificate of %s: its issuer is not among the trusted ones", t->name);
		break;
	default:
		(void)snprintf(t->text, sizeof t->text, "certificate of %s: %s%s", t->name,
		    X509_verify_cert_error_string(error), whose);
	}
}

/* Called for every certificate of the chain; the first bad one ends the handshake. */
static int
on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct conn_tls *t = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (ok)
		return 1;
	if (cert == NULL)
		cert = X509_STORE_CTX_get0_cert(store);
	if (t->text[0] == '\0')
		certificate_text(t, cert, X509_STORE_CTX_get_error(store),
		    X509_STORE_CTX_get_error_depth(store));
	return 0;
}

/* What the last SSL call failed with. */
static void
failure_text(struct conn_tls *t, const char *when)
{
	unsigned long e = ERR_peek_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;
	const char *hint = "";

	if (t->text[0] != '\0')
		return; /* the certificate; what follows from it says less */
	if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_WRONG_VERSION_NUMBER)
		hint = " (is there TLS on that port?)";
	if (t->raw_eof && e == 0)
		reason = "connection closed by the peer";
	(void)snprintf(t->text, sizeof t->text, "TLS %s with %s: %s%s", when, t->name,
	    reason != NULL ? reason : "failed", hint);
}

static int
fail(struct conn *c, const char *when)
{
	struct conn_tls *t = c->tls;

	failure_text(t, when);
	ERR_clear_error();
	t->state = TLS_BROKEN;
	t->wants_write = t->read_wants_write = false;
	conn_ended(c, CONN_TLS_FAILED, t->text);
	return IO_END;
}

/* --- steps --- */

int
conn_tls_handshake(struct conn *c)
{
	struct conn_tls *t = c->tls;
	int ret, err;

	ERR_clear_error();
	errno = 0;
	t->wants_write = false;
	if ((ret = SSL_do_handshake(t->ssl)) == 1) {
		t->state = TLS_OPEN;
		(void)snprintf(t->info, sizeof t->info, "%s with cipher %s (%d bits)",
		    SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl),
		    SSL_get_cipher_bits(t->ssl, NULL));
		return 1;
	}
	switch (err = SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		t->wants_write = err == SSL_ERROR_WANT_WRITE;
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		t->raw_eof = true;
		break;
	case SSL_ERROR_SYSCALL:
		if (errno != 0)
			(void)snprintf(t->text, sizeof t->text, "TLS handshake with %s: %s",
			    t->name, strerrordesc_np(errno));
		break;
	default:
		break;
	}
	return fail(c, "handshake");
}

ssize_t
conn_tls_read(struct conn *c, uint8_t *p, size_t n)
{
	struct conn_tls *t = c->tls;
	size_t got;
	int err;

	ERR_clear_error();
	errno = 0;
	t->read_wants_write = false;
	if (SSL_read_ex(t->ssl, p, n, &got) == 1)
		return (ssize_t)got;
	switch (err = SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		t->read_wants_write = err == SSL_ERROR_WANT_WRITE;
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		if (t->raw_eof)
			conn_ended(c, CONN_TRUNCATED, "connection cut without the end of TLS");
		else
			conn_ended(c, CONN_EOF, "connection closed by the peer");
		return IO_END;
	case SSL_ERROR_SYSCALL:
		t->state = TLS_BROKEN;
		conn_ended(c, CONN_LOST, errno != 0 ? strerrordesc_np(errno) : "TLS failed");
		return IO_END;
	default:
		return fail(c, "session");
	}
}

ssize_t
conn_tls_write(struct conn *c, const uint8_t *p, size_t n)
{
	struct conn_tls *t = c->tls;
	size_t put;

	ERR_clear_error();
	errno = 0;
	if (SSL_write_ex(t->ssl, p, n, &put) == 1)
		return (ssize_t)put;
	switch (SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_READ: /* read event and idle clock take care of it */
	case SSL_ERROR_WANT_WRITE:
		return IO_AGAIN;
	case SSL_ERROR_SYSCALL:
		t->state = TLS_BROKEN;
		conn_ended(c, CONN_LOST, errno != 0 ? strerrordesc_np(errno) : "TLS failed");
		return IO_END;
	default:
		return fail(c, "session");
	}
}

int
conn_tls_shutdown(struct conn *c)
{
	struct conn_tls *t = c->tls;
	int ret;

	if (t->state != TLS_OPEN)
		return 0;
	ERR_clear_error();
	ret = SSL_shutdown(t->ssl);
	if (ret < 0 && SSL_get_error(t->ssl, ret) == SSL_ERROR_WANT_WRITE)
		return IO_AGAIN;
	ERR_clear_error();
	t->state = TLS_BROKEN;
	return 0;
}

void
conn_tls_free(struct conn_tls *t)
{
	if (t == NULL)
		return;
	ERR_clear_error();
	SSL_free(t->ssl);
	ERR_clear_error();
	free(t);
}

bool
conn_is_tls(const struct conn *c)
{
	return c->tls != NULL && c->tls->state >= TLS_OPEN && c->tls->info[0] != '\0';
}

const char *
conn_tls_text(const struct conn *c)
{
	return c->tls != NULL ? c->tls->info : "";
}

/* --- the beginning --- */

/* Expect name, DNS or address, in the certificate; 0 or -1. */
static int
expect_name(SSL *ssl, const char *name, bool numeric, enum conn_verify verify)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (!numeric && SSL_set_tlsext_host_name(ssl, name) != 1)
		return -1;
	if (verify == CONN_VERIFY_NONE) {
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (numeric)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 ? 0 : -1;
	return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 ? 0 : -1;
}

static struct conn_tls *
tls_new(struct conn *c, SSL_CTX *ctx, const char *name)
{
	struct conn_tls *t;
	BIO *b;

	if ((t = calloc(1, sizeof *t)) == NULL)
		return NULL;
	(void)snprintf(t->name, sizeof t->name, "%s", name);
	if ((t->ssl = SSL_new(ctx)) == NULL || (b = sock_bio(c)) == NULL) {
		conn_tls_free(t);
		return NULL;
	}
	SSL_set_bio(t->ssl, b, b);
	SSL_set_app_data(t->ssl, t);
	SSL_set_mode(t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				 SSL_MODE_RELEASE_BUFFERS);
	/* An end of file without close_notify is told apart by raw_eof, and leaves SSL usable. */
	SSL_set_options(t->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
	return t;
}

int
conn_start_tls(
    struct conn *c, SSL_CTX *ctx, const char *name, enum conn_verify verify, struct err *e)
{
	struct netaddr addr;
	struct conn_tls *t;
	bool numeric;
	char host[256];
	size_t n = strlen(name);

	if (c->tls != NULL)
		return err_set(e, EALREADY, "TLS was started before");
	if (n > 0 && n < sizeof host && name[n - 1] == '.')
		n--; /* the root's dot is in no certificate */
	if (n == 0 || n >= sizeof host)
		return err_set(e, EINVAL, "TLS needs a name of 1 to 255 octets to look for");
	(void)snprintf(host, sizeof host, "%.*s", (int)n, name);
	if (buf_len(&c->in) > 0)
		return err_set(e, EPROTO,
		    "%s sent %zu octets in clear where TLS had to begin: somebody may have put "
		    "them in",
		    host, buf_len(&c->in));
	if (c->ended)
		return err_set(e, EPIPE, "connection closed before TLS began");
	numeric = netaddr_parse_host(host, &addr) == 0;
	if ((t = tls_new(c, ctx, host)) == NULL ||
	    expect_name(t->ssl, host, numeric, verify) == -1) {
		conn_tls_free(t);
		ERR_clear_error();
		return err_set(e, ENOMEM, "TLS with %s: cannot be set up", host);
	}
	SSL_set_connect_state(t->ssl);
	t->clear = buf_len(&c->out);
	c->tls = t;
	conn_kick(c);
	return 0;
}
