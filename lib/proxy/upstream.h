#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "net/conn.h"
#include "proxy/route.h"

/*
 * The way to a peer: its addresses from dnsd, a connection to the first that answers, TLS with
 * the certification authorities that were read before the jail.
 */
struct upstream;

/*
 * fd	connected, now the callee's; or -1 and text says why not (escaped, for logs and replies)
 * Called once, from the loop, never within upstream_connect.
 */
typedef void (*upstream_done)(int fd, const char *text, void *arg);

/* r must stay until done or cancel. NULL with errno ENOMEM. */
struct upstream *upstream_connect(const struct proxy_route *r, upstream_done done, void *arg);
void upstream_cancel(struct upstream *u); /* NULL is allowed */

/* Begin TLS on a connection to the route's peer; as conn_start_tls. */
int upstream_start_tls(const struct proxy_route *r, struct conn *c, struct err *e);

/*
 * For gwctl status: the peer has greeted us and can be used; or it cannot, and why (escaped).
 * What is said last of a peer counts.  A peer that ends an idle connection has not failed.
 *
 * c	the connection, whose TLS is told
 */
void upstream_reached(const struct proxy_route *r, const struct conn *c);
void upstream_failed(const struct proxy_route *r, const char *text);

/*
 * A fact "peer" for each peer that was tried: "NAME up=MS down=MS tls=VERSION error=TEXT", with
 * times in milliseconds since the epoch, 0 for never.
 */
void upstream_status(void);

/*
 * Read (open: as root) and parse (start: jailed) the bundles that the configuration names.  A
 * reload that names a file which was not read before fails: it cannot be reached any more.
 */
int upstream_open(const struct conf *conf, struct err *e);
int upstream_start(struct err *e);
int upstream_reload(const struct conf *conf, struct err *e);

#endif
