#ifndef POLICYD_DBINT_H
#define POLICYD_DBINT_H

#include "base/buf.h"
#include "policyd/db.h"
#include "store/store.h"

/* Inside of the database: db.c reads, dbput.c changes.  How the database's tables are keyed: parts
 * joined by a NUL, lower case where case is nothing. */
enum table {
	T_DOMAINS, /* name -> domain */
	T_CONSUMERS, /* id -> consumer */
	T_ADDRS, /* tenant, address -> consumer id */
	T_LOGINS, /* tenant, peer, login -> consumer id */
	T_CERTS, /* fingerprint, consumer id -> stored_cert */
	T_KEYIDS, /* key id, then the key in T_CERTS -> nothing */
	T_OWNED, /* consumer id, NUL, fingerprint -> nothing */
	T_RECIPIENTS, /* address or "@domain" -> recipient */
};

struct dbkey {
	uint8_t k[STORE_KEY_MAX];
	size_t n;
	int bad; /* it did not fit */
};

void dbkey_start(struct dbkey *k);
void dbkey_bytes(struct dbkey *k, const void *p, size_t n);
/* A string and a NUL; lower: ASCII letters in lower case. */
void dbkey_str(struct dbkey *k, const char *s, int lower);

void dbkey_addr(struct dbkey *k, const char *tenant, const char *addr);
void dbkey_login(struct dbkey *k, const char *tenant, const char *peer, const char *login);

extern struct store *db_store;

/* Copy and decode a value: 1, or -1 with e. */
int db_hold(const struct rec *r, struct bytes v, struct held *h, struct err *e);

/* A record by its key, and a consumer by an index entry: 1, 0 not there, -1 with e. */
int db_get(struct store_txn *t, enum table table, const struct dbkey *k, const struct rec *r,
    struct held *h, struct err *e);
int db_consumer_via(
    struct store_txn *t, enum table index, const struct dbkey *k, struct held *h, struct err *e);

/* Has the certificate a key with this fingerprint or key id (8 octets)? */
int db_cert_has(const struct stored_cert *c, const uint8_t *id, size_t n);

#endif
