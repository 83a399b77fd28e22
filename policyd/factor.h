#ifndef POLICYD_FACTOR_H
#define POLICYD_FACTOR_H

#include <stdbool.h>

#include "proc/proc.h"

/*
 * The second factor of a connector (postern.conf(5), second_factor): what the consumer of a login
 * must show beside what the peer accepts.  Which one it is the configuration says, never the one
 * who asks.
 */
#define FACTOR_TRIES 10 /* wrong gateway passwords of one consumer */
#define FACTOR_WINDOW 600000 /* milliseconds in which they count; then he may try again */
#define FACTOR_FAILING_MAX 1024 /* consumers whose failures are remembered; the oldest goes */
#define FACTOR_PASSES_MAX 100000 /* logins that have shown it; beyond: defer */

/* Message handler of proxies. */
void on_factor(struct chan *c, struct ipc_msg *m);

/*
 * May this session be opened: does its connector ask for no second factor, has this very process
 * shown the one of this login, or is there no login and the connector signs by address?
 */
bool factor_shown(struct chan *c, const struct session_open_req *q);

/* The proxy died: what was shown through it is forgotten. */
void factor_forget(enum proc_id proxy, unsigned instance);

#endif
