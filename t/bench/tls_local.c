/*
 * lib/net as a server with the private keys in its own process: what TLS would cost the gateway if
 * cryptod were not asked.
 *
 *	tls_local PORT [PORT CERTIFICATE KEY]...
 *
 * greets everybody at the first port in clear, at the others behind a handshake, and says no more.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/pem.h>

#include "net/conn.h"
#include "net/tls.h"
#include "t/bench/load.h"

#define PORTS_MAX 8
#define BUFFER_MAX (64 * 1024) /* octets each way, as smtpd has them */
#define IDLE_MS 60000
#define ACCEPT_BURST 64

static struct event_base *base;

static void
greet(struct conn *c, void *arg)
{
	(void)arg;
	if (conn_puts(c, "220 local.test ESMTP\r\n") == -1)
		errx(1, "no memory for a greeting");
}

static void
on_readable(struct conn *c, void *arg)
{
	size_t n;

	(void)arg;
	(void)conn_in(c, &n);
	conn_consume(c, n);
}

static void
on_closed(struct conn *c, enum conn_end why, const char *text, void *arg)
{
	(void)arg;
	if (why == CONN_EOF || why == CONN_TRUNCATED) {
		conn_finish(c);
		return;
	}
	if (why == CONN_TLS_FAILED)
		warnx("%s", text);
	conn_free(c);
}

static const struct conn_handlers handlers = {
    .readable = on_readable, .secured = greet, .closed = on_closed};

static void
on_client(evutil_socket_t listener, short what, void *arg)
{
	const struct conn_limits limits = {.in_max = BUFFER_MAX,
	    .out_max = BUFFER_MAX,
	    .out_low = BUFFER_MAX / 2,
	    .idle_ms = IDLE_MS};
	struct conn *c;
	struct err e;
	int fd, i;

	(void)what;
	for (i = 0; i < ACCEPT_BURST; i++) {
		if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) == -1)
			return;
		if ((c = conn_new(base, fd, &limits, &handlers, NULL)) == NULL)
			err(1, NULL);
		if (arg == NULL)
			greet(c, NULL);
		else if (conn_accept_tls(c, arg, false, &e) == -1)
			errx(1, "%s", e.text);
	}
}

static void
listen_at(const char *port, struct ssl_ctx_st *ctx)
{
	int fd = load_listen(load_number(port, 1, 65535));
	struct event *ev = event_new(base, fd, EV_READ | EV_PERSIST, on_client, ctx);

	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 || ev == NULL || event_add(ev, NULL) == -1)
		errx(1, "port %s: cannot be waited for", port);
}

static struct evp_pkey_st *
read_key(struct x509_st *cert, void *name, struct err *e)
{
	FILE *f = fopen(name, "r");
	EVP_PKEY *key;

	(void)cert;
	if (f == NULL)
		err(1, "%s", (const char *)name);
	if ((key = PEM_read_PrivateKey(f, NULL, NULL, NULL)) == NULL)
		(void)err_set(e, EINVAL, "%s holds no private key", (const char *)name);
	(void)fclose(f);
	return key;
}

static struct ssl_ctx_st *
context(const char *cert, char *key)
{
	static char text[TLS_BUNDLE_MAX];
	FILE *f = fopen(cert, "r");
	struct tls_server_options o = {.ncerts = 1, .context = "bench", .tickets = true};
	struct tls_cert *own;
	struct ssl_ctx_st *ctx;
	struct err e;
	size_t n;

	if (f == NULL)
		err(1, "%s", cert);
	n = fread(text, 1, sizeof text, f);
	(void)fclose(f);
	if ((own = tls_cert_new(text, n, false, cert, read_key, key, &e)) == NULL)
		errx(1, "%s", e.text);
	o.certs = &own;
	if ((ctx = tls_server_ctx(&o, &e)) == NULL)
		errx(1, "%s", e.text);
	tls_cert_free(own);
	return ctx;
}

/* Tickets, as the gateway's clients get them: keys of this process's own. */
static void
give_tickets(void)
{
	struct tls_ticket_key key;

	arc4random_buf(&key, sizeof key);
	tls_ticket_keys(&key, 1);
	explicit_bzero(&key, sizeof key);
}

int
main(int argc, char *argv[])
{
	int i;

	if (argc < 2 || argc > 2 + 3 * PORTS_MAX || argc % 3 != 2)
		errx(64, "usage: tls_local PORT [PORT CERTIFICATE KEY]...");
	if ((base = event_base_new()) == NULL)
		errx(1, "no event loop");
	give_tickets();
	listen_at(argv[1], NULL);
	for (i = 2; i < argc; i += 3)
		listen_at(argv[i], context(argv[i + 1], argv[i + 2]));
	return event_base_dispatch(base) == -1;
}
