#include "proxy/factor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FACTOR_MS 10000 /* milliseconds for policyd to answer, its restart included */

struct factor {
	factor_done done;
	void *arg;
	struct proc_req *req;
	struct event *now; /* what is known at once is told from the loop */
	enum factor_result result; /* for it */
	const char *why;
};

int
factor_split(const struct proxy_route *r, struct credentials *c, char secret[FACTOR_SECRET_MAX + 1])
{
	char *colon;
	size_t n, rest;

	secret[0] = '\0';
	if (r->second_factor != CONF_FACTOR_PASSWORD)
		return 0;
	if ((colon = strchr(c->password, ':')) == NULL)
		return -1;
	n = (size_t)(colon - c->password);
	rest = strlen(colon + 1);
	if (n == 0 || n > FACTOR_SECRET_MAX || rest == 0)
		return -1;
	memcpy(secret, c->password, n);
	secret[n] = '\0';
	memmove(c->password, colon + 1, rest + 1);
	explicit_bzero(c->password + rest + 1, sizeof c->password - rest - 1);
	return 0;
}

static void
finish(struct factor *f, enum factor_result result, const char *why)
{
	factor_done done = f->done;
	void *arg = f->arg;

	factor_cancel(f);
	done(result, why, arg);
}

static void
on_answer(void *arg, struct ipc_msg *m, int error)
{
	struct factor *f = arg;
	const struct factor_rep *p;

	f->req = NULL;
	if (m == NULL) {
		finish(f, FACTOR_DEFER,
		    error == ETIMEDOUT ? "policyd does not answer" : "policyd is gone");
		return;
	}
	p = m->body;
	finish(f, p->result, p->why);
}

static void
on_now(evutil_socket_t fd, short what, void *arg)
{
	struct factor *f = arg;

	(void)fd;
	(void)what;
	finish(f, f->result, f->why);
}

static void
ask(struct factor *f, const struct proxy_route *r, const struct credentials *c,
    const struct conn *client, const char *secret)
{
	struct mailbox addrs[FACTOR_ADDRS_MAX];
	struct factor_req q = {
	    .tenant = r->tenant,
	    .connector = r->connector,
	    .peer = r->peer,
	    .authzid = c->authzid,
	    .authcid = c->authcid,
	    .secret = secret,
	};
	const char *a;
	unsigned n = 0, i;

	for (i = 0; n < FACTOR_ADDRS_MAX && (a = conn_tls_client_addr(client, i)) != NULL; i++)
		if (strlen(a) <= ADDR_MAX)
			addrs[n++].addr = a;
	q.addrs.v = addrs;
	q.addrs.n = n;
	f->req = proc_request(P_POLICYD, M_factor_req, &q, FACTOR_MS, on_answer, f);
}

struct factor *
factor_ask(const struct proxy_route *r, const struct credentials *c, const struct conn *client,
    const char *secret, factor_done done, void *arg)
{
	static const struct timeval now = {0, 0};
	struct factor *f = calloc(1, sizeof *f);

	if (f == NULL)
		return NULL;
	f->done = done;
	f->arg = arg;
	if ((f->now = evtimer_new(proc_env()->base, on_now, f)) == NULL) {
		free(f);
		errno = ENOMEM;
		return NULL;
	}
	f->result = FACTOR_OK;
	f->why = "";
	if (r->second_factor != CONF_FACTOR_NONE) {
		ask(f, r, c, client, secret);
		f->result = FACTOR_DEFER;
		f->why = "policyd cannot be asked";
	}
	if (f->req == NULL)
		(void)event_add(f->now, &now);
	return f;
}

void
factor_cancel(struct factor *f)
{
	if (f == NULL)
		return;
	proc_cancel(f->req);
	event_free(f->now);
	free(f);
}
