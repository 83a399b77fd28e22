#include "net/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

bool
cidr_match(const struct net *nets, size_t n, const struct sockaddr *sa)
{
	struct netaddr a;
	size_t i;

	if (netaddr_from_sockaddr(&a, sa) == -1)
		return false;
	for (i = 0; i < n; i++)
		if (net_contains(&nets[i], &a))
			return true;
	return false;
}

/* The address alone, v4-mapped as IPv4; its port, or -1 when sa has none. */
static int
addr_text(char out[INET6_ADDRSTRLEN], const struct sockaddr *sa)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	if (sa->sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &in->sin_addr, out, INET6_ADDRSTRLEN);
		return ntohs(in->sin_port);
	}
	if (sa->sa_family != AF_INET6)
		return -1;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		(void)inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
	else
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, out, INET6_ADDRSTRLEN);
	return ntohs(in6->sin6_port);
}

char *
cidr_text(char *out, size_t outsz, const struct sockaddr *sa)
{
	char addr[INET6_ADDRSTRLEN];

	(void)snprintf(out, outsz, "[%s]", addr_text(addr, sa) == -1 ? "local" : addr);
	return out;
}

char *
cidr_text_port(char *out, size_t outsz, const struct sockaddr *sa)
{
	char addr[INET6_ADDRSTRLEN];
	int port = addr_text(addr, sa);

	if (port == -1)
		(void)snprintf(out, outsz, "[local]");
	else
		(void)snprintf(out, outsz, "[%s]:%d", addr, port);
	return out;
}
