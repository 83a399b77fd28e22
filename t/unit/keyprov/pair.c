#include "t/unit/keyprov/pair.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/pem.h>

#include "base/clock.h"
#include "net/tls.h"
#include "t/unit/unit.h"

static void
on_readable(struct conn *c, void *arg)
{
	struct pair *p = arg;
	const uint8_t *in;
	size_t n;

	in = conn_in(c, &n);
	ck_assert(p->echo);
	ck_assert_int_eq(conn_write(c, in, n), 0);
	conn_consume(c, n);
	if (c == p->ours.c)
		p->rounds++;
}

static struct side *
side(struct pair *p, const struct conn *c)
{
	return c == p->ours.c ? &p->ours : &p->theirs;
}

static void
on_secured(struct conn *c, void *arg)
{
	side(arg, c)->secured++;
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	struct side *s = side(arg, c);

	s->closed++;
	s->why = why;
	(void)snprintf(s->text, sizeof s->text, "%s", text);
	/* As owners do: the other side hears of it. */
	conn_free(c);
	s->c = NULL;
}

static const struct conn_handlers handlers = {
    .readable = on_readable, .secured = on_secured, .closed = on_closed};

static struct evp_pkey_st *
bind_remote(struct x509_st *x, void *arg, struct err *e)
{
	const struct cert *c = arg;

	(void)e;
	ck_assert_int_eq(X509_cmp(x, c->x), 0);
	EVP_PKEY_up_ref(c->remote);
	return c->remote;
}

static char *
pem(const struct cert *c, size_t *n)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text, *copy;

	ck_assert_int_eq(PEM_write_bio_X509(b, c->x), 1);
	*n = (size_t)BIO_get_mem_data(b, &text);
	copy = malloc(*n);
	memcpy(copy, text, *n);
	BIO_free(b);
	return copy;
}

SSL_CTX *
pair_server(const struct cert *c)
{
	struct err e;
	size_t n;
	char *text = pem(c, &n);
	struct tls_cert *own =
	    tls_cert_new(text, n, false, "gw.pem", bind_remote, (void *)(uintptr_t)c, &e);
	struct tls_server_options o = {.certs = &own, .ncerts = 1, .context = "test"};
	SSL_CTX *ctx;

	ck_assert_msg(own != NULL, "%s", e.text);
	ctx = tls_server_ctx(&o, &e);
	ck_assert_msg(ctx != NULL, "%s", e.text);
	tls_cert_free(own);
	free(text);
	return ctx;
}

SSL_CTX *
pair_client(const struct cert *c, int version, const char *sigalgs)
{
	struct err e;
	size_t n;
	char *text = pem(c, &n);
	SSL_CTX *ctx = tls_client_ctx(&(struct tls_options){0}, text, n, "ca.pem", &e);

	ck_assert_msg(ctx != NULL, "%s", e.text);
	free(text);
	if (version != 0) {
		ck_assert_int_eq(SSL_CTX_set_min_proto_version(ctx, version), 1);
		ck_assert_int_eq(SSL_CTX_set_max_proto_version(ctx, version), 1);
	}
	if (sigalgs != NULL)
		ck_assert_int_eq(SSL_CTX_set1_sigalgs_list(ctx, sigalgs), 1);
	return ctx;
}

void
pair_open(struct pair *p, unsigned total_ms)
{
	struct conn_limits limits = {.in_max = 4096, .out_max = 65536, .out_low = 1024};
	int sv[2];

	memset(p, 0, sizeof *p);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	p->theirs.c = conn_new(holder.base, sv[1], &limits, &handlers, p);
	limits.total_ms = total_ms;
	p->ours.c = conn_new(holder.base, sv[0], &limits, &handlers, p);
	ck_assert(p->ours.c != NULL && p->theirs.c != NULL);
}

void
pair_tls(struct pair *p, SSL_CTX *server, SSL_CTX *client)
{
	static const struct conn_peer peer = {.name = "mail.example.org", .verify = CONN_VERIFY_CA};
	struct err e;

	ck_assert_int_eq(conn_accept_tls(p->ours.c, server, false, &e), 0);
	ck_assert_int_eq(conn_start_tls(p->theirs.c, client, &peer, &e), 0);
}

void
pair_echo(struct pair *p)
{
	p->echo = true;
	ck_assert_int_eq(conn_puts(p->ours.c, "ping\r\n"), 0);
}

void
pair_close(struct pair *p)
{
	conn_free(p->ours.c);
	conn_free(p->theirs.c);
	p->ours.c = p->theirs.c = NULL;
}

static void
turn(void)
{
	static const struct timeval longest = {0, 20000};

	(void)event_base_loopexit(holder.base, &longest);
	(void)event_base_loop(holder.base, EVLOOP_ONCE);
}

void
pair_until(const unsigned *n, unsigned want)
{
	uint64_t end = clock_ms() + 50000;

	while (*n < want) {
		ck_assert_uint_lt(clock_ms(), end);
		turn();
	}
}

bool
pair_shaken(struct pair *p)
{
	uint64_t end = clock_ms() + 50000;

	while (p->ours.secured + p->ours.closed == 0 || p->theirs.secured + p->theirs.closed == 0) {
		ck_assert_uint_lt(clock_ms(), end);
		turn();
	}
	return p->ours.secured == 1 && p->theirs.secured == 1;
}
