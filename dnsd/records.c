/* Questions for the records of a name: addresses, TLSA, MX, TXT. */
#include <stdio.h>
#include <string.h>

#include "dnsd/query.h"

#define MALFORMED "the answer is malformed"

/* ---- addresses: two questions ---- */

struct addr_query {
	struct query q;
	struct addrs v4, v6;
	char owner[NAME_MAX_OCTETS + 1]; /* of what was found */
};

static void
send_addrs(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text,
    const struct addrs *a, const char *canonical)
{
	struct dns_addr list[DNS_ADDRS_MAX];
	struct dns_addr_rep rep = {.status = (uint8_t)status,
	    .secure = (uint8_t)secure,
	    .text = text,
	    .canonical = canonical,
	    .addrs = {list, 0}};

	for (; a != NULL && rep.addrs.n < a->n; rep.addrs.n++)
		list[rep.addrs.n].ip = (struct bytes){a->v[rep.addrs.n].ip, a->v[rep.addrs.n].len};
	query_counted(status);
	(void)chan_send(c, M_dns_addr_rep, id, &rep, -1);
}

static void
refuse_addrs(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text)
{
	send_addrs(c, id, status, secure, text, NULL, "");
}

/*
 * IPv6 first, as RFC 6724 prefers; a host without it finds that out at once.  Where one question
 * failed what the other gave is secure if that was.  Half of a forged answer is no reason to trust
 * the other half.
 */
static void
conclude_addrs(struct query *q)
{
	struct addr_query *a = (struct addr_query *)q;
	char name[NAME_MAX_OCTETS + 1];
	struct addrs all = a->v6;
	int secure = q->secure > 0 && q->secure + q->failed == 2;
	size_t i;

	for (i = 0; i < a->v4.n; i++)
		addrs_add(&all, a->v4.v[i].ip, a->v4.v[i].len);
	if ((all.n == 0 || q->bogus > 0) && query_refused(q))
		return;
	if (all.n == 0) {
		query_refuse(
		    q, DNS_NOTFOUND, secure, "there is no such name, or it has no address");
		return;
	}
	if (!secure || name_check(a->owner, name) == -1 || strcmp(name, q->name) == 0)
		name[0] = '\0';
	send_addrs(q->asker, q->id, DNS_OK, secure, "", &all, name);
	query_answered(q);
}

static const struct query_kind addr_kind = {
    sizeof(struct addr_query), conclude_addrs, refuse_addrs};

static void
take_addrs(struct query *q, const struct resolver_result *r, unsigned type)
{
	struct addr_query *a = (struct addr_query *)q;
	struct addrs *to = type == TYPE_A ? &a->v4 : &a->v6;

	if (query_sound(q, r)) {
		if (r->rcode == RCODE_OK && answer_parse(r->packet, r->n, type, to) == -1)
			query_failed(q, MALFORMED);
		else
			q->secure += r->secure != 0;
		if (to->n > 0 && a->owner[0] == '\0')
			(void)answer_owner(r->packet, r->n, type, a->owner);
	}
	query_release(q);
}

static void
on_a(void *arg, const struct resolver_result *r)
{
	take_addrs(arg, r, TYPE_A);
}

static void
on_aaaa(void *arg, const struct resolver_result *r)
{
	take_addrs(arg, r, TYPE_AAAA);
}

void
query_addr(struct chan *c, uint64_t id, const char *name, const struct hosts *hosts)
{
	struct addrs a = {.n = 0};
	struct addr one;
	struct query *q;
	char checked[NAME_MAX_OCTETS + 1];

	query_counts.asked++;
	if (name_numeric(name, &one)) {
		addrs_add(&a, one.ip, one.len);
		send_addrs(c, id, DNS_OK, 0, "", &a, "");
	} else if (name_check(name, checked) == -1)
		refuse_addrs(c, id, DNS_NOTFOUND, 0, "this is not a host name");
	else if (hosts_find(hosts, checked, &a) > 0)
		send_addrs(c, id, DNS_OK, 0, "", &a, "");
	else if ((q = query_make(&addr_kind, c, id, checked)) != NULL) {
		query_ask(q, checked, TYPE_A, on_a);
		query_ask(q, checked, TYPE_AAAA, on_aaaa);
		query_begin(q);
	}
}

/* ---- the others: one question, answered where its records are at hand ---- */

/* One that comes here has failed, or is late. */
static void
conclude_failed(struct query *q)
{
	(void)query_refused(q);
}

static void
refuse_tlsa(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text)
{
	struct dns_tlsa_rep rep = {
	    .status = (uint8_t)status, .secure = (uint8_t)secure, .text = text};

	query_counted(status);
	(void)chan_send(c, M_dns_tlsa_rep, id, &rep, -1);
}

static const struct query_kind tlsa_kind = {sizeof(struct query), conclude_failed, refuse_tlsa};

static void
answer_with_tlsas(struct query *q, const struct resolver_result *r)
{
	struct dns_tlsa_rep rep = {.status = DNS_OK, .secure = 1, .text = ""};
	struct tlsas t = {.n = 0};

	if (r->rcode == RCODE_OK && answer_tlsas(r->packet, r->n, &t) == -1)
		query_failed(q, MALFORMED);
	else if (!r->secure)
		query_refuse(q, DNS_NOTFOUND, 0, "they are not signed with DNSSEC");
	else if (t.n == 0)
		query_refuse(q, DNS_NOTFOUND, 1,
		    t.left_out > 0 ? "none of them is well-formed"
				   : "DNSSEC says that there are none");
	else {
		rep.records.v = t.v;
		rep.records.n = t.n;
		query_counted(DNS_OK);
		(void)chan_send(q->asker, M_dns_tlsa_rep, q->id, &rep, -1);
		query_answered(q);
	}
}

static void
on_tlsa(void *arg, const struct resolver_result *r)
{
	struct query *q = arg;

	if (query_sound(q, r) && q->asker != NULL)
		answer_with_tlsas(q, r);
	query_release(q);
}

void
query_tlsa(struct chan *c, uint64_t id, const char *name)
{
	struct query *q;
	char checked[NAME_MAX_OCTETS + 1];

	query_counts.asked++;
	query_counts.tlsa++;
	if (name_check_tlsa(name, checked) == -1)
		refuse_tlsa(c, id, DNS_NOTFOUND, 0, "this is not a name of TLSA records");
	else if (!resolver_validates())
		refuse_tlsa(
		    c, id, DNS_NOTFOUND, 0, "answers are not validated here: set dns.trust_anchor");
	else if ((q = query_make(&tlsa_kind, c, id, checked)) != NULL) {
		query_ask(q, checked, TYPE_TLSA, on_tlsa);
		query_begin(q);
	}
}

static void
refuse_mx(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text)
{
	struct dns_mx_rep rep = {
	    .status = (uint8_t)status, .secure = (uint8_t)secure, .text = text};

	query_counted(status);
	(void)chan_send(c, M_dns_mx_rep, id, &rep, -1);
}

static const struct query_kind mx_kind = {sizeof(struct query), conclude_failed, refuse_mx};

static void
send_mxs(struct query *q, const struct mxs *m, int secure)
{
	struct dns_mx list[DNS_MXS_MAX];
	struct dns_mx_rep rep = {.status = DNS_OK,
	    .secure = (uint8_t)secure,
	    .null_mx = (uint8_t)m->null_mx,
	    .text = m->null_mx ? "the domain takes no mail (RFC 7505)" : "",
	    .records = {list, 0}};

	for (; rep.records.n < m->n && rep.records.n < DNS_MXS_MAX; rep.records.n++) {
		list[rep.records.n].preference = m->v[rep.records.n].preference;
		list[rep.records.n].host = m->v[rep.records.n].host;
	}
	query_counted(DNS_OK);
	(void)chan_send(q->asker, M_dns_mx_rep, q->id, &rep, -1);
	query_answered(q);
}

static void
answer_with_mxs(struct query *q, const struct resolver_result *r)
{
	struct mxs m;

	m.n = m.seen = 0;
	m.null_mx = 0;
	if (r->rcode == RCODE_NXDOMAIN)
		query_refuse(q, DNS_NOTFOUND, r->secure, "there is no such domain");
	else if (answer_mxs(r->packet, r->n, &m) == -1)
		query_failed(q, MALFORMED);
	else if (m.n == 0 && m.seen > 0 && !m.null_mx)
		/* RFC 5321, 5.1: the domain's address counts only where there is no MX record. */
		query_refuse(
		    q, DNS_NOTFOUND, r->secure, "none of its MX records has the name of a host");
	else
		send_mxs(q, &m, r->secure);
}

static void
on_mx(void *arg, const struct resolver_result *r)
{
	struct query *q = arg;

	if (query_sound(q, r) && q->asker != NULL)
		answer_with_mxs(q, r);
	query_release(q);
}

void
query_mx(struct chan *c, uint64_t id, const char *name)
{
	struct query *q;
	struct addr a;
	char checked[NAME_MAX_OCTETS + 1];

	query_counts.asked++;
	query_counts.mx++;
	if (name_numeric(name, &a) || name_check(name, checked) == -1)
		refuse_mx(c, id, DNS_NOTFOUND, 0, "this is not a domain name");
	else if ((q = query_make(&mx_kind, c, id, checked)) != NULL) {
		query_ask(q, checked, TYPE_MX, on_mx);
		query_begin(q);
	}
}

static void
refuse_txt(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text)
{
	struct dns_txt_rep rep = {
	    .status = (uint8_t)status, .secure = (uint8_t)secure, .text = text};

	query_counted(status);
	(void)chan_send(c, M_dns_txt_rep, id, &rep, -1);
}

static const struct query_kind txt_kind = {sizeof(struct query), conclude_failed, refuse_txt};

static void
answer_with_txts(struct query *q, const struct resolver_result *r)
{
	struct dns_txt_rep rep = {.status = DNS_OK, .secure = r->secure != 0, .text = ""};
	struct txts t = {.n = 0};

	if (r->rcode == RCODE_OK && answer_txts(r->packet, r->n, &t) == -1)
		query_failed(q, MALFORMED);
	else if (t.n == 0)
		query_refuse(q, DNS_NOTFOUND, r->secure, "there is no such name, or it has none");
	else {
		rep.records.v = t.v;
		rep.records.n = t.n;
		query_counted(DNS_OK);
		(void)chan_send(q->asker, M_dns_txt_rep, q->id, &rep, -1);
		query_answered(q);
	}
	txts_free(&t);
}

static void
on_txt(void *arg, const struct resolver_result *r)
{
	struct query *q = arg;

	if (query_sound(q, r) && q->asker != NULL)
		answer_with_txts(q, r);
	query_release(q);
}

void
query_txt(struct chan *c, uint64_t id, const char *name)
{
	struct query *q;
	char checked[NAME_MAX_OCTETS + 1];

	query_counts.asked++;
	query_counts.txt++;
	if (name_check(name, checked) == -1)
		refuse_txt(c, id, DNS_NOTFOUND, 0, "this is not a domain name");
	else if ((q = query_make(&txt_kind, c, id, checked)) != NULL) {
		query_ask(q, checked, TYPE_TXT, on_txt);
		query_begin(q);
	}
}
