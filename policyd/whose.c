/*
 * The queue's way in: whose is an address, and may mail be sent to it?  And has a worker anything
 * to do with a message that goes out?
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "mail/address.h"
#include "policyd/policyd.h"

#define CERTS_LOOKED 64 /* of one consumer */

/* Can we open his mail: does he have a private key in the store?  1, 0, -1 with e. */
static int
reads(const char *consumer, struct err *e)
{
	struct held h[CERTS_LOOKED];
	int i, n = db_certs_of(consumer, h, CERTS_LOOKED, e), rc = 0;

	if (n == -1)
		return -1;
	for (i = 0; i < n; i++) {
		rc |= ((const struct stored_cert *)h[i].rec)->secret != 0;
		held_free(&h[i]);
	}
	return rc;
}

int
whose_without_tag(const char *addr, char *out, size_t outsz)
{
	const char *at = strrchr(addr, '@'), *plus = strchr(addr, '+');

	if (at == NULL || plus == NULL || plus > at || plus == addr || addr[0] == '"')
		return 0;
	(void)strlcpy(out, addr, outsz);
	(void)strlcpy(out + (plus - addr), at, outsz - (size_t)(plus - addr));
	return 1;
}

/* As a consumer or in the list.  1, 0, -1 with e. */
static int
find(const char *tenant, const char *addr, struct held *h, int *listed, struct err *e)
{
	int rc = db_consumer_addr(tenant, addr, h, e);

	*listed = 0;
	if (rc == 0 && (*listed = db_recipient(addr, e)) == -1)
		return -1;
	return rc == -1 ? -1 : rc == 1 || *listed;
}

/* RFC 5321, 4.5.1: each domain that takes mail has one. */
static int
is_postmaster(const char *addr)
{
	return strncasecmp(addr, "postmaster@", 11) == 0;
}

/* Of a domain of ours: what is there of this address? */
static int
judge(const struct domain *d, const char *addr, struct held *h, struct whose_rep *p, struct err *e)
{
	char base[MAIL_ADDR_MAX + 1];
	const struct consumer *c;
	int listed, rc = find(d->tenant, addr, h, &listed, e);

	if (rc == 0 && whose_without_tag(addr, base, sizeof base))
		rc = find(d->tenant, base, h, &listed, e);
	if (rc == 0 && (listed = rc = db_recipient(strrchr(addr, '@'), e)) == -1)
		return -1;
	if (rc == -1)
		return -1;
	c = h->rec;
	/* Somebody outside may have an address of ours noted; that does not make it take mail. */
	if (rc == 1 && !listed && c != NULL && c->kind != CONSUMER_INTERNAL)
		rc = 0;
	if (rc == 1 || d->recipients == DOMAIN_ANY || is_postmaster(addr))
		p->whose = WHOSE_OURS;
	else
		p->whose = d->recipients == DOMAIN_ASK ? WHOSE_ASK : WHOSE_UNKNOWN;
	if (c == NULL || c->kind != CONSUMER_INTERNAL)
		return 0;
	p->consumer = c->id;
	if ((rc = reads(c->id, e)) == -1)
		return -1;
	p->reads = (uint8_t)rc;
	return 0;
}

void
on_whose(struct chan *c, struct ipc_msg *m)
{
	const struct whose_req *q = m->body;
	struct whose_rep p = {.whose = WHOSE_FOREIGN, .tenant = "", .consumer = ""};
	struct held domain = {NULL, {0}}, consumer = {NULL, {0}};
	char addr[MAIL_ADDR_MAX + 1];
	struct err e;
	int rc = 0;

	if (mail_addr_normalise(q->addr, addr, sizeof addr) == 0)
		rc = db_domain(mail_addr_domain(addr), &domain, &e);
	if (rc == 1) {
		const struct domain *d = domain.rec;

		p.tenant = d->tenant;
		p.whose = WHOSE_OURS;
		rc = q->sender ? 0 : judge(d, addr, &consumer, &p, &e);
	}
	if (rc == -1) {
		log_err("%s", e.text);
		p = (struct whose_rep){.defer = 1, .tenant = "", .consumer = ""};
	}
	if (chan_send(c, M_whose_rep, m->id, &p, -1) == -1)
		log_warn("cannot answer %s: %s", proc_name(chan_peer(c)), strerror(errno));
	held_free(&domain);
	held_free(&consumer);
}

/* Has this address of the tenant a certificate?  1, 0, -1 with e. */
static int
has_cert(const char *tenant, const char *addr, struct err *e)
{
	char norm[MAIL_ADDR_MAX + 1];
	struct held owner, h;
	int n, rc;

	if (mail_addr_normalise(addr, norm, sizeof norm) == -1)
		return 1; /* a worker shall say what is wrong with it */
	if ((rc = db_consumer_addr(tenant, norm, &owner, e)) != 1)
		return rc;
	n = db_certs_of(((const struct consumer *)owner.rec)->id, &h, 1, e);
	held_free(&owner);
	if (n == 1)
		held_free(&h);
	return n;
}

/* 0: nothing that a worker could do to a message without triggers; 1: something, or a doubt. */
static int
screen(const struct session *s, const struct screen_req *q)
{
	char addr[MAIL_ADDR_MAX + 1];
	struct err e;
	size_t i;

	if (s->consumer[0] != '\0' || s->opens)
		return 1;
	if (q->sender[0] != '\0' && mail_addr_normalise(q->sender, addr, sizeof addr) == -1)
		return 1;
	if (q->sender[0] != '\0' && !s->outside_senders &&
	    db_domain_managed(s->tenant, mail_addr_domain(addr), &e) != 1)
		return 1;
	if (q->sender[0] != '\0' && s->by_address && has_cert(s->tenant, addr, &e) != 0)
		return 1;
	for (i = 0; i < q->rcpts.n; i++)
		if (has_cert(s->tenant, q->rcpts.v[i].addr, &e) != 0)
			return 1;
	return 0;
}

void
on_screen(struct chan *c, struct ipc_msg *m)
{
	const struct screen_req *q = m->body;
	struct session *s = session_find(q->session.p);
	struct screen_rep p = {.worker = 1};

	if (s != NULL && s->proxy == chan_peer(c) && s->instance == chan_instance(c))
		p.worker = (uint8_t)screen(s, q);
	if (chan_send(c, M_screen_rep, m->id, &p, -1) == -1)
		log_warn("cannot answer %s: %s", proc_name(chan_peer(c)), strerror(errno));
}
