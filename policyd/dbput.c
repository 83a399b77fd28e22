/* Changes of the database: checked whole, then made in one transaction with their indexes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mail/address.h"
#include "model/factor.h"
#include "openpgp/pk.h"
#include "policyd/dbint.h"

#define VALUE_MAX (512 * 1024)
#define CERTS_PER_CONSUMER 64 /* a consumer with more is somebody's mistake */

static int
put_rec(struct store_txn *t, enum table table, const struct dbkey *k, const struct rec *r,
    const void *v, struct err *e)
{
	const char *bad = rec_bad_field(r, v);
	struct buf b;
	int rc = -1;

	if (bad != NULL || k->bad)
		return err_set(e, EINVAL, "%s: %s is too short, too long or out of its bounds",
		    r->name, bad != NULL ? bad : "key");
	buf_init(&b, VALUE_MAX);
	if (rec_encode(r, v, &b) == -1)
		(void)err_sys(e, "%s", r->name);
	else
		rc = store_put(t, table, k->k, k->n, buf_ptr(&b), buf_len(&b), e);
	buf_free(&b);
	return rc;
}

static int
put_index(
    struct store_txn *t, enum table table, const struct dbkey *k, const char *value, struct err *e)
{
	if (k->bad)
		return err_set(e, EINVAL, "a name is too long");
	return store_put(t, table, k->k, k->n, value, strlen(value), e);
}

static int
del(struct store_txn *t, enum table table, const struct dbkey *k, struct err *e)
{
	return k->bad ? 0 : store_del(t, table, k->k, k->n, e);
}

/* Letters, digits and a few signs: safe in logs, paths and on command lines. */
static int
is_name(const char *s)
{
	for (; *s != '\0'; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			(*s >= '0' && *s <= '9') || strchr("._@+-", *s) != NULL))
			return 0;
	return 1;
}

static int
end_write(struct store_txn *t, int rc, struct err *e)
{
	if (rc == -1) {
		store_abort(t);
		return -1;
	}
	return store_commit(t, e);
}

/* A domain changes its tenant only by being removed first: its mail is in other hands then. */
static int
domain_change(struct store_txn *t, const struct domain *d, struct err *e)
{
	struct dbkey k;
	struct held h;
	int rc;

	dbkey_start(&k);
	dbkey_str(&k, d->name, 1);
	if ((rc = db_get(t, T_DOMAINS, &k, &rec_domain, &h, e)) == -1)
		return -1;
	if (rc == 1) {
		const struct domain *was = h.rec;

		if ((rc = strcmp(was->tenant, d->tenant)) != 0)
			(void)err_set(e, EEXIST, "domain '%s' belongs to tenant '%s' already",
			    log_str(d->name), log_str(was->tenant));
		held_free(&h);
		if (rc != 0)
			return -1;
	}
	return put_rec(t, T_DOMAINS, &k, &rec_domain, d, e);
}

int
db_domain_put(const struct domain *d, struct err *e)
{
	struct store_txn *t;
	const char *p;

	for (p = d->name; *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' ||
			*p == '.' || *p == '_'))
			return err_set(e, EINVAL,
			    "'%s' is no domain in lower case: international names are written as "
			    "A-labels (xn--...)",
			    log_str(d->name));
	if (!is_name(d->tenant))
		return err_set(e, EINVAL, "'%s' is no name of a tenant", log_str(d->tenant));
	if ((t = store_write(db_store, e)) == NULL)
		return -1;
	return end_write(t, domain_change(t, d, e), e);
}

int
db_domain_del(const char *name, struct err *e)
{
	struct store_txn *t = store_write(db_store, e);
	struct dbkey k;
	int rc;

	if (t == NULL)
		return -1;
	dbkey_start(&k);
	dbkey_str(&k, name, 1);
	if ((rc = del(t, T_DOMAINS, &k, e)) == 0)
		rc = err_set(e, ENOENT, "there is no domain '%s'", log_str(name));
	return end_write(t, rc, e);
}

/* Its tenant is that of its domain, which is ours. */
static int
put_recipient(struct store_txn *t, const char *given, struct err *e)
{
	char addr[MAIL_ADDR_MAX + 1];
	struct recipient r = {.addr = addr};
	struct dbkey k;
	struct held h;
	int rc;

	if (given[0] == '@')
		(void)strlcpy(addr, given, sizeof addr);
	else if (mail_addr_normalise(given, addr, sizeof addr) == -1)
		return err_set(e, EINVAL, "'%s' is no address", log_str(given));
	dbkey_start(&k);
	dbkey_str(&k, mail_addr_domain(addr), 1);
	if ((rc = db_get(t, T_DOMAINS, &k, &rec_domain, &h, e)) == -1)
		return -1;
	if (rc == 0)
		return err_set(e, ENOENT,
		    "'%s': its domain is not managed: gwctl domain add comes first", log_str(addr));
	r.tenant = ((const struct domain *)h.rec)->tenant;
	dbkey_start(&k);
	dbkey_str(&k, addr, 1);
	rc = put_rec(t, T_RECIPIENTS, &k, &rec_recipient, &r, e);
	held_free(&h);
	return rc;
}

int
db_recipients_put(const struct recipient *r, size_t n, struct err *e)
{
	struct store_txn *t = store_write(db_store, e);
	size_t i;
	int rc = 0;

	if (t == NULL)
		return -1;
	for (i = 0; i < n && rc == 0; i++)
		rc = put_recipient(t, r[i].addr, e);
	return end_write(t, rc, e);
}

int
db_recipient_del(const char *addr, struct err *e)
{
	struct store_txn *t = store_write(db_store, e);
	struct dbkey k;
	int rc;

	if (t == NULL)
		return -1;
	dbkey_start(&k);
	dbkey_str(&k, addr, 1);
	if ((rc = del(t, T_RECIPIENTS, &k, e)) == 0)
		rc = err_set(e, ENOENT, "there is no recipient '%s'", log_str(addr));
	return end_write(t, rc, e);
}

/* Remove the index entries of a consumer as it stands. */
static int
unindex(struct store_txn *t, const struct consumer *c, struct err *e)
{
	struct dbkey k;
	size_t i;

	for (i = 0; i < c->addresses.n; i++) {
		dbkey_addr(&k, c->tenant, c->addresses.v[i].addr);
		if (del(t, T_ADDRS, &k, e) == -1)
			return -1;
	}
	for (i = 0; i < c->logins.n; i++) {
		dbkey_login(&k, c->tenant, c->logins.v[i].peer, c->logins.v[i].name);
		if (del(t, T_LOGINS, &k, e) == -1)
			return -1;
	}
	return 0;
}

/* Enter a consumer's id under a key that nobody else may have. */
static int
index_one(struct store_txn *t, enum table index, const struct dbkey *k, const char *what,
    const struct consumer *c, struct err *e)
{
	struct held h;
	int rc = db_consumer_via(t, index, k, &h, e);

	if (rc == -1)
		return -1;
	if (rc == 1) {
		(void)err_set(e, EEXIST, "%s belongs to consumer '%s' already", log_str(what),
		    log_str(((const struct consumer *)h.rec)->id));
		held_free(&h);
		return -1;
	}
	return put_index(t, index, k, c->id, e);
}

static int
index_all(struct store_txn *t, const struct consumer *c, struct err *e)
{
	struct dbkey k;
	size_t i;

	for (i = 0; i < c->addresses.n; i++) {
		dbkey_addr(&k, c->tenant, c->addresses.v[i].addr);
		if (index_one(t, T_ADDRS, &k, c->addresses.v[i].addr, c, e) == -1)
			return -1;
	}
	for (i = 0; i < c->logins.n; i++) {
		dbkey_login(&k, c->tenant, c->logins.v[i].peer, c->logins.v[i].name);
		if (index_one(t, T_LOGINS, &k, c->logins.v[i].name, c, e) == -1)
			return -1;
	}
	return 0;
}

static int
check_address(const struct consumer *c, const char *addr, struct err *e)
{
	char norm[MAIL_ADDR_MAX + 1];
	const char *domain;
	int rc;

	if (mail_addr_normalise(addr, norm, sizeof norm) == -1 || strcmp(norm, addr) != 0)
		return err_set(e, EINVAL,
		    "'%s' is no address in its plain form (local@domain, domain in lower case)",
		    log_str(addr));
	if (c->kind != CONSUMER_INTERNAL)
		return 0;
	domain = mail_addr_domain(norm);
	if ((rc = db_domain_managed(c->tenant, domain, e)) == 0)
		return err_set(e, EINVAL,
		    "an internal consumer needs an address of ours, and '%s' is no managed domain: "
		    "gwctl domain add %s",
		    log_str(domain), log_str(domain));
	return rc == -1 ? -1 : 0;
}

static int
check_consumer(const struct consumer *c, struct err *e)
{
	size_t i;

	if (!is_name(c->id))
		return err_set(
		    e, EINVAL, "'%s': an id has letters, digits and ._@+- only", log_str(c->id));
	if (!is_name(c->tenant))
		return err_set(e, EINVAL, "'%s' is no name of a tenant", log_str(c->tenant));
	for (i = 0; i < c->addresses.n; i++)
		if (check_address(c, c->addresses.v[i].addr, e) == -1)
			return -1;
	for (i = 0; i < c->logins.n; i++)
		if (c->kind != CONSUMER_INTERNAL)
			return err_set(e, EINVAL, "an external consumer has no login here");
	return 0;
}

static int
consumer_change(struct store_txn *t, const struct consumer *c, int create, struct err *e)
{
	char phrase[PHRASE_LEN + 1];
	struct consumer n = *c;
	struct dbkey k;
	struct held old = {NULL, {0}};
	int rc;

	dbkey_start(&k);
	dbkey_str(&k, c->id, 0);
	if ((rc = db_get(t, T_CONSUMERS, &k, &rec_consumer, &old, e)) == -1)
		return -1;
	n.factor.n = 0;
	phrase_make(phrase);
	n.phrase = phrase;
	if (rc == 1) {
		const struct consumer *was = old.rec;

		if (create)
			rc = err_set(e, EEXIST, "consumer '%s' is there already", log_str(c->id));
		else if (strcmp(was->tenant, c->tenant) != 0)
			rc = err_set(e, EINVAL, "a consumer cannot move to another tenant");
		else
			rc = unindex(t, was, e);
		n.factor = was->factor;
		if (was->phrase[0] != '\0')
			n.phrase = was->phrase;
	} else if (!create)
		rc = err_set(e, ENOENT, "there is no consumer '%s'", log_str(c->id));
	if (rc != -1 && index_all(t, c, e) == -1)
		rc = -1;
	if (rc != -1)
		rc = put_rec(t, T_CONSUMERS, &k, &rec_consumer, &n, e);
	held_free(&old);
	return rc;
}

/* Replace what consumer_put leaves alone: factor or phrase, whichever is not NULL. */
static int
consumer_replace(struct store_txn *t, const char *id, const struct bytes *factor,
    const char *phrase, struct err *e)
{
	struct consumer n;
	struct dbkey k;
	struct held old;
	int rc;

	dbkey_start(&k);
	dbkey_str(&k, id, 0);
	if ((rc = db_get(t, T_CONSUMERS, &k, &rec_consumer, &old, e)) == 0)
		return err_set(e, ENOENT, "there is no consumer '%s'", log_str(id));
	if (rc == -1)
		return -1;
	n = *(const struct consumer *)old.rec;
	if (factor != NULL)
		n.factor = *factor;
	if (phrase != NULL)
		n.phrase = phrase;
	if (n.kind != CONSUMER_INTERNAL)
		rc = err_set(
		    e, EINVAL, "consumer '%s' is external: it does not log in here", log_str(id));
	else
		rc = put_rec(t, T_CONSUMERS, &k, &rec_consumer, &n, e);
	held_free(&old);
	return rc;
}

int
db_consumer_factor(const char *id, struct bytes factor, struct err *e)
{
	struct store_txn *t;

	if (factor.n != 0 && factor.n != FACTOR_HASH_LEN)
		return err_set(e, EINVAL, "this is not the stored form of a gateway password");
	if ((t = store_write(db_store, e)) == NULL)
		return -1;
	return end_write(t, consumer_replace(t, id, &factor, NULL, e), e);
}

int
db_consumer_phrase(const char *id, const char *phrase, struct err *e)
{
	struct store_txn *t;

	if (strspn(phrase, "abcdefghijklmnopqrstuvwxyz") != PHRASE_LEN ||
	    phrase[PHRASE_LEN] != '\0')
		return err_set(e, EINVAL, "a phrase has %d lower-case letters", PHRASE_LEN);
	if ((t = store_write(db_store, e)) == NULL)
		return -1;
	return end_write(t, consumer_replace(t, id, NULL, phrase, e), e);
}

int
db_consumer_put(const struct consumer *c, int create, struct err *e)
{
	struct store_txn *t;

	if (check_consumer(c, e) == -1 || (t = store_write(db_store, e)) == NULL)
		return -1;
	return end_write(t, consumer_change(t, c, create, e), e);
}

static void
key_of_cert(struct dbkey *k, const struct stored_cert *c)
{
	const struct bytes *f = &c->cert.v->keys.v[0].fpr;

	dbkey_start(k);
	dbkey_bytes(k, f->p, f->n);
	dbkey_bytes(k, c->consumer, strlen(c->consumer));
}

static void
key_of_owned(struct dbkey *k, const struct stored_cert *c)
{
	const struct bytes *f = &c->cert.v->keys.v[0].fpr;

	dbkey_start(k);
	dbkey_str(k, c->consumer, 0);
	dbkey_bytes(k, f->p, f->n);
}

static void
key_of_id(struct dbkey *k, const struct cert_key *key, const struct dbkey *cert)
{
	dbkey_start(k);
	dbkey_bytes(k, pgp_keyid(key->fpr.p, key->fpr.n), 8);
	dbkey_bytes(k, cert->k, cert->n);
}

static int
cert_remove(struct store_txn *t, const struct stored_cert *c, struct err *e)
{
	struct dbkey k, x;
	size_t i;

	key_of_cert(&k, c);
	for (i = 0; i < c->cert.v->keys.n; i++) {
		key_of_id(&x, &c->cert.v->keys.v[i], &k);
		if (del(t, T_KEYIDS, &x, e) == -1)
			return -1;
	}
	key_of_owned(&x, c);
	return del(t, T_OWNED, &x, e) == -1 || del(t, T_CERTS, &k, e) == -1 ? -1 : 0;
}

static int
cert_enter(struct store_txn *t, const struct stored_cert *c, struct err *e)
{
	struct dbkey k, x;
	size_t i;

	key_of_cert(&k, c);
	for (i = 0; i < c->cert.v->keys.n; i++) {
		key_of_id(&x, &c->cert.v->keys.v[i], &k);
		if (put_index(t, T_KEYIDS, &x, "", e) == -1)
			return -1;
	}
	key_of_owned(&x, c);
	if (put_index(t, T_OWNED, &x, "", e) == -1)
		return -1;
	return put_rec(t, T_CERTS, &k, &rec_stored_cert, c, e);
}

static int
cert_change(struct store_txn *t, const struct stored_cert *c, struct err *e)
{
	struct stored_cert n = *c;
	struct held old, owner;
	struct dbkey k;
	int rc;

	dbkey_start(&k);
	dbkey_str(&k, c->consumer, 0);
	if ((rc = db_get(t, T_CONSUMERS, &k, &rec_consumer, &owner, e)) == 0)
		return err_set(e, ENOENT, "there is no consumer '%s'", log_str(c->consumer));
	if (rc == -1)
		return -1;
	if (((const struct consumer *)owner.rec)->kind != CONSUMER_INTERNAL && c->secret)
		rc = err_set(e, EINVAL, "consumer '%s' is external: it has no private keys here",
		    log_str(c->consumer));
	held_free(&owner);
	if (rc == -1)
		return -1;
	key_of_cert(&k, c);
	if ((rc = db_get(t, T_CERTS, &k, &rec_stored_cert, &old, e)) == -1)
		return -1;
	if (rc == 1) {
		const struct stored_cert *was = old.rec;

		/* What was known of it is never taken away by a copy that knows less. */
		n.secret |= was->secret;
		n.manual |= was->manual;
		n.added = was->added;
		rc = cert_remove(t, was, e);
		held_free(&old);
		if (rc == -1)
			return -1;
	}
	return cert_enter(t, &n, e);
}

static int
same_primary(const struct stored_cert *a, const struct stored_cert *b)
{
	const struct bytes *f = &a->cert.v->keys.v[0].fpr, *g = &b->cert.v->keys.v[0].fpr;

	return f->n == g->n && memcmp(f->p, g->p, f->n) == 0;
}

int
db_cert_put(const struct stored_cert *c, struct err *e)
{
	struct held h[CERTS_PER_CONSUMER];
	struct store_txn *t;
	int n, i, there = 0;

	if (c->cert.n != 1 || c->cert.v->keys.n < 1)
		return err_set(e, EINVAL, "a certificate without a key");
	if ((n = db_certs_of(c->consumer, h, CERTS_PER_CONSUMER, e)) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		there |= same_primary(h[i].rec, c);
		held_free(&h[i]);
	}
	/* One that is there can always be renewed, and above all revoked. */
	if (n == CERTS_PER_CONSUMER && !there)
		return err_set(e, EINVAL, "consumer '%s' has %d certificates: delete some first",
		    log_str(c->consumer), n);
	if ((t = store_write(db_store, e)) == NULL)
		return -1;
	return end_write(t, cert_change(t, c, e), e);
}

/*
 * Remove up to max copies of the certificate with this primary, one for each owner: how many, or
 * -1.  Others that have the key as a subkey stay: anybody can make such a one.
 */
static int
cert_del_some(const uint8_t *fpr, size_t n, struct held *h, size_t max, struct err *e)
{
	struct store_txn *t;
	int got = db_certs_by_id(fpr, n, h, max, e), i, rc = 0, removed = 0;

	if (got <= 0)
		return got;
	if ((t = store_write(db_store, e)) == NULL)
		rc = -1;
	for (i = 0; i < got; i++) {
		const struct bytes *f =
		    &((const struct stored_cert *)h[i].rec)->cert.v->keys.v[0].fpr;

		if (rc == 0 && f->n == n && memcmp(f->p, fpr, n) == 0) {
			rc = cert_remove(t, h[i].rec, e);
			removed++;
		}
		held_free(&h[i]);
	}
	if (t == NULL || end_write(t, rc, e) == -1)
		return -1;
	return removed;
}

int
db_cert_del(const uint8_t *fpr, size_t n, struct err *e)
{
	struct held h[16];
	int got, all = 0;

	while ((got = cert_del_some(fpr, n, h, 16, e)) > 0)
		all += got;
	if (got == 0 && all == 0)
		return err_set(e, ENOENT, "there is no such certificate");
	return got;
}

int
db_consumer_del(const char *id, struct err *e)
{
	struct held c, h[CERTS_PER_CONSUMER];
	struct store_txn *t;
	struct dbkey k;
	int n, i, rc = db_consumer(id, &c, e);

	if (rc == 0)
		return err_set(e, ENOENT, "there is no consumer '%s'", log_str(id));
	if (rc == -1)
		return -1;
	if ((n = db_certs_of(id, h, CERTS_PER_CONSUMER, e)) == -1 ||
	    (t = store_write(db_store, e)) == NULL) {
		held_free(&c);
		return -1;
	}
	rc = unindex(t, c.rec, e);
	for (i = 0; i < n; i++) {
		if (rc != -1)
			rc = cert_remove(t, h[i].rec, e);
		held_free(&h[i]);
	}
	dbkey_start(&k);
	dbkey_str(&k, id, 0);
	if (rc != -1)
		rc = del(t, T_CONSUMERS, &k, e);
	held_free(&c);
	return end_write(t, rc, e);
}
