#ifndef POP3D_SESSION_H
#define POP3D_SESSION_H

#include <stdbool.h>

#include "ipc/blob.h"
#include "mail/classify.h"
#include "net/conn.h"
#include "net/dots.h"
#include "net/line.h"
#include "net/pop3_reply.h"
#include "pop3d/parse.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

/*
 * One POP3 session (RFC 1939): a client, the peer behind it, and what passes between them.
 * Commands are done one after the other; while one is under way the client is not read from.
 */
/* Octets of a client's line: 255 (RFC 2449, 4), more for a SASL response. */
#define POP3_LINE_MAX 4096
#define POP3_MESSAGE_MAX ((uint64_t)2 << 30) /* octets of a stored message */
#define POP3_LOGINS_MAX 5 /* failed logins, then the connection is closed */

enum state { ST_CONNECT, ST_AUTH, ST_TRANSACTION };

/* What the peer's next octets are. */
enum peer_mode {
	PEER_IDLE, /* nothing was asked: whatever comes is a fault */
	PEER_REPLY, /* a status line, for s->on_reply */
	PEER_PASS, /* the lines of an answer, straight to the client */
	PEER_CAPA, /* the lines of CAPA */
	PEER_FETCH /* a message, into the spool */
};

struct session;
typedef void (*reply_fn)(struct session *s, const struct pop3_reply *r);

struct session {
	struct proxy_route route;
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

	struct upstream *up;
	struct conn *peer;
	struct line_reader peer_lines;
	enum peer_mode mode;
	reply_fn on_reply;
	struct dots_decoder dots;
	struct event *reply_timer; /* the peer's time for an answer */

	/* What the peer can do. */
	struct capabilities can;
	unsigned capa_lines; /* of its answer to CAPA so far */

	/* Login. */
	char user[ADDR_MAX + 1];
	char authzid[ADDR_MAX + 1], authcid[ADDR_MAX + 1];
	char *sasl; /* the client's response, wiped once it was passed on */
	bool sasl_expected; /* the client's next line is its SASL response */
	struct proxy_worker *worker;

	/* A message being fetched, opened, sent. */
	uint64_t number; /* in the maildrop */
	bool top; /* of TOP, with */
	uint64_t top_lines;
	int fetch_error; /* errno of the spool; the rest is read and dropped */
	struct spool stored; /* as the peer has it */
	struct mail_scan scan;
	struct spool opened; /* as the worker made it */
	uint64_t cached; /* number of the message that shown is for; 0: none */
	struct spool *shown; /* stored or opened */
	struct octets sending;
	uint64_t sent, send_end;
	struct dots_encoder encoder;
	struct sink to_client;
	uint64_t retrieved; /* messages */
};

/* session.c */
void session_accept(const struct conf_connector *k, int fd, const struct sockaddr_storage *from);
void session_refuse(enum proxy_refusal why, int fd, const struct sockaddr_storage *from);

/* Say text to the client if there is any, finish both connections, free the session later. */
void session_end(struct session *s, const char *text);
void session_drain(void);
unsigned session_count(void);

/* The command is done: reply (without CRLF) if not NULL, then on to the next one. */
void session_done(struct session *s, const char *reply);
void session_reply(struct session *s, const char *text);

/* Send a command to the peer (without CRLF) and let fn see its status line. */
void session_ask(struct session *s, reply_fn fn, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Pass a peer's status line on as it is. */
void session_pass_status(struct session *s, const struct pop3_reply *r);

/* command.c: a whole line of the client, CR and LF removed. */
void command_line(struct session *s, char *line, size_t n);

/* peer.c: from the connection to a peer that is ready for a login. */
void peer_begin(struct session *s);
extern const struct conn_handlers peer_handlers;

/* login.c */
void login_user(struct session *s, const char *arg);
void login_pass(struct session *s, const char *arg);
void login_auth(struct session *s, const char *arg);
void login_sasl_response(struct session *s, const char *line);

/* fetch.c */
void fetch_retr(struct session *s, uint64_t number);
void fetch_top(struct session *s, uint64_t number, uint64_t lines);
struct sink fetch_sink(struct session *s);
void fetch_received(struct session *s);
void fetch_pump(struct session *s); /* the client has room for more */
void fetch_free(struct session *s);

/* Totals for gwctl status. */
struct totals {
	uint64_t sessions, logins, failed_logins, messages, opened, deferred;
};
extern struct totals totals;

#endif
