#include <errno.h>
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

static int
open_socket(const struct netaddr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(a, &ss);
	const int on = 1;
	int fd, saved;

	fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
	    (a->family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == -1) ||
	    bind(fd, (const struct sockaddr *)&ss, len) == -1 || listen(fd, BACKLOG) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int
bind_one(
    struct listeners *l, const struct conf_connector *k, const struct netaddr *a, struct err *e)
{
	struct listener_fd *n = &l->v[l->n], *other;

	if (find(l, k, a) != NULL)
		return 0;
	if (l->n == LISTENERS_MAX)
		return err_set(e, EMSGSIZE, "connector \"%s\": more than %d listeners", k->name,
		    LISTENERS_MAX);
	memset(n, 0, sizeof *n);
	(void)strlcpy(n->connector, k->name, sizeof n->connector);
	(void)netaddr_format(n->text, sizeof n->text, ':', a);
	n->addr = *a;
	n->service = k->service;
	n->fresh = 1;
	if ((other = find_addr(l, a)) != NULL)
		n->fd = dup(other->fd);
	else
		n->fd = open_socket(a);
	if (n->fd == -1)
		return err_sys(e, "connector \"%s\" cannot listen on %s", k->name, n->text);
	l->n++;
	return 0;
}

/* Bind what the configuration has and l has not. On -1 call listen_undo. */
int
listen_bind(struct listeners *l, const struct conf *c, struct err *e)
{
	size_t i, j;

	for (i = 0; i < c->nconnectors; i++)
		for (j = 0; j < c->connectors[i].listen.n; j++)
			if (bind_one(l, &c->connectors[i], &c->connectors[i].listen.v[j], e) == -1)
				return -1;
	return 0;
}

static int
wanted(const struct listener_fd *l, const struct conf *c)
{
	const struct conf_connector *k = conf_connector_find(c, l->connector);
	size_t j;

	for (j = 0; k != NULL && j < k->listen.n; j++)
		if (k->service == l->service && same_addr(&k->listen.v[j], &l->addr))
			return 1;
	return 0;
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
	size_t i = 0;

	while (i < l->n)
		if (wanted(&l->v[i], c))
			l->v[i++].fresh = 0;
		else
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
