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
#include "smtpd/chunk.h"
#include "smtpd/command.h"
#include "smtpd/gate.h"
#include "smtpd/out.h"
#include "smtpd/peer.h"

/*
 * A client's session.  Inside of smtpd only.
 *
 *	OPENING -> START -> READY <-> MAIL -> DATA -> WORK -> READY
 *	  TLS  --->	      AUTH	\ -> CHUNK -> MAIL or WORK
 *
 * No handler frees a session: session_end has it freed from the loop, so that no caller further up
 * still holds it.
 *
 * What the client says is taken here; whose business it is lies behind a struct backend: the peer's
 * (proxy.c: a connection of its own, the client's commands are asked of it), or the queue's
 * (queue.c).
 */
enum state {
	ST_OPENING, /* no greeting yet: TLS that comes first, the gate, or the peer, is not ready */
	ST_TLS, /* STARTTLS was answered, its handshake is under way */
	ST_START, /* before HELO or EHLO */
	ST_READY,
	ST_MAIL, /* a sender was given */
	ST_AUTH, /* the next line is a response to a challenge */
	ST_DATA, /* text of a message */
	ST_CHUNK, /* octets of BDAT */
	ST_WORK /* it is being secured and delivered: no command is looked at */
};

#define QID_MAX QUEUE_ID_MAX
#define REPLY_ROOM (8 * 1024) /* no further command while less of the output is free */

/* What became of a recipient whom the peer has accepted, or not. */
struct rcpt {
	char *addr, *params; /* for RCPT; params may be NULL */
	char *orcpt; /* or NULL */
	unsigned notify;
	int accepted;
	unsigned code; /* of its copy's transaction; 0: not yet */
	struct answer *got; /* why it failed there, when that is its own reason; or NULL */
	int reads; /* queue: we have a key for his mail */
	int held; /* queue: it could not be opened now, and waits for somebody to release it */
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
struct intake;
struct session;
struct xclient;

/* What stands behind a session. */
struct backend {
	/* TLS that comes first is there, the gate is passed: see to it that session_greet is
	 * called. */
	void (*open)(struct session *s);

	/* What is offered now, as to EHLO, and octets that a message may have. */
	unsigned (*features)(const struct session *s);
	uint64_t (*size)(const struct session *s);

	/* May a sender be given?  0, or -1 and the client was told. */
	int (*admit)(struct session *s);

	/*
	 * s->mail, or a recipient, are well formed and within our own bounds: answer, at once or
	 * later (s->waiting or s->pending meanwhile).  Returns 1 to be called with it again once no
	 * reply is pending, else 0.
	 */
	int (*mail)(struct session *s);
	int (*rcpt)(struct session *s, const struct rcpt_cmd *c);
	/* Replies are pending: may another recipient be looked at all the same?  NULL: none ever
	 * is. */
	int (*may_pipeline)(const struct session *s);

	/* Text is about to come; what stands in front of it goes to s->spool. 0, or -1 with errno.
	 */
	int (*text)(struct session *s);
	void (*receiving)(struct session *s); /* it still comes; may be NULL */
	void (*took)(struct session *s, const void *p, size_t n); /* octets of it; may be NULL */

	/* All of it is here, in s->octets, and well formed: secure_begin, or what else is to be. */
	void (*message)(struct session *s);
	/* What a worker is told beside the message. */
	void (*wants)(const struct session *s, struct secure_req *q);
	/* secure_begin has made s->copies. */
	void (*secured)(struct session *s);

	/* The transaction is over, or taken back; or all that was said in clear is void. */
	void (*reset)(struct session *s);
	void (*forget)(struct session *s);

	void (*expired)(struct session *s); /* a clock of ST_WORK; may be NULL where none is set */
	void (*free)(struct session *s);
};
extern const struct backend proxy_backend, queue_backend;

struct session {
	LIST_ENTRY(session) next;
	const struct backend *backend;
	const struct proxy_route *route;
	const struct proxy_route *first; /* the route before the server's name was known, or NULL */
	struct foreign *foreign; /* behind a transparent connector; see foreign.c */
	struct sockaddr_storage from; /* the client: whom PROXY or XCLIENT told, if they did */
	struct sockaddr_storage counted; /* who counts towards the limits */
	char ip[CIDR_TEXT_MAX]; /* "[192.0.2.1]" */
	char client[CIDR_TEXT_MAX]; /* without brackets */
	char name[HOST_MAX]; /* of the address, confirmed; "unknown" */
	char who[HOST_MAX + CIDR_TEXT_MAX]; /* "mail.example.org[192.0.2.1]", for the log */
	char tenant[65]; /* whose mail it is; of service mx that of the recipients, so far */
	int told; /* the log knows that it came */
	int by_address; /* may sign without a login */
	struct sockaddr_storage teller; /* who said XCLIENT */
	int teller_set;
	struct xclient *forward; /* what XFORWARD told; or NULL */
	struct gate *gate; /* NULL: nothing stands between it and us */
	int gated; /* enum gated: the gate was asked, and what goes on then */

	/* the client */
	struct conn *c;
	struct line_reader in;
	enum state state;
	enum line_status got; /* of the line in hand */
	int held; /* it waits for replies to earlier ones */
	int processing; /* session_process is at work */
	int waiting; /* a reply of the peer is awaited and nothing else is done meanwhile */
	int renewing; /* the same for another connection to the peer: what was said is forgotten */
	int eof; /* the client says no more */
	int ended; /* to be freed by the timer */
	int slowed; /* answers wait in late, and no command is looked at */
	int ending; /* and behind them the end */
	struct buf late;
	struct event *slow; /* until when */
	int leaving; /* drain: no new transaction */
	unsigned commands, errors, logins_failed;
	const char *where; /* for the log: the last command */
	uint64_t until; /* clock_ms when the session is over at the latest */
	uint64_t due; /* the same of what the client is to do next; 0: nothing */
	uint64_t armed; /* when the timer fires; 0: it does not */
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
	struct intake *intake; /* queue.h */
	int open; /* at the peer, too */
	unsigned pending; /* MAIL and RCPT whose replies are awaited */
	struct rcpt *rcpts;
	size_t nrcpts, rcpts_size, naccepted, rcpt_octets, param_octets;
	struct spool spool;
	struct octets octets; /* of spool, once it is whole */
	uint64_t text; /* octets of it that the client has sent */
	uint64_t wide; /* of these octets or-ed: bit 7 says whether any has it */
	struct dots_decoder dots;
	struct chunk chunk; /* of BDAT */
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

/* TLS that comes first is there, or was not wanted: the way to the greeting. */
void session_opened(struct session *s);
void session_greet(struct session *s);

/* Who the client is has changed: its texts, and whether it may sign by its address. */
void session_is(struct session *s, const struct sockaddr_storage *from);
void session_named(struct session *s, const char *name);

/*
 * The gate (front.c).  open: the client has come, or is another one; closes: it is not let in, and
 * told so.
 */
enum gated { GATED_NOT, GATED_OPEN, GATED_MAIL, GATED_RCPT };
void session_gate_open(struct session *s, const char *name, int shy);
void session_gate_closes(struct session *s);
void session_gate_names(struct session *s); /* the client, if the gate knows by now */

/* Replies; what the gate says is told by session_refused. */
void session_answer(struct session *s, const struct answer *a);
void session_refused(struct session *s);
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

/* proxy.c: connect to the peer, then greet. */
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

/*
 * Log what has happened: kind and what belongs to it are the caller's, client, connector and
 * transaction are filled in.
 */
void session_event(struct session *s, struct log_event *e);
void session_came(struct session *s); /* unless the log knows it: "connect from" */
void session_log_client(struct session *s, const char *qid); /* "QID: client=" */

/* Take a transaction back, if there is one: here, and at the peer with RSET. */
void envelope_reset(struct session *s);
void envelope_free(struct session *s);

/* A transaction begins: its queue id and its times. */
void envelope_begin(struct session *s);
void envelope_qid(char out[QID_MAX]);

/* Remember a recipient. params may be "". 0, or -1 with ENOMEM. */
int envelope_remember(struct session *s, const struct rcpt_cmd *c, const char *params);

/* Command handlers: return 1 to be called again once all replies are there, else 0. */
int envelope_mail(struct session *s, const char *args);
int envelope_rcpt(struct session *s, const char *args);
int auth_command(struct session *s, const char *args);
void auth_response(struct session *s, const char *line);
void auth_garbled(struct session *s); /* the response was no line; the client was told */
void auth_wipe(struct session *s);
unsigned auth_offers(const struct session *s); /* of a connector of the queue: F_LOGINS now */
int data_command(struct session *s, const char *args);
int bdat_command(struct session *s, const char *args);
int xclient_command(struct session *s, const char *args);
int xforward_command(struct session *s, const char *args);
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
int bdat_input(struct session *s);

/*
 * data.c, for both ways of getting text: it begins; octets of it; no more are kept, and why
 * (told at its end); it is whole, and well formed unless it was refused.
 */
void text_begin(struct session *s);
int text_take(void *session, const void *p, size_t n); /* a sink's write */
void text_refuse(struct session *s, unsigned code, const char *text);
void text_ends(struct session *s);

/* All of it is here: a worker makes the copies; then the backend's secured, or data_finish. */
void secure_begin(struct session *s);
void secure_defer(struct session *s, const char *why);
struct copy *copies_add(struct copies *c, size_t most); /* NULL without memory, or beyond most */
void deliver_begin(struct session *s);
void copies_free(struct session *s);

/* The peer failed while the message was in work. */
void deliver_lost(struct session *s);

/* The message's fate is known: tell the client, be ready for the next. */
void data_finish(struct session *s, const struct answer *a);

/* Sessions of this process, for the drain. */
void sessions_drain(void);
unsigned sessions_count(void);

/* One begins: fd and the count of from are the session's from now on. */
void session_begin(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from, const struct sockaddr_storage *counted);

/* front.c: balancers that say who their clients are. */
void front_accept(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from);
void front_refuse(enum proxy_refusal why, int fd, const struct sockaddr_storage *from);
void front_drain(void);
unsigned front_count(void);

/*
 * queue.c: what the queue's backend has of a session, freed by its free; what it knows of the
 * client is void; what the gate says of MAIL and RCPT.
 */
int intake_new(struct session *s); /* 0, or -1 with ENOMEM */
void intake_forget(struct session *s);
void queue_gated(struct session *s, int was, enum gate_verdict v);
int xclient_offered(const struct session *s);
void xforward_log(const struct session *s, const char *qid);

extern const struct proxy_service smtp_service;

/* Descriptor of the folder for large messages. */
extern int smtpd_spool;

#endif
