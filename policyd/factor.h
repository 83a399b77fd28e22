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
 * May this session be opened: is its connector one of this proxy's own, with this tenant and peer,
 * and does it ask for no second factor, has this very process shown the one of this login, or is
 * there no login and the connector signs by address?  If not, why, for the log.
 */
bool factor_shown(struct chan *c, const struct session_open_req *q, const char **why);

/*
 * gone.c: connectors without a second factor that a reload took away, while sessions go on.
 * gone_reload is called at start too; -1 with e: ENOMEM.
 */
int gone_reload(const struct conf *conf, struct err *e);
bool gone_has(bool smtp, const char *name, const char *tenant, const char *peer);

/* The proxy died: what was shown through it is forgotten. */
void factor_forget(enum proc_id proxy, unsigned instance);

#endif
