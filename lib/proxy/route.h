#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include <sys/socket.h>

#include "conf/conf.h"
#include "ipc/msg_policy.h"
#include "proc/proc.h"

/*
 * What a session must remember of the configuration: its connector and the peer behind it,
 * copied, so that a reload may take the configuration away while sessions go on.  Sessions of one
 * listener share it.
 */
#define ROUTE_PRINTS_MAX 8 /* fingerprints of one peer */

struct proxy_route {
	enum conf_service service; /* of the connector */
	char connector[65], tenant[65];
	char peer[65]; /* whose login rules count; "" where a foreign server is nobody's */
	char host[HOST_MAX]; /* "" when transparent: see struct proxy_target */
	uint16_t port;
	uint16_t tls_port; /* of the peer, for tunnels */
	enum conf_tls tls; /* to the peer; when transparent what the listener has: IMPLICIT, or
			    * STARTTLS for "when the client asks for it", or NONE */
	char profile[65]; /* towards the peer */
	enum conf_verify verify;
	char server_name[HOST_MAX];
	char ca_file[1024];
	uint8_t prints[ROUTE_PRINTS_MAX][32];
	size_t nprints;
	enum conf_ocsp ocsp;
	enum conf_transparent transparent;
	int keep_source;
	enum conf_inspect inspect;
	enum conf_bad_cert bad_certificate;
	char login_domain[HOST_MAX]; /* and case: how the peer's logins are told apart */
	enum conf_case login_case;
	struct conf_limits limits;
	char hostname[HOST_MAX]; /* ours */
	enum conf_tls client_tls; /* of the listener, towards clients */
	int tls_required; /* before a login or mail */
	enum conf_factor second_factor;
	enum conf_sizes sizes;
	int banner;
	/* Of connectors of the queue; what is above of a peer is of the one that checks logins. */
	enum conf_auth auth;
	enum conf_inbound inbound;
	int outside_senders;
	/* Of a server that a conf_route names. */
	int lmtp;
	int tls_may; /* with CONF_TLS_STARTTLS: only if it is offered */
};

/*
 * The route of a connector's listener under the running configuration, shared and never changed;
 * NULL with ENOMEM.  Each get wants its drop, with which the caller lets go of it; NULL is allowed
 * there.
 */
const struct proxy_route *proxy_route_get(
    const struct conf_connector *k, enum conf_tls listener, const struct conf *conf);

/*
 * The same for one session behind a transparent connector whose server is known by a name now
 * (verified by its certificate): if a configured peer of the service has it as server_name, and
 * would be verified in no other way (verify = ca with the same ca_file, expected name and no
 * stricter ocsp) and conf_peer_vouches, a copy of r with that peer's name and login rules, else r
 * once more.  Wants its drop.  NULL with ENOMEM.
 */
const struct proxy_route *proxy_route_named(const struct proxy_route *r, const char *name);
void proxy_route_drop(const struct proxy_route *r);

/* The configuration is another one now.  proxy_limits does this too. */
void proxy_route_renew(void);

/*
 * For gwctl status: a fact "connector" for each that has routes, "NAME sessions=N".  Only sessions
 * get routes.
 */
void proxy_route_status(void);

/* The same into r of one's own. */
void proxy_route_set(struct proxy_route *r, const struct conf_connector *k, enum conf_tls listener,
    const struct conf *conf);

/* The same for a peer alone (peer.notify); connector and tenant stay empty. */
void proxy_route_peer(struct proxy_route *r, const struct conf_peer *p, const struct conf *conf);

/*
 * The same for a server that a conf_route names, to be asked about recipients; peer is "" and
 * connector the route's name.  tls is CONF_TLS_STARTTLS where TLS is wanted; where it is only taken
 * if it is offered (tls = may) the server is not verified.
 */
void proxy_route_server(struct proxy_route *r, const struct conf_route *to,
    const struct conf_server *server, const struct conf *conf);

/* By name in the running configuration, or NULL. */
const struct conf_connector *proxy_connector(const char *name);
const struct conf_peer *proxy_peer(const char *name);

/*
 * Listening sockets of a daemon: accepts, checks connector.clients and the limits on sessions.
 *
 * accept	a client may begin; the callee owns fd and calls proxy_left when the session ends
 * refuse	why is PROXY_*; say it in the protocol's words, then close fd
 */
enum proxy_refusal { PROXY_NOT_ALLOWED, PROXY_TOO_MANY, PROXY_TOO_MANY_HERE };

struct proxy_service {
	void (*accept)(const struct conf_connector *k, const struct conf_listener *l, int fd,
	    const struct sockaddr_storage *from);
	void (*refuse)(enum proxy_refusal why, int fd, const struct sockaddr_storage *from);
};

/* For the callbacks of struct proc with the same names. */
int proxy_listen(const struct proxy_service *s, const struct conf_connector *k, const char *address,
    int fd, struct err *e);
void proxy_unlisten(const char *connector, const char *address);

/* Close all listeners (drain). */
void proxy_unlisten_all(void);

/*
 * A session that was accepted has ended.
 *
 * from	the address that it is counted by: the client's, or zeroed (AF_UNSPEC) for a balancer's
 *	connection whose client is not known yet
 */
void proxy_left(const struct sockaddr_storage *from);

/*
 * Is it one of connector.proxy_protocol?  Neither connector.clients nor the limit for one client
 * counts for these: both are for the client behind, with proxy_readmit.
 */
int proxy_is_balancer(const struct conf_connector *k, const struct sockaddr_storage *from);

/*
 * A session's client has another address than it was counted by (before: as for proxy_left).
 *
 * Returns 0: it may stay, and is counted by from now; or -1 with why: it may not, and is not
 * counted any more.
 */
int proxy_readmit(const struct conf_connector *k, const struct sockaddr_storage *before,
    const struct sockaddr_storage *from, enum proxy_refusal *why);

/* Take over changed limits after a reload. 0, or -1 with e. */
int proxy_limits(const struct conf_limits *l, struct err *e);

#endif
