/* Where a client behind a transparent connector wanted to go. */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>

/* The kernel's want the C library's before them. */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "proxy/upstream.h"

static bool
same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	struct netaddr x, y;

	return netaddr_from_sockaddr(&x, (const struct sockaddr *)a) == 0 &&
	       netaddr_from_sockaddr(&y, (const struct sockaddr *)b) == 0 && x.family == y.family &&
	       x.port == y.port && memcmp(x.addr, y.addr, x.family == AF_INET ? 4 : 16) == 0;
}

/* REDIRECT and DNAT keep what was there before them. */
static int
original(int fd, const struct sockaddr_storage *here, struct sockaddr_storage *to)
{
	socklen_t n = sizeof *to;
	int level = here->ss_family == AF_INET ? SOL_IP : SOL_IPV6;
	int name = here->ss_family == AF_INET ? SO_ORIGINAL_DST : IP6T_SO_ORIGINAL_DST;

	memset(to, 0, sizeof *to);
	return getsockopt(fd, level, name, to, &n);
}

int
proxy_target_of(const struct proxy_route *r, int fd, const struct sockaddr_storage *from,
    struct proxy_target *t, struct err *e)
{
	struct sockaddr_storage here;
	socklen_t n = sizeof here;

	t->from = *from;
	memset(&here, 0, sizeof here);
	if (getsockname(fd, (struct sockaddr *)&here, &n) == -1)
		return err_sys(e, "getsockname");
	if (r->transparent == CONF_TRANSPARENT_TPROXY) {
		/* The connection's own end is the server's address; upstream refuses ours. */
		t->to = here;
		return 0;
	}
	if (original(fd, &here, &t->to) == -1)
		return err_set(e, errno == ENOENT ? EINVAL : errno,
		    "nobody redirected this connection (%s): it came here directly",
		    strerrordesc_np(errno));
	if (same(&t->to, &here))
		return err_set(e, ELOOP, "it was not redirected: it wants the gateway itself");
	return 0;
}
