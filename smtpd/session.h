#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

#include <sys/queue.h>

#include "ipc/blob.h"
#include "net/cidr.h"
#include "net/conn.h"
#include "net/dots.h"
#include "net/line.h"
#include "proxy/sasl.h"
#include "proxy/worker.h"
#include "smtpd/command.h"
#include "smtpd/out.h"
#include "smtpd/peer.h"

/*
 * A client's session, with the peer's connection that belongs to it.  Inside of smtpd only.
 *
 *	OPENING -> START -> READY <-> MAIL -> DATA -> WORK -> READY
 *	  TLS  --->	      AUTH (a response is awaited)
 *
 * No handler frees a session: session_end has it freed from the loop, so that no caller further up
 * still holds it.
 */
enum state {
	ST_OPENING, /* no greeting yet: TLS that comes first, or the peer, is not ready */
	ST_TLS, /* STARTTLS was answered, its handshake is under way */
	ST_START, /* before HELO or EHLO */
	ST_READY,
	ST_MAIL, /* a sender was given */
	ST_AUTH, /* the next line is a response to a challenge */
	ST_DATA, /* text of a message */
	ST_WORK /* it is being secured and delivered: no command is looked at */
};

#define QID_MAX 24
#define REPLY_ROOM (8 * 1024) /* no further command while less of the output is free */

/* What became of a recipient whom the peer has accepted, or not. */
struct rcpt {
	char *addr, *params; /* for RCPT; params may be NULL */
	char *orcpt; /* or NULL */
	unsigned notify;
	int accepted;
	unsigned code; /* of its copy's transaction; 0: not yet */
	struct answer *got; /* why it failed there, when that is its own reason; or NULL */
};

/* One outcome of the worker, for some of the recipients. */
struct copy {
	uint16_t *who; /* indexes of recipients */
	size_t n;
	int unchanged;
	struct spool spool;
	char facts[501];
	struct answer answer; /* of its transaction; code 0: not tried */
};

struct copies {
	struct copy *v;
	size_t n, size, at; /* at: which is being delivered */
	size_t covered; /* recipients that have a copy */
	uint8_t *seen; /* by recipient */
	int delivering;
};

struct foreign;

struct session {
	LIST_ENTRY(session) next;
	const struct proxy_route *route;
	const struct proxy_route *first; /* the route before the server's name was known, or NULL */
	struct foreign *foreign; /* behind a transparent connector; see foreign.c */
	struct sockaddr_storage from;
	char ip[CIDR_TEXT_MAX]; /* "[192.0.2.1]" */
	char client[CIDR_TEXT_MAX]; /* without brackets */
	int by_address; /* may sign without a login */

	/* the client */
	struct conn *c;
	struct line_reader in;
	enum state state;
	enum line_status got; /* of the line in hand */
	int held; /* it waits for replies to earlier ones */
	int waiting; /* a reply of the peer is awaited and nothing else is done meanwhile */
	int renewing; /* the same for another connection to the peer: what was said is forgotten */
	int eof; /* the client says no more */
	int ended; /* to be freed by the timer */
	int leaving; /* drain: no new transaction */
	unsigned commands, errors, logins_failed;
	const char *where; /* for the log: the last command */
	uint64_t until; /* clock_ms when the session is over at the latest */
	struct event *timer;
	char helo[256];
	int esmtp;

	/* the peer */
	struct peer *peer; /* NULL once it is lost */
	struct answer lost; /* why */
	unsigned features; /* what is offered here: 0 behind HELO */

	/* the login */
	int authed;
	const char *mechanism; /* of the login under way or done: "PLAIN"... */
	struct auth *login; /* only while it is under way */
	char user[LOGIN_MAX + 1];
	struct proxy_worker *worker;

	/* the transaction */
	char qid[QID_MAX];
	uint64_t began, received, secured; /* clock_ms */
	uint64_t arrived; /* seconds since the epoch */
	struct mail_cmd mail;
	int open; /* at the peer, too */
	unsigned pending; /* MAIL and RCPT whose replies are awaited */
	struct rcpt *rcpts;
	size_t nrcpts, rcpts_size, naccepted, rcpt_octets, param_octets;
	struct spool spool;
	struct octets octets; /* of spool, once it is whole */
	struct dots_decoder dots;
	struct answer refused; /* the text will be refused at its end; code 0: not so far */
	uint64_t alive; /* clock_ms of our last word to the peer */
	uint64_t header; /* octets of the header so far */
	size_t header_line; /* octets of its present line, without CR */
	int in_header, spooling;
	struct copies copies;
	struct out out;
	struct octets body; /* of the copy under way */
	struct out_rcpt *out_rcpts;
};

struct tally {
	uint64_t sessions, messages_in, messages_out, refused, deferred, notices;
};
extern struct tally tally;

/* Close, politely, so that the last reply arrives; nothing is done for s any more. */
void session_end(struct session *s);

/* Replies. */
void session_answer(struct session *s, const struct answer *a);
void session_say(struct session *s, unsigned code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a mistake of the client's: the first are logged, too many end the session. */
void session_mistake(struct session *s, const struct answer *a);
void session_error(struct session *s, unsigned code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The peer is lost: 421 and the end. */
void session_lost(struct session *s);

/* The client is gone without a word, or why: the end. */
void session_left(struct session *s, const char *why);

/* The client is known as far as TLS goes: connect to the peer, then greet. */
void session_open_peer(struct session *s);

/* What the peer was told is void, its login too: connect again; commands wait meanwhile. */
void session_renew_peer(struct session *s);

/* Go on with what the client has sent. */
void session_process(struct session *s);

/* A peer_reply_fn: the same, whatever the peer has said. */
void session_goes_on(void *arg, unsigned tag, const struct smtp_reply *r);

/* The deadline for what the client is to do next. */
void session_clock(struct session *s, uint64_t seconds);
void session_no_clock(struct session *s);

/* "NOQUEUE: reject: RCPT from ..." */
void session_log_reject(
    struct session *s, const char *what, const struct answer *a, const char *rcpt);

/* Take a transaction back, if there is one: here, and at the peer with RSET. */
void envelope_reset(struct session *s);
void envelope_free(struct session *s);

/* Command handlers: return 1 to be called again once all replies are there, else 0. */
int envelope_mail(struct session *s, const char *args);
int envelope_rcpt(struct session *s, const char *args);
int auth_command(struct session *s, const char *args);
void auth_response(struct session *s, const char *line);
void auth_garbled(struct session *s); /* the response was no line; the client was told */
void auth_wipe(struct session *s);
int data_command(struct session *s, const char *args);
int starttls_command(struct session *s, const char *args);

/* TLS from the first octet on. 0, or -1: it cannot begin, which is logged. */
int starttls_implicit(struct session *s);

/* The answer to STARTTLS, then the handshake. */
#define STARTTLS_GO_ON "2.0.0 Ready to start TLS"
void starttls_begin(struct session *s);
void starttls_note_pipelining(const struct session *s);
void starttls_not_now(struct session *s); /* 454 */

/* The handshake is done, or failed. */
void starttls_done(struct session *s);
void starttls_failed(struct session *s, const char *why);

/* foreign.c: behind transparent connectors, and where TLS passes untouched. */
bool foreign_is(const struct session *s);
int foreign_begin(struct session *s); /* 0, or -1: end the session, which is logged */
void foreign_free(struct session *s);
const struct proxy_target *foreign_target(const struct session *s); /* NULL: the route's peer */
const char *foreign_name(const struct session *s); /* of the session's server, for people */
bool foreign_nobodys(const struct session *s); /* its logins are nobody's here */
void foreign_connected(void *arg); /* peer_ops */
void foreign_judged(enum upstream_verdict v, const char *text, void *arg);
void foreign_hello(struct conn *c, void *arg); /* conn_handlers */
bool foreign_shaking(const struct session *s); /* the client waits for its certificate */
void foreign_refuse(struct session *s, const char *why); /* ... and gets none */
void foreign_secured(struct session *s); /* the client's side is */
void foreign_starttls(struct session *s); /* the client wants it */
void foreign_tunnel(struct session *s); /* the same, untouched by us, at a peer of ours */

/* Text of the message has arrived. Returns 0 when all that is there was taken. */
int data_input(struct session *s);

/* All of it is here: the copies are made, then delivered. */
void secure_begin(struct session *s);
void deliver_begin(struct session *s);
void copies_free(struct session *s);

/* The peer failed while the message was in work. */
void deliver_lost(struct session *s);

/* The message's fate is known: tell the client, be ready for the next. */
void data_finish(struct session *s, const struct answer *a);

/* Sessions of this process, for the drain. */
void sessions_drain(void);
unsigned sessions_count(void);

extern const struct proxy_service smtp_service;

/* Descriptor of the folder for large messages. */
extern int smtpd_spool;

#endif
