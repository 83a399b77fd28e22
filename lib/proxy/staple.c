/* OCSP responses for our own certificates (RFC 6066, 8): from keyd, before the last one is old. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proc/proc.h"
#include "proxy/certs.h"

#define ASK_MS 30000 /* milliseconds for keyd to find out */
#define HOUR 3600
#define LEAST 60 /* seconds between two questions */

struct staple {
	struct tls_file *c;
	struct proc_req *req;
	struct event *timer;
	int64_t valid_until; /* seconds since the epoch; 0: nothing is stapled */
	bool complained;
};

static void
later(struct staple *s, uint64_t seconds)
{
	struct timeval tv = {(time_t)seconds, 0};

	(void)event_add(s->timer, &tv);
}

static void
complain(struct staple *s, const char *why)
{
	if (!s->complained)
		log_warn("certificate %s: nothing to staple: %s", log_str(s->c->path), why);
	s->complained = true;
	/* What has ended would only be refused. */
	if (s->valid_until != 0 && s->valid_until <= (int64_t)clock_unix()) {
		(void)tls_cert_staple(s->c->cert, NULL, 0);
		s->valid_until = 0;
	}
}

static void
on_answer(void *arg, struct ipc_msg *m, int error)
{
	struct staple *s = arg;
	const struct ocsp_rep *p;
	uint64_t now = clock_unix(), wait = HOUR;

	s->req = NULL;
	later(s, LEAST * 5);
	if (m == NULL) {
		complain(s, strerrordesc_np(error));
		return;
	}
	p = m->body;
	if (p->status != OCSP_GOOD || p->response.n == 0) {
		complain(s, p->text);
		return;
	}
	if (tls_cert_staple(s->c->cert, p->response.p, p->response.n) == -1)
		return;
	s->complained = false;
	s->valid_until = (int64_t)(p->next_update != 0 ? p->next_update : now + 24 * HOUR);
	/* Half-way to its end, as responders have the next one long before. */
	if (p->next_update > now && (p->next_update - now) / 2 < wait)
		wait = (p->next_update - now) / 2;
	later(s, wait > LEAST ? wait : LEAST);
}

static void
ask(struct staple *s)
{
	struct ocsp_req q = {0};

	q.cert.p = tls_cert_der(s->c->cert, 0, &q.cert.n);
	q.issuer.p = tls_cert_der(s->c->cert, 1, &q.issuer.n);
	if (q.issuer.p == NULL || q.cert.n > CERT_DER_MAX || q.issuer.n > CERT_DER_MAX) {
		complain(s, "the issuer's certificate is not in the file");
		return;
	}
	s->req = proc_request(P_KEYD, M_ocsp_req, &q, ASK_MS, on_answer, s);
	if (s->req == NULL)
		later(s, LEAST);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct staple *s = arg;

	(void)fd;
	(void)what;
	if (s->req == NULL)
		ask(s);
}

void
staple_begin(struct tls_file *c)
{
	struct staple *s;

	if (c->staple != NULL || (s = calloc(1, sizeof *s)) == NULL)
		return;
	s->c = c;
	if ((s->timer = evtimer_new(proc_env()->base, on_timer, s)) == NULL) {
		free(s);
		return;
	}
	c->staple = s;
	later(s, 0);
}

void
staple_end(struct tls_file *c)
{
	struct staple *s = c->staple;

	if (s == NULL)
		return;
	proc_cancel(s->req);
	event_free(s->timer);
	free(s);
	c->staple = NULL;
}

void
staple_hand_on(struct tls_file *from, struct tls_file *to)
{
	to->staple = from->staple;
	from->staple = NULL;
	if (to->staple != NULL)
		to->staple->c = to;
}
