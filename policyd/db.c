#include "policyd/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openpgp/pk.h"
#include "policyd/dbint.h"

#define VALUE_MAX (512 * 1024) /* octets of a record that is read */

struct store *db_store;

static const char *const tables[] = {
    [T_DOMAINS] = "domains",
    [T_CONSUMERS] = "consumers",
    [T_ADDRS] = "addresses",
    [T_LOGINS] = "logins",
    [T_CERTS] = "certificates",
    [T_KEYIDS] = "keyids",
    [T_OWNED] = "owned",
    [T_RECIPIENTS] = "recipients",
    NULL,
};

void
dbkey_start(struct dbkey *k)
{
	k->n = 0;
	k->bad = 0;
}

void
dbkey_bytes(struct dbkey *k, const void *p, size_t n)
{
	if (n > sizeof k->k - k->n) {
		k->bad = 1;
		return;
	}
	memcpy(k->k + k->n, p, n);
	k->n += n;
}

void
dbkey_str(struct dbkey *k, const char *s, int lower)
{
	size_t i, n = strlen(s) + 1, at = k->n;

	dbkey_bytes(k, s, n);
	if (lower && !k->bad)
		for (i = at; i < k->n; i++)
			if (k->k[i] >= 'A' && k->k[i] <= 'Z')
				k->k[i] = (uint8_t)(k->k[i] - 'A' + 'a');
}

void
held_free(struct held *h)
{
	free(h->rec);
	buf_free(&h->octets);
	h->rec = NULL;
}

int
db_open(const char *dir, const char *name, struct err *e)
{
	struct store_options o = {.name = name, .tables = tables};

	db_store = store_open(dir, &o, e);
	return db_store == NULL ? -1 : 0;
}

void
db_close(void)
{
	if (db_store != NULL)
		store_close(db_store);
	db_store = NULL;
}

/* Copy a value and decode it. */
int
db_hold(const struct rec *r, struct bytes v, struct held *h, struct err *e)
{
	memset(h, 0, sizeof *h);
	buf_init(&h->octets, VALUE_MAX);
	if (buf_put(&h->octets, v.p, v.n) == 0)
		h->rec = rec_decode(r, buf_ptr(&h->octets), buf_len(&h->octets));
	if (h->rec == NULL) {
		(void)err_sys(e, "a %s record of the database cannot be read", r->name);
		held_free(h);
		return -1;
	}
	return 1;
}

int
db_get(struct store_txn *t, enum table table, const struct dbkey *k, const struct rec *r,
    struct held *h, struct err *e)
{
	struct bytes v;
	int rc;

	if (k->bad)
		return 0; /* nothing with so long a key can have been stored */
	if ((rc = store_get(t, table, k->k, k->n, &v, e)) != 1)
		return rc;
	return db_hold(r, v, h, e);
}

static int
consumer_by_id(struct store_txn *t, const char *id, struct held *h, struct err *e)
{
	struct dbkey k;

	dbkey_start(&k);
	dbkey_str(&k, id, 0);
	return db_get(t, T_CONSUMERS, &k, &rec_consumer, h, e);
}

/* An index leads to an id, the id to the consumer. */
int
db_consumer_via(
    struct store_txn *t, enum table index, const struct dbkey *k, struct held *h, struct err *e)
{
	char id[65];
	struct bytes v;
	int rc;

	if (k->bad)
		return 0;
	if ((rc = store_get(t, index, k->k, k->n, &v, e)) != 1)
		return rc;
	if (v.n >= sizeof id)
		return err_set(e, EIO, "an index of the database holds a wrong value");
	memcpy(id, v.p, v.n);
	id[v.n] = '\0';
	if ((rc = consumer_by_id(t, id, h, e)) == 0)
		return err_set(e, EIO, "an index of the database leads to no consumer: %s", id);
	return rc;
}

int
db_consumer(const char *id, struct held *h, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	int rc;

	if (t == NULL)
		return -1;
	rc = consumer_by_id(t, id, h, e);
	store_abort(t);
	return rc;
}

void
dbkey_addr(struct dbkey *k, const char *tenant, const char *addr)
{
	dbkey_start(k);
	dbkey_str(k, tenant, 0);
	dbkey_str(k, addr, 1);
}

void
dbkey_login(struct dbkey *k, const char *tenant, const char *peer, const char *login)
{
	dbkey_start(k);
	dbkey_str(k, tenant, 0);
	dbkey_str(k, peer, 0);
	dbkey_str(k, login, 0);
}

int
db_consumer_addr(const char *tenant, const char *addr, struct held *h, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey k;
	int rc;

	if (t == NULL)
		return -1;
	dbkey_addr(&k, tenant, addr);
	rc = db_consumer_via(t, T_ADDRS, &k, h, e);
	store_abort(t);
	return rc;
}

int
db_consumer_login(
    const char *tenant, const char *peer, const char *login, struct held *h, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey k;
	int rc;

	if (t == NULL)
		return -1;
	dbkey_login(&k, tenant, peer, login);
	if ((rc = db_consumer_via(t, T_LOGINS, &k, h, e)) == 0) {
		dbkey_login(&k, tenant, "*", login);
		rc = db_consumer_via(t, T_LOGINS, &k, h, e);
	}
	store_abort(t);
	return rc;
}

int
db_domain(const char *name, struct held *h, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey k;
	int rc;

	if (t == NULL)
		return -1;
	dbkey_start(&k);
	dbkey_str(&k, name, 1);
	rc = db_get(t, T_DOMAINS, &k, &rec_domain, h, e);
	store_abort(t);
	return rc;
}

int
db_recipient(const char *addr, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey k;
	struct bytes v;
	int rc;

	if (t == NULL)
		return -1;
	dbkey_start(&k);
	dbkey_str(&k, addr, 1);
	rc = k.bad ? 0 : store_get(t, T_RECIPIENTS, k.k, k.n, &v, e);
	store_abort(t);
	return rc;
}

int
db_domain_managed(const char *tenant, const char *domain, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey k;
	struct held h;
	int rc;

	if (t == NULL)
		return -1;
	dbkey_start(&k);
	dbkey_str(&k, domain, 1);
	if ((rc = db_get(t, T_DOMAINS, &k, &rec_domain, &h, e)) == 1) {
		rc = strcmp(((const struct domain *)h.rec)->tenant, tenant) == 0;
		held_free(&h);
	}
	store_abort(t);
	return rc;
}

static void
free_all(struct held *h, int n)
{
	while (n > 0)
		held_free(&h[--n]);
}

/*
 * Follow index entries that begin with a prefix and stand behind from (the prefix itself: all of
 * them); the certificate's key stands behind skip octets.
 */
static int
certs_via(struct store_txn *t, enum table index, const struct dbkey *prefix,
    const struct dbkey *from, size_t skip, struct held *h, size_t max, struct err *e)
{
	struct store_pos pos;
	struct bytes v;
	size_t n = 0;
	int rc = 0;

	if (prefix->bad || from->bad)
		return 0;
	memcpy(pos.key, from->k, from->n);
	pos.klen = from->n;
	while (n < max && (rc = store_next(t, index, &pos, &v, e)) == 1) {
		struct dbkey k;

		if (pos.klen < prefix->n || memcmp(pos.key, prefix->k, prefix->n) != 0)
			break;
		dbkey_start(&k);
		dbkey_bytes(&k, pos.key + skip, pos.klen - skip);
		if (index == T_OWNED) /* the owner stands in front here, behind in T_CERTS */
			dbkey_bytes(&k, pos.key, skip - 1);
		if ((rc = db_get(t, T_CERTS, &k, &rec_stored_cert, &h[n], e)) == 0)
			rc = err_set(e, EIO, "an index of the database leads to no certificate");
		if (rc == -1)
			break;
		n++;
	}
	if (n < max && rc == -1) {
		free_all(h, (int)n);
		return -1;
	}
	return (int)n;
}

int
db_certs_of(const char *consumer, struct held *h, size_t max, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey k;
	int n;

	if (t == NULL)
		return -1;
	dbkey_start(&k);
	dbkey_str(&k, consumer, 0);
	n = certs_via(t, T_OWNED, &k, &k, k.n, h, max, e);
	store_abort(t);
	return n;
}

int
db_cert_has(const struct stored_cert *c, const uint8_t *id, size_t n)
{
	const struct cert *x = c->cert.v;
	size_t i;

	for (i = 0; i < x->keys.n; i++) {
		const struct bytes *f = &x->keys.v[i].fpr;

		if (f->n == n && memcmp(f->p, id, n) == 0)
			return 1;
		if (n == 8 && memcmp(pgp_keyid(f->p, f->n), id, 8) == 0)
			return 1;
	}
	return 0;
}

int
db_certs_by_id(const uint8_t *id, size_t n, struct held *h, size_t max, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey k;
	int got, i, kept = 0;

	if (t == NULL)
		return -1;
	dbkey_start(&k);
	dbkey_bytes(&k, n == 8 ? id : pgp_keyid(id, n), 8);
	got = certs_via(t, T_KEYIDS, &k, &k, 8, h, max, e);
	store_abort(t);
	/* Key ids collide, by accident or on purpose; fingerprints do not. */
	for (i = 0; i < got; i++) {
		if (db_cert_has(h[i].rec, id, n))
			h[kept++] = h[i];
		else
			held_free(&h[i]);
	}
	return got == -1 ? -1 : kept;
}

static int
page(enum table table, const struct dbkey *after, const struct rec *r, struct held *h, size_t max,
    struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct store_pos pos = {.klen = 0};
	struct bytes v;
	size_t n = 0;
	int rc = 0;

	if (t == NULL)
		return -1;
	memcpy(pos.key, after->k, after->n);
	pos.klen = after->n;
	while (n < max && (rc = store_next(t, table, &pos, &v, e)) == 1) {
		if ((rc = db_hold(r, v, &h[n], e)) == -1)
			break;
		n++;
	}
	store_abort(t);
	if (rc == -1) {
		free_all(h, (int)n);
		return -1;
	}
	return (int)n;
}

int
db_domains(const char *after, struct held *h, size_t max, struct err *e)
{
	struct dbkey k;

	dbkey_start(&k);
	if (after[0] != '\0')
		dbkey_str(&k, after, 1);
	return page(T_DOMAINS, &k, &rec_domain, h, max, e);
}

int
db_recipients(const char *after, struct held *h, size_t max, struct err *e)
{
	struct dbkey k;

	dbkey_start(&k);
	if (after[0] != '\0')
		dbkey_str(&k, after, 1);
	return page(T_RECIPIENTS, &k, &rec_recipient, h, max, e);
}

int
db_consumers(const char *after, struct held *h, size_t max, struct err *e)
{
	struct dbkey k;

	dbkey_start(&k);
	if (after[0] != '\0')
		dbkey_str(&k, after, 0);
	return page(T_CONSUMERS, &k, &rec_consumer, h, max, e);
}

/* Of one consumer, by its index: a long table is not read for a few. */
static int
certs_of_page(
    const uint8_t *after, size_t n, const char *consumer, struct held *h, size_t max, struct err *e)
{
	struct store_txn *t = store_read(db_store, e);
	struct dbkey prefix, from;
	int got;

	if (t == NULL)
		return -1;
	dbkey_start(&prefix);
	dbkey_str(&prefix, consumer, 0);
	from = prefix;
	dbkey_bytes(&from, after, n);
	got = certs_via(t, T_OWNED, &prefix, &from, prefix.n, h, max, e);
	store_abort(t);
	return got;
}

int
db_certs(
    const uint8_t *after, size_t n, const char *consumer, struct held *h, size_t max, struct err *e)
{
	struct dbkey k;
	uint8_t last = 0xff;

	if (consumer[0] != '\0')
		return certs_of_page(after, n, consumer, h, max, e);
	dbkey_start(&k);
	if (n > 0) {
		/* Behind every owner of this certificate: ids are ASCII. */
		dbkey_bytes(&k, after, n);
		dbkey_bytes(&k, &last, 1);
	}
	return page(T_CERTS, &k, &rec_stored_cert, h, max, e);
}

static int64_t
count(enum table table)
{
	struct store_txn *t = store_read(db_store, NULL);
	int64_t n;

	if (t == NULL)
		return -1;
	n = store_count(t, table, NULL);
	store_abort(t);
	return n;
}

int64_t
db_count_domains(void)
{
	return count(T_DOMAINS);
}

int64_t
db_count_consumers(void)
{
	return count(T_CONSUMERS);
}

int64_t
db_count_certs(void)
{
	return count(T_CERTS);
}
