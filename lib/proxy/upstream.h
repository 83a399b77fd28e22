#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include "net/conn.h"
#include "proxy/route.h"

/*
 * The way to a mail server: its addresses from dnsd, a connection to the first that answers, TLS as
 * the route's profile says.  One struct upstream is one such connection as it comes about; it may
 * go when the connection is as far as its owner wants it, or at any time.
 */
struct upstream;

/* Where a client behind a transparent connector wanted to go, and where it came from. */
struct proxy_target {
	struct sockaddr_storage to, from;
};

/*
 * Find out where the client of an accepted connection wanted to go.  0, or -1 with e: it came
 * to us directly (ELOOP, EINVAL), or as getsockname(2).
 */
int proxy_target_of(const struct proxy_route *r, int fd, const struct sockaddr_storage *from,
    struct proxy_target *t, struct err *e);

/*
 * fd	connected, now the callee's; or -1 and text says why not (escaped, for logs and replies)
 * Called once, from the loop, never within upstream_connect.
 */
typedef void (*upstream_done)(int fd, const char *text, void *arg);

/*
 * r must stay until upstream_free.
 *
 * to	NULL: the route's peer; else that very address.  One of our own listeners is refused (a
 *	loop); with keep_source the connection comes from the client's address
 * tunnel	the way is for a tunnel: tls_port where the listener is of TLS from the first
 *	octet on (ignored with to)
 *
 * NULL with errno ENOMEM.
 */
struct upstream *upstream_connect(const struct proxy_route *r, const struct proxy_target *to,
    bool tunnel, upstream_done done, void *arg);
void upstream_free(struct upstream *u); /* NULL is allowed */

/*
 * Begin TLS on the connection.  The connection's own handlers get secured or closed.
 *
 * asked	the name that the client of an inspected foreign server asked for; "" when it gave
 *		none: the address is looked for then; NULL: the route's server_name
 *
 * -1 with e: as conn_start_tls, ENOENT (no authorities), ENOTSUP (DANE is wanted and DNSSEC has no
 * records for it: text says which), EAGAIN (DNSSEC gave no answer).
 */
int upstream_start_tls(struct upstream *u, struct conn *c, const char *asked, struct err *e);

/*
 * What is to be thought of the server, once its connection is secured: certificate, revocation.
 * fn is called from the loop, never within; not after upstream_free.
 *
 * c		stays until then, or until upstream_free, and is paused meanwhile
 *
 * UPSTREAM_GOOD	go on
 * UPSTREAM_UNVERIFIED	transparent with bad_certificate = untrusted only: go on if the client is
 *			shown a certificate of the untrusted authority, and nobody's login counts
 * UPSTREAM_BAD		no octet may be sent; text says why
 * UPSTREAM_UNKNOWN	the same, but it may be better later
 */
enum upstream_verdict { UPSTREAM_GOOD, UPSTREAM_UNVERIFIED, UPSTREAM_BAD, UPSTREAM_UNKNOWN };
typedef void (*upstream_judged)(enum upstream_verdict v, const char *text, void *arg);
void upstream_judge(struct upstream *u, struct conn *c, upstream_judged fn, void *arg);

/*
 * A certificate for the client, like that of the server behind c as judged: minted by cryptod, of
 * the proxy authority with UPSTREAM_GOOD, of the untrusted one else; with the name asked for, the
 * server's names, or its address.  Kept in memory for those who come next (bounded).  fn is called
 * from the loop: cert NULL: text says why not.  Else it is fn's to free.
 */
struct tls_cert;
typedef void (*upstream_minted)(struct tls_cert *cert, const char *text, void *arg);
int upstream_mint(struct upstream *u, struct conn *c, enum upstream_verdict v, const char *asked,
    upstream_minted fn, void *arg); /* ENOMEM */

/* "mail.example.org", "192.0.2.1:995": the server as people know it, for logs. */
const char *upstream_name(const struct upstream *u);

/*
 * For gwctl status: the peer has greeted us and can be used; or it cannot, and why (escaped).
 * What is said last of a peer counts.  A peer that ends an idle connection has not failed.
 * Foreign servers are not told of.
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

#endif
