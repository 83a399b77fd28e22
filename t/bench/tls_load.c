/*
 * Clients that shake hands, read one line and go:
 *
 *	tls_load PORT AT_ONCE clear|full|resumed
 *
 * The command (see load.h) is how many of them are to come.  Handshakes are of TLS 1.3 with X25519
 * and AES-256.  With full none resumes a session; the signature is verified, the chain is not. With
 * resumed each goes on with the ticket that came last (psk_dhe_ke), which each of AT_ONCE got in a
 * full handshake before what is measured; one that the server would not resume ends the program.
 * The line must be an SMTP greeting: when it is there, the server has seen the client's Finished.
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
	SSL_SESSION *ticket; /* to resume with; NULL: a full handshake */
	int resumes;
	char line[512];
	size_t have;
};

static unsigned port, at_once;
static SSL_CTX *ctx; /* NULL: in clear */
static int resume;
static struct client clients[AT_ONCE_MAX];
static int ep;

static int
any_chain(X509_STORE_CTX *chain, void *arg)
{
	(void)chain;
	(void)arg;
	return 1;
}

/* What a server sends behind its handshake; the newest counts (RFC 8446, C.4). */
static int
keep_ticket(SSL *ssl, SSL_SESSION *ticket)
{
	struct client *c = SSL_get_app_data(ssl);

	SSL_SESSION_free(c->ticket);
	c->ticket = ticket;
	return 1; /* it is ours */
}

static void
set_up_tls(void)
{
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") != 1 ||
	    SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
		errx(1, "OpenSSL cannot be set up");
	(void)SSL_CTX_set_session_cache_mode(
	    ctx, resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
	if (resume)
		SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
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
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	if (c->ticket != NULL && SSL_set_session(c->ssl, c->ticket) != 1)
		errx(1, "a ticket of no use");
	c->resumes = c->ticket != NULL;
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
			if (memcmp(c->line, "220 ", 4) != 0)
				errx(1, "no greeting: %.*s", (int)c->have, c->line);
			if (c->ssl != NULL && SSL_session_reused(c->ssl) != c->resumes)
				errx(1, "the session is %sresumed", c->resumes ? "not " : "");
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
	unsigned count, i;
	double start;

	if (argc != 4 || (strcmp(argv[3], "clear") != 0 && strcmp(argv[3], "full") != 0 &&
			     strcmp(argv[3], "resumed") != 0))
		errx(64, "usage: tls_load PORT AT_ONCE clear|full|resumed");
	port = load_number(argv[1], 1, 65535);
	at_once = load_number(argv[2], 1, AT_ONCE_MAX);
	resume = *argv[3] == 'r';
	if (*argv[3] != 'c')
		set_up_tls();
	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		err(1, "epoll");
	for (i = 0; i < AT_ONCE_MAX; i++)
		clients[i].fd = -1;
	while (load_command(command, sizeof command)) {
		count = load_number(command, 1, COUNT_MAX);
		greet(at_once);
		for (i = 0; resume && i < at_once; i++)
			if (clients[i].ticket == NULL)
				errx(1, "the server gives no tickets");
		load_ready();
		start = load_now();
		greet(count);
		load_took(load_now() - start, count);
	}
	for (i = 0; i < at_once; i++)
		SSL_SESSION_free(clients[i].ticket);
	SSL_CTX_free(ctx);
	return 0;
}
