#ifndef DELIVERD_CLIENT_H
#define DELIVERD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/io.h"
#include "ipc/msg_queue.h"
#include "net/conn.h"

struct event_base;
struct ssl_ctx_st;

/*
 * One connection to one server, SMTP (RFC 5321) or LMTP (RFC 2033), which carries one message
 * after the other.  It connects, begins TLS and logs in as it is told; then each client_send is one
 * message to some recipients, each of whom gets a result of his own.
 *
 * What is never done: a recipient is JOB_SENT or JOB_RELAYED only when the server answered the end
 * of the message with 250 (LMTP: for this recipient).  A connection that is lost, or where an
 * answer came that nothing asked for, or that fits no command, is given up, and who waits is
 * JOB_DELAYED.
 *
 * Callbacks are called from the loop only, never from within a function below; client_close may be
 * called in each of them.
 */
struct client;

enum client_tls {
	CLIENT_TLS_NONE, /* clear text */
	CLIENT_TLS_MAY, /* if offered; when it fails, clear text on a new connection */
	CLIENT_TLS_ENCRYPT, /* always; any certificate will do */
	CLIENT_TLS_VERIFY /* always, and the certificate is as peer.verify wants it */
};

struct client_how {
	struct event_base *base;
	const char *host; /* the server's name, 1 to 255 octets; for DANE the MX host */
	const struct sockaddr_storage *addrs; /* of this one host, with port: tried in order */
	size_t naddrs; /* 1 to DIAL_ADDRS_MAX */
	bool lmtp;
	const char *helo; /* our name, or address literal */

	enum client_tls tls;
	bool implicit; /* TLS from the first octet on; tls is ENCRYPT or VERIFY then */
	bool authentic; /* host is what the domain's owner wants: MX by DNSSEC or MTA-STS, or from
			 * the configuration (for REQUIRETLS, RFC 8689, 4.2.1) */
	struct ssl_ctx_st *ctx; /* of tls_client_ctx; NULL with CLIENT_TLS_NONE */
	/* name, expected, verify, prints, tlsa count; report is set here: below CLIENT_TLS_VERIFY a
	 * bad certificate ends nothing, and is told of (client_tls_text, ops.tls). */
	struct conn_peer peer;

	const char *login, *password; /* AUTH PLAIN or LOGIN; NULL or "": none. Sent only under TLS,
				       * or to loopback. */
	int spooldir; /* where a message over 4 MiB that has to be encoded goes, see blob.h; -1:
		       * none, such ones are JOB_DELAYED */
	uint32_t connect_ms; /* for one address */
	uint32_t reply_ms; /* for a reply; five times that for the one to the end of a message */
};

/* Why a connection cannot be had, or used any more. */
enum client_end {
	CLIENT_UNREACHED, /* no connection to any address */
	CLIENT_REFUSED, /* greeting, EHLO: it does not want us */
	CLIENT_NO_TLS, /* not as wanted */
	CLIENT_NO_LOGIN, /* AUTH is not offered as wanted, or failed */
	CLIENT_LOST, /* closed, reset, no answer in time */
	CLIENT_BYE, /* 421 (RFC 5321, 3.8) */
	CLIENT_GARBLED, /* what it says is no SMTP, or nothing asked for it */
	CLIENT_OURS /* no memory, no descriptor */
};

struct client_failure {
	enum client_end end;
	bool permanent; /* the server answered 5xx */
	bool said; /* text is the server's; else ours */
	char dsn[12]; /* RFC 3463: 4.4.1, 4.7.5... as permanent says */
	char text[DIAG_MAX + 1]; /* one line, printable */
};

/* One attempt to begin TLS, for reports (RFC 8460). */
struct client_tls_try {
	const char *result; /* RFC 8460, 4.3, "certificate-expired"...; "": success */
	const char *reason; /* for people; "" */
	char ip[64], our_ip[64]; /* as text, without brackets */
};

struct client_ops {
	void (*ready)(struct client *c, void *arg); /* client_send may be called; once */
	/*
	 * It is of no more use: called once, before ready or later, while idle or behind the done
	 * of the message that was under way.  client_close is still due.
	 */
	void (*closed)(struct client *c, const struct client_failure *why, void *arg);
	/*
	 * TLS was tried, or was not offered where it was wanted; before ready, for each try.  A bad
	 * certificate is told of though it may have ended nothing.  NULL: nobody wants to know.
	 */
	void (*tls)(struct client *c, const struct client_tls_try *t, void *arg);
};

/*
 * Connect.  When an address cannot be used (no connection, 4xx, lost before it is ready) the next
 * one is tried.
 *
 * how		copied, with all that it points to; ctx is kept by reference count
 * ops		must outlive the client
 *
 * Returns NULL with errno EINVAL, ENOMEM.
 */
struct client *client_open(const struct client_how *how, const struct client_ops *ops, void *arg);

/* Say QUIT if nothing is under way; close.  No callback any more, not even done.  NULL is allowed.
 */
void client_close(struct client *c);

struct client_rcpt {
	const struct job_rcpt *to;
	/* Set when done is called. */
	enum job_status status;
	bool said; /* text is the server's; else ours */
	char dsn[12];
	const char *text; /* one line, DIAG_MAX octets at most, printable; until done returns */
	const char *reply_to; /* what the server answered so: "RCPT TO command"; "": nothing */
};

struct client_mail {
	const struct envelope *env; /* sender, envid, ret, smtputf8, requiretls, body */
	const struct octets *body; /* the message; lines end with CRLF */
	struct client_rcpt *rcpts;
	size_t n; /* 1 to RCPTS_MAX */
	void (*done)(struct client *c, struct client_mail *m, void *arg);
	void *arg;

	/* Set when done is called. */
	bool site; /* some are JOB_DELAYED for a reason that is the server's and not the message's:
		    * 421, silence, a lost connection before the message was on its way */
	bool stale; /* nothing was sent, since the connection had been used before and was gone: who
		     * is JOB_DELAYED is to be tried again at once on a new one */
};

/*
 * Send one message.  All of m, and what it points to, must stay until done is called, or the
 * client is closed; in done client_idle says whether the next client_send may follow at once.
 *
 * Only when client_idle.  Recipients that the server has no room for in one transaction (452, 552
 * behind others that it took; RFC 5321, 4.5.3.1.10) go in further ones, before done.
 *
 * What the server cannot take is refused here with JOB_FAILED: 5.3.4 too large for its SIZE, 5.6.3
 * 8-bit or binary and not to be converted, 5.6.7 and 5.6.9 SMTPUTF8 needed, 5.7.30 REQUIRETLS,
 * 5.6.0 a bare CR or LF, or a NUL, that may not be encoded.
 */
void client_send(struct client *c, struct client_mail *m);

/* It is ready, and no message is under way. */
bool client_idle(const struct client *c);

/* From ready on, as long as the client lives. */
const char *client_relay(const struct client *c); /* "host[192.0.2.1]:25" for the log */
const struct sockaddr_storage *client_addr(const struct client *c);
uint64_t client_sent(const struct client *c); /* messages sent so far, for "conn_use=" */
bool client_verified(const struct client *c); /* TLS, and the certificate as peer.verify wants */
/* "TLSv1.3 with cipher ...", "" in clear; why the certificate is bad, or why there is no TLS
 * although it was tried: NULL for nothing. */
const char *client_tls_text(const struct client *c);
const char *client_tls_bad(const struct client *c);

#endif
