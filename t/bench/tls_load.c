/*
 * Clients that shake hands, read one line and go:
 *
 *	tls_load PORT AT_ONCE clear|tls
 *
 * The command (see load.h) is how many of them are to come.  With tls each handshake is a full one
 *of TLS 1.3 with X25519 and AES-256; no session is kept.  The signature is verified, the chain is
 *not. The line must be an SMTP greeting: when it is there, the server has seen the client's
 *Finished.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#include "t/bench/load.h"

#define AT_ONCE_MAX 256
#define COUNT_MAX 1000000
#define STALL_MS 60000

struct client {
	int fd; /* -1: free */
	SSL *ssl; /* NULL in clear */
	char line[512];
	size_t have;
};

static unsigned port, at_once;
static SSL_CTX *ctx; /* NULL: in clear */
static struct client clients[AT_ONCE_MAX];
static int ep;

static int
any_chain(X509_STORE_CTX *chain, void *arg)
{
	(void)chain;
	(void)arg;
	return 1;
}

static void
set_up_tls(void)
{
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") != 1 ||
	    SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
		errx(1, "OpenSSL cannot be set up");
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_cert_verify_callback(ctx, any_chain, NULL);
}

static void
begin(struct client *c)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = c}};

	c->fd = load_connect(port);
	c->have = 0;
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) == -1)
		err(1, "port %u", port);
	if (ctx == NULL)
		return;
	if ((c->ssl = SSL_new(ctx)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		errx(1, "OpenSSL: no memory");
	SSL_set_connect_state(c->ssl);
}

static void
end(struct client *c)
{
	if (c->ssl != NULL) {
		(void)SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		c->ssl = NULL;
	}
	close(c->fd);
	c->fd = -1;
}

/* Octets, or 0: not now. */
static size_t
more(struct client *c, char *p, size_t room)
{
	int n, why;

	if (c->ssl == NULL) {
		n = (int)recv(c->fd, p, room, 0);
		if (n == -1 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			errx(1, "the server has closed the connection");
		return (size_t)n;
	}
	ERR_clear_error();
	if ((n = SSL_read(c->ssl, p, (int)room)) > 0)
		return (size_t)n;
	why = SSL_get_error(c->ssl, n);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return 0;
	ERR_print_errors_fp(stderr);
	errx(1, "TLS has failed (%d)", why);
}

/* Go on; 1 when the greeting is there.  SSL_read shakes hands where that is not done. */
static int
step(struct client *c)
{
	size_t n;

	while ((n = more(c, c->line + c->have, sizeof c->line - c->have)) > 0) {
		c->have += n;
		if (c->line[c->have - 1] == '\n') {
			if (memcmp(c->line, "220 ", 4) != 0 ||
			    (c->ssl != NULL && SSL_session_reused(c->ssl)))
				errx(1, "no greeting: %.*s", (int)c->have, c->line);
			return 1;
		}
		if (c->have == sizeof c->line)
			errx(1, "a greeting without end");
	}
	/* Acknowledged at once: not every server has switched Nagle's algorithm off. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
	return 0;
}

static void
greet(unsigned count)
{
	struct epoll_event ev[AT_ONCE_MAX];
	unsigned begun, done = 0;
	struct client *c;
	int n, i;

	for (begun = 0; begun < at_once && begun < count; begun++)
		begin(&clients[begun]);
	while (done < count) {
		if ((n = epoll_wait(ep, ev, AT_ONCE_MAX, STALL_MS)) == 0)
			errx(1, "nothing moves");
		for (i = 0; i < n; i++) {
			c = ev[i].data.ptr;
			if (c->fd == -1 || !step(c))
				continue;
			end(c);
			done++;
			if (begun < count) {
				begin(c);
				begun++;
			}
		}
	}
}

int
main(int argc, char *argv[])
{
	char command[80];
	unsigned count;
	double start;

	if (argc != 4 || (strcmp(argv[3], "clear") != 0 && strcmp(argv[3], "tls") != 0))
		errx(64, "usage: tls_load PORT AT_ONCE clear|tls");
	port = load_number(argv[1], 1, 65535);
	at_once = load_number(argv[2], 1, AT_ONCE_MAX);
	if (*argv[3] == 't')
		set_up_tls();
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll");
	for (count = 0; count < AT_ONCE_MAX; count++)
		clients[count].fd = -1;
	while (load_command(command, sizeof command)) {
		count = load_number(command, 1, COUNT_MAX);
		greet(at_once);
		load_ready();
		start = load_now();
		greet(count);
		load_took(load_now() - start, count);
	}
	SSL_CTX_free(ctx);
	return 0;
}
