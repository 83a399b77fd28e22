#include "anvild/tlsrpt_day.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/netaddr.h"

#define DAY 86400
#define SPREAD_S (4 * 3600) /* RFC 8460, 4.1: reports are not all sent at midnight */
#define VALUE_MAX (256 * 1024) /* octets of a stored one: more than its bounds give */

REC_DEFINE(tlsrpt_detail, REC_TLSRPT_DETAIL)
REC_DEFINE(tlsrpt_policy, REC_TLSRPT_POLICY)
REC_DEFINE(tlsrpt_day, REC_TLSRPT_DAY)

static int
compare(const struct day *a, const struct day *b)
{
	if (a->r.day != b->r.day)
		return a->r.day < b->r.day ? -1 : 1;
	return strcmp(a->r.domain, b->r.domain);
}

RB_GENERATE_INTERNAL(day_tree, day, entry, compare, static __attribute__((unused)))

void
days_init(struct days *d)
{
	memset(d, 0, sizeof *d);
	RB_INIT(&d->tree);
}

void
day_free(struct day *x)
{
	struct tlsrpt_policy *p;
	struct tlsrpt_detail *t;
	size_t i, j;

	if (x == NULL)
		return;
	for (i = 0; i < x->r.policies.n; i++) {
		p = &x->r.policies.v[i];
		for (j = 0; j < p->details.n; j++) {
			t = &p->details.v[j];
			free((char *)t->result);
			free((char *)t->mx);
			free((char *)t->ip);
			free((char *)t->our_ip);
			free((char *)t->reason);
		}
		free(p->details.v);
		free((char *)p->text);
	}
	free(x->r.policies.v);
	free((char *)x->r.domain);
	free(x);
}

void
days_take(struct days *d, struct day *x)
{
	(void)RB_REMOVE(day_tree, &d->tree, x);
	d->count--;
	d->octets -= x->octets;
}

void
days_clear(struct days *d)
{
	struct day *x;

	while ((x = days_first(d)) != NULL) {
		days_take(d, x);
		day_free(x);
	}
}

struct day *
days_first(struct days *d)
{
	return RB_MIN(day_tree, &d->tree);
}

struct day *
days_next(struct day *x)
{
	return RB_NEXT(day_tree, , x);
}

struct day *
days_find(struct days *d, uint32_t day, const char *domain)
{
	struct day want = {.r = {.day = day, .domain = domain}};

	return RB_FIND(day_tree, &d->tree, &want);
}

struct day *
days_after(struct days *d, uint32_t day, const char *domain)
{
	struct day want = {.r = {.day = day, .domain = domain}};
	struct day *x = RB_NFIND(day_tree, &d->tree, &want);

	return x != NULL && compare(x, &want) == 0 ? days_next(x) : x;
}

void
day_sum(const struct tlsrpt_day *r, uint64_t *good, uint64_t *failed)
{
	size_t i;

	*good = *failed = 0;
	for (i = 0; i < r->policies.n; i++) {
		*good += r->policies.v[i].good;
		*failed += r->policies.v[i].failed;
	}
}

/* ---- growing: what is said costs octets of d ---- */

static int
pay(struct days *d, struct day *x, size_t n)
{
	if (d->octets + n > DAYS_OCTETS)
		return -1;
	d->octets += n;
	x->octets += n;
	return 0;
}

static struct day *
make(struct days *d, uint32_t day, const char *domain)
{
	struct day *x;

	if (d->count >= DAYS_MAX || (x = calloc(1, sizeof *x)) == NULL)
		return NULL;
	x->r.day = day;
	x->r.domain = strdup(domain);
	if (x->r.domain == NULL || pay(d, x, sizeof *x + strlen(domain) + 1) == -1) {
		day_free(x);
		return NULL;
	}
	arc4random_buf(&x->r.id, sizeof x->r.id);
	x->r.due = ((uint64_t)day + 1) * DAY + arc4random_uniform(SPREAD_S);
	(void)RB_INSERT(day_tree, &d->tree, x);
	d->count++;
	return x;
}

static struct tlsrpt_policy *
policy_of(struct days *d, struct day *x, unsigned type, const char *text)
{
	struct tlsrpt_policy *v = x->r.policies.v;
	size_t i, n = x->r.policies.n;
	char *copy;

	for (i = 0; i < n; i++)
		if (v[i].type == type && strcmp(v[i].text, text) == 0)
			return &v[i];
	if (n == DAY_POLICIES_MAX || pay(d, x, sizeof *v + strlen(text) + 1) == -1 ||
	    (v = reallocarray(v, n + 1, sizeof *v)) == NULL)
		return NULL;
	x->r.policies.v = v;
	if ((copy = strdup(text)) == NULL)
		return NULL;
	v[n] = (struct tlsrpt_policy){.type = (uint8_t)type, .text = copy};
	x->r.policies.n++;
	return &v[n];
}

static int
same(const struct tlsrpt_detail *a, const struct tlsrpt_detail *b)
{
	return strcmp(a->result, b->result) == 0 && strcmp(a->mx, b->mx) == 0 &&
	       strcmp(a->ip, b->ip) == 0 && strcmp(a->our_ip, b->our_ip) == 0 &&
	       strcmp(a->reason, b->reason) == 0;
}

static size_t
details_of(const struct day *x)
{
	size_t i, n = 0;

	for (i = 0; i < x->r.policies.n; i++)
		n += x->r.policies.v[i].details.n;
	return n;
}

/* What finds no room is in the sum of its policy all the same. */
static void
add_detail(struct days *d, struct day *x, struct tlsrpt_policy *p, const struct tlsrpt_detail *t)
{
	struct tlsrpt_detail *v = p->details.v, *new;
	size_t i, n = p->details.n;

	for (i = 0; i < n; i++)
		if (same(&v[i], t)) {
			v[i].count += t->count;
			return;
		}
	if (details_of(x) == DAY_DETAILS_MAX ||
	    pay(d, x,
		sizeof *v + strlen(t->result) + strlen(t->mx) + strlen(t->ip) + strlen(t->our_ip) +
		    strlen(t->reason) + 5) == -1 ||
	    (v = reallocarray(v, n + 1, sizeof *v)) == NULL)
		return;
	p->details.v = v;
	new = &v[n];
	*new = (struct tlsrpt_detail){.result = strdup(t->result),
	    .mx = strdup(t->mx),
	    .ip = strdup(t->ip),
	    .our_ip = strdup(t->our_ip),
	    .reason = strdup(t->reason),
	    .count = t->count};
	p->details.n++;
	if (new->result == NULL || new->mx == NULL || new->ip == NULL || new->our_ip == NULL ||
	    new->reason == NULL) {
		p->details.n--;
		free((char *)new->result);
		free((char *)new->mx);
		free((char *)new->ip);
		free((char *)new->our_ip);
		free((char *)new->reason);
	}
}

void
days_add(struct days *d, const struct tls_session *s, uint64_t now)
{
	const uint32_t day = (uint32_t)(now / DAY);
	struct day *x = days_find(d, day, s->domain);
	struct tlsrpt_policy *p;

	if (!host_valid(s->domain))
		return;
	if (x == NULL)
		x = make(d, day, s->domain);
	if (x == NULL || (p = policy_of(d, x, s->policy, s->policy_text)) == NULL) {
		d->left_out++;
		return;
	}
	x->dirty = 1;
	if (s->result[0] == '\0') {
		p->good++;
		return;
	}
	p->failed++;
	add_detail(d, x, p,
	    &(struct tlsrpt_detail){.result = s->result,
		.mx = s->mx,
		.ip = s->ip,
		.our_ip = s->our_ip,
		.reason = s->reason,
		.count = 1});
}

/* Add r to what there is of its day and domain. 0, or -1: no room. */
static int
merge(struct days *d, const struct tlsrpt_day *r, int dirty)
{
	struct day *x = days_find(d, r->day, r->domain);
	const struct tlsrpt_policy *from;
	struct tlsrpt_policy *p;
	size_t i, j;

	if (x == NULL && (x = make(d, r->day, r->domain)) == NULL)
		return -1;
	x->r.id = r->id;
	x->r.due = r->due;
	x->dirty |= dirty;
	for (i = 0; i < r->policies.n; i++) {
		from = &r->policies.v[i];
		if ((p = policy_of(d, x, from->type, from->text)) == NULL)
			return -1;
		p->good += from->good;
		p->failed += from->failed;
		for (j = 0; j < from->details.n; j++)
			add_detail(d, x, p, &from->details.v[j]);
	}
	return 0;
}

void
days_return(struct days *d, struct day *x)
{
	uint64_t good, failed;

	if (days_find(d, x->r.day, x->r.domain) == NULL && d->count < DAYS_MAX) {
		(void)RB_INSERT(day_tree, &d->tree, x);
		d->count++;
		d->octets += x->octets;
		x->dirty = 1;
		return;
	}
	if (merge(d, &x->r, 1) == -1) {
		day_sum(&x->r, &good, &failed);
		d->left_out += good + failed;
	}
	day_free(x);
}

/* ---- the store ---- */

struct key {
	uint8_t p[4 + 256];
	size_t n;
};

static void
make_key(struct key *k, uint32_t day, const char *domain)
{
	size_t n = strlen(domain) < 256 ? strlen(domain) : 256;

	put_be32(k->p, day);
	memcpy(k->p + 4, domain, n);
	k->n = 4 + n;
}

static int
put(struct store_txn *t, unsigned table, const struct day *x, struct err *e)
{
	struct buf b;
	struct key k;
	int rc;

	buf_init(&b, VALUE_MAX);
	if (rec_encode(&rec_tlsrpt_day, &x->r, &b) == -1)
		rc = err_sys(e, "what is kept for reports about TLS");
	else {
		make_key(&k, x->r.day, x->r.domain);
		rc = store_put(t, table, k.p, k.n, buf_ptr(&b), buf_len(&b), e);
	}
	buf_free(&b);
	return rc;
}

int
days_save(struct days *d, struct store *s, unsigned table, struct err *e)
{
	struct store_txn *t = NULL;
	struct day *x;

	if (s == NULL)
		return 0;
	for (x = days_first(d); x != NULL; x = days_next(x)) {
		if (!x->dirty)
			continue;
		if (t == NULL && (t = store_write(s, e)) == NULL)
			return -1;
		if (put(t, table, x, e) == -1) {
			store_abort(t);
			return -1;
		}
	}
	if (t == NULL)
		return 0;
	if (store_commit(t, e) == -1)
		return -1;
	for (x = days_first(d); x != NULL; x = days_next(x))
		x->dirty = 0;
	return 0;
}

int
days_erase(struct store *s, unsigned table, uint32_t day, const char *domain, struct err *e)
{
	struct store_txn *t;
	struct key k;

	if (s == NULL)
		return 0;
	if ((t = store_write(s, e)) == NULL)
		return -1;
	make_key(&k, day, domain);
	if (store_del(t, table, k.p, k.n, e) == -1) {
		store_abort(t);
		return -1;
	}
	return store_commit(t, e);
}

int
days_load(struct days *d, struct store *s, unsigned table, struct err *e)
{
	struct store_txn *t;
	struct store_pos pos = {.klen = 0};
	struct tlsrpt_day *r;
	struct bytes v;
	int rc;

	if (s == NULL)
		return 0;
	if ((t = store_read(s, e)) == NULL)
		return -1;
	while ((rc = store_next(t, table, &pos, &v, e)) == 1) {
		if ((r = rec_decode(&rec_tlsrpt_day, v.p, v.n)) == NULL) {
			log_warn("a report about TLS that was to be sent cannot be read");
			continue;
		}
		(void)merge(d, r, 0);
		free(r);
	}
	store_abort(t);
	return rc;
}
