#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"

struct event_base;
struct iovec;
struct ssl_ctx_st;

/*
 * A non-blocking stream connection on an event loop: clear text or TLS behind one interface.
 *
 * The owner looks at the input and consumes of it what he can; what he leaves is kept, and when
 * that is as much as he allows, reading stops until there is room.  Output is queued up to a bound
 * and sent from the loop, so that several conn_write calls leave as one packet; only a long one
 * goes to the socket at once.  No function here calls a handler from within: handlers run from the
 * loop only.  A handler may free the connection it was called for.  At rest a connection has no
 * buffers.  All connections of a process are on the same event base.
 */
struct conn;

/* Why the closed handler was called. */
enum conn_end {
	CONN_EOF, /* the peer will send no more; what is queued still goes out */
	CONN_TRUNCATED, /* the same under TLS, but without close_notify (RFC 8446, 6.1) */
	CONN_LOST, /* reset, or another error of the socket */
	CONN_TLS_FAILED, /* handshake, certificate or record */
	CONN_IDLE, /* nothing moved for idle_ms */
	CONN_EXPIRED /* total_ms is over */
};

struct conn_handlers {
	/*
	 * There is input that was not offered before, or reading was resumed with input left over.
	 * Never called while paused.
	 */
	void (*readable)(struct conn *c, void *arg);

	/* Queued output fell to out_low or below, after it was above. May be NULL. */
	void (*drained)(struct conn *c, void *arg);

	/* The handshake that conn_start_tls or conn_accept_tls began is done. NULL where neither is
	 * called. */
	void (*secured)(struct conn *c, void *arg);

	/* See conn_accept_tls. NULL where no context is without certificates. */
	void (*hello)(struct conn *c, void *arg);

	/*
	 * The peer's side has ended; called at most once, and never while paused unless a write
	 * failed or a deadline passed.  What was read before was offered to readable first.  After
	 * CONN_EOF and CONN_TRUNCATED the connection may be written to and is then given to
	 * conn_finish; in the other cases conn_free is all that is left.  The connection is never
	 * freed behind its owner's back.
	 *
	 * text	for people and logs, without the peer's name; may hold what the peer sent, so it
	 *	goes through log_str
	 */
	void (*closed)(struct conn *c, enum conn_end why, const char *text, void *arg);
};

struct conn_limits {
	size_t in_max; /* octets of input held; at least the longest line + 2 */
	size_t out_max; /* octets of output queued */
	size_t out_low; /* octets; see drained */
	uint32_t idle_ms; /* see conn_set_idle */
	uint32_t total_ms; /* see conn_set_total */
};

/*
 * Take over a connected stream socket: it is made TCP_NODELAY, never waited for, and closed by
 * conn_free or conn_finish.  Reading starts at once.
 *
 * handlers	must outlive the connection
 *
 * Returns NULL with errno, and the descriptor is still the caller's.
 */
struct conn *conn_new(struct event_base *base, int fd, const struct conn_limits *limits,
    const struct conn_handlers *handlers, void *arg);

/* Close at once; what is queued is lost. NULL is allowed. Buffers are wiped. */
void conn_free(struct conn *c);

/*
 * Close politely: send what is queued and TLS close_notify, shut down our side, take in and
 * drop a bounded amount of what the peer still sends (an unread octet would make the kernel
 * reset the connection and destroy our last reply), close.  Takes CONN_FINISH_MS at most.  The
 * connection is no longer the caller's, and no handler is called any more.
 */
#define CONN_FINISH_MS 5000
void conn_finish(struct conn *c);

/* Connections that exist in this process, those that are finishing too. */
unsigned conn_count(void);

/* Input that is waiting; the pointer is valid until the next call for this connection, and no
 * longer than readable runs. */
const uint8_t *conn_in(const struct conn *c, size_t *n);

/*
 * Drop n octets from the front of the input, n at most what conn_in said; they are wiped before
 * anybody else's input is read.
 */
void conn_consume(struct conn *c, size_t n);

/*
 * Stop and go on with reading.  While paused neither readable nor an end of file is reported,
 * and the idle clock stands still unless output waits: it is us whom the peer waits for.
 * Resuming offers the input that is left over again.  Both may be called twice.
 */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
bool conn_paused(const struct conn *c);

/*
 * Queue output.
 *
 * Returns 0, or -1 with errno EMSGSIZE (it does not fit in out_max; nothing was queued), ENOMEM,
 * or EPIPE (the connection has failed; closed was or will be called).
 */
int conn_write(struct conn *c, const void *p, size_t n);
#define CONN_PIECES_MAX 32
int conn_writev(struct conn *c, const struct iovec *v, unsigned pieces); /* to that many */
int conn_puts(struct conn *c, const char *s);
int conn_printf(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A sink over conn_write. */
struct sink conn_sink(struct conn *c);

/* Octets that still fit in the output. */
size_t conn_room(const struct conn *c);

/*
 * Deadlines in milliseconds, 0 for none.  Idle: from the last octet that moved in either
 * direction, restarted by the call.  Total: from the call, whatever moves.
 */
void conn_set_idle(struct conn *c, uint32_t ms);
void conn_set_total(struct conn *c, uint32_t ms);

enum conn_verify {
	CONN_VERIFY_NONE, /* encrypt only: any certificate will do */
	CONN_VERIFY_CA, /* chain and name must be right (RFC 6125) */
	CONN_VERIFY_FINGERPRINT, /* the certificate, or its public key, is one of those named */
	CONN_VERIFY_DANE /* it fits a TLSA record (RFC 7671, RFC 7672: usages 2 and 3 only) */
};

struct conn_tlsa {
	uint8_t usage, selector, matching;
	const uint8_t *data;
	size_t n;
};

/* What is wanted of the server's certificate. */
struct conn_peer {
	const char *name; /* DNS name or address, 1 to 255 octets; sent as SNI when a DNS name, and
			   * looked for in the certificate */
	const char *expected; /* another name to be looked for instead; NULL: name */
	const char *also; /* a further name that will do (RFC 7672, 3.2.2); NULL: none */
	enum conn_verify verify;
	bool report; /* a bad certificate does not end the handshake: conn_tls_bad tells */
	bool staple; /* ask for an OCSP response (RFC 6066, 8) */
	const uint8_t (*prints)[32]; /* SHA-256, with CONN_VERIFY_FINGERPRINT */
	size_t nprints;
	const struct conn_tlsa *tlsa; /* with CONN_VERIFY_DANE */
	size_t ntlsa;
};

/*
 * Begin TLS as the client: output queued before leaves in clear first, what is written from now
 * on leaves encrypted.  Then secured is called, or closed with CONN_TLS_FAILED and a text such
 * as "certificate of mail.example.org: name does not match: seen a.example, b.example".
 *
 * ctx		from tls_client_ctx; kept by reference count
 * peer		copied as far as needed
 *
 * Returns 0, or -1 with *e filled: EPROTO when clear-text input is waiting (somebody put it
 * behind the answer to STARTTLS, RFC 3207, 6; the connection must be given up), EINVAL (name,
 * no fingerprint, no usable TLSA record), EALREADY, ENOMEM.
 */
int conn_start_tls(
    struct conn *c, struct ssl_ctx_st *ctx, const struct conn_peer *peer, struct err *e);

/*
 * Of a client's connection, from secured on.
 *
 * conn_tls_bad		why the server's certificate is bad where report was set, for people;
 *			NULL: it is good (as far as CONN_VERIFY_* asked)
 * conn_tls_error	the same as a number: X509_V_ERR_* of OpenSSL, 0 for none; also in closed
 *with CONN_TLS_FAILED
 * conn_tls_peer_der	DER of the server's certificate (i = 0) and of the chain that was built
 *			behind it or, if none was, sent; *n: octets; NULL: no more
 * conn_tls_stapled	the OCSP response that came with it; NULL: none
 * conn_tls_alt_name	its i-th DNS name, or address as text; valid until the next call; NULL: no
 *			more, or above 100.  What is no host name is left out.
 */
const char *conn_tls_bad(const struct conn *c);
int conn_tls_error(const struct conn *c);
const uint8_t *conn_tls_peer_der(const struct conn *c, unsigned i, size_t *n);
const uint8_t *conn_tls_stapled(const struct conn *c, size_t *n);
const char *conn_tls_alt_name(const struct conn *c, unsigned i);

/*
 * Begin TLS as the server: as conn_start_tls, but input that is waiting is no error when discard is
 * set: it came in clear behind STARTTLS or STLS, and is thrown away (RFC 3207, 6; RFC 2595, 2.4).
 * Queue the answer to that command first, in the same call of readable: what the socket holds while
 * the answer has not left is thrown away too.
 *
 * ctx		from tls_server_ctx; kept by reference count
 *
 * While a private-key operation is under way elsewhere (lib/keyprov) the handshake waits without
 * holding up the loop; the connection's deadlines go on, and it may be freed at any time.
 *
 * With a context without certificates the handlers' hello is called when the client has said
 * which name it wants, and the handshake waits for conn_tls_use.
 *
 * Returns 0, or -1 with *e filled: EPROTO, EALREADY, EPIPE (closed before), ENOMEM.
 */
int conn_accept_tls(struct conn *c, struct ssl_ctx_st *ctx, bool discard, struct err *e);

/*
 * From hello on: go on with this certificate (kept by reference count), or with NULL refuse:
 * the client gets the alert unrecognized_name, and closed is called.  Not from within hello only:
 * at any time before the connection's deadline.  0, or -1 with errno.
 */
struct tls_cert;
int conn_tls_use(struct conn *c, struct tls_cert *cert);

/* The name that the client asked for (SNI), in lower case; "" for none.  From hello or secured on.
 */
const char *conn_tls_asked(const struct conn *c);

/* The handshake was a resumption: nobody signed. */
bool conn_tls_resumed(const struct conn *c);

/*
 * The connection whose handshake is being stepped right now, or NULL: for a provider's operation
 * that has to know whom it works for.  conn_tls_continue steps it again once the operation that
 * paused it is done; from the loop only, never from within that operation.  It does nothing when
 * the connection waits for none.
 */
struct conn *conn_handshaking(void);
void conn_tls_continue(struct conn *c);

/*
 * The e-mail addresses (subjectAltName rfc822Name, RFC 5280, 4.2.1.6) of the certificate that the
 * client showed and that was verified, one after the other.
 *
 * i	0 for the first; what is no address (NUL and other controls, spaces, quotes, anything but
 *	ASCII) is left out, and so is what comes behind 32 of them
 *
 * Returns the i-th, valid until the connection is freed, or NULL: there is none, or none was
 * verified.
 */
const char *conn_tls_client_addr(const struct conn *c, unsigned i);

/*
 * SHA-256 of the certificate that the client showed and that was verified, and of its public key
 * (SubjectPublicKeyInfo), both as DER.  0, or -1: it showed none, or none was verified.
 */
int conn_tls_client_prints(const struct conn *c, uint8_t cert[32], uint8_t key[32]);

/* The handshake is done and everything since is encrypted. */
bool conn_is_tls(const struct conn *c);

/*
 * "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)" for the log, "" in clear.  The
 * pointer is valid until the connection is freed.
 */
const char *conn_tls_text(const struct conn *c);

int conn_fd(const struct conn *c);

/*
 * Give the socket away: the connection is freed and nothing was closed or shut down.  Only in
 * clear (else -1 with errno EBUSY, and the connection stays).
 *
 * in, out	receive the input and the output that wait, at their ends; NULL: they are dropped
 *
 * Returns the descriptor, or -1 with errno EBUSY, ENOMEM, EPIPE (the connection has failed).
 */
struct buf;
int conn_release(struct conn *c, struct buf *in, struct buf *out);

#endif
