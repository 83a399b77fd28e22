/* gwctl and keyctl: changes and listings of the database. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "policyd/policyd.h"

#define PAGE_OCTETS (IPC_FRAME_MAX / 2) /* a page ends there; one record always fits */

static void
reply(struct chan *c, const struct ipc_msg *m, enum admin_status status, const char *text)
{
	char cut[501]; /* as in struct admin_rep: an answer that is too long would be none */
	struct admin_rep r = {.status = (uint8_t)status, .text = cut};

	(void)strlcpy(cut, text, sizeof cut);
	if (chan_send(c, M_admin_rep, m->id, &r, -1) == -1)
		log_warn("cannot answer %s: %s", proc_name(chan_peer(c)), strerror(errno));
}

/* The answer to a change: what errno says. */
static void
reply_result(struct chan *c, const struct ipc_msg *m, int rc, const struct err *e)
{
	enum admin_status s = ADMIN_FAILED;

	if (rc == 0) {
		reply(c, m, ADMIN_OK, "");
		return;
	}
	switch (e->code) {
	case ENOENT:
		s = ADMIN_NOTFOUND;
		break;
	case EEXIST:
		s = ADMIN_EXISTS;
		break;
	case EINVAL:
		s = ADMIN_INVALID;
		break;
	case ENOSPC:
		s = ADMIN_FULL;
		break;
	}
	if (s == ADMIN_FULL || s == ADMIN_FAILED)
		log_err("%s", e->text);
	reply(c, m, s, e->text);
}

void
admin_domain_put(struct chan *c, struct ipc_msg *m)
{
	const struct domain_put *q = m->body;
	struct err e;

	reply_result(c, m, db_domain_put(q->domain.v, &e), &e);
}

void
admin_domain_del(struct chan *c, struct ipc_msg *m)
{
	const struct domain_del *q = m->body;
	struct err e;

	reply_result(c, m, db_domain_del(q->name, &e), &e);
}

void
admin_recipient_put(struct chan *c, struct ipc_msg *m)
{
	const struct recipient_put *q = m->body;
	struct err e;

	reply_result(c, m, db_recipients_put(q->recipients.v, q->recipients.n, &e), &e);
}

void
admin_recipient_del(struct chan *c, struct ipc_msg *m)
{
	const struct recipient_del *q = m->body;
	struct err e;

	reply_result(c, m, db_recipient_del(q->addr, &e), &e);
}

void
admin_consumer_put(struct chan *c, struct ipc_msg *m)
{
	const struct consumer_put *q = m->body;
	struct err e;

	reply_result(c, m, db_consumer_put(q->consumer.v, q->create, &e), &e);
}

void
admin_consumer_factor(struct chan *c, struct ipc_msg *m)
{
	const struct consumer_factor *q = m->body;
	struct err e;
	int rc = db_consumer_factor(q->id, q->factor, &e);

	if (rc == 0)
		log_info("gateway password of consumer %s %s", log_str(q->id),
		    q->factor.n > 0 ? "set" : "removed");
	reply_result(c, m, rc, &e);
}

void
admin_consumer_phrase(struct chan *c, struct ipc_msg *m)
{
	const struct consumer_phrase *q = m->body;
	struct err e;

	reply_result(c, m, db_consumer_phrase(q->id, q->phrase, &e), &e);
}

void
admin_consumer_del(struct chan *c, struct ipc_msg *m)
{
	const struct consumer_del *q = m->body;
	struct err e;

	reply_result(c, m, db_consumer_del(q->id, &e), &e);
}

/* The consumer that owns an address of the certificate's user ids. */
static int
owner_by_uid(const struct cert *x, struct held *h, struct err *e)
{
	size_t i;
	int rc;

	for (i = 0; i < x->uids.n; i++) {
		if (x->uids.v[i].addr[0] == '\0' || x->uids.v[i].revoked != 0)
			continue;
		if ((rc = db_consumer_addr("default", x->uids.v[i].addr, h, e)) != 0)
			return rc == 1 ? 0 : -1;
	}
	return err_set(e, ENOENT,
	    "no consumer owns an address of this key's user ids: name one with --consumer");
}

void
admin_cert_put(struct chan *c, struct ipc_msg *m)
{
	const struct cert_put *q = m->body;
	struct stored_cert x = *q->cert.v;
	struct held owner = {NULL, {0}};
	struct err e;
	int rc = 0;

	/* Only keyctl has just put private halves into the key store. */
	if (chan_peer(c) != P_KEYCTL)
		x.secret = 0;
	if (x.consumer[0] == '\0' && (rc = owner_by_uid(x.cert.v, &owner, &e)) == 0)
		x.consumer = ((const struct consumer *)owner.rec)->id;
	if (rc == 0)
		rc = db_cert_put(&x, &e);
	reply_result(c, m, rc, &e);
	held_free(&owner);
}

void
admin_cert_del(struct chan *c, struct ipc_msg *m)
{
	const struct cert_del *q = m->body;
	struct err e;

	reply_result(c, m, db_cert_del(q->fpr.p, q->fpr.n, &e), &e);
}

static int
same_cert(const struct stored_cert *a, const struct stored_cert *b)
{
	const struct bytes *f = &a->cert.v->keys.v[0].fpr, *g = &b->cert.v->keys.v[0].fpr;

	return f->n == g->n && memcmp(f->p, g->p, f->n) == 0;
}

/* How many of n records fit one answer. */
static size_t
fitting(const struct held *h, int n)
{
	size_t size = 0;
	int i;

	for (i = 0; i < n; i++) {
		size += buf_len(&h[i].octets);
		if (i > 0 && size > PAGE_OCTETS)
			break;
	}
	return (size_t)i;
}

/*
 * The owners of one certificate are not torn apart, for the next page begins behind all of them.
 * A page full of one is sent as it is: its last owners can be listed by consumer.
 */
static size_t
whole_certs(const struct held *h, int n, size_t fit)
{
	const struct stored_cert *a, *b;
	size_t end = fit;

	if (fit == (size_t)n && n < ADMIN_PAGE_MAX)
		return fit;
	for (; end > 1; end--) {
		a = h[end - 1].rec;
		b = end < (size_t)n ? h[end].rec : NULL;
		if (b != NULL && !same_cert(a, b))
			return end;
		if (b == NULL && !same_cert(h[end - 2].rec, a))
			return end - 1;
	}
	return fit;
}

/* Send the records as one page; the list's items are copies of the structs, not of the text. */
static void
send_page(struct chan *c, const struct ipc_msg *m, uint16_t type, size_t item, struct held *h,
    int n, const struct err *e)
{
	union {
		struct domain_page domains;
		struct consumer_page consumers;
		struct cert_page certs;
		struct {
			void *v;
			size_t n;
		} any;
	} p;
	uint8_t *v;
	int i;

	if (n == -1) {
		reply_result(c, m, -1, e);
		return;
	}
	if ((v = calloc((size_t)n + 1, item)) == NULL)
		reply(c, m, ADMIN_FAILED, "out of memory");
	else {
		for (i = 0; i < n; i++)
			memcpy(v + (size_t)i * item, h[i].rec, item);
		memset(&p, 0, sizeof p);
		p.any.v = v;
		p.any.n = fitting(h, n);
		if (type == M_cert_page && m->def->type == M_cert_list)
			p.any.n = whole_certs(h, n, p.any.n);
		if (chan_send(c, type, m->id, &p, -1) == -1)
			reply(c, m, ADMIN_FAILED, "a record is too large for an answer");
	}
	free(v);
	for (i = 0; i < n; i++)
		held_free(&h[i]);
}

void
admin_domain_list(struct chan *c, struct ipc_msg *m)
{
	const struct domain_list *q = m->body;
	struct held h[ADMIN_PAGE_MAX];
	struct err e;
	int n = db_domains(q->after, h, ADMIN_PAGE_MAX, &e);

	send_page(c, m, M_domain_page, sizeof(struct domain), h, n, &e);
}

/* The hash of a gateway password stays here: tools learn whether there is one. */
static void
hide_factors(struct held *h, int n)
{
	static const uint8_t there = 1;
	int i;

	for (i = 0; i < n; i++) {
		struct consumer *c = h[i].rec;

		if (c->factor.n > 0)
			c->factor = (struct bytes){&there, 1};
	}
}

void
admin_consumer_list(struct chan *c, struct ipc_msg *m)
{
	const struct consumer_list *q = m->body;
	struct held h[ADMIN_PAGE_MAX];
	struct err e;
	int n = db_consumers(q->after, h, ADMIN_PAGE_MAX, &e);

	hide_factors(h, n);
	send_page(c, m, M_consumer_page, sizeof(struct consumer), h, n, &e);
}

void
admin_consumer_get(struct chan *c, struct ipc_msg *m)
{
	const struct consumer_get *q = m->body;
	struct held h;
	struct err e;
	int n = q->id[0] != '\0' ? db_consumer(q->id, &h, &e)
				 : db_consumer_addr("default", q->addr, &h, &e);

	hide_factors(&h, n);
	send_page(c, m, M_consumer_page, sizeof(struct consumer), &h, n, &e);
}

void
admin_cert_list(struct chan *c, struct ipc_msg *m)
{
	const struct cert_list *q = m->body;
	struct held h[ADMIN_PAGE_MAX];
	struct err e;
	int n = db_certs(q->after.p, q->after.n, q->consumer, h, ADMIN_PAGE_MAX, &e);

	send_page(c, m, M_cert_page, sizeof(struct stored_cert), h, n, &e);
}

void
admin_cert_get(struct chan *c, struct ipc_msg *m)
{
	const struct cert_get *q = m->body;
	struct held h[ADMIN_PAGE_MAX];
	struct err e;
	int n = db_certs_by_id(q->id.p, q->id.n, h, ADMIN_PAGE_MAX, &e);

	send_page(c, m, M_cert_page, sizeof(struct stored_cert), h, n, &e);
}

void
admin_recipient_list(struct chan *c, struct ipc_msg *m)
{
	const struct recipient_list *q = m->body;
	struct held h[ADMIN_PAGE_MAX];
	struct err e;
	int n = db_recipients(q->after, h, ADMIN_PAGE_MAX, &e);

	send_page(c, m, M_recipient_page, sizeof(struct recipient), h, n, &e);
}
