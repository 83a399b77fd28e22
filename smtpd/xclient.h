#ifndef SMTPD_XCLIENT_H
#define SMTPD_XCLIENT_H

#include <stddef.h>

#include "base/netaddr.h"
#include "conf/conf.h"
#include "ipc/msg_policy.h"
#include "smtpd/reply.h"

/*
 * XCLIENT and XFORWARD: what a host that the connector names (connector.xclient) tells of the
 * client behind it.  XCLIENT replaces the client, XFORWARD is for the log.
 */
#define XCLIENT_KEYWORD "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
#define XFORWARD_KEYWORD "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"

enum xclient_attr {
	X_NAME = 1 << 0,
	X_ADDR = 1 << 1,
	X_PORT = 1 << 2,
	X_PROTO = 1 << 3,
	X_HELO = 1 << 4,
	X_LOGIN = 1 << 5, /* of XCLIENT only, as the next two */
	X_DESTADDR = 1 << 6,
	X_DESTPORT = 1 << 7,
	X_IDENT = 1 << 8, /* of XFORWARD only, as the next one */
	X_SOURCE = 1 << 9
};

#define XCLIENT_VALUE_MAX ADDR_MAX /* octets of a value */

/* What was told.  A value "[UNAVAILABLE]" or "[TEMPUNAVAIL]" is in given, not in set. */
struct xclient {
	unsigned given, set; /* enum xclient_attr */
	char name[XCLIENT_VALUE_MAX + 1]; /* a host name */
	struct netaddr addr; /* with the port, if that is set */
	struct netaddr dest; /* the same */
	int esmtp; /* of X_PROTO */
	char helo[XCLIENT_VALUE_MAX + 1];
	char login[XCLIENT_VALUE_MAX + 1];
	char ident[XCLIENT_VALUE_MAX + 1]; /* printable, as the next one */
	char source[XCLIENT_VALUE_MAX + 1]; /* LOCAL or REMOTE */
};

/* May it say XCLIENT and XFORWARD?  from is the socket's address, or what PROXY told. */
int xclient_allowed(const struct conf_connector *k, const struct sockaddr_storage *from);

/*
 * The arguments of the commands: "NAME=value ADDR=value...", values in xtext (RFC 3461, 4).  What
 * x holds already stays where it is not named: XFORWARD may come several times.
 *
 * Returns 0, or -1 with the refusal in why; x is unchanged then.
 */
int xclient_parse(const char *args, struct xclient *x, struct answer *why);
int xforward_parse(const char *args, struct xclient *x, struct answer *why);

#endif
