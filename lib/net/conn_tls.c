#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/async.h>
#include <openssl/err.h>

#include "net/conn_int.h"
#include "net/tls.h"

/*
 * TLS of a connection.  The handshake is a step that is repeated until it is done, so that it can
 * wait for more than the socket: an acceptor whose private key is elsewhere (SSL_MODE_ASYNC) adds
 * one more way to wait.  ERR_clear_error stands before every SSL call, because the error queue is
 * the thread's and not the connection's.
 */

/*
 * Octets that one call of OpenSSL may take from the socket: twice a record.  It goes on by itself
 * as long as there are records without data for us (key updates, RFC 8446, 4.6.3), and who sends
 * those without end would have the loop to himself.
 */
#define READ_MAX (32 * 1024)
#define HELD_MAX 4096 /* octets of a ticket; one with more is sent at once */

/* --- the socket under OpenSSL: send without SIGPIPE, and the end of file noted --- */

static int
sock_read(BIO *b, char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	if (c->tls->abandoned)
		return -1;
	if (c->tls->taken >= READ_MAX) {
		BIO_set_retry_read(b); /* others have their turn first: the socket comes again */
		return -1;
	}
	while ((got = recv(c->fd, p, (size_t)n, MSG_DONTWAIT)) == -1 && errno == EINTR)
		;
	if (got > 0)
		c->tls->taken += (size_t)got;
	if (got == 0)
		c->tls->raw_eof = true;
	if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(b);
	return (int)got;
}

/* What is held back, and n octets behind it; as send(2) for the latter. */
static ssize_t
send_behind(struct conn *c, const char *p, size_t n)
{
	struct buf *held = &c->tls->held;
	struct iovec iov[2] = {
	    {(void *)(uintptr_t)buf_ptr(held), buf_len(held)}, {(void *)(uintptr_t)p, n}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t put = sendmsg(c->fd, &m, send_flags(c));

	if (put < (ssize_t)iov[0].iov_len) {
		if (put == -1)
			return -1;
		buf_drain(held, (size_t)put);
		errno = EAGAIN;
		return -1;
	}
	put -= (ssize_t)iov[0].iov_len;
	buf_free(held);
	if (put == 0)
		errno = EAGAIN;
	return put > 0 ? put : -1;
}

/*
 * A ticket is nothing that a client waits for: it goes with the greeting, or with the answer to
 * its first command, instead of a packet of its own.
 */
static bool
hold(struct conn_tls *t, const char *p, int n)
{
	return SSL_get_state(t->ssl) == TLS_ST_SW_SESSION_TICKET &&
	       buf_put(&t->held, p, (size_t)n) == 0;
}

static int
sock_write(BIO *b, const char *p, int n)
{
	struct conn *c = BIO_get_data(b);
	ssize_t put;

	BIO_clear_retry_flags(b);
	if (c->tls->abandoned)
		return -1;
	if (hold(c->tls, p, n))
		return n;
	do
		put = buf_len(&c->tls->held) > 0 ? send_behind(c, p, (size_t)n)
						 : send(c->fd, p, (size_t)n, send_flags(c));
	while (put == -1 && errno == EINTR);
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

/* The first text stays: what follows from it says less. */
static void __attribute__((format(printf, 2, 0))) say(char **text, const char *fmt, va_list ap)
{
	if (*text == NULL && vasprintf(text, fmt, ap) == -1)
		*text = NULL;
}

void
conn_tls_say(struct conn_tls *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(&t->text, fmt, ap);
	va_end(ap);
}

void
conn_tls_say_bad(struct conn_tls *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(&t->bad, fmt, ap);
	va_end(ap);
}

/* What the last SSL call failed with. */
static void
failure_text(struct conn_tls *t, const char *when)
{
	unsigned long e = ERR_peek_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;
	const char *hint = "";

	if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_WRONG_VERSION_NUMBER)
		hint = SSL_is_server(t->ssl) ? " (does it speak TLS at all?)"
					     : " (is there TLS on that port?)";
	if (t->raw_eof && e == 0)
		reason = "connection closed by the peer";
	if (t->bad != NULL && t->state < TLS_OPEN)
		conn_tls_say(t, "%s", t->bad);
	conn_tls_say(
	    t, "TLS %s with %s: %s%s", when, t->name, reason != NULL ? reason : "failed", hint);
}

static int
fail(struct conn *c, const char *when)
{
	struct conn_tls *t = c->tls;

	failure_text(t, when);
	ERR_clear_error();
	t->state = TLS_BROKEN;
	t->wants_write = t->read_wants_write = false;
	conn_ended(c, CONN_TLS_FAILED, t->text != NULL ? t->text : "TLS failed");
	return IO_END;
}

/* --- the handshake, which may stand still --- */

/*
 * OpenSSL runs the handshake of an acceptor as a job with a stack of its own (32 KiB), so that it
 * can stop in the middle of a signature which is made elsewhere.  Jobs at work are bounded: whoever
 * finds none free waits in a queue.
 */
#define JOBS_MAX 256

static struct conn *handshaking;
static TAILQ_HEAD(, conn_tls) jobless = TAILQ_HEAD_INITIALIZER(jobless);

int
conn_tls_jobs(void)
{
	static bool there;

	there = there || ASYNC_init_thread(JOBS_MAX, 0) == 1;
	return there ? 0 : -1;
}

struct conn *
conn_handshaking(void)
{
	return handshaking;
}

void
conn_tls_go_on(struct conn_tls *t)
{
	if (t->queued)
		TAILQ_REMOVE(&jobless, t, next);
	t->queued = t->waits = false;
	conn_kick(t->c);
}

/* A job has become free. */
static void
serve_jobless(void)
{
	if (!TAILQ_EMPTY(&jobless))
		conn_tls_go_on(TAILQ_FIRST(&jobless));
}

void
conn_tls_continue(struct conn *c)
{
	if (c->tls != NULL && c->tls->job && c->tls->waits)
		conn_tls_go_on(c->tls);
}

static int
established(struct conn_tls *t)
{
	int whole = 0, used = SSL_get_cipher_bits(t->ssl, &whole);

	if (t->client != NULL && conn_tls_client_done(t) == -1)
		return -1;
	t->state = TLS_OPEN;
	(void)SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
	(void)snprintf(t->info, sizeof t->info, "%s with cipher %s (%d/%d bits)",
	    SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl), used, whole);
	if (t->client == NULL)
		conn_tls_note_addrs(t);
	return 0;
}

int
conn_tls_handshake(struct conn *c)
{
	struct conn_tls *t = c->tls;
	int ret, err;

	ERR_clear_error();
	errno = 0;
	t->taken = 0;
	t->wants_write = false;
	handshaking = c;
	ret = SSL_do_handshake(t->ssl);
	handshaking = NULL;
	err = SSL_get_error(t->ssl, ret);
	t->job = t->waits = err == SSL_ERROR_WANT_ASYNC;
	if (t->job)
		return IO_AGAIN;
	if (err == SSL_ERROR_WANT_ASYNC_JOB) {
		t->waits = t->queued = true;
		TAILQ_INSERT_TAIL(&jobless, t, next);
		return IO_AGAIN;
	}
	serve_jobless();
	switch (err) {
	case SSL_ERROR_NONE:
		if (established(t) == 0)
			return 1;
		break;
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
		t->waits = true;
		return IO_AGAIN;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		t->wants_write = err == SSL_ERROR_WANT_WRITE;
		return IO_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		t->raw_eof = true;
		break;
	case SSL_ERROR_SYSCALL:
		if (errno != 0)
			conn_tls_say(
			    t, "TLS handshake with %s: %s", t->name, strerrordesc_np(errno));
		break;
	default:
		break;
	}
	return fail(c, "handshake");
}

/*
 * A job that stands still holds what it was working with: it has to run to its end.  Its operation
 * is not done, so it fails, and what would follow finds no socket.
 */
static void
leave_job(struct conn_tls *t)
{
	int tries = 4; /* one signature in a handshake: the first does it */

	t->abandoned = true;
	while (t->job && tries-- > 0) {
		ERR_clear_error();
		t->job = SSL_get_error(t->ssl, SSL_do_handshake(t->ssl)) == SSL_ERROR_WANT_ASYNC;
	}
	serve_jobless();
}

/* --- the other steps --- */

ssize_t
conn_tls_read(struct conn *c, uint8_t *p, size_t n)
{
	struct conn_tls *t = c->tls;
	size_t got;
	int err;

	ERR_clear_error();
	errno = 0;
	t->taken = 0;
	t->read_wants_write = false;
	t->drained = SSL_read_ex(t->ssl, p, n, &got) != 1;
	if (!t->drained)
		return (ssize_t)got;
	switch (err = SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		t->read_wants_write = err == SSL_ERROR_WANT_WRITE;
		/* SSL_MODE_RELEASE_BUFFERS forgets one behind a ticket of the server's. */
		(void)SSL_free_buffers(t->ssl);
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
	if (t->queued)
		TAILQ_REMOVE(&jobless, t, next);
	if (t->job)
		leave_job(t);
	else if (t->state == TLS_HANDSHAKE)
		serve_jobless(); /* it may have been its turn */
	ERR_clear_error();
	SSL_free(t->ssl);
	ERR_clear_error();
	conn_tls_client_free(t->client);
	buf_free(&t->held);
	tls_cert_free(t->cert);
	free(t->asked);
	free(t->alts);
	free(t->addrs);
	free(t->bad);
	free(t->text);
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

struct conn_tls *
conn_tls_new(struct conn *c, SSL_CTX *ctx, const char *name)
{
	size_t n = strlen(name) + 1;
	struct conn_tls *t;
	BIO *b;

	if ((t = calloc(1, sizeof *t + n)) == NULL)
		return NULL;
	t->c = c;
	memcpy(t->name, name, n);
	buf_init(&t->held, HELD_MAX);
	if ((t->ssl = SSL_new(ctx)) == NULL || (b = sock_bio(c)) == NULL) {
		conn_tls_free(t);
		return NULL;
	}
	SSL_set_bio(t->ssl, b, b);
	SSL_set_app_data(t->ssl, t);
	SSL_set_mode(t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				 SSL_MODE_RELEASE_BUFFERS);
	SSL_set_read_ahead(t->ssl, 1); /* a record in one call instead of two; see tls_held */
	/* An end of file without close_notify is told apart by raw_eof, and leaves SSL usable. */
	SSL_set_options(t->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
	return t;
}

void
conn_tls_begin(struct conn *c, struct conn_tls *t)
{
	t->clear = buf_len(&c->out);
	c->tls = t;
	conn_kick(c);
}
