#ifndef SMTPD_PROXYPROTO_H
#define SMTPD_PROXYPROTO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "conf/conf.h"

/*
 * The header that a balancer puts in front of a connection: who the client is (PROXY protocol of
 * haproxy, versions 1 and 2).  It comes before anything else, TLS too.
 */
#define PROXYPROTO_MAX 4096 /* octets of a header */
#define PROXYPROTO_MS 5000 /* for all of it */

/* Is this a balancer of the connector?  Then the header must come, from others it never may. */
int proxyproto_wanted(const struct conf_connector *k, const struct sockaddr_storage *from);

struct proxyproto {
	int local; /* the balancer itself, to see whether we live: the socket's addresses count */
	struct sockaddr_storage from, to; /* of the client's connection, unless local */
};

/*
 * Parse the front of a connection's input.
 *
 * Returns the octets of the header, with h set; 0: more is needed; -1 with errno EPROTO: this is
 * none, close without a word.
 */
ssize_t proxyproto_parse(const uint8_t *p, size_t n, struct proxyproto *h);

#endif
