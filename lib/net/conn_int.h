#ifndef NET_CONN_INT_H
#define NET_CONN_INT_H

/* Inside of a connection, for conn*.c only. */

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "net/conn.h"

enum tls_state {
	TLS_QUEUED, /* clear text is still to be sent before the handshake */
	TLS_HANDSHAKE,
	TLS_OPEN,
	TLS_BROKEN /* no further SSL call but SSL_free */
};

/* A client's hello that somebody has to say a certificate for. */
enum hello_state {
	HELLO_NONE,
	HELLO_CAME, /* the owner is to be told */
	HELLO_TOLD, /* conn_tls_use is awaited */
	HELLO_ANSWERED,
	HELLO_REFUSED
};

struct conn_tls {
	SSL *ssl;
	enum tls_state state;
	size_t clear; /* TLS_QUEUED: octets at the front of out that leave in clear */
	bool read_wants_write; /* SSL_read has to send first (key update) */
	bool wants_write; /* the handshake waits for room */
	bool raw_eof; /* the socket ended; without close_notify when SSL_read says end */
	bool drained; /* nothing whole is left of what was read ahead */
	size_t taken; /* octets from the socket in this call of OpenSSL */
	bool
	    job; /* the handshake stands still inside of SSL_do_handshake, and must get out of it */
	bool
	    waits; /* not to be stepped: for conn_tls_continue, conn_tls_use, or a job of its own */
	bool queued; /* the latter: in the queue of those */
	bool abandoned; /* being freed: nothing may move on the socket */
	TAILQ_ENTRY(conn_tls) next;
	struct conn *c;
	char *text; /* why it failed, for people; or NULL */
	char *bad; /* what is wrong with the other side's certificate, for people; or NULL */
	char *alts; /* names in it, once asked for: each with its NUL, "" behind the last */
	struct conn_tls_client *client; /* as the client: what is wanted of the server */
	enum hello_state hello; /* as the server */
	struct buf held; /* a ticket for the client, which leaves with what is sent next */
	char *asked; /* the name that the client asked for; NULL: not looked for yet */
	struct tls_cert *cert; /* of conn_tls_use */
	char *
	    addrs; /* of the client's certificate, each with its NUL, "" behind the last; or NULL */
	char info[80];
	char name[]; /* of the peer, for messages */
};

struct conn {
	struct event_base *base;
	int fd;
	struct event rd, wr, timer;
	TAILQ_ENTRY(conn) next;
	struct conn_queue *queue; /* of those with deferred work, that it is in; or NULL */
	struct buf in; /* in readable it may lie in the process's window: see conn_in.c */
	struct buf out;
	size_t out_low;
	size_t through; /* octets written past the queue since the last turn */
	const struct conn_handlers *handlers;
	void *arg;
	struct conn_tls *tls;

	uint32_t idle_ms;
	uint64_t moved; /* clock_ms of the last octet */
	uint64_t total_at; /* clock_ms; 0: never */
	uint64_t timer_at; /* what timer is set to; 0: not set */

	bool busy; /* a handler may be running: free later */
	bool dead; /* conn_free was called meanwhile */
	bool rd_on, wr_on;
	bool paused;
	bool offer; /* input that readable has not been called for */
	bool above; /* more than out_low is or was queued: drained is owed */
	bool ended; /* no more input will come: why, text */
	bool failed; /* nor can anything be written */
	bool reported; /* closed was called */
	bool finishing; /* conn_finish was called */
	bool shut; /* and everything was sent, our side is shut down */
	size_t dropped; /* octets taken in and dropped while finishing */
	enum conn_end why;
	const char *text;
};

#define CONN_TURN_MAX (256 * 1024) /* octets of one connection before others get their turn */

static inline bool
tls_open(const struct conn *c)
{
	return c->tls != NULL && c->tls->state == TLS_OPEN;
}

/* Before and during the handshake the socket is the handshake's business. */
static inline bool
tls_pending(const struct conn *c)
{
	return c->tls != NULL && c->tls->state < TLS_OPEN;
}

/* Input that was read, but not handed over: the socket makes no event for it. */
static inline bool
tls_held(const struct conn *c)
{
	return tls_open(c) && !c->tls->drained && SSL_has_pending(c->tls->ssl) == 1;
}

static inline bool
may_read(const struct conn *c)
{
	return !c->dead && !c->ended && !c->paused && !tls_pending(c) &&
	       buf_len(&c->in) < c->in.max;
}

/* For send(2): what is said last leaves together with the end of the output (step_finish). */
static inline int
send_flags(const struct conn *c)
{
	return MSG_NOSIGNAL | MSG_DONTWAIT | (c->finishing ? MSG_MORE : 0);
}

/* What one attempt to move octets came to, beside a count above 0. */
#define IO_AGAIN (-1) /* nothing now */
#define IO_END (-2) /* end or error: conn_ended was called */

/* The input is over; failed: the output too. Reported by the loop. */
void conn_ended(struct conn *c, enum conn_end why, const char *text);

/* Run conn's deferred work from the loop. */
void conn_kick(struct conn *c);

/* The same when others have had their turn. */
void conn_kick_later(struct conn *c);

/* Drop n octets from the front, wiped. */
void conn_drop(struct buf *b, size_t n);

/* Throw away what waits as input, wiped. */
void conn_in_free(struct conn *c);

/* Read what is there, and show it to the owner, who may free c. */
void conn_read(struct conn *c);

/* One read from the socket: octets, IO_AGAIN, or IO_END. */
ssize_t conn_raw_read(struct conn *c, uint8_t *p, size_t n);

/*
 * The TLS side.  Each is one non-blocking step; reading and writing return octets moved, or
 * IO_AGAIN, or IO_END.  The handshake returns 1 when done, and is not to be stepped while waits.
 */
int conn_tls_handshake(struct conn *c);
ssize_t conn_tls_read(struct conn *c, uint8_t *p, size_t n);
ssize_t conn_tls_write(struct conn *c, const uint8_t *p, size_t n);

/* Send close_notify: 0, or IO_AGAIN when it has to wait for room. */
int conn_tls_shutdown(struct conn *c);
void conn_tls_free(struct conn_tls *t);

/* Why the connection will fail, for people; only the first text counts. */
void conn_tls_say(struct conn_tls *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The TLS of a connection that is to begin. NULL without memory. */
struct conn_tls *conn_tls_new(struct conn *c, SSL_CTX *ctx, const char *name);

/* What is queued now leaves in clear, then the handshake begins. */
void conn_tls_begin(struct conn *c, struct conn_tls *t);

/* Before the first handshake as the server: 0, or -1 without memory. */
int conn_tls_jobs(void);

/* The handshake goes on. */
void conn_tls_go_on(struct conn_tls *t);

/* A client's name has come: tell the owner, who may free c. */
void conn_tls_tell_hello(struct conn *c);

/* The handshake is done: what is left to be looked at by a client. 0, or -1 and it has failed. */
int conn_tls_client_done(struct conn_tls *t);
void conn_tls_client_free(struct conn_tls_client *w);

/* What is wrong with the other side's certificate, for people; only the first text counts. */
void conn_tls_say_bad(struct conn_tls *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* For SSL_set_verify: called for every certificate; the first bad one ends the verification. */
int conn_tls_verify(int ok, X509_STORE_CTX *store);

/* DNS names and addresses in a certificate, each with its NUL, "" behind the last; NULL: ENOMEM. */
char *conn_tls_alt_names(X509 *cert);

/* Keep the addresses of the certificate that a client showed, if it verified. */
void conn_tls_note_addrs(struct conn_tls *t);

#endif
