/*
 * Sockets with a client's address as their source, for connectors with keep_source: the one thing
 * that a proxy has no right to make.  What it asks for is checked as if it were broken into.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "master/master.h"

static int
is_client(const struct conf_connector *k, const struct netaddr *a)
{
	size_t i;

	for (i = 0; i < k->clients.n; i++)
		if (net_contains(&k->clients.v[i], a))
			return 1;
	return k->clients.n == 0;
}

/* An address that a client cannot have. */
static int
is_special(const struct netaddr *a)
{
	const uint8_t *p = a->addr;

	if (netaddr_is_any(a) || netaddr_is_loopback(a))
		return 1;
	if (a->family == AF_INET) /* "this network"; multicast and all that is above */
		return p[0] == 0 || p[0] >= 224;
	/* Multicast; link-local, which means nothing without its interface. */
	return p[0] == 0xff || (p[0] == 0xfe && (p[1] & 0xc0) == 0x80);
}

int
source_check(const struct conf *c, const struct service *s, const struct source_req *q,
    struct netaddr *a, struct err *e)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const struct conf_connector *k = conf_connector_find(c, q->connector);

	if (k == NULL || !service_listens(s, k))
		return err_set(e, ENOENT, "there is no such connector");
	if (k->transparent != CONF_TRANSPARENT_TPROXY || !k->keep_source)
		return err_set(e, EPERM, "the connector has no keep_source");
	memset(a, 0, sizeof *a);
	if (q->ip.n == 4 || (q->ip.n == 16 && memcmp(q->ip.p, mapped, sizeof mapped) == 0)) {
		a->family = AF_INET;
		memcpy(a->addr, q->ip.p + q->ip.n - 4, 4);
	} else if (q->ip.n == 16) {
		a->family = AF_INET6;
		memcpy(a->addr, q->ip.p, 16);
	} else
		return err_set(e, EINVAL, "an address has 4 or 16 octets");
	if (is_special(a))
		return err_set(e, EINVAL, "no address that a client can have");
	if (!is_client(k, a))
		return err_set(e, EACCES, "the address is not among the connector's clients");
	return 0;
}

int
source_open(const struct netaddr *a, struct err *e)
{
	struct sockaddr_storage ss;
	socklen_t len = netaddr_to_sockaddr(a, &ss);
	const int on = 1;
	int fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return err_sys(e, "socket");
	if (listen_transparent(fd, a->family, 1) == -1)
		(void)err_sys(e, "IP_TRANSPARENT");
	/* The port is chosen by connect, which knows both ends: there are many more that way. */
	else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
		 setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == -1 ||
		 bind(fd, (const struct sockaddr *)&ss, len) == -1)
		(void)err_sys(e, "bind");
	else
		return fd;
	close(fd);
	return -1;
}

int
source_rate(struct source_rate *r, uint64_t now)
{
	uint64_t more = (now - r->at) * SOURCES_PER_S / 1000;

	if (r->at == 0 || more >= SOURCES_BURST) {
		r->left = SOURCES_BURST;
		r->at = now;
	} else if (more > 0) {
		r->left = r->left + more > SOURCES_BURST ? SOURCES_BURST : r->left + (unsigned)more;
		r->at += more * 1000 / SOURCES_PER_S;
	}
	if (r->left == 0)
		return -1;
	r->left--;
	return 0;
}

void
source_answer(struct child *c, const struct ipc_msg *m)
{
	const struct source_req *q = m->body;
	char text[256];
	struct source_rep rep = {.text = text};
	struct netaddr a;
	struct err e = {0};
	int fd = -1;

	if (source_rate(&c->sources, clock_ms()) == -1)
		(void)err_set(&e, EAGAIN, "too many at once");
	else if (source_check(M.conf, c->svc, q, &a, &e) == 0)
		fd = source_open(&a, &e);
	(void)strlcpy(text, e.text, sizeof text);
	rep.ok = fd != -1;
	(void)chan_send(c->chan, M_source_rep, m->id, &rep, fd);
}
