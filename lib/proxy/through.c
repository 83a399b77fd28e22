/* TLS that passes untouched. */
#include "proxy/through.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "net/cidr.h"
#include "net/tunnel.h"

/* One tunnel, or its beginning. */
struct through {
	LIST_ENTRY(through) next;
	const struct proxy_route *r;
	char who[CIDR_TEXT_MAX]; /* "[192.0.2.1]" */
	char server[HOST_MAX + 8];
	int client; /* until there is a tunnel */
	struct upstream *up;
	struct tunnel *tunnel;
	struct sockaddr_storage from;
	through_left left; /* NULL: proxy_left */
	void *arg;
};

static LIST_HEAD(, through) all = LIST_HEAD_INITIALIZER(all);
static unsigned count;
static bool draining;

static struct through *new (const struct proxy_route *r, const char *who)
{
	struct through *x = calloc(1, sizeof *x);

	if (x == NULL)
		return NULL;
	x->r = r;
	x->client = -1;
	(void)strlcpy(x->who, who, sizeof x->who);
	LIST_INSERT_HEAD(&all, x, next);
	count++;
	return x;
}

static void
end(struct through *x)
{
	through_left left = x->left;
	struct sockaddr_storage from = x->from;
	void *arg = x->arg;

	LIST_REMOVE(x, next);
	count--;
	upstream_free(x->up);
	tunnel_free(x->tunnel);
	if (x->client != -1)
		(void)close(x->client);
	if (left != NULL)
		left(arg);
	else {
		proxy_left(&from);
		proxy_route_drop(x->r);
	}
	free(x);
}

static void
on_end(const struct tunnel_end *how, void *arg)
{
	struct through *x = arg;

	x->tunnel = NULL; /* it frees itself */
	log_info("connector %s: tunnel from unknown%s to %s has ended%s%s: %llu octets sent, %llu "
		 "received",
	    x->r->connector, x->who, x->server, how->text[0] != '\0' ? ": " : "", how->text,
	    (unsigned long long)how->octets[0], (unsigned long long)how->octets[1]);
	end(x);
}

/* Takes both sockets over. 0, or -1 with errno. */
static int
dig(struct through *x, int client, int server, struct bytes to_client)
{
	const struct conf_limits *l = &x->r->limits;
	const struct tunnel_limits limits = {
	    .idle_ms =
		(uint32_t)((proc_env()->self == P_SMTPD ? l->idle_timeout : l->pop3_idle_timeout) *
			   1000),
	    .total_ms = (uint32_t)(l->session_timeout * 1000),
	};

	x->tunnel = tunnel_new(proc_env()->base, client, server, (struct bytes){NULL, 0}, to_client,
	    &limits, on_end, x);
	if (x->tunnel == NULL)
		return -1;
	log_info("connector %s: tunnel from unknown%s to %s: TLS passes untouched", x->r->connector,
	    x->who, x->server);
	return 0;
}

static void
on_connected(int fd, const char *text, void *arg)
{
	struct through *x = arg;
	int client = x->client;

	(void)strlcpy(x->server, upstream_name(x->up), sizeof x->server);
	if (fd == -1) {
		log_warn("connector %s: no tunnel from unknown%s to %s: %s", x->r->connector,
		    x->who, x->server, text);
		if (x->r->transparent == CONF_TRANSPARENT_NO)
			upstream_failed(x->r, text);
		end(x);
		return;
	}
	upstream_free(x->up);
	x->up = NULL;
	x->client = -1;
	if (dig(x, client, fd, (struct bytes){NULL, 0}) == 0)
		return;
	log_err("connector %s: no tunnel: %s", x->r->connector, strerrordesc_np(errno));
	end(x);
}

void
through_accept(const struct proxy_route *r, int fd, const struct sockaddr_storage *from)
{
	struct proxy_target target, *to = NULL;
	char who[CIDR_TEXT_MAX];
	struct through *x = NULL;
	struct err e;

	(void)cidr_text(who, sizeof who, (const struct sockaddr *)from);
	log_info("connect from unknown%s, connector=%s", who, r->connector);
	if (r->transparent != CONF_TRANSPARENT_NO) {
		to = &target;
		if (proxy_target_of(r, fd, from, &target, &e) == -1)
			goto fail;
	}
	if ((x = new (r, who)) == NULL) {
		(void)err_sys(&e, "memory");
		goto fail;
	}
	x->from = *from;
	x->client = fd;
	if ((x->up = upstream_connect(r, to, true, on_connected, x)) != NULL)
		return;
	log_err("connector %s: no tunnel: %s", r->connector, strerrordesc_np(errno));
	end(x);
	return;
fail:
	log_warn("connector %s: no tunnel for unknown%s: %s", r->connector, who, e.text);
	(void)close(fd);
	proxy_left(from);
	proxy_route_drop(r);
}

int
through_begin(const struct proxy_route *r, struct conn *client, struct conn *server,
    const char *answer, const char *who, const char *where, through_left left, void *arg,
    struct err *e)
{
	struct buf out;
	struct through *x;
	size_t n;
	int fd[2];

	(void)conn_in(server, &n);
	if (n > 0)
		return err_set(e, EPROTO,
		    "%s sent %zu octets in clear where TLS had to begin: somebody may have put "
		    "them in",
		    where, n);
	if (draining)
		return err_set(e, EAGAIN, "the gateway is shutting down");
	buf_init(&out, THROUGH_OUT_MAX);
	if ((x = new (r, who)) == NULL || (fd[1] = conn_release(server, NULL, NULL)) == -1) {
		(void)err_sys(e, "%s", where);
		conn_free(server);
		goto fail;
	}
	(void)strlcpy(x->server, where, sizeof x->server);
	/* What the client has sent in clear by now is thrown away. */
	if ((fd[0] = conn_release(client, NULL, &out)) == -1) {
		(void)err_sys(e, "the client's connection");
		(void)close(fd[1]);
		goto fail;
	}
	x->left = left;
	x->arg = arg;
	if (buf_put(&out, answer, strlen(answer)) == -1) {
		(void)close(fd[0]);
		(void)close(fd[1]);
	} else if (dig(x, fd[0], fd[1], (struct bytes){buf_ptr(&out), buf_len(&out)}) == 0) {
		buf_free(&out);
		return 0;
	}
	/* The connections are gone: the owner hears of the end as of any other. */
	log_err("connector %s: no tunnel: %s", r->connector, strerrordesc_np(errno));
	buf_free(&out);
	end(x);
	return 0;
fail:
	buf_free(&out);
	if (x != NULL) {
		LIST_REMOVE(x, next);
		count--;
		free(x);
	}
	return -1;
}

unsigned
through_count(void)
{
	return count;
}

void
through_drain(void)
{
	struct through *x;

	draining = true;
	while ((x = LIST_FIRST(&all)) != NULL) {
		log_info("connector %s: tunnel from unknown%s to %s is ended: the gateway is "
			 "shutting down",
		    x->r->connector, x->who, x->server);
		end(x);
	}
}
