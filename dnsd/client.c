/* Questions about the address of a client: its name, and what lists say of it. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "dnsd/query.h"

#define REASON_S 3 /* for the reason why an address is listed, when that is known already */
#define MALFORMED "the answer is malformed"

static int
is_ip(struct bytes ip)
{
	return ip.n == 4 || ip.n == 16;
}

static int
is_mapped(const uint8_t ip[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

	return memcmp(ip, prefix, sizeof prefix) == 0;
}

static struct addr
to_addr(struct bytes ip)
{
	struct addr a = {.len = ip.n};

	if (ip.n == 16 && is_mapped(ip.p)) {
		a.len = 4;
		ip.p += 12;
	}
	memcpy(a.ip, ip.p, a.len);
	return a;
}

/* ---- its name: the first of those that its PTR records give that has this address ---- */

struct ptr_query {
	struct query q;
	struct addr ip;
	struct ptrs names;
	size_t asked; /* of names; the last of these is under way, or was answered */
	int confirmed;
};

static void
send_name(struct chan *c, uint64_t id, enum dns_status status, const char *name, const char *text)
{
	struct dns_ptr_rep rep = {.status = (uint8_t)status, .name = name, .text = text};

	query_counted(status);
	(void)chan_send(c, M_dns_ptr_rep, id, &rep, -1);
}

static void
refuse_ptr(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text)
{
	(void)secure;
	send_name(c, id, status, "", text);
}

static void
on_forward(void *arg, const struct resolver_result *r)
{
	struct query *q = arg;
	struct ptr_query *p = arg;
	struct addrs a = {.n = 0};
	size_t i;

	if (query_sound(q, r) && r->rcode == RCODE_OK) {
		if (answer_parse(r->packet, r->n, p->ip.len == 4 ? TYPE_A : TYPE_AAAA, &a) == -1)
			query_failed(q, MALFORMED);
		for (i = 0; i < a.n; i++)
			p->confirmed |= memcmp(a.v[i].ip, p->ip.ip, p->ip.len) == 0;
	}
	query_release(q);
}

static void
conclude_ptr(struct query *q)
{
	struct ptr_query *p = (struct ptr_query *)q;

	if (p->confirmed) {
		send_name(q->asker, q->id, DNS_OK, p->names.v[p->asked - 1], "");
		query_answered(q);
	} else if (!q->late && p->asked < p->names.n)
		query_ask(
		    q, p->names.v[p->asked++], p->ip.len == 4 ? TYPE_A : TYPE_AAAA, on_forward);
	else if (!query_refused(q))
		query_refuse(q, DNS_NOTFOUND, 0,
		    p->names.n == 0 ? "the address has no name"
				    : "its name does not have this address");
}

static const struct query_kind ptr_kind = {sizeof(struct ptr_query), conclude_ptr, refuse_ptr};

static void
on_ptr(void *arg, const struct resolver_result *r)
{
	struct query *q = arg;
	struct ptr_query *p = arg;

	if (query_sound(q, r) && r->rcode == RCODE_OK &&
	    answer_ptrs(r->packet, r->n, &p->names) == -1) {
		p->names.n = 0;
		query_failed(q, MALFORMED);
	}
	query_release(q);
}

void
query_ptr(struct chan *c, uint64_t id, struct bytes ip, const struct hosts *hosts)
{
	struct ptr_query *p;
	struct addr a;
	const char *known;
	char name[NAME_MAX_OCTETS + 1];

	query_counts.asked++;
	query_counts.ptr++;
	if (!is_ip(ip)) {
		refuse_ptr(c, id, DNS_NOTFOUND, 0, "this is not an address");
		return;
	}
	a = to_addr(ip);
	if ((known = hosts_name(hosts, &a)) != NULL) {
		send_name(c, id, DNS_OK, known, "");
		return;
	}
	(void)name_reversed(a.ip, a.len, NULL, name);
	if ((p = query_make(&ptr_kind, c, id, name)) != NULL) {
		p->ip = a;
		query_ask(&p->q, name, TYPE_PTR, on_ptr);
		query_begin(&p->q);
	}
}

/* ---- lists (RFC 5782): the addresses say that it is listed, a text says why ---- */

struct list_query {
	struct query q;
	struct addrs found;
	int asked; /* for the text */
	char text[256];
};

static void
send_list(
    struct chan *c, uint64_t id, enum dns_status status, const char *text, const struct addrs *a)
{
	struct dns_addr list[DNS_ADDRS_MAX];
	struct dns_list_rep rep = {.status = (uint8_t)status, .text = text, .addrs = {list, 0}};

	for (; a != NULL && rep.addrs.n < a->n; rep.addrs.n++)
		list[rep.addrs.n].ip = (struct bytes){a->v[rep.addrs.n].ip, a->v[rep.addrs.n].len};
	query_counted(status);
	(void)chan_send(c, M_dns_list_rep, id, &rep, -1);
}

static void
refuse_list(struct chan *c, uint64_t id, enum dns_status status, int secure, const char *text)
{
	(void)secure;
	send_list(c, id, status, text, NULL);
}

/* The first record is as good as any; whatever it has in it, it is a text of one line. */
static void
on_reason(void *arg, const struct resolver_result *r)
{
	struct list_query *l = arg;
	struct txts t = {.n = 0};
	size_t i, n;

	if (!r->bogus && r->rcode == RCODE_OK && answer_txts(r->packet, r->n, &t) == 0 && t.n > 0) {
		n = t.v[0].text.n < sizeof l->text - 1 ? t.v[0].text.n : sizeof l->text - 1;
		for (i = 0; i < n; i++)
			l->text[i] = iscntrl(t.v[0].text.p[i]) ? ' ' : (char)t.v[0].text.p[i];
		l->text[n] = '\0';
	}
	txts_free(&t);
	query_release(&l->q);
}

static void
conclude_list(struct query *q)
{
	struct list_query *l = (struct list_query *)q;

	if (l->found.n > 0 && !l->asked && !q->late) {
		l->asked = 1;
		query_hurry(q, REASON_S);
		query_ask(q, q->name, TYPE_TXT, on_reason);
	} else if (l->found.n > 0) {
		send_list(q->asker, q->id, DNS_OK, l->text, &l->found);
		query_answered(q);
	} else if (!query_refused(q))
		query_refuse(q, DNS_NOTFOUND, 0, l->text);
}

static const struct query_kind list_kind = {sizeof(struct list_query), conclude_list, refuse_list};

/* RFC 5782, 2.1 and 2.3: what is not of 127.0.0.0/8 is somebody's who has bought the name. */
static void
on_listed(void *arg, const struct resolver_result *r)
{
	struct query *q = arg;
	struct list_query *l = arg;
	struct addrs a = {.n = 0};
	size_t i;

	if (query_sound(q, r) && r->rcode == RCODE_OK) {
		if (answer_parse(r->packet, r->n, TYPE_A, &a) == -1) {
			a.n = 0;
			query_failed(q, MALFORMED);
		}
		for (i = 0; i < a.n; i++)
			if (a.v[i].ip[0] == 127)
				addrs_add(&l->found, a.v[i].ip, a.v[i].len);
		if (a.n > 0 && l->found.n == 0)
			(void)strlcpy(l->text, "its answers are none of a list: not of 127.0.0.0/8",
			    sizeof l->text);
	}
	query_release(q);
}

void
query_list(struct chan *c, uint64_t id, struct bytes ip, const char *zone)
{
	struct list_query *l;
	struct addr a;
	char checked[NAME_MAX_OCTETS + 1], name[NAME_MAX_OCTETS + 1];

	query_counts.asked++;
	query_counts.list++;
	if (!is_ip(ip) || name_check(zone, checked) == -1) {
		refuse_list(
		    c, id, DNS_NOTFOUND, 0, "this is not an address and the name of a zone");
		return;
	}
	a = to_addr(ip);
	if (name_reversed(a.ip, a.len, checked, name) == -1)
		refuse_list(c, id, DNS_NOTFOUND, 0, "the name of the zone is too long");
	else if ((l = query_make(&list_kind, c, id, name)) != NULL) {
		query_ask(&l->q, name, TYPE_A, on_listed);
		query_begin(&l->q);
	}
}
