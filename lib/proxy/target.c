/* Where a client behind a transparent connector wanted to go. */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* The kernel's want the C library's before them. */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "proxy/upstream_int.h"

/* IPv4 within IPv6 (RFC 4291, 2.5.5.2) is IPv4 to everybody else. */
static void
unmap(struct sockaddr_storage *ss)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct netaddr a, v4 = {.family = AF_INET};

	if (netaddr_from_sockaddr(&a, (const struct sockaddr *)ss) == -1 || a.family != AF_INET6 ||
	    memcmp(a.addr, mapped, sizeof mapped) != 0)
		return;
	memcpy(v4.addr, a.addr + sizeof mapped, 4);
	v4.port = a.port;
	(void)netaddr_to_sockaddr(&v4, ss);
}

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

/* The kernel talks to its own address from that address (RFC 6724, 5, rule 1); nothing is sent. */
static bool
talks_to_itself(int fd, const struct netaddr *a)
{
	struct sockaddr_storage to, from;
	socklen_t len = netaddr_to_sockaddr(a, &to), n = sizeof from;

	return connect(fd, (const struct sockaddr *)&to, len) == 0 &&
	       getsockname(fd, (struct sockaddr *)&from, &n) == 0 &&
	       memcmp(&((const struct sockaddr_in6 *)&to)->sin6_addr,
		   &((const struct sockaddr_in6 *)&from)->sin6_addr, 16) == 0;
}

/*
 * Is it an address of this machine?  No bind(2), which a proxy has not: with a socket of TPROXY it
 * could take any address.
 */
static bool
is_own(const struct netaddr *of)
{
	struct netaddr a = *of;
	int fd = socket(a.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct in_addr v4;
	bool own;

	if (fd == -1)
		return false;
	a.port = 9; /* discard; any will do */
	memcpy(&v4, a.addr, sizeof v4);
	/* In IPv4 the second address of a network may be talked to from the first. */
	own = a.family == AF_INET6
		  ? talks_to_itself(fd, &a)
		  : setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &v4, sizeof v4) == 0;
	(void)close(fd);
	return own;
}

static bool
is_local(const struct netaddr *of)
{
	/* Of blocks that no machine has an address in (RFC 1112, 4; RFC 6666). */
	static const uint8_t nobodys[2][16] = {{240, 0, 0, 1}, {0x01, [15] = 1}};
	struct netaddr b = *of;

	memcpy(b.addr, nobodys[of->family == AF_INET6], sizeof b.addr);
	/* Where every address is this machine's own nothing is known so. */
	return netaddr_is_loopback(of) || (is_own(of) && !is_own(&b));
}

bool
proxy_is_ours(const struct sockaddr_storage *to, bool local)
{
	const struct conf *c = proc_env()->conf;
	const struct conf_listener *l;
	struct netaddr a;
	size_t i, k;

	if (netaddr_from_sockaddr(&a, (const struct sockaddr *)to) == -1)
		return false;
	for (i = 0; i < c->nconnectors; i++)
		for (k = 0; k < c->connectors[i].nbound; k++) {
			l = &c->connectors[i].bound[k];
			if (l->addr.port != a.port || l->addr.family != a.family)
				continue;
			if (memcmp(l->addr.addr, a.addr, a.family == AF_INET ? 4 : 16) == 0 ||
			    (netaddr_is_any(&l->addr) && (local || is_local(&a))))
				return true;
		}
	return false;
}

int
proxy_target_of(const struct proxy_route *r, int fd, const struct sockaddr_storage *from,
    struct proxy_target *t, struct err *e)
{
	struct sockaddr_storage here;
	socklen_t n = sizeof here;

	t->from = *from;
	unmap(&t->from);
	memset(&here, 0, sizeof here);
	if (getsockname(fd, (struct sockaddr *)&here, &n) == -1)
		return err_sys(e, "getsockname");
	unmap(&here);
	if (r->transparent == CONF_TRANSPARENT_TPROXY) {
		/* The connection's own end is the server's address. */
		t->to = here;
	} else if (original(fd, &here, &t->to) == -1)
		return err_set(e, errno == ENOENT ? EINVAL : errno,
		    "nobody redirected this connection (%s): it came here directly",
		    strerrordesc_np(errno));
	else if (same(&t->to, &here))
		return err_set(
		    e, ELOOP, "it was not redirected: it wants the gateway itself: a loop");
	unmap(&t->to);
	if (proxy_is_ours(&t->to, false))
		return err_set(e, ELOOP, "it wants a listener of the gateway: a loop");
	return 0;
}
