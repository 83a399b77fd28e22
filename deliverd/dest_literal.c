#include "deliverd/dest.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

bool
dest_is_literal(const char *domain)
{
	return domain[0] == '[';
}

int
dest_literal(const char *domain, struct netaddr *a)
{
	char text[NETADDR_TEXT_MAX];
	size_t n = strlen(domain);
	bool v6;

	errno = EINVAL;
	if (n < 3 || domain[0] != '[' || domain[n - 1] != ']')
		return -1;
	v6 = strncasecmp(domain + 1, "IPv6:", 5) == 0;
	domain += v6 ? 6 : 1;
	n -= v6 ? 7 : 2;
	if (n >= sizeof text)
		return -1;
	memcpy(text, domain, n);
	text[n] = '\0';
	/* Brackets within brackets are no address, and an address of the other family is none. */
	if (text[0] == '[' || netaddr_parse_host(text, a) == -1 || (a->family == AF_INET6) != v6) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}
