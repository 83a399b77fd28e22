#ifndef SMTPD_QUEUE_H
#define SMTPD_QUEUE_H

#include "mail/classify.h"
#include "smtpd/ahead.h"
#include "smtpd/head.h"
#include "smtpd/relay.h"
#include "smtpd/session.h"
#include "smtpd/whose.h"

/* The backend of the queue: inside of queue*.c. */

/* What MAIL and RCPT go through, one after the other; each may have to wait. */
enum step {
	Q_REST, /* nothing is in hand */
	Q_NAME, /* the name of the client's address */
	Q_ROOM, /* queued is there, and has room */
	Q_RATE, /* MAIL: the gate */
	Q_SENDER, /* whose is it? */
	Q_MAIL_OK,
	Q_WHOSE, /* RCPT: the same */
	Q_AHEAD, /* the server behind us */
	Q_GATE,
	Q_RCPT_OK
};

/* A message on its way to queued; see put.c. */
struct put {
	LIST_ENTRY(put) next;
	struct session *s; /* NULL: not under way */
	uint64_t id;
	size_t at, n; /* messages of the group: sent, all */
	int conceal; /* none of them is to be shown in a notice */
	struct event *retry; /* the channel is full */
};

struct intake {
	/* the client */
	struct chan_req *ptr; /* its name is looked up */
	int designated; /* may send to everywhere without a login: -1 before it was looked at */

	/* MAIL or RCPT in hand */
	enum step step;
	struct rcpt_cmd *rcpt; /* of RCPT */
	struct whose whose; /* its recipient */
	struct whose_ask *asked;
	struct ahead_ask *ahead;
	LIST_ENTRY(intake) next; /* waits for queued to come back */
	struct session *waits;
	struct event *patience;

	/* the transaction */
	uint64_t arrived; /* milliseconds since the epoch */
	int logged; /* client= */
	struct mail_scan *scan; /* somebody's mail may have to be opened */
	struct head head;
	struct put put;

	/* is a worker needed? */
	struct screen_req screen;
	struct mailbox *screen_rcpts;

	/* mail that is opened at the door */
	struct proxy_worker *opener;
	size_t opening; /* index of the recipient in hand */
	unsigned opened, unopened;
};

/* May this client send to everywhere? */
int queue_trusts(struct session *s);

/* queue_rcpt.c */
int queue_mail(struct session *s);
int queue_rcpt(struct session *s, const struct rcpt_cmd *c);
void queue_go_on(struct session *s); /* what was waited for has come */
void queue_came(void); /* queued is back */
void queue_stop(struct session *s); /* nothing is awaited any more */

/* queue_message.c: the message is whole. */
int queue_text(struct session *s);
void queue_took(struct session *s, const void *p, size_t n);
void queue_message(struct session *s);
void queue_wants(const struct session *s, struct secure_req *q);
void queue_message_free(struct intake *in);

/* inbound.c: for each recipient whose mail we can open; then put_begin, or data_finish. */
void inbound_begin(struct session *s);
void inbound_free(struct intake *in);

/*
 * put.c: s->copies, or when there are none the message as it is for all, become durable; then
 * data_finish.
 */
void put_begin(struct session *s);
void put_expired(struct session *s);
void put_forget(struct session *s); /* its answer does not matter any more */

#endif
