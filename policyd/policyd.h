#ifndef POLICYD_POLICYD_H
#define POLICYD_POLICYD_H

#include "policyd/session.h"

extern const struct proc policyd;

/* A worker: the channel filterd made for it, and the one session that it may ask about. */
struct bound {
	struct chan *chan;
	uint8_t worker[WORKER_ID];
	uint8_t session[SESSION_ID];
	LIST_HEAD(, grant) grants; /* asked of cryptod, not yet answered */
	unsigned ngrants;
};

/* Messages of workers: plan, opening, signer. */
extern const struct chan_handler worker_messages[];

/* Forget the grants that a worker waits for. */
void grants_cancel(struct bound *b);

/* whose.c: messages of smtpd about addresses and messages for the queue. */
void on_whose(struct chan *c, struct ipc_msg *m);
void on_screen(struct chan *c, struct ipc_msg *m);

/* local+tag@domain is local@domain's: 1 with that in out, or 0: there is no tag. */
int whose_without_tag(const char *addr, char *out, size_t outsz);

/* Messages of gwctl and keyctl about the database; each answers on c. */
void admin_domain_put(struct chan *c, struct ipc_msg *m);
void admin_domain_del(struct chan *c, struct ipc_msg *m);
void admin_domain_list(struct chan *c, struct ipc_msg *m);
void admin_recipient_put(struct chan *c, struct ipc_msg *m);
void admin_recipient_del(struct chan *c, struct ipc_msg *m);
void admin_recipient_list(struct chan *c, struct ipc_msg *m);
void admin_consumer_put(struct chan *c, struct ipc_msg *m);
void admin_consumer_del(struct chan *c, struct ipc_msg *m);
void admin_consumer_factor(struct chan *c, struct ipc_msg *m);
void admin_consumer_phrase(struct chan *c, struct ipc_msg *m);
void admin_consumer_get(struct chan *c, struct ipc_msg *m);
void admin_consumer_list(struct chan *c, struct ipc_msg *m);
void admin_cert_put(struct chan *c, struct ipc_msg *m);
void admin_cert_del(struct chan *c, struct ipc_msg *m);
void admin_cert_get(struct chan *c, struct ipc_msg *m);
void admin_cert_list(struct chan *c, struct ipc_msg *m);

#endif
