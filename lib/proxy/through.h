#ifndef PROXY_THROUGH_H
#define PROXY_THROUGH_H

#include "proxy/upstream.h"

/*
 * TLS that passes untouched (action with tls = allow): from the first octet on, or behind the
 * client's STLS or STARTTLS, when both connections are at the point where TLS begins.
 */

/*
 * A client of a TLS listener has come: connect to where it wants, then tunnel.  Takes over fd and
 * r (proxy_route_drop), counts as a session until its end (proxy_left), logs connect and end with
 * octets.
 */
void through_accept(const struct proxy_route *r, int fd, const struct sockaddr_storage *from);

/*
 * Both sides stand in front of their handshakes: the server has said its "go ahead", the client is
 * to be told so.  What the client has sent in clear meanwhile is thrown away; what the server has
 * sent in clear behind its answer is an attack (EPROTO).
 *
 * answer	for the client, with CRLF; behind what is queued for it
 * who, where	client and server, for logs: "[192.0.2.1]", "mail.example.org"
 * left		called when the tunnel has ended, from within this call perhaps: r is not needed
 *		any more
 *
 * Returns 0: both connections are gone, and left will be called.  Or -1 with e: the client's is as
 * it was; the server's too with EPROTO and EAGAIN (drain), else it is gone.
 */
#define THROUGH_OUT_MAX (256 * 1024) /* octets queued for the client */
typedef void (*through_left)(void *arg);
int through_begin(const struct proxy_route *r, struct conn *client, struct conn *server,
    const char *answer, const char *who, const char *where, through_left left, void *arg,
    struct err *e);

/* Tunnels of this process, and their end (drain): nobody knows what is under way in them. */
unsigned through_count(void);
void through_drain(void);

#endif
