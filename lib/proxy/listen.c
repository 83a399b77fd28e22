/* Listening sockets: accept what the connector and the limits allow. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "net/cidr.h"
#include "net/clients.h"
#include "proxy/route.h"

#define ACCEPT_BURST 64 /* connections taken before the loop looks at others again */
#define ACCEPT_PAUSE 100 /* milliseconds without descriptors or memory before the next try */

struct listening {
	LIST_ENTRY(listening) next;
	const struct proxy_service *service;
	char connector[65], address[65];
	int fd;
	struct event *readable, *resume;
};

static LIST_HEAD(, listening) listeners = LIST_HEAD_INITIALIZER(listeners);
static struct clients *clients;

static void
listener_free(struct listening *l)
{
	LIST_REMOVE(l, next);
	event_free(l->readable);
	event_free(l->resume);
	close(l->fd);
	free(l);
}

/* May this address have a session more?  Then it is counted. */
static int
enter(const struct conf_connector *k, const struct sockaddr_storage *from, enum proxy_refusal *why)
{
	const struct sockaddr *sa = (const struct sockaddr *)from;

	*why = PROXY_NOT_ALLOWED;
	if (k->clients.n > 0 && sa->sa_family != AF_UNSPEC &&
	    !cidr_match(k->clients.v, k->clients.n, sa))
		return -1;
	if (clients_enter(clients, sa) == 0)
		return 0;
	*why = errno == EUSERS ? PROXY_TOO_MANY_HERE : PROXY_TOO_MANY;
	return -1;
}

int
proxy_is_balancer(const struct conf_connector *k, const struct sockaddr_storage *from)
{
	return cidr_match(k->proxy_protocol.v, k->proxy_protocol.n, (const struct sockaddr *)from);
}

int
proxy_readmit(const struct conf_connector *k, const struct sockaddr_storage *before,
    const struct sockaddr_storage *from, enum proxy_refusal *why)
{
	clients_leave(clients, (const struct sockaddr *)before);
	return enter(k, from, why);
}

static void
admit(struct listening *l, int fd, const struct sockaddr_storage *from)
{
	static const struct sockaddr_storage nobody = {.ss_family = AF_UNSPEC};
	const struct conf_connector *k = proxy_connector(l->connector);
	const struct conf_listener *at = k != NULL ? conf_listener_find(k, l->address) : NULL;
	enum proxy_refusal why;

	if (at == NULL) /* a reload has just taken it away */
		close(fd);
	else if (enter(k, proxy_is_balancer(k, from) ? &nobody : from, &why) == -1)
		l->service->refuse(why, fd, from);
	else
		l->service->accept(k, at, fd, from);
}

static void
on_readable(evutil_socket_t sock, short what, void *arg)
{
	static const struct timeval pause = {0, ACCEPT_PAUSE * 1000};
	struct listening *l = arg;
	struct sockaddr_storage from;
	socklen_t len;
	int fd, i;

	(void)what;
	for (i = 0; i < ACCEPT_BURST; i++) {
		len = sizeof from;
		memset(&from, 0, sizeof from);
		fd = accept4(sock, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			admit(l, fd, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn("cannot accept on %s: %s", l->address, strerror(errno));
			(void)event_del(l->readable);
			(void)event_add(l->resume, &pause);
			return;
		}
		if (errno == EAGAIN)
			return;
		/* Other errors belong to a connection that was gone before it was taken. */
	}
}

static void
on_resume(evutil_socket_t sock, short what, void *arg)
{
	struct listening *l = arg;

	(void)sock;
	(void)what;
	(void)event_add(l->readable, NULL);
}

int
proxy_limits(const struct conf_limits *l, struct err *e)
{
	unsigned total = (unsigned)l->sessions, each = (unsigned)l->sessions_per_client;

	proxy_route_renew();
	if (each > total)
		each = total;
	if (clients == NULL)
		clients = clients_new(total, each);
	else if (clients_limits(clients, total, each) == -1)
		return err_sys(e, "limits of sessions");
	return clients == NULL ? err_sys(e, "limits of sessions") : 0;
}

int
proxy_listen(const struct proxy_service *s, const struct conf_connector *k, const char *address,
    int fd, struct err *e)
{
	struct event_base *base = proc_env()->base;
	struct listening *l = NULL;

	if (clients == NULL && proxy_limits(&proc_env()->conf->limits, e) == -1)
		goto fail;
	if ((l = calloc(1, sizeof *l)) == NULL) {
		(void)err_sys(e, "memory");
		goto fail;
	}
	l->service = s;
	l->fd = fd;
	(void)strlcpy(l->connector, k->name, sizeof l->connector);
	(void)strlcpy(l->address, address, sizeof l->address);
	l->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, l);
	l->resume = evtimer_new(base, on_resume, l);
	if (l->readable == NULL || l->resume == NULL || event_add(l->readable, NULL) == -1) {
		(void)err_sys(e, "memory");
		goto fail;
	}
	LIST_INSERT_HEAD(&listeners, l, next);
	return 0;
fail:
	if (l != NULL) {
		if (l->readable != NULL)
			event_free(l->readable);
		if (l->resume != NULL)
			event_free(l->resume);
		free(l);
	}
	close(fd);
	return -1;
}

void
proxy_unlisten(const char *connector, const char *address)
{
	struct listening *l, *next;

	LIST_FOREACH_SAFE (l, &listeners, next, next)
		if (strcmp(l->connector, connector) == 0 && strcmp(l->address, address) == 0)
			listener_free(l);
}

void
proxy_unlisten_all(void)
{
	struct listening *l;

	while ((l = LIST_FIRST(&listeners)) != NULL)
		listener_free(l);
}

void
proxy_left(const struct sockaddr_storage *from)
{
	clients_leave(clients, (const struct sockaddr *)from);
}
