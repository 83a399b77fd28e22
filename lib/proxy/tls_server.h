#ifndef PROXY_TLS_SERVER_H
#define PROXY_TLS_SERVER_H

#include "net/conn.h"
#include "proc/proc.h"

/*
 * TLS towards the clients of connectors: certificates are read before the jail, their private keys
 * are in cryptod, whom the proxy asks over its channel while the handshake waits.
 *
 * tls_server_open	as root: read the files that the configuration names
 * tls_server_start	jailed: parse them, make the contexts
 * tls_server_reload	a changed configuration: certificates are matched by the file's name; one
 *			that was not read before fails (it cannot be reached any more), and so a
 *			renewed file counts after a restart of the daemon
 *
 * 0, or -1 with e, which names file and connector.
 */
int tls_server_open(const struct conf *conf, struct err *e);
int tls_server_start(struct err *e);
int tls_server_reload(const struct conf *conf, struct err *e);

/*
 * Could a handshake begin now?  Asked before the reply to STARTTLS or STLS is given, which leaves
 * in clear in front of it: 0, or -1 with e: EAGAIN (cryptod is away, or was locked a moment ago:
 * say so in clear and go on), ENOENT (the connector has no certificate).
 */
int tls_server_ready(const char *connector, struct err *e);

/*
 * Begin TLS with a client of this connector, as conn_accept_tls; output queued before leaves in
 * clear, what came in clear behind STARTTLS is thrown away.  -1 with e: as tls_server_ready and
 * conn_accept_tls; the connection is to be given up then.
 */
int tls_server_accept(const char *connector, struct conn *c, struct err *e);

/* For gwctl status (struct proc's status): a fact for each certificate and when it ends. */
void tls_server_status(void);

#endif
