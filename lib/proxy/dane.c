/* TLSA records of a peer (RFC 7672): worth something only where DNSSEC has signed all of the way.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proxy/upstream_int.h"

struct dane_question {
	struct upstream *u;
	void (*then)(struct upstream *u);
};

static void
settle(struct upstream *u, enum dane_state state, const char *text)
{
	u->dane = state;
	(void)log_clean(u->dane_text, sizeof u->dane_text, text, strlen(text));
}

/* 0, or -1 with ENOMEM. */
static int
keep_records(struct upstream *u, const struct dns_tlsa_rep *p)
{
	uint8_t *octets;
	size_t i, n = 0;

	for (i = 0; i < p->records.n; i++)
		n += p->records.v[i].data.n;
	u->records = malloc(p->records.n * sizeof *u->records + n);
	if (u->records == NULL)
		return -1;
	octets = (uint8_t *)(u->records + p->records.n);
	for (i = 0; i < p->records.n; i++) {
		const struct dns_tlsa *t = &p->records.v[i];

		memcpy(octets, t->data.p, t->data.n);
		u->records[i] =
		    (struct conn_tlsa){t->usage, t->selector, t->matching, octets, t->data.n};
		octets += t->data.n;
	}
	u->nrecords = p->records.n;
	return 0;
}

static void
judge_answer(struct upstream *u, const struct dns_tlsa_rep *p)
{
	char text[UPSTREAM_TEXT_MAX];

	(void)snprintf(text, sizeof text, "TLSA records of %s port %u: %s", u->r->host, u->port,
	    p->text[0] != '\0' ? log_str(p->text) : "none that DNSSEC vouches for");
	if (p->status != DNS_OK && p->status != DNS_NOTFOUND)
		settle(u, DANE_UNKNOWN, text);
	else if (p->status == DNS_NOTFOUND || !p->secure || p->records.n == 0)
		settle(u, DANE_ABSENT, text);
	else if (keep_records(u, p) == -1)
		settle(u, DANE_UNKNOWN, "memory");
	else
		settle(u, DANE_SECURE, "");
}

static void
on_answer(void *arg, struct ipc_msg *m, int error)
{
	struct dane_question *q = arg;
	struct upstream *u = q->u;
	void (*then)(struct upstream * u) = q->then;
	char text[UPSTREAM_TEXT_MAX];

	free(q);
	u->tlsa = NULL;
	u->tlsa_question = NULL;
	if (m != NULL) {
		judge_answer(u, m->body);
	} else {
		(void)snprintf(text, sizeof text, "TLSA records of %s: no answer from dnsd (%s)",
		    u->r->host, strerrordesc_np(error));
		settle(u, DANE_UNKNOWN, text);
	}
	then(u);
}

void
dane_ask(struct upstream *u, bool secure, void (*then)(struct upstream *u))
{
	char name[HOST_MAX + 16], text[UPSTREAM_TEXT_MAX];
	struct dns_tlsa_req req = {.name = name};
	struct dane_question *q;

	if (!secure) {
		/* RFC 7672, 2.2: records of a host whose address is not signed prove nothing. */
		(void)snprintf(
		    text, sizeof text, "the address of %s is not signed with DNSSEC", u->r->host);
		settle(u, DANE_ABSENT, text);
		return;
	}
	(void)snprintf(name, sizeof name, "_%u._tcp.%s", u->port, u->r->host);
	if (strlen(name) > 255 || (q = malloc(sizeof *q)) == NULL) {
		settle(u, DANE_UNKNOWN, "its TLSA records cannot be asked for");
		return;
	}
	*q = (struct dane_question){u, then};
	u->dane = DANE_PENDING;
	u->tlsa = proc_request(P_DNSD, M_dns_tlsa_req, &req,
	    (unsigned)(u->r->limits.peer_timeout * 1000), on_answer, q);
	if (u->tlsa == NULL) {
		free(q);
		settle(u, DANE_UNKNOWN, "dnsd cannot be asked for its TLSA records");
		return;
	}
	u->tlsa_question = q;
}

void
dane_free(struct upstream *u)
{
	proc_cancel(u->tlsa);
	free(u->tlsa_question);
	free(u->records);
}
