#ifndef PROXY_TLS_SERVER_H
#define PROXY_TLS_SERVER_H

#include "net/conn.h"
#include "proc/proc.h"
#include "proxy/route.h"

/*
 * TLS towards the clients of connectors: certificates come from master (proc_file), their private
 * keys are in cryptod, whom the proxy asks over its channel while the handshake waits.
 *
 * Contexts for what the configuration names, towards clients and towards peers: jailed, at start
 * and at each reload.  What does not change goes on as it is; connections keep the context they
 * began with.  0, or -1 with e, which names file and section: then everything is as before.
 */
int tls_server_start(const struct conf *conf, struct err *e);

/* struct proc's ticket_keys. */
void tls_server_tickets(const struct ticket_keys *k);

/*
 * Could a handshake begin now?  Asked before the reply to STARTTLS or STLS is given, which leaves
 * in clear in front of it: 0, or -1 with e: EAGAIN (cryptod is away, or was locked a moment ago:
 * say so in clear and go on), ENOENT (the connector has no certificate).
 */
int tls_server_ready(const struct proxy_route *r, struct err *e);

/* cryptod has just said that it is locked: for a moment no handshake can begin. */
void tls_server_locked(void);

/*
 * Begin TLS with a client of this listener, as conn_accept_tls; output queued before leaves in
 * clear, what came in clear behind STARTTLS is thrown away.  Behind a transparent connector the
 * connection's hello is called, and wants conn_tls_use.  -1 with e: as tls_server_ready and
 * conn_accept_tls; the connection is to be given up then.
 */
int tls_server_accept(const struct proxy_route *r, struct conn *c, struct err *e);

/*
 * The private key in cryptod that belongs to a certificate: a tls_bind (net/tls.h).  arg: receives
 * its handle, or NULL.
 */
struct x509_st;
struct evp_pkey_st;
struct evp_pkey_st *tls_server_bind(struct x509_st *cert, void *arg, struct err *e);

/* For gwctl status (struct proc's status): a fact for each certificate and when it ends. */
void tls_server_status(void);

#endif
