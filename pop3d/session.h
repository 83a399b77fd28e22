#ifndef POP3D_SESSION_H
#define POP3D_SESSION_H

#include <stdbool.h>

#include "ipc/blob.h"
#include "ipc/messages.h"
#include "mail/classify.h"
#include "net/conn.h"
#include "net/dots.h"
#include "net/line.h"
#include "net/pop3_reply.h"
#include "pop3d/maildrop.h"
#include "pop3d/parse.h"
#include "proxy/sasl.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

/*
 * One POP3 session (RFC 1939): a client, the peer behind it, and what passes between them.
 * Commands are done one after the other; while one is under way the client is not read from.
 *
 * Idle sessions are many: what is needed only for a while is allocated for that while.
 */
/* Octets of a client's line: 255 (RFC 2449, 4), more for a token behind AUTH. */
#define POP3_LINE_MAX (SASL_RESPONSE_MAX + 32)
#define POP3_MESSAGE_MAX ((uint64_t)2 << 30) /* octets of a stored message */
#define POP3_PEER_IN_MAX (128 * 1024) /* octets of the peer's that wait */
#define POP3_LOGINS_MAX 5 /* failed logins, then the connection is closed */

enum state { ST_CONNECT, ST_AUTH, ST_TRANSACTION };

/* What the peer's next octets are. */
enum peer_mode {
	PEER_IDLE, /* nothing was asked: whatever comes is a fault */
	PEER_REPLY, /* a status line, for s->on_reply */
	PEER_PASS, /* the lines of an answer, straight to the client */
	PEER_LINES, /* the lines of an answer, for s->on_line */
	PEER_FETCH /* a message, into the spool */
};

struct session;
typedef void (*reply_fn)(struct session *s, const struct pop3_reply *r);
/* A line of an answer, or NULL when the last one was there.  0, or -1: the peer is at fault. */
typedef int (*line_fn)(struct session *s, const char *line);

/* What a message is fetched for. */
enum fetch_for { FETCH_RETR, FETCH_TOP, FETCH_SIZE };

/* A message being fetched, opened, sent; behind TOP it stays, for RETR mostly comes next. */
struct fetch {
	enum fetch_for what;
	bool whole; /* stored is the message; else what the peer's TOP gave */
	bool cached; /* shown is all of message number */
	bool stuffed; /* stored and shown are as they came, the dots and the end mark too */
	bool worker; /* there is something for a worker in it */
	bool sending; /* shown is under way to the client */
	size_t seen; /* octets looked at that still are at the front of the peer's input */
	uint64_t number; /* in the maildrop */
	uint64_t lines; /* of TOP */
	uint64_t listed; /* the last in a listing that is read first */
	uint64_t announced; /* octets, as the peer says; 0: it does not */
	int error; /* errno of the spool; the rest is read and dropped */
	struct spool stored; /* as the peer has it */
	struct mail_scan scan;
	struct spool opened; /* as the worker made it */
	struct octets shown;
	uint64_t size; /* octets of shown that RETR announces */
	uint64_t sent, send_end;
	struct dots_encoder encoder;
	struct sink to_client;
};

struct attempt;
struct sizes;
struct foreign;

struct session {
	const struct proxy_route *route;
	struct sockaddr_storage from;
	char client_text[64]; /* "[192.0.2.1]", for logs */
	char id[16]; /* of the session, for logs */
	enum state state;
	bool ended; /* only the timer that frees it is left */
	struct event *reaper;

	struct conn *client;
	struct line_reader client_lines;
	bool busy; /* a command is under way */
	bool quitting;
	unsigned commands, errors, failed_logins;

	struct upstream *up; /* until the connection to the peer is as it is to be */
	struct conn *peer;
	struct foreign *foreign; /* behind a transparent connector; see foreign.c */
	const struct proxy_route *first; /* s->up goes by it: the route before the server's name was
					  * known, or NULL */
	bool tunnel; /* the peer is connected to anew, for TLS that passes untouched */
	struct line_reader peer_lines;
	enum peer_mode mode;
	reply_fn on_reply;
	line_fn on_line;
	struct dots_decoder dots;
	struct event *reply_timer; /* the peer's time for an answer */

	/* What the peer can do. */
	struct capabilities can;
	unsigned capa_lines; /* of its answer to CAPA so far */
	bool capa_heard; /* it was asked in this session: can.pipelining is known */
	void (*capa_then)(struct session *s);

	char *user; /* of USER, until PASS */
	struct attempt *login; /* while one is under way */
	char *authzid, *authcid; /* of the login that the peer accepted */
	struct proxy_worker *worker; /* since the first message that needed one */

	uint64_t number; /* of the message that the command in hand is about */
	unsigned ahead; /* further messages that the peer was asked for already */
	bool uids; /* a listing was asked for: no message's UIDL is, from now on */
	struct fetch *fetch;
	struct maildrop *drop;
	struct sizes *sizes; /* while they are being learnt or listed */
	uint64_t retrieved; /* messages */
};

/* session.c */
void session_accept(const struct conf_connector *k, const struct conf_listener *l, int fd,
    const struct sockaddr_storage *from);
void session_refuse(enum proxy_refusal why, int fd, const struct sockaddr_storage *from);

/* Log what happened, with what the session knows: its id, client, connector and tenant. */
void session_event(const struct session *s, struct log_event *e);

/* Say text to the client if there is any, finish both connections, free the session later. */
void session_end(struct session *s, const char *text);
void session_drain(void);
unsigned session_count(void);

/* The command is done: reply (without CRLF) if not NULL, then on to the next one. */
void session_done(struct session *s, const char *reply);
void session_reply(struct session *s, const char *text);

/* A mistake of the client's: as session_done, but too many end the session. */
void session_wrong(struct session *s, const char *text);

/* Send a command to the peer (without CRLF) and let fn see its status line. */
void session_ask(struct session *s, reply_fn fn, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same in two: session_send only queues it, session_expect is for the reply that is next. */
void session_send(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void session_expect(struct session *s, reply_fn fn);

/* From now on the peer has its time for an answer. */
void session_wait(struct session *s);

/* In a reply_fn: lines follow, for fn. */
void session_lines(struct session *s, line_fn fn);

/* Pass a peer's status line on as it is. */
void session_pass_status(struct session *s, const struct pop3_reply *r);

/* What session_pass_status writes, without CRLF, into out. */
void session_status_text(char *out, size_t outsz, const struct pop3_reply *r);

/* stls.c: TLS towards the client. */
bool stls_offered(const struct session *s);
bool stls_missing(const struct session *s); /* no login before TLS */
void stls_command(struct session *s);
int stls_implicit(struct session *s); /* 0, or -1: end the session */
void stls_begin(struct session *s); /* "+OK", then the handshake */
void stls_secured(struct conn *c, void *arg);

/* foreign.c: behind transparent connectors, and where TLS passes untouched. */
bool foreign_is(const struct session *s);
int foreign_begin(struct session *s); /* 0, or -1: end the session */
const struct proxy_target *foreign_target(const struct session *s); /* NULL: the route's peer */
void foreign_free(struct session *s);
#define SESSION_SERVER_MAX 400
/* "mail.example.org:995", "192.0.2.1:110": the peer or the foreign server, for logs. */
const char *session_server(const struct session *s, char out[SESSION_SERVER_MAX]);
const char *foreign_login(const struct session *s); /* as policyd is told it */
void foreign_hello(struct conn *c, void *arg);
void foreign_start_tls(struct session *s); /* with the server, the client's hello being here */
void foreign_secured(struct session *s); /* the server's side is */
/* Does the client wait in its handshake for the server?  Then it gets an alert and is closed. */
bool foreign_alert(struct session *s);
void foreign_stls(struct session *s); /* the client wants it */
void foreign_tunnel(struct session *s); /* the same, untouched */
void foreign_tunnel_peer(struct session *s); /* the connection for it is there */

/* The memory of this login's maildrop; NULL with errno. */
struct maildrop *session_maildrop(const struct session *s);

/* command.c: a whole line of the client, CR and LF removed. */
void command_line(struct session *s, char *line, size_t n);
void command_pass_lines(struct session *s, const struct pop3_reply *r);

/* peer.c: from the connection to a peer that is ready for a login. */
void peer_begin(struct session *s);
void peer_go_on(struct session *s); /* the client's TLS is there */
extern const struct conn_handlers peer_handlers;

/*
 * See to it that what the peer can do is known from itself, in this session, and go on with then:
 * at once, or when it has answered.
 */
void peer_capabilities(struct session *s, void (*then)(struct session *s));
void peer_forget(void); /* what peers could do in other sessions */

/* login.c */
unsigned login_mechs(const struct session *s); /* offered now: 1 << enum sasl_mech */
bool login_expects(const struct session *s); /* the client's next line is a response */
void login_user(struct session *s, const char *arg);
void login_pass(struct session *s, const char *arg);
void login_auth(struct session *s, const char *arg);
void login_response(struct session *s, const char *line);
void login_free(struct session *s); /* what is under way is forgotten, wiped */

/* fetch.c */
void fetch_retr(struct session *s, uint64_t number);
void fetch_top(struct session *s, uint64_t number, uint64_t lines);
/* RETR of number was sent to the peer, and is answered next: for its size. -1 with ENOMEM. */
int fetch_size(struct session *s, uint64_t number);
void fetch_ask(struct session *s); /* RETR to the peer */
/* Octets of a message are there, or may be. Returns 0 when there is nothing more to do now. */
int fetch_take(struct session *s, struct conn *c);
void fetch_pump(struct session *s); /* the client has room for more */
void fetch_forget(struct session *s, uint64_t number); /* it was deleted */
void fetch_free(struct session *s);

/* ahead.c: the peer is asked for messages before their turn, where the client has asked for them.
 */
void ahead_retr(struct session *s); /* ask for the message in hand, and maybe for more */
void ahead_fill(struct session *s); /* it is here: ask for more */

/* sizes.c: STAT and LIST where sizes = exact. */
void sizes_stat(struct session *s);
void sizes_list(struct session *s, uint64_t number); /* 0: all */
/* A message that fetch_size was for: why is NULL when its slot has its size now. */
void sizes_learnt(struct session *s, const char *why);
bool sizes_stopped(const struct session *s); /* they will not be known now */
void sizes_pump(struct session *s); /* the client has room for more lines */
void sizes_free(struct session *s);

/* Totals for gwctl status. */
struct totals {
	uint64_t sessions, logins, failed_logins, messages, opened, deferred;
};
extern struct totals totals;

#endif
