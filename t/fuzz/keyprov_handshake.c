/*
 * What a client may send where TLS begins: the first octet says how the signature is answered, the
 * rest goes over the wire, in two pieces.  Nobody gets through without keys, and no job is left.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "keyprov/keyprov.h"
#include "net/conn.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define PIECE 60000 /* octets that a socket takes at once */

enum { NOW, LATER, NEVER, FAIL };

static struct event_base *base;
static SSL_CTX *ctx;
static struct keyprov_job *job;
static struct conn *waiter, *ours;
static unsigned how, secured;

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* A DER sequence of two numbers: what such a signature looks like. */
static void
answer(struct keyprov_job *j)
{
	static const uint8_t value[] = {0x30, 6, 2, 1, 1, 2, 1, 1};

	keyprov_finish(j, how == FAIL ? KEYPROV_FAILED : KEYPROV_OK, value, sizeof value);
}

static int
on_sign(struct keyprov_job *j, const uint8_t handle[KEYPROV_HANDLE], uint16_t scheme,
    const uint8_t *data, size_t n, int may_wait, void *arg)
{
	(void)handle;
	(void)data;
	(void)arg;
	must(job == NULL && may_wait && conn_handshaking() == ours);
	must(scheme == 0x0403 && n == 32);
	if (how == NOW) {
		answer(j);
		return 0;
	}
	job = j;
	waiter = ours;
	return 0;
}

static void
on_cancel(struct keyprov_job *j, void *arg)
{
	(void)arg;
	must(j == job);
	job = NULL;
}

static struct evp_pkey_st *
bind_key(struct x509_st *cert, void *arg, struct err *e)
{
	(void)arg;
	return keyprov_key(cert, NULL, e);
}

static void
set_up(void)
{
	static const struct keyprov_ops ops = {.sign = on_sign, .cancel = on_cancel};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *b = BIO_new(BIO_s_mem());
	X509 *x = X509_new();
	struct tls_cert *cert;
	struct err e;
	char *pem;
	long n;

	must(X509_set_pubkey(x, key) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL &&
	     X509_gmtime_adj(X509_getm_notAfter(x), 86400) != NULL &&
	     X509_sign(x, key, EVP_sha256()) > 0 && PEM_write_bio_X509(b, x) == 1);
	n = BIO_get_mem_data(b, &pem);
	must(keyprov_start(&ops, NULL, &e) == 0);
	cert = tls_cert_new(pem, (size_t)n, false, "fuzz", bind_key, NULL, &e);
	must(cert != NULL);
	ctx = tls_server_ctx(
	    &(struct tls_server_options){.certs = &cert, .ncerts = 1, .context = "fuzz"}, &e);
	tls_cert_free(cert);
	base = event_base_new();
	must(ctx != NULL && base != NULL);
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
on_readable(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
	abort();
}

static void
on_secured(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
	secured++;
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	(void)why;
	(void)arg;
	must(c == ours && text != NULL);
	ours = NULL;
	conn_free(c);
}

static void
turns(void)
{
	int i;

	for (i = 0; i < 6; i++) {
		(void)event_base_loop(base, EVLOOP_NONBLOCK);
		if (job == NULL || how == NEVER)
			continue;
		answer(job);
		job = NULL;
		conn_tls_continue(waiter);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct conn_handlers handlers = {
	    .readable = on_readable, .secured = on_secured, .closed = on_closed};
	static const struct conn_limits limits = {.in_max = 4096, .out_max = 65536};
	size_t half;
	struct err e;
	int sv[2];

	if (n < 2 || n > PIECE)
		return 0;
	if (ctx == NULL)
		set_up();
	how = data[0] & 3;
	half = (n - 1) / (1 + (data[0] >> 2) % 4);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
	ours = conn_new(base, sv[0], &limits, &handlers, NULL);
	must(ours != NULL && conn_accept_tls(ours, ctx, true, &e) == 0);
	(void)send(sv[1], data + 1, half, MSG_NOSIGNAL | MSG_DONTWAIT);
	turns();
	(void)send(sv[1], data + 1 + half, n - 1 - half, MSG_NOSIGNAL | MSG_DONTWAIT);
	turns();
	conn_free(ours);
	must(job == NULL && secured == 0 && conn_count() == 0);
	(void)close(sv[1]);
	return 0;
}
