#ifndef SMTPD_SASL_H
#define SMTPD_SASL_H

#include "proxy/sasl.h"

/*
 * Logins that a Dovecot auth server checks, over the socket of a connector with auth = sasl: one
 * connection for each connector of this process, made when it is needed.
 */
#define SASL_MS 60000 /* for an answer: the server lets wrong passwords wait for some seconds */
#define SASL_PENDING_MAX 1000 /* questions under way at one server */

enum sasl_result { SASL_RIGHT, SASL_WRONG, SASL_UNKNOWN };

/*
 * user		what the server calls him, SASL_RIGHT; "" when it does not say
 * why		for the log
 *
 * Called once, from the loop.
 */
typedef void (*sasl_done)(enum sasl_result r, const char *user, const char *why, void *arg);

/*
 * Is this login right?  As PLAIN, or as LOGIN where the server knows only that.
 *
 * secured	the client speaks TLS
 * lip, rip	our address and the client's, as text; "" when there is none
 *
 * Returns NULL with errno: EAGAIN (too many are under way), ENOMEM, EMSGSIZE.
 */
struct sasl_ask;
struct sasl_ask *sasl_ask(const char *connector, const struct credentials *c, int secured,
    const char *lip, const char *rip, sasl_done done, void *arg);
void sasl_cancel(struct sasl_ask *a); /* done is not called; NULL is allowed */

/* For struct proc's reload: connections go when nobody waits on them, for the path may be another.
 */
void sasl_renew(void);

#endif
