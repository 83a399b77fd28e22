/*
 * Connections to the socket that checks logins of connectors with auth = sasl: smtpd's jail has no
 * way to it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "master/master.h"

int
sasl_open(const struct conf *c, const struct service *s, const char *connector, struct err *e)
{
	const struct conf_connector *k = conf_connector_find(c, connector);
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd;

	if (k == NULL || !service_listens(s, k))
		return err_set(e, ENOENT, "there is no such connector");
	if (!conf_queues(k) || k->auth != CONF_AUTH_SASL)
		return err_set(e, EPERM, "the connector has no auth = sasl");
	if (strlcpy(to.sun_path, k->sasl_socket, sizeof to.sun_path) >= sizeof to.sun_path)
		return err_set(e, ENAMETOOLONG, "%s: the path is too long", k->sasl_socket);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return err_sys(e, "socket");
	if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
		return fd;
	(void)err_sys(e, "%s", k->sasl_socket);
	close(fd);
	return -1;
}

void
sasl_answer(struct child *c, const struct ipc_msg *m)
{
	const struct sasl_req *q = m->body;
	char text[256];
	struct sasl_rep rep = {.text = text};
	struct err e = {0};
	int fd = -1;

	if (source_rate(&c->sources, clock_ms()) == -1)
		(void)err_set(&e, EAGAIN, "too many at once");
	else
		fd = sasl_open(M.conf, c->svc, q->connector, &e);
	(void)strlcpy(text, e.text, sizeof text);
	rep.ok = fd != -1;
	(void)chan_send(c->chan, M_sasl_rep, m->id, &rep, fd);
}
