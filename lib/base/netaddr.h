#ifndef BASE_NETADDR_H
#define BASE_NETADDR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Addresses as people write them. Nothing here resolves a name. */

#define HOST_MAX 254 /* octets of a host name or address with its NUL (RFC 1035, 2.3.4) */
#define HOSTPORT_TEXT_MAX (HOST_MAX + 8) /* "[host]:65535" and a NUL */
#define NETADDR_TEXT_MAX 56 /* "[v6]:65535" and a NUL */
#define NET_TEXT_MAX 52 /* "v6/128" and a NUL */

/* A numeric address with a port. */
struct netaddr {
	int family; /* AF_INET or AF_INET6 */
	uint8_t addr[16]; /* network order; AF_INET uses the first 4 */
	uint16_t port; /* host order; 0 when none was given */
};

/* A name or numeric address with a port. */
struct hostport {
	char host[HOST_MAX]; /* without brackets */
	uint16_t port;
};

/* A block of addresses in CIDR notation (RFC 4632, 3.1); the bits behind the prefix are zero. */
struct net {
	int family; /* AF_INET or AF_INET6 */
	uint8_t addr[16];
	unsigned bits; /* 0 to 32 or 128 */
};

/*
 * A numeric address without a port: "192.0.2.1", "2001:db8::1", "[2001:db8::1]".  No scope, no
 * short forms of IPv4.  Returns 0, or -1 with EINVAL.
 */
int netaddr_parse_host(const char *s, struct netaddr *a);

/*
 * "192.0.2.1:25", "[2001:db8::1]:25"; the port stands after sep (':' or, as resolvers write it,
 * '@', where the brackets may be missing).  defport, if not 0, is taken when there is no port.
 *
 * Returns 0, or -1 with EINVAL (no address, no port, port not 1 to 65535).
 */
int netaddr_parse(const char *s, char sep, uint16_t defport, struct netaddr *a);

/* The canonical text of an address with its port; out holds NETADDR_TEXT_MAX. Returns out. */
char *netaddr_format(char *out, size_t outsz, char sep, const struct netaddr *a);

/* To and from a socket address. from_sockaddr: -1 with EAFNOSUPPORT when it is neither family. */
socklen_t netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *ss);
int netaddr_from_sockaddr(struct netaddr *a, const struct sockaddr *sa);

/* Whether the address is of 127.0.0.0/8, ::1, or one of the former mapped into IPv6. */
int netaddr_is_loopback(const struct netaddr *a);

/* Whether the address is 0.0.0.0 or ::. */
int netaddr_is_any(const struct netaddr *a);

/*
 * "name:25", "192.0.2.1:25", "[2001:db8::1]:25"; the port is required.
 * Returns 0, or -1 with EINVAL.
 */
int hostport_parse(const char *s, struct hostport *hp);
char *hostport_format(char *out, size_t outsz, const struct hostport *hp);

/*
 * Whether s can be a host name (RFC 1123, 2.1): labels of 1 to 63 letters, digits, hyphens (not
 * at an end) or underscores inside, 253 octets at most, the last label not all digits.
 */
int host_valid(const char *s);

/* "127.0.0.1", "::1", "localhost" and the rest of 127.0.0.0/8. */
int host_is_loopback(const char *s);

/*
 * "10.0.0.0/8", "fd00::/8", "192.0.2.1" (all bits), brackets allowed around an IPv6 address.
 *
 * Returns 0, or -1 with errno EINVAL (no address, prefix too long) or EDOM (bits set behind the
 * prefix: "10.0.0.1/8" is more often a mistake than not).
 */
int net_parse(const char *s, struct net *net);

/* Canonical text, with the prefix length unless it covers all bits; out holds NET_TEXT_MAX. */
char *net_format(char *out, size_t outsz, const struct net *net);

/* Whether a is inside net. IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2) matches as IPv4. */
int net_contains(const struct net *net, const struct netaddr *a);

#endif
