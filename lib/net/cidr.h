#ifndef NET_CIDR_H
#define NET_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/netaddr.h"

/* Socket addresses against blocks of base/netaddr.h, and as log lines and trace headers want. */

/*
 * Whether the address of sa is inside one of n blocks.  IPv4 mapped into IPv6 matches as IPv4.
 * An address of another family (a Unix socket) is in no block.
 */
bool cidr_match(const struct net *nets, size_t n, const struct sockaddr *sa);

#define CIDR_TEXT_MAX NETADDR_TEXT_MAX

/*
 * The address as Postfix writes it, "[192.0.2.1]", "[2001:db8::1]", mapped IPv4 as IPv4,
 * "[local]" for another family; with port "[192.0.2.1]:25".  out holds CIDR_TEXT_MAX.
 *
 * Returns out.
 */
char *cidr_text(char *out, size_t outsz, const struct sockaddr *sa);
char *cidr_text_port(char *out, size_t outsz, const struct sockaddr *sa);

#endif
