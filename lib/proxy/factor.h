#ifndef PROXY_FACTOR_H
#define PROXY_FACTOR_H

#include "net/conn.h"
#include "proxy/route.h"
#include "proxy/sasl.h"

/*
 * The second factor of a connector (postern.conf(5), second_factor): what a login must show to the
 * gateway beside what the mail server accepts.
 */

/*
 * Milliseconds from the client's last response on, before which a login that wants a second factor
 * is not refused, whichever factor was wrong: longer than a mail server lets a wrong password
 * wait.  The time it took before would not do: somebody may have it refused sooner than other
 * passwords are.
 */
#define FACTOR_REFUSAL_MS 3000

/*
 * Take the gateway password off the front of a password ("GATEWAY:SERVER"), where the connector
 * wants one; else c->password stays as it is and secret is "".  Without a colon, or when what
 * stands before it is too long, secret is "" too, and factor_ask will be told so; the peer is
 * then never to be asked: it must not see a password that may be ours.
 *
 * Returns 0, or -1: refuse the login.
 */
int factor_split(
    const struct proxy_route *r, struct credentials *c, char secret[FACTOR_SECRET_MAX + 1]);

/*
 * Ask policyd whether this login, which the peer has accepted, may go on.  done is called from the
 * loop, once: enum factor_result and, for the log, why.  With second_factor = none it says
 * FACTOR_OK without asking.
 *
 * client	the client's connection, whose verified certificate counts
 * secret	from factor_split; wiped by the caller
 *
 * Returns NULL with errno ENOMEM.
 */
struct factor;
typedef void (*factor_done)(enum factor_result result, const char *why, void *arg);
struct factor *factor_ask(const struct proxy_route *r, const struct credentials *c,
    const struct conn *client, const char *secret, factor_done done, void *arg);
void factor_cancel(struct factor *f); /* NULL is allowed */

#endif
