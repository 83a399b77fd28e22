#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "master/master.h"

#define BACKLOG 1024

static int
same_addr(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->addr, b->addr, a->family == AF_INET ? 4 : 16) == 0;
}

static struct listener_fd *
find(struct listeners *l, const struct conf_connector *k, const struct netaddr *a)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i].connector, k->name) == 0 && same_addr(&l->v[i].addr, a))
			return &l->v[i];
	return NULL;
}

/* The socket of another connector at this address, which the new configuration gives to k. */
static struct listener_fd *
find_addr(struct listeners *l, const struct netaddr *a)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (same_addr(&l->v[i].addr, a))
			return &l->v[i];
	return NULL;
}

int
listen_transparent(int fd, int family, int on)
{
	return family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on)
				  : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on);
}

static int
close_keeping_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
	return -1;
}

/*
 * Could a socket at this address change its mode?  One that is listening is never bound a second
 * time: there would be a moment in which clients are refused.
 */
static int
may_change(const struct netaddr *a, int transparent)
{
	struct netaddr any_port = *a;
	struct sockaddr_storage ss;
	socklen_t len;
	int fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	any_port.port = 0;
	len = netaddr_to_sockaddr(&any_port, &ss);
	if (fd == -1)
		return -1;
	/* Without the mode it must be an address of this machine. */
	if ((transparent && listen_transparent(fd, a->family, 1) == -1) ||
	    bind(fd, (const struct sockaddr *)&ss, len) == -1)
		return close_keeping_errno(fd);
	close(fd);
	return 0;
}

static int
open_socket(const struct netaddr *a, int transparent)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(a, &ss);
	const int on = 1;
	int fd;

	fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
	    (a->family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == -1) ||
	    (transparent && listen_transparent(fd, a->family, 1) == -1) ||
	    bind(fd, (const struct sockaddr *)&ss, len) == -1 || listen(fd, BACKLOG) == -1)
		return close_keeping_errno(fd);
	return fd;
}

static int
is_tproxy(const struct conf_connector *k)
{
	return k->transparent == CONF_TRANSPARENT_TPROXY;
}

static int
cannot(const struct conf_connector *k, const char *address, struct err *e)
{
	if (errno == EPERM && is_tproxy(k))
		return err_set(e, EPERM,
		    "connector \"%s\" cannot listen on %s: transparent = tproxy needs the right "
		    "CAP_NET_ADMIN or CAP_NET_RAW: start postern as root, or take the other way, "
		    "transparent = redirect",
		    k->name, address);
	return err_sys(e, "connector \"%s\" cannot listen on %s", k->name, address);
}

static int
bind_one(
    struct listeners *l, const struct conf_connector *k, const struct netaddr *a, struct err *e)
{
	struct listener_fd *n = &l->v[l->n], *other = find(l, k, a);
	char text[NETADDR_TEXT_MAX];

	(void)netaddr_format(text, sizeof text, ':', a);
	if (other != NULL) {
		/* Its mode changes when the configuration counts: listen_settle. */
		if (other->transparent != is_tproxy(k) && may_change(a, is_tproxy(k)) == -1)
			return cannot(k, text, e);
		return 0;
	}
	if (l->n == LISTENERS_MAX)
		return err_set(e, EMSGSIZE, "connector \"%s\": more than %d listeners", k->name,
		    LISTENERS_MAX);
	memset(n, 0, sizeof *n);
	(void)strlcpy(n->connector, k->name, sizeof n->connector);
	memcpy(n->text, text, sizeof n->text);
	n->addr = *a;
	n->service = k->service;
	n->fresh = 1;
	n->fd = -1;
	if ((other = find_addr(l, a)) == NULL) {
		n->transparent = is_tproxy(k);
		n->fd = open_socket(a, n->transparent);
	} else {
		n->transparent = other->transparent;
		if (n->transparent == is_tproxy(k) || may_change(a, is_tproxy(k)) == 0)
			n->fd = fcntl(other->fd, F_DUPFD_CLOEXEC, 0);
	}
	if (n->fd == -1)
		return cannot(k, text, e);
	l->n++;
	return 0;
}

/* Bind what the configuration has and l has not. On -1 call listen_undo. */
int
listen_bind(struct listeners *l, const struct conf *c, struct err *e)
{
	size_t i, j;

	for (i = 0; i < c->nconnectors; i++)
		for (j = 0; j < c->connectors[i].nbound; j++)
			if (bind_one(l, &c->connectors[i], &c->connectors[i].bound[j].addr, e) ==
			    -1)
				return -1;
	return 0;
}

/* The connector that has it in this configuration, or NULL. */
static const struct conf_connector *
owner(const struct listener_fd *l, const struct conf *c)
{
	const struct conf_connector *k = conf_connector_find(c, l->connector);
	size_t j;

	for (j = 0; k != NULL && j < k->nbound; j++)
		if (k->service == l->service && same_addr(&k->bound[j].addr, &l->addr))
			return k;
	return NULL;
}

static void
set_mode(struct listener_fd *l, const struct conf_connector *k)
{
	if (l->transparent == is_tproxy(k))
		return;
	if (listen_transparent(l->fd, l->addr.family, is_tproxy(k)) == -1)
		log_err("listener %s: IP_TRANSPARENT: %s", l->text, strerror(errno));
	else
		l->transparent = is_tproxy(k);
}

static void
drop_at(struct listeners *l, size_t i)
{
	close(l->v[i].fd);
	l->v[i] = l->v[--l->n];
}

/* The configuration counts from now on: close what it does not have. */
void
listen_settle(struct listeners *l, const struct conf *c)
{
	const struct conf_connector *k;
	size_t i = 0;

	while (i < l->n)
		if ((k = owner(&l->v[i], c)) != NULL) {
			set_mode(&l->v[i], k);
			l->v[i++].fresh = 0;
		} else
			drop_at(l, i);
}

/* Close what was bound since the last listen_settle. */
void
listen_undo(struct listeners *l)
{
	size_t i = 0;

	while (i < l->n)
		if (l->v[i].fresh)
			drop_at(l, i);
		else
			i++;
}
